"""Client sessions: registration, liveness, end (protocol 3).

Sessions live in memory only. What must outlast a failover is in the rows that name them (agents, holdings): after a
take-over those wait for their session to come back, and end as the session's would when it does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

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
from broker.messages.kinds import ClientType

from . import (
    agents,
    attendance,
    holdings,
    invitations,
    panics,
    repetitions,
    reservations,
    snapshots,
    topics,
    workbins,
)
from .calls import Call, Source

if TYPE_CHECKING:
    from .core import NodeCore

PROTOCOL = 1
LINK_SILENCE_S, LINK_LOOK_S = 3.0, 1.0
"""A proxy that was silent for so long is looked at so often."""
KIND = "Interaction Server"


class Session:
    """A registered client.

    :param source: where it is now; a proxy's client has the proxy's address and its number there
    :param asked: when it last asked for anything but Ping
    :param all_tenants: it asked for no tenants of its own: those that are added later are its, too
    :param follows: a media server that wants to be told of others' changes to what it has submitted
    :param link: it is a proxy's own session, the one that others come through
    :param settled: of a link: every request below this number has its reply
    """

    __slots__ = (
        "all_tenants",
        "asked",
        "follows",
        "heard",
        "link",
        "media_type",
        "name",
        "session_id",
        "settled",
        "source",
        "tenants",
        "type",
        "watches",
    )

    def __init__(
        self, session_id: str, source: Source, request: RequestRegisterClient, tenants: frozenset[int]
    ) -> None:
        self.session_id = session_id
        self.source = source
        self.name = request.client_name
        self.type = request.client_type
        self.media_type = request.media_type
        self.tenants = tenants
        self.all_tenants = request.tenants is None
        self.link = request.client_type is ClientType.PROXY and source[1] == 0
        self.follows = request.client_type in holdings.SERVERS and _wants_changes(request)
        self.heard = self.asked = 0.0
        self.settled = 0
        self.watches: set[str] = set()


class _Hints(msgspec.Struct):
    """What a registration looks at in its ``extension``; all else there is anybody's."""

    event_properties_changed: Any = None


_hints = msgspec.json.Decoder(_Hints).decode


def _wants_changes(request: RequestRegisterClient) -> bool:
    """Whether ``event_properties_changed`` is given and not 0 (domain facts, 1.3)."""
    if request.extension is UNSET:
        return False
    try:
        return _hints(request.extension).event_properties_changed not in (None, 0, False, "0", "")
    except (ValueError, RecursionError):
        return False


class Sessions:
    """All sessions by source and by id, and when each was heard of last.

    :param followers: by client name: the media servers that want to be told of changes
    """

    def __init__(self) -> None:
        self.followers: dict[str, list[Session]] = {}
        self.by_source: dict[Source, Session] = {}
        self.by_id: dict[str, Session] = {}
        self.clients_of: dict[bytes, set[Source]] = {}

    def add(self, session: Session) -> None:
        self.by_id[session.session_id] = session
        self.by_source[session.source] = session
        self.clients_of.setdefault(session.source[0], set()).add(session.source)
        if session.follows:
            self.followers.setdefault(session.name, []).append(session)

    def discard(self, session: Session) -> None:
        self.by_id.pop(session.session_id, None)
        if session.follows:
            left = [one for one in self.followers.pop(session.name, ()) if one is not session]
            if left:
                self.followers[session.name] = left
        if self.by_source.get(session.source) is session:
            del self.by_source[session.source]
            sources = self.clients_of.get(session.source[0])
            if sources is not None:
                sources.discard(session.source)
                if not sources:
                    del self.clients_of[session.source[0]]

    def link_of(self, source: Source) -> Session | None:
        """The proxy's own session that a proxied client came through."""
        return self.by_source.get((source[0], 0))


def register(node: NodeCore, call: Call) -> EventAck:
    """RequestRegisterClient: a new session, or with ``session_id`` the old one at its new address."""
    request: RequestRegisterClient = call.request
    tenants = _tenants(node, request)
    sessions = node.sessions
    known = sessions.by_id.get(request.session_id) if request.session_id else None
    if known is not None and known.name != request.client_name:
        raise Refusal(Code.ACCESS_DENIED, "this session belongs to another client", field="session_id")
    old = sessions.by_source.get(call.source)
    if old is not None and old is not known:
        end(node, old, "registered again", vanished=False)
    if known is None and len(sessions.by_id) >= node.settings.max_clients:
        raise Refusal(Code.BUSY, f"{len(sessions.by_id)} clients are registered", retry_after=1.0)
    if known is not None:
        if known.source != call.source:
            node.pulls.forget(node, known)
        sessions.discard(known)
    session_id = known.session_id if known is not None else _session_id(node, call, request)
    session = Session(session_id, call.source, request, tenants)
    session.heard = session.asked = node.now  # to come back is activity, too: nothing that is handled is overdue now
    if known is not None:
        session.watches, session.settled = known.watches, known.settled
    sessions.add(session)
    node.orphans.discard(session.session_id)
    agents.returned(node, session)
    if known is None or known.source != session.source or session.source[1]:  # a proxy says so when a client has moved
        invitations.remind(node, session.session_id)
    attendance.joined(node, session, request)
    node.strategies.resumed(node, session)
    node.deadline(node.now + 3 * node.settings.keepalive_interval, silent, session.session_id)
    if session.link and known is None:
        _look_at_namesakes(node, session)
        node.deadline(node.now + LINK_LOOK_S, _look_at_link, session.session_id)
    return EventAck(
        server=node.name,
        kind=KIND,
        protocol=PROTOCOL,
        session_id=session.session_id,
        keepalive_interval=node.settings.keepalive_interval,
    )


def _session_id(node: NodeCore, call: Call, request: RequestRegisterClient) -> str:
    """A proxy names the sessions it brings; all others get one from the node. A direct client may resume a session that
    the node's tables still wait for, under the name that made it."""
    if request.session_id is not None:
        link = node.sessions.link_of(call.source)
        by_proxy = request.client_type is ClientType.PROXY or (call.source[1] and link is not None)
        waited_for = request.session_id in node.orphans or node.memory.agents.count("session", request.session_id)
        if by_proxy or waited_for:
            return request.session_id
    return f"{node.name}.{node.epoch}.{node.clock.next(node.now):x}"  # the other member's clock may be behind


def _tenants(node: NodeCore, request: RequestRegisterClient) -> frozenset[int]:
    known = frozenset(node.configuration.tenants)
    if request.tenants is None:
        return known
    unknown = sorted(set(request.tenants) - known)
    if unknown:
        raise Refusal(Code.UNKNOWN_TENANT, f"no tenant {unknown[0]}", field="tenants")
    return frozenset(request.tenants)


def unregister(node: NodeCore, call: Call) -> EventAck:
    """RequestUnregisterClient: the session ends; all that it held goes back."""
    why = "silent" if call.request.vanished else "unregistered"
    end(node, call.session, why, vanished=call.request.vanished)
    return EventAck()


def ping(node: NodeCore, call: Call) -> EventPong:
    """RequestPing: the server lives, and knows who asks or not."""
    return msgspec.structs.replace(node.pong(), registered=call.session is not None)


def end(node: NodeCore, session: Session, why: str, *, vanished: bool = True) -> None:
    """Ends a session; a link's end is the end of every session that came through it.

    :param vanished: the client has not said itself that it goes; those behind a link never have
    """
    if vanished and session.type is ClientType.PROXY:
        panics.proxy_lost(node, session.name, _through(node, session), why)
    node.sessions.discard(session)
    node.counts[f"session ended: {why}"] += 1
    if session.link:
        repetitions.forget_link(node, session.session_id)
        for source in list(node.sessions.clients_of.get(session.source[0], ())):
            client = node.sessions.by_source.get(source)
            if client is not None:
                end(node, client, why)
    node.pulls.forget(node, session)
    release(node, session.session_id, why, vanished=vanished)


def _through(node: NodeCore, session: Session) -> list[str]:
    """The sessions that end with a proxy's, or with that of a client that speaks for several agents."""
    if not session.link:
        return [session.session_id]
    sources = node.sessions.clients_of.get(session.source[0], ())
    return [one.session_id for source in sorted(sources) if (one := node.sessions.by_source.get(source)) is not None]


def release(node: NodeCore, session_id: str, why: str, *, vanished: bool) -> None:
    """Gives back all that a session had: agents without another connection are logged out or, if it has vanished, wait
    for it to come back; grants and reservations return."""
    agents.disconnect(node, session_id, why, vanished=vanished)
    reservations.forget(node, session_id)
    node.strategies.release(node, session_id, why)
    workbins.forget(node, session_id)
    attendance.left(node, session_id)
    topics.forget(node, session_id)
    snapshots.forget(node, session_id)


def silent(node: NodeCore, session_id: str) -> None:
    """A deadline: the session was not heard of for three intervals, or will be looked at again later."""
    session = node.sessions.by_id.get(session_id)
    if session is None:
        return
    link = node.sessions.link_of(session.source) if session.source[1] else session
    if link is None:
        end(node, session, "its proxy is gone")
        return
    due = link.heard + 3 * node.settings.keepalive_interval
    if due <= node.now:
        node.tell(link.session_id, EventForcedDisconnect(reason="nothing was heard for three keepalive intervals"))
        end(node, link, "silent")
    else:
        node.deadline(due, silent, session_id)


def _look_at_link(node: NodeCore, session_id: str) -> None:
    """A deadline, again and again: a proxy says something every second. One that does not is told something: if it is
    not there any more, that cannot be sent, and its session ends."""
    link = node.sessions.by_id.get(session_id)
    if link is None:
        return
    if node.now - link.heard > LINK_SILENCE_S:
        _touch(node, link)
    node.deadline(node.now + LINK_LOOK_S, _look_at_link, session_id)


def _look_at_namesakes(node: NodeCore, link: Session) -> None:
    """A proxy has been started: if its earlier process is dead, that is to show before its clients log in again."""
    for other in node.sessions.by_id.values():
        if other.link and other.name == link.name and other is not link:
            _touch(node, other)


def _touch(node: NodeCore, link: Session) -> None:
    """Tells a proxy something that it needs not; when it is dead, the shell says so (:meth:`NodeCore.lost`)."""
    node.outgoing.append((link.source, None, encode(node.pong()), 0))


def orphaned(node: NodeCore, session_id: str) -> None:
    """A deadline after a take-over: a session that the tables name did not come back."""
    if session_id in node.orphans:
        node.orphans.discard(session_id)
        release(node, session_id, "did not come back after a take-over", vanished=True)


HANDLERS = {
    RequestRegisterClient: register,
    RequestUnregisterClient: unregister,
    RequestPing: ping,
}
