"""Starting and stopping clusters, tried on toy members that only answer pings."""

from __future__ import annotations

import signal
import socket
import sys

import psutil
import pytest

from bench.cluster import ROOT, Cluster, ClusterFailure
from bench.plan import Plan, configure, free_ports
from broker.config.listing import listing
from broker.config.load import load, parse

TOY = """
import sys, time, json, zmq
from broker.config.load import load
from broker.supervisor import supervise
file, kind, name, *member = sys.argv[1:]
if not member:
    pair = getattr(load(file), {"node": "nodes", "proxy": "proxies"}[kind])[name]
    members = ["primary", "backup"] if pair.backup else ["primary"]
    supervise(name, {m: [sys.executable, *sys.argv, "--member", m] for m in members})
member = member[1]
pair = getattr(load(file), {"node": "nodes", "proxy": "proxies"}[kind])[name]
router = zmq.Context().socket(zmq.ROUTER)
router.bind(getattr(pair, member).requests)
print("toy", name, member, flush=True)
role = "standby" if member == "backup" else "active"
while True:
    peer, ref, payload = router.recv_multipart()
    pong = {"message": "EventPong", "role": role, "state": "healthy"}
    router.send_multipart([peer, ref, json.dumps(pong).encode()])
"""


class ToyCluster(Cluster):
    """Real processes, toy members."""

    def command(self, name, member):
        toy = self.folder / "toy.py"
        toy.write_text(TOY)
        kind = "node" if name in self.configuration.nodes else "proxy"
        return [sys.executable, str(toy), str(self.file), kind, name, *(["--member", member] if member else [])]


class BrokenCluster(ToyCluster):
    """Members that end at once."""

    def command(self, name, member):
        return [sys.executable, "-c", "raise SystemExit('planted end')"]


@pytest.fixture
def domain():
    return load(str(ROOT / "cluster.toml"))


class TestPlan:
    def test_ports_are_free_and_each_is_given_once(self):
        ports = free_ports()
        given = [next(ports) for _ in range(50)]

        assert len(set(given)) == 50
        for port in given:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))

    def test_a_port_in_use_is_not_given(self, monkeypatch):
        with socket.socket() as used:
            used.bind(("127.0.0.1", 0))
            port = used.getsockname()[1]
            monkeypatch.setattr("bench.plan.FIRST_PORT", port)
            monkeypatch.setattr("bench.plan.LAST_PORT", port + 1)

            assert list(free_ports()) == []

    @pytest.mark.parametrize("plan", [Plan(), Plan(nodes=4, proxies=1), Plan(nodes=1, proxies=0, backups=False)])
    def test_its_configuration_has_no_fault(self, tmp_path, domain, plan):
        configuration = configure(tmp_path, plan, domain)

        assert parse(listing(configuration)) == configuration
        assert (len(configuration.nodes), len(configuration.proxies)) == (plan.nodes, plan.proxies)

    def test_queues_are_those_of_the_domain(self, tmp_path, domain):
        assert configure(tmp_path, Plan(), domain).queues == domain.queues


class TestCluster:
    @pytest.mark.parametrize("supervised", [True, False])
    def test_entered_all_members_run_and_left_none_does(self, tmp_path, supervised):
        with ToyCluster(tmp_path, Plan(nodes=1, proxies=1, supervised=supervised)) as cluster:
            members = [("n1", "primary"), ("n1", "backup"), ("p1", "primary")]
            pids = [cluster.pid(*member) for member in members]

            assert all(psutil.pid_exists(pid) for pid in pids)
            assert cluster.active("n1") == "primary"

        assert not any(psutil.pid_exists(pid) for pid in pids)

    def test_a_killed_member_comes_back_under_its_supervisor(self, tmp_path):
        with ToyCluster(tmp_path, Plan(nodes=1, proxies=0)) as cluster:
            pid = cluster.kill("n1", "primary")
            cluster.wait_until(lambda: cluster.pid("n1", "primary") not in (None, pid))
            cluster.wait_until_healthy()

            assert not psutil.pid_exists(pid)

    def test_a_bare_member_can_be_ended_and_started_again(self, tmp_path):
        with ToyCluster(tmp_path, Plan(nodes=1, proxies=0, supervised=False)) as cluster:
            cluster.end("n1", "backup")
            assert cluster.ping("n1", "backup") is None
            cluster.start("n1", "backup")
            cluster.wait_until_healthy()

    def test_a_stopped_member_does_not_keep_it_from_ending(self, tmp_path, monkeypatch):
        monkeypatch.setattr("bench.cluster.STOP_LIMIT_S", 0.3)
        with (
            pytest.raises(ClusterFailure, match="was killed.*--member primary"),
            ToyCluster(tmp_path, Plan(nodes=1, proxies=0, backups=False, supervised=False)) as cluster,
        ):
            pid = cluster.kill("n1", "primary", signal.SIGSTOP)

        assert not psutil.pid_exists(pid)

    def test_one_that_does_not_start_fails_with_the_tail_of_its_log(self, tmp_path):
        with pytest.raises(ClusterFailure, match="n1 has ended with 1\n(.|\n)*n1.log\nplanted end"):
            BrokenCluster(tmp_path, Plan(nodes=1, proxies=0)).__enter__()
