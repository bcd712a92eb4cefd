"""Loads: what limited agents have at which node, and that they take one thing after the other."""

from __future__ import annotations

from typing import Any

import pytest

from broker.config.objects import Agent

VICKY: dict[str, Any] = {"tenant_id": 101, "agent_id": "VICKY"}
AT = {"n1": "30FGHMI2NBKI69P5", "n2": "32AEHMI2NBKI69Z0", "n3": "LF40HMI2NBKI69BS"}
"""Ids that name their nodes."""
PULL: dict[str, Any] = {"tenant_id": 101, "view_id": "_system_"}


def limit(configuration: Any) -> None:
    """VICKY may handle one e-mail at once."""
    configuration.agents = {"VICKY": Agent(capacity={"email": 1})}


@pytest.fixture
def limited(make_world: Any) -> Any:
    """A world with VICKY, and ANAT, who has no limit, logged in by the clients ``vicky`` and ``anat``."""
    world = make_world(change=limit)
    for agent in ("VICKY", "ANAT"):
        client = world.client(agent.lower().encode())
        world.ask(client, "RequestAgentLogin", tenant_id=101, agent_id=agent, media_list={"email": 1})
    for node in world.nodes.values():
        node.log.clear()
    return world


def tell(world: Any, name: str, **load: Any) -> None:
    """A node tells the proxy what VICKY has there."""
    world[name].notify(0, message="EventAgentLoad", **VICKY, load=load)
    world.flow()


def told(world: Any, name: str) -> list[dict[str, Any]]:
    """What the proxy has told a node of what is elsewhere."""
    return [one.get("elsewhere", {}) for _, one in world[name].seen if one["message"] == "RequestAgentLoad"]


# -- loads


def test_what_a_node_tells_the_others_are_told(limited: Any) -> None:
    # given a limited agent; when two nodes tell what it has there
    tell(limited, "n1", email=[1, 0])
    tell(limited, "n2", email=[0, 1], voice=[2, 0])
    # then each is told what is at the others, added up
    assert told(limited, "n1") == [{"email": [0, 1], "voice": [2, 0]}]
    assert told(limited, "n2") == [{"email": [1, 0]}]
    assert told(limited, "n3") == [{"email": [1, 0]}, {"email": [1, 1], "voice": [2, 0]}]


def test_what_is_over_is_forgotten(limited: Any) -> None:
    # given an agent that has something at a node; when it has it no more
    tell(limited, "n1", email=[1, 0])
    tell(limited, "n1")
    # then the others are told, and nothing is kept
    assert told(limited, "n2") == [{"email": [1, 0]}, {}]
    assert limited.core.capacity._parts == {}


def test_a_node_that_is_back_is_told_what_is_elsewhere(limited: Any) -> None:
    # given an agent that has something at a node
    tell(limited, "n1", email=[1, 0])
    # when another node fails over
    limited["n2"].fail_over()
    limited.run(0.2)
    # then its new member is told
    assert told(limited, "n2") == [{"email": [1, 0]}] * 2


def test_what_was_said_before_is_not_sent_again(limited: Any) -> None:
    # given a node that does not answer
    limited["n2"].script["RequestAgentLoad"] = None
    tell(limited, "n1", email=[1, 0])
    tell(limited, "n1")
    # when what is not answered is sent again
    limited.run(3)
    # then only the last word is
    assert told(limited, "n2")[:2] == [{"email": [1, 0]}, {}]
    assert {len(elsewhere) for elsewhere in told(limited, "n2")[2:]} == {0}


def test_garbage_is_counted(limited: Any) -> None:
    limited["n1"].notify(0, message="EventAgentLoad", load=7)
    limited.flow()
    assert limited.core.counts["garbage"] == 1


# -- one after the other


def take(world: Any, client: bytes, name: str, **fields: Any) -> Any:
    """A client pulls an interaction of a node by its id; the ref."""
    return world.send(client, "RequestPull", **PULL, pull_parameters={"interaction_ids": [AT[name]]}, **fields)


def granted(ident: str) -> dict[str, Any]:
    return {"message": "EventPulledInteractions", "interactions": [{"interaction_id": ident}]}


def test_a_limited_agent_takes_one_thing_after_the_other(limited: Any) -> None:
    # given nodes that do not answer at once
    for name, node in limited.nodes.items():
        node.script["RequestPull"] = None if name == "n1" else granted(AT[name])
    # when a limited agent takes something of two nodes
    first, second = take(limited, b"vicky", "n1"), take(limited, b"vicky", "n2")
    limited.flow()
    asked = [len(node.asked("RequestPull")) for node in limited.nodes.values()]
    # and the first one answers, having told the proxy what that means
    entry = limited["n1"].log[-1][0]
    limited["n1"].notify(0, message="EventAgentLoad", **VICKY, load={"email": [1, 0]})
    limited["n1"].reply(entry, granted(AT["n1"]))
    limited.flow()
    # then the second node is asked only after that, and has heard of it
    assert asked == [1, 0, 0]
    assert limited.reply(b"vicky", first) == {**granted(AT["n1"]), "complete": True}
    assert limited.reply(b"vicky", second) == {**granted(AT["n2"]), "complete": True}
    numbers = {request["message"]: entry.number for entry, request in (*limited["n2"].seen, *limited["n2"].log)}
    assert numbers["RequestAgentLoad"] < numbers["RequestPull"]


def test_an_agent_without_a_limit_waits_for_nothing(limited: Any) -> None:
    for node in limited.nodes.values():
        node.script["RequestPull"] = None
    take(limited, b"anat", "n1"), take(limited, b"anat", "n2")
    limited.flow()
    assert [len(node.asked("RequestPull")) for node in limited.nodes.values()] == [1, 1, 0]


def test_other_requests_do_not_wait(limited: Any) -> None:
    # given a limited agent whose pull is under way
    limited["n1"].script["RequestPull"] = None
    take(limited, b"vicky", "n1")
    # when it stops something else
    reply = limited.ask(b"vicky", "RequestStopProcessing", interaction_id=AT["n2"])
    # then that is done at once
    assert reply["message"] == "EventAck"


def test_a_refusal_lets_the_next_one_go_on(limited: Any) -> None:
    # given a limited agent with three requests at once, of which the first is not answered in time and the second wrong
    limited["n1"].script["RequestPull"] = None
    first = take(limited, b"vicky", "n1")
    wrong = limited.send(b"vicky", "RequestSubmit", tenant_id=101, media_type="fax")
    third = limited.send(b"vicky", "RequestSubmit", tenant_id=101, media_type="email", queue="Inbound")
    limited.flow()
    waiting = [limited.is_answered(b"vicky", ref) for ref in (first, wrong, third)]
    # when the first one's time is over
    limited.run(10.1)
    # then each has its answer
    assert waiting == [False, False, False]
    assert [limited.reply(b"vicky", ref).get("code", 0) for ref in (first, wrong, third)][:2] == [2003, 15]
    assert limited.is_answered(b"vicky", third)
    assert limited.core.capacity._waiting == {}


def test_how_many_wait_is_bounded(limited: Any) -> None:
    # given a limited agent with a request under way
    limited["n1"].script["RequestPull"] = None
    for _ in range(101):
        take(limited, b"vicky", "n1")
    # when one more comes than may wait
    reply = limited.ask(b"vicky", "RequestPull", **PULL, pull_parameters={"interaction_ids": [AT["n2"]]})
    # then it is told to come again
    assert (reply["code"], reply["retry_after"] > 0) == (91, True)


def test_a_pull_by_ids_asks_one_node_after_the_other(limited: Any) -> None:
    # given nodes of which the second has no room left when the first has given
    limited["n1"].script["RequestPull"] = None
    limited["n2"].script["RequestPull"] = {"message": "EventError", "code": 52, "text": "Agent has no capacity left"}
    parameters = {"interaction_ids": [AT["n1"], AT["n2"]]}
    # when a limited agent pulls from both
    ref = limited.send(b"vicky", "RequestPull", **PULL, pull_parameters=parameters)
    limited.flow()
    asked = [len(node.asked("RequestPull")) for node in limited.nodes.values()]
    limited["n1"].reply(limited["n1"].log[-1][0], granted(AT["n1"]))
    limited.flow()
    # then it has the one, and an error for the other
    reply = limited.reply(b"vicky", ref)
    assert asked == [1, 0, 0]
    assert [one["interaction_id"] for one in reply["interactions"]] == [AT["n1"]]
    assert reply["errors"][AT["n2"]]["code"] == 52
