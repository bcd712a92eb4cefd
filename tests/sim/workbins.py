"""Checkers of pulls from workbins: they are what a plain single server would have given.

A node may have looked at any moment between question and taking, so what comes to it meanwhile may go before; nothing
else may. That holds in any weather: a node that had no part in it is named in ``missing``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.sim.clients import OK, Operation
from tests.sim.law import WORKBIN_ORDER, Holds, Place, is_of_workbin, pulled_of_workbin
from tests.sim.model import Document, NodeModel, Taken

if TYPE_CHECKING:
    from tests.sim.world import World

Faults = Iterator[str]


def workbins_are_pulled_in_order(world: World) -> Faults:
    """Pulls from workbins, with their order and limit over all nodes, ``complete`` and ``missing``."""
    for operation in world.operations():
        if operation.message == "RequestPull" and is_of_workbin(operation.fields["view_id"]):
            holds = pulled_of_workbin(operation.name.rpartition("-")[0], operation.fields)
            yield from _shares_faults(world, operation, holds)
            for one in (operation, operation.again):
                if one is not None and one.outcome == OK:
                    yield from _reply_faults(world, one)
            if operation.outcome == OK and len(operation.attempts) == 1:
                yield from _whole_faults(world, operation, holds)


# -- each node's share


def _shares_faults(world: World, operation: Operation, holds: Holds) -> Faults:
    for node, model in world.models.items():
        for taken in model.taken:
            if taken.operation == operation.name and not _is_first(model, operation, taken, holds, WORKBIN_ORDER):
                yield f"{node} gave {taken.idents}, and these never came first: {operation}"


def _is_first(model: NodeModel, operation: Operation, taken: Taken, holds: Holds, place: Place) -> bool:
    """Whether it came first at some moment: whatever came before it then was elsewhere when it was taken."""
    last = model.before(taken.changes[0])
    for there in model.moments(operation.invoked_at, model.changes[taken.changes[0]].at):
        listed = sorted((one for one in there.values() if holds(one)), key=place)
        idents = [one["interaction_id"] for one in listed]
        if taken.idents[-1] in idents:
            first = listed[: idents.index(taken.idents[-1]) + 1]
            stayed = [one["interaction_id"] for one in first if _stands(last, one, holds, place)]
            if stayed == taken.idents:
                return True
    return False


def _stands(there: dict[str, Document], one: Document, holds: Holds, place: Place) -> bool:
    """Whether it is there, and where it was."""
    now = there.get(one["interaction_id"])
    return now is not None and holds(now) and place(now) == place(one)


# -- the whole


def _reply_faults(world: World, operation: Operation) -> Faults:
    told = operation.reply["interactions"]
    places = [WORKBIN_ORDER(one) for one in told]
    if places != sorted(set(places)):
        yield f"not in the workbin's order, or twice: {operation} {told}"
    missing = operation.reply.get("missing") or []
    if operation.reply.get("complete", True) is bool(missing):
        yield f"complete and missing contradict each other: {operation} {operation.reply}"
    seated = world.plan.seats is None  # else a node may have no seat for the agent, and refuses to show it anything
    if missing and seated and world.is_calm(operation.attempts[-1][0]):
        yield f"{missing} are missing while all is well: {operation}"


def _whole_faults(world: World, operation: Operation, holds: Holds) -> Faults:
    """What a node gave was told; and what had been there all the time, and was not given, comes behind all that was, of
    a pull that got as many as it asked for."""
    told: list[dict[str, Any]] = operation.reply["interactions"]
    given = {one["interaction_id"] for one in told}
    full = len(told) == operation.fields.get("count", 1) or world.plan.capacity is not None
    end = WORKBIN_ORDER(told[-1]) if told else ()
    for node, model in world.asked_of(operation).items():
        if node in (operation.reply.get("missing") or ()):
            continue
        taken = [ident for one in model.taken if one.operation == operation.name for ident in one.idents]
        if not given.issuperset(taken):
            yield f"{node} gave {taken}, and not all of it was told: {operation}"
        for ident in model.interactions.versions.keys() - given:
            place = _stood(model, operation, ident, holds)
            if place is not None and (not full or place < end):
                yield f"{ident} at {node} came before the last of {sorted(given)} and was not taken: {operation}"


def _stood(model: NodeModel, operation: Operation, ident: str, holds: Holds) -> tuple[Any, ...] | None:
    """The one place where it could be taken from all the time."""
    states = [span.state for span in model.interactions.spans(ident, operation.attempts[-1][0], operation.ended_at)]
    places = {WORKBIN_ORDER(state) if state is not None and holds(state) else None for state in states}
    return places.pop() if len(places) == 1 else None
