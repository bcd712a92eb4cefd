"""Snapshots: frozen lists of interactions, to be read, locked and moved.

A snapshot is a row and the rows of its pages; a page holds each interaction as it was (:class:`node.records.Pin`), so
that a later move sees what was taken or placed since and leaves it alone. It ends when it is released, with the session
that took it, or when it was not used for ``snapshot-timeout``; then all that it locks is unlocked.

Taking by a condition and moving go on in slices, like every search. A move that has begun is a row, too: the member
that takes over goes on with it. The id names the node; in a proxy's id of several nodes' snapshots
(``<id>*<count>.<id>*<count>``) each node finds its own part and, by the counts, the places of its interactions.
"""

from __future__ import annotations

from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET, Raw
from msgspec.structs import replace

from broker.errors import Code, Refusal
from broker.ids import code_of, make_id
from broker.messages.connection import EventAck
from broker.messages.interactions import EventTakenFromQueue
from broker.messages.objects import QUEUED, Interaction
from broker.messages.snapshots import (
    EventInteractionMoved,
    EventSnapshotInteractions,
    EventSnapshotTaken,
    RequestGetSnapshotInteractions,
    RequestMoveInteractions,
    RequestReleaseSnapshot,
    RequestTakeSnapshot,
)

from . import finding, holdings, interactions, locks
from .calls import Call, Cause
from .records import Move, Page, Pin, Snapshot
from .views import View

if TYPE_CHECKING:
    from .core import NodeCore

PAGE = 100
"""Interactions on a page, and moved in one turn: about 3 ms."""


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
    """The session's snapshot, used now. :raises Refusal: ``UNKNOWN_SNAPSHOT``; ``ACCESS_DENIED``: another session's"""
    part = own_part(node, snapshot_id)
    row = node.memory.snapshots.get(part.snapshot_id) if part is not None else None
    if row is None:
        raise Refusal(Code.UNKNOWN_SNAPSHOT, f"{node.name} has no snapshot {snapshot_id}", field="snapshot_id")
    if row.session_id != call.session.session_id:
        raise Refusal(Code.ACCESS_DENIED, "another client took this snapshot", field="snapshot_id")
    node.snapshot_uses[row.snapshot_id] = node.now
    return row


def _idle(node: NodeCore, row: Snapshot) -> None:
    """:raises Refusal: ``IN_PROGRESS``: its interactions are being moved, or it is being taken anew"""
    if row.snapshot_id in node.memory.moves.rows or any(
        isinstance(task, Taking) and task.snapshot_id == row.snapshot_id for task in node.searches
    ):
        raise Refusal(Code.IN_PROGRESS, "the snapshot is being moved or taken", field="snapshot_id")


def _page_key(snapshot_id: str, page: int) -> str:
    return f"{snapshot_id}/{page}"


def _pages(count: int) -> int:
    return -(-count // PAGE)


def _empty(node: NodeCore, row: Snapshot) -> None:
    """Unlocks what a snapshot locks and forgets its interactions."""
    locks.free_all(node, "snapshot", row.snapshot_id)
    for page in range(_pages(row.count)):
        node.memory.drop(node.memory.pages, _page_key(row.snapshot_id, page))


def drop(node: NodeCore, row: Snapshot) -> None:
    """The snapshot has ended."""
    _empty(node, row)
    node.memory.drop(node.memory.moves, row.snapshot_id)
    node.memory.drop(node.memory.snapshots, row.snapshot_id)
    node.snapshot_uses.pop(row.snapshot_id, None)


def forget(node: NodeCore, session_id: str) -> None:
    """A session has ended: its snapshots and locks end."""
    for snapshot_id in node.memory.snapshots.keys("session", session_id):
        drop(node, node.memory.snapshots.rows[snapshot_id])
    locks.free_all(node, "session", session_id)


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
    """After a take-over: deadlines are set, moves go on. Gives the sessions that snapshots and locks wait for."""
    for snapshot_id in node.memory.snapshots.rows:
        node.deadline(node.now + node.settings.snapshot_timeout, look, snapshot_id)
    node.searches.extend(Moving(snapshot_id, []) for snapshot_id in sorted(node.memory.moves.rows))
    return node.memory.snapshots.values("session") | node.memory.locks.values("session")


# -- take


class Taking(finding.Search):
    """A snapshot that is being taken.

    :param calls: that wait for it: the request and its repetitions
    :param snapshot_id: the one that is taken anew; None: it gets an id in the end
    """

    def __init__(self, node: NodeCore, call: Call, view: View | None) -> None:
        request: RequestTakeSnapshot = call.request
        self.view = view
        most = node.settings.max_interactions_per_snapshot
        super().__init__(node, call, min(request.snapshot_max_interactions or most, most))
        if view is not None and not request.order.strip():
            self.order = view.order
        self.keys = call.keys
        self.calls = [call]
        self.snapshot_id: str | None = None

    def _candidates(self, node: NodeCore) -> list[str]:
        if self.view is None:
            return super()._candidates(node)
        if self.call.request.condition or self.call.request.order.strip() or self.media_type:
            return list(self.view.of)
        return [str(key[-1]) for key in islice(self.view.keys, self.limit)]

    def again(self, node: NodeCore, old: Snapshot) -> None:
        """It takes an old snapshot's place; what that one has locked waits again by now."""
        self.snapshot_id = old.snapshot_id
        self.ids = iter(self._candidates(node))

    def _visible(self, interaction: Interaction) -> bool:
        if self.call.request.check_interactions_state and (
            interaction.interaction_state != QUEUED or interaction.is_locked
        ):
            return False
        return super()._visible(interaction)

    def finish(self, node: NodeCore) -> None:
        """Keeps and answers it, if the session that asked is still there."""
        if self.call.session.session_id not in node.sessions.by_id:
            return
        reply = self.taken(node)
        for call in self.calls:
            node.finish(call, reply)

    def taken(self, node: NodeCore) -> EventSnapshotTaken:
        """The snapshot, of what still is as it was found; it is locked where the request says so."""
        chosen = [one for _, one in nsmallest(self.limit, self._still(node), key=lambda found: found[0])]
        snapshot_id, session_id = self.snapshot_id, self.call.session.session_id
        if snapshot_id is None or snapshot_id not in node.memory.snapshots.rows:
            snapshot_id = make_id(node.code, node.clock.next(node.now))
            node.deadline(node.now + node.settings.snapshot_timeout, look, snapshot_id)
        node.snapshot_uses[snapshot_id] = node.now
        row = Snapshot(snapshot_id=snapshot_id, session_id=session_id, taken_us=node.clock.last_us, count=len(chosen))
        node.memory.put(node.memory.snapshots, snapshot_id, row)
        for page in range(_pages(len(chosen))):
            pins = [pin_of(one) for one in chosen[page * PAGE : (page + 1) * PAGE]]
            node.memory.put(node.memory.pages, _page_key(snapshot_id, page), Page(pins=pins))
        if self.call.request.lock:
            for one in chosen:
                if one.interaction_state == QUEUED and not one.is_locked:
                    locks.put(node, one, session_id, snapshot_id)
        return EventSnapshotTaken(snapshot_id=snapshot_id, number_of_interactions=len(chosen))

    def _still(self, node: NodeCore) -> list[tuple[tuple[object, ...], Interaction]]:
        here, matches = node.memory.interactions, self.condition.matches
        waits = self.view.of if self.view is not None else here
        return [
            (self.order.key(one), one)
            for _, one in self.found
            if here.get(one.interaction_id) is one
            and one.interaction_id in waits
            and self._visible(one)
            and matches(one)
        ]


def pin_of(interaction: Interaction) -> Pin:
    """The interaction as it is now."""
    return Pin(
        interaction.interaction_id,
        interaction.place_in_queue_seq,
        interaction.interaction_state,
        interaction.workbin,
    )


def take(node: NodeCore, call: Call) -> EventSnapshotTaken | None:
    """RequestTakeSnapshot: at once where few have to be looked at, else over several turns."""
    running = _running(node, call)
    if running is not None:
        running.calls.append(call)
        return None
    view = _view(node, call)
    old = _reused(node, call)
    if old is None and len(node.memory.snapshots) >= node.settings.max_snapshots:
        raise Refusal(Code.BUSY, f"{node.name} has max-snapshots", retry_after=5.0)
    if len(node.searches) >= node.settings.max_pending:
        raise Refusal(Code.BUSY, "too many searches are running", retry_after=1.0)
    taking = Taking(node, call, view)
    if old is not None:
        _empty(node, old)
        node.memory.put(node.memory.snapshots, old.snapshot_id, replace(old, count=0))
        taking.again(node, old)
    if taking.slice(node):
        return taking.taken(node)
    node.searches.append(taking)
    return None


def _running(node: NodeCore, call: Call) -> Taking | None:
    """The same request, where it was asked before and is not done yet."""
    keys = set(call.keys)
    for task in node.searches:
        if isinstance(task, Taking) and not keys.isdisjoint(task.keys):
            return task
    return None


def _view(node: NodeCore, call: Call) -> View | None:
    request: RequestTakeSnapshot = call.request
    if request.tenant_id is not None:
        call.tenant(request.tenant_id)
    if request.view_id is None:
        if request.condition is None:
            raise Refusal(Code.MISSING_ATTRIBUTE, "a view_id or a condition", field="view_id")
        return None
    view = node.memory.views.by_id.get(request.view_id)
    tenants = call.session.tenants if request.tenant_id is None else {request.tenant_id}
    if view is None or view.tenant_id not in tenants:
        raise Refusal(Code.UNKNOWN_VIEW, request.view_id, field="view_id")
    return view


def _reused(node: NodeCore, call: Call) -> Snapshot | None:
    """The snapshot to take anew. A proxy's id may have no part of this node: then it is taken for the first time."""
    snapshot_id: str | None = call.request.snapshot_id
    if snapshot_id is None or ("*" in snapshot_id and own_part(node, snapshot_id) is None):
        return None
    row = find(node, call, snapshot_id)
    _idle(node, row)
    return row


# -- read and release


def get(node: NodeCore, call: Call) -> EventSnapshotInteractions:
    """RequestGetSnapshotInteractions."""
    request: RequestGetSnapshotInteractions = call.request
    row = find(node, call, request.snapshot_id)
    part = own_part(node, request.snapshot_id)
    before = part.start if part is not None else 0
    first = max(request.start_from - before, 0)
    end = min(request.start_from + request.number_of_interactions - before, row.count)
    there = (node.memory.interactions.get(ident) for ident in _ids(node, row, first, end))
    return EventSnapshotInteractions(
        snapshot_id=request.snapshot_id,
        start_from=request.start_from,
        interactions=[one for one in there if one is not None and one.tenant_id in call.session.tenants],
    )


def _ids(node: NodeCore, row: Snapshot, first: int, end: int) -> list[str]:
    """Ids at the places from ``first`` to before ``end``."""
    ids: list[str] = []
    for page in range(first // PAGE, _pages(max(end, 0))):
        ids += [pin.interaction_id for pin in node.memory.pages.rows[_page_key(row.snapshot_id, page)].pins]
    skipped = first % PAGE
    return ids[skipped : skipped + max(end - first, 0)]


def release(node: NodeCore, call: Call) -> EventAck:
    """RequestReleaseSnapshot."""
    row = find(node, call, call.request.snapshot_id)
    _idle(node, row)
    drop(node, row)
    return EventAck()


# -- move


class Moving:
    """A move on its way; how far it is stands in its row.

    :param calls: that wait for it; after a take-over there is none until it is asked again
    """

    def __init__(self, snapshot_id: str, calls: list[Call]) -> None:
        self.snapshot_id = snapshot_id
        self.calls = calls

    def slice(self, node: NodeCore) -> bool:
        """Moves a page. True: there is no other."""
        move = node.memory.moves.get(self.snapshot_id)
        if move is None:
            return True
        row = node.memory.snapshots.rows[self.snapshot_id]
        node.snapshot_uses[self.snapshot_id] = node.now
        if move.page < _pages(row.count):
            key = _page_key(self.snapshot_id, move.page)
            pins = [_moved(node, row, move, pin) for pin in node.memory.pages.rows[key].pins]
            moved = sum(pin is not old for pin, old in zip(pins, node.memory.pages.rows[key].pins, strict=True))
            node.memory.put(node.memory.pages, key, Page(pins=pins))
            move = replace(move, page=move.page + 1, moved=move.moved + moved, left=move.left + len(pins) - moved)
            node.memory.put(node.memory.moves, self.snapshot_id, move)
        return move.page >= _pages(row.count)

    def finish(self, node: NodeCore) -> None:
        """Answers those that wait, and keeps the reply for who asks again."""
        move = node.memory.moves.get(self.snapshot_id)
        if move is None:
            for call in self.calls:
                node.refuse(call, Refusal(Code.UNKNOWN_SNAPSHOT, "it ended while it was moved", field="snapshot_id"))
            return
        reply = self.reply(node, move)
        node.keep_reply(move.asked, reply)
        for call in self.calls:
            node.finish(call, reply, changed=False)

    def reply(self, node: NodeCore, move: Move) -> EventInteractionMoved:
        """What was moved; the move has ended."""
        node.memory.drop(node.memory.moves, self.snapshot_id)
        return EventInteractionMoved(
            snapshot_id=self.snapshot_id,
            queue=move.queue,
            number_of_interactions=move.moved,
            not_moved=move.left,
        )


def _moved(node: NodeCore, row: Snapshot, move: Move, pin: Pin) -> Pin:
    """Moves one interaction if it is as the snapshot has it; gives it as it is then, else the same pin."""
    interaction = node.memory.interactions.get(pin.interaction_id)
    if interaction is None or not _as_it_was(node, row, pin, interaction):
        return pin
    if interaction.tenant_id != node.configuration.queues[move.queue].tenant:
        return pin
    cause = Cause(move.actor, RequestMoveInteractions.__name__, move.reason)
    if interaction.workbin is None:
        node.event(
            EventTakenFromQueue,
            interaction,
            cause,
            old_queue=interaction.queue,
            old_state=interaction.interaction_state,
        )
    holdings.place(node, interaction, move.queue, cause)
    return pin_of(interaction)


def _as_it_was(node: NodeCore, row: Snapshot, pin: Pin, interaction: Interaction) -> bool:
    """Whether it waits where it waited, and nobody else has it locked."""
    lock = node.memory.locks.get(pin.interaction_id)
    return (
        interaction.interaction_state == pin.state == QUEUED
        and interaction.place_in_queue_seq == pin.place_seq
        and interaction.workbin == pin.workbin
        and (not interaction.is_locked or (lock is not None and lock.session_id == row.session_id))
    )


def move(node: NodeCore, call: Call) -> EventInteractionMoved | None:
    """RequestMoveInteractions: a page a turn."""
    request: RequestMoveInteractions = call.request
    row = find(node, call, request.snapshot_id)
    keys = call.keys
    begun = node.memory.moves.get(row.snapshot_id)
    if begun is not None and not set(keys).isdisjoint(begun.asked):
        _wait(node, row, call)
        return None
    _idle(node, row)
    queue = node.configuration.queues.get(request.queue)
    if queue is None or queue.tenant not in call.session.tenants:
        raise Refusal(Code.UNKNOWN_QUEUE, request.queue, field="queue")
    interactions.known_queue(node, queue.tenant, request.queue)
    if len(node.searches) >= node.settings.max_pending:
        raise Refusal(Code.BUSY, "too many searches are running", retry_after=1.0)
    reason = UNSET if request.reason is UNSET else Raw(bytes(request.reason))
    begun = Move(snapshot_id=row.snapshot_id, queue=request.queue, asked=keys, actor=call.actor(), reason=reason)
    node.memory.put(node.memory.moves, row.snapshot_id, begun)
    moving = Moving(row.snapshot_id, [call])
    if moving.slice(node):
        return moving.reply(node, node.memory.moves.rows[row.snapshot_id])
    node.searches.append(moving)
    return None


def _wait(node: NodeCore, row: Snapshot, call: Call) -> None:
    """A move that was asked again: its reply goes to this call, too."""
    for task in node.searches:
        if isinstance(task, Moving) and task.snapshot_id == row.snapshot_id:
            task.calls.append(call)


HANDLERS = {
    RequestTakeSnapshot: take,
    RequestGetSnapshotInteractions: get,
    RequestReleaseSnapshot: release,
    RequestMoveInteractions: move,
}
