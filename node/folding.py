"""Turning the journal into plain tables, behind: which rows of the tables are to be written next.

A round begins at a revision (the mark) with all that was changed since the last one, and is handed out in slices. A
slice holds the *current* state of its rows, which may be later than the mark; that is safe, because a start loads the
tables and applies every journal row after the mark again, and the last write of each field wins. Only the last slice
moves the mark. What came and went between two rounds touches the tables only by a deletion that finds nothing: whether
the other member has written it meanwhile is not known here.
"""

from __future__ import annotations

from collections import deque

from broker.messages.objects import Interaction

from .journal import encode_row
from .memory import Memory
from .records import COUNTERS
from .store import Fold

COUNTERS_ROW = (COUNTERS, "node")


class Folding:
    """The rounds of one member."""

    def __init__(self, memory: Memory, folded_rev: int) -> None:
        self.memory = memory
        self.folded_rev = folded_rev
        self._mark = folded_rev
        self._ids: list[str] = []
        self._rows: list[tuple[str, str]] = []
        self._slice: Fold | None = None
        self._refill = self._refilling = False
        self._older: deque[tuple[int, dict[str, None], dict[tuple[str, str], None]]] = deque()
        self.running = False

    def start(self, folded_rev: int) -> None:
        """The tables were loaded; what they hold does not have to be written again."""
        self.folded_rev = folded_rev
        self.memory.dirty, self.memory.dirty_rows = {}, {}

    def begin(self, rev: int) -> None:
        """Starts a round at the last committed revision."""
        self._put_aside(rev)
        ids: dict[str, None] = {}
        rows: dict[tuple[str, str], None] = {}
        for _, some_ids, some_rows in self._older:
            ids.update(some_ids)
            rows.update(some_rows)
        self._older.clear()
        self._mark, self._ids, self._rows = rev, list(ids), list(rows)
        if self._refill:
            known = self.memory.interactions
            self._ids = [ident for ident in ids if ident not in known] + list(known)
        self._refill, self._refilling = False, self._refill
        self.running = True

    def refill(self) -> None:
        """The next round writes every interaction, for a column of the tables is new."""
        self._refill, self._refilling = True, False
        if self._slice is not None:
            self._slice = self._slice._replace(filled=False)

    def follow(self, folded_rev: int, rev: int) -> None:
        """On a standby: forgets what the active member has folded meanwhile, so that this does not grow for ever.

        :param folded_rev: of the database
        :param rev: the last row that was applied here
        """
        self.folded_rev = folded_rev
        while self._older and self._older[0][0] <= folded_rev:
            self._older.popleft()
        self._put_aside(rev)

    def _put_aside(self, rev: int) -> None:
        memory = self.memory
        if memory.dirty or memory.dirty_rows:
            self._older.append((rev, memory.dirty, memory.dirty_rows))
            memory.dirty, memory.dirty_rows = {}, {}

    def next(self, limit: int) -> Fold:
        """The next slice of the running round, at most ``limit`` rows; the same again until it is :meth:`written`."""
        if self._slice is None:
            self._slice = self._cut(limit)
        return self._slice

    def _cut(self, limit: int) -> Fold:
        interactions, gone = self._next_interactions(limit)
        rows, dropped = self._next_rows(limit - len(interactions) - len(gone))
        last = not self._ids and not self._rows
        if last:
            rows.append((*COUNTERS_ROW, encode_row(self.memory.counters)))
        return Fold(interactions, gone, rows, dropped, self._mark if last else None, last and self._refilling)

    def written(self) -> None:
        """The slice is in the tables. With the last one the round is over and the mark moves."""
        if self._slice is not None and self._slice.folded_rev is not None:
            self.running = False
            self.folded_rev = self._slice.folded_rev
        self._slice = None

    def _next_interactions(self, limit: int) -> tuple[list[Interaction], list[str]]:
        ids = self._ids[-limit:]
        del self._ids[-limit:]
        known = self.memory.interactions
        return [known[ident] for ident in ids if ident in known], [ident for ident in ids if ident not in known]

    def _next_rows(self, limit: int) -> tuple[list[tuple[str, str, bytes]], list[tuple[str, str]]]:
        if limit <= 0:
            return [], []
        keys = self._rows[-limit:]
        del self._rows[-limit:]
        rows, dropped = [], []
        for name, key in keys:
            row = self.memory.tables[name].get(key)
            if row is None:
                dropped.append((name, key))
            else:
                rows.append((name, key, encode_row(row)))
        return rows, dropped
