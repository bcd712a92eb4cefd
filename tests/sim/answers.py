"""Checkers of what clients were told: done once, granted once, true when it was said, and answered at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from broker.errors import Code
from tests.sim.clients import EXPIRED, OK, REFUSED, Operation
from tests.sim.model import PRINCIPAL, Document, Execution, NodeModel, Span, plain
from tests.sim.orders import CONDITIONS, OF_VIEWS, ORDERS, waits
from tests.sim.plan import VIEWS

if TYPE_CHECKING:
    from tests.sim.world import World

Faults = Iterator[str]

ONCE = {"RequestSubmit", *PRINCIPAL.values()}
SETTLED = (OK, EXPIRED)
AWARE_S = 0.1
"""So long a proxy may take to hear of what has come in at a node."""


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


def _is_held(model: NodeModel, ident: str, token: int) -> bool:
    versions = model.holdings.versions.get(ident, ())
    return any(version.state is not None and version.state["token"] == token for version in versions)


def answers_are_true(world: World) -> Faults:
    """What was read was so at some moment between question and answer; 43 means absent; a bad token is a bad token."""
    for operation in world.operations():
        if operation.outcome not in (OK, REFUSED) or not operation.attempts:
            continue
        began, ended = operation.attempts[-1][0], operation.ended_at
        if operation.code == Code.UNKNOWN_INTERACTION and "interaction_id" in operation.fields:
            yield from _absence_faults(world, operation, began, ended)
        elif operation.code == Code.BAD_TICKET and "token" in operation.fields:
            yield from _ticket_faults(world, operation, began, ended)
        elif operation.code == 0 and operation.message == "RequestGetInteractionProperties":
            yield from _reading_faults(world, operation, began, ended)
        elif operation.code == 0 and operation.message == "RequestFindInteractions":
            yield from _finding_faults(world, operation, began, ended)


def _spans(world: World, ident: str, begin: float, end: float) -> list[list[Span]]:
    return [list(model.interactions.spans(ident, begin, end)) for model in world.models.values()]


def _absence_faults(world: World, operation: Operation, began: float, ended: float) -> Faults:
    for model in world.asked_of(operation).values():
        spans = model.interactions.spans(operation.fields["interaction_id"], began, ended)
        if all(span.state is not None for span in spans):
            yield f"told to be absent, and was there all the time: {operation}"


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


def _finding_faults(world: World, operation: Operation, began: float, ended: float) -> Faults:
    """Everything that was there all the time is found, once, as it was, in the asked order; of a list that was cut at
    its limit that holds for what comes before its last one."""
    holds, key = CONDITIONS[operation.fields["condition"]], ORDERS[operation.fields["order"]]
    told: list[Document] = operation.reply["interactions"]
    found = {one["interaction_id"]: one for one in told}
    if len(found) != len(told):
        yield f"found twice: {operation} {sorted(one['interaction_id'] for one in told)}"
    if list(map(key, told)) != sorted(map(key, told)):
        yield f"found in another order: {operation} {list(map(key, told))}"
    limit = operation.fields["count"]
    if len(told) > limit:
        yield f"found more than was asked for: {operation} {len(told)}"
    missing = operation.reply.get("missing") or []
    if operation.reply.get("complete", True) == bool(missing):
        yield f"complete or not: {operation} {operation.reply.get('complete')} {missing}"
    for node, model in world.asked_of(operation).items():
        for ident in model.interactions.versions if node not in missing else ():
            states = [span.state for span in model.interactions.spans(ident, began, ended)]
            always = [state for state in states if state is not None and holds(state)]
            due = len(told) < limit or all(key(state) < key(told[-1]) for state in always)
            if len(always) == len(states) and due and ident not in found:
                yield f"not found, and was there all the time: {ident} by {operation}"
    for ident, state in found.items():
        every = [span.state for spans in _spans(world, ident, began, ended) for span in spans if span.state is not None]
        if not any(holds(one) and plain(one) == plain(state) for one in every):
            yield f"found, and never was like that: {state} by {operation}"


def pulls_were_in_order(world: World) -> Faults:
    """Nothing is granted while something else that comes before it waits in the view all the time, at the same node;
    and when all are well and ask one proxy that keeps the order of all nodes, at any node."""
    plan = world.plan
    strict = plan.proxies == 1 and not plan.faults and plan.proxy_settings["pull_order"] == "global"
    for operation in world.operations():
        queue = VIEWS.get(operation.fields.get("view_id", ""))
        if operation.message == "RequestPull" and operation.outcome == OK and operation.reply["interactions"] and queue:
            nodes = list(world.asked_of(operation).values()) if strict and not plan.direct else None
            yield from _order_faults(world, operation, queue, nodes)


def _order_faults(world: World, operation: Operation, queue: str, nodes: list[NodeModel] | None) -> Faults:
    """:param nodes: all that count; None: of each grant the one that made it"""
    key = ORDERS[OF_VIEWS]
    granted = operation.reply["interactions"]
    if nodes is not None and list(map(key, granted)) != sorted(map(key, granted)):
        yield f"granted in another order: {operation} {list(map(key, granted))}"
    for one in granted:
        for model in nodes or world.models.values():
            if nodes is None and one["interaction_id"] not in model.interactions.versions:
                continue
            for ident in model.interactions.versions:
                spans = list(model.interactions.spans(ident, operation.invoked_at - AWARE_S, operation.ended_at))
                if all(span.state is not None and waits(span.state, queue) for span in spans) and all(
                    span.state is not None and key(span.state) < key(one) for span in spans
                ):
                    yield f"{one['interaction_id']} was granted, and {ident} waited before it: {operation}"


def requests_were_answered_once(world: World) -> Faults:
    """Every request that a proxy has read was answered once; or, if its client has gone, not at all."""
    for name, door in world.doors.items():
        for key, (asked, answered) in door.tally.items():
            if answered > asked:
                yield f"{name} answered {answered} times what was asked {asked} times: {key}"
            elif answered < asked and door.reachable(key[0]):
                yield f"{name} has not answered {key}"
