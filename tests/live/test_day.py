"""The sample day plays and matches, whatever happens to the cluster meanwhile: no call is lost, none counted twice."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import pytest

from tests.live.running import Replay, events_of, follow, now
from tests.live.sharing import shared

pytestmark = pytest.mark.timeout(400)

OTHER = {"primary": "backup", "backup": "primary"}
STRETCH = 1000
"""Rows of the day that are enough for something to happen in the middle."""


@pytest.fixture(scope="module")
def cluster(request, tmp_path_factory):
    """The default cluster, for all tests here."""
    with shared(request, tmp_path_factory) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def healthy(cluster):
    """Whatever a test does to the cluster, the next one finds it well."""
    cluster.wait_until_healthy()


@pytest.fixture
def in_the_middle(cluster, wait_until):
    """``in_the_middle(replay, events=1500)``: waits until so much of the day has happened; the replay still runs."""
    before = events_of(cluster, "p2")

    def wait(replay, events=1500):
        wait_until(lambda: events_of(cluster, "p2") >= before + events or not replay.is_under_way)
        assert replay.is_under_way, "it was over before anything could happen to it"

    return wait


def roles(cluster, node):
    return sorted((cluster.ping(node, member) or {}).get("role", "silent") for member in ("primary", "backup"))


def epochs(cluster):
    """Rises by one with every take-over."""
    return sum(cluster.ping(node, cluster.active(node))["epoch"] for node in ("n1", "n2"))


def test_the_whole_day_plays_and_matches(cluster):
    with Replay(cluster) as replay:
        report = replay.report()

    print(f"the day took {report['seconds']} s")
    assert report["stream"]["submitted"] == report["file"]["submitted"] > 1000
    assert report["repeated"] == 0, report["faults"]


def test_an_active_member_is_killed_in_the_middle_of_the_whole_day(cluster, in_the_middle, wait_until):
    """Given two readers of the stream at two proxies, when a node fails over while the day plays, then the day matches
    and both have printed the same lines."""
    start, before = now(cluster), epochs(cluster)
    with (
        follow(cluster, at="p1", start=start) as first,
        follow(cluster, at="p2", start=start) as second,
        Replay(cluster) as replay,
    ):
        in_the_middle(replay, 5000)
        active = cluster.active("n1")
        killed = cluster.kill("n1", active)
        report = replay.report()
        wait_until(lambda: len(first.lines) == len(second.lines) >= report["events"])
        lines = first.lines

    print(f"the day took {report['seconds']} s, {report['repeated']} requests were repeated")
    assert report["repeated"] == 0, f"clients behind a proxy notice nothing but a pause, not {report['faults']}"
    assert lines == second.lines
    assert len(set(lines)) == len(lines)
    cluster.wait_until_healthy()
    assert sum("EventNodeActive" in line for line in lines) == epochs(cluster) - before >= 1
    assert cluster.pid("n1", active) not in (None, killed)


def test_a_proxy_is_killed_in_the_middle(cluster, in_the_middle):
    with Replay(cluster, STRETCH) as replay:
        in_the_middle(replay)
        killed = cluster.kill("p1")
        replay.report()

    cluster.wait_until_healthy()
    assert cluster.pid("p1") != killed


def test_an_active_member_stands_still_for_longer_than_its_lease(cluster, in_the_middle):
    """Given the active member is stopped, when the other has taken over and the first goes on, then it acts no more."""
    with Replay(cluster, STRETCH) as replay:
        in_the_middle(replay)
        stale = cluster.active("n1")
        other = OTHER[stale]
        stopped = cluster.kill("n1", stale, signal.SIGSTOP)
        cluster.wait_until(lambda: (cluster.ping("n1", other) or {}).get("role") == "active")
        with suppress(ProcessLookupError):  # on one host the other member has ended it before it took over
            os.kill(stopped, signal.SIGCONT)
        replay.report()

    cluster.wait_until_healthy()
    assert cluster.active("n1") == other
    assert roles(cluster, "n1") == ["active", "standby"]


def test_both_members_of_a_pair_are_killed(cluster, in_the_middle):
    with Replay(cluster, STRETCH) as replay:
        in_the_middle(replay)
        killed = {cluster.kill("n2", member) for member in ("primary", "backup")}
        replay.report()

    cluster.wait_until_healthy()
    assert killed.isdisjoint({cluster.pid("n2", member) for member in ("primary", "backup")})


def test_members_hand_over_in_order(cluster, in_the_middle):
    """Given the day plays, when one node's active member gets SIGTERM and the other's is told to switch over, then it
    matches; the members are active in turn."""
    before = {node: cluster.active(node) for node in ("n1", "n2")}
    with Replay(cluster, STRETCH) as replay:
        in_the_middle(replay)
        cluster.kill("n1", before["n1"], signal.SIGTERM)
        register = {"message": "RequestRegisterClient", "client_name": "operator", "client_type": "Monitor"}
        replies = cluster.ask(cluster.requests("p2"), register, {"message": "RequestSwitchover", "node": "n2"})
        replay.report()

    assert replies[1]["message"] == "EventAck"
    cluster.wait_until_healthy()
    assert {node: cluster.active(node) for node in before} == {node: OTHER[before[node]] for node in before}
