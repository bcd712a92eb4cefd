"""Nodes come, go and move while a cluster of real processes works, and nobody is started anew for it."""

from __future__ import annotations

import copy
import json
import signal

import pytest

from bench.plan import free_ports
from broker.client import Client
from broker.config.listing import listing
from broker.config.objects import Addresses
from broker.ids import code_of, node_code
from tests.live.pace import PATIENCE_S
from tests.live.running import Replay, follow, now
from tests.live.test_stream import gap_free, lines_of

pytestmark = pytest.mark.timeout(400)

NODES = ("n1", "n2", "n3")


def elsewhere():
    """Two free addresses."""
    ports = free_ports()
    requests, events = (f"tcp://127.0.0.1:{next(ports)}" for _ in range(2))
    return Addresses(requests=requests, events=events)


def wider(cluster):
    """The cluster's configuration, and a third pair."""
    configuration = copy.deepcopy(cluster.configuration)
    third = copy.deepcopy(configuration.nodes["n2"])
    third.database = third.database.replace("n2.db", "n3.db")
    third.primary, third.backup = elsewhere(), elsewhere()
    configuration.nodes["n3"] = third
    configuration.clusters["servers"].connections.append("n3")
    return configuration


def pids(cluster):
    """The processes of the proxies."""
    return [cluster.pid(name) for name in cluster.configuration.proxies]


def reported(cluster, *words, code=0):
    """What a command says as JSON."""
    done = cluster.ixn(*words, "-o", "json")
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


def test_a_pair_is_added_and_taken_out_again_while_a_day_is_played(cluster, tmp_path, wait_until):
    """Given a day that plays, and readers at both proxies, when a third pair is added and, drained, taken out again,
    then the day is played to its end, all events come once and in order, and no proxy was started anew."""
    narrow, proxies, start = cluster.file.read_text(), pids(cluster), now(cluster)
    cluster.configuration = wider(cluster)
    cluster.file.write_text(listing(cluster.configuration))
    cluster.start("n3")
    wait_until(lambda: cluster.active("n3"))
    with (
        follow(cluster, at="p1", start=start) as one,
        follow(cluster, at="p2", start=start) as other,
        Replay(cluster) as replay,
    ):
        # A pair comes: it runs, and all read of it.
        wait_until(lambda: len(one.lines) > 200)
        assert reported(cluster, "cluster", "reload")["kept"] == {}
        wait_until(lambda: len(lines_of(one.lines, "n3")) > 100)
        assert replay.is_under_way
        # It goes: first nothing new comes there, then it is empty, then it is taken out of the file.
        file = tmp_path / "narrow.toml"
        file.write_text(narrow)
        assert reported(cluster, "drain", "n3", "--wait", "--timeout", str(PATIENCE_S))["interactions"] == 0
        document = reported(cluster, "cluster", "apply", str(file))
        assert (document["to_end"], document["kept"]) == (["n3"], {})
        wait_until(lambda: set((cluster.status() or {})["nodes"]) == {"n1", "n2"})
        assert cluster.end("n3") == 0
        cluster.configuration.nodes.pop("n3")
        report = replay.report()
        wait_until(lambda: len(one.lines) == len(other.lines) >= report["events"])
        assert (one.interrupt(), other.interrupt()) == (0, 0)
    assert pids(cluster) == proxies
    for node in NODES:
        events = lines_of(one.lines, node)
        assert events and gap_free(events) and events == lines_of(other.lines, node)
    first = lines_of(one.lines, "n3")[0]
    assert first["seq"] - first.get("echoes", 0) <= 2, "its own first word, that it is active, may be history"
    print(f"{len(lines_of(one.lines, 'n3'))} of {len(one.lines)} events were of the third pair")


def test_a_node_with_interactions_is_not_taken_out_and_one_that_is_not_started_is_named(cluster, tmp_path):
    """Given a third pair in a file, when that is applied, then it is said that the pair is to be started; when it has
    an interaction, a file without it is refused as a whole."""
    narrow, wide = cluster.file.read_text(), tmp_path / "wide.toml"
    cluster.configuration = wider(cluster)
    wide.write_text(listing(cluster.configuration))
    done = cluster.ixn("cluster", "apply", str(wide))
    assert done.returncode == 0 and "n3 does not run yet: start it" in done.stderr
    cluster.start("n3")
    cluster.wait_until_healthy()
    with Client(cluster.requests("p1"), "bank", "MediaServer", context=cluster.context) as media:
        submit = {"message": "RequestSubmit", "tenant_id": 101, "media_type": "email", "queue": "Inbound"}
        made = []

        def is_everywhere():
            made.append(media.request(submit)["interaction_id"])
            return {code_of(ident) for ident in made} == set(map(node_code, NODES))

        cluster.wait_until(is_everywhere)  # a pair that has just come gets nothing new for some seconds
        file = tmp_path / "narrow.toml"
        file.write_text(narrow)
        refused = cluster.ixn("cluster", "apply", str(file))
        assert refused.returncode == 1
        assert "n3 refuses: nodes.n3: cannot be removed, n3 has 1 interaction there" in refused.stderr
        for ident in made:
            assert media.request({"message": "RequestStopProcessing", "interaction_id": ident})["message"] == "EventAck"
    assert reported(cluster, "cluster", "apply", str(file))["to_end"] == ["n3"]


def let_read(cluster, text, folder):
    """The proxies read another configuration: by ixn cluster apply of a file in a folder, or by SIGHUP."""
    if folder is not None:
        file = folder / "new.toml"
        file.write_text(text)
        document = reported(cluster, "cluster", "apply", str(file), code=1)
        assert list(document["kept"]) == ["n1"], "only the node waits for its restart"
        return
    cluster.file.write_text(text)
    for name in cluster.configuration.proxies:
        cluster.tell(name, signal.SIGHUP)


def test_a_pair_moves_one_member_after_the_other(cluster, tmp_path, wait_until):
    """Given a pair, when first its standby and then its active member is started anew at another address, then its
    interactions are there all the time, and no proxy was started anew."""
    proxies, active = pids(cluster), cluster.active("n1")
    with Client(cluster.requests("p1"), "bank", "MediaServer", context=cluster.context) as media:
        submit = {"message": "RequestSubmit", "tenant_id": 101, "media_type": "email", "queue": "Inbound"}
        made = [media.request(submit)["interaction_id"] for _ in range(4)]
        for member in ({"primary": "backup", "backup": "primary"}[active], active):
            old = cluster.pid("n1", member)
            configuration = copy.deepcopy(cluster.configuration)
            setattr(configuration.nodes["n1"], member, elsewhere())
            let_read(cluster, listing(configuration), tmp_path if member != active else None)
            cluster.kill("n1", member, signal.SIGTERM)  # its supervisor starts it anew, at the new address
            cluster.configuration = configuration
            for ident in made:
                read = media.request({"message": "RequestGetInteractionProperties", "interaction_id": ident})
                assert read["interaction"]["interaction_id"] == ident
            wait_until(lambda old=old, member=member: cluster.pid("n1", member) not in (None, old))
            cluster.wait_until_healthy()
    assert pids(cluster) == proxies
    assert cluster.active("n1") != active
