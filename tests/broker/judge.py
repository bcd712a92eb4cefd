"""SQLite as the judge of SQL."""

from __future__ import annotations

from typing import Any

import apsw

from tests.broker.samples import COLUMNS

DATABASE = apsw.Connection(":memory:")
DATABASE.execute("pragma case_sensitive_like = 1")
DATABASE.execute(f"create table t ({', '.join(COLUMNS)}, number)")


def stored(rows: list[dict[str, Any]]) -> None:
    """Puts rows into SQLite's table. Numbers beyond 64 bits are stored as floats, which compare the same here."""
    DATABASE.execute("delete from t")
    marks = ", ".join("?" * (len(COLUMNS) + 1))
    for number, row in enumerate(rows):
        values = [float(it) if type(it) is int and abs(it) > 2**62 else it for it in row.values()]
        DATABASE.execute(f"insert into t values ({marks})", (*values, number))
