"""What a node must not lose: the journal, the lease of the pair, and the plain tables behind the journal.

This file says what a store is; it imports no database, so the pure modules may use its types. How a commit is safe:

- a batch is one :class:`Row`; ``rev`` rises by one and is the primary key;
- whoever holds the lease has an *epoch*; every write checks it inside its own transaction, so a member that was
  replaced meanwhile cannot write anything (:class:`Fenced`), however long it was stopped between deciding and writing;
- a commit that failed (:class:`StoreFailure`) may be asked for again, also when nobody can say whether it was done.

What is read from the journal is what was written, or :class:`Corrupt`: each row has a checksum. The tables have none;
their values are checked for type and place only.

The tables are a fuzzy copy of the journal up to ``folded_rev``: a start loads them and applies every later row again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from broker.config.objects import CustomProperty
from broker.messages.objects import Interaction
from broker.wire import PackedEvent


class Row(NamedTuple):
    """One batch in the journal.

    :param rev: 1, 2, 3 …, without a gap
    :param epoch: of the member that wrote it
    :param us: µs, not below the time of any of its events and not below the row before
    :param changes: for :meth:`NodeCore.apply`; empty in the row that a take-over writes
    :param events: ``wire.pack(wire.Events)``, or empty
    """

    rev: int
    epoch: int
    us: int
    changes: bytes
    events: bytes


class Holder(Struct, frozen=True):
    """The process that holds the lease, named so that nobody else can be mistaken for it.

    :param host: its name, for people
    :param boot: id of this start of the machine; pids of another one mean nothing
    :param pid: in its own pid namespace
    :param started: when the process started, in ticks since boot; tells it from a later one with the same pid
    :param member: ``primary`` or ``backup``
    :param namespace: of its pids, where the system has such a thing
    """

    host: str
    boot: str
    pid: int
    started: int
    member: str
    namespace: str = ""


class Lease(NamedTuple):
    """Who may write.

    :param epoch: rises with every take-over; 0: nobody has ever held it
    :param renewed_us: changes with every renewal and never repeats; the holder's time in µs, for people
    :param released: the holder gave it up, or this file is a copy: in it nobody writes until it is taken
    """

    epoch: int
    holder: Holder | None
    renewed_us: int
    released: bool


class Fold(NamedTuple):
    """What to write to the tables in one transaction.

    :param interactions: their current state, inserted or overwritten
    :param gone: ids to delete; one that is not there is no fault
    :param records: (table, key, JSON), inserted or overwritten
    :param dropped: (table, key) to delete
    :param folded_rev: with the last slice of a round: the tables hold everything up to this row
    :param filled: with the last slice after :meth:`Store.arrange`: it has all been written since
    """

    interactions: Sequence[Interaction] = ()
    gone: Sequence[str] = ()
    records: Sequence[tuple[str, str, bytes]] = ()
    dropped: Sequence[tuple[str, str]] = ()
    folded_rev: int | None = None
    filled: bool = False


class Arranged(NamedTuple):
    """What custom properties have become in the tables.

    :param stale: some column does not have the values of all interactions yet: all are to be folded again
    :param notes: what was done, a sentence each, for the log
    """

    stale: bool
    notes: list[str]


class Loaded(NamedTuple):
    """The tables, read a stretch at a time. Apply every journal row after ``folded_rev`` over them."""

    folded_rev: int
    interactions: Iterator[Interaction]
    records: Iterator[tuple[str, str, bytes]]


class Past(NamedTuple):
    """Reporting events out of the journal.

    :param first_seq: of the first; 0 if there is none
    :param more: there are later ones
    """

    first_seq: int
    events: list[PackedEvent]
    more: bool


class Fenced(Exception):
    """Another member holds the lease (or this one gave it up): nothing was written, and nothing may be acked."""


class StoreFailure(Exception):
    """The database did not do it. The store is usable: the same call may be made again.

    :param path: of the database, as it was given
    :param reason: one sentence for a person
    """

    remedy = "try again"
    """What a person is to do."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"database {path}: {reason}")
        self.path = path
        self.reason = reason


class DiskFull(StoreFailure):
    """No space is left."""

    remedy = "make room on the disk"


class DiskFailure(StoreFailure):
    """The disk refuses to read or write, or the file cannot be opened."""

    remedy = "look at the disk, and at the rights of the file and its folder"


class Locked(StoreFailure):
    """Another process has held the database's lock for too long."""

    remedy = "end the process that holds the lock"


class Altered(StoreFailure):
    """The tables do not take what a node writes: somebody has put an index, a trigger or a view of his own there."""

    remedy = "look at what was added to the tables, and remove it"


class Refused(StoreFailure):
    """Trying again is of no use: an operator has to look at this database."""


class Corrupt(Refused):
    """The database is damaged."""

    remedy = "keep the file, put a copy in its place (see Backup in docs/operations.md), start the members again"


class WrongDatabase(Refused):
    """Not a database of this node, of this schema, or of any kind this release can use; or not the file any more that
    was opened."""

    remedy = "put the node's own file there, or change the node's `database` in the configuration"


class OldSqlite(Refused):
    """This SQLite may damage a database that two processes use (it is older than 3.51.3)."""

    remedy = "install a newer apsw"


class JournalCut(StoreFailure):
    """The rows asked for were cut from the journal: the reader was away for too long and has to load again."""


class Store(Protocol):
    """A node's database, as one member sees it. Any method raises :class:`StoreFailure`; writing ones also
    :class:`Fenced`. Whoever has not acquired the lease only reads, in short reads."""

    def lease(self) -> Lease:
        """Who holds the lease now."""

    def acquire(self, holder: Holder, expected: Lease, us: int) -> tuple[int, int]:
        """Takes the lease over: the next epoch and, in the same transaction, an empty next row of the journal.

        :param expected: the lease as it was read; if it has changed since, by a renewal too, this is :class:`Fenced`
        :param us: the time now in µs
        :returns: epoch and rev of the empty row; the caller is to apply everything up to it before it serves
        """

    def commit(self, row: Row, renew_us: int | None = None, fold: Fold | None = None) -> None:
        """One transaction: the row, and if given a renewal of the lease and a slice of folding.

        Asked for again after a failure, with the same row, it is done once.

        :raises ValueError: the row is not the next one
        """

    def renew(self, epoch: int, us: int) -> None:
        """Renews the lease without a row."""

    def release(self, epoch: int, us: int) -> None:
        """Gives the lease up: the other member takes over at once. This store only reads from then on."""

    def tail(self, after_rev: int, limit: int = 256, max_bytes: int = 8 << 20) -> list[Row]:
        """The next rows after ``after_rev``, oldest first: at least one if there are any. Cheap when nothing is new.

        :raises JournalCut: the next row is not there any more
        """

    def load(self) -> Loaded:
        """The tables. Nothing is read before the iterators are used."""

    def fold(self, epoch: int, fold: Fold) -> None:
        """Writes a slice of folding by itself."""

    def arrange(self, epoch: int, custom: Mapping[str, CustomProperty]) -> Arranged:
        """Gives the custom properties that are mapped to a column this column. What is folded from then on by this
        store fills it; before, and in another tenure, custom properties are in the user data only."""

    def events(self, after_us: int, limit: int, max_bytes: int = 8 << 20) -> Past:
        """Up to ``limit`` reporting events with a time after ``after_us``, oldest first; at least one of them."""

    def cut(self, epoch: int, before_us: int, limit: int = 256, up_to_rev: int | None = None) -> int:
        """Removes up to ``limit`` of the oldest rows that are folded, older than ``before_us``, and not after
        ``up_to_rev``. The last rows always stay. :returns: how many; below ``limit``: that is all for now
        """

    def journal_rows(self) -> int:
        """How many rows the journal has; a bound of the node is on it."""

    def checkpoint(self) -> None:
        """Housekeeping of the active member, worth it when :attr:`behind` is large; takes milliseconds."""

    def writer(self) -> int | None:
        """The pid of the process that is in the middle of a write, 0 when none is; None: cannot be known here. Raises
        nothing."""

    @property
    def behind(self) -> int:
        """Pages that wait for :meth:`checkpoint`."""

    @property
    def durability(self) -> str:
        """``full``: what is committed survives the machine; ``normal``: only the process. Status shows it."""

    def close(self) -> None:
        """Ends the use of the database; the lease stays as it is."""


def open_store(url: str, *, node: str, synchronous: str = "full") -> Store:
    """The store at ``url``, made if there is none.

    :param url: ``sqlite:///PATH`` (``sqlite:////PATH`` from the root)
    :param node: name of the node it belongs to; a database of another node is refused
    :param synchronous: ``full``, or ``normal``: faster, and the last commits may be lost when the machine fails
    :raises StoreFailure: see its classes
    :raises ValueError: ``synchronous`` is neither
    """
    scheme, _, path = url.partition(":///")
    if scheme != "sqlite" or not path:
        raise WrongDatabase(url, "only sqlite:///PATH is served in this release")
    from .sqlite import SqliteStore  # here, so that the types above can be had without a database library

    return SqliteStore(path, node=node, synchronous=synchronous)
