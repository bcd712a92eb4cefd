"""Bugs on purpose, one at a time: histories in which nothing is found then would show that nothing is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.sim.bugs import cluster, engines, moves, parties, reservations, services
from tests.sim.bugs.bug import Planted

PLANTED: dict[str, Planted] = {
    **cluster.PLANTED,
    **parties.PLANTED,
    **services.PLANTED,
    **moves.PLANTED,
    **reservations.PLANTED,
    **engines.PLANTED,
}

SKIPPED: dict[str, int] = {}
"""Histories in which a bug did not show when it was last searched for; they are left out."""


@contextmanager
def planted(name: str | None) -> Iterator[dict[str, Any]]:
    """While this lasts the product has this bug; None: none. Gives what it wishes of plans."""
    if name is None:
        yield {}
        return
    bug, wish = PLANTED[name]
    with bug():
        yield wish
