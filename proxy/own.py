"""What the proxy answers itself (Route HERE): registration, liveness, its own state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from broker.config.changes import fingerprint
from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.connection import (
    EventAck,
    EventForcedDisconnect,
    EventPong,
    RequestPing,
    RequestRegisterClient,
    RequestUnregisterClient,
)
from broker.messages.kinds import Request
from broker.messages.operations import EventLedger, RequestGetLedger, RequestGetStatus, RequestReconfigure
from broker.messages.reporting import RequestStopPlaceAgentStateReporting, RequestStopPlaceAgentStateReportingAll
from broker.messages.topics import RequestSubscribe, RequestUnsubscribe

from .agents import Agents
from .calls import Call
from .desk import Desk
from .services import Services
from .sessions import Session, Sessions
from .status import Status
from .strategies import Strategies
from .topics import Topics

KIND = "Interaction Server Proxy"
PROTOCOL = 1


class Self(NamedTuple):
    """Who this proxy member is."""

    name: str
    member: str
    pid: int


class Clients(NamedTuple):
    """Who knows what of the proxy's clients."""

    sessions: Sessions
    agents: Agents
    strategies: Strategies
    services: Services
    topics: Topics


class Own:
    """The proxy's own answers."""

    def __init__(self, self_: Self, desk: Desk, clients: Clients) -> None:
        self._self = self_
        self._calls = desk.calls
        self._links = desk.links
        self._counts = desk.counts
        self._settings = desk.settings
        self.fingerprint = fingerprint(desk.configuration)
        """Of the configuration in force."""
        self._status = Status(desk.configuration, desk.links, desk.routes)
        self._sessions = clients.sessions
        self._agents = clients.agents
        self._strategies = clients.strategies
        self._services = clients.services
        self._topics = clients.topics
        self._ending: dict[int, Session] = {}
        self.figures: list[Callable[[], dict[str, Any]]] = []
        """What else the proxy says of itself in its status."""
        self.orders: list[Call] = []
        """Calls that the shell has to do something for."""

    def answer(self, call: Call) -> None:
        """Route HERE. :raises Refusal: this is not for a proxy to answer"""
        if call.request is RequestReconfigure:
            self._calls.begin(call)
            self.orders.append(call)
            return
        handler = HANDLERS.get(call.request)
        if handler is None:
            raise Refusal(Code.UNSUPPORTED, "a proxy does not answer this")
        self._calls.say(call, handler(self, call))

    def unregistered(self, now: float, source: bytes, head: Any) -> bytes:
        """What is served before registration. :raises Refusal: all else"""
        if type(head) is RequestRegisterClient:
            return self.register(now, source, head)
        if type(head) is RequestPing:
            return self.pong(registered=False)
        raise Refusal(Code.NOT_REGISTERED, f"{self._self.name} does not know this client")

    # -- sessions

    def register(self, now: float, source: bytes, request: RequestRegisterClient) -> bytes:
        """A client's registration, or its return. :raises Refusal: see :meth:`Sessions.register`"""
        session, replaced = self._sessions.register(now, source, request)
        if replaced is not None:
            self.end(replaced)
        if session.changed or self._strategies.concerns(session):
            self._links.introduce_again(session.client)
            session.changed = False
        self._services.joined(session)
        self._strategies.resumed(session)
        return encode(
            EventAck(
                server=self._self.name,
                kind=KIND,
                protocol=PROTOCOL,
                session_id=session.session_id,
                keepalive_interval=self._settings.keepalive_interval,
            )
        )

    def _register_again(self, call: Call) -> bytes:
        source = call.session.source
        assert source is not None, "a request comes from somewhere"
        return self.register(call.session.heard, source, call.head)

    def _unregister(self, call: Call) -> bytes:
        self._sessions.end(call.session)
        self.end(call.session)
        return encode(EventAck())

    def end(self, session: Session) -> None:
        """A session is over: its agents are logged out, then the nodes are told."""
        self._ending[session.client] = session
        self._topics.forget(session.client)
        self._strategies.end(session)
        self._agents.end(session)

    def tick(self, now: float) -> None:
        """Ends the sessions of silent clients; forgets ended ones whose nodes have been told."""
        for session in self._sessions.silent(now):
            self._counts["silent client"] += 1
            self._calls.tell(session, _SILENT)
            self.end(session)
        for client in [client for client in self._ending if not self._agents.is_busy(client)]:
            del self._ending[client]

    def introduction(self, client: int) -> bytes | None:
        """How a client is introduced to a node; None for one that is not here any more."""
        session = self._sessions.by_client.get(client) or self._ending.get(client)
        return None if session is None else session.introduction

    # -- being told of events

    def _subscribe(self, call: Call) -> bytes:
        self._topics.subscribe(call)
        return encode(EventAck())

    def _unsubscribe(self, call: Call) -> bytes:
        self._topics.unsubscribe(call)
        return encode(EventAck())

    def _stop_one(self, call: Call) -> bytes:
        self._topics.stop_one(call)
        return encode(EventAck())

    def _stop_all(self, call: Call) -> bytes:
        self._topics.forget(call.session.client, reporting=True)
        return encode(EventAck())

    # -- state

    def pong(self, *, registered: bool) -> bytes:
        """The proxy lives. :param registered: it knows the client that asks"""
        return encode(
            EventPong(
                server=self._self.name,
                kind=KIND,
                member=self._self.member,
                role="active",
                pid=self._self.pid,
                clients=len(self._sessions),
                configuration=self.fingerprint,
                registered=registered,
            )
        )

    def _get_status(self, call: Call) -> bytes:
        member: dict[str, Any] = {
            "role": "active",
            "pid": self._self.pid,
            "clients": len(self._sessions),
            "pending": len(self._calls),
            "counts": dict(self._counts),
            "dropped": self._counts.dropped,
            "configuration": self.fingerprint,
        }
        for figures in self.figures:
            member.update(figures())
        proxies = {self._self.name: {"state": "healthy", "members": {self._self.member: member}}}
        return self._status.payload(call.session.heard, proxies)

    def _get_ledger(self, call: Call) -> bytes:
        kept = self._counts
        return encode(
            EventLedger(
                server=self._self.name,
                member=self._self.member,
                dropped=kept.dropped,
                peers=kept.by_peer(),
                last=kept.last(call.head.count),
            )
        )


_SILENT = encode(EventForcedDisconnect(reason="nothing was heard for three keepalive intervals"))

HANDLERS: dict[type[Request], Callable[[Own, Call], bytes]] = {
    RequestRegisterClient: Own._register_again,
    RequestUnregisterClient: Own._unregister,
    RequestPing: lambda own, call: own.pong(registered=True),
    RequestGetStatus: Own._get_status,
    RequestGetLedger: Own._get_ledger,
    RequestSubscribe: Own._subscribe,
    RequestUnsubscribe: Own._unsubscribe,
    RequestStopPlaceAgentStateReporting: Own._stop_one,
    RequestStopPlaceAgentStateReportingAll: Own._stop_all,
}
"""What the proxy answers itself."""
