"""The poll loop around a core: wait, take what has come, one turn, again. A shell.

The loop knows nothing of what a process does. It owns the waiting, the clock and the signals:

=========================  ==========================================================================================
SIGTERM, SIGINT            ``shell.drain``: the orderly end; the loop ends when ``shell.finished``
the same once more         the loop ends at once
SIGHUP                     ``shell.reload``
the supervisor is dead     as SIGTERM: a member without its supervisor would be started twice
an exception               a mistake of ours, for no input may cause one: it is logged and the process ends with 70
SystemExit                 the shell has nothing more to do: the process ends with its code
=========================  ==========================================================================================
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Protocol, TypeAlias

import structlog
import zmq

from broker.signals import Signals
from broker.sockets import Socket

EXIT_BUG = 70
STALL_S = 0.1
LONGEST_WAIT_S = 0.5
"""Bounds every wait, so that a lost parent and a wall clock that was set back are noticed in time."""
DRAIN_LIMIT_S = 3.5
"""A drain that takes longer is given up: the whole must end within 5 s, and supervisors kill after 4."""

Polled: TypeAlias = "tuple[Socket | int, Callable[[], None]]"
"""What to poll for reading (a socket, or a file descriptor), and what takes a bounded part of what is there."""

log = structlog.get_logger("loop")


class Shell(Protocol):
    """What the loop runs: sockets and disk around a core."""

    @property
    def finished(self) -> bool:
        """The orderly end has been reached."""

    def sockets(self) -> list[Polled]:
        """What to poll. Asked before every wait, so it may change at any time."""

    def turn(self, now: float) -> float:
        """Decides, commits, sends. :param now: wall clock, seconds. Returns when it wants to be called next."""

    def drain(self, now: float) -> None:
        """Begins the orderly end."""

    def reload(self, now: float) -> None:
        """Reads the configuration again."""

    def close(self) -> None:
        """Lets go of sockets and files, also after an exception: decides, commits and sends nothing any more."""


@dataclass
class Stalls:
    """How often and how long the loop did not come round in time (for status). Time includes disk and decisions."""

    count: int = 0
    longest_s: float = 0.0

    def note(self, seconds: float) -> bool:
        """Takes the length of one round; true when it was a stall."""
        if seconds <= STALL_S:
            return False
        self.count += 1
        self.longest_s = max(self.longest_s, seconds)
        return True


def run(shell: Shell, parent_pid: int | None = None, stalls: Stalls | None = None) -> None:
    """Runs ``shell`` until it has finished, and closes it. Only in the main thread.

    :param parent_pid: the supervisor's, if there is one (:func:`broker.supervisor.parent_pid`)
    :param stalls: where to count rounds longer than 100 ms
    :raises SystemExit: 70, after an exception out of the shell; or the shell's own
    """
    with Signals([signal.SIGTERM, signal.SIGINT, signal.SIGHUP]) as signals:
        try:
            _Loop(shell, signals, parent_pid, stalls or Stalls()).run()
        except Exception as error:
            log.exception("the loop failed", shell=type(shell).__name__)
            raise SystemExit(EXIT_BUG) from error
        finally:
            _close(shell)


def _close(shell: Shell) -> None:
    try:
        shell.close()
    except Exception as error:
        log.exception("closing failed", shell=type(shell).__name__)
        raise SystemExit(EXIT_BUG) from error


class _Loop:
    """One run of one shell."""

    def __init__(self, shell: Shell, signals: Signals, parent_pid: int | None, stalls: Stalls) -> None:
        self._shell = shell
        self._signals = signals
        self._parent_pid = parent_pid
        self._stalls = stalls
        self._poller = zmq.Poller()
        self._polled: list[Polled] = []
        self._drains: dict[Socket | int, Callable[[], None]] = {}
        self._drain_until: float | None = None
        self._at_once = False

    def run(self) -> None:
        wake_at = 0.0
        while not self._ended():
            ready = self._wait(wake_at)
            began = time.monotonic()
            for thing in ready:
                self._drains[thing]()
            wake_at = self._shell.turn(time.time())
            self._note(time.monotonic() - began)
            self._look_for_parent()

    def _ended(self) -> bool:
        if self._shell.finished or self._at_once:
            return True
        if self._drain_until is None or time.monotonic() < self._drain_until:
            return False
        log.warning("draining took too long and is given up", limit_s=DRAIN_LIMIT_S)
        return True

    def _wait(self, wake_at: float) -> list[Socket | int]:
        """What is ready for reading, after at most the time until ``wake_at``."""
        polled = self._shell.sockets()
        if polled != self._polled or not self._drains:
            self._register(polled)
        wait_s = min(max(wake_at - time.time(), 0.0), LONGEST_WAIT_S)
        return [thing for thing, _ in self._poller.poll(ceil(wait_s * 1000))]

    def _register(self, polled: list[Polled]) -> None:
        self._polled = list(polled)
        # The signals come last: a reload may close sockets, and none of those may be drained after it.
        self._drains = {**dict(polled), self._signals.fileno(): self._obey}
        self._poller = zmq.Poller()
        for thing in self._drains:
            self._poller.register(thing, zmq.POLLIN)

    def _note(self, seconds: float) -> None:
        if self._stalls.note(seconds):
            log.warning("the loop stalled", seconds=round(seconds, 3), times=self._stalls.count)

    def _look_for_parent(self) -> None:
        if self._parent_pid is not None and os.getppid() != self._parent_pid:
            log.warning("the supervisor is gone", pid=self._parent_pid)
            self._parent_pid = None
            self._end()

    def _obey(self) -> None:
        for number in self._signals.taken():
            if number == signal.SIGHUP:
                log.info("reload", signal="SIGHUP")
                self._shell.reload(time.time())
            else:
                log.info("told to end", signal=signal.Signals(number).name)
                self._end()

    def _end(self) -> None:
        """The orderly end; the second time the end."""
        if self._drain_until is not None:
            self._at_once = True
            return
        self._drain_until = time.monotonic() + DRAIN_LIMIT_S
        self._shell.drain(time.time())
