"""A pair (or a proxy) as one process: starts the members, and starts again one that has died. A shell around a core.

Procfile managers stop everything when one process ends; this one does not end because a member does. Its core,
:class:`Restarts`, is a table of what becomes of a child:

=============================  ======================================================================================
it ended with 78 or 64         not started again: its configuration or its command is wrong (until SIGHUP)
it ended in any other way      started again, after 0.1 s at first, then twice as long each time, at most 5 s; with 65
                               its database is refused, with 74 it cannot be opened: it has said so for a while itself
it had lived for 10 s          the waiting begins anew at 0.1 s
=============================  ======================================================================================

Members end when their supervisor is gone (:func:`parent_pid`, checked by their loop), so none is ever left over.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import NoReturn

from broker.signals import Signals

FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 5.0
PROVEN_S = 10.0
DRAIN_LIMIT_S = 4.0
KILL_LIMIT_S = 0.5
LONGEST_WAIT_S = 0.5
HOPELESS = {64: "usage", 78: "configuration"}
"""Exit codes after which another start would end in the same way."""
EXIT_REFUSED, EXIT_ADDRESS, EXIT_DISK = 65, 71, 74
MEANINGS = {
    **HOPELESS,
    EXIT_REFUSED: "its database is refused",
    EXIT_ADDRESS: "its address cannot be used",
    EXIT_DISK: "its database cannot be opened",
}

SUPERVISOR = "IXN_SUPERVISOR"
"""Environment variable that tells a process the pid of the one that supervises it."""


@dataclass(slots=True)
class _Child:
    """What is known of one child; times in seconds of the supervisor's clock."""

    due_at: float = 0.0
    started_at: float | None = None
    delay_s: float = 0.0
    hopeless: int | None = None


class Restarts:
    """Decides when children are started. Pure: ``now`` is any clock that never goes back, in seconds."""

    def __init__(self, names: Iterable[str]) -> None:
        self._children = {name: _Child() for name in names}

    def due(self, now: float) -> list[str]:
        """The children to start now."""
        return [name for name, child in self._waiting() if child.due_at <= now]

    @property
    def wake_at(self) -> float:
        """When the next child is due; infinite when none is."""
        return min((child.due_at for _, child in self._waiting()), default=inf)

    @property
    def exit_code(self) -> int | None:
        """The exit code of the last child when all were given up, else None."""
        codes = [child.hopeless for child in self._children.values()]
        return None if None in codes else codes[-1]

    def started(self, now: float, name: str) -> None:
        """``name`` runs."""
        self._children[name].started_at = now

    def ended(self, now: float, name: str, code: int) -> float | None:
        """``name`` has ended (or could not be started). Returns in how many seconds it is due again; None: never."""
        child = self._children[name]
        lived_s = 0.0 if child.started_at is None else now - child.started_at
        child.started_at = None
        if code in HOPELESS:
            child.hopeless = code
            return None
        child.delay_s = FIRST_DELAY_S if lived_s >= PROVEN_S else _next_delay(child.delay_s)
        child.due_at = now + child.delay_s
        return child.delay_s

    def reload(self, now: float) -> None:
        """The configuration may be another: what was given up is due again."""
        for child in self._children.values():
            if child.hopeless is not None:
                child.hopeless, child.due_at = None, now

    def _waiting(self) -> list[tuple[str, _Child]]:
        return [
            (n, child) for n, child in self._children.items() if child.started_at is None and child.hopeless is None
        ]


def _next_delay(delay_s: float) -> float:
    return min(2 * delay_s, LONGEST_DELAY_S) or FIRST_DELAY_S


def supervise(name: str, children: Mapping[str, list[str]]) -> NoReturn:
    """Runs ``children`` (name -> argv) until SIGTERM or SIGINT. Only in the main thread.

    SIGTERM goes on to the children, which have 4 s to end before they are killed; SIGHUP goes on to them too.

    :param name: what they are together, for the lines on stderr
    :raises SystemExit: 0 after a signal; the children's exit code when each of them was given up
    """
    raise SystemExit(Supervisor(name, children).run())


def parent_pid() -> int | None:
    """The pid of the supervisor that started this process; None: there is none, nothing has to be watched."""
    pid = os.environ.get(SUPERVISOR, "")
    return int(pid) if pid.isdecimal() else None


def describe(code: int) -> str:
    """How a process ended, in words; ``code`` as in ``subprocess``: negative is a signal."""
    if code < 0:
        known = -code in set(signal.Signals)
        return f"ended by {signal.Signals(-code).name if known else f'signal {-code}'}"
    return f"exited with {code}" + (f" ({MEANINGS[code]})" if code in MEANINGS else "")


class Supervisor:
    """The shell: child processes, signals, lines on stderr."""

    def __init__(self, name: str, children: Mapping[str, list[str]]) -> None:
        self._name = name
        self._argv = dict(children)
        self._restarts = Restarts(children)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = {**os.environ, SUPERVISOR: str(os.getpid())}
        self._parent_pid = parent_pid()

    def run(self) -> int:
        """Supervises until told to end; returns the exit code."""
        with Signals([signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD]) as signals:
            while self._restarts.exit_code is None:
                self._start_due()
                told = self._wait(signals, self._restarts.wake_at)
                self._reap()
                if signal.SIGTERM in told or signal.SIGINT in told or self._is_orphan():
                    return self._stop(signals)
                if signal.SIGHUP in told:
                    self._reload()
        return self._restarts.exit_code

    def _say(self, text: str) -> None:
        try:
            sys.stderr.write(f"{self._name}: {text}\n")  # in one piece: others write to the same place
            sys.stderr.flush()
        except OSError:
            return  # nobody reads any more; that is no reason to leave the members alone

    def _start_due(self) -> None:
        for name in self._restarts.due(time.monotonic()):
            self._start(name)

    def _start(self, name: str) -> None:
        """Starts one child, in a process group of its own: a signal to the group must not reach it twice."""
        try:
            child = subprocess.Popen(
                self._argv[name], stdin=subprocess.DEVNULL, env=self._environment, start_new_session=True
            )
        except OSError as error:
            self._ended(name, f"could not be started ({error})", os.EX_OSERR)
            return
        self._running[name] = child
        self._restarts.started(time.monotonic(), name)
        self._say(f"{name} started, pid {child.pid}")

    def _wait(self, signals: Signals, until: float) -> list[int]:
        """Waits for a signal or until a time, a bounded while; returns the signals."""
        wait_s = min(max(until - time.monotonic(), 0.0), LONGEST_WAIT_S)
        select.select([signals], [], [], wait_s)
        return signals.taken()

    def _reap(self) -> None:
        for name, pid, code in self._take_ended():
            self._ended(name, f"(pid {pid}) {describe(code)}", code)

    def _take_ended(self) -> list[tuple[str, int, int]]:
        """Name, pid and exit code of the children that have ended since the last call."""
        ended = [(name, c.pid, c.returncode) for name, c in self._running.items() if c.poll() is not None]
        for name, _, _ in ended:
            del self._running[name]
        return ended

    def _ended(self, name: str, how: str, code: int) -> None:
        delay_s = self._restarts.ended(time.monotonic(), name, code)
        what_next = "not started again" if delay_s is None else f"starts again in {delay_s:g} s"
        self._say(f"{name} {how}, {what_next}")

    def _is_orphan(self) -> bool:
        return self._parent_pid is not None and os.getppid() != self._parent_pid

    def _reload(self) -> None:
        self._say("SIGHUP, the members reload")
        self._signal(signal.SIGHUP)
        self._restarts.reload(time.monotonic())

    def _signal(self, number: signal.Signals) -> None:
        for child in self._running.values():
            child.send_signal(number)

    def _stop(self, signals: Signals) -> int:
        """The orderly end of all children; what has not ended in time is killed. Returns the exit code."""
        self._say(f"ends; {', '.join(self._running) or 'nothing'} to drain")
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + DRAIN_LIMIT_S
        while self._running and time.monotonic() < deadline:
            told = self._wait(signals, deadline)
            if signal.SIGTERM in told or signal.SIGINT in told:
                self._signal(signal.SIGTERM)  # the second one ends a member at once
            for name, pid, code in self._take_ended():
                self._say(f"{name} (pid {pid}) {describe(code)}")
        self._kill()
        return 0

    def _kill(self) -> None:
        """SIGKILL to what is left, and a short wait for it: a process that hangs in the disk may not end even so."""
        for name, child in self._running.items():
            self._say(f"{name} (pid {child.pid}) has not ended in {DRAIN_LIMIT_S:g} s and is killed")
            child.kill()
        deadline = time.monotonic() + KILL_LIMIT_S
        for child in self._running.values():
            try:
                child.wait(max(deadline - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                self._say(f"pid {child.pid} is still there")
