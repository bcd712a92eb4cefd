"""What becomes of a request, as a client sees it: a reply, an error that the server answered, or no reply at all."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec


class ClientError(Exception):
    """The server refused: it answered ``EventError``.

    :param code: the number, see :class:`broker.errors.Code`
    :param text: the code's text and, where there is one, the detail
    :param reply: the whole ``EventError``
    """

    def __init__(self, code: int, text: str, reply: dict[str, Any]) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text
        self.reply = reply


class Unavailable(Exception):
    """No server could be reached, or the one that had the request was lost; it may or may not have been done."""


Answer: TypeAlias = bytes | Exception
"""What became of a request: the reply's payload, or why there is none."""
Outcome: TypeAlias = dict[str, Any] | Exception
"""The same, with the reply decoded; an ``EventError`` is a reply. Why there is none: :class:`Unavailable`,
``TimeoutError``, or the :class:`ClientError` of a registration that was refused."""


class Head(msgspec.Struct):
    """What a client looks at in a reply."""

    message: str = ""
    code: int = 0
    text: str = ""
    session_id: str | None = None
    keepalive_interval: float | None = None
    role: str = ""
    registered: bool | None = None


_head = msgspec.json.Decoder(Head).decode

_UNREADABLE = Head()


def look(payload: bytes) -> Head:
    """The head of a reply, error or not; an empty one where it cannot be read."""
    try:
        return _head(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _UNREADABLE


def error_of(payload: bytes) -> ClientError | None:
    """The error that a reply's payload is; None for any other reply."""
    head = look(payload)
    if head.message != "EventError":
        return None
    reply = msgspec.json.decode(payload)
    return ClientError(head.code, ": ".join([head.text, *_details(reply)]), reply)


def _details(reply: dict[str, Any]) -> list[str]:
    """What an error says besides its text: the field, where the sentence does not name it, and the sentence."""
    field, detail = reply.get("field"), reply.get("detail")
    if not detail:
        return []
    return [field, detail] if field and field not in detail else [detail]
