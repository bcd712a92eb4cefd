"""Custom properties as columns, in the node's real database as another SQLite tool sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from broker.conditions import compile_condition
from broker.config.faults import ConfigurationFaults
from broker.config.load import parse
from broker.config.objects import CustomProperty
from broker.messages.objects import Interaction
from node import reconfiguration
from node.pair import Event
from node.store import Altered, Fold, Holder, open_store
from node.store.columns import COLUMNS
from tests.broker.samples import CUSTOM, interactions
from tests.node.conftest import make_configuration
from tests.node.sqlite_tool import Tool
from tests.node.tenures import SUBMIT, Member

STRING = {"Segment": CustomProperty(column="segment")}
NUMBER = {"Segment": CustomProperty(column="segment", type="number")}
VALUES = "SELECT segment FROM interactions ORDER BY submit_seq"
Make = Callable[[str, dict[str, CustomProperty]], Member]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "n1.db")


@pytest.fixture
def make(path: str) -> Iterator[Make]:
    """A member whose configuration has these custom properties, serving; the one before it has given its lease up, in
    the middle of whatever it did."""
    members: list[Member] = []

    def serving(name: str, custom: dict[str, CustomProperty]) -> Member:
        configuration = make_configuration()
        configuration.custom_properties.update(custom)
        if members:
            members[-1].end()
        members.append(Member(Path(path), configuration, name))
        members[-1].serve()
        return members[-1]

    yield serving
    members[-1].end()


def submit(member: Member, *values: Any) -> list[str]:
    """Submits an interaction of each segment. :returns: their ids"""
    member.register()
    return [member.ask({**SUBMIT, "user_data": {"Segment": value}})["interaction_id"] for value in values]


def asked(path: str, sql: str) -> list[Any]:
    """What another tool is answered: rows of one value without the row around it."""
    with Tool(path) as people:
        rows = people.execute(sql)
    return [row[0] if len(row) == 1 else tuple(row) for row in rows]


def test_each_type_has_its_column(path: str, make: Make) -> None:
    """Given a string, a number and a time, one whose values are none of these, and one without any; when folded; then
    the columns have SQL's types, times are seconds, whole numbers are whole, and the rest is NULL."""
    mapped = {
        "Segment": CustomProperty(column="segment"),
        "deal size": CustomProperty(column="deal_size", type="number"),
        "Due": CustomProperty(column="due", type="timestamp"),
        "Unmapped": CustomProperty(),
    }
    member = make("primary", mapped)
    member.register()
    for data in (
        {"Segment": "gold", "deal size": 5, "Due": "2026-09-21 14:13:20.25", "Unmapped": "x"},
        {"Segment": "", "deal size": 2.5, "Due": 1790000000},
        {"Segment": 5, "deal size": "5", "Due": "soon"},
        {"Segment": "x" * 4001, "deal size": 10**30, "Due": None},
        {},
    ):
        member.ask({**SUBMIT, "user_data": data})
    member.fold()
    assert asked(path, "SELECT segment, deal_size, due FROM interactions ORDER BY submit_seq") == [
        ("gold", 5, 1790000000.25),
        ("", 2.5, 1790000000.0),
        (None, None, None),
        (None, 1e30, None),
        (None, None, None),
    ]
    types = "SELECT name, type FROM pragma_table_info('interactions') WHERE cid > (SELECT cid FROM"
    types += " pragma_table_info('interactions') WHERE name = 'flexible_properties')"
    assert asked(path, types) == [("segment", "TEXT"), ("deal_size", "NUMERIC"), ("due", "REAL")]
    assert asked(path, "SELECT * FROM custom_columns") == [
        ("segment", "Segment", "string", 1),
        ("deal_size", "deal size", "number", 1),
        ("due", "Due", "timestamp", 1),
    ]


@given(st.lists(interactions(), max_size=5, unique_by=lambda pair: pair[0].interaction_id))
@settings(max_examples=50)
def test_a_column_has_what_conditions_see(tmp_path_factory: Any, pairs: list[tuple[Interaction, Any]]) -> None:
    """Given any user data; when folded; then a column has the value that a condition compares, of every interaction."""
    custom = {key: CustomProperty(column=f"c{at}", type=it.type) for at, (key, it) in enumerate(CUSTOM.items())}
    path = tmp_path_factory.mktemp("any") / "n1.db"
    store = open_store(f"sqlite:///{path}", node="n1")
    epoch, _ = store.acquire(Holder(host="", boot="", pid=1, started=1, member="primary"), store.lease(), 0)
    store.arrange(epoch, custom)
    store.fold(epoch, Fold([it for it, _ in pairs]))
    store.close()
    condition = compile_condition(" and ".join(f"[{key}] is null" for key in custom), custom)
    expected = [tuple(judged.value for judged in condition.explain(it)) for it, _ in pairs]
    assert asked(str(path), "SELECT c0, c1, c2 FROM interactions ORDER BY submit_seq") == expected


def test_the_column_follows_its_interaction(path: str, make: Make) -> None:
    """Given interactions with a value; when one is given another, one loses it and one is stopped; then so says the
    table."""
    member = make("primary", STRING)
    changed, emptied, stopped = submit(member, "a", "b", "c")
    member.fold()
    change = {"message": "RequestChangeProperties"}
    member.ask({**change, "interaction_id": changed, "changed_properties": {"Segment": "z"}})
    member.ask({**change, "interaction_id": emptied, "deleted_properties": ["Segment"]})
    member.ask({"message": "RequestStopProcessing", "interaction_id": stopped})
    member.fold()
    assert asked(path, "SELECT id, segment FROM interactions ORDER BY submit_seq") == [(changed, "z"), (emptied, None)]


def test_a_property_that_is_new_at_a_start_fills_its_column(path: str, make: Make) -> None:
    """Given interactions in the tables; when a member starts with a custom property; then all have their value, and
    what a later start loads is what it was."""
    first = make("primary", {})
    ids = submit(first, "a", "b", None, "d", "e")
    first.fold()
    second = make("backup", STRING)
    second.fold()
    assert asked(path, VALUES) == ["a", "b", None, "d", "e"]
    third = make("primary", STRING)
    assert set(third.tenure.core.memory.interactions) == set(ids)
    assert not third.store.arrange(third.tenure.core.epoch, STRING).stale, "there is nothing to be done again"


@pytest.mark.parametrize("slices", [0, 1, 2])
def test_a_crash_while_a_column_is_filled(path: str, make: Make, slices: int) -> None:
    """Given a member that dies after some slices of filling; when the other takes over; then the column is filled."""
    first = make("primary", {})
    submit(first, "a", "b", "c", "d", "e")
    first.fold()
    make("backup", STRING).fold(slices)
    assert asked(path, "SELECT filled FROM custom_columns") == [0]
    third = make("primary", STRING)
    third.fold()
    assert asked(path, VALUES) == ["a", "b", "c", "d", "e"]
    assert asked(path, "SELECT filled FROM custom_columns") == [1]


def test_a_reload_while_the_node_runs(path: str, make: Make) -> None:
    """Given a member in the middle of a round of folding; when its configuration names a custom property; then the
    round that was running does not count, the next one fills the column, and a find by the column agrees."""
    member = make("primary", {})
    ids = submit(member, "a", "b", "a", "d")
    member.fold(1)
    configuration = make_configuration()
    configuration.custom_properties.update(STRING)
    reconfiguration.ordered(member.tenure.core, member.now, None, configuration, "")
    member.commit()
    member.fold()
    assert asked(path, "SELECT filled FROM custom_columns") == [0], "the round began before the column was there"
    member.fold()
    assert asked(path, "SELECT filled FROM custom_columns") == [1]
    assert asked(path, "SELECT id FROM interactions WHERE segment = 'a' ORDER BY submit_seq") == [ids[0], ids[2]]
    found = member.ask({"message": "RequestFindInteractions", "condition": "segment = 'a'"})["interactions"]
    assert [one["interaction_id"] for one in found] == [ids[0], ids[2]]


def test_a_reload_between_a_slice_and_its_writing(make: Make) -> None:
    """Given the last slice of filling, handed out but not written; when another property comes; then that slice does
    not say that all is filled."""
    member = make("primary", STRING)
    submit(member, "a")
    member.tenure.arrange()
    folding = member.tenure.folding
    folding.begin(member.tenure.core.rev)
    while not folding.next(2).filled:
        folding.written()
    folding.refill()
    assert not folding.next(2).filled


def test_a_column_that_is_no_longer_named_stays(path: str, make: Make) -> None:
    """Given filled columns; when the property is no longer configured; then the log says so once, the column stays, no
    untrue value is in it, and when it is configured again it has all values."""
    first = make("primary", STRING)
    ids = submit(first, "a", "b")
    first.fold()
    with capture_logs() as said:
        second = make("backup", {})
        second.register()
        change = {"message": "RequestChangeProperties", "interaction_id": ids[0]}
        second.ask({**change, "changed_properties": {"Segment": "z"}})
        second.fold()
        second.fold()
    notes = [line["event"] for line in said if "column" in line["event"]]
    assert notes == ["the column segment stays, but 'Segment' is no longer a custom property and does not fill it"]
    assert asked(path, VALUES) == [None, "b"]
    make("primary", STRING).fold()
    assert asked(path, VALUES) == ["z", "b"]


def test_a_column_of_another_type_takes_its_place(path: str, make: Make) -> None:
    """Given a column of strings; when its property is a number, a string again, and a number again; then the column has
    the new type and its values, and the former ones stand beside it, empty of what was written since."""
    first = make("primary", STRING)
    submit(first, "a", 5)
    first.fold()
    with capture_logs() as said:
        make("backup", NUMBER).fold()
    assert "the column segment was of type TEXT: it is segment_2 now, and is not filled any more" in {
        line["event"] for line in said
    }
    assert asked(path, "SELECT segment, typeof(segment) FROM interactions ORDER BY submit_seq") == [
        (None, "null"),
        (5, "integer"),
    ]
    make("primary", STRING).fold()
    make("backup", NUMBER).fold()
    assert asked(path, VALUES) == [None, 5]
    names = [name for name in asked(path, "SELECT name FROM pragma_table_info('interactions')") if "segment" in name]
    assert names == ["segment_2", "segment_3", "segment_4", "segment"]
    assert make("primary", NUMBER).tenure.core.memory.interactions


def test_a_column_of_another_key_is_filled_anew(path: str, make: Make) -> None:
    """Given a column of one key; when it is given to another key; then it has that one's values."""
    first = make("primary", STRING)
    first.register()
    first.ask({**SUBMIT, "user_data": {"Segment": "a", "Class": "b"}})
    first.fold()
    make("backup", {"Class": CustomProperty(column="segment")}).fold()
    assert asked(path, VALUES) == ["b"]


def test_what_an_operator_does_to_columns(path: str, make: Make) -> None:
    """Given a node that is down; when an operator makes an index of his own, and drops a column; then a start takes
    both, the index is kept up, and the column is made and filled again."""
    first = make("primary", {**STRING, "Class": CustomProperty(column="class")})
    submit(first, "a", "b")
    first.fold()
    first.end()
    with Tool(path) as operator:
        operator.execute("CREATE INDEX by_segment ON interactions (segment)")
        operator.execute("ALTER TABLE interactions DROP COLUMN class")
    second = make("primary", {**STRING, "Class": CustomProperty(column="class")})
    submit(second, "b")
    second.fold()
    assert asked(path, "SELECT count(*), count(class) FROM interactions INDEXED BY by_segment WHERE segment = 'b'") == [
        (2, 0)
    ]


@pytest.mark.parametrize(
    ("made", "unmade"),
    [
        ("CREATE UNIQUE INDEX own ON interactions (segment)", "DROP INDEX own"),
        ("CREATE TRIGGER own AFTER INSERT ON interactions BEGIN INSERT INTO gone VALUES (1); END", "DROP TRIGGER own"),
    ],
    ids=["unique index", "trigger"],
)
def test_what_an_operator_must_not_do(path: str, make: Make, made: str, unmade: str) -> None:
    """Given an operator's own index or trigger that does not let the node write a row; when folded; then it is a
    failure of the database and no end of the process, requests are served, and it goes on when that is gone."""
    first = make("primary", STRING)
    submit(first, "a")
    first.fold()
    first.end()
    with Tool(path) as operator:
        operator.execute(made)
    second = make("backup", STRING)
    submit(second, "a")
    with pytest.raises(Altered, match="its tables refuse it"):
        second.fold()
    submit(second, "b")
    with Tool(path) as operator:
        operator.execute(unmade)
    for _ in range(2):  # the round that could not be written, and the next one
        second.fold()
    assert asked(path, VALUES) == ["a", "a", "b"]


def test_a_column_with_an_index_takes_another_type(path: str, make: Make) -> None:
    """Given an operator's index on a column; when the column's type changes; then the index stays with the old one."""
    first = make("primary", STRING)
    submit(first, "a")
    first.fold()
    first.end()
    with Tool(path) as operator:
        operator.execute("CREATE INDEX own ON interactions (segment)")
    make("backup", NUMBER).fold()
    assert asked(path, "SELECT name FROM pragma_index_info('own')") == ["segment_2"]


def test_a_word_of_sql_may_be_the_name_of_a_column(path: str, make: Make) -> None:
    """Given a column that is called ``order``; when folded; then it is there, in double quotes as everywhere in SQL."""
    member = make("primary", {"Segment": CustomProperty(column="order")})
    submit(member, "a")
    member.fold()
    assert asked(path, 'SELECT "order" FROM interactions') == ["a"]


@pytest.mark.parametrize("column", ["n", "rowid", *COLUMNS])
def test_a_column_of_the_table_is_nobody_elses(column: str) -> None:
    """Given a custom property with the name of a column that every interaction has; when read; then it is refused."""
    text = f'[custom-properties.Segment]\ncolumn = "{column}"\n'
    with pytest.raises(ConfigurationFaults, match="is the name of another property"):
        parse(text)


def test_a_member_that_is_active_again_looks_at_the_columns_again(path: str, make: Make) -> None:
    """Given a member that has filled a column; when the other one, which knew no such property, served in between; then
    the column is filled again."""
    first = make("primary", STRING)
    submit(first, "a")
    first.fold()
    first.tenure.release(first.now, Event.SWITCHOVER, "switchover")
    second = Member(Path(path), make_configuration(), "backup")
    second.serve()
    second.fold()
    assert asked(path, "SELECT * FROM custom_columns") == []
    second.end()
    first.serve()
    first.fold()
    assert asked(path, "SELECT * FROM custom_columns") == [("segment", "Segment", "string", 1)]
