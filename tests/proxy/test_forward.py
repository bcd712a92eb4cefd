"""Requests forwarded as they came: by interaction, new interactions, finds, to a named node."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from broker.config.objects import NodeClusterSettings
from broker.ids import make_id, node_code

STOP = "RequestStopProcessing"
UNKNOWN = {"message": "EventError", "code": 43, "text": "Unknown interaction identifier"}
ACK = {"message": "EventAck"}
SUBMIT: dict[str, Any] = {"tenant_id": 101, "media_type": "email", "queue": "Inbound"}


def holder(world: Any, name: str | None) -> None:
    """Only this node has any interaction."""
    for node in world.nodes.values():
        node.script[STOP] = ACK if node.name == name else UNKNOWN


def asked(world: Any, message: str = STOP) -> list[str]:
    """The nodes that were asked, as often as they were."""
    return [name for name, node in world.nodes.items() for _ in node.asked(message)]


# -- by interaction


def test_an_id_of_the_cluster_goes_to_its_node_only(world: Any) -> None:
    # given an id that a node made
    client = world.client(b"c")
    ident = make_id(node_code("n2"), 1)
    # when it is asked for, byte for byte with all that the proxy does not look at
    payload = b'{ "message" : "RequestStopProcessing", "interaction_id":"%b", "reason":{"x": 1.50}}' % ident.encode()
    world.ask(client, payload)
    # then that node, and no other, has got just these bytes
    assert asked(world) == ["n2"]
    assert world["n2"].log[0][0].payload == payload


def test_an_unknown_id_goes_to_all_and_is_learned(world: Any) -> None:
    # given an id of a client's own at one node
    client = world.client(b"c")
    holder(world, "n3")
    # when it is asked for twice
    replies = [world.ask(client, STOP, interaction_id="mine") for _ in range(2)]
    # then the second request goes to the node that has shown to hold it
    assert [reply["message"] for reply in replies] == ["EventAck", "EventAck"]
    assert Counter(asked(world)) == {"n1": 1, "n2": 1, "n3": 2}


def test_a_remembered_node_that_does_not_have_it_makes_the_others_asked(world: Any) -> None:
    # given a learned id that is gone there, and used again at another node
    client = world.client(b"c")
    holder(world, "n3")
    world.ask(client, STOP, interaction_id="mine")
    holder(world, "n1")
    # when it is asked for
    reply = world.ask(client, STOP, interaction_id="mine")
    # then it is found there, and learned
    assert reply["message"] == "EventAck"
    assert world.core.forward._whereis.find("mine").nodes == ("n1",)


def test_not_found_is_said_when_all_have_said_so(world: Any) -> None:
    # given a learned id that is nowhere any more
    client = world.client(b"c")
    holder(world, "n3")
    world.ask(client, STOP, interaction_id="mine")
    holder(world, None)
    # when it is asked for, and then again while a node is silent
    first = world.ask(client, STOP, interaction_id="mine")
    world["n2"].script[STOP] = None
    ref = world.send(client, STOP, interaction_id="mine")
    world.run(10.1)
    # then it is not found; and after that nobody can tell
    assert first["code"] == 43
    assert (world.reply(client, ref)["code"], world.reply(client, ref)["missing"]) == (2003, ["n2"])
    assert world.reply(client, ref)["request"] == STOP


def test_two_nodes_that_hold_it(world: Any) -> None:
    # given the same id at two nodes
    client = world.client(b"c")
    for name, said in (("n1", ACK), ("n2", ACK), ("n3", UNKNOWN)):
        world[name].script[STOP] = said
    # when it is asked for
    reply = world.ask(client, STOP, interaction_id="mine")
    # then that is the answer, and nothing is learned of it
    assert (reply["code"], reply["detail"]) == (2005, "n1 and n2 hold it")
    assert len(world.core.forward._whereis) == 0


def test_in_a_cluster_of_one_everything_is_there(make_world: Any) -> None:
    # given one node
    world = make_world(("n1",))
    client = world.client(b"c")
    holder(world, None)
    # when an id is not found there
    reply = world.ask(client, STOP, interaction_id="mine")
    # then it is not found
    assert reply["code"] == 43
    assert asked(world) == ["n1"]


# -- new interactions


def test_submits_are_balanced(world: Any) -> None:
    # given three nodes
    client = world.client(b"m", "MediaServer")
    # when thirty interactions come
    for _ in range(30):
        world.ask(client, "RequestSubmit", **SUBMIT)
    # then each node has ten
    assert Counter(asked(world, "RequestSubmit")) == {"n1": 10, "n2": 10, "n3": 10}


def test_submits_go_to_nodes_that_are_there_and_take_them(make_world: Any) -> None:
    # given a node that takes no submits, one for another media type, one that is away
    cluster = {"n1": NodeClusterSettings(enable_submit=False), "n2": NodeClusterSettings(media_types=["voice"])}
    world = make_world(("n1", "n2", "n3", "n4"), cluster=cluster)
    client = world.client(b"m", "MediaServer")
    world.kill("n3")
    world.run(1.1)
    # when interactions come
    for _ in range(5):
        world.ask(client, "RequestSubmit", **SUBMIT)
    # then the fourth has them
    assert Counter(asked(world, "RequestSubmit")) == {"n4": 5}


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"tenant_id": 999}, 2001, "tenant_id"),
        ({"tenant_id": 102}, 2001, "tenant_id"),
        ({"media_type": "pigeon"}, 2001, "media_type"),
        ({"media_type": "fax"}, 15, "media_type"),
        ({"media_type": 5}, 2001, "media_type"),
    ],
)
def test_submits_that_the_proxy_refuses(world: Any, fields: dict[str, Any], code: int, field: str) -> None:
    # given a client of one tenant
    client = world.client(b"m", "MediaServer", tenants=[101])
    # when it submits for another, for one that there is not, for an unknown or a disabled media type
    reply = world.ask(client, "RequestSubmit", **{**SUBMIT, **fields})
    # then the proxy says so, and no node is asked
    assert (reply["code"], reply["field"], reply["request"]) == (code, field, "RequestSubmit")
    assert asked(world, "RequestSubmit") == []


def test_a_submit_waits_for_any_node_that_comes_back(world: Any) -> None:
    # given a failover of all nodes at once
    client = world.client(b"m", "MediaServer")
    for name in world.nodes:
        world.kill(name)
    world.run(1.5)
    ref = world.send(client, "RequestSubmit", **SUBMIT)
    world.run(2.0)
    # when one is back
    world["n2"].active = "primary"
    world.run(0.1)
    # then it has the interaction
    assert world.reply(client, ref)["message"] == "EventAck"
    assert asked(world, "RequestSubmit") == ["n2"]


def test_a_submit_that_no_node_comes_back_for(world: Any) -> None:
    # given that all nodes are away
    client = world.client(b"m", "MediaServer")
    for name in world.nodes:
        world.kill(name)
    world.run(1.5)
    ref = world.send(client, "RequestSubmit", **SUBMIT)
    # when the request timeout has passed
    world.run(10.1)
    # then the connection is lost
    assert (world.reply(client, ref)["code"], world.reply(client, ref)["missing"]) == (2002, ["n1", "n2", "n3"])


def test_an_id_of_the_clients_own_has_one_home(world: Any) -> None:
    # given ids of a client's own
    client = world.client(b"m", "MediaServer")
    # when each is submitted twice
    for number in range(20):
        for _ in range(2):
            world.ask(client, "RequestSubmit", **SUBMIT, interaction_id=f"mine{number}")
    # then both meet at one node, not all at the same; and the proxy knows where they are
    homes = {
        request["interaction_id"]: name for name, node in world.nodes.items() for request in node.asked("RequestSubmit")
    }
    assert all(len(node.asked("RequestSubmit")) % 2 == 0 for node in world.nodes.values())
    assert len(set(homes.values())) > 1
    assert all(world.core.forward._whereis.find(ident).nodes == (name,) for ident, name in homes.items())


def test_the_home_of_an_id_is_waited_for(world: Any) -> None:
    # given an id whose home is away
    client = world.client(b"m", "MediaServer")
    world.ask(client, "RequestSubmit", **SUBMIT, interaction_id="mine")
    (home,) = asked(world, "RequestSubmit")
    world.kill(home)
    world.run(1.1)
    # when it is submitted again
    ref = world.send(client, "RequestSubmit", **SUBMIT, interaction_id="mine")
    world.run(10.1)
    # then no other node takes it
    assert (world.reply(client, ref)["code"], world.reply(client, ref)["missing"]) == (2002, [home])
    assert asked(world, "RequestSubmit") == [home]


def test_a_repeated_submit_meets_the_same_node(world: Any) -> None:
    # given submits with a dedup_id, and a proxy that starts anew
    client = world.client(b"m", "MediaServer")
    for number in range(20):
        for _ in range(2):
            world.ask(client, "RequestSubmit", **SUBMIT, dedup_id=f"d{number}")
    # when each is repeated
    # then it is at the node that had it first
    for node in world.nodes.values():
        seen = Counter(request["dedup_id"] for request in node.asked("RequestSubmit"))
        assert set(seen.values()) <= {2}
    assert len(set(asked(world, "RequestSubmit"))) > 1


# -- finds


def finds(*idents: str, more: bool = False) -> dict[str, Any]:
    """A node's answer to a find."""
    plain = {
        "tenant_id": 101,
        "media_type": "email",
        "interaction_type": "Inbound",
        "interaction_state": 0,
        "queue": "Inbound",
        "priority": 0,
        "is_online": 0,
        "submitted_at": 0,
        "submit_seq": 0,
        "place_in_queue_seq": 0,
    }
    all_ = [{**plain, "interaction_id": ident, "received_at": float(ident)} for ident in idents]
    return {"message": "EventInteractionsFound", "interactions": all_, "more": more}


def test_a_find_asks_the_nodes_of_tenant_and_media_type(make_world: Any) -> None:
    # given a node that does not serve the media type, and one that does not serve the tenant
    cluster = {"n1": NodeClusterSettings(media_types=["voice"]), "n2": NodeClusterSettings(tenants=[102])}
    world = make_world(("n1", "n2", "n3", "n4"), cluster=cluster)
    client = world.client(b"c")
    for name, idents in (("n3", ("1", "4")), ("n4", ("2", "3"))):
        world[name].script["RequestFindInteractions"] = finds(*idents)
    # when interactions of both are looked for
    reply = world.ask(client, "RequestFindInteractions", tenant_id=101, media_type="email", count=3)
    # then the others are asked, and their answers are in order and within the limit
    assert asked(world, "RequestFindInteractions") == ["n3", "n4"]
    assert [one["interaction_id"] for one in reply["interactions"]] == ["1", "2", "3"]
    assert (reply["more"], reply["complete"]) == (True, True)


def test_a_find_without_a_tenant_is_for_all_of_the_session(make_world: Any) -> None:
    # given a client of a tenant that one node serves
    world = make_world(("n1", "n2"), cluster={"n1": NodeClusterSettings(tenants=[102])})
    client = world.client(b"c", tenants=[101])
    world["n2"].script["RequestFindInteractions"] = finds("1")
    # when it looks for anything
    reply = world.ask(client, "RequestFindInteractions")
    # then that node is asked, and its answer is complete
    assert asked(world, "RequestFindInteractions") == ["n2"]
    assert reply["complete"] is True


@pytest.mark.parametrize("required", [False, True])
def test_a_find_without_a_node(world: Any, required: bool) -> None:
    # given a node that does not answer
    client = world.client(b"c")
    for name in ("n1", "n2"):
        world[name].script["RequestFindInteractions"] = finds(name[1])
    world["n3"].script["RequestFindInteractions"] = None
    # when interactions are looked for
    ref = world.send(client, "RequestFindInteractions", tenant_id=101, require_complete=required)
    world.run(10.1)
    # then what came is the answer, which says so; or it is refused
    reply = world.reply(client, ref)
    assert reply["missing"] == ["n3"]
    if required:
        assert reply["code"] == 2002
    else:
        assert (reply["complete"], len(reply["interactions"])) == (False, 2)


def test_a_find_that_nodes_cannot_understand(world: Any) -> None:
    # given a condition that is none
    client = world.client(b"c")
    for node in world.nodes.values():
        node.script["RequestFindInteractions"] = {"message": "EventError", "code": 62, "text": "bad"}
    # when it is asked for
    # then the nodes' error is the answer
    assert world.ask(client, "RequestFindInteractions", condition="((")["code"] == 62


def test_what_is_between_a_proxy_and_its_nodes_is_not_for_clients(world: Any) -> None:
    # given a client of type Proxy
    client = world.client(b"c", "Proxy")
    # when it watches a view as a proxy does at a node
    # then that is not supported
    assert world.ask(client, "RequestWatchView", view_id="Inbound/all")["code"] == 2000


# -- to a named node


def test_a_switchover_goes_to_the_node_that_is_named(world: Any) -> None:
    # given an operator
    client = world.client(b"c", "Monitor")
    # when it names a node, and one that there is not
    replies = [world.ask(client, "RequestSwitchover", node=name) for name in ("n2", "n9")]
    # then the first has it, the other is a wrong value
    assert asked(world, "RequestSwitchover") == ["n2"]
    assert replies[0] == json.loads(b'{"message":"EventAck"}')
    assert (replies[1]["code"], replies[1]["field"]) == (3, "node")
