"""A configuration file that is read while a process goes on. A shell.

To read and check a file of a thousand views takes some tenths of a second, so it is done in a thread beside the loop;
nothing but the verdict comes back from there.
"""

from __future__ import annotations

from collections import deque
from threading import Thread
from typing import Any, NamedTuple

from broker.messages.operations import NOT_YET

from .faults import Fault
from .load import Verdict, examine, judge
from .objects import Configuration

WAITING = 16
"""Readings that may wait for their turn; one is under way at a time."""
LOOK_S = 0.02
"""How often the loop should look whether one is done."""


class Read(NamedTuple):
    """A reading that is done. :param order: what it was for, as it was given"""

    order: Any
    verdict: Verdict


class _Reading:
    """One reading in its thread."""

    def __init__(self, order: Any, path: str | None, text: str | None) -> None:
        self._order = order
        self._path = path
        self._text = text
        self._verdict: Verdict | None = None
        self._thread = Thread(target=self._examine, daemon=True)
        self._thread.start()

    @property
    def read(self) -> Read | None:
        """What it has come to; None: it is under way."""
        return None if self._verdict is None else Read(self._order, self._verdict)

    def _examine(self) -> None:
        if self._text is not None:
            self._verdict = judge(self._text, "configuration")
        elif self._path is not None:
            self._verdict = examine(self._path)
        else:
            fault = Fault("", 0, "", "this process was not started from a file")
            self._verdict = Verdict(Configuration(), [fault], [])


class Readings:
    """The readings of one process. :param path: of its configuration file; None: it was not started from one"""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._waiting: deque[tuple[Any, str | None]] = deque()
        self._reading: _Reading | None = None

    @property
    def under_way(self) -> bool:
        """:meth:`take` has to be called again, after :data:`LOOK_S`."""
        return bool(self._waiting) or self._reading is not None

    def begin(self, order: Any, text: str | None = None) -> bool:
        """Reads the file, or checks a text, when it is its turn. False: too many wait already."""
        if len(self._waiting) >= WAITING:
            return False
        self._waiting.append((order, text))
        self._start()
        return True

    def take(self) -> Read | None:
        """The reading that is done, if one is."""
        read = self._reading.read if self._reading is not None else None
        if read is not None:
            self._reading = None
            self._start()
        return read

    def forget(self) -> None:
        """Nobody waits for any of them."""
        self._waiting.clear()
        self._reading = None

    def _start(self) -> None:
        if self._reading is None and self._waiting:
            order, text = self._waiting.popleft()
            self._reading = _Reading(order, self._path, text)


def faults_of(verdict: Verdict) -> str:
    """All that is wrong with it, a line each; empty: nothing is."""
    return "\n".join(map(str, verdict.faults))


def note(log: Any, said: str, by: str) -> None:
    """Says in a process's log what became of a configuration; what did not come about is said louder.

    :param said: of :meth:`broker.messages.operations.EventReconfigured.report`, or what speaks against it
    """
    level = log.info if said.startswith("changed: ") and NOT_YET not in said else log.warning
    level("configuration", by=by, result=said)
