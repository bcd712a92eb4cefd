"""Positions: cursors as text, what is before and behind them, and how they move."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.positions import LAST_US, OLDEST, Position, read_cursor, times_of
from broker.wire import make_cursor

nodes = st.sampled_from(["n1", "n2", "n3", "n10"])
times = st.integers(0, LAST_US)
positions = st.builds(Position, times, nodes, st.dictionaries(nodes, times))


def test_of_the_same_time_the_earlier_names_are_behind() -> None:
    # Given the position after n2's event at 50; then n1's of that time is behind it, n3's is to come
    position = read_cursor(make_cursor(50, "n2"))
    assert (position.after("n1"), position.after("n2"), position.after("n3")) == (50, 50, 49)
    assert position.is_late(50, "n2") and not position.is_late(50, "n3") and position.is_late(49, "n3")


def test_a_node_apart_has_its_own_time() -> None:
    position = read_cursor(make_cursor(50, "n2", {"n3": 20}))
    assert position.after("n3") == 20 and position.is_late(30, "n3")
    assert times_of(position, ["n1", "n2"]) == {"n1": 50, "n2": 50, "n3": 20}


def test_nothing_is_behind_the_oldest() -> None:
    assert OLDEST.after("n1") == 0 and not OLDEST.is_late(1, "n1")


@given(positions)
def test_a_cursor_is_read_as_it_was_written(position: Position) -> None:
    assert read_cursor(position.cursor()) == position


@given(positions, times, nodes)
def test_a_moved_position_has_the_times_it_was_given(position: Position, us: int, node: str) -> None:
    wanted = times_of(position, ["n1", "n2", "n3", "n10"])
    moved = position.moved(wanted, us, node)
    assert times_of(moved, wanted) == wanted and moved[:2] == (us, node)
    assert all(at != moved.base(name) for name, at in moved.apart.items())


@pytest.mark.parametrize(
    "text",
    ["", "-", "n1", "12", "x-n1", "-5-n1", "12-n1;n2", "12-n1;n2=", f"{LAST_US + 1}-n1", f"1-n1;n2={LAST_US + 1}"],
)
def test_what_is_no_cursor(text: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        read_cursor(text)
