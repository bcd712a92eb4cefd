"""What happens when a node's database cannot be used: a tool holds its lock; the file is damaged, or another's."""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import closing

import pytest

from bench.plan import Plan
from broker.answers import ClientError
from broker.client import Client
from broker.config.objects import NodeSettings
from tests.live.sharing import shared
from tests.node.sqlite_tool import Tool

pytestmark = pytest.mark.timeout(300)

LEASE_S = 1.0
SUBMIT = {"message": "RequestSubmit", "tenant_id": 101, "media_type": "email", "queue": "Inbound"}
MEMBERS = ("primary", "backup")


@pytest.fixture(scope="module")
def cluster(request, tmp_path_factory):
    """One pair with a short lease and a proxy, for all tests here."""
    plan = Plan(nodes=1, proxies=1, node_settings=NodeSettings(lease_timeout=LEASE_S))
    with shared(request, tmp_path_factory, plan) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def healthy(cluster):
    """Whatever a test does to the cluster, the next one finds it well."""
    cluster.wait_until_healthy()


def pids(cluster):
    return {member: cluster.pid("n1", member) for member in MEMBERS}


def submitted(client):
    """The reply to one submit, also when it is an error."""
    try:
        return client.request(SUBMIT)
    except ClientError as error:
        return error.reply


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="only Linux says who has a lock")
@pytest.mark.parametrize("at", ["proxy", "node"])
def test_a_tool_that_holds_the_lock_for_longer_than_the_lease_gets_nobody_killed(cluster, at):
    """Given clients at work, when a tool is in a transaction for four times the length of the lease, then requests get
    an error that names it, no process is ended, nobody takes over, and when it is gone all goes on."""
    active = cluster.active("n1")
    before, epoch = pids(cluster), cluster.ping("n1", active)["epoch"]
    address = cluster.requests("p1") if at == "proxy" else cluster.requests("n1", active)
    with Client([address], "mail", "MediaServer") as client, Tool(str(cluster.folder / "n1.db")) as tool:
        assert submitted(client)["message"] == "EventAck"
        tool.execute("BEGIN IMMEDIATE")
        number = client.send({**SUBMIT, "external_id": f"waits-{at}"}, timeout=60.0)
        client.idle(0.5)
        until, errors = time.monotonic() + 4 * LEASE_S, []
        while time.monotonic() < until:
            errors.append(submitted(client))
            client.idle(0.05)
        members = cluster.status()["nodes"]["n1"]["members"]
        tool.execute("ROLLBACK")
        assert client.gather([number])[0]["message"] == "EventAck"
        assert submitted(client)["message"] == "EventAck"

    named = re.compile(rf"process {tool.process.pid} \(python.*\) holds its lock")
    assert {error["code"] for error in errors} == {60} and len(errors) > 3
    assert all(named.search(error["detail"]) for error in errors)
    assert all(str(tool.process.pid) in members[member]["why"] for member in MEMBERS), members
    cluster.wait_until_healthy()
    assert pids(cluster) == before
    assert (cluster.active("n1"), cluster.ping("n1", active)["epoch"]) == (active, epoch)


class TestRefused:
    """Given a node that is down, when its file is damaged, or is another node's, then its members say so in one line
    each and in the status, look at it again only from time to time, and serve as soon as the right file is there."""

    def damage(self, file):
        """A page in the middle becomes rubbish."""
        with file.open("r+b") as data:
            data.seek(4096 * 2)
            data.write(b"\xa5" * 4096 * 3)

    def of_another_node(self, file):
        with Tool(str(file)) as tool:
            tool.execute("UPDATE meta SET node = 'n9'")

    def empty(self, file):
        file.write_bytes(b"")

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            (damage, "is damaged"),
            (of_another_node, "belongs to node 'n9', not to 'n1'"),
            (empty, "the file is empty"),
        ],
    )
    def test_it_is_refused_by_name_and_looked_at_again(self, cluster, spoil, said):
        file, copy, log = cluster.folder / "n1.db", cluster.folder / "copy.db", cluster.folder / "n1.log"
        cluster.end("n1")
        with Tool(str(file)) as tool:
            copy.unlink(missing_ok=True)
            tool.execute("VACUUM INTO ?", str(copy))
        spoil(self, file)
        begins = log.stat().st_size

        cluster.start("n1")
        cluster.wait_until(
            lambda: all((cluster.ping("n1", member) or {}).get("role") == "stopped" for member in MEMBERS)
        )
        cluster.wait_until(lambda: str((cluster.status() or {}).get("why")).count(said) == len(MEMBERS))
        assert cluster.status()["nodes"]["n1"]["state"] == "down"
        assert said in cluster.ping("n1", "backup")["why"]
        with closing(log.open()) as lines:
            lines.seek(begins)
            text = lines.read()
        refusals = [line for line in text.splitlines() if "the database cannot be used" in line]
        assert len(refusals) == len(MEMBERS) and all("n1.db" in line and said in line for line in refusals)
        assert "Traceback" not in text

        for name in (file, cluster.folder / "n1.db-wal", cluster.folder / "n1.db-shm"):
            name.unlink(missing_ok=True)
        shutil.copy(copy, file)
        cluster.wait_until_healthy()
        with closing(log.open()) as lines:
            lines.seek(begins)
            text = lines.read()
        assert text.count("exited with 65 (its database is refused)") == len(MEMBERS)
