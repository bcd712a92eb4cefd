"""Checkers of locks and moves: what a snapshot locks, for how long, and what a move puts where.

locked     waits, and nobody takes it; it is locked by a session that lives, or by a snapshot that is there
taken      with ``lock``: all that was taken into it and waited is locked by it
let go     by an unlock, with its snapshot, with its session, or when it is gone itself; not before
moved      once, and everything that was as the snapshot has it; the reply says how many, and how many were not
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from broker.errors import Code
from tests.sim.clients import OK, REFUSED, Client, Operation
from tests.sim.law import CONDITIONS
from tests.sim.model import NodeModel
from tests.sim.movers import Mover
from tests.sim.plan import EXPIRES_S

if TYPE_CHECKING:
    from tests.sim.world import World

Faults = Iterator[str]
Document = dict[str, Any]
Part = tuple[NodeModel, str]
"""A node, and its part of a snapshot."""

READY = "ready"
SLACK_S = 0.6
"""So much later a deadline is seen to, while all is well."""


def _rounds(world: World) -> Iterator[tuple[Mover, list[Operation]]]:
    return ((client, one) for client in world.clients if isinstance(client, Mover) for one in client.rounds)


def _parts(world: World, snapshot: str) -> list[Part]:
    """The nodes' own parts of a snapshot's id."""
    idents = [part.partition("*")[0] for part in snapshot.split(".")]
    return [(model, ident) for ident in idents for model in world.models.values() if ident in model.snapshots.versions]


def _is_ready(state: Document | None) -> bool:
    return state is not None and state.get("stage", READY) == READY


def _stays(client: Client) -> bool:
    """It has had one session, and no other."""
    return len(client.met) == 1 and client.sessions == 1 and client.running


# -- what is locked


def snapshots_lock_what_is_in_them(world: World) -> Faults:
    """When a snapshot that locks is ready, nothing of its kind waits unlocked, and it has locked as many as it has."""
    for _, (taken, *_others) in _rounds(world):
        if not taken.fields["lock"]:
            continue
        locked = 0
        for model, ident in _parts(world, taken.reply["snapshot_id"]):
            mine = _locked_by(model, ident, taken)
            locked += len(mine)
            if mine:
                there = model.before(mine[0])
                wanted = {key for key, state in there.items() if _is_wanted(taken, state)}
                told = {model.changes[at].ident for at in mine}
                if wanted != told:
                    yield f"{model.name} locked {sorted(told)} of {sorted(wanted)}: {taken}"
        if locked != taken.reply["number_of_interactions"]:
            yield f"{locked} of {taken.reply['number_of_interactions']} are locked: {taken}"


def _locked_by(model: NodeModel, snapshot: str, taken: Operation) -> list[int]:
    """The places of the changes by which a snapshot locked what is in it, the last time while it was taken."""
    found = [
        at
        for at, change in enumerate(model.changes)
        if change.after is not None
        and change.after.get("snapshot_id") == snapshot
        and (change.before or {}).get("snapshot_id") != snapshot
        and taken.invoked_at <= change.at <= taken.ended_at
    ]
    last = max((model.changes[at].at for at in found), default=0.0)
    return [at for at in found if model.changes[at].at == last]


def _is_wanted(taken: Operation, state: Document) -> bool:
    waits = state["interaction_state"] == 0 and not state.get("is_locked")
    return waits and CONDITIONS[taken.fields["condition"]](state)


def locks_last_as_long_as_they_should(world: World) -> Faults:
    """A lock ends for a reason, and none lasts without one."""
    unlocks: dict[str, list[Operation]] = {}
    for operation in world.operations():
        if operation.message == "RequestUnlockInteraction":
            unlocks.setdefault(operation.fields["interaction_id"], []).append(operation)
    steady = all(_stays(client) for client in world.clients if isinstance(client, Mover))
    for model in world.models.values():
        for ident, versions in model.locks.versions.items():
            held: Document | None = None
            for at, state in versions:
                if state is None and held is not None and (steady or held.get("snapshot_id")):
                    asked = any(one.invoked_at <= at <= one.ended_at for one in unlocks.get(ident, ()))
                    if not asked and not _has_ended(model, ident, held, at):
                        yield f"{model.name}: the lock of {ident} went at {at:.4f} s, and nobody wanted that: {held}"
                held = state
        yield from _left_locked(world, model)


def _has_ended(model: NodeModel, ident: str, lock: Document, at: float) -> bool:
    """The interaction is gone, or the snapshot that locks it is on its way out, or taken anew."""
    if model.interactions.at(ident, at) is None:
        return True
    snapshot = lock.get("snapshot_id")
    return snapshot is not None and not all(
        _is_ready(span.state) for span in model.snapshots.spans(snapshot, at - 1e-6, at)
    )


def _left_locked(world: World, model: NodeModel) -> Faults:
    core = world.active_core(model.name)
    for ident, lock in model.locks.now.items():
        snapshot = lock.get("snapshot_id")
        if snapshot is not None and snapshot not in model.snapshots.now:
            yield f"{model.name}: {ident} is locked by a snapshot that is not there: {lock}"
        if core is not None and lock["session_id"] not in core.sessions.by_id:
            yield f"{model.name}: {ident} is locked by nobody: {lock}"


# -- how long snapshots stand


def snapshots_stand_as_long_as_they_are_used(world: World) -> Faults:
    """One that was released is gone, with its locks; one that is used stands; one that is not used ends by its time."""
    for client, operations in _rounds(world):
        for model, ident in _parts(world, operations[0].reply["snapshot_id"]):
            yield from _end_faults(world, client, model, ident)
        for operation in operations[1:]:
            if operation.message == "RequestReleaseSnapshot" and operation.outcome == OK:
                yield from _release_faults(world, operation)
            elif operation.outcome == REFUSED and operation.fields.get("snapshot_id"):
                yield from _refusal_faults(world, client, operation)


def _end_faults(world: World, client: Mover, model: NodeModel, ident: str) -> Faults:
    uses = [one for round in client.rounds for one in round if ident in (_named(one) or "")]
    begun, ended = _life(model, ident)
    if begun is None or not world.is_calm(begun) or not _stays(client):
        return
    if ended is None:
        yield f"{model.name}: {ident} has never ended"
        return
    asked = any(
        one.invoked_at <= ended <= one.ended_at
        for one in uses
        if one.message in ("RequestReleaseSnapshot", "RequestTakeSnapshot")
    )
    before = [one for one in uses if one.invoked_at <= ended]
    last = max((one.invoked_at for one in before), default=begun)
    everywhere = max((one.invoked_at for one in before if "interaction_id" not in one.fields), default=begun)
    if not asked and (ended - everywhere < EXPIRES_S - 0.1 or ended - last > EXPIRES_S + SLACK_S):
        yield f"{model.name}: {ident} ended at {ended:.4f} s, and was last used at {last:.4f} s"


def _life(model: NodeModel, ident: str) -> tuple[float | None, float | None]:
    """When a snapshot was ready first, and when it was so no more."""
    begun: float | None = None
    for at, state in model.snapshots.versions[ident]:
        if begun is None and _is_ready(state):
            begun = at
        elif begun is not None and not _is_ready(state):
            return begun, at
    return begun, None


def _named(operation: Operation) -> str | None:
    named = operation.fields.get("snapshot_id") or operation.reply.get("snapshot_id")
    return str(named) if named else None


def _release_faults(world: World, operation: Operation) -> Faults:
    for model, ident in _parts(world, operation.fields["snapshot_id"]):
        if model.snapshots.at(ident, operation.ended_at) is not None:
            yield f"{model.name} has it still: {operation}"
        for locked, versions in model.locks.versions.items():
            lock = model.locks.at(locked, operation.ended_at) if versions else None
            if lock is not None and lock.get("snapshot_id") == ident:
                yield f"{model.name} has {locked} locked still: {operation}"


def _refusal_faults(world: World, client: Mover, operation: Operation) -> Faults:
    began, ended = operation.attempts[-1][0], operation.ended_at
    if operation.code == Code.UNKNOWN_SNAPSHOT:
        parts = _parts(world, operation.fields["snapshot_id"])
        spans = [span for model, ident in parts for span in model.snapshots.spans(ident, began, ended)]
        if spans and all(_is_ready(span.state) for span in spans):
            yield f"told to be unknown, and was there all the time: {operation}"
    elif operation.code == Code.SNAPSHOT_NOT_ACCESSIBLE and world.is_calm(began):
        yield f"not accessible while all is well: {operation}"
    elif operation.code == Code.ACCESS_DENIED and "interaction_id" not in operation.fields and _stays(client):
        yield f"the own snapshot is denied: {operation}"


# -- what is moved


def moves_move_what_was_as_it_was(world: World) -> Faults:
    """Everything in the snapshot that waits as it did is in the queue, once; the rest is where it was."""
    for _, operations in _rounds(world):
        for operation in operations[1:]:
            if operation.message == "RequestMoveInteractions" and operation.outcome == OK:
                yield from _move_faults(world, operation)


def _move_faults(world: World, operation: Operation) -> Faults:
    moved = left = 0
    for model, ident in _parts(world, operation.fields["snapshot_id"]):
        done = [
            (said.at, said.document["interaction"])
            for said in model.events
            if said.document["message"] == "EventPlacedInQueue"
            and said.document.get("cause") == operation.message
            and (said.document.get("reason") or {}).get("op") == operation.name
        ]
        idents = [one["interaction_id"] for _, one in done]
        if len(set(idents)) < len(idents) or any(one["queue"] != operation.fields["queue"] for _, one in done):
            yield f"{model.name} moved {done}: {operation}"
        moved += len(done)
        began, ended = operation.invoked_at, min([operation.ended_at, *(at for at, _ in done)])
        for pin in _pins(model, ident, began):
            fits = [_as_it_was(model, ident, pin, there) for there in _states(model, pin[0], began, ended)]
            left += pin[0] not in idents
            if (pin[0] in idents and not any(fits)) or (pin[0] not in idents and all(fits)):
                yield f"{model.name}: {pin} was {'' if pin[0] in idents else 'not '}moved: {operation}"
    reply = operation.reply
    if (reply["number_of_interactions"], reply.get("not_moved", 0)) != (moved, left):
        yield f"{moved} were moved and {left} left: {operation} {reply}"


def _pins(model: NodeModel, snapshot: str, at: float) -> list[list[Any]]:
    """What a part of a snapshot has, and how it was, at a time."""
    pages = (model.pages.at(key, at) for key in model.pages.versions if key.startswith(f"{snapshot}/"))
    return [pin for page in pages if page is not None for pin in page["pins"]]


def _states(model: NodeModel, ident: str, began: float, ended: float) -> list[tuple[Document | None, Document | None]]:
    """What an interaction was, and how it was locked, at each moment between two times."""
    moments = {began, ended, *(change.at for change in model.changes if began <= change.at <= ended)}
    states = [(model.interactions.at(ident, at), model.locks.at(ident, at)) for at in moments]
    return states + [(model.interactions.before(ident, at), model.locks.before(ident, at)) for at in moments]


def _as_it_was(model: NodeModel, snapshot: str, pin: list[Any], there: tuple[Document | None, Document | None]) -> bool:
    state, lock = there
    ident, place, waited, *workbin = pin
    session = next((one["session_id"] for _, one in model.snapshots.versions[snapshot] if one is not None), "")
    return (
        state is not None
        and state["interaction_state"] == waited == 0
        and state.get("place_in_queue_seq", 0) == place
        and (state.get("workbin") or None) == (workbin[0] if workbin else None)
        and (not state.get("is_locked") or (lock or {}).get("session_id") == session)
    )
