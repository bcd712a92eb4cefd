"""Agents: login, media, readiness (domain 1.4). A proxy does each on every node of the tenant."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta

from .kinds import AGENTS, ClientType, Document, Merge, Notification, ReportingEvent, Request, Route
from .objects import MediaList, Name, TenantId


class AgentRequest(Request):
    """What requests about an agent share. Without ``agent_id`` and ``place_id`` it is the session's one agent."""

    senders: ClassVar[frozenset[ClientType]] = AGENTS
    route: ClassVar[Route] = Route.AGENT
    merge: ClassVar[Merge] = Merge.ALL
    once: ClassVar[bool] = True

    agent_id: Name | None = None
    place_id: Name | None = None
    reason: Document = UNSET


class RequestAgentLogin(AgentRequest):
    """Logs an agent, a place or both in, with media types that are ready (1) or not (0)."""

    causes: ClassVar[tuple[str, ...]] = ("EventAgentLogin", "EventCurrentAgentStatus")
    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "agent_id": "VICKY", "media_list": {"voice": 1}}

    tenant_id: TenantId
    media_list: MediaList = {}


class RequestAgentLogout(AgentRequest):
    """Logs the agent out; what it handled goes back to where it was taken from."""

    causes: ClassVar[tuple[str, ...]] = ("EventAgentLogout", "EventPartyRemoved", "EventPlacedInQueue")


class MediaRequest(AgentRequest):
    """What requests about one media type of an agent share."""

    media_type: Name


class RequestAddMedia(MediaRequest):
    """Adds a media type to a logged-in agent, ready unless ``state`` is 0."""

    causes: ClassVar[tuple[str, ...]] = ("EventMediaAdded",)

    state: Annotated[int, Meta(ge=0, le=1)] = 1


class RequestRemoveMedia(MediaRequest):
    """Removes a media type from a logged-in agent."""

    causes: ClassVar[tuple[str, ...]] = ("EventMediaRemoved",)


class RequestNotReadyForMedia(MediaRequest):
    """The agent takes no new interactions of the media type."""

    causes: ClassVar[tuple[str, ...]] = ("EventNotReadyForMedia",)


class RequestCancelNotReadyForMedia(MediaRequest):
    """The agent takes interactions of the media type again."""

    causes: ClassVar[tuple[str, ...]] = ("EventReadyForMedia",)


class RequestDoNotDisturbOn(AgentRequest):
    """No invitations of any media type."""

    causes: ClassVar[tuple[str, ...]] = ("EventDoNotDisturbOn",)


class RequestDoNotDisturbOff(AgentRequest):
    """Invitations again."""

    causes: ClassVar[tuple[str, ...]] = ("EventDoNotDisturbOff",)


class EventCurrentAgentStatus(Notification):
    """The agent's state as the server knows it, sent to the agent's application after each change."""

    tenant_id: int
    agent_id: str | None = None
    place_id: str | None = None
    media_state_list: dict[str, int] = {}
    media_capacity_list: dict[str, int] = {}
    donot_disturb: bool = False


class EventAgentConnectionClosed(Notification):
    """The agent was taken over by another connection, or logged out by the server."""

    agent_id: str | None = None
    place_id: str | None = None
    reason: str


class AgentEvent(ReportingEvent):
    """What the reporting events about agents share."""

    topic: ClassVar[str] = "agent"


class EventAgentLogin(AgentEvent):
    """An agent session began."""


class EventAgentLogout(AgentEvent):
    """An agent session ended."""


class EventMediaAdded(AgentEvent):
    """A media type was added to an agent."""


class EventMediaRemoved(AgentEvent):
    """A media type was removed from an agent."""


class EventReadyForMedia(AgentEvent):
    """The agent is ready for the media type."""


class EventNotReadyForMedia(AgentEvent):
    """The agent is not ready for the media type."""


class EventDoNotDisturbOn(AgentEvent):
    """Do-not-disturb was set."""


class EventDoNotDisturbOff(AgentEvent):
    """Do-not-disturb was cleared."""
