"""Queues that give nothing: paused by an operator or from the start, or disabled in the configuration."""

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
    return known is not None and known.enabled and not _is_paused(node, queue, known)


def _is_paused(node: NodeCore, name: str, queue: Queue) -> bool:
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
    name, queue = call.request.queue, _queue(node, call)
    if _is_paused(node, name, queue) is not paused:
        if paused is queue.paused:
            node.memory.drop(node.memory.queues, name)
        else:
            row = QueueRow(since_us=node.clock.next(node.now), paused=paused)
            node.memory.put(node.memory.queues, name, row)
        node.memory.views.touch(name)
        event = EventQueuePaused if paused else EventQueueResumed
        node.custom_event(event, queue.tenant, call.cause(), Raw(encode({"queue": name})))
    return EventAck()


def _queue(node: NodeCore, call: Call) -> Queue:
    queue = node.configuration.queues.get(call.request.queue)
    if queue is None or queue.tenant not in call.session.tenants:
        raise Refusal(Code.UNKNOWN_QUEUE, f"there is no queue {call.request.queue}", field="queue")
    return queue


HANDLERS = {RequestPauseQueue: pause, RequestResumeQueue: resume}
