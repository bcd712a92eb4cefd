"""Requests of routing engines that want an agent to themselves."""

from __future__ import annotations

from collections.abc import Iterator

from broker.errors import Code
from tests.model import reservations
from tests.model.asked import Asked
from tests.model.author import Author
from tests.model.plain import Plain, Wrong
from tests.model.requests.entries import Entry, Next
from tests.model.things import Agent, Document, Wish
from tests.model.turns import fits
from tests.model.world import AGENTS, COLLECTION_S, MEDIA, RESERVATION_S


def write_who(author: Author) -> Document:
    named = author.one({"agent_id": "VICKY"}, {"agent_id": "VICKY"}, {"agent_id": author.one(*AGENTS.values())[0]})
    return {"tenant_id": 101, **author.one(named, named, named, {"place_id": "P2"}, {})}


def write_reserve(author: Author) -> Document:
    fields = write_who(author)
    if author.some():
        fields["media_type"] = author.one(*MEDIA)
    if author.some():
        fields["priority"] = author.one(1, 5)
    if author.some():
        fields["timeout"] = author.one(2, 60)
    return fields


def _named(asked: Asked, faults: set[Code]) -> Agent | None:
    agent_id, place_id = asked["agent_id"], asked["place_id"]
    if not agent_id and not place_id:
        faults.add(Code.MISSING_ATTRIBUTE)
        return None
    for agent in asked.plain.agents.values():
        if (agent.agent_id == agent_id) if agent_id else (agent.place_id == place_id):
            return agent
    faults.add(Code.NOT_LOGGED_IN)
    return None


def reserve(asked: Asked) -> None:
    """At once for who has it already; else it is decided when requests of others have had their time."""
    plain, session, faults = asked.plain, asked.client.session, set[Code]()
    agent = _named(asked, faults)
    if agent is not None:
        faults |= reservations.unfit(plain, agent, asked.request)
        if reservations.is_taken(plain, agent, session) and not plain.world.waits_for_agents:
            faults.add(Code.RESERVED)
    own = agent is not None and agent.key in plain.reserved and not reservations.is_taken(plain, agent, session)
    if not asked.verdict(faults, later=not own) or agent is None:
        return
    if own and asked.reply is not None:
        due = reservations.grant(plain, agent, session, asked.request)
        if not fits(asked.reply, due):
            raise Wrong(f"{asked.reply} is not {due}")
        return
    wishes = plain.wishes.setdefault(agent.key, [])
    if not wishes and agent.key not in plain.reserved:
        plain.decisions[agent.key] = plain.now + COLLECTION_S
    until = plain.now + COLLECTION_S + RESERVATION_S
    wishes.append(Wish(session, asked.request, asked.ref, until))


def cancel(asked: Asked) -> None:
    faults = set[Code]()
    agent = _named(asked, faults)
    if asked.verdict(faults) and agent is not None:
        reservations.give_back(asked.plain, asked.client.session, agent.key)


def likely(plain: Plain) -> Iterator[Next]:
    """Where one engine wants an agent, another one does, too; it is used, or given back."""
    for key in {key for key, wishes in plain.wishes.items() if wishes} | plain.reserved.keys():
        for name in ("engine1", "engine2"):
            yield plain.clients[name], "RequestReserveAgent"
        standing = plain.reserved.get(key)
        owner = plain.of_session(standing.session) if standing else None
        if owner is not None:
            yield owner, "RequestDeliver"
            yield owner, "RequestCancelAgentReservation"


REQUESTS = {
    "RequestReserveAgent": Entry(write_reserve, reserve),
    "RequestCancelAgentReservation": Entry(write_who, cancel),
}
