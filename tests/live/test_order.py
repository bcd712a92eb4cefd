"""The order of a view over all nodes: exact through one proxy; through several, how often it is not.

``IXN_ORDERED`` is the number of interactions: ``IXN_ORDERED=100000 python -m pytest -s tests/live/test_order.py``.
"""

from __future__ import annotations

import os
import random
from contextlib import ExitStack
from itertools import pairwise

import pytest

from bench.plan import Plan
from broker.client import Client
from tests.live.sharing import shared

pytestmark = pytest.mark.timeout(600)

INTERACTIONS = int(os.environ.get("IXN_ORDERED", "5000"))
AT_ONCE = 200
PROXIES = ("p1", "p2", "p3")


@pytest.fixture(scope="module")
def cluster(request, tmp_path_factory):
    """Four nodes and three proxies."""
    with shared(request, tmp_path_factory, Plan(nodes=4, proxies=3, backups=False)) as cluster:
        yield cluster


def submit(client, number):
    """Mails with mixed priorities, which came to the media server in an order of their own."""
    chance = random.Random(number)
    in_flight = []
    for one in range(number):
        request = {
            "message": "RequestSubmit",
            "tenant_id": 101,
            "media_type": "email",
            "queue": "Inbound",
            "priority": chance.randrange(10),
            "received_at": 1_790_000_000.0 + chance.randrange(1000),
            "external_id": str(one),
        }
        in_flight.append(request)
        if len(in_flight) == AT_ONCE:
            acked(client, in_flight)
            in_flight = []
    acked(client, in_flight)


def acked(client, requests):
    replies = client.gather(client.send_all(requests))
    assert {reply["message"] for reply in replies} <= {"EventAck"}


def pull_request(count):
    return {"message": "RequestPull", "tenant_id": 101, "view_id": "Inbound/all", "count": count}


def key(interaction):
    """The order of the view ``Inbound/all``: priority desc, received_at."""
    return -interaction["priority"], interaction["received_at"]


def test_through_one_proxy_the_order_is_exact(cluster):
    """Given mails with mixed priorities over four nodes, when a client pulls them through one proxy, then they
    come in the order of the view, each once."""
    with Client([cluster.requests("p1")], "media", "MediaServer") as media:
        submit(media, INTERACTIONS)
    pulled = []
    with Client([cluster.requests("p1")], "engine", "RoutingEngine") as engine:
        while some := engine.request(pull_request(500))["interactions"]:
            pulled += some
            stop(engine, some)

    assert len({one["interaction_id"] for one in pulled}) == len(pulled) == INTERACTIONS
    assert len({one["interaction_id"][:2] for one in pulled}) == 4
    assert inversions(pulled) == 0
    assert counted(cluster, "p1")["inversions"] == 0


def counted(cluster, proxy):
    """What a proxy says of pulls in its status."""
    return cluster.status(proxy)["proxies"][proxy]["members"]["primary"]["pulls"]


def inversions(pulled):
    """How many came directly behind one that should have come later."""
    return sum(key(one) < key(before) for before, one in pairwise(pulled))


def test_through_three_proxies_each_comes_once_and_few_out_of_order(cluster):
    """Given mails with mixed priorities over four nodes, when three clients pull at the same time, each through a proxy
    of its own, then each mail comes once, and what comes a round later than it should have is counted."""
    with Client([cluster.requests("p1")], "media", "MediaServer") as media:
        submit(media, INTERACTIONS)
    with ExitStack() as stack:
        engines = [
            stack.enter_context(Client([cluster.requests(proxy)], f"engine-{proxy}", "RoutingEngine"))
            for proxy in PROXIES
        ]
        rounds = list(iter(lambda: pulled_together(engines), []))

    late = sum(key(one) < max(map(key, before)) for before, after in pairwise(rounds) for one in after)
    seen = [counted(cluster, proxy) for proxy in PROXIES]
    print(
        f"through three proxies at the same time, ten each: {late} of {INTERACTIONS} late ({late / INTERACTIONS:.2%});"
        f" the proxies themselves saw {sum(one['inversions'] for one in seen)}"
    )
    pulled = [one for some in rounds for one in some]
    assert len({one["interaction_id"] for one in pulled}) == len(pulled) == INTERACTIONS
    assert late < INTERACTIONS / 5
    assert sum(one["inversions"] for one in seen) < INTERACTIONS / 5


def pulled_together(engines):
    """What the engines get that all ask at once. They stop it."""
    asked = [(engine, engine.send_all([pull_request(10)])) for engine in engines]
    granted = [(engine, engine.gather(tokens)[0]["interactions"]) for engine, tokens in asked]
    for engine, some in granted:
        stop(engine, some)
    return [one for _, some in granted for one in some]


def stop(client, interactions):
    acked(
        client,
        [{"message": "RequestStopProcessing", "interaction_id": one["interaction_id"]} for one in interactions],
    )
