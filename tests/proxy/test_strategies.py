"""Strategies through a proxy: loaded on every node, now or when it is back; what becomes of them when engines or nodes
go."""

from __future__ import annotations

import pytest

from broker.config.objects import NodeClusterSettings
from broker.messages.kinds import ClientType
from tests.world import World as Cluster
from tests.world import make_configuration

GREETING = {"tenant_id": 101, "strategy_id": "Greeting"}
LOAD = {**GREETING, "view_ids": ["Inbound/all"]}
UNKNOWN = {"message": "EventError", "code": 18, "text": "Unknown strategy"}
REFUSED = {"message": "EventError", "code": 14, "text": "Unknown view"}


@pytest.fixture
def engine(world):
    return world.client(b"urs", "RoutingEngine")


def told(node):
    """What a node was told of strategies since the last call."""
    asked = [request for request in node.asked() if "Strategy" in request["message"]]
    node.log.clear()
    return [request["message"] for request in asked]


class TestLoading:
    def test_every_node_is_told_and_the_ack_comes_when_all_have_acked(self, world, engine):
        ref = world.send(engine, "RequestLoadStrategy", **LOAD)
        world.flow()
        assert world.reply(engine, ref)["message"] == "EventAck"
        assert [told(world[name]) for name in ("n1", "n2", "n3")] == [["RequestLoadStrategy"]] * 3

    def test_a_foreign_tenant_is_2001(self, world, engine):
        world.client(b"shop", "RoutingEngine", tenants=[102])
        assert world.ask(b"shop", "RequestLoadStrategy", **LOAD)["code"] == 2001
        assert told(world["n1"]) == []

    @pytest.mark.parametrize("tenant", [None, "Bank", 0])
    def test_a_tenant_that_is_none_is_2001_as_well(self, world, engine, tenant):
        reply = world.ask(engine, "RequestLoadStrategy", **{**LOAD, "tenant_id": tenant})
        assert (reply["code"], reply["field"]) == (2001, "tenant_id")

    def test_only_nodes_of_the_tenant_are_told(self, make_world):
        world = make_world(cluster={"n2": NodeClusterSettings(tenants=[102])})
        engine = world.client(b"urs", "RoutingEngine")
        world.ask(engine, "RequestLoadStrategy", **LOAD)
        assert [told(world[name]) for name in ("n1", "n2")] == [["RequestLoadStrategy"], []]

    def test_a_refusal_is_the_answer_and_the_others_unload(self, world, engine):
        world["n2"].script["RequestLoadStrategy"] = REFUSED
        assert world.ask(engine, "RequestLoadStrategy", **LOAD)["code"] == 14
        assert [told(world[name]) for name in ("n1", "n2", "n3")] == [
            ["RequestLoadStrategy", "RequestUnloadStrategy"]
        ] * 3

    def test_after_a_refused_change_the_others_go_back_to_what_was(self, world, engine):
        world.ask(engine, "RequestLoadStrategy", **LOAD, max_submitted=5)
        world["n2"].script["RequestLoadStrategy"] = lambda request: (
            REFUSED if request["max_submitted"] == 7 else {"message": "EventAck"}
        )
        assert world.ask(engine, "RequestLoadStrategy", **LOAD, max_submitted=7)["code"] == 14
        for name in ("n1", "n2", "n3"):
            assert world[name].asked("RequestLoadStrategy")[-1]["max_submitted"] == 5

    def test_a_second_change_meanwhile_is_2004(self, world, engine):
        world["n1"].script["RequestLoadStrategy"] = None
        world.send(engine, "RequestLoadStrategy", **LOAD)
        world.flow()
        assert world.ask(engine, "RequestUnloadStrategy", **GREETING)["code"] == 2004
        other = world.ask(engine, "RequestUnloadStrategy", tenant_id=101, strategy_id="Other")
        assert other["message"] == "EventAck"

    def test_a_node_that_does_not_answer_is_told_again(self, world, engine):
        world["n1"].script["RequestLoadStrategy"] = None
        ref = world.send(engine, "RequestLoadStrategy", **LOAD)
        world.run(11)
        assert world.reply(engine, ref)["message"] == "EventAck"
        del world["n1"].script["RequestLoadStrategy"]
        told(world["n1"])
        world.run(12)
        assert told(world["n1"])[-1:] == ["RequestLoadStrategy"]
        world.run(5)
        assert told(world["n1"]) == []

    def test_a_node_that_is_busy_is_told_again(self, world, engine):
        busy = {"message": "EventError", "code": 91, "text": "Server is busy, try again"}
        world["n1"].script["RequestLoadStrategy"] = busy
        assert world.ask(engine, "RequestLoadStrategy", **LOAD)["message"] == "EventAck"
        del world["n1"].script["RequestLoadStrategy"]
        told(world["n1"])
        world.run(1.5)
        assert told(world["n1"]) == ["RequestLoadStrategy"]

    def test_what_a_node_is_just_told_is_void_when_the_engine_changes_its_mind(self, world, engine):
        world["n1"].script["RequestLoadStrategy"] = None
        world.send(engine, "RequestLoadStrategy", **LOAD)
        world.run(11)
        assert world.ask(engine, "RequestUnloadStrategy", **GREETING)["message"] == "EventAck"
        del world["n1"].script["RequestLoadStrategy"]
        world.run(5)
        assert told(world["n1"])[-1] == "RequestUnloadStrategy"
        assert not world.core.strategies._of

    def test_nobody_there_is_2002(self, world, engine):
        for name in ("n1", "n2", "n3"):
            world.kill(name)
        ref = world.send(engine, "RequestLoadStrategy", **LOAD)
        world.run(13)
        reply = world.reply(engine, ref)
        assert (reply["code"], reply["missing"]) == (2002, ["n1", "n2", "n3"])

    def test_unloading_what_no_node_has_is_refused(self, world, engine):
        for name in ("n1", "n2", "n3"):
            world[name].script["RequestUnloadStrategy"] = UNKNOWN
        assert world.ask(engine, "RequestUnloadStrategy", **GREETING)["code"] == 18
        assert not world.core.strategies._of

    def test_unloading_where_one_node_had_not_loaded_it_is_acked(self, world, engine):
        world.ask(engine, "RequestLoadStrategy", **LOAD)
        world["n2"].script["RequestUnloadStrategy"] = UNKNOWN
        assert world.ask(engine, "RequestUnloadStrategy", **GREETING)["message"] == "EventAck"
        assert not world.core.strategies._of


class TestNodes:
    def test_a_node_that_was_away_is_told_when_it_is_back(self, world, engine):
        world.kill("n2")
        world.run(3)
        assert world.ask(engine, "RequestLoadStrategy", **LOAD)["message"] == "EventAck"
        assert told(world["n2"]) == []
        world["n2"].active = "backup"
        world["n2"].epoch = 2
        world.run(1)
        assert told(world["n2"]) == ["RequestLoadStrategy"]

    def test_one_that_has_taken_over_knows_the_engine_before_idle_clients_and_has_it_still(self, world):
        idle = world.client(b"another", "Monitor")
        world.ask(idle, "RequestFindInteractions")
        engine = world.client(b"urs", "RoutingEngine")
        world.ask(engine, "RequestLoadStrategy", **LOAD)
        told(world["n1"])
        world["n1"].fail_over()
        world["n1"].seen.clear()
        world.run(1)
        assert told(world["n1"]) == []
        known = [entry.client for entry, request in world["n1"].seen if request["message"] == "RequestRegisterClient"]
        assert known == [0, world.number_of(engine), world.number_of(idle)]

    def test_one_that_has_forgotten_is_told_again(self, world, engine):
        world.ask(engine, "RequestLoadStrategy", **LOAD)
        told(world["n1"])
        world["n1"].known.clear()
        world.ask(engine, "RequestFindInteractions")
        world.run(2)
        assert "RequestLoadStrategy" in told(world["n1"])

    def test_what_was_unloaded_while_a_node_was_away_it_unloads_when_it_is_back(self, world, engine):
        world.ask(engine, "RequestLoadStrategy", **LOAD)
        told(world["n3"])
        world.kill("n3")
        world.run(3)
        assert world.ask(engine, "RequestUnloadStrategy", **GREETING)["message"] == "EventAck"
        world["n3"].active = "backup"
        world["n3"].epoch = 2
        world.run(1)
        assert told(world["n3"]) == ["RequestUnloadStrategy"]
        assert not world.core.strategies._of


class TestEngines:
    def test_one_that_cannot_be_reached_has_nothing_loaded_until_it_is_back(self, world, engine):
        reply = world.ask(engine, "RequestRegisterClient", client_name="urs", client_type="RoutingEngine")
        world.ask(engine, "RequestLoadStrategy", **LOAD)
        told(world["n1"])
        world.core.lost(world.now, engine)
        world.flow()
        assert told(world["n1"]) == ["RequestUnloadStrategy"]
        again = {"client_name": "urs", "client_type": "RoutingEngine", "session_id": reply["session_id"]}
        world.ask(b"new", "RequestRegisterClient", **again)
        assert told(world["n1"]) == ["RequestLoadStrategy"]

    def test_one_that_moves_is_introduced_again_so_that_nodes_repeat_themselves(self, world, engine):
        reply = world.ask(engine, "RequestRegisterClient", client_name="urs", client_type="RoutingEngine")
        world.ask(engine, "RequestLoadStrategy", **LOAD)
        number = world.number_of(engine)
        for name in ("n1", "n2", "n3"):
            world[name].seen.clear()
        again = {"client_name": "urs", "client_type": "RoutingEngine", "session_id": reply["session_id"]}
        world.ask(b"new", "RequestRegisterClient", **again)
        for name in ("n1", "n2", "n3"):
            assert [entry.client for entry, request in world[name].seen] == [number]

    def test_one_that_gives_up_a_tenant_gives_up_its_strategies(self, world, engine):
        reply = world.ask(engine, "RequestRegisterClient", client_name="urs", client_type="RoutingEngine")
        world.ask(engine, "RequestLoadStrategy", **LOAD)
        again = {"client_name": "urs", "client_type": "RoutingEngine", "session_id": reply["session_id"]}
        world.ask(engine, "RequestRegisterClient", **again, tenants=[102])
        assert not world.core.strategies._of

    def test_one_that_ends_is_forgotten(self, world, engine):
        world.ask(engine, "RequestLoadStrategy", **LOAD)
        world.ask(engine, "RequestUnregisterClient")
        assert not world.core.strategies._of

    def test_where_a_sent_interaction_is_is_known(self, world, engine):
        world.ask(engine, "RequestLoadStrategy", **LOAD)
        world["n2"].notify(
            world.number_of(engine), message="EventRouteRequest", interaction={"interaction_id": "MY-OWN"}
        )
        world.flow()
        (note,) = world.notes[engine]
        assert note["message"] == "EventRouteRequest"
        world.ask(engine, "RequestDeliver", interaction_id="MY-OWN", agent_id="VICKY")
        assert [len(world[name].asked("RequestDeliver")) for name in ("n1", "n2", "n3")] == [0, 1, 0]


class TestCluster:
    """With real nodes behind the proxy."""

    @pytest.fixture
    def cluster(self):
        return Cluster(make_configuration(2, 2))

    def test_engines_at_two_proxies_are_sent_everything_once_and_route_it(self, cluster):
        """Given two engines at two proxies, when interactions come at all nodes, then each is sent to one engine, which
        delivers it to an agent of the cluster."""
        first, second = (cluster.client(ClientType.ROUTING, at) for at in ("p1", "p2"))
        desk, media = cluster.client(ClientType.AGENT, "p2"), cluster.client(ClientType.MEDIA, "p1")
        desk.ask("RequestAgentLogin", tenant_id=101, agent_id="VICKY", media_list={"voice": 1})
        for engine in (first, second):
            assert engine.ask("RequestLoadStrategy", **LOAD)["message"] == "EventAck"
        submit = {"tenant_id": 101, "media_type": "voice", "queue": "Inbound"}
        idents = [media.ask("RequestSubmit", **submit)["interaction_id"] for _ in range(8)]
        sent = [[note["interaction"]["interaction_id"] for note in engine.notes] for engine in (first, second)]
        assert sorted(sent[0] + sent[1]) == sorted(idents)
        assert [len(one) for one in sent] == [4, 4]
        for engine in (first, second):
            for note in engine.notes:
                deliver = {"interaction_id": note["interaction"]["interaction_id"], "token": note["token"]}
                assert engine.ask("RequestDeliver", **deliver, agent_id="VICKY")["message"] == "EventAck"
        invited = [note["interaction"]["interaction_id"] for note in desk.notes if note["message"] == "EventInvite"]
        assert sorted(invited) == sorted(idents)

    def test_after_a_take_over_the_engine_is_told_again_and_goes_on(self, cluster):
        engine, media = cluster.client(ClientType.ROUTING, "p1"), cluster.client(ClientType.MEDIA, "p1")
        engine.ask("RequestLoadStrategy", **LOAD, max_submitted=1)
        submit = {"tenant_id": 101, "media_type": "voice", "queue": "Inbound"}
        for _ in range(4):
            media.ask("RequestSubmit", **submit)
        before = {note["interaction"]["interaction_id"]: note["token"] for note in engine.notes}
        assert len(before) == 2
        engine.notes.clear()
        cluster.lose("n1")
        cluster.run(1.5)
        cluster.take_over("n1")
        cluster.run(1.0)
        again = {note["interaction"]["interaction_id"]: note["token"] for note in engine.notes}
        assert again.items() <= before.items() and len(again) == 1
        assert all(note["repeated"] for note in engine.notes)
        for _ in range(2):
            for ident in before:
                engine.ask("RequestStopProcessing", interaction_id=ident)
            before = [note["interaction"]["interaction_id"] for note in engine.notes if "repeated" not in note]
        assert not media.ask("RequestFindInteractions", tenant_id=101)["interactions"]

    def test_an_engine_that_is_lost_leaves_its_interactions_to_another(self, cluster):
        first, second = (cluster.client(ClientType.ROUTING, "p1") for _ in range(2))
        media = cluster.client(ClientType.MEDIA, "p1")
        for engine in (first, second):
            engine.ask("RequestLoadStrategy", **LOAD)
        submit = {"tenant_id": 101, "media_type": "voice", "queue": "Inbound"}
        idents = {media.ask("RequestSubmit", **submit)["interaction_id"] for _ in range(8)}
        cluster.proxies["p1"].lost(cluster.now, first.source)
        cluster.settle()
        assert {note["interaction"]["interaction_id"] for note in second.notes} == idents
        assert sum(note.get("resubmitted", False) for note in second.notes) == 4
