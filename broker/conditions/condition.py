"""A condition: its tree is written as a predicate with SQL's logic of three values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from lark import Token, Tree

from broker.config.objects import CustomProperty
from broker.messages.objects import Interaction

from .grammar import parse, shown
from .literals import TAKES, Value, number_of, string_as, unquoted
from .patterns import MAX_PATTERN, matcher_of, segments_of
from .properties import NO_CUSTOM, Custom, Property, spellings
from .source import CACHED, MAX_TERMS, Writer, all_of, any_of


class Judged(NamedTuple):
    """A term of a condition, as an interaction makes it. :param truth: None: unknown, because of a null"""

    term: str
    property: str
    value: Any
    truth: bool | None


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """A compiled condition.

    :param text: as it was given
    :param matches: interaction -> whether the condition is (certainly) true of it
    :param fields: the Interaction's attributes that it depends on
    :param equals: canonical property name -> the value that every match has in it, where the condition says so
    :param terms: the text of each term, as written
    """

    text: str
    matches: Callable[[Interaction], bool]
    fields: frozenset[str]
    equals: Mapping[str, Any]
    terms: tuple[str, ...]
    _names: tuple[str, ...]
    _truths: Callable[[Interaction], list[bool | None]]
    _values: Callable[[Interaction], list[Any]]

    def explain(self, interaction: Interaction) -> list[Judged]:
        """Each term with the property that it looks at, its value in ``interaction``, and its truth."""
        parts = zip(self.terms, self._names, self._values(interaction), self._truths(interaction), strict=True)
        return [Judged(*part) for part in parts]


def compile_condition(text: str, custom: Mapping[str, CustomProperty] = NO_CUSTOM) -> Condition:
    """The condition that ``text`` says; compiled once per text and custom properties.

    :raises Refusal: ``BAD_CONDITION`` with the column and what was expected
    """
    return _condition(text, spellings(custom))


@lru_cache(maxsize=CACHED)
def _condition(text: str, custom: Custom) -> Condition:
    writer = ConditionWriter(text, custom)
    truth = writer.node(parse("condition", text)) if text.strip() else _ALWAYS
    truths = [f"True if {it.yes} else False if {it.no} else None" for _, it, _ in writer.terms]
    values = [it.code for _, _, it in writer.terms]
    built = writer.build(matches=truth.yes, truths=f"[{', '.join(truths)}]", values=f"[{', '.join(values)}]")
    return Condition(
        text=text,
        matches=built["matches"],
        fields=frozenset(writer.fields),
        equals=MappingProxyType(dict(truth.equals)),
        terms=tuple(written for written, _, _ in writer.terms),
        _names=tuple(it.name for _, _, it in writer.terms),
        _truths=built["truths"],
        _values=built["values"],
    )


class Truth(NamedTuple):
    """A node of a condition: expressions for "certainly true" and "certainly false", and what every match equals."""

    yes: str
    no: str
    equals: Mapping[str, Value] = MappingProxyType({})


_ALWAYS, _UNKNOWN = Truth("True", "False"), Truth("False", "False")
"""The empty condition; a comparison with null."""

_OPPOSITES = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_OPERATORS = {sign: sign for sign in _OPPOSITES} | {"=": "==", "<>": "!="}
"""Comparisons of the grammar -> Python's."""


def _certain(it: Property, test: str, *, false_of_none: bool = False) -> str:
    """Source of ``test`` (a template with the value's place ``{x}``) that is false where the property is null.

    :param false_of_none: the test itself is false of None, so nothing need be added
    """
    if it.nullable and not false_of_none:
        return f"((v := {it.code}) is not None and {test.format(x='v')})"
    return f"({test.format(x=it.code)})"


class ConditionWriter(Writer):
    """Writes a condition's tree as source: a method per kind of node, and per kind of term."""

    def __init__(self, text: str, custom: Custom) -> None:
        super().__init__("condition", text, custom)
        self.terms: list[tuple[str, Truth, Property]] = []

    def node(self, tree: Tree[Token]) -> Truth:
        """Any node. The depth is bounded by that of the parentheses, so this may recurse."""
        return self._NODES[tree.data](self, tree.children)

    def _disjunction(self, children: list[Any]) -> Truth:
        parts = [self.node(child) for child in children]
        return Truth(any_of([it.yes for it in parts]), all_of([it.no for it in parts]))

    def _conjunction(self, children: list[Any]) -> Truth:
        parts = [self.node(child) for child in children]
        equals = {name: value for part in reversed(parts) for name, value in part.equals.items()}
        return Truth(all_of([it.yes for it in parts]), any_of([it.no for it in parts]), equals)

    def _negation(self, children: list[Any]) -> Truth:
        truth = self.node(children[-1])
        return truth if len(children) % 2 else Truth(truth.no, truth.yes)

    def _group(self, children: list[Any]) -> Truth:
        return self.node(children[0])

    def _term(self, tokens: list[Any]) -> Truth:
        """A term: its name, ``not``, its verb, its values. :raises Refusal: unknown name, wrong type, too many terms"""
        if len(self.terms) == MAX_TERMS:
            raise self.fault(tokens[0], f"more than {MAX_TERMS} terms")
        it = self.property(tokens[0])
        verb = next(token for token in tokens if token.type in self._VERBS)
        values = [token for token in tokens if token.type in ("STRING", "NUMBER", "NULL")]
        truth = self._VERBS[verb.type](self, it, verb, values)
        if any(token.type == "NOT" for token in tokens):
            truth = Truth(truth.no, truth.yes)
        self.terms.append((self.text[tokens[0].start_pos : tokens[-1].end_pos], truth, it))
        return truth

    def _comparison(self, it: Property, verb: Token, values: list[Token]) -> Truth:
        return self._compare(it, _OPERATORS[verb], values[0])

    def _compare(self, it: Property, operator: str, token: Token) -> Truth:
        value = self._value(it, token)
        if value is None:
            return _UNKNOWN
        name = self.constant(value)
        yes, no = (
            _certain(it, f"{{x}} {sign} {name}", false_of_none=sign == "==")
            for sign in (operator, _OPPOSITES[operator])
        )
        return Truth(yes, no, {it.name: value} if operator == "==" else {})

    def _between(self, it: Property, _verb: Token, values: list[Token]) -> Truth:
        low, high = self._compare(it, ">=", values[0]), self._compare(it, "<=", values[1])
        return Truth(all_of([low.yes, high.yes]), any_of([low.no, high.no]))

    def _membership(self, it: Property, _verb: Token, tokens: list[Token]) -> Truth:
        values = {self._value(it, token) for token in tokens}
        if len(values) == 1:
            return self._compare(it, "==", tokens[0])
        name = self.constant(frozenset(values - {None}))
        no = "False" if None in values else _certain(it, f"{{x}} not in {name}")
        return Truth(_certain(it, f"{{x}} in {name}", false_of_none=True), no)

    def _likeness(self, it: Property, verb: Token, values: list[Token]) -> Truth:
        if it.kind != "string":
            raise self.fault(verb, f"'like' is for strings, {it.name} is none")
        pattern, *escape = map(unquoted, values)
        if len(pattern) > MAX_PATTERN:
            raise self.fault(values[0], f"a pattern has at most {MAX_PATTERN} characters")
        if escape and len(escape[0]) != 1:
            raise self.fault(values[1], "the escape is one character")
        segments = segments_of(pattern, escape[0] if escape else None)
        if segments is None:
            raise self.fault(values[0], "the pattern ends with its escape character")
        template, value = matcher_of(segments)
        test = template.replace("{k}", self.constant(value))
        return Truth(_certain(it, test), _certain(it, "not " + test))

    def _nullness(self, it: Property, _verb: Token, _values: list[Token]) -> Truth:
        return Truth(f"({it.code} is None)", f"({it.code} is not None)")

    def _value(self, it: Property, token: Token) -> Value | None:
        """A literal as a value of the property's type, None for null. :raises Refusal: it is of another type"""
        if token.type == "NULL":
            return None
        if token.type == "STRING":
            value = string_as(it.kind, unquoted(token))
        else:
            value = None if it.kind == "string" else number_of(token)
        if value is None:
            raise self.fault(token, f"{it.name} {TAKES[it.kind]}; found {shown(token)}")
        return value

    _NODES: ClassVar[dict[str, Callable[[ConditionWriter, list[Any]], Truth]]] = {
        "disjunction": _disjunction,
        "conjunction": _conjunction,
        "negation": _negation,
        "group": _group,
        "term": _term,
    }
    _VERBS: ClassVar[dict[str, Callable[[ConditionWriter, Property, Token, list[Token]], Truth]]] = {
        "COMPARISON": _comparison,
        "BETWEEN": _between,
        "IN": _membership,
        "LIKE": _likeness,
        "IS": _nullness,
    }
