"""Random bytes at every port disturb nobody: others are served rightly meanwhile, no process ends, memory stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing

import psutil
import pytest

from bench.cluster import ROOT
from broker.client import Client
from broker.sockets import dealer
from tests.live.sharing import shared

pytestmark = pytest.mark.timeout(120)

SEED, SECONDS = 1999, 6.0
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
        self.client = Client([address], f"well-{address}", "MediaServer", timeout=10.0)
        self.slowest_s = 0.0
        self.number = 0

    def go_on(self):
        """One interaction, from its beginning to its end."""
        self.number += 1
        began = time.monotonic()
        data = {"number": self.number, "text": "Grüße"}
        new = {"tenant_id": 101, "media_type": "email", "queue": "TT", "user_data": data}
        ident = self.ask("RequestSubmit", **new)["interaction_id"]
        self.ask("RequestChangeProperties", interaction_id=ident, changed_properties={"priority": self.number})
        shown = self.ask("RequestGetInteractionProperties", interaction_id=ident)["interaction"]
        assert (shown["user_data"], shown["priority"], shown["queue"]) == (data, self.number, "TT")
        self.ask("RequestStopProcessing", interaction_id=ident)
        self.slowest_s = max(self.slowest_s, (time.monotonic() - began) / 4)

    def ask(self, message, **fields):
        return self.client.request({"message": message, **fields})


def test_random_bytes_on_every_port_disturb_nobody(cluster):
    """Given well-behaved clients at proxies and nodes, when attackers are at every port, then the clients are answered
    rightly all the time, and afterwards every process is the same as before, and not much bigger."""
    actives = [cluster.requests(node, cluster.active(node)) for node in ("n1", "n2")]
    wells = [Well(address) for address in (cluster.requests("p1"), cluster.requests("p2"), *actives)]
    for well in wells:
        well.go_on()
    pids = pids_of(cluster)
    before = memory_of(pids)
    with attackers(cluster) as attack:
        while attack.poll() is None:
            for well in wells:
                well.go_on()
        done = attack.stdout.read()
    for well in wells:
        well.go_on()
        well.client.close()

    assert attack.returncode == 0
    assert pids_of(cluster) == pids
    growth = {"/".join(member): round(now - before[member], 1) for member, now in memory_of(pids).items()}
    print(f"attacks: {done.strip()}\nrounds: {[well.number for well in wells]}")
    print(f"slowest request: {max(well.slowest_s for well in wells):.3f} s; growth in MiB: {growth}")
    assert max(growth.values()) < GROWTH_MIB
    assert max(well.slowest_s for well in wells) < SLOWEST_S
    cluster.wait_until_healthy()


def attackers(cluster):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.live.attackers", str(SEED), str(SECONDS), *addresses_of(cluster)],
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
            client.rcvtimeo = client.sndtimeo = other.rcvtimeo = other.sndtimeo = 5000
            client.send_multipart([b"long", b" " * (1024 * 1024 + 1)])
            ref, payload = client.recv_multipart()
            assert (ref, json.loads(payload)["code"]) == (b"long", 4)
            other.send_multipart([b"a", b'{"message":"RequestPing"}'])
            assert other.recv_multipart()[0] == b"a"
            client.send_multipart([b"longer", b" " * (20 * 1024 * 1024)])
            assert not client.poll(300)
            other.send_multipart([b"b", b'{"message":"RequestPing"}'])
            assert other.recv_multipart()[0] == b"b"
