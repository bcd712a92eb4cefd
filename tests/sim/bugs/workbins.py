"""Bugs of pulls from workbins."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from node import shares
from node.views import View as NodeView
from proxy import workbins
from proxy.grants import granted_payload
from tests.sim.bugs.bug import PLAIN, Planted
from tests.sim.plan import OUT_OF_REACH


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


def _shares_are_not_compared() -> Any:
    """A node gives its share of a workbin wherever that stands by now."""

    def there(node: Any, view: NodeView, share: Any, *, ignore_hold: bool) -> list[str]:
        return [ident for ident in share if ident in view.of and (ignore_hold or ident not in view.held_ids)]

    return patch.object(shares, "still_there", there)


CLERKS: dict[str, Any] = {**PLAIN, "clerks": 2, "agents": 0, "media": 3, "nodes": 4, "requests": 30}

PLANTED: dict[str, Planted] = {
    "one node after the other": Planted(_one_node_after_the_other, {**CLERKS, "calm": True}),
    "gone is gone": Planted(_gone_is_gone, {**CLERKS, "faults": ("slow network",)}),
    "unseen nodes are not told": Planted(_unseen_nodes_are_not_told, {**CLERKS, "faults": (OUT_OF_REACH,)}),
    "shares are not compared": Planted(_shares_are_not_compared, {**CLERKS, "faults": ("slow network",)}),
}
