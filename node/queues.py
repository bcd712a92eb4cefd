"""Queues: what is in them, and those that give nothing: paused by an operator or from the start, or disabled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Raw

from broker.clock import to_seconds
from broker.config.objects import Queue
from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.connection import EventAck
from broker.messages.objects import HANDLING, QUEUED, ROUTING
from broker.messages.queues import EventQueues, NodeQueue, QueuePart, RequestGetQueues
from broker.messages.workbins import EventQueuePaused, EventQueueResumed, RequestPauseQueue, RequestResumeQueue

from .calls import Call
from .records import QueueRow

if TYPE_CHECKING:
    from .core import NodeCore


def gives(node: NodeCore, queue: str | None) -> bool:
    """Whether pulls may take from the queue's views; a workbin's view (None) is of no queue."""
    if queue is None:
        return True
    known = node.configuration.queues.get(queue)
    return known is not None and known.enabled and not is_paused(node, queue, known)


def is_paused(node: NodeCore, name: str, queue: Queue) -> bool:
    """What an operator has said last counts; before that, the configuration."""
    row = node.memory.queues.get(name)
    return queue.paused if row is None else row.paused


def pause(node: NodeCore, call: Call) -> EventAck:
    """RequestPauseQueue: kept in a table, so that it outlasts failover and restart."""
    return _set_paused(node, call, True)


def resume(node: NodeCore, call: Call) -> EventAck:
    """RequestResumeQueue."""
    return _set_paused(node, call, False)


def _set_paused(node: NodeCore, call: Call, paused: bool) -> EventAck:
    name = call.request.queue
    queue = known(node, call, name)
    if is_paused(node, name, queue) is not paused:
        if paused is queue.paused:
            node.memory.drop(node.memory.queues, name)
        else:
            row = QueueRow(since_us=node.clock.next(node.now), paused=paused)
            node.memory.put(node.memory.queues, name, row)
        node.memory.views.touch(name)
        event = EventQueuePaused if paused else EventQueueResumed
        node.custom_event(event, queue.tenant, call.cause(), Raw(encode({"queue": name})))
    return EventAck()


def strays(node: NodeCore) -> dict[str, int]:
    """Queues that interactions are in though the configuration does not have them, with how many: it was changed while
    the node was down. No view shows them, but they can be found, and moved."""
    there = {name: sum(counts) for name, counts in node.memory.queue_counts.items() if name}
    return {name: count for name, count in sorted(there.items()) if count and name not in node.configuration.queues}


def known(node: NodeCore, call: Call, name: str) -> Queue:
    """A queue that an operator names. :raises Refusal: ``UNKNOWN_QUEUE``, also for another tenant's"""
    queue = node.configuration.queues.get(name)
    if queue is None or queue.tenant not in call.session.tenants:
        raise Refusal(Code.UNKNOWN_QUEUE, f"there is no queue {name}", field="queue")
    return queue


def list_queues(node: NodeCore, call: Call) -> EventQueues:
    """RequestGetQueues."""
    return EventQueues(
        queues=[
            QueuePart(
                queue=name, tenant_id=queue.tenant, enabled=queue.enabled, nodes={node.name: _part(node, name, queue)}
            )
            for name, queue in sorted(node.configuration.queues.items())
            if queue.tenant in call.session.tenants
        ]
    )


def _part(node: NodeCore, name: str, queue: Queue) -> NodeQueue:
    counts = node.memory.queue_counts.get(name, (0, 0, 0, 0))
    paused = is_paused(node, name, queue)
    return NodeQueue(
        queued=counts[QUEUED],
        routing=counts[ROUTING],
        handling=counts[HANDLING],
        paused=paused,
        paused_since=paused_since(node, name) if paused else None,
        views={view.view_id: len(view) for view in node.memory.views.serving(name)},
    )


def paused_since(node: NodeCore, name: str) -> float | None:
    """Since when an operator has had it paused; None: it is so by the configuration."""
    row = node.memory.queues.get(name)
    return to_seconds(row.since_us) if row is not None and row.paused else None


HANDLERS = {RequestPauseQueue: pause, RequestResumeQueue: resume, RequestGetQueues: list_queues}
