"""The things that messages speak of: interactions, and the field types that several requests share.

Names are the published property names in snake_case (see the glossary).
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Raw

from .kinds import EMPTY, Record, Workbin

InteractionId = Annotated[str, Meta(min_length=1, max_length=64, description="the interaction's identifier")]
TenantId = Annotated[int, Meta(ge=1, description="the tenant's number")]
MAX_NAME = 255
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Seconds = Annotated[float, Meta(ge=0)]
Timestamp = Annotated[float, Meta(ge=0, description="seconds since the Unix epoch, UTC")]
Count = Annotated[int, Meta(ge=1, le=10_000)]
Properties = dict[str, Any]
MediaList = dict[str, Annotated[int, Meta(ge=0, le=1)]]

QUEUED, CACHED, ROUTING, HANDLING = 0, 1, 2, 3
"""``interaction_state``: queued; fetched for a strategy; being processed by routing; being handled by an agent."""

STATES = ("queued", "cached", "routing", "handling")


class Interaction(Record, gc=False):
    """An interaction: what a node keeps of it and what replies show of it.

    ``user_data`` is the JSON object as bytes, as it came in where nobody changed it.
    """

    interaction_id: str
    tenant_id: int
    media_type: str
    interaction_type: str
    interaction_state: int
    queue: str | None
    priority: int
    is_online: int
    received_at: float
    submitted_at: float
    submit_seq: int
    place_in_queue_seq: int
    is_locked: int = 0
    is_held: int = 0
    interaction_subtype: str | None = None
    parent_id: str | None = None
    external_id: str | None = None
    workbin: Workbin | None = None
    in_queues: list[str] | None = None
    out_queues: list[str] | None = None
    submitted_by: str | None = None
    placed_in_queue_at: float | None = None
    moved_to_queue_at: float | None = None
    delivered_at: float | None = None
    abandoned_at: float | None = None
    assigned_to: str | None = None
    assigned_at: float | None = None
    completed_at: float | None = None
    scheduled_at: float | None = None
    held_at: float | None = None
    snapshot_id: str | None = None
    service_type: str | None = None
    service_objective: int | None = None
    user_data: Raw = EMPTY


SETTABLE: dict[str, type] = {
    "priority": int,
    "is_online": int,
    "interaction_subtype": str,
    "interaction_type": str,
    "parent_id": str,
    "external_id": str,
    "in_queues": list,
    "out_queues": list,
    "scheduled_at": float,
    "service_type": str,
    "service_objective": int,
}
"""Fixed properties that ``added_properties`` and ``changed_properties`` may name; any other key is user data."""
