"""Snapshots."""

from __future__ import annotations

from collections.abc import Iterator

from broker.errors import Code
from tests.model.asked import Asked, Faults
from tests.model.author import Author
from tests.model.plain import Plain, Wrong
from tests.model.requests.entries import Entry, Next
from tests.model.things import QUEUED, Document, Item, Pin, Snapshot


def write_take(author: Author) -> Document:
    what = {"view_id": "Inbound/all"} if author.some() else {"condition": "priority >= 0"}
    return {"tenant_id": 101, **what, "lock": int(author.some())}


def take(asked: Asked) -> None:
    plain = asked.plain
    if asked["view_id"]:
        there = [item for item in plain.shown(asked["view_id"]) if not item.held]
    else:
        there = [item for item in plain.items.values() if item.state == QUEUED and item.lock is None]
        there.sort(key=lambda item: (item.received_at, item.ident))
    if not asked.verdict(()) or asked.reply is None:
        return
    if asked.reply["number_of_interactions"] != len(there):
        raise Wrong(f"{asked.reply} of {there}")
    ident, session = asked.reply["snapshot_id"], asked.client.session
    pins = [Pin(item.ident, item.version, item.state, item.workbin, place) for place, item in enumerate(there)]
    plain.snapshots[ident] = Snapshot(ident, session, pins, plain.now)
    if asked["lock"]:
        for item in there:
            item.lock = (session, ident)


def write_own(author: Author) -> Document:
    own = [one.ident for one in author.plain.snapshots.values() if one.session == author.client.session]
    known = own if own and not author.seldom() else [*author.plain.snapshots, "none"]
    return {"snapshot_id": author.one(*known)}


def find(asked: Asked, faults: Faults) -> Snapshot | None:
    """The snapshot that a request names."""
    snapshot = asked.plain.snapshots.get(asked["snapshot_id"])
    if snapshot is None:
        faults.add(Code.UNKNOWN_SNAPSHOT)
    elif asked.client.session != snapshot.session and asked.client.kind != "Proxy":
        faults.add(Code.ACCESS_DENIED)
    else:
        snapshot.used = asked.plain.now
    return snapshot


def write_read(author: Author) -> Document:
    return {
        **write_own(author),
        "start_from": author.one(0, 0, 2),
        "number_of_interactions": author.one(3, 1000),
    }


def read(asked: Asked) -> None:
    faults = set[Code]()
    snapshot = find(asked, faults)
    if asked.verdict(faults) and snapshot and asked.reply:
        shown = [one["interaction_id"] for one in asked.reply["interactions"]]
        end = asked["start_from"] + asked["number_of_interactions"]
        pins = [pin for pin in snapshot.pins if asked["start_from"] <= pin.place < end]
        if shown != [pin.ident for pin in pins if pin.ident in asked.plain.items]:
            raise Wrong(f"{shown} is not {snapshot}")


def release(asked: Asked) -> None:
    faults = set[Code]()
    snapshot = find(asked, faults)
    if asked.verdict(faults) and snapshot:
        asked.plain.drop(snapshot)


def write_move(author: Author) -> Document:
    return {**write_own(author), "queue": author.one("Done", "Inbound", "Off")}


def move(asked: Asked) -> None:
    faults = set[Code]()
    snapshot = find(asked, faults)
    queue = asked.queue(faults)
    if not asked.verdict(faults) or snapshot is None or asked.reply is None:
        return
    moved = 0
    for pin in snapshot.pins:
        item = asked.plain.items.get(pin.ident)
        if item is not None and _as_it_was(item, pin, snapshot):
            asked.plain.place(item, queue)
            pin.version, pin.workbin, moved = item.version, None, moved + 1
    if asked.reply["number_of_interactions"] != moved:
        raise Wrong(f"{asked.reply}, not {moved} of {snapshot}")


def _as_it_was(item: Item, pin: Pin, snapshot: Snapshot) -> bool:
    free = item.lock is None or item.lock[0] == snapshot.session
    return free and item.state == pin.state == QUEUED and (item.version, item.workbin) == (pin.version, pin.workbin)


def likely(plain: Plain) -> Iterator[Next]:
    """Who has a snapshot does something with it."""
    for snapshot in plain.snapshots.values():
        owner = plain.of_session(snapshot.session)
        if owner is not None:
            yield owner, "RequestMoveInteractions"
            yield owner, "RequestMoveInteractions"
            yield owner, "RequestGetSnapshotInteractions"
            yield owner, "RequestReleaseSnapshot"


REQUESTS = {
    "RequestTakeSnapshot": Entry(write_take, take),
    "RequestGetSnapshotInteractions": Entry(write_read, read),
    "RequestReleaseSnapshot": Entry(write_own, release),
    "RequestMoveInteractions": Entry(write_move, move),
}
