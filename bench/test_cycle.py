"""The whole way of an interaction through one proxy: submit, pull, stop, on real processes with their journals.

A routing engine's client keeps so many interactions under way; what comes together goes out together. ``cpu_us`` is
processor time per request, of which a cycle has three: of the proxy, of all nodes together, of the driver. The driver
is no ``broker.client``: it only does what the cycle needs. The nodes commit with ``synchronous`` full.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import zmq

from bench.cluster import Cluster
from bench.driver import Driver, Meter, pid_of
from bench.notes import note, rate
from bench.plan import Plan
from bench.test_core import PULL, SUBMIT
from broker.config.objects import ProxySettings

CYCLES = 1000
"""Interactions in a round."""
ROUNDS = 9
REQUESTS_A_CYCLE = 3
STOP = b'{"message":"RequestStopProcessing","interaction_id":"%b"}'


class Cycle:
    """A driver that plays cycles. Its requests' refs are what was asked: s, p, e for submit, pull, end."""

    def __init__(self, driver: Driver) -> None:
        self.socket = driver.socket
        self.asked = 0
        self.ended = 0
        self._begun = 0

    def play(self, cycles: int, under_way: int) -> None:
        """So many cycles, so many of them at once."""
        self.ended = self._begun = 0
        send, receive = self.socket.send_multipart, self.socket.recv_multipart
        pairs = [frame for _ in range(under_way) for frame in self._submit(cycles)]
        while self.ended < cycles:
            if pairs:
                self.asked += len(pairs) // 2
                send(pairs)
            pairs = []
            frames = receive()
            while frames:
                for at in range(0, len(frames), 2):
                    pairs += self._next(frames[at], frames[at + 1], cycles)
                try:
                    frames = receive(zmq.NOBLOCK)
                except zmq.Again:
                    frames = []

    def _next(self, ref: bytes, payload: bytes, cycles: int) -> tuple[bytes, ...]:
        """What follows from a reply."""
        if ref == b"s":
            return b"p", PULL
        if ref == b"e":
            self.ended += 1
            return self._submit(cycles)
        pulled = orjson.loads(payload)["interactions"]
        # Nothing yet: others were quicker at the node that was asked.
        return (b"e", STOP % pulled[0]["interaction_id"].encode()) if pulled else (b"p", PULL)

    def _submit(self, cycles: int) -> tuple[bytes, ...]:
        if self._begun == cycles:
            return ()
        self._begun += 1
        return b"s", SUBMIT


PLANS = [(2, "global"), (4, "global"), (2, "round-robin"), (4, "round-robin")]


@pytest.fixture(scope="module", params=PLANS, ids=[f"{nodes} nodes, {order}" for nodes, order in PLANS])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """So many nodes without backups, one proxy with this ``pull-order``."""
    nodes, order = request.param
    settings = ProxySettings(pull_order=order)
    plan = Plan(nodes=nodes, proxies=1, backups=False, supervised=False, proxy_settings=settings)
    with Cluster(tmp_path_factory.mktemp("cycle"), plan) as cluster:
        yield cluster


@pytest.mark.benchmark(group="cycle: submit, pull, stop through one proxy")
@pytest.mark.parametrize("under_way", [1, 64, 256], ids="{} under way".format)
def test_cycle(benchmark: Any, cluster: Cluster, under_way: int) -> None:
    """Requests per second, and what they cost."""
    nodes = [pid_of(cluster, name) for name in cluster.configuration.nodes]
    meter = Meter({"proxy": [pid_of(cluster, "p1")], "nodes": nodes, "driver": [os.getpid()]})
    driver = Driver(cluster.context, cluster.requests("p1"), kind="RoutingEngine")
    cycle = Cycle(driver)
    cycles = CYCLES if under_way > 1 else CYCLES // 10
    cycle.play(cycles, under_way)
    cycle.asked = 0
    meter.start()
    benchmark.pedantic(cycle.play, (cycles, under_way), rounds=ROUNDS)
    meter.stop()
    driver.close()
    note(benchmark, per_second=rate(cycles * REQUESTS_A_CYCLE))
    benchmark.extra_info |= {
        "asked_again": cycle.asked - cycles * ROUNDS * REQUESTS_A_CYCLE,
        "cpu_us": meter.microseconds(cycle.asked),
    }
