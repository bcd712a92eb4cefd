"""Scatter-gather on real processes: a find that every node answers, through the proxy and through plain pyzmq proxies.

All stand in front of the same nodes and are asked in turn, a block of requests each, so whatever else the machine does
meets all of them: a ratio is the median over the turns of how much faster the cluster's proxy was than the plain one
(``spliced`` does not look at what nodes answer, ``ordered`` gives the same reply as the cluster's). The request looks
up an external id, which costs a node a few µs; what is measured is the way there and back.

``cpu_us`` is processor time per request: of the proxy, of all nodes together, and of the driver, which is no bottleneck
as long as its share is small and the group "fanout: driver" shows many times the rate.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import orjson
import pytest
import zmq

from bench.cluster import Cluster
from bench.driver import Document, Driver, Meter, pid_of
from bench.notes import note, rate
from bench.peers import started
from bench.plan import Plan, free_ports

TURNS = 15
WARM_UP = 2
REQUESTS = {1: 60, 64: 500}
"""Requests in a block, by how many are in flight."""


class Shape(NamedTuple):
    """What each node answers. :param interactions: that are found; :param text: bytes of user data more than a few"""

    interactions: int
    text: int


SHAPES = {"0.5 kB": Shape(1, 0), "4 kB": Shape(1, 3600), "8 x 0.5 kB": Shape(8, 0)}
"""Bare properties of an interaction are 0.4 kB."""
CASES = [(1, "0.5 kB"), (1, "4 kB"), (64, "0.5 kB"), (64, "4 kB"), (64, "8 x 0.5 kB")]
PEERS = ("spliced", "ordered")


class Way:
    """One proxy, asked block by block. :param pids: of the processes that work for it, by name"""

    def __init__(self, driver: Driver, pids: dict[str, list[int]]) -> None:
        self.driver = driver
        self.pids = pids
        self.begin()

    def begin(self) -> None:
        """Forgets what was measured."""
        self.blocks_s: list[float] = []
        self.meter = Meter(self.pids)

    def block(self, payload: bytes, number: int, in_flight: int) -> None:
        """Asks so many times."""
        self.meter.start()
        began = perf_counter()
        self.driver.flood(payload, number, in_flight)
        self.blocks_s.append(perf_counter() - began)
        self.meter.stop()

    def rate(self, number: int) -> int:
        """Requests per second."""
        return round(number / median(self.blocks_s))

    def cpu_us(self, number: int) -> dict[str, float]:
        """Processor time per request, by process."""
        return self.meter.microseconds(number * len(self.blocks_s))


def slower(way: Way, than: Way) -> float:
    """How many times the time of ``than`` a way takes, in the middle of all turns."""
    return round(median(one / other for one, other in zip(way.blocks_s, than.blocks_s, strict=True)), 2)


def submit(shape: str) -> Document:
    """A request that brings in an interaction of this shape."""
    user_data = {"Subject": "Card blocked", "Customer": "33052234"}
    if SHAPES[shape].text:
        user_data["Text"] = ("My card was blocked yesterday, although " * 100)[: SHAPES[shape].text]
    return {
        "message": "RequestSubmit",
        "tenant_id": 101,
        "media_type": "email",
        "queue": "Inbound",
        "external_id": shape,
        "user_data": user_data,
    }


def find(shape: str) -> Document:
    """The request that is measured."""
    return {"message": "RequestFindInteractions", "tenant_id": 101, "condition": f"external_id = '{shape}'"}


def fill(cluster: Cluster, nodes: list[str]) -> None:
    """The nodes get the interactions of every shape, in turn, so that a merged list takes from all of them in turn."""
    clients = [Driver(cluster.context, cluster.requests(node), kind="MediaServer") for node in nodes]
    for name, shape in SHAPES.items():
        for _ in range(shape.interactions):
            for client in clients:
                client.ask(submit(name))
    for client in clients:
        client.close()


def checked_size(ways: dict[str, Way], shape: str, expected: int) -> int:
    """The length of the reply in bytes, after a look whether all proxies have found the same."""
    replies = [way.driver.ask(find(shape))[0]["interactions"] for way in ways.values()]
    found = {tuple(sorted(one["interaction_id"] for one in reply)) for reply in replies}
    assert [len(ids) for ids in found] == [expected]
    return len(orjson.dumps(replies[0]))


@pytest.fixture(scope="module", params=[1, 2, 4, 8], ids="{} nodes".format)
def ways(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Way]]:
    """So many nodes, without backups and with interactions, and all proxies in front of them."""
    plan = Plan(nodes=request.param, proxies=1, backups=False, supervised=False)
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(tmp_path_factory.mktemp("fanout"), plan))
        names = list(cluster.configuration.nodes)
        fill(cluster, names)
        shared = {"nodes": [pid_of(cluster, name) for name in names], "driver": [os.getpid()]}
        driver = Driver(cluster.context, cluster.requests("p1"))
        ways = {"ixn": Way(driver, {"proxy": [pid_of(cluster, "p1")], **shared})}
        for peer in PEERS:
            address = f"tcp://127.0.0.1:{next(free_ports())}"
            pid = stack.enter_context(started("plain_gather", peer, address, *map(cluster.requests, names)))
            ways[peer] = Way(Driver(cluster.context, address, kind=None), {"proxy": [pid], **shared})
        yield ways
        for way in ways.values():
            way.driver.close()


@pytest.mark.benchmark(group="fanout")
@pytest.mark.parametrize(("in_flight", "shape"), CASES, ids=[f"{number} in flight, {shape}" for number, shape in CASES])
def test_fanout(benchmark: Any, ways: dict[str, Way], in_flight: int, shape: str) -> None:
    """Finds through the proxy, before every block one through each of the plain ones."""
    nodes = len(ways["ixn"].pids["nodes"])
    size = checked_size(ways, shape, nodes * SHAPES[shape].interactions)
    number = REQUESTS[in_flight]
    block = orjson.dumps(find(shape)), number, in_flight
    for way in ways.values():
        way.begin()

    def peers() -> None:
        for peer in PEERS:
            ways[peer].block(*block)

    benchmark.pedantic(ways["ixn"].block, block, setup=peers, rounds=TURNS, warmup_rounds=WARM_UP)
    benchmark.extra_info |= {
        "reply_bytes": size,
        "per_second": {name: way.rate(number) for name, way in ways.items()},
        "times_spliced": slower(ways["spliced"], ways["ixn"]),
        "times_ordered": slower(ways["ordered"], ways["ixn"]),
        "cpu_us": ways["ixn"].cpu_us(number),
        "spliced_cpu_us": {name: us for name, us in ways["spliced"].cpu_us(number).items() if name != "driver"},
    }


@pytest.mark.benchmark(group="fanout: driver")
@pytest.mark.parametrize("in_flight", REQUESTS)
@pytest.mark.parametrize("size", [2000, 16_000])
def test_driver(benchmark: Any, in_flight: int, size: int) -> None:
    """The driver alone, against a ROUTER that answers at once: with it no bench can be faster."""
    address = f"tcp://127.0.0.1:{next(free_ports())}"
    number = 10 * REQUESTS[in_flight]
    with ExitStack() as stack:
        stack.enter_context(started("echo", address, str(size)))
        driver = Driver(stack.enter_context(zmq.Context()), address, kind=None)
        driver.flood(b"{}", number, in_flight)
        benchmark.pedantic(driver.flood, (b"{}", number, in_flight), rounds=TURNS)
        driver.close()
    note(benchmark, per_second=rate(number))
