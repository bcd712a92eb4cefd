"""Checkers of transfers, conferences and intrusions: when they are answered, and who is told of whom.

The ack to who asks waits for the invited agent: an ack means that it has accepted, 50 that it has rejected, 51 that it
had its time, and another refusal that the invitation was taken back for a reason of that kind, or never made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from broker.errors import Code
from tests.sim.agents import Agent
from tests.sim.clients import OK, REFUSED, Operation
from tests.sim.holders import ACCEPTED, REJECTED, Holders, Invitation, Passage

if TYPE_CHECKING:
    from tests.sim.world import World

Faults = Iterator[str]

OFFERS = {"RequestTransfer": "Transfer", "RequestConference": "Conference", "RequestIntrude": "Intrude"}
"""What is invited to by which request."""

ENDS: dict[Code, frozenset[str]] = {
    Code.REJECTED: frozenset({REJECTED}),
    Code.EXPIRED: frozenset({"Expired"}),
    Code.WRONG_STATE: frozenset({"Stopped", "PlacedInQueue", "PlacedInWorkbin", "Left", "Moved"}),
}
"""Refusals that follow on an invitation, and how that ended. All others: the agent has gone."""
AT_ONCE = frozenset(
    {Code.BAD_TARGET, Code.CAPACITY_FULL, Code.WRONG_STATE, Code.UNKNOWN_INTERACTION, Code.BAD_TICKET}
    | {Code.ACCESS_DENIED, Code.NOT_LOGGED_IN}
)
"""Refusals for which nobody has to be invited."""
PROMPT_S = 0.5
"""In calm weather something is known to everybody after this long."""
UNSEEN = 2
"""The visibility mode of a party that the others are not told of."""


def offers_are_answered_when_they_are_decided(world: World) -> Faults:
    """The answer to a transfer, conference or intrusion is what became of the invitation, and comes then."""
    by_operation: dict[str, list[Invitation]] = {}
    for model in world.models.values():
        for invitation in model.holders.invitations:
            by_operation.setdefault(invitation.asked or "", []).append(invitation)
    for operation in world.operations():
        if operation.message in OFFERS and operation.attempts:
            yield from _offer_faults(world, operation, by_operation.get(operation.name, []))


def _offer_faults(world: World, operation: Operation, invitations: list[Invitation]) -> Faults:
    accepted = [one for one in invitations if one.end == ACCEPTED]
    if len(accepted) > 1:
        yield f"accepted {len(accepted)} times: {operation} {invitations}"
    if any(one.operation != OFFERS[operation.message] for one in invitations):
        yield f"invited to something else: {operation} {invitations}"
    if operation.outcome == OK and not any(one.ended_at <= operation.ended_at for one in accepted):
        yield f"acked, and nobody has accepted by then: {operation} {invitations}"
    if operation.outcome == REFUSED:
        yield from _refusal_faults(operation, invitations)
    last = invitations[-1] if invitations else None
    if last is not None and operation.outcome in (OK, REFUSED) and len(operation.attempts) == 1:
        late = operation.ended_at - last.ended_at
        if world.is_calm(operation.invoked_at) and late > PROMPT_S:
            yield f"answered {late:.3f} s after it was decided: {operation} {last}"


def _refusal_faults(operation: Operation, invitations: list[Invitation]) -> Faults:
    code, began = Code(operation.code), operation.attempts[-1][0]
    if any(one.end == ACCEPTED for one in invitations):
        yield f"refused and accepted: {operation} {invitations}"
    ends = [one.end for one in invitations if began <= one.ended_at <= operation.ended_at]
    if not ends and code not in AT_ONCE:
        yield f"refused without an invitation that has ended: {operation} {invitations}"
    for end in ends:
        fitting = ENDS.get(code)
        if (end not in fitting) if fitting is not None else any(end in others for others in ENDS.values()):
            yield f"{end}, and told to be {code.name}: {operation} {invitations}"


def invitations_stand_as_long_as_they_may(world: World) -> Faults:
    """None stands for ever; none expires before its time, nor, while all is well, much later."""
    timeouts = {one.name: one.fields.get("timeout") for one in world.operations()}
    for model in world.models.values():
        for invitation in model.holders.invitations:
            allowed_s = timeouts.get(invitation.asked or "") or world.plan.node_settings.get("delivering_timeout", 30.0)
            stood_s = invitation.ended_at - invitation.at
            if not invitation.end and world.heap.now > invitation.at + allowed_s + PROMPT_S:
                yield f"stands still: {invitation}"
            elif invitation.end == "Expired" and world.steady and stood_s < allowed_s - PROMPT_S:
                yield f"expired after {stood_s:.3f} of {allowed_s} s: {invitation}"
            elif invitation.end and world.is_calm(invitation.at) and stood_s > allowed_s + PROMPT_S:
                yield f"stood for {stood_s:.3f} of {allowed_s} s: {invitation}"


# -- what the others are told


def parties_are_told_of_each_other(world: World) -> Faults:
    """Whoever has an interaction is told of those that come and go, but not of one that joins unseen; while all is well
    everybody is told."""
    agents = {client.name: client for client in world.clients if isinstance(client, Agent)}
    passages = [one for model in world.models.values() for one in _passages(model.holders)]
    for name, agent in agents.items():
        known = [one for one in passages if name in one.others]
        for at, note in agent.heard:
            if note["message"] in NOTES and not any(_is_of(note, one) and one.at <= at for one in known):
                yield f"{name} is told of what it should not see, or was not: {note} at {at:.4f} s"
        if len(agent.met) == 1 and agent.sessions == 1 and agent.running:
            for one in known:
                if world.is_calm(one.at) and not any(_is_of(note, one) for _, note in agent.heard):
                    yield f"{name} has not been told: {one}"


NOTES = {"EventPartyAdded": True, "EventPartyRemoved": False}
"""What parties are told, and whether it is of one that comes."""


def _passages(holders: Holders) -> Iterator[Passage]:
    return (one for one in holders.passages if one.party.get("visibility_mode", 0) != UNSEEN)


def _is_of(note: dict[str, Any], passage: Passage) -> bool:
    return (NOTES.get(note["message"]), note.get("interaction_id"), note.get("party")) == (
        passage.came,
        passage.ident,
        passage.party,
    )
