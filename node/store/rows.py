"""Rows of the journal as SQLite keeps them: each with a checksum of its own, for a page of SQLite's has none.

A journal is read again after months, by a start, a standby, a proxy that fills a gap. What the disk has changed since
must be an error then, never an answer. The checksum is over a row's content, not over pages, so every SQLite tool can
copy, tidy and rewrite the file.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any
from zlib import crc32

from . import Corrupt, Row

_pack_head = struct.Struct("<qqqq").pack


def checksum(row: Row) -> int:
    """CRC-32 of everything in the row. The length of ``changes`` is in it, so no byte can move over to ``events``.

    :raises struct.error, TypeError: a field has a type that no row has
    """
    head = _pack_head(row.rev, row.epoch, row.us, len(row.changes))
    return crc32(row.events, crc32(row.changes, crc32(head)))


def to_values(row: Row) -> tuple[Any, ...]:
    """The values of the journal's columns. No events are NULL, so that the index passes over them."""
    return row.rev, row.epoch, row.us, checksum(row), row.changes, row.events or None


def from_values(path: str, values: Sequence[Any]) -> Row:
    """The row, if it is as it was written.

    :param path: of the database
    :raises Corrupt: it is not
    """
    rev, epoch, us, crc, changes, events = values
    row = Row(rev, epoch, us, changes, b"" if events is None else events)
    try:
        intact = checksum(row) == crc
    except (struct.error, TypeError):
        intact = False
    if not intact:
        raise Corrupt(path, f"row {rev} of the journal does not match its checksum")
    return row
