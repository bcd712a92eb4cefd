"""What a node holds, against what the plain model holds, and against what the events have told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from broker.messages.kinds import Workbin
from node.core import NodeCore
from tests.model.plain import DIVIDED, ORDERS, Document, Plain
from tests.model.things import Bin, Item


def differences(plain: Plain, core: NodeCore) -> Iterator[str]:
    """Each in words."""
    memory = core.memory
    if memory.interactions.keys() != plain.items.keys():
        yield f"interactions {sorted(memory.interactions)} are not {sorted(plain.items)}"
        return
    for ident, item in plain.items.items():
        held, known = _held(core, ident), _known(item)
        if held != known:
            yield f"{ident} is {held}, not {known}"
    rows = {row.key: (row.media, row.donot_disturb, len(row.sessions)) for row in memory.agents.rows.values()}
    agents = {one.key: (one.media, one.donot_disturb, len(one.clients)) for one in plain.agents.values()}
    if rows != agents:
        yield f"agents {rows} are not {agents}"
    invited = {row.ticket_id: (row.interaction_id, row.agent) for row in memory.invitations.rows.values()}
    if invited != {one.ticket: (one.ident, one.agent) for one in plain.invitations.values()}:
        yield f"invitations {invited} are not {plain.invitations}"
    if memory.queues.rows.keys() != plain.paused:
        yield f"paused are {set(memory.queues.rows)}, not {plain.paused}"
    if memory.snapshots.rows.keys() != plain.snapshots.keys():
        yield f"snapshots {set(memory.snapshots.rows)} are not {set(plain.snapshots)}"
    told = {(row.session_id, bin_of(row.workbin)) for row in memory.subscriptions.rows.values()}
    if told != plain.told:
        yield f"told are {told}, not {plain.told}"
    yield from _views(plain, core)


def _held(core: NodeCore, ident: str) -> tuple[Any, ...]:
    """An interaction as the node has it."""
    one = core.memory.interactions[ident]
    holding, lock = core.memory.holdings.get(ident), core.memory.locks.get(ident)
    return (
        one.interaction_state,
        one.queue,
        bin_of(one.workbin),
        one.priority,
        bool(one.is_held),
        bool(one.is_locked),
        (lock.session_id, lock.snapshot_id) if lock else None,
        one.assigned_to,
        orjson.loads(bytes(one.user_data)),
        sorted(holder.name for holder in holding.holders) if holding else None,
    )


def _known(item: Item) -> tuple[Any, ...]:
    """And the model."""
    return (
        item.state,
        item.queue,
        item.workbin,
        item.priority,
        item.held,
        item.lock is not None,
        item.lock,
        item.assigned,
        item.data,
        sorted(item.holding.holders) if item.holding else None,
    )


def _views(plain: Plain, core: NodeCore) -> Iterator[str]:
    for view in ORDERS:
        kept = core.memory.views.by_id[view]
        shown = [item.ident for item in plain.shown(view) if not item.held]
        held = {item.ident for item in plain.shown(view) if item.held}
        keys = [key[-1] for key in kept.keys]
        if (sorted(keys) != sorted(shown)) if view in DIVIDED else (keys != shown):
            yield f"view {view} has {keys}, not {shown}"
        if kept.held_ids != held:
            yield f"view {view} has {kept.held_ids} on hold, not {held}"


def bin_of(workbin: Workbin | None) -> Bin | None:
    """A workbin as the model knows it."""
    if workbin is None:
        return None
    return workbin.type, workbin.agent_id or workbin.agent_group or workbin.place_id or workbin.place_group or ""


class Told:
    """The interactions as one knows them who has nothing but the events.

    :param there: id -> (queue, state, parties)
    """

    def __init__(self) -> None:
        self.there: dict[str, tuple[str | None, int, list[str]]] = {}
        self.agents: set[str] = set()
        self.next_seq = 1

    def read(self, events: list[Document]) -> Iterator[str]:
        """Takes the next events in; what cannot be is said in words."""
        for event in events:
            if event["seq"] != self.next_seq:
                yield f"event {event['seq']} came instead of {self.next_seq}"
            self.next_seq = event["seq"] + 1
            if event["message"] == "EventAgentLogin":
                self.agents.add(event["agent"]["agent_id"])
            elif event["message"] == "EventAgentLogout":
                self.agents.discard(event["agent"]["agent_id"])
            elif "interaction" in event:
                yield from self._of_interaction(event)

    def _of_interaction(self, event: Document) -> Iterator[str]:
        name, part = event["message"], event["interaction"]
        ident = part["interaction_id"]
        if (ident in self.there) is (name == "EventInteractionSubmitted"):
            yield f"{name} is about {ident}, which was submitted twice or never"
        parties = self.there[ident][2] if ident in self.there else []
        if name == "EventPartyAdded":
            parties = [*parties, _party(event)]
        elif name == "EventPartyRemoved":
            if _party(event) not in parties:
                yield f"{_party(event)} is removed from {ident} and was no party"
            parties = [party for party in parties if party != _party(event)]
        self.there[ident] = part.get("queue"), part["interaction_state"], parties
        if name == "EventProcessingStopped":
            if parties:
                yield f"{ident} was stopped and has parties {parties}"
            del self.there[ident]

    def differences(self, plain: Plain) -> Iterator[str]:
        """What the events have told, against the model."""
        if self.there.keys() != plain.items.keys():
            yield f"events tell of {sorted(self.there)}, not of {sorted(plain.items)}"
            return
        for ident, item in plain.items.items():
            told, holders = self.there[ident], item.holding.holders if item.holding else []
            if (told[0], len(told[2])) != (item.queue, len(holders)):
                yield f"events tell that {ident} is {told}, not {item.queue} {holders}"
        if self.agents != {agent.agent_id for agent in plain.agents.values()}:
            yield f"events tell of the agents {self.agents}, not of {sorted(plain.agents)}"


def _party(event: Document) -> str:
    party = event["party"]
    return str(party.get("agent_id") or party.get("place_id") or party.get("router_id"))
