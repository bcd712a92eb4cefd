"""Random bytes at every port disturb nobody: others are served rightly meanwhile, no process ends, memory stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from statistics import median

import psutil
import pytest

from bench.cluster import ROOT
from broker.client import Client
from broker.sockets import dealer
from tests.live.pace import PATIENCE_S, stretched
from tests.live.sharing import shared

pytestmark = pytest.mark.timeout(400)

SEED, SECONDS, QUIET_S = 1999, 6.0, 3.0
GROWTH_MIB = 150
"""What a process may hold more than before: a few of the longest messages, and what the allocator keeps. The attackers
send several hundred."""
SLOWEST_S = 2.0
"""Attackers and clients share two cores with the cluster, so this says only that nobody hangs."""


@pytest.fixture(scope="module")
def cluster(request, tmp_path_factory):
    """The default cluster, for all tests here."""
    with shared(request, tmp_path_factory) as cluster:
        yield cluster


def members_of(cluster):
    return [(name, member) for name in cluster.names for member in cluster.members(name)]


def addresses_of(cluster):
    places = [(cluster.requests(*member), cluster.events(*member)) for member in members_of(cluster)]
    return [address for place in places for address in place]


def pids_of(cluster):
    return {member: cluster.pid(*member) for member in members_of(cluster)}


def memory_of(pids):
    return {member: psutil.Process(pid).memory_info().rss / 2**20 for member, pid in pids.items()}


class Well:
    """A client that does nothing wrong: what it gets has to be right, every time."""

    def __init__(self, address):
        self.client = Client([address], f"well-{address}", "MediaServer", timeout=PATIENCE_S)
        self.took_s = []
        self.number = 0

    def go_on(self):
        """One interaction, from its beginning to its end."""
        self.number += 1
        data = {"number": self.number, "text": "Grüße"}
        new = {"tenant_id": 101, "media_type": "email", "queue": "TT", "user_data": data}
        ident = self.ask("RequestSubmit", **new)["interaction_id"]
        self.ask("RequestChangeProperties", interaction_id=ident, changed_properties={"priority": self.number})
        shown = self.ask("RequestGetInteractionProperties", interaction_id=ident)["interaction"]
        assert (shown["user_data"], shown["priority"], shown["queue"]) == (data, self.number, "TT")
        self.ask("RequestStopProcessing", interaction_id=ident)

    def ask(self, message, **fields):
        began = time.monotonic()
        reply = self.client.request({"message": message, **fields})
        self.took_s.append(time.monotonic() - began)
        return reply

    def taken(self):
        """How long its requests took since this was asked last."""
        took_s, self.took_s = self.took_s, []
        return took_s


def test_random_bytes_on_every_port_disturb_nobody(cluster):
    """Given well-behaved clients at proxies and nodes, when attackers are at every port, then the clients are answered
    rightly all the time, and afterwards every process is the same as before, and not much bigger."""
    actives = [cluster.requests(node, cluster.active(node)) for node in ("n1", "n2")]
    wells = [Well(address) for address in (cluster.requests("p1"), cluster.requests("p2"), *actives)]
    for well in wells:
        well.go_on()
    pids = pids_of(cluster)
    before = memory_of(pids)
    done = attacked(cluster, wells)
    for well in wells:
        well.go_on()
        well.client.close()

    assert pids_of(cluster) == pids
    growth = {"/".join(member): round(now - before[member], 1) for member, now in memory_of(pids).items()}
    print(f"attacks: {done.strip()}\nrounds: {[well.number for well in wells]}")
    slowest_s = max(took_s for well in wells for took_s in well.taken())
    print(f"slowest request: {slowest_s:.3f} s; growth in MiB: {growth}")
    assert max(growth.values()) < GROWTH_MIB
    assert slowest_s < stretched(SLOWEST_S)
    cluster.wait_until_healthy()


def test_bytes_that_are_no_zmtp_on_every_port_cost_an_ordinary_client_little(cluster):
    """Given a client at each proxy and node, when hundreds of connections a second bring bytes of no protocol to every
    port, then its requests take about as long as before, and no process ends."""
    actives = [cluster.requests(node, cluster.active(node)) for node in ("n1", "n2")]
    wells = [Well(address) for address in (cluster.requests("p1"), cluster.requests("p2"), *actives)]
    pids = pids_of(cluster)
    until = time.monotonic() + QUIET_S
    while time.monotonic() < until:
        for well in wells:
            well.go_on()
    quiet = sorted(took_s for well in wells for took_s in well.taken())
    done = attacked(cluster, wells, "raw")
    disturbed = sorted(took_s for well in wells for took_s in well.taken())
    for well in wells:
        well.client.close()

    assert pids_of(cluster) == pids
    print(f"attacks: {done.strip()}")
    for name, took_s in (("quiet", quiet), ("attacked", disturbed)):
        shown = ", ".join(f"p{share} {took_s[len(took_s) * share // 100] * 1000:.1f} ms" for share in (50, 90, 99))
        print(f"{name}: {len(took_s)} requests, {shown}, longest {took_s[-1] * 1000:.1f} ms")
    assert median(disturbed) < 5 * median(quiet) + 0.02
    assert disturbed[-1] < stretched(SLOWEST_S)
    cluster.wait_until_healthy()


def attacked(cluster, wells, *kind):
    """Lets the well-behaved clients go on while there are attackers; returns what these have done.

    Once the attackers themselves ended with SIGSEGV, in libzmq as it seems: they open and close thousands of sockets
    with messages of up to 20 MB under way, which no process of the cluster does. It was looked for in 30 further runs
    and was not seen again; nor did 3,800 connections that were broken off in the middle of an answer (``hang_up``)
    ever end a process of the cluster. So attackers that die of a signal
    are replaced; a process of the cluster that dies is a fault.
    """
    for seed in range(SEED, SEED + 3):
        with attackers(cluster, seed, *kind) as attack:
            while attack.poll() is None:
                for well in wells:
                    well.go_on()
            done = attack.stdout.read()
        if attack.returncode >= 0:
            break
        print(f"the attackers ended with {attack.returncode}")
    assert attack.returncode == 0
    return done


def attackers(cluster, seed, *kind):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.live.attackers", str(seed), str(SECONDS), *kind, *addresses_of(cluster)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_payload_above_the_limit_is_answered_and_a_frame_far_above_it_is_not(cluster, context):
    """Given a client whose payload is only a bit too long, then it is told so; a frame beyond all bounds ends its
    connection, and nobody else's."""
    for address in (cluster.requests("p1"), cluster.requests("n1", cluster.active("n1"))):
        with closing(dealer(context, address)) as client, closing(dealer(context, address)) as other:
            client.rcvtimeo = client.sndtimeo = other.rcvtimeo = other.sndtimeo = 30_000
            client.send_multipart([b"long", b" " * (1024 * 1024 + 1)])
            ref, payload = client.recv_multipart()
            assert (ref, json.loads(payload)["code"]) == (b"long", 4)
            other.send_multipart([b"a", b'{"message":"RequestPing"}'])
            assert other.recv_multipart()[0] == b"a"
            client.send_multipart([b"longer", b" " * (20 * 1024 * 1024)])
            assert not client.poll(300)
            other.send_multipart([b"b", b'{"message":"RequestPing"}'])
            assert other.recv_multipart()[0] == b"b"
