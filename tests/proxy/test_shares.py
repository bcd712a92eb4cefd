"""Shares: what comes first of several nodes' lines, against a plain list."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.wire import Rows
from proxy.shares import Line, Place, first_of, line_of, runs_of, shares_of

WAITING = st.dictionaries(st.integers(0, 40), st.sampled_from(["n1", "n2", "n3"]))
"""Who has what, by its place."""


def rows(*places: int, more: bool = False) -> Rows:
    """What a node says of its places."""
    return Rows([bytes([at]) for at in places], [json.dumps(str(at)).encode() for at in places], more)


def lines_of(waiting: dict[int, str], told: int) -> list[Line]:
    """What the nodes say that tell so many at most."""
    lines = []
    for node in sorted(set(waiting.values())):
        own = sorted(at for at, name in waiting.items() if name == node)
        lines.append(line_of(node, rows(*own[:told], more=len(own) > told)))
    return lines


def numbers(places: list[Place]) -> list[int]:
    return [int(place.interaction_id) for place in places]


@given(WAITING, st.integers(1, 10))
def test_of_lines_that_are_long_enough_the_first_ones_are_chosen(waiting: dict[int, str], count: int) -> None:
    """Given lines that tell as many as are wanted, when they are put together, then they are what one list begins
    with, each from who has it."""
    chosen = first_of(lines_of(waiting, count), count)
    assert numbers(chosen) == sorted(waiting)[:count]
    assert [place.node for place in chosen] == [waiting[at] for at in sorted(waiting)[:count]]


@given(WAITING, st.integers(1, 10), st.integers(1, 10), st.sets(st.integers(0, 40)))
def test_nothing_is_chosen_before_its_turn(waiting: dict[int, str], count: int, told: int, taken: set[int]) -> None:
    """Given lines of any length, and what others have chosen already, when they are put together, then what is chosen
    is what the list of the others begins with, though it may be less than is wanted; of whole lines it is not."""
    lines = lines_of(waiting, told)
    chosen = numbers(first_of(lines, count, {str(at) for at in taken}))
    left = sorted(waiting.keys() - taken)[:count]
    assert chosen == left[: len(chosen)]
    assert chosen == left or any(line.more for line in lines)


@given(WAITING)
def test_shares_and_runs_are_all_of_it(waiting: dict[int, str]) -> None:
    """Given what was chosen, when it is divided, then each node has its own in order; and runs one behind the other
    are what was chosen."""
    chosen = first_of(lines_of(waiting, 99), 99)
    shares = {share.node: [int(one) for one in share.marks] for share in shares_of(chosen)}
    assert shares == {node: sorted(at for at in waiting if waiting[at] == node) for node in set(waiting.values())}
    runs = runs_of(chosen)
    assert [(run.node, int(one), mark) for run in runs for one, mark in run.marks.items()] == [
        (place.node, int(place.interaction_id), place.mark) for place in chosen
    ]
    assert all(one.node != two.node for one, two in zip(runs, runs[1:], strict=False))


@pytest.mark.parametrize("said", [b"7", b"nonsense", b'{"interaction_id":"a"}', b"\xff"])
def test_what_is_no_id_is_refused(said: bytes) -> None:
    """Given rows of something else, when they are read, then that is a fault."""
    with pytest.raises(ValueError, match="."):
        line_of("n1", Rows([b"a"], [said], False))


def test_an_empty_line_hides_nothing() -> None:
    """Given a node that says that there is more and tells nothing, when it is read, then it has nothing."""
    assert line_of("n1", Rows([], [], True)) == Line([], False)
