"""What is wrong with a request's field, in words: where, what was expected there, and what came.

The decoder says that a field is wrong in words of its own. Only the field is taken from them; what was expected is said
from the field's type, as on the page of requests, and what came is looked for in the payload once more. That is done
for wrong requests only, and no further than :data:`MOST_LOOKS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, UNSET, Raw, Struct
from msgspec.structs import fields

from broker.config.faults import quoted
from broker.config.kinds import shown
from broker.errors import Code, Refusal

from .kinds import ClientType, Request
from .wording import alternatives, any_of, expected, kind_of, may_be_null

MOST_LOOKS = 1_000
"""So many values inside a field are looked at; in a longer one it is not said which of them is wrong."""
LONGEST_NAME = 64
"""Names of requests are no longer: what is, is not compared with them."""
NEAR = 0.85
"""How alike a name has to be to one that is known: all names begin with ``Request``."""
LONGEST_SHOWN = 60
FEW = 4
"""So few names are listed."""

_MISSING = re.compile(r"missing required field `([^`]+)`")
_AT = re.compile(r" - at `\$\.([^`.\[]+)")
_NO_OBJECT = re.compile(r"Expected `object`, got `(\w+)`$")


class Wrong(NamedTuple):
    """A value that its type does not allow. :param path: such as ``topics[2].tenant_id``; :param value: UNSET: none"""

    path: str
    annotation: Any
    value: Any


def refusal_of(fault: str, payload: bytes, kinds: Mapping[str, type[Struct]], called: str) -> Refusal:
    """What a client is told of a payload that the decoder does not take.

    :param fault: the decoder's own sentence
    :param kinds: what the payload may be, by the values of ``message``
    :param called: what a payload is: a request, an answer
    :returns: ``MALFORMED``, ``UNSUPPORTED``, or ``MISSING_ATTRIBUTE`` or ``WRONG_VALUE`` with the field
    """
    missing, at = _MISSING.search(fault), _AT.search(fault)
    field = at[1] if at else missing[1] if missing else None  # of what stands inside a field, that field
    if field is None or (missing and field == "message"):
        return Refusal(Code.MALFORMED, _no_message(fault, called))
    try:
        document: dict[str, Any] = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError) as broken:  # behind the fault
        return Refusal(Code.MALFORMED, f"not JSON: {broken}")
    if field == "message":
        return _unnamed(document.get("message", UNSET), kinds, called)
    named = document.get("message")
    annotation = _types(kinds[named]).get(field) if isinstance(named, str) and named in kinds else None
    if annotation is None:
        return Refusal(Code.MALFORMED, "message is there twice")  # the decoder went by the first one
    code = Code.MISSING_ATTRIBUTE if missing else Code.WRONG_VALUE
    return Refusal(code, _sentence(annotation, document.get(field, UNSET), field), field=field)


@cache
def _types(kind: type[Struct]) -> dict[str, Any]:
    """The types of its fields, by their names on the wire."""
    return {one.encode_name: one.type for one in _fields(kind)}


_fields = cache(fields)


def _no_message(fault: str, called: str) -> str:
    """Of a payload that is no object, or has no name."""
    came = _NO_OBJECT.search(fault)
    got = f", got {_ARTICLES.get(came[1], came[1])}" if came else ""
    return f"expected an object with message, the name of {_a(called)}{got}"


_ARTICLES = {"array": "an array", "str": "a string", "int": "a number", "float": "a number", "bool": "true or false"}


def _a(called: str) -> str:
    return f"an {called}" if called[0] in "aeiou" else f"a {called}"


def _unnamed(name: Any, kinds: Mapping[str, type[Struct]], called: str) -> Refusal:
    if not isinstance(name, str):
        got = "" if name is UNSET else f", got {came(name)}"
        return Refusal(Code.WRONG_VALUE, f"message: expected the name of {_a(called)}{got}", field="message")
    near = get_close_matches(name, kinds, n=1, cutoff=NEAR) if len(name) <= LONGEST_NAME else []
    hint = f"; did you mean {quoted(near[0])}?" if near else ""
    if len(kinds) <= FEW:
        hint = f"; expected {any_of([quoted(one) for one in kinds])}"
    return Refusal(Code.UNSUPPORTED, f"no {called} is named {came(name)}{hint}", field="message")


def not_for(request: type[Request], sender: ClientType) -> str:
    """That a request is not for clients of this type, but for which. Proxies, which ask for others, are left out."""
    senders = sorted(one.value for one in request.senders - {ClientType.PROXY}) or [ClientType.PROXY.value]
    return f"it is for clients of type {any_of(senders)}; this one is of type {sender.value}"


def in_words(annotation: Any, payload: bytes, path: str) -> str:
    """What is wrong with JSON that is inside a field: where, what was expected there, what came.

    :param annotation: what it should be, and is not
    """
    try:
        return _sentence(annotation, msgspec.json.decode(payload), path)
    except (msgspec.DecodeError, RecursionError) as broken:
        return f"{path}: not JSON: {broken}"


def _sentence(annotation: Any, value: Any, path: str) -> str:
    """Where the fault is, what was expected there, and what came."""
    looks = _looks(annotation, value, path)
    wrong = next((one for one, _ in zip(looks, range(MOST_LOOKS), strict=False) if one is not None), None)
    path, annotation, value = wrong or Wrong(path, annotation, value)
    got = f", got {came(value)}" if wrong and value is not UNSET else ""  # of very many values it is not known which
    return f"{path}: expected {expected(annotation)}{got}"


def came(value: Any) -> str:
    """A value in a sentence, short."""
    if value is None:
        return "null"
    if isinstance(value, str) and len(value) > LONGEST_SHOWN:
        return f"a string of {len(value)} characters"
    return "an object" if isinstance(value, dict) else shown(value)


def _looks(annotation: Any, value: Any, path: str) -> Iterator[Wrong | None]:
    """Looks at a value and what is in it, one after the other: what is wrong, or None for what is not."""
    kind = kind_of(annotation)
    if value is UNSET:
        yield Wrong(path, annotation, value)
    elif kind.core in (Raw, Any) or (value is None and may_be_null(annotation)):
        yield None
    else:
        part = next((one for one in _parts(kind.core) if _shape(one) is type(value)), None)
        yield None if part is not None and _has_length(kind.bounds, value) else _whole(annotation, value, path)
        if part is not None:
            yield from _inside(part, value, path)


_parts = cache(alternatives)


@cache
def _shape(annotation: Any) -> type | None:
    """``list`` or ``dict`` for what has values inside; None for what is one value."""
    core = kind_of(annotation).core
    if isinstance(core, type) and issubclass(core, Struct):
        return dict
    origin = get_origin(core)
    return origin if origin in (list, dict) else None


def _has_length(bounds: msgspec.Meta, value: Any) -> bool:
    return (bounds.min_length or 0) <= len(value) <= (len(value) if bounds.max_length is None else bounds.max_length)


def _whole(annotation: Any, value: Any, path: str) -> Wrong | None:
    """A value that has nothing inside, or another shape or length than it should have."""
    try:
        msgspec.convert(value, annotation)
    except (msgspec.ValidationError, OverflowError):
        return Wrong(path, annotation, value)
    return None


def _inside(annotation: Any, value: Any, path: str) -> Iterator[Wrong | None]:
    """The values in one whose shape is right."""
    core = kind_of(annotation).core
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield from _looks(get_args(core)[0], one, f"{path}[{index}]")
    elif get_origin(core) is dict:
        for key, one in value.items():
            yield from _looks(get_args(core)[1], one, f"{path}.{_key(key)}")
    else:
        for field in _fields(core):
            needed = field.default is NODEFAULT and field.default_factory is NODEFAULT
            if needed or field.encode_name in value:
                yield from _looks(field.type, value.get(field.encode_name, UNSET), f"{path}.{field.encode_name}")


def _key(key: str) -> str:
    """A key in a path, short; quoted where it is no plain name."""
    return key if key.isidentifier() and len(key) <= LONGEST_NAME else shown(key)
