"""Shares: of what nodes say that a pull would take there, which of it comes first over all of them, and who has that.

What another pull of this proxy has chosen already is passed over. Where a node's line is cut off nobody knows what
comes behind, so nothing is chosen that comes after its end. Lines and shares are compared by marks
(:mod:`broker.conditions.marks`), so nothing is known here of the order itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import msgspec
from msgspec import Struct

from broker.wire import Rows

_read_id = msgspec.json.Decoder(str).decode


class Place(NamedTuple):
    """Where an interaction stands. Places compare as the order has it."""

    mark: bytes
    interaction_id: str
    node: str


class Line(NamedTuple):
    """What a node has first, in order. :param more: there is more behind it"""

    places: list[Place]
    more: bool


class Rush(Struct, gc=False):
    """The pulls from one workbin that are under way in this proxy.

    :param pulls: how many there are; ``wanted``: how many interactions they want together
    :param taken: ids that are in shares on their way
    """

    pulls: int = 0
    wanted: int = 0
    taken: set[str] = set()


class Share(NamedTuple):
    """What one node is to give. :param marks: of its interactions by their ids, in order"""

    node: str
    marks: dict[str, bytes]


def line_of(node: str, rows: Rows) -> Line:
    """What a node says. :raises ValueError: the rows are not those of ids"""
    places = [Place(mark, _read_id(one), node) for mark, one in zip(rows.marks, rows.interactions, strict=True)]
    return Line(places, rows.more and bool(places))


def first_of(lines: Collection[Line], count: int, taken: Collection[str] = ()) -> list[Place]:
    """The first ones of all lines, in order. :param taken: ids that are passed over"""
    end = min((line.places[-1] for line in lines if line.more), default=None)
    known = sorted(place for line in lines for place in line.places)
    return [one for one in known if one.interaction_id not in taken and (end is None or one <= end)][:count]


def shares_of(places: Iterable[Place]) -> list[Share]:
    """Each node's share, so that all nodes can be asked at once."""
    shares: dict[str, Share] = {}
    for mark, ident, node in places:
        shares.setdefault(node, Share(node, {})).marks[ident] = mark
    return list(shares.values())


def runs_of(places: Iterable[Place]) -> list[Share]:
    """The same in pieces that stand together, for nodes that are asked one after the other."""
    return [
        Share(node, {place.interaction_id: place.mark for place in run})
        for node, run in groupby(places, key=attrgetter("node"))
    ]
