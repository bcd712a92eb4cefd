"""What a bench notes besides its time, for the tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Figure = Callable[[float], float]
"""Seconds of the middle round -> a figure."""


def note(benchmark: Any, **figures: Figure) -> None:
    """Notes figures made of the time that was measured. Nothing, where benches are only tried
    (``--benchmark-disable``), for then no time was."""
    if benchmark.stats is not None:
        median_s = benchmark.stats.stats.median
        benchmark.extra_info |= {name: figure(median_s) for name, figure in figures.items()}


def rate(number: int) -> Figure:
    """How many are done in a second. :param number: that a round does"""
    return lambda seconds: round(number / seconds)


def microseconds(number: int, digits: int = 1) -> Figure:
    """What one takes. :param number: that a round does"""
    return lambda seconds: round(seconds / number * 1e6, digits)
