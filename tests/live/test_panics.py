"""A proxy is killed with many agents: what a reporting client sees."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from broker.client import Client
from broker.config.objects import NodeSettings
from tests.live.running import follow, now

pytestmark = pytest.mark.timeout(120)

AGENTS = [f"A{number:02}" for number in range(60)]


def log_in(cluster, at, agents):
    """One application each, as desktops are."""
    desks = []
    for agent in agents:
        desk = Client([cluster.requests(at)], f"desk {agent}", "AgentApplication")
        asked = {"message": "RequestAgentLogin", "tenant_id": 101, "agent_id": agent, "media_list": {"voice": 1}}
        assert desk.request(asked)["message"] == "EventAck"
        desks.append(desk)
    return desks


def test_a_killed_proxy_is_one_event(start_cluster, wait_until):
    """Given sixty agents at p1, when p1 is killed for good, then a reporting client at p2 sees one event; and when they
    are at p2, but for one that logs out there, the end of the panic and that one logout."""
    cluster = start_cluster(node_settings=NodeSettings(panic_grace=60.0, allow_multiple_agent_connections="true"))
    desks = log_in(cluster, "p1", AGENTS)
    start = now(cluster)
    with follow(cluster, "-o", "jsonl", at="p2", start=start) as events:
        cluster.kill("p1")
        wait_until(lambda: "EventPanicSignal" in events.output, 15)
        back = log_in(cluster, "p2", AGENTS)
        wait_until(lambda: "EventPanicEnded" in events.output, 15)
        back[0].request({"message": "RequestAgentLogout"})
        wait_until(lambda: "EventAgentLogout" in events.output, 15)
        said = [json.loads(line)["event"] for line in events.lines]

    assert Counter(event["message"] for event in said) == {
        "EventPanicSignal": 1,
        "EventPanicEnded": 1,
        "EventAgentLogout": 1,
    }
    assert (said[0]["body"]["proxy"], said[0]["body"]["agents"]) == ("p1", 60)
    assert (said[1]["body"]["returned"], said[1]["body"]["lost"]) == (60, 0)
    for desk in [*desks, *back]:
        desk.close()
