"""Conditions and orders that clients ask for, and that views have, each beside a plain function that says the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Document = dict[str, Any]
Key = tuple[Any, ...]

CONDITIONS: dict[str, Callable[[Document], bool]] = {
    "": lambda state: True,
    "queue = 'Inbound'": lambda state: state.get("queue") == "Inbound",
    "priority >= 2": lambda state: bool(state["priority"] >= 2),
    "interaction_state = 0": lambda state: bool(state["interaction_state"] == 0),
}

OF_VIEWS = "priority desc, received_at"

ORDERS: dict[str, Callable[[Document], Key]] = {
    "priority desc": lambda state: (-state["priority"], state["interaction_id"]),
    "received_at": lambda state: (state["received_at"], state["interaction_id"]),
    "interaction_state desc, received_at desc": lambda state: (
        -state["interaction_state"],
        -state["received_at"],
        state["interaction_id"],
    ),
    OF_VIEWS: lambda state: (-state["priority"], state["received_at"], state["interaction_id"]),
}
"""What interactions are sorted by; the lowest comes first."""


def waits(state: Document | None, queue: str) -> bool:
    """Whether a view of everything in a queue shows an interaction to pulls."""
    return (
        state is not None
        and state.get("queue") == queue
        and state["interaction_state"] == 0
        and not state.get("is_held")
        and not state.get("is_locked")
        and state.get("workbin") is None
    )
