"""Nodes that come and go at one proxy: what each of them is told, and what becomes of what is under way."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from broker.config.objects import Addresses, Agent, Configuration, Tenant
from broker.ids import make_id, node_code, rendezvous
from broker.ledger import Ledger
from broker.wire import ECHO
from proxy.introductions import Introductions
from proxy.link import Link, Numbers

LOGIN: dict[str, Any] = {"tenant_id": 101, "agent_id": "VICKY", "media_list": {"email": 1}}
PULL: dict[str, Any] = {"tenant_id": 101, "view_id": "Inbound/all", "extension": {"pull-for-strategy": 1}}
FOUND = {"message": "EventInteractionsFound", "interactions": []}
GONE_S = 3.2
"""After this long a node that is idle has been left."""


def reload(world: Any, *names: str) -> None:
    """The proxy works with these nodes from now on."""
    world.file = copy.deepcopy(world.configuration)
    world.file.nodes = {name: world.configuration.nodes[name] for name in names}
    world.file.proxies["p1"].connections = list(names)
    if b"top" not in world.core.sessions.by_source:
        world.client(b"top", "Monitor")
    assert "kept" not in world.ask(b"top", "RequestReconfigure")


def said(node: Any, message: str) -> list[tuple[int, int]]:
    """Whose requests of a name a node has had, and with which flags."""
    entries = sorted([*node.log, *node.seen], key=lambda one: one[0].number)
    return [(entry.client, entry.flags) for entry, request in entries if request["message"] == message]


def speaking(world: Any) -> str:
    """The node whose word about the one agent there is goes to its client."""
    (agent,) = world.core.agents._roster
    return str(agent.speaking)


class TestGone:
    def test_it_is_told_that_every_client_goes_and_the_proxy_last(self, world: Any) -> None:
        # given three clients that a node knows, one of which has ended while it was away
        clients = [world.client(name) for name in (b"anat", b"vicky", b"zohar")]
        for client in clients:
            world.ask(client, "RequestFindInteractions", tenant_id=101, condition="")
        numbers = [world.number_of(client) for client in clients]
        # when it goes
        reload(world, "n1", "n2")
        world.run(2.0)
        assert not said(world["n3"], "RequestUnregisterClient")
        world.run(GONE_S)
        # then it has heard of all of them, and is not spoken to any more
        assert [client for client, _ in said(world["n3"], "RequestUnregisterClient")] == [*numbers, 0]
        before = len(world["n3"].log) + len(world["n3"].seen)
        world.run(3.0)
        assert len(world["n3"].log) + len(world["n3"].seen) == before

    def test_what_is_open_is_waited_for_and_then_given_up(self, make_world: Any) -> None:
        # given a node that does not answer a search
        world = make_world(request_timeout=5.0)
        client = world.client(b"anat")
        for name in ("n1", "n2"):
            world[name].script["RequestFindInteractions"] = FOUND
        world["n3"].script["RequestFindInteractions"] = None
        # when it is removed while the search is under way
        first = world.send(client, "RequestFindInteractions", tenant_id=101, condition="")
        world.run(1.0)
        reload(world, "n1", "n2")
        world.run(3.5)
        assert not world.is_answered(client, first) and not said(world["n3"], "RequestUnregisterClient")
        world.run(2.0)
        # then it is left when the time of the requests is over, and the answer says who is missing
        assert world.reply(client, first)["missing"] == ["n3"]
        assert said(world["n3"], "RequestUnregisterClient")
        assert len(world.core.gather) == 0

    def test_a_login_that_it_has_just_acknowledged_as_the_speaking_node_is_handed_over(self, world: Any) -> None:
        # given a login that the speaking node has acknowledged and another one has not yet
        client = world.client(b"vicky")
        world.ask(client, "RequestAgentLogin", **LOGIN)
        gone = speaking(world)
        world.ask(client, "RequestAgentLogout", agent_id="VICKY")
        slow, *others = [name for name in ("n1", "n2", "n3") if name != gone]
        world[slow].script["RequestAgentLogin"] = None
        ref = world.send(client, "RequestAgentLogin", **LOGIN)
        world.flow()
        (login,) = [entry for entry, request in world[slow].log if request["message"] == "RequestAgentLogin"][-1:]
        # when the speaking node is removed before that
        reload(world, *sorted([slow, *others]))
        world[slow].reply(login, {"message": "EventAck"})
        world.flow()
        assert world.reply(client, ref)["message"] == "EventAck"
        # then another one is told that it speaks, and the one that goes that it does no more
        heir = speaking(world)
        assert heir != gone
        number = world.number_of(client)
        assert said(world[heir], "RequestAlignAgent") == [(number, 0)]
        assert said(world[gone], "RequestAlignAgent") == [(number, ECHO)]

    def test_an_agent_without_any_other_node_is_told_that_it_is_out(self, make_world: Any) -> None:
        # given an agent of a tenant that one node serves alone
        world = make_world(change=lambda it: setattr(it.nodes["n3"].cluster_settings, "tenants", [102]))
        world.configuration.nodes["n1"].cluster_settings.tenants = [101]
        world.configuration.nodes["n2"].cluster_settings.tenants = [101]
        reload(world, "n1", "n2", "n3")
        client = world.client(b"vicky")
        world.ask(client, "RequestAgentLogin", **{**LOGIN, "tenant_id": 102})
        # when that node goes
        reload(world, "n1", "n2")
        # then its client is told, and what it asks is refused
        (note,) = [one for one in world.notes[client] if one["message"] == "EventAgentConnectionClosed"]
        assert note["reason"] == "no node serves tenant 102 any more"
        assert world.ask(client, "RequestAgentLogin", **{**LOGIN, "tenant_id": 102})["code"] == 2001
        world.run(GONE_S)

    def test_pulls_that_wait_go_on_at_the_others_and_end_with_the_last(self, world: Any) -> None:
        # given a pull that waits at three nodes
        router = world.client(b"urs", "RoutingEngine")
        ref = world.send(router, "RequestPull", **PULL)
        world.flow()
        # when one of them goes, and another gets something
        reload(world, "n1", "n2")
        world.run(GONE_S)
        given = {"message": "EventPulledInteractions", "interactions": [{"interaction_id": "A"}]}
        world["n2"].script["RequestPull"] = given
        world["n2"].push("Inbound/all", [0, 1.0, "A"])
        world.flow()
        # then the pull has it
        assert [one["interaction_id"] for one in world.reply(router, ref)["interactions"]] == ["A"]
        # when no node is left for the view's tenant, then who waits is told so
        world["n2"].push("Inbound/all", None)
        ref = world.send(router, "RequestPull", **PULL)
        world.flow()
        for name in ("n1", "n2"):
            world.configuration = copy.deepcopy(world.configuration)
            world.configuration.nodes[name].cluster_settings.tenants = [102]
        reload(world, "n1", "n2")
        assert world.reply(router, ref)["code"] == 2001

    def test_what_its_agents_had_there_counts_no_more(self, make_world: Any) -> None:
        # given an agent with a limit, who handles something at the node that goes
        world = make_world(change=lambda it: it.agents.update(VICKY=Agent(capacity={"email": 2})))
        client = world.client(b"vicky")
        world.ask(client, "RequestAgentLogin", **LOGIN)
        load = {"message": "EventAgentLoad", "tenant_id": 101, "agent_id": "VICKY", "load": {"email": [1, 0]}}
        world["n3"].notify(0, **load)
        world.flow()
        told = [request["elsewhere"] for _, request in world["n1"].log + world["n1"].seen if "elsewhere" in request]
        assert told == [{"email": [1, 0]}]
        # when it has gone, then the others are told that there is nothing elsewhere
        reload(world, "n1", "n2")
        world.run(GONE_S)
        told = [
            request.get("elsewhere") for entry, request in world["n1"].seen if request["message"] == "RequestAgentLoad"
        ]
        assert told[-1] in ({}, None)

    def test_a_request_with_more_time_than_it_has_is_given_up(self, make_world: Any) -> None:
        # given a transfer that the node has not answered, and that may take half a minute
        world = make_world(request_timeout=4.0)
        client = world.client(b"vicky")
        world.ask(client, "RequestAgentLogin", **LOGIN)
        world["n3"].script["RequestTransfer"] = None
        transfer = {"interaction_id": make_id(node_code("n3"), 1), "agent_id": "ANAT"}
        ref = world.send(client, "RequestTransfer", **transfer)
        world.flow()
        # when the node goes; then the answer comes when it is left
        reload(world, "n1", "n2")
        world.run(3.9)
        assert not world.is_answered(client, ref)
        world.run(0.5)
        assert (world.reply(client, ref)["code"], world.reply(client, ref)["missing"]) == (2003, ["n3"])

    def test_an_agent_that_it_does_not_have_is_not_brought_to_it_by_the_farewell(self, world: Any) -> None:
        # given an agent for whom a node spoke that has forgotten him
        client = world.client(b"vicky")
        world.ask(client, "RequestAgentLogin", **LOGIN)
        gone = speaking(world)
        (agent,) = world.core.agents._roster
        agent.doubt([gone])
        # when it goes, then it is told nothing of him
        reload(world, *sorted({"n1", "n2", "n3"} - {gone}))
        assert not said(world[gone], "RequestAlignAgent")

    def test_a_strategy_that_it_was_still_to_unload_is_forgotten(self, world: Any) -> None:
        # given a strategy that was unloaded while a node was away
        engine = world.client(b"urs", "RoutingEngine")
        load = {"tenant_id": 101, "strategy_id": "Greeting"}
        world.ask(engine, "RequestLoadStrategy", **load, view_ids=["Inbound/all"])
        world.kill("n3")
        world.run(1.5)
        world.ask(engine, "RequestUnloadStrategy", **load)
        assert list(world.core.strategies)
        # when that node goes, then nothing is left to be said
        reload(world, "n1", "n2")
        world.run(GONE_S)
        assert not list(world.core.strategies)

    def test_the_codes_of_its_ids(self, world: Any) -> None:
        # given an id of a client's own that was found at the node that goes
        client = world.client(b"anat")
        unknown = {"message": "EventError", "code": 43, "text": "Unknown interaction identifier"}
        for name in ("n1", "n2"):
            world[name].script["RequestGetInteractionProperties"] = unknown
        assert world.ask(client, "RequestGetInteractionProperties", interaction_id="own")["message"] != "EventError"
        # when that has gone, then the others are asked, and nobody knows it
        reload(world, "n1", "n2")
        assert world.ask(client, "RequestGetInteractionProperties", interaction_id="own")["code"] == 43
        assert len(world["n1"].asked("RequestGetInteractionProperties")) == 2


class TestBack:
    def test_before_it_was_left_nothing_has_happened_to_it(self, world: Any) -> None:
        # given a node that is to go, and an agent who comes then
        reload(world, "n1", "n2")
        client = world.client(b"vicky")
        world.ask(client, "RequestAgentLogin", **LOGIN)
        assert not said(world["n3"], "RequestAgentLogin")
        # when it stays after all
        reload(world, "n1", "n2", "n3")
        world.run(2 * GONE_S)
        # then it has the agent, and was told nothing else
        assert said(world["n3"], "RequestAlignAgent") == [(world.number_of(client), ECHO)]
        assert not said(world["n3"], "RequestUnregisterClient")

    def test_after_it_was_left_it_is_like_a_new_one(self, world: Any) -> None:
        # given a node that was left, with an agent
        client = world.client(b"vicky")
        world.ask(client, "RequestAgentLogin", **LOGIN)
        reload(world, "n1", "n2")
        world.run(GONE_S)
        world["n3"].log.clear(), world["n3"].seen.clear()
        (agent,) = world.core.agents._roster
        assert "n3" not in agent.said
        # when it is ours again
        reload(world, "n1", "n2", "n3")
        world.run(0.1)
        # then the proxy and the client are introduced, the agent is brought, and others speak for him
        number = world.number_of(client)
        assert [client for client, _ in said(world["n3"], "RequestRegisterClient")][:1] == [0]
        assert number in [client for client, _ in said(world["n3"], "RequestRegisterClient")]
        assert said(world["n3"], "RequestAlignAgent") == [(number, ECHO)]
        # and it takes new interactions again after a while
        media = world.client(b"gateway", "MediaServer")
        submit = {"tenant_id": 101, "media_type": "email", "queue": "Inbound"}
        for waited, takes in ((0.0, False), (GONE_S, True)):
            world.run(waited)
            for _ in range(6):
                world.ask(media, "RequestSubmit", **submit)
            assert bool(world["n3"].asked("RequestSubmit")) is takes

    def test_with_an_older_database_it_is_listened_to_again(self, world: Any) -> None:
        # given a node in its fifth epoch that is lost, and taken out
        client = world.client(b"anat")
        for node in world.nodes.values():
            node.script["RequestFindInteractions"] = FOUND
        world["n3"].epoch = 5
        world.run(0.1)
        world.kill("n3")
        reload(world, "n1", "n2")
        world.run(GONE_S)
        # when it comes back with a copy of its database, in an earlier epoch
        world["n3"].active, world["n3"].epoch = "primary", 2
        world["n3"].known.clear()
        reload(world, "n1", "n2", "n3")
        world.run(0.1)
        # then it is asked again
        assert world.ask(client, "RequestFindInteractions", tenant_id=101, condition="")["complete"]


class TestYoung:
    """For some seconds a node that has come begins nothing."""

    @pytest.fixture
    def world(self, make_world: Any) -> Any:
        """Two nodes, and a third one that has just come."""
        world = make_world()
        reload(world, "n1", "n2")
        world.run(GONE_S)
        reload(world, "n1", "n2", "n3")
        world.run(0.1)
        world["n3"].log.clear()
        return world

    def test_it_is_waited_for_a_moment(self, make_world: Any) -> None:
        # given a node that was put in, and is not heard yet
        world = make_world()
        client = world.client(b"anat")
        for node in world.nodes.values():
            node.script["RequestFindInteractions"] = FOUND
        reload(world, "n1", "n2")
        world.run(GONE_S)
        world.kill("n3")
        reload(world, "n1", "n2", "n3")
        # when something is asked of all nodes, then the answer is for when it is there
        ref = world.send(client, "RequestFindInteractions", tenant_id=101, condition="")
        world.run(0.5)
        assert not world.is_answered(client, ref)
        world["n3"].active = "primary"
        world.run(0.1)
        assert world.reply(client, ref)["complete"]

    def test_it_speaks_for_nobody(self, world: Any) -> None:
        # given many agents; when they log in, now and later
        spoken = []
        for part in range(2):
            for number in range(part * 20, part * 20 + 20):
                client = world.client(f"desk{number}".encode())
                world.ask(client, "RequestAgentLogin", **{**LOGIN, "agent_id": f"agent{number}"})
            spoken.append({agent.speaking for agent in world.core.agents._roster})
            world.run(GONE_S)
        # then it has all of them, and speaks only for some who came later
        assert spoken == [{"n1", "n2"}, {"n1", "n2", "n3"}]
        assert set(world["n3"].flags("RequestAgentLogin")[:20]) == {ECHO}

    def test_it_decides_nothing_and_serves_nobody_in_turn(self, world: Any) -> None:
        # given a media server, and an engine that reserves agents
        media, engine = world.client(b"gateway", "MediaServer"), world.client(b"urs", "RoutingEngine")

        def work(first: int) -> None:
            for number in range(first, first + 20):
                world.ask(engine, "RequestReserveAgent", tenant_id=101, agent_id=f"agent{number}", media_type="voice")
                world.ask(media, "Request3rdServer", tenant_id=101, request={"Service": "Classify"})

        # when they work, now and later
        work(0)
        # then it takes reservations down, and no more
        assert set(world["n3"].flags("RequestReserveAgent")) == {ECHO} and not world["n3"].asked("Request3rdServer")
        world.run(GONE_S)
        work(20)
        assert set(world["n3"].flags("RequestReserveAgent")) == {ECHO, 0} and world["n3"].asked("Request3rdServer")


class TestEarlierHomes:
    """Submits with a dedup_id whose home is the node that has come."""

    @pytest.fixture
    def world(self, make_world: Any) -> Any:
        """Two nodes, and a third one that has come a while ago."""
        world = make_world()
        reload(world, "n1", "n2")
        world.run(GONE_S)
        reload(world, "n1", "n2", "n3")
        world.run(GONE_S)
        return world

    @pytest.mark.parametrize(
        ("recalled", "code"),
        [
            ({"message": "EventRecalled", "expired": True}, 5),
            ({"message": "EventRecalled", "answers": 7}, 2002),
            (b"{", 2002),
            ({"message": "EventError", "code": 60, "text": "Database failure"}, 2002),
            ({"message": "EventRecalled"}, None),
        ],
    )
    def test_what_an_earlier_home_says(self, world: Any, recalled: Any, code: int | None) -> None:
        # given what the other two nodes say of what they have done
        for name in ("n1", "n2"):
            world[name].script["RequestRecall"] = recalled
        media = world.client(b"bank", "MediaServer")
        ident = next(it for it in map(str, range(99)) if rendezvous(f"bank\0{it}", ["n1", "n2", "n3"])[0] == "n3")
        # when it is asked, then it is done only if they have not done it
        submit = {"tenant_id": 101, "media_type": "email", "queue": "Inbound", "dedup_id": ident}
        assert world.ask(media, "RequestSubmit", **submit).get("code") == code
        assert bool(world["n3"].asked("RequestSubmit")) is (code is None)


def test_who_was_not_introduced_yet_is_so_before_it_is_said_that_he_goes() -> None:
    # given a link whose node knows one client, whom its new active member has not been told of
    numbers = Numbers()
    introductions = Introductions(numbers, lambda client: b"who %d is" % client, Ledger(lambda: 0.0))
    link = Link("n1", 10.0)
    link.known, link.introduced = {5: 1, 7: 2}, {0, 7}
    # when the node is left, then all is said that it needs to know, in this order
    assert [(entry.client, entry.payload[:3]) for entry in introductions.farewells(link)] == [
        *((5, b"who"), (5, b'{"m'), (7, b'{"m'), (0, b'{"m')),
    ]


def test_a_proxy_behind_a_proxy_follows_that_ones_connections(make_world: Any) -> None:
    # given a proxy that works with the nodes of another one
    def behind(configuration: Configuration) -> None:
        proxies = configuration.proxies
        proxies["p2"] = copy.deepcopy(proxies["p1"])
        proxies["p2"].connections, proxies["p1"].connections = ["n1", "n2"], ["p2"]

    world = make_world(change=behind)
    world.client(b"top", "Monitor")
    seen = []
    # when a node is added to the other one, and taken out again
    for connections in (["n1", "n2", "n3"], ["n2", "n3"]):
        world.file = copy.deepcopy(world.file)
        world.file.proxies["p2"].connections = connections
        assert "kept" not in world.ask(b"top", "RequestReconfigure")
        world.run(GONE_S)
        seen.append(sorted(world.ask(b"top", "RequestGetStatus")["nodes"]))
    # then it has come and gone here, too
    assert seen == [["n1", "n2", "n3"], ["n2", "n3"]]
    assert said(world["n1"], "RequestUnregisterClient")[-1] == (0, 0)


def test_a_new_tenants_only_node_begins_at_once(make_world: Any) -> None:
    # given a tenant that comes with a node of its own
    world = make_world(("n1", "n2", "n3"))
    reload(world, "n1", "n2")
    world.run(GONE_S)
    third = Tenant(media_types=dict(world.configuration.tenants[101].media_types))
    world.configuration = copy.deepcopy(world.configuration)
    world.configuration.tenants[103] = third
    for name, tenants in (("n1", [101]), ("n2", [101]), ("n3", [103])):
        world.configuration.nodes[name].cluster_settings.tenants = tenants
    reload(world, "n1", "n2", "n3")
    world.run(0.1)
    # when something is submitted for it; then it is not made to wait for the other proxies
    media = world.client(b"gateway", "MediaServer")
    reply = world.ask(media, "RequestSubmit", tenant_id=103, media_type="email", queue="Third")
    assert reply["message"] == "EventAck" and world["n3"].asked("RequestSubmit")


@pytest.mark.parametrize("member", ["primary", "backup"])
def test_a_member_that_moves_is_away_until_it_is_heard_there(world: Any, member: str) -> None:
    # given a node whose primary member serves
    client = world.client(b"anat")
    world.configuration = copy.deepcopy(world.configuration)
    setattr(world.configuration.nodes["n1"], member, Addresses(requests="ipc://elsewhere", events="ipc://there"))
    for node in world.nodes.values():
        node.script["RequestFindInteractions"] = FOUND
    # when a member moves, and something is asked at once
    reload(world, "n1", "n2", "n3")
    ref = world.send(client, "RequestFindInteractions", tenant_id=101, condition="")
    world.flow()
    # then only of the one that serves it has to be heard first where it is now
    assert world.is_answered(client, ref) is (member == "backup")
    world.run(0.1)
    assert world.reply(client, ref)["complete"]
    assert json.dumps(world.reply(client, ref)).count("missing") == 0
