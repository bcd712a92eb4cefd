"""What a module of requests has of each: who writes it, and who judges the reply."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from tests.model.asked import Asked
from tests.model.author import Author
from tests.model.things import Client, Document


class Entry(NamedTuple):
    """A request. :param write: its fields; :param judge: holds the reply against the model, and does it there"""

    write: Callable[[Author], Document]
    judge: Callable[[Asked], None]


Next = tuple[Client, str]
"""Who might ask next for what."""


def same(names: Iterable[str], entry: Entry) -> dict[str, Entry]:
    """Several requests that are alike."""
    return dict.fromkeys(names, entry)


def no_fields(author: Author) -> Document:
    return {}


def nothing(asked: Asked) -> None:
    """It is acked, and nothing is changed."""
    asked.verdict(())
