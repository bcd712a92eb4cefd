"""Marks: sort keys as bytes."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.conditions import marks

NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.sampled_from([2**53, 2**53 + 1, 2**53 + 2])
TEXTS = st.text(st.sampled_from("\x00\x01a"), max_size=3) | st.text(
    st.sampled_from("b\xff\u20ac\U0001f600"), max_size=3
)
TAILS = st.sampled_from([b"", b"\x00", b"\x01", b"\xff"])


@given(NUMBERS, NUMBERS)
def test_any_two_numbers(one: float, other: float) -> None:
    # given whole numbers beyond what a double tells apart, and doubles
    # when their marks are compared
    low, high = marks.any_number(one), marks.any_number(other)
    # then it is as the numbers compare
    assert (low < high, low == high) == (one < other, one == other)


@given(st.floats(allow_nan=False) | st.integers(-(2**53), 2**53), st.floats(allow_nan=False))
def test_two_numbers_of_a_system_property(one: float, other: float) -> None:
    # given numbers that doubles can say
    low, high = marks.number(one), marks.number(other)
    # when their marks are compared
    # then it is as the numbers compare
    assert (low < high, low == high) == (one < other, one == other)


@settings(max_examples=300)
@given(TEXTS, TEXTS, TAILS, TAILS)
def test_two_texts_with_something_behind_them(one: str, other: str, tail: bytes, other_tail: bytes) -> None:
    # given texts, also with the character that ends a mark, and further terms behind them
    low, high = marks.text(one) + tail, marks.text(other) + other_tail
    # when the marks are compared, either way round
    # then the texts decide, and what is behind them only where they are the same
    if one != other:
        assert (low < high) == (one < other)
        assert (marks.descending(marks.text(one)) + tail < marks.descending(marks.text(other)) + other_tail) == (
            one > other
        )
    else:
        assert (low < high) == (tail < other_tail)


@pytest.mark.parametrize("mark", [marks.number, marks.any_number])
def test_numbers_at_the_edges(mark: object) -> None:
    # given the edges of numbers, in order
    edges = [None, -inf, -1e308, -1, -5e-324, 0, 5e-324, 1, 1e308, inf]
    # when their marks are compared
    made = [mark(edge) for edge in edges]  # type: ignore[operator]
    # then null comes first, and zero has one mark
    assert all(low < high for low, high in pairwise(made))
    assert mark(-0.0) == mark(0.0) == mark(0)  # type: ignore[operator]


def test_whole_numbers_that_no_double_can_say() -> None:
    # given numbers of 400 digits, as JSON may have them
    huge = 10**400
    # when their marks are compared
    # then they are beyond all others
    assert marks.any_number(-huge) < marks.any_number(-1e308) < marks.any_number(1e308) < marks.any_number(huge)
