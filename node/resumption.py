"""What a member takes up again when it becomes active: everything in its memory that waits for a time or for a client.

The order is that of the noun's dependence: holdings and queues before agents, agents before those who wait for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import (
    agents,
    attendance,
    invitations,
    moves,
    overdue,
    panics,
    reconfiguration,
    repetitions,
    reservations,
    sessions,
    snapshots,
)

if TYPE_CHECKING:
    from .core import NodeCore


def resume(node: NodeCore) -> None:
    """Arms every deadline anew, from what memory holds."""
    reconfiguration.resume(node)
    for holding in node.memory.holdings.rows.values():
        overdue.watch(node, holding)
    node.memory.views.wake(node.now)
    node.memory.views.touched.clear()
    node.memory.forget_touched()
    agents.resume(node)
    panics.resume(node)
    reservations.resume(node)
    invitations.resume(node)
    node.strategies.restore(node)
    repetitions.resume(node)
    waiting = _sessions(node) | attendance.resume(node) | snapshots.resume(node)
    moves.resume(node)
    for session_id in sorted(map(str, waiting)):
        node.orphans.add(session_id)
        node.deadline(node.now + 3 * node.settings.keepalive_interval, sessions.orphaned, session_id)


def _sessions(node: NodeCore) -> set[Any]:
    """Of the clients that something is kept for; they have to come back for it."""
    memory = node.memory
    tables = (memory.agents, memory.subscriptions, memory.loads, memory.topics)
    holders = (holder for row in memory.holdings.rows.values() for holder in row.holders)
    named = {holder.session_id for holder in holders if not holder.agent}
    return named.union(*(table.values("session") for table in tables))
