"""Custom properties: their values are read from the JSON of an interaction's ``user_data``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Annotated, Any

import msgspec

from broker.messages.kinds import EMPTY

from .literals import parse_time
from .properties import Kind

MAX_STRING = 4000
"""Characters of a custom string that counts. As a database column would, it bounds sort keys and what ``like`` may cost
(measured, worst pattern: 270 ms on a megabyte)."""


_JSON_TYPES: dict[Kind, Any] = {
    "string": Annotated[str, msgspec.Meta(max_length=MAX_STRING)] | None,
    "number": int | float | None,
    "timestamp": int | float | Annotated[str, msgspec.Meta(max_length=MAX_STRING)] | None,
}
"""What a custom property's value may be in the JSON of ``user_data``."""


def reader(keys: Mapping[str, Kind]) -> Callable[[bytes], Any]:
    """A function: ``user_data`` -> an object with the values of ``keys`` as ``f0``, ``f1`` …, in their order.

    A value that is absent, null or of a wrong type is None.
    """
    fields = [(f"f{at}", _JSON_TYPES[kind], None) for at, kind in enumerate(keys.values())]
    one_by_one = _patient_reader(list(keys), fields)
    rename = {name: key for key, (name, _, _) in zip(keys, fields, strict=True)}
    try:
        at_once = msgspec.json.Decoder(msgspec.defstruct("Custom", fields, rename=rename, gc=False)).decode
    except ValueError:  # msgspec takes no key with a quote, a backslash or a control character
        return one_by_one

    def read(user_data: bytes) -> Any:
        try:
            return at_once(user_data)
        except (ValueError, RecursionError):  # some value is of a wrong type; the others still count
            return one_by_one(user_data)

    return read


def values_of(keys: Mapping[str, Kind]) -> Callable[[bytes], list[Any]]:
    """A function: ``user_data`` -> the values of ``keys`` as conditions compare them, times in seconds, absent ones
    None. Numbers beyond 64 bits are floats there, as databases have them."""
    read = reader(keys)
    times = [at for at, kind in enumerate(keys.values()) if kind == "timestamp"]
    numbers = [at for at, kind in enumerate(keys.values()) if kind == "number"]
    nothing: list[Any] = [None] * len(keys)

    def values(user_data: bytes) -> list[Any]:
        if user_data == EMPTY:
            return nothing
        found = list(msgspec.structs.astuple(read(user_data)))
        for at in times:
            found[at] = parse_time(found[at])
        for at in numbers:
            found[at] = _limited(found[at])
        return found

    return values


def _limited(number: int | float | None) -> int | float | None:
    if type(number) is not int or -(2**63) <= number < 2**63:
        return number
    try:
        return float(number)
    except OverflowError:
        return inf if number > 0 else -inf


def _patient_reader(keys: list[str], fields: list[tuple[str, Any, None]]) -> Callable[[bytes], Any]:
    """A reader as :func:`reader`'s that takes any key, and drops just the values that are wrong; slower."""
    custom = msgspec.defstruct("Custom", fields, gc=False)
    split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    decoders = [
        (key, name, msgspec.json.Decoder(type_).decode) for key, (name, type_, _) in zip(keys, fields, strict=True)
    ]

    def read(user_data: bytes) -> Any:
        values: dict[str, Any] = {}
        try:
            raws = split(user_data)
        except (ValueError, RecursionError):
            return custom()
        for key, name, decode in decoders:
            try:
                values[name] = decode(raws[key])
            except (KeyError, ValueError, RecursionError):
                values[name] = None
        return custom(**values)

    return read
