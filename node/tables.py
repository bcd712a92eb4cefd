"""Tables: a node's durable rows by key, found by what they say of themselves.

A table is declared by its row class in :data:`node.records.TABLES` together with its indexes, each a function from a
row to the values it is to be found by. Rows are replaced, never changed in place, so the indexes stay right.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from heapq import heappop, heappush
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

Row = TypeVar("Row", bound=msgspec.Struct)

Find = Callable[[Row], Iterable[Hashable]]
"""The values that a row is found by."""


class Kind(NamedTuple, Generic[Row]):
    """What a table is of.

    :param indexes: name -> what its rows are found by; :param watched: the index that a :class:`Watched` table notes
    """

    row: type[Row]
    indexes: dict[str, Find[Row]] = {}
    watched: str = ""


class Table(Generic[Row]):
    """Rows by key."""

    def __init__(self, name: str, kind: Kind[Row]) -> None:
        self.name = name
        self.rows: dict[str, Row] = {}
        self.decode = msgspec.json.Decoder(kind.row).decode
        self._indexes = [(find, dict[Hashable, set[str]]()) for find in kind.indexes.values()]
        self._by_name = dict(zip(kind.indexes, (keys for _, keys in self._indexes), strict=True))

    def __len__(self) -> int:
        return len(self.rows)

    def get(self, key: str) -> Row | None:
        """The row at ``key``."""
        return self.rows.get(key)

    def keys(self, index: str, value: Hashable) -> list[str]:
        """The keys of all rows that are found by ``value``, sorted, so that every member goes through them alike."""
        return sorted(self._by_name[index].get(value, ()))

    def one(self, index: str, value: Hashable) -> Row | None:
        """The row that is found by ``value``, where there is at most one."""
        for key in self._by_name[index].get(value, ()):
            return self.rows[key]
        return None

    def count(self, index: str, value: Hashable) -> int:
        """How many rows are found by ``value``."""
        return len(self._by_name[index].get(value, ()))

    def values(self, index: str) -> set[Hashable]:
        """All that rows are found by."""
        return set(self._by_name[index])

    def set(self, key: str, row: Row) -> None:
        """Puts a row in, in the place of an older one."""
        old = self.rows.get(key)
        if old is not None:
            self._leave(key, old)
        self.rows[key] = row
        for find, keys in self._indexes:
            for value in find(row):
                keys.setdefault(value, set()).add(key)

    def delete(self, key: str) -> None:
        """Takes a row out, if there is one."""
        row = self.rows.pop(key, None)
        if row is not None:
            self._leave(key, row)

    def _leave(self, key: str, row: Row) -> None:
        for find, keys in self._indexes:
            for value in find(row):
                found = keys.get(value)
                if found is not None:
                    found.discard(key)
                    if not found:
                        del keys[value]


class Watched(Table[Row]):
    """A table that notes what its rows are found by when they come, change or go, by the index that its kind names.

    :param watching: whether somebody wants that; :param touched: what was noted; whoever looks at it empties it
    """

    def __init__(self, name: str, kind: Kind[Row]) -> None:
        super().__init__(name, kind)
        self.watching = False
        self.touched: set[Any] = set()
        self._watched = kind.indexes[kind.watched]

    def set(self, key: str, row: Row) -> None:
        super().set(key, row)
        if self.watching:
            self.touched.update(self._watched(row))

    def _leave(self, key: str, row: Row) -> None:
        super()._leave(key, row)
        if self.watching:
            self.touched.update(self._watched(row))


class Settling(Table[Row]):
    """The stored replies: those to a link's numbers are also kept in their order, to be let go of together.

    They nearly always come in that order, but for those that a start finds in tables that are ahead of the journal.
    """

    def __init__(self, name: str, kind: Kind[Row]) -> None:
        super().__init__(name, kind)
        self._numbers: dict[str, list[int]] = {}
        """Of each link a heap."""

    def set(self, key: str, row: Row) -> None:
        link, number = split_answer_key(key)
        if number is not None and key not in self.rows:
            heappush(self._numbers.setdefault(link, []), number)
        super().set(key, row)

    @property
    def links(self) -> list[str]:
        """The links that replies are kept for."""
        return sorted(self._numbers)

    def settled(self, link: str, below: int) -> list[str]:
        """The keys of a link's replies below this number; they are no longer remembered as open."""
        numbers = self._numbers.get(link)
        keys = []
        while numbers and numbers[0] < below:
            keys.append(answer_key(link, heappop(numbers)))
        if not numbers:
            self._numbers.pop(link, None)
        return [key for key in keys if key in self.rows]


def answer_key(scope: str, key: str | int, part: int = 0) -> str:
    """The key of a stored reply: of a link's request number, or of a client name's dedup_id.

    :param part: of a request that a proxy asks for in several parts
    """
    if isinstance(key, int):
        return f"#{scope}\n{key}"
    return f"@{scope}\n{key}\n{part}" if part else f"@{scope}\n{key}"


def split_answer_key(key: str) -> tuple[str, int | None]:
    """The scope and, of a link's reply, the number."""
    if key[0] != "#":
        return key, None
    scope, _, number = key[1:].rpartition("\n")
    return scope, int(number)
