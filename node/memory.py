"""All that a node must not forget, in memory: interactions, and tables of rows.

Every change goes through the methods here, which do three things at once: change the memory, keep the indexes right,
and note the change for the journal. A standby and a starting member apply the same changes from the journal
(:meth:`Memory.apply`), so what they hold is what the active member held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from copy import copy
from operator import attrgetter
from typing import Any, cast

import msgspec
from msgspec import UNSET, Raw

from broker.config.objects import Configuration
from broker.messages.objects import Interaction

from .contents import Contents, place_of
from .journal import FIELDS, Change, Drop, Gone, New, Patch, Put, Set, Settled, encode_row
from .records import (
    COUNTERS,
    TABLES,
    AgentRow,
    Answer,
    Configured,
    Counters,
    Drain,
    Invitation,
    Load,
    Lock,
    Move,
    Page,
    Panic,
    QueueRow,
    Reservation,
    ServiceCall,
    Snapshot,
    Subscription,
    TopicRow,
)
from .tables import Row, Settling, Table, Watched
from .taken import Taken
from .views import Views

_KINDS: dict[str, type[Table[Any]]] = {"answers": Settling, "holdings": Taken, "invitations": Watched}
"""Tables that keep more than rows and indexes."""


WORDS = 1000
"""Words that are kept to be shared: more than there are queues, media types and servers that bring interactions in."""


class Memory:
    """A node's durable state.

    :param changes: what was changed since the last :meth:`take_changes`, for the journal
    """

    def __init__(self, configuration: Configuration) -> None:
        self.interactions: dict[str, Interaction] = {}
        self.by_external_id: dict[str, set[str]] = {}
        self.views = Views(configuration)
        self.contents = Contents(configuration)
        self.tables: dict[str, Table[Any]] = {
            name: _KINDS.get(name, Table)(name, kind) for name, kind in TABLES.items()
        }
        self.agents: Table[AgentRow] = self.tables["agents"]
        self.reservations: Table[Reservation] = self.tables["reservations"]
        self.holdings: Taken = cast("Taken", self.tables["holdings"])
        self.panics: Table[Panic] = self.tables["panics"]
        self.loads: Table[Load] = self.tables["loads"]
        self.invitations: Watched[Invitation] = cast("Watched[Invitation]", self.tables["invitations"])
        self.queues: Table[QueueRow] = self.tables["queues"]
        self.subscriptions: Table[Subscription] = self.tables["subscriptions"]
        self.topics: Table[TopicRow] = self.tables["topics"]
        self.services: Table[ServiceCall] = self.tables["services"]
        self.answers: Settling[Answer] = cast("Settling[Answer]", self.tables["answers"])
        self.snapshots: Table[Snapshot] = self.tables["snapshots"]
        self.pages: Table[Page] = self.tables["pages"]
        self.moves: Table[Move] = self.tables["moves"]
        self.locks: Table[Lock] = self.tables["locks"]
        self.drains: Table[Drain] = self.tables["drains"]
        self.configured: Table[Configured] = self.tables["configured"]
        self.counters = Counters()
        self._words: dict[str, str] = {}
        self.changes: list[Change] = []
        self.dirty: dict[str, None] = {}
        self.dirty_rows: dict[tuple[str, str], None] = {}
        self.queue_counts: dict[str, list[int]] = {}

    # -- another configuration

    def reconfigure(self, configuration: Configuration) -> list[str]:
        """Views and workbins as a new configuration has them, once they are built (:meth:`build`).

        :returns: the views that are gone
        """
        self.contents.reconfigure(configuration)
        return self.views.reconfigure(configuration, self.interactions)

    @property
    def building(self) -> bool:
        """:meth:`build` has something to do."""
        return self.views.building or self.contents.building

    def build(self, limit: int) -> bool:
        """Goes on building, some interactions' worth. True: all is built."""
        if self.views.building and not self.views.build(self.interactions, limit):
            return False
        return not self.contents.building or self.contents.build(self.interactions, limit)

    # -- interactions

    def add(self, interaction: Interaction) -> None:
        """A new interaction. The journal says how it came in, whatever becomes of it in the same batch."""
        self._insert(interaction)
        self.changes.append(New(copy(interaction)))

    def update(self, interaction: Interaction, **fields: Any) -> None:
        """Sets fields of an interaction."""
        self._set(interaction, fields)
        self.changes.append(Set(interaction.interaction_id, Patch(**fields)))

    def remove(self, interaction: Interaction) -> None:
        """The interaction is gone."""
        self._delete(interaction)
        self.changes.append(Gone(interaction.interaction_id))

    def _share(self, interaction: Interaction) -> None:
        """Interactions that say the same words keep one copy of them: it saves 200 bytes of each that waits."""
        pool = self._words
        if len(pool) > WORDS:
            pool.clear()
        interaction.media_type = pool.setdefault(interaction.media_type, interaction.media_type)
        interaction.interaction_type = pool.setdefault(interaction.interaction_type, interaction.interaction_type)
        if interaction.queue is not None:
            interaction.queue = pool.setdefault(interaction.queue, interaction.queue)
        if interaction.submitted_by is not None:
            interaction.submitted_by = pool.setdefault(interaction.submitted_by, interaction.submitted_by)

    def _insert(self, interaction: Interaction) -> None:
        self._share(interaction)
        self.interactions[interaction.interaction_id] = interaction
        if interaction.external_id is not None:
            self.by_external_id.setdefault(interaction.external_id, set()).add(interaction.interaction_id)
        self._count(interaction, 1)
        self.views.enter(interaction)
        if interaction.workbin is not None:
            self.contents.enter(interaction)
            self.contents.moved(interaction.interaction_id, None, place_of(interaction))
        counters = self.counters
        if interaction.submit_seq > counters.submit_seq:  # hot path of a start: max() takes longer
            counters.submit_seq = interaction.submit_seq
        if interaction.place_in_queue_seq > counters.place_seq:
            counters.place_seq = interaction.place_in_queue_seq
        self.dirty[interaction.interaction_id] = None

    def _set(self, interaction: Interaction, fields: dict[str, Any]) -> None:
        moves = self.views.concerns(interaction, fields)
        before = place_of(interaction)
        if moves:
            self.views.leave(interaction)
            self.contents.leave(interaction)
            self._count(interaction, -1)
        if "external_id" in fields:
            self._forget_external(interaction)
        for name, value in fields.items():
            setattr(interaction, name, value)
        if "queue" in fields:
            self._share(interaction)
        if moves:
            self.views.enter(interaction)
            self.contents.enter(interaction)
            self.contents.moved(interaction.interaction_id, before, place_of(interaction))
            self._count(interaction, 1)
        if fields.get("external_id") is not None:
            self.by_external_id.setdefault(fields["external_id"], set()).add(interaction.interaction_id)
        if "place_in_queue_seq" in fields:
            self.counters.place_seq = max(self.counters.place_seq, fields["place_in_queue_seq"])
        self.dirty[interaction.interaction_id] = None

    def _delete(self, interaction: Interaction) -> None:
        self.views.leave(interaction)
        self.contents.leave(interaction)
        self.contents.moved(interaction.interaction_id, place_of(interaction), None)
        self._count(interaction, -1)
        self._forget_external(interaction)
        del self.interactions[interaction.interaction_id]
        self.dirty[interaction.interaction_id] = None

    def _forget_external(self, interaction: Interaction) -> None:
        if interaction.external_id is not None:
            ids = self.by_external_id.get(interaction.external_id, set())
            ids.discard(interaction.interaction_id)
            if not ids:
                self.by_external_id.pop(interaction.external_id, None)

    def _count(self, interaction: Interaction, by: int) -> None:
        """Keeps the number of interactions per queue and state (queued, cached, routing, handling)."""
        counts = self.queue_counts.get(interaction.queue or "")
        if counts is None:
            counts = self.queue_counts[interaction.queue or ""] = [0, 0, 0, 0]
        counts[interaction.interaction_state] += by

    # -- tables

    def put(self, table: Table[Row], key: str, row: Row) -> None:
        """A row has a new value."""
        self._put(table, key, row)
        self.changes.append(Put(table.name, key, Raw(encode_row(row))))

    def drop(self, table: Table[Any], key: str) -> None:
        """A row is gone; nothing happens where there is none."""
        if key in table.rows:
            self._drop(table, key)
            self.changes.append(Drop(table.name, key))

    def settle(self, link: str, below: int) -> None:
        """A proxy has every reply below this number."""
        if self._settle(link, below):
            self.changes.append(Settled(link, below))

    def _put(self, table: Table[Any], key: str, row: Any) -> None:
        table.set(key, row)
        self.dirty_rows[(table.name, key)] = None

    def _drop(self, table: Table[Any], key: str) -> None:
        table.delete(key)
        self.dirty_rows[(table.name, key)] = None

    def _settle(self, link: str, below: int) -> bool:
        keys = self.answers.settled(link, below)
        for key in keys:
            self._drop(self.answers, key)
        return bool(keys)

    # -- the journal's side

    def take_changes(self) -> list[Change]:
        """What was changed since the last call; the memory goes on with an empty list."""
        changes, self.changes = self.changes, []
        return changes

    def apply(self, changes: Iterable[Change]) -> None:
        """Brings the memory forward by a journal row's changes."""
        for change in changes:
            _APPLY[type(change)](self, change)
        self.contents.moves.clear()
        self.forget_touched()

    def forget_touched(self) -> None:
        """What tables have noted was noted for nobody: this member does not serve, or not yet."""
        self.holdings.freed.clear()
        self.holdings.touched.clear()
        self.invitations.touched.clear()

    def load(self, interactions: Iterable[Interaction]) -> None:
        """All interactions from the tables, at a start; the memory is empty. Views come last, by :meth:`fill`, when the
        rest of the journal is applied: sorting once takes a fraction of the time of placing one by one."""
        self.views.filled = False
        for interaction in interactions:
            self._share(interaction)
            self.interactions[interaction.interaction_id] = interaction
        known = self.interactions.values()
        self.counters.submit_seq = max(map(attrgetter("submit_seq"), known), default=0)
        self.counters.place_seq = max(map(attrgetter("place_in_queue_seq"), known), default=0)
        for (queue, state), number in Counter(map(attrgetter("queue", "interaction_state"), known)).items():
            self.queue_counts.setdefault(queue or "", [0, 0, 0, 0])[state] += number
        for interaction in known:
            if interaction.external_id is not None:
                self.by_external_id.setdefault(interaction.external_id, set()).add(interaction.interaction_id)
            if interaction.workbin is not None:
                self.contents.enter(interaction)

    def fill(self) -> None:
        """Ends a start: views have what waits. Nothing is done where they have it already."""
        if not self.views.filled:
            self.views.fill(self.interactions.values())

    def load_row(self, table: str, key: str, data: bytes) -> None:
        """A row from the tables, at start."""
        if table == COUNTERS:
            self.counters = msgspec.json.decode(data, type=Counters)
        else:
            self._put(self.tables[table], key, self.tables[table].decode(data))


def _apply_new(memory: Memory, change: New) -> None:
    known = memory.interactions.get(change.interaction.interaction_id)
    if known is not None:
        memory._delete(known)
    memory._insert(change.interaction)


def _apply_set(memory: Memory, change: Set) -> None:
    interaction = memory.interactions.get(change.interaction_id)
    if interaction is not None:
        patch = change.patch
        memory._set(interaction, {name: value for name in FIELDS if (value := getattr(patch, name)) is not UNSET})


def _apply_gone(memory: Memory, change: Gone) -> None:
    interaction = memory.interactions.get(change.interaction_id)
    if interaction is not None:
        memory._delete(interaction)


def _apply_put(memory: Memory, change: Put) -> None:
    table = memory.tables[change.table]
    memory._put(table, change.key, table.decode(change.row))


def _apply_drop(memory: Memory, change: Drop) -> None:
    memory._drop(memory.tables[change.table], change.key)


def _apply_settled(memory: Memory, change: Settled) -> None:
    memory._settle(change.link, change.below)


_APPLY: dict[type, Any] = {
    New: _apply_new,
    Set: _apply_set,
    Gone: _apply_gone,
    Put: _apply_put,
    Drop: _apply_drop,
    Settled: _apply_settled,
}
