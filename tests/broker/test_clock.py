"""The hybrid clock: strictly rising, never behind the wall, promises are kept."""

from hypothesis import given
from hypothesis import strategies as st

from broker.clock import HybridClock, to_seconds, to_us

WALL = st.lists(st.floats(1_000_000_000, 2_000_000_000), min_size=1, max_size=50)


@given(WALL)
def test_times_rise_strictly_and_are_not_behind_the_wall_clock(walls):
    clock, last = HybridClock(), 0
    for wall in walls:
        us = clock.next(wall)
        assert us > last
        assert us >= int(wall * 1_000_000)
        last = us


@given(WALL)
def test_everything_after_a_promise_is_later(walls):
    clock = HybridClock()
    for wall in walls:
        promised = clock.promise(wall)
        assert clock.next(wall - 100) > promised


@given(st.integers(0, 2**53 - 1))
def test_a_promise_does_not_run_ahead_of_what_was_said(us):
    clock = HybridClock()
    clock.observe(us)
    assert clock.promise(0) == us


@given(st.integers(10**15, 4 * 10**15))
def test_microseconds_survive_the_way_through_seconds(us):
    assert to_us(to_seconds(us)) == us
