"""Snapshots over several nodes, with real cores: one order, whatever is read, and whoever fails over meanwhile."""

from __future__ import annotations

import random

import pytest

from broker.config.objects import NodeSettings
from tests.world import World, make_configuration

ALL = {"tenant_id": 101, "condition": "", "order": "priority desc, received_at"}


@pytest.fixture
def world():
    """Three nodes, one proxy; parts of several pages."""
    return World(make_configuration(3, 1, NodeSettings(max_interactions_per_snapshot=1000), request_timeout=2.0))


def fill(world, number, queue="Inbound"):
    """Interactions over all nodes, with equal keys among them. Returns them as a plain server would order them."""
    chance = random.Random(number)
    media = world.client("MediaServer")
    found = []
    for _ in range(number):
        keys = {"priority": chance.randrange(5), "received_at": 1_790_000_000.0 + chance.randrange(7)}
        ack = media.ask("RequestSubmit", tenant_id=101, media_type="email", queue=queue, **keys)
        found.append((-keys["priority"], keys["received_at"], ack["interaction_id"]))
    return [ident for *_, ident in sorted(found)]


def ids(reply):
    assert reply["message"] == "EventSnapshotInteractions", reply
    return [one["interaction_id"] for one in reply["interactions"]]


def read(client, snapshot, start, number):
    part = {"snapshot_id": snapshot["snapshot_id"], "start_from": start, "number_of_interactions": number}
    return client.ask("RequestGetSnapshotInteractions", **part)


@pytest.mark.parametrize("number", [0, 1, 2, 7, 700])
def test_a_snapshot_is_read_in_its_order_over_all_nodes(world, number):
    """Given interactions over three nodes, when a snapshot of them is taken and read in parts of any length, then each
    is at its place, as if there were one node."""
    expected = fill(world, number)
    desk = world.client("AgentApplication")
    snapshot = desk.ask("RequestTakeSnapshot", **ALL)
    world.run(0.5)

    assert (snapshot["number_of_interactions"], snapshot["complete"]) == (number, True)
    for length in (1, 3, 100, 1000):
        for start in (0, 1, number // 2, max(number - 2, 0), number, number + 5):
            assert ids(read(desk, snapshot, start, length)) == expected[start : start + length]


def test_a_view_without_an_order_of_its_own(world):
    """Given a view with an order, when a snapshot of it is taken without one, then the view's order holds."""
    expected = fill(world, 30)
    desk = world.client("AgentApplication")
    snapshot = desk.ask("RequestTakeSnapshot", tenant_id=101, view_id="Inbound/all")

    assert ids(read(desk, snapshot, 0, 100)) == expected


def test_places_stay_when_interactions_change_or_go_and_nodes_fail_over(world):
    """Given a snapshot, when interactions get other keys, are stopped or moved, and a node fails over, then the others
    keep their places."""
    expected = fill(world, 40)
    desk = world.client("AgentApplication")
    media = world.client("MediaServer")
    snapshot = desk.ask("RequestTakeSnapshot", **ALL)
    media.ask("RequestChangeProperties", interaction_id=expected[0], changed_properties={"priority": 0})
    media.ask("RequestStopProcessing", interaction_id=expected[5])
    for name in world.pairs:
        world.take_over(name)
    world.run(1.0)

    assert ids(read(desk, snapshot, 0, 10)) == [*expected[:5], *expected[6:10]]
    moved = desk.ask("RequestMoveInteractions", snapshot_id=snapshot["snapshot_id"], queue="PS")
    assert (moved["number_of_interactions"], moved["not_moved"]) == (39, 1)
    assert ids(read(desk, snapshot, 0, 100)) == [*expected[:5], *expected[6:]]


def test_a_snapshot_taken_anew_has_a_new_order(world):
    """Given a snapshot, when it is taken anew in another order, then it is read in that."""
    expected = fill(world, 25)
    desk = world.client("AgentApplication")
    first = desk.ask("RequestTakeSnapshot", **ALL)
    again = desk.ask("RequestTakeSnapshot", **{**ALL, "order": "interaction_id"}, snapshot_id=first["snapshot_id"])

    assert ids(read(desk, again, 0, 100)) == sorted(expected)


def test_a_request_that_is_repeated_gets_the_same_snapshot_in_the_same_order(world):
    """Given a snapshot under a dedup_id, when it is asked for again, then it is the same, and is read as before."""
    expected = fill(world, 25)
    desk = world.client("AgentApplication")
    first = desk.ask("RequestTakeSnapshot", **ALL, dedup_id="s")
    again = desk.ask("RequestTakeSnapshot", **ALL, dedup_id="s")

    assert again == first
    assert ids(read(desk, again, 3, 9)) == expected[3:12]
    assert len(world.pairs["n1"].core.memory.snapshots) == 1


def test_a_node_that_refuses_makes_the_others_give_back(world):
    """Given a node that has all the snapshots it may have, when one is taken, then that is the answer, and nothing of
    it stays locked at the others."""
    expected = fill(world, 12)
    desk = world.client("AgentApplication")
    world.pairs["n2"].core.settings.max_snapshots = 0
    refused = desk.ask("RequestTakeSnapshot", **ALL, lock=1)
    world.run(0.5)

    assert refused["code"] == 91
    for name in ("n1", "n3"):
        assert not world.pairs[name].core.memory.snapshots.rows
        assert not world.pairs[name].core.memory.locks.rows
    world.pairs["n2"].core.settings.max_snapshots = 1000
    assert ids(read(desk, desk.ask("RequestTakeSnapshot", **ALL), 0, 100)) == expected


@pytest.mark.parametrize("asked", ["RequestTakeSnapshot", "RequestSnapshotOrder", "RequestArrangeSnapshot"])
def test_a_node_that_falls_silent_on_the_way_is_missing_and_the_others_are_in_order(world, asked):
    """Given a node that is lost when it is asked for its part, its marks, or told its places, when a snapshot is taken,
    then it has the others' interactions in order, says who is missing, and is answered in time."""
    expected = fill(world, 30)
    desk = world.client("AgentApplication")
    lost_at(world, "n2", asked)
    number = desk.send("RequestTakeSnapshot", **ALL)
    world.run(6.5)
    snapshot = desk.answer(number)

    assert (snapshot["complete"], snapshot["missing"]) == (False, ["n2"])
    others = [ident for ident in expected if world.pairs["n1"].core.memory.interactions.get(ident)]
    others += [ident for ident in expected if world.pairs["n3"].core.memory.interactions.get(ident)]
    assert ids(read(desk, snapshot, 0, 100)) == [ident for ident in expected if ident in others]


def lost_at(world, name, message):
    """The node is lost when this request comes to it."""
    core = world.pairs[name].core
    receive_link = core.receive_link

    def receive(now, peer, packed):
        if any(b'"%b"' % message.encode() in request.payload for request in packed.requests):
            world.lose(name)
        else:
            receive_link(now, peer, packed)

    core.receive_link = receive


@pytest.mark.parametrize("runs", [[0], [0, 2], [3, 1, 9, 1], [0, 1, 0, 1], [5, 1, 3, 1], [0, 3]])
def test_places_that_are_none_are_refused(runs):
    """Given a part of two interactions, when it is told places that do not rise, or not two, then they are refused."""
    world = World(make_configuration(1, 1))
    fill(world, 2)
    proxy = world.client("Proxy", "n1")
    snapshot = proxy.ask("RequestTakeSnapshot", **ALL)
    reply = proxy.ask("RequestArrangeSnapshot", snapshot_id=snapshot["snapshot_id"], runs=runs)

    assert (reply.get("code"), reply.get("field")) == ((None, None) if runs in ([0, 2], [3, 1, 9, 1]) else (3, "runs"))


def test_marks_are_said_in_text_to_who_does_not_want_rows():
    """Given a node that is asked without the flag, when marks are asked for, then they come as text; without several
    nodes none were kept."""
    world = World(make_configuration(1, 1))
    fill(world, 2)
    proxy = world.client("Proxy", "n1")
    snapshot = proxy.ask("RequestTakeSnapshot", **ALL)
    reply = proxy.ask("RequestSnapshotOrder", snapshot_id=snapshot["snapshot_id"])

    assert reply == {"message": "EventSnapshotOrder", "snapshot_id": snapshot["snapshot_id"]}
