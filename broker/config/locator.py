"""Where in a TOML text each key stands: the standard library's parser gives values, but no positions.

A text that ``tomllib`` has accepted is walked once. Statements are of two kinds, a header (``[a.b]``, ``[[a.b]]``) and
a pair (``a.b = value``); each says the line of a key path, and of the tables it passes through if nothing better says
them. Values are walked too, for the keys of inline tables and the elements of arrays. Nothing is checked here: the
text is known to be TOML.
"""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]
"""Keys from the top of the document; an int is an index into an array."""

_SPACE = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\"]|\\.|"{1,2}(?!"))*"{3,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}"
    r'|"(?:[^"\\]|\\.)*"'
    r"|'[^']*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")


class Locator:
    """The lines of a TOML text's keys. :param text: TOML that ``tomllib`` has accepted"""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._line = 1
        self._stated: dict[Path, int] = {}
        self._passed: dict[Path, int] = {}
        self._arrays: dict[Path, int] = {}
        self._walk()

    def line(self, path: Path) -> int:
        """The line of the key at ``path``; of its nearest parent if the text does not have it; else 1."""
        while path:
            line = self._stated.get(path) or self._passed.get(path)
            if line:
                return line
            path = path[:-1]
        return 1

    def _walk(self) -> None:
        table: Path = ()
        self._space()
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._space()

    def _header(self) -> Path:
        """``[a.b]`` or ``[[a.b]]`` -> the path of the table that the next pairs belong to."""
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._skip(brackets)
        line = self._line
        path = self._enter((), self._key())
        self._skip(brackets)
        if brackets == 2:
            self._stated.setdefault(path, line)
            self._arrays[path] = self._arrays.get(path, -1) + 1
            path = (*path, self._arrays[path])
        self._stated.setdefault(path, line)
        return path

    def _pair(self, table: Path) -> None:
        line = self._line
        path = self._enter(table, self._key())
        self._stated.setdefault(path, line)
        self._skip(1)  # the equals sign
        self._space()
        self._value(path)

    def _enter(self, table: Path, key: list[str]) -> Path:
        """The path of a dotted ``key`` in ``table``; an array of tables on the way is entered at its last element."""
        for part in key[:-1]:
            table = (*table, part)
            self._passed.setdefault(table, self._line)
            if table in self._arrays:
                table = (*table, self._arrays[table])
        return (*table, key[-1])

    def _key(self) -> list[str]:
        """A dotted key, up to what ends it."""
        parts = []
        while True:
            self._space()
            parts.append(self._key_part())
            self._space()
            if self._text[self._at] != ".":
                return parts
            self._skip(1)

    def _key_part(self) -> str:
        bare = _BARE_KEY.match(self._text, self._at)
        if bare:
            self._move(bare.end())
            return bare[0]
        literal = self._string()
        return literal[1:-1] if "\\" not in literal else str(tomllib.loads(f"key = {literal}")["key"])

    def _value(self, path: Path) -> None:
        mark = self._text[self._at]
        if mark == "[":
            self._array(path)
        elif mark == "{":
            self._inline_table(path)
        elif mark in "\"'":
            self._string()
        else:
            self._move(_SCALAR.match(self._text, self._at).end())  # type: ignore[union-attr]  # TOML has no empty value

    def _array(self, path: Path) -> None:
        index = 0
        self._skip(1)
        while not self._closed("]"):
            self._stated[(*path, index)] = self._line
            self._value((*path, index))
            index += 1

    def _inline_table(self, path: Path) -> None:
        self._skip(1)
        while not self._closed("}"):
            self._pair(path)

    def _closed(self, bracket: str) -> bool:
        """Goes over space and a comma; True when that was the end, which is gone over too."""
        self._space()
        if self._text[self._at] == ",":
            self._skip(1)
            self._space()
        if self._text[self._at] != bracket:
            return False
        self._skip(1)
        return True

    def _string(self) -> str:
        found = _STRING.match(self._text, self._at)
        assert found, "tomllib has accepted this text"
        self._move(found.end())
        return found[0]

    def _space(self) -> None:
        """Goes over blanks, line ends and comments."""
        self._move(_SPACE.match(self._text, self._at).end())  # type: ignore[union-attr]  # it matches the empty string

    def _skip(self, count: int) -> None:
        """Goes over ``count`` characters, none of them a line end."""
        self._at += count

    def _move(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end
