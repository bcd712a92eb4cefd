"""Benchmarks of the store on SQLite: what a commit costs by batch size, a fold, a load, and a look when idle.

Group ``store``. A commit waits for the disk (``synchronous`` full), so its time is mostly that of one fsync; the rows
of a second are in ``extra_info``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from bench.notes import microseconds, note, rate
from broker.messages.objects import Interaction
from broker.wire import Events, PackedEvent, pack
from node.store import Fold, Holder, Row
from node.store.sqlite import SqliteStore

HOLDER = Holder(host="bench", boot="", pid=1, started=1, member="primary")
CHANGES, EVENTS, EVENT = 400, 3, b"e" * 400
"""Bytes of changes, number of events, and one event's payload, of one request in a batch."""
INTERACTIONS = 100_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty database whose lease is held."""
    store = SqliteStore(str(tmp_path / "bench.db"), node="bench")
    store.acquire(HOLDER, store.lease(), 0)
    yield store
    store.close()


def make_interaction(number: int) -> Interaction:
    """A waiting interaction with 200 bytes of user data."""
    return Interaction(
        interaction_id=f"0001{number:012}",
        tenant_id=101,
        media_type="email",
        interaction_type="Inbound",
        interaction_state=0,
        queue="Inbound",
        priority=number % 10,
        is_online=0,
        received_at=1790000000.25 + number,
        submitted_at=1790000000.5 + number,
        submit_seq=number,
        place_in_queue_seq=number,
        placed_in_queue_at=1790000000.5 + number,
        moved_to_queue_at=1790000000.5 + number,
        submitted_by="media",
        user_data=Raw(b'{"Subject": "Card blocked", "Text": "' + b"x" * 160 + b'"}'),
    )


@pytest.mark.benchmark(group="store")
@pytest.mark.parametrize("synchronous", ["full", "normal"])
@pytest.mark.parametrize("batch", [1, 10, 100])
def test_commit(benchmark: Any, tmp_path: Path, batch: int, synchronous: str) -> None:
    """One row of ``batch`` requests, with the checkpoints that an active member makes in between."""
    store = SqliteStore(str(tmp_path / "bench.db"), node="bench", synchronous=synchronous)
    epoch, last = store.acquire(HOLDER, store.lease(), 0)
    revs = itertools.count(last + 1)
    changes = b"c" * CHANGES * batch
    events = pack(Events(1, [PackedEvent(1, 0, b"101/interaction/E", EVENT)] * EVENTS * batch))

    def commit() -> None:
        rev = next(revs)
        store.commit(Row(rev, epoch, rev, changes, events))
        if store.behind > 1000:
            store.checkpoint()

    benchmark.pedantic(commit, rounds=600, warmup_rounds=20)
    note(benchmark, requests_per_second=rate(batch))
    store.close()


@pytest.mark.benchmark(group="store")
def test_commit_with_renewal_and_fold(benchmark: Any, store: SqliteStore) -> None:
    """One row of 10 requests, a renewal of the lease, and 20 interactions into the tables, in one transaction."""
    revs = itertools.count(2)

    def commit() -> None:
        rev = next(revs)
        fold = Fold([make_interaction(rev * 20 + at) for at in range(20)])
        store.commit(Row(rev, 1, rev, b"c" * 4000, b"e" * 12_000), renew_us=rev, fold=fold)
        if store.behind > 1000:
            store.checkpoint()

    benchmark.pedantic(commit, rounds=300, warmup_rounds=20)


@pytest.mark.benchmark(group="store")
def test_load(benchmark: Any, store: SqliteStore) -> None:
    """100,000 interactions as a starting member reads them."""
    for start in range(0, INTERACTIONS, 1000):
        store.fold(1, Fold([make_interaction(number) for number in range(start, start + 1000)]))
    store.checkpoint()
    count = benchmark.pedantic(lambda: sum(1 for _ in store.load().interactions), rounds=3)
    note(benchmark, microseconds_per_interaction=microseconds(INTERACTIONS, 2))
    assert count == INTERACTIONS


@pytest.mark.benchmark(group="store")
def test_tail_idle(benchmark: Any, store: SqliteStore) -> None:
    """A standby's look when nothing is new."""
    assert benchmark(store.tail, 1) == []


@pytest.mark.benchmark(group="store")
def test_lease_idle(benchmark: Any, store: SqliteStore) -> None:
    """A standby's look at the lease."""
    assert benchmark(store.lease).epoch == 1


@pytest.mark.benchmark(group="store")
def test_replay(benchmark: Any, store: SqliteStore) -> None:
    """1,000 events from the middle of 10,000."""
    for rev in range(2, 102):
        times = range(rev * 100, rev * 100 + 100)
        events = Events(rev * 100, [PackedEvent(us, 0, b"101/interaction/E", EVENT) for us in times])
        store.commit(Row(rev, 1, rev * 100 + 99, b"c", pack(events)))
    assert len(benchmark(store.events, 5000, 1000).events) == 1000
