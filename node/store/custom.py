"""Custom properties as columns of ``interactions``: made, filled, and kept when they are no longer configured.

A column has what conditions see of the property, so a query and a view agree: a string, a number, a time in seconds;
NULL where the user data has no value, or one of another type, or a text that is too long for a condition.

``custom_columns`` says which columns are filled from what. A column that is new, or filled from something else than
before, has to be filled for what is in the table already: until that is done it is *stale*. A column of a property that
is no longer configured stays; as its values would not be kept right any more, an interaction that is written again
loses its value there. A column cannot change its type: it is renamed, and another one is made in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import apsw

from broker.conditions.properties import Kind
from broker.conditions.user_data import values_of
from broker.config.objects import CustomProperty
from broker.messages.objects import Interaction

from . import Arranged, schema
from .columns import COLUMNS, to_row

SQL_TYPES: dict[str, str] = {"string": "TEXT", "number": "NUMERIC", "timestamp": "REAL"}
"""Type of a custom property -> of its column. NUMERIC: whole numbers stay whole."""

_ADDED = re.compile(rb'(, "[a-z][a-z0-9_]*" (TEXT|NUMERIC|REAL))+\)$')


def without_added(definition: bytes) -> bytes:
    """The definition of ``interactions`` without the columns that were added to it."""
    return _ADDED.sub(b")", definition)


class Custom(NamedTuple):
    """How interactions are written by a store that has :func:`arrange` d its columns.

    :param put: the statement; :param values: an interaction -> what it takes
    """

    put: str = schema.put_interaction()
    values: Callable[[Interaction], list[Any]] = to_row


class _Column(NamedTuple):
    """A column as it should be. :param key: of the user data"""

    key: str
    kind: Kind


def arrange(db: apsw.Connection, custom: Mapping[str, CustomProperty]) -> tuple[Custom, Arranged]:
    """Makes the columns that are configured and not there, in the transaction that is open."""
    wanted = {it.column: _Column(key, it.type) for key, it in custom.items() if it.column is not None}
    there = {name: kind for name, kind in db.execute(schema.SELECT_COLUMNS) if name not in {"n", *COLUMNS}}
    known = {name: _Column(key, kind) for name, key, kind in db.execute(schema.SELECT_CUSTOM)}
    notes = list(_forget(db, known, wanted))
    for name, column in wanted.items():
        notes += _make(db, name, column, there)
        if name not in there or known.get(name) != column:
            db.execute(schema.PUT_CUSTOM, (name, *column))
    unfilled = [name for name in there if name not in wanted]
    stale = db.execute(schema.COUNT_STALE).get > 0
    return _writing(wanted, unfilled), Arranged(stale, notes)


def _forget(db: apsw.Connection, known: Mapping[str, _Column], wanted: Mapping[str, _Column]) -> Iterator[str]:
    """Takes note of properties that are no longer configured. :returns: a sentence for each"""
    for name, column in known.items():
        if name not in wanted:
            db.execute(schema.DROP_CUSTOM, (name,))
            yield f"the column {name} stays, but {column.key!r} is no longer a custom property and does not fill it"


def _make(db: apsw.Connection, name: str, column: _Column, there: dict[str, str]) -> Iterator[str]:
    """Adds a column where there is none of this name and type. :param there: column -> type, those it has to leave
    alone included; a renamed one is noted in it"""
    sql_type = SQL_TYPES[column.kind]
    if there.get(name) == sql_type:
        return
    if name in there:
        former = next(free for number in count(2) if (free := f"{name}_{number}") not in there)
        db.execute(schema.rename_column(name, former))
        there[former] = there.pop(name)
        yield f"the column {name} was of type {there[former]}: it is {former} now, and is not filled any more"
    db.execute(schema.add_column(name, sql_type))
    yield f"the custom property {column.key!r} has the column {name} ({sql_type})"


def _writing(wanted: Mapping[str, _Column], unfilled: Sequence[str]) -> Custom:
    if not wanted:
        return Custom(schema.put_interaction((), unfilled), to_row)
    read = values_of({column.key: column.kind for column in wanted.values()})
    return Custom(
        schema.put_interaction(tuple(wanted), unfilled),
        lambda interaction: to_row(interaction) + read(interaction.user_data),
    )
