"""What is left in a proxy when all is answered: nothing that waits, no deadline, no timer; and its agents as nodes have
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any

from proxy.core import ProxyCore
from proxy.link import Link


def leftovers(core: ProxyCore) -> dict[str, Any]:
    """What still waits for something, by where it is; empty at rest."""
    return {where: what for where, what in _waiting(core) if what}


def _waiting(core: ProxyCore) -> Iterator[tuple[str, Any]]:
    yield "calls", len(core.calls)
    yield "calls by their dedup_id", core.calls._named
    yield "asks", core.gather._open
    yield "orders", core.own.orders
    yield "sessions that end", core.own._ending
    yield "submits that wait for a node", core.forward._parked
    yield "pulls", core.pulls._open
    for (name, _), view in core.lookout.views.items():
        yield f"pulls of {name}", [*view.waiting, *view.impatient, *filter(len, view.lanes.values())]
        yield f"a look at {name}", view.looking
    yield "shares of workbins", core.workbins._rushes
    yield "agents that are changed", core.agents._locked or core.agents._running or core.agents._parting
    yield "agents that nodes are behind with", core.agents.arrears._due
    yield "doubts", [doubts for doubts in core.agents.arrears._doubts.values() if doubts]
    yield "doubts that are resolved", core.agents.arrears._resolving
    yield "agents that are caught up", [agent for agent in core.agents._roster if agent.catching_up]
    yield "loads that are told", core.capacity._telling
    yield "requests of limited agents", core.capacity._waiting
    yield "strategies that are told", [wish for wish in core.strategies if wish.changing or wish.asking]
    yield "replays", core.reporting.replays._open + len(core.reporting.replays._early)
    yield "states", core.reporting.states._open
    yield from _timers(core)
    for link in core.links.links.values():
        yield f"requests to {link.name}", _unanswered(link)


def _timers(core: ProxyCore) -> Iterator[tuple[str, Any]]:
    """What wants to be woken though nothing is under way. (The links' probes and the sessions' ends always do.)"""
    parts = {
        "the gathering": core.gather,
        "pulls": core.pulls,
        "submits": core.forward,
        "arrears": core.agents.arrears,
        "strategies": core.strategies,
        "replays": core.reporting.replays,
        "states": core.reporting.states,
    }
    for name, part in parts.items():
        yield f"a timer of {name}", 0 if part.wake_at == inf else part.wake_at


def _unanswered(link: Link) -> list[int]:
    """Requests of clients that the node has not answered, or that are remembered for no reason."""
    return [*(number for number in link.open if number not in link.told), *link.fresh, *link.bounced]
