"""The effective configuration: what the file says and the defaults it leaves, as TOML with the differences marked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo

from .faults import key_of, key_part, quoted
from .kinds import kind_of, number, options_class
from .locator import Path
from .objects import Configuration

_MARK_COLUMN = 48


def listing(configuration: Configuration) -> str:
    """Every option with its value, as TOML that reads back as the same configuration.

    Behind an option that differs from its default stands a comment with the default; an option that is not set and
    has no default is a comment itself.
    """
    return "\n".join(_section(configuration, ())).lstrip("\n") + "\n"


def document(configuration: Configuration) -> dict[str, Any]:
    """The same for programs: ``configuration`` as plain tables, ``changed`` the keys that differ from their default."""
    plain = msgspec.to_builtins(configuration, str_keys=True)
    return {"configuration": plain, "changed": [key_of(path) for path in _changed(configuration, ())]}


def _section(options: Struct, path: Path) -> Iterator[str]:
    """The lines of one table and of the tables in it: first its own options, as TOML wants it."""
    fields = msgspec.structs.fields(type(options))
    own = [field for field in fields if not _is_table(field)]
    if path and own:
        yield from ("", f"[{key_of(path)}]")
    for field in own:
        yield _line(field, getattr(options, field.name))
    for field in fields:
        if _is_table(field):
            yield from _table(getattr(options, field.name), (*path, field.encode_name))


def _table(value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, Struct):
        yield from _section(value, path)
        return
    plain = {key: entry for key, entry in (value or {}).items() if not isinstance(entry, Struct)}
    if plain:
        yield from ("", f"[{key_of(path)}]")
        yield from (f"{key_part(str(key))} = {spelt(entry)}" for key, entry in plain.items())
    for key, entry in (value or {}).items():
        if isinstance(entry, Struct):
            yield from _section(entry, (*path, str(key)))


def _is_table(field: FieldInfo) -> bool:
    core = kind_of(field.type).core
    return options_class(core) is not None or getattr(core, "__origin__", None) is dict


def _line(field: FieldInfo, value: Any) -> str:
    if value is None:
        return f"# {field.encode_name} is not set"
    line = f"{field.encode_name} = {spelt(value)}"
    return f"{line:<{_MARK_COLUMN}}# default: {spelt(default_of(field))}" if _differs(field, value) else line


def _differs(field: FieldInfo, value: Any) -> bool:
    return not field.required and value != default_of(field)


def default_of(field: FieldInfo) -> Any:
    """The default of an option that has one; ``UNSET`` for an option that must be given."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return msgspec.UNSET if field.default is msgspec.NODEFAULT else field.default


def _changed(options: Struct, path: Path) -> Iterator[Path]:
    for field in msgspec.structs.fields(type(options)):
        value, here = getattr(options, field.name), (*path, field.encode_name)
        if not _is_table(field):
            if _differs(field, value):
                yield here
        elif isinstance(value, Struct):
            yield from _changed(value, here)
        else:
            for key, entry in (value or {}).items():
                if isinstance(entry, Struct):
                    yield from _changed(entry, (*here, str(key)))


def spelt(value: Any) -> str:
    """A value as TOML spells it; what is not set as ``not set``."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"[{', '.join(map(spelt, value))}]"
    return number(value)
