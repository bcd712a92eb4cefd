"""Subscribing to events and reporting on one agent through a proxy: from the one stream, each event once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from broker.messages.topics import MAX_TOPICS
from tests.world import World, make_configuration


@pytest.fixture
def cluster() -> World:
    return World(make_configuration(3, 2, request_timeout=2.0))


def topic(**what: Any) -> dict[str, Any]:
    return {"tenant_id": 101, **what}


def submit(media: Any, queue: str = "PS") -> str:
    ident: str = media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue=queue)["interaction_id"]
    return ident


def login(desk: Any, agent: str) -> None:
    assert (
        desk.ask("RequestAgentLogin", tenant_id=101, agent_id=agent, media_list={"voice": 1})["message"] == "EventAck"
    )


def told(client: Any) -> list[dict[str, Any]]:
    """The events that a client was told of, in their order."""
    notes, client.notes = client.notes, []
    return [note for note in notes if "seq" in note]


class TestSubscribe:
    """Given a client of one proxy with topics, when things happen at all nodes, then it is told of each event once."""

    def test_all_nodes_in_the_streams_order(self, cluster):
        watcher = cluster.client("AgentApplication")
        assert watcher.ask("RequestSubscribe", topics=[topic(queue="PS")])["message"] == "EventAck"
        for at in ("n1", "p2", "n3", "n2", "p1"):
            submit(cluster.client("MediaServer", at))
            submit(cluster.client("MediaServer", at), "Inbound")
        cluster.run(0.1)
        published = [json.loads(payload) for _, _, payload in cluster.stream["p1"]]

        events = told(watcher)
        assert len(events) == 5
        assert events == [event for event in published if event.get("interaction", {}).get("queue") == "PS"]

    def test_an_agent_that_is_logged_in_at_all_nodes(self, cluster):
        watcher = cluster.client("MediaServer", "p2")
        watcher.ask("RequestSubscribe", topics=[topic(agent_id="VICKY")])
        login(cluster.client("AgentApplication"), "VICKY")
        login(cluster.client("AgentApplication"), "ANAT")
        cluster.run(0.1)

        assert [event["message"] for event in told(watcher)] == ["EventAgentLogin"]

    def test_unsubscribe_and_the_end_of_the_session(self, cluster):
        media, watcher, other = (cluster.client(kind) for kind in ("MediaServer", "Monitor", "Monitor"))
        for one in (watcher, other):
            one.ask("RequestSubscribe", topics=[topic(), topic(queue="PS")])
        watcher.ask("RequestUnsubscribe", topics=[topic()])
        submit(media)
        cluster.run(0.1)
        assert len(told(watcher)) == len(told(other)) == 1
        watcher.ask("RequestUnsubscribe")
        other.ask("RequestUnregisterClient")
        submit(media)
        cluster.run(0.1)

        assert told(watcher) == told(other) == []
        topics = cluster.proxies["p1"].topics
        assert (topics._of, topics._clients, topics._tenants) == ({}, {}, {})

    @pytest.mark.parametrize(
        ("topics", "code"),
        [([topic(queue="Nowhere")], 11), ([{"tenant_id": 9}], 10), ([topic(queue="PS", agent_id="VICKY")], 3)],
    )
    def test_refused_as_a_whole(self, cluster, topics, code):
        media, watcher = cluster.client("MediaServer"), cluster.client("Monitor")
        assert watcher.ask("RequestSubscribe", topics=[topic(), *topics])["code"] == code
        submit(media)
        cluster.run(0.1)

        assert told(watcher) == []

    def test_too_many(self, cluster):
        watcher = cluster.client("Monitor")
        topics = [topic(agent_id=f"A{number}") for number in range(MAX_TOPICS)]
        assert watcher.ask("RequestSubscribe", topics=topics)["message"] == "EventAck"
        assert watcher.ask("RequestSubscribe", topics=[topic()])["code"] == 91
        answer = watcher.ask("RequestStartPlaceAgentStateReporting", tenant_id=101, agent_id="B")
        assert answer["code"] == 91

    def test_a_node_fails_over(self, cluster):
        media, watcher = cluster.client("MediaServer", "p2"), cluster.client("Monitor")
        watcher.ask("RequestSubscribe", topics=[topic(queue="PS")])
        cluster.lose("n2")
        numbers = [
            media.send("RequestSubmit", tenant_id=101, media_type="voice", queue="PS", interaction_id=f"mine-{number}")
            for number in range(9)
        ]
        cluster.run(0.5)
        cluster.take_over("n2")
        cluster.run(3.0)

        acked = [media.answer(number) for number in numbers]
        assert {ack["message"] for ack in acked} == {"EventAck"}
        idents = [event["interaction"]["interaction_id"] for event in told(watcher)]
        assert sorted(idents) == sorted(ack["interaction_id"] for ack in acked)


class TestOneAgent:
    """Given a reporting client, when it starts on one agent, then it has the state at a cursor, and what follows."""

    def test_state_then_events(self, cluster):
        desk, reporter = cluster.client("AgentApplication"), cluster.client("ReportingEngine", "p2")
        login(desk, "VICKY")
        login(desk, "ANAT")
        number = reporter.send("RequestStartPlaceAgentStateReporting", tenant_id=101, agent_id="VICKY")
        cluster.run(0.2)
        state = reporter.answer(number)
        assert [agent["agent_id"] for agent in state["agents"]] == ["VICKY"]
        assert state["queues"] == {} and state["complete"] is True
        desk.ask("RequestNotReadyForMedia", agent_id="ANAT", media_type="voice")
        desk.ask("RequestNotReadyForMedia", agent_id="VICKY", media_type="voice")
        cluster.run(0.1)
        (event,) = told(reporter)

        assert (event["message"], event["agent"]["agent_id"]) == ("EventNotReadyForMedia", "VICKY")
        assert int(state["cursor"][:16]) < round(event["time"] * 1e6)

    @pytest.mark.parametrize("which", ["", "All"])
    def test_stop(self, cluster, which):
        desk, reporter = cluster.client("AgentApplication"), cluster.client("ReportingEngine")
        reporter.send("RequestStartPlaceAgentStateReporting", tenant_id=101, agent_id="VICKY")
        cluster.run(0.2)
        assert (
            reporter.ask(f"RequestStopPlaceAgentStateReporting{which}", tenant_id=101, agent_id="VICKY")["message"]
            == "EventAck"
        )
        login(desk, "VICKY")
        cluster.run(0.1)

        assert told(reporter) == []

    @pytest.mark.parametrize(
        ("fields", "code"),
        [({}, 2), ({"agent_id": "a", "place_id": "p"}, 3), ({"tenant_id": 9, "agent_id": "a"}, 10)],
    )
    def test_refused(self, cluster, fields, code):
        reporter = cluster.client("ReportingEngine")
        for message in ("RequestStartPlaceAgentStateReporting", "RequestStopPlaceAgentStateReporting"):
            assert reporter.ask(message, **{"tenant_id": 101, **fields})["code"] == code
