"""Commands of ixn that run beside a test: started, looked at, and gone at the end, by pid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import count
from types import TracebackType
from typing import Any

from bench.cluster import ROOT, Cluster
from tests.live.pace import PATIENCE_S

_numbers = count(1)


class Running:
    """``ixn`` with ``arguments``, under way; what it prints goes to files in the cluster's folder."""

    def __init__(self, cluster: Cluster, *arguments: str) -> None:
        name = f"ixn-{next(_numbers)}"
        self._out, self._err = cluster.folder / f"{name}.out", cluster.folder / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "broker.cli", "--config", str(cluster.file), *arguments],
                cwd=cluster.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if error is not None:
            print(f"--- {self._err.name}\n{self.errors[-2000:]}")

    @property
    def is_under_way(self) -> bool:
        """It has not ended."""
        return self.process.poll() is None

    @property
    def output(self) -> str:
        """What it has printed to stdout so far."""
        return self._out.read_text()

    @property
    def errors(self) -> str:
        """What it has printed to stderr so far."""
        return self._err.read_text()

    @property
    def lines(self) -> list[str]:
        """The whole lines of its output so far."""
        return self.output.split("\n")[:-1]

    def wait(self, limit_s: float) -> int:
        """Its exit code, once it has ended by itself. :raises subprocess.TimeoutExpired"""
        return self.process.wait(limit_s)

    def interrupt(self, limit_s: float = PATIENCE_S) -> int:
        """Ends it as Ctrl-C does; returns its exit code. :raises subprocess.TimeoutExpired"""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(limit_s)


class Replay(Running):
    """``ixn replay --speed max -o json``. :param limit: rows of the sample day; None: all"""

    LIMIT_S = 180.0
    """The longest it may take here; thirty seconds are promised for two cores without anybody else."""

    def __init__(self, cluster: Cluster, limit: int | None = None) -> None:
        super().__init__(cluster, "replay", "--speed", "max", "-o", "json", *(["--limit", str(limit)] if limit else []))

    def report(self) -> dict[str, Any]:
        """What it says at the end; it has to be a match."""
        code = self.wait(self.LIMIT_S)
        assert code == 0, f"ended with {code}: {self.errors[-2000:]}{self.output[-2000:]}"
        report: dict[str, Any] = json.loads(self.output)
        assert report["match"] is True
        return report


def follow(cluster: Cluster, *options: str, at: str | None = None, start: str = "oldest") -> Running:
    """``ixn events`` from a cursor, or from the oldest event. :param at: the proxy; None: any, as it may choose"""
    connect = ["--connect", f"{cluster.requests(at)},{cluster.events(at)}"] if at else []
    return Running(cluster, *connect, "events", "--from", start, *options)


def now(cluster: Cluster) -> str:
    """The cursor of this moment."""
    register = {"message": "RequestRegisterClient", "client_name": "now", "client_type": "ReportingEngine"}
    state = {"message": "RequestStartPlaceAgentStateReportingAll"}
    return str(cluster.ask(cluster.requests("p1"), register, state)[1]["cursor"])


def events_of(cluster: Cluster, through: str = "p1") -> int:
    """How many events the nodes have said so far, as a proxy hears it twice a second."""
    status = cluster.status(through) or {}
    return sum(node.get("next_seq") or 0 for node in status.get("nodes", {}).values())
