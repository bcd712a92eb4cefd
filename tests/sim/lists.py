"""Checkers of lists: what is found, what is in a workbin, what a view gives; their order, limits and completeness.
(What a workbin gives: :mod:`tests.sim.workbins`.)

The answer of a cluster is the answer of a plain single server (:mod:`tests.sim.law`) with one freedom: each node may
have looked at any moment between question and answer. So of each node's interactions the answer has the first ones, as
they were at one moment; they are merged in order; what is cut off comes behind all that is told; and ``more`` is said
if and only if something was cut off. A node is left out only where it is named in ``missing``, and it is never named
while all is well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.sim.clients import OK, Operation
from tests.sim.law import CONDITIONS, ORDERS, Holds, Place, in_view, in_workbin, is_of_workbin, order_of
from tests.sim.model import Document, NodeModel, plain

if TYPE_CHECKING:
    from tests.sim.world import World

Faults = Iterator[str]

STALE_S = 0.25
"""In calm weather every proxy knows of a head after this long."""


class Asked(NamedTuple):
    """What a request for a list means. :param count: the most that it wants"""

    holds: Holds
    place: Place
    count: int


def lists_are_those_of_a_plain_server(world: World) -> Faults:
    """Finds and workbins' contents, with their order, limit, ``more``, ``complete`` and ``missing``."""
    for operation in world.operations():
        asked = _asked(operation)
        if asked is not None and operation.outcome == OK:
            yield from _list_faults(world, operation, asked)


def _asked(operation: Operation) -> Asked | None:
    fields = operation.fields
    if operation.message == "RequestFindInteractions":
        return Asked(CONDITIONS[fields["condition"]], ORDERS[fields["order"]], fields["count"])
    if operation.message == "RequestGetWorkbinContent":
        return Asked(in_workbin(fields["workbin"]["agent_id"]), ORDERS[fields["order"]], fields["count"])
    return None


def _list_faults(world: World, operation: Operation, asked: Asked) -> Faults:
    told = [plain(one) for one in operation.reply["interactions"]]
    missing = operation.reply.get("missing") or []
    began = operation.attempts[-1][0]
    if missing and world.is_calm(began):
        yield f"{missing} are missing while all is well: {operation}"
    if operation.reply.get("complete", True) is bool(missing):
        yield f"complete and missing contradict each other: {operation} {operation.reply}"
    places = [asked.place(one) for one in told]
    if places != sorted(places):
        yield f"not in the asked order: {operation} {told}"
    if len(told) > asked.count:
        yield f"{len(told)} of {asked.count}: {operation}"
    yield from _node_faults(world, operation, asked, told, set(missing))


def _node_faults(world: World, operation: Operation, asked: Asked, told: list[Document], missing: set[str]) -> Faults:
    left = list(told)
    might, must = False, False
    for node, model in world.asked_of(operation).items():
        if node in missing:
            continue
        own = [one for one in told if one["interaction_id"] in model.interactions.versions]
        rests = _rests(model, operation, asked, own, told)
        if not rests:
            yield f"{node} never had these first: {[one['interaction_id'] for one in own]} in {operation} {told}"
        might, must = might or True in rests, must or rests == {True}
        left = [one for one in left if one not in own]
    if left:
        yield f"found, and no node that was asked has it: {left} by {operation}"
    more = bool(operation.reply.get("more"))
    if (more and not might) or (not more and must):
        yield f"more is {more}, and that cannot be: {operation} {operation.reply}"


def _rests(
    model: NodeModel, operation: Operation, asked: Asked, own: list[Document], told: list[Document]
) -> set[bool]:
    """Whether the node can have had more than it is quoted with: every possibility."""
    rests: set[bool] = set()
    full = len(told) == asked.count
    for there in model.moments(operation.attempts[-1][0], operation.ended_at):
        listed = sorted((one for one in there.values() if asked.holds(one)), key=asked.place)
        first, rest = listed[: len(own)], listed[len(own) :]
        if rest and not (full and asked.place(rest[0]) >= asked.place(told[-1])):
            continue
        if [one["interaction_id"] for one in first] == [one["interaction_id"] for one in own] and own == [
            plain(one) for one in first
        ]:
            rests.add(bool(rest))
    return rests


# -- snapshots


def snapshots_are_what_was_there(world: World) -> Faults:
    """A snapshot is, of each node, what was there at one moment while it was taken; it is read in the order of then."""
    for client in world.clients:
        for taken, read in getattr(client, "snapshots", ()):
            yield from _snapshot_faults(world, taken, read)


def _snapshot_faults(world: World, taken: Operation, read: Operation) -> Faults:
    missing = taken.reply.get("missing") or []
    if missing and world.is_calm(taken.invoked_at):
        yield f"{missing} are missing while all is well: {taken}"
    told = [one["interaction_id"] for one in read.reply["interactions"]] if read.outcome == OK else None
    holds, place = _of_snapshot(taken), ORDERS[taken.fields["order"]]
    counts, places = {0}, dict[str, set[Any]]()
    for node, model in world.asked_of(taken).items():
        if node in missing:
            continue
        sizes: set[int] = set()
        for there in model.moments(taken.invoked_at, taken.ended_at):
            listed = sorted((one for one in there.values() if holds(one)), key=place)
            if told is None or _is_left_of(model, read, [one["interaction_id"] for one in listed], told):
                sizes.add(len(listed))
                for one in listed:
                    places.setdefault(one["interaction_id"], set()).add(place(one))
        if not sizes:
            yield f"{node} never had that while it was taken: {taken} {read} {told}"
        counts = {count + size for count in counts for size in sizes}
    if counts and taken.reply["number_of_interactions"] not in counts:
        yield f"{taken.reply['number_of_interactions']} in a snapshot of {sorted(counts)}: {taken}"
    sure = [next(iter(places[ident])) for ident in told or () if len(places.get(ident, ())) == 1]
    if sure != sorted(sure):
        yield f"the snapshot is not in its order: {taken} {told}"


def _of_snapshot(taken: Operation) -> Holds:
    """What is taken into it: of whatever state, or only what is queued and not locked."""
    holds, any_state = CONDITIONS[taken.fields["condition"]], not taken.fields["check_interactions_state"]
    return lambda state: (
        holds(state) and (any_state or (state["interaction_state"] == 0 and not state.get("is_locked")))
    )


def _is_left_of(model: NodeModel, read: Operation, listed: list[str], told: list[str]) -> bool:
    """Whether a node's part of what is read is what it had, without what may have gone since."""
    own = [ident for ident in told if ident in model.interactions.versions]
    gone = [ident for ident in listed if ident not in own]
    return own == [ident for ident in listed if ident in own] and all(
        any(span.state is None for span in model.interactions.spans(ident, read.invoked_at, read.ended_at))
        for ident in gone
    )


# -- pulls


def pulls_take_what_comes_first(world: World) -> Faults:
    """A node gives the first that wait in the view, in their order, to every pull; and no more than were asked for."""
    wanted = {one.name: one for one in world.operations() if one.message == "RequestPull"}
    for node, model in world.models.items():
        for taken in model.taken:
            pull = wanted.get(taken.operation)
            if pull is None or is_of_workbin(pull.fields["view_id"]) or "pull_parameters" in pull.fields:
                continue
            view = pull.fields["view_id"]
            holds = in_view(view)
            before = model.before(taken.changes[0])
            there = sorted((one for one in before.values() if holds(one)), key=order_of(view))
            first = [one["interaction_id"] for one in there[: len(taken.idents)]]
            if first != taken.idents:
                yield f"{node} gave {taken.idents}, and {first} came first: {pull}"


def pulls_say_what_there_was(world: World) -> Faults:
    """What one node gave stands in the view's order in the reply. While all is well: an empty reply means that each
    node had nothing at some moment; and what was taken came before all that had been waiting elsewhere."""
    for operation in world.operations():
        if operation.message != "RequestPull" or operation.outcome != OK or "pull_parameters" in operation.fields:
            continue
        told = operation.reply["interactions"]
        if len(told) > operation.fields.get("count", 1):
            yield f"more than were asked for: {operation} {told}"
        if is_of_workbin(operation.fields["view_id"]):
            continue
        yield from _reply_faults(world, operation, told)
        if world.is_calm(operation.invoked_at) and len(operation.attempts) == 1:
            yield from _calm_faults(world, operation, told)


def _reply_faults(world: World, operation: Operation, told: list[Document]) -> Faults:
    given = [one["interaction_id"] for one in told]
    gave = {
        node: [one.idents for one in model.taken if one.operation == operation.name]
        for node, model in world.models.items()
    }
    for node, rounds in gave.items():
        # an id of the client's own may have been at another node before
        others = {ident for other in gave.keys() - {node} for ident in sum(gave[other], [])}
        known = world.models[node].interactions.versions.keys() - others
        own = [ident for ident in given if ident in known]
        if own and own not in (sum(rounds, []), *rounds):
            yield f"{node} gave {rounds}, and the reply has {own}: {operation}"


def _calm_faults(world: World, operation: Operation, told: list[Document]) -> Faults:
    view = operation.fields["view_id"]
    holds, place = in_view(view), order_of(view)
    asked = world.asked_of(operation)
    for node, model in asked.items() if not told else ():
        moments = model.moments(operation.invoked_at, operation.ended_at)
        if all(any(holds(one) for one in there.values()) for there in moments):
            yield f"nothing was pulled, and {node} had something all the time: {operation}"
    if world.plan.proxy_settings.get("pull_order", "global") == "global":
        for one in told:
            yield from _late_faults(asked, operation, place, holds, one)


def _late_faults(
    asked: dict[str, NodeModel], operation: Operation, place: Place, holds: Holds, one: dict[str, Any]
) -> Faults:
    """What stood before it at another node for so long that every proxy knew."""
    ident = one["interaction_id"]
    times = [done.at for model in asked.values() for done in model.executions.get(operation.name, ())]
    if not times:
        return
    at = min(times)
    for node, model in asked.items():
        if ident in model.interactions.versions:
            continue
        for there in model.interactions.versions:
            spans = list(model.interactions.spans(there, min(operation.invoked_at, at - STALE_S), at + STALE_S))
            states = [span.state for span in spans]
            if all(state is not None and holds(state) and place(state) < place(one) for state in states):
                yield f"{there} at {node} came before {ident} and was not taken: {operation}"
