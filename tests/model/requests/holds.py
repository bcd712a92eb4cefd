"""What is on hold, and what is locked."""

from __future__ import annotations

from collections.abc import Iterator

from broker.errors import Code
from tests.model import capacity
from tests.model.asked import Asked
from tests.model.author import Author
from tests.model.plain import Plain
from tests.model.requests.entries import Entry, Next
from tests.model.things import QUEUED, Agent, Document, Item


def hold(asked: Asked) -> None:
    faults, held = set[Code](), asked["message"] == "RequestHold"
    item = asked.item(faults)
    if item is not None:
        if not (asked.client.kind == "RoutingEngine" and item.state == QUEUED):
            asked.allowed(item, faults)
        if item.held is held:
            faults.add(Code.SAME_STATE)
        if not held and any(
            capacity.is_full(asked.plain, agent, item.media) for agent in _concerned(asked.plain, item)
        ):
            faults.add(Code.CAPACITY_FULL)
    if asked.verdict(faults) and item:
        item.held_at = asked.plain.now if held else None


def _concerned(plain: Plain, item: Item) -> list[Agent]:
    """The agents that handle it or are invited to it."""
    keys = [*(item.holding.holders if item.holding else []), *(one.agent for one in plain.invited(item.ident))]
    return [plain.agents[key] for key in keys if key in plain.agents]


def write_resume(author: Author) -> Document:
    held = [item.ident for item in author.plain.items.values() if item.held]
    return {"interaction_id": author.one(*held)} if held and author.some() else author.item()


def lock(asked: Asked) -> None:
    faults = set[Code]()
    item = asked.item(faults)
    if item is not None and item.lock is not None:
        faults.add(Code.LOCKED)
    if item is not None and item.state != QUEUED:
        faults.add(Code.WRONG_STATE)
    if asked.verdict(faults) and item:
        item.lock = (asked.client.session, None)


def unlock(asked: Asked) -> None:
    faults = set[Code]()
    item = asked.item(faults)
    if item is not None and item.lock is None:
        faults.add(Code.SAME_STATE)
    elif item is not None and item.lock is not None and item.lock[0] != asked.client.session:
        faults.add(Code.ACCESS_DENIED)
    if asked.verdict(faults) and item:
        item.lock = None


def write_unlock(author: Author) -> Document:
    locked = [item.ident for item in author.plain.items.values() if item.lock]
    return {"interaction_id": author.one(*locked)} if locked and not author.seldom() else author.item()


def likely(plain: Plain) -> Iterator[Next]:
    """What is on hold is resumed, by who has it or by an engine; what is locked is unlocked, or worked on."""
    for item in plain.items.values():
        for client in plain.clients.values() if item.held else ():
            agent = plain.agent_of(client)
            holders = item.holding.holders if item.holding else []
            if (agent.key if agent else client.session) in holders or client.kind in ("RoutingEngine", "MediaServer"):
                yield client, "RequestResume"
        owner = plain.of_session(item.lock[0]) if item.lock else None
        if owner is not None:
            yield owner, "RequestUnlockInteraction"
            yield owner, "RequestPlaceInQueue"


REQUESTS = {
    "RequestHold": Entry(Author.item, hold),
    "RequestResume": Entry(write_resume, hold),
    "RequestLockInteraction": Entry(Author.item, lock),
    "RequestUnlockInteraction": Entry(write_unlock, unlock),
}
