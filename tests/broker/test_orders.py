"""Orders, against hand-made expectations and SQLite."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.conditions import MAX_TERMS, MAX_TEXT, Descending, Order, compile_order
from broker.config.objects import CustomProperty
from broker.errors import Code, Refusal
from broker.messages.objects import Interaction
from tests.broker.judge import DATABASE, stored
from tests.broker.samples import COLUMNS, CUSTOM, NOON, interaction, interactions

ORDERS = st.lists(
    st.tuples(st.sampled_from(list(COLUMNS)), st.sampled_from(["", " asc", " DESC"])),
    max_size=4,
    unique_by=lambda item: item[0],
).map(lambda items: ", ".join(name + direction for name, direction in items))


@st.composite
def populations(draw: st.DrawFn) -> list[tuple[Interaction, dict[str, Any]]]:
    ids = draw(st.lists(st.text(st.sampled_from("abAé"), min_size=1, max_size=2), unique=True, min_size=1, max_size=6))
    return [draw(interactions(interaction_id=it)) for it in ids]


@settings(max_examples=100, deadline=None)
@given(ORDERS, populations())
def test_orders_agree_with_sqlite(text: str, population: list[tuple[Interaction, dict[str, Any]]]) -> None:
    """Given any order and interactions, when they are sorted by key, then they stand as SQLite sorts them."""
    order = compile_order(text, CUSTOM)
    stored([row for _, row in population])
    terms_of_sql = f"{text or 'received_at'}, interaction_id"
    numbers = [number for (number,) in DATABASE.execute(f"select number from t order by {terms_of_sql}")]
    expected = [population[number][0] for number in numbers]
    assert sorted((it for it, _ in population), key=order.key) == expected
    for one, next_one in pairwise(expected):
        low, high = order.key(one), order.key(next_one)
        assert low < high and low <= high and high > low and high >= low and low != high
        assert not (high < low or high <= low or low > high or low >= high or low == high)


@settings(max_examples=100, deadline=None)
@given(ORDERS, interactions())
def test_a_key_is_the_same_however_it_is_made(text: str, pair: tuple[Interaction, dict[str, Any]]) -> None:
    """Given an interaction, when its key comes from the object or from its head's JSON, then it is one."""
    it, _ = pair
    order = compile_order(text, CUSTOM)
    key = order.key(it)
    assert order.key_of(json.loads(json.dumps(order.head(it)))) == key
    assert order.key_of(msgspec.json.decode(msgspec.json.encode(order.head(it)))) == key
    assert hash(key) == hash(order.key_of(order.head(it)))
    assert not key < key and key <= key


@settings(max_examples=200, deadline=None)
@given(ORDERS, interactions(), interactions())
def test_marks_compare_as_keys_do(
    text: str, one: tuple[Interaction, dict[str, Any]], other: tuple[Interaction, dict[str, Any]]
) -> None:
    """Given two interactions and any order, when their marks are compared as bytes, then it is as with their keys."""
    order = compile_order(text, CUSTOM)
    marks, keys = [order.mark(one[0]), order.mark(other[0])], [order.key(one[0]), order.key(other[0])]
    assert (marks[0] < marks[1], marks[0] == marks[1]) == (keys[0] < keys[1], keys[0] == keys[1])


def test_the_default_order_and_the_tie_breaker() -> None:
    """Given no order, or one without the id, when a key is made, then arrival comes first and the id decides ties."""
    it = interaction()
    assert compile_order("").text == compile_order(" ").text == "received_at, interaction_id"
    assert compile_order("").key(it) == (NOON, "0001K3")
    assert compile_order("priority desc").key(it) == (-2, "0001K3")
    assert compile_order("priority desc, Priority asc").key(it) == (-2, "0001K3")
    assert compile_order("id desc").head(it) == ["0001K3"]
    assert compile_order("id desc").key(it) > compile_order("id desc").key(interaction(interaction_id="0001K4"))
    assert compile_order("queue, Due", CUSTOM).head(it) == ["Inbound", None, "0001K3"]
    assert compile_order("WorkbinAgentId, Due", CUSTOM).fields == {"workbin", "user_data", "interaction_id"}


def test_descending_strings_compare_the_other_way_round() -> None:
    """Given wrapped strings, when they are compared by any operator, then the greater string comes first."""
    a, b = Descending("a"), Descending("b")
    assert b < a and b <= a and a > b and a >= b and a != b
    assert a <= Descending("a") and a >= Descending("a") and a == Descending("a") and not a < Descending("a")
    assert len({a, b, Descending("a")}) == 2
    assert a != "a"


@pytest.mark.parametrize(
    "head",
    [
        None,
        (1, 2.0, None, "x"),
        [],
        [1, 2.0, None],
        [1, 2.0, None, "x", 0],
        ["1", 2.0, None, "x"],
        [None, 2.0, None, "x"],
        [True, 2.0, None, "x"],
        [1, float("nan"), None, "x"],
        [1, 2.0, 3, "x"],
        [1, 2.0, None, None],
        [1, 2.0, None, ["x"]],
    ],
)
def test_a_head_of_another_shape_is_refused(head: Any) -> None:
    """Given something else than this order's head, when its key is asked, then ValueError names what was expected."""
    order = compile_order("priority, received_at, queue desc")
    assert isinstance(order, Order)
    order.key_of([1, 2, None, "x"])
    with pytest.raises(ValueError, match="4 values: priority, received_at, queue, interaction_id"):
        order.key_of(head)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("priority foo", "column 10: expected a comma, the end, 'asc' or 'desc', found 'foo'"),
        ("priority desc,", "column 15: expected a property name, found the end"),
        (", priority", "column 1: expected a property name, found ','"),
        ("prio", "column 1: there is no property 'prio'; did you mean 'priority'?"),
        ("priority = 1", "column 10: expected"),
        ("user_data", "column 1: there is no property 'user_data'"),
    ],
)
def test_a_faulty_order_says_where_and_what(text: str, detail: str) -> None:
    """Given a faulty order, when it is compiled, then the refusal has the column and a sentence for a person."""
    with pytest.raises(Refusal) as caught:
        compile_order(text, CUSTOM)
    assert caught.value.detail.startswith(detail)
    assert (caught.value.code, caught.value.field) == (Code.BAD_CONDITION, "order")


def test_order_bounds() -> None:
    """Given an order that is too long or has too many terms, when it is compiled, then it is refused."""
    custom = {f"c{at}": CustomProperty() for at in range(MAX_TERMS + 1)}
    assert compile_order(",".join(list(custom)[:MAX_TERMS]), custom).fields == {"user_data", "interaction_id"}
    for text in (",".join(custom), "priority".ljust(MAX_TEXT + 1)):
        with pytest.raises(Refusal):
            compile_order(text, custom)
