"""Agents and places: login, logout, and clients that vanish.

An agent is known by its id, its place, or both. Its session goes on as long as one of its clients lives; when the last
one has vanished, what it handles goes back, it takes nothing new, and it stays logged in for
``login-session-timeout``::

    logged in ──the last client unregisters, or the agent logs out──▶ logged out
    logged in ──the last client vanishes──▶ missing       all stays as it is (node.panics says for how long)
    missing   ──it logs in again, or its client comes back with its session──▶ logged in
    missing   ──its time is over──▶ vanished              media types not ready, interactions and invitations go back
    vanished  ──it logs in again, or its client comes back with its session──▶ logged in
    vanished  ──login-session-timeout; somebody logs in at its place; the agent logs in at another──▶ logged out

What an agent is ready for is in :mod:`node.states`, its seats in :mod:`node.licences`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from broker.clock import to_seconds
from broker.errors import Code, Refusal
from broker.messages.agents import (
    AgentEvent,
    AgentRequest,
    EventAgentConnectionClosed,
    EventAgentLogin,
    EventAgentLogout,
    RequestAgentLogin,
    RequestAgentLogout,
    not_logged_in,
)
from broker.messages.connection import EventAck
from broker.messages.kinds import Document

from . import capacity, holdings, invitations, licences, panics, reservations, states
from .calls import Call, Cause
from .records import AgentRow

if TYPE_CHECKING:
    from .core import NodeCore
    from .sessions import Session

MINUTE = 60.0


# -- login


def login(node: NodeCore, call: Call) -> EventAck:
    """RequestAgentLogin: a new session, one more connection of the same agent at the same place, or its return."""
    request: RequestAgentLogin = call.request
    call.tenant(request.tenant_id)
    place_id = _place(node, request)
    if not request.agent_id and not place_id:
        raise Refusal(Code.MISSING_ATTRIBUTE, "agent_id, place_id or both", field="agent_id")
    states.known_media(node, request.tenant_id, request.media_list, "media_list")
    reason = states.kept_reason(request.reason)
    known, yielding = _logged_in(node, request, place_id)
    if known is None:
        agent = _begin(node, call, place_id, reason, yielding)
    elif known.is_away:
        agent = states.resume(node, call, known, reason)
        panics.back(node, known)
    else:
        agent = _join(node, call, known)
    capacity.introduce(node, agent)
    node.tell_agent(agent.key, states.status_of(node, agent))
    return EventAck()


def _place(node: NodeCore, request: RequestAgentLogin) -> str | None:
    """With ``agent-login-control = ignore`` the agent's id stands for the place."""
    if node.settings.agent_login_control == "ignore" and request.agent_id:
        return request.agent_id
    return request.place_id


def _logged_in(
    node: NodeCore, request: RequestAgentLogin, place_id: str | None
) -> tuple[AgentRow | None, list[AgentRow]]:
    """The same agent's session at the same place, and those of vanished clients that are in the way.

    :raises Refusal: the place is occupied, or the agent is at another place
    """
    table = node.memory.agents
    occupant = table.one("place", (request.tenant_id, place_id)) if place_id else None
    agent = table.one("agent", (request.tenant_id, request.agent_id)) if request.agent_id else None
    yielding = []
    if occupant is not None and occupant.agent_id != request.agent_id:
        if not occupant.is_away:
            raise _occupied(occupant)
        yielding.append(occupant)
        occupant = None
    if agent is not None and agent.place_id != place_id:
        if not agent.is_away:
            where = agent.place_id or "no place"
            raise Refusal(Code.AGENT_ELSEWHERE, f"agent {request.agent_id} is logged in at {where}", field="place_id")
        yielding.append(agent)
        agent = None
    return agent or occupant, yielding


def _occupied(occupant: AgentRow) -> Refusal:
    by = occupant.agent_id or "a login without an agent"
    return Refusal(Code.PLACE_OCCUPIED, f"place {occupant.place_id} is occupied by {by}", field="place_id")


def _begin(node: NodeCore, call: Call, place_id: str | None, reason: Document, yielding: list[AgentRow]) -> AgentRow:
    """A new agent session. :raises Refusal: no seat is left"""
    request: RequestAgentLogin = call.request
    seats = licences.of_media(request.media_list)
    licences.check_login(node, call, seats, yielding)
    for agent in yielding:
        log_out(node, agent, "another login")
    us = node.clock.next(node.now)
    agent = AgentRow(
        tenant_id=request.tenant_id,
        session=f"{node.name}-{us:x}",
        sessions=[call.session.session_id],
        agent_id=request.agent_id,
        place_id=place_id,
        media=dict(request.media_list),
        state_reason=reason,
        seats=seats,
        echo=call.echo,
        login_us=us,
    )
    node.memory.put(node.memory.agents, agent.key, agent)
    report(node, EventAgentLogin, agent, call)
    return agent


def _join(node: NodeCore, call: Call, agent: AgentRow) -> AgentRow:
    """One more connection of a logged-in agent, as ``allow-multiple-agent-connections`` has it.

    Whether this node speaks for the agent is from now on as this request has it. If it has the stream's last word, what
    brings it to the state that it has elsewhere (:mod:`node.proxies`) is for the stream.
    """
    session_id = call.session.session_id
    if session_id in agent.sessions:
        return agent
    others = [name for name in agent.sessions if name in node.sessions.by_id]
    rule = node.settings.allow_multiple_agent_connections
    if others and rule == "false":
        node.tell_agent(agent.key, states.status_of(node, agent))  # a connection that is lost shows when it is used
        raise Refusal(Code.CONNECTION_REFUSED, f"agent {agent.agent_id or agent.place_id} has a connection already")
    sessions = [*agent.sessions, session_id]
    if others and rule == "force-logout":
        for other in others:
            node.tell(other, _closed(agent, "logged in from another connection"))
        sessions = [session_id]
    joined = replace(agent, sessions=sessions, echo=call.echo, returned=call.echo and agent.has_last_word)
    node.memory.put(node.memory.agents, agent.key, joined)
    invitations.remind(node, session_id)
    return joined


def _closed(agent: AgentRow, why: str) -> EventAgentConnectionClosed:
    return EventAgentConnectionClosed(agent_id=agent.agent_id, place_id=agent.place_id, reason=why)


# -- logout


def logout(node: NodeCore, call: Call) -> EventAck:
    """RequestAgentLogout: ends the agent session; all that the agent handles goes back."""
    log_out(node, asking(node, call), "logout", call=call)
    return EventAck()


def log_out(node: NodeCore, agent: AgentRow, why: str, call: Call | None = None) -> None:
    """Ends an agent's session; clients of it that have not asked for that are told.

    :param call: the agent's own request; None: the server does it
    """
    invitations.leaving(node, agent.key, why)
    holdings.give_back(node, agent.key, why)
    node.memory.drop(node.memory.agents, agent.key)
    node.capacity.touched.add(agent.key)
    reservations.left(node, agent.key)
    report(node, EventAgentLogout, agent, call or why)
    panics.settle(node, agent)
    for other in agent.sessions:
        if call is None or other != call.session.session_id:
            node.tell(other, _closed(agent, why))


# -- the end and the return of a client


def disconnect(node: NodeCore, session_id: str, why: str, *, vanished: bool, proxy: str | None = None) -> None:
    """A client session has ended: agents that have no other connection are logged out, or wait for it to come back.

    :param vanished: the client has not said that it goes; :param proxy: it came through this one, which is lost
    """
    for key in node.memory.agents.keys("session", session_id):
        agent = node.memory.agents.rows[key]
        left = [name for name in agent.sessions if name != session_id]
        if agent.is_away and vanished:
            continue
        if left:
            node.memory.put(node.memory.agents, key, replace(agent, sessions=left))
            node.capacity.touched.add(key)
        elif vanished:
            panics.miss(node, agent, why, proxy)
        else:
            log_out(node, agent, why)


def give_up(node: NodeCore, agent: AgentRow, why: str) -> None:
    """An agent has no client any more, and is not waited for: it vanishes, or is logged out."""
    if node.settings.login_session_timeout:
        _vanish(node, agent, why)
    else:
        log_out(node, agent, why)


def _vanish(node: NodeCore, agent: AgentRow, why: str) -> None:
    """It keeps its session and its seats, but nothing of what it was doing."""
    invitations.leaving(node, agent.key, why)
    holdings.give_back(node, agent.key, why)
    gone = replace(agent, vanished_us=node.clock.next(node.now), missing_us=0, panic="")
    states.unready(node, gone, why if agent.panic else "ConnectionLost")
    _wait_for(node, node.memory.agents.rows[agent.key])


def _wait_for(node: NodeCore, agent: AgentRow) -> None:
    until = to_seconds(agent.vanished_us) + node.settings.login_session_timeout * MINUTE
    node.deadline(until, _over, (agent.key, agent.vanished_us))


def _over(node: NodeCore, what: tuple[str, int]) -> None:
    """A deadline: a vanished agent has not come back."""
    key, vanished_us = what
    agent = node.memory.agents.get(key)
    if agent is not None and agent.vanished_us == vanished_us:
        log_out(node, agent, "LoginSessionTimeout")


def returned(node: NodeCore, session: Session) -> None:
    """A client has come back with its session. A proxy's client logs its agents in again; another one's are here."""
    for key in node.memory.agents.keys("session", session.session_id):
        agent = node.memory.agents.rows[key]
        if agent.missing_us:
            node.memory.put(node.memory.agents, key, replace(agent, missing_us=0, panic=""))
            panics.back(node, agent)
            agent = node.memory.agents.rows[key]
        capacity.introduce(node, agent)
        if agent.vanished_us and not session.source[1]:
            back = replace(agent, vanished_us=0)
            node.memory.put(node.memory.agents, key, back)
            node.tell_agent(key, states.status_of(node, back))


def resume(node: NodeCore) -> None:
    """After a take-over: vanished agents are waited for as long as before."""
    for key in node.memory.agents.keys("vanished", True):
        _wait_for(node, node.memory.agents.rows[key])


# -- who is meant


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
            raise Refusal(
                Code.MISSING_ATTRIBUTE, "this session has several agents: say agent_id or place_id", field="agent_id"
            )
        if is_named(node, agent, request.agent_id, request.place_id):
            return agent
    raise not_logged_in(request.agent_id or request.place_id)


def named(node: NodeCore, tenant_id: int, agent_id: str | None, place_id: str | None) -> AgentRow | None:
    """The agent or place of a tenant that these ids name, whosever it is."""
    table = node.memory.agents
    agent = table.one("agent", (tenant_id, agent_id)) if agent_id else None
    if agent is None and not agent_id and place_id:
        agent = table.one("place", (tenant_id, place_id))
    return agent if agent is not None and is_named(node, agent, agent_id, place_id) else None


def is_named(node: NodeCore, agent: AgentRow, agent_id: str | None, place_id: str | None) -> bool:
    """Whether ids of a request mean an agent; its place may be one that its login was asked to ignore."""
    ignores = node.settings.agent_login_control == "ignore" and agent_id is not None
    return agent_id in (None, agent.agent_id) and (ignores or place_id in (None, agent.place_id))


# -- reporting


def report(
    node: NodeCore, event: type[AgentEvent], agent: AgentRow, by: Call | str, media_type: str | None = None
) -> None:
    """The reporting event of an agent's change; an echo where another node speaks for the agent.

    :param by: the request; of what the server does by itself, why
    """
    reason: Document = UNSET
    if isinstance(by, str):
        cause, echo = holdings.because(by), agent.echo
    else:
        reason = by.request.reason if isinstance(by.request, AgentRequest) else UNSET
        cause, echo = Cause(agent.actor(), by.name, reason), by.echo
    node.agent_event(event, agent.tenant_id, agent.part(media_type, reason), cause, echo=echo)


HANDLERS = {RequestAgentLogin: login, RequestAgentLogout: logout}
