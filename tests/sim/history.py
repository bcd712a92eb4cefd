"""Histories by their seeds: one is run, many are run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import structlog

from node.core import NodeCore
from tests.sim.plan import Plan, draw
from tests.sim.processes import STAGE, staged
from tests.sim.world import World


class Result(NamedTuple):
    """What came of a history. :param lines: its trace, if it was traced"""

    plan: Plan
    faults: list[str]
    lines: list[str]
    counts: dict[str, int]


@contextmanager
def theatre() -> Iterator[None]:
    """While this lasts, histories can be played."""
    activate = NodeCore.activate

    def watched(core: NodeCore, *given: Any, **named: Any) -> None:
        STAGE.world.activated(core)
        activate(core, *given, **named)

    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        with staged(), patch.object(NodeCore, "activate", watched):
            yield
    finally:
        structlog.configure(**before)  # other tests look at what is logged


def play(seed: int, wish: dict[str, Any] | None = None, *, traced: bool = False) -> Result:
    """One history. Only inside of :func:`theatre`. :param wish: of its plan (:func:`tests.sim.plan.draw`)"""
    world = World(draw(seed, **(wish or {})), traced)
    faults = world.run()
    return Result(world.plan, faults, world.lines, world.counts)
