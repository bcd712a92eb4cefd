"""The things that messages speak of: interactions, and the field types that several requests share.

Names are the published property names in snake_case (see the glossary).
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Raw

from .kinds import EMPTY, Document, Record, Workbin

MAX_ID = 64
InteractionId = Annotated[str, Meta(min_length=1, max_length=MAX_ID, description="the interaction's identifier")]
TenantId = Annotated[int, Meta(ge=1, description="the tenant's number")]
MAX_NAME = 255
MAX_NUMBER = 2**31 - 1
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
AgentId = Annotated[Name, Meta(description="the agent's id")]
PlaceId = Annotated[Name, Meta(description="the place's id")]
AskingAgent = Annotated[Name, Meta(description="which of the session's agents asks, where it has several")]
AskingPlace = Annotated[Name, Meta(description="the same by its place")]
MediaType = Annotated[Name, Meta(description="one of the tenant's media types, such as `voice` or `email`")]
QueueName = Annotated[Name, Meta(description="one of the tenant's queues")]
ViewId = Annotated[Name, Meta(description="the view's name in the configuration, such as `Inbound/all`")]
StrategyId = Annotated[Name, Meta(description="the strategy that the routing engine acts for; events show it")]
Reason = Annotated[Document, Meta(description="why: any JSON; the events that this causes carry it")]
Number = Annotated[int, Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]
Seconds = Annotated[float, Meta(ge=0)]
Patience = Annotated[float, Meta(ge=0, le=86_400)]
"""How long an invitation stands, in seconds: no longer than `delivering-timeout` may be."""
MAX_TIME = 253_402_300_799
"""The last second of the year 9999: beyond it a time cannot be shown."""
Timestamp = Annotated[float, Meta(ge=0, le=MAX_TIME, description="seconds since the Unix epoch, UTC")]
Count = Annotated[int, Meta(ge=1, le=10_000)]
Flag = Annotated[int, Meta(ge=0, le=1)]
Properties = dict[str, Any]
MediaList = Annotated[dict[str, Flag], Meta(description="media types, each with 0 not ready or 1 ready")]

QUEUED, CACHED, ROUTING, HANDLING = 0, 1, 2, 3
"""``interaction_state``: queued; fetched for a strategy; being processed by routing; being handled by an agent."""

STATES = ("queued", "cached", "routing", "handling")


class Interaction(Record, gc=False):
    """An interaction: what a node keeps of it and what replies show of it. Times are seconds since the Unix epoch.

    :param interaction_id: the cluster's (16 characters, it names the node), or the client's own
    :param interaction_type: `Inbound`, `Outbound`, `Internal`
    :param interaction_state: 0 queued, 2 being processed by routing, 3 being handled by an agent
    :param queue: the queue it is in, or was taken from; null: none
    :param priority: for the order of views; higher is more urgent where a view says `priority desc`
    :param is_online: 1 while the customer is there
    :param received_at: when it came to the media server; the default order of views
    :param submitted_at: when it came to the node
    :param submit_seq: rises with every submit at this node
    :param place_in_queue_seq: rises with every placement in a queue at this node
    :param is_locked: 1 while a snapshot or a session locks it: no view shows it and nobody can pull it
    :param is_held: 1 while it is on hold; pulls leave it out
    :param parent_id: the interaction that this one answers or belongs to
    :param external_id: the media server's own id
    :param workbin: the workbin it is in, or was taken from; null: none
    :param in_queues: suggested next queues
    :param out_queues: the queues that its children may be put into; absent: any
    :param submitted_by: name of the client that brought it in
    :param placed_in_queue_at: of the last placement in a queue; absent while an agent's own submit was not placed yet
    :param moved_to_queue_at: of the first placement in its present queue; coming back to the same queue changes nothing
    :param delivered_at: when it was first offered to an agent, or first pulled by one
    :param abandoned_at: when `is_online` became 0; absent while it is 1
    :param assigned_to: the agent that handles it, or the place of one without an id
    :param assigned_at: since when
    :param completed_at: when it was put into a queue that is `completed`; absent again when it is put into another
    :param scheduled_at: before this time no view has it
    :param held_at: since when it is on hold
    :param snapshot_id: the snapshot that locks it; absent with the lock of a session
    :param service_type: the business layer's, kept as it is
    :param service_objective: the business layer's, seconds, kept as it is
    :param user_data: the JSON object as it came in; where nobody changed it, byte for byte
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
"""System properties that ``added_properties`` and ``changed_properties`` may name."""


def _published(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


PROPERTIES = {
    spelling: name
    for name in Interaction.__struct_fields__
    if name != "user_data"
    for spelling in (name, _published(name))
}
"""The system properties by both of their names, ``external_id`` and ``ExternalId``; any other key is user data."""
