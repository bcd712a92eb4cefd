"""How interactions are shown as text."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

from broker.messages.objects import STATES

from .output import cell, print_table, table

_COLUMNS = ("interaction", "media", "queue", "state", "#priority", "received", "assigned to", "user data")
_LONGEST = 60


def print_list(title: str, interactions: Iterable[dict[str, Any]]) -> None:
    """Interactions as a table, a line each."""
    made = table(title, _COLUMNS)
    for one in interactions:
        data = orjson.dumps(one.get("user_data") or {}).decode()
        made.add_row(
            one["interaction_id"],
            one["media_type"],
            cell(one.get("queue")),
            state_of(one),
            cell(one.get("priority", 0)),
            as_time(one["received_at"]),
            cell(one.get("assigned_to")),
            data if len(data) <= _LONGEST else data[: _LONGEST - 1] + "…",
        )
    print_table(made)


def print_one(interaction: dict[str, Any]) -> None:
    """All properties of one interaction, a line each; user data by key."""
    made = table(interaction["interaction_id"], ("property", "value"))
    for name, value in interaction.items():
        if name != "user_data":
            made.add_row(name, _value(name, value, interaction))
    for key, value in (interaction.get("user_data") or {}).items():
        made.add_row(f"user_data.{key}", cell(value))
    print_table(made)


def _value(name: str, value: Any, interaction: dict[str, Any]) -> str:
    if name == "interaction_state":
        return state_of(interaction)
    return as_time(value) if name.endswith("_at") else cell(value)


def state_of(interaction: dict[str, Any]) -> str:
    """The name of an interaction's state."""
    state = interaction.get("interaction_state", 0)
    return STATES[state] if 0 <= state < len(STATES) else str(state)


def as_time(seconds: float | None) -> str:
    """A time for people, in UTC."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
