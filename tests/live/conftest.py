"""Real clusters for live tests: own processes, free ports, everything in the test's folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.cluster import Cluster
from bench.plan import Plan
from tests.live.pace import PATIENCE_S

HERE = Path(__file__).parent
OUTCOME = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is live, so ``-m 'not live'`` leaves it out."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.live)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Notes for the fixtures whether the test has failed."""
    report = yield
    if call.excinfo is not None:
        item.stash[OUTCOME] = False
    return report


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """``wait_until(condition)``: asks again and again, and fails when the answer stays false."""

    def wait(condition: Callable[[], object], limit_s: float = PATIENCE_S) -> None:
        until = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < until, f"not true within {limit_s} s"
            time.sleep(0.02)

    return wait


@pytest.fixture
def start_cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Cluster]]:
    """``start_cluster(nodes=4)``: a healthy cluster after :class:`bench.plan.Plan`; it ends with the test.

    The tails of its logs are shown when the test has failed.
    """
    clusters: list[Cluster] = []

    def start(**plan: object) -> Cluster:
        cluster = Cluster(tmp_path / f"cluster{len(clusters) + 1}", Plan(**plan))  # type: ignore[arg-type]
        cluster.__enter__()
        clusters.append(cluster)
        return cluster

    yield start
    killed = [one for cluster in clusters for one in cluster.stop()]
    if not request.node.stash.get(OUTCOME, True):
        print("".join(cluster.tails() for cluster in clusters))
    assert not killed, f"did not end in time and was killed: {killed}"


@pytest.fixture
def cluster(start_cluster: Callable[..., Cluster]) -> Cluster:
    """The default cluster: two pairs, two proxies; healthy."""
    return start_cluster()
