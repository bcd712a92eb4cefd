"""Interactions for tests of conditions and orders: one that waits, and any at all."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from broker.conditions import compile_condition
from broker.config.objects import CustomProperty
from broker.messages.kinds import Workbin
from broker.messages.objects import Interaction

CUSTOM = {
    "Segment": CustomProperty(type="string"),
    "deal size": CustomProperty(type="number"),
    "Due": CustomProperty(type="timestamp"),
}
NOON = 1_790_000_000.25
NOON_TEXT = "2026-09-21 14:13:20.25"


def interaction(user_data: Any = None, **values: Any) -> Interaction:
    """An e-mail that waits in Inbound, but for ``values``."""
    plain: dict[str, Any] = {
        "interaction_id": "0001K3",
        "tenant_id": 101,
        "media_type": "email",
        "interaction_type": "Inbound",
        "interaction_state": 0,
        "queue": "Inbound",
        "priority": 2,
        "is_online": 0,
        "received_at": NOON,
        "submitted_at": NOON + 1,
        "submit_seq": 7,
        "place_in_queue_seq": 9,
    }
    return Interaction(**{**plain, "user_data": msgspec.Raw(msgspec.json.encode(user_data or {})), **values})


def matches(text: str, it: Interaction) -> bool:
    """Whether a condition over our custom properties is true of an interaction."""
    return compile_condition(text, CUSTOM).matches(it)


TEXTS = ["", "a", "A", "ab", "abab", "b%", "x_y", "é", "it's"]
NUMBERS = [-1, 0, 1, 2, 2.5, 10**20]
TIMES: dict[Any, str] = {
    0.0: "1970-01-01",
    1.5: "1970-01-01T00:00:01.5",
    NOON: NOON_TEXT,
    NOON + 3600: "2026-09-21T17:13:20.25+02:00",
}

COLUMNS = {
    "interaction_id": "string",
    "media_type": "string",
    "queue": "string",
    "parent_id": "string",
    "in_queues": "string",
    "workbin_type": "string",
    "workbin_agent_id": "string",
    "Segment": "string",
    "priority": "number",
    "service_objective": "number",
    "[deal size]": "number",
    "received_at": "timestamp",
    "scheduled_at": "timestamp",
    "Due": "timestamp",
    "interaction_state": "state",
}
JUNK: list[Any] = [None, True, [], {"a": 1}, "soon"]
or_none = st.none().__or__


@st.composite
def interactions(draw: st.DrawFn, interaction_id: str | None = None) -> tuple[Interaction, dict[str, Any]]:
    """An interaction with few different values, and the row that SQLite has for it."""
    text, number, time = st.sampled_from(TEXTS), st.sampled_from(NUMBERS), st.sampled_from(list(TIMES))
    segment, size, due = draw(text | st.sampled_from([*JUNK[:4], 5])), draw(number | st.sampled_from(JUNK)), draw(time)
    it = interaction(
        {"Segment": segment, "deal size": size, "Due": draw(st.sampled_from([due, TIMES[due]]))},
        interaction_id=interaction_id or draw(text),
        media_type=draw(text),
        queue=draw(or_none(text)),
        parent_id=draw(or_none(text)),
        in_queues=draw(or_none(st.lists(text, max_size=2))),
        workbin=draw(or_none(st.builds(Workbin, type=text, agent_id=or_none(text)))),
        priority=draw(st.integers(-1, 2)),
        service_objective=draw(or_none(st.integers(-1, 2))),
        received_at=draw(time),
        scheduled_at=draw(or_none(time)),
        interaction_state=draw(st.integers(0, 3)),
    )
    row = {name: getattr(it, name) for name in COLUMNS if hasattr(it, name)}
    row["in_queues"] = None if it.in_queues is None else ",".join(it.in_queues)
    row["workbin_type"], row["workbin_agent_id"] = (
        (it.workbin.type, it.workbin.agent_id) if it.workbin else (None, None)
    )
    row["Segment"] = segment if isinstance(segment, str) else None
    row["[deal size]"] = size if type(size) in (int, float) else None
    row["Due"] = due
    return it, {name: row[name] for name in COLUMNS}
