"""Agents: login, media, readiness. A proxy does each on every node of the tenant."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta, Raw

from broker.errors import Code, Refusal

from .kinds import AGENTS, RETURNS, ClientType, Document, Merge, Notification, ReportingEvent, Request, Route
from .objects import AgentId, Flag, MediaList, MediaType, PlaceId, Reason, TenantId


class AgentRequest(Request):
    """What requests about an agent share. Without ``agent_id`` and ``place_id`` it is the session's one agent."""

    senders: ClassVar[frozenset[ClientType]] = AGENTS
    route: ClassVar[Route] = Route.AGENT
    merge: ClassVar[Merge] = Merge.ALL
    once: ClassVar[bool] = True

    agent_id: AgentId | None = None
    place_id: PlaceId | None = None
    reason: Reason = UNSET


class RequestAgentLogin(AgentRequest):
    """Logs an agent, a place or both in, with media types that are ready (1) or not (0).

    A logged-in agent gets one more connection, and its media types stay as they are. An agent whose client has vanished
    goes on with its session; its media types are then as this request says.
    """

    refuses: ClassVar[tuple[Code, ...]] = (
        Code.UNKNOWN_TENANT,
        Code.UNKNOWN_MEDIA,
        Code.PLACE_OCCUPIED,
        Code.AGENT_ELSEWHERE,
        Code.CONNECTION_REFUSED,
        Code.LICENCE_LIMIT,
        Code.LOGOUT_IN_PROGRESS,
    )
    causes: ClassVar[tuple[str, ...]] = (
        "EventAgentLogin",
        "EventCurrentAgentStatus",
        "EventAgentConnectionClosed",
        "EventMediaAdded",
        "EventMediaRemoved",
        "EventReadyForMedia",
        "EventDoNotDisturbOff",
        "EventMediaStateReasonChanged",
        "EventAgentStateReasonChanged",
        "EventLicenceUsage",
        "EventPanicEnded",
    )
    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "agent_id": "VICKY", "media_list": {"voice": 1}}

    tenant_id: TenantId
    media_list: MediaList = {}


class RequestAgentLogout(AgentRequest):
    """Logs the agent out; what it handled goes back to where it was taken from."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.NOT_LOGGED_IN,)
    causes: ClassVar[tuple[str, ...]] = (
        "EventAgentLogout",
        *RETURNS,
        "EventRevoked",
        "EventAbandoned",
        "EventLicenceUsage",
    )
    example: ClassVar[dict[str, Any]] = {"agent_id": "VICKY", "reason": {"reason_system_name": "EndOfShift"}}


def not_logged_in(who: str | None) -> Refusal:
    """Why a client may not act for an agent or place: it has not logged it in. :param who: None: none was named"""
    return Refusal(Code.NOT_LOGGED_IN, f"this client has not logged {who or 'any agent'} in")


class MediaRequest(AgentRequest):
    """What requests about one media type of an agent share."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.NOT_LOGGED_IN,)

    media_type: MediaType


class RequestAddMedia(MediaRequest):
    """Adds a media type to a logged-in agent, ready unless ``state`` is 0."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_MEDIA, Code.MEDIA_PRESENT, Code.LICENCE_LIMIT)
    causes: ClassVar[tuple[str, ...]] = ("EventMediaAdded", "EventCurrentAgentStatus", "EventLicenceUsage")
    example: ClassVar[dict[str, Any]] = {"agent_id": "VICKY", "media_type": "email"}

    state: Annotated[Flag, Meta(description="0 not ready, 1 ready")] = 1


class RequestRemoveMedia(MediaRequest):
    """Removes a media type from a logged-in agent."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.MEDIA_ABSENT,)
    causes: ClassVar[tuple[str, ...]] = ("EventMediaRemoved", "EventCurrentAgentStatus")
    example: ClassVar[dict[str, Any]] = {"agent_id": "VICKY", "media_type": "email"}


class RequestNotReadyForMedia(MediaRequest):
    """The agent takes no new interactions of the media type."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.MEDIA_ABSENT, Code.SAME_STATE)
    causes: ClassVar[tuple[str, ...]] = ("EventNotReadyForMedia", "EventCurrentAgentStatus")
    example: ClassVar[dict[str, Any]] = {
        "agent_id": "VICKY",
        "media_type": "voice",
        "reason": {"reason_system_name": "Lunch"},
    }


class RequestCancelNotReadyForMedia(MediaRequest):
    """The agent takes interactions of the media type again."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.MEDIA_ABSENT, Code.SAME_STATE)
    causes: ClassVar[tuple[str, ...]] = ("EventReadyForMedia", "EventCurrentAgentStatus")
    example: ClassVar[dict[str, Any]] = {"agent_id": "VICKY", "media_type": "voice"}


class RequestDoNotDisturbOn(AgentRequest):
    """No invitations of any media type."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.NOT_LOGGED_IN, Code.SAME_STATE)
    causes: ClassVar[tuple[str, ...]] = ("EventDoNotDisturbOn", "EventCurrentAgentStatus")
    example: ClassVar[dict[str, Any]] = {"agent_id": "VICKY", "reason": {"reason_system_name": "Training"}}


class RequestDoNotDisturbOff(AgentRequest):
    """Invitations again."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.NOT_LOGGED_IN, Code.SAME_STATE)
    causes: ClassVar[tuple[str, ...]] = ("EventDoNotDisturbOff", "EventCurrentAgentStatus")
    example: ClassVar[dict[str, Any]] = {"agent_id": "VICKY"}


class EventCurrentAgentStatus(Notification):
    """The agent's state as the server knows it, sent to the agent's application after each change.

    :param media_state_list: each media type with 0 not ready, 1 ready
    :param media_capacity_list: how many interactions the agent may handle at once, of its media types that have a limit
    :param media_reasons: the reasons of the media states
    :param state_reason: the reason of the agent's state as a whole
    """

    tenant_id: int
    agent_id: str | None = None
    place_id: str | None = None
    media_state_list: dict[str, int] = {}
    media_capacity_list: dict[str, int] = {}
    media_reasons: dict[str, Raw] = {}
    donot_disturb: bool = False
    state_reason: Document = UNSET


class EventForcedAgentStateChange(Notification):
    """The server has changed a media state of the agent; ``media_state_list`` is how all of them are now.

    :param reason: `InvitationExpired`
    """

    agent_id: str | None = None
    place_id: str | None = None
    media_type: str
    media_state_list: dict[str, int] = {}
    media_reasons: dict[str, Raw] = {}
    reason: str


class EventAgentConnectionClosed(Notification):
    """The agent was taken over by another connection, or logged out.

    :param reason: such as `LicenceDecreased`, or a sentence
    """

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
