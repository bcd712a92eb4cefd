"""A node core on its real database, without the shell: every batch is committed as one row, now and then the tables are
written, and a crash leaves nothing but the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from broker.config.objects import Configuration
from node.core import NodeCore
from node.folding import Folding
from node.journal import encode_changes
from node.store import Holder, Row
from node.store.sqlite import SqliteStore

START = 1_790_000_000.0
FOLD_ROWS = 5

Document = dict[str, Any]


class Served:
    """An active member.

    :param notes: what clients were told unasked: (client, document); :param late: ref -> reply that was not asked for
        just now; :param said: the reporting events
    """

    def __init__(self, file: Path, configuration: Configuration) -> None:
        self.file = file
        self.configuration = configuration
        self.now = START
        self.notes: list[tuple[str, Document]] = []
        self.late: dict[int, Document] = {}
        self.said: list[Document] = []
        self._refs = 0
        self._epoch = 0
        self._open()

    def _open(self) -> None:
        """Takes the lease and the place of whoever was active, with all that the file has."""
        self.store = SqliteStore(str(self.file), node="n1", synchronous="normal")
        holder = Holder(host="here", boot="this", pid=self._epoch + 1, started=1, member="primary")
        self._epoch, _ = self.store.acquire(holder, self.store.lease(), round(self.now * 1e6))
        self.core = NodeCore("n1", self.configuration)
        loaded = self.store.load()
        for interaction in loaded.interactions:
            self.core.memory.load_interaction(interaction)
        for record in loaded.records:
            self.core.memory.load_row(*record)
        self.core.rev = loaded.folded_rev
        self.folding = Folding(self.core.memory, loaded.folded_rev)
        self.folding.start(loaded.folded_rev)
        while rows := self.store.tail(self.core.rev):
            for row in rows:
                self.core.apply(row.us, row.changes, row.events)
                self.core.rev = row.rev
        self.core.activate(self.now, self._epoch, "test")
        self.settle()

    def crash(self) -> None:
        """The process is gone, and with it all that was not in the file. Another one starts."""
        self.store.close()
        self.late.clear()
        self._open()

    def close(self) -> None:
        self.store.close()

    # -- requests

    def ask(self, client: str, request: Document) -> tuple[int, Document | None]:
        """The request's ref, and its reply; None: it comes later."""
        self._refs += 1
        self.core.receive(self.now, (client.encode(), 0), str(self._refs).encode(), json.dumps(request).encode())
        self.settle()
        return self._refs, self.late.pop(self._refs, None)

    def wait(self, seconds: float) -> None:
        """Time passes."""
        until = self.now + seconds
        while self.core.wake_at <= until:
            self.now = max(self.now, self.core.wake_at)
            self.core.tick(self.now)
            self.settle()
        self.now = until
        self.core.tick(self.now)
        self.settle()

    def settle(self) -> None:
        """Closes the batch: commits it, then hands everything out."""
        batch = self.core.take(self.now)
        events = batch.packed_events()
        if batch.changes or events:
            row = Row(self.core.rev + 1, self._epoch, batch.us, encode_changes(batch.changes), events)
            self.store.commit(row)
            self.core.rev = row.rev
        self.said += [json.loads(event.payload) for event in batch.events.events]
        for source, ref, payload, _ in batch.replies:
            document = json.loads(payload)
            if ref is None:
                self.notes.append((source[0].decode(), document))
            else:
                self.late[int(ref)] = document

    def fold(self) -> None:
        """Writes the next rows of the tables."""
        if not self.folding.running:
            self.folding.begin(self.core.rev)
        self.store.fold(self._epoch, self.folding.next(FOLD_ROWS))
        self.folding.written()
