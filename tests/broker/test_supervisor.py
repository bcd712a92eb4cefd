"""The supervisor: when a child is started again (pure), and real child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from math import inf
from pathlib import Path

import psutil
import pytest

from broker import supervisor
from broker.supervisor import Restarts

ROOT = Path(supervisor.__file__).parent.parent


class TestRestarts:
    def test_at_first_all_are_due(self):
        restarts = Restarts(["primary", "backup"])

        assert restarts.due(5.0) == ["primary", "backup"]

    def test_a_running_child_is_not_due(self):
        restarts = Restarts(["primary", "backup"])
        restarts.started(0.0, "primary")

        assert restarts.due(9.0) == ["backup"]

    def test_all_running_there_is_nothing_to_wait_for(self):
        restarts = Restarts(["primary"])
        restarts.started(0.0, "primary")

        assert restarts.wake_at == inf

    def test_one_that_dies_again_and_again_is_started_ever_more_slowly(self):
        restarts, now, delays = Restarts(["primary"]), 0.0, []
        for _ in range(9):
            restarts.started(now, "primary")
            delays.append(restarts.ended(now, "primary", 1))
            now = restarts.wake_at

        assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0])

    def test_it_is_due_when_its_delay_is_over(self):
        restarts = Restarts(["primary"])
        restarts.started(0.0, "primary")
        restarts.ended(7.0, "primary", -signal.SIGKILL)

        assert restarts.wake_at == pytest.approx(7.1)
        assert restarts.due(7.05) == []
        assert restarts.due(7.1) == ["primary"]

    def test_after_a_proven_life_the_delays_begin_anew(self):
        restarts = Restarts(["primary"])
        for began, ended in [(0.0, 1.0), (2.0, 3.0), (4.0, 5.0), (6.0, 16.0)]:
            restarts.started(began, "primary")
            delay = restarts.ended(ended, "primary", 1)

        assert delay == 0.1

    def test_one_that_could_not_be_started_waits_too(self):
        restarts = Restarts(["primary"])

        assert [restarts.ended(0.0, "primary", 71) for _ in range(3)] == pytest.approx([0.1, 0.2, 0.4])

    @pytest.mark.parametrize("code", [64, 78])
    def test_a_wrong_configuration_or_command_is_not_tried_again(self, code):
        restarts = Restarts(["primary"])
        restarts.started(0.0, "primary")

        assert restarts.ended(1.0, "primary", code) is None
        assert restarts.due(1e9) == []

    def test_the_end_comes_when_all_are_given_up(self):
        restarts = Restarts(["primary", "backup"])
        restarts.ended(0.0, "primary", 78)
        assert restarts.exit_code is None
        restarts.ended(0.0, "backup", 78)
        assert restarts.exit_code == 78

    def test_a_reload_gives_another_chance(self):
        restarts = Restarts(["primary"])
        restarts.ended(0.0, "primary", 78)
        restarts.reload(4.0)

        assert restarts.exit_code is None
        assert restarts.due(4.0) == ["primary"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-9, "ended by SIGKILL"),
        (-36, "ended by signal 36"),
        (78, "exited with 78 (configuration)"),
        (1, "exited with 1"),
        (71, "exited with 71 (its address cannot be used)"),
    ],
)
def test_how_a_process_ended_in_words(code, words):
    assert supervisor.describe(code) == words


SLEEP = "import time; time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
ORDERLY = """
import os, signal, sys, time
from broker.supervisor import parent_pid
came = []
for number in (signal.SIGTERM, signal.SIGHUP): signal.signal(number, lambda number, frame: came.append(number))
sys.stdout.write(f"ready {parent_pid() == os.getppid()}\\n")
sys.stdout.flush()
while os.getppid() == parent_pid():
    time.sleep(0.01)
    number = came.pop() if came else None
    if number: sys.stdout.write(f"got {signal.Signals(number).name}\\n")
    sys.stdout.flush()
    if number == signal.SIGTERM: break
"""


class Supervised:
    """A supervisor in a process of its own, with what it and its children print."""

    def __init__(self, folder, children, limit_s=4.0, parent=None):
        argvs = {name: [sys.executable, "-c", code] for name, code in children.items()}
        script = (
            f"from broker import supervisor; supervisor.DRAIN_LIMIT_S = {limit_s}; supervisor.supervise('n1', {argvs})"
        )
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", script],
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT), supervisor.SUPERVISOR: str(parent or os.getpid())},
            )
        self.seen = set()

    @property
    def log(self):
        return self._log.read_text()

    def children(self):
        """The members that run, by pid."""
        found = psutil.Process(self.process.pid).children()
        self.seen.update(found)
        return [child.pid for child in found]

    def end(self, number=signal.SIGTERM):
        """Sends a signal; returns the exit code."""
        self.children()
        self.process.send_signal(number)
        return self.process.wait(timeout=8)

    def left_over(self):
        return [child for child in self.seen if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def start(tmp_path):
    """``start(children)``: a supervisor over child name -> Python code; ends with the test."""
    started = []

    def begin(children, **options):
        started.append(Supervised(tmp_path, children, **options))
        return started[-1]

    yield begin
    for one in started:
        one.process.kill()
        one.process.wait()
        for child in one.left_over():
            child.kill()


class TestSupervisor:
    def test_a_child_that_was_killed_comes_back(self, start, wait_until):
        supervised = start({"primary": SLEEP, "backup": SLEEP})
        wait_until(lambda: len(supervised.children()) == 2)
        first, other = supervised.children()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: supervised.log.count("primary started") == 2)

        assert first not in supervised.children()
        assert other in supervised.children()
        assert f"n1: primary (pid {first}) ended by SIGKILL, starts again in 0.1 s" in supervised.log
        assert supervised.process.poll() is None

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_told_to_end_it_lets_the_children_drain(self, start, wait_until, number):
        supervised = start({"primary": ORDERLY, "backup": ORDERLY})
        wait_until(lambda: supervised.log.count("ready True") == 2)

        assert supervised.end(number) == 0
        assert supervised.log.count("got SIGTERM") == 2
        assert supervised.left_over() == []

    def test_a_child_that_does_not_end_is_killed(self, start, wait_until):
        supervised = start({"primary": DEAF}, limit_s=0.2)
        wait_until(lambda: "deaf" in supervised.log)

        assert supervised.end() == 0
        assert "has not ended in 0.2 s and is killed" in supervised.log
        assert supervised.left_over() == []

    def test_all_ends_within_five_seconds(self):
        assert supervisor.DRAIN_LIMIT_S + supervisor.KILL_LIMIT_S < 5.0

    def test_a_hangup_goes_on_to_the_children(self, start, wait_until):
        supervised = start({"primary": ORDERLY})
        wait_until(lambda: "ready True" in supervised.log)
        supervised.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "got SIGHUP" in supervised.log)

        assert supervised.end() == 0

    def test_when_all_children_refuse_their_configuration_it_ends_with_their_code(self, start):
        supervised = start({"primary": "raise SystemExit(78)", "backup": "raise SystemExit(78)"})

        assert supervised.process.wait(timeout=5) == 78
        assert supervised.log.count("exited with 78 (configuration), not started again") == 2

    def test_one_child_that_refuses_leaves_the_others_alone(self, start, wait_until):
        supervised = start({"primary": SLEEP, "backup": "raise SystemExit(78)"})
        wait_until(lambda: "not started again" in supervised.log)

        assert supervised.process.poll() is None
        assert len(supervised.children()) == 1

    def test_a_command_that_does_not_exist_does_not_end_it(self, tmp_path):
        watched = supervisor.Supervisor("n1", {"primary": [str(tmp_path / "missing")]})
        watched._start_due()

        assert watched._restarts.exit_code is None
        assert watched._restarts.wake_at < inf

    def test_children_know_when_their_supervisor_was_killed(self, start, wait_until):
        supervised = start({"primary": ORDERLY})
        wait_until(lambda: "ready True" in supervised.log)
        supervised.end(signal.SIGKILL)

        wait_until(lambda: not supervised.left_over())

    def test_a_signal_to_its_group_reaches_no_child(self, start, wait_until):
        supervised = start({"primary": SLEEP})
        wait_until(supervised.children)

        assert os.getpgid(supervised.children()[0]) != os.getpgid(supervised.process.pid)

    def test_a_supervisor_whose_own_parent_is_gone_ends(self, start):
        supervised = start({"primary": ORDERLY}, parent=os.getppid())  # not this process, which is its parent

        assert supervised.process.wait(timeout=5) == 0


def test_without_a_supervisor_there_is_no_parent_to_watch(monkeypatch):
    monkeypatch.delenv(supervisor.SUPERVISOR, raising=False)
    assert supervisor.parent_pid() is None
    monkeypatch.setenv(supervisor.SUPERVISOR, "123")
    assert supervisor.parent_pid() == 123
