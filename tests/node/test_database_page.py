"""docs/database.md, against the tables that a node makes."""

from __future__ import annotations

import re
from pathlib import Path

import apsw
import pytest

from node.store import open_store
from node.store.custom import SQL_TYPES

PAGE = (Path(__file__).parents[2] / "docs/database.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))


@pytest.fixture
def database(tmp_path: Path) -> apsw.Connection:
    path = tmp_path / "n1.db"
    open_store(f"sqlite:///{path}", node="n1").close()
    return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)


def described(section: str) -> list[tuple[str, str]]:
    """Columns and types of a section's first table."""
    return re.findall(r"^\| `(\w+)` \| (\w*) ?\|", SECTIONS[section].partition("\n### ")[0], re.M)


def test_the_page_has_every_table_and_view_and_no_other(database: apsw.Connection) -> None:
    """Given a database as a node makes it; then the page has a section for each of its tables and views."""
    names = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")}
    assert names == set(SECTIONS)


@pytest.mark.parametrize("name", SECTIONS)
def test_the_page_has_every_column(database: apsw.Connection, name: str) -> None:
    """Given a database as a node makes it; then the page has a table's columns in their order, with their types."""
    assert described(name) == list(database.execute("SELECT name, type FROM pragma_table_info(?)", (name,)))


def test_the_page_has_the_types_of_custom_columns() -> None:
    """Given the types of custom properties; then the page has each with the type of its column."""
    table = PAGE.partition("| `type` | column |")[2].partition("\n\n")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| ([A-Z]+) \|", table, re.M)) == SQL_TYPES
