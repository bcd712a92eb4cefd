"""The node core on its real database against a plain model, over all requests, with crashes.

Longer: ``python -m tests.model --walks 1000 --seed 5000``, which says more of what it has found, or
``IXN_MODEL_WALKS=1000 python -m pytest tests/model``; ``--hypothesis-profile search`` takes other histories.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from broker.messages import REQUESTS
from tests.model.planted import PLANTED, Bug, planted
from tests.model.play import Play
from tests.model.requests.catalogue import DRAWN

WALKS = int(os.environ.get("IXN_MODEL_WALKS", "40"))
LEFT_OUT = {
    "RequestRegisterClient": "every client begins with it, and comes back with it after a crash",
}
"""Requests that are not drawn, and why."""
FOUND = {
    152: "the model: a reservation ends when its row says so, in whole microseconds",
    20353: "topics were given up though one behind them was wrong, and the request refused",
    20385: "the same of a place",
}
"""Seeds that once failed, and why. They are walked again as they are today: other requests, other dice."""
CHANCES = st.randoms(use_true_random=True)
"""One seed a step, so that a step can be left out of a failing history."""
ROOT = Path(__file__).resolve().parent.parent.parent


class NodeAgainstModel(RuleBasedStateMachine):
    """Both are asked the same; hypothesis makes a failing history short."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.play = Play(Path(self.folder.name))
        self.play.begin()

    @rule(chance=CHANCES)
    def ask(self, chance: Random) -> None:
        self.play.ask(chance)

    @rule(chance=CHANCES)
    def go_on(self, chance: Random) -> None:
        self.play.go_on(chance)

    @rule(chance=CHANCES)
    def go(self, chance: Random) -> None:
        self.play.go(chance)

    @rule(chance=CHANCES)
    def repeat(self, chance: Random) -> None:
        self.play.repeat(chance)

    @rule(chance=CHANCES)
    def wait(self, chance: Random) -> None:
        self.play.wait(chance)

    @rule(chance=CHANCES)
    def line(self, chance: Random) -> None:
        self.play.line(chance)

    @rule(chance=CHANCES)
    def edit(self, chance: Random) -> None:
        self.play.edit(chance)

    @rule(chance=CHANCES)
    def fold(self, chance: Random) -> None:
        self.play.fold(chance)

    @rule(chance=CHANCES)
    def crash(self, chance: Random) -> None:
        self.play.crash(chance)

    @invariant()
    def the_node_holds_what_the_model_holds(self) -> None:
        if hasattr(self, "play"):
            self.play.compare()

    def teardown(self) -> None:
        if hasattr(self, "play"):
            self.play.served.close()
            self.folder.cleanup()


TestNodeAgainstModel = NodeAgainstModel.TestCase
TestNodeAgainstModel.settings = settings(
    max_examples=20, stateful_step_count=60, suppress_health_check=list(HealthCheck)
)


def walked(*options: str) -> subprocess.CompletedProcess[str]:
    """``python -m tests.model``, in a process of its own: a seed is the same walk there for everybody."""
    command = [sys.executable, "-m", "tests.model", *options]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.timeout(120 + WALKS)
def test_long_walks() -> None:
    # given a node with agents at work
    # when clients do hundreds of things in a row, and the node fails now and then
    done = walked("--walks", str(WALKS), "--all-done")
    # then node, model and events have told the same after every step, and every request was acked, and refused if any
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("seed", FOUND)
def test_a_walk_that_once_failed(seed: int) -> None:
    # given a walk that has shown a bug, when it is walked again, then the bug does not come back
    done = walked("--seed", str(seed))
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(240)
def test_planted_bugs_are_found() -> None:
    # given the node with one wrong line on purpose, when it is walked with, then some walk shows it
    done = walked("--planted", "--quick", "--walks", "30", "--seed", "1000")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_planted_line_is_there_once_and_put_right_again() -> None:
    # given a function of the node
    function = PLANTED["a hold outlives its holder"].where
    right = function.__code__
    # when a bug is planted there for a while
    with planted("a hold outlives its holder"):
        assert function.__code__ is not right
    # then it is as it was
    assert function.__code__ is right
    # and a line that is not there any more is said
    gone = patch.dict(PLANTED, gone=Bug(function, "no", ""))
    with pytest.raises(ValueError, match="is not once in _return"), gone, planted("gone"):
        pass


def test_every_request_is_drawn_and_judged() -> None:
    # given the catalogue, then no request is forgotten here, but for those that say why
    assert DRAWN.keys() | LEFT_OUT.keys() == REQUESTS.keys()
    assert not DRAWN.keys() & LEFT_OUT.keys()
    assert list(LEFT_OUT) == ["RequestRegisterClient"], "what is left out is left unjudged: draw it"
