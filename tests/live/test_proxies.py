"""Proxies behind proxies, and clients that go from one to another."""

from __future__ import annotations

import json
import time

import pytest

from broker.client import Client
from tests.live.running import follow, now

pytestmark = pytest.mark.timeout(90)

SUBMIT = {"message": "RequestSubmit", "tenant_id": 101, "media_type": "voice", "queue": "Inbound"}


def login(desk, agent):
    asked = {"message": "RequestAgentLogin", "tenant_id": 101, "agent_id": agent, "media_list": {"voice": 1}}
    assert desk.request(asked)["message"] == "EventAck"


def told(client, message, limit_s=5.0):
    """The next notification of a name."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        for note in client.notifications(0.2):
            if note["message"] == message:
                return note
    raise AssertionError(f"no {message} within {limit_s} s")


class TestBehindAnother:
    """Given p2, whose one connection is the proxy p1, when clients work at both, then p2 is one more proxy of the same
    cluster: what is said at one is known at the other, and it does not need the proxy that it is behind."""

    @pytest.fixture
    def cluster(self, start_cluster):
        return start_cluster(behind={"p2": "p1"})

    def test_all_passes_through_it(self, cluster, wait_until):
        start = now(cluster)
        media = Client([cluster.requests("p2")], "mail", "MediaServer")
        desk = Client([cluster.requests("p2")], "desk", "AgentApplication")
        engine = Client([cluster.requests("p1")], "urs", "RoutingEngine")
        login(desk, "VICKY")
        ident = media.request(SUBMIT)["interaction_id"]
        pulled = {"tenant_id": 101, "view_id": "Inbound/all"}
        assert engine.request({"message": "RequestPull", **pulled})["interactions"][0]["interaction_id"] == ident
        engine.request({"message": "RequestDeliver", "interaction_id": ident, "agent_id": "VICKY"})
        invite = told(desk, "EventInvite")

        cluster.kill("p1")
        accepted = {"interaction_id": ident, "ticket_id": invite["ticket_id"], "agent_id": "VICKY"}
        assert desk.request({"message": "RequestAccept", **accepted})["message"] == "EventAck"
        desk.request({"message": "RequestStopProcessing", "interaction_id": ident})
        with follow(cluster, "-o", "jsonl", at="p2", start=start) as events:
            wait_until(lambda: "EventProcessingStopped" in events.output, 10)
            names = [json.loads(line)["event"]["message"] for line in events.lines]
        assert names[: names.index("EventProcessingStopped") + 1] == [
            "EventAgentLogin",
            "EventInteractionSubmitted",
            "EventTakenFromQueue",
            "EventPartyAdded",
            "EventAgentInvited",
            "EventPartyRemoved",
            "EventPartyAdded",
            "EventPartyRemoved",
            "EventProcessingStopped",
        ]
        for client in (media, desk, engine):
            client.close()


class TestPair:
    """Given a proxy that is a pair, when the member that clients are at is killed, then they go on at the other one:
    nothing is lost or done twice, agents stay logged in, held pulls wait on, and the stream goes on by its cursor."""

    @pytest.fixture
    def cluster(self, start_cluster):
        return start_cluster(proxies=1, proxy_backups=True)

    def test_clients_go_on_at_the_other_member(self, cluster):
        both = [cluster.requests("p1"), cluster.requests("p1", "backup")]
        media, desk = at_the_first(both, "mail", "MediaServer"), at_the_first(both, "desk", "AgentApplication")
        engine, reader = at_the_first(both, "urs", "RoutingEngine"), at_the_first(both, "reader", "ReportingEngine")
        events = reader.events(now(cluster))
        login(desk, "VICKY")
        first = media.request({**SUBMIT, "queue": "PS", "dedup_id": "m1"})["interaction_id"]
        pull = {"message": "RequestPull", "tenant_id": 101, "extension": {"pull-for-strategy": 1}, "dedup_id": "pull1"}
        held = engine.send({**pull, "view_id": "Inbound/all"}, timeout=30)
        engine.idle(0.3)

        cluster.kill("p1")
        again = media.request({**SUBMIT, "queue": "PS", "dedup_id": "m1"})["interaction_id"]
        ident = media.request({**SUBMIT, "dedup_id": "m2"})["interaction_id"]
        granted = engine.gather([held])[0]["interactions"]
        until = time.monotonic() + 20
        while desk.sessions < 2 and time.monotonic() < until:
            desk.idle(0.1)
        login(desk, "VICKY")
        deliver = {"message": "RequestDeliver", "interaction_id": ident, "agent_id": "VICKY"}
        assert engine.request(deliver)["message"] == "EventAck"
        invite = told(desk, "EventInvite")
        accept = {"message": "RequestAccept", "interaction_id": ident, "ticket_id": invite["ticket_id"]}
        assert desk.request(accept)["message"] == "EventAck"
        desk.request({"message": "RequestStopProcessing", "interaction_id": ident})

        assert (again, [one["interaction_id"] for one in granted]) == (first, [ident])
        assert {client.endpoint.requests for client in (media, desk, engine)} == {both[1]}
        seen = []
        while "EventProcessingStopped" not in seen:
            seen += [json.loads(event.payload)["message"] for event in events.read(timeout=10)]
        assert seen.count("EventInteractionSubmitted") == 2
        assert seen.count("EventAgentLogin") == 1 and "EventAgentLogout" not in seen
        events.close()
        for client in (media, desk, engine, reader):
            client.close()


def at_the_first(servers, name, kind):
    """A client of both servers that has chosen the first: which one it takes is left to chance."""
    while True:
        client = Client(servers, name, kind)
        if client.endpoint.requests == servers[0]:
            return client
        client.close()
