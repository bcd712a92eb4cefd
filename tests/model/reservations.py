"""Reservations: of several routing engines that want one agent, one gets it."""

from __future__ import annotations

from broker.clock import to_seconds, to_us
from broker.errors import Code
from tests.model import capacity
from tests.model.plain import Plain
from tests.model.things import Agent, Document, Reservation
from tests.model.world import RESERVATION_S


def unfit(plain: Plain, agent: Agent, request: Document) -> set[Code]:
    """What speaks against delivering anything to an agent."""
    media = request.get("media_type")
    ready = any(agent.media.values()) if media is None else bool(agent.media.get(media))
    faults = set() if ready and not agent.donot_disturb else {Code.BAD_TARGET}
    if media is not None and capacity.is_full(plain, agent, media):
        faults.add(Code.CAPACITY_FULL)
    return faults


def is_taken(plain: Plain, agent: Agent, session: str) -> bool:
    """Whether another engine has the agent to itself."""
    standing = plain.reserved.get(agent.key)
    return standing is not None and standing.session != session


def grant(plain: Plain, agent: Agent, session: str, request: Document) -> Document:
    """An engine has the agent. :returns: the reply"""
    until = to_seconds(to_us(plain.now + min(request.get("timeout") or RESERVATION_S, RESERVATION_S)))
    plain.reserved[agent.key] = Reservation(session, until)
    return {"message": "EventAgentReserved", "agent_id": agent.agent_id, "reserved_until": until}


def decide(plain: Plain, key: str) -> None:
    """The first of those that wait has the agent, if it is free and they could still use it."""
    agent, wishes = plain.agents[key], plain.wishes.setdefault(key, [])
    plain.decisions.pop(key, None)
    for wish in sorted(wishes, key=lambda wish: -wish.request.get("priority", 0)):
        if key in plain.reserved:
            break
        faults = unfit(plain, agent, wish.request)
        if faults:
            plain.unwish(key, wish, *faults)
        else:
            reply = grant(plain, agent, wish.session, wish.request)
            wishes.remove(wish)
            plain.answer(wish.ref, reply)
            plain.keep(wish.request, reply)
    if not plain.world.waits_for_agents:
        for wish in list(wishes):
            plain.unwish(key, wish, Code.RESERVED)


def release(plain: Plain, key: str) -> None:
    """An agent is free again."""
    del plain.reserved[key]
    decide(plain, key)


def give_back(plain: Plain, session: str, key: str) -> None:
    """An engine wants an agent no more."""
    for wish in [wish for wish in plain.wishes.get(key, []) if wish.session == session]:
        plain.unwish(key, wish, Code.RESERVED)
    if key in plain.reserved and plain.reserved[key].session == session:
        release(plain, key)
