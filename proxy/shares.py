"""Shares: of what nodes say that a pull would take there, which of it comes first over all of them, and who has that.

Lines and shares are compared by marks (:mod:`broker.conditions.marks`), so nothing is known here of the order itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import msgspec

from broker.wire import Rows

_read_id = msgspec.json.Decoder(str).decode


class Place(NamedTuple):
    """Where an interaction stands. Places compare as the order has it."""

    mark: bytes
    interaction_id: str
    node: str


class Share(NamedTuple):
    """What one node is to give. :param marks: of its interactions by their ids, in order"""

    node: str
    marks: dict[str, bytes]


def line_of(node: str, rows: Rows) -> list[Place]:
    """What a node has first. :raises ValueError: the rows are not those of ids"""
    return [Place(mark, _read_id(one), node) for mark, one in zip(rows.marks, rows.interactions, strict=True)]


def first_of(lines: Mapping[str, list[Place]], count: int) -> list[Place]:
    """The first ones of all lines, in order."""
    return sorted(place for line in lines.values() for place in line)[:count]


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
