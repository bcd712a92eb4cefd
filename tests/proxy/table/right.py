"""Whether an answer has all that belongs into it: what merged answers say of the nodes that gave them.

What a request class's merge makes of the nodes' answers is worked out here anew, from what the rows say that waits
where. A merge without a line in :data:`RIGHT` is one that passes a node's own answer on: that is then what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from broker.messages.kinds import Merge
from broker.wire import ECHO
from tests.proxy.table.disturbed import read
from tests.proxy.table.rows import NODES, PUT_BACK, WAITING, Scene, ident

Document = dict[str, Any]


def in_view(scene: Scene, there: Collection[str]) -> list[tuple[str, str, int]]:
    """What waits in the queue of these nodes, in the view's order: id, node, negative priority."""
    waiting = [(scene.ident, "n1", 0), *((ident(node, number), node, number) for node, number in WAITING)]
    return [one for one in waiting if one[1] in there]


def _ids(interactions: list[Document]) -> list[str]:
    return [one["interaction_id"] for one in interactions]


def _found(scene: Scene, answer: Document, there: Collection[str]) -> None:
    """Find and workbin content: the asked order over the nodes, and no more than was asked for."""
    if answer["message"] == "EventWorkbinContent":
        right = [ident(node, number) for node, number in PUT_BACK if node in there]
        count = 2
    else:
        right = [one for one, _, number in in_view(scene, there) if number <= 4]
        count = 3
    assert _ids(answer["interactions"]) == right[:count]
    assert answer.get("more", False) == (len(right) > count)


def _granted(scene: Scene, answer: Document, there: Collection[str]) -> None:
    """Pulls, by what is pulled from."""
    granted = _ids(answer["interactions"])
    if scene.fields["view_id"] == "_system_":
        asked = scene.fields["pull_parameters"]["interaction_ids"]
        at = {one: node for one, node, _ in in_view(scene, NODES)}
        assert granted == [one for one in asked if at[one] in there]
        left = {one: 2003 for one in asked if at[one] not in there}
        assert {one: error["code"] for one, error in answer.get("errors", {}).items()} == left
    elif scene.fields["view_id"] != "Inbound/all":
        assert granted == _of_workbin(scene, there)
    else:
        _granted_of_view(scene, granted, there)


def _of_workbin(scene: Scene, there: Collection[str]) -> list[str]:
    """Of a workbin: the first ones over all nodes. What a node had a share of and fell silent over may be granted, and
    nobody else gives something in its place."""
    first = PUT_BACK[:3] if scene.silent_on_the_way else [one for one in PUT_BACK if one[0] in there][:3]
    return [ident(node, number) for node, number in first if node in there]


def _granted_of_view(scene: Scene, granted: list[str], there: Collection[str]) -> None:
    """Of a view: the first ones over all nodes; round-robin, the first ones of each node. When a node falls silent on
    the way, what was granted before that."""
    right = in_view(scene, NODES if scene.silent_on_the_way else there)
    if scene.row.settings.get("pull_order") == "round-robin":
        assert len(granted) == 4 or scene.silent_on_the_way
        for node in NODES:
            own = [one for one, at, _ in right if at == node]
            mine = [one for one in granted if one in own]
            assert mine == own[: len(mine)]
        assert len(set(granted)) == len(granted)
        return
    order = [one for one, _, _ in right][:4]
    if scene.silent_on_the_way:
        gone = next(at for at, (_, node, _) in enumerate(right) if node not in there)
        order = order[:gone]
    assert granted == order


def _agent(scene: Scene, answer: Document, there: Collection[str]) -> None:
    assert (answer["agent_id"], answer["media_state_list"]) == ("VICKY", {"voice": 1})
    taken = [node for _, node, number in in_view(scene, there) if number <= 2]
    assert answer.get("handled", {}) == ({"voice": len(taken)} if taken else {})
    assert "echo" not in answer


def _counts(scene: Scene, answer: Document, there: Collection[str]) -> None:
    (one,) = answer["workbins"]
    assert one["count"] == len([node for node, _ in PUT_BACK if node in there])


def _totals(scene: Scene, answer: Document, there: Collection[str]) -> None:
    waiting = in_view(scene, there)
    if answer["message"] == "EventQueuePurged":
        assert answer.get("purged", 0) == len([1 for _, _, number in waiting if number > 0])
        assert answer.get("left", 0) == 0
    else:
        before = len([1 for _, _, number in waiting if number < 4])
        assert (answer.get("before", 0), answer["depth"]) == (before, len(waiting))


def _queues(scene: Scene, answer: Document, there: Collection[str]) -> None:
    inbound = next(one for one in answer["queues"] if one["queue"] == "Inbound")
    waiting = in_view(scene, there)
    right = {node: len([1 for _, at, _ in waiting if at == node]) for node in there}
    assert {node: one["queued"] for node, one in inbound["nodes"].items()} == right
    assert [one["queue"] for one in answer["queues"]] == sorted(one["queue"] for one in answer["queues"])


def _snapshot(scene: Scene, answer: Document, there: Collection[str]) -> None:
    if answer["message"] == "EventInteractionMoved":
        assert (answer["number_of_interactions"], answer.get("not_moved", 0)) == (_all_of(scene, there), 0)
        return
    assert answer["number_of_interactions"] == len(in_view(scene, there))
    parts = [part.partition("*") for part in answer["snapshot_id"].split(".")]
    named = [scene.core.whereis.named(part) for part, _, _ in parts]
    assert named == sorted(there)
    counts = [len([1 for _, at, _ in in_view(scene, there) if at == node]) for node in sorted(there)]
    assert [int(count) for _, _, count in parts] == counts


def _all_of(scene: Scene, there: Collection[str]) -> int:
    return len(in_view(scene, there)) + len([node for node, _ in PUT_BACK if node in there])


def _places(scene: Scene, answer: Document, there: Collection[str]) -> None:
    rows = []
    for node in there:
        core = scene.world.pairs[node].core
        assert core is not None
        rows += [(one.received_at, one.interaction_id) for one in core.memory.interactions.values()]
    right = [one for _, one in sorted(rows)]
    assert _ids(answer["interactions"]) == right[1:5]


def _states(scene: Scene, answer: Document, there: Collection[str]) -> None:
    assert [agent["agent_id"] for agent in answer["agents"]] == ["VICKY"]
    if scene.request.__name__.endswith("All"):
        assert answer["queues"]["101"]["Inbound"]["queued"] == len(in_view(scene, there))


def _events(scene: Scene, answer: Document, there: Collection[str]) -> None:
    events = []
    for node in there:
        past = scene.world.pairs[node].journal.events(0, 1_000_000)
        events += [(event.us, node, read(event.payload)["seq"]) for event in past.events if not event.flags & ECHO]
    right = [(node, seq) for us, node, seq in sorted(events) if us <= scene.asked_at * 1e6]
    assert [(one["node"], one["seq"]) for one in answer["events"] if one["time"] <= scene.asked_at] == right
    assert [one["message"] for one in answer["events"]].count("EventAgentLogin") == ("n1" in there)


RIGHT: dict[Merge, Callable[[Scene, Document, Collection[str]], None]] = {
    Merge.ORDERED: _found,
    Merge.GRANTS: _granted,
    Merge.AGENT: _agent,
    Merge.COUNTS: _counts,
    Merge.TOTALS: _totals,
    Merge.QUEUES: _queues,
    Merge.SNAPSHOT: _snapshot,
    Merge.PLACES: _places,
    Merge.STATES: _states,
    Merge.EVENTS: _events,
}
"""``right(scene, answer, there)`` asserts that an answer has what ``there`` (nodes) have."""


def assert_right(scene: Scene, answer: Document, there: Collection[str]) -> None:
    """The answer has what belongs into it, of the nodes that are there and of no others."""
    assert answer["message"] == scene.request.reply, answer
    if answer["message"] == "Event3rdServerResponse" and scene.row.way == "every part":
        _found(scene, answer["response"], there)
    elif scene.request.merge in RIGHT:
        RIGHT[scene.request.merge](scene, answer, there)
    elif scene.row.way != "here":
        named = [said for said in scene.world.said if said.name == scene.row.name]
        assert answer in [read(said.payload) for said in named if said.node in there], "not a node's own answer"
