"""A node core on its real database, without the shell: every batch is committed as one row, now and then the tables are
written, and a crash leaves nothing but the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from broker.wire import PackedRequest, PackedRequests
from node.calls import Read
from node.core import NodeCore
from node.folding import Folding
from node.journal import encode_changes
from node.past import replay
from node.store import Holder, Row
from node.store.sqlite import SqliteStore
from tests.model.things import Document
from tests.model.world import START, WORLD, WORLDS
from tests.orders import obey_node, standby

FOLD_ROWS = 5
Source = tuple[bytes, int]


class Said(NamedTuple):
    """A message to a client. :param ref: of the request that it answers; None: it was not asked for"""

    source: Source
    ref: int | None
    document: Document


class Turn:
    """What a node did at one moment, in one batch or several.

    :param ref: of the request that was asked, if one was
    :param file: which world the configuration file has
    :param said: in the order it left the node; whoever expects something takes it out
    :param dialled: to listed ESP servers: (name, reference, request)
    :param events: the reporting events
    """

    file = ""

    def __init__(self, ref: int | None, said: list[Said], dialled: list[Any], events: list[Document]) -> None:
        self.ref = ref
        self.said = said
        self.dialled = dialled
        self.events = events

    def goes_on(self, further: Turn) -> None:
        """What the node has done right after it."""
        self.said += further.said
        self.dialled += further.dialled
        self.events += further.events

    def reply(self) -> Document | None:
        """The reply to what was asked; None: it comes later."""
        for one in self.said:
            if one.ref == self.ref is not None:
                self.said.remove(one)
                return one.document
        return None

    def notes(self, name: str) -> list[Said]:
        """What clients were told unasked under one name."""
        found = [one for one in self.said if one.ref is None and one.document["message"] == name]
        self.said = [one for one in self.said if one not in found]
        return found


class Served:
    """An active member.

    :param file: which world the configuration file has now
    :param events: of the first start
    :param open: the requests that came through the proxy and have no reply: ref -> source, request
    """

    def __init__(self, database: Path) -> None:
        self.database = database
        self.now = START
        self.file = next(iter(WORLDS))
        self.open: dict[int, tuple[Source, Document]] = {}
        self._refs = 0
        self._epoch = 0
        self.events = self._start().events

    def _start(self) -> Turn:
        """Takes the lease and the place of whoever was active, with all that the file has."""
        self.store = SqliteStore(str(self.database), node="n1", synchronous="normal")
        holder = Holder(host="here", boot="this", pid=self._epoch + 1, started=1, member="primary")
        self._epoch, _ = self.store.acquire(holder, self.store.lease(), round(self.now * 1e6))
        self.core = NodeCore("n1", WORLD.configuration())  # as the file was when both members were started
        loaded = self.store.load()
        self.core.memory.load(loaded.interactions)
        for record in loaded.records:
            self.core.memory.load_row(*record)
        self.core.rev = loaded.folded_rev
        self.folding = Folding(self.core.memory, loaded.folded_rev)
        self.folding.start(loaded.folded_rev)
        while rows := self.store.tail(self.core.rev):
            for row in rows:
                self.core.apply(row.us, row.changes, row.events)
                self.core.rev = row.rev
        self.core.memory.fill()
        self.core.activate(self.now, self._epoch, "test")
        return self._batch()

    def crash(self) -> Turn:
        """The process is gone, and with it all that was not in the file. Another one starts."""
        self.store.close()
        return self._start()

    def close(self) -> None:
        self.store.close()

    # -- what happens

    def ask(self, source: Source, request: Document, ref: int | None = None) -> Turn:
        """A request. :param ref: of one that the proxy sends again"""
        if ref is None:
            self._refs += 1
            ref = self._refs
        payload = json.dumps(request).encode()
        if source[1] == 0:
            self.core.receive(self.now, source, str(ref).encode(), payload)
        else:
            self.open[ref] = source, request
            packed = PackedRequests(min(self.open), [PackedRequest(ref, source[1], 0, payload)])
            self.core.receive_link(self.now, source[0], packed)
        return self._batch(ref)

    def tick(self, now: float) -> Turn:
        """Time has passed."""
        self.now = now
        self.core.tick(now)
        return self._batch()

    def forget(self, source: Source) -> None:
        """A client of the proxy is gone: nobody waits for its replies."""
        self.open = {ref: one for ref, one in self.open.items() if one[0] != source}

    def happens(self, name: str, *what: Any) -> Turn:
        """What the shell tells the core: ``connected``, ``disconnected``, ``answered``, ``lost``."""
        getattr(self.core, name)(self.now, *what)
        return self._batch()

    def _batch(self, ref: int | None = None) -> Turn:
        """A batch, and those in which the node goes on at once with what it has begun."""
        turn = self._close(ref)
        while self.core.wake_at <= self.now:
            self.core.tick(self.now)
            turn.goes_on(self._close(None))
        return turn

    def _close(self, ref: int | None) -> Turn:
        """Closes the batch: commits it, then hands everything out."""
        if self.core.orders:
            obey_node(self.core, self.now, WORLDS[self.file].configuration(), standby(self.core))
        batch = self.core.take(self.now)
        events = batch.packed_events()
        if batch.changes or events:
            row = Row(self.core.rev + 1, self._epoch, batch.us, encode_changes(batch.changes), events)
            self.store.commit(row)
            self.core.rev = row.rev
        said = [
            Said(source, None if number is None else int(number), json.loads(payload))
            for source, number, payload, _ in batch.replies
        ]
        for one in said:
            self.open.pop(one.ref or 0, None)
        said += [self._read(read) for read in batch.reads]
        dialled = [(one.name, one.refid, json.loads(one.payload)) for one in batch.dialled]
        turn = Turn(ref, said, dialled, [json.loads(event.payload) for event in batch.events.events])
        turn.file = self.file
        return turn

    def _read(self, read: Read) -> Said:
        """Past events, from the database."""
        payload, _ = replay(self.store, "n1", read, self.core.clock.promise(self.now))
        return Said(read.source, int(read.ref), json.loads(payload))

    def fold(self) -> None:
        """Writes the next rows of the tables."""
        if not self.folding.running:
            self.folding.begin(self.core.rev)
        self.store.fold(self._epoch, self.folding.next(FOLD_ROWS))
        self.folding.written()
