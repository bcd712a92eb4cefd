"""A simulated database: what both members of a pair see, and how it fails.

A :class:`Disk` is durable; a :class:`SimStore` is one process's connection to it, with the law of
:class:`node.store.sqlite.SqliteStore` (a test holds the two against each other). A write is done whole or not at all,
but its caller may die before or after that, may be told of a failure although it was done, or may stand still inside
of it with the database's lock in its hands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import TypeVar

import msgspec

from broker.config.objects import CustomProperty
from broker.messages.objects import Interaction
from broker.wire import PackedEvent, unpack_events
from node.store import (
    Arranged,
    Corrupt,
    DiskFailure,
    Fenced,
    Fold,
    Holder,
    JournalCut,
    Lease,
    Loaded,
    Locked,
    Past,
    Row,
)
from tests.sim.heap import Heap

KEPT_ROWS = 16
TOOL_PID = 10**9

Result = TypeVar("Result")

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(Interaction).decode


class Mishap(Enum):
    """What happens to a process in its next write."""

    DIE_BEFORE = "it dies before the write"
    DIE_AFTER = "it dies when the write is done"
    FAIL_BEFORE = "the write fails"
    FAIL_AFTER = "the write is done, but the caller is told that it has failed"
    FREEZE_BEFORE = "it stands still before the write begins"
    FREEZE_INSIDE = "it stands still inside the transaction"
    FREEZE_AFTER = "it stands still when the write is done"


def _nothing() -> None:
    pass


class User:
    """The process that uses a store: what may happen to it there.

    :param dies: ends the process (raises); :param freezes: lets it stand still
    ``pid`` and ``host`` say which process it is.
    """

    def __init__(self, dies: Callable[[], None], freezes: Callable[[], None]) -> None:
        self.dies = dies
        self.freezes = freezes
        self.next: Mishap | None = None
        self.pid, self.host = 0, ""

    def meets(self, *mishaps: Mishap) -> bool:
        """Whether one of these is what is to happen next; then it is over."""
        if self.next in mishaps:
            self.next = None
            return True
        return False


class Disk:
    """One node's database.

    :param committed: is told of each row, at the moment it is durable
    """

    def __init__(self, node: str, heap: Heap, committed: Callable[[str, Row], None]) -> None:
        self.node = node
        self.path = f"{node}.db"
        self.lease = Lease(0, None, 0, True)
        self.rows: list[Row] = []
        self.interactions: dict[str, bytes] = {}
        self.records: dict[tuple[str, str], bytes] = {}
        self.folded_rev = 0
        self.locked_by: User | None = None
        self.tool = User(_nothing, _nothing)
        """A process that is none of the cluster's, on every host."""
        self.tool.pid = TOOL_PID
        self.sick: Callable[[], bool] | None = None
        """Whether a call fails now; None: all is well."""
        self.heap = heap
        self._committed = committed

    @property
    def last_rev(self) -> int:
        """Of the last row, 0 in an empty journal."""
        return self.rows[-1].rev if self.rows else 0

    @property
    def last_us(self) -> int:
        """Its time."""
        return self.rows[-1].us if self.rows else 0

    @property
    def epoch(self) -> int | None:
        """The one that may write."""
        return None if self.lease.released else self.lease.epoch

    def append(self, row: Row) -> None:
        """The row is durable from here on."""
        self.rows.append(row)
        self._committed(self.node, row)

    def renew(self, us: int) -> None:
        """The lease is renewed."""
        self.lease = self.lease._replace(renewed_us=max(us, self.lease.renewed_us + 1))


class SimStore:
    """See :class:`node.store.Store`."""

    durability = "full"
    behind = 0

    def __init__(self, disk: Disk, user: User) -> None:
        self.disk = disk
        self._user = user
        self._epoch: int | None = None
        self._last_rev = self._last_us = 0

    # -- the lease

    def lease(self) -> Lease:
        self._look()
        return self.disk.lease

    def acquire(self, holder: Holder, expected: Lease, us: int) -> tuple[int, int]:
        self._epoch = None
        epoch, rev, last_us = self._write(lambda: self._acquire(holder, expected, us))
        self._epoch, self._last_rev, self._last_us = epoch, rev, last_us
        return epoch, rev

    def _acquire(self, holder: Holder, expected: Lease, us: int) -> tuple[int, int, int]:
        disk, lease = self.disk, self.disk.lease
        if lease == expected:
            disk.lease = Lease(expected.epoch + 1, holder, max(us, lease.renewed_us + 1), False)
            disk.append(Row(disk.last_rev + 1, disk.lease.epoch, max(us, disk.last_us), b"", b""))
        elif lease.epoch != expected.epoch + 1 or lease.holder != holder or lease.released:
            raise Fenced(f"epoch {lease.epoch}: the lease is not as it was read")
        return expected.epoch + 1, disk.last_rev, disk.last_us

    def renew(self, epoch: int, us: int) -> None:
        self._require(epoch)
        self._write(lambda: self._renew(epoch, us))

    def _renew(self, epoch: int, us: int) -> None:
        self._require_epoch(epoch)
        self.disk.renew(us)

    def release(self, epoch: int, us: int) -> None:
        self._require(epoch)
        self._write(lambda: self._release(epoch, us))

    def _release(self, epoch: int, us: int) -> None:
        if self.disk.lease.epoch != epoch:
            raise self._fenced(f"epoch {epoch} is over")
        self.disk.renew(us)
        self.disk.lease = self.disk.lease._replace(released=True)
        self._epoch = None

    # -- the journal

    def commit(self, row: Row, renew_us: int | None = None, fold: Fold | None = None) -> None:
        self._require(row.epoch)
        if row.rev != self._last_rev + 1 or row.us < self._last_us:
            raise ValueError(f"row {row.rev} at {row.us} after row {self._last_rev} at {self._last_us}")
        self._write(lambda: self._commit(row, renew_us, fold))
        self._last_rev, self._last_us = row.rev, row.us

    def _commit(self, row: Row, renew_us: int | None, fold: Fold | None) -> None:
        disk = self.disk
        self._require_epoch(row.epoch)
        known = row.rev <= disk.last_rev
        if known and row not in disk.rows:
            raise self._fenced(f"rev {row.rev} is another row")
        if renew_us is not None:
            disk.renew(renew_us)
        if fold is not None:
            self._fold(fold)
        if not known:
            disk.append(row)

    def tail(self, after_rev: int, limit: int = 256, max_bytes: int = 8 << 20) -> list[Row]:
        self._look()
        disk = self.disk
        if disk.last_rev == after_rev:
            return []
        if disk.last_rev < after_rev:
            raise Corrupt(disk.path, f"the journal ends at {disk.last_rev}, and held row {after_rev} before")
        first = disk.rows[0].rev
        if first > after_rev + 1:
            raise JournalCut(disk.path, f"row {after_rev + 1} was cut, the journal begins at {first}")
        return disk.rows[after_rev + 1 - first :][:limit]

    def events(self, after_us: int, limit: int, max_bytes: int = 8 << 20) -> Past:
        self._look()
        first_seq, found = 0, list[PackedEvent]()
        for row in self.disk.rows:
            if row.us <= after_us or not row.events:
                continue
            batch = unpack_events(row.events)
            for seq, event in enumerate(batch.events, batch.first_seq):
                if event.us <= after_us:
                    continue
                if len(found) >= limit:
                    return Past(first_seq, found, True)
                first_seq = first_seq or seq
                found.append(event)
        return Past(first_seq, found, False)

    def cut(self, epoch: int, before_us: int, limit: int = 256, up_to_rev: int | None = None) -> int:
        self._require(epoch)
        return self._write(lambda: self._cut(epoch, before_us, limit, up_to_rev))

    def _cut(self, epoch: int, before_us: int, limit: int, up_to_rev: int | None) -> int:
        self._require_epoch(epoch)
        disk = self.disk
        last = min(disk.folded_rev, disk.last_rev - KEPT_ROWS, disk.last_rev if up_to_rev is None else up_to_rev)
        revs = [row.rev for row in disk.rows[:limit] if row.us < before_us and row.rev <= last]
        count = len(disk.rows)
        disk.rows = [row for row in disk.rows if row.rev > max(revs, default=0)]
        return count - len(disk.rows)

    def journal_rows(self) -> int:
        self._look()
        return len(self.disk.rows)

    # -- the tables

    def load(self) -> Loaded:
        self._look()
        return Loaded(self.disk.folded_rev, self._interactions(), self._records())

    def _interactions(self) -> Iterator[Interaction]:
        self._look()
        for data in list(self.disk.interactions.values()):
            yield _decode(data)

    def _records(self) -> Iterator[tuple[str, str, bytes]]:
        self._look()
        for (table, key), data in sorted(self.disk.records.items()):
            yield table, key, data

    def fold(self, epoch: int, fold: Fold) -> None:
        self._require(epoch)
        self._write(lambda: self._fold_alone(epoch, fold))

    def arrange(self, epoch: int, custom: Mapping[str, CustomProperty]) -> Arranged:
        """Interactions are whole documents here: there are no columns to be made."""
        self._require(epoch)
        return Arranged(False, [])

    def _fold_alone(self, epoch: int, fold: Fold) -> None:
        self._require_epoch(epoch)
        self._fold(fold)

    def _fold(self, fold: Fold) -> None:
        disk = self.disk
        for interaction in fold.interactions:
            disk.interactions[interaction.interaction_id] = _encode(interaction)
        for ident in fold.gone:
            disk.interactions.pop(ident, None)
        for table, key, data in fold.records:
            disk.records[table, key] = bytes(data)
        for dropped in fold.dropped:
            disk.records.pop(dropped, None)
        if fold.folded_rev is not None:
            disk.folded_rev = max(disk.folded_rev, fold.folded_rev)

    # -- housekeeping

    def checkpoint(self) -> None:
        self._require(self._epoch)

    def writer(self) -> int | None:
        by = self.disk.locked_by
        return by.pid if by is not None and by.host in ("", self._user.host) else 0

    def close(self) -> None:
        self._epoch = None

    # -- below all of them

    def _look(self) -> None:
        if self.disk.sick is not None and self.disk.sick():
            raise DiskFailure(self.disk.path, "does not answer")

    def _write(self, act: Callable[[], Result]) -> Result:
        """One transaction, with what may happen to its caller."""
        user, disk = self._user, self.disk
        if user.meets(Mishap.DIE_BEFORE):
            user.dies()
        if user.meets(Mishap.FREEZE_BEFORE):
            user.freezes()
        self._look()
        if user.meets(Mishap.FAIL_BEFORE):
            raise DiskFailure(disk.path, "cannot be written")
        if disk.locked_by is not None and disk.locked_by is not user:
            raise Locked(disk.path, "another process holds its lock")
        if user.meets(Mishap.FREEZE_INSIDE):
            disk.locked_by = user
            try:
                user.freezes()
            finally:
                disk.locked_by = None
        result = act()
        if user.meets(Mishap.DIE_AFTER):
            user.dies()
        if user.meets(Mishap.FREEZE_AFTER):
            user.freezes()
        if user.meets(Mishap.FAIL_AFTER):
            raise DiskFailure(disk.path, "nobody knows whether it was written")
        return result

    def _require(self, epoch: int | None) -> None:
        if epoch is None or epoch != self._epoch:
            raise self._fenced(f"epoch {epoch} is not held here")

    def _require_epoch(self, epoch: int) -> None:
        if self.disk.epoch != epoch:
            raise self._fenced(f"epoch {epoch} is over")

    def _fenced(self, why: str) -> Fenced:
        self._epoch = None
        return Fenced(why)
