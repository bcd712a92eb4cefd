"""Bugs on purpose, one at a time: histories in which nothing is found then would show that nothing is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.sim.bugs import cluster, engines, moves, nodes, parties, refusals, reservations, services, workbins
from tests.sim.bugs.bug import Planted

PLANTED: dict[str, Planted] = {
    **cluster.PLANTED,
    **parties.PLANTED,
    **services.PLANTED,
    **moves.PLANTED,
    **reservations.PLANTED,
    **engines.PLANTED,
    **refusals.PLANTED,
    **workbins.PLANTED,
    **nodes.PLANTED,
}

SKIPPED: dict[str, int] = {
    "ack before commit": 9,
    "held batch is sent": 11,
    "timeout is absence": 58,
    "epoch outside the write": 9,
    "grants are forgotten": 3,
    "words are not heard": 52,
    "missing is not told": 15,
    "heads are not compared": 12,
    "other nodes do not count": 4,
    "seats are counted twice": 7,
    "events come twice": 2,
    "transfers keep the asker": 2,
    "offers are acked at once": 2,
    "rejections count as silence": 2,
    "unseen are seen": 5,
    "seen are unseen": 16,
    "nobody is told who left": 12,
    "invitations end at take-overs": 2,
    "lost errands are run again": 13,
    "used ones expire": 8,
    "anybody delivers": 8,
    "least urgent first": 9,
    "first come, first served": 8,
    "reservations have no end": 16,
}
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
