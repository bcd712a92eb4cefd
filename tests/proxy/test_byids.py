"""Pulls by ids: each id where it is or may be, the answers put together."""

from __future__ import annotations

from typing import Any

import pytest

from broker.ids import make_id, node_code

SYSTEM: dict[str, Any] = {"tenant_id": 101, "view_id": "_system_"}
AT_1, AT_2 = (make_id(node_code(name), 1) for name in ("n1", "n2"))


def stock(world: Any, **held: list[str]) -> None:
    """What each node has; it grants that, and says of the rest that it does not know it, as nodes do."""
    for name, node in world.nodes.items():
        has = held.get(name, [])
        node.script["RequestPull"] = lambda request, has=has: answer(request, has)


def answer(request: dict[str, Any], has: list[str]) -> dict[str, Any]:
    """A node's answer to a pull by ids."""
    asked = request["pull_parameters"]["interaction_ids"]
    granted = [{"interaction_id": ident, "tenant_id": 101} for ident in asked if ident in has]
    unknown = [ident for ident in asked if ident not in has]
    if not granted and len(unknown) == 1:
        return {"message": "EventError", "code": 43, "text": "Unknown interaction identifier", "detail": unknown[0]}
    reply: dict[str, Any] = {"message": "EventPulledInteractions", "interactions": granted}
    if unknown:
        reply["errors"] = {ident: {"code": 43, "text": "Unknown"} for ident in unknown}
    return reply


def pull(world: Any, client: bytes, *idents: str, **fields: Any) -> dict[str, Any]:
    """A pull by ids, answered in time."""
    ref = world.send(client, "RequestPull", **SYSTEM, pull_parameters={"interaction_ids": list(idents)}, **fields)
    world.flow()
    if not world.is_answered(client, ref):
        world.run(10.1)
    reply: dict[str, Any] = world.reply(client, ref)
    return reply


def idents(reply: dict[str, Any]) -> list[str]:
    """What was granted."""
    return [one["interaction_id"] for one in reply["interactions"]]


def codes(reply: dict[str, Any]) -> dict[str, int]:
    """What became of the rest."""
    return {ident: error["code"] for ident, error in reply.get("errors", {}).items()}


def test_ids_are_grouped_by_node_and_the_answers_united(world: Any) -> None:
    # given ids of the cluster at two nodes
    client = world.client(b"c")
    stock(world, n1=[AT_1], n2=[AT_2])
    # when both are pulled, one of them named twice
    reply = pull(world, client, AT_1, AT_2, AT_1, reason={"r": 1})
    # then each node was asked for its own, with all that the client said
    assert sorted(idents(reply)) == sorted([AT_1, AT_2]) and "errors" not in reply
    for name, ident in (("n1", AT_1), ("n2", AT_2)):
        (request,) = world[name].asked("RequestPull")
        assert request == {
            "message": "RequestPull",
            **SYSTEM,
            "pull_parameters": {"interaction_ids": [ident]},
            "reason": {"r": 1},
        }
    assert world["n3"].log == []


def test_an_unknown_id_is_asked_of_all_and_learned(world: Any) -> None:
    # given an id of a client's own
    client = world.client(b"c")
    stock(world, n3=["mine"])
    # when it is pulled, and then asked for
    reply = pull(world, client, "mine")
    world.ask(client, "RequestStopProcessing", interaction_id="mine")
    # then it is found, and the proxy knows where
    assert idents(reply) == ["mine"] and "errors" not in reply
    assert [name for name, node in world.nodes.items() if node.asked("RequestStopProcessing")] == ["n3"]


def test_the_published_kv_list_names_ids_by_its_keys(world: Any) -> None:
    # given a client that speaks as published
    client = world.client(b"c")
    stock(world, n1=[AT_1])
    # when its pull parameters are the ids
    reply = world.ask(client, "RequestPull", **SYSTEM, pull_parameters={AT_1: "", "mine": ""})
    # then they are asked for
    assert idents(reply) == [AT_1]
    assert codes(reply) == {"mine": 43}


def test_what_became_of_each_id(world: Any) -> None:
    # given ids that one node has, that nobody has, that a silent node may have
    client = world.client(b"c")
    stock(world, n1=[AT_1], n3=[])
    world["n2"].script["RequestPull"] = None
    gone = make_id(node_code("n1"), 2)
    # when they are pulled
    reply = pull(world, client, AT_1, gone, AT_2, "mine")
    # then each has its own answer
    assert idents(reply) == [AT_1]
    assert codes(reply) == {gone: 43, AT_2: 2003, "mine": 2003}


def test_an_id_at_two_nodes(world: Any) -> None:
    # given an id that two nodes hold
    client = world.client(b"c")
    stock(world, n1=["mine"], n2=["mine"])
    # when it is pulled
    reply = pull(world, client, "mine")
    # then the puller holds both, and is told
    assert idents(reply) == ["mine", "mine"]
    assert codes(reply) == {"mine": 2005}


@pytest.mark.parametrize(("lost", "code"), [(False, 43), (True, 2003)])
def test_a_single_id_that_is_not_granted_is_an_error(world: Any, lost: bool, code: int) -> None:
    # given an id that nobody has, or that a silent node may have
    client = world.client(b"c")
    stock(world)
    if lost:
        world["n2"].script["RequestPull"] = None
    # when it is pulled alone
    reply = pull(world, client, "mine")
    # then the answer is the error, as it is at a node
    assert (reply["message"], reply["code"]) == ("EventError", code)
    assert reply.get("missing") == (["n2"] if lost else None)


def test_what_is_wrong_with_the_whole_pull_is_the_answer(world: Any) -> None:
    # given an agent that is not logged in
    client = world.client(b"c")
    for node in world.nodes.values():
        node.script["RequestPull"] = {"message": "EventError", "code": 22, "text": "Agent is not logged in"}
    # when it pulls several
    # then that is what it hears
    assert pull(world, client, AT_1, AT_2, "mine")["code"] == 22


def test_what_a_node_says_of_its_ids_is_passed_on_whole(world: Any) -> None:
    # given a node that is busy, and one that has what it is asked for
    client = world.client(b"c")
    stock(world, n1=[AT_1])
    busy = {"code": 91, "text": "Server is busy, try again", "detail": "it has many", "retry_after": 0.5}
    world["n2"].script["RequestPull"] = {"message": "EventError", "request": "RequestPull", **busy}
    # when both are pulled from
    reply = pull(world, client, AT_1, AT_2)
    # then the id at the busy one has all that a single error would have
    assert (idents(reply), reply["errors"]) == ([AT_1], {AT_2: busy})


def test_what_nobody_has_names_the_nodes_that_were_asked(world: Any) -> None:
    # given an id of a client's own that nobody has
    client = world.client(b"c")
    stock(world, n1=[AT_1])
    # when it is pulled with another one
    reply = pull(world, client, AT_1, "mine")
    # then its error says who was asked
    assert reply["errors"]["mine"]["detail"] == "n1 and n2 and n3 have no interaction of this id"


@pytest.mark.parametrize("garbage", [b"{}", b'{"interactions":[{}]}', b"\xff"])
def test_garbage_from_a_node_is_silence(world: Any, garbage: bytes) -> None:
    # given a node that answers with something else
    client = world.client(b"c")
    stock(world, n1=[AT_1])
    world["n2"].script["RequestPull"] = garbage
    # when its ids are pulled with others
    reply = pull(world, client, AT_1, AT_2)
    # then they are not accessible
    assert idents(reply) == [AT_1]
    assert codes(reply) == {AT_2: 2003}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, 2003),
        ({"pull_parameters": {}}, 2003),
        ({"pull_parameters": {"interaction_ids": []}}, 2003),
        ({"pull_parameters": {"interaction_ids": [5]}}, 2003),
        ({"pull_parameters": 5}, 2003),
        ({"tenant_id": 102, "pull_parameters": {"interaction_ids": ["x"]}}, 2001),
        ({"pull_parameters": {"interaction_ids": [str(number) for number in range(1001)]}}, 3),
    ],
)
def test_pulls_that_the_proxy_refuses(world: Any, fields: dict[str, Any], code: int) -> None:
    # given a client of one tenant
    client = world.client(b"c", tenants=[101])
    # when it names no ids, or not well, or too many
    reply = world.ask(client, "RequestPull", **{**SYSTEM, **fields})
    # then the proxy says so
    assert reply["code"] == code
    assert all(node.log == [] for node in world.nodes.values())


@pytest.mark.parametrize("errors", [b'{"x":5}', b'{"x":{"code":"y"}}', b"[]", b'{"x":{}}'])
def test_errors_of_ids_that_cannot_be_read_are_silence(world: Any, errors: bytes) -> None:
    # given a node whose errors are none
    client = world.client(b"c")
    stock(world, n1=[AT_1])
    world["n2"].script["RequestPull"] = b'{"message":"EventPulledInteractions","interactions":[],"errors":%b}' % errors
    # when its ids are pulled with others
    reply = pull(world, client, AT_1, AT_2)
    # then they are not accessible
    assert (idents(reply), codes(reply)) == ([AT_1], {AT_2: 2003})
