"""Telling the proxy's clients of reporting events: of the one stream, as it is published, so each comes once and in
the stream's order, whatever node it is of. What clients want to be told of ends with their sessions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.reporting import (
    EventPlaceAgentState,
    RequestStartPlaceAgentStateReporting,
    RequestStopPlaceAgentStateReporting,
)
from broker.messages.topics import MAX_TOPICS, RequestSubscribe, RequestUnsubscribe
from broker.topics import QUEUE, Key, key_of, key_of_one, keys_of_payload

from .calls import Call
from .desk import Desk
from .published import Published
from .sessions import Sessions

_read_state = msgspec.json.Decoder(EventPlaceAgentState).decode

Counted = TypeVar("Counted")

Wanted = tuple[Key, bool]
"""A topic, and whether it is reported on (RequestStartPlaceAgentStateReporting) rather than subscribed to."""


class Topics:
    """Who wants to be told of what."""

    def __init__(self, desk: Desk, sessions: Sessions) -> None:
        self._calls = desk.calls
        self._configuration = desk.configuration
        self._sessions = sessions
        self._of: dict[int, set[Wanted]] = {}
        self._clients: dict[Key, dict[int, int]] = {}
        """By key: the clients, each with how often it wants it."""
        self._tenants: dict[bytes, int] = {}
        """Tenants, as topics begin with them, that anybody wants anything of: how often."""

    # -- requests

    def subscribe(self, call: Call) -> None:
        """RequestSubscribe. :raises Refusal: a foreign tenant, an unknown queue, too many topics"""
        request: RequestSubscribe = call.head
        keys = [key_of(topic, call.session.tenants) for topic in request.topics]
        for key in keys:
            known = self._configuration.queues.get(key.name) if key.kind == QUEUE else None
            if key.kind == QUEUE and (known is None or known.tenant != key.tenant_id):
                raise Refusal(Code.UNKNOWN_QUEUE, f"tenant {key.tenant_id} has no queue {key.name}", field="topics")
        self._want(call, {(key, False) for key in keys})

    def unsubscribe(self, call: Call) -> None:
        """RequestUnsubscribe. :raises Refusal: a foreign tenant"""
        request: RequestUnsubscribe = call.head
        if request.topics is None:
            self.forget(call.session.client, reporting=False)
            return
        for key in [key_of(topic, call.session.tenants) for topic in request.topics]:
            self._unwant(call.session.client, (key, False))

    def stop_one(self, call: Call) -> None:
        """RequestStopPlaceAgentStateReporting. :raises Refusal: a foreign tenant, neither agent nor place"""
        request: RequestStopPlaceAgentStateReporting = call.head
        key = key_of_one(request.tenant_id, request.agent_id, request.place_id, call.session.tenants)
        self._unwant(call.session.client, (key, True))

    def answered(self, call: Call, payload: bytes) -> bytes:
        """The state for RequestStartPlaceAgentStateReporting is there: of it, what is of the one; what is published
        from now on is told. Any other request's reply is given back as it is."""
        if call.request is not RequestStartPlaceAgentStateReporting:
            return payload
        head: RequestStartPlaceAgentStateReporting = call.head
        key = key_of_one(head.tenant_id, head.agent_id, head.place_id, call.session.tenants)
        state = _read_state(payload)
        state.queues = {}
        state.agents = [
            agent
            for agent in state.agents
            if agent.tenant_id == key.tenant_id
            and (head.agent_id in (None, agent.agent_id) and head.place_id in (None, agent.place_id))
        ]
        if not call.session.ended:
            self._want(call, {(key, True)})
        return encode(state)

    # -- who wants what

    def _want(self, call: Call, wanted: set[Wanted]) -> None:
        """:raises Refusal: ``BUSY``, they are too many"""
        client = call.session.client
        own = self._of.get(client, set())
        if len(own | wanted) > MAX_TOPICS:
            raise Refusal(Code.BUSY, f"a session is told of {MAX_TOPICS} topics", retry_after=60.0)
        for one in wanted - own:
            self._of.setdefault(client, set()).add(one)
            key = one[0]
            clients = self._clients.setdefault(key, {})
            clients[client] = clients.get(client, 0) + 1
            tenant = b"%d" % key.tenant_id
            self._tenants[tenant] = self._tenants.get(tenant, 0) + 1

    def _unwant(self, client: int, wanted: Wanted) -> None:
        own = self._of.get(client, set())
        if wanted not in own:
            return
        own.discard(wanted)
        if not own:
            del self._of[client]
        key = wanted[0]
        _lower(self._clients[key], client)
        if not self._clients[key]:
            del self._clients[key]
        _lower(self._tenants, b"%d" % key.tenant_id)

    def forget(self, client: int, *, reporting: bool | None = None) -> None:
        """A client is told of nothing any more. :param reporting: only of the one kind"""
        for wanted in list(self._of.get(client, ())):
            if reporting in (None, wanted[1]):
                self._unwant(client, wanted)

    # -- telling

    def published(self, published: Iterable[Published]) -> None:
        """Events of the stream: each to everybody who wants to be told of it, once."""
        if not self._tenants:
            return
        for topic, _, payload in published:
            if topic.partition(b"/")[0] in self._tenants:
                self._tell(payload)

    def _tell(self, payload: bytes) -> None:
        clients = {client: None for key in sorted(keys_of_payload(payload)) for client in self._clients.get(key, ())}
        for client in clients:
            session = self._sessions.by_client.get(client)
            if session is not None:
                self._calls.tell(session, payload)


def _lower(counts: dict[Counted, int], what: Counted) -> None:
    """One less of it; at none it goes."""
    counts[what] -= 1
    if not counts[what]:
        del counts[what]
