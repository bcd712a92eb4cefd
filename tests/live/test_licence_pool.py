"""The seats of a whole cluster, with real processes: several proxies at once, a failover, a dead proxy, fewer seats."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from broker.answers import ClientError
from broker.client import Client
from broker.config.listing import listing
from broker.config.objects import NodeSettings

pytestmark = pytest.mark.timeout(180)

SEAT = "ics_multi_media_agent_seat"
POOL = 6


@pytest.fixture
def cluster(start_cluster):
    """Two pairs with three seats each, which are a pool; two proxies."""
    return start_cluster(licenses={SEAT: POOL // 2}, node_settings=NodeSettings(licence_pool="cluster"))


@pytest.fixture
def desks(cluster):
    """``desks(agent, at)``: an application of its own, and the code of its login: 0, or why not."""
    made = []

    def log_in(agent, at):
        desk = Client([cluster.requests(at)], f"desk {agent}", "AgentApplication", timeout=30)
        made.append(desk)
        asked = {"message": "RequestAgentLogin", "tenant_id": 101, "agent_id": agent, "media_list": {"voice": 1}}
        try:
            desk.request(asked)
        except ClientError as refused:
            return desk, int(refused.code)
        return desk, 0

    yield log_in
    for desk in made:
        desk.close()


def used(cluster, at="p1"):
    """Used seats and their limit, as each node says."""
    nodes = cluster.status(at)["nodes"].values()
    return {tuple(node["licences"][SEAT].values()) for node in nodes if "licences" in node}


def test_a_pool_holds_under_concurrency_failover_and_loss(cluster, desks, wait_until):
    """Given six seats, when twelve agents log in at once through two proxies, then six are in; and it stays so when a
    member and then a proxy is killed; a seat that is left goes to one other; fewer seats log out who came last."""
    with ThreadPoolExecutor(12) as threads:
        asked = [threads.submit(desks, f"A{number}", f"p{number % 2 + 1}") for number in range(12)]
        tried = [one.result() for one in asked]
    inside = [desk for desk, code in tried if not code]
    assert sorted(code for _, code in tried) == [0] * POOL + [30] * POOL
    wait_until(lambda: used(cluster) == {(POOL, POOL)}, 10)

    cluster.kill("n1", cluster.active("n1"))
    assert desks("B", "p1")[1] == 30
    inside[0].request({"message": "RequestAgentLogout"})
    assert sorted(desks(agent, "p2")[1] for agent in ("C", "D")) == [0, 30]
    wait_until(lambda: cluster.active("n1") and used(cluster) == {(POOL, POOL)}, 20)

    cluster.kill("p2")
    wait_until(lambda: desks("E", "p1")[1] == 30, 10)
    cluster.wait_until_healthy()
    cluster.configuration.nodes["n2"].licenses = {SEAT: 1}
    cluster.file.write_text(listing(cluster.configuration))
    assert cluster.ixn("cluster", "reload").returncode == 0
    wait_until(lambda: used(cluster) == {(4, 4)}, 20)
    assert desks("F", "p2")[1] == 30
    text = cluster.ixn("status").stdout
    assert any(line.split()[:4] == [SEAT, "the", "cluster", "4"] for line in text.replace("│", " ").splitlines()), text
