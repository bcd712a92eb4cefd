"""Submits through a proxy while nodes are drained: to the others, and never twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

DRAINED = {"message": "EventError", "code": 92, "text": "Node takes no new interactions"}
SUBMIT: dict[str, Any] = {"tenant_id": 101, "media_type": "email", "queue": "Inbound"}


@pytest.fixture
def media(world: Any) -> bytes:
    source: bytes = world.client(b"gateway", "MediaServer")
    return source


def drain(world: Any, *names: str) -> None:
    """These nodes refuse submits; that they do is not heard of yet."""
    for name in names:
        world[name].script["RequestSubmit"] = DRAINED


def say(world: Any, name: str, since: float | None) -> None:
    """A node's status says since when it is drained."""
    status = json.dumps({"pid": 1, "node": {"drained_since": since}}).encode()
    world.core.heard(world.now, world[name].beat(world.now, status=status))


def counts(world: Any) -> list[int]:
    """How many submits each node has got."""
    return [len(node.asked("RequestSubmit")) for node in world.nodes.values()]


def test_a_node_that_refuses_is_passed_over(world: Any, media: bytes) -> None:
    # given a node that has just been drained
    drain(world, "n2")
    # when interactions come in
    replies = [world.ask(media, "RequestSubmit", **SUBMIT) for _ in range(6)]
    # then all are taken, by the others
    assert [reply["message"] for reply in replies] == ["EventAck"] * 6
    assert sum(counts(world)) - counts(world)[1] == 6


def test_a_node_that_has_said_so_is_not_asked(world: Any, media: bytes) -> None:
    # given a node whose status says that it is drained, and then that it is so no more
    say(world, "n2", 5.0)
    for _ in range(4):
        world.ask(media, "RequestSubmit", **SUBMIT)
    before = counts(world)
    say(world, "n2", None)
    for _ in range(3):
        world.ask(media, "RequestSubmit", **SUBMIT)
    # then it is left out, and then has its turn again
    assert before == [2, 0, 2]
    assert counts(world) == [3, 1, 3]


@pytest.mark.parametrize("fields", [{}, {"dedup_id": "one"}, {"interaction_id": "mine"}])
@pytest.mark.parametrize("said", [True, False])
def test_when_all_are_drained_no_node_takes_it(world: Any, media: bytes, fields: dict[str, Any], said: bool) -> None:
    # given nodes that are all drained
    drain(world, "n1", "n2", "n3")
    for name in world.nodes if said else ():
        say(world, name, 5.0)
    # when an interaction comes in
    reply = world.ask(media, "RequestSubmit", **SUBMIT, **fields)
    # then there is no server for it, and nothing is left open
    assert (reply["code"], reply["field"]) == (2001, "media_type")
    assert len(world.core.calls) == 0


@pytest.mark.parametrize("fields", [{"dedup_id": "one"}, {"interaction_id": "mine"}])
def test_the_home_of_an_id_is_asked_first_even_if_it_is_drained(
    world: Any, media: bytes, fields: dict[str, Any]
) -> None:
    # given a submit under an id, whose home is drained afterwards and knows it
    world.ask(media, "RequestSubmit", **SUBMIT, **fields)
    (home,) = [name for name, node in world.nodes.items() if node.asked("RequestSubmit")]
    say(world, home, 5.0)
    # when it is repeated
    world.ask(media, "RequestSubmit", **SUBMIT, **fields)
    # then the home hears it, which knows that it is a repetition
    assert len(world[home].asked("RequestSubmit")) == 2
    # and a new one goes on from a home that refuses to the next
    drain(world, home)
    assert world.ask(media, "RequestSubmit", **SUBMIT, **fields)["message"] == "EventAck"
    assert sum(counts(world)) == 4


@pytest.mark.parametrize("status", [b"", b"[]", b"{}", b"{", b'{"node": 5}', b'{"node": {"drained_since": "x"}}'])
def test_a_status_that_cannot_be_read_drains_nobody(world: Any, media: bytes, status: bytes) -> None:
    # given a node whose status is none
    world.core.heard(world.now, world["n1"].beat(world.now, status=status))
    # when interactions come in
    for _ in range(3):
        world.ask(media, "RequestSubmit", **SUBMIT)
    # then every node has its turn
    assert counts(world) == [1, 1, 1]
