"""Routing engines deliver, agents are invited and answer."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta

from broker.errors import Code

from .interactions import InteractionRequest
from .kinds import AGENTS, ClientType, Document, Notification, ReportingEvent
from .objects import Flag, Interaction, Name, Patience, StrategyId


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
        "EventNotReadyForMedia",
        "EventForcedAgentStateChange",
    )
    example: ClassVar[dict[str, Any]] = {"interaction_id": "30FGHMI2NBPV2PWI", "agent_id": "VICKY", "timeout": 20}

    names_target: ClassVar[bool] = True

    agent_id: Annotated[Name, Meta(description="the agent to invite")] | None = None
    place_id: Annotated[Name, Meta(description="the place to invite, where no agent is named")] | None = None
    timeout: Annotated[
        Patience | None, Meta(description="seconds that the invitation stands; absent or 0: `delivering-timeout`")
    ] = None
    in_queues: Annotated[
        list[Name] | None, Meta(description="queues to suggest to the agent; absent: those that it has")
    ] = None
    out_queues: Annotated[
        list[Name] | None, Meta(description="queues to suggest for its children; absent: those that it has")
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
    causes: ClassVar[tuple[str, ...]] = ("EventPartyAdded", "EventPartyRemoved", "EventAccepted")
    example: ClassVar[dict[str, Any]] = {"interaction_id": "30FGHMI2NBPV2PWI", "ticket_id": 1790000000310002}

    in_focus: Annotated[
        Flag | None, Meta(description="1: the agent has it before it at once; the party in events shows it")
    ] = None


class RequestReject(InvitationRequest):
    """The invited agent does not take it; after a Deliver it goes back to its queue."""

    causes: ClassVar[tuple[str, ...]] = ("EventRejected", "EventPlacedInQueue", "EventAbandoned", "EventRevoked")
    example: ClassVar[dict[str, Any]] = {
        "interaction_id": "30FGHMI2NBPV2PWI",
        "ticket_id": 1790000000310002,
        "reason": {"reason_system_name": "NotMine"},
    }


class EventInvite(Notification):
    """An agent is offered an interaction: accept or reject with this ticket within ``timeout`` seconds.

    The interaction's ``in_queues`` and ``out_queues`` are the suggested queues for it and for its children.

    :param token: of the grant, once the agent has accepted
    :param operation: what for: `Route`, `Transfer`, `Conference`, `Intrude`
    :param visibility_mode: who would see the agent: 0 all, 1 agents only, 2 nobody
    :param extension: of the request that invites
    """

    ticket_id: int
    token: int
    agent_id: str | None = None
    place_id: str | None = None
    interaction: Interaction
    operation: str
    visibility_mode: int = 0
    timeout: float
    extension: Document = UNSET


class EventAccepted(Notification):
    """The agent has accepted on another of its connections: the invitation is over on this one."""

    ticket_id: int
    interaction_id: str


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
