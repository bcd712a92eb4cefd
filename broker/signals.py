"""Signals as data: they wake a poll and are read there, so nothing ever happens in the middle of a turn. A shell."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterable
from types import FrameType, TracebackType
from typing import Any

MAX_WAITING = 64


class Signals:
    """Catches the named signals while it is entered; their numbers are read with :meth:`taken`.

    Only for the main thread. :meth:`fileno` becomes readable with the first signal, so any poll can wait for it.
    """

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._numbers = frozenset(numbers)
        self._reader, self._writer = socket.socketpair()
        self._previous: dict[int, Any] = {}
        self._previous_wakeup = -1

    def __enter__(self) -> Signals:
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._previous_wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in self._numbers:
            self._previous[number] = signal.signal(number, _caught)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_wakeup)
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._reader.fileno()

    def taken(self) -> list[int]:
        """The signals that came since the last call, in order; empty when there was none."""
        try:
            numbers = self._reader.recv(MAX_WAITING)
        except BlockingIOError:
            return []
        return [number for number in numbers if number in self._numbers]


def _caught(number: int, frame: FrameType | None) -> None:
    """Python has already written the number to the wake-up socket; there is nothing more to do."""
