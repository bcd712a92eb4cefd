"""Lanes: what one node has first of a view, and the pulls under way there."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, NamedTuple

from msgspec import Struct

Key = tuple[Any, ...]

WIDEST = 64
"""Most keys that a node is asked to tell of one view, and most pulls that are sent to it on a guess."""


class Line(Struct, gc=False):
    """What a node has first of a view.

    :param heads: as the node told them; :param keys: the same as sort keys
    :param more: there are more behind them
    """

    heads: list[list[Any]]
    keys: list[Key]
    more: bool


class Flight(NamedTuple):
    """A pull under way at a node.

    :param asks: how many it asks for, at most; :param wants: how many its client still wants
    :param bound: what it takes comes before this; None: whatever comes
    """

    asks: int
    wants: int
    bound: Key | None


class Lane:
    """One node's line, and the pulls under way there: each takes the next ones of the line, in the order of sending.

    :ivar line: None: not known
    :ivar at: where in the line the first one stands that nobody takes
    :ivar guesses: pulls that were sent for what is behind the line
    :ivar short: whether one of the pulls will come back for more: its bound keeps it from having all that it wants
    :ivar width: guesses that may be under way
    """

    __slots__ = ("_flights", "_guessed", "_known", "at", "guesses", "line", "short", "width")

    def __init__(self) -> None:
        self.line: Line | None = None
        self.width = 1
        self._flights: dict[int, Flight] = {}
        self._guessed: set[int] = set()
        self._known = True
        self._count()

    def __len__(self) -> int:
        """How many pulls are under way."""
        return len(self._flights)

    def learn(self, line: Line | None) -> None:
        """The line now."""
        self.line = line
        self._known = False

    def took(self, ids: set[str]) -> None:
        """The node has granted these; its line is without them, if it has not said so already."""
        line = self.line
        while line is not None and line.heads and line.heads[0][-1] in ids:
            del line.heads[0], line.keys[0]
            self._known = False

    def fly(self, turn: int, flight: Flight) -> None:
        """A pull is sent."""
        self.count()
        before = self.guesses
        self._flights[turn] = flight
        self._follow(flight)
        if self.guesses > before:
            self._guessed.add(turn)

    def landed(self, turn: int, full: bool) -> None:
        """A pull has come back. As long as guesses get what they want, more of them may be made."""
        if turn in self._guessed:
            self._guessed.discard(turn)
            self.width = min(self.width * 2, WIDEST) if full else max(self.width // 2, 1)
        if self._flights.pop(turn, None) is not None:
            self._known = False

    def leave(self) -> None:
        """The node is away: nothing is known of it, and nothing under way there."""
        self.line = None
        self.width = 1
        self._flights.clear()
        self._guessed.clear()
        self._known = False

    def count(self) -> None:
        """Who takes what is counted anew, if anything has changed."""
        if not self._known:
            self._known = True
            self._count()

    def _count(self) -> None:
        self.at = self.guesses = 0
        self.short = False
        for flight in self._flights.values():
            self._follow(flight)

    def _follow(self, flight: Flight) -> None:
        """What a pull takes, behind those that were sent before."""
        if self.line is None:
            return
        keys, end = self.line.keys, self.at + flight.asks
        stop = len(keys) if flight.bound is None else bisect_left(keys, flight.bound, self.at)
        if stop < end and stop == len(keys) and self.line.more:
            self.guesses += 1
        elif min(stop, end) - self.at < flight.wants:
            self.short = True
        self.at = min(stop, end)


class Bound(NamedTuple):
    """What the interactions of one node have to come before: the first that any other is known to have.

    :param head: None: no other has any
    :param same: it is the very same key as the node's own, so that no more than the one interaction can be asked for
    """

    key: Key | None
    head: list[Any] | None
    same: bool


NO_BOUND = Bound(None, None, same=False)
