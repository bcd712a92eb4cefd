"""Requests about the connection."""

from __future__ import annotations

from tests.model.asked import Asked
from tests.model.requests.entries import Entry, no_fields, nothing


def unregister(asked: Asked) -> None:
    if asked.verdict(()):
        asked.plain.end_session(asked.client)


REQUESTS = {
    "RequestUnregisterClient": Entry(no_fields, unregister),
    "RequestPing": Entry(no_fields, nothing),
}
