"""The grammar of conditions and orders: text -> tree, or a refusal with the column and what was expected there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, Literal

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput, UnexpectedToken

from broker.errors import Code, Refusal

MAX_TEXT, MAX_NESTING = 4096, 50
"""Characters of a text, and parentheses that are open at once in it."""

Field = Literal["condition", "order"]


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


def parse(field: Field, text: str) -> Tree[Token]:
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
            raise refusal(field, text, found.start(), f"more than {MAX_NESTING} parentheses are open here")


def refusal(field: Field, text: str, at: int, sentence: str) -> Refusal:
    """A refusal that points at the character ``at`` (from 0) of the text, said as a person counts: from 1."""
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    where = f"column {column}" if line == 1 else f"line {line}, column {column}"
    return Refusal(Code.BAD_CONDITION, f"{where}: {sentence}", field=field)


def _syntax_refusal(fault: UnexpectedInput, text: str, field: Field) -> Refusal:
    """lark's complaint as a sentence with the column."""
    if isinstance(fault, UnexpectedToken):
        end = fault.token.type == "$END"
        at, found = (len(text.rstrip()), "the end") if end else (fault.token.start_pos or 0, shown(fault.token))
        return refusal(field, text, at, f"expected {_expected(fault.accepts or fault.expected)}, found {found}")
    at = fault.pos_in_stream or 0
    so_far: Any = _parser().parse_interactive(text[:at], start=field)
    so_far.exhaust_lexer()
    sentence = _SLIPS.get(text[at]) or f"expected {_expected(so_far.accepts())}, found {shown(text[at])}"
    return refusal(field, text, at, sentence)


def shown(piece: str) -> str:
    """A piece of the text as it stands in a sentence: in quotes, printable, not too long."""
    short = str(piece) if len(piece) <= 40 else piece[:39] + "…"
    return short if short.startswith("'") and short.isprintable() else repr(short)


def _expected(terminals: Iterable[str]) -> str:
    """``a comma, 'asc' or 'desc'`` for a set of terminals; keywords come last."""
    order = list(_WORDS)
    names = sorted(terminals, key=lambda name: (order.index(name) if name in _WORDS else len(order), name))
    words = [_WORDS.get(name, f"'{name.strip('_').lower()}'") for name in names]
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
