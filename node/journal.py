"""The changes of a batch as they stand in the journal: JSON that a person can read, typed on the way back.

A row's ``changes`` is a list of ``[kind, …]``. Applying them is idempotent (last write per field wins), because tables
that are folded behind the journal may already hold a later state than the rows that are applied over them.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from broker.messages.objects import Interaction

Patch: Any = msgspec.defstruct(
    "Patch",
    [(field.name, field.type | UnsetType, UNSET) for field in msgspec.structs.fields(Interaction)],
    kw_only=True,
)
"""Some fields of an interaction; the others are UNSET."""

FIELDS: tuple[str, ...] = Interaction.__struct_fields__


class New(Struct, array_like=True, tag=0, frozen=True):
    """An interaction came in."""

    interaction: Interaction


class Set(Struct, array_like=True, tag=1, frozen=True):
    """Fields of an interaction have new values."""

    interaction_id: str
    patch: Patch


class Gone(Struct, array_like=True, tag=2, frozen=True):
    """An interaction is gone."""

    interaction_id: str


class Put(Struct, array_like=True, tag=3, frozen=True):
    """A row of a table has a new value."""

    table: str
    key: str
    row: Raw


class Drop(Struct, array_like=True, tag=4, frozen=True):
    """A row of a table is gone."""

    table: str
    key: str


class Settled(Struct, array_like=True, tag=5, frozen=True):
    """A proxy has all replies below this number; they are not kept any longer."""

    link: str
    below: int


Change = New | Set | Gone | Put | Drop | Settled

encode_changes = msgspec.json.Encoder().encode
decode_changes = msgspec.json.Decoder(list[Change]).decode
encode_row = msgspec.json.Encoder().encode
