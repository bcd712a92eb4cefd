"""Requests of agents about themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from broker.errors import Code
from tests.model.asked import Asked
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
    plain, faults = asked.plain, set[Code]()
    agent_id, place_id = asked["agent_id"], asked["place_id"]
    at_place = next((one for one in plain.agents.values() if place_id and one.place_id == place_id), None)
    known = next((one for one in plain.agents.values() if one.agent_id == agent_id), None)
    if at_place is not None and at_place is not known:
        faults.add(Code.PLACE_OCCUPIED)
    if known is not None and known.place_id != place_id:
        faults.add(Code.AGENT_ELSEWHERE)
    if not asked.verdict(faults):
        return
    if known is None:
        known = Agent(agent_id, place_id, dict(asked["media_list"]), [])
        plain.agents[known.key] = known
    if asked.client.name not in known.clients:
        known.clients.append(asked.client.name)


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
        if kind == "RequestAddMedia" and name in agent.media:
            faults.add(Code.MEDIA_PRESENT)
        elif kind != "RequestAddMedia" and name not in agent.media:
            faults.add(Code.MEDIA_ABSENT)
        elif agent.media.get(name) == {"RequestNotReadyForMedia": 0, "RequestCancelNotReadyForMedia": 1}.get(kind, -1):
            faults.add(Code.SAME_STATE)
    if asked.verdict(faults) and agent:
        agent.reasons.pop(name, None)
        if kind == "RequestRemoveMedia":
            del agent.media[name]
            return
        if kind != "RequestChangeMediaStateReason":
            agent.media[name] = 0 if kind == "RequestNotReadyForMedia" else 1
        if asked["reason"] is not None:
            agent.reasons[name] = asked["reason"]


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
