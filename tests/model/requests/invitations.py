"""What agents answer to invitations."""

from __future__ import annotations

from collections.abc import Iterator

from broker.errors import Code
from tests.model import capacity
from tests.model.asked import Asked, Faults
from tests.model.author import Author
from tests.model.plain import Plain
from tests.model.requests.entries import Entry, Next
from tests.model.things import Document, Invitation, Item


def write_answer(author: Author) -> Document:
    agent = author.plain.agent_of(author.client)
    there = list(author.plain.invitations.values())
    own = [one for one in there if agent and one.agent == agent.key] or there
    if own and not author.seldom():
        invitation = author.one(*own)
        return {"interaction_id": invitation.ident, "ticket_id": invitation.ticket}
    item = author.plain.items.get(author.ident())
    token = item.holding.token if item and item.holding and item.holding.token else 1
    return {"interaction_id": item.ident if item else "nowhere", "ticket_id": token}


def _answered(asked: Asked, faults: Faults) -> tuple[Item | None, Invitation | None]:
    item, agent = asked.item(faults), asked.own(faults)
    invitation = asked.plain.invitations.get(asked["ticket_id"])
    if item is None or agent is None:
        return item, None
    if invitation is None or (invitation.agent, invitation.ident) != (agent.key, item.ident):
        held = item.holding is not None and bool(item.holding.holders)
        accepted = held and item.holding is not None and item.holding.token == asked["ticket_id"]
        faults.add(Code.ALREADY_ACCEPTED if accepted else Code.BAD_TICKET)
    elif asked["message"] == "RequestAccept" and capacity.is_full_to_accept(asked.plain, agent, item):
        faults.add(Code.CAPACITY_FULL)
    return item, invitation


def accept(asked: Asked) -> None:
    faults = set[Code]()
    item, invitation = _answered(asked, faults)
    if not asked.verdict(faults) or item is None or invitation is None:
        return
    holding, agent = item.holding, invitation.agent
    assert holding is not None
    del asked.plain.invitations[invitation.ticket]
    if invitation.purpose in ("conference", "intrude"):
        holding.holders.append(agent)
    else:
        holding.holders = [one for one in holding.holders if one != invitation.asker] + [agent]
        holding.token = invitation.ticket
        holding.strategy = holding.view = None
        holding.handling_s = item.handling_s
        asked.plain.handled(item, agent)
    if invitation.purpose != "deliver":
        reply = {"message": "EventAck", "interaction_id": item.ident}
        asked.plain.answer(invitation.ref, reply)
        asked.plain.keep(invitation.request, reply)


def reject(asked: Asked) -> None:
    faults = set[Code]()
    _, invitation = _answered(asked, faults)
    if asked.verdict(faults) and invitation:
        asked.plain.end(invitation, Code.REJECTED)


def likely(plain: Plain) -> Iterator[Next]:
    """Rather yes than no."""
    for invitation in plain.invitations.values():
        for name in plain.agents[invitation.agent].clients:
            yield from [(plain.clients[name], "RequestAccept")] * 4 + [(plain.clients[name], "RequestReject")]


REQUESTS = {"RequestAccept": Entry(write_answer, accept), "RequestReject": Entry(write_answer, reject)}
