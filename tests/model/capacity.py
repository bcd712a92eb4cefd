"""How much agents can take, and who has the seats."""

from __future__ import annotations

from collections.abc import Iterable

from tests.model.plain import Plain
from tests.model.things import Agent, Item

Load = dict[str, list[int]]
"""Media type -> items handled, and invitations not answered; what is on hold does not count."""

SEATS = {"email": "ics_email_seat", "chat": "ics_chat_seat"}
AGENT_SEAT, OPEN_SEAT = "ics_multi_media_agent_seat", "ics_open_media_seat"


def load_of(plain: Plain, agent: Agent) -> Load:
    """What an agent has here, of the media types that it has a limit for."""
    load: Load = {}
    invited = [plain.items[one.ident] for one in plain.invitations.values() if one.agent == agent.key]
    for which, items in enumerate((plain.held_by(agent.key), invited)):
        for item in items:
            if item.media in plain.world.limits_of(agent.agent_id) and not item.held:
                load.setdefault(item.media, [0, 0])[which] += 1
    return load


def left(plain: Plain, agent: Agent, media: str) -> float:
    """How many items of a media type an agent can still take."""
    limit = plain.world.limits_of(agent.agent_id).get(media)
    if limit is None:
        return float("inf")
    elsewhere = (agent.elsewhere or {}).get(media, [0, 0])
    return limit - sum(load_of(plain, agent).get(media, [0, 0])) - sum(elsewhere)


def is_full(plain: Plain, agent: Agent, media: str) -> bool:
    return left(plain, agent, media) <= 0


def is_full_to_accept(plain: Plain, agent: Agent, item: Item) -> bool:
    """An invitation counts already; what was accepted elsewhere meanwhile may leave no room for it."""
    limit = plain.world.limits_of(agent.agent_id).get(item.media)
    if limit is None or agent.elsewhere is None or item.held:
        return False
    handled = load_of(plain, agent).get(item.media, [0, 0])[0]
    return handled + agent.elsewhere.get(item.media, [0, 0])[0] >= limit


def fitting(plain: Plain, agent: Agent, items: Iterable[Item]) -> list[Item]:
    """The items that an agent can take, one after the other, up to the first that does not fit."""
    taken: list[Item] = []
    for item in items:
        before = sum(one.media == item.media and not one.held for one in taken)
        if not item.held and left(plain, agent, item.media) - before <= 0:
            break
        taken.append(item)
    return taken


# -- seats


def seats_of(media: Iterable[str]) -> set[str]:
    """The licences that media types need."""
    return {SEATS.get(name, OPEN_SEAT) for name in media}


def used(plain: Plain, seat: str) -> int:
    return sum(seat == AGENT_SEAT or seat in agent.seats for agent in plain.agents.values())


def taken(plain: Plain, seats: Iterable[str], leaving: Iterable[Agent] = ()) -> bool:
    """Whether one of these seats is not free. :param leaving: whose seats will be"""
    gone = list(leaving)
    for seat in seats:
        freed = sum(seat == AGENT_SEAT or seat in agent.seats for agent in gone)
        if used(plain, seat) - freed >= plain.world.licences.get(seat, 1000):
            return True
    return False


def log_out_surplus(plain: Plain) -> list[Agent]:
    """There are fewer seats than before: who came last is logged out. :returns: these"""
    gone: list[Agent] = []
    for seat, limit in plain.world.licences.items():
        seated = [agent for agent in plain.agents.values() if seat == AGENT_SEAT or seat in agent.seats]
        for agent in sorted(seated, key=lambda agent: -agent.login)[: max(len(seated) - limit, 0)]:
            plain.log_out(agent)
            gone.append(agent)
    return gone


def untold(plain: Plain) -> str | None:
    """What the proxy was told of its clients' agents, where it is something else, in words."""
    for agent in plain.agents.values():
        proxied = any(plain.clients[name].here and plain.clients[name].proxied for name in agent.clients)
        told = plain.agent_loads.get(agent.key, {})
        if proxied and told != load_of(plain, agent):
            return f"the proxy was told that {agent} has {told}, not {load_of(plain, agent)}"
        if not proxied:
            plain.agent_loads.pop(agent.key, None)
    return None
