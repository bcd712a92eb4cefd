"""Checkers of what clients were told: done once, granted once, true when it was said, and answered at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from broker.errors import Code
from tests.sim.clients import EXPIRED, OK, REFUSED, Operation
from tests.sim.model import PRINCIPAL, Execution, NodeModel, Span, plain

if TYPE_CHECKING:
    from tests.sim.world import World

Faults = Iterator[str]

ONCE = {"RequestSubmit", *(request for _, request in PRINCIPAL)}
SETTLED = (OK, EXPIRED)


def operations_were_done_once(world: World) -> Faults:
    """What was acked was executed, once, between question and answer; what was refused was not executed."""
    for operation in world.operations():
        if operation.message not in ONCE:
            continue
        done = [one for model in world.models.values() for one in model.executions.get(operation.name, ())]
        if operation.message == "RequestPull":
            yield from _pull_faults(operation, done)
            continue
        if len(done) > 1:
            yield f"done {len(done)} times: {operation} {[(one.node, one.at) for one in done]}"
        yield from _outcome_faults(operation, done)


def _outcome_faults(operation: Operation, done: list[Execution]) -> Faults:
    if operation.outcome in SETTLED and not done:
        yield f"acked and lost: {operation}"
    if operation.outcome == REFUSED and done:
        yield f"refused and done: {operation} {done}"
    for one in done:
        if one.at < operation.invoked_at or (operation.outcome == OK and one.at > operation.ended_at):
            yield f"acked at another time than done: {operation} {one}"


def _pull_faults(operation: Operation, done: list[Execution]) -> Faults:
    """A pull from a view that is repeated may meet another node than the first time, which knows nothing of its
    dedup_id; what the first has granted then stays with the session until it ends."""
    taken = {one.document["interaction"]["interaction_id"]: one for one in done}
    parameters = operation.fields.get("pull_parameters")
    tries = 1 if parameters else len(operation.attempts)
    most = len(parameters["interaction_ids"]) if parameters else operation.fields.get("count", 1)
    if len(done) > most * tries:
        yield f"{len(done)} interactions were taken for {operation}: {sorted(taken)}"
    if operation.outcome == REFUSED and done and tries == 1:
        yield f"refused and done: {operation} {sorted(taken)}"
    if operation.outcome != OK:
        return
    for ident in sorted(one["interaction_id"] for one in operation.reply["interactions"]):
        if ident not in taken:
            yield f"{ident} was granted and not taken: {operation}"
        elif taken[ident].at > operation.ended_at:
            yield f"{ident} was granted before it was taken: {operation}"


def repeated_pulls_got_the_same(world: World) -> Faults:
    """What is pulled again under its dedup_id, wherever, gets what it got first, if those who gave it can be asked.

    What several nodes gave may be put together in another order.
    """
    for operation in world.operations():
        again = operation.again
        if again is None or again.outcome != OK:
            continue
        nodes = {one.node for model in world.models.values() for one in model.executions.get(operation.name, ())}
        if _granted(again) != _granted(operation) and nodes.isdisjoint(again.gone):
            yield f"asked again, another reply: {operation} {operation.reply} {again} {again.reply}"


def _granted(operation: Operation) -> list[tuple[str, int]]:
    return sorted((one["interaction_id"], one["token"]) for one in operation.reply["interactions"])


def grants_are_unique(world: World) -> Faults:
    """A token is granted once, and to whom the journal says."""
    seen: dict[tuple[str, int], str] = {}
    for operation in world.operations():
        if operation.message != "RequestPull" or operation.outcome != OK:
            continue
        for granted in operation.reply["interactions"]:
            key = granted["interaction_id"], granted["token"]
            if key in seen:
                yield f"{key} was granted to {seen[key]} and to {operation.name}"
            seen[key] = operation.name
            if not any(_is_held(model, *key) for model in world.models.values()):
                yield f"{key} was granted to {operation.name}, and no journal says so"


def routed_are_theirs(world: World) -> Faults:
    """What an engine was sent it had, under that token, and no other engine had it under the same."""
    owners: dict[tuple[str, int], str] = {}
    for engine in world.clients:
        for note in getattr(engine, "sent", ()):
            key = note["interaction"]["interaction_id"], note["token"]
            if owners.setdefault(key, engine.name) != engine.name:
                yield f"{key} was sent to {owners[key]} and to {engine.name}"
            if not any(_is_held(model, *key) for model in world.models.values()):
                yield f"{key} was sent to {engine.name}, and no journal says so"


def _is_held(model: NodeModel, ident: str, token: int) -> bool:
    versions = model.holdings.versions.get(ident, ())
    return any(version.state is not None and version.state["token"] == token for version in versions)


def answers_are_true(world: World) -> Faults:
    """What was read was so at some moment between question and answer; 43 means absent; a bad token is a bad token."""
    for operation in world.operations():
        if operation.outcome not in (OK, REFUSED) or not operation.attempts:
            continue
        began, ended = operation.attempts[-1][0], operation.ended_at
        if operation.code in LIMITS:
            yield from _limit_faults(world, operation, began, ended)
        elif operation.code == Code.DUPLICATE_INTERACTION:
            yield from _double_faults(world, operation, began, ended)
        elif operation.code == Code.UNKNOWN_INTERACTION and "interaction_id" in operation.fields:
            yield from _absence_faults(world, operation, began, ended)
        elif operation.code == Code.BAD_TICKET and "token" in operation.fields:
            yield from _ticket_faults(world, operation, began, ended)
        elif operation.code == 0 and operation.message == "RequestGetInteractionProperties":
            yield from _reading_faults(world, operation, began, ended)


def _spans(world: World, ident: str, begin: float, end: float) -> list[list[Span]]:
    return [list(model.interactions.spans(ident, begin, end)) for model in world.models.values()]


def _absence_faults(world: World, operation: Operation, began: float, ended: float) -> Faults:
    for model in world.asked_of(operation).values():
        spans = model.interactions.spans(operation.fields["interaction_id"], began, ended)
        if all(span.state is not None for span in spans):
            yield f"told to be absent, and was there all the time: {operation}"


LIMITS = {Code.LICENCE_LIMIT, Code.CAPACITY_FULL}


def _limit_faults(world: World, operation: Operation, began: float, ended: float) -> Faults:
    """Where a limit is said to be reached, there is one, and somebody had come near to it meanwhile."""
    limit = world.plan.limit if operation.code == Code.LICENCE_LIMIT else world.plan.capacity
    if limit is None:
        yield f"no such limit: {operation}"
    elif operation.code == Code.LICENCE_LIMIT and world.is_calm(began):
        most = max(_most_agents(model, began, ended) for model in world.models.values())
        if most < limit:
            yield f"{most} seats of {limit} were taken: {operation}"


def _most_agents(model: NodeModel, began: float, ended: float) -> int:
    """Agents that were there at some moment between two times."""
    there = (model.agents.spans(key, began, ended) for key in model.agents.versions)
    return sum(any(span.state is not None for span in spans) for spans in there)


def _double_faults(world: World, operation: Operation, began: float, ended: float) -> Faults:
    """A duplicate is one: an interaction with that id was there at some moment."""
    spans = (
        span for found in _spans(world, operation.fields.get("interaction_id", ""), began, ended) for span in found
    )
    if all(span.state is None for span in spans):
        yield f"no duplicate: {operation}"


def _ticket_faults(world: World, operation: Operation, began: float, ended: float) -> Faults:
    token = operation.fields["token"]
    for model in world.models.values():
        spans = list(model.holdings.spans(operation.fields["interaction_id"], began, ended))
        if all(span.state is not None and span.state["token"] == token for span in spans):
            yield f"the token was good all the time: {operation}"


def _reading_faults(world: World, operation: Operation, began: float, ended: float) -> Faults:
    told = plain(operation.reply["interaction"])
    for spans in _spans(world, told["interaction_id"], began, ended):
        if any(span.state is not None and plain(span.state) == told for span in spans):
            return
    yield f"never was like that: {operation} {told}"


def requests_were_answered_once(world: World) -> Faults:
    """Every request that a proxy has read was answered once; or, if its client has gone, not at all."""
    for name, door in world.doors.items():
        for key, (asked, answered) in door.tally.items():
            if answered > asked:
                yield f"{name} answered {answered} times what was asked {asked} times: {key}"
            elif answered < asked and door.reachable(key[0]):
                yield f"{name} has not answered {key}"
