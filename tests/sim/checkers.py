"""What must hold at the end of a history, when all is healed and quiet. Each checker yields one sentence per fault.

Two are asked on the way: :func:`memory_faults` whenever a member becomes active, and the models while rows are
committed (:mod:`tests.sim.model`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from broker.errors import Code
from node.core import NodeCore
from node.memory import Memory
from node.views import waits
from tests.sim.clients import EXPIRED, OK, REFUSED, Operation
from tests.sim.model import PRINCIPAL, Document, Execution, NodeModel, Said, Span, plain

if TYPE_CHECKING:
    from tests.sim.world import Published, World

Faults = Iterator[str]

ONCE = {"RequestSubmit", *PRINCIPAL.values()}
SETTLED = (OK, EXPIRED)


# -- a member's memory


def memory_faults(core: NodeCore, model: NodeModel) -> Faults:
    """A member's memory is what its node's journal says, and its indexes are right."""
    memory, name = core.memory, f"{core.name} {core.member}"
    held = {ident: _dump(interaction) for ident, interaction in memory.interactions.items()}
    yield from _differences(f"{name}: interaction", held, model.interactions.now)
    for table in ("agents", "holdings", "invitations"):
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
            if interaction.queue == view.queue and waits(interaction) and view.condition.matches(interaction)
        }
        if set(view.keys) != there or set(view.of.values()) != there:
            yield f"{name}: view {view.view_id} has {list(view.keys)} of {there}"


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
            if not any(session in sessions for session in agent.sessions):
                yield f"{node}: agent {key} has no session that lives: {agent.sessions}"
        for ident, holding in memory.holdings.rows.items():
            if not holding.holders and memory.invitations.one("interaction", ident) is None:
                yield f"{node}: {ident} is held by nobody, and nobody is invited"
            for holder in holding.holders:
                if holder.name not in (memory.agents.rows if holder.agent else sessions):
                    yield f"{node}: {ident} is held by {holder.name}, who is not there"


def agents_are_everywhere_or_nowhere(world: World) -> Faults:
    """An agent is logged in at all nodes or at none, in the same state, and one of them speaks for it."""
    rows: dict[str, dict[str, Document]] = {}
    for node, model in world.models.items():
        for row in model.tables["agents"].values():
            rows.setdefault(row["agent_id"], {})[node] = row
    for agent, by_node in rows.items():
        if len(by_node) != len(world.models):
            yield f"agent {agent} is logged in at {sorted(by_node)} only"
        states = {node: (row.get("media"), row.get("donot_disturb", False)) for node, row in by_node.items()}
        if len({orjson.dumps(state) for state in states.values()}) > 1:
            yield f"agent {agent} is not the same everywhere: {states}"


# -- what clients were told


def operations_were_done_once(world: World) -> Faults:
    """What was acked was executed, once, between question and answer; what was refused was not executed."""
    for operation in world.operations():
        if operation.message not in ONCE:
            continue
        done = [one for model in world.models.values() for one in model.executions.get(operation.name, ())]
        if operation.message == "RequestPull":
            yield from _pull_faults(operation, done)
            continue
        if len(done) > 1:
            yield f"done {len(done)} times: {operation} {[(one.node, one.at) for one in done]}"
        yield from _outcome_faults(operation, done)


def _outcome_faults(operation: Operation, done: list[Execution]) -> Faults:
    if operation.outcome in SETTLED and not done:
        yield f"acked and lost: {operation}"
    if operation.outcome == REFUSED and done:
        yield f"refused and done: {operation} {done}"
    for one in done:
        if one.at < operation.invoked_at or (operation.outcome == OK and one.at > operation.ended_at):
            yield f"acked at another time than done: {operation} {one}"


def _pull_faults(operation: Operation, done: list[Execution]) -> Faults:
    """A pull from a view that is repeated may meet another node than the first time, which knows nothing of its
    dedup_id; what the first has granted then stays with the session until it ends."""
    taken = {one.document["interaction"]["interaction_id"]: one for one in done}
    parameters = operation.fields.get("pull_parameters")
    tries = 1 if parameters else len(operation.attempts)
    most = len(parameters["interaction_ids"]) if parameters else operation.fields.get("count", 1)
    if len(done) > most * tries:
        yield f"{len(done)} interactions were taken for {operation}: {sorted(taken)}"
    if operation.outcome == REFUSED and done and tries == 1:
        yield f"refused and done: {operation} {sorted(taken)}"
    if operation.outcome != OK:
        return
    for ident in sorted(one["interaction_id"] for one in operation.reply["interactions"]):
        if ident not in taken:
            yield f"{ident} was granted and not taken: {operation}"
        elif taken[ident].at > operation.ended_at:
            yield f"{ident} was granted before it was taken: {operation}"


def grants_are_unique(world: World) -> Faults:
    """A token is granted once, and to whom the journal says."""
    seen: dict[tuple[str, int], str] = {}
    for operation in world.operations():
        if operation.message != "RequestPull" or operation.outcome != OK:
            continue
        for granted in operation.reply["interactions"]:
            key = granted["interaction_id"], granted["token"]
            if key in seen:
                yield f"{key} was granted to {seen[key]} and to {operation.name}"
            seen[key] = operation.name
            if not any(_is_held(model, *key) for model in world.models.values()):
                yield f"{key} was granted to {operation.name}, and no journal says so"


def _is_held(model: NodeModel, ident: str, token: int) -> bool:
    versions = model.holdings.versions.get(ident, ())
    return any(version.state is not None and version.state["token"] == token for version in versions)


def answers_are_true(world: World) -> Faults:
    """What was read was so at some moment between question and answer; 43 means absent; a bad token is a bad token."""
    for operation in world.operations():
        if operation.outcome not in (OK, REFUSED) or not operation.attempts:
            continue
        began, ended = operation.attempts[-1][0], operation.ended_at
        if operation.code == Code.UNKNOWN_INTERACTION and "interaction_id" in operation.fields:
            yield from _absence_faults(world, operation, began, ended)
        elif operation.code == Code.BAD_TICKET and "token" in operation.fields:
            yield from _ticket_faults(world, operation, began, ended)
        elif operation.code == 0 and operation.message == "RequestGetInteractionProperties":
            yield from _reading_faults(world, operation, began, ended)
        elif operation.code == 0 and operation.message == "RequestFindInteractions":
            yield from _finding_faults(world, operation, began, ended)


def _spans(world: World, ident: str, begin: float, end: float) -> list[list[Span]]:
    return [list(model.interactions.spans(ident, begin, end)) for model in world.models.values()]


def _absence_faults(world: World, operation: Operation, began: float, ended: float) -> Faults:
    for spans in _spans(world, operation.fields["interaction_id"], began, ended):
        if all(span.state is not None for span in spans):
            yield f"told to be absent, and was there all the time: {operation}"


def _ticket_faults(world: World, operation: Operation, began: float, ended: float) -> Faults:
    token = operation.fields["token"]
    for model in world.models.values():
        spans = list(model.holdings.spans(operation.fields["interaction_id"], began, ended))
        if all(span.state is not None and span.state["token"] == token for span in spans):
            yield f"the token was good all the time: {operation}"


def _reading_faults(world: World, operation: Operation, began: float, ended: float) -> Faults:
    told = plain(operation.reply["interaction"])
    for spans in _spans(world, told["interaction_id"], began, ended):
        if any(span.state is not None and plain(span.state) == told for span in spans):
            return
    yield f"never was like that: {operation} {told}"


CONDITIONS: dict[str, Callable[[Document], bool]] = {
    "": lambda state: True,
    "queue = 'Inbound'": lambda state: state.get("queue") == "Inbound",
    "priority >= 2": lambda state: bool(state["priority"] >= 2),
    "interaction_state = 0": lambda state: bool(state["interaction_state"] == 0),
}


def _finding_faults(world: World, operation: Operation, began: float, ended: float) -> Faults:
    holds = CONDITIONS[operation.fields["condition"]]
    found = {one["interaction_id"]: one for one in operation.reply["interactions"]}
    if len(found) != len(operation.reply["interactions"]):
        yield f"found twice: {operation} {sorted(one['interaction_id'] for one in operation.reply['interactions'])}"
    missing = operation.reply.get("missing") or []
    for node, model in world.asked_of(operation).items():
        for ident in model.interactions.versions:
            spans = list(model.interactions.spans(ident, began, ended))
            always = all(span.state is not None and holds(span.state) for span in spans)
            if always and ident not in found and node not in missing:
                yield f"not found, and was there all the time: {ident} by {operation}"
    for ident, state in found.items():
        every = [span.state for spans in _spans(world, ident, began, ended) for span in spans if span.state is not None]
        if not any(holds(one) and plain(one) == plain(state) for one in every):
            yield f"found, and never was like that: {state} by {operation}"


# -- the streams


def streams_have_everything(world: World) -> Faults:
    """Each proxy has published every event after its beginning once, in order but for late ones; and of nodes that it
    heard later than that, late, some from before."""
    for name, (began_us, published) in world.streams().items():
        if began_us is None:
            yield f"{name}: its stream has not begun"
            continue
        said = {(node, said.seq): said for node, model in world.models.items() for said in model.events if not said.echo}
        seen = set[tuple[str, int]]()
        yield from _stream_faults(name, said, published, seen, world.steady)
        lost = sorted(key for key, one in said.items() if one.us > began_us and key not in seen)
        if lost:
            yield f"{name} has not published {len(lost)} events: {lost[:5]}"
        early = sorted(key for key in seen if said[key].us <= began_us - world.overlap_us)
        if early:
            yield f"{name} has published events from before its beginning: {early[:5]}"


def _stream_faults(
    name: str,
    expected: dict[tuple[str, int], Said],
    published: list[Published],
    seen: set[tuple[str, int]],
    steady: bool,
) -> Faults:
    stalled: set[str] = set()
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
    """Who follows, from proxy to proxy, has every event once, and those of a node in their order."""
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
            lost = [said.seq for said in model.events if not said.echo and (node, said.seq) not in seen]
            if lost:
                yield f"{reporter.name} did not get {len(lost)} events of {node}: {lost[:5]}"


# -- proxies


def requests_were_answered_once(world: World) -> Faults:
    """Every request that a proxy has read was answered once; never twice, and not at all only if its client has gone."""
    for name, door in world.doors.items():
        for key, (asked, answered) in door.tally.items():
            if answered > asked:
                yield f"{name} answered {answered} times what was asked {asked} times: {key}"
            elif answered < asked and door.reachable(key[0]):
                yield f"{name} has not answered {key}"


CHECKERS: tuple[Callable[[World], Faults], ...] = (
    every_node_serves,
    events_say_it_all,
    an_interaction_is_at_one_node,
    nobody_holds_for_nobody,
    agents_are_everywhere_or_nowhere,
    operations_were_done_once,
    grants_are_unique,
    answers_are_true,
    streams_have_everything,
    followers_have_everything,
    requests_were_answered_once,
)
