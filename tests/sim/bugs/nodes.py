"""Bugs of nodes that are away for a while, or added, and of who has gone meanwhile."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from node.records import AgentRow
from proxy.link import Link
from proxy.route import Routes
from tests.sim.bugs.bug import PLAIN, Planted
from tests.sim.network import CALM as FINE
from tests.sim.network import Weather
from tests.sim.plan import NODE_ADDED


def _last_word_is_an_echo() -> Any:
    """A node that another one speaks for instead brings its agent to the other's state without a word."""
    return patch.object(AgentRow, "has_last_word", property(lambda agent: not agent.echo and agent.is_away))


def _introductions_are_not_taken_back() -> Any:
    """What a node has not answered is sent again, though the client has gone."""
    return patch.object(Link, "unsay", lambda link, client: None)


def _new_nodes_begin_at_once() -> Any:
    """A node that was added takes new interactions while other proxies do not know it yet."""
    return patch.object(Routes, "grown", lambda self, nodes: nodes)


def _earlier_homes_are_not_asked() -> Any:
    """What was done at the home that a dedup_id had before a node was added is done again at the new one."""
    return patch.object(Routes, "earlier", lambda *_: ())


LOSSES: dict[str, Any] = {
    **PLAIN,
    "weather": {**dict.fromkeys(("client", "events", "stream"), FINE), "link": Weather(loss=0.4)},
}
OUTAGE: dict[str, Any] = {
    **PLAIN,
    "accidents": [(1.5, "crash both members"), (1.6, "crash a proxy"), (1.6, "crash a proxy")],
}

PLANTED: dict[str, Planted] = {
    "the last word is an echo": Planted(
        _last_word_is_an_echo,
        {**OUTAGE, "agents": 3, "reporters": 2, "nodes": 4, "proxies": 3, "span_s": 5.0},
    ),
    "introductions come late": Planted(
        _introductions_are_not_taken_back,
        {**LOSSES, "accidents": [(0.5, "vanishing client")] * 2, "agents": 3, "nodes": 4, "span_s": 5.0},
    ),
    "new nodes begin at once": Planted(
        _new_nodes_begin_at_once,
        {**PLAIN, "faults": (NODE_ADDED, "events lose"), "reporters": 3, "media": 3, "nodes": 2, "proxies": 3},
    ),
    "earlier homes are not asked": Planted(
        _earlier_homes_are_not_asked,
        {**PLAIN, "faults": (NODE_ADDED, "clients lose"), "nodes": 2, "media": 3, "dedup": 1.0},
    ),
}
