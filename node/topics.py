"""Telling clients of reporting events: topics they subscribe to, single agents and places they report on.

What a session wants to be told of is kept in a table, as the session may outlast this member.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from broker.errors import Code, Refusal
from broker.messages.connection import EventAck
from broker.messages.kinds import ReportingEvent, Request
from broker.messages.topics import MAX_TOPICS, RequestSubscribe, RequestUnsubscribe
from broker.topics import QUEUE, Key, key_of, keys_of

from .calls import Call
from .records import TopicRow

if TYPE_CHECKING:
    from .core import NodeCore
    from .voice import Voice


def subscribe(node: NodeCore, call: Call) -> EventAck:
    """RequestSubscribe: all of the topics, or none."""
    keys = [key_of(topic, call.session.tenants) for topic in call.request.topics]
    for key in keys:
        known = node.configuration.queues.get(key.name) if key.kind == QUEUE else None
        if key.kind == QUEUE and (known is None or known.tenant != key.tenant_id):
            raise Refusal(Code.UNKNOWN_QUEUE, f"tenant {key.tenant_id} has no queue {key.name}", field="topics")
    want(node, call, keys)
    return EventAck()


def want(node: NodeCore, call: Call, keys: list[Key], *, reporting: bool = False) -> None:
    """The session is told of these from now on. :raises Refusal: ``BUSY``, they are too many"""
    table, session_id = node.memory.topics, call.session.session_id
    rows = [TopicRow(session_id=session_id, **key._asdict(), reporting=reporting) for key in keys]
    new = {row.name_of: row for row in rows if row.name_of not in table.rows}
    if table.count("session", session_id) + len(new) > MAX_TOPICS:
        raise Refusal(Code.BUSY, f"a session is told of {MAX_TOPICS} topics", retry_after=60.0)
    for name, row in new.items():
        node.memory.put(table, name, row)


def unsubscribe(node: NodeCore, call: Call) -> EventAck:
    """RequestUnsubscribe."""
    request: RequestUnsubscribe = call.request
    if request.topics is None:
        forget(node, call.session.session_id, reporting=False)
    for topic in request.topics or ():
        unwant(node, call, key_of(topic, call.session.tenants))
    return EventAck()


def unwant(node: NodeCore, call: Call, key: Key, *, reporting: bool = False) -> None:
    """The session is told of this no more."""
    row = TopicRow(session_id=call.session.session_id, **key._asdict(), reporting=reporting)
    node.memory.drop(node.memory.topics, row.name_of)


def forget(node: NodeCore, session_id: str, *, reporting: bool | None = None) -> None:
    """A session is told of nothing any more. :param reporting: only of the one kind"""
    table = node.memory.topics
    for name in table.keys("session", session_id):
        if reporting in (None, table.rows[name].reporting):
            node.memory.drop(table, name)


def tell(voice: Voice, event: ReportingEvent, payload: bytes) -> None:
    """An event was said: to everybody who wants to be told of it, once."""
    table = voice.memory.topics
    told = {table.rows[name].session_id: None for key in sorted(keys_of(event)) for name in table.keys("key", key)}
    for session_id in told:
        session = voice.sessions.by_id.get(session_id)
        if session is not None:
            voice.outgoing.append((session.source, None, payload, 0))


HANDLERS: dict[type[Request], Callable[[NodeCore, Call], EventAck]] = {
    RequestSubscribe: subscribe,
    RequestUnsubscribe: unsubscribe,
}
