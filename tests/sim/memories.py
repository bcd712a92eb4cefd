"""Checkers of nodes: memories against journals, on the way (:func:`memory_faults`) and at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from node.core import NodeCore
from node.memory import Memory
from node.views import waits
from tests.sim.model import Document, NodeModel, plain

if TYPE_CHECKING:
    from tests.sim.world import World

Faults = Iterator[str]


def memory_faults(core: NodeCore, model: NodeModel) -> Faults:
    """A member's memory is what its node's journal says, and its indexes are right."""
    memory, name = core.memory, f"{core.name} {core.member}"
    held = {ident: _dump(interaction) for ident, interaction in memory.interactions.items()}
    yield from _differences(f"{name}: interaction", held, model.interactions.now)
    for table in ("agents", "holdings", "invitations", "loads"):
        rows = {key: _dump(row) for key, row in memory.tables[table].rows.items()}
        yield from _differences(f"{name}: row of {table}", rows, model.tables[table])
    answers = set(memory.answers.rows) ^ set(model.tables["answers"])
    if answers:
        yield f"{name}: stored replies {sorted(answers)} are in memory or in the journal only"
    next_seq = len(model.events) + 1
    if memory.counters.next_seq != next_seq:
        yield f"{name}: the next seq is {memory.counters.next_seq}, the journal's {next_seq}"
    yield from _index_faults(name, memory)


def _dump(thing: Any) -> Document:
    document: Document = orjson.loads(msgspec.json.encode(thing))
    return document


def _differences(what: str, held: dict[str, Document], said: dict[str, Document]) -> Faults:
    for key in sorted(held.keys() | said.keys()):
        one, other = held.get(key), said.get(key)
        if one is None or other is None or plain(one) != plain(other):
            yield f"{what} {key}: in memory {one}, in the journal {other}"


def _index_faults(name: str, memory: Memory) -> Faults:
    counts: dict[str, list[int]] = {}
    for interaction in memory.interactions.values():
        counts.setdefault(interaction.queue or "", [0, 0, 0, 0])[interaction.interaction_state] += 1
    counted = {queue: numbers for queue, numbers in memory.queue_counts.items() if any(numbers)}
    if counted != counts:
        yield f"{name}: queue counts {counted} of {counts}"
    for view in memory.views.by_id.values():
        there = {
            (*view.order.key(interaction), ident)
            for ident, interaction in memory.interactions.items()
            if interaction.queue == view.queue
            and waits(interaction, ignore_hold=True)
            and view.condition.matches(interaction)
        }
        live = {key for key in there if waits(memory.interactions[key[-1]])}
        if set(view.keys) != live or set(view.of.values()) != there:
            yield f"{name}: view {view.view_id} has {list(view.keys)} of {live}, and held {view.held_ids}"


# -- nodes at the end


def every_node_serves(world: World) -> Faults:
    """One active member, whose memory is what the journal says; the standby follows."""
    for node in world.models:
        cores = [process.shell.core for process in world.members(node) if process.running]
        active = [core for core in cores if core.active]
        if len(active) != 1:
            yield f"{node} has {len(active)} active members"
        for core in cores:
            if core.rev == world.disks[node].last_rev:
                yield from memory_faults(core, world.models[node])
            else:
                yield f"{node} {core.member} is at row {core.rev} of {world.disks[node].last_rev}"


def events_say_it_all(world: World) -> Faults:
    """Who has read every event knows every interaction and every agent."""
    for node, model in world.models.items():
        told = model.by_events()
        said = {ident: _as_told(state, told.get(ident)) for ident, state in model.interactions.now.items()}
        if world.plan.node_settings.get("event_user_data") == "never":
            for state in (*told.values(), *said.values()):
                state.pop("user_data", None)
        for ident in sorted(told.keys() | said.keys()):
            if ident not in told or ident not in said or plain(told[ident]) != plain(said[ident]):
                yield f"{node}: by the events {ident} is {told.get(ident)}, by the journal {said.get(ident)}"
        yield from _agents_by_events(node, model)


def _as_told(state: Document, told: Document | None) -> Document:
    return {key: value for key, value in state.items() if told is None or key in told}


def _agents_by_events(node: str, model: NodeModel) -> Faults:
    told: dict[str, Document] = {}
    for said in model.events:
        agent = said.document.get("agent")
        if agent is not None:
            told[agent["agent_id"]] = agent
            if said.document["message"] == "EventAgentLogout":
                del told[agent["agent_id"]]
    parts = ("session", "media", "donot_disturb")
    one = {name: [agent.get(part) or None for part in parts] for name, agent in told.items()}
    other = {row["agent_id"]: [row.get(part) or None for part in parts] for row in model.tables["agents"].values()}
    if one != other:
        yield f"{node}: by the events the agents are {one}, by the journal {other}"


def an_interaction_is_at_one_node(world: World) -> Faults:
    """No interaction is at two nodes."""
    found = Counter(ident for model in world.models.values() for ident in model.interactions.now)
    for ident, times in found.items():
        if times > 1:
            yield f"{ident} is at {times} nodes"


def nobody_holds_for_nobody(world: World) -> Faults:
    """Whatever is held is held by a session that lives, or by an agent that is logged in, whose session lives."""
    for node in world.models:
        core = world.active_core(node)
        if core is None:
            continue
        memory, sessions = core.memory, core.sessions.by_id
        for key, agent in memory.agents.rows.items():
            if agent.vanished_us and (memory.holdings.keys("holder", key) or any(agent.media.values())):
                yield f"{node}: agent {key} has vanished, and is ready or holds something"
            if not agent.is_away and not any(session in sessions for session in agent.sessions):
                yield f"{node}: agent {key} has no session that lives: {agent.sessions}"
        for ident, holding in memory.holdings.rows.items():
            if not holding.holders and memory.invitations.one("interaction", ident) is None:
                yield f"{node}: {ident} is held by nobody, and nobody is invited"
            for holder in holding.holders:
                if holder.name not in (memory.agents.rows if holder.agent else sessions):
                    yield f"{node}: {ident} is held by {holder.name}, who is not there"


def agents_are_everywhere_or_nowhere(world: World) -> Faults:
    """An agent is logged in at all nodes or at none, in the same state, and one of them speaks for it. One whose client
    has vanished is waited for by each node as long as that node has not heard otherwise."""
    rows: dict[str, dict[str, Document]] = {}
    for node, model in world.models.items():
        for row in model.tables["agents"].values():
            if not (row.get("vanished_us") or row.get("missing_us")):
                rows.setdefault(row["agent_id"], {})[node] = row
    for agent, by_node in rows.items():
        if len(by_node) != len(world.models):
            yield f"agent {agent} is logged in at {sorted(by_node)} only"
        states = {node: (row.get("media"), row.get("donot_disturb", False)) for node, row in by_node.items()}
        if len({orjson.dumps(state) for state in states.values()}) > 1:
            yield f"agent {agent} is not the same everywhere: {states}"
