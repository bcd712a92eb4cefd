"""The store on SQLite: both members of the pair open the same file on one host.

One connection in each process. It only reads (``query_only``) until the member has taken the lease, and again from the
moment it lost it. No read stays open: a stuck reader would let the write-ahead log grow without end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, suppress
from functools import wraps
from itertools import islice
from typing import Any, Concatenate, ParamSpec, TypeVar

import apsw
import msgspec

from broker.config.objects import CustomProperty
from broker.messages.objects import Interaction
from broker.wire import Events, PackedEvent, unpack_events

from . import (
    Arranged,
    Corrupt,
    Fenced,
    Fold,
    Holder,
    JournalCut,
    Lease,
    Loaded,
    Past,
    Row,
    WrongDatabase,
    schema,
)
from .columns import from_rows, limited, strange
from .custom import Custom, arrange
from .database import file_number, open_database
from .faults import failure
from .rows import from_values, to_values
from .writer import writer

LOAD_ROWS = 2000
LOAD_BYTES = 8 << 20
"""Bounds of one read while loading."""
LOAD_AT_ONCE = 20
"""Rows that are read between two looks at how many bytes there are."""

Given = ParamSpec("Given")
Result = TypeVar("Result")
_encode = msgspec.json.Encoder().encode
_decode_holder = msgspec.json.Decoder(Holder).decode


def _shielded(
    method: Callable[Concatenate[SqliteStore, Given], Result],
) -> Callable[Concatenate[SqliteStore, Given], Result]:
    """No transaction outlives a call that fails, and the caller sees the store's exceptions only."""

    @wraps(method)
    def call(store: SqliteStore, /, *given: Given.args, **named: Given.kwargs) -> Result:
        try:
            return method(store, *given, **named)
        except BaseException as error:
            store._undo()
            if isinstance(error, Fenced):
                store._only_read()
            meaning = failure(store.path, error)
            if meaning is None:
                raise
            raise meaning from error

    return call


class SqliteStore:
    """See :class:`node.store.Store`.

    :param path: of the file; made, with its folder, if there is none
    :param vfs: another VFS below, for tests of faults
    """

    def __init__(self, path: str, *, node: str, synchronous: str = "full", vfs: str | None = None) -> None:
        if synchronous not in ("full", "normal"):
            raise ValueError(f"synchronous is full or normal, not {synchronous!r}")
        self.path = path
        self.durability = synchronous
        self._epoch: int | None = None
        self._last_rev = self._last_us = 0
        self._wal_pages = self._checkpointed = 0
        self._custom = Custom()
        self._db = open_database(path, node=node, synchronous=synchronous, vfs=vfs)
        self._db.set_wal_hook(self._committed)
        self._file = file_number(self._db.filename)

    # -- the lease

    @_shielded
    def lease(self) -> Lease:
        row = self._db.execute(schema.SELECT_LEASE, (self._file,)).get
        if row is None or (type(row[0]), type(row[2])) != (int, int):
            raise Corrupt(self.path, "has no lease")
        epoch, holder, renewed_us, released = row
        return Lease(epoch, _decode_holder(holder) if holder is not None else None, renewed_us, bool(released))

    def acquire(self, holder: Holder, expected: Lease, us: int) -> tuple[int, int]:
        self._db.execute("PRAGMA query_only = OFF")
        try:
            self._epoch, self._last_rev, self._last_us = self._take(holder, expected, us)
        except BaseException:
            self._only_read()
            raise
        return self._epoch, self._last_rev

    @_shielded
    def _take(self, holder: Holder, expected: Lease, us: int) -> tuple[int, int, int]:
        self._require_file()
        self._db.execute("BEGIN IMMEDIATE")
        lease = self.lease()
        if lease == expected:
            last_rev, last_us = self._last()
            rev, us = last_rev + 1, max(us, last_us)
            self._db.execute(schema.TAKE_LEASE, (expected.epoch + 1, _encode(holder), us, self._file))
            self._db.execute(schema.APPEND, to_values(Row(rev, expected.epoch + 1, us, b"", b"")))
        elif lease.epoch != expected.epoch + 1 or lease.holder != holder or lease.released:
            raise Fenced(f"epoch {lease.epoch}: the lease is not as it was read")
        # else it was done before, by a call of ours that did not live to see it
        last_rev, last_us = self._last()
        self._db.execute("COMMIT")
        return expected.epoch + 1, last_rev, last_us

    @_shielded
    def renew(self, epoch: int, us: int) -> None:
        self._require(epoch)
        self._require_file()
        self._db.execute(schema.RENEW_LEASE, (us, epoch))
        self._require_change()

    @_shielded
    def release(self, epoch: int, us: int) -> None:
        self._require(epoch)
        self._db.execute(schema.RELEASE_LEASE, (us, epoch))
        self._require_change()
        self._only_read()

    # -- the journal

    @_shielded
    def commit(self, row: Row, renew_us: int | None = None, fold: Fold | None = None) -> None:
        self._require(row.epoch)
        if row.rev != self._last_rev + 1 or row.us < self._last_us:
            raise ValueError(f"row {row.rev} at {row.us} after row {self._last_rev} at {self._last_us}")
        if renew_us is not None:
            self._require_file()
        if renew_us is None and fold is None:
            self._append(row)
        else:
            self._db.execute("BEGIN IMMEDIATE")
            self._append(row)
            if renew_us is not None:
                self._db.execute(schema.RENEW_LEASE, (renew_us, row.epoch))
            if fold is not None:
                self._write(fold)
            self._db.execute("COMMIT")
        self._last_rev, self._last_us = row.rev, row.us

    def _append(self, row: Row) -> None:
        """:raises Fenced: another epoch writes now, or this epoch has written another row ``rev``"""
        try:
            self._db.execute(schema.APPEND, to_values(row))
        except apsw.ConstraintError:
            if self._rows(schema.SELECT_ROW, (row.rev,), 1) != [row]:
                raise Fenced(f"rev {row.rev} is another row") from None
            return  # it was done, by a call that failed after that
        self._require_change()

    @_shielded
    def tail(self, after_rev: int, limit: int = 256, max_bytes: int = 8 << 20) -> list[Row]:
        last = self._db.execute(schema.LAST_REV).get or 0
        if last == after_rev:
            return []
        if last < after_rev:
            raise Corrupt(self.path, f"the journal ends at {last}, and held row {after_rev} before")
        rows = self._rows(schema.SELECT_TAIL, (after_rev, limit), max_bytes)
        if rows[0].rev != after_rev + 1:
            raise JournalCut(self.path, f"row {after_rev + 1} was cut, the journal begins at {rows[0].rev}")
        if rows[-1].rev != after_rev + len(rows):
            raise Corrupt(self.path, f"a row of the journal between {after_rev} and {rows[-1].rev} is missing")
        return rows

    @_shielded
    def events(self, after_us: int, limit: int, max_bytes: int = 8 << 20) -> Past:
        first_seq, found, size = 0, list[PackedEvent](), 0
        with closing(self._batches(after_us)) as batches:
            for batch in batches:
                for seq, event in enumerate(batch.events, batch.first_seq):
                    if event.us <= after_us:
                        continue
                    size += len(event.topic) + len(event.payload)
                    if found and (len(found) >= limit or size > max_bytes):
                        return Past(first_seq, found, True)
                    first_seq = first_seq or seq
                    found.append(event)
        return Past(first_seq, found, False)

    def _batches(self, after_us: int) -> Generator[Events, None, None]:
        """The rows' events, the first of them perhaps before ``after_us``; to be closed, for it reads as it goes."""
        cursor, next_seq = self._db.execute(schema.SELECT_EVENTS, (after_us,)), 0
        try:
            for values in cursor:
                batch = unpack_events(from_values(self.path, values).events)
                if next_seq not in (0, batch.first_seq):  # rows have checksums, the index that leads to them has none
                    raise Corrupt(self.path, f"the journal's index misses the event {next_seq}")
                next_seq = batch.first_seq + len(batch.events)
                yield batch
        finally:
            cursor.close()

    @_shielded
    def cut(self, epoch: int, before_us: int, limit: int = 256, up_to_rev: int | None = None) -> int:
        self._begin(epoch)
        self._db.execute(schema.CUT, (limit, before_us, self._last_rev if up_to_rev is None else up_to_rev))
        removed = self._db.changes()
        self._db.execute("COMMIT")
        return removed

    @_shielded
    def journal_rows(self) -> int:
        last = self._db.execute(schema.LAST_REV).get
        return 0 if last is None else int(last - self._db.execute(schema.FIRST_REV).get + 1)

    # -- the tables

    @_shielded
    def fold(self, epoch: int, fold: Fold) -> None:
        self._begin(epoch)
        self._write(fold)
        self._db.execute("COMMIT")

    @_shielded
    def arrange(self, epoch: int, custom: Mapping[str, CustomProperty]) -> Arranged:
        self._begin(epoch)
        writing, arranged = arrange(self._db, custom)
        self._db.execute("COMMIT")
        self._custom = writing
        return arranged

    def _write(self, fold: Fold) -> None:
        put, values = self._custom
        try:
            self._db.executemany(put, map(values, fold.interactions))
        except OverflowError:
            self._db.executemany(put, (limited(values(interaction)) for interaction in fold.interactions))
        self._db.executemany(schema.DROP_INTERACTION, ((ident,) for ident in fold.gone))
        self._db.executemany(schema.PUT_RECORD, fold.records)
        self._db.executemany(schema.DROP_RECORD, fold.dropped)
        if fold.folded_rev is not None:
            self._db.execute(schema.SET_FOLDED_REV, (fold.folded_rev,))
        if fold.filled:
            self._db.execute(schema.SET_FILLED)

    @_shielded
    def load(self) -> Loaded:
        folded_rev = msgspec.convert(self._db.execute(schema.FOLDED_REV).get, int)
        return Loaded(folded_rev, self._interactions(), self._records())

    def _interactions(self) -> Iterator[Interaction]:
        after = 0
        while rows := self._stretch(schema.SELECT_INTERACTIONS, (after, LOAD_ROWS)):
            for row in rows:
                if row[0] <= after:  # what comes in the wrong order would be passed over by the next stretch
                    raise Corrupt(self.path, f"row {row[0]} of interactions is not in its place")
                after = row[0]
            yield from self._made(rows)

    def _made(self, rows: list[tuple[Any, ...]]) -> list[Interaction]:
        """:raises Corrupt: one of them is none that a node wrote; it is looked for one by one"""
        try:
            return from_rows(rows)
        except (msgspec.DecodeError, TypeError) as error:
            if len(rows) > 1:
                return [interaction for row in rows for interaction in self._made([row])]
            raise Corrupt(
                self.path, f"row {rows[0][0]} of interactions is none that a node wrote ({strange(rows[0])})"
            ) from error

    def _records(self) -> Iterator[tuple[str, str, bytes]]:
        after = ("", "")
        while rows := self._stretch(schema.SELECT_RECORDS, (*after, LOAD_ROWS)):
            for row in rows:
                if tuple(map(type, row)) != (str, str, bytes) or row[:2] <= after:
                    raise Corrupt(self.path, f"row {row[:2]} of records is none that a node wrote")
                after = row[:2]
                yield row

    @_shielded
    def _stretch(self, sql: str, given: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """The next rows of a table: until their last columns have :data:`LOAD_BYTES`, about."""
        rows, size = list[tuple[Any, ...]](), 0
        with closing(self._db.execute(sql, given)) as cursor:
            while size < LOAD_BYTES and (some := list(islice(cursor, LOAD_AT_ONCE))):
                rows += some
                size += sum(len(row[-1]) for row in some if type(row[-1]) is bytes)
        return rows

    # -- housekeeping

    @property
    def behind(self) -> int:
        return self._wal_pages - self._checkpointed

    @_shielded
    def checkpoint(self) -> None:
        self._require(self._epoch)
        if self.lease().epoch != self._epoch:
            raise Fenced("only the active member checkpoints")
        self._wal_pages, self._checkpointed = self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def close(self) -> None:
        self._epoch = None
        self._db.close()

    def _committed(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        """SQLite tells after each commit how many pages the log has; fewer than before: it began anew."""
        if pages < self._wal_pages:
            self._checkpointed = 0
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def writer(self) -> int | None:
        return writer(self.path)

    # -- below all of them

    def _begin(self, epoch: int) -> None:
        """Begins a transaction of the active member. :raises Fenced: it is not ``epoch``'s turn"""
        self._require(epoch)
        self._db.execute("BEGIN IMMEDIATE")
        if self._db.execute(schema.EPOCH).get != epoch:
            raise Fenced(f"epoch {epoch} is over")

    def _require(self, epoch: int | None) -> None:
        if epoch is None or epoch != self._epoch:
            raise Fenced(f"epoch {epoch} is not held here")

    def _require_change(self) -> None:
        if self._db.changes() != 1:
            raise Fenced(f"epoch {self._epoch} is over")

    def _require_file(self) -> None:
        """:raises WrongDatabase: the file has lost its name: what is written to it would be lost with this process"""
        if file_number(self._db.filename) != self._file:
            raise WrongDatabase(self.path, "was removed or replaced while this process used it")

    def _last(self) -> tuple[int, int]:
        """Rev and time of the last row, 0 and 0 in an empty journal."""
        for row in self._rows(schema.SELECT_LAST, (), 1):
            return row.rev, row.us
        return 0, 0

    def _rows(self, sql: str, given: tuple[Any, ...], max_bytes: int) -> list[Row]:
        return [from_values(self.path, values) for values in self._fetch(sql, given, max_bytes)]

    def _fetch(self, sql: str, given: tuple[Any, ...], max_bytes: int) -> list[Any]:
        """The rows of a query until their last two columns have ``max_bytes``; at least one if there is any."""
        rows, size = list[Any](), 0
        cursor = self._db.execute(sql, given)
        for row in cursor:
            for value in row[-2:]:
                if type(value) is bytes:
                    size += len(value)
            if rows and size > max_bytes:
                break
            rows.append(row)
        cursor.close()
        return rows

    def _undo(self) -> None:
        """Ends a transaction that failed. Most I/O errors have ended it already; the first error is the one to tell."""
        if self._db.in_transaction:
            with suppress(apsw.Error):
                self._db.execute("ROLLBACK")

    def _only_read(self) -> None:
        self._epoch = None
        self._db.execute("PRAGMA query_only = ON")
