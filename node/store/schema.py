"""The tables of a node's database, for the store and for people who look into it with any SQLite tool: old ones, too,
so no operator is used that SQLite has learnt lately.

``journal`` is the truth; ``interactions`` and ``records`` are what it came to, a little behind. ``agents``,
``holdings`` and others are views of ``records``.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from node.records import TABLES

from .columns import COLUMNS

APPLICATION_ID = 0x49584E31
"""``IXN1`` in the file's header: what ``file`` and SQLite call the application id."""
VERSION = 3
"""Of everything below. A database has all of it, word for word, so every change is a new number."""

_VIEWS = {
    "agents": ("tenant_id", "agent_id", "place_id", "media", "donot_disturb", "session", "login_us"),
    "holdings": ("interaction_id", "token", "since_us", "queue", "workbin", "holders"),
    "invitations": ("ticket_id", "interaction_id", "agent", "purpose", "deadline_us"),
    "loads": ("client_name", "tenant_id", "strategy_id", "view_ids", "session_id", "us"),
    "locks": ("interaction_id", "session_id", "snapshot_id"),
    "queues": ("paused", "since_us"),
    "reservations": ("client_name", "session_id", "until_us"),
    "snapshots": ("snapshot_id", "session_id", "count", "stage", "taken_us"),
}
"""Table of :data:`node.records.TABLES` -> the fields of its rows that become columns."""


def _view(name: str, fields: tuple[str, ...]) -> str:
    """A view of the rows of one table; what a row leaves out is shown as what it means."""
    known = {field.name: field for field in msgspec.structs.fields(TABLES[name].row)}
    columns = ", ".join(f"{_shown(known[field])} AS {field}" for field in fields)
    return f"CREATE VIEW {name} AS SELECT key, {columns} FROM records WHERE tab = '{name}'"


def _shown(field: msgspec.structs.FieldInfo) -> str:
    value = f"json_extract(value, '$.{field.name}')"
    if field.default_factory is dict:
        return f"coalesce({value}, '{{}}')"
    if field.default in (msgspec.NODEFAULT, None):
        return value
    default = f"'{field.default}'" if isinstance(field.default, str) else int(field.default)
    return f"coalesce({value}, {default})"


_interaction_columns = ", ".join(
    f"{name} {kind}{' NOT NULL UNIQUE' if name == 'id' else ''}" for name, kind in COLUMNS.items()
)

STATEMENTS = (
    "CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, node TEXT NOT NULL,"
    " folded_rev INTEGER NOT NULL)",
    "CREATE TABLE lease (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, holder TEXT,"
    " renewed_us INTEGER NOT NULL, released INTEGER NOT NULL, file INTEGER NOT NULL)",
    "INSERT INTO lease VALUES (1, 0, NULL, 0, 1, 0)",
    # us stands before the long columns, so a look at it reads no overflow page
    "CREATE TABLE journal (rev INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, us INTEGER NOT NULL,"
    " crc INTEGER NOT NULL, changes BLOB NOT NULL, events BLOB)",
    # finds a time, and passes over rows without events; costs a commit nothing that could be measured
    "CREATE INDEX journal_events ON journal (us) WHERE events IS NOT NULL",
    f"CREATE TABLE interactions (n INTEGER PRIMARY KEY, {_interaction_columns})",
    "CREATE INDEX interactions_queue ON interactions (tenant_id, queue, state, is_locked)",
    "CREATE INDEX interactions_external ON interactions (external_id) WHERE external_id IS NOT NULL",
    "CREATE INDEX interactions_parent ON interactions (parent_id) WHERE parent_id IS NOT NULL",
    "CREATE INDEX interactions_workbin ON interactions (workbin, workbin_agent_id) WHERE workbin IS NOT NULL",
    "CREATE TABLE custom_columns (name TEXT PRIMARY KEY, key TEXT NOT NULL, type TEXT NOT NULL,"
    " filled INTEGER NOT NULL)",
    "CREATE TABLE records (tab TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (tab, key))"
    " WITHOUT ROWID",
    *(_view(name, fields) for name, fields in _VIEWS.items()),
    f"PRAGMA application_id = {APPLICATION_ID}",
)
"""Makes the tables in an empty database; ``meta`` gets its one row by :data:`INSERT_META`."""

DEFINITIONS = frozenset(statement.encode() for statement in STATEMENTS if statement.startswith("CREATE"))
SELECT_DEFINITIONS = "SELECT CAST(sql AS BLOB) FROM sqlite_schema"

INSERT_META = "INSERT INTO meta VALUES (1, ?, ?, 0)"
SELECT_META = "SELECT version, node FROM meta"

SELECT_LEASE = "SELECT epoch, CAST(holder AS BLOB), renewed_us, released OR file <> ? FROM lease"
"""A lease that was taken in another file is none: this file is a copy, and the holder, who may be alive and well, does
not write here."""
TAKE_LEASE = (
    "UPDATE lease SET epoch = ?, holder = CAST(? AS TEXT), renewed_us = max(?, renewed_us + 1), released = 0, file = ?"
)
RENEW_LEASE = "UPDATE lease SET renewed_us = max(?, renewed_us + 1) WHERE epoch = ? AND NOT released"
RELEASE_LEASE = "UPDATE lease SET renewed_us = max(?, renewed_us + 1), released = 1 WHERE epoch = ?"
EPOCH = "SELECT epoch FROM lease WHERE NOT released"
"""The epoch that may write; no row when the lease is given up."""

APPEND = f"INSERT INTO journal SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE ({EPOCH}) = ?2"
"""The fence: epoch and row in one statement, so nothing can come between the look and the write."""
_row = "SELECT rev, epoch, us, crc, changes, events FROM journal"
SELECT_ROW = f"{_row} WHERE rev = ?"
SELECT_LAST = f"{_row} ORDER BY rev DESC LIMIT 1"
SELECT_TAIL = f"{_row} WHERE rev > ? ORDER BY rev LIMIT ?"
SELECT_EVENTS = f"{_row} WHERE us > ? AND events IS NOT NULL ORDER BY us, rev"
LAST_REV = "SELECT max(rev) FROM journal"
FIRST_REV = "SELECT min(rev) FROM journal"

KEPT_ROWS = 16
"""The newest rows of the journal are never cut, whatever their age."""
CUT = f"""DELETE FROM journal WHERE rev <= (
    SELECT max(rev) FROM (SELECT rev, us FROM journal ORDER BY rev LIMIT ?1)
    WHERE us < ?2 AND rev <= ?3 AND rev <= (SELECT folded_rev FROM meta)
    AND rev <= ({LAST_REV}) - {KEPT_ROWS})"""

FOLDED_REV = "SELECT folded_rev FROM meta"
SET_FOLDED_REV = "UPDATE meta SET folded_rev = max(folded_rev, ?)"
_names = ", ".join(COLUMNS)
_marks = ", ".join(["?"] * (len(COLUMNS) - 1))
_sets = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "id")


def put_interaction(custom: Sequence[str] = (), unfilled: Sequence[str] = ()) -> str:
    """Inserts or overwrites an interaction. The cast keeps bytes as they are, valid UTF-8 or not, and makes them text
    for people.

    :param custom: further columns, whose values come last
    :param unfilled: columns that have no value any more
    """
    names = "".join(f', "{name}"' for name in custom)
    sets = "".join(
        [*(f', "{name}" = excluded."{name}"' for name in custom), *(f', "{name}" = NULL' for name in unfilled)]
    )
    return (
        f"INSERT INTO interactions ({_names}{names}) VALUES ({_marks}, CAST(? AS TEXT){', ?' * len(custom)})"
        f" ON CONFLICT (id) DO UPDATE SET {_sets}{sets}"
    )


DROP_INTERACTION = "DELETE FROM interactions WHERE id = ?"
SELECT_INTERACTIONS = (
    f"SELECT n, {_names.replace('flexible_properties', 'CAST(flexible_properties AS BLOB)')}"
    " FROM interactions WHERE n > ? ORDER BY n LIMIT ?"
)
PUT_RECORD = (
    "INSERT INTO records VALUES (?, ?, CAST(? AS TEXT)) ON CONFLICT (tab, key) DO UPDATE SET value = excluded.value"
)
DROP_RECORD = "DELETE FROM records WHERE tab = ? AND key = ?"
SELECT_RECORDS = "SELECT tab, key, CAST(value AS BLOB) FROM records WHERE (tab, key) > (?, ?) ORDER BY tab, key LIMIT ?"

SELECT_COLUMNS = "SELECT name, type FROM pragma_table_info('interactions')"
SELECT_CUSTOM = "SELECT name, key, type FROM custom_columns"
PUT_CUSTOM = "INSERT OR REPLACE INTO custom_columns VALUES (?, ?, ?, 0)"
DROP_CUSTOM = "DELETE FROM custom_columns WHERE name = ?"
COUNT_STALE = "SELECT count(*) FROM custom_columns WHERE NOT filled"
SET_FILLED = "UPDATE custom_columns SET filled = 1 WHERE NOT filled"


def add_column(name: str, sql_type: str) -> str:
    """Adds a column to ``interactions``; SQLite writes no row for that."""
    return f'ALTER TABLE interactions ADD COLUMN "{name}" {sql_type}'


def rename_column(name: str, new_name: str) -> str:
    """Renames a column of ``interactions``; SQLite writes no row for that."""
    return f'ALTER TABLE interactions RENAME COLUMN "{name}" TO "{new_name}"'
