"""Several parties: transfer, conference, intrude, leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.errors import Code, Refusal
from broker.messages.connection import EventAck
from broker.messages.interactions import InteractionRequest
from broker.messages.objects import HANDLING, Interaction
from broker.messages.parties import (
    EventActivityReport,
    OfferRequest,
    RequestConference,
    RequestIntrude,
    RequestLeaveInteraction,
    RequestTransfer,
    RequestUpdateActivity,
)

from . import agents, holdings
from .calls import Call
from .invitations import Offer, check_invitable, invite, target
from .records import AgentRow, Holder, Holding, Purpose

if TYPE_CHECKING:
    from .core import NodeCore


def transfer(node: NodeCore, call: Call) -> None:
    """RequestTransfer."""
    _offer(node, call, Purpose.TRANSFER)


def conference(node: NodeCore, call: Call) -> None:
    """RequestConference."""
    _offer(node, call, Purpose.CONFERENCE)


def _offer(node: NodeCore, call: Call, purpose: Purpose) -> None:
    request: OfferRequest = call.request
    interaction, _, holder = own_part(node, call)
    _invite_and_wait(
        node,
        call,
        interaction,
        target(node, call, interaction),
        Offer(purpose, holder, request.timeout or node.settings.delivering_timeout, request.visibility_mode),
    )


def _invite_and_wait(node: NodeCore, call: Call, interaction: Interaction, agent: AgentRow, offer: Offer) -> None:
    """Invites; the call is answered when the agent has answered."""
    if len(node.offers) >= node.settings.max_pending:
        raise Refusal(Code.BUSY, f"{len(node.offers)} invitations wait", retry_after=1.0)
    ticket = invite(node, call, interaction, agent, offer)
    node.offers[str(ticket)] = call


def intrude(node: NodeCore, call: Call) -> None:
    """RequestIntrude: the asking agent itself is invited to what others handle."""
    request: RequestIntrude = call.request
    interaction = holdings.find(node, call)
    agent = agents.asking(node, call)
    if interaction.interaction_state != HANDLING:
        raise Refusal(Code.WRONG_STATE, "no agent handles the interaction")
    check_invitable(node, agent, interaction)
    timeout = request.timeout or node.settings.delivering_timeout
    _invite_and_wait(node, call, interaction, agent, Offer(Purpose.INTRUDE, None, timeout, request.visibility_mode))


def leave(node: NodeCore, call: Call) -> EventAck:
    """RequestLeaveInteraction."""
    interaction, holding, holder = own_part(node, call)
    holdings.leave(node, interaction, holding, holder, call.cause(holdings.as_actor(holder)))
    return EventAck(interaction_id=interaction.interaction_id)


def update_activity(node: NodeCore, call: Call) -> EventAck:
    """RequestUpdateActivity."""
    request: RequestUpdateActivity = call.request
    interaction, _, holder = own_part(node, call)
    cause = call.cause(holdings.as_actor(holder))
    node.event(EventActivityReport, interaction, cause, party=holder.party, body=request.activity)
    return EventAck(interaction_id=interaction.interaction_id)


def own_part(node: NodeCore, call: Call) -> tuple[Interaction, Holding, Holder]:
    """The interaction, and the asking agent as one of its parties. :raises Refusal: it is none"""
    request: InteractionRequest = call.request
    interaction = holdings.find(node, call)
    holding = holdings.authorise(node, call, interaction)
    holder = holdings.holder_of(node, call, holding) if holding is not None else None
    if holding is None or holder is None or not holder.agent:
        raise Refusal(Code.ACCESS_DENIED, f"the agent is no party of {request.interaction_id}")
    return interaction, holding, holder


HANDLERS = {
    RequestTransfer: transfer,
    RequestConference: conference,
    RequestIntrude: intrude,
    RequestLeaveInteraction: leave,
    RequestUpdateActivity: update_activity,
}
