"""The service that the cluster serves itself: what ESP requests ask of ``OMService`` are requests about interactions,
and done as such, with the same rights and rules (domain 1.8, 5.1). A node does it by its handlers, a proxy over all
nodes.

    asked      the well-known parts of a service request: Service, Method, Parameters
    native     the request that a method stands for; its fields are the parameters, in either spelling
    response   its reply as the service's response;  fault: what it was refused with as the service's fault
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from broker.errors import Code, Refusal
from broker.messages import decode_request, encode
from broker.messages.connection import EventError
from broker.messages.faults import in_words, not_for
from broker.messages.interactions import (
    RequestChangeProperties,
    RequestFindInteractions,
    RequestGetInteractionProperties,
    RequestPlaceInQueue,
    RequestStopProcessing,
)
from broker.messages.kinds import EMPTY, ClientType, Reply, Request
from broker.messages.objects import MAX_NAME
from broker.messages.services import Event3rdServerFault, Event3rdServerResponse, ServiceRequest

SERVICE = "OMService"
TARGETS = frozenset({None, "InteractionServer", "Interaction Server"})
"""The targets that stand for the cluster itself."""

METHODS: dict[str, type[Request]] = {
    "FindInteractions": RequestFindInteractions,
    "GetInteractionProperties": RequestGetInteractionProperties,
    "ChangeProperties": RequestChangeProperties,
    "PlaceInQueue": RequestPlaceInQueue,
    "StopProcessing": RequestStopProcessing,
}

_FROM_ENVELOPE = ("tenant_id", "media_type", "interaction_id", "agent_id", "place_id", "dedup_id")
"""Fields of the service request that a method takes where its parameters do not have them."""

_ALIASES = {"max_count": "count"}

CLUSTERS_OWN = frozenset(
    {
        Code.NOT_REGISTERED,
        Code.DUPLICATE_EXPIRED,
        Code.NOT_PRIMARY,
        Code.BUSY,
        Code.NO_SERVERS,
        Code.LOST_CONNECTION,
        Code.NOT_ACCESSIBLE,
        Code.SEVERAL_OWNERS,
    }
)
"""Refusals that stay ``EventError``: they say nothing of what was asked, only that the cluster could not do it now."""


class Asked(Struct):
    """The well-known keys of a service request."""

    service: str = field(name="Service")
    method: str | None = field(default=None, name="Method")
    parameters: Raw = field(default=EMPTY, name="Parameters")


_asked = msgspec.json.Decoder(Asked).decode
_members = msgspec.json.Decoder(dict[str, Raw]).decode


def asked(request: ServiceRequest) -> Asked:
    """What a service request asks. :raises Refusal: it is no object, or does not say which service"""
    try:
        found = _asked(request.request)
    except (msgspec.DecodeError, RecursionError) as fault:
        raise Refusal(Code.WRONG_VALUE, in_words(Asked, bytes(request.request), "request"), field="request") from fault
    if not 1 <= len(found.service) <= MAX_NAME:
        raise Refusal(
            Code.WRONG_VALUE, f"request.Service: expected a string of 1 to {MAX_NAME} characters", field="request"
        )
    return found


def is_own(request: ServiceRequest, wanted: Asked) -> bool:
    """Whether the cluster serves it itself."""
    return wanted.service == SERVICE and request.target in TARGETS


def native(request: ServiceRequest, wanted: Asked, sender: ClientType) -> Request:
    """The request that a method of the own service stands for.

    :raises Refusal: no such method, not for this sender, parameters that are missing or wrong
    """
    kind = METHODS.get(wanted.method or "")
    if kind is None:
        raise Refusal(Code.WRONG_VALUE, f"{SERVICE} has no method {wanted.method}; it has {', '.join(METHODS)}")
    if sender not in kind.senders:
        raise Refusal(Code.ACCESS_DENIED, not_for(kind, sender))
    fields: dict[str, Any] = {"message": kind.__name__}
    for name in _FROM_ENVELOPE:
        value = getattr(request, name)
        if value is not None and name in kind.__struct_fields__:
            fields[name] = value
    for name, raw in _parameters(wanted).items():
        spelt = _spelt(name)
        if spelt not in ("message", "dedup_id"):
            fields[spelt] = raw
    return decode_request(encode(fields))


def _parameters(wanted: Asked) -> dict[str, Raw]:
    try:
        return _members(wanted.parameters)
    except (msgspec.DecodeError, RecursionError) as fault:
        what = in_words(dict[str, Raw], bytes(wanted.parameters), "request.Parameters")
        raise Refusal(Code.WRONG_VALUE, what, field="request") from fault


_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def _spelt(name: str) -> str:
    """A parameter's name as the request's field: ``InteractionId``, ``interaction_id``."""
    snake = _HUMP.sub("_", name).lower()
    return _ALIASES.get(snake, snake)


def response(reply: Reply) -> Event3rdServerResponse:
    """A method's reply as the service's response."""
    return Event3rdServerResponse(response=Raw(encode(reply)))


def fault(refusal: Refusal) -> Event3rdServerFault:
    """What a method was refused with, as the service's fault. :raises Refusal: it stays an error"""
    if refusal.code in CLUSTERS_OWN:
        raise refusal
    return _fault(refusal.code, refusal.code.text, refusal.detail)


def _fault(code: int, text: str, detail: str | None) -> Event3rdServerFault:
    return Event3rdServerFault(fault_code=int(code), fault_string=f"{text}: {detail}" if detail else text)


_ERROR = b'{"message":"EventError"'
_read_error = msgspec.json.Decoder(EventError).decode


def wrapped(payload: bytes) -> bytes:
    """A method's reply or refusal, as it came, as the service's."""
    if not payload.startswith(_ERROR):
        return b'{"message":"Event3rdServerResponse","response":' + payload + b"}"
    try:
        error = _read_error(payload)
    except (msgspec.DecodeError, RecursionError):
        return payload
    return payload if error.code in CLUSTERS_OWN else encode(_fault(error.code, error.text, error.detail))
