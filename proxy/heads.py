"""The heads of requests: of each request class just the fields that its route needs, decoded in one pass.

msgspec skips all else, and the payload goes on byte for byte. The heads are made from the catalogue, with the request
classes' own types, so a new request class needs nothing here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from broker.errors import Code, Refusal
from broker.messages import REQUESTS, decoder
from broker.messages.kinds import Request, Route

NEEDS: dict[Route, frozenset[str]] = {
    Route.INTERACTION: frozenset({"interaction_id", "timeout", "agent_id", "place_id"}),
    Route.SUBMIT: frozenset(
        {"tenant_id", "media_type", "interaction_id", "parent_id", "dedup_id", "agent_id", "place_id"}
    ),
    Route.SCATTER: frozenset({"tenant_id", "media_type", "count", "order", "require_complete"}),
    Route.AGENT: frozenset({"tenant_id", "agent_id", "place_id", "media_type", "media_list", "state", "reason"}),
    Route.SNAPSHOT: frozenset({"snapshot_id", "start_from"}),
    Route.NODE: frozenset({"node", "count"}),
    Route.RESERVE: frozenset({"tenant_id", "agent_id", "place_id", "timeout"}),
    Route.REFERENCE: frozenset({"esp_server_refid"}),
}
"""The fields that a route looks at; one that a request does not have is None in its head. Requests of the other routes
are small or need all of their fields here: their head is the request itself."""

ASKED_FOR: dict[Route, dict[str, Code]] = {
    Route.INTERACTION: {"interaction_id": Code.NOT_ACCESSIBLE},
    Route.SUBMIT: {"tenant_id": Code.NO_SERVERS, "media_type": Code.NO_SERVERS},
    Route.SCATTER: {"tenant_id": Code.NO_SERVERS, "media_type": Code.NO_SERVERS},
    Route.SERVICE: {
        "tenant_id": Code.NO_SERVERS,
        "media_type": Code.NO_SERVERS,
        "interaction_id": Code.NOT_ACCESSIBLE,
    },
    Route.AGENT: {"tenant_id": Code.NO_SERVERS},
    Route.RESERVE: {"tenant_id": Code.NO_SERVERS},
    Route.ENGINE: {"tenant_id": Code.NO_SERVERS},
    Route.PULL: {
        "tenant_id": Code.NO_SERVERS,
        "media_type": Code.NO_SERVERS,
        "pull_parameters": Code.NOT_ACCESSIBLE,
    },
}
"""What a proxy answers when an attribute that it routes by is absent or wrong (guide, "Implementation Limitations")."""


class _Named(msgspec.Struct):
    message: Any = None


_named = msgspec.json.Decoder(_Named).decode


def head_of(request: type[Request]) -> type[Any]:
    """The class to decode ``request`` as: a struct of the same name on the wire with only what its route needs."""
    needs = NEEDS.get(request.route)
    if needs is None:
        return request
    chosen = [field for field in msgspec.structs.fields(request) if field.name in needs]
    return msgspec.defstruct(
        f"{request.__name__}Head",
        [_definition(field) for field in chosen],
        tag_field="message",
        tag=request.__struct_config__.tag,
        kw_only=True,
        rename={field.name: field.encode_name for field in chosen},
        namespace={
            "__doc__": f"What routes a {request.__name__}.",
            **dict.fromkeys(needs.difference(field.name for field in chosen)),
        },
        module=__name__,
    )


def _definition(field: msgspec.structs.FieldInfo) -> tuple[str, type, Any]:
    """A field as ``defstruct`` wants it."""
    default: Any = msgspec.NODEFAULT
    if field.default is not msgspec.NODEFAULT:
        default = field.default
    elif field.default_factory is not msgspec.NODEFAULT:
        default = msgspec.field(default_factory=field.default_factory)
    if default is msgspec.NODEFAULT:
        default = msgspec.field()
    return field.name, field.type, default


HEADS: dict[type[Any], type[Request]] = {head_of(request): request for request in REQUESTS.values()}
"""Every head and the request that it is the head of."""

decode_head = decoder(HEADS)
"""JSON bytes -> the request's head; raises ``Refusal`` like :func:`broker.messages.decode_request`."""


def request_of(payload: bytes) -> type[Request] | None:
    """The request that a payload with a fault names, as far as that can be read."""
    try:
        name = _named(payload).message
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return REQUESTS.get(name) if isinstance(name, str) else None


def as_answered(refusal: Refusal, request: type[Request] | None) -> Refusal:
    """A fault in a request as a proxy answers it: 2003 where an interaction was asked for, 2001 where tenant or media
    type was, else what it is."""
    if request is None or refusal.code not in (Code.MISSING_ATTRIBUTE, Code.WRONG_VALUE):
        return refusal
    code = ASKED_FOR.get(request.route, {}).get(refusal.field or "")
    return refusal if code is None else Refusal(code, refusal.detail, field=refusal.field)
