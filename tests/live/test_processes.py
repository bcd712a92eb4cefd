"""What an operator's process manager sees: one process a node, whatever happens to its members."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bench.cluster import ROOT
from bench.plan import Plan, configure
from broker.config.listing import listing
from broker.config.load import load
from tests.live.pace import PATIENCE_S, stretched

IXN = Path(sys.executable).with_name("ixn")


@pytest.fixture
def pair(start_cluster):
    """One node, its two members under a supervisor."""
    return start_cluster(nodes=1, proxies=0)


def alive(pids):
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


class TestNode:
    def test_a_killed_member_comes_back_and_the_node_goes_on(self, pair):
        killed = pair.kill("n1", "primary")
        pair.wait_until(lambda: pair.active("n1") == "backup")
        pair.wait_until_healthy()

        assert pair.pid("n1", "primary") not in (None, killed)

    def test_sigterm_ends_all_of_it_within_five_seconds(self, pair):
        members = [pair.pid("n1", member) for member in ("primary", "backup")]

        assert pair.end("n1", limit_s=stretched(5.0)) == 0
        assert alive(members) == []

    def test_members_end_when_their_supervisor_was_killed(self, pair):
        members = [pair.pid("n1", member) for member in ("primary", "backup")]
        pair.end("n1", number=signal.SIGKILL)

        pair.wait_until(lambda: alive(members) == [])

    def test_a_stopped_member_is_killed_at_the_end(self, pair):
        stopped = pair.kill("n1", "backup", signal.SIGSTOP)

        assert pair.end("n1", limit_s=stretched(5.0)) == 0
        assert alive([stopped]) == []


class TestRefusals:
    def test_a_wrong_configuration_ends_the_node_with_78(self, pair):
        pair.file.write_text(pair.file.read_text().replace("tenant = 101", "tenant = 102"))
        said = pair.ixn("node", "n1")

        assert said.returncode == 78
        assert "cluster.toml:" in said.stderr

    def test_an_unknown_node_is_a_wrong_command(self, pair):
        assert pair.ixn("node", "n7").returncode == 64


@pytest.mark.skipif(not IXN.exists(), reason="ixn is not installed beside this Python")
class TestTour:
    """``make run``."""

    @pytest.fixture
    def tour(self, tmp_path):
        """The tour on free ports; it ends with the test."""
        configuration = configure(tmp_path, Plan(), load(str(ROOT / "cluster.toml")))
        file, log = tmp_path / "cluster.toml", tmp_path / "log"
        file.write_text(listing(configuration))
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.tour"],
                cwd=ROOT,
                env={**os.environ, "IXN_CONFIG": str(file)},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        process.log = log
        yield process
        started = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.wait()
        for one in started:
            one.kill()

    def test_it_plays_stays_and_ends_with_ctrl_c(self, tour, wait_until):
        wait_until(lambda: "goes on until Ctrl-C" in tour.log.read_text() or tour.poll() is not None)
        started = [child.pid for child in psutil.Process(tour.pid).children(recursive=True)]
        os.killpg(tour.pid, signal.SIGINT)

        assert tour.wait(PATIENCE_S) == 0, tour.log.read_text()
        assert alive(started) == []
        assert "The counts of stream and file match." in tour.log.read_text()
