"""Types and docstrings in words: what the documentation pages say of a field."""

from __future__ import annotations

import re
import types
from enum import Enum
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import FieldInfo

from broker.config.kinds import number


class Kind(NamedTuple):
    """A field's type, taken apart. :param core: the bare type; :param bounds: of its values or length"""

    core: Any
    bounds: Meta
    description: str


def kind_of(annotation: Any) -> Kind:
    """The parts of an annotation: of several descriptions the outermost counts, of several bounds the innermost."""
    bounds, description = Meta(), ""
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *metas = get_args(annotation)
            for meta in reversed(metas):
                description = description or meta.description or ""
                bounds = meta if _has_bounds(meta) else bounds
        elif len(parts := alternatives(annotation)) == 1 and parts[0] is not annotation:
            annotation = parts[0]
        else:
            return Kind(annotation, bounds, description)


def _has_bounds(meta: Meta) -> bool:
    return any(bound is not None for bound in (meta.ge, meta.le, meta.min_length, meta.max_length))


def alternatives(annotation: Any) -> list[Any]:
    """The types that a union is of, without those that only say that the field may be left out."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return [annotation]
    return [part for part in get_args(annotation) if part not in (types.NoneType, UnsetType)]


_WORDS: dict[Any, tuple[str, str]] = {
    str: ("string", "strings"),
    int: ("whole number", "whole numbers"),
    float: ("number", "numbers"),
    bool: ("true or false", "true or false"),
    Raw: ("JSON", "JSON"),
    Any: ("JSON", "JSON"),
}


def in_words(annotation: Any, *, several: bool = False) -> str:
    """A type for people: ``string, 1 to 64 characters``, ``array of whole numbers``, ``0 or 1``…

    A struct is a link to its place on the page of events.
    """
    kind = kind_of(annotation)
    parts = alternatives(kind.core)
    if len(parts) > 1:
        return " or ".join(in_words(part) for part in parts)
    origin, arguments = get_origin(kind.core), get_args(kind.core)
    if origin is list:
        return f"array of {in_words(arguments[0], several=True)}"
    if origin is dict:
        return "objects" if several else "object"
    if isinstance(kind.core, type) and issubclass(kind.core, Enum):
        return ", ".join(f"`{one.value}`" for one in kind.core)
    if isinstance(kind.core, type) and issubclass(kind.core, Struct):
        return link(kind.core.__name__)
    if (kind.bounds.ge, kind.bounds.le) == (0, 1):
        return "0 or 1"
    return _WORDS[kind.core][several] + ("" if several else _range(kind.bounds))


def _range(bounds: Meta) -> str:
    """What ``Meta`` allows."""
    if bounds.max_length is not None:
        return f", {bounds.min_length or 0} to {bounds.max_length} characters"
    if bounds.ge is None:
        return ""
    return f" from {number(bounds.ge)}" + (f" to {number(bounds.le)}" if bounds.le is not None else "")


def link(name: str) -> str:
    """A link to an event, reply, notification or part."""
    return f"[{name}](events.md#{name.lower()})"


def default_of(field: FieldInfo) -> str | None:
    """A field's default as JSON; empty: none, it is just not there; None: the field is always there."""
    default: Any = field.default
    if field.default_factory is not NODEFAULT:
        default = field.default_factory()
    if default is NODEFAULT:
        return None
    return "" if default in (None, UNSET) else f"`{msgspec.json.encode(default).decode()}`"


_PARAM = re.compile(r"^\s*:param (\w+): (.*(?:\n(?!\s*(?::param|\n|$)).*)*)", re.MULTILINE)


def params(cls: type[Any]) -> dict[str, str]:
    """What the docstrings of a class and its parents say of its fields."""
    said: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        said |= {name: plain(text) for name, text in _PARAM.findall(vars(one).get("__doc__") or "")}
    return said


def story(cls: type[Any]) -> str:
    """The docstring without its fields, a line a paragraph."""
    text = _PARAM.sub("", cls.__doc__ or "")
    return "\n\n".join(plain(part) for part in re.split(r"\n\s*\n", text) if part.strip())


def plain(text: str) -> str:
    """A docstring's text as Markdown in one line."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return " ".join(text.replace("``", "`").split())
