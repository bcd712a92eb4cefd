"""The loop around a toy shell: waiting, signals, the end."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import zmq
from structlog.testing import capture_logs

from broker import loop

FAR = 3600.0
LONGEST_WAIT_S = loop.LONGEST_WAIT_S


class Toy:
    """A shell that notes what is done to it; ``script`` is called in every turn and gives the next wake time."""

    def __init__(self, script=lambda toy, now: now):
        self.script = script
        self.story = []
        self.turns = 0
        self.finished = False
        self.polled = []

    def sockets(self):
        return self.polled

    def turn(self, now):
        self.turns += 1
        return self.script(self, now)

    def drain(self, now):
        self.story.append("drain")
        self.finished = True

    def reload(self, now):
        self.story.append("reload")

    def close(self):
        self.story.append("close")


class Slow(Toy):
    """Never finishes by itself."""

    def drain(self, now):
        self.story.append("drain")


def send(number):
    os.kill(os.getpid(), number)


def in_turns(*actions, rest=FAR):
    """A script: one action a turn, at once after each other; then long waits."""
    left = list(actions)

    def script(toy, now):
        if left:
            left.pop(0)()
            return now
        return now + rest

    return script


@pytest.fixture(autouse=True)
def only_what_is_meant_wakes(monkeypatch):
    """Waits are not cut short, so that a test that passes was woken by what it is about."""
    monkeypatch.setattr(loop, "LONGEST_WAIT_S", 30.0)


@pytest.fixture
def quiet():
    with capture_logs() as lines:
        yield lines


def later(action, seconds=0.05):
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


class TestWaiting:
    def test_what_has_come_is_taken_before_the_turn(self, context):
        there, here = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
        here.bind("inproc://loop")
        there.connect("inproc://loop")

        def script(toy, now):
            toy.story.append("turn")
            toy.finished = "taken b'x'" in toy.story
            return now + FAR

        toy = Toy(script)
        toy.polled = [(here, lambda: toy.story.append(f"taken {here.recv()}"))]
        there.send(b"x")
        loop.run(toy)

        assert toy.story == ["turn", "taken b'x'", "turn", "close"] or toy.story == ["taken b'x'", "turn", "close"]

    def test_a_turn_is_due_when_the_shell_asked_for_it(self):
        asked = []

        def script(toy, now):
            asked.append((now, now + 0.03))
            toy.finished = len(asked) == 3
            return asked[-1][1]

        loop.run(Toy(script))

        assert all(after >= due for (_, due), (after, _) in zip(asked, asked[1:], strict=False))

    def test_a_wall_clock_that_was_set_back_does_not_stop_the_turns(self, monkeypatch):
        monkeypatch.setattr(loop, "LONGEST_WAIT_S", 0.01)

        def script(toy, now):
            toy.finished = toy.turns == 3
            return now + FAR

        loop.run(toy := Toy(script))

        assert toy.turns == 3

    def test_a_shell_may_poll_something_else_at_any_time(self, context):
        reader, writer = os.pipe()
        toy = Toy(lambda toy, now: now + FAR)

        def found():
            toy.story.append(os.read(reader, 9).decode())
            toy.finished = True

        toy.script = in_turns(lambda: toy.polled.append((reader, found)), lambda: os.write(writer, b"new"))
        loop.run(toy)

        assert toy.story == ["new", "close"]
        os.close(reader)
        os.close(writer)


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_the_first_drains_and_the_loop_ends_when_the_shell_has_finished(self, quiet, number):
        toy = Slow(in_turns(lambda: send(number), lambda: None, lambda: None, lambda: finish()))

        def finish():
            toy.finished = True

        loop.run(toy)

        assert toy.story == ["drain", "close"]
        assert toy.turns == 4

    def test_it_wakes_a_waiting_loop(self, quiet):
        toy = Toy(lambda toy, now: now + FAR)
        timer = later(lambda: send(signal.SIGTERM))
        loop.run(toy)
        timer.join()

        assert toy.story == ["drain", "close"]

    @pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
    def test_the_second_ends_at_once(self, quiet, second):
        toy = Slow(in_turns(lambda: send(signal.SIGTERM), lambda: None, lambda: send(second)))
        loop.run(toy)

        assert toy.story == ["drain", "close"]
        assert not toy.finished

    def test_a_drain_without_end_is_given_up(self, quiet, monkeypatch):
        monkeypatch.setattr(loop, "DRAIN_LIMIT_S", 0.05)
        toy = Slow(in_turns(lambda: send(signal.SIGTERM), rest=0.01))
        loop.run(toy)

        assert toy.story == ["drain", "close"]
        assert [line["log_level"] for line in quiet] == ["info", "warning"]

    def test_hangup_reloads_and_goes_on(self, quiet):
        toy = Toy(in_turns(lambda: send(signal.SIGHUP), lambda: None, lambda: send(signal.SIGTERM)))
        loop.run(toy)

        assert toy.story == ["reload", "drain", "close"]

    def test_afterwards_signals_mean_what_they_meant_before(self, quiet):
        def own(number, frame):
            """What this process did before."""

        before = signal.signal(signal.SIGTERM, own)
        try:
            loop.run(Toy(in_turns(lambda: send(signal.SIGTERM))))
            assert signal.getsignal(signal.SIGTERM) is own
            assert signal.set_wakeup_fd(-1) == -1
        finally:
            signal.signal(signal.SIGTERM, before)


class TestParent:
    def test_a_member_whose_supervisor_is_gone_drains(self, quiet):
        toy = Toy()
        loop.run(toy, parent_pid=os.getpid())  # not the pid of this process's parent

        assert toy.story == ["drain", "close"]

    def test_it_is_noticed_within_a_second(self):
        assert LONGEST_WAIT_S <= 1.0

    def test_with_its_supervisor_alive_it_goes_on(self):
        toy = Toy(in_turns(*[lambda: None] * 5, lambda: finish()))

        def finish():
            toy.finished = True

        loop.run(toy, parent_pid=os.getppid())

        assert toy.story == ["close"]


class TestMistakes:
    @staticmethod
    def fail():
        raise RuntimeError("planted")

    def test_an_exception_in_a_turn_is_logged_and_ends_the_process_with_70(self, quiet):
        toy = Toy(in_turns(self.fail))
        with pytest.raises(SystemExit) as ended:
            loop.run(toy)

        assert ended.value.code == 70
        assert toy.story == ["close"]
        assert [(line["event"], line["exc_info"]) for line in quiet] == [("the loop failed", True)]

    def test_an_exception_while_draining_a_socket_too(self, quiet):
        reader, writer = os.pipe()
        os.write(writer, b"x")
        toy = Toy(lambda toy, now: now + FAR)
        toy.polled = [(reader, self.fail)]
        with pytest.raises(SystemExit) as ended:
            loop.run(toy)

        assert ended.value.code == 70
        os.close(reader)
        os.close(writer)

    def test_an_exception_while_closing_too(self, quiet):
        toy = Toy(in_turns(lambda: send(signal.SIGTERM)))
        toy.close = self.fail
        with pytest.raises(SystemExit) as ended:
            loop.run(toy)

        assert ended.value.code == 70

    def test_a_shell_may_end_the_process_itself(self):
        def give_up():
            raise SystemExit(78)

        toy = Toy(in_turns(give_up))
        with pytest.raises(SystemExit) as ended:
            loop.run(toy)

        assert ended.value.code == 78
        assert toy.story == ["close"]


class TestStalls:
    def test_rounds_above_100_ms_are_counted(self):
        stalls = loop.Stalls()

        assert [stalls.note(seconds) for seconds in (0.02, 0.1, 0.3, 0.15)] == [False, False, True, True]
        assert stalls == loop.Stalls(count=2, longest_s=0.3)

    def test_the_loop_notes_every_round(self, quiet, monkeypatch):
        monkeypatch.setattr(loop, "STALL_S", 0.01)
        stalls = loop.Stalls()
        toy = Toy(in_turns(lambda: time.sleep(0.02), lambda: send(signal.SIGTERM)))
        loop.run(toy, stalls=stalls)

        assert stalls.count == 1
        assert stalls.longest_s >= 0.02
