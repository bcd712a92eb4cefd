"""Agents through a proxy: logged in on all nodes, one login and one logout in the one stream, also of nodes that were
away meanwhile."""

from __future__ import annotations

import json

import pytest

from broker.client import Client
from broker.sockets import sub
from tests.live.running import follow, now
from tests.live.sharing import shared

pytestmark = pytest.mark.timeout(400)

NODES = ("n1", "n2")


@pytest.fixture(scope="module")
def cluster(request, tmp_path_factory):
    """The default cluster, for all tests here."""
    with shared(request, tmp_path_factory) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def healthy(cluster):
    """Whatever a test does to the cluster, the next one finds it well."""
    cluster.wait_until_healthy()


@pytest.fixture
def desk(cluster):
    """An agent's application at the proxy p1."""
    with Client([cluster.requests("p1")], "desk", "AgentApplication", tenants=[101]) as client:
        yield client


def login(desk, agent, **media):
    reply = {"tenant_id": 101, "agent_id": agent, "media_list": media or {"voice": 1}}
    assert desk.request({"message": "RequestAgentLogin", **reply})["message"] == "EventAck"


def ask(desk, message, **fields):
    assert desk.request({"message": message, **fields})["message"] == "EventAck"


def agents_at(cluster, node):
    """The agents that a node itself has, each with its media; None: the node does not say."""
    active = cluster.active(node)
    register = {"message": "RequestRegisterClient", "client_name": "look", "client_type": "ReportingEngine"}
    state = {"message": "RequestStartPlaceAgentStateReportingAll"}
    replies = cluster.ask(cluster.requests(node, active), register, state) if active else []
    if len(replies) < 2 or replies[1]["message"] != "EventPlaceAgentState":
        return None
    return {agent["agent_id"]: agent["media"] for agent in replies[1]["agents"]}


def events_about(lines, agent):
    """Names of the events about an agent, in the order of the stream, with the node that said each."""
    events = [json.loads(line)["event"] for line in lines]
    return [(event["message"], event["node"]) for event in events if event.get("agent", {}).get("agent_id") == agent]


def test_a_login_is_on_all_nodes_and_in_the_stream_once(cluster, desk, wait_until):
    """Given two readers at two proxies, when an agent logs in, changes and logs out at a third client, then every node
    has it, and both readers read each event once."""
    start = now(cluster)
    with follow(cluster, at="p1", start=start) as first, follow(cluster, at="p2", start=start) as second:
        login(desk, "VICKY", voice=1)
        assert [agents_at(cluster, node) for node in NODES] == [{"VICKY": {"voice": 1}}] * 2
        ask(desk, "RequestNotReadyForMedia", agent_id="VICKY", media_type="voice")
        ask(desk, "RequestAddMedia", agent_id="VICKY", media_type="email")
        assert [agents_at(cluster, node) for node in NODES] == [{"VICKY": {"voice": 0, "email": 1}}] * 2
        ask(desk, "RequestAgentLogout", agent_id="VICKY")
        assert [agents_at(cluster, node) for node in NODES] == [{}, {}]
        wait_until(lambda: len(events_about(first.lines, "VICKY")) == len(events_about(second.lines, "VICKY")) >= 4)
        said = events_about(first.lines, "VICKY")
        assert second.lines == first.lines

    names = ["EventAgentLogin", "EventNotReadyForMedia", "EventMediaAdded", "EventAgentLogout"]
    assert [name for name, _ in said] == names
    assert len({node for _, node in said}) == 1
    told = [note["message"] for note in desk.notifications()]
    assert told.count("EventCurrentAgentStatus") == 3


def test_no_subscriber_of_a_proxy_sees_an_echo(cluster, desk, context, wait_until):
    """Given a bare subscriber at each proxy, when an agent logs in and out, then each hears of it from one node."""
    subscribers = [sub(context, cluster.events(proxy), [b"101/agent/"]) for proxy in ("p1", "p2")]
    heard = [[], []]

    def events():
        for subscriber, said in zip(subscribers, heard, strict=True):
            while subscriber.poll(10):
                said.append(json.loads(subscriber.recv_multipart()[2]))
        return heard

    def in_and_out(agent):
        login(desk, agent)
        ask(desk, "RequestAgentLogout", agent_id=agent)
        return all(events())

    wait_until(lambda: in_and_out("EARLY"))
    in_and_out("LATE")
    in_and_out("LAST")
    wait_until(lambda: all(said[-1]["agent"]["agent_id"] == "LAST" for said in events()))
    for said in heard:
        names = [event["message"] for event in said if event["agent"]["agent_id"] == "LATE"]
        assert names == ["EventAgentLogin", "EventAgentLogout"]
        assert not any(event.get("echo") for event in said)


def test_a_node_that_was_away_gets_the_logins_it_has_missed(cluster, desk, wait_until):
    """Given a node is away, when agents log in and out, then it has those that are there once it is back; the stream
    has one login and one logout of each."""
    with follow(cluster, start=now(cluster)) as reader:
        login(desk, "BEFORE")
        assert cluster.end("n2") == 0
        login(desk, "MEANWHILE", voice=1, email=0)
        ask(desk, "RequestAgentLogout", agent_id="BEFORE")
        assert list(agents_at(cluster, "n1")) == ["MEANWHILE"]
        cluster.start("n2")
        wait_until(lambda: agents_at(cluster, "n2") == {"MEANWHILE": {"voice": 1, "email": 0}})
        cluster.wait_until_healthy()
        ask(desk, "RequestAgentLogout", agent_id="MEANWHILE")
        assert [agents_at(cluster, node) for node in NODES] == [{}, {}]
        wait_until(lambda: "EventAgentLogout" in dict(events_about(reader.lines, "MEANWHILE")))
        for agent in ("BEFORE", "MEANWHILE"):
            names = [name for name, _ in events_about(reader.lines, agent)]
            assert names == ["EventAgentLogin", "EventAgentLogout"]


def test_an_agent_whose_application_is_gone_is_logged_out_everywhere_once(cluster, wait_until):
    with follow(cluster, start=now(cluster)) as reader:
        with Client([cluster.requests("p2")], "desk", "AgentApplication") as desk:
            login(desk, "TOVA")
            assert [list(agents_at(cluster, node)) for node in NODES] == [["TOVA"]] * 2
        wait_until(lambda: [agents_at(cluster, node) for node in NODES] == [{}, {}])
        wait_until(lambda: len(events_about(reader.lines, "TOVA")) >= 2)
        assert [name for name, _ in events_about(reader.lines, "TOVA")] == ["EventAgentLogin", "EventAgentLogout"]


def test_agents_survive_the_failover_of_the_node_that_speaks_for_them(cluster, desk, wait_until):
    """Given agents of whom either node speaks for some, when both nodes fail over, then they are logged in as before,
    and nothing of it is in the stream."""
    names = [f"AGENT{number}" for number in range(8)]
    with follow(cluster, start=now(cluster)) as reader:
        for name in names:
            login(desk, name)
        for node in NODES:
            cluster.kill(node, cluster.active(node))
        cluster.wait_until_healthy()
        assert [sorted(agents_at(cluster, node)) for node in NODES] == [names, names]
        for name in names:
            ask(desk, "RequestNotReadyForMedia", agent_id=name, media_type="voice")
            ask(desk, "RequestAgentLogout", agent_id=name)
        wait_until(lambda: all(len(events_about(reader.lines, name)) >= 3 for name in names))
        said = {name: [event for event, _ in events_about(reader.lines, name)] for name in names}

    assert set(map(tuple, said.values())) == {("EventAgentLogin", "EventNotReadyForMedia", "EventAgentLogout")}
