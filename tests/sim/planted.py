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
    "lost events stay lost": 1,
    "pulls are not recalled": 1,
    "merge in no order": 1,
    "one too many": 1,
    "cut too early": 1,
    "more is not told": 1,
    "second comes first": 1,
    "left ones go elsewhere": 1,
    "any node is asked": 1,
    "gone is gone": 1,
    "introductions come late": 1,
    "unseen nodes are not told": 31,
    "the last word is an echo": 24,
    "new nodes begin at once": 10,
    "earlier homes are not asked": 8,
    "ack before commit": 13,
    "held batch is sent": 24,
    "timeout is absence": 63,
    "epoch outside the write": 35,
    "grants are forgotten": 19,
    "words are not heard": 70,
    "missing is not told": 20,
    "heads are not compared": 29,
    "other nodes do not count": 8,
    "seats are counted twice": 7,
    "engines get too much": 11,
    "events come twice": 2,
    "tables are behind": 2,
    "transfers keep the asker": 7,
    "offers are acked at once": 2,
    "rejections count as silence": 10,
    "unseen are seen": 13,
    "seen are unseen": 16,
    "nobody is told who left": 17,
    "invitations end at take-overs": 8,
    "lost errands are run again": 14,
    "services have for ever": 2,
    "used ones expire": 10,
    "everything is moved": 2,
    "anybody delivers": 30,
    "reservations stay at home": 6,
    "least urgent first": 13,
    "first come, first served": 23,
    "used ones stay": 6,
    "reservations have no end": 25,
    "freed engines are forgotten": 2,
    "bad targets are wrong states": 2,
    "holds stand already": 2,
    "holders are strangers": 6,
    "full before their time": 8,
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
