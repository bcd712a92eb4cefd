"""What SQLite says when it cannot -> the store's own exceptions."""

from __future__ import annotations

import apsw
import msgspec

from . import Altered, Corrupt, DiskFailure, DiskFull, Locked, StoreFailure
from .writer import describe, writer

_KINDS: tuple[tuple[tuple[type[apsw.Error], ...], type[StoreFailure], str], ...] = (
    ((apsw.FullError,), DiskFull, "no space is left"),
    ((apsw.CorruptError, apsw.NotADBError, apsw.FormatError), Corrupt, "is damaged, or no SQLite database"),
    (
        (apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.NoMemError),
        DiskFailure,
        "cannot be read or written",
    ),
    ((apsw.ConstraintError, apsw.SQLError), Altered, "its tables refuse it"),
)


def failure(path: str, error: BaseException) -> StoreFailure | None:
    """The exception that says what ``error`` means; None when it is no fault of the database but ours."""
    if isinstance(error, (msgspec.DecodeError, UnicodeDecodeError)):
        return Corrupt(path, f"holds what nobody wrote ({error})")
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return Locked(path, f"{describe(writer(path))} holds its lock ({error})")
    for kinds, named, reason in _KINDS:
        if isinstance(error, kinds):
            return named(path, f"{reason} ({error})")
    return None
