"""A process that writes to a store until it is killed; run by test_store_processes. It says what was acked.

``store_writer.py PATH MODE``; the first line it prints is ``ready``, then it waits for a line. Every printed revision
was committed before. Modes: ``load`` writes without end; ``inside`` stops itself (SIGSTOP) inside a transaction;
``before`` stops itself between a look at its lease and the commit, and says what became of it when it goes on. A commit
that is refused because of a lock is asked for again, and ``locked`` is said.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

from node.store import Fenced, Fold, Locked, Row
from node.store.holder import this_holder
from node.store.sqlite import SqliteStore


def changes_of(rev: int) -> bytes:
    """What row ``rev`` holds, so that a reader can tell."""
    return b"%d " % rev * (rev * 7919 % 400)


def stopping_records() -> Iterator[tuple[str, str, bytes]]:
    """Records to fold, with a stop in the middle."""
    yield ("t", "inside", b"1")
    os.kill(os.getpid(), signal.SIGSTOP)
    yield ("t", "inside", b"2")


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def write(store: SqliteStore, epoch: int, rev: int) -> None:
    """One commit as an active member does it, with renewals, folding and checkpoints in between."""
    row = Row(rev, epoch, rev, changes_of(rev), b"")
    fold = Fold(records=[("t", str(rev % 50), b"%d" % rev)], folded_rev=rev - 10) if rev % 5 == 0 else None
    while True:
        try:
            store.commit(row, renew_us=rev if rev % 3 == 0 else None, fold=fold)
            break
        except Locked:
            say("locked")
    say(rev)
    if store.behind > 100:
        store.checkpoint()


def main(path: str, mode: str) -> None:
    store = SqliteStore(path, node="n1")
    say("ready")
    sys.stdin.readline()
    epoch, rev = store.acquire(this_holder("primary"), store.lease(), 0)
    stop_at = rev + 20
    while True:
        rev += 1
        if rev == stop_at and mode == "inside":
            store.commit(Row(rev, epoch, rev, b"never", b""), fold=Fold(records=stopping_records()))  # type: ignore[arg-type]
        if rev == stop_at and mode == "before":
            assert store.lease().epoch == epoch
            os.kill(os.getpid(), signal.SIGSTOP)
            try:
                store.commit(Row(rev, epoch, rev, b"stale", b""))
            except Fenced:
                return say("fenced")
        write(store, epoch, rev)


if __name__ == "__main__":
    main(*sys.argv[1:])
