"""Checkers of the merged streams, of those who follow them, and of states that were asked for in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import orjson

from broker.messages.objects import STATES
from broker.positions import LAST_US, Position, read_cursor
from tests.sim.clients import OK, Operation
from tests.sim.model import Document, Said

if TYPE_CHECKING:
    from tests.sim.world import Published, World

Faults = Iterator[str]

NEWEST = Position(LAST_US, "", {})
"""Behind every event."""


def streams_have_everything(world: World) -> Faults:
    """Each proxy has published every event after its beginning once, in order but for late ones; and of nodes that it
    heard later than that, late, those of a stall timeout before. Of a node that is further behind, because its clock is
    or because a batch is held back there, also those that were not durable yet when the proxy began."""
    for name, stream in world.streams().items():
        began_us = stream.began_us
        if began_us is None:
            yield f"{name}: its stream has not begun"
            continue
        said = {
            (node, said.seq): said for node, model in world.models.items() for said in model.events if not said.echo
        }
        seen = set[tuple[str, int]]()
        later = {world.growth.later} if name in world.growth.floors else set()
        yield from _stream_faults(name, said, stream.published, seen, world.steady, later)
        began = {node: world.growth.floors[name] if node in later else began_us for node in world.models}
        lost = sorted(key for key, one in said.items() if one.us > began[key[0]] and key not in seen)
        if lost:
            yield f"{name} has not published {len(lost)} events: {lost[:5]}"
        past_us = began_us - world.overlap_us
        early = sorted(key for key in seen if said[key].us <= past_us and said[key].at < stream.since)
        if early:
            yield f"{name} has published events from before its beginning: {early[:5]}"


def _stream_faults(  # noqa: PLR0913 - what a stream is held against
    name: str,
    expected: dict[tuple[str, int], Said],
    published: list[Published],
    seen: set[tuple[str, int]],
    steady: bool,
    later: set[str | None],
) -> Faults:
    """:param later: nodes that have come when the stream had begun"""
    stalled = set(later)
    last = (0, "")
    for _, cursor, payload in published:
        document = orjson.loads(payload)
        if document["message"] == "EventStreamStalled":
            stalled.add(document["body"]["node"])
        if document["seq"] == 0:
            continue
        key = document["node"], document["seq"]
        if key in seen or key not in expected:
            yield f"{name} published {key} {'twice' if key in seen else ', which no node has said'}"
            continue
        seen.add(key)
        said = expected[key]
        late = document.pop("late", False)
        if document != said.document:
            yield f"{name} published {document}, and the journal has {said.document}"
        if late and steady and key[0] not in stalled:
            yield f"{name} published {key} late, and {key[0]} had not stalled"
        if not late:
            if (said.us, key[0]) < last:
                yield f"{name} published {key} at {said.us} after one at {last}"
            last = (said.us, key[0])
            if not cursor.startswith(b"%016d-%s" % (said.us, key[0].encode())):
                yield f"{name} published {key} of {said.us} with the cursor {cursor!r}"


def followers_have_everything(world: World) -> Faults:
    """Who follows, from proxy to proxy, has every event once, and those of a node in their order. Of a node that has
    come later it has those of the time when all proxies knew it, and what clients have asked is among those."""
    for reporter in world.reporters:
        last: dict[str, int] = {}
        seen: set[tuple[str, int]] = set()
        for node, seq in reporter.followed:
            if (node, seq) in seen:
                yield f"{reporter.name} got {node} {seq} twice"
            elif seq < last.get(node, 0):
                yield f"{reporter.name} got {node} {seq} after {last[node]}"
            seen.add((node, seq))
            last[node] = seq
        for node, model in world.models.items():
            known_us = world.growth.known_us if node == world.growth.later else 0
            due = [
                said for said in model.events if not said.echo and (said.us > known_us or said.document.get("actor"))
            ]
            lost = [said.seq for said in due if (node, said.seq) not in seen]
            if lost:
                yield f"{reporter.name} did not get {len(lost)} events of {node}: {lost[:5]}"


def readers_know_the_agents(world: World) -> Faults:
    """Who has read the whole stream knows in the end who is logged in, and how. What a client that has vanished leaves
    behind is said as each node notices it; and where the clocks differ, the nodes' words may stand in another order."""
    told = _agents_by_stream(world)
    rows = [(row["agent_id"], row) for model in world.models.values() for row in model.tables["agents"].values()]
    unsure = {agent for agent, row in rows if row.get("vanished_us") or row.get("missing_us")} | _moved(world)
    is_so = {agent: _shown(row) for agent, row in rows if not row.get("echo")}
    for agent in sorted((told.keys() | is_so.keys()) - unsure):
        if told.get(agent) != is_so.get(agent):
            yield f"by the stream {agent} is {told.get(agent)}, at the node that speaks for it {is_so.get(agent)}"


def _agents_by_stream(world: World, position: Position = NEWEST) -> dict[str, Document]:
    """Who is logged in, and how, by the events up to a position."""
    told: dict[str, Document] = {}
    for node, said in sorted(_about_agents(world), key=lambda word: (word[1].us, word[0])):
        agent = said.document["agent"]
        if said.us > position.after(node):
            continue
        told[agent["agent_id"]] = _shown(agent)
        if said.document["message"] == "EventAgentLogout":
            del told[agent["agent_id"]]
    return told


def _moved(world: World) -> set[str]:
    """Agents of whom several nodes have spoken by clocks that differ: in which order is not known."""
    if world.steady and not world.plan.skew_s:
        return set()
    words = {(said.document["agent"]["agent_id"], node) for node, said in _about_agents(world)}
    return {agent for agent, count in Counter(agent for agent, _ in words).items() if count > 1}


def _about_agents(world: World) -> Iterator[tuple[str, Said]]:
    for node, model in world.models.items():
        yield from ((node, said) for said in model.events if "agent" in said.document and not said.echo)


def _shown(agent: Document) -> Document:
    """What an agent's row and the events about it both have."""
    return {part: agent.get(part) or None for part in ("media", "media_reasons", "donot_disturb", "state_reason")}


def states_are_true(world: World) -> Faults:
    """A state that was asked for is what all events up to its cursor come to."""
    for operation in world.operations():
        is_state = operation.message == "RequestStartPlaceAgentStateReportingAll"
        if is_state and operation.outcome == OK and operation.reply["complete"]:
            yield from _state_faults(world, operation)


def _state_faults(world: World, operation: Operation) -> Faults:
    position = read_cursor(operation.reply["cursor"])
    told = operation.reply["queues"].get("101", {})
    counts = {queue: {name: n for name, n in numbers.items() if n} for queue, numbers in told.items()}
    said: dict[str, dict[str, int]] = {}
    for node, model in world.models.items():
        for part in model.by_events(position.after(node)).values():
            numbers = said.setdefault(part["queue"], {})
            name = STATES[part["interaction_state"]]
            numbers[name] = numbers.get(name, 0) + 1
    if {queue: numbers for queue, numbers in counts.items() if numbers} != said:
        yield f"the state says {counts}, the events up to its cursor {said}: {operation} {operation.reply}"
    agents, moved = {agent["agent_id"] for agent in operation.reply["agents"]}, _moved(world)
    known = _agents_by_stream(world, position).keys()
    if agents - moved != known - moved:
        yield f"the state says {agents}, the events up to its cursor {set(known)}: {operation} {operation.reply}"
