"""Nodes that are away: what is still served, what is said of the rest, how the status shows it; and how all ends."""

from __future__ import annotations

import json
import os
import signal
import time

import msgspec
import psutil
import pytest

from bench.cluster import ROOT, Cluster, tree
from bench.plan import Plan
from broker.answers import ClientError
from broker.client import Client
from broker.config.load import load
from broker.config.objects import MediaType, ProxySettings, Tenant
from broker.ids import code_of, node_code
from tests.live.pace import PATIENCE_S, stretched
from tests.live.running import Replay, Running, events_of
from tests.live.sharing import shared

pytestmark = pytest.mark.timeout(400)

TIMEOUT_S = 3.0
"""The proxies' request-timeout here: nobody has to wait long, and a machine with other things to do serves in it."""
END_S = 5.0
NODES = ("n1", "n2")
OTHER = {"primary": "backup", "backup": "primary"}

KINDS = ("MediaServer", "AgentApplication", "RoutingEngine", "ReportingEngine", "Monitor")
SUBMIT = {"tenant_id": 101, "media_type": "email", "queue": "Inbound"}


@pytest.fixture(scope="module")
def cluster(request, tmp_path_factory):
    """Two pairs, two proxies that do not wait long, for all tests here."""
    with shared(request, tmp_path_factory, Plan(proxy_settings=ProxySettings(request_timeout=TIMEOUT_S))) as cluster:
        yield cluster


@pytest.fixture
def asking(cluster):
    """``asking(kind, message, …)``: the reply of the proxy p1 to a client of that kind, also when it is an error."""
    clients = {kind: Client([cluster.requests("p1")], f"asking-{kind}", kind) for kind in KINDS}

    def ask(kind, message, **fields):
        try:
            return clients[kind].request({"message": message, **fields})
        except ClientError as error:
            return error.reply

    yield ask
    for client in clients.values():
        client.close()


def submitted(asking):
    """Interactions by the node they are at: one at least at each."""
    idents = {}
    while len(idents) < len(NODES):
        ident = asking("MediaServer", "RequestSubmit", **SUBMIT)["interaction_id"]
        idents[next(name for name in NODES if node_code(name) == code_of(ident))] = ident
    return idents


def status_of(cluster):
    """What ``ixn status`` prints, and its exit code."""
    done = cluster.ixn("status", "-o", "json")
    return json.loads(done.stdout), done.returncode


class TestOneNodeDown:
    """Given both members of n1 have ended, when clients go on at a proxy, then n2 serves what it can, the errors say
    who is missing, and all is there again once n1 is back."""

    def test_what_is_served_and_what_is_said_of_the_rest(self, cluster, asking):
        idents = submitted(asking)
        before = asking("Monitor", "RequestFindInteractions")["interactions"]
        assert cluster.end("n1") == 0
        cluster.wait_until(lambda: (cluster.status() or {}).get("state") == "degraded")

        for _ in range(6):
            ack = asking("MediaServer", "RequestSubmit", **SUBMIT)
            assert code_of(ack["interaction_id"]) == node_code("n2")
        self.ask_for_interactions(asking, idents)
        self.ask_for_lists(asking)
        self.look_at_the_status(cluster)

        cluster.start("n1")
        cluster.wait_until_healthy()
        after = asking("Monitor", "RequestFindInteractions", require_complete=True)["interactions"]
        assert {one["interaction_id"] for one in before} < {one["interaction_id"] for one in after}

    def ask_for_interactions(self, asking, idents):
        """By their id: what names n2 is served; of all else nobody can say that it is not there."""
        found = asking("MediaServer", "RequestGetInteractionProperties", interaction_id=idents["n2"])
        assert found["interaction"]["interaction_id"] == idents["n2"]
        for unsure in (idents["n1"], "an-id-of-the-clients-own"):
            error = asking("MediaServer", "RequestStopProcessing", interaction_id=unsure)
            assert (error["code"], error["missing"]) == (2003, ["n1"])

    def ask_for_lists(self, asking):
        """Of several nodes: what there is, and who is missing; or nothing, where the client wants all."""
        found = asking("Monitor", "RequestFindInteractions")
        assert (found["complete"], found["missing"]) == (False, ["n1"])
        error = asking("Monitor", "RequestFindInteractions", require_complete=True)
        assert (error["code"], error["missing"]) == (2002, ["n1"])
        error = asking("Monitor", "RequestSwitchover", node="n1")
        assert (error["code"], error["missing"]) == (2002, ["n1"])
        pulled = asking("RoutingEngine", "RequestPull", tenant_id=101, view_id="Inbound/all", count=3)
        assert len(pulled["interactions"]) == 3

    def look_at_the_status(self, cluster):
        status, code = status_of(cluster)
        assert (status["state"], code) == ("degraded", 0)
        assert status["nodes"]["n1"]["state"] == "down"
        assert status["nodes"]["n2"]["state"] == "healthy"
        assert {member["role"] for member in status["nodes"]["n1"]["members"].values()} <= {"unreachable", "stopped"}
        assert any("n1" in why for why in status["why"])


class TestAllDown:
    """Given no node is there, when a client asks, then it is told so in time, and the status is down."""

    def test_every_request_is_answered_in_time(self, cluster, asking):
        ident = submitted(asking)["n1"]
        for name in NODES:
            cluster.end(name)
        cluster.wait_until(lambda: (cluster.status() or {}).get("state") == "down")
        asked = [
            ("MediaServer", "RequestSubmit", SUBMIT, (2001, 2002)),
            ("MediaServer", "RequestStopProcessing", {"interaction_id": ident}, (2003,)),
            ("MediaServer", "RequestStopProcessing", {"interaction_id": "own"}, (2003,)),
            ("AgentApplication", "RequestAgentLogin", {"tenant_id": 101, "agent_id": "VICKY"}, (2001, 2002)),
            ("RoutingEngine", "RequestPull", {"tenant_id": 101, "view_id": "PS/all"}, (2001, 2002)),
            ("Monitor", "RequestFindInteractions", {}, (2002,)),
            ("ReportingEngine", "RequestReplayEvents", {}, (2002,)),
        ]
        for kind, message, fields, codes in asked:
            began = time.monotonic()
            assert asking(kind, message, **fields)["code"] in codes
            assert time.monotonic() - began < TIMEOUT_S + stretched(1.0)
        assert asking("Monitor", "RequestPing")["message"] == "EventPong"
        status, code = status_of(cluster)
        assert (status["state"], code) == ("down", 69)
        for name in NODES:
            cluster.start(name)
        cluster.wait_until_healthy()


class TestConfigured:
    """What no node is configured for is 2001, whatever runs."""

    def test_no_server_for_a_media_type_or_tenant(self, tmp_path):
        domain = load(str(ROOT / "cluster.toml"))
        tenants = {101: domain.tenants[101], 102: Tenant(name="Shop", media_types={"voice": MediaType()})}
        cluster = Cluster(tmp_path, Plan(nodes=1, backups=False), msgspec.structs.replace(domain, tenants=tenants))
        node = cluster.configuration.nodes["n1"]
        node.cluster_settings.tenants, node.cluster_settings.media_types = [101], ["email"]
        with cluster, Client([cluster.requests("p1")], "media", "MediaServer") as client:
            for fields in ({"media_type": "voice"}, {"tenant_id": 102}, {"media_type": "pigeon"}, {"tenant_id": 7}):
                with pytest.raises(ClientError) as refused:
                    client.request({"message": "RequestSubmit", **SUBMIT, **fields})
                assert refused.value.code == 2001
            assert client.request({"message": "RequestSubmit", **SUBMIT})["message"] == "EventAck"


def test_a_standby_answers_ping_and_says_to_all_else_that_it_is_none(cluster):
    standby = OTHER[cluster.active("n1")]
    register = {"message": "RequestRegisterClient", "client_name": "m", "client_type": "MediaServer"}
    replies = cluster.ask(cluster.requests("n1", standby), {"message": "RequestPing"}, register, SUBMIT, {})

    assert (replies[0]["message"], replies[0]["role"]) == ("EventPong", "standby")
    assert [reply["code"] for reply in replies[1:]] == [90, 90, 90]


def test_a_member_that_is_gone_makes_it_degraded_until_the_supervisor_has_started_it_again(cluster):
    """Given all is well, when a standby is stopped, then the status says which is missing; killed, it comes back."""
    standby = OTHER[cluster.active("n2")]
    pid = cluster.kill("n2", standby, signal.SIGSTOP)
    cluster.wait_until(lambda: (cluster.status() or {}).get("state") == "degraded")
    status, code = status_of(cluster)
    assert (status["nodes"]["n2"]["state"], code) == ("degraded", 0)
    assert status["nodes"]["n2"]["members"][standby]["role"] == "unreachable"
    assert any("n2" in why and standby in why for why in status["why"])

    os.kill(pid, signal.SIGKILL)
    cluster.wait_until_healthy()
    assert cluster.pid("n2", standby) != pid


@pytest.mark.parametrize(
    ("number", "everybody"),
    [pytest.param(signal.SIGINT, False, id="Ctrl-C"), pytest.param(signal.SIGTERM, True, id="SIGTERM to everybody")],
)
def test_all_of_it_ends_within_five_seconds_while_a_day_plays(start_cluster, number, everybody):
    """Given a cluster under load, when it is told to end, then all processes end in time and nothing is left over.
    Ctrl-C reaches only those that stand in the terminal, a service manager all of them."""
    cluster = start_cluster()
    with Replay(cluster) as replay:
        cluster.wait_until(lambda: events_of(cluster) > 500)
        trees = {name: tree(cluster._processes[name, None]) for name in cluster.names}
        processes = [process for members in trees.values() for process in members]
        assert len(processes) == 4 + 6
        began = time.monotonic()
        for process in processes if everybody else [members[0] for members in trees.values()]:
            process.send_signal(number)
        codes = {name: cluster._processes.pop((name, None)).wait(PATIENCE_S) for name in cluster.names}
        left = psutil.wait_procs(processes, timeout=PATIENCE_S)[1]
        took_s = time.monotonic() - began
        assert replay.is_under_way

    print(f"all ended in {took_s:.1f} s")
    assert left == []
    assert took_s < stretched(END_S)
    assert set(codes.values()) == {0}
    assert [process for process in psutil.process_iter() if is_of(cluster, process)] == []


def is_of(cluster, process):
    try:
        return str(cluster.file) in process.cmdline()
    except psutil.Error:
        return False


def test_a_reader_ends_with_ctrl_c(cluster):
    with Running(cluster, "events", "--from", "oldest") as reader:
        cluster.wait_until(lambda: reader.lines)
        assert reader.interrupt() == 0
