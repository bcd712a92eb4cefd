"""A node that takes nothing, and a pipe that is full: clients are told to come again, and nothing is lost."""

from __future__ import annotations

import pytest

SUBMIT = {"tenant_id": 101, "media_type": "email", "queue": "Inbound"}
LIMIT = 5


@pytest.fixture
def world(make_world):
    """Three nodes; each may leave few requests unanswered."""
    return make_world(max_pending_per_node=LIMIT)


def fill(world, node, media):
    """So many requests to one node, which does not answer, as it may have."""
    world[node].script["RequestSwitchover"] = None
    refs = [world.send(media, "RequestSwitchover", node=node) for _ in range(LIMIT)]
    world.flow()
    return refs


def test_a_full_node_is_busy_and_the_others_are_not(world):
    """Given a node that stands still, when it has as many requests as it may have, then further ones are busy, those to
    other nodes are served, and what it was asked is answered when it goes on."""
    ops = world.client(b"ops", "Monitor")
    refs = fill(world, "n2", ops)
    busy = world.ask(ops, "RequestSwitchover", node="n2")

    assert (busy["code"], busy["request"], busy["retry_after"]) == (91, "RequestSwitchover", 0.5)
    assert world.ask(ops, "RequestSwitchover", node="n1")["message"] == "EventAck"
    for entry, _ in list(world["n2"].log):
        world["n2"].reply(entry, {"message": "EventAck"})
    world.flow()
    assert [world.reply(ops, ref)["message"] for ref in refs] == ["EventAck"] * LIMIT
    del world["n2"].script["RequestSwitchover"]
    assert world.ask(ops, "RequestSwitchover", node="n2")["message"] == "EventAck"


def test_new_interactions_go_round_a_full_node(world):
    """Given a full node, when interactions are submitted, then the others take them; when all are full, it is busy."""
    ops, media = world.client(b"ops", "Monitor"), world.client(b"mail", "MediaServer")
    fill(world, "n2", ops)
    for _ in range(6):
        assert world.ask(media, "RequestSubmit", **SUBMIT)["message"] == "EventAck"
    assert not world["n2"].asked("RequestSubmit")
    fill(world, "n1", ops)
    fill(world, "n3", ops)

    assert world.ask(media, "RequestSubmit", **SUBMIT)["code"] == 91


def test_what_a_full_pipe_did_not_take_is_sent_later_and_once(world):
    """Given a pipe that takes nothing for a while, when it does again, then every request arrives once, in order."""
    ops = world.client(b"ops", "Monitor")
    world.ask(ops, "RequestSwitchover", node="n2")
    refs = [world.send(ops, "RequestSwitchover", node="n2", dedup_id=str(number)) for number in range(3)]
    for _ in range(4):
        out = world.core.take()
        for (node, member), requests in out.links.items():
            world.core.unsent(world.now, node, member, requests)
        world.now += 0.06
        world.core.tick(world.now)
    world.flow()

    assert [request.get("dedup_id") for request in world["n2"].asked("RequestSwitchover")] == [None, "0", "1", "2"]
    assert [world.reply(ops, ref)["message"] for ref in refs] == ["EventAck"] * 3
