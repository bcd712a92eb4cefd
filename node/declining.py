"""What is said of requests that are not decoded: a member that does not serve, a field that is wrong."""

from __future__ import annotations

import orjson

from broker.errors import Code, Refusal
from broker.messages import REQUESTS, encode, error_payload
from broker.messages.connection import EventPong


def declined(payload: bytes, longest: int, pong: EventPong, refusal: Refusal) -> tuple[bytes, int]:
    """The reply to a request and its code: Ping is answered, everything else is refused.

    :param longest: what is longer is not looked at
    """
    name = message_name(payload) if len(payload) <= longest else None
    if name == "RequestPing":
        return encode(pong), 0
    return error_payload(refusal, name, pong.server), int(refusal.code)


def faulty_name(payload: bytes, refusal: Refusal) -> str | None:
    """The name of a request that cannot be decoded because of one of its fields; None where it is none."""
    named = refusal.code in (Code.MISSING_ATTRIBUTE, Code.WRONG_VALUE)
    name = message_name(payload) if named else None
    return name if name in REQUESTS else None


def message_name(payload: bytes) -> str | None:
    """What a payload says that it is; None where it cannot be read."""
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    name = document.get("message") if isinstance(document, dict) else None
    return name if isinstance(name, str) else None
