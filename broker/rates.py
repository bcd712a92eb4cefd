"""How often something may be done: rates as options and requests spell them (``10/second``, ``90/minute``, ``0``), and
the pace that a rate allows, as a token bucket in the caller's own time.
"""

from __future__ import annotations

RATE = r"^(0|[0-9]{1,6}/(second|minute|hour))\Z"
"""How a rate is spelt."""

SPELT = "a rate such as `10/second`, `90/minute`, `500/hour`, or `0`"
"""The same in words."""

_PERIOD_S = {"second": 1.0, "minute": 60.0, "hour": 3600.0}


def per_second(rate: str) -> float:
    """A rate in times per second; 0 is never. :param rate: spelt as in :data:`RATE`"""
    number, _, period = rate.partition("/")
    return int(number) / _PERIOD_S[period] if period else 0.0


class Pace:
    """What a rate allows: one after the other, evenly, and as many at once as a second brings, at least one.

    So no period ever sees more than its number and one second's share.

    :param rate: as it is spelt; None: as often as one likes
    """

    __slots__ = ("_due", "_interval_s", "_slack_s")

    def __init__(self, rate: str | None) -> None:
        times = per_second(rate) if rate is not None else float("inf")
        self._interval_s = 1.0 / times if times else float("inf")
        self._slack_s = max(1.0 - self._interval_s, 0.0) if times else 0.0
        self._due = float("-inf")

    def next_at(self, now: float) -> float:
        """When the next one is allowed: ``now`` at the earliest, never is infinite."""
        if self._interval_s == float("inf"):
            return self._interval_s
        # A clock that was set back must not stop everything until it has caught up.
        self._due = min(self._due, now + self._interval_s + self._slack_s)
        return max(now, self._due - self._slack_s)

    def done(self, now: float) -> None:
        """One was done; it was allowed."""
        self._due = max(self._due, now) + self._interval_s
