"""Types and docstrings in words: what the documentation pages say of a field, and a refusal of what was expected."""

from __future__ import annotations

import re
import types
from enum import Enum
from functools import cache
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import FieldInfo, fields

from broker.config.faults import quoted
from broker.config.kinds import number
from broker.rates import RATE, SPELT

from .objects import MAX_TIME


class Kind(NamedTuple):
    """A field's type, taken apart. :param core: the bare type; :param bounds: of its values or length"""

    core: Any
    bounds: Meta
    description: str


@cache
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
    return any(bound is not None for bound in (meta.ge, meta.le, meta.min_length, meta.max_length, meta.pattern))


def alternatives(annotation: Any) -> list[Any]:
    """The types that a union is of, without those that only say that the field may be left out."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return [annotation]
    return [part for part in get_args(annotation) if part not in (types.NoneType, UnsetType)]


@cache
def may_be_null(annotation: Any) -> bool:
    """True when ``null`` is as good as leaving the field out."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return get_origin(annotation) in (Union, types.UnionType) and types.NoneType in get_args(annotation)


_WORDS: dict[Any, tuple[str, str]] = {
    str: ("string", "strings"),
    int: ("whole number", "whole numbers"),
    float: ("number", "numbers"),
    bool: ("true or false", "true or false"),
    bytes: ("string of Base64", "strings of Base64"),
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
        return f"array of {_how_many(kind.bounds)}{in_words(arguments[0], several=True)}"
    if origin is dict:
        return "objects" if several else "object"
    if isinstance(kind.core, type) and issubclass(kind.core, Enum):
        return ", ".join(f"`{one.value}`" for one in kind.core)
    if isinstance(kind.core, type) and issubclass(kind.core, Struct):
        return link(kind.core.__name__)
    if (kind.bounds.ge, kind.bounds.le) == (0, 1):
        return "0 or 1"
    if kind.bounds.pattern == RATE:
        return f"string, {SPELT}"
    return _WORDS[kind.core][several] + ("" if several else _range(kind.bounds))


def _how_many(bounds: Meta) -> str:
    """Of an array: how many there may be; a least number of one alone is not worth a word."""
    if bounds.max_length is None:
        return ""
    return f"{bounds.min_length or 0} to {bounds.max_length} "


@cache
def expected(annotation: Any) -> str:
    """A type in a sentence, with its article: ``a whole number from 1``, ``an array of strings``, ``an object with
    type, and if need be agent_id or place_id``. A number is explained by its description, where that is short."""
    kind = kind_of(annotation)
    said = plain(kind.description).replace("`", "")
    explained = kind.core in (int, float) or (get_origin(kind.core) is dict and Any not in get_args(kind.core))
    return _expected(annotation) + (f" ({said})" if explained and 0 < len(said) <= _LONGEST_SAID else "")


_LONGEST_SAID = 60


def _expected(annotation: Any) -> str:
    kind = kind_of(annotation)
    parts = alternatives(kind.core)
    core, arguments = kind.core, get_args(kind.core)
    if len(parts) > 1:
        return " or ".join(_expected(part) for part in parts)
    if get_origin(core) is list:
        return f"an array of {_how_many(kind.bounds)}{_several(arguments[0])}"
    if get_origin(core) is tuple:
        return f"an array of {len(arguments)} {_several(arguments[0])}"
    if get_origin(core) is dict:
        return "an object" if arguments[1] in (Any, Raw) else f"an object whose values are {_several(arguments[1])}"
    if isinstance(core, type) and issubclass(core, Enum):
        return any_of([quoted(one.value) for one in core])
    if isinstance(core, type) and issubclass(core, Struct):
        return "an object" + _members(core)
    if (kind.bounds.ge, kind.bounds.le) == (0, 1):
        return "0 or 1"
    if kind.bounds.le == MAX_TIME:
        return "a time, a number of seconds since 1970"
    return SPELT if kind.bounds.pattern == RATE else _single(core, kind.bounds)


def _several(annotation: Any) -> str:
    """What an array or an object is of."""
    kind = kind_of(annotation)
    if (kind.bounds.ge, kind.bounds.le) == (0, 1):
        return "0 or 1"
    if kind.core in _WORDS:
        return _WORDS[kind.core][1]
    return "arrays" if get_origin(kind.core) in (list, tuple) else "objects"


def _single(core: Any, bounds: Meta) -> str:
    word = _WORDS[core][0]
    article = "" if core in (bool, Raw, Any) else "a "
    return article + word + _range(bounds).replace(", ", " of ")


def _members(cls: type[Struct]) -> str:
    """What an object has."""
    needed = [field.encode_name for field in fields(cls) if field.required]
    others = [field.encode_name for field in fields(cls) if not field.required]
    parts = [" and ".join(needed)] if needed else []
    return " with " + ", ".join(parts + ([f"and if need be {any_of(others)}"] if needed and others else others))


def any_of(words: list[str]) -> str:
    """``a, b or c``."""
    return ", ".join(words[:-1]) + f" or {words[-1]}" if len(words) > 1 else words[0]


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
