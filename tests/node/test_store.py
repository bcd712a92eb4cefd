"""The store on real SQLite files: what it refuses, copies, the fence, failures and retries, folding, replay, cutting.

A crash is a connection that is dropped without anything; power cuts and disk faults come from a VFS below SQLite. Any
other SQLite tool is a process with Python's ``sqlite3``: another library, of another version.
"""

from __future__ import annotations

import math
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec import Raw

from broker.config.objects import CustomProperty
from broker.messages.kinds import Workbin
from broker.messages.objects import Interaction
from broker.wire import Events, PackedEvent, pack
from node.store import (
    Corrupt,
    DiskFailure,
    DiskFull,
    Fenced,
    Fold,
    Holder,
    JournalCut,
    Lease,
    Locked,
    OldSqlite,
    Refused,
    Row,
    StoreFailure,
    WrongDatabase,
    database,
    open_store,
    rows,
    sqlite,
)
from node.store.schema import KEPT_ROWS, VERSION
from node.store.sqlite import SqliteStore
from tests.node.sqlite_tool import Tool

PRIMARY = Holder(host="here", boot="b", pid=1, started=1, member="primary")
BACKUP = Holder(host="here", boot="b", pid=2, started=2, member="backup")
ROW = Row(5, 1, 5000, b"changes", b"events")
Open = Callable[..., SqliteStore]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, a file is looked through to its end, and a lock that will be free is waited for."""
    monkeypatch.setattr(database, "LOOK_S", math.inf)
    monkeypatch.setattr(database, "BUSY_MS", 60_000)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "var" / "n1.db")


@pytest.fixture
def opened(path: str) -> Iterator[Open]:
    """``opened()`` opens a store of node n1 on the one file of this test."""
    stores: list[SqliteStore] = []

    def opening(**options: Any) -> SqliteStore:
        stores.append(SqliteStore(path, **{"node": "n1", **options}))
        return stores[-1]

    yield opening
    for store in stores:
        store.close()


def take(store: SqliteStore, holder: Holder = PRIMARY, us: int = 0) -> tuple[int, int]:
    return store.acquire(holder, store.lease(), us)


def fill(store: SqliteStore, epoch: int, revs: range, changes: bytes = b"c") -> None:
    """Commits rows whose time is 1000 times their rev."""
    for rev in revs:
        store.commit(Row(rev, epoch, rev * 1000, changes, b""))


def make_interaction(ident: str = "0001AA", **fields: Any) -> Interaction:
    required: dict[str, Any] = {
        "tenant_id": 101,
        "media_type": "email",
        "interaction_type": "Inbound",
        "interaction_state": 0,
        "queue": "Inbound",
        "priority": 3,
        "is_online": 0,
        "received_at": 1790000000.25,
        "submitted_at": 1790000000.5,
        "submit_seq": 1,
        "place_in_queue_seq": 1,
    }
    return Interaction(interaction_id=ident, **{**required, **fields})


def make_events(first_seq: int, *times: int, size: int = 10) -> bytes:
    return pack(Events(first_seq, [PackedEvent(us, 0, b"101/interaction/E", b"e" * size) for us in times]))


def all_rows(store: SqliteStore, after: int = 0) -> list[Row]:
    rows: list[Row] = []
    while more := store.tail(rows[-1].rev if rows else after):
        rows += more
    return rows


def break_into(path: str, sql: str, *values: Any) -> None:
    """Changes the database from outside."""
    connection = apsw.Connection(path)
    connection.execute(sql, values)
    connection.close()


# -- opening


def test_first_opening_makes_folder_and_database(path: str, opened: Open) -> None:
    """Given nothing at the path; when a store is opened; then there is a database that nobody holds, and no draft."""
    store = opened()
    assert store.lease() == Lease(0, None, 0, True)
    assert store.journal_rows() == 0 and store.tail(0) == []
    assert [file.name for file in Path(path).parent.iterdir() if "new" in file.name] == []


def test_members_that_make_the_database_at_once_share_it(path: str) -> None:
    """Given nothing; when several open at the same moment; then one database was made and all see what one writes."""
    stores: list[SqliteStore] = []
    together = threading.Barrier(4)

    def start() -> None:
        together.wait()
        stores.append(SqliteStore(path, node="n1"))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    take(stores[0])
    assert [store.lease().epoch for store in stores] == [1, 1, 1, 1]
    for store in stores:
        store.close()


def test_url_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given URLs; when opened; then three slashes are relative, four absolute, and other databases are refused."""
    monkeypatch.chdir(tmp_path)
    open_store("sqlite:///var/a.db", node="n1").close()
    open_store(f"sqlite:///{tmp_path}/b.db", node="n1").close()
    assert (tmp_path / "var" / "a.db").exists() and (tmp_path / "b.db").exists()
    for url in ("postgresql:///n1", "sqlite://n1.db", "sqlite:///", "n1.db"):
        with pytest.raises(WrongDatabase, match="only sqlite:///PATH"):
            open_store(url, node="n1")


def test_settings_of_every_connection(opened: Open) -> None:
    """Given stores; when looked into; then they sync fully, never checkpoint by themselves, map nothing, only read."""
    full, normal = opened(), opened(synchronous="normal")
    for store, synchronous in ((full, 2), (normal, 1)):
        for pragma, value in {
            "synchronous": synchronous,
            "wal_autocheckpoint": 0,
            "mmap_size": 0,
            "query_only": 1,
            "journal_mode": "wal",
        }.items():
            assert store._db.pragma(pragma) == value, pragma
    assert (full.durability, normal.durability) == ("full", "normal")
    take(full)
    assert full._db.pragma("query_only") == 0
    with pytest.raises(ValueError, match="synchronous"):
        opened(synchronous="off")


def test_old_sqlite_is_refused(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given an SQLite that may damage a shared database; when a store is opened; then it is refused by its version."""
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(OldSqlite, match=r"3\.51\.2 is too old, at least 3\.51\.3"):
        opened()
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.3")
    opened()


def test_wrong_databases_are_refused(path: str, opened: Open) -> None:
    """Given databases of another node, another schema, another program; when opened; then each is refused by name."""
    opened().close()
    with pytest.raises(WrongDatabase, match="belongs to node 'n1', not to 'n2'"):
        opened(node="n2")
    break_into(path, "UPDATE meta SET version = 99")
    with pytest.raises(WrongDatabase, match=f"schema version 99, this release needs {VERSION}"):
        opened()
    Path(path).unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(WrongDatabase, match="not a database of an ixn node"):
        opened()


@pytest.mark.parametrize("content", [b"", b"x" * 50, b"no database at all\n" * 1000, b"\0" * 8192])
def test_files_that_are_no_database_are_refused(path: str, opened: Open, content: bytes) -> None:
    """Given a file of something else at the path; when opened; then it is refused and left as it was."""
    Path(path).parent.mkdir()
    Path(path).write_bytes(content)
    with pytest.raises(Refused):
        opened()
    assert Path(path).read_bytes() == content


def test_log_without_its_database_is_refused(path: str, opened: Open) -> None:
    """Given somebody has removed the file, not its log; when opened; then no new database is mixed with the old log."""
    take(opened())
    Path(path).unlink()
    with pytest.raises(Corrupt, match="write-ahead log is still there"):
        opened()


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Given a file where the folder should be; when opened; then this is a failure of the disk, by name."""
    (tmp_path / "var").write_text("")
    with pytest.raises(DiskFailure, match="cannot be made"):
        SqliteStore(str(tmp_path / "var" / "n1.db"), node="n1")


def filled(store: SqliteStore) -> Any:
    """Writes some of everything, all of it checkpointed; returns what :func:`everything` reads."""
    epoch, _ = take(store)
    for rev in range(2, 40):
        store.commit(Row(rev, epoch, rev * 1000, bytes([rev]) * 3000, make_events(rev, rev * 1000)))
    interactions = [make_interaction(f"I{n}", user_data=Raw(b'{"k": "%d"}' % (n * 7))) for n in range(100)]
    store.fold(epoch, Fold(interactions, records=[("agents", str(n), b"{}") for n in range(50)], folded_rev=39))
    store.checkpoint()
    return everything(store)


def everything(store: SqliteStore) -> Any:
    loaded = store.load()
    return (
        store.lease(),
        all_rows(store),
        store.events(0, 1000),
        loaded.folded_rev,
        list(loaded.interactions),
        list(loaded.records),
    )


def checkpointed(path: str, store: SqliteStore) -> tuple[Any, bytes]:
    """What :func:`everything` reads, and the whole file, without a log beside it."""
    before = filled(store)
    store.close()
    Path(path + "-wal").unlink()
    return before, Path(path).read_bytes()


def put(path: str, content: bytes) -> None:
    """Writes the content into the file, and takes away what was beside it."""
    for end in ("-wal", "-shm"):
        Path(path + end).unlink(missing_ok=True)
    Path(path).write_bytes(content)


def has_its_types(interaction: Interaction) -> bool:
    plain = msgspec.structs.replace(interaction, user_data=Raw(b"{}"))
    return msgspec.json.decode(msgspec.json.encode(plain), type=Interaction) == plain


def test_flipped_bits_are_refused_or_the_journal_is_whole(path: str, opened: Open) -> None:
    """Given a database; when any bit of the file is flipped; then it is refused by name, or the journal and its events
    read as before, and what comes out of the tables has its types."""
    before, good = checkpointed(path, opened())
    chance, refused, harmless = random.Random(1), 0, 0
    for _ in range(200):
        bad = bytearray(good)
        bad[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
        put(path, bad)
        try:
            with closing(SqliteStore(path, node="n1")) as store:
                after = everything(store)
        except (Corrupt, WrongDatabase):
            refused += 1
            continue
        assert after[1:3] == before[1:3]
        harmless += after == before
        assert all(map(has_its_types, after[4]))
    assert refused > 100 and harmless > 50


@pytest.mark.parametrize("column", ["epoch", "us", "crc", "changes", "events"])
def test_a_changed_row_is_refused_wherever_it_is_read(path: str, opened: Open, column: str) -> None:
    """Given a row that is no more as it was written, in an intact file; when it is read, by a standby, for events, by a
    start, by a take-over; then Corrupt names it, and the rows before it can be read."""
    store = opened()
    epoch, rev = take(store)
    rows = [Row(2, epoch, 2000, b"c2", make_events(1, 2000)), Row(3, epoch, 3000, b"c3", make_events(2, 3000))]
    for row in rows:
        store.commit(row)
    value = {"changes": b"c4", "events": make_events(2, 3001)}.get(column, 3001)
    break_into(path, f"UPDATE journal SET {column} = ? WHERE rev = 3", value)
    late = opened()
    assert late.tail(1, limit=1) == rows[:1]
    for read in (late.tail, lambda after: late.tail(after, limit=1)):
        with pytest.raises(Corrupt, match="row 3 of the journal does not match its checksum"):
            read(2)
    if column != "us":  # a time that was moved is after or before the asked one: the index finds it, or does not
        with pytest.raises(Corrupt, match="row 3 of the journal"):
            late.events(2000, 10)
    with pytest.raises(Corrupt, match="row 3 of the journal"):
        take(late, BACKUP)
    assert late.lease().epoch == epoch, "it did not take it"


@pytest.mark.parametrize("value", [None, 7, 1.5, "text", b"\xff"])
@pytest.mark.parametrize("column", ["epoch", "us", "crc", "changes", "events"])
def test_a_row_of_wrong_types_is_refused(column: str, value: Any) -> None:
    """Given values that no row has; when a row is made of them; then Corrupt, unless they are the right ones."""
    right = dict(zip(("rev", "epoch", "us", "crc", "changes", "events"), rows.to_values(ROW), strict=True))
    assert rows.from_values("n1.db", tuple(right.values())) == ROW
    with pytest.raises(Corrupt, match="row 5 of the journal"):
        rows.from_values("n1.db", tuple((right | {column: value}).values()))


def test_no_byte_moves_from_one_column_to_the_other() -> None:
    """Given a row; when the border between changes and events moves; then its checksum is another one."""
    moved = ROW._replace(changes=ROW.changes + ROW.events[:1], events=ROW.events[1:])
    assert rows.checksum(moved) != rows.checksum(ROW)


def test_rows_that_are_missing_are_noticed(path: str, opened: Open) -> None:
    """Given a journal without one of its rows; when it is read; then Corrupt, not a shorter history."""
    store = opened()
    epoch, _ = take(store)
    for rev in range(2, 10):
        store.commit(Row(rev, epoch, rev * 1000, b"", make_events(rev, rev * 1000)))
    break_into(path, "DELETE FROM journal WHERE rev = 5")
    with pytest.raises(Corrupt, match="a row of the journal between 1 and 9 is missing"):
        store.tail(1)
    with pytest.raises(Corrupt, match="misses the event 5"):
        store.events(0, 100)


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("UPDATE interactions SET priority = 'high' WHERE n = 7", "row 7 of interactions .*priority is str"),
        ("UPDATE interactions SET queue = x'00' WHERE n = 7", "row 7 of interactions .*queue is bytes"),
        ("UPDATE interactions SET tenant_id = NULL WHERE n = 7", "row 7 of interactions .*tenant_id is NoneType"),
        (
            "UPDATE interactions SET flexible_properties = NULL WHERE n = 7",
            "row 7 of interactions .*flexible_properties is NoneType",
        ),
        ("UPDATE interactions SET destinations = '[1]' WHERE n = 7", "row 7 of interactions .*list"),
        ("UPDATE interactions SET destinations = '{' WHERE n = 7", "row 7 of interactions"),
        ("UPDATE records SET tab = x'61' WHERE key = '7'", "of records"),
    ],
)
def test_what_no_node_wrote_into_the_tables_is_refused(path: str, opened: Open, sql: str, named: str) -> None:
    """Given a table in which a value has become another kind of thing; when loaded; then Corrupt names the row."""
    filled(opened())
    break_into(path, sql)
    loaded = opened().load()
    with pytest.raises(Corrupt, match=named):
        list(loaded.interactions), list(loaded.records)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM lease",
        "UPDATE lease SET epoch = 'e'",
        "UPDATE lease SET holder = '{}'",
        "UPDATE meta SET folded_rev = 'f'",
        "UPDATE meta SET node = x'ff'",
        "DELETE FROM meta",
        "ALTER TABLE records RENAME value TO worth",
        "DROP INDEX journal_events",
    ],
)
def test_what_no_node_wrote_into_the_rest_is_refused(path: str, opened: Open, sql: str) -> None:
    """Given a lease, a mark or a definition that no node has made; when opened and read; then Corrupt."""
    filled(opened())
    break_into(path, sql)
    with pytest.raises(Corrupt):
        everything(opened())


def test_pages_in_the_wrong_order_are_refused(path: str, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given two pages of a table that have changed places, and a start with no time to look through the file; when the
    table is loaded; then Corrupt, for a load that goes on behind the last row would leave rows out."""
    _, good = checkpointed(path, opened())
    pages = [at for at in range(0, len(good), 4096) if good[at] == 13 and b'{"k": "' in good[at : at + 4096]]
    first, second = (slice(at, at + 4096) for at in pages[:2])
    bad = bytearray(good)
    bad[first], bad[second] = good[second], good[first]
    put(path, bytes(bad))
    monkeypatch.setattr(database, "LOOK_S", -1.0)
    with pytest.raises(Corrupt, match="of interactions is not in its place"):
        list(opened().load().interactions)


def test_what_nothing_can_see(path: str, opened: Open) -> None:
    """Given a value of a table that has become another value of its type; when loaded; then that is what is there: a
    node cannot tell it from its own, and people may mend a database by hand."""
    filled(opened())
    break_into(path, "UPDATE interactions SET priority = 77, flexible_properties = '{}' WHERE n = 7")
    changed = list(opened().load().interactions)[6]
    assert (changed.priority, bytes(changed.user_data)) == (77, b"{}")


def test_damage_that_the_first_look_did_not_reach(path: str, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given damage in a page of a table; when opened, then it is refused; and when there was no time to look through
    the file, then it is refused when it is read, and the rest can be read."""
    store = opened()
    filled(store)
    store.fold(1, Fold(records=[("t", str(n), b"%d" % n * 20) for n in range(5000)]))
    store.checkpoint()
    content = bytearray(Path(path).read_bytes())
    page = content.index(b"4999" * 20) // 4096 * 4096
    content[page] ^= 1  # the kind of page
    Path(path).write_bytes(content)
    with pytest.raises(Corrupt):
        opened()
    monkeypatch.setattr(database, "LOOK_S", -1.0)
    late = opened()
    assert len(all_rows(late)) == 39
    with pytest.raises(Corrupt, match="is damaged"):
        list(late.load().records)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_files_are_refused(path: str, opened: Open, share: float) -> None:
    """Given a database that lost its end; when opened; then it is refused by name."""
    _, content = checkpointed(path, opened())
    put(path, content[: int(len(content) * share)])
    with pytest.raises(Corrupt):
        opened()


def test_people_can_read_the_tables(path: str, opened: Open) -> None:
    """Given a filled database; when read with another tool; then columns and views say what a person asks."""
    store = opened()
    epoch, _ = take(store)
    agent = b'{"tenant_id":101,"agent_id":"VICKY","place_id":"P1","media":{"email":1},"session":"s"}'
    workbin = Workbin(type="Drafts", agent_id="VICKY")
    store.fold(
        epoch,
        Fold(
            [make_interaction(workbin=workbin, user_data=Raw(b'{"Subject": "Card"}'))],
            records=[("agents", "a", agent), ("queues", "Inbound", b'{"since_us": 5}')],
        ),
    )
    query = (
        "SELECT id, type, state, queue, workbin, workbin_agent_id,"
        " json_extract(flexible_properties, '$.Subject') FROM interactions"
    )
    with Tool(path) as people:
        assert people.execute(query) == [["0001AA", "Inbound", 0, "Inbound", "Drafts", "VICKY", "Card"]]
        assert people.execute("SELECT agent_id, place_id, media FROM agents") == [["VICKY", "P1", '{"email":1}']]
        defaults = "SELECT donot_disturb, queues.key, paused FROM agents, queues"
        assert people.execute(defaults) == [[0, "Inbound", 1]], "what a row leaves out is shown as what it means"
        assert people.execute("SELECT typeof(flexible_properties) FROM interactions") == [["text"]]
        assert people.execute("SELECT DISTINCT typeof(value) FROM records") == [["text"]]
        assert people.execute("SELECT count(*) FROM holdings") == [[0]]


# -- other tools


COPIES = pytest.mark.parametrize(
    "copying",
    [
        lambda tool, target: tool.backup(target),
        lambda tool, target: tool.backup(target, pages=-1),
        lambda tool, target: tool.execute("VACUUM INTO ?", target),
    ],
    ids=["backup", "backup in one step", "vacuum into"],
)


@COPIES
def test_a_copy_of_a_running_database_is_accepted(
    tmp_path: Path, path: str, opened: Open, copying: Callable[[Tool, str], None]
) -> None:
    """Given an active member and a standby; when a tool copies the database between two commits; then a node starts
    with the copy and has all of it, also what was in the log only, and the running one has noticed nothing."""
    store, reader = opened(), opened()
    filled(store)
    fill(store, 1, range(40, 60))
    assert store.behind > 0
    before = everything(store)
    with Tool(path) as tool:
        copying(tool, str(tmp_path / "copy.db"))
    fill(store, 1, range(60, 80))
    store.checkpoint()
    assert len(all_rows(reader)) == 79 and store.behind == 0
    copies = [SqliteStore(str(tmp_path / "copy.db"), node="n1") for _ in range(2)]
    for copy in copies:
        assert everything(copy)[1:] == before[1:] and copy._db.pragma("journal_mode") == "wal"
    take(copies[0], BACKUP)
    copies[0].commit(Row(61, 2, 10**9, b"x", b""), renew_us=5)
    assert copies[1].tail(60)[0].changes == b"x"
    assert store.lease().epoch == 1 and len(all_rows(reader)) == 79
    for copy in copies:
        copy.close()


def test_a_copy_is_free_whoever_held_the_original(tmp_path: Path, path: str, opened: Open) -> None:
    """Given an active member, alive and well; when somebody starts a node with a copy on the same host; then the lease
    of the copy is free at once, for its holder must not be taken for one that hangs, and be killed."""
    take(opened(), us=5)
    with Tool(path) as tool:
        tool.execute("VACUUM INTO ?", str(tmp_path / "copy.db"))
    with closing(SqliteStore(str(tmp_path / "copy.db"), node="n1")) as copy:
        assert copy.lease() == Lease(1, PRIMARY, 5, True)
        assert take(copy, BACKUP) == (2, 2)
        assert copy.lease() == Lease(2, BACKUP, 6, False)
    assert opened().lease() == Lease(1, PRIMARY, 5, False)


@pytest.mark.parametrize("replaced", [True, False])
def test_a_file_that_was_replaced_under_a_member(path: str, opened: Open, replaced: bool) -> None:
    """Given an active member; when somebody removes its database or puts a copy there; then it renews its lease no
    more, so it acks nothing more: what it writes would end with the process."""
    store, reader = opened(), opened()
    epoch, rev = take(store)
    Path(path).rename(path + ".away")
    if replaced:
        shutil.copyfile(path + ".away", path)
    for write in (
        lambda: store.renew(epoch, 5),
        lambda: store.commit(Row(rev + 1, epoch, 9, b"x", b""), renew_us=5),
        lambda: take(reader, BACKUP),
    ):
        with pytest.raises(WrongDatabase, match="was removed or replaced"):
            write()
    Path(path + ".away").rename(path)
    store.commit(Row(rev + 1, epoch, 9, b"x", b""), renew_us=5)


def test_members_that_start_at_once_with_a_copy_without_a_log(tmp_path: Path, path: str, opened: Open) -> None:
    """Given a copy in another journal mode; when several open it at the same moment, as
    members do: again when it is locked; then all have the log."""
    filled(opened())
    with Tool(path) as tool:
        tool.execute("VACUUM INTO ?", str(tmp_path / "copy.db"))
    modes: list[Any] = []
    together = threading.Barrier(4)

    def start() -> None:
        together.wait()
        while len(modes) < 4:
            with suppress(Locked), closing(SqliteStore(str(tmp_path / "copy.db"), node="n1")) as store:
                modes.append((store._db.pragma("journal_mode"), len(all_rows(store))))
                return

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert modes == [("wal", 39)] * 4


@pytest.mark.parametrize(
    "doing",
    ["SELECT count(*) FROM journal", "VACUUM", "PRAGMA journal_mode = DELETE", "REINDEX", "ANALYZE"],
)
def test_a_tool_at_a_stopped_nodes_database_is_harmless(path: str, opened: Open, doing: str) -> None:
    """Given a stopped node with rows in its log; when a tool opens the file for writing, looks or tidies, and closes
    it, which takes the log away; then the node starts with all it had."""
    store = opened()
    filled(store)
    fill(store, 1, range(40, 60))
    before = everything(store)
    store.close()
    assert Path(path + "-wal").stat().st_size > 0
    with Tool(path) as tool:
        tool.execute(doing)
    assert not Path(path + "-wal").exists()
    store = opened()
    assert everything(store) == before
    fill(store, take(store)[0], range(61, 70))


def test_a_tool_at_a_running_nodes_database_is_harmless(path: str, opened: Open) -> None:
    """Given a running pair; when tools come, read and go all the time; then no commit fails, and the log stays."""
    store, reader = opened(), opened()
    epoch, _ = take(store)
    for rev in range(2, 12):
        with Tool(path) as tool:
            assert tool.execute("SELECT max(rev) FROM journal") == [[rev - 1]]
            store.commit(Row(rev, epoch, rev, b"x" * 3000, b""))
        assert Path(path + "-wal").exists()
        if rev % 3 == 0:
            store.checkpoint()
    assert len(all_rows(reader)) == 11


# -- the lease and the fence


def test_taking_renewing_and_giving_up(opened: Open) -> None:
    """Given a free lease; when it is taken, renewed, given up; then the other member sees each of it, and follows."""
    primary, backup = opened(), opened()
    assert take(primary, us=5) == (1, 1)
    assert backup.lease() == Lease(1, PRIMARY, 5, False)
    primary.renew(1, 9)
    assert backup.lease() == Lease(1, PRIMARY, 9, False)
    primary.release(1, 10)
    assert primary._db.pragma("query_only") == 1
    assert backup.lease() == Lease(1, PRIMARY, 10, True)
    assert take(backup, BACKUP, us=11) == (2, 2)
    assert backup.tail(0) == [Row(1, 1, 5, b"", b""), Row(2, 2, 11, b"", b"")]


def test_a_renewal_always_shows(opened: Open) -> None:
    """Given a wall clock that was set back, or stands; when the lease is renewed; then its row changes all the same."""
    store = opened()
    take(store, us=1000)
    seen = [store.lease().renewed_us]
    for us in (500, 500, 1002, 2000, 2000):
        store.renew(1, us)
        seen.append(store.lease().renewed_us)
    assert seen == [1000, 1001, 1002, 1003, 2000, 2001]


def test_a_take_over_of_a_lease_that_changed_is_fenced(opened: Open) -> None:
    """Given a lease that was read; when its holder renews before the take-over; then the take-over is refused."""
    primary, backup = opened(), opened()
    take(primary)
    seen = backup.lease()
    primary.renew(1, 7)
    with pytest.raises(Fenced):
        backup.acquire(BACKUP, seen, 8)
    assert backup._db.pragma("query_only") == 1
    primary.commit(Row(2, 1, 8, b"x", b""))


def test_check_pause_commit(opened: Open) -> None:
    """Given an active member that looked at its lease and paused; when it was replaced; then it can write nothing."""
    paused, other = opened(), opened()
    epoch, rev = take(paused)
    assert paused.lease().epoch == epoch
    take(other, BACKUP)
    with pytest.raises(Fenced):
        paused.commit(Row(rev + 1, epoch, 10, b"stale", b""))
    assert [row.changes for row in other.tail(0)] == [b"", b""]


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.commit(Row(41, 1, 41_000, b"x", b"")),
        lambda store: store.commit(Row(41, 1, 41_000, b"x", b""), renew_us=1),
        lambda store: store.commit(Row(41, 1, 41_000, b"x", b""), fold=Fold(gone=["I1"])),
        lambda store: store.renew(1, 1),
        lambda store: store.release(1, 1),
        lambda store: store.fold(1, Fold(gone=["I1"])),
        lambda store: store.cut(1, 10**9),
        lambda store: store.checkpoint(),
        lambda store: store.arrange(1, {"Segment": CustomProperty(column="segment")}),
    ],
    ids=["commit", "commit and renew", "commit and fold", "renew", "release", "fold", "cut", "checkpoint", "arrange"],
)
def test_every_write_of_a_replaced_member_is_fenced(opened: Open, write: Callable[[SqliteStore], None]) -> None:
    """Given a member that was replaced, also in a journal cut short; when it writes anything; then nothing happens."""
    stale, other = opened(), opened()
    filled(stale)
    fill(stale, 1, range(40, 41))
    take(other, BACKUP, us=40_500)
    fill(other, 2, range(42, 90))
    other.fold(2, Fold(folded_rev=89))
    other.cut(2, 10**9)
    before = other.lease(), other.tail(80), list(other.load().interactions)
    with pytest.raises(Fenced):
        write(stale)
    with pytest.raises(Fenced):
        write(stale)
    assert (other.lease(), other.tail(80), list(other.load().interactions)) == before
    assert stale.tail(80) == other.tail(80) and stale._db.pragma("query_only") == 1, "it goes on as a reader"


def test_a_released_lease_writes_no_more(opened: Open) -> None:
    """Given a member that gave its lease up; when it commits; then it is fenced although nobody else has taken it."""
    store, hidden = opened(), opened()
    epoch, rev = take(store)
    hidden._epoch, hidden._last_rev = epoch, rev  # as if the same epoch wrote from elsewhere
    hidden._db.execute("PRAGMA query_only = OFF")
    store.release(epoch, 5)
    for member in (store, hidden):
        with pytest.raises(Fenced):
            member.commit(Row(rev + 1, epoch, 9, b"x", b""))


def test_two_that_write_the_same_rev(opened: Open) -> None:
    """Given two processes with one epoch, which must not be; when both write the next rev; then one is fenced."""
    store, double = opened(), opened()
    epoch, rev = take(store)
    double._epoch, double._last_rev = epoch, rev
    double._db.execute("PRAGMA query_only = OFF")
    store.commit(Row(rev + 1, epoch, 9, b"mine", b""))
    with pytest.raises(Fenced, match="another row"):
        double.commit(Row(rev + 1, epoch, 9, b"other", b""))
    assert store.tail(rev)[0].changes == b"mine"


def test_rows_follow_each_other(opened: Open) -> None:
    """Given a journal; when a row leaves a gap, comes twice or goes back in time; then it is refused as a mistake."""
    store = opened()
    epoch, rev = take(store, us=100)
    for bad in (Row(rev, epoch, 200, b"", b""), Row(rev + 2, epoch, 200, b"", b""), Row(rev + 1, epoch, 99, b"", b"")):
        with pytest.raises(ValueError, match="after row 1 at 100"):
            store.commit(bad)
    store.commit(Row(rev + 1, epoch, 100, b"", b""))


def test_time_goes_on_after_a_take_over_with_a_slow_clock(opened: Open) -> None:
    """Given a journal; when a member whose clock is behind takes over; then its first row is not before the last."""
    first, second = opened(), opened()
    take(first, us=5000)
    take(second, BACKUP, us=10)
    assert [row.us for row in second.tail(0)] == [5000, 5000]


# -- failures


def test_a_full_disk(opened: Open) -> None:
    """Given no space; when a row is committed; then DiskFull, nothing changed, and the same commit works with space."""
    store, reader = opened(), opened()
    epoch, rev = take(store)
    row = Row(rev + 1, epoch, 9, b"x" * 100_000, b"")
    both: dict[str, Any] = {"renew_us": 50, "fold": Fold(records=[("agents", "a", b"{}")])}
    for options in ({}, both):
        store._db.pragma("max_page_count", store._db.pragma("page_count"))
        with pytest.raises(DiskFull, match="no space"):
            store.commit(row, **options)
        assert reader.tail(rev) == [] and list(reader.load().records) == []
        store._db.pragma("max_page_count", 1_000_000)
        store.commit(row, **options)
        rev, row = rev + 1, row._replace(rev=row.rev + 1)
    assert len(reader.tail(1)) == 2 and reader.lease().renewed_us == 50


@pytest.mark.parametrize(
    "end",
    [lambda tool: tool.execute("ROLLBACK"), lambda tool: tool.execute("COMMIT"), lambda tool: tool.process.kill()],
    ids=["rollback", "commit", "killed"],
)
def test_a_lock_that_a_tool_holds(
    path: str, opened: Open, monkeypatch: pytest.MonkeyPatch, end: Callable[[Tool], None]
) -> None:
    """Given a tool that waits inside a transaction; when a member writes or takes over; then Locked, nothing is changed
    and reading goes on; and when the tool has ended, the same commit works."""
    monkeypatch.setattr(database, "BUSY_MS", 20)
    store, other = opened(), opened()
    epoch, rev = take(store)
    row = Row(rev + 1, epoch, 9, b"x", b"")
    with Tool(path) as tool:
        tool.execute("BEGIN IMMEDIATE")
        for write in (
            lambda: store.commit(row),
            lambda: store.commit(row, renew_us=5),
            lambda: store.renew(epoch, 5),
            lambda: store.fold(epoch, Fold(gone=["I1"])),
            lambda: store.cut(epoch, 5),
            lambda: take(other, BACKUP),
        ):
            with pytest.raises(Locked):
                write()
        assert (other.lease().epoch, other.tail(rev), list(other.load().records)) == (epoch, [], []), "reading goes on"
        end(tool)
    store.commit(row)
    assert other.tail(rev) == [row]


@pytest.mark.parametrize("options", [{}, {"renew_us": 50, "fold": Fold(records=[("agents", "a", b"{}")])}])
def test_a_commit_that_was_done_although_it_failed(opened: Open, options: dict[str, Any]) -> None:
    """Given a COMMIT that reports an I/O error after it was done; when asked for again; then it is done once."""
    store, reader = opened(), opened()
    epoch, rev = take(store)
    row = Row(rev + 1, epoch, 9, b"x", make_events(1, 9))
    store._db.set_wal_hook(lambda *_: apsw.SQLITE_IOERR)
    with pytest.raises(DiskFailure):
        store.commit(row, **options)
    store._db.set_wal_hook(store._committed)
    assert reader.tail(rev) == [row], "it was done"
    store.commit(row, **options)
    store.commit(row._replace(rev=rev + 2))
    assert [row.rev for row in reader.tail(0)] == [1, 2, 3]


def test_a_commit_that_was_done_before_the_member_was_replaced(opened: Open) -> None:
    """Given an unknown outcome and a take-over; when the commit is asked for again; then fenced: nothing is acked."""
    store, other = opened(), opened()
    epoch, rev = take(store)
    row = Row(rev + 1, epoch, 9, b"x", b"")
    store._db.set_wal_hook(lambda *_: apsw.SQLITE_IOERR)
    with pytest.raises(DiskFailure):
        store.commit(row)
    take(other, BACKUP)
    with pytest.raises(Fenced):
        store.commit(row)


def test_a_take_over_and_a_release_that_were_done_although_they_failed(opened: Open) -> None:
    """Given lost outcomes of take-over and release; when asked for again; then they are found done."""
    store, other = opened(), opened()
    free = store.lease()
    store._db.set_wal_hook(lambda *_: apsw.SQLITE_IOERR)
    with pytest.raises(DiskFailure):
        store.acquire(PRIMARY, free, 5)
    with pytest.raises(Fenced):
        other.acquire(BACKUP, free, 5)
    assert store.acquire(PRIMARY, free, 6) == (1, 1)
    with pytest.raises(DiskFailure):
        store.release(1, 7)
    store._db.set_wal_hook(store._committed)
    store.release(1, 8)
    assert other.lease().released and len(other.tail(0)) == 1


class FaultyFile(apsw.VFSFile):
    """A file that can fail, and can lose what was not synced."""

    def __init__(self, vfs: FaultyVFS, name: Any, flags: list[int]) -> None:
        self.vfs = vfs
        self.name = name.filename() if isinstance(name, apsw.URIFilename) else name
        self.undo: list[tuple[int, bytes, int]] = []
        super().__init__("unix", name, flags)
        vfs.files.append(self)

    def fail(self, what: str) -> None:
        if self.vfs.failing == what and self.name.endswith("-wal"):
            error = apsw.IOError(f"injected {what}")
            codes = {"write": apsw.SQLITE_IOERR_WRITE, "sync": apsw.SQLITE_IOERR_FSYNC}
            error.extendedresult = codes[what]  # type: ignore[attr-defined]
            raise error

    def xWrite(self, data: bytes, offset: int) -> None:
        self.fail("write")
        size = self.xFileSize()
        kept = super().xRead(min(len(data), size - offset), offset) if offset < size else b""
        self.undo.append((offset, kept, size))
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self.fail("sync")
        super().xSync(flags)
        self.undo.clear()

    def lose_unsynced(self) -> None:
        while self.undo:
            offset, kept, size = self.undo.pop()
            super().xWrite(kept, offset)
            super().xTruncate(size)


class FaultyVFS(apsw.VFS):
    """Files that fail or forget on demand. Every write before the last sync is kept, none after it."""

    def __init__(self) -> None:
        super().__init__("faulty", "unix")
        self.files: list[FaultyFile] = []
        self.failing = ""

    def xOpen(self, name: Any, flags: list[int]) -> FaultyFile:
        return FaultyFile(self, name, flags)

    def cut_power(self) -> None:
        for file in self.files:
            file.lose_unsynced()


@pytest.fixture
def faulty() -> Iterator[FaultyVFS]:
    vfs = FaultyVFS()
    yield vfs
    vfs.unregister()


@pytest.mark.parametrize("what", ["write", "sync"])
@pytest.mark.parametrize("options", [{}, {"renew_us": 50, "fold": Fold(records=[("agents", "a", b"{}")])}])
def test_an_io_error_in_a_commit(opened: Open, faulty: FaultyVFS, what: str, options: dict[str, Any]) -> None:
    """Given a disk that fails; when a row is committed; then DiskFailure, nobody sees it, and later it works."""
    store, reader = opened(vfs="faulty"), opened(vfs="faulty")
    epoch, rev = take(store)
    row = Row(rev + 1, epoch, 9, b"x" * 10_000, b"")
    faulty.failing = what
    for _ in range(3):
        with pytest.raises(DiskFailure, match="cannot be read or written"):
            store.commit(row, **options)
        assert reader.tail(rev) == []
    faulty.failing = ""
    store.commit(row, **options)
    store.commit(row._replace(rev=rev + 2))
    assert [row.rev for row in reader.tail(0)] == [1, 2, 3]


@pytest.mark.parametrize("what", ["write", "sync"])
def test_an_io_error_while_columns_are_made(opened: Open, faulty: FaultyVFS, what: str) -> None:
    """Given a disk that fails; when columns are made; then DiskFailure, no half of it is there, what is folded goes by
    the columns as they were, and later it works."""
    custom = {name: CustomProperty(column=name) for name in ("one", "two")}
    store = opened(vfs="faulty")
    epoch, _ = take(store)
    faulty.failing = what
    with pytest.raises(DiskFailure):
        store.arrange(epoch, custom)
    faulty.failing = ""
    first, second = (make_interaction(ident, user_data=Raw(b'{"one":"1","two":"2"}')) for ident in "AB")
    store.fold(epoch, Fold([first]))
    reader = opened(vfs="faulty")
    assert "one" not in [name for (name,) in reader._db.execute("SELECT name FROM pragma_table_info('interactions')")]
    assert store.arrange(epoch, custom).stale
    store.fold(epoch, Fold([second]))
    assert list(reader._db.execute("SELECT one, two FROM interactions")) == [(None, None), ("1", "2")]
    assert list(opened(vfs="faulty").load().interactions) == [first, second]


@pytest.mark.parametrize("synchronous", ["full", "normal"])
def test_power_cut(opened: Open, faulty: FaultyVFS, synchronous: str) -> None:
    """Given commits; when the power fails and unsynced writes are lost; then full has all rows, normal may not."""
    store = opened(vfs="faulty", synchronous=synchronous)
    epoch, rev = take(store)
    for last in range(2, 60):
        store.commit(
            Row(last, epoch, last, b"x" * 500, b""), renew_us=last, fold=Fold(records=[("t", str(last), b"1")])
        )
        if last % 20 == 0:
            store.checkpoint()
    faulty.cut_power()
    store.close()
    after = opened(vfs="faulty")
    kept = len(all_rows(after))
    if synchronous == "full":
        assert kept == 59 and after.lease().renewed_us == 59 and len(list(after.load().records)) == 58
    else:
        assert kept < 59


# -- folding and loading


def test_tables_hold_what_was_folded(opened: Open) -> None:
    """Given interactions and records; when folded, changed, deleted in slices; then a load has their last state."""
    store = opened()
    epoch, rev = take(store)
    full = make_interaction(
        "F",
        queue=None,
        workbin=Workbin(type="Drafts", place_id="P"),
        in_queues=["a", "b"],
        out_queues=[],
        scheduled_at=1.5,
        snapshot_id="s",
        service_objective=-5,
        user_data=Raw(b'{"a":  1}'),
    )
    store.commit(Row(rev + 1, epoch, 5, b"c", b""), fold=Fold([make_interaction("A"), make_interaction("B"), full]))
    assert store.load().folded_rev == 0
    records = [("agents", "1", b'{"x": 1}'), ("agents", "2", b"[]"), ("zzz", "", b'"\xc3\xa9"')]
    changed = make_interaction("A", priority=9, external_id="e")
    store.fold(epoch, Fold([changed], ["B", "never there"], records, [("agents", "none")], folded_rev=2))
    store.fold(epoch, Fold(dropped=[("agents", "2")], folded_rev=1))
    folded_rev, interactions, rest = store.load()
    assert folded_rev == 2, "it never goes back"
    assert list(interactions) == [changed, full]
    assert list(rest) == [records[0], records[2]]


@pytest.mark.parametrize(
    "data", [b"{}", b'{"k":\t"\xff\xfe"}', b'{"k": "\xc3\xa9\xf0\x9f\x98\x80"}', b"[" * 3000, b"\0", b"1e3", b"007"]
)
def test_user_data_is_kept_byte_for_byte(path: str, opened: Open, data: bytes) -> None:
    """Given user data that SQLite would not take as JSON or text; when folded and loaded; then it is the same bytes."""
    store = opened()
    epoch, _ = take(store)
    store.fold(epoch, Fold([make_interaction(user_data=Raw(data))], records=[("t", "k", data)]))
    loaded = opened().load()
    assert [bytes(interaction.user_data) for interaction in loaded.interactions] == [data]
    assert [value for _, _, value in loaded.records] == [data]


def test_an_absurd_number_does_not_stop_the_folding(opened: Open) -> None:
    """Given a number beyond 64 bits; when folded with others; then the others are as they are, it is the largest."""
    store = opened()
    epoch, _ = take(store)
    store.fold(epoch, Fold([make_interaction("A", priority=2**80), make_interaction("B"), make_interaction("C")]))
    assert [item.priority for item in store.load().interactions] == [2**63 - 1, 3, 3]


def test_a_load_is_many_short_reads(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given tables larger than one read; when loaded while the active writes; then all is there, no read stays open."""
    monkeypatch.setattr(sqlite, "LOAD_ROWS", 7)
    store, reader = opened(), opened()
    epoch, _ = take(store)
    items = [make_interaction(f"I{n:03}") for n in range(100)]
    store.fold(epoch, Fold(items, records=[("a", f"{n:03}", b"1") for n in range(50)] + [("b", "0", b"2")]))
    loaded = reader.load()
    half = [next(loaded.interactions) for _ in range(50)]
    store.fold(epoch, Fold([make_interaction("I099", priority=77)], gone=["I003", "I080"]))
    store.checkpoint()
    assert store.behind == 0, "the half-done load holds nothing up"
    rest = list(loaded.interactions)
    assert [item.interaction_id for item in half + rest] == [f"I{n:03}" for n in range(100) if n != 80]
    assert rest[-1].priority == 77
    assert len(list(loaded.records)) == 51


def test_a_load_is_bounded_in_bytes(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given large rows; when loaded and tailed; then reads stop at their bound, and all comes in the end."""
    monkeypatch.setattr(sqlite, "LOAD_BYTES", 2500)
    store = opened()
    epoch, rev = take(store)
    items = [make_interaction(f"I{n}", user_data=Raw(b'"' + b"x" * 998 + b'"')) for n in range(9)]
    store.fold(epoch, Fold(items, records=[("t", str(n), b"1" * 1000) for n in range(9)]))
    assert list(store.load().interactions) == items and len(list(store.load().records)) == 9
    fill(store, epoch, range(2, 12), b"c" * 1000)
    assert [row.rev for row in store.tail(1, max_bytes=2500)] == [2, 3]
    assert [row.rev for row in store.tail(1, max_bytes=1)] == [2]
    assert [row.rev for row in store.tail(1, limit=4)] == [2, 3, 4, 5]


# -- reporting events out of the journal


def test_events_after_a_time(opened: Open) -> None:
    """Given rows with several events, one, and none; when events after a time are asked; then exactly those come."""
    store = opened()
    epoch, _ = take(store, us=50)
    for rev, events in enumerate([(100, 101, 102), (), (103,), (), (), (110, 120), ()], 2):
        us = max(events, default=105 if rev > 4 else 103)
        first = {2: 1, 4: 4, 7: 5}.get(rev, 0)
        store.commit(Row(rev, epoch, us if rev < 8 else 130, b"c", make_events(first, *events) if events else b""))
    times = [100, 101, 102, 103, 110, 120]
    for after in (0, 99, 100, 101, 102, 103, 109, 110, 119, 120, 500):
        expected = [us for us in times if us > after]
        for limit in (1, 2, 3, 6, 10):
            past = store.events(after, limit)
            assert [event.us for event in past.events] == expected[:limit]
            assert past.more == (len(expected) > limit)
            assert past.first_seq == (times.index(expected[0]) + 1 if expected else 0)


def test_events_are_bounded_in_bytes(opened: Open) -> None:
    """Given large events; when asked with a bound; then as many as fit come, one at least, and the rest follows."""
    store = opened()
    epoch, rev = take(store)
    store.commit(Row(rev + 1, epoch, 9, b"", make_events(1, *range(1, 10), size=1000)))
    assert len(store.events(0, 100, max_bytes=3100).events) == 3
    assert len(store.events(0, 100, max_bytes=1).events) == 1
    seen, after = list[int](), 0
    while (past := store.events(after, 100, max_bytes=2500)).events:
        seen += range(past.first_seq, past.first_seq + len(past.events))
        after = past.events[-1].us
    assert seen == list(range(1, 10))


def test_rows_without_events_cost_a_reader_nothing(opened: Open) -> None:
    """Given thousands of rows without events before one with; when asked; then SQLite walks over none of them."""
    store = opened(synchronous="normal")
    epoch, rev = take(store)
    fill(store, epoch, range(2, 3000))
    store.commit(Row(3000, epoch, 3_000_000, b"", make_events(1, 3_000_000)))
    steps = 0

    def count() -> bool:
        nonlocal steps
        steps += 1
        return False

    store._db.set_progress_handler(count, 1)
    assert len(store.events(5000, 10).events) == 1
    assert steps < 100


# -- cutting and housekeeping


def test_only_what_is_folded_and_old_is_cut(opened: Open) -> None:
    """Given 100 rows folded up to 60; when cut by time, revision and slice; then just those go, the last ones never."""
    store = opened(synchronous="normal")
    epoch, _ = take(store)
    fill(store, epoch, range(2, 101))
    assert store.cut(epoch, 10**9) == 0, "nothing is folded"
    store.fold(epoch, Fold(folded_rev=60))
    assert store.cut(epoch, 21_000, limit=5) == 5
    assert store.cut(epoch, 21_000) == 15
    assert store.cut(epoch, 21_000) == 0
    assert store.journal_rows() == 80
    assert store.cut(epoch, 10**9, up_to_rev=30) == 10
    assert store.cut(epoch, 10**9) == 30 and store.cut(epoch, 10**9) == 0
    store.fold(epoch, Fold(folded_rev=100))
    store.cut(epoch, 10**9)
    assert store.journal_rows() == KEPT_ROWS and store.tail(84)[0].rev == 85


def test_a_reader_that_was_away_for_too_long(opened: Open) -> None:
    """Given a standby that stopped reading; when its next rows were cut; then it is told to load again."""
    store, reader = opened(), opened()
    epoch, _ = take(store)
    fill(store, epoch, range(2, 50))
    store.fold(epoch, Fold(folded_rev=49))
    store.cut(epoch, 10**9)
    with pytest.raises(JournalCut, match="row 11 was cut"):
        reader.tail(10)
    assert reader.tail(reader.load().folded_rev) == []


def test_a_journal_that_lost_rows(opened: Open) -> None:
    """Given a reader that has seen more than the database holds now; when it reads on; then Corrupt says so."""
    store = opened()
    take(store)
    with pytest.raises(Corrupt, match="ends at 1, and held row 5 before"):
        store.tail(5)


def test_the_log_stays_small_beside_a_reader(path: str, opened: Open) -> None:
    """Given a busy active member and a tailing standby; when it checkpoints as told; then the log does not grow."""
    store, reader = opened(synchronous="normal"), opened()
    epoch, rev = take(store)
    largest = seen = checkpoints = 0
    for rev in range(2, 2000):
        store.commit(Row(rev, epoch, rev, b"x" * 3000, b""))
        if rev % 10 == 0:
            seen = reader.tail(seen, limit=10)[-1].rev
        if store.behind > 200:
            store.checkpoint()
            checkpoints += 1
            largest = max(largest, Path(path + "-wal").stat().st_size)
    assert largest < 3 * 200 * 4120 and 5 < checkpoints < 50


def test_a_stuck_reader_does_not_fail_the_checkpoint(path: str, opened: Open) -> None:
    """Given a tool that never ends its reading; when the active checkpoints; then it goes on, and catches up later."""
    store = opened()
    epoch, _ = take(store)
    fill(store, epoch, range(2, 20))
    with Tool(path) as stuck:
        stuck.execute("BEGIN")
        assert len(stuck.execute("SELECT rev FROM journal")) == 19
        fill(store, epoch, range(20, 40))
        store.checkpoint()
        assert store.behind > 0
        fill(store, epoch, range(40, 50))
        stuck.execute("COMMIT")
        store.checkpoint()
    assert store.behind == 0


def test_the_standby_leaves_the_log_to_the_active(path: str, opened: Open) -> None:
    """Given rows in the log only; when every store is closed; then none has checkpointed, and nothing is lost."""
    store, reader = opened(), opened()
    epoch, _ = take(store)
    size = Path(path).stat().st_size
    fill(store, epoch, range(2, 200), b"x" * 1000)
    with pytest.raises(Fenced):
        reader.checkpoint()
    store.close()
    reader.tail(0)
    reader.close()
    assert Path(path).stat().st_size == size
    assert len(all_rows(opened())) == 199


# -- against a model


class StoreModel(RuleBasedStateMachine):
    """Two members on one file that crash, fail, take over, fold and cut as chance will; a dict says what must be there.

    Changes are ``key=value`` (or ``key=`` for a deletion), applied as a node applies its rows.
    """

    empty: Path
    made = 0

    @initialize()
    def start(self) -> None:
        StoreModel.made += 1
        self.path = str(self.empty.with_name(f"model{StoreModel.made}.db"))
        shutil.copyfile(self.empty, self.path)
        self.stores = [self._opened(), self._opened()]
        self.active = 0
        self.state: dict[str, str] = {}
        self.dirty: set[str] = set()
        self.round: list[str] = []
        self.mark = 0
        self.epoch = self.rev = 0
        self._take(0)

    def _opened(self) -> SqliteStore:
        store = SqliteStore(self.path, node="n1", synchronous="normal")
        store._db.execute("PRAGMA synchronous = OFF")
        return store

    def _take(self, member: int) -> None:
        self.active = member
        store = self.stores[member]
        self.epoch, self.rev = store.acquire((PRIMARY, BACKUP)[member], store.lease(), 0)
        self.round, self.dirty = [], set(self._replayed(store)) | set(self.state) | self.dirty

    @rule(
        keys=st.lists(st.sampled_from("abcdefgh"), max_size=4),
        value=st.sampled_from(["", "1", "22", "333" * 2000]),
        renew=st.booleans(),
        fold=st.booleans(),
        lost=st.booleans(),
    )
    def commit(self, keys: list[str], value: str, renew: bool, fold: bool, lost: bool) -> None:
        store = self.stores[self.active]
        row = Row(self.rev + 1, self.epoch, self.rev + 1, " ".join(f"{key}={value}" for key in keys).encode(), b"")
        options: dict[str, Any] = {"renew_us": 5 if renew else None, "fold": self._slice(2) if fold else None}
        if lost:
            store._db.set_wal_hook(lambda *_: apsw.SQLITE_IOERR)
            with pytest.raises(StoreFailure):
                store.commit(row, **options)
            store._db.set_wal_hook(store._committed)
        store.commit(row, **options)
        self.rev += 1
        self.dirty.update(keys)
        apply(self.state, row.changes)

    @rule()
    def begin_round(self) -> None:
        if not self.round:
            self.round, self.dirty, self.mark = sorted(self.dirty), set(), self.rev

    @rule(limit=st.integers(1, 5))
    def fold(self, limit: int) -> None:
        self.stores[self.active].fold(self.epoch, self._slice(limit))

    def _slice(self, limit: int) -> Fold:
        keys, self.round = self.round[:limit], self.round[limit:]
        if not keys:
            return Fold()
        there = [key for key in keys if key in self.state]
        gone = [key for key in keys if key not in self.state]
        return Fold(
            [make_interaction(key, external_id=self.state[key]) for key in there],
            gone,
            [("t", key, self.state[key].encode()) for key in there],
            [("t", key) for key in gone],
            None if self.round else self.mark,
        )

    @rule(limit=st.integers(1, 50))
    def cut(self, limit: int) -> None:
        self.stores[self.active].cut(self.epoch, self.rev, limit)

    @rule()
    def checkpoint(self) -> None:
        self.stores[self.active].checkpoint()

    @rule(member=st.integers(0, 1), over=st.booleans())
    def crash(self, member: int, over: bool) -> None:
        self.stores[member].close()
        self.stores[member] = self._opened()
        if member == self.active:
            self._take(1 - member if over else member)

    @rule()
    def take_over(self) -> None:
        stale, epoch, rev = self.active, self.epoch, self.rev
        self._take(1 - stale)
        with pytest.raises(Fenced):
            self.stores[stale].commit(Row(rev + 1, epoch, rev + 9, b"a=stale", b""))

    @invariant()
    def a_load_has_all(self) -> None:
        for store in self.stores:
            assert self._replayed(store) == self.state

    def _replayed(self, store: SqliteStore) -> dict[str, str]:
        folded_rev, interactions, records = store.load()
        state = {item.interaction_id: item.external_id or "" for item in interactions}
        assert state == {key: value.decode() for _, key, value in records}
        for row in all_rows(store, folded_rev):
            apply(state, row.changes)
        return state

    def teardown(self) -> None:
        for store in getattr(self, "stores", []):
            store.close()


def apply(state: dict[str, str], changes: bytes) -> None:
    """One row's changes; doing it again over a later state, and the rows after it too, ends the same."""
    for change in changes.decode().split():
        key, _, value = change.partition("=")
        if value:
            state[key] = value
        else:
            state.pop(key, None)


def test_against_a_model(tmp_path: Path) -> None:
    """Given random histories; when any store is loaded at any time; then it is what was committed, and nothing else.

    Nothing of it waits for the disk or looks at a clock: on a busy machine the hundreds of syncs took longer than a
    test may, and a time limit that strikes inside of hypothesis is reported as a flaky test.
    """
    StoreModel.empty = tmp_path / "empty.db"
    SqliteStore(str(StoreModel.empty), node="n1").close()
    few = settings(max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(StoreModel, settings=few)
