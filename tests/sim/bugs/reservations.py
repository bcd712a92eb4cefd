"""Bugs of reservations and of the pool of seats."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from broker.config.objects import Configuration
from node import (
    reservations,
)
from proxy.reservations import Reservations as ProxyReservations
from tests.sim.bugs.bug import CALM, Planted, together


def _anybody_delivers() -> Any:
    """A delivery does not look whether somebody has reserved the agent."""
    return patch.object(reservations, "check", lambda node, agent, session: None)


def _reservations_stay_at_home() -> Any:
    """Only the node that has decided knows of it."""

    def alone(self: ProxyReservations, call: Any, deciding: str, others: Any, *given: Any) -> None:
        decided(self, call, deciding, (), *given)

    decided = ProxyReservations._decided
    return patch.object(ProxyReservations, "_decided", alone)


def _least_urgent_first() -> Any:
    """The lowest priority wins."""
    return patch.object(reservations.Wish, "rank", property(lambda wish: int(wish.call.request.priority)))


def _first_come_first_served() -> Any:
    """Nobody looks at priorities."""
    return patch.object(reservations.Wish, "rank", property(lambda wish: 0))


def _used_ones_stay() -> Any:
    """A delivery leaves the agent reserved."""
    return together(
        patch.object(reservations, "used", lambda node, agent: None),
        patch.object(ProxyReservations, "delivering", lambda self, call: None),
    )


def _reservations_have_no_end() -> Any:
    """A reservation that is not used stands."""
    return patch.object(reservations, "_expired", lambda node, what: None)


def _pool_is_the_nodes() -> Any:
    """A node of a pool counts the seats that it has itself."""
    return patch.object(Configuration, "seats_of", lambda self, node: dict(self.nodes[node].licenses))


RESERVED: dict[str, Any] = {"reserves": 1.0, "agents": 1, "routers": 4, "media": 4, "nodes": 2, "engines": 0}

PLANTED: dict[str, Planted] = {
    "anybody delivers": Planted(_anybody_delivers, RESERVED),
    "reservations stay at home": Planted(_reservations_stay_at_home, {**RESERVED, "nodes": 4, **CALM}),
    "least urgent first": Planted(_least_urgent_first, {**RESERVED, **CALM}),
    "first come, first served": Planted(_first_come_first_served, {**RESERVED, **CALM}),
    "used ones stay": Planted(_used_ones_stay, {**RESERVED, **CALM}),
    "reservations have no end": Planted(_reservations_have_no_end, RESERVED),
    "pool is the node's": Planted(_pool_is_the_nodes, {**CALM, "seats": 1, "agents": 2, "nodes": 2, "pool": True}),
}
