"""Snapshots: frozen lists of interactions, to be read, locked and moved.

A snapshot is a row and the rows of its pages; a page holds each interaction as it was (:class:`node.records.Pin`), so
that a later move sees what was taken or placed since and leaves it alone. Its life is the row's stage:

    taking    :mod:`node.takings`: what is found is pinned, and locked if so asked; after a take-over it is undone
    ready     it can be read, moved (:mod:`node.moves`), taken anew and released
    ending    released, not used for ``snapshot-timeout``, or its session is gone: what it locks is unlocked, then it is
              gone

Ten thousand locked interactions are much for one turn, so all of this goes on a page a turn, like every search; a
request that has to wait for it is answered in the end. What has begun is in rows: the member that takes over goes on.

The id names the node; in a proxy's id of several nodes' snapshots (``<id>*<count>.<id>*<count>``) each node finds its
own part. The places of its interactions in the whole follow from the order over all nodes: the parts keep the sort keys
(marks) of what is in them, the proxy that takes the snapshot merges them, and tells each part its places. Where it has
not, because one node has all, they follow from the counts.
"""

from __future__ import annotations

from base64 import b64encode
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from broker.errors import Code, Refusal
from broker.ids import code_of
from broker.messages import encode
from broker.messages.connection import EventAck
from broker.messages.snapshots import (
    EventSnapshotInteractions,
    EventSnapshotOrder,
    RequestArrangeSnapshot,
    RequestGetSnapshotInteractions,
    RequestReleaseSnapshot,
    RequestSnapshotOrder,
)
from broker.wire import Rows

from . import locks
from .calls import Call
from .records import Page, Snapshot, Stage

if TYPE_CHECKING:
    from .core import NodeCore

PAGE = 100
"""Interactions on a page, and locked, unlocked or moved in one turn: about 3 ms."""


# -- which snapshot


class Part(NamedTuple):
    """A node's part of a snapshot id. :param start: how many places are before it"""

    snapshot_id: str
    start: int = 0


def own_part(node: NodeCore, snapshot_id: str) -> Part | None:
    """The part of an id that names this node's snapshot; None: there is none."""
    start = 0
    for part in snapshot_id.split("."):
        ident, _, count = part.partition("*")
        if code_of(ident) == node.code:
            return Part(ident, start)
        start += int(count) if count.isdecimal() and len(count) < 8 else 0
    return None


def find(node: NodeCore, call: Call, snapshot_id: str) -> Snapshot:
    """The session's snapshot, used now; proxies put those of their clients in order.

    :raises Refusal: ``UNKNOWN_SNAPSHOT``; ``ACCESS_DENIED``: another session's; ``IN_PROGRESS``: it is being taken
    """
    part = own_part(node, snapshot_id)
    row = node.memory.snapshots.get(part.snapshot_id) if part is not None else None
    if row is None or row.stage is Stage.ENDING:
        raise Refusal(Code.UNKNOWN_SNAPSHOT, f"{node.name} has no snapshot {snapshot_id}", field="snapshot_id")
    if row.session_id != call.session.session_id and not call.session.link:
        raise Refusal(Code.ACCESS_DENIED, "another client took this snapshot", field="snapshot_id")
    if row.stage is Stage.TAKING:
        raise Refusal(Code.IN_PROGRESS, "the snapshot is being taken", field="snapshot_id")
    node.snapshot_uses[row.snapshot_id] = node.now
    return row


def idle(node: NodeCore, row: Snapshot) -> None:
    """:raises Refusal: ``IN_PROGRESS``: its interactions are being moved"""
    if row.snapshot_id in node.memory.moves.rows:
        raise Refusal(Code.IN_PROGRESS, "the snapshot is being moved", field="snapshot_id")


def page_key(snapshot_id: str, page: int) -> str:
    """The key of a page's row."""
    return f"{snapshot_id}/{page}"


def pages(count: int) -> int:
    """How many pages so many interactions have."""
    return -(-count // PAGE)


# -- the end


def empty(node: NodeCore, snapshot_id: str) -> Iterator[None]:
    """Unlocks what a snapshot locks, a page a turn, then forgets its interactions."""
    for _ in locks.free_all(node, "snapshot", snapshot_id, PAGE):
        yield
    page = 0
    while page_key(snapshot_id, page) in node.memory.pages.rows:
        node.memory.drop(node.memory.pages, page_key(snapshot_id, page))
        page += 1


class Ending:
    """A snapshot on its way out.

    :param calls: releases that wait for it; ``asked``: where the reply is kept for those that ask again
    """

    def __init__(self, node: NodeCore, snapshot_id: str, asked: list[str], calls: list[Call]) -> None:
        self.snapshot_id = snapshot_id
        self.asked = asked
        self.calls = calls
        self._steps = empty(node, snapshot_id)

    def slice(self, node: NodeCore) -> bool:
        """Unlocks some. True: all is unlocked, and the snapshot gone."""
        if next(self._steps, self) is not self:
            return False
        node.memory.drop(node.memory.snapshots, self.snapshot_id)
        node.snapshot_uses.pop(self.snapshot_id, None)
        return True

    def finish(self, node: NodeCore) -> None:
        """Acks those that wait."""
        if self.asked:
            node.keep_reply(self.asked, EventAck())
        for call in self.calls:
            node.finish(call, EventAck(), changed=False)


def release(node: NodeCore, call: Call) -> EventAck | None:
    """RequestReleaseSnapshot: acked when all that it locked is unlocked."""
    for task in node.searches:
        if isinstance(task, Ending) and not set(call.keys).isdisjoint(task.asked):
            task.calls.append(call)
            return None
    row = find(node, call, call.request.snapshot_id)
    idle(node, row)
    ending = _begin_end(node, row, call.keys, [call])
    if ending.slice(node):
        return EventAck()
    node.searches.append(ending)
    return None


def _begin_end(node: NodeCore, row: Snapshot, asked: list[str], calls: list[Call]) -> Ending:
    node.memory.put(
        node.memory.snapshots, row.snapshot_id, replace(row, stage=Stage.ENDING, session_id="", asked=asked)
    )
    node.memory.drop(node.memory.moves, row.snapshot_id)
    return Ending(node, row.snapshot_id, asked, calls)


def drop(node: NodeCore, row: Snapshot) -> None:
    """The snapshot has ended, without anybody asking for it."""
    if row.stage is not Stage.ENDING:
        node.searches.append(_begin_end(node, row, [], []))


def forget(node: NodeCore, session_id: str) -> None:
    """A session has ended: its snapshots and locks end."""
    for snapshot_id in node.memory.snapshots.keys("session", session_id):
        drop(node, node.memory.snapshots.rows[snapshot_id])
    if node.memory.locks.keys("session", session_id):
        node.searches.append(locks.Freeing(node, session_id, PAGE))


def look(node: NodeCore, snapshot_id: str) -> None:
    """A deadline: a snapshot may not have been used for ``snapshot-timeout``."""
    row = node.memory.snapshots.get(snapshot_id)
    if row is None:
        return
    due = node.snapshot_uses.get(snapshot_id, node.active_since) + node.settings.snapshot_timeout
    if due <= node.now:
        drop(node, row)
    else:
        node.deadline(due, look, snapshot_id)


def resume(node: NodeCore) -> set[object]:
    """After a take-over: deadlines are set; what was ending ends, and what was only half taken is undone, unless it is
    asked for again meanwhile. Gives the sessions that snapshots and locks wait for."""
    for snapshot_id, row in sorted(node.memory.snapshots.rows.items()):
        if row.stage is Stage.READY:
            node.deadline(node.now + node.settings.snapshot_timeout, look, snapshot_id)
        else:
            asked = row.asked if row.stage is Stage.ENDING else []
            node.searches.append(Ending(node, snapshot_id, asked, []))
    return (node.memory.snapshots.values("session") | node.memory.locks.values("session")) - {""}


# -- over several nodes


def order(node: NodeCore, call: Call) -> EventSnapshotOrder | None:
    """RequestSnapshotOrder: a proxy gets the marks as rows without interactions."""
    row = find(node, call, call.request.snapshot_id)
    marks = [mark for page in _pages(node, row) for mark in page.marks]
    if call.listed:
        node.outgoing.append((call.source, call.ref, Rows(marks, [b""] * len(marks), False), 0))
        return None
    return EventSnapshotOrder(snapshot_id=row.snapshot_id, marks=[b64encode(mark).decode() for mark in marks])


def arrange(node: NodeCore, call: Call) -> EventAck:
    """RequestArrangeSnapshot: what was known of the places before is known no more."""
    request: RequestArrangeSnapshot = call.request
    row = find(node, call, request.snapshot_id)
    places = _places_of(request.runs, row.count)
    for number, page in enumerate(_pages(node, row)):
        here = places[number * PAGE : (number + 1) * PAGE]
        node.memory.put(node.memory.pages, page_key(row.snapshot_id, number), replace(page, places=here))
    return EventAck()


def _places_of(runs: list[int], count: int) -> list[int]:
    """:raises Refusal: ``WRONG_VALUE``: they are not rising, or not as many as there are interactions"""
    firsts, lengths = runs[::2], runs[1::2]
    places: list[int] = []
    if len(firsts) == len(lengths) and sum(lengths) == count:
        runs_of_places = zip(firsts, lengths, strict=True)
        places = [place for first, length in runs_of_places for place in range(first, first + length)]
    if len(places) != count or any(one >= other for one, other in pairwise(places)):
        raise Refusal(Code.WRONG_VALUE, f"not {count} places in a rising order", field="runs")
    return places


# -- reading


def get(node: NodeCore, call: Call) -> EventSnapshotInteractions | None:
    """RequestGetSnapshotInteractions; a proxy that reads several nodes gets the places with them."""
    request: RequestGetSnapshotInteractions = call.request
    row = find(node, call, request.snapshot_id)
    there = [
        (place, one)
        for place, ident in _at(node, row, request)
        if (one := node.memory.interactions.get(ident)) is not None and one.tenant_id in call.session.tenants
    ]
    if call.listed:
        rows = Rows([place.to_bytes(4) for place, _ in there], [encode(one) for _, one in there], False)
        node.outgoing.append((call.source, call.ref, rows, 0))
        return None
    return EventSnapshotInteractions(
        snapshot_id=request.snapshot_id, start_from=request.start_from, interactions=[one for _, one in there]
    )


def _at(node: NodeCore, row: Snapshot, request: RequestGetSnapshotInteractions) -> Iterator[tuple[int, str]]:
    """The asked places that are this node's, with the interactions there."""
    part = own_part(node, request.snapshot_id)
    place = part.start if part is not None else 0
    first, end = request.start_from, request.start_from + request.number_of_interactions
    for page in _pages(node, row):
        places = page.places or range(place, place + len(page.pins))
        for at in range(bisect_left(places, first), bisect_left(places, end)):
            yield places[at], page.pins[at].interaction_id
        place += len(page.pins)


def _pages(node: NodeCore, row: Snapshot) -> list[Page]:
    return [node.memory.pages.rows[page_key(row.snapshot_id, page)] for page in range(pages(row.count))]


HANDLERS = {
    RequestGetSnapshotInteractions: get,
    RequestReleaseSnapshot: release,
    RequestSnapshotOrder: order,
    RequestArrangeSnapshot: arrange,
}
