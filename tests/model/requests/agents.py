"""Requests of agents about themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from broker.errors import Code
from tests.model import capacity
from tests.model.asked import Asked, Faults
from tests.model.author import Author
from tests.model.plain import Plain, Wrong
from tests.model.requests.entries import Entry, Next, no_fields, same
from tests.model.things import Agent, Document
from tests.model.world import AGENTS, MEDIA


def write_login(author: Author) -> Document:
    agent_id, place_id = AGENTS.get(author.client.name, ("VICKY", None))
    fields: Document = {
        "tenant_id": 101,
        "agent_id": agent_id,
        "media_list": author.one({"voice": 1}, dict.fromkeys(MEDIA, 1)),
    }
    if place_id or author.seldom():
        fields["place_id"] = author.one("P1", "P9") if author.seldom() else place_id or "P8"
    return fields


def login(asked: Asked) -> None:
    log_in(asked, set[Code]())


def log_in(asked: Asked, faults: Faults) -> Agent | None:
    """The agent, if nothing speaks against it."""
    plain, seats = asked.plain, capacity.seats_of(asked["media_list"])
    known, yielding = _in_the_way(asked, faults)
    if known is None and capacity.taken(plain, {capacity.AGENT_SEAT, *seats}, yielding):
        faults.add(Code.LICENCE_LIMIT)
    if known is not None and known.vanished and capacity.taken(plain, seats - known.seats):
        faults.add(Code.LICENCE_LIMIT)
    if not asked.verdict(faults):
        return None
    for other in yielding:
        plain.log_out(other)
    if known is None:
        plain.logins += 1
        known = Agent(asked["agent_id"], asked["place_id"], {}, [], login=plain.logins)
        plain.agents[known.key] = known
    if known.vanished or not known.clients:
        known.vanished, known.clients, known.media = None, [], dict(asked["media_list"])
        known.reasons, known.reason, known.donot_disturb = {}, asked["reason"], False
        known.seats |= seats
    if asked.client.name not in known.clients:
        known.clients.append(asked.client.name)
    return known


def _in_the_way(asked: Asked, faults: Faults) -> tuple[Agent | None, list[Agent]]:
    """The same agent at the same place, and those that yield to it, as their clients have vanished."""
    agent_id, place_id, yielding = asked["agent_id"], asked["place_id"], []
    known = None
    for agent in asked.plain.agents.values():
        if (agent.agent_id, agent.place_id) == (agent_id, place_id):
            known = agent
        elif agent.agent_id == agent_id or (place_id and agent.place_id == place_id):
            yielding.append(agent)
            if not agent.vanished:
                faults.add(Code.AGENT_ELSEWHERE if agent.agent_id == agent_id else Code.PLACE_OCCUPIED)
    return known, yielding


def logout(asked: Asked) -> None:
    faults = set[Code]()
    agent = asked.own(faults)
    if asked.verdict(faults) and agent:
        asked.plain.log_out(agent)


def write_media(author: Author) -> Document:
    """Any media type, rather one that is not ready or not there."""
    agent = author.plain.agent_of(author.client)
    unready = [name for name in MEDIA if agent and not agent.media.get(name)]
    return {"media_type": author.one(*MEDIA, *unready * 3), **write_reason(author)}


def write_reason(author: Author) -> Document:
    return {"reason": author.one({"reason_system_name": "Lunch"}, "why not", 7)} if author.some() else {}


def write_whose(author: Author) -> Document:
    if author.client.kind == "AgentApplication" and author.some():
        return {}
    return {"tenant_id": 101, "agent_id": author.one(*AGENTS.values())[0]}


def media(asked: Asked) -> None:
    """Add, remove, ready, not ready, why."""
    faults, name, kind = set[Code](), asked["media_type"], asked["message"]
    agent = asked.own(faults)
    if agent is not None:
        faults |= _media_faults(asked, agent)
    if not asked.verdict(faults) or agent is None:
        return
    agent.reasons.pop(name, None)
    if kind == "RequestRemoveMedia":
        del agent.media[name]
        return
    if kind == "RequestAddMedia":
        agent.seats |= capacity.seats_of([name])
    if kind != "RequestChangeMediaStateReason":
        agent.media[name] = 0 if kind == "RequestNotReadyForMedia" else 1
    if asked["reason"] is not None:
        agent.reasons[name] = asked["reason"]


def _media_faults(asked: Asked, agent: Agent) -> Faults:
    name, kind = asked["media_type"], asked["message"]
    if kind == "RequestAddMedia":
        faults = {Code.MEDIA_PRESENT} if name in agent.media else set()
        if capacity.taken(asked.plain, capacity.seats_of([name]) - agent.seats):
            faults.add(Code.LICENCE_LIMIT)
        return faults
    if name not in agent.media:
        return {Code.MEDIA_ABSENT}
    same = {"RequestNotReadyForMedia": 0, "RequestCancelNotReadyForMedia": 1}.get(kind) == agent.media[name]
    return {Code.SAME_STATE} if same else set()


def disturb(asked: Asked) -> None:
    faults, on = set[Code](), asked["message"] == "RequestDoNotDisturbOn"
    agent = asked.own(faults)
    if agent is not None and agent.donot_disturb is on:
        faults.add(Code.SAME_STATE)
    if asked.verdict(faults) and agent:
        agent.donot_disturb = on
        agent.reason = asked["reason"]


def reason(asked: Asked) -> None:
    faults = set[Code]()
    agent = asked.own(faults)
    if asked.verdict(faults) and agent:
        agent.reason = asked["reason"]


def agent_state(asked: Asked) -> None:
    plain, faults = asked.plain, set[Code]()
    if asked["agent_id"]:
        agent = next((one for one in plain.agents.values() if one.agent_id == asked["agent_id"]), None)
        if agent is None:
            faults.add(Code.NOT_LOGGED_IN)
    else:
        agent = asked.own(faults)
    if not asked.verdict(faults) or agent is None or asked.reply is None:
        return
    items = [item for item in plain.items.values() if item.holding and agent.key in item.holding.holders]
    invited = [plain.items[one.ident] for one in plain.invitations.values() if one.agent == agent.key]
    known = {
        "media_state_list": agent.media,
        "media_reasons": agent.reasons,
        "donot_disturb": agent.donot_disturb,
        "state_reason": agent.reason,
        "handled": Counter(item.media for item in items if not item.held),
        "held": Counter(item.media for item in items if item.held),
        "invited": Counter(item.media for item in invited),
        "connections": len(agent.clients),
    }
    shown = {name: asked.reply.get(name, type(value)() if value is not None else None) for name, value in known.items()}
    if shown != known:
        raise Wrong(f"{shown} is not {known}")


def likely(plain: Plain) -> Iterator[Next]:
    """Agents make themselves ready again."""
    for agent in plain.agents.values():
        if agent.vanished:
            yield from ((plain.clients[name], "RequestAgentLogin") for name in AGENTS)
        for client in [plain.clients[name] for name in agent.clients]:
            if agent.donot_disturb:
                yield client, "RequestDoNotDisturbOff"
            for name in MEDIA:
                if name not in agent.media:
                    yield client, "RequestAddMedia"
                elif not agent.media[name]:
                    yield client, "RequestCancelNotReadyForMedia"


REQUESTS = {
    "RequestAgentLogin": Entry(write_login, login),
    "RequestAgentLogout": Entry(no_fields, logout),
    **same(
        (
            "RequestAddMedia",
            "RequestRemoveMedia",
            "RequestNotReadyForMedia",
            "RequestCancelNotReadyForMedia",
            "RequestChangeMediaStateReason",
        ),
        Entry(write_media, media),
    ),
    **same(("RequestDoNotDisturbOn", "RequestDoNotDisturbOff"), Entry(write_reason, disturb)),
    "RequestChangeAgentStateReason": Entry(write_reason, reason),
    "RequestAgentState": Entry(write_whose, agent_state),
}
