"""Agents and places: login, logout, media, readiness, do-not-disturb.

An agent is known by its id, its place, or both. It stays logged in as long as one of its client sessions lives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from broker.errors import Code, Refusal
from broker.messages.agents import (
    AgentEvent,
    AgentRequest,
    EventAgentConnectionClosed,
    EventAgentLogin,
    EventAgentLogout,
    EventCurrentAgentStatus,
    EventDoNotDisturbOff,
    EventDoNotDisturbOn,
    EventForcedAgentStateChange,
    EventMediaAdded,
    EventMediaRemoved,
    EventNotReadyForMedia,
    EventReadyForMedia,
    RequestAddMedia,
    RequestAgentLogin,
    RequestAgentLogout,
    RequestCancelNotReadyForMedia,
    RequestDoNotDisturbOff,
    RequestDoNotDisturbOn,
    RequestNotReadyForMedia,
    RequestRemoveMedia,
)
from broker.messages.connection import EventAck

from . import holdings, invitations
from .calls import Call, Cause
from .records import AgentRow

if TYPE_CHECKING:
    from .core import NodeCore

SEATS = "ics_multi_media_agent_seat"


def login(node: NodeCore, call: Call) -> EventAck:
    """RequestAgentLogin: a new agent session, or one more connection of the same agent at the same place."""
    request: RequestAgentLogin = call.request
    call.tenant(request.tenant_id)
    place_id = _place(node, request)
    if not request.agent_id and not place_id:
        raise Refusal(Code.MISSING_ATTRIBUTE, "agent_id, place_id or both", field="agent_id")
    _known_media(node, request.tenant_id, request.media_list)
    known = _logged_in(node, request, place_id)
    agent = _join(node, call, known) if known else _begin(node, call, place_id)
    node.tell_agent(agent.key, status_of(agent))
    return EventAck()


def _place(node: NodeCore, request: RequestAgentLogin) -> str | None:
    """With ``agent-login-control = ignore`` the agent's id stands for the place."""
    if node.settings.agent_login_control == "ignore" and request.agent_id:
        return request.agent_id
    return request.place_id


def _logged_in(node: NodeCore, request: RequestAgentLogin, place_id: str | None) -> AgentRow | None:
    """The same agent's session at the same place. :raises Refusal: place occupied, or agent at another place"""
    table = node.memory.agents
    occupant = table.one("place", (request.tenant_id, place_id)) if place_id else None
    agent = table.one("agent", (request.tenant_id, request.agent_id)) if request.agent_id else None
    if occupant is not None and occupant is not agent:
        if occupant.agent_id != request.agent_id:
            raise Refusal(Code.PLACE_OCCUPIED, f"place {place_id} is occupied by {occupant.agent_id or 'a login'}")
        return occupant
    if agent is not None and agent.place_id != place_id:
        raise Refusal(Code.AGENT_ELSEWHERE, f"agent {request.agent_id} is logged in at {agent.place_id or 'no place'}")
    return agent


def _begin(node: NodeCore, call: Call, place_id: str | None) -> AgentRow:
    """A new agent session. :raises Refusal: no seat is left"""
    request: RequestAgentLogin = call.request
    seats = node.seats
    if seats is not None and len(node.memory.agents) >= seats:
        raise Refusal(Code.LICENCE_LIMIT, f"all {seats} seats of {SEATS} on {node.name} are taken")
    us = node.clock.next(node.now)
    agent = AgentRow(
        tenant_id=request.tenant_id,
        session=f"{node.name}-{us:x}",
        sessions=[call.session.session_id],
        agent_id=request.agent_id,
        place_id=place_id,
        media=dict(request.media_list),
        echo=call.echo,
        login_us=us,
    )
    node.memory.put(node.memory.agents, agent.key, agent)
    _report(node, EventAgentLogin, agent, call)
    return agent


def _join(node: NodeCore, call: Call, agent: AgentRow) -> AgentRow:
    """One more connection of a logged-in agent, as ``allow-multiple-agent-connections`` has it.

    Whether this node speaks for the agent is from now on as this request has it.
    """
    session_id = call.session.session_id
    if session_id in agent.sessions:
        return agent
    others = [name for name in agent.sessions if name in node.sessions.by_id]
    rule = node.settings.allow_multiple_agent_connections
    if others and rule == "false":
        raise Refusal(Code.CONNECTION_REFUSED, f"agent {agent.agent_id or agent.place_id} has a connection already")
    sessions = [*agent.sessions, session_id]
    if others and rule == "force-logout":
        for other in others:
            node.tell(other, _closed(agent, "logged in from another connection"))
        sessions = [session_id]
    joined = replace(agent, sessions=sessions, echo=call.echo)
    node.memory.put(node.memory.agents, agent.key, joined)
    invitations.remind(node, session_id)
    return joined


def _closed(agent: AgentRow, why: str) -> EventAgentConnectionClosed:
    return EventAgentConnectionClosed(agent_id=agent.agent_id, place_id=agent.place_id, reason=why)


def logout(node: NodeCore, call: Call) -> EventAck:
    """RequestAgentLogout: ends the agent session; all that the agent handles goes back."""
    agent = asking(node, call)
    _logout(node, agent, "logout", call=call)
    return EventAck()


def _logout(node: NodeCore, agent: AgentRow, why: str, call: Call | None = None) -> None:
    invitations.leaving(node, agent.key, why)
    holdings.give_back(node, agent.key, why)
    node.memory.drop(node.memory.agents, agent.key)
    _report(node, EventAgentLogout, agent, call)
    for other in agent.sessions:
        if call is None or other != call.session.session_id:
            node.tell(other, _closed(agent, why))


def give_up_seat(node: NodeCore) -> None:
    """There are fewer seats than agents: the agent that logged in last is logged out (guide, "Licensing")."""
    agent = max(node.memory.agents.rows.values(), key=lambda row: (row.login_us, row.key))
    _logout(node, agent, "LicenceDecreased")


def disconnect(node: NodeCore, session_id: str, why: str) -> None:
    """A client session has ended: agents that have no other connection are logged out."""
    for key in node.memory.agents.keys("session", session_id):
        agent = node.memory.agents.rows[key]
        left = [name for name in agent.sessions if name != session_id]
        if left:
            node.memory.put(node.memory.agents, key, replace(agent, sessions=left))
        else:
            _logout(node, agent, why)


def asking(node: NodeCore, call: Call) -> AgentRow:
    """The agent that a request is about: the one it names, or the only one of its session.

    :raises Refusal: ``NOT_LOGGED_IN``; ``MISSING_ATTRIBUTE`` when the session has several and none is named
    """
    request: AgentRequest = call.request
    own = node.memory.agents.keys("session", call.session.session_id)
    for key in own:
        agent = node.memory.agents.rows[key]
        if request.agent_id is None and request.place_id is None:
            if len(own) == 1:
                return agent
            raise Refusal(Code.MISSING_ATTRIBUTE, "this session has several agents", field="agent_id")
        if request.agent_id in (None, agent.agent_id) and request.place_id in (None, agent.place_id):
            return agent
    raise Refusal(Code.NOT_LOGGED_IN, f"{request.agent_id or request.place_id or 'the session'} is not logged in here")


def add_media(node: NodeCore, call: Call) -> EventAck:
    """RequestAddMedia."""
    agent, media_type = asking(node, call), call.request.media_type
    _known_media(node, agent.tenant_id, {media_type: 1})
    if media_type in agent.media:
        raise Refusal(Code.MEDIA_PRESENT, media_type, field="media_type")
    media = {**agent.media, media_type: call.request.state}
    return _change(node, call, replace(agent, media=media), EventMediaAdded, media_type)


def remove_media(node: NodeCore, call: Call) -> EventAck:
    """RequestRemoveMedia."""
    agent, media_type = asking(node, call), call.request.media_type
    _has_media(agent, media_type)
    media = {name: state for name, state in agent.media.items() if name != media_type}
    return _change(node, call, replace(agent, media=media), EventMediaRemoved, media_type)


def not_ready(node: NodeCore, call: Call) -> EventAck:
    """RequestNotReadyForMedia."""
    return _set_ready(node, call, 0, EventNotReadyForMedia)


def ready(node: NodeCore, call: Call) -> EventAck:
    """RequestCancelNotReadyForMedia."""
    return _set_ready(node, call, 1, EventReadyForMedia)


def _set_ready(node: NodeCore, call: Call, state: int, event: type[AgentEvent]) -> EventAck:
    agent, media_type = asking(node, call), call.request.media_type
    _has_media(agent, media_type)
    if agent.media[media_type] == state:
        raise Refusal(Code.SAME_STATE, f"{media_type} is {'ready' if state else 'not ready'}", field="media_type")
    return _change(node, call, replace(agent, media={**agent.media, media_type: state}), event, media_type)


def force_not_ready(node: NodeCore, agent: AgentRow, media_type: str, why: str) -> None:
    """The server makes an agent not ready for a media type; its application is told."""
    if not agent.media.get(media_type):
        return
    changed = replace(agent, media={**agent.media, media_type: 0})
    node.memory.put(node.memory.agents, changed.key, changed)
    node.agent_event(
        EventNotReadyForMedia, agent.tenant_id, changed.part(media_type), holdings.because(why), echo=agent.echo
    )
    node.tell_agent(
        changed.key,
        EventForcedAgentStateChange(
            agent_id=agent.agent_id,
            place_id=agent.place_id,
            media_type=media_type,
            media_state_list=changed.media,
            reason=why,
        ),
    )


def disturb_not(node: NodeCore, call: Call) -> EventAck:
    """RequestDoNotDisturbOn."""
    return _set_disturb(node, call, True, EventDoNotDisturbOn)


def disturb(node: NodeCore, call: Call) -> EventAck:
    """RequestDoNotDisturbOff."""
    return _set_disturb(node, call, False, EventDoNotDisturbOff)


def _set_disturb(node: NodeCore, call: Call, on: bool, event: type[AgentEvent]) -> EventAck:
    agent = asking(node, call)
    if agent.donot_disturb is on:
        raise Refusal(Code.SAME_STATE, f"do-not-disturb is {'on' if on else 'off'}")
    return _change(node, call, replace(agent, donot_disturb=on), event)


def _change(
    node: NodeCore, call: Call, agent: AgentRow, event: type[AgentEvent], media_type: str | None = None
) -> EventAck:
    changed = replace(agent, echo=call.echo)
    node.memory.put(node.memory.agents, changed.key, changed)
    _report(node, event, changed, call, media_type)
    node.tell_agent(changed.key, status_of(changed))
    return EventAck()


def status_of(agent: AgentRow) -> EventCurrentAgentStatus:
    """What the agent's application is told after each change."""
    return EventCurrentAgentStatus(
        tenant_id=agent.tenant_id,
        agent_id=agent.agent_id,
        place_id=agent.place_id,
        media_state_list=agent.media,
        donot_disturb=agent.donot_disturb,
    )


def _has_media(agent: AgentRow, media_type: str) -> None:
    if media_type not in agent.media:
        raise Refusal(Code.MEDIA_ABSENT, media_type, field="media_type")


def _known_media(node: NodeCore, tenant_id: int, media: dict[str, int]) -> None:
    for name in media:
        if name not in node.configuration.tenants[tenant_id].media_types:
            raise Refusal(Code.UNKNOWN_MEDIA, f"tenant {tenant_id} has no media type {name}", field="media_list")


def _report(
    node: NodeCore, event: type[AgentEvent], agent: AgentRow, call: Call | None = None, media_type: str | None = None
) -> None:
    """The reporting event of an agent's change; an echo where another node speaks for the agent."""
    reason = call.request.reason if call and isinstance(call.request, AgentRequest) else UNSET
    cause = Cause(agent.actor(), call.name if call else None, reason)
    echo = call.echo if call else agent.echo
    node.agent_event(event, agent.tenant_id, agent.part(media_type, reason), cause, echo=echo)


HANDLERS = {
    RequestAgentLogin: login,
    RequestAgentLogout: logout,
    RequestAddMedia: add_media,
    RequestRemoveMedia: remove_media,
    RequestNotReadyForMedia: not_ready,
    RequestCancelNotReadyForMedia: ready,
    RequestDoNotDisturbOn: disturb_not,
    RequestDoNotDisturbOff: disturb,
}
