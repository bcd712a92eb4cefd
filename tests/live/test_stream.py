"""The one stream, read by real readers: the same everywhere, and nothing lost or doubled on the way between proxies."""

from __future__ import annotations

import json

import pytest

from tests.live.pace import PATIENCE_S
from tests.live.running import Replay, follow, now
from tests.live.sharing import shared

pytestmark = pytest.mark.timeout(400)

HOP = 250
"""Events that a reader takes before it goes to the other proxy."""


@pytest.fixture(scope="module")
def cluster(request, tmp_path_factory):
    """The default cluster, for all tests here."""
    with shared(request, tmp_path_factory) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def healthy(cluster):
    """Whatever a test does to the cluster, the next one finds it well."""
    cluster.wait_until_healthy()


def test_a_reader_goes_from_proxy_to_proxy_with_its_cursor(cluster, wait_until):
    """Given the day plays, when a reader changes proxies again and again, then it has read what one that stayed has."""
    hops = []
    start = now(cluster)
    with follow(cluster, at="p1", start=start) as staying, Replay(cluster, 500) as replay:
        for at in ("p2", "p1", "p2", "p1"):
            with follow(cluster, "--count", str(HOP), at=at, start=start) as hop:
                assert hop.wait(PATIENCE_S) == 0
                hops += hop.lines
                start = json.loads(hops[-1])["cursor"]
        with follow(cluster, at="p2", start=start) as last:
            report = replay.report()
            wait_until(lambda: len(hops) + len(last.lines) == len(staying.lines) >= report["events"])
            assert (last.interrupt(), staying.interrupt()) == (0, 0)
            assert [*hops, *last.lines] == staying.lines


def test_a_reader_whose_proxy_is_killed_goes_on_at_the_other(cluster, wait_until):
    """Given a reader that may choose its proxy, when first one and then the other is killed, then it misses nothing."""
    start = now(cluster)
    with follow(cluster, start=start) as roaming, Replay(cluster, 500) as replay:
        for proxy, seen in (("p1", 300), ("p2", 900)):
            wait_until(lambda seen=seen: len(roaming.lines) >= seen)
            cluster.kill(proxy)
            cluster.wait_until_healthy()
        report = replay.report()
        with follow(cluster, at="p1", start=start) as late:
            wait_until(lambda: len(late.lines) == len(roaming.lines) >= report["events"])
            assert late.lines == roaming.lines
    assert all(gap_free(lines_of(late.lines, node)) for node in ("n1", "n2"))


def lines_of(lines, node):
    """The events of one node."""
    return [event for event in (json.loads(line)["event"] for line in lines) if event["node"] == node]


def gap_free(events):
    """Each has the number after the one before it; the echoes that the stream leaves out are counted."""
    numbers = [(event["seq"], event.get("echoes", 0)) for event in events]
    return all(seq == before + 1 + echoes for (before, _), (seq, echoes) in zip(numbers, numbers[1:], strict=False))
