"""Conditions and orders of views and of RequestFindInteractions: text -> predicate, text -> sort key.

    queue = 'Inbound' and (priority >= 2 or received_at < '2026-10-01 08:00:00') and not ServiceType in ('vip', 'gold')

- A condition is terms under ``not``, ``and``, ``or`` (binding in this order) and parentheses; empty, it is true of all.
- A term: ``name = value`` (also ``<> != < <= > >=``), ``name [not] in (value, …)``, ``name [not] between a and b``,
  ``name [not] like 'pattern' [escape 'c']`` (``%`` any text, ``_`` any character; upper and lower case differ, as in
  ``=``; at most 255 characters), ``name is [not] null``. Keywords are written in any case.
- Values: ``'text'`` (a quote in it doubled), numbers, times as seconds since 1970 or as ISO-8601 text (UTC where it
  does not say), states as 0 to 3 or by name (``'queued'`` …), ``null``.
- Names: an interaction's properties as on the wire (``media_type``), as published (``MediaType``) or as the database's
  columns (``state``, ``destinations``), and the configured custom properties of its user data. ``[any name]`` may stand
  in brackets. An exact spelling comes first; else case does not matter, but it does for custom ones. Lists of queues
  count as one text with commas; ``workbin_type``, ``workbin_agent_id`` … are the parts of ``workbin``.
- Nulls are SQL's: a comparison with null is neither true nor false, nor is its ``not``. A custom value of a wrong type,
  or a text longer than 4000 characters, is null.
- An order is ``name [asc|desc], …``; nulls first, last when descending. Empty: ``received_at, interaction_id``; the
  ``interaction_id`` is always the last term.

A text is parsed to a tree, and from the tree one Python function is generated: predicates run for every interaction and
view. Generated source holds only names from the tables here; every value of the text is bound to a name (``k7`` …).
The three-valued logic costs nothing at run time: each node yields two expressions, "certainly true" and "certainly
false", and ``not`` swaps them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cache, lru_cache
from math import inf, isinf
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, cast, get_args

import msgspec
from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput, UnexpectedToken

from broker.config.objects import CustomProperty
from broker.errors import Code, Refusal
from broker.messages.kinds import Workbin
from broker.messages.objects import STATES, Interaction

MAX_TEXT, MAX_NESTING, MAX_TERMS, MAX_PATTERN = 4096, 50, 200, 255
MAX_STRING = 4000
"""Characters of a custom string that counts. As a database column would, it bounds sort keys and what ``like`` may cost
(measured, worst pattern: 270 ms on a megabyte)."""
CACHED = 1024
"""How many compiled conditions, and as many orders, are kept."""

DEFAULT_ORDER = "received_at, interaction_id"

Field = Literal["condition", "order"]
Kind = Literal["string", "number", "timestamp", "state"]
Value = str | int | float
Custom = frozenset[tuple[str, Kind]]
NO_CUSTOM: Mapping[str, CustomProperty] = MappingProxyType({})


# ---- Properties: what a name means -----------------------------------------------------------------------------------


class Property(NamedTuple):
    """What a name in a condition or order means.

    :param name: its canonical spelling, snake_case; a custom property's key
    :param kind: which values it is compared with
    :param attribute: the Interaction's attribute that it is read from
    :param code: Python expression of its value, of the interaction ``x``
    :param nullable: the value may be None
    """

    name: str
    kind: Kind
    attribute: str
    code: str
    nullable: bool


_KINDS: dict[Any, Kind] = {str: "string", int: "number", float: "timestamp"}
_ALIASES = {
    "id": "interaction_id",
    "type": "interaction_type",
    "subtype": "interaction_subtype",
    "state": "interaction_state",
    "destinations": "in_queues",
    "workbin": "workbin_type",
    "workbin_agent_group_id": "workbin_agent_group",
    "workbin_place_group_id": "workbin_place_group",
}
"""Database columns (domain 2.2) and further published names -> canonical names."""


def _properties_of(name: str, annotation: Any) -> Iterable[Property]:
    """The properties that one attribute of Interaction gives: one, none (``user_data``), or a workbin's parts."""
    types = set(get_args(annotation)) if type(None) in get_args(annotation) else {annotation}
    nullable = type(None) in types
    plain = (types - {type(None)}).pop()
    if plain in _KINDS:
        kind = "state" if name == "interaction_state" else _KINDS[plain]
        yield Property(name, kind, name, f"x.{name}", nullable)
    elif plain == list[str]:
        yield Property(name, "string", name, f"(','.join(w) if (w := x.{name}) is not None else None)", True)
    elif plain is Workbin:
        for part in Workbin.__struct_fields__:
            code = f"(w.{part} if (w := x.{name}) is not None else None)"
            yield Property(f"{name}_{part}", "string", name, code, True)


def _system_properties() -> dict[str, Property]:
    """Every spelling of every system property -> the property: snake_case and CamelCase."""
    attributes = msgspec.structs.fields(Interaction)
    known = {it.name: it for attribute in attributes for it in _properties_of(attribute.name, attribute.type)}
    known |= {alias: known[name] for alias, name in _ALIASES.items()}
    return known | {"".join(word.capitalize() for word in name.split("_")): it for name, it in known.items()}


_SYSTEM = _system_properties()
_FOLDED = {spelling.lower(): it for spelling, it in _SYSTEM.items()}


def parse_time(value: str | float | None) -> float | None:
    """Seconds since the epoch of ISO-8601 text (UTC where it does not say); other text: None; no text: as it is."""
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


_JSON_TYPES: dict[Kind, Any] = {
    "string": Annotated[str, msgspec.Meta(max_length=MAX_STRING)] | None,
    "number": int | float | None,
    "timestamp": int | float | Annotated[str, msgspec.Meta(max_length=MAX_STRING)] | None,
}
"""What a custom property's value may be in the JSON of ``user_data``."""


def _reader(keys: Mapping[str, Kind]) -> Callable[[bytes], Any]:
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


def _patient_reader(keys: list[str], fields: list[tuple[str, Any, None]]) -> Callable[[bytes], Any]:
    """A reader as :func:`_reader`'s that takes any key, and drops just the values that are wrong; slower."""
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


# ---- Grammar and faults ----------------------------------------------------------------------------------------------

_GRAMMAR = r"""
?condition: disjunction
?disjunction: conjunction (_OR conjunction)*
?conjunction: factor (_AND factor)*
?factor: operand | NOT+ operand -> negation
?operand: term | _LPAR disjunction RPAR -> group
term: NAME COMPARISON _value
    | NAME [NOT] IN _LPAR _value (_COMMA _value)* RPAR
    | NAME [NOT] BETWEEN _value _AND _value
    | NAME [NOT] LIKE STRING [ESCAPE STRING]
    | NAME IS [NOT] NULL
_value: STRING | NUMBER | NULL

order: item (_COMMA item)*
item: NAME [ASC | DESC]

NAME: /\[(?:[^\]]|\]\])+\]|[^\W\d]\w*/
STRING: /'(?:[^']|'')*'/
NUMBER: /[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?/i
COMPARISON: /<=|>=|<>|!=|=|<|>/
NOT.1: /not\b/i
NULL.1: /null\b/i
_AND.1: /and\b/i
_OR.1: /or\b/i
IN.1: /in\b/i
BETWEEN.1: /between\b/i
LIKE.1: /like\b/i
ESCAPE.1: /escape\b/i
IS.1: /is\b/i
ASC.1: /asc\b/i
DESC.1: /desc\b/i
_LPAR: "("
RPAR: ")"
_COMMA: ","
%ignore /\s+/
"""

_WORDS = {
    "NAME": "a property name",
    "COMPARISON": "a comparison (= <> < <= > >=)",
    "NUMBER": "a number",
    "STRING": "a string in single quotes",
    "_LPAR": "'('",
    "RPAR": "')'",
    "_COMMA": "a comma",
    "$END": "the end",
}
"""Terminals of the grammar as a person says them; the others are keywords."""

_SLIPS = {
    "'": "the string that begins here has no closing quote",
    '"': "strings stand in single quotes",
    "[": "the name that begins here has no closing bracket, or is empty",
}
"""Characters that nothing begins with here, and what was probably meant."""


@cache
def _parser() -> Lark:
    """Built when first used: it takes some 25 ms, which a process that never meets a condition need not spend."""
    return Lark(_GRAMMAR, parser="lalr", start=["condition", "order"], maybe_placeholders=False)


def _parse(field: Field, text: str) -> Tree[Token]:
    """The tree of a text that is not empty. :raises Refusal: it is none"""
    _check_bounds(field, text)
    try:
        return _parser().parse(text, start=field)
    except UnexpectedInput as fault:
        raise _syntax_refusal(fault, text, field) from None


_NESTING = re.compile(r"'[^']*'|\[[^\]]*\]|[()]")


def _check_bounds(field: Field, text: str) -> None:
    """:raises Refusal: the text is too long or its parentheses are too deep"""
    if len(text) > MAX_TEXT:
        raise Refusal(Code.BAD_CONDITION, f"at most {MAX_TEXT} characters, these are {len(text)}", field=field)
    depth = 0
    for found in _NESTING.finditer(text):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth > MAX_NESTING:
            raise _refusal(field, text, found.start(), f"more than {MAX_NESTING} parentheses are open here")


def _refusal(field: Field, text: str, at: int, sentence: str) -> Refusal:
    """A refusal that points at the character ``at`` (from 0) of the text, said as a person counts: from 1."""
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    where = f"column {column}" if line == 1 else f"line {line}, column {column}"
    return Refusal(Code.BAD_CONDITION, f"{where}: {sentence}", field=field)


def _syntax_refusal(fault: UnexpectedInput, text: str, field: Field) -> Refusal:
    """lark's complaint as a sentence with the column."""
    if isinstance(fault, UnexpectedToken):
        end = fault.token.type == "$END"
        at, found = (len(text.rstrip()), "the end") if end else (fault.token.start_pos or 0, _shown(fault.token))
        return _refusal(field, text, at, f"expected {_expected(fault.accepts or fault.expected)}, found {found}")
    at = fault.pos_in_stream or 0
    so_far: Any = _parser().parse_interactive(text[:at], start=field)
    so_far.exhaust_lexer()
    sentence = _SLIPS.get(text[at]) or f"expected {_expected(so_far.accepts())}, found {_shown(text[at])}"
    return _refusal(field, text, at, sentence)


def _shown(piece: str) -> str:
    """A piece of the text as it stands in a sentence: in quotes, printable, not too long."""
    short = str(piece) if len(piece) <= 40 else piece[:39] + "…"
    return short if short.startswith("'") and short.isprintable() else repr(short)


def _expected(terminals: Iterable[str]) -> str:
    """``a comma, 'asc' or 'desc'`` for a set of terminals; keywords come last."""
    order = list(_WORDS)
    names = sorted(terminals, key=lambda name: (order.index(name) if name in _WORDS else len(order), name))
    words = [_WORDS.get(name, f"'{name.strip('_').lower()}'") for name in names]
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


# ---- Writing source --------------------------------------------------------------------------------------------------


class _Writer:
    """Collects what the generated functions of one text need: names with their values, attributes, custom keys."""

    def __init__(self, field: Field, text: str, custom: Custom) -> None:
        self.field: Field = field
        self.text = text
        self.custom = dict(custom)
        self.fields: set[str] = set()
        self.names: dict[str, Any] = {"when": parse_time, "Descending": Descending, "inf": inf}
        self.keys: dict[str, Kind] = {}

    def property(self, token: Token) -> Property:
        """What a name means; it is taken note of. :raises Refusal: nothing"""
        name = token[1:-1].replace("]]", "]") if token.startswith("[") else str(token)
        it = _SYSTEM.get(name) or self._custom(name) or _FOLDED.get(name.lower())
        if it is None:
            known = [*(it.name for it in _SYSTEM.values()), *_ALIASES, *self.custom]
            near = get_close_matches(name[:64].lower(), known, n=1)
            hint = (
                f"; did you mean {_shown(near[0])}?" if near else ", neither of an interaction nor configured as custom"
            )
            raise self.fault(token, f"there is no property {_shown(name)}{hint}")
        self.fields.add(it.attribute)
        return it

    def _custom(self, name: str) -> Property | None:
        kind = self.custom.get(name)
        if kind is None:
            return None
        self.keys.setdefault(name, kind)
        code = f"(data or (data := read(x.user_data))).f{list(self.keys).index(name)}"
        return Property(name, kind, "user_data", f"when({code})" if kind == "timestamp" else code, True)

    def constant(self, value: object) -> str:
        """The name under which generated code sees ``value``."""
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def fault(self, token: Token, sentence: str) -> Refusal:
        """A refusal of this text that points at a token."""
        return _refusal(self.field, self.text, token.start_pos or 0, sentence)

    def build(self, **bodies: str) -> dict[str, Callable[..., Any]]:
        """Functions of one argument ``x``: name=expression.

        What ``exec`` sees is made of this module's templates, attribute names and ``k7`` …; never of a user's text.
        """
        if self.keys:
            self.names["read"] = _reader(self.keys)
        start = " data = None\n" if self.keys else ""
        source = "".join(f"def {name}(x):\n{start} return {body}\n" for name, body in bodies.items())
        exec(compile(source, f"<{self.field}>", "exec"), self.names)
        return {name: self.names[name] for name in bodies}


# ---- Conditions ------------------------------------------------------------------------------------------------------


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
    _truths: Callable[[Interaction], list[bool | None]]

    def explain(self, interaction: Interaction) -> list[tuple[str, bool | None]]:
        """Each term's text and its truth for ``interaction``; None: unknown, because of a null."""
        return list(zip(self.terms, self._truths(interaction), strict=True))


class _Truth(NamedTuple):
    """A node of a condition: expressions for "certainly true" and "certainly false", and what every match equals."""

    yes: str
    no: str
    equals: Mapping[str, Value] = MappingProxyType({})


_ALWAYS, _UNKNOWN = _Truth("True", "False"), _Truth("False", "False")
"""The empty condition; a comparison with null."""

_OPPOSITES = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_OPERATORS = {sign: sign for sign in _OPPOSITES} | {"=": "==", "<>": "!="}
"""Comparisons of the grammar -> Python's."""

_TAKES: dict[Kind, str] = {
    "string": "is a string: write it in single quotes",
    "number": "is a number: write it without quotes",
    "timestamp": "is a time: seconds since 1970 or 'YYYY-MM-DD HH:MM:SS' (UTC)",
    "state": "is a state: 0 to 3, or " + ", ".join(f"'{name}'" for name in STATES),
}


def _number(text: str) -> int | float | None:
    """The number that a token says; None: it is out of range."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        return None if isinf(number) else number


def _string_as(kind: Kind, text: str) -> Value | None:
    """A string's value for a property of ``kind``; None: it has none."""
    if kind == "timestamp":
        return parse_time(text)
    if kind == "state":
        return STATES.index(text.lower()) if text.lower() in STATES else None
    return text if kind == "string" else None


def _unquoted(token: Token) -> str:
    """The text of a string, without its quotes."""
    return token[1:-1].replace("''", "'")


def _all(parts: list[str]) -> str:
    return f"({' and '.join(parts)})"


def _any(parts: list[str]) -> str:
    return f"({' or '.join(parts)})"


def _certain(it: Property, test: str, *, false_of_none: bool = False) -> str:
    """Source of ``test`` (a template with the value's place ``{x}``) that is false where the property is null.

    :param false_of_none: the test itself is false of None, so nothing need be added
    """
    if it.nullable and not false_of_none:
        return f"((v := {it.code}) is not None and {test.format(x='v')})"
    return f"({test.format(x=it.code)})"


class _ConditionWriter(_Writer):
    """Writes a condition's tree as source: a method per kind of node, and per kind of term."""

    def __init__(self, text: str, custom: Custom) -> None:
        super().__init__("condition", text, custom)
        self.terms: list[tuple[str, _Truth]] = []

    def node(self, tree: Tree[Token]) -> _Truth:
        """Any node. The depth is bounded by that of the parentheses, so this may recurse."""
        return self._NODES[tree.data](self, tree.children)

    def _disjunction(self, children: list[Any]) -> _Truth:
        parts = [self.node(child) for child in children]
        return _Truth(_any([it.yes for it in parts]), _all([it.no for it in parts]))

    def _conjunction(self, children: list[Any]) -> _Truth:
        parts = [self.node(child) for child in children]
        equals = {name: value for part in reversed(parts) for name, value in part.equals.items()}
        return _Truth(_all([it.yes for it in parts]), _any([it.no for it in parts]), equals)

    def _negation(self, children: list[Any]) -> _Truth:
        truth = self.node(children[-1])
        return truth if len(children) % 2 else _Truth(truth.no, truth.yes)

    def _group(self, children: list[Any]) -> _Truth:
        return self.node(children[0])

    def _term(self, tokens: list[Any]) -> _Truth:
        """A term: its name, ``not``, its verb, its values. :raises Refusal: unknown name, wrong type, too many terms"""
        if len(self.terms) == MAX_TERMS:
            raise self.fault(tokens[0], f"more than {MAX_TERMS} terms")
        it = self.property(tokens[0])
        verb = next(token for token in tokens if token.type in self._VERBS)
        values = [token for token in tokens if token.type in ("STRING", "NUMBER", "NULL")]
        truth = self._VERBS[verb.type](self, it, verb, values)
        if any(token.type == "NOT" for token in tokens):
            truth = _Truth(truth.no, truth.yes)
        self.terms.append((self.text[tokens[0].start_pos : tokens[-1].end_pos], truth))
        return truth

    def _comparison(self, it: Property, verb: Token, values: list[Token]) -> _Truth:
        return self._compare(it, _OPERATORS[verb], values[0])

    def _compare(self, it: Property, operator: str, token: Token) -> _Truth:
        value = self._value(it, token)
        if value is None:
            return _UNKNOWN
        name = self.constant(value)
        yes, no = (
            _certain(it, f"{{x}} {sign} {name}", false_of_none=sign == "==")
            for sign in (operator, _OPPOSITES[operator])
        )
        return _Truth(yes, no, {it.name: value} if operator == "==" else {})

    def _between(self, it: Property, _verb: Token, values: list[Token]) -> _Truth:
        low, high = self._compare(it, ">=", values[0]), self._compare(it, "<=", values[1])
        return _Truth(_all([low.yes, high.yes]), _any([low.no, high.no]))

    def _membership(self, it: Property, _verb: Token, tokens: list[Token]) -> _Truth:
        values = {self._value(it, token) for token in tokens}
        if len(values) == 1:
            return self._compare(it, "==", tokens[0])
        name = self.constant(frozenset(values - {None}))
        no = "False" if None in values else _certain(it, f"{{x}} not in {name}")
        return _Truth(_certain(it, f"{{x}} in {name}", false_of_none=True), no)

    def _likeness(self, it: Property, verb: Token, values: list[Token]) -> _Truth:
        if it.kind != "string":
            raise self.fault(verb, f"'like' is for strings, {it.name} is none")
        pattern, *escape = map(_unquoted, values)
        if len(pattern) > MAX_PATTERN:
            raise self.fault(values[0], f"a pattern has at most {MAX_PATTERN} characters")
        if escape and len(escape[0]) != 1:
            raise self.fault(values[1], "the escape is one character")
        segments = _segments(pattern, escape[0] if escape else None)
        if segments is None:
            raise self.fault(values[0], "the pattern ends with its escape character")
        template, value = _matcher(segments)
        test = template.replace("{k}", self.constant(value))
        return _Truth(_certain(it, test), _certain(it, "not " + test))

    def _nullness(self, it: Property, _verb: Token, _values: list[Token]) -> _Truth:
        return _Truth(f"({it.code} is None)", f"({it.code} is not None)")

    def _value(self, it: Property, token: Token) -> Value | None:
        """A literal as a value of the property's type, None for null. :raises Refusal: it is of another type"""
        if token.type == "NULL":
            return None
        if token.type == "STRING":
            value = _string_as(it.kind, _unquoted(token))
        else:
            value = None if it.kind == "string" else _number(token)
        if value is None:
            raise self.fault(token, f"{it.name} {_TAKES[it.kind]}; found {_shown(token)}")
        return value

    _NODES: ClassVar[dict[str, Callable[[_ConditionWriter, list[Any]], _Truth]]] = {
        "disjunction": _disjunction,
        "conjunction": _conjunction,
        "negation": _negation,
        "group": _group,
        "term": _term,
    }
    _VERBS: ClassVar[dict[str, Callable[[_ConditionWriter, Property, Token, list[Token]], _Truth]]] = {
        "COMPARISON": _comparison,
        "BETWEEN": _between,
        "IN": _membership,
        "LIKE": _likeness,
        "IS": _nullness,
    }


Segment = list[str | None]
"""A piece of a pattern between two ``%``: characters, None for any one (``_``)."""


def _segments(pattern: str, escape: str | None) -> list[Segment] | None:
    """A pattern split at its ``%``; None: it ends with a lone escape."""
    segments: list[Segment] = [[]]
    characters = iter(pattern)
    for character in characters:
        if character == escape:
            literal = next(characters, None)
            if literal is None:
                return None
            segments[-1].append(literal)
        elif character == "%":
            segments.append([])
        else:
            segments[-1].append(None if character == "_" else character)
    return segments


def _matcher(segments: list[Segment]) -> tuple[str, object]:
    """How a pattern is tested: a template of ``{x}`` and ``{k}``, and what ``k`` is. Common forms need no regex."""
    if not any(None in segment for segment in segments):
        match ["".join(filter(None, segment)) for segment in segments]:
            case [text]:
                return "{x} == {k}", text
            case [text, ""]:
                return "{x}.startswith({k})", text
            case ["", text]:
                return "{x}.endswith({k})", text
            case ["", text, ""]:
                return "{k} in {x}", text
    return "{k}({x}) is not None", re.compile(_regex(segments), re.DOTALL).fullmatch


def _regex(segments: list[Segment]) -> str:
    """A pattern as a regular expression. The groups are atomic: the first place of a middle segment will do, so no text
    and no number of ``%`` make it try more than each segment at each place once."""
    first, *others = ["".join("." if it is None else re.escape(it) for it in segment) for segment in segments]
    if not others:
        return first
    return first + "".join(f"(?>.*?{segment})" for segment in others[:-1]) + ".*" + others[-1]


def compile_condition(text: str, custom: Mapping[str, CustomProperty] = NO_CUSTOM) -> Condition:
    """The condition that ``text`` says; compiled once per text and custom properties.

    :raises Refusal: ``BAD_CONDITION`` with the column and what was expected
    """
    return _condition(text, frozenset((name, it.type) for name, it in custom.items()))


@lru_cache(maxsize=CACHED)
def _condition(text: str, custom: Custom) -> Condition:
    writer = _ConditionWriter(text, custom)
    truth = writer.node(_parse("condition", text)) if text.strip() else _ALWAYS
    truths = [f"True if {it.yes} else False if {it.no} else None" for _, it in writer.terms]
    built = writer.build(matches=truth.yes, truths=f"[{', '.join(truths)}]")
    return Condition(
        text=text,
        matches=built["matches"],
        fields=frozenset(writer.fields),
        equals=MappingProxyType(dict(truth.equals)),
        terms=tuple(written for written, _ in writer.terms),
        _truths=built["truths"],
    )


# ---- Orders ----------------------------------------------------------------------------------------------------------


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
    :param head: interaction -> the raw values of the order's terms, ready for JSON
    :param key_of: such a head -> the same sort key; raises ValueError: it is not this order's
    """

    text: str
    fields: frozenset[str]
    key: Callable[[Interaction], tuple[Any, ...]]
    head: Callable[[Interaction], list[Any]]
    key_of: Callable[[list[Any]], tuple[Any, ...]]
    _decode_key: Callable[[bytes], tuple[Any, ...]]

    def decode_key(self, raw_json: bytes) -> tuple[Any, ...]:
        """The key straight from an interaction's JSON as it stands in a reply; only the needed fields are decoded.

        :raises ValueError: it is not an interaction's JSON
        """
        try:
            return self._decode_key(raw_json)
        except RecursionError as fault:
            raise ValueError(str(fault)) from None


def compile_order(text: str, custom: Mapping[str, CustomProperty] = NO_CUSTOM) -> Order:
    """The order that ``text`` says; compiled once per text and custom properties.

    :raises Refusal: ``BAD_CONDITION`` with the column and what was expected
    """
    return _order(text, frozenset((name, it.type) for name, it in custom.items()))


@lru_cache(maxsize=CACHED)
def _order(text: str, custom: Custom) -> Order:
    if not text.strip():
        text = DEFAULT_ORDER
    writer = _Writer("order", text, custom)
    terms: dict[Property, bool] = {}
    for item in _parse("order", text).children:
        name, *direction = cast("list[Token]", cast("Tree[Token]", item).children)
        terms.setdefault(writer.property(name), any(token.type == "DESC" for token in direction))
        if len(terms) > MAX_TERMS:
            raise writer.fault(name, f"more than {MAX_TERMS} terms")
    terms.setdefault(_SYSTEM["interaction_id"], False)
    return _built_order(writer, terms)


def _built_order(writer: _Writer, terms: dict[Property, bool]) -> Order:
    """:param terms: properties in their order, True for those that descend"""
    fields = frozenset(writer.fields | {"interaction_id"})
    writer.names |= {"part": _partial_decoder(fields), "refuse": _refuser([it.name for it in terms])}
    key = [_sortable(it, it.code, descending) for it, descending in terms.items()]
    key_of_head = [_sortable(it, f"x[{at}]", descending) for at, (it, descending) in enumerate(terms.items())]
    built = writer.build(
        key=f"({', '.join(key)},)",
        head=f"[{', '.join(it.code for it in terms)}]",
        key_of=f"({', '.join(key_of_head)},) if {_head_check(writer, terms)} else refuse(x)",
        decode_key="key(part(x))",
    )
    return Order(writer.text, fields, built["key"], built["head"], built["key_of"], built["decode_key"])


def _sortable(it: Property, code: str, descending: bool) -> str:
    """Source of a property's one or two places in the key: nulls first, or last when descending."""
    if it.kind != "string":
        sign, null = ("-", "inf") if descending else ("", "-inf")
        return f"({null} if (v := {code}) is None else {sign}v)" if it.nullable else f"{sign}{code}"
    if not it.nullable:
        return f"Descending({code})" if descending else code
    return f"(v := {code}) is None, Descending(v or '')" if descending else f"(v := {code}) is not None, v or ''"


def _head_check(writer: _Writer, terms: Iterable[Property]) -> str:
    """Source of the test that ``x`` is a head: its length and types, and no NaN, which would break the order."""
    tests = []
    for at, it in enumerate(terms):
        types = {str} if it.kind == "string" else {int, float}
        allowed = writer.constant(frozenset(types | {type(None)} if it.nullable else types))
        tests.append(f"type(x[{at}]) in {allowed}" + ("" if it.kind == "string" else f" and x[{at}] == x[{at}]"))
    return _all(["type(x) is list", f"len(x) == {len(tests)}", *tests])


def _refuser(names: list[str]) -> Callable[[object], tuple[Any, ...]]:
    """What key_of calls with anything else than a head."""

    def refuse(_: object) -> tuple[Any, ...]:
        raise ValueError(f"a head of this order is a list of {len(names)} values: {', '.join(names)}")

    return refuse


def _partial_decoder(fields: frozenset[str]) -> Callable[[bytes], Any]:
    """A decoder of just these attributes of an interaction's JSON, with Interaction's own types and defaults."""
    attributes = [it for it in msgspec.structs.fields(Interaction) if it.name in fields]
    types = [(it.name, it.type) if it.required else (it.name, it.type, it.default) for it in attributes]
    return msgspec.json.Decoder(msgspec.defstruct("Part", types, kw_only=True, gc=False)).decode
