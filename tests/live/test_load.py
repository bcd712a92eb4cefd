"""Too much load, and clients that do not read: the others are served, memory stays, what is too much is told so."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from contextlib import closing, contextmanager
from statistics import median

import psutil
import pytest

from bench.plan import Plan
from broker.client import Client
from broker.config.objects import NodeSettings, ProxySettings
from broker.sockets import dealer
from tests.live.pace import PATIENCE_S, stretched
from tests.live.running import follow
from tests.live.sharing import shared

pytestmark = pytest.mark.timeout(400)

BOUND = 200
"""Pulls that may be held at once at the node, and calls that may be open at the proxy."""
IN_FLIGHT, FLOODERS, FLOOD_S = 2000, 3, 4.0
GROWTH_MIB = 60
CONTROL_S = 0.5
"""A look at the status, while everybody else is told that there is too much."""
WINDOWS, WINDOW_S = 6, 1.0
UNREAD = 2000

HELD = {
    "message": "RequestPull",
    "tenant_id": 101,
    "view_id": "Inbound/all",
    "extension": {"pull-for-strategy": 1},
}
SUBMIT = {"message": "RequestSubmit", "tenant_id": 101, "media_type": "voice", "queue": "PS"}


@pytest.fixture(scope="module")
def cluster(request, tmp_path_factory):
    """A pair and a proxy with narrow bounds."""
    plan = Plan(
        nodes=1,
        proxies=1,
        node_settings=NodeSettings(max_held_pulls=BOUND, pull_hold_timeout=2.0),
        proxy_settings=ProxySettings(max_pending=BOUND, pull_hold_timeout=2.0),
    )
    with shared(request, tmp_path_factory, plan) as cluster:
        yield cluster


@pytest.fixture(params=["proxy", "node"])
def server(request, cluster):
    """Name and member of who is asked."""
    return ("p1", "primary") if request.param == "proxy" else ("n1", cluster.active("n1"))


class Flood:
    """Pulls on an empty view, as many as a client may have in flight, and a new one for every answer. A thread."""

    def __init__(self, address, number):
        self.client = Client([address], f"flood{number}", "RoutingEngine", timeout=PATIENCE_S)
        self.codes = []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        until = time.monotonic() + FLOOD_S
        with self.client as client:
            while time.monotonic() < until:
                for _ in range(IN_FLIGHT - client.in_flight):
                    client.ask(HELD, self.answered)
                client.idle(0.01)
            while client.in_flight:
                client.idle(0.05)

    def answered(self, answer):
        reply = {"code": repr(answer)} if isinstance(answer, Exception) else json.loads(answer)
        self.codes.append((reply.get("code", 0), "retry_after" in reply))


def test_beyond_the_bounds_all_are_told_so_and_control_goes_on(cluster, server):
    """Given bounds of some hundred, when clients want thousands of things at once for seconds, then each is held or
    told to come again, the status is answered at once all the time, and the process has not grown much."""
    address, pid = cluster.requests(*server), cluster.pid(*server)
    before = psutil.Process(pid).memory_info().rss
    took_s = []
    with Client([address], "operator", "Monitor", timeout=PATIENCE_S) as operator:
        floods = [Flood(address, number) for number in range(FLOODERS)]
        while any(flood.thread.is_alive() for flood in floods):
            for message in ("RequestPing", "RequestGetStatus"):
                began = time.monotonic()
                operator.request({"message": message})
                took_s.append(time.monotonic() - began)
            operator.idle(0.02)
    growth = (psutil.Process(pid).memory_info().rss - before) / 2**20
    codes = [code for flood in floods for code in flood.codes]

    print(
        f"{len(codes)} pulls, {codes.count((91, True))} were told to come again; {len(took_s)} looks at the status:"
        f" median {median(took_s) * 1000:.0f} ms, longest {max(took_s) * 1000:.0f} ms; grew by {growth:.1f} MiB"
    )
    assert set(codes) == {(0, False), (91, True)}
    assert codes.count((91, True)) > 10 * BOUND
    assert median(took_s) < stretched(CONTROL_S)
    assert growth < GROWTH_MIB
    assert cluster.pid(*server) == pid


def test_who_does_not_read_costs_the_others_little(cluster, context):
    """Given a subscriber that is stopped, and a client that asks and does not read, by turns with nobody doing so; then
    an ordinary client's requests take about as long with them as without."""
    took_s = {"alone": [], "disturbed": []}
    with (
        Client([cluster.requests("p1")], "ordinary", "MediaServer", timeout=PATIENCE_S) as client,
        follow(cluster, at="p1", start="oldest") as subscriber,
    ):
        cluster.wait_until(lambda: subscriber.lines or go_on(client, []))
        for _ in range(WINDOWS):
            work(client, took_s["alone"])
            with disturbed(cluster, context, subscriber):
                work(client, took_s["disturbed"])

    for name, times in took_s.items():
        times.sort()
        shown = ", ".join(f"p{share} {times[len(times) * share // 100] * 1000:.1f} ms" for share in (50, 90, 99))
        print(f"{name}: {len(times)} requests, {shown}")
    assert median(took_s["disturbed"]) < 1.5 * median(took_s["alone"]) + 0.005


@contextmanager
def disturbed(cluster, context, subscriber):
    """Meanwhile the subscriber is stopped, and a client has asked much that it does not take."""
    os.kill(subscriber.process.pid, signal.SIGSTOP)
    try:
        with closing(dealer(context, cluster.requests("p1"))) as silent:
            silent.sndtimeo = 30_000
            for _ in range(UNREAD):
                silent.send_multipart([b"", b'{"message":"RequestPing"}'])
            yield
    finally:
        os.kill(subscriber.process.pid, signal.SIGCONT)


def work(client, took_s):
    """Calls come and go for a while."""
    until = time.monotonic() + WINDOW_S
    while time.monotonic() < until:
        go_on(client, took_s)


def go_on(client, took_s):
    """One call; notes how long its requests took."""
    began = time.monotonic()
    ident = client.request(SUBMIT)["interaction_id"]
    between = time.monotonic()
    client.request({"message": "RequestStopProcessing", "interaction_id": ident})
    took_s += [between - began, time.monotonic() - between]
