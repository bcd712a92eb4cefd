"""Values as a text writes them: numbers, times, states, strings."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isinf

from lark import Token

from broker.messages.objects import STATES

from .properties import Kind

Value = str | int | float

TAKES: dict[Kind, str] = {
    "string": "is a string: write it in single quotes",
    "number": "is a number: write it without quotes",
    "timestamp": "is a time: seconds since 1970 or 'YYYY-MM-DD HH:MM:SS' (UTC)",
    "state": "is a state: 0 to 3, or " + ", ".join(f"'{name}'" for name in STATES),
}
"""What a property of each kind is compared with, as a refusal says it."""


def parse_time(value: str | float | None) -> float | None:
    """Seconds since the epoch of ISO-8601 text (UTC where it does not say); other text: None; no text: as it is."""
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def number_of(text: str) -> int | float | None:
    """The number that a token says; None: it is out of range."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        return None if isinf(number) else number


def string_as(kind: Kind, text: str) -> Value | None:
    """A string's value for a property of ``kind``; None: it has none."""
    if kind == "timestamp":
        return parse_time(text)
    if kind == "state":
        return STATES.index(text.lower()) if text.lower() in STATES else None
    return text if kind == "string" else None


def unquoted(token: Token) -> str:
    """The text of a string, without its quotes."""
    return token[1:-1].replace("''", "'")
