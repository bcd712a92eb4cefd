"""Queues that give nothing: paused by an operator, or disabled in the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Raw

from broker.config.objects import Queue
from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.connection import EventAck
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
    return known is not None and known.enabled and node.memory.queues.get(queue) is None


def pause(node: NodeCore, call: Call) -> EventAck:
    """RequestPauseQueue: kept in a table, so that it outlasts failover and restart."""
    name, queue = call.request.queue, _queue(node, call)
    if node.memory.queues.get(name) is None:
        node.memory.put(node.memory.queues, name, QueueRow(since_us=node.clock.next(node.now)))
        node.memory.views.touch(name)
        node.custom_event(EventQueuePaused, queue.tenant, call.cause(), Raw(encode({"queue": name})))
    return EventAck()


def resume(node: NodeCore, call: Call) -> EventAck:
    """RequestResumeQueue."""
    name, queue = call.request.queue, _queue(node, call)
    if node.memory.queues.get(name) is not None:
        node.memory.drop(node.memory.queues, name)
        node.memory.views.touch(name)
        node.custom_event(EventQueueResumed, queue.tenant, call.cause(), Raw(encode({"queue": name})))
    return EventAck()


def _queue(node: NodeCore, call: Call) -> Queue:
    queue = node.configuration.queues.get(call.request.queue)
    if queue is None or queue.tenant not in call.session.tenants:
        raise Refusal(Code.UNKNOWN_QUEUE, f"there is no queue {call.request.queue}", field="queue")
    return queue


HANDLERS = {RequestPauseQueue: pause, RequestResumeQueue: resume}
