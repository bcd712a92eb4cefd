"""What an option may be, in words: the one source of the sentences in faults and in the documentation page."""

from __future__ import annotations

import types
from datetime import date, datetime, time
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from msgspec import Meta, Struct
from msgspec.structs import fields

from .faults import quoted

_LONGEST_SHOWN = 60


class Kind(NamedTuple):
    """An option's type, taken apart.

    :param core: the bare type: ``int``, ``list[str]``, ``Literal[…]``, a class of options…
    :param meta: range and description
    :param optional: the option may be left unset without a default
    """

    core: Any
    meta: Meta
    optional: bool


def kind_of(annotation: Any) -> Kind:
    """The parts of an annotation as it stands in :mod:`broker.config.objects`."""
    meta, optional = Meta(), False
    while True:
        if get_origin(annotation) is Annotated:
            annotation, meta = get_args(annotation)[:2]
        elif get_origin(annotation) in (Union, types.UnionType):
            annotation = next(part for part in get_args(annotation) if part is not types.NoneType)
            optional = True
        else:
            return Kind(annotation, meta, optional)


def options_class(core: Any) -> type[Struct] | None:
    """``core`` if it is a class of options."""
    return core if isinstance(core, type) and issubclass(core, Struct) else None


def expected(annotation: Any) -> str:
    """What a value must be: ``a whole number from 1 to 600``, ``"none" or "ignore"``, ``an array of strings``…"""
    core, meta, _ = kind_of(annotation)
    origin, arguments = get_origin(core), get_args(core)
    if origin is Literal:
        return " or ".join(quoted(value) for value in arguments)
    if origin is list:
        least = ", at least one" if meta.min_length else ""
        return f"an array of {_PLURALS[kind_of(arguments[0]).core]}{least}"
    if origin is dict or options_class(core):
        return "a table" + _needed(options_class(core))
    return _WORDS[core] + _range(meta) + _such_as(meta)


def _needed(cls: type[Struct] | None) -> str:
    """What a table cannot do without."""
    needed = [field.encode_name for field in fields(cls) if field.required] if cls else []
    return f" with {' and '.join(needed)}" if needed else ""


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
_PLURALS = {int: "whole numbers", str: "strings"}


def _range(meta: Meta) -> str:
    if meta.ge is None or meta.le is None:
        return ""
    return f" from {number(meta.ge)} to {number(meta.le)}"


def _such_as(meta: Meta) -> str:
    """What a string with a spelling of its own looks like."""
    return f" such as {', '.join(quoted(one) for one in meta.examples)}" if meta.examples else ""


def number(value: float) -> str:
    """A number as people write it: ``10`` for 10.0."""
    return str(int(value)) if value == int(value) else str(value)


def shown(value: Any) -> str:
    """A value of a TOML file in a sentence, short."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = quoted(value) if isinstance(value, str) else _plain(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def _plain(value: float | datetime | date | time) -> str:
    """A number or a time. Numbers of thousands of digits are not spelt: the language refuses to."""
    if isinstance(value, int) and value.bit_length() > 256:
        return "a number of very many digits"
    return str(value)
