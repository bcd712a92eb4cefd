"""Routing engines deliver, agents are invited and answer.

Deliver takes the interaction from the strategy and invites the agent; the invitation stands until the agent accepts,
rejects, or ``delivering-timeout`` passes. Then it is the agent's, or it goes back to the queue it was taken from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from broker.clock import to_seconds, to_us
from broker.errors import Code, Refusal
from broker.messages.connection import EventAck
from broker.messages.interactions import EventPartyRemoved
from broker.messages.objects import Interaction
from broker.messages.routing import (
    EventAbandoned,
    EventAgentInvited,
    EventInvite,
    EventRejected,
    RequestAccept,
    RequestDeliver,
    RequestReject,
)

from . import agents, holdings
from .calls import Call
from .records import AgentRow, Holder, Holding, Invitation

if TYPE_CHECKING:
    from .core import NodeCore


def deliver(node: NodeCore, call: Call) -> EventAck:
    """RequestDeliver: the strategy that holds the interaction offers it to an agent or place."""
    request: RequestDeliver = call.request
    interaction = holdings.find(node, call)
    holding = holdings.authorise(node, call, interaction)
    if holding is None or not holding.holders:
        raise Refusal(Code.WRONG_STATE, "the strategy has to take the interaction first")
    agent = _target(node, request, interaction)
    _invite(node, call, interaction, holding, agent)
    return EventAck(interaction_id=interaction.interaction_id)


def _target(node: NodeCore, request: RequestDeliver, interaction: Interaction) -> AgentRow:
    """The agent at the target. :raises Refusal: ``BAD_TARGET`` when it cannot be invited, and why"""
    memory, tenant = node.memory, interaction.tenant_id
    agent = memory.agents.one("agent", (tenant, request.agent_id)) if request.agent_id else None
    if agent is None and request.place_id:
        agent = memory.agents.one("place", (tenant, request.place_id))
    if not request.agent_id and not request.place_id:
        raise Refusal(Code.MISSING_ATTRIBUTE, "agent_id or place_id of the target", field="agent_id")
    target = request.agent_id or request.place_id
    if agent is None:
        raise Refusal(Code.BAD_TARGET, f"{target} is not logged in", field="agent_id")
    if agent.donot_disturb:
        raise Refusal(Code.BAD_TARGET, f"{target} has do-not-disturb on", field="agent_id")
    if not agent.media.get(interaction.media_type):
        raise Refusal(Code.BAD_TARGET, f"{target} is not ready for {interaction.media_type}", field="agent_id")
    return agent


def _invite(node: NodeCore, call: Call, interaction: Interaction, holding: Holding, agent: AgentRow) -> None:
    memory = node.memory
    router = holdings.holder_of(node, call, holding)
    timeout = call.request.timeout or node.settings.delivering_timeout
    ticket = node.clock.next(node.now)
    invitation = Invitation(
        ticket_id=ticket,
        interaction_id=interaction.interaction_id,
        agent=agent.key,
        deadline_us=to_us(node.now + timeout),
        router=router,
    )
    memory.put(memory.invitations, str(ticket), invitation)
    memory.put(memory.holdings, interaction.interaction_id, replace(holding, token=ticket, holders=[]))
    if interaction.delivered_at is None:
        memory.update(interaction, delivered_at=to_seconds(ticket))
    cause = call.cause(holdings.as_actor(router) if router else None)
    node.event(EventAgentInvited, interaction, cause, party=agent.party())
    node.tell_agent(
        agent.key,
        EventInvite(
            ticket_id=ticket,
            token=ticket,
            agent_id=agent.agent_id,
            place_id=agent.place_id,
            interaction=interaction,
            timeout=timeout,
        ),
    )
    for holder in holding.holders:
        node.event(EventPartyRemoved, interaction, cause, party=holder.party)
    node.deadline(node.now + timeout, expired, str(ticket))


def accept(node: NodeCore, call: Call) -> EventAck:
    """RequestAccept: the interaction is the agent's."""
    interaction, agent, _ = _answered(node, call)
    memory = node.memory
    memory.drop(memory.invitations, str(call.request.ticket_id))
    origin = memory.holdings.rows[interaction.interaction_id]
    holder = agent_holder(agent, call)
    memory.put(memory.holdings, interaction.interaction_id, replace(origin, holders=[holder]))
    holdings.handled(node, interaction, holder)
    holdings.add_party(node, interaction, holder, call.cause(agent.actor()))
    return EventAck(interaction_id=interaction.interaction_id)


def reject(node: NodeCore, call: Call) -> EventAck:
    """RequestReject: the interaction goes back to its queue, the routing engine is told."""
    interaction, agent, invitation = _answered(node, call)
    node.memory.drop(node.memory.invitations, str(call.request.ticket_id))
    node.event(EventRejected, interaction, call.cause(agent.actor()), party=agent.party())
    _return(node, interaction, invitation, "Rejected")
    return EventAck(interaction_id=interaction.interaction_id)


def _answered(node: NodeCore, call: Call) -> tuple[Interaction, AgentRow, Invitation]:
    """What an agent answers to. :raises Refusal: not its invitation, or it stands no more"""
    interaction = holdings.find(node, call)
    agent = agents.asking(node, call)
    invitation = node.memory.invitations.get(str(call.request.ticket_id))
    asked = (agent.key, interaction.interaction_id)
    if invitation is not None and (invitation.agent, invitation.interaction_id) == asked:
        return interaction, agent, invitation
    holding = node.memory.holdings.get(interaction.interaction_id)
    if holding is not None and holding.token == call.request.ticket_id and holding.holders:
        raise Refusal(Code.ALREADY_ACCEPTED, "this invitation was accepted", field="ticket_id")
    raise Refusal(Code.BAD_TICKET, "no such invitation of this agent stands", field="ticket_id")


def agent_holder(agent: AgentRow, call: Call) -> Holder:
    """An agent as the holder of an interaction."""
    return Holder(
        party=agent.party(), session_id=call.session.session_id, client_name=call.session.name, agent=agent.key
    )


def expired(node: NodeCore, ticket: str) -> None:
    """A deadline: the invited agent has not answered."""
    invitation = node.memory.invitations.get(ticket)
    if invitation is not None and invitation.deadline_us <= to_us(node.now):
        _take_back(node, invitation, "Expired")


def withdraw(node: NodeCore, agent: str, why: str) -> None:
    """Takes back all invitations of an agent that is leaving."""
    for ticket in node.memory.invitations.keys("agent", agent):
        _take_back(node, node.memory.invitations.rows[ticket], why)


def _take_back(node: NodeCore, invitation: Invitation, why: str) -> None:
    interaction = node.memory.interactions[invitation.interaction_id]
    holdings.uninvite(node, interaction, why)
    _return(node, interaction, invitation, why)


def _return(node: NodeCore, interaction: Interaction, invitation: Invitation, why: str) -> None:
    holding = node.memory.holdings.rows[interaction.interaction_id]
    node.memory.drop(node.memory.holdings, interaction.interaction_id)
    holdings.place_back(node, interaction, holding, why)
    if invitation.router is not None:
        node.tell(invitation.router.session_id, EventAbandoned(interaction_id=interaction.interaction_id, reason=why))


HANDLERS = {RequestDeliver: deliver, RequestAccept: accept, RequestReject: reject}
