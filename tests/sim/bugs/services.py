"""Bugs of ESP servers and what they are asked."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from node import (
    attendance,
    services,
)
from node.core import NodeCore
from proxy.services import Services as ProxyServices
from tests.sim.bugs.bug import CALM, Planted


def _lost_errands_are_run_again() -> Any:
    """Whatever a lost server had goes to another one."""
    go_on = attendance._go_on

    def eager(node: NodeCore, server: str, refids: Any, *, got: bool = True) -> None:
        go_on(node, server, list(refids), got=False)

    return patch.object(attendance, "_go_on", eager)


def _open_errands_are_forgotten() -> Any:
    """A request that comes again while it is open is a new one."""
    return patch.object(services, "waits", lambda node, key, call: False)


def _no_other_node_is_asked() -> Any:
    """What a node has no server for nobody has."""
    ask = ProxyServices._ask

    def once(self: ProxyServices, call: Any, nodes: Any) -> None:
        ask(self, call, nodes[:1])

    return patch.object(ProxyServices, "_ask", once)


def _any_node_is_asked() -> Any:
    """Nobody looks where the interaction is."""

    def anywhere(self: ProxyServices, call: Any, nodes: Any) -> None:
        self._ask_in_turn(call, nodes)

    return patch.object(ProxyServices, "_locate", anywhere)


def _merging_is_only_said() -> Any:
    """A server's user data is not written into the interaction."""
    return patch.object(services, "_merge", lambda node, row, data, cause: row.note.interaction_id is not None)


def _merging_is_left_out() -> Any:
    """A server's user data is nobody's."""
    return patch.object(services, "_merge", lambda node, row, data, cause: False)


def _services_have_for_ever() -> Any:
    """A new active member does not know when requests run out."""

    def careless(node: NodeCore) -> set[Any]:
        with patch.object(node, "deadline", lambda *given: None):
            return resume(node)

    resume = attendance.resume
    return patch.object(attendance, "resume", careless)


def _services_have_no_time() -> Any:
    """A request is over before its time."""
    note = services._note

    def short(node: NodeCore, call: Any) -> Any:
        called = note(node, call)
        called.timeout = 0.2
        return called

    return patch.object(services, "_note", short)


SERVED: dict[str, Any] = {"services": 2, "direct_services": 1, "media": 3, "nodes": 2, "agents": 0, "engines": 0}

PLANTED: dict[str, Planted] = {
    "lost errands are run again": Planted(
        _lost_errands_are_run_again,
        {
            **SERVED,
            "media": 6,
            "direct_services": 3,
            "lazy": 0.7,
            "requests": 20,
            "faults": ("vanishing client", "cut"),
        },
    ),
    "open errands are forgotten": Planted(_open_errands_are_forgotten, {**SERVED, "faults": ("clients lose", "cut")}),
    "no other node is asked": Planted(_no_other_node_is_asked, {**SERVED, **CALM, "services": 0, "nodes": 3}),
    "any node is asked": Planted(_any_node_is_asked, {**SERVED, **CALM}),
    "merging is only said": Planted(_merging_is_only_said, SERVED),
    "merging is left out": Planted(_merging_is_left_out, SERVED),
    "services have for ever": Planted(_services_have_for_ever, {**SERVED, "lazy": 0.7, "faults": ("crash a member",)}),
    "services have no time": Planted(_services_have_no_time, {**SERVED, **CALM}),
}
