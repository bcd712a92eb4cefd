"""Invitations: an agent is offered an interaction and accepts, rejects, or lets the time pass.

======================  ==========================================  ===========================================
what was asked          accepted                                    rejected, expired, withdrawn
======================  ==========================================  ===========================================
Deliver                 the interaction is the agent's              it goes back to where it was taken from
Transfer                the agent takes the asking agent's place    nothing changes, the asking agent keeps it
Conference, Intrude     the agent is one more party                 nothing changes
======================  ==========================================  ===========================================

But for Deliver, which is acked at once, the ack to who asked waits for the invited agent.
The waiting call is in memory only; its keys are in the row, so a request that is sent again after a take-over finds
its invitation and goes on waiting (:mod:`node.repetitions`).

An invitation is told again to a client that comes back: the member that was killed may have committed it, and not have
lived to tell it. So the agent may be told twice, with one ticket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET, Raw
from msgspec.structs import replace

from broker.clock import to_seconds, to_us
from broker.errors import Code, Refusal
from broker.messages.connection import EventAck
from broker.messages.interactions import EventPartyRemoved, InteractionRevoked
from broker.messages.kinds import Notification
from broker.messages.objects import Interaction
from broker.messages.routing import (
    EventAbandoned,
    EventAccepted,
    EventAgentInvited,
    EventInvite,
    EventRejected,
    RequestAccept,
    RequestReject,
)

from . import agents, capacity, holdings, overdue, states
from .calls import Call, Cause
from .records import AgentRow, Holder, Holding, Invitation, Purpose

if TYPE_CHECKING:
    from .core import NodeCore

RETURN_S = 2.0
"""After a take-over an invitation stands so long at least: what the agent has answered may be on its way anew."""


class Offer(NamedTuple):
    """What an agent is invited to.

    :param asker: the strategy or agent that asks, where it holds the interaction
    :param timeout: seconds the invitation stands
    """

    purpose: Purpose
    asker: Holder | None
    timeout: float
    visibility_mode: int = 0


def target(node: NodeCore, call: Call, interaction: Interaction) -> AgentRow:
    """The agent that a request wants invited. :raises Refusal: ``BAD_TARGET``: it cannot be, and why"""
    request = call.request
    if not request.agent_id and not request.place_id:
        raise Refusal(Code.MISSING_ATTRIBUTE, "agent_id or place_id of the target", field="agent_id")
    table, tenant = node.memory.agents, interaction.tenant_id
    agent = table.one("agent", (tenant, request.agent_id)) if request.agent_id else None
    if agent is None and request.place_id:
        agent = table.one("place", (tenant, request.place_id))
    if agent is None:
        raise Refusal(Code.BAD_TARGET, f"{request.agent_id or request.place_id} is not logged in", field="agent_id")
    check_invitable(node, agent, interaction)
    return agent


def check_invitable(node: NodeCore, agent: AgentRow, interaction: Interaction) -> None:
    """:raises Refusal: ``BAD_TARGET``: not ready, not to be disturbed, or already asked; ``CAPACITY_FULL``"""
    name = agent.agent_id or agent.place_id
    if agent.missing_us:
        raise Refusal(Code.BAD_TARGET, f"{name} is waited for: its client is gone", field="agent_id")
    if agent.donot_disturb:
        raise Refusal(Code.BAD_TARGET, f"{name} has do-not-disturb on", field="agent_id")
    if not agent.media.get(interaction.media_type):
        raise Refusal(Code.BAD_TARGET, f"{name} is not ready for {interaction.media_type}", field="agent_id")
    for ticket in node.memory.invitations.keys("interaction", interaction.interaction_id):
        if node.memory.invitations.rows[ticket].agent == agent.key:
            raise Refusal(Code.BAD_TARGET, f"{name} is invited already", field="agent_id")
    holding = node.memory.holdings.get(interaction.interaction_id)
    if holding is not None and any(holder.agent == agent.key for holder in holding.holders):
        raise Refusal(Code.BAD_TARGET, f"{name} is a party already", field="agent_id")
    if not interaction.is_held:
        capacity.check(node, agent, interaction.media_type)


def invite(node: NodeCore, call: Call, interaction: Interaction, agent: AgentRow, offer: Offer) -> int:
    """Invites the agent; returns the ticket. The interaction's holding is not touched."""
    ticket = node.clock.next(node.now)
    extension = call.request.extension
    invitation = Invitation(
        ticket_id=ticket,
        interaction_id=interaction.interaction_id,
        agent=agent.key,
        deadline_us=to_us(node.now + offer.timeout),
        purpose=offer.purpose,
        asker=offer.asker,
        asked=[] if offer.purpose is Purpose.DELIVER else call.keys,
        visibility_mode=offer.visibility_mode,
        extension=UNSET if extension is UNSET else Raw(bytes(extension)),
    )
    node.memory.put(node.memory.invitations, str(ticket), invitation)
    if interaction.delivered_at is None:
        node.memory.update(interaction, delivered_at=to_seconds(ticket))
    asking = agent.actor() if offer.purpose is Purpose.INTRUDE else None
    cause = call.cause(holdings.as_actor(offer.asker) if offer.asker else asking)
    party = replace(agent.party(), visibility_mode=offer.visibility_mode)
    node.event(EventAgentInvited, interaction, cause, party=party, operation=offer.purpose.operation)
    node.tell_agent(agent.key, _note(node, invitation, agent, offer.timeout))
    node.deadline(node.now + offer.timeout, expired, str(ticket))
    return ticket


def waits(node: NodeCore, key: str, call: Call) -> bool:
    """Whether a repetition asks for an invitation that stands; then it gets the reply, when there is one."""
    invitation = node.memory.invitations.one("asked", key)
    if invitation is None:
        return False
    node.takes_over(node.offers, str(invitation.ticket_id), call)
    return True


def _note(node: NodeCore, invitation: Invitation, agent: AgentRow, timeout: float) -> EventInvite:
    """What the agent is told. :param timeout: seconds the invitation stands from now on"""
    joins = invitation.purpose in (Purpose.CONFERENCE, Purpose.INTRUDE)
    holding = node.memory.holdings.rows[invitation.interaction_id]
    return EventInvite(
        ticket_id=invitation.ticket_id,
        token=holding.token if joins else invitation.ticket_id,
        agent_id=agent.agent_id,
        place_id=agent.place_id,
        interaction=node.memory.interactions[invitation.interaction_id],
        operation=invitation.purpose.operation,
        visibility_mode=invitation.visibility_mode,
        timeout=timeout,
        extension=invitation.extension,
    )


def remind(node: NodeCore, session_id: str) -> None:
    """Tells a client that has come back, or that an agent has logged in from, of the invitations of its agents."""
    for key in node.memory.agents.keys("session", session_id):
        agent = node.memory.agents.rows[key]
        for ticket in node.memory.invitations.keys("agent", key):
            invitation = node.memory.invitations.rows[ticket]
            left_s = max(to_seconds(invitation.deadline_us) - node.now, 0.0)
            node.tell(session_id, _note(node, invitation, agent, left_s))


def resume(node: NodeCore) -> None:
    """After a take-over: the invitations that stand run out at their time, but not before their agents can answer."""
    for ticket, invitation in node.memory.invitations.rows.items():
        node.deadline(max(to_seconds(invitation.deadline_us), node.now + RETURN_S), expired, ticket)


def accept(node: NodeCore, call: Call) -> EventAck:
    """RequestAccept: what was offered happens; who waits for it is acked."""
    interaction, agent, invitation = _answered(node, call)
    capacity.check_accept(node, agent, interaction)
    node.memory.drop(node.memory.invitations, str(invitation.ticket_id))
    holder = agent_holder(
        agent, call.session.session_id, call.session.name, invitation.visibility_mode, call.request.in_focus
    )
    _ack_asker(node, invitation)
    _ACCEPTED[invitation.purpose](node, interaction, invitation, holder, call.cause(agent.actor()))
    note = EventAccepted(ticket_id=invitation.ticket_id, interaction_id=interaction.interaction_id)
    _tell_others(node, call, agent, note)
    return EventAck(interaction_id=interaction.interaction_id)


def _tell_others(node: NodeCore, call: Call, agent: AgentRow, note: Notification) -> None:
    """Tells the agent's other connections, which were invited, too, that the invitation is answered."""
    for session_id in agent.sessions:
        if session_id != call.session.session_id:
            node.tell(session_id, note)


def _takes(node: NodeCore, interaction: Interaction, invitation: Invitation, holder: Holder, cause: Cause) -> None:
    """Deliver: the agent holds it alone."""
    old_state = interaction.interaction_state
    _hold(node, interaction, [holder], token=invitation.ticket_id)
    holdings.handled(node, interaction, holder)
    holdings.add_party(node, interaction, holder, cause, invitation.purpose.operation, old_state)


def _replaces(node: NodeCore, interaction: Interaction, invitation: Invitation, holder: Holder, cause: Cause) -> None:
    """Transfer: the agent holds it in the place of the one who asked."""
    holding = node.memory.holdings.rows[interaction.interaction_id]
    old = [one for one in holding.holders if invitation.asker and one.name == invitation.asker.name]
    staying = [one for one in holding.holders if one not in old]
    _hold(node, interaction, [*staying, holder], token=invitation.ticket_id)
    holdings.handled(node, interaction, holder)
    holdings.add_party(node, interaction, holder, cause, invitation.purpose.operation)
    holdings.tell_joined(node, interaction, holder, staying)
    for one in old:
        node.event(EventPartyRemoved, interaction, cause, party=one.party, operation=invitation.purpose.operation)
        holdings.tell_left(node, interaction, one, staying)


def _joins(node: NodeCore, interaction: Interaction, invitation: Invitation, holder: Holder, cause: Cause) -> None:
    """Conference, intrude: the agent is one more party; the others are told."""
    holding = node.memory.holdings.rows[interaction.interaction_id]
    node.memory.put(
        node.memory.holdings, interaction.interaction_id, replace(holding, holders=[*holding.holders, holder])
    )
    holdings.add_party(node, interaction, holder, cause, invitation.purpose.operation)
    holdings.tell_joined(node, interaction, holder, holding.holders)


_ACCEPTED = {
    "deliver": _takes,
    "transfer": _replaces,
    "conference": _joins,
    "intrude": _joins,
}


def _hold(node: NodeCore, interaction: Interaction, holders: list[Holder], *, token: int) -> None:
    """The holding goes on under a new grant, whose agents have their time from now on."""
    holding = node.memory.holdings.rows[interaction.interaction_id]
    allowed_s = overdue.allowed_s(node, interaction)
    changed = replace(holding, holders=holders, token=token, handling_s=allowed_s)
    node.memory.put(node.memory.holdings, interaction.interaction_id, changed)
    node.watch(changed)


def _ack_asker(node: NodeCore, invitation: Invitation) -> None:
    call = node.offers.pop(str(invitation.ticket_id), None)
    reply = EventAck(interaction_id=invitation.interaction_id)
    if call is not None:
        node.finish(call, reply)
    elif invitation.asked:
        node.keep_reply(invitation.asked, reply)


def reject(node: NodeCore, call: Call) -> EventAck:
    """RequestReject: nothing comes of the offer; who asked is told."""
    interaction, agent, invitation = _answered(node, call)
    node.memory.drop(node.memory.invitations, str(invitation.ticket_id))
    node.event(EventRejected, interaction, call.cause(agent.actor()), party=agent.party())
    note = InteractionRevoked(
        interaction_id=interaction.interaction_id, ticket_id=invitation.ticket_id, reason="Rejected"
    )
    _tell_others(node, call, agent, note)
    _come_to_nothing(node, interaction, invitation, Code.REJECTED, "Rejected")
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


def agent_holder(
    agent: AgentRow, session_id: str, client_name: str, visibility_mode: int = 0, in_focus: int | None = None
) -> Holder:
    """An agent as the holder of an interaction."""
    party = replace(agent.party(), visibility_mode=visibility_mode, in_focus=in_focus)
    return Holder(party=party, session_id=session_id, client_name=client_name, agent=agent.key)


def expired(node: NodeCore, ticket: str) -> None:
    """A deadline: the invited agent has not answered."""
    invitation = node.memory.invitations.get(ticket)
    if invitation is not None and invitation.deadline_us <= to_us(node.now):
        withdraw(node, invitation, "Expired", Code.EXPIRED)
        agent = node.memory.agents.get(invitation.agent)
        if agent is not None and node.settings.not_ready_on_invitation_timeout:
            media_type = node.memory.interactions[invitation.interaction_id].media_type
            states.force_not_ready(node, agent, media_type, "InvitationExpired")


def leaving(node: NodeCore, agent: str, why: str) -> None:
    """Takes back all invitations of an agent that is leaving."""
    for ticket in node.memory.invitations.keys("agent", agent):
        withdraw(node, node.memory.invitations.rows[ticket], why, Code.BAD_TARGET)


def withdraw_all(node: NodeCore, interaction: Interaction, why: str) -> None:
    """Takes back every invitation to an interaction that is going elsewhere; where it goes is the caller's affair."""
    for ticket in node.memory.invitations.keys("interaction", interaction.interaction_id):
        invitation = node.memory.invitations.rows[ticket]
        _revoke(node, interaction, invitation, why)
        _refuse_asker(node, invitation, Code.WRONG_STATE, why)


def withdraw(node: NodeCore, invitation: Invitation, why: str, code: Code) -> None:
    """Takes one invitation back: the agent is told, the offer comes to nothing."""
    interaction = node.memory.interactions[invitation.interaction_id]
    if invitation.purpose is not Purpose.DELIVER:
        _refuse_asker(node, invitation, code, why)
    _revoke(node, interaction, invitation, why)
    _come_to_nothing(node, interaction, invitation, code, why)


def _revoke(node: NodeCore, interaction: Interaction, invitation: Invitation, why: str) -> None:
    node.memory.drop(node.memory.invitations, str(invitation.ticket_id))
    agent = node.memory.agents.get(invitation.agent)
    if agent is not None:
        holdings.report_revoked(node, interaction, agent, why, invitation.ticket_id)


def _come_to_nothing(
    node: NodeCore, interaction: Interaction, invitation: Invitation, code: Code, why: str = ""
) -> None:
    """After a Deliver who asked is told, and the interaction returns; otherwise who asked keeps what it has, and is
    told."""
    why = why or code.text
    if invitation.purpose == Purpose.DELIVER:
        if invitation.asker is not None:
            strategy_id = invitation.asker.party.strategy_id
            note = EventAbandoned(interaction_id=interaction.interaction_id, reason=why, strategy_id=strategy_id)
            node.tell(invitation.asker.session_id, note)
        holding: Holding = node.memory.holdings.rows[interaction.interaction_id]
        node.memory.drop(node.memory.holdings, interaction.interaction_id)
        holdings.place_back(node, interaction, holding, why)
    else:
        _refuse_asker(node, invitation, code, why)


def _refuse_asker(node: NodeCore, invitation: Invitation, code: Code, why: str) -> None:
    call = node.offers.pop(str(invitation.ticket_id), None)
    if call is not None:
        node.refuse(call, Refusal(code, _in_words(node, invitation, why)))


def _in_words(node: NodeCore, invitation: Invitation, why: str) -> str:
    """What became of an invitation, for a person."""
    agent = node.memory.agents.get(invitation.agent)
    name = (agent.agent_id or agent.place_id) if agent is not None else "the agent"
    if why == "Expired":
        return f"{name} has not answered in time"
    if why == "Rejected":
        return f"{name} has rejected the invitation"
    return f"the invitation of {name} was taken back: {why}"


HANDLERS = {RequestAccept: accept, RequestReject: reject}
