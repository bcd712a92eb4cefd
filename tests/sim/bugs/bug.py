"""What a bug on purpose is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

CALM: dict[str, Any] = {"calm": True}
"""Wishes for histories in which nothing goes wrong by itself."""

PLAIN: dict[str, Any] = {"parties": 0.0, "services": 0, "direct_services": 0, "movers": 0, "reserves": 0.0}
"""Wishes for histories in which nobody does anything out of the ordinary."""


class Planted(NamedTuple):
    """A bug on purpose.

    :param bug: gives a context: while it lasts the product has the bug
    :param wish: of the histories' plans, so that it is likely to show (:func:`tests.sim.plan.draw`)
    """

    bug: Callable[[], Any]
    wish: dict[str, Any] = {}


@contextmanager
def together(*patches: Any) -> Iterator[None]:
    """Several contexts as one."""
    with ExitStack() as stack:
        for one in patches:
            stack.enter_context(one)
        yield
