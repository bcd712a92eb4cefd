"""Requests that bring agents to interactions and away from them: offers, joining, leaving, activity."""

from __future__ import annotations

from collections.abc import Iterator

from broker.errors import Code
from tests.model import capacity, reservations
from tests.model.asked import Asked, Faults
from tests.model.author import Author
from tests.model.plain import Plain, Wrong
from tests.model.requests.entries import Entry, Next, same
from tests.model.things import HANDLING, Agent, Document, Invitation, Item


def write_target(author: Author) -> Document:
    fields = author.item()
    others = [agent for agent in author.plain.agents.values() if author.client.name not in agent.clients]
    willing = [agent for agent in others if not agent.donot_disturb and not author.seldom()] or others
    fields["agent_id"] = author.one(*[agent.agent_id for agent in willing] or ["VICKY"])
    if author.some():
        fields["timeout"] = author.one(5, 50)
    return fields


def _invitable(asked: Asked, item: Item, faults: Faults, agent: Agent | None) -> None:
    """Whether an agent can be invited to an item."""
    holders = item.holding.holders if item.holding is not None else []
    if (
        agent is None
        or agent.donot_disturb
        or not agent.media.get(item.media)
        or any(one.agent == agent.key for one in asked.plain.invited(item.ident))
        or agent.key in holders
    ):
        faults.add(Code.BAD_TARGET)
    if agent is not None and not item.held and capacity.is_full(asked.plain, agent, item.media):
        faults.add(Code.CAPACITY_FULL)


def _named(asked: Asked) -> Agent | None:
    return next((one for one in asked.plain.agents.values() if one.agent_id == asked["agent_id"]), None)


def _invite(asked: Asked, item: Item, agent: Agent, purpose: str, asker: str | None) -> Invitation:
    """All of the agent's clients were told, under one ticket, and nobody else."""
    notes = asked.turn.notes("EventInvite")
    told = sorted(client.name for one in notes if (client := asked.plain.at(one.source)))
    tickets = {one.document["ticket_id"] for one in notes}
    about = {one.document["interaction"]["interaction_id"] for one in notes}
    here = sorted(name for name in agent.clients if asked.plain.clients[name].here)
    if told != here or about > {item.ident} or len(tickets) != 1:
        raise Wrong(f"{agent} was invited to {item} by {notes}")
    invitation = Invitation(
        ticket=tickets.pop(),
        ident=item.ident,
        agent=agent.key,
        purpose=purpose,
        asker=asker,
        due=asked.plain.now + (asked["timeout"] or 30.0),
        request=asked.request,
        ref=None if purpose == "deliver" else asked.ref,
    )
    asked.plain.invitations[invitation.ticket] = invitation
    return invitation


def deliver(asked: Asked) -> None:
    faults = set[Code]()
    item, agent = asked.item(faults), _named(asked)
    if item is not None:
        asked.allowed(item, faults)
        if item.holding is None or not item.holding.holders:
            faults.add(Code.WRONG_STATE)
        _invitable(asked, item, faults, agent)
        if agent is not None and reservations.is_taken(asked.plain, agent, asked.client.session):
            faults.add(Code.RESERVED)
    if asked.verdict(faults) and item and item.holding and agent:
        invitation = _invite(asked, item, agent, "deliver", item.holding.holders[0])
        item.holding.holders = []
        item.holding.token = invitation.ticket
        if agent.key in asked.plain.reserved:
            reservations.release(asked.plain, agent.key)


def offer(asked: Asked) -> None:
    """Transfer, conference."""
    faults = set[Code]()
    item, agent = asked.item(faults), _named(asked)
    if item is not None:
        asked.allowed(item, faults)
        own = asked.plain.agent_of(asked.client)
        if own is None or asked.holder(item) != own.key:
            faults.add(Code.ACCESS_DENIED)
        _invitable(asked, item, faults, agent)
    if asked.verdict(faults, later=True) and item and agent:
        purpose = asked["message"].removeprefix("Request").lower()
        _invite(asked, item, agent, purpose, asked.holder(item))


def intrude(asked: Asked) -> None:
    faults = set[Code]()
    item, agent = asked.item(faults), asked.own(faults)
    if item is not None:
        if item.state != HANDLING:
            faults.add(Code.WRONG_STATE)
        if agent is not None:
            _invitable(asked, item, faults, agent)
    if asked.verdict(faults, later=True) and item and agent:
        _invite(asked, item, agent, "intrude", None)


def leave(asked: Asked) -> None:
    faults = set[Code]()
    item = _own_part(asked, faults)
    if asked.verdict(faults) and item:
        asked.plain.leave(item, str(asked.holder(item)))


def activity(asked: Asked) -> None:
    faults = set[Code]()
    _own_part(asked, faults)
    asked.verdict(faults)


def _own_part(asked: Asked, faults: Faults) -> Item | None:
    """An item that the asking agent is a party of."""
    item = asked.item(faults)
    if item is not None:
        asked.allowed(item, faults)
        if asked.holder(item) is None:
            faults.add(Code.ACCESS_DENIED)
    return item


OF_HOLDERS = {
    "AgentApplication": (
        "RequestPlaceInQueue",
        "RequestPlaceInWorkbin",
        "RequestTransfer",
        "RequestTransfer",
        "RequestConference",
        "RequestConference",
        "RequestStopProcessing",
        "RequestChangeProperties",
        "RequestHold",
        "RequestLeaveInteraction",
        "RequestUpdateActivity",
    ),
    "RoutingEngine": (
        "RequestDeliver",
        "RequestDeliver",
        "RequestDeliver",
        "RequestHold",
        "RequestPlaceInQueue",
        "RequestStopProcessing",
    ),
}


def likely(plain: Plain) -> Iterator[Next]:
    """Those that have something go on with it; others join them."""
    for client in plain.clients.values():
        agent = plain.agent_of(client)
        if plain.held_by(agent.key if agent else client.session):
            yield from ((client, name) for name in OF_HOLDERS[client.kind])
        if agent and any(
            item.holding and agent.key not in item.holding.holders
            for item in plain.items.values()
            if item.state == HANDLING
        ):
            yield client, "RequestIntrude"


def write_intrude(author: Author) -> Document:
    """Into what others handle."""
    agent = author.plain.agent_of(author.client)
    handled = [item for item in author.plain.items.values() if item.holding and item.state == HANDLING]
    others = [item.ident for item in handled if agent and item.holding and agent.key not in item.holding.holders]
    return {"interaction_id": author.one(*others)} if others and not author.seldom() else author.item()


REQUESTS = {
    "RequestDeliver": Entry(write_target, deliver),
    **same(("RequestTransfer", "RequestConference"), Entry(write_target, offer)),
    "RequestIntrude": Entry(write_intrude, intrude),
    "RequestLeaveInteraction": Entry(Author.item, leave),
    "RequestUpdateActivity": Entry(lambda author: {**author.item(), "activity": {"is": "typing"}}, activity),
}
