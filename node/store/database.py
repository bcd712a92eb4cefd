"""One SQLite file: made whole or not at all, and opened only if it is what it should be.

Two processes use a file at once. So SQLite has to be new enough (3.7.0 to 3.51.2 can damage a WAL database when two
processes checkpoint and write at the same moment), no connection checkpoints by itself, and ``mmap_size`` stays 0.
It is a plain SQLite file: every tool may read it, copy it while it is used (``.backup``, ``VACUUM INTO``), and tidy it
while it is not.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from tempfile import TemporaryDirectory

import apsw
import msgspec

from . import Corrupt, DiskFailure, Locked, OldSqlite, WrongDatabase
from .custom import without_added
from .faults import failure
from .schema import APPLICATION_ID, DEFINITIONS, INSERT_META, SELECT_DEFINITIONS, SELECT_META, STATEMENTS, VERSION

OLDEST = (3, 51, 3)
BUSY_MS = 250
"""How long to wait for a lock of another process."""
LOOK_S = 0.5
"""How long to look through the file at the start; what is damaged behind that may be found when it is read."""
LARGEST = 2**63 - 1
"""SQLite's largest number."""


def require_sqlite(path: str) -> None:
    """:raises OldSqlite: this process has an SQLite that may damage the database"""
    version = apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")) < OLDEST:
        raise OldSqlite(path, f"SQLite {version} is too old, at least {'.'.join(map(str, OLDEST))} is needed")


def open_database(path: str, *, node: str, synchronous: str, vfs: str | None = None) -> apsw.Connection:
    """A connection that only reads (``query_only``) and never checkpoints, to the database of ``node``.

    :param vfs: another VFS below, for tests of faults
    :raises StoreFailure: see its classes
    """
    require_sqlite(path)
    database: apsw.Connection | None = None
    try:
        if not os.path.exists(path):
            make_database(path, node, vfs)
        database = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
        _configure(database, synchronous)
        _verify(database, path, node)
        _look_through(database, path)
    except BaseException as error:
        if database is not None:
            database.close()
        named = failure(path, error)
        if named is not None:
            raise named from error
        raise
    return database


def make_database(path: str, node: str, vfs: str | None) -> None:
    """Makes an empty database beside ``path`` and gives it its name when it is complete, so a crash leaves none that
    is half made; of two members that do this at once, the first one's is taken.

    :raises Corrupt: the write-ahead log of a database is there, but not the database
    """
    if os.path.exists(path + "-wal"):
        raise Corrupt(path, "the file is gone, but its write-ahead log is still there")
    folder = os.path.dirname(path) or "."
    try:
        os.makedirs(folder, exist_ok=True)
        with TemporaryDirectory(prefix=".new-", dir=folder) as drafts:
            draft = os.path.join(drafts, "draft.db")
            _write_draft(draft, node, vfs)
            with suppress(FileExistsError):
                os.link(draft, path)
        _sync_folder(folder)
    except OSError as error:
        raise DiskFailure(path, f"cannot be made ({error.strerror})") from error


def _write_draft(draft: str, node: str, vfs: str | None) -> None:
    database = apsw.Connection(draft, vfs=vfs)
    try:
        with database:
            for statement in STATEMENTS:
                database.execute(statement)
            database.execute(INSERT_META, (VERSION, node))
        database.execute("PRAGMA journal_mode = WAL")
    finally:
        database.close()


def file_number(path: str) -> int:
    """Tells the file at ``path`` from every copy of it, in all processes of the host; 0 if there is none."""
    try:
        return os.stat(path).st_ino & LARGEST
    except OSError:
        return 0


def _sync_folder(folder: str) -> None:
    """Makes a file's name durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _configure(database: apsw.Connection, synchronous: str) -> None:
    database.set_busy_timeout(BUSY_MS)
    database.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    for setting in ("wal_autocheckpoint = 0", f"synchronous = {synchronous}", "trusted_schema = OFF"):
        database.execute(f"PRAGMA {setting}")


def _verify(database: apsw.Connection, path: str, node: str) -> None:
    """:raises Corrupt: an empty file. :raises WrongDatabase: somebody else's, another node's, another schema's"""
    if database.pragma("page_count") == 0:
        raise Corrupt(path, "the file is empty")
    if database.pragma("application_id") != APPLICATION_ID:
        raise WrongDatabase(path, "is not a database of an ixn node")
    version, owner = msgspec.convert(database.execute(SELECT_META).get, tuple[int, str])
    if version != VERSION:
        raise WrongDatabase(path, f"has schema version {version}, this release needs {VERSION}")
    if owner != node:
        raise WrongDatabase(path, f"belongs to node {owner!r}, not to {node!r}")
    there = (sql for (sql,) in database.execute(SELECT_DEFINITIONS) if sql is not None)
    if not DEFINITIONS.issubset(map(without_added, there)):
        raise Corrupt(path, "a table, an index or a view is not as a node makes it")
    # a copy by VACUUM INTO has no write-ahead log, nor has a file whose mode somebody has changed
    if database.pragma("journal_mode") != "wal" and database.pragma("journal_mode", "wal") != "wal":
        raise Locked(path, "has no write-ahead log, and cannot get one while another process uses it")
    database.execute("PRAGMA query_only = ON")


def _look_through(database: apsw.Connection, path: str) -> None:
    """SQLite's quick check, as far as the time allows (about 2 GB a second from the page cache).

    :raises Corrupt: it found something
    """
    until = time.monotonic() + LOOK_S
    database.set_progress_handler(lambda: time.monotonic() > until, 10)
    try:
        finding = database.execute("PRAGMA quick_check(1)").get
    except apsw.InterruptError:
        return
    finally:
        database.set_progress_handler(None)
    if finding != "ok":
        raise Corrupt(path, f"is damaged ({finding})")
