"""The store between real processes: killed writers, stopped writers, and who may take over from them."""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import msgspec
import pytest

from node.pair import Action, Event, Pair, State
from node.store import Fenced, Locked, Row
from node.store.holder import is_alive, kill, this_holder
from node.store.sqlite import SqliteStore
from node.store.writer import writer as writer_of
from tests.node.sqlite_tool import Tool

WRITER = Path(__file__).with_name("store_writer.py")
ROOT = WRITER.parents[2]
BACKUP = this_holder("backup")


@dataclasses.dataclass
class Writer:
    """A running writer. ``said`` collects its complete lines."""

    process: subprocess.Popen[bytes]
    said: list[str] = dataclasses.field(default_factory=list)
    rest: bytes = b""

    def begin(self) -> None:
        """Lets it take the lease and write."""
        self.hear(lambda: "ready" in self.said)
        stdin: IO[bytes] = self.process.stdin  # type: ignore[assignment]
        stdin.write(b"\n")
        stdin.flush()

    def hear(self, until: Callable[[], bool], deadline_s: float = 60.0) -> None:
        """Reads what it says until the condition is true."""
        end = time.monotonic() + deadline_s
        while not until():
            assert time.monotonic() < end, f"not heard within {deadline_s} s: {self.said[-3:]}"
            self.read(0.02)

    def read(self, wait_s: float = 0.0) -> bool:
        """Reads what is there. :returns: False at the end"""
        stdout: IO[bytes] = self.process.stdout  # type: ignore[assignment]
        if not select.select([stdout], [], [], wait_s)[0]:
            return True
        data = os.read(stdout.fileno(), 1 << 16)
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.said += [line.decode() for line in lines]
        return bool(data)

    def acked(self) -> list[int]:
        """Every revision it has acked, when it has ended or stopped."""
        stdout: IO[bytes] = self.process.stdout  # type: ignore[assignment]
        while select.select([stdout], [], [], 0)[0] and self.read():
            pass
        return [int(line) for line in self.said if line.isdecimal()]

    def is_stopped(self) -> bool:
        return Path(f"/proc/{self.process.pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"T"


@pytest.fixture
def start() -> Iterator[Callable[[str, str], Writer]]:
    """``start(path, mode)`` starts a writer; all are ended behind the test."""
    writers: list[Writer] = []

    def starting(path: str, mode: str) -> Writer:
        process = subprocess.Popen(
            [sys.executable, str(WRITER), path, mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        writers.append(Writer(process))
        return writers[-1]

    yield starting
    for writer in writers:
        writer.process.kill()
        writer.process.wait()
        for pipe in (writer.process.stdin, writer.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "n1.db")


def follow(store: SqliteStore, rows: list[Row]) -> None:
    """Reads on as a standby does, checking that no revision is missing."""
    while more := store.tail(rows[-1].rev if rows else 0):
        rows += more
    assert [row.rev for row in rows] == list(range(1, len(rows) + 1))


def test_killed_writers_lose_nothing_they_acked(path: str, start: Callable[[str, str], Writer]) -> None:
    """Given a standby that tails; when ten writers are killed under load; then all they acked is there."""
    store = SqliteStore(path, node="n1")
    rows: list[Row] = []
    writers = [start(path, "load") for _ in range(10)]
    for turn, writer in enumerate(writers):
        writer.begin()
        writer.hear(lambda writer=writer: len(writer.said) > 1)  # type: ignore[misc]
        until = time.monotonic() + 0.02 + turn * 0.007
        while time.monotonic() < until:
            follow(store, rows)
            writer.read()
        writer.process.kill()
        writer.process.wait()
        lease = store.lease()
        assert lease.holder is not None and is_alive(lease.holder) is False
        _, rev = store.acquire(BACKUP, lease, 0)
        follow(store, rows)
        assert rows[-1].rev == rev
        store.release(lease.epoch + 1, 0)
        acked = writer.acked()
        assert acked and acked[-1] in (rev - 1, rev - 2), "at most one was committed and not yet acked"
    writer_rows = [row for row in rows if row.changes]
    assert all(row.changes == b"%d " % row.rev * (row.rev * 7919 % 400) for row in writer_rows)
    assert store._db.pragma("integrity_check") == "ok"
    store.close()


def test_a_tool_that_holds_the_lock_loses_nothing(path: str, start: Callable[[str, str], Writer]) -> None:
    """Given a writer under load; when a tool waits inside a transaction, and then is killed; then the writer hears that
    the database is locked, asks again, and goes on; nothing is missing or there twice."""
    writer = start(path, "load")
    writer.begin()
    writer.hear(lambda: len(writer.said) > 20)
    with Tool(path) as tool:
        tool.execute("BEGIN IMMEDIATE")
        tool.execute("UPDATE lease SET epoch = 99")
        writer.hear(lambda: writer.said.count("locked") > 2)
        tool.process.kill()
    there = len(writer.said)
    writer.hear(lambda: len(writer.said) > there + 20)
    writer.process.kill()
    writer.process.wait()
    store, rows = SqliteStore(path, node="n1"), list[Row]()
    follow(store, rows)
    acked = writer.acked()
    assert acked == list(range(2, acked[-1] + 1)) and acked[-1] in (rows[-1].rev, rows[-1].rev - 1)
    store.close()


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="only Linux says who has a lock")
def test_who_is_in_a_write_is_known(path: str) -> None:
    """Given an open store; when a tool begins a transaction, and ends it; then the store can say who it is, and that it
    is nobody; a process that has not opened the database cannot say."""
    store = SqliteStore(path, node="n1")
    assert store.writer() == 0
    with Tool(path) as tool:
        tool.execute("BEGIN IMMEDIATE")
        assert store.writer() == tool.process.pid
        with pytest.raises(Locked, match=rf"process {tool.process.pid} \(python.*\) holds its lock"):
            store.acquire(this_holder("primary"), store.lease(), 1)
        tool.execute("COMMIT")
        assert store.writer() == 0
    store.close()
    assert writer_of(path) is None


def test_copies_that_are_made_under_load(tmp_path: Path, path: str, start: Callable[[str, str], Writer]) -> None:
    """Given a writer under load; when a tool copies the database again and again; then each copy is a database with
    everything that was acked before, and the writer hears nothing of it."""
    writer = start(path, "load")
    writer.begin()
    writer.hear(lambda: len(writer.said) > 50)
    copies = [(str(tmp_path / f"copy{number}.db"), number % 2) for number in range(6)]
    acked = []
    with Tool(path) as tool:
        for target, backed_up in copies:
            acked.append(writer.acked()[-1])
            if backed_up:
                tool.backup(target, pages=-1)
            else:
                tool.execute("VACUUM INTO ?", target)
    writer.process.kill()
    writer.process.wait()
    assert "locked" not in writer.said
    for (target, _), before in zip(copies, acked, strict=True):
        copy, rows = SqliteStore(target, node="n1"), list[Row]()
        follow(copy, rows)
        assert rows[-1].rev >= before and copy._db.pragma("integrity_check") == "ok"
        epoch, rev = copy.acquire(BACKUP, copy.lease(), 0)
        copy.commit(Row(rev + 1, epoch, 10**6, b"mine", b""))
        copy.close()


def test_a_writer_that_stopped_inside_a_transaction(path: str, start: Callable[[str, str], Writer]) -> None:
    """Given a holder stopped with the lock in its hand; when its lease runs out; then it is killed and followed."""
    writer = start(path, "inside")
    store = SqliteStore(path, node="n1")
    writer.begin()
    writer.hear(writer.is_stopped)
    pair = Pair(BACKUP, lease_timeout=2.0)
    lease = store.lease()
    assert lease.holder is not None
    assert pair.observe(0.0, lease, is_alive(lease.holder)) is Action.FOLLOW
    with pytest.raises(Locked):
        store.acquire(BACKUP, lease, 0)
    lease = store.lease()
    assert pair.observe(2.0, lease, is_alive(lease.holder or BACKUP)) is Action.KILL
    assert kill(lease.holder or BACKUP)
    assert writer.process.wait() == -signal.SIGKILL
    assert pair.handle(Event.KILLED) is Action.ACQUIRE
    _, rev = store.acquire(BACKUP, lease, 0)
    assert pair.acquired(2.1) is Action.SERVE and pair.state is State.ACTIVE
    rows: list[Row] = []
    follow(store, rows)
    assert writer.acked()[-1] == rev - 1, "what it acked is there, what it was about to write is not"
    assert b"never" not in [row.changes for row in rows] and ("t", "inside", b"1") not in store.load().records
    store.close()


def test_a_writer_that_stopped_between_look_and_commit(path: str, start: Callable[[str, str], Writer]) -> None:
    """Given a holder stopped after a look at its lease; when it goes on after a take-over; then it is fenced."""
    writer = start(path, "before")
    store = SqliteStore(path, node="n1")
    writer.begin()
    writer.hear(writer.is_stopped)
    epoch, rev = store.acquire(BACKUP, store.lease(), 0)
    store.commit(Row(rev + 1, epoch, 10**6, b"mine", b""))
    os.kill(writer.process.pid, signal.SIGCONT)
    writer.hear(lambda: "fenced" in writer.said)
    assert [row.changes for row in store.tail(rev)] == [b"mine"]
    with pytest.raises(Fenced):
        store.acquire(BACKUP, store.lease()._replace(renewed_us=-1), 0)
    store.close()


def test_who_is_alive() -> None:
    """Given processes; then a running and a stopped one are alive, an ended one is not, and elsewhere nobody knows."""
    here = this_holder("primary")
    assert is_alive(here) is True
    assert is_alive(msgspec.structs.replace(here, started=here.started - 1)) is False
    for place in ({"host": "elsewhere"}, {"boot": "other"}, {"namespace": "pid:[1]"}):
        assert is_alive(msgspec.structs.replace(here, **place)) is None
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = int(Path(f"/proc/{child.pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    holder = msgspec.structs.replace(here, pid=child.pid, started=started)
    child.send_signal(signal.SIGSTOP)
    assert is_alive(holder) is True
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_alive(holder) is False, "ended, not yet waited for"
    child.communicate()
    assert is_alive(holder) is False


def test_only_the_recorded_process_is_killed() -> None:
    """Given a process; when told to kill one of another start, boot, or itself; then nothing is; the right one is."""
    here = this_holder("primary")
    echo = "while True: print(input(), flush=True)"
    child = subprocess.Popen([sys.executable, "-c", echo], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None and child.stdout is not None
    started = int(Path(f"/proc/{child.pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    holder = msgspec.structs.replace(here, pid=child.pid, started=started)
    assert not kill(here)
    assert not kill(msgspec.structs.replace(holder, boot="other"))
    assert kill(msgspec.structs.replace(holder, started=started + 1)), "that one is gone"
    child.stdin.write(b"still here\n")
    child.stdin.flush()
    assert child.stdout.readline() == b"still here\n"
    child.send_signal(signal.SIGSTOP)
    assert kill(holder) and child.wait() == -signal.SIGKILL
    child.communicate()
    assert kill(holder), "it is gone"
