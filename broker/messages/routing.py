"""Routing engines deliver, agents are invited and answer (domain 1.5, 1.6)."""

from __future__ import annotations

from typing import Any, ClassVar

from .interactions import InteractionRequest
from .kinds import AGENTS, ClientType, Notification, ReportingEvent
from .objects import Interaction, Name, Seconds


class RequestDeliver(InteractionRequest):
    """A routing engine offers the interaction to an agent or a place, which has ``timeout`` seconds to accept."""

    senders: ClassVar[frozenset[ClientType]] = frozenset({ClientType.ROUTING, ClientType.PROXY})
    causes: ClassVar[tuple[str, ...]] = (
        "EventAgentInvited",
        "EventInvite",
        "EventPartyRemoved",
        "EventRevoked",
        "EventRejected",
    )
    example: ClassVar[dict[str, Any]] = {"interaction_id": "…", "agent_id": "VICKY"}

    timeout: Seconds | None = None
    strategy_id: Name | None = None


class InvitationRequest(InteractionRequest):
    """What the answers to an invitation share: the invitation's ticket comes back with them."""

    senders: ClassVar[frozenset[ClientType]] = AGENTS

    ticket_id: int


class RequestAccept(InvitationRequest):
    """The invited agent takes the interaction."""

    causes: ClassVar[tuple[str, ...]] = ("EventPartyAdded",)


class RequestReject(InvitationRequest):
    """The invited agent does not take it; it goes back to its queue."""

    causes: ClassVar[tuple[str, ...]] = ("EventRejected", "EventPlacedInQueue")


class EventInvite(Notification):
    """An agent is offered an interaction: accept or reject with this ticket within ``timeout`` seconds."""

    ticket_id: int
    token: int
    agent_id: str | None = None
    place_id: str | None = None
    interaction: Interaction
    visibility_mode: int = 0
    timeout: float


class EventAgentInvited(ReportingEvent):
    """An agent was offered the interaction."""


class EventRejected(ReportingEvent):
    """The invited agent rejected."""


class EventAbandoned(Notification):
    """A routing engine's interaction was taken from it (stopped, or timed out)."""

    interaction_id: str
    reason: str
