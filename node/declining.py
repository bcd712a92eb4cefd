"""What a member answers that does not serve."""

from __future__ import annotations

import orjson

from broker.errors import Refusal
from broker.messages import encode, error_payload
from broker.messages.connection import EventPong


def declined(payload: bytes, longest: int, pong: EventPong, refusal: Refusal) -> tuple[bytes, int]:
    """The reply to a request and its code: Ping is answered, everything else is refused.

    :param longest: what is longer is not looked at
    """
    name = _message_name(payload) if len(payload) <= longest else None
    if name == "RequestPing":
        return encode(pong), 0
    return error_payload(refusal, name), int(refusal.code)


def _message_name(payload: bytes) -> str | None:
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    name = document.get("message") if isinstance(document, dict) else None
    return name if isinstance(name, str) else None
