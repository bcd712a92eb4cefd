"""Bugs of what engines are sent."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from node.engines import Engines
from tests.sim.bugs.bug import CALM, Planted


def _engines_have_no_turns() -> Any:
    """The same engine is sent something again while it has room."""
    return patch.object(Engines, "next_turn", lambda self: 0)


def _freed_engines_are_forgotten() -> Any:
    """An engine that has room again is not seen until it loads the strategy anew."""
    return patch.object(Engines, "freed", lambda self, session_id: None)


PLANTED: dict[str, Planted] = {
    "engines have no turns": Planted(_engines_have_no_turns, {**CALM, "engines": 2, "media": 3, "nodes": 1}),
    "freed engines are forgotten": Planted(
        _freed_engines_are_forgotten, {**CALM, "engines": 1, "routers": 0, "media": 4, "nodes": 1, "requests": 20}
    ),
}
