"""Workbins: placing, content, types, statistics, notifications; and queues that operators pause.

A workbin is named by its type and its owner. Without an owner it is the asking agent's own, or that of its place.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta

from broker.errors import Code

from .interactions import ChangingRequest
from .kinds import (
    HANDLERS_OF_INTERACTIONS,
    OPERATORS,
    ClientType,
    Merge,
    Notification,
    Record,
    Reply,
    ReportingEvent,
    Request,
    Route,
    Workbin,
)
from .objects import AskingAgent, AskingPlace, Count, Interaction, QueueName, Reason, TenantId
from .reporting import SystemEvent

READERS = HANDLERS_OF_INTERACTIONS | {ClientType.MONITOR, ClientType.REPORTING}
"""Agents see their own workbins and those of their groups and places; all others those of their tenants."""

WhichWorkbin = Annotated[Workbin, Meta(description="its type and owner; without an owner the asking agent's own")]


class RequestPlaceInWorkbin(ChangingRequest):
    """Puts the interaction into a workbin, anybody's; whoever handled it handles it no more."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_WORKBIN, Code.QUEUE_DISABLED)
    causes: ClassVar[tuple[str, ...]] = (
        "EventPartyRemoved",
        "EventTakenFromWorkbin",
        "EventPlacedInQueue",
        "EventPlacedInWorkbin",
        "EventWorkbinContentChanged",
        "EventPropertiesChanged",
        "EventRevoked",
        "EventAbandoned",
    )
    example: ClassVar[dict[str, Any]] = {
        "interaction_id": "30FGHMI2NBPV2PWI",
        "workbin": {"type": "Drafts", "agent_id": "VICKY"},
    }

    workbin: WhichWorkbin


class WorkbinRequest(Request):
    """What requests about workbins share."""

    refuses: ClassVar[tuple[Code, ...]] = (
        Code.UNKNOWN_TENANT,
        Code.UNKNOWN_WORKBIN,
        Code.NOT_LOGGED_IN,
    )
    senders: ClassVar[frozenset[ClientType]] = READERS
    route: ClassVar[Route] = Route.SCATTER

    tenant_id: TenantId
    agent_id: AskingAgent | None = None
    place_id: AskingPlace | None = None


class RequestGetWorkbinContent(WorkbinRequest):
    """Reads what is in a workbin, also what is held or locked."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.BAD_CONDITION,)
    merge: ClassVar[Merge] = Merge.ORDERED
    reply: ClassVar[str] = "EventWorkbinContent"
    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "workbin": {"type": "Drafts", "agent_id": "VICKY"}}

    workbin: WhichWorkbin
    order: Annotated[
        str, Meta(description="such as `priority desc, received_at`; empty: `received_at`, then the id")
    ] = ""
    count: Annotated[Count, Meta(description="interactions at most, over all nodes")] = 100
    require_complete: Annotated[
        bool, Meta(description="a proxy answers 2002 rather than a list that misses a node's interactions")
    ] = False


class EventWorkbinContent(Reply):
    """What is in the workbin, in order.

    :param more: there are further ones beyond `count`
    :param complete: from a proxy: false when nodes did not answer
    :param missing: which
    """

    interactions: list[Interaction]
    more: bool = False
    complete: bool | None = None
    missing: list[str] | None = None


class RequestWorkbinTypesInfo(WorkbinRequest):
    """The types of workbins, and which workbins of each the asking agent may use."""

    merge: ClassVar[Merge] = Merge.PASS
    reply: ClassVar[str] = "EventWorkbinTypesInfo"
    example: ClassVar[dict[str, Any]] = {"tenant_id": 101}


class WorkbinTypeInfo(Record):
    """A type of workbins.

    :param owner: `agent`, `agent-group`, `place` or `place-group`
    :param view: what to pull from
    :param queue: the queue behind it
    :param active: false: the queue behind it is disabled
    :param workbins: the asking agent's own of this type
    """

    type: str
    owner: str
    view: str
    queue: str | None = None
    active: bool = True
    workbins: list[Workbin] = []


class EventWorkbinTypesInfo(Reply):
    """All types of workbins of the tenant."""

    workbin_types: list[WorkbinTypeInfo]


class RequestWorkbinStatistic(WorkbinRequest):
    """How many interactions are in a workbin, or in each of the asking agent's."""

    merge: ClassVar[Merge] = Merge.COUNTS
    reply: ClassVar[str] = "EventAgentWorkbinStats"
    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "workbin": {"type": "Drafts", "agent_id": "VICKY"}}

    workbin: Annotated[Workbin | None, Meta(description="absent: all that the asking agent may use")] = None


class WorkbinCount(Record, omit_defaults=False):
    """What is in a workbin.

    :param count: interactions, with those that are held
    :param held: how many are held
    """

    workbin: Workbin
    count: int = 0
    held: int = 0


class EventAgentWorkbinStats(Reply):
    """The workbins' counts.

    :param complete: from a proxy: false when nodes did not answer
    :param missing: which
    """

    workbins: list[WorkbinCount]
    complete: bool | None = None
    missing: list[str] | None = None


class RequestWorkbinNotifications(WorkbinRequest):
    """Asks to be told of what comes into a workbin and goes out of it, as long as the session lasts."""

    merge: ClassVar[Merge] = Merge.ALL
    once: ClassVar[bool] = True
    causes: ClassVar[tuple[str, ...]] = ("EventWorkbinContentChanged",)
    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "workbin": {"type": "Drafts", "agent_id": "VICKY"}}

    workbin: WhichWorkbin


class RequestWorkbinCancelNotifications(WorkbinRequest):
    """Asks to be told no more; it is no fault if that was never asked."""

    merge: ClassVar[Merge] = Merge.ALL
    once: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "workbin": {"type": "Drafts", "agent_id": "VICKY"}}

    workbin: WhichWorkbin


class EventWorkbinContentChanged(Notification):
    """An interaction came into the workbin, or went out of it.

    :param operation: `added` or `removed`
    :param interaction: as it is in the workbin, where it was added
    :param count: interactions in the workbin now, at this node
    """

    tenant_id: int
    workbin: Workbin
    operation: str
    interaction_id: str
    interaction: Interaction | None = None
    count: int = 0


class EventPlacedInWorkbin(ReportingEvent):
    """An interaction was put into a workbin, after an ``EventPlacedInQueue`` where there is a queue behind it."""


class EventTakenFromWorkbin(ReportingEvent):
    """An interaction was taken from a workbin by ``party``; without one it was moved or placed elsewhere."""


class QueueRequest(Request):
    """What requests about a queue share."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_QUEUE,)
    senders: ClassVar[frozenset[ClientType]] = OPERATORS
    route: ClassVar[Route] = Route.SCATTER
    merge: ClassVar[Merge] = Merge.ALL
    once: ClassVar[bool] = True

    queue: QueueName
    reason: Reason = UNSET


class RequestPauseQueue(QueueRequest):
    """Pulls from the queue's views get nothing until it is resumed, those on hold wait; it is filled as before.

    A queue that is paused already stays so. By its id an interaction can be pulled all the same.
    """

    causes: ClassVar[tuple[str, ...]] = ("EventQueuePaused",)
    example: ClassVar[dict[str, Any]] = {"queue": "Inbound", "reason": {"reason_system_name": "Maintenance"}}


class RequestResumeQueue(QueueRequest):
    """Pulls from the queue's views get interactions again; held pulls are served."""

    causes: ClassVar[tuple[str, ...]] = ("EventQueueResumed",)
    example: ClassVar[dict[str, Any]] = {"queue": "Inbound"}


class EventQueuePaused(SystemEvent):
    """A node's queue was paused; ``body`` names it."""


class EventQueueResumed(SystemEvent):
    """A node's queue was resumed; ``body`` names it."""
