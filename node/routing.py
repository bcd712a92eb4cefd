"""Routing engines deliver what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from broker.errors import Code, Refusal
from broker.messages.connection import EventAck
from broker.messages.interactions import EventPartyRemoved
from broker.messages.routing import RequestDeliver

from . import holdings, reservations
from .calls import Call
from .invitations import Offer, invite, target
from .records import Purpose

if TYPE_CHECKING:
    from .core import NodeCore


def deliver(node: NodeCore, call: Call) -> EventAck:
    """RequestDeliver: the strategy that holds the interaction offers it to an agent or place, and holds it no more."""
    request: RequestDeliver = call.request
    interaction = holdings.find(node, call)
    holding = holdings.authorise(node, call, interaction)
    if holding is None or not holding.holders:
        raise Refusal(Code.WRONG_STATE, "the strategy has to take the interaction first")
    agent = target(node, call, interaction)
    reservations.check(node, agent, call.session)
    router = holdings.holder_of(node, call, holding)
    suggested = {name: getattr(request, name) for name in ("in_queues", "out_queues") if getattr(request, name)}
    if suggested:
        node.memory.update(interaction, **suggested)
    offer = Offer(Purpose.DELIVER, router, request.timeout or node.settings.delivering_timeout)
    ticket = invite(node, call, interaction, agent, offer)
    cause = call.cause(holdings.as_actor(router) if router else None)
    for holder in holding.holders:
        node.event(EventPartyRemoved, interaction, cause, party=holder.party)
    node.memory.put(node.memory.holdings, interaction.interaction_id, replace(holding, token=ticket, holders=[]))
    reservations.used(node, agent)
    return EventAck(interaction_id=interaction.interaction_id)


HANDLERS = {RequestDeliver: deliver}
