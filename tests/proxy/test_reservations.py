"""Reservations through proxies: one node decides, the others take it down."""

from __future__ import annotations

from typing import Any

from broker.wire import ECHO

VICKY: dict[str, Any] = {"tenant_id": 101, "agent_id": "VICKY"}
GRANTED = {"message": "EventAgentReserved", "tenant_id": 101, "agent_id": "VICKY", "reserved_until": 1.0}
TAKEN = {"message": "EventError", "code": 53, "text": "Agent is reserved by another routing engine"}
AT_1 = "30FGHMI2NBPV2PWI"
"""An id that names n1."""


def engine(world: Any, name: bytes = b"urs") -> bytes:
    """A routing engine; all nodes grant what it wants."""
    for node in world.nodes.values():
        node.script["RequestReserveAgent"] = GRANTED
    return bytes(world.client(name, "RoutingEngine"))


def reserved(world: Any) -> list[tuple[str, int]]:
    """Who was asked to reserve, in the order of the requests, with the flags."""
    rows = [
        (entry.number, name, entry.flags)
        for name, node in world.nodes.items()
        for entry, request in node.log
        if request["message"] == "RequestReserveAgent"
    ]
    return [row[1:] for row in sorted(rows)]


def cancelled(world: Any) -> list[str]:
    """The nodes that were told to forget a reservation."""
    return sorted(name for name, node in world.nodes.items() if node.asked("RequestCancelAgentReservation"))


def test_one_node_decides_then_the_others_take_it_down(world: Any) -> None:
    # given a routing engine; when it reserves an agent
    reply = world.ask(engine(world), "RequestReserveAgent", **VICKY)
    # then one node is asked first, the others are told after it, and its reply is the answer
    assert reply == GRANTED
    first, *others = reserved(world)
    assert first[1] == 0
    assert sorted(name for name, _ in (first, *others)) == ["n1", "n2", "n3"]
    assert {flags for _, flags in others} == {ECHO}


def test_all_proxies_choose_the_same_node(make_world: Any) -> None:
    # given two proxies; when engines at both reserve agents
    chosen = []
    for _ in range(2):
        world = make_world()
        client = engine(world)
        for number in range(20):
            world.ask(client, "RequestReserveAgent", tenant_id=101, agent_id=f"A{number}")
        chosen.append([name for name, flags in reserved(world) if not flags])
    # then the same nodes decide, each about some
    assert chosen[0] == chosen[1]
    assert set(chosen[0]) == {"n1", "n2", "n3"}


def test_a_refusal_of_the_deciding_node_is_the_answer(world: Any) -> None:
    # given nodes that refuse
    client = engine(world)
    for node in world.nodes.values():
        node.script["RequestReserveAgent"] = TAKEN
    # when an engine reserves
    reply = world.ask(client, "RequestReserveAgent", **VICKY)
    # then only one was asked
    assert (reply["code"], len(reserved(world)), cancelled(world)) == (53, 1, [])


def test_a_refusal_of_another_node_is_the_answer_and_all_give_it_back(world: Any) -> None:
    # given a node that has another engine's reservation, and does not decide
    client = engine(world)
    world.ask(client, "RequestReserveAgent", **VICKY)
    deciding = reserved(world)[0][0]
    other = next(name for name in world.nodes if name != deciding)
    world[other].script["RequestReserveAgent"] = TAKEN
    # when it is asked for again
    reply = world.ask(client, "RequestReserveAgent", **VICKY)
    # then it is refused, and nobody keeps it
    assert reply["code"] == 53
    assert cancelled(world) == ["n1", "n2", "n3"]


def test_a_node_without_the_agent_does_not_hinder(world: Any) -> None:
    # given a node that the agent is not logged in at, and one that is away
    client = engine(world)
    world.ask(client, "RequestReserveAgent", **VICKY)
    deciding = reserved(world)[0][0]
    unaware, away = (name for name in world.nodes if name != deciding)
    world[unaware].script["RequestReserveAgent"] = {"message": "EventError", "code": 22, "text": "…"}
    world[away].deaf = True
    # when it is asked for
    ref = world.send(client, "RequestReserveAgent", **VICKY)
    world.run(11)
    # then it is granted
    assert world.reply(client, ref) == GRANTED


def test_a_delivery_gives_it_back_at_the_other_nodes(world: Any) -> None:
    # given a reserved agent
    client = engine(world)
    world.ask(client, "RequestReserveAgent", **VICKY)
    # when the engine delivers to another agent, in vain to this one, and then to this one
    world.ask(client, "RequestDeliver", interaction_id=AT_1, agent_id="ANAT")
    world["n1"].script["RequestDeliver"] = {"message": "EventError", "code": 49, "text": "…"}
    world.ask(client, "RequestDeliver", interaction_id=AT_1, agent_id="VICKY")
    before = cancelled(world)
    del world["n1"].script["RequestDeliver"]
    reply = world.ask(client, "RequestDeliver", interaction_id=AT_1, agent_id="VICKY")
    world.ask(client, "RequestDeliver", interaction_id=AT_1, agent_id="VICKY")
    # then only the delivery that was made used the reservation, once
    assert (before, reply["message"], cancelled(world)) == ([], "EventAck", ["n1", "n2", "n3"])
    assert all(len(node.asked("RequestCancelAgentReservation")) == 1 for node in world.nodes.values())


def test_it_is_given_back_everywhere(world: Any) -> None:
    # given a reserved agent
    client = engine(world)
    world.ask(client, "RequestReserveAgent", **VICKY)
    # when the engine does not need it
    reply = world.ask(client, "RequestCancelAgentReservation", **VICKY)
    # then every node hears it
    assert (reply["message"], cancelled(world)) == ("EventAck", ["n1", "n2", "n3"])


def test_a_deciding_node_that_does_not_answer_is_2002(world: Any) -> None:
    # given the node that decides is lost
    client = engine(world)
    world.ask(client, "RequestReserveAgent", **VICKY)
    deciding = reserved(world)[0][0]
    world.kill(deciding)
    # when an engine reserves
    ref = world.send(client, "RequestReserveAgent", **VICKY)
    world.run(12)
    reply = world.reply(client, ref)
    # then it is told so; later another node decides
    assert (reply["code"], reply["missing"]) == (2002, [deciding])
    assert world.ask(client, "RequestReserveAgent", **VICKY) == GRANTED


def test_who_names_nobody_is_told_so(world: Any) -> None:
    assert world.ask(engine(world), "RequestReserveAgent", tenant_id=101)["field"] == "agent_id"
    assert world.ask(b"urs", "RequestReserveAgent", tenant_id=999, agent_id="VICKY")["code"] == 2001
