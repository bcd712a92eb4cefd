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
