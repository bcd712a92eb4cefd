"""The node core on its real database against a plain model, over all requests, with crashes.

Longer: ``IXN_MODEL_WALKS=1000 python -m pytest tests/model``; ``--hypothesis-profile search`` takes other histories.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from broker.messages import REQUESTS
from tests.model.play import Play
from tests.model.requests.catalogue import DRAWN

WALKS = int(os.environ.get("IXN_MODEL_WALKS", "40"))
STEPS = 400
LEFT_OUT = {
    "RequestRegisterClient": "every client begins with it, and comes back with it after a crash",
}
"""Requests that are not drawn, and why."""
CHANCES = st.randoms(use_true_random=True)
"""One seed a step, so that a step can be left out of a failing history."""
ACTS = (
    [Play.ask] * 14
    + [Play.go_on] * 16
    + [Play.wait] * 6
    + [Play.fold] * 4
    + [Play.repeat] * 3
    + [Play.line] * 2
    + [Play.edit, Play.go, Play.crash]
)


class NodeAgainstModel(RuleBasedStateMachine):
    """Both are asked the same; hypothesis makes a failing history short."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.play = Play(Path(self.folder.name))

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


def test_long_walks(tmp_path: Path) -> None:
    # given a node with agents at work
    for walk in range(WALKS):
        chance, folder = Random(walk), tmp_path / str(walk)
        folder.mkdir()
        play = Play(folder)
        # when clients do hundreds of things in a row, and the node fails now and then
        for step in range(STEPS):
            try:
                chance.choice(ACTS)(play, chance)
                play.compare()
            except AssertionError as fault:
                fault.add_note(f"in step {step} of walk {walk}")
                raise
        play.served.close()
    # then node, model and events have told the same after every step


def test_every_request_is_drawn_and_judged() -> None:
    # given the catalogue, then no request is forgotten here
    assert DRAWN.keys() | LEFT_OUT.keys() == REQUESTS.keys()
    assert not DRAWN.keys() & LEFT_OUT.keys()
