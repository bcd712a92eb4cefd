"""Topics and events: which topics an event matches. Nodes ask it of their own events, proxies of the one stream's."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import msgspec

from broker.errors import Code, Refusal
from broker.messages.topics import Topic

TENANT, AGENT, PLACE, QUEUE = "tenant", "agent", "place", "queue"


class Key(NamedTuple):
    """A topic as it is looked up."""

    tenant_id: int
    kind: str
    name: str


def key_of(topic: Topic, tenants: frozenset[int]) -> Key:
    """A topic's key. :param tenants: the session's. :raises Refusal: a foreign tenant, several things in one topic"""
    if topic.tenant_id not in tenants:
        raise Refusal(Code.UNKNOWN_TENANT, f"no tenant {topic.tenant_id}", field="topics")
    named = [(AGENT, topic.agent_id), (PLACE, topic.place_id), (QUEUE, topic.queue)]
    keys = [Key(topic.tenant_id, kind, name) for kind, name in named if name is not None]
    if len(keys) > 1:
        raise Refusal(Code.WRONG_VALUE, "a topic has one of agent_id, place_id and queue, or none", field="topics")
    return keys[0] if keys else Key(topic.tenant_id, TENANT, "")


def key_of_one(tenant_id: int, agent_id: str | None, place_id: str | None, tenants: frozenset[int]) -> Key:
    """The key of one agent or place. :raises Refusal: a foreign tenant; neither, or both"""
    if tenant_id not in tenants:
        raise Refusal(Code.UNKNOWN_TENANT, f"no tenant {tenant_id}", field="tenant_id")
    if agent_id is None and place_id is None:
        raise Refusal(Code.MISSING_ATTRIBUTE, "agent_id or place_id", field="agent_id")
    if agent_id is not None and place_id is not None:
        raise Refusal(Code.WRONG_VALUE, "agent_id or place_id, not both", field="place_id")
    return Key(tenant_id, AGENT, agent_id) if agent_id is not None else Key(tenant_id, PLACE, place_id or "")


class _Who(Protocol):
    @property
    def agent_id(self) -> str | None: ...
    @property
    def place_id(self) -> str | None: ...


class _What(Protocol):
    @property
    def queue(self) -> str | None: ...


class About(Protocol):
    """What of an event topics look at; :class:`broker.messages.kinds.ReportingEvent` has it."""

    @property
    def tenant_id(self) -> int: ...
    @property
    def interaction(self) -> _What | None: ...
    @property
    def old_queue(self) -> str | None: ...
    @property
    def agent(self) -> _Who | None: ...
    @property
    def party(self) -> _Who | None: ...
    @property
    def actor(self) -> _Who | None: ...


def keys_of(event: About) -> set[Key]:
    """The keys of all topics that an event matches."""
    tenant = event.tenant_id
    keys = {Key(tenant, TENANT, "")}
    for who in (event.agent, event.party, event.actor):
        if who is not None and who.agent_id is not None:
            keys.add(Key(tenant, AGENT, who.agent_id))
        if who is not None and who.place_id is not None:
            keys.add(Key(tenant, PLACE, who.place_id))
    if event.interaction is not None and event.interaction.queue is not None:
        keys.add(Key(tenant, QUEUE, event.interaction.queue))
    if event.old_queue is not None:
        keys.add(Key(tenant, QUEUE, event.old_queue))
    return keys


class _Agent(msgspec.Struct):
    agent_id: str | None = None
    place_id: str | None = None


class _Interaction(msgspec.Struct):
    queue: str | None = None


class _Event(msgspec.Struct):
    tenant_id: int
    interaction: _Interaction | None = None
    old_queue: str | None = None
    agent: _Agent | None = None
    party: _Agent | None = None
    actor: _Agent | None = None


_read = msgspec.json.Decoder(_Event).decode


def keys_of_payload(payload: bytes) -> set[Key]:
    """The same of an event as it is published; none of what cannot be read."""
    try:
        return keys_of(_read(payload))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return set()
