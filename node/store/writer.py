"""Who holds a database's write lock. Linux says it in ``/proc/locks``; elsewhere it cannot be known.

In WAL mode every writer locks one byte of the ``-shm`` file that all connections share. Which byte, and that every open
connection has a lock of its own in that file, is part of SQLite's documented format.
"""

from __future__ import annotations

import os
from contextlib import suppress

NOBODY = 0
_LOCKS = "/proc/locks"
_WRITE_LOCK = 120
"""Of the bytes 120 to 127, the locks of the format's wal-index, the first."""
_POSIX, _MODE, _PID, _FILE, _FIRST, _LAST = 1, 3, 4, 5, 6, 7
_FIELDS = 8


def writer(path: str) -> int | None:
    """The pid of the process that is in a write transaction on the database at ``path``, :data:`NOBODY`, or None.

    None means that it cannot be known: no Linux, or this process has not opened the database, so that its own locks do
    not vouch for what is read. A process of another pid namespace does not show; it counts as nobody.
    """
    try:
        inode = b"%d" % os.stat(path + "-shm").st_ino
        with open(_LOCKS, "rb") as file:
            locks = [line.split() for line in file]
    except OSError:
        return None
    # the device is not compared: some file systems show another one here than to stat
    ours = [lock for lock in locks if len(lock) == _FIELDS and lock[_FILE].rpartition(b":")[2] == inode]
    if not any(int(lock[_PID]) == os.getpid() for lock in ours):
        return None
    return next((int(lock[_PID]) for lock in ours if lock[_MODE] == b"WRITE" and _covers(lock)), NOBODY)


def _covers(lock: list[bytes]) -> bool:
    """Whether a line of ``/proc/locks`` is about the write lock."""
    last = lock[_LAST]
    return int(lock[_FIRST]) <= _WRITE_LOCK and (last == b"EOF" or int(last) >= _WRITE_LOCK)


def describe(pid: int | None) -> str:
    """A process for people: ``process 4711 (sqlite3)``, ``another process`` when it is not known."""
    if not pid:
        return "another process"
    with suppress(OSError), open(f"/proc/{pid}/comm") as file:
        return f"process {pid} ({file.read().strip()})"
    return f"process {pid}"
