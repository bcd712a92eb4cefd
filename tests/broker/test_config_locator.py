"""The locator: every key of a TOML text is found at its line."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.config.faults import key_of, quoted
from broker.config.locator import Locator, Path

SAMPLE = '''\
title = "a # b = [c]"  # line 1
owner.name = "x"
owner . "first name" = 'y'
text = """
[not.a.table]
key = 1 \\""" ""\\
"""
after.text = 1
list = [ 1, [2, # comment ]
  3], { a = 1,  b.c = [
    4 ] } ]

[nodes.n1]
primary = { requests = "tcp://a", events = "b" }
[views."Inbound/all"]
order = "x"
[views.'q"\\']
order = "x"
["caf\\u00e9"]
au = "lait"
[[fruit]]
name = "apple"
[fruit.physical]
colour = "red"
[[fruit.variety]]
name = "red delicious"
[[fruit]]
name = "banana"
[fruit.physical]
colour = "yellow"
[nodes]
late = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 1),
        (("owner",), 2),
        (("owner", "name"), 2),
        (("owner", "first name"), 3),
        (("text",), 4),
        (("after", "text"), 8),
        (("list",), 9),
        (("list", 0), 9),
        (("list", 1, 0), 9),
        (("list", 1, 1), 10),
        (("list", 2, "a"), 10),
        (("list", 2, "b"), 10),
        (("list", 2, "b", "c"), 10),
        (("list", 2, "b", "c", 0), 11),
        (("nodes", "n1"), 13),
        (("nodes", "n1", "primary", "events"), 14),
        (("views",), 15),
        (("views", "Inbound/all"), 15),
        (("views", "Inbound/all", "order"), 16),
        (("views", 'q"\\'), 17),
        (("café", "au"), 20),
        (("fruit",), 21),
        (("fruit", 0, "name"), 22),
        (("fruit", 0, "physical", "colour"), 24),
        (("fruit", 0, "variety", 0, "name"), 26),
        (("fruit", 1), 27),
        (("fruit", 1, "physical"), 29),
        (("fruit", 1, "physical", "colour"), 30),
        (("nodes",), 31),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_of_a_key(path: Path, line: int, newline: str) -> None:
    """Given a text with every kind of statement, when a key is asked for, then its line comes."""
    text = SAMPLE.replace("\n", newline)
    tomllib.loads(text)
    assert Locator(text).line(path) == line


@pytest.mark.parametrize(
    ("path", "line"), [(("nodes", "n1", "backup", "events"), 13), (("nodes", "n2"), 31), (("nowhere",), 1), ((), 1)]
)
def test_line_of_what_is_not_there(path: Path, line: int) -> None:
    """Given a key that the text does not have, when it is asked for, then its nearest parent's line comes."""
    assert Locator(SAMPLE).line(path) == line


class Writer:
    """Writes a random TOML text, and notes the line of every key it writes."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[Path, int] = {}

    def note(self, path: Path) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def keys(self, least: int = 0) -> list[str]:
        return self.draw(
            st.lists(
                st.text(max_size=4) | st.sampled_from(["a", "b-c", "1", "x.y"]), min_size=least, max_size=2, unique=True
            )
        )

    def key(self, part: str) -> str:
        forms = [quoted(part)]
        if re.fullmatch("[A-Za-z0-9_-]+", part):
            forms.append(part)
        if not re.search("['\x00-\x1f\x7f]", part):
            forms.append(f"'{part}'")
        return self.draw(st.sampled_from(forms))

    def blank(self) -> str:
        return self.draw(st.sampled_from(["", " ", "\n", " # c, ] } \" '\n", "\n\t\n"]))

    def space(self) -> str:
        return self.draw(st.sampled_from(["", " ", "\t"]))

    def dotted(self, path: Path) -> str:
        dot = self.space() + "." + self.space()
        return dot.join(self.key(part) for part in path if isinstance(part, str))

    def scalar(self) -> None:
        values = [
            "1",
            "-1.5e3",
            "inf",
            "true",
            "1979-05-27 07:32:00",
            "07:32:00",
            '""',
            "''",
            '"a # ] } \\" \\\\"',
            "'\\'",
        ]
        longer = ['"""\n[a]\nb = 1 ""\\"""""', "'''\n'' ]\n'''''", '"""a\\\n  \\\\"""', "''''x'''"]
        self.text += self.draw(st.sampled_from(values + longer))

    def value(self, path: Path, depth: int) -> None:
        kinds = (
            [self.scalar]
            if depth > 2
            else [self.scalar, lambda: self.array(path, depth), lambda: self.inline(path, depth)]
        )
        self.draw(st.sampled_from(kinds))()

    def array(self, path: Path, depth: int) -> None:
        count = self.draw(st.integers(0, 3))
        self.text += "[" + self.blank()
        for index in range(count):
            self.note((*path, index))
            self.value((*path, index), depth + 1)
            self.text += self.blank() + ("," if index < count - 1 or self.draw(st.booleans()) else "") + self.blank()
        self.text += "]"

    def inline(self, path: Path, depth: int) -> None:
        self.text += "{" + self.space()
        for index, key in enumerate(self.keys()):
            self.text += ", " if index else ""
            self.pair(path, (key,), depth + 1)
        self.text += self.space() + "}"

    def pair(self, table: Path, key: Path, depth: int = 0) -> None:
        for length in range(1, len(key) + 1):
            self.note((*table, *key[:length]))
        self.text += self.dotted(key) + self.space() + "=" + self.space()
        self.value((*table, *key), depth)

    def section(self, path: Path, depth: int = 0) -> None:
        """Pairs, dotted pairs, then tables and arrays of tables."""
        names = self.keys()
        for name in names:
            keys: list[Path] = [(name, sub) for sub in self.keys(1)] if self.draw(st.booleans()) else [(name,)]
            for key in keys:
                self.text += self.blank() + self.space()
                self.pair(path, key)
                self.text += self.draw(st.sampled_from(["\n", " # = [\n"]))
        for name in [name for name in self.keys() if name not in names] if depth < 3 else []:
            self.draw(st.sampled_from([self.table, self.passed_table, self.tables]))((*path, name), depth + 1)

    def header(self, path: Path, form: str = "[{}]\n") -> None:
        self.text += form.format(self.dotted(path))

    def table(self, path: Path, depth: int) -> None:
        self.note(path)
        self.header(path)
        self.section(path, depth)

    def passed_table(self, path: Path, depth: int) -> None:
        """A table that only the header of a table in it speaks of."""
        self.note(path)
        self.table((*path, "in"), depth)

    def tables(self, path: Path, depth: int) -> None:
        self.note(path)
        for index in range(self.draw(st.integers(1, 2))):
            self.note((*path, index))
            self.header(path, "[[{}]]\n")
            self.section((*path, index), depth)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[Path, int]]:
    writer = Writer(draw)
    writer.section(())
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    return writer.text.replace("\n", newline), writer.lines


def paths_of(value: Any, path: Path = ()) -> list[Path]:
    """The paths of all keys and elements of a parsed document."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [path, *(inner for key, entry in items for inner in paths_of(entry, (*path, key)))]


@settings(max_examples=80, deadline=None)
@given(documents())
def test_every_key_is_located(document: tuple[str, dict[Path, int]]) -> None:
    """Given any document, when its keys are asked for, then each is at the line where it was written."""
    text, lines = document
    assert set(paths_of(tomllib.loads(text))) == {(), *lines}
    locator = Locator(text)
    assert {path: locator.line(path) for path in lines} == lines


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_a_key_is_spelt_as_toml_reads_it(parts: list[str]) -> None:
    """Given any key path, when it is spelt for a person, then TOML reads the same path."""
    document: Any = tomllib.loads(f"{key_of(tuple(parts))} = 1")
    for part in parts:
        document = document[part]
    assert document == 1
