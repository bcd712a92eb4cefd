"""ESP: requests to external servers, and their answers (domain 1.8, 5.1).

    asked        a server is chosen (of the name, type and service; the one with the fewest open requests); the request
                 is a row, reported, and sent to the server under a reference of the node's own
    answered     response or fault: reported, the row goes, the client has its reply; user data is merged if asked for
    expired      nobody has answered in time: 81
    left         the server is gone: what may be repeated, or has not left the node, goes to another one; else 81
    taken over   the rows are there. A registered server answers under its reference as before, when it is back; what
                 may be repeated is sent again. The connection to a listed one ended with the member that had it: what
                 may not be repeated is 81 at once.

80 says that no server has got the request (or that it may be repeated): to ask again is safe. 81 says that it may have
been done; it is kept like a reply, so that a repetition under the same ``dedup_id`` does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import UNSET, Raw

from broker import ownservice
from broker.clock import to_us
from broker.errors import Code, Refusal
from broker.ids import make_id
from broker.messages import encode
from broker.messages.connection import EventAck
from broker.messages.kinds import EMPTY, Actor, ClientType, Reply, ReportingEvent
from broker.messages.services import (
    Event3rdServerFault,
    Event3rdServerResponse,
    EventExternalServiceRequested,
    EventExternalServiceResponded,
    Request3rdServer,
    Request3rdServerFault,
    Request3rdServerResponse,
    RequestExternalService,
    ServiceCalled,
    ServiceRequest,
)

from . import properties
from .calls import UNASKED, Call, Cause, Dialled
from .interactions import json_object
from .records import ServiceCall
from .servers import LISTED

if TYPE_CHECKING:
    from .core import NodeCore

# -- asked


def ask(node: NodeCore, call: Call) -> Reply | None:
    """Request3rdServer, RequestExternalService."""
    request: ServiceRequest = call.request
    call.tenant(request.tenant_id)
    wanted = ownservice.asked(request)
    if ownservice.is_own(request, wanted):
        return _serve(node, call, wanted)
    if len(node.memory.services) >= node.settings.max_esp_requests:
        raise Refusal(Code.BUSY, f"{len(node.memory.services)} ESP requests wait", retry_after=1.0)
    note = _note(node, call)
    server = node.services.choose(node, note)
    row = ServiceCall(
        note=note,
        server=server.key,
        server_name=server.name,
        application_type=server.application_type,
        deadline_us=to_us(node.now + note.timeout),
        repeatable=request.repeatable,
        actor=_actor(node, call),
        cause=call.name,
        asked=call.keys,
    )
    node.services.calls[note.esp_server_refid] = call
    send(node, row)
    node.deadline(node.now + note.timeout, expired, note.esp_server_refid)
    return None


def _note(node: NodeCore, call: Call) -> ServiceCalled:
    """What the server gets. :raises Refusal: user data that is no object"""
    request: ServiceRequest = call.request
    refid = make_id(node.code, node.clock.next(node.now))
    return ServiceCalled(
        esp_server_refid=refid,
        esp_client_refid=request.esp_client_refid or request.dedup_id or refid,
        tenant_id=request.tenant_id,
        interaction_id=request.interaction_id,
        media_type=request.media_type,
        target=request.target,
        request=json_object(request.request, "request"),
        user_data=json_object(request.user_data, "user_data"),
        timeout=request.timeout or node.settings.esp_timeout,
        client_name=call.session.name,
        client_type=call.session.type.value,
    )


def _actor(node: NodeCore, call: Call) -> Actor:
    """Who asks: the session's agent if there is one that is meant, else the client."""
    request: ServiceRequest = call.request
    rows = [node.memory.agents.rows[key] for key in node.memory.agents.keys("session", call.session.session_id)]
    meant = [
        row for row in rows if request.agent_id in (None, row.agent_id) and request.place_id in (None, row.place_id)
    ]
    return meant[0].actor() if len(meant) == 1 else call.actor()


def _serve(node: NodeCore, call: Call, wanted: ownservice.Asked) -> Reply | None:
    """A method of the cluster's own service: the request that it stands for, by the same handler."""
    inner = Call(call.source, call.ref, call.flags, call.session, None)
    inner.keys, inner.dress = call.keys, ownservice.response
    try:
        inner.request = ownservice.native(call.request, wanted, call.session.type)
        reply = node.do(inner)
    except Refusal as refusal:
        return ownservice.fault(refusal)
    return None if reply is None else ownservice.response(reply)


def send(node: NodeCore, row: ServiceCall) -> None:
    """A row is put, reported, and sent to its server."""
    refid = row.note.esp_server_refid
    node.memory.put(node.memory.services, refid, row)
    _report(node, EventExternalServiceRequested, row, _requested(row), Cause(row.actor, row.cause))
    _tell(node, row)


def _tell(node: NodeCore, row: ServiceCall) -> None:
    if row.server.startswith(LISTED):
        refid = row.note.esp_server_refid
        node.dialled.append(Dialled(row.server.removeprefix(LISTED), refid, encode(row.note)))
    else:
        node.tell(row.server, row.note)


def waits(node: NodeCore, key: str, call: Call) -> bool:
    """Whether a repetition asks for what is under way; then it gets the reply, when there is one."""
    row = node.memory.services.one("asked", key)
    if row is None:
        return False
    node.takes_over(node.services.calls, row.note.esp_server_refid, call)
    return True


# -- answered


def respond(node: NodeCore, call: Call) -> EventAck:
    """Request3rdServerResponse."""
    request: Request3rdServerResponse = call.request
    row = _asked_of(node, call)
    response = Response(
        json_object(request.response, "response"),
        json_object(request.user_data, "user_data"),
        request.merge_user_data,
    )
    give_response(node, row, response, call.name)
    return EventAck()


def refuse(node: NodeCore, call: Call) -> EventAck:
    """Request3rdServerFault."""
    request: Request3rdServerFault = call.request
    give_fault(node, _asked_of(node, call), request.fault_code, request.fault_string, call.name)
    return EventAck()


def _asked_of(node: NodeCore, call: Call) -> ServiceCall:
    """The request that a registered server answers, here again or not. :raises Refusal: it is no (longer) its own"""
    row = node.memory.services.get(call.request.esp_server_refid)
    session = call.session
    if row is None or (row.server != session.session_id and row.server_name != session.name):
        raise Refusal(Code.BAD_TICKET, "no such request waits for this server", field="esp_server_refid")
    return row


class Response(NamedTuple):
    """A server's result. :param merge: the user data is to be written into the interaction"""

    response: Raw
    user_data: Raw
    merge: bool


def give_response(node: NodeCore, row: ServiceCall, said: Response, cause: str | None) -> None:
    """A server has answered: merged, reported, and the client's reply."""
    caused, before = Cause(_as_actor(row), cause), len(node.outgoing)
    merged = said.merge and _merge(node, row, said.user_data, caused)
    body: dict[str, Any] = {"response": said.response, "user_data": said.user_data, "user_data_merged": merged}
    _report(node, EventExternalServiceResponded, row, body, caused)
    reply = Event3rdServerResponse(
        response=said.response,
        user_data=UNSET if said.user_data == EMPTY else said.user_data,
        user_data_merged=merged,
        **_references(row),
    )
    if _finish(node, row, reply):
        node.reply_first(before)


def give_fault(node: NodeCore, row: ServiceCall, code: int | str, text: str, cause: str | None) -> None:
    body = {"fault_code": code, "fault_string": text}
    _report(node, EventExternalServiceResponded, row, body, Cause(_as_actor(row), cause))
    _finish(node, row, Event3rdServerFault(fault_code=code, fault_string=text, **_references(row)))


def _merge(node: NodeCore, row: ServiceCall, data: Raw, cause: Cause) -> bool:
    """Writes a server's user data into the interaction, if this node has it and there is any."""
    interaction = node.memory.interactions.get(row.note.interaction_id or "")
    if interaction is None or interaction.tenant_id != row.note.tenant_id or data == EMPTY:
        return False
    properties.merge_user_data(node, interaction, data, cause)
    return True


def _finish(node: NodeCore, row: ServiceCall, reply: Reply) -> bool:
    """The row goes; the client has its reply (True), or will have it when it asks again."""
    server = node.services.servers.get(row.server)
    if server is not None:
        server.late = False
    call = _close(node, row)
    if call is not None:
        node.finish(call, reply)
    else:
        node.keep_reply(row.asked, reply)
    return call is not None


def fail(node: NodeCore, row: ServiceCall, refusal: Refusal) -> None:
    """No server has answered: reported, and the client's error. What may have been done is not done again."""
    body = {"code": int(refusal.code), "text": f"{refusal.code.text}: {refusal.detail}"}
    _report(node, EventExternalServiceResponded, row, body, UNASKED)
    call = _close(node, row)
    if call is not None:
        node.refuse(call, refusal)
    if refusal.code is Code.SERVICE_TIMEOUT:
        node.keep_refusal(row.asked, refusal, row.cause)


def _close(node: NodeCore, row: ServiceCall) -> Call | None:
    """A request is over. :returns: the call that waits for it, if it is here"""
    refid = row.note.esp_server_refid
    node.memory.drop(node.memory.services, refid)
    return node.services.calls.pop(refid, None)


def expired(node: NodeCore, refid: str) -> None:
    """A deadline: the server has had its time."""
    row = node.memory.services.get(refid)
    if row is not None and row.deadline_us <= to_us(node.now):
        server = node.services.servers.get(row.server)
        if server is not None:
            server.late = True
        fail(node, row, Refusal(Code.SERVICE_TIMEOUT, f"{row.server_name} had {row.note.timeout:g} s"))


# -- reporting


def _references(row: ServiceCall) -> dict[str, Any]:
    note = row.note
    return {
        "esp_client_refid": note.esp_client_refid,
        "esp_server_refid": note.esp_server_refid,
        "server": row.server_name,
    }


def _requested(row: ServiceCall) -> dict[str, Any]:
    note = row.note
    resent = {"resent": True} if note.resent else {}
    return {"target": note.target, "request": note.request, "user_data": note.user_data, **resent}


def _report(node: NodeCore, kind: type[ReportingEvent], row: ServiceCall, said: dict[str, Any], cause: Cause) -> None:
    """An event about a request; with the interaction, if this node has it."""
    note = row.note
    named = {"interaction_id": note.interaction_id} if note.interaction_id else {}
    body = Raw(encode({**_references(row), "application_type": row.application_type, **named, **said}))
    interaction = node.memory.interactions.get(note.interaction_id or "")
    if interaction is not None and interaction.tenant_id == note.tenant_id:
        node.event(kind, interaction, cause, body=body)
    else:
        node.custom_event(kind, note.tenant_id, cause, body)


def _as_actor(row: ServiceCall) -> Actor:
    return Actor(client_name=row.server_name, client_type=ClientType.ESP.value)


HANDLERS = {
    Request3rdServer: ask,
    RequestExternalService: ask,
    Request3rdServerResponse: respond,
    Request3rdServerFault: refuse,
}
