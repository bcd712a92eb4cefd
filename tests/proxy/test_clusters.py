"""Agents over a whole cluster: real proxies on real nodes."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from broker.config.objects import Agent, NodeSettings
from node import licences
from tests.world import Client, World, make_configuration

LUNCH = {"reason_system_name": "Lunch"}
SEAT = "ics_multi_media_agent_seat"


def cluster(change: Any = None, nodes: int = 3, **settings: Any) -> World:
    """Two proxies on some nodes. :param change: of the configuration; :param settings: the nodes'"""
    configuration = make_configuration(nodes, 2, NodeSettings(**settings))
    if change is not None:
        change(configuration)
    return World(configuration)


def one_email(configuration: Any) -> None:
    """VICKY may handle one e-mail at once, ANAT three."""
    configuration.agents = {"VICKY": Agent(capacity={"email": 1}), "ANAT": Agent(capacity={"email": 3})}


def desk(world: World, agent: str, at: str = "p1", **fields: Any) -> Client:
    """An agent's application, logged in."""
    client = world.client("AgentApplication", at, f"desk-{agent}-{at}")
    login = {"tenant_id": 101, "agent_id": agent, "media_list": {"voice": 1, "email": 1}, **fields}
    reply = client.ask("RequestAgentLogin", **login)
    assert reply["message"] == "EventAck", reply
    return client


def submitted(world: World, media_type: str = "email") -> list[str]:
    """An interaction at each node."""
    media = world.client("MediaServer")
    fields = {"tenant_id": 101, "media_type": media_type, "queue": "Inbound"}
    return [media.ask("RequestSubmit", **fields)["interaction_id"] for _ in world.pairs]


def route(world: World, engine: Client, ident: str, agent: str = "VICKY") -> int:
    """The code of a delivery; 0: the agent is invited."""
    wanted = {"interaction_ids": [ident]}
    engine.ask("RequestPull", tenant_id=101, view_id="_system_", pull_parameters=wanted)
    return int(engine.ask("RequestDeliver", interaction_id=ident, agent_id=agent).get("code", 0))


def accept(client: Client, ident: str) -> int:
    """The code of accepting what was offered."""
    ticket = next(
        note["ticket_id"]
        for note in client.notes
        if note["message"] == "EventInvite" and note["interaction"]["interaction_id"] == ident
    )
    return int(client.ask("RequestAccept", interaction_id=ident, ticket_id=ticket).get("code", 0))


def state(world: World, agent: str = "VICKY", at: str = "p1") -> dict[str, Any]:
    """What a proxy or node says of an agent."""
    return world.client("Monitor", at).ask("RequestAgentState", tenant_id=101, agent_id=agent)


def of_stream(world: World, agent: str = "VICKY", at: str = "p1") -> list[str]:
    """The events about an agent that a proxy has published."""
    events = [json.loads(payload) for _, _, payload in world.stream[at]]
    return [event["message"] for event in events if event.get("agent", {}).get("agent_id") == agent]


def told(client: Client, name: str) -> list[dict[str, Any]]:
    return [note for note in client.notes if note["message"] == name]


# -- states and reasons


def test_a_reason_is_at_all_nodes_and_told_once() -> None:
    # given an agent
    world = cluster()
    vicky = desk(world, "VICKY")
    before = len(told(vicky, "EventCurrentAgentStatus"))
    # when it changes its reasons
    vicky.ask("RequestNotReadyForMedia", media_type="email", reason={"reason_system_name": "Clerical"})
    vicky.ask("RequestChangeMediaStateReason", media_type="email", reason=LUNCH)
    vicky.ask("RequestChangeAgentStateReason", reason=LUNCH)
    world.run(0.1)
    # then every node has them, its application is told once for each, and each is one event
    shown = [state(world, at=at) for at in world.pairs]
    assert {(json.dumps(one["media_reasons"]), json.dumps(one["state_reason"])) for one in shown} == {
        (json.dumps({"email": LUNCH}), json.dumps(LUNCH))
    }
    assert len(told(vicky, "EventCurrentAgentStatus")) == before + 3
    changes = ["EventNotReadyForMedia", "EventMediaStateReasonChanged", "EventAgentStateReasonChanged"]
    assert of_stream(world)[1:] == changes


def test_a_node_that_was_away_gets_the_reasons_it_has_missed() -> None:
    # given a node that is lost
    world = cluster()
    vicky = desk(world, "VICKY")
    world.lose("n2")
    world.run(12)
    # when an agent changes meanwhile, and the node comes back
    vicky.ask("RequestChangeMediaStateReason", media_type="email", reason=LUNCH)
    vicky.ask("RequestDoNotDisturbOn", reason=LUNCH)
    world.take_over("n2")
    world.run(3)
    # then it has all of it
    shown = state(world, at="n2")
    assert (shown["media_reasons"], shown["state_reason"], shown["donot_disturb"]) == ({"email": LUNCH}, LUNCH, True)


def test_a_refused_reason_is_taken_back_to_the_one_before() -> None:
    # given an agent with a reason, and a node that does not know its media type any more
    world = cluster()
    vicky = desk(world, "VICKY")
    vicky.ask("RequestChangeMediaStateReason", media_type="email", reason=LUNCH)
    # when it gives one that is too long
    reply = vicky.ask("RequestChangeMediaStateReason", media_type="email", reason="x" * 3000)
    world.run(2)
    # then all nodes have the one before
    assert reply["code"] == 3
    assert [state(world, at=at)["media_reasons"] for at in world.pairs] == [{"email": LUNCH}] * 3


def test_the_state_of_an_agent_counts_all_nodes() -> None:
    # given an agent that handles something of two nodes, and is invited by a third
    world = cluster()
    vicky, engine = desk(world, "VICKY"), world.client("RoutingEngine")
    idents = submitted(world)
    wanted = {"interaction_ids": idents[:2]}
    vicky.ask("RequestPull", tenant_id=101, view_id="_system_", pull_parameters=wanted)
    route(world, engine, idents[2])
    # when a proxy is asked, and again when a node is lost
    whole = state(world, at="p2")
    world.lose("n1")
    world.run(12)
    part = state(world, at="p2")
    # then the counts are added up, and it says who is missing
    assert (whole["handled"], whole["invited"], whole["complete"]) == ({"email": 2}, {"email": 1}, True)
    assert (part["complete"], part["missing"]) == (False, ["n1"])
    assert "echo" not in whole


def test_a_forced_change_is_one_over_all_nodes() -> None:
    # given nodes that make an agent not ready when it lets an invitation expire
    world = cluster(not_ready_on_invitation_timeout=True, delivering_timeout=1.0)
    vicky, engine = desk(world, "VICKY"), world.client("RoutingEngine")
    for ident in submitted(world):
        # when it does, at one node after the other
        assert route(world, engine, ident) == 0
        world.run(4)
        # then it is not ready at all of them, and its application was told once
        assert {state(world, at=at)["media_state_list"]["email"] for at in world.pairs} == {0}
        assert len(told(vicky, "EventForcedAgentStateChange")) == 1
        vicky.notes.clear()
        vicky.ask("RequestCancelNotReadyForMedia", media_type="email")


# -- clients that vanish


def test_an_agent_whose_client_vanished_goes_on_through_another_proxy() -> None:
    # given an agent, of whom nothing is heard any more
    world = cluster(keepalive_interval=1.0)
    world.configuration.proxies["p1"].settings.keepalive_interval = 1.0
    world = World(world.configuration)
    desk(world, "VICKY")
    (session,) = {state(world)["session"]}
    world.run(7)
    away = [state(world, at=at) for at in world.pairs]
    # when it logs in through the other proxy
    again = desk(world, "VICKY", "p2", media_list={"voice": 1})
    world.run(0.1)
    # then it has been logged in all the time, and the stream has one session
    assert [(one.get("connections", 0), set(one["media_state_list"].values())) for one in away] == [(0, {0})] * 3
    assert [state(world, at=at)["connections"] for at in world.pairs] == [1, 1, 1]
    assert session in {state(world, at=at)["session"] for at in world.pairs}
    for at in world.proxies:
        said = of_stream(world, at=at)
        assert (said[0], said.count("EventAgentLogin"), said.count("EventAgentLogout")) == ("EventAgentLogin", 1, 0)
        assert said[1:] == [
            "EventNotReadyForMedia", "EventNotReadyForMedia", "EventMediaRemoved", "EventReadyForMedia"
        ]  # fmt: skip
    assert told(again, "EventCurrentAgentStatus")[-1]["media_state_list"] == {"voice": 1}


def test_a_client_that_says_that_it_goes_logs_its_agent_out() -> None:
    world = cluster()
    desk(world, "VICKY").ask("RequestUnregisterClient")
    world.run(0.2)
    assert of_stream(world) == ["EventAgentLogin", "EventAgentLogout"]
    assert [state(world, at=at)["code"] for at in world.pairs] == [22, 22, 22]


# -- licences


def test_a_limit_that_is_lowered_at_one_node_logs_out_of_all() -> None:
    # given agents on seats, at two proxies
    def seats(configuration: Any) -> None:
        for node in configuration.nodes.values():
            node.licenses = {SEAT: 3}

    world = cluster(seats)
    desks = {agent: desk(world, agent, at) for agent, at in (("A", "p1"), ("B", "p2"), ("C", "p1"))}
    # when one node has one seat less
    core = world.pairs["n2"].core
    assert core is not None
    world.configuration.nodes["n2"].licenses = {SEAT: 2}
    licences.reconfigured(core)
    world.run(3)
    # then who came last is out everywhere, and is told once; the stream has one logout
    assert [state(world, "C", at)["code"] for at in world.pairs] == [22, 22, 22]
    assert [len(told(client, "EventAgentConnectionClosed")) for client in desks.values()] == [0, 0, 1]
    assert of_stream(world, "C") == ["EventAgentLogin", "EventAgentLogout"]
    assert desks["A"].ask("RequestDoNotDisturbOn")["message"] == "EventAck"
    # and its seat is free again at the others, but the lowest count is the cluster's
    reply = world.client("AgentApplication", "p1", "late").ask("RequestAgentLogin", tenant_id=101, agent_id="D")
    assert reply["code"] == 30
    world.run(1)
    assert [len(pair.core.memory.agents) for pair in world.pairs.values() if pair.core] == [2, 2, 2]


# -- capacity


def test_capacity_holds_over_the_nodes() -> None:
    # given an agent that handles its one e-mail at one node
    world = cluster(one_email)
    vicky, engine = desk(world, "VICKY"), world.client("RoutingEngine", "p2")
    first, second, third = submitted(world)
    assert route(world, engine, first) == 0
    assert accept(vicky, first) == 0
    # when others are routed to it from other nodes, before and after it is done
    before = route(world, engine, second)
    vicky.ask("RequestStopProcessing", interaction_id=first)
    after = route(world, engine, third)
    # then it gets one only after
    assert (before, after) == (52, 0)


def test_a_pull_over_several_nodes_takes_what_there_is_room_for() -> None:
    # given an agent that may have three, and more at every node
    world = cluster(one_email)
    anat = desk(world, "ANAT")
    for _ in range(3):
        submitted(world)
    # when it pulls more than that
    got = anat.ask("RequestPull", tenant_id=101, view_id="Inbound/all", count=9)
    again = anat.ask("RequestPull", tenant_id=101, view_id="Inbound/all", count=9)
    # then it has three
    assert len(got["interactions"]) == 3
    assert again["code"] == 52
    assert state(world, "ANAT")["handled"] == {"email": 3}


@pytest.mark.parametrize("how", ["pulls", "ids", "submits", "accepts"])
def test_an_agent_that_asks_for_more_at_once_never_gets_too_much(how: str) -> None:
    # given an agent that may have three
    world = cluster(one_email)
    anat, engine = desk(world, "ANAT"), world.client("RoutingEngine")
    idents = [ident for _ in range(3) for ident in submitted(world)]
    if how == "accepts":
        invite_at_once(world, engine, idents, "ANAT")
    # when it asks for nine, all at the same moment
    for ident in idents:
        if how == "pulls":
            anat.send("RequestPull", tenant_id=101, view_id="Inbound/all", count=2)
        elif how == "ids":
            anat.send("RequestPull", tenant_id=101, view_id="_system_", pull_parameters={"interaction_ids": [ident]})
        elif how == "submits":
            anat.send("RequestSubmit", tenant_id=101, media_type="email", queue="Inbound")
    if how == "accepts":
        for note in told(anat, "EventInvite"):
            ident = note["interaction"]["interaction_id"]
            anat.send("RequestAccept", interaction_id=ident, ticket_id=note["ticket_id"])
    world.run(0.5)
    # then it has three
    assert state(world, "ANAT")["handled"] == {"email": 3}
    assert all(len(answers) == 1 for answers in anat.answers.values())


def test_whatever_is_asked_at_once_nobody_handles_more_than_he_may() -> None:
    # given an agent that may have three, and interactions at all nodes
    world, chance = cluster(one_email), Random(11)
    anat, engine = desk(world, "ANAT"), world.client("RoutingEngine", "p2")
    idents = [ident for _ in range(4) for ident in submitted(world)]
    most = 0
    for _ in range(250):
        # when it and an engine ask for several things at the same moment
        for _ in range(chance.choice([1, 2, 5])):
            ask_for_something(anat, engine, chance, idents)
        world.settle()
        world.run(0.04)
        # then what it handles at all nodes is within its limit
        cores = [pair.core for pair in world.pairs.values() if pair.core is not None]
        handled = sum(len(core.memory.holdings.keys("holder", "101/ANAT@")) for core in cores)
        assert handled <= 3
        most = max(most, handled)
    assert most == 3


def ask_for_something(anat: Client, engine: Client, chance: Random, idents: list[str]) -> None:
    """One request, whose answer is not waited for."""
    ident = chance.choice(idents)
    by_id = {"tenant_id": 101, "view_id": "_system_", "pull_parameters": {"interaction_ids": [ident]}}
    match chance.choice(["take", "view", "deliver", "deliver", "accept", "accept", "give"]):
        case "take":
            anat.send("RequestPull", **by_id)
        case "view":
            anat.send("RequestPull", tenant_id=101, view_id="Inbound/all", count=chance.choice([1, 4]))
        case "deliver":
            engine.send("RequestPull", **by_id)
            engine.send("RequestDeliver", interaction_id=ident, agent_id="ANAT", timeout=1)
        case "accept":
            for note in told(anat, "EventInvite"):
                offered = note["interaction"]["interaction_id"]
                anat.send("RequestAccept", interaction_id=offered, ticket_id=note["ticket_id"])
            anat.notes.clear()
        case "give":
            anat.send("RequestPlaceInQueue", interaction_id=ident, queue="Inbound")


def invite_at_once(world: World, engine: Client, idents: list[str], agent: str) -> None:
    """The engine has taken all, and delivers all at the same moment: the nodes have not heard of each other's."""
    for ident in idents:
        wanted = {"interaction_ids": [ident]}
        engine.ask("RequestPull", tenant_id=101, view_id="_system_", pull_parameters=wanted)
    for ident in idents:
        engine.send("RequestDeliver", interaction_id=ident, agent_id=agent)
    world.run(0.1)


def test_a_node_that_fails_over_still_knows_what_the_agent_has_elsewhere() -> None:
    # given an agent that handles its one e-mail at one node
    world = cluster(one_email)
    vicky, engine = desk(world, "VICKY"), world.client("RoutingEngine", "p2")
    idents = submitted(world)
    route(world, engine, idents[0])
    accept(vicky, idents[0])
    holder = next(name for name, pair in world.pairs.items() if pair.core and pair.core.memory.holdings.rows)
    # when all nodes fail over, the one that has it too
    for name in world.pairs:
        world.lose(name)
        world.run(1.5)
        world.take_over(name)
        world.run(2)
    # then it is full at all of them; and free when it is done
    assert [route(world, engine, ident) for ident in idents[1:]] == [52, 52]
    vicky.ask("RequestStopProcessing", interaction_id=idents[0])
    assert route(world, engine, idents[1]) == 0
    assert holder in world.pairs


def test_capacity_is_known_to_a_proxy_that_the_agent_moves_to() -> None:
    # given a limited agent with an interaction, and a second connection at another proxy
    world = cluster(one_email)
    first, engine = desk(world, "VICKY"), world.client("RoutingEngine")
    idents = submitted(world)
    route(world, engine, idents[0])
    accept(first, idents[0])
    desk(world, "VICKY", "p2")
    # when a node fails over, and only the second proxy can tell it
    world.proxies["p1"].capacity._parts.clear()
    world.lose("n2")
    world.run(1.5)
    world.take_over("n2")
    world.run(2)
    # then it is full there as well
    assert [route(world, engine, ident) for ident in idents[1:]] == [52, 52]


# -- reservations


def test_of_two_engines_at_two_proxies_one_delivers_from_any_node() -> None:
    # given engines at two proxies that want one agent at the same moment
    world = cluster()
    desk(world, "VICKY")
    engines = {at: world.client("RoutingEngine", at) for at in world.proxies}
    numbers = {
        at: engine.send("RequestReserveAgent", tenant_id=101, agent_id="VICKY", priority=priority)
        for (at, engine), priority in zip(engines.items(), (1, 2), strict=True)
    }
    world.run(0.3)
    # when both deliver, from several nodes, the winner twice
    answers = {at: engine.answer(numbers[at])["message"] for at, engine in engines.items()}
    idents = submitted(world)
    codes = [route(world, engines[at], ident) for at, ident in zip(("p1", "p2", "p1"), idents, strict=True)]
    # then the one with the higher priority delivers, and after that the agent is free at all nodes
    assert answers == {"p1": "EventError", "p2": "EventAgentReserved"}
    assert codes == [53, 0, 0]


def test_a_reservation_counts_at_a_node_that_did_not_decide_after_its_failover() -> None:
    # given a reserved agent
    world = cluster()
    desk(world, "VICKY")
    mine, other = world.client("RoutingEngine"), world.client("RoutingEngine", "p2")
    mine.send("RequestReserveAgent", tenant_id=101, agent_id="VICKY")
    world.run(0.3)
    # when every node fails over
    for name in world.pairs:
        world.lose(name)
        world.run(1.2)
        world.take_over(name)
        world.run(0.5)
    # then another engine is still kept out, until it is over
    idents = submitted(world)
    assert [route(world, other, ident) for ident in idents] == [53, 53, 53]
    world.run(10)
    assert route(world, other, idents[0]) == 0


# -- disabled media types


def test_a_disabled_media_type_is_taken_by_a_node_from_media_servers_and_refused_by_a_proxy() -> None:
    # given a disabled media type
    def disable(configuration: Any) -> None:
        configuration.tenants[101].media_types["email"].enabled = False

    world = cluster(disable)
    agent = world.client("AgentApplication", "n1")
    agent.ask("RequestAgentLogin", tenant_id=101, agent_id="VICKY", media_list={"email": 1})
    fields = {"tenant_id": 101, "media_type": "email", "queue": "Inbound"}
    # when it is submitted to a node and to a proxy by a media server, and to a node by an agent
    codes = [world.client("MediaServer", at).ask("RequestSubmit", **fields).get("code", 0) for at in ("n1", "p1")]
    codes.append(agent.ask("RequestSubmit", **fields).get("code", 0))
    # then only the node takes it from the media server
    assert codes == [0, 15, 15]


# -- places


def test_a_place_that_is_being_left_is_told_apart_from_one_that_is_occupied() -> None:
    # given an agent at a place, and nodes that are slow to answer
    world = cluster()
    vicky = desk(world, "VICKY", place_id="P7")
    anat = world.client("AgentApplication")
    login = {"tenant_id": 101, "agent_id": "ANAT", "place_id": "P7"}
    occupied = anat.ask("RequestAgentLogin", **login)
    # when another one logs in while the first one is being logged out, and again after that
    out, meanwhile = vicky.send("RequestAgentLogout"), anat.send("RequestAgentLogin", **login)
    world.run(0.2)
    # then it is told to ask again, and is let in
    assert (occupied["code"], anat.answer(meanwhile)["code"]) == (20, 26)
    assert vicky.answer(out)["message"] == "EventAck"
    assert anat.ask("RequestAgentLogin", **login)["message"] == "EventAck"


def test_ignored_places_work_through_a_proxy() -> None:
    # given nodes that put the agent's id for its place
    world = cluster(agent_login_control="ignore")
    # when agents log in at one place, change and log out, naming the place
    first, second = desk(world, "VICKY", place_id="P7"), desk(world, "ANAT", place_id="P7")
    replies = [
        client.ask(message, agent_id=agent, place_id="P7")["message"]
        for client, agent in ((first, "VICKY"), (second, "ANAT"))
        for message in ("RequestDoNotDisturbOn", "RequestAgentLogout")
    ]
    # then all is done, and each was told of each change
    assert replies == ["EventAck"] * 4
    assert [len(told(client, "EventCurrentAgentStatus")) for client in (first, second)] == [2, 2]
