"""The plain model: what a node's journal says, read without any of the node's own code.

Every durable row is taken in at the moment it is durable. What comes out is the history of every interaction and
holding as versions with times, the events in their order, and which operation was executed when; what a journal must
never say is a fault at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from broker.wire import ECHO, Events, unpack_events
from node.store import Row
from tests.sim.engines import Lanes, is_sent
from tests.sim.holders import Holders

Document = dict[str, Any]

PRINCIPAL = {
    ("EventProcessingStopped", "RequestStopProcessing"),
    ("EventPlacedInQueue", "RequestPlaceInQueue"),
    ("EventPlacedInWorkbin", "RequestPlaceInWorkbin"),
    ("EventPropertiesChanged", "RequestChangeProperties"),
    ("EventHeld", "RequestHold"),
    ("EventResumed", "RequestResume"),
    ("EventAgentInvited", "RequestDeliver"),
    ("EventPartyAdded", "RequestAccept"),
    ("EventPartyRemoved", "RequestLeaveInteraction"),
    ("EventRejected", "RequestReject"),
    ("EventTakenFromQueue", "RequestPull"),
}
"""The event that shows that a request was executed."""

TAKEN = ("EventTakenFromQueue", "EventTakenFromWorkbin")


KEPT = ("holdings", "agents", "snapshots", "pages", "locks", "reservations", "loads", "invitations")
"""Tables whose rows are kept as they ever were."""


class Version(NamedTuple):
    """What something was from a time on. :param state: None: it was not there"""

    at: float
    state: Document | None


class Span(NamedTuple):
    """What something was, from and to (both included)."""

    begin: float
    end: float
    state: Document | None


class Said(NamedTuple):
    """One reporting event in the journal. :param at: when it was durable"""

    us: int
    seq: int
    echo: bool
    at: float
    payload: bytes
    document: Document


class Execution(NamedTuple):
    """An operation was executed: at which node, when, as this event (or this new interaction)."""

    node: str
    at: float
    document: Document


class Change(NamedTuple):
    """An interaction has become another one; ``before`` or ``after`` is None where it came or went."""

    at: float
    ident: str
    before: Document | None
    after: Document | None


class Taken(NamedTuple):
    """What a view gave at once.

    :param operation: the pull
    :param changes: the places of the takings in :attr:`NodeModel.changes`
    """

    operation: str
    idents: list[str]
    changes: list[int]


class Things:
    """Things by key, with all they ever were."""

    def __init__(self) -> None:
        self.now: dict[str, Document] = {}
        self.versions: dict[str, list[Version]] = {}

    def set(self, at: float, key: str, state: Document | None) -> None:
        """It is this from now on."""
        if state is None:
            self.now.pop(key, None)
        else:
            self.now[key] = state
        self.versions.setdefault(key, []).append(Version(at, state))

    def spans(self, key: str, begin: float, end: float) -> Iterator[Span]:
        """All that it was at some moment between two times."""
        since, state = float("-inf"), None
        for version in self.versions.get(key, ()):
            if since <= end and version.at >= begin:
                yield Span(since, version.at, state)
            since, state = version
        if since <= end:
            yield Span(since, float("inf"), state)

    def at(self, key: str, at: float) -> Document | None:
        """What it was when all that happened at a time had happened."""
        return next((state for when, state in reversed(self.versions.get(key, ())) if when <= at), None)

    def before(self, key: str, at: float) -> Document | None:
        """What it was just before a time."""
        return next((state for when, state in reversed(self.versions.get(key, ())) if when < at), None)


class Bounds(NamedTuple):
    """What a node must never exceed: agents' seats, e-mails of one agent, interactions that one engine was sent."""

    seats: int | None
    capacity: int | None
    submitted: int


class NodeModel:
    """One node.

    :param fault: is told what must not be; :param bounds: what is never exceeded
    :param steady: the clocks do not jump, so that a promise holds across a take-over too
    """

    def __init__(self, name: str, fault: Callable[[str], None], bounds: Bounds, steady: bool) -> None:
        self.name = name
        self.interactions = Things()
        self.holdings, self.agents, self.snapshots, self.pages, self.locks = kept = [Things() for _ in range(5)]
        self.reservations, self.loads, self.invitations = more = [Things(), Things(), Things()]
        self._kept = dict(zip(KEPT, kept + more, strict=True))
        self.tables: dict[str, dict[str, Document]] = {
            table: {} for table in ("agents", "holdings", "invitations", "loads", "locks", "answers", "panics")
        }
        self.events: list[Said] = []
        self.executions: dict[str, list[Execution]] = {}
        self.changes: list[Change] = []
        """All changes of interactions, in their order; those of one row have one time."""
        self.taken: list[Taken] = []
        self.promised: tuple[int, int] = (0, 0)
        """The latest promise "up to this time all is out", and the seq that was to come next."""
        self._fault = fault
        self._bounds = bounds
        self._steady = steady
        self._rev = self._epoch = self._us = 0
        self._event_us = 0
        self.holders = Holders(self.fault)
        self.lanes = Lanes(self.fault)

    # -- what is durable

    def take(self, at: float, row: Row) -> None:
        """A row has been committed."""
        if row.rev != self._rev + 1:
            self.fault(f"row {row.rev} after row {self._rev}")
        if row.epoch < self._epoch:
            self.fault(f"row {row.rev} of epoch {row.epoch} after epoch {self._epoch}")
        if row.us < self._us:
            self.fault(f"row {row.rev} goes back in time")
        if row.epoch > self._epoch:
            self.lanes.activated()
        self._rev, self._epoch, self._us = row.rev, row.epoch, row.us
        first = len(self.changes)
        for change in orjson.loads(row.changes) if row.changes else ():
            _CHANGES[change[0]](self, at, *change[1:])
        self._look_at_locks(self.changes[first:])
        if row.events:
            said = len(self.events)
            self._say(at, unpack_events(row.events), row.us)
            self._take(first, self.events[said:])
            self.holders.settle(self.tables["holdings"], self.tables["invitations"])
        self._look_at_bounds()
        self.lanes.settle(at, self.interactions.now, self.tables["loads"], self.tables["holdings"])

    def _look_at_locks(self, changes: list[Change]) -> None:
        """What is locked waits, and nobody takes it."""
        for _, ident, before, after in changes:
            if before and after and before.get("is_locked") and after["interaction_state"]:
                self.fault(f"{ident} is locked, and is taken: {after}")
            state = self.interactions.now.get(ident, {})
            if bool(state.get("is_locked")) is not (ident in self.tables["locks"]):
                self.fault(f"{ident} is locked or not: {state} {self.tables['locks'].get(ident)}")

    def _look_at_bounds(self) -> None:
        seats, capacity, submitted = self._bounds
        if seats is not None and len(self.tables["agents"]) > seats:
            self.fault(f"{len(self.tables['agents'])} agents on {seats} seats")
        if capacity is not None:
            offered = Counter(
                one["agent"] for one in self.tables["invitations"].values() if self._counts(one["interaction_id"])
            )
            for agent, count in (self.handled() + offered).items():
                if count > capacity:
                    self.fault(f"{agent} has {count} of {capacity}")
        sent = Counter(
            holder["session_id"]
            for one in self._holdings()
            for holder in one["holders"]
            if one.get("view_id") and not holder.get("agent")
        )
        for session, count in sent.items():
            if count > submitted:
                self.fault(f"the engine {session} has {count} of {submitted}")

    def _holdings(self) -> Iterator[Document]:
        return (one for one in self.tables["holdings"].values() if one["holders"])

    def handled(self) -> Counter[str]:
        """E-mails that agents handle and have not put on hold."""
        return Counter(
            holder["agent"]
            for one in self._holdings()
            for holder in one["holders"]
            if holder.get("agent") and self._counts(one["interaction_id"])
        )

    def _counts(self, ident: str) -> bool:
        state = self.interactions.now.get(ident, {})
        return state.get("media_type") == "email" and not state.get("is_held")

    def fault(self, what: str) -> None:
        """What must not be."""
        self._fault(f"{self.name}: {what}")

    def _change(self, at: float, ident: str, state: Document | None) -> None:
        self.changes.append(Change(at, ident, self.interactions.now.get(ident), state))
        self.interactions.set(at, ident, state)

    def _new(self, at: float, interaction: Document) -> None:
        ident = interaction["interaction_id"]
        if ident in self.interactions.now:
            self.fault(f"{ident} is there twice")
        self._change(at, ident, interaction)
        self._executed(interaction.get("external_id"), at, interaction)

    def _set(self, at: float, ident: str, patch: Document) -> None:
        known = self.interactions.now.get(ident)
        if known is None:
            self.fault(f"{ident} is changed and not there")
        else:
            self._change(at, ident, {**known, **patch})

    def _gone(self, at: float, ident: str) -> None:
        if ident not in self.interactions.now:
            self.fault(f"{ident} goes and is not there")
        self._change(at, ident, None)

    def _put(self, at: float, table: str, key: str, row: Document) -> None:
        if table == "holdings" and is_sent(row) and row["token"] != self.holdings.now.get(key, {}).get("token"):
            self.lanes.sent(at, row, self.interactions.now, self.tables["loads"], self.tables["holdings"])
        self.tables.setdefault(table, {})[key] = row
        if table in self._kept:
            self._kept[table].set(at, key, row)

    def _drop(self, at: float, table: str, key: str) -> None:
        self.tables.setdefault(table, {}).pop(key, None)
        if table in self._kept:
            self._kept[table].set(at, key, None)

    def _settled(self, at: float, link: str, below: int) -> None:
        answers = self.tables["answers"]
        start = f"#{link}\n"
        for key in [key for key in answers if key.startswith(start) and int(key[len(start) :]) < below]:
            del answers[key]

    def _executed(self, operation: str | None, at: float, document: Document) -> None:
        if operation is not None:
            self.executions.setdefault(operation, []).append(Execution(self.name, at, document))

    # -- events

    def _say(self, at: float, said: Events, row_us: int) -> None:
        for seq, event in enumerate(said.events, said.first_seq):
            document = orjson.loads(event.payload)
            last = self.events[-1].seq if self.events else 0
            if seq != last + 1 or document["seq"] != seq:
                self.fault(f"event {seq} ({document['seq']}) after event {last}")
            if event.us <= self._event_us or event.us > row_us:
                self.fault(f"event {seq} at {event.us} after one at {self._event_us}, in a row at {row_us}")
            if self._steady and event.us <= self.promised[0] and seq >= self.promised[1]:
                self.fault(f"event {seq} at {event.us}, and {self.promised} was promised")
            self._event_us = event.us
            self.events.append(Said(event.us, seq, bool(event.flags & ECHO), at, event.payload, document))
            self._note(at, document)

    def _note(self, at: float, document: Document) -> None:
        message = document["message"]
        reason = document.get("reason")
        if (message, document.get("cause")) in PRINCIPAL and isinstance(reason, dict):
            self._executed(reason.get("op"), at, document)
        if "interaction" in document:
            self.holders.say(at, document)

    # -- what views gave

    def _take(self, first: int, events: list[Said]) -> None:
        """What was taken in a row, whose changes begin with ``first``: each pull's together."""
        taken: dict[str, Taken] = {}
        changes = enumerate(self.changes[first:], first)
        places = [
            (at, change.ident)
            for at, change in changes
            if change.before and change.after and change.before["interaction_state"] < change.after["interaction_state"]
        ]
        for document in (said.document for said in events):
            message = document["message"]
            if (
                message not in ("EventTakenFromQueue", "EventTakenFromWorkbin")
                or document.get("cause") != "RequestPull"
            ):
                continue
            ident, operation = document["interaction"]["interaction_id"], (document.get("reason") or {}).get("op")
            place = next((one for one in places if one[1] == ident), None)
            if operation is None or place is None:
                continue
            places.remove(place)
            one = taken.setdefault(operation, Taken(operation, [], []))
            one.idents.append(ident)
            one.changes.append(place[0])
        self.taken += taken.values()

    def before(self, change: int) -> dict[str, Document]:
        """All interactions as they were before a change."""
        there: dict[str, Document] = {}
        for one in self.changes[:change]:
            _become(there, one)
        return there

    def moments(self, begin: float, end: float) -> Iterator[dict[str, Document]]:
        """All interactions, as they were at each moment between two times. It is one dictionary that changes."""
        there: dict[str, Document] = {}
        for change in self.changes:
            if change.at > end:
                break
            if change.at >= begin:
                yield there
            _become(there, change)
        yield there

    # -- what follows from the events alone

    def by_events(self, until_us: float = float("inf")) -> dict[str, Document]:
        """The interactions as a reader of the stream knows them at a time."""
        known: dict[str, Document] = {}
        for said in self.events:
            part = said.document.get("interaction")
            if part is None or said.us > until_us:
                continue
            ident = part["interaction_id"]
            if said.document["message"] == "EventProcessingStopped":
                known.pop(ident, None)
            else:
                data = {"user_data": known.get(ident, {}).get("user_data", {})}
                known[ident] = {**data, **part}
        return known


def _become(there: dict[str, Document], change: Change) -> None:
    if change.after is None:
        there.pop(change.ident, None)
    else:
        there[change.ident] = change.after


_CHANGES: dict[int, Callable[..., None]] = {
    0: NodeModel._new,
    1: NodeModel._set,
    2: NodeModel._gone,
    3: NodeModel._put,
    4: NodeModel._drop,
    5: NodeModel._settled,
}


def plain(state: Document) -> Document:
    """A state without what is as good as absent."""
    return {
        key: value
        for key, value in state.items()
        if value is not None and value != {} and not (key in ("is_locked", "is_held") and value == 0)
    }
