"""Requests about the connection."""

from __future__ import annotations

from tests.model.asked import Asked
from tests.model.author import Author
from tests.model.requests.entries import Entry, no_fields, nothing
from tests.model.things import Document


def unregister(asked: Asked) -> None:
    if asked.verdict(()):
        asked.plain.end_session(asked.client, vanished=bool(asked["vanished"]))


def write_unregister(author: Author) -> Document:
    """A proxy says it of a client that is silent, too."""
    return {"vanished": True} if author.client.proxied and author.some() else {}


REQUESTS = {
    "RequestUnregisterClient": Entry(write_unregister, unregister),
    "RequestPing": Entry(no_fields, nothing),
}
