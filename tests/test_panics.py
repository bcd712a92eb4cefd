"""A proxy dies, with real cores of three nodes and two proxies: what a reporting client sees of it."""

from __future__ import annotations

import json

import pytest

from broker.config.objects import NodeSettings
from tests.world import World, make_configuration

AGENTS = [f"A{number:02}" for number in range(30)]


@pytest.fixture
def world():
    return World(make_configuration(3, 2, NodeSettings(panic_grace=10.0, login_session_timeout=1), request_timeout=2.0))


def log_in(world, agents, at):
    for agent in agents:
        desk = world.client("AgentApplication", at, f"{at}-{agent}")
        reply = desk.ask("RequestAgentLogin", tenant_id=101, agent_id=agent, media_list={"voice": 1})
        assert reply["message"] == "EventAck", reply


def seen(world, at="p2"):
    """What a subscriber of a proxy has got since the last call; the stream lags behind by a moment."""
    world.run(0.5)
    said = [json.loads(payload) for _, _, payload in world.stream[at]]
    world.stream[at].clear()
    return said


def names(said):
    return [event["message"] for event in said]


def test_a_dead_proxy_is_one_event_for_a_reporting_client(world):
    """Given thirty agents behind one proxy and three nodes, when the proxy dies, then the stream of the other one has
    one event more, and none when all agents have come back there but the panic's end."""
    log_in(world, AGENTS, "p1")
    assert names(seen(world)).count("EventAgentLogin") == 30
    world.lose_proxy("p1")
    (signal,) = seen(world)
    log_in(world, AGENTS, "p2")
    (end,) = seen(world)

    assert (signal["message"], signal["tenant_id"]) == ("EventPanicSignal", 101)
    assert (signal["body"]["proxy"], signal["body"]["agents"]) == ("p1", 30)
    assert (end["message"], end["body"]["returned"], end["body"]["lost"]) == ("EventPanicEnded", 30, 0)


def test_agents_that_log_out_are_told_apart(world):
    """Given agents of which some log out before their proxy dies and others do not come back, when the time is over,
    then the first were logouts at once, the others are once each later."""
    log_in(world, AGENTS[:6], "p1")
    seen(world)
    for agent in AGENTS[:2]:
        world.clients["p1", f"p1-{agent}".encode()].ask("RequestAgentLogout", agent_id=agent)
    world.lose_proxy("p1")
    first = names(seen(world))
    world.run(11)
    then = names(seen(world))
    world.run(61)
    last = names(seen(world))

    assert first == ["EventAgentLogout"] * 2 + ["EventPanicSignal"]
    assert sorted(then) == ["EventNotReadyForMedia"] * 4 + ["EventPanicEnded"]
    assert last == ["EventAgentLogout"] * 4


def test_a_node_that_fails_over_meanwhile_changes_nothing(world):
    """Given a panic, when every node fails over before the agents are back, then still nothing but the panic's end is
    said of them."""
    log_in(world, AGENTS[:5], "p1")
    seen(world)
    world.lose_proxy("p1")
    assert names(seen(world)) == ["EventPanicSignal"]
    for name in world.pairs:
        world.take_over(name)
    world.run(1)
    log_in(world, AGENTS[:5], "p2")

    assert [name for name in names(seen(world)) if name != "EventNodeActive"] == ["EventPanicEnded"]
