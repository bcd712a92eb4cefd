"""The plain server: what conditions, orders, views and workbins mean, said once more in plain Python.

It shares no code with the product. A node's journal says what was there at each moment (:mod:`tests.sim.model`); this
says what a single server would have answered then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Document = dict[str, Any]
Holds = Callable[[Document], bool]
Place = Callable[[Document], tuple[Any, ...]]

CONDITIONS: dict[str, Holds] = {
    "": lambda state: True,
    "queue = 'Inbound'": lambda state: state.get("queue") == "Inbound",
    "priority >= 2": lambda state: bool(state["priority"] >= 2),
    "interaction_state = 0": lambda state: bool(state["interaction_state"] == 0),
    "priority < 3 and media_type = 'email'": lambda state: state["priority"] < 3 and state["media_type"] == "email",
}
"""Of finds, of snapshots and of views."""

ORDERS: dict[str, Place] = {
    "priority desc": lambda state: (-state["priority"], state["interaction_id"]),
    "priority desc, received_at": lambda state: (-state["priority"], state["received_at"], state["interaction_id"]),
    "received_at": lambda state: (state["received_at"], state["interaction_id"]),
    "interaction_state desc, received_at desc": lambda state: (
        -state["interaction_state"],
        -state["received_at"],
        state["interaction_id"],
    ),
    "received_at desc": lambda state: (-state["received_at"], state["interaction_id"]),
    "media_type desc, priority": lambda state: (
        state["media_type"] != "voice",
        state["priority"],
        state["interaction_id"],
    ),
}
"""Where something stands; equal ones stand by their ids."""

VIEWS: dict[str, tuple[str, str, str]] = {
    "Inbound/all": ("Inbound", "", "priority desc, received_at"),
    "Second/all": ("Second", "", "priority desc, received_at"),
    "Inbound/urgent": ("Inbound", "priority >= 2", "received_at desc"),
}
"""View -> its queue, condition and order."""

WORKBIN = "Drafts"
"""The type of workbin that there is, an agent's."""
WORKBIN_ORDER = ORDERS["priority desc, received_at"]
"""The workbins' own order, which pulls follow."""

SERVICE = "Sorting"
"""What ESP servers serve."""

STRATEGY = "Push"
STRATEGY_VIEWS = ("Inbound/urgent",)
MOST_SUBMITTED = 2
"""What an engine that has loaded the strategy may hold of what it was sent, at each node."""


def is_waiting(state: Document) -> bool:
    """Whether views have it, held or not."""
    return state["interaction_state"] == 0 and not state.get("is_locked") and state.get("workbin") is None


def in_view(view: str) -> Holds:
    """What a pull from the view may take."""
    queue, condition, _ = VIEWS[view]
    holds = CONDITIONS[condition]
    return lambda state: is_waiting(state) and not state.get("is_held") and state.get("queue") == queue and holds(state)


def order_of(view: str) -> Place:
    """The view's order."""
    return ORDERS[VIEWS[view][2]]


def is_of_workbin(view: str) -> bool:
    """Whether a view is that of workbins."""
    return view == f"{WORKBIN}/PrivateView"


def pulled_of_workbin(agent_id: str, fields: Document) -> Holds:
    """What an agent's pull from its workbin may take. :param fields: of the pull"""
    is_in = in_workbin(agent_id)
    return lambda state: (
        is_in(state) and not state.get("is_locked") and (fields.get("ignore_hold") or not state.get("is_held"))
    )


def in_workbin(agent_id: str) -> Holds:
    """What is in an agent's workbin."""
    return lambda state: state["interaction_state"] == 0 and (state.get("workbin") or {}).get("agent_id") == agent_id
