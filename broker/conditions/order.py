"""An order: its terms are written as sort keys, of interactions and of heads, that all compare with each other, and as
marks, which compare as the keys do (:mod:`.marks`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Any, cast

from lark import Token, Tree

from broker.config.objects import CustomProperty
from broker.messages.objects import Interaction

from . import marks
from .grammar import parse
from .properties import NO_CUSTOM, SYSTEM, Custom, Property, spellings
from .source import CACHED, MAX_TERMS, Writer, all_of

DEFAULT_ORDER = "received_at, interaction_id"


class Descending:
    """A string in a sort key that compares the other way round."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __lt__(self, other: Descending) -> bool:
        return other.text < self.text

    def __le__(self, other: Descending) -> bool:
        return other.text <= self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Descending) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Descending({self.text!r})"


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """A compiled order. All keys of one order, however made, compare with each other, and totally.

    :param text: as it was given, or the default
    :param fields: the Interaction's attributes that it depends on
    :param key: interaction -> sort key
    :param mark: interaction -> the sort key as bytes
    :param head: interaction -> the raw values of the order's terms, ready for JSON
    :param key_of: such a head -> the same sort key; raises ValueError: it is not this order's
    """

    text: str
    fields: frozenset[str]
    key: Callable[[Interaction], tuple[Any, ...]]
    mark: Callable[[Interaction], bytes]
    head: Callable[[Interaction], list[Any]]
    key_of: Callable[[list[Any]], tuple[Any, ...]]


def compile_order(text: str, custom: Mapping[str, CustomProperty] = NO_CUSTOM) -> Order:
    """The order that ``text`` says; compiled once per text and custom properties.

    :raises Refusal: ``BAD_CONDITION`` with the column and what was expected
    """
    return _order(text, spellings(custom))


@lru_cache(maxsize=CACHED)
def _order(text: str, custom: Custom) -> Order:
    if not text.strip():
        text = DEFAULT_ORDER
    writer = Writer("order", text, custom)
    terms: dict[Property, bool] = {}
    for item in parse("order", text).children:
        name, *direction = cast("list[Token]", cast("Tree[Token]", item).children)
        terms.setdefault(writer.property(name), any(token.type == "DESC" for token in direction))
        if len(terms) > MAX_TERMS:
            raise writer.fault(name, f"more than {MAX_TERMS} terms")
    terms.setdefault(SYSTEM["interaction_id"], False)
    return _built_order(writer, terms)


def _built_order(writer: Writer, terms: dict[Property, bool]) -> Order:
    """:param terms: properties in their order, True for those that descend"""
    fields = frozenset(writer.fields | {"interaction_id"})
    writer.names |= {
        "Descending": Descending,
        "inf": inf,
        "signed": marks.signed,
        "number": marks.number,
        "any_number": marks.any_number,
        "text": marks.text,
        "descending": marks.descending,
        "refuse": _refuser([it.name for it in terms]),
    }
    key = [_sortable(it, it.code, descending) for it, descending in terms.items()]
    key_of_head = [_sortable(it, f"x[{at}]", descending) for at, (it, descending) in enumerate(terms.items())]
    built = writer.build(
        key=f"({', '.join(key)},)",
        mark=_marks(terms),
        head=f"[{', '.join(it.code for it in terms)}]",
        key_of=f"({', '.join(key_of_head)},) if {_head_check(writer, terms)} else refuse(x)",
    )
    return Order(writer.text, fields, built["key"], built["mark"], built["head"], built["key_of"])


def _sortable(it: Property, code: str, descending: bool) -> str:
    """Source of a property's one or two places in the key: nulls first, or last when descending."""
    if it.kind != "string":
        sign, null = ("-", "inf") if descending else ("", "-inf")
        return f"({null} if (v := {code}) is None else {sign}v)" if it.nullable else f"{sign}{code}"
    if not it.nullable:
        return f"Descending({code})" if descending else code
    return f"(v := {code}) is None, Descending(v or '')" if descending else f"(v := {code}) is not None, v or ''"


def _marks(terms: dict[Property, bool]) -> str:
    """Source of the mark. A text that is never null and ends it, as the id does mostly, needs no end of its own."""
    *first, (last, descends) = terms.items()
    parts = [_mark(it, descending) for it, descending in first]
    plain = last.kind == "string" and not last.nullable and not descends
    return " + ".join([*parts, f"{last.code}.encode()" if plain else _mark(last, descends)])


def _mark(it: Property, descending: bool) -> str:
    """Source of a property's mark."""
    if it.kind == "string":
        mark = f"text({it.code})"
    elif it.attribute == "user_data":
        mark = f"any_number({it.code})"
    elif it.nullable:
        mark = f"number({it.code})"
    else:  # hot path: received_at, priority
        mark = f"(signed(2, v + 0.0) if (v := {it.code}) >= 0 else number(v))"
    return f"descending({mark})" if descending else mark


def _head_check(writer: Writer, terms: Iterable[Property]) -> str:
    """Source of the test that ``x`` is a head: its length and types, and no NaN, which would break the order."""
    tests = []
    for at, it in enumerate(terms):
        types = {str} if it.kind == "string" else {int, float}
        allowed = writer.constant(frozenset(types | {type(None)} if it.nullable else types))
        tests.append(f"type(x[{at}]) in {allowed}" + ("" if it.kind == "string" else f" and x[{at}] == x[{at}]"))
    return all_of(["type(x) is list", f"len(x) == {len(tests)}", *tests])


def _refuser(names: list[str]) -> Callable[[object], tuple[Any, ...]]:
    """What key_of calls with anything else than a head."""

    def refuse(_: object) -> tuple[Any, ...]:
        raise ValueError(f"a head of this order is a list of {len(names)} values: {', '.join(names)}")

    return refuse
