"""ESP through proxies: which node is asked, servers known at all nodes, what comes of a lost node or server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.world import World, make_configuration

CLASSIFY = {"Service": "Classify", "Method": "ByText"}


def ask(client: Any, **fields: Any) -> int:
    """Asks for a service without waiting for the reply."""
    number: int = client.send("Request3rdServer", **{"tenant_id": 101, "request": CLASSIFY, **fields})
    client.world.settle()
    return number


def works(server: Any) -> list[dict[str, Any]]:
    """What a server has been sent since the last call."""
    notes, server.notes = server.notes, []
    return [note for note in notes if note["message"] == "Request3rdServer"]


def respond(server: Any, note: dict[str, Any], **fields: Any) -> None:
    reply = server.ask("Request3rdServerResponse", esp_server_refid=note["esp_server_refid"], **fields)
    assert reply["message"] == "EventAck", reply


def homes(world: World) -> dict[str, int]:
    """How many requests wait at each node."""
    return {name: len(pair.core.memory.services) for name, pair in world.pairs.items() if pair.core}


@pytest.fixture
def cluster() -> World:
    return World(make_configuration(3, 2, request_timeout=2.0))


class TestServers:
    """Given an ESP server that registers at a proxy, then every node knows it, also one that was away."""

    def test_it_is_known_at_all_nodes_at_once(self, cluster):
        server, client = cluster.client("ESPServer", services=["Classify"]), cluster.client("MediaServer", "p2")
        cluster.settle()
        numbers = [ask(client) for _ in range(6)]

        assert homes(cluster) == {"n1": 2, "n2": 2, "n3": 2}
        for note in works(server):
            respond(server, note, response={"to": note["esp_server_refid"]})
        replies = [client.answer(number) for number in numbers]
        assert {reply["message"] for reply in replies} == {"Event3rdServerResponse"}
        assert len({reply["response"]["to"] for reply in replies}) == 6

    def test_a_node_that_comes_back_knows_it(self, cluster):
        cluster.lose("n1")
        cluster.run(1.5)
        server = cluster.client("ESPServer", services=["Classify"])
        cluster.take_over("n1")
        cluster.run(0.5)
        client = cluster.client("MediaServer", "n1")
        ask(client)

        assert len(works(server)) == 1

    def test_one_that_changes_what_it_serves(self, cluster):
        server, client = cluster.client("ESPServer", services=["Classify"]), cluster.client("MediaServer", "n2")
        fields = {"client_name": server.source.decode(), "client_type": "ESPServer", "services": ["Translate"]}
        server.ask("RequestRegisterClient", **fields)

        assert client.ask("Request3rdServer", tenant_id=101, request=CLASSIFY)["code"] == 80
        ask(client, request={"Service": "Translate"})
        assert len(works(server)) == 1

    def test_one_that_cannot_be_reached_any_more_is_gone(self, cluster):
        first = cluster.client("ESPServer", name="a", services=["Classify"])
        client = cluster.client("MediaServer", "n1")
        one, two = ask(client, repeatable=True), ask(client)
        second = cluster.client("ESPServer", name="b", services=["Classify"])
        cluster.settle()
        cluster.proxies["p1"].lost(cluster.now, first.source)
        cluster.settle()
        (note,) = works(second)
        respond(second, note, response={"x": 1})

        assert client.answer(one)["response"] == {"x": 1}
        assert client.answer(two)["code"] == 81

    def test_what_has_not_left_the_proxy_goes_to_another_server(self, cluster):
        first = cluster.client("ESPServer", name="a", services=["Classify"])
        client = cluster.client("MediaServer", "p2")
        cluster.settle()
        number = ask(client)
        (note,) = works(first)
        second = cluster.client("ESPServer", "p2", services=["Classify"])
        cluster.proxies["p1"].lost(cluster.now, first.source, [json.dumps(note).encode()])
        cluster.settle()
        (again,) = works(second)
        respond(second, again, response={"x": 1})

        assert again["esp_server_refid"] == note["esp_server_refid"] and "resent" not in again
        assert client.answer(number)["response"] == {"x": 1}

    def test_an_answer_to_a_reference_that_no_node_made(self, cluster):
        server = cluster.client("ESPServer")
        assert server.ask("Request3rdServerResponse", esp_server_refid="mine")["code"] == 48
        assert server.ask("Request3rdServerFault", esp_server_refid="mine", fault_code=1)["code"] == 48


class TestWhichNode:
    """Given a request, then it goes to the node that holds its interaction, or to one that has the service."""

    def submit(self, cluster, at, **fields):
        media = cluster.client("MediaServer", at)
        ack = media.ask("RequestSubmit", tenant_id=101, media_type="email", queue="PS", **fields)
        return ack["interaction_id"]

    @pytest.mark.parametrize("given", [None, "mine-1"])
    def test_the_interactions_own(self, cluster, given):
        ident = self.submit(cluster, "n2", **({"interaction_id": given} if given else {}))
        server, client = cluster.client("ESPServer", services=["Classify"]), cluster.client("MediaServer")
        numbers = [ask(client, interaction_id=ident) for _ in range(3)]
        assert homes(cluster) == {"n1": 0, "n2": 3, "n3": 0}
        for note in works(server):
            respond(server, note, user_data={"Category": "Cards"}, merge_user_data=True)

        assert all(client.answer(number)["user_data_merged"] for number in numbers)
        got = client.ask("RequestGetInteractionProperties", interaction_id=ident)
        assert got["interaction"]["user_data"] == {"Category": "Cards"}

    def test_another_one_when_it_has_no_such_server(self, cluster):
        ident = self.submit(cluster, "n2")
        server = cluster.client("ESPServer", "n3", services=["Classify"])
        client = cluster.client("MediaServer")
        numbers = [ask(client, interaction_id=ident), ask(client), ask(client)]
        assert homes(cluster) == {"n1": 0, "n2": 0, "n3": 3}
        for note in works(server):
            respond(server, note)

        assert {client.answer(number)["message"] for number in numbers} == {"Event3rdServerResponse"}

    def test_nobody_has_it(self, cluster):
        reply = cluster.client("MediaServer").ask("Request3rdServer", tenant_id=101, request=CLASSIFY)
        assert (reply["message"], reply["code"]) == ("EventError", 80)

    def test_an_interaction_that_nobody_holds(self, cluster):
        server, client = cluster.client("ESPServer", services=["Classify"]), cluster.client("MediaServer")
        ask(client, interaction_id="nobody")

        assert len(works(server)) == 1

    def test_an_interaction_that_a_silent_node_may_hold(self, cluster):
        server, client = cluster.client("ESPServer", services=["Classify"]), cluster.client("MediaServer")
        cluster.lose("n3")
        number = ask(client, interaction_id="mine-1")
        cluster.run(4.0)

        assert (client.answer(number)["code"], client.answer(number)["missing"]) == (2003, ["n3"])
        assert works(server) == []

    def test_a_repetition_comes_to_the_same_node(self, cluster):
        server, client = cluster.client("ESPServer", services=["Classify"]), cluster.client("MediaServer")
        one = ask(client, dedup_id="d")
        two = ask(client, dedup_id="d")
        (note,) = works(server)
        respond(server, note, response={"x": 1})

        assert (client.answer(one)["code"], client.answer(two)["response"]) == (2004, {"x": 1})
        assert client.ask("Request3rdServer", tenant_id=101, request=CLASSIFY, dedup_id="d")["response"] == {"x": 1}
        cluster.run(1.0)
        assert works(server) == []

    @pytest.mark.parametrize(("fields", "code"), [({"tenant_id": 9}, 2001), ({"media_type": "fax"}, 2001)])
    def test_no_node_serves_it(self, cluster, fields, code):
        client = cluster.client("MediaServer")
        assert client.ask("Request3rdServer", **{"tenant_id": 101, "request": CLASSIFY, **fields})["code"] == code

    @pytest.mark.parametrize("fields", [{"timeout": 20}, {}])
    def test_the_proxy_waits_as_long_as_the_server_may(self, cluster, fields):
        server, client = cluster.client("ESPServer", services=["Classify"]), cluster.client("MediaServer")
        number = ask(client, **fields)
        cluster.run(15.0)
        client.ask("RequestPing")
        server.ask("RequestPing")
        assert client.answers[number] == []
        (note,) = works(server)
        respond(server, note)

        assert client.answer(number)["message"] == "Event3rdServerResponse"

    def test_the_servers_silence(self, cluster):
        server, client = cluster.client("ESPServer", services=["Classify"]), cluster.client("MediaServer")
        number = ask(client, timeout=3)
        cluster.run(3.5)

        assert len(works(server)) == 1
        assert client.answer(number)["code"] == 81


class TestFailover:
    """Given requests under way through a proxy, when their node fails over, then each is answered once."""

    @pytest.mark.parametrize("answered", ["before", "after"])
    @pytest.mark.parametrize("repeatable", [True, False])
    def test_the_answer_finds_the_new_member(self, cluster, answered, repeatable):
        server, client = cluster.client("ESPServer", services=["Classify"]), cluster.client("MediaServer")
        cluster.settle()
        numbers = [ask(client, timeout=30, repeatable=repeatable) for _ in range(6)]
        notes = works(server)
        cluster.lose("n2")
        cluster.run(0.1)
        said = []
        if answered == "before":
            said = [server.send("Request3rdServerResponse", esp_server_refid=n["esp_server_refid"]) for n in notes]
        cluster.run(0.9)
        cluster.take_over("n2")
        cluster.run(1.5)
        if answered == "after":
            said = [server.send("Request3rdServerResponse", esp_server_refid=n["esp_server_refid"]) for n in notes]
        cluster.run(1.5)

        assert {server.answer(number)["message"] for number in said} == {"EventAck"}
        assert {client.answer(number)["message"] for number in numbers} == {"Event3rdServerResponse"}
        assert {note["esp_server_refid"] for note in works(server)} <= {note["esp_server_refid"] for note in notes}
        responded = [payload for _, _, payload in cluster.stream["p1"] if b"EventExternalServiceResponded" in payload]
        assert len(responded) == 6


class TestOwnService:
    """Given the cluster's own service asked through a proxy, then it sees the whole cluster."""

    def own(self, client, method, **parameters):
        wanted = {"Service": "OMService", "Method": method, "Parameters": parameters}
        return client.ask("Request3rdServer", tenant_id=101, request=wanted)

    def test_find_over_all_nodes(self, cluster):
        for at, priority in (("n1", 1), ("n2", 3), ("n3", 2), ("n1", 0)):
            media = cluster.client("MediaServer", at)
            media.ask("RequestSubmit", tenant_id=101, media_type="email", queue="PS", priority=priority)
        reply = self.own(cluster.client("RoutingEngine"), "FindInteractions", Order="priority desc", MaxCount=3)

        found = reply["response"]
        assert [one["priority"] for one in found["interactions"]] == [3, 2, 1]
        assert found["more"] is True and found["complete"] is True

    def test_by_id_wherever_it_is(self, cluster):
        media = cluster.client("MediaServer")
        ack = media.ask("RequestSubmit", tenant_id=101, media_type="email", queue="PS")
        ident = ack["interaction_id"]

        assert self.own(media, "GetInteractionProperties", InteractionId=ident)["response"]["interaction"]
        assert self.own(media, "StopProcessing", InteractionId=ident)["response"]["message"] == "EventAck"
        gone = self.own(media, "StopProcessing", InteractionId=ident)
        assert (gone["message"], gone["fault_code"]) == ("Event3rdServerFault", 43)

    @pytest.mark.parametrize(
        ("method", "parameters", "code"),
        [("FindInteractions", {"Condition": "queue ="}, 62), ("GetInteractionProperties", {}, 2), ("Dance", {}, 3)],
    )
    def test_faults(self, cluster, method, parameters, code):
        reply = self.own(cluster.client("MediaServer"), method, **parameters)
        assert (reply["message"], reply["fault_code"]) == ("Event3rdServerFault", code)

    def test_nobody_is_there(self, cluster):
        for name in cluster.pairs:
            cluster.lose(name)
        cluster.run(6.0)
        reply = self.own(cluster.client("MediaServer"), "FindInteractions")
        assert (reply["message"], reply["code"], reply["missing"]) == ("EventError", 2002, ["n1", "n2", "n3"])


class TestCustomEvents:
    """Given a custom event through a proxy, then it is said by the interaction's node, or by one of the tenant's."""

    def said(self, cluster):
        cluster.run(0.1)
        events = [json.loads(payload) for _, _, payload in cluster.stream["p1"]]
        return [event for event in events if event["message"] == "EventCustomReporting"]

    @pytest.mark.parametrize("given", [None, "mine-1"])
    def test_about_an_interaction(self, cluster, given):
        fields = {"tenant_id": 101, "media_type": "email", "queue": "PS"}
        there = cluster.client("MediaServer", "n3")
        ident = there.ask("RequestSubmit", **fields, **({"interaction_id": given} if given else {}))["interaction_id"]
        fields = {"tenant_id": 101, "event_id": 7, "interaction_id": ident}
        assert cluster.client("Monitor").ask("RequestDistributeEvent", **fields)["message"] == "EventAck"
        (event,) = self.said(cluster)

        assert (event["node"], event["interaction"]["interaction_id"]) == ("n3", ident)

    def test_about_an_interaction_that_nobody_holds(self, cluster):
        fields = {"tenant_id": 101, "event_id": 7, "interaction_id": "nobody"}
        assert cluster.client("Monitor").ask("RequestDistributeEvent", **fields)["code"] == 43

    def test_once_by_its_dedup_id(self, cluster):
        client = cluster.client("Monitor")
        for _ in range(4):
            client.ask("RequestDistributeUserEvent", tenant_id=101, event_id=7, dedup_id="d")

        assert len(self.said(cluster)) == 1
