"""Interactions as rows of a table: the columns follow the fields of the class, so a new field is a new column.

Scalars are columns of their own. What is no scalar (``workbin``, ``in_queues``, ``out_queues``) is JSON text, and user
data is the column ``flexible_properties``, byte for byte as it came in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw
from msgspec.inspect import FloatType, IntType, NoneType, StrType, type_info

from broker.messages.objects import Interaction

RENAMED = {
    "interaction_id": "id",
    "interaction_type": "type",
    "interaction_subtype": "subtype",
    "interaction_state": "state",
    "user_data": "flexible_properties",
}
"""Field -> column, where the published column has another name (domain facts, 2.2)."""

_SQL_TYPES: dict[type, str] = {IntType: "INTEGER", FloatType: "REAL", StrType: "TEXT"}
_PYTHON_TYPES: dict[str, type] = {"INTEGER": int, "REAL": float, "TEXT": str}
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


def _scalar(annotation: Any) -> str | None:
    """Column type of a field's type; None for what is no scalar."""
    info = type_info(annotation)
    kinds = [kind for kind in getattr(info, "types", (info,)) if not isinstance(kind, NoneType)]
    return _SQL_TYPES.get(type(kinds[0])) if len(kinds) == 1 else None


_fields = {field.name: field for field in msgspec.structs.fields(Interaction)}
FIELDS = (*(name for name in _fields if name != "user_data"), "user_data")
"""The order of the columns: user data is last."""
COLUMNS = {RENAMED.get(name, name): _scalar(_fields[name].type) or "TEXT" for name in FIELDS}
"""Column -> its SQL type. JSON is TEXT: in a column declared JSON, SQLite would turn ``"1e3"`` into a number."""
_JSON_FIELDS = {
    name: msgspec.json.Decoder(_fields[name].type).decode for name in FIELDS[:-1] if _scalar(_fields[name].type) is None
}
_JSON_PLACES = tuple(FIELDS.index(name) for name in _JSON_FIELDS)


def _allowed(name: str) -> set[type]:
    """What may come out of a field's column; NULL where the field may be absent, or null."""
    if name == "user_data":
        return {bytes}
    field, column_type = _fields[name], COLUMNS[RENAMED.get(name, name)]
    kinds = getattr(type_info(field.type), "types", ())
    never_null = field.required and not any(isinstance(kind, NoneType) for kind in kinds)
    return {_PYTHON_TYPES[column_type]} if never_null else {_PYTHON_TYPES[column_type], type(None)}


_ALLOWED = tuple(map(_allowed, FIELDS))
_REQUIRED = {name for name in FIELDS if _fields[name].required}
_get: Callable[[Interaction], tuple[Any, ...]] = attrgetter(*FIELDS)
_encode = msgspec.json.Encoder().encode


def to_row(interaction: Interaction) -> list[Any]:
    """The values of :data:`COLUMNS`; user data as bytes."""
    values = list(_get(interaction))
    for at in _JSON_PLACES:
        if values[at] is not None:
            values[at] = _encode(values[at]).decode()
    values[-1] = bytes(values[-1])
    return values


def to_limited_row(interaction: Interaction) -> list[Any]:
    """As :func:`to_row`, with numbers that SQLite can hold: one absurd number must not stop the folding of all."""
    return [min(max(value, _SMALLEST), _LARGEST) if isinstance(value, int) else value for value in to_row(interaction)]


class _Shape(NamedTuple):
    """How to make an interaction of a row, as far as it follows from the types of the row's values.

    :param names: of the fields that are there, user data aside; :param take: their values out of the row
    :param decoders: of those that are JSON
    """

    names: list[str]
    take: Callable[[Sequence[Any]], tuple[Any, ...]]
    decoders: list[tuple[str, Callable[[str], Any]]]


@lru_cache(maxsize=1024)
def _shape(types: tuple[type, ...]) -> _Shape:
    """:raises TypeError: a value has a type that its column cannot have"""
    for name, kind, allowed in zip(FIELDS, types, _ALLOWED, strict=True):
        if kind not in allowed:
            raise TypeError(f"{name} is {kind.__name__}")
    names = [
        name for name, kind in zip(FIELDS[:-1], types, strict=False) if kind is not type(None) or name in _REQUIRED
    ]
    take = itemgetter(*map(FIELDS.index, names))
    return _Shape(names, take, [(name, _JSON_FIELDS[name]) for name in names if name in _JSON_FIELDS])


def from_row(values: Sequence[Any]) -> Interaction:
    """The interaction of a row. Tables have few shapes of rows, so the types are checked for nothing (3.5 µs; 3.3
    without, 4.8 when each row is checked by itself).

    :raises msgspec.DecodeError, TypeError: it is none that :func:`to_row` has made
    """
    names, take, decoders = _shape(tuple(map(type, values)))
    fields = dict(zip(names, take(values), strict=True))
    for name, decode in decoders:
        fields[name] = decode(fields[name])
    return Interaction(**fields, user_data=Raw(values[-1]))
