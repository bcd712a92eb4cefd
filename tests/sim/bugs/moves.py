"""Bugs of snapshots that lock and move."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from broker.messages.snapshots import RequestGetSnapshotInteractions
from node import (
    locks,
    moves,
    snapshots,
)
from node.core import NodeCore
from node.handlers import HANDLERS
from tests.sim.bugs.bug import CALM, Planted


def _snapshots_lock_nothing() -> Any:
    """A snapshot is taken with its locks left out, of every second interaction."""
    put = locks.put

    def forgetful(node: NodeCore, interaction: Any, session_id: str, snapshot_id: str | None) -> None:
        if snapshot_id is None or interaction.submit_seq % 2:
            put(node, interaction, session_id, snapshot_id)

    return patch.object(locks, "put", forgetful)


def _locks_stay() -> Any:
    """A snapshot that ends leaves one interaction locked."""

    def but_one(node: NodeCore, index: str, owner: str, at_once: int) -> Iterator[None]:
        for interaction_id in list(node.memory.locks.keys(index, owner))[1:]:
            locks.free(node, interaction_id)
        yield

    return patch.object(locks, "free_all", but_one)


def _locks_go_early() -> Any:
    """Reading a snapshot unlocks what is in it."""
    get = snapshots.HANDLERS[RequestGetSnapshotInteractions]

    def once(node: NodeCore, call: Any) -> Any:
        for key in node.memory.locks.keys("session", call.session.session_id):
            locks.free(node, key)
        return get(node, call)

    return patch.dict(HANDLERS, {RequestGetSnapshotInteractions: once})


def _snapshots_stay() -> Any:
    """A snapshot that nobody uses any more is kept for ever."""
    return patch.object(snapshots, "look", lambda node, snapshot_id: None)


def _everything_is_moved() -> Any:
    """A move takes along what was placed elsewhere since."""

    def any_that_waits(node: NodeCore, row: Any, pin: Any, interaction: Any) -> bool:
        return bool(interaction.interaction_state == 0)

    return patch.object(moves, "_as_it_was", any_that_waits)


def _something_stays() -> Any:
    """A move leaves out what has been placed once before."""
    was = moves._as_it_was

    def picky(node: NodeCore, row: Any, pin: Any, interaction: Any) -> bool:
        return was(node, row, pin, interaction) and interaction.submit_seq % 4 != 1

    return patch.object(moves, "_as_it_was", picky)


def _moves_are_miscounted() -> Any:
    """Of several nodes the first one's count is told."""
    return patch("proxy.merge._sums", lambda parts: {"number_of_interactions": parts[0].number_of_interactions})


def _used_ones_expire() -> Any:
    """A snapshot ends a while after it was taken, used or not."""
    find = snapshots.find

    def unused(node: NodeCore, call: Any, snapshot_id: str) -> Any:
        before = dict(node.snapshot_uses)
        row = find(node, call, snapshot_id)
        node.snapshot_uses.update(before)
        return row

    return patch.object(snapshots, "find", unused)


MOVED: dict[str, Any] = {"movers": 2, "media": 3, "nodes": 2, "routers": 1, "engines": 0, "agents": 1}

PLANTED: dict[str, Planted] = {
    "snapshots lock nothing": Planted(_snapshots_lock_nothing, MOVED),
    "locks stay": Planted(_locks_stay, MOVED),
    "locks go early": Planted(_locks_go_early, MOVED),
    "snapshots stay": Planted(_snapshots_stay, {**MOVED, **CALM}),
    "used ones expire": Planted(_used_ones_expire, {**MOVED, **CALM}),
    "everything is moved": Planted(_everything_is_moved, MOVED),
    "something stays": Planted(_something_stays, MOVED),
    "moves are miscounted": Planted(_moves_are_miscounted, {**MOVED, "nodes": 4}),
}
