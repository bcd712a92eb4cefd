"""Positions in the one stream of all nodes: for every node, the time up to which its events are behind the reader.

A cursor is a position's text (:func:`broker.wire.make_cursor`). Its first part, the base, holds for every node; what
follows a ``;`` says otherwise for one node: behind the base while the stream goes on without it, beyond the base
where a state was taken that is ahead of the stream.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from broker.wire import make_cursor, parse_cursor

LAST_US = 2**53
"""A time in µs that a JSON number still holds exactly; cursors beyond it are no cursors."""


class Position(NamedTuple):
    """A position. :param us: time in µs :param node: name :param apart: nodes for which another time holds (µs)"""

    us: int
    node: str
    apart: dict[str, int]

    def base(self, node: str) -> int:
        """The time up to which the base alone has the events of ``node``: of the same µs, those of earlier names."""
        return self.us if node <= self.node else max(self.us - 1, 0)

    def after(self, node: str) -> int:
        """The time in µs up to which the events of ``node`` are behind this position; what is above is to come."""
        return self.apart.get(node, self.base(node))

    def is_late(self, us: int, node: str) -> bool:
        """Whether an event stands before the base, so that it comes late (if it still comes at all)."""
        return us <= self.base(node)

    def moved(self, times: dict[str, int], us: int, node: str) -> Position:
        """The position whose base is ``(us, node)`` and that has the events of each node up to ``times[node]``."""
        base = Position(us, node, {})
        return Position(us, node, {name: at for name, at in times.items() if at != base.base(name)})

    def cursor(self) -> str:
        """The position's text."""
        return make_cursor(self.us, self.node, self.apart)


OLDEST = Position(0, "", {})
"""Before every event."""


def read_cursor(cursor: str) -> Position:
    """A cursor's position. :raises ValueError: it is no cursor"""
    us, node, apart = parse_cursor(cursor)
    if max([us, *apart.values()]) > LAST_US:
        raise ValueError(f"a cursor's times are microseconds below {LAST_US}")
    return Position(us, node, apart)


def times_of(position: Position, nodes: Iterable[str]) -> dict[str, int]:
    """For each of the nodes, and each that the position names, the time up to which its events are behind it."""
    return {name: position.after(name) for name in {*nodes, *position.apart}}
