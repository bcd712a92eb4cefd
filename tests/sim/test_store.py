"""The simulated store against the real one: whatever is asked of both in the same order, both say the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import orjson
import pytest

from broker.messages.objects import Interaction
from broker.wire import Events, PackedEvent, pack
from node.store import Corrupt, DiskFailure, Fenced, Fold, Holder, JournalCut, Row, Store, open_store
from tests.sim.heap import Heap
from tests.sim.model import plain
from tests.sim.store import Disk, Mishap, SimStore, User

MEMBERS = ("primary", "backup")
Stores = tuple[dict[str, Store], dict[str, Store]]


def holder(member: str) -> Holder:
    """A process."""
    return Holder(host="h", boot="b", pid=1 + MEMBERS.index(member), started=1, member=member)


def nothing() -> None:
    """Nobody dies here."""


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    """Both members' stores: real ones, and simulated ones."""
    real = {member: open_store(f"sqlite:///{tmp_path}/n1.db", node="n1", synchronous="normal") for member in MEMBERS}
    disk = Disk("n1", Heap(0), lambda node, row: None)
    yield real, {member: SimStore(disk, User(nothing, nothing)) for member in MEMBERS}
    for store in real.values():
        store.close()


def said(ask: Callable[[], Any]) -> Any:
    """What a store says, or how it refuses."""
    try:
        return ask()
    except (Fenced, JournalCut, Corrupt, ValueError) as fault:
        return type(fault)


class Script:
    """Asks both the same things.

    :param epoch: each member's, as far as it knows; ``rev``: of the last row it has written or taken over at
    """

    def __init__(self, stores: Stores, seed: int) -> None:
        self.random = Random(seed)
        self.stores = stores
        self.epoch = dict.fromkeys(MEMBERS, 0)
        self.rev = dict.fromkeys(MEMBERS, 0)
        self.us = self.seq = 0

    def both(self, member: str, ask: Callable[[Store], Any]) -> Any:
        """The one answer of both."""
        real, simulated = (said(partial(ask, store[member])) for store in self.stores)
        assert real == simulated
        return real

    def step(self) -> None:
        """One random request of a random member."""
        self.us += self.random.randrange(3)
        step = self.random.choice(
            (self.acquire, self.commit, self.commit, self.commit, self.fold, self.cut, self.lease)
        )
        step(self.random.choice(MEMBERS))

    def acquire(self, member: str) -> None:
        lease = self.both(member, lambda store: store.lease())
        if self.random.random() < 0.2:
            lease = lease._replace(renewed_us=lease.renewed_us + 1)
        taken = self.both(member, lambda store: store.acquire(holder(member), lease, self.us))
        if taken is not Fenced:
            self.epoch[member], self.rev[member] = taken

    def commit(self, member: str) -> None:
        rev = self.rev[member] + (1 if self.random.random() < 0.95 else 2)
        says = self.random.random() < 0.5
        events = pack(Events(self.seq + 1, [PackedEvent(self.us, 0, b"t", b"{}")])) if says else b""
        row = Row(rev, self.epoch[member], self.us, b"[%d]" % self.random.randrange(9), events)
        renew_us = self.random.choice((None, self.us))
        if self.both(member, lambda store: store.commit(row, renew_us)) is None:
            self.rev[member] = rev
            self.seq += says
        self.both(member, lambda store: store.tail(max(rev - 3, 0)))

    def fold(self, member: str) -> None:
        ident = f"i{self.random.randrange(3)}"
        fold = Fold(
            interactions=[interaction(ident, self.random.randrange(9))] if self.random.random() < 0.6 else [],
            gone=[f"i{self.random.randrange(3)}"] if self.random.random() < 0.3 else [],
            records=[("agents", ident, b'{"a":1}')] if self.random.random() < 0.6 else [],
            dropped=[("agents", f"i{self.random.randrange(3)}")] if self.random.random() < 0.3 else [],
            folded_rev=self.rev[member] if self.random.random() < 0.5 else None,
        )
        self.both(member, lambda store: store.fold(self.epoch[member], fold))
        self.both(member, lambda store: loaded(store))

    def cut(self, member: str) -> None:
        self.both(member, lambda store: store.cut(self.epoch[member], self.us, 5))
        self.both(member, lambda store: store.journal_rows())
        self.both(member, lambda store: store.tail(0))
        self.both(member, lambda store: store.events(self.us - 20, 3))

    def lease(self, member: str) -> None:
        ask = self.random.choice((Store.renew, Store.release)).__name__
        self.both(member, lambda store: getattr(store, ask)(self.epoch[member], self.us))


def interaction(ident: str, priority: int) -> Interaction:
    """An interaction with this id."""
    return Interaction(
        interaction_id=ident,
        tenant_id=101,
        media_type="email",
        interaction_type="Inbound",
        interaction_state=0,
        queue="Inbound",
        priority=priority,
        is_online=0,
        received_at=1.5,
        submitted_at=2.5,
        submit_seq=1,
        place_in_queue_seq=1,
    )


def loaded(store: Store) -> Any:
    """All that the tables hold."""
    tables = store.load()
    interactions = {one.interaction_id: plain(orjson.loads(msgspec.json.encode(one))) for one in tables.interactions}
    return tables.folded_rev, interactions, sorted((table, key, bytes(data)) for table, key, data in tables.records)


@pytest.mark.parametrize("seed", range(15))
def test_it_says_what_the_real_one_says(stores: Stores, seed: int) -> None:
    # given an empty database of each kind, and both members' stores to it
    script = Script(stores, seed)
    # when both are asked the same things in the same order
    for _ in range(150):
        script.step()
    # then both say the same (see Script.both), and they have come somewhere
    assert max(script.rev.values()) > 10


@pytest.mark.parametrize(("mishap", "rows"), [(Mishap.FAIL_BEFORE, 1), (Mishap.FAIL_AFTER, 2)])
def test_a_write_that_fails_may_be_done_all_the_same_and_is_done_once(mishap: Mishap, rows: int) -> None:
    # given the active member of a pair
    disk, user = Disk("n1", Heap(0), lambda node, row: None), User(nothing, nothing)
    store = SimStore(disk, user)
    epoch, rev = store.acquire(holder("primary"), store.lease(), 1)
    row = Row(rev + 1, epoch, 2, b"[]", b"")
    # when a write fails, before or after it is done, and is asked for again
    user.next = mishap
    with pytest.raises(DiskFailure):
        store.commit(row)
    assert len(disk.rows) == rows
    store.commit(row)
    # then the row is there once
    assert disk.rows[1:] == [row]
