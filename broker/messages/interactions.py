"""Interactions: submit, move, change, stop, read (domain 1.6)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta, Raw

from .kinds import (
    EMPTY,
    HANDLERS_OF_INTERACTIONS,
    ClientType,
    Document,
    Merge,
    Notification,
    Reply,
    ReportingEvent,
    Request,
    Route,
)
from .objects import Count, Interaction, InteractionId, Name, Properties, TenantId, Timestamp


class RequestSubmit(Request):
    """Brings an interaction in. From a media server it is queued; from an agent it is handled by that agent."""

    senders: ClassVar[frozenset[ClientType]] = HANDLERS_OF_INTERACTIONS
    route: ClassVar[Route] = Route.SUBMIT
    once: ClassVar[bool] = True
    causes: ClassVar[tuple[str, ...]] = ("EventInteractionSubmitted", "EventPartyAdded")
    example: ClassVar[dict[str, Any]] = {
        "tenant_id": 101,
        "media_type": "email",
        "queue": "Inbound",
        "priority": 2,
        "user_data": {"Subject": "Card blocked"},
    }

    tenant_id: TenantId
    media_type: Name
    queue: Name | None = None
    interaction_type: Name = "Inbound"
    interaction_subtype: Name | None = None
    interaction_id: InteractionId | None = None
    parent_id: InteractionId | None = None
    external_id: Name | None = None
    priority: int = 0
    is_online: Annotated[int, Meta(ge=0, le=1)] = 0
    received_at: Timestamp | None = None
    scheduled_at: Timestamp | None = None
    in_queues: list[Name] | None = None
    out_queues: list[Name] | None = None
    service_type: Name | None = None
    service_objective: int | None = None
    agent_id: Name | None = None
    place_id: Name | None = None
    user_data: Raw = EMPTY


class InteractionRequest(Request):
    """What requests about one interaction share.

    ``token`` is the grant's, from a pull or an invitation: with an old one the request is refused.
    ``agent_id`` or ``place_id`` say which of the session's agents asks, where it has several.
    """

    senders: ClassVar[frozenset[ClientType]] = HANDLERS_OF_INTERACTIONS
    route: ClassVar[Route] = Route.INTERACTION
    merge: ClassVar[Merge] = Merge.POSITIVE
    once: ClassVar[bool] = True

    interaction_id: InteractionId
    token: int | None = None
    agent_id: Name | None = None
    place_id: Name | None = None
    reason: Document = UNSET


class ChangingRequest(InteractionRequest):
    """What requests that may change properties on the way share.

    Keys that name a settable property change that; every other key is user data.
    """

    added_properties: Properties = {}
    changed_properties: Properties = {}
    deleted_properties: list[str] | dict[str, Any] = []


class RequestPlaceInQueue(ChangingRequest):
    """Puts the interaction into a queue; whoever handled it handles it no more."""

    causes: ClassVar[tuple[str, ...]] = ("EventPartyRemoved", "EventPlacedInQueue", "EventPropertiesChanged")
    example: ClassVar[dict[str, Any]] = {"interaction_id": "…", "queue": "Inbound"}

    queue: Name


class RequestStopProcessing(ChangingRequest):
    """Ends the interaction: it is gone from the cluster."""

    causes: ClassVar[tuple[str, ...]] = (
        "EventPartyRemoved",
        "EventProcessingStopped",
        "EventRevoked",
        "EventAbandoned",
    )


class RequestChangeProperties(ChangingRequest):
    """Adds, changes and deletes properties and user data."""

    causes: ClassVar[tuple[str, ...]] = ("EventPropertiesChanged",)


class RequestGetInteractionProperties(InteractionRequest):
    """Reads one interaction."""

    senders: ClassVar[frozenset[ClientType]] = HANDLERS_OF_INTERACTIONS | {ClientType.MONITOR, ClientType.REPORTING}
    once: ClassVar[bool] = False
    reply: ClassVar[str] = "EventInteractionProperties"


class RequestFindInteractions(Request):
    """Finds interactions by a condition, in an order, at most ``count`` of them.

    ``require_complete`` makes a proxy answer 2002 rather than a list that misses a node's interactions.
    """

    senders: ClassVar[frozenset[ClientType]] = HANDLERS_OF_INTERACTIONS | {ClientType.MONITOR, ClientType.REPORTING}
    route: ClassVar[Route] = Route.SCATTER
    merge: ClassVar[Merge] = Merge.ORDERED
    reply: ClassVar[str] = "EventInteractionsFound"

    tenant_id: TenantId | None = None
    media_type: Name | None = None
    condition: str = ""
    order: str = ""
    count: Count = 100
    require_complete: bool = False


class EventInteractionProperties(Reply):
    """One interaction."""

    interaction: Interaction


class EventInteractionsFound(Reply):
    """The interactions found, in order. ``more``: there are further ones beyond ``count``.

    From a proxy ``complete`` is false when nodes (``missing``) did not answer.
    """

    interactions: list[Interaction]
    more: bool = False
    complete: bool | None = None
    missing: list[str] | None = None


class EventRevoked(ReportingEvent):
    """An invitation or a handled interaction was taken from an agent; the agent itself gets a notification."""


class EventInteractionSubmitted(ReportingEvent):
    """An interaction came in."""


class EventPlacedInQueue(ReportingEvent):
    """An interaction was put into a queue."""


class EventTakenFromQueue(ReportingEvent):
    """An interaction was taken from its queue by ``party``."""


class EventPartyAdded(ReportingEvent):
    """``party`` handles the interaction now."""


class EventPartyRemoved(ReportingEvent):
    """``party`` handles the interaction no more."""


class EventPropertiesChanged(ReportingEvent):
    """Properties or user data were changed; ``body`` holds what. To reporting, and as a notification to the handler."""


class EventProcessingStopped(ReportingEvent):
    """The interaction is gone."""


class InteractionRevoked(Notification, tag="EventRevoked"):
    """The agent has this interaction (or invitation) no more."""

    interaction_id: str
    ticket_id: int | None = None
    reason: str


class InteractionChanged(Notification, tag="EventPropertiesChanged"):
    """Somebody else changed the interaction that the client handles."""

    interaction_id: str
    interaction: Interaction
