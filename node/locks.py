"""Locks: a waiting interaction that no view shows and nobody can pull, until whoever locked it lets go.

A lock is a row that names its session and, if it is a snapshot's, the snapshot; ``is_locked`` and ``snapshot_id`` of
the interaction say the same for views and readers. It ends with its snapshot, with its session, or by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from broker.errors import Code, Refusal
from broker.messages.connection import EventAck
from broker.messages.objects import QUEUED, Interaction
from broker.messages.snapshots import RequestLockInteraction, RequestUnlockInteraction

from . import holdings, snapshots
from .calls import Call
from .records import Lock

if TYPE_CHECKING:
    from .core import NodeCore


def put(node: NodeCore, interaction: Interaction, session_id: str, snapshot_id: str | None) -> None:
    """Locks an interaction that waits."""
    row = Lock(interaction_id=interaction.interaction_id, session_id=session_id, snapshot_id=snapshot_id)
    node.memory.put(node.memory.locks, interaction.interaction_id, row)
    node.memory.update(interaction, is_locked=1, snapshot_id=snapshot_id)


def free(node: NodeCore, interaction_id: str) -> None:
    """Unlocks an interaction, if it is there and locked."""
    node.memory.drop(node.memory.locks, interaction_id)
    interaction = node.memory.interactions.get(interaction_id)
    if interaction is not None and interaction.is_locked:
        node.memory.update(interaction, is_locked=0, snapshot_id=None)


def free_all(node: NodeCore, index: str, owner: str, at_once: int) -> Iterator[None]:
    """Unlocks all that is locked by one, with a yield after every ``at_once`` but the last.

    :param index: what ``owner`` is: ``session`` or ``snapshot``
    """
    left = node.memory.locks.keys(index, owner)
    for at, interaction_id in enumerate(left):
        if at and at % at_once == 0:
            yield
        row = node.memory.locks.get(interaction_id)
        if row is not None and owner in (row.session_id, row.snapshot_id):
            free(node, interaction_id)


class Freeing:
    """A session has ended: what it has locked is unlocked over several turns."""

    def __init__(self, node: NodeCore, session_id: str, at_once: int) -> None:
        self._steps = free_all(node, "session", session_id, at_once)

    def slice(self, node: NodeCore) -> bool:
        """Unlocks some. True: all."""
        return next(self._steps, self) is self

    def finish(self, node: NodeCore) -> None:
        """Nobody waits for it."""


def lock(node: NodeCore, call: Call) -> EventAck:
    """RequestLockInteraction."""
    interaction = holdings.find(node, call)
    snapshot_id = _snapshot(node, call)
    if interaction.is_locked:
        raise Refusal(Code.LOCKED, f"a session or a snapshot has locked {interaction.interaction_id}")
    if interaction.interaction_state != QUEUED:
        raise Refusal(Code.WRONG_STATE, "only what is queued can be locked")
    put(node, interaction, call.session.session_id, snapshot_id)
    return EventAck(interaction_id=interaction.interaction_id)


def unlock(node: NodeCore, call: Call) -> EventAck:
    """RequestUnlockInteraction."""
    interaction = holdings.find(node, call)
    snapshot_id = _snapshot(node, call)
    if not interaction.is_locked:
        raise Refusal(Code.SAME_STATE, "it is not locked")
    row = node.memory.locks.get(interaction.interaction_id)
    if row is None or row.session_id != call.session.session_id:
        raise Refusal(Code.ACCESS_DENIED, "another client has locked it")
    if snapshot_id is not None and row.snapshot_id != snapshot_id:
        raise Refusal(Code.ACCESS_DENIED, "this snapshot does not lock it", field="snapshot_id")
    free(node, interaction.interaction_id)
    return EventAck(interaction_id=interaction.interaction_id)


def _snapshot(node: NodeCore, call: Call) -> str | None:
    """The node's own id of the snapshot that the request names, if it names one."""
    if call.request.snapshot_id is None:
        return None
    return snapshots.find(node, call, call.request.snapshot_id).snapshot_id


HANDLERS = {RequestLockInteraction: lock, RequestUnlockInteraction: unlock}
