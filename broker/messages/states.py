"""Agents' states: their reasons, and the state of one agent when it is asked for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta, Raw

from broker.errors import Code

from .agents import AgentEvent, AgentRequest, MediaRequest
from .kinds import AGENTS, ClientType, Document, Merge, Reply, Request, Route
from .objects import AgentId, PlaceId, TenantId


class RequestChangeMediaStateReason(MediaRequest):
    """Sets why the agent is ready or not ready for a media type, without changing whether it is.

    Without ``reason`` there is none any more. Readiness requests set it, too.
    """

    refuses: ClassVar[tuple[Code, ...]] = (Code.MEDIA_ABSENT,)
    causes: ClassVar[tuple[str, ...]] = ("EventMediaStateReasonChanged", "EventCurrentAgentStatus")
    example: ClassVar[dict[str, Any]] = {
        "agent_id": "VICKY",
        "media_type": "voice",
        "reason": {"reason": 7, "reason_system_name": "Lunch", "reason_desc": "back at one"},
    }


class RequestChangeAgentStateReason(AgentRequest):
    """Sets the reason of the agent's state as a whole. Without ``reason`` there is none any more.

    RequestAgentLogin and the do-not-disturb requests set it, too.
    """

    refuses: ClassVar[tuple[Code, ...]] = (Code.NOT_LOGGED_IN,)
    causes: ClassVar[tuple[str, ...]] = ("EventAgentStateReasonChanged", "EventCurrentAgentStatus")
    example: ClassVar[dict[str, Any]] = {"agent_id": "VICKY", "reason": {"reason_system_name": "Training"}}


class RequestAgentState(Request):
    """The state of one agent or place: media types, readiness and reasons, capacity, and how much it handles.

    An agent application that names neither asks for its session's one agent.
    """

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_TENANT, Code.NOT_LOGGED_IN)
    senders: ClassVar[frozenset[ClientType]] = AGENTS | {
        ClientType.ROUTING,
        ClientType.REPORTING,
        ClientType.MONITOR,
        ClientType.ESP,
    }
    route: ClassVar[Route] = Route.SCATTER
    merge: ClassVar[Merge] = Merge.AGENT
    reply: ClassVar[str] = "EventAgentState"
    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "agent_id": "VICKY"}

    tenant_id: Annotated[TenantId | None, Meta(description="absent: any of the session's")] = None
    agent_id: AgentId | None = None
    place_id: PlaceId | None = None


class EventAgentState(Reply):
    """The state of an agent or place; from a proxy the counts are of all nodes.

    :param session: names this agent session in events, from login to logout
    :param login_at: when it logged in, at the node that speaks for it
    :param connections: client sessions that act for it; 0: its client has vanished, and it is not invited
    :param media_state_list: each media type with 0 not ready, 1 ready
    :param media_reasons: the reasons of these states
    :param media_capacity_list: how many it may handle at once; what is not in it has no limit
    :param state_reason: the reason of its state as a whole
    :param handled: by media type: interactions that it handles; those on hold are not counted
    :param held: those that it handles and that are on hold
    :param invited: invitations that it has not answered
    :param reserved_by: the routing engine that has reserved it
    :param echo: between nodes and proxies only: another node speaks for the agent
    :param complete: from a proxy: false when nodes did not answer, so that counts may be too low
    :param missing: which
    """

    tenant_id: int
    agent_id: str | None = None
    place_id: str | None = None
    session: str
    login_at: float
    connections: int = 0
    media_state_list: dict[str, int] = {}
    media_reasons: dict[str, Raw] = {}
    media_capacity_list: dict[str, int] = {}
    donot_disturb: bool = False
    state_reason: Document = UNSET
    handled: dict[str, int] = {}
    held: dict[str, int] = {}
    invited: dict[str, int] = {}
    reserved_by: str | None = None
    echo: bool = False
    complete: bool | None = None
    missing: list[str] | None = None


class EventMediaStateReasonChanged(AgentEvent):
    """The reason of the agent's state for the media type was changed."""


class EventAgentStateReasonChanged(AgentEvent):
    """The reason of the agent's state was changed."""
