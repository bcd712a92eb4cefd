"""A view over several nodes: whose turn it is, by their lines and by what is under way."""

from __future__ import annotations

import pytest

from broker.conditions import compile_order
from proxy.lanes import NO_BOUND, WIDEST, Flight
from proxy.views import View

ORDER = compile_order("received_at")


@pytest.fixture
def view() -> View:
    """A view of three nodes."""
    return View(("Inbound/all", False), ("n1", "n2", "n3"), ORDER)


def tell(view: View, node: str, *numbers: int, more: bool = False) -> None:
    """A node tells its line, interactions received at these seconds."""
    view.learn(node, [[float(number), str(number)] for number in numbers], more)


def send(view: View, *wants: int) -> list[tuple[str | None, int | None]]:
    """Pulls go where they have to. :returns: for each the node, and the number that bounds it there"""
    sent: list[tuple[str | None, int | None]] = []
    for want in wants:
        node = view.first(lambda name: True)
        bound = NO_BOUND if node is None else view.bound(node)
        if node is not None:
            view.lanes[node].fly(len(sent), Flight(1 if bound.same else want, want, bound.key))
        sent.append((node, None if bound.head is None else int(bound.head[0])))
    return sent


def test_every_pull_goes_to_the_node_of_its_turn(view: View) -> None:
    # given lines of which each node has some
    tell(view, "n1", 1, 4)
    tell(view, "n2", 2, 3)
    tell(view, "n3")
    # when five pulls are sent
    # then each is bound by what nobody takes yet, and the fifth goes nowhere
    assert send(view, 1, 1, 1, 1, 1) == [("n1", 2), ("n2", 4), ("n2", 4), ("n1", None), (None, None)]


def test_what_is_behind_the_end_of_a_line_comes_after_the_end(view: View) -> None:
    # given a node with more than it has told, and another one with one between and one behind
    tell(view, "n1", 1, 3, more=True)
    tell(view, "n2", 2, 9)
    # when the lines are used up as far as they are sure
    sent = send(view, 1, 1, 1, 1)
    # then the fourth goes to the node that may have something before 9
    assert sent == [("n1", 2), ("n2", 3), ("n1", 9), ("n1", 9)]
    assert (view.lanes["n1"].guesses, view.bound("n2").head) == (1, [3.0, "3"])


def test_who_will_come_back_for_more_is_noticed_also_when_the_line_is_told_later(view: View) -> None:
    # given a pull of three at a node that has told one key and has more
    tell(view, "n1", 1, more=True)
    tell(view, "n2", 3)
    send(view, 3)
    assert not view.is_short
    # when the node tells more keys, and the second bounds the pull
    tell(view, "n1", 1, 2, 5, 6)
    # then it will have two of three, and the others are left
    assert view.is_short
    assert view.bound("n2").head == [5.0, "5"]


def test_a_line_is_without_what_its_node_has_granted(view: View) -> None:
    # given a pull under way, whose node has not told its line anew
    tell(view, "n1", 1, 2)
    send(view, 1)
    # when it is back
    lane = view.lanes["n1"]
    lane.took({"1"})
    lane.landed(0, full=True)
    # then the next one is what nobody has taken
    assert view.bound("n2").head == [2.0, "2"]


def test_what_was_under_way_at_a_node_that_left_takes_nothing_any_more(view: View) -> None:
    # given pulls under way at a node
    tell(view, "n1", 1, 2)
    send(view, 1, 1)
    # when it leaves and is back with another line, and the pulls land later on
    view.leave("n1")
    assert view.first(lambda name: True) is None
    tell(view, "n1", 7, 8)
    # then all of that line is there to be had, and stays so
    assert view.bound("n2").head == [7.0, "7"]
    view.lanes["n1"].landed(0, full=False)
    assert (view.bound("n2").head, view.is_flying) == ([7.0, "7"], False)


def test_guesses_become_more_while_they_are_right(view: View) -> None:
    # given a node that tells its head only
    tell(view, "n1", 1, more=True)
    lane = view.lanes["n1"]
    send(view, 1)
    assert lane.guesses == 0
    # when pulls that were sent on a guess get what they want, and then one does not
    widths = []
    for turn in range(1, 9):
        lane.fly(turn, Flight(1, 1, None))
        lane.landed(turn, full=turn < 8)
        widths.append(lane.width)
    # then so many may be under way
    assert widths == [2, 4, 8, 16, 32, WIDEST, WIDEST, WIDEST // 2]


@pytest.mark.parametrize(("wanted", "reach"), [(1, 1), (2, 2), (3, 4), (33, 64), (500, WIDEST)])
def test_lines_are_as_long_as_what_is_wanted(view: View, wanted: int, reach: int) -> None:
    # given so many that are wanted at once
    view.wanted = wanted
    # when lines are stretched
    view.stretch()
    # then they are long enough, and no longer
    assert view.reach == reach
