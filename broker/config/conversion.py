"""A TOML document -> objects, option by option, so that a wrong option hides no other.

The walk is led by the classes of :mod:`broker.config.objects`: a class of options is a table whose keys are its fields,
a ``dict`` is a table whose keys are names, a ``list`` an array; all else is a single value that msgspec judges.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo

from .faults import Findings, quoted
from .kinds import expected, kind_of, options_class, shown
from .locator import Path

T = TypeVar("T", bound=msgspec.Struct)

_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
"""A number as the key of a table: one spelling only, so that two keys cannot mean the same."""


def convert(table: dict[str, Any], cls: type[T], findings: Findings) -> T:
    """A whole document as an object of ``cls``; where an option is wrong, ``findings`` has it, and the object holds a
    placeholder."""
    return _options(table, cls, (), findings)


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown ``name``: the known one it may have been meant to be, or nothing."""
    found = get_close_matches(name, list(known), n=1)
    return f"; did you mean {quoted(found[0])}?" if found else ""


def _options(table: dict[str, Any], cls: type[T], path: Path, findings: Findings) -> T:
    fields = {field.encode_name: field for field in msgspec.structs.fields(cls)}
    for key in table:
        if key not in fields:
            what = "section" if isinstance(table[key], dict) else "option"
            findings.refuse((*path, key), f"is not a known {what}{nearest(key, fields)}")
    given = {field.name: _given(table, field, path, findings) for field in fields.values()}
    return cls(**{name: value for name, value in given.items() if value is not msgspec.UNSET})


def _given(table: dict[str, Any], field: FieldInfo, path: Path, findings: Findings) -> Any:
    """The value of one option; ``UNSET`` where the file leaves the default."""
    path = (*path, field.encode_name)
    if field.encode_name in table:
        return _value(table[field.encode_name], field.type, path, findings)
    if not field.required:
        return msgspec.UNSET
    findings.refuse(path, f"is missing: expected {expected(field.type)}")
    return _placeholder(field.type)


def _value(value: Any, annotation: Any, path: Path, findings: Findings) -> Any:
    core = kind_of(annotation).core
    cls = options_class(core)
    shape: Any = dict if cls else get_origin(core)
    if shape not in (dict, list):
        return _single(value, annotation, path, findings)
    if not isinstance(value, shape):
        return _refused(value, annotation, path, findings)
    if cls:
        return _options(value, cls, path, findings)
    return (_table if shape is dict else _array)(value, annotation, path, findings)


def _single(value: Any, annotation: Any, path: Path, findings: Findings) -> Any:
    core = kind_of(annotation).core
    if get_origin(core) is Literal and isinstance(value, bool):
        # an option with the published values true, false and another: TOML's own true and false are meant by it
        value = str(value).lower() if str(value).lower() in get_args(core) else value
    try:
        return msgspec.convert(value, annotation)
    except (msgspec.ValidationError, OverflowError):
        return _refused(value, annotation, path, findings)


def _table(table: dict[str, Any], annotation: Any, path: Path, findings: Findings) -> dict[Any, Any]:
    """A table of names: each key and each value by itself. A wrong key's entry is left out."""
    key_type, value_type = get_args(kind_of(annotation).core)
    numbered = kind_of(key_type).core is int
    made = {}
    for key, value in table.items():
        if numbered and not _is_number(key, key_type):
            findings.refuse((*path, key), f"expected {expected(key_type)} as the key")
            continue
        made[int(key) if numbered else key] = _value(value, value_type, (*path, key), findings)
    return made


def _is_number(key: str, key_type: Any) -> bool:
    meta = kind_of(key_type).meta
    return bool(_NUMBER.fullmatch(key)) and int(key) <= float(meta.le or "inf")


def _array(array: list[Any], annotation: Any, path: Path, findings: Findings) -> list[Any]:
    core, meta, _ = kind_of(annotation)
    (element,) = get_args(core)
    if len(array) < (meta.min_length or 0):
        findings.add(path, f"expected {expected(annotation)}")
    return [_value(value, element, (*path, index), findings) for index, value in enumerate(array)]


def _refused(value: Any, annotation: Any, path: Path, findings: Findings) -> Any:
    findings.refuse(path, f"expected {expected(annotation)}, got {shown(value)}")
    return _placeholder(annotation)


def _placeholder(annotation: Any) -> Any:
    """Some value of the right type."""
    core = kind_of(annotation).core
    cls = options_class(core)
    if cls:
        required = (field for field in msgspec.structs.fields(cls) if field.required)
        return cls(**{field.name: _placeholder(field.type) for field in required})
    if get_origin(core) is Literal:
        return get_args(core)[0]
    return (get_origin(core) or core)()
