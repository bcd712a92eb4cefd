"""What is no condition is refused, with the column; and bounds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.conditions import MAX_NESTING, MAX_PATTERN, MAX_TERMS, MAX_TEXT, compile_condition, compile_order
from broker.errors import Code, Refusal
from tests.broker.samples import CUSTOM, interaction


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("priority = 'abc'", "column 12: priority is a number: write it without quotes; found 'abc'"),
        ("prioritty = 3", "column 1: there is no property 'prioritty'; did you mean 'priority'?"),
        ("priority = 1 and segment = 'x'", "column 18: there is no property 'segment'; did you mean 'Segment'?"),
        ("zzzz = 1", "column 1: there is no property 'zzzz', neither of an interaction nor configured as custom"),
        ("user_data = 'x'", "column 1: there is no property 'user_data'"),
        ("priority =\n 1 and\n  foo = 2", "line 3, column 3: there is no property 'foo'"),
        ("queue = 5", "column 9: queue is a string: write it in single quotes; found '5'"),
        ("Segment = 5", "column 11: Segment is a string"),
        ("[deal size] = '5'", "column 15: deal size is a number"),
        ("received_at > 'x'", "column 15: received_at is a time: seconds since 1970 or 'YYYY-MM-DD HH:MM:SS' (UTC)"),
        (
            "state = 'foo'",
            "column 9: interaction_state is a state: 0 to 3, or 'queued', 'cached', 'routing', 'handling'",
        ),
        ("priority = 1e999", "column 12: priority is a number"),
        ("priority like '1%'", "column 10: 'like' is for strings, priority is none"),
        ("queue like 'a' escape 'ab'", "column 23: the escape is one character"),
        ("queue like 'a!' escape '!'", "column 12: the pattern ends with its escape character"),
        ("priority foo 5", "column 10: expected a comparison (= <> < <= > >=), 'between', 'in', 'is', 'like' or 'not'"),
        ("queue = 'abc", "column 9: the string that begins here has no closing quote"),
        ('queue = "abc"', "column 9: strings stand in single quotes"),
        ("[queue = 'abc'", "column 1: the name that begins here has no closing bracket, or is empty"),
        ("queue = ", "column 8: expected a number, a string in single quotes or 'null', found the end"),
        ("(queue = 'x'", "column 13: expected ')', found the end"),
        ("queue = 'x')", "column 12: expected the end, found ')'"),
        ("priority = 1 andqueue = 'x'", "column 14: expected the end, 'and' or 'or', found 'andqueue'"),
        ("priority between 1 or 2", "column 20: expected 'and', found 'or'"),
        ("queue in ()", "column 11: expected a number, a string in single quotes or 'null', found ')'"),
        ("queue == 'x'", "column 8: expected a number, a string in single quotes or 'null', found '='"),
        ("priority = 1;", "column 13: expected the end, 'and' or 'or', found ';'"),
        ("priority = 1 and ?", "column 18: expected a property name, '(' or 'not', found '?'"),
        ("1 = priority", "column 1: expected a property name, '(' or 'not', found '1'"),
    ],
)
def test_a_faulty_condition_says_where_and_what(text: str, detail: str) -> None:
    """Given a faulty condition, when it is compiled, then the refusal has the column and a sentence for a person."""
    with pytest.raises(Refusal) as caught:
        compile_condition(text, CUSTOM)
    assert caught.value.detail.startswith(detail)
    assert (caught.value.code, caught.value.field) == (Code.BAD_CONDITION, "condition")


def nested(depth: int) -> str:
    """The worst nesting: each level has an ``or``, an ``and`` and a ``not``."""
    opening, closing = "priority = 1 or priority = 2 and not (", ")"
    return opening * depth + "priority = 2" + closing * depth


@pytest.mark.parametrize(
    ("fits", "too_much"),
    [
        ("priority = 2".ljust(MAX_TEXT), "priority = 2".ljust(MAX_TEXT + 1)),
        (nested(MAX_NESTING), nested(MAX_NESTING + 1)),
        ("(" * MAX_NESTING + "id='('" + ")" * MAX_NESTING, "(" * 2000),
        (" or ".join(["id='('"] * MAX_TERMS), " or ".join(["id='('"] * (MAX_TERMS + 1))),
        (f"queue like '{'%' * MAX_PATTERN}'", f"queue like '{'%' * (MAX_PATTERN + 1)}'"),
        ("not " * 1000 + "id='x'", "not " * 1023 + "id='x'"),
        (f"priority < {'9' * 4000}", f"priority < {'9' * 4096}"),
    ],
)
def test_bounds(fits: str, too_much: str) -> None:
    """Given a condition at a bound, when it is compiled, then it works; one step further it is refused."""
    assert isinstance(compile_condition(fits).matches(interaction()), bool)
    compile_condition(fits).explain(interaction())
    with pytest.raises(Refusal):
        compile_condition(too_much)


PIECES = """priority queue Segment [deal size] state Due zz and or not in like between is null escape asc desc ( ) , =
<> < >= 1 -2.5 1e999 'a' 'queued' '2026-01-01' '%_' ' " [ ] ; \x00 é ((("""
WORDS = st.sampled_from(PIECES.split())
GARBAGE = st.text() | st.lists(WORDS, max_size=12).map(" ".join) | st.text(st.sampled_from("[]'()%_ ,=<>!aä1.e-\n"))


@settings(max_examples=200, deadline=None)
@given(GARBAGE)
def test_garbage_is_refused_and_nothing_else(text: str) -> None:
    """Given any text, when it is compiled, then it works or is refused with a place in it."""
    for compile_text in (compile_condition, compile_order):
        try:
            compile_text(text, CUSTOM)
        except Refusal as refusal:
            assert refusal.code is Code.BAD_CONDITION
            assert refusal.detail.startswith(("column ", "line ")) and refusal.detail.isprintable()
