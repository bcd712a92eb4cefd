"""The catalogue: every request, reply, notification and reporting event as a typed class, a module per family.

A new message is a class in its family's module; it is found here by being there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, TypeVar, Union

import msgspec

from broker.errors import Code, Refusal

from . import (
    agents,
    capacity,
    connection,
    explaining,
    interactions,
    licences,
    operations,
    panics,
    parties,
    proxies,
    pulls,
    queues,
    reporting,
    reservations,
    routing,
    services,
    snapshots,
    states,
    strategies,
    topics,
    workbins,
)
from .connection import EventError
from .faults import refusal_of
from .kinds import Message, Notification, Reply, ReportingEvent, Request

FAMILIES: tuple[ModuleType, ...] = (
    connection,
    agents,
    states,
    panics,
    interactions,
    pulls,
    routing,
    reservations,
    capacity,
    licences,
    strategies,
    parties,
    workbins,
    snapshots,
    services,
    reporting,
    topics,
    operations,
    proxies,
    queues,
    explaining,
)

M = TypeVar("M", bound=Message)


def _classes(kind: type[M]) -> Iterator[type[M]]:
    """The concrete classes of one kind in the catalogue's order; shared parents have no wire name of their own."""
    for family in FAMILIES:
        for thing in vars(family).values():
            ours = isinstance(thing, type) and issubclass(thing, kind) and thing.__module__ == family.__name__
            if ours and _wire_name(thing).startswith(("Request", "Event")):
                yield thing


def _wire_name(cls: type[msgspec.Struct]) -> str:
    return str(cls.__struct_config__.tag)


REQUESTS: dict[str, type[Request]] = {_wire_name(cls): cls for cls in _classes(Request)}
REPLIES: dict[str, type[Reply]] = {_wire_name(cls): cls for cls in _classes(Reply)}
NOTIFICATIONS: dict[str, type[Notification]] = {_wire_name(cls): cls for cls in _classes(Notification)}
EVENTS: dict[str, type[ReportingEvent]] = {_wire_name(cls): cls for cls in _classes(ReportingEvent)}

encode = msgspec.json.Encoder().encode
"""Any message -> its JSON bytes, ``message`` first."""

_FEW = 100
"""With so few brackets nothing is nested too deep."""
_ROOM = 64
"""Python's levels that are left free while a deep payload is decoded."""


def decoder(kinds: Iterable[type[Any]], called: str = "request") -> Callable[[bytes], Any]:
    """A function that turns JSON bytes into the one of ``kinds`` (tagged structs) that they are.

    It raises :class:`Refusal`: ``MALFORMED`` (no JSON object with a ``message``, or nested too deep), ``UNSUPPORTED``
    (no such request), ``MISSING_ATTRIBUTE`` and ``WRONG_VALUE`` with the field, and what was expected of it.

    :param called: what it decodes, in its sentences
    """
    named = {_wire_name(kind): kind for kind in kinds}
    decode = msgspec.json.Decoder(Union[tuple(named.values())]).decode  # noqa: UP007 - of a tuple, there is no other way

    def checked(payload: bytes) -> Any:
        try:
            if not payload.isascii():
                payload.decode()  # free JSON is kept as it came, unseen: others would get what is not UTF-8
            if payload.count(b"[") + payload.count(b"{") > _FEW:
                return _with_room(decode, payload, _ROOM)
            return decode(payload)
        except msgspec.ValidationError as fault:
            raise refusal_of(str(fault), payload, named, called) from None
        except UnicodeDecodeError as fault:
            raise Refusal(Code.MALFORMED, f"not UTF-8 from byte {fault.start} on") from None
        except (msgspec.DecodeError, RecursionError) as fault:
            raise Refusal(Code.MALFORMED, f"not JSON: {fault}") from None

    return checked


def _with_room(decode: Callable[[bytes], Any], payload: bytes, levels: int) -> Any:
    """Decodes from further down Python's stack: what is nested so deep that it only just can be decoded here could not
    be where the stack is a little longer, as when a handler, a standby or a start reads it again."""
    return _with_room(decode, payload, levels - 1) if levels else decode(payload)


decode_request: Callable[[bytes], Request] = decoder(REQUESTS.values())
"""JSON bytes -> the request they are; raises as :func:`decoder` says."""


def error_payload(refusal: Refusal, request: str | None, server: str) -> bytes:
    """A refusal as the bytes of its ``EventError``.

    :param request: name of the request, where it could be read; :param server: who refuses, a node or a proxy
    """
    return encode(
        EventError(
            code=int(refusal.code),
            text=refusal.code.text,
            request=request,
            server=server,
            detail=refusal.detail or None,
            field=refusal.field,
            missing=list(refusal.missing) or None,
            retry_after=refusal.retry_after,
        )
    )


__all__ = [
    "EVENTS",
    "FAMILIES",
    "NOTIFICATIONS",
    "REPLIES",
    "REQUESTS",
    "decode_request",
    "decoder",
    "encode",
    "error_payload",
]
