"""What a node has to do at a time that is still to come."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """``due(node, what)`` at a time, in seconds; of two for the same time the one that was noted first."""

    at: float
    order: int
    due: Callable[..., None]
    what: Any


class Agenda:
    """Entries in the order of their times. None is taken back: when it comes, what it is about says whether it holds.

    :ivar entries: a heap
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._order = count()

    @property
    def next_at(self) -> float:
        """The time of the next entry; infinity when there is none."""
        return self.entries[0].at if self.entries else float("inf")

    def add(self, at: float, due: Callable[..., None], what: Any) -> None:
        """Notes that ``due(node, what)`` is to be called when ``at`` has come."""
        heappush(self.entries, Entry(at, next(self._order), due, what))

    def pop(self, now: float) -> Entry | None:
        """Takes the next entry off that has come due."""
        return heappop(self.entries) if self.next_at <= now else None
