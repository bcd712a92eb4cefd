"""Scatter-gather on real processes: a find that every node answers, through the proxy and through a plain pyzmq proxy.

Both stand in front of the same nodes and are asked in turn, a block of requests each, so whatever else the machine does
meets both: ``ratio`` is the median over neighbouring blocks of how much faster the proxy was. The request looks up an
external id, which costs a node a few µs; what is measured is the way there and back.

The columns ``… µs`` are processor time per request of the proxy, of all nodes together, and of the driver, which is no
bottleneck as long as its share is small and the group "fanout: driver" shows many times the rate.
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
from bench.driver import Document, Driver, Meter
from bench.peers import started
from bench.plan import Plan, free_ports

BLOCKS = 21
WARM_UP = 2
REQUESTS = {1: 60, 64: 600}
"""Requests in a block, by how many are in flight."""


class Shape(NamedTuple):
    """What each node holds. :param interactions: that are found; :param text: bytes of user data more than a few"""

    interactions: int
    text: int


SHAPES = {"0.5 kB": Shape(1, 0), "4 kB": Shape(1, 3600), "8 x 0.5 kB": Shape(8, 0)}
"""A node's reply. Bare properties are 0.4 kB."""

CASES = [(in_flight, shape) for in_flight in REQUESTS for shape in SHAPES if in_flight > 1 or shape != "8 x 0.5 kB"]


class Field:
    """Nodes with interactions, a proxy and a plain proxy in front of them."""

    def __init__(self, cluster: Cluster, plain: str, plain_pid: int) -> None:
        self.cluster = cluster
        self.nodes = list(cluster.configuration.nodes)
        self.ixn = Driver(cluster.context, cluster.requests("p1"))
        self.plain = Driver(cluster.context, plain, kind=None)
        pids = {"proxy": [_pid(cluster, "p1")], "nodes": [_pid(cluster, node) for node in self.nodes]}
        pids["driver"] = [os.getpid()]
        self.pids = pids
        self.plain_pids = {**pids, "proxy": [plain_pid]}

    def fill(self) -> None:
        """Every node gets the interactions of every shape."""
        for node in self.nodes:
            client = Driver(self.cluster.context, self.cluster.requests(node), kind="MediaServer")
            for name, shape in SHAPES.items():
                client.ask(*[submit(name, shape)] * shape.interactions)
            client.close()

    def check(self, shape: str) -> int:
        """Both find everything. Returns the size of the reply in bytes."""
        replies = [driver.ask(orjson.loads(find(shape)))[0] for driver in (self.ixn, self.plain)]
        ids = [sorted(one["interaction_id"] for one in reply["interactions"]) for reply in replies]
        assert ids[0] == ids[1]
        assert len(ids[0]) == len(self.nodes) * SHAPES[shape].interactions
        return len(orjson.dumps(replies[0]))


def _pid(cluster: Cluster, name: str) -> int:
    pid = cluster.pid(name)
    assert pid is not None, f"{name} does not run"
    return pid


def submit(shape: str, what: Shape) -> Document:
    """A request that brings in an interaction of this shape."""
    user_data = {"Subject": "Card blocked", "Customer": "33052234"}
    if what.text:
        user_data["Text"] = ("My card was blocked yesterday, although " * 100)[: what.text]
    return {
        "message": "RequestSubmit",
        "tenant_id": 101,
        "media_type": "email",
        "queue": "Inbound",
        "external_id": shape,
        "user_data": user_data,
    }


def find(shape: str) -> bytes:
    """The request that is measured."""
    return orjson.dumps(
        {"message": "RequestFindInteractions", "tenant_id": 101, "condition": f"external_id = '{shape}'"}
    )


@pytest.fixture(scope="module", params=[1, 2, 4, 8], ids="{} nodes".format)
def field(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """So many nodes without backups, and both proxies."""
    plan = Plan(nodes=request.param, proxies=1, backups=False, supervised=False)
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(tmp_path_factory.mktemp("fanout"), plan))
        front = f"tcp://127.0.0.1:{next(free_ports())}"
        nodes = [cluster.requests(node) for node in cluster.configuration.nodes]
        field = Field(cluster, front, stack.enter_context(started("plain_gather", front, *nodes)))
        field.fill()
        yield field
        field.ixn.close()
        field.plain.close()


@pytest.mark.benchmark(group="fanout")
@pytest.mark.parametrize(("in_flight", "shape"), CASES, ids=lambda value: str(value))
def test_fanout(benchmark: Any, field: Field, in_flight: int, shape: str) -> None:
    """Finds through the proxy; before every block one through the plain proxy."""
    size = field.check(shape)
    payload, number = find(shape), REQUESTS[in_flight]
    meter, plain_meter = Meter(field.pids), Meter(field.plain_pids)
    plain_s: list[float] = []

    def plain() -> None:
        meter.stop()
        plain_meter.start()
        began = perf_counter()
        field.plain.flood(payload, number, in_flight)
        plain_s.append(perf_counter() - began)
        plain_meter.stop()
        meter.start()

    benchmark.pedantic(field.ixn.flood, (payload, number, in_flight), setup=plain, rounds=BLOCKS, warmup_rounds=WARM_UP)
    meter.stop()
    pairs = list(zip(benchmark.stats.stats.data, plain_s[-BLOCKS:], strict=True))
    benchmark.extra_info |= {
        "reply_bytes": size,
        "per_second": round(number / median(ixn_s for ixn_s, _ in pairs)),
        "plain_per_second": round(number / median(plain_s for _, plain_s in pairs)),
        "ratio": round(median(plain_s / ixn_s for ixn_s, plain_s in pairs), 2),
        **{f"{name} µs": us for name, us in meter.microseconds(number * len(plain_s)).items()},
        **{f"plain {name} µs": us for name, us in plain_meter.microseconds(number * len(plain_s)).items()},
    }


@pytest.mark.benchmark(group="fanout: driver")
@pytest.mark.parametrize("in_flight", REQUESTS)
@pytest.mark.parametrize("size", [500, 4000])
def test_driver(benchmark: Any, in_flight: int, size: int) -> None:
    """The driver alone, against a ROUTER that answers at once: no bench with it can be faster."""
    address = f"tcp://127.0.0.1:{next(free_ports())}"
    number = 10 * REQUESTS[in_flight]
    with ExitStack() as stack:
        stack.enter_context(started("echo", address, str(size)))
        driver = Driver(stack.enter_context(zmq.Context()), address, kind=None)
        driver.flood(b"{}", number, in_flight)
        benchmark.pedantic(driver.flood, (b"{}", number, in_flight), rounds=BLOCKS)
        driver.close()
    benchmark.extra_info["per_second"] = round(number / benchmark.stats.stats.median)
