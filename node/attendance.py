"""ESP servers come and go, and what they were asked goes on (see :mod:`node.services`).

there      a session registers, or the shell has a connection: what may be repeated and was its own is sent again
gone       the session has ended, the connection is lost: what may be repeated, or was not got, goes to another one
said       what a listed server sends is an answer, or garbage
resumed    a member has taken over: the requests are in rows, the servers come back
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from msgspec import Raw, Struct
from msgspec.structs import replace

from broker.errors import Code, Refusal
from broker.messages import decoder
from broker.messages.connection import EventAck, RequestRegisterClient
from broker.messages.kinds import EMPTY, ClientType
from broker.messages.services import RequestServiceUndelivered

from .calls import Call
from .interactions import json_object
from .records import ServiceCall
from .servers import LISTED, Server, listed
from .services import Response, expired, fail, give_fault, give_response, send

if TYPE_CHECKING:
    from .core import NodeCore
    from .sessions import Session


def joined(node: NodeCore, session: Session, request: RequestRegisterClient) -> None:
    """A client has registered. An ESP server gets requests from now on; and again what may be repeated, unless it is
    where it was before."""
    if session.type is not ClientType.ESP:
        return
    services = None if request.services is None else frozenset(request.services)
    server = Server(session.session_id, session.name, request.application_type, services, session.tenants)
    server.source = session.source
    known = node.services.servers.get(server.key)
    if known is not None and known.source == server.source:
        server.late, server.used = known.late, known.used
        node.services.servers[server.key] = server
    else:
        _join(node, server)


def connected(node: NodeCore, name: str) -> None:
    """A listed server is there."""
    _join(node, listed(node, name))


def _join(node: NodeCore, server: Server) -> None:
    node.services.servers[server.key] = server
    for refid in node.memory.services.keys("server", server.key):
        row = node.memory.services.rows[refid]
        if row.repeatable:
            send(node, replace(row, note=replace(row.note, resent=True)))


def left(node: NodeCore, session_id: str) -> None:
    """A session has ended; if it was an ESP server's, what it has not answered has to go on."""
    server = node.services.servers.pop(session_id, None)
    _go_on(node, session_id, node.memory.services.keys("server", session_id))
    if server is not None:
        node.counts["ESP servers gone"] += 1


def disconnected(node: NodeCore, name: str, unsent: Iterable[str]) -> None:
    """A listed server is gone. :param unsent: requests that it has not got"""
    node.services.servers.pop(LISTED + name, None)
    _go_on(node, LISTED + name, unsent, got=False)
    _go_on(node, LISTED + name, node.memory.services.keys("server", LISTED + name))


def not_delivered(node: NodeCore, call: Call) -> EventAck:
    """RequestServiceUndelivered: of a server behind the proxy that asks."""
    undelivered(node, call.source[0], call.request.esp_server_refid)
    return EventAck()


def undelivered(node: NodeCore, peer: bytes, refid: str | None) -> None:
    """A request has not reached its server, a session of this peer; no reference: it was another notification."""
    row = node.memory.services.get(refid) if refid is not None else None
    session = node.sessions.by_id.get(row.server) if row is not None else None
    if row is not None and session is not None and session.source[0] == peer:
        node.services.servers.pop(row.server, None)
        _go_on(node, row.server, [row.note.esp_server_refid], got=False)


def _go_on(node: NodeCore, server: str, refids: Iterable[str], *, got: bool = True) -> None:
    """Requests of a server that is gone. :param got: it has got them, and may have done them"""
    for refid in refids:
        row = node.memory.services.get(refid)
        if row is None or row.server != server:
            continue
        if got and not row.repeatable:
            fail(node, row, Refusal(Code.SERVICE_TIMEOUT, f"{row.server_name} was lost before it answered"))
        else:
            _send_on(node, row, resent=got)


def _send_on(node: NodeCore, row: ServiceCall, *, resent: bool) -> None:
    """To another server, if there is one."""
    try:
        server = node.services.choose(node, row.note, but=row.server)
    except Refusal as refusal:
        fail(node, row, Refusal(Code.NO_SERVICE, f"{row.server_name} was lost: {refusal.detail}"))
        return
    note = replace(row.note, resent=row.note.resent or resent)
    moved = replace(
        row, note=note, server=server.key, server_name=server.name, application_type=server.application_type
    )
    send(node, moved)


def resume(node: NodeCore) -> set[Any]:
    """After a take-over: deadlines go on; what a listed server had and may not be repeated is over.

    :returns: the sessions that requests wait for
    """
    for refid, row in list(node.memory.services.rows.items()):
        if row.server.startswith(LISTED) and not row.repeatable:
            fail(node, row, Refusal(Code.SERVICE_TIMEOUT, f"the connection to {row.server_name} was lost"))
        else:
            node.deadline(row.deadline_us / 1e6, expired, refid)
    return {key for key in node.memory.services.values("server") if not str(key).startswith(LISTED)}


# -- what listed servers say


class _Answer(Struct, tag_field="message", tag="Event3rdServerResponse"):
    """As of ``Request3rdServerResponse``."""

    response: Raw = EMPTY
    user_data: Raw = EMPTY
    merge_user_data: bool = False


class _No(Struct, tag_field="message", tag="Event3rdServerFault"):
    """As of ``Request3rdServerFault``."""

    fault_code: int | str
    fault_string: str = ""


_read_answer = decoder([_Answer, _No], "answer")


def answered(node: NodeCore, name: str, refid: bytes, payload: bytes) -> None:
    """A message of a listed server. What cannot be read ends the request, if it names one that is open."""
    row = node.memory.services.get(refid.decode(errors="replace"))
    if row is None or row.server != LISTED + name:
        node.counts.drop(name, "late reply", payload)
        return
    try:
        _take_answer(node, row, payload)
    except Refusal as refusal:
        node.counts.drop(name, "garbage", payload)
        fail(node, row, Refusal(Code.SERVICE_TIMEOUT, f"the answer of {name} cannot be read: {refusal.detail}"))
        return


def _take_answer(node: NodeCore, row: ServiceCall, payload: bytes) -> None:
    """:raises Refusal: it is no answer; nothing was done"""
    longest = node.settings.max_message_size
    if len(payload) > longest:
        raise Refusal(Code.MALFORMED, f"it has {len(payload)} bytes, at most {longest} are taken")
    said = _read_answer(payload)
    if isinstance(said, _No):
        give_fault(node, row, said.fault_code, said.fault_string, None)
        return
    response, data = json_object(said.response, "response"), json_object(said.user_data, "user_data")
    give_response(node, row, Response(response, data, said.merge_user_data), None)


HANDLERS = {RequestServiceUndelivered: not_delivered}
