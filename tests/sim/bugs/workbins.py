"""Bugs of pulls from workbins."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from proxy import workbins
from proxy.grants import granted_payload
from tests.sim.bugs.bug import PLAIN, Planted
from tests.sim.network import CALM as FINE
from tests.sim.network import Weather


def _one_node_after_the_other() -> Any:
    """A pull from a workbin takes what one node has, and then what the next one has."""

    def unsorted(lines: Any, count: int, taken: Any) -> list[Any]:
        return [place for line in lines for place in line.places][:count]

    return patch.object(workbins, "first_of", unsorted)


def _gone_is_gone() -> Any:
    """What others took from a workbin meanwhile is not made up for."""
    return patch.object(workbins.Workbins, "_goes_on", lambda workbins, pull, now: False)


def _unseen_nodes_are_not_told() -> Any:
    """A pull from a workbin is always complete."""
    return patch.object(workbins, "granted_payload", lambda granted, missing: granted_payload(granted))


CLERKS: dict[str, Any] = {
    **PLAIN,
    "clerks": 3,
    "agents": 0,
    "media": 5,
    "nodes": 3,
    "requests": 25,
    "accidents": [],
}
SLOW: dict[str, Any] = {"weather": {**dict.fromkeys(("client", "events", "stream"), FINE), "link": Weather(slow=0.2)}}

PLANTED: dict[str, Planted] = {
    "one node after the other": Planted(_one_node_after_the_other, {**CLERKS, "calm": True}),
    "gone is gone": Planted(_gone_is_gone, {**CLERKS, **SLOW}),
    "unseen nodes are not told": Planted(_unseen_nodes_are_not_told, {**CLERKS, **SLOW}),
}
