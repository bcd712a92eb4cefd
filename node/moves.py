"""Moving a snapshot's interactions into a queue, a page a turn.

A move that has begun is a row: the member that takes over goes on with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Raw
from msgspec.structs import replace

from broker.errors import Code, Refusal
from broker.messages.interactions import EventTakenFromQueue
from broker.messages.objects import QUEUED, Interaction
from broker.messages.snapshots import EventInteractionMoved, RequestMoveInteractions

from . import holdings, interactions, snapshots
from .calls import Call, Cause
from .records import Move, Pin, Snapshot
from .takings import pin_of

if TYPE_CHECKING:
    from .core import NodeCore


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
        if move.page < snapshots.pages(row.count):
            key = snapshots.page_key(self.snapshot_id, move.page)
            page = node.memory.pages.rows[key]
            pins = [_moved(node, row, move, pin) for pin in page.pins]
            moved = sum(pin is not old for pin, old in zip(pins, page.pins, strict=True))
            node.memory.put(node.memory.pages, key, replace(page, pins=pins))
            move = replace(move, page=move.page + 1, moved=move.moved + moved, left=move.left + len(pins) - moved)
            node.memory.put(node.memory.moves, self.snapshot_id, move)
        return move.page >= snapshots.pages(row.count)

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
    if interaction.queue is not None:
        parts: dict[str, Any] = {"old_queue": interaction.queue, "old_state": interaction.interaction_state}
        node.event(EventTakenFromQueue, interaction, cause, **parts)
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
    row = snapshots.find(node, call, request.snapshot_id)
    keys = call.keys
    begun = node.memory.moves.get(row.snapshot_id)
    if begun is not None and not set(keys).isdisjoint(begun.asked):
        _wait(node, row, call)
        return None
    snapshots.idle(node, row)
    queue = node.configuration.queues.get(request.queue)
    if queue is None or queue.tenant not in call.session.tenants:
        raise Refusal(Code.UNKNOWN_QUEUE, f"no tenant of this client has a queue {request.queue}", field="queue")
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


def resume(node: NodeCore) -> None:
    """After a take-over: moves go on."""
    node.searches.extend(Moving(snapshot_id, []) for snapshot_id in sorted(node.memory.moves.rows))


HANDLERS = {RequestMoveInteractions: move}
