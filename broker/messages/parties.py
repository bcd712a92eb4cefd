"""Several parties: transfer, conference, intrude, leave; hold and resume; activity and custom events."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta

from broker.errors import Code

from .interactions import InteractionRequest
from .kinds import (
    AGENTS,
    RETURNS,
    ClientType,
    Document,
    Notification,
    Party,
    ReportingEvent,
    Request,
    Route,
)
from .objects import AgentId, InteractionId, MediaType, Name, Patience, PlaceId, Reason, TenantId

VisibilityMode = Annotated[
    int, Meta(ge=0, le=2, description="who sees the new party: 0 all (conference), 1 agents only (coaching), 2 nobody")
]


Timeout = Annotated[Patience, Meta(description="seconds that the invitation stands; absent or 0: `delivering-timeout`")]


class OfferRequest(InteractionRequest):
    """What requests share that offer an interaction which an agent handles to another agent.

    ``agent_id`` or ``place_id`` is the one to invite. The ack comes when that agent has accepted; ``EventError`` when
    it rejects (50), does not answer in time (51), or cannot be invited (49).
    """

    deferred: ClassVar[bool] = True
    senders: ClassVar[frozenset[ClientType]] = AGENTS
    causes: ClassVar[tuple[str, ...]] = (
        "EventAgentInvited",
        "EventInvite",
        "EventPartyAdded",
        "EventRejected",
        "EventRevoked",
    )
    refuses: ClassVar[tuple[Code, ...]] = (
        Code.BAD_TICKET,
        Code.BAD_TARGET,
        Code.CAPACITY_FULL,
        Code.REJECTED,
        Code.EXPIRED,
        Code.WRONG_STATE,
        Code.IN_PROGRESS,
    )

    names_target: ClassVar[bool] = True

    agent_id: Annotated[Name, Meta(description="the agent to invite")] | None = None
    place_id: Annotated[Name, Meta(description="the place to invite, where no agent is named")] | None = None
    visibility_mode: VisibilityMode = 0
    timeout: Timeout | None = None


class RequestTransfer(OfferRequest):
    """Gives the interaction to another agent. The asking agent keeps it until the other one accepts."""

    causes: ClassVar[tuple[str, ...]] = (*OfferRequest.causes, "EventPartyRemoved")
    example: ClassVar[dict[str, Any]] = {"interaction_id": "30FGHMI2NBPV2PWI", "agent_id": "ANAT"}


class RequestConference(OfferRequest):
    """Brings another agent in; both are parties then."""

    example: ClassVar[dict[str, Any]] = {"interaction_id": "30FGHMI2NBPV2PWI", "agent_id": "ANAT"}


class RequestIntrude(InteractionRequest):
    """An agent that is no party joins an interaction that others handle. It is invited itself, and accepts.

    ``agent_id`` or ``place_id`` say which of the session's agents wants to join. Two acks: to the accept, then this.
    """

    deferred: ClassVar[bool] = True
    refuses: ClassVar[tuple[Code, ...]] = (
        Code.NOT_LOGGED_IN,
        Code.BAD_TARGET,
        Code.CAPACITY_FULL,
        Code.REJECTED,
        Code.EXPIRED,
        Code.WRONG_STATE,
        Code.IN_PROGRESS,
    )
    senders: ClassVar[frozenset[ClientType]] = AGENTS
    causes: ClassVar[tuple[str, ...]] = (
        "EventAgentInvited",
        "EventInvite",
        "EventPartyAdded",
        "EventRejected",
        "EventRevoked",
    )
    example: ClassVar[dict[str, Any]] = {
        "interaction_id": "30FGHMI2NBPV2PWI",
        "agent_id": "ANAT",
        "visibility_mode": 1,
    }

    visibility_mode: VisibilityMode = 0
    timeout: Timeout | None = None


class RequestLeaveInteraction(InteractionRequest):
    """The agent is no party any more. When the last one leaves, the interaction goes back where it was taken from."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.BAD_TICKET,)
    senders: ClassVar[frozenset[ClientType]] = AGENTS
    causes: ClassVar[tuple[str, ...]] = (*RETURNS, "EventRevoked")
    example: ClassVar[dict[str, Any]] = {"interaction_id": "30FGHMI2NBPV2PWI"}


class RequestHold(InteractionRequest):
    """Keeps an interaction out of pulls until it is resumed; a pull with ``ignore_hold`` takes it all the same."""

    refuses: ClassVar[tuple[Code, ...]] = (
        Code.BAD_TICKET,
        Code.SAME_STATE,
    )
    causes: ClassVar[tuple[str, ...]] = ("EventHeld",)
    example: ClassVar[dict[str, Any]] = {
        "interaction_id": "30FGHMI2NBPV2PWI",
        "reason": {"reason_system_name": "Lunch"},
    }


class RequestResume(InteractionRequest):
    """Ends a hold."""

    refuses: ClassVar[tuple[Code, ...]] = (
        Code.BAD_TICKET,
        Code.SAME_STATE,
        Code.CAPACITY_FULL,
    )
    causes: ClassVar[tuple[str, ...]] = ("EventResumed",)
    example: ClassVar[dict[str, Any]] = {"interaction_id": "30FGHMI2NBPV2PWI"}


class RequestUpdateActivity(InteractionRequest):
    """What the agent does inside the handling, for reporting; it counts as activity for ``handling-timeout``."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.BAD_TICKET,)
    senders: ClassVar[frozenset[ClientType]] = AGENTS
    causes: ClassVar[tuple[str, ...]] = ("EventActivityReport",)
    example: ClassVar[dict[str, Any]] = {"interaction_id": "30FGHMI2NBPV2PWI", "activity": {"Name": "Research"}}

    activity: Annotated[Document, Meta(description="anything; reporting gets it as it is")] = UNSET


class CustomRequest(Request):
    """What the two names of a custom event share."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_TENANT, Code.UNKNOWN_MEDIA, Code.UNKNOWN_INTERACTION)
    route: ClassVar[Route] = Route.SERVICE
    once: ClassVar[bool] = True
    causes: ClassVar[tuple[str, ...]] = ("EventCustomReporting",)

    tenant_id: TenantId
    event_id: Annotated[int, Meta(ge=0, description="what kind of event, by the site's own numbering")]
    interaction_id: Annotated[InteractionId | None, Meta(description="it is about this interaction")] = None
    agent_id: Annotated[AgentId | None, Meta(description="it is about this agent, logged in or not")] = None
    place_id: Annotated[PlaceId | None, Meta(description="the same of a place")] = None
    media_type: MediaType | None = None
    reason: Reason = UNSET
    body: Annotated[Document, Meta(description="anything; reporting gets it as it is")] = UNSET


class RequestDistributeEvent(CustomRequest):
    """Puts a custom event into the reporting stream: about an interaction, an agent (or place), or neither."""

    example: ClassVar[dict[str, Any]] = {
        "tenant_id": 101,
        "event_id": 7,
        "agent_id": "VICKY",
        "body": {"Step": "archived"},
    }


class RequestDistributeUserEvent(CustomRequest):
    """The same as ``RequestDistributeEvent``, by its other published name."""

    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "event_id": 7, "body": {"Step": "archived"}}


class PartyChanged(Notification):
    """What notifications to the parties of an interaction share."""

    interaction_id: str
    party: Party


class PartyJoined(PartyChanged, tag="EventPartyAdded"):
    """Another party handles the interaction, too. Who joins seen by nobody is not told of."""

    visibility_mode: int = 0


class PartyLeft(PartyChanged, tag="EventPartyRemoved"):
    """Another party handles the interaction no more."""


class EventHeld(ReportingEvent):
    """The interaction is kept out of pulls."""


class EventResumed(ReportingEvent):
    """The interaction may be pulled again."""


class EventActivityReport(ReportingEvent):
    """What an agent does inside the handling; ``body`` holds it."""


class EventCustomReporting(ReportingEvent):
    """A client's own event. ``body`` holds ``event_id``, ``activity`` (`interaction`, `agent` or `custom`: what it is
    about) and ``content``; the interaction is where it is in all events, the agent or place is the ``party``."""

    topic: ClassVar[str] = "custom"
