"""What a large backlog costs a real pair: memory, the latency of a pull, a take-over, a start.

Group ``backlog``, on bare members with their journal (``synchronous`` full). ``bytes_each`` is what the active member's
memory has grown by per waiting interaction, of which :data:`OWN_BYTES` are the interaction's own user data.
``IXN_BACKLOG`` sets the numbers of waiting interactions, separated by commas.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from bench.cluster import MEMBERS, REGISTER, Cluster
from bench.driver import Driver
from bench.plan import Plan

BACKLOGS = [int(number) for number in os.environ.get("IXN_BACKLOG", "1000,100000,1000000").split(",")]
IN_FLIGHT = 512
LIMIT_S = 300.0
PAUSE_S = 0.005
USER_DATA = {"Subject": "Card blocked", "Text": "x" * 160}
OWN_BYTES = len(orjson.dumps(USER_DATA))
SUBMIT = {
    "message": "RequestSubmit",
    "tenant_id": 101,
    "media_type": "email",
    "queue": "Inbound",
    "priority": 2,
    "user_data": USER_DATA,
}
PULL = {"message": "RequestPull", "tenant_id": 101, "view_id": "Inbound/all"}


class Pair:
    """One node whose members are bare processes, with so many waiting interactions."""

    def __init__(self, cluster: Cluster, waiting: int) -> None:
        self.cluster = cluster
        self.waiting = waiting
        empty = self._memory()
        driver = Driver(cluster.context, cluster.requests("n1", self.active), "MediaServer")
        driver.flood(orjson.dumps(SUBMIT), waiting, min(IN_FLIGHT, waiting))
        driver.close()
        self.cluster.wait_until(self.is_followed, LIMIT_S)
        self.bytes_each = round((self._memory() - empty) / waiting)

    @property
    def active(self) -> str:
        """The active member."""
        member = self.cluster.active("n1")
        assert member is not None, "no member is active"
        return member

    @property
    def standby(self) -> str:
        """The other one."""
        return MEMBERS[1 - MEMBERS.index(self.active)]

    def _memory(self) -> int:
        return int(psutil.Process(self.cluster.pid("n1", self.active)).memory_info().rss)

    def is_followed(self) -> bool:
        """The standby has all that the active member has."""
        pongs = [self.cluster.ping("n1", member, limit_s=5.0) or {} for member in MEMBERS]
        return pongs[0].get("rev") == pongs[1].get("rev")

    def serves(self, member: str) -> None:
        """Waits until a member has acked a submit."""
        until = time.monotonic() + LIMIT_S
        while not self._has_acked(member):
            assert time.monotonic() < until, f"the {member} does not serve"
            time.sleep(PAUSE_S)

    def _has_acked(self, member: str) -> bool:
        register = {**REGISTER, "client_type": "MediaServer"}
        replies = self.cluster.ask(self.cluster.requests("n1", member), register, SUBMIT, limit_s=1.0)
        return [reply["message"] for reply in replies][1:] == ["EventAck"]


@pytest.fixture(scope="module", params=BACKLOGS, ids=lambda waiting: f"{waiting:,}")
def pair(request: Any, tmp_path_factory: Any) -> Iterator[Pair]:
    """A pair with a backlog."""
    folder: Path = tmp_path_factory.mktemp("backlog")
    with Cluster(folder, Plan(nodes=1, proxies=0, supervised=False)) as cluster:
        yield Pair(cluster, request.param)


@pytest.mark.benchmark(group="backlog")
def test_pull(benchmark: Any, pair: Pair) -> None:
    """One pull by one client, with its fsync."""
    driver = Driver(pair.cluster.context, pair.cluster.requests("n1", pair.active), "RoutingEngine")
    pulled: list[dict[str, Any]] = []

    def stop() -> None:
        while pulled:
            ident = pulled.pop()["interactions"][0]["interaction_id"]
            driver.ask({"message": "RequestStopProcessing", "interaction_id": ident})

    benchmark.pedantic(lambda: pulled.extend(driver.ask(PULL)), setup=stop, rounds=300, warmup_rounds=5)
    stop()
    driver.close()
    benchmark.extra_info.update(waiting=pair.waiting, bytes_each=pair.bytes_each, own_bytes=OWN_BYTES)


@pytest.mark.benchmark(group="backlog")
def test_take_over(benchmark: Any, pair: Pair) -> None:
    """kill -9 of the active member to the first submit that the other one has acked."""
    benchmark.extra_info["waiting"] = pair.waiting
    benchmark.pedantic(pair.serves, setup=_killed(pair), rounds=3)


def _killed(pair: Pair) -> Callable[[], tuple[tuple[str], dict[str, Any]]]:
    """The active member is killed; what was killed before has come back."""

    def kill() -> tuple[tuple[str], dict[str, Any]]:
        for member in MEMBERS:
            if pair.cluster.pid("n1", member) is None:
                pair.cluster.start("n1", member)
        pair.cluster.wait_until_healthy(LIMIT_S)
        pair.cluster.wait_until(pair.is_followed, LIMIT_S)
        standby = pair.standby
        pair.cluster.kill("n1", pair.active)
        return (standby,), {}

    return kill


@pytest.mark.benchmark(group="backlog")
def test_start(benchmark: Any, pair: Pair) -> None:
    """The start of a member alone, from its database, to the first submit that it has acked."""
    for member in MEMBERS:
        if pair.cluster.pid("n1", member) is None:
            pair.cluster.start("n1", member)
    pair.cluster.wait_until_healthy(LIMIT_S)
    pair.cluster.end("n1", "backup")

    def start() -> None:
        pair.cluster.start("n1", "primary")
        pair.serves("primary")

    benchmark.extra_info["waiting"] = pair.waiting
    benchmark.pedantic(start, setup=lambda: pair.cluster.end("n1", "primary") and None, rounds=3)
