"""A node that runs for long: its database and its write-ahead log stay as large as what it has to keep."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from broker.ledger import Ledger
from node.housekeeping import CHECKPOINT_PAGES, RETRY_S, Housekeeping
from node.store import Altered
from tests.node.conftest import make_configuration
from tests.node.tenures import SUBMIT, Member

RETENTION_S = 60
PAGE = 4096
MEDIA, ROUTER = b"m", b"r"
MAIL = {**SUBMIT, "user_data": {"Subject": "Card blocked", "Text": "x" * 160}}
PULL = {"message": "RequestPull", "tenant_id": 101, "view_id": "Inbound/all"}


class Run:
    """A member with its housekeeping, whose clock goes on by a second with each :meth:`second`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.member = Member(path, make_configuration(event_retention=RETENTION_S), "primary")
        self.member.serve()
        self.ledger = Ledger(lambda: self.member.now)
        self.house = Housekeeping(self.member.store, self.member.tenure, self.ledger)
        for peer, kind in ((MEDIA, "MediaServer"), (ROUTER, "RoutingEngine")):
            self.member.say({"message": "RequestRegisterClient", "client_name": kind, "client_type": kind}, peer)
        self.member.commit()

    def second(self, interactions: int, batch: int = 100) -> None:
        """So many come in, are pulled and are stopped; and what the house has to be kept for is done."""
        for at in range(0, interactions, batch):
            number = min(batch, interactions - at)
            for _ in range(number):
                self.member.say(MAIL, MEDIA)
            self.member.commit()
            self.member.say({**PULL, "count": number}, ROUTER)
            for ident in [one["interaction_id"] for one in self.member.commit()[0]["interactions"]]:
                self.member.say({"message": "RequestStopProcessing", "interaction_id": ident}, ROUTER)
            assert {reply["message"] for reply in self.member.commit()} == {"EventAck"}
            self._keep_house(self.member.now)
        self.member.now += 1
        self.member.tenure.core.tick(self.member.now)
        self._keep_house(self.member.now)

    def _keep_house(self, now: float) -> None:
        """All that is due, however many turns it takes."""
        for _ in range(10_000):
            self.house.turn(max(self.house.wake_at, now))
            if self.house.wake_at > now and not self.member.tenure.folding.running:
                return
        raise AssertionError("there is always something left to be done")

    @property
    def database(self) -> int:
        """Bytes of the file."""
        return os.path.getsize(self.path)

    @property
    def log(self) -> int:
        """Bytes of the write-ahead log."""
        return os.path.getsize(f"{self.path}-wal")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path / "n1.db")
    yield run
    run.member.end()


def test_a_database_is_as_large_as_what_it_keeps(run: Run) -> None:
    """Given a node that keeps events for a minute; when it works for ten; then its journal has a minute of rows, the
    database has not grown since the second minute, and the log is a few checkpoints long."""
    for _ in range(2 * RETENTION_S):
        run.second(3)
    grown, rows = run.database, run.member.store.journal_rows()
    for _ in range(8 * RETENTION_S):
        run.second(3)
    assert run.member.store.journal_rows() <= rows + 5
    assert rows <= 3 * RETENTION_S + 20, "three batches a second"
    assert run.database <= 1.1 * grown
    assert run.log <= 3 * CHECKPOINT_PAGES * PAGE
    memory = run.member.tenure.core.memory
    assert not memory.interactions and not memory.holdings.rows and not memory.answers.rows


def test_tables_that_cannot_be_written_stop_nobody(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a database that takes commits but no folding; when the house is kept; then that is said once, tried again
    each second, and what was left undone is done when it goes again; then a later failure is said again."""
    member, house, fold = run.member, run.house, run.member.store.fold

    def refuse(*_: object) -> None:
        raise Altered("n1.db", "its tables refuse it")

    with capture_logs() as said:
        for times in (1, 2):
            monkeypatch.setattr(member.store, "fold", refuse)
            member.say(MAIL, MEDIA)
            member.commit()
            for _ in range(5):
                member.now += 1
                house.turn(member.now)
            assert house.wake_at == member.now + RETRY_S
            assert [line["reason"] for line in said] == ["database n1.db: its tables refuse it"] * times
            assert run.ledger["store failures"] >= 3 * times
            monkeypatch.setattr(member.store, "fold", fold)
            run.second(1)
    assert len(list(member.store.load().interactions)) == 2
