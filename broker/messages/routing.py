"""Routing engines deliver, agents are invited and answer."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta

from broker.errors import Code

from .interactions import InteractionRequest
from .kinds import AGENTS, ClientType, Notification, ReportingEvent
from .objects import Interaction, Name, Seconds, StrategyId


class RequestDeliver(InteractionRequest):
    """A routing engine offers the interaction to an agent or a place, which has ``timeout`` seconds to accept."""

    refuses: ClassVar[tuple[Code, ...]] = (
        Code.BAD_TICKET,
        Code.WRONG_STATE,
        Code.BAD_TARGET,
        Code.CAPACITY_FULL,
        Code.RESERVED,
    )
    senders: ClassVar[frozenset[ClientType]] = frozenset({ClientType.ROUTING, ClientType.PROXY})
    causes: ClassVar[tuple[str, ...]] = (
        "EventAgentInvited",
        "EventInvite",
        "EventPartyRemoved",
        "EventRevoked",
        "EventRejected",
        "EventPlacedInQueue",
        "EventAbandoned",
    )
    example: ClassVar[dict[str, Any]] = {"interaction_id": "30FGHMI2NBPV2PWI", "agent_id": "VICKY", "timeout": 20}

    agent_id: Annotated[Name, Meta(description="the agent to invite")] | None = None
    place_id: Annotated[Name, Meta(description="the place to invite, where no agent is named")] | None = None
    timeout: Annotated[
        Seconds | None, Meta(description="seconds that the invitation stands; absent: `delivering-timeout`")
    ] = None
    strategy_id: StrategyId | None = None


class InvitationRequest(InteractionRequest):
    """What the answers to an invitation share: the invitation's ticket comes back with them."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.BAD_TICKET, Code.NOT_LOGGED_IN, Code.ALREADY_ACCEPTED)
    senders: ClassVar[frozenset[ClientType]] = AGENTS

    ticket_id: Annotated[int, Meta(description="of the EventInvite")]


class RequestAccept(InvitationRequest):
    """The invited agent takes the interaction."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.CAPACITY_FULL,)
    causes: ClassVar[tuple[str, ...]] = ("EventPartyAdded",)
    example: ClassVar[dict[str, Any]] = {"interaction_id": "30FGHMI2NBPV2PWI", "ticket_id": 1790000000310002}


class RequestReject(InvitationRequest):
    """The invited agent does not take it; it goes back to its queue."""

    causes: ClassVar[tuple[str, ...]] = ("EventRejected", "EventPlacedInQueue", "EventAbandoned")
    example: ClassVar[dict[str, Any]] = {
        "interaction_id": "30FGHMI2NBPV2PWI",
        "ticket_id": 1790000000310002,
        "reason": {"reason_system_name": "NotMine"},
    }


class EventInvite(Notification):
    """An agent is offered an interaction: accept or reject with this ticket within ``timeout`` seconds.

    :param token: of the grant, once the agent has accepted
    :param visibility_mode: always 0 in this release
    """

    ticket_id: int
    token: int
    agent_id: str | None = None
    place_id: str | None = None
    interaction: Interaction
    visibility_mode: int = 0
    timeout: float


class EventAgentInvited(ReportingEvent):
    """The agent in ``party`` was offered the interaction."""


class EventRejected(ReportingEvent):
    """The agent in ``party`` rejected the invitation."""


class EventAbandoned(Notification):
    """A routing engine's interaction was taken from it, or the agent it was delivered to has not taken it.

    :param reason: such as `Stopped`, `PlacedInQueue`, `Rejected`, `Expired`, `RoutingTimeout`, `Unloaded`
    :param strategy_id: of the strategy that had it
    """

    interaction_id: str
    reason: str
    strategy_id: str | None = None
