"""Rates, and the pace that they allow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.rates import Pace, per_second


@pytest.mark.parametrize(("rate", "times"), [("0", 0), ("0/hour", 0), ("10/second", 10), ("90/minute", 1.5)])
def test_a_rate_is_so_many_a_second(rate, times):
    assert per_second(rate) == times


def done(pace, until, now=0.0):
    """When things are done that are done as soon as they may be."""
    times = []
    while (now := pace.next_at(now)) <= until:
        times.append(now)
        pace.done(now)
    return times


def test_without_a_rate_anything_may_be_done_at_once():
    pace = Pace(None)
    for _ in range(1000):
        pace.done(5.0)
    assert pace.next_at(5.0) == 5.0


@pytest.mark.parametrize("rate", ["0", "0/second", "0/minute"])
def test_never_is_never(rate):
    assert Pace(rate).next_at(0.0) == float("inf")


def test_a_seconds_share_at_once_and_then_evenly():
    assert done(Pace("4/second"), 0.5) == [0.0, 0.0, 0.0, 0.0, 0.25, 0.5]
    assert done(Pace("2/minute"), 90.0) == [0.0, 30.0, 60.0, 90.0]


@given(number=st.integers(1, 50), period=st.sampled_from(["second", "minute"]), start=st.floats(0, 2e9))
def test_no_period_sees_more_than_its_number_and_a_seconds_share(number, period, start):
    """Given any rate, when things are done as soon as they may be, then each waits no longer than it has to, and no
    period has more than the rate and a second's share."""
    length = {"second": 1.0, "minute": 60.0}[period]
    times = done(Pace(f"{number}/{period}"), start + 3 * length, start)
    share = max(number / length, 1.0)
    for at in times:
        assert sum(at <= other < at + length for other in times) <= number + share + 1
    assert len(times) >= 3 * number


def test_a_clock_that_is_set_back_stops_nothing_for_long():
    pace = Pace("1/second")
    pace.done(10_000.0)
    assert pace.next_at(5.0) <= 6.0
