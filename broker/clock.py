"""The hybrid logical clock that stamps events: strictly rising, and never behind the wall clock it was shown.

Times inside the cluster are whole microseconds since the Unix epoch (``us``), which a JSON number holds exactly
(below 2**53 until the year 2255); on the wire they are seconds.
"""

from __future__ import annotations

MICROSECONDS = 1_000_000


def to_us(seconds: float) -> int:
    """Seconds since the epoch as whole microseconds."""
    return round(seconds * MICROSECONDS)


def to_seconds(us: int) -> float:
    """Microseconds since the epoch as the seconds that go on the wire."""
    return us / MICROSECONDS


class HybridClock:
    """One node's logical time.

    A member that becomes active starts its clock at the last time in the journal, so the pair's time never goes
    back; a wall clock that jumps back only makes the logical time run on by single microseconds.
    """

    __slots__ = ("last_us",)

    def __init__(self, last_us: int = 0) -> None:
        self.last_us = last_us

    def next(self, now: float) -> int:
        """A new time in µs: above every earlier one, and not below ``now`` (seconds)."""
        last = self.last_us + 1
        wall = int(now * MICROSECONDS)
        self.last_us = last if last > wall else wall
        return self.last_us

    def promise(self, now: float) -> int:
        """The time T in µs up to which everything has been said: every later :meth:`next` is above T."""
        wall = int(now * MICROSECONDS)
        if wall > self.last_us:
            self.last_us = wall
        return self.last_us

    def observe(self, us: int) -> None:
        """Takes note of a time that has been used, such as the journal's last."""
        if us > self.last_us:
            self.last_us = us
