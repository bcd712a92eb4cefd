"""Interactions: submit, move, change, stop, read."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta, Raw

from broker.errors import Code

from .kinds import (
    EMPTY,
    HANDLERS_OF_INTERACTIONS,
    ClientType,
    Merge,
    Notification,
    Reply,
    ReportingEvent,
    Request,
    Route,
    Workbin,
)
from .objects import (
    AgentId,
    AskingAgent,
    AskingPlace,
    Count,
    Flag,
    Interaction,
    InteractionId,
    MediaType,
    Name,
    Number,
    PlaceId,
    Properties,
    QueueName,
    Reason,
    TenantId,
    Timestamp,
)


class RequestSubmit(Request):
    """Brings an interaction in. From a media server it is queued; from an agent it is handled by that agent, who has to
    place or stop it later; when nobody handles it any more it goes to its queue or workbin.

    ``interaction_type`` and ``interaction_subtype`` are values of the tenant's business attributes. Where the parent is
    known to have ``out_queues``, a child can be put into these queues only.
    """

    refuses: ClassVar[tuple[Code, ...]] = (
        Code.UNKNOWN_TENANT,
        Code.UNKNOWN_MEDIA,
        Code.UNKNOWN_QUEUE,
        Code.QUEUE_DISABLED,
        Code.UNKNOWN_WORKBIN,
        Code.NOT_LOGGED_IN,
        Code.DUPLICATE_INTERACTION,
        Code.CAPACITY_FULL,
        Code.DRAINED,
    )
    senders: ClassVar[frozenset[ClientType]] = HANDLERS_OF_INTERACTIONS
    route: ClassVar[Route] = Route.SUBMIT
    once: ClassVar[bool] = True
    causes: ClassVar[tuple[str, ...]] = (
        "EventInteractionSubmitted",
        "EventPartyAdded",
        "EventPlacedInWorkbin",
        "EventWorkbinContentChanged",
    )
    example: ClassVar[dict[str, Any]] = {
        "tenant_id": 101,
        "media_type": "email",
        "queue": "Inbound",
        "priority": 2,
        "user_data": {"Subject": "Card blocked"},
    }

    tenant_id: TenantId
    media_type: MediaType
    queue: Annotated[
        QueueName | None, Meta(description="where it waits, or goes later; this or `workbin` has to be given")
    ] = None
    workbin: Annotated[
        Workbin | None,
        Meta(description="where it waits instead, or, submitted by an agent, where it goes when nobody handles it"),
    ] = None
    interaction_type: Annotated[Name, Meta(description="`Inbound`, `Outbound` or `Internal`")] = "Inbound"
    interaction_subtype: Annotated[Name | None, Meta(description="such as `InboundNew`")] = None
    interaction_id: Annotated[
        InteractionId | None, Meta(description="the client's own, unique in the cluster; absent: the node makes one")
    ] = None
    parent_id: Annotated[InteractionId | None, Meta(description="the interaction that this one belongs to")] = None
    external_id: Annotated[Name | None, Meta(description="the media server's own id; quick to find by")] = None
    priority: Annotated[Number, Meta(description="for the order of views")] = 0
    is_online: Annotated[Flag, Meta(description="1 while the customer is there, as in a chat or a call")] = 0
    received_at: Annotated[
        Timestamp | None, Meta(description="when it came to the media server, seconds since 1970; absent: now")
    ] = None
    scheduled_at: Annotated[Timestamp | None, Meta(description="no view has it before this time")] = None
    in_queues: Annotated[list[Name] | None, Meta(description="suggested next queues")] = None
    out_queues: Annotated[
        list[Name] | None, Meta(description="the queues that its children may be put into; absent: any")
    ] = None
    service_type: Annotated[Name | None, Meta(description="the business layer's, kept as it is")] = None
    service_objective: Annotated[Number | None, Meta(description="the business layer's, kept as it is")] = None
    agent_id: Annotated[AgentId | None, Meta(description="the submitting agent, where the session has several")] = None
    place_id: Annotated[PlaceId | None, Meta(description="the same by its place")] = None
    user_data: Annotated[Raw, Meta(description="any JSON object; kept byte for byte")] = EMPTY


class InteractionRequest(Request):
    """What requests about one interaction share: its media server or capture point may ask, and whoever holds it."""

    senders: ClassVar[frozenset[ClientType]] = HANDLERS_OF_INTERACTIONS
    route: ClassVar[Route] = Route.INTERACTION
    merge: ClassVar[Merge] = Merge.POSITIVE
    once: ClassVar[bool] = True
    names_target: ClassVar[bool] = False
    """``agent_id`` and ``place_id`` are whom it invites, not who asks."""

    interaction_id: InteractionId
    token: Annotated[
        int | None, Meta(description="of the grant (pull, invitation); with that of an earlier grant it is refused")
    ] = None
    agent_id: AskingAgent | None = None
    place_id: AskingPlace | None = None
    reason: Reason = UNSET


class ChangingRequest(InteractionRequest):
    """What requests that may change properties on the way share.

    A key that names a system property (`priority` or `Priority`) changes that, if it can be changed: `external_id`,
    `parent_id`, `priority`, `interaction_type`, `interaction_subtype`, `in_queues`, `out_queues`, `scheduled_at`,
    `service_type`, `service_objective`, and `is_online` by media servers and capture points. A system property that
    cannot be changed is refused. Every other key is user data.
    """

    refuses: ClassVar[tuple[Code, ...]] = (Code.BAD_TICKET,)

    added_properties: Annotated[Properties, Meta(description="new properties or user data, with their values")] = {}
    changed_properties: Annotated[Properties, Meta(description="the same for those that are there")] = {}
    deleted_properties: Annotated[
        list[str] | dict[str, Any], Meta(description="names, or the keys of the published kv list")
    ] = []


class RequestPlaceInQueue(ChangingRequest):
    """Puts the interaction into a queue; whoever handled it handles it no more."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_QUEUE, Code.QUEUE_DISABLED)
    causes: ClassVar[tuple[str, ...]] = (
        "EventPartyRemoved",
        "EventTakenFromWorkbin",
        "EventPlacedInQueue",
        "EventWorkbinContentChanged",
        "EventPropertiesChanged",
        "EventRevoked",
        "EventAbandoned",
    )
    example: ClassVar[dict[str, Any]] = {
        "interaction_id": "30FGHMI2NBPV2PWI",
        "queue": "PS",
        "changed_properties": {"priority": 3},
    }

    queue: QueueName


class RequestStopProcessing(ChangingRequest):
    """Ends the interaction: it is gone from the cluster."""

    causes: ClassVar[tuple[str, ...]] = (
        "EventPartyRemoved",
        "EventProcessingStopped",
        "EventWorkbinContentChanged",
        "EventPropertiesChanged",
        "EventRevoked",
        "EventAbandoned",
    )
    example: ClassVar[dict[str, Any]] = {
        "interaction_id": "30FGHMI2NBPV2PWI",
        "reason": {"reason_system_name": "Answered"},
    }


class RequestChangeProperties(ChangingRequest):
    """Adds, changes and deletes properties and user data."""

    causes: ClassVar[tuple[str, ...]] = ("EventPropertiesChanged",)
    example: ClassVar[dict[str, Any]] = {
        "interaction_id": "30FGHMI2NBPV2PWI",
        "changed_properties": {"priority": 5},
        "added_properties": {"Language": "en"},
        "deleted_properties": ["Draft"],
    }


class RequestGetInteractionProperties(InteractionRequest):
    """Reads one interaction."""

    senders: ClassVar[frozenset[ClientType]] = HANDLERS_OF_INTERACTIONS | {ClientType.MONITOR, ClientType.REPORTING}
    once: ClassVar[bool] = False
    reply: ClassVar[str] = "EventInteractionProperties"
    example: ClassVar[dict[str, Any]] = {"interaction_id": "30FGHMI2NBPV2PWI"}


class RequestFindInteractions(Request):
    """Finds interactions by a condition, in an order, at most ``count`` of them."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_TENANT, Code.BAD_CONDITION)
    senders: ClassVar[frozenset[ClientType]] = HANDLERS_OF_INTERACTIONS | {ClientType.MONITOR, ClientType.REPORTING}
    route: ClassVar[Route] = Route.SCATTER
    merge: ClassVar[Merge] = Merge.ORDERED
    reply: ClassVar[str] = "EventInteractionsFound"
    example: ClassVar[dict[str, Any]] = {
        "tenant_id": 101,
        "condition": "queue = 'Inbound' and priority >= 2",
        "order": "priority desc, received_at",
        "count": 20,
    }

    tenant_id: Annotated[TenantId | None, Meta(description="absent: all of the session's")] = None
    media_type: Annotated[MediaType | None, Meta(description="absent: all")] = None
    condition: Annotated[
        str, Meta(description="see [protocol.md](protocol.md#9-conditions-and-orders); empty: all")
    ] = ""
    order: Annotated[
        str, Meta(description="such as `priority desc, received_at`; empty: `received_at`, then the id")
    ] = ""
    count: Annotated[Count, Meta(description="interactions at most, over all nodes")] = 100
    require_complete: Annotated[
        bool, Meta(description="a proxy answers 2002 rather than a list that misses a node's interactions")
    ] = False


class EventInteractionProperties(Reply):
    """One interaction."""

    interaction: Interaction


class EventInteractionsFound(Reply):
    """The interactions found, in order.

    :param more: there are further ones beyond `count`
    :param complete: from a proxy: false when nodes did not answer
    :param missing: which
    """

    interactions: list[Interaction]
    more: bool = False
    complete: bool | None = None
    missing: list[str] | None = None


class EventRevoked(ReportingEvent):
    """An invitation was taken back from the agent in ``party``, who gets a notification, too."""


class EventInteractionSubmitted(ReportingEvent):
    """An interaction came in."""


class EventPlacedInQueue(ReportingEvent):
    """An interaction was put into a queue; ``old_queue`` and ``old_state`` say where it was before."""


class EventTakenFromQueue(ReportingEvent):
    """An interaction was taken from its queue by ``party``; ``old_queue`` and ``old_state`` say from where."""


class EventPartyAdded(ReportingEvent):
    """``party`` handles the interaction now."""


class EventPartyRemoved(ReportingEvent):
    """``party`` handles the interaction no more."""


class EventPropertiesChanged(ReportingEvent):
    """Properties or user data were changed; ``body`` holds what. To reporting, and as a notification to the handler."""


class EventProcessingStopped(ReportingEvent):
    """The interaction is gone; ``old_queue`` and ``old_state`` say where it was at last."""


class InteractionRevoked(Notification, tag="EventRevoked"):
    """The agent has this interaction (or invitation) no more.

    :param ticket_id: of the invitation, if it was one
    :param reason: such as `Expired`, `Stopped`, `PlacedInQueue`, `HandlingTimeout`
    """

    interaction_id: str
    ticket_id: int | None = None
    reason: str


class InteractionChanged(Notification, tag="EventPropertiesChanged"):
    """Somebody else changed the interaction that the client handles, or has submitted (a media server that wants to be
    told; see [RequestRegisterClient](requests.md#requestregisterclient))."""

    interaction_id: str
    interaction: Interaction
