"""The one heap of a history: everything that happens, happens from here, in the order of (time, number).

Time is seconds since the history began. All that is random comes from :attr:`Heap.random`, so a seed is a history.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

MOST_STEPS = 400_000
"""A history that takes more steps than this turns in a circle."""


class Restless(Exception):
    """The history does not come to an end."""


class Heap:
    """What is to happen.

    :param seed: of everything random
    """

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.random = Random(seed)
        self.steps = 0
        self._entries: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._numbers = 0

    def at(self, when: float, action: Callable[..., object], *given: Any) -> None:
        """Has ``action(*given)`` called at a time; one that has passed is now."""
        self._numbers += 1
        heappush(self._entries, (when if when > self.now else self.now, self._numbers, action, given))

    def after(self, delay_s: float, action: Callable[..., object], *given: Any) -> None:
        """Has ``action(*given)`` called a while from now."""
        self.at(self.now + delay_s, action, *given)

    def run(self, until: float, ended: Callable[[], bool] | None = None) -> bool:
        """Lets things happen up to a time, or until ``ended()``. True: it has ended.

        :raises Restless: there is no end of it
        """
        entries = self._entries
        while entries and entries[0][0] <= until:
            self.now, _, action, given = heappop(entries)
            self.steps += 1
            if self.steps > MOST_STEPS:
                raise Restless(f"{MOST_STEPS} steps, and it is {self.now:.3f} s")
            action(*given)
            if ended is not None and ended():
                return True
        self.now = max(self.now, until)
        return False

    def chance(self, probability: float) -> bool:
        """True with this probability; asks nothing of the dice where there is no doubt."""
        return probability > 0 and self.random.random() < probability
