"""Starts and stops real clusters: own processes, free loopback ports, databases and logs in a folder. A shell.

    with Cluster(folder, Plan(nodes=4)) as cluster:
        reply = cluster.ask(cluster.requests("p1"), {"message": "RequestPing"})
        cluster.kill("n1", "primary")
        cluster.wait_until_healthy()

What queues, views and tenants there are comes from the checkout's ``cluster.toml``. Processes end by pid, and also when
the process that has started them is gone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
import psutil
import zmq

from broker.config.listing import listing
from broker.config.load import load
from broker.config.objects import Addresses, Configuration, Node, Proxy
from broker.sockets import Context, dealer
from broker.supervisor import SUPERVISOR

from .plan import Plan, configure

ROOT = Path(__file__).resolve().parent.parent
MEMBERS = ("primary", "backup")

START_LIMIT_S = 90.0
"""Far more than a start takes on a machine that has time for it."""
STOP_LIMIT_S = 20.0
"""A supervisor needs at most five, on a machine that has time for it."""
ASK_LIMIT_S = 10.0
PING_LIMIT_S = 2.0
LOOK_S = 0.05
TAIL_LINES = 25


class ClusterFailure(Exception):
    """A cluster did not do what it should; the text ends with the tails of its logs."""


def ask(
    context: Context, address: str, *requests: dict[str, Any], limit_s: float = ASK_LIMIT_S
) -> list[dict[str, Any]]:
    """Sends ``requests`` one after the other from one new client; returns the replies that came in time."""
    until = time.monotonic() + limit_s
    replies: list[dict[str, Any]] = []
    with closing(dealer(context, address)) as client:
        for request in requests:
            client.sndtimeo = client.rcvtimeo = max(int((until - time.monotonic()) * 1000), 1)
            try:
                client.send_multipart([b"", orjson.dumps(request)])
                replies.append(orjson.loads(client.recv_multipart()[-1]))
            except zmq.Again:
                break
    return replies


REGISTER = {"message": "RequestRegisterClient", "client_name": "bench", "client_type": "Monitor"}
UNREGISTER = {"message": "RequestUnregisterClient"}


class Cluster:
    """A running cluster. Entered, it is healthy; left, it is gone.

    :param folder: for its configuration, databases and logs
    :param domain: whose tenants, queues and views to use; the checkout's ``cluster.toml`` by default
    """

    def __init__(self, folder: Path, plan: Plan | None = None, domain: Configuration | None = None) -> None:
        self.folder = folder
        self.plan = plan or Plan()
        self.configuration = configure(folder, self.plan, domain or load(str(ROOT / "cluster.toml")))
        self.file = folder / "cluster.toml"
        self.context: Context = zmq.Context()
        self._processes: dict[tuple[str, str | None], subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Cluster:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file.write_text(listing(self.configuration))
        try:
            for process in self._plan_of_processes():
                self.start(*process)
            self.wait_until_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        killed = self.stop()
        if killed and error is None:
            raise ClusterFailure(f"did not end in {STOP_LIMIT_S} s and was killed: {killed}{self.tails()}")

    # -- where things are

    @property
    def names(self) -> list[str]:
        """All nodes and proxies."""
        return [*self.configuration.nodes, *self.configuration.proxies]

    def members(self, name: str) -> list[str]:
        """The members of a node or proxy."""
        return [member for member in MEMBERS if getattr(self._object(name), member) is not None]

    def requests(self, name: str, member: str = "primary") -> str:
        """Where a member takes requests."""
        return self._addresses(name, member).requests

    def events(self, name: str, member: str = "primary") -> str:
        """Where a member publishes events."""
        return self._addresses(name, member).events

    def _object(self, name: str) -> Node | Proxy:
        return self.configuration.nodes.get(name) or self.configuration.proxies[name]

    def _addresses(self, name: str, member: str) -> Addresses:
        addresses: Addresses = getattr(self._object(name), member)
        return addresses

    # -- what it says

    def ask(self, address: str, *requests: dict[str, Any], limit_s: float = ASK_LIMIT_S) -> list[dict[str, Any]]:
        """Sends requests from one new client; returns the replies that came in time."""
        return ask(self.context, address, *requests, limit_s=limit_s)

    def ping(self, name: str, member: str = "primary", limit_s: float = PING_LIMIT_S) -> dict[str, Any] | None:
        """A member's ``EventPong``; None: it did not answer."""
        replies = self.ask(self.requests(name, member), {"message": "RequestPing"}, limit_s=limit_s)
        return replies[0] if replies else None

    def status(self, name: str = "p1") -> dict[str, Any] | None:
        """A proxy's or node's ``EventStatus``; None: it did not answer."""
        replies = self.ask(self.requests(name), REGISTER, {"message": "RequestGetStatus"}, UNREGISTER)
        return replies[1] if len(replies) > 1 else None

    def active(self, node: str) -> str | None:
        """The member of ``node`` that says it is active; None: none does."""
        for member in self.members(node):
            if (self.ping(node, member) or {}).get("role") == "active":
                return member
        return None

    def wait_until(self, condition: Callable[[], object], limit_s: float = START_LIMIT_S) -> None:
        """Looks again and again until ``condition`` is true.

        :raises ClusterFailure: it was not in time, or a process of the cluster has ended meanwhile
        """
        until = time.monotonic() + limit_s
        while not condition():
            self._fail_if_ended()
            if time.monotonic() > until:
                raise ClusterFailure(f"not as expected within {limit_s} s\n{self.says()}{self.tails()}")
            time.sleep(LOOK_S)

    def wait_until_healthy(self, limit_s: float = START_LIMIT_S) -> None:
        """Waits until every member has its role and every proxy calls the cluster healthy.

        :raises ClusterFailure: it did not become healthy in time, or a process has ended
        """
        self.wait_until(self._is_healthy, limit_s)

    def _is_healthy(self) -> bool:
        return all(self._has_roles(name) for name in self.names) and all(
            (self.status(proxy) or {}).get("state") == "healthy" for proxy in self.configuration.proxies
        )

    def _has_roles(self, name: str) -> bool:
        members = self.members(name)
        roles = [(self.ping(name, member) or {}).get("role") for member in members]
        due = ["active", "standby"] if name in self.configuration.nodes else ["active", "active"]  # proxies all serve
        return sorted(roles, key=str) == due[: len(members)]

    # -- its processes

    def start(self, name: str, member: str | None = None) -> None:
        """Starts the process of a node or proxy (again), or one bare member of it."""
        log = (self.folder / f"{'-'.join(filter(None, (name, member)))}.log").open("ab")
        with closing(log):
            self._processes[name, member] = subprocess.Popen(
                self.command(name, member),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), SUPERVISOR: str(os.getpid())},
            )

    def command(self, name: str, member: str | None) -> list[str]:
        """What to run for a node or proxy."""
        kind = "node" if name in self.configuration.nodes else "proxy"
        alone = ["--member", member] if member else []
        return [sys.executable, "-m", "broker.cli", "--config", str(self.file), kind, name, *alone]

    def ixn(self, *arguments: str, limit_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Runs ``ixn`` with this cluster's configuration; its output is in ``stdout`` and ``stderr``."""
        return subprocess.run(
            [sys.executable, "-m", "broker.cli", "--config", str(self.file), *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )

    def pid(self, name: str, member: str = "primary") -> int | None:
        """The pid of a member's own process; None: it does not run."""
        bare = self._processes.get((name, member))
        if bare is not None:
            return bare.pid if bare.poll() is None else None
        for child in tree(self._processes.get((name, None)))[1:]:
            if member in _arguments(child):
                return child.pid
        return None

    def kill(self, name: str, member: str = "primary", number: int = signal.SIGKILL) -> int:
        """Sends a signal to a member; returns its pid. After SIGSTOP it is waited for until it stands still: on a busy
        machine it may not have come to that yet, and would take a later SIGTERM first.

        :raises ClusterFailure: it does not run
        """
        pid = self.pid(name, member)
        if pid is None:
            raise ClusterFailure(f"the {member} of {name} does not run{self.tails()}")
        os.kill(pid, number)
        if number == signal.SIGSTOP:
            self.wait_until(lambda: _stands_still(pid))
        return pid

    def tell(self, name: str, number: int) -> None:
        """Sends a signal to the process of a node or proxy: its supervisor, if it has one."""
        self._processes[name, None].send_signal(number)

    def end(
        self, name: str, member: str | None = None, number: int = signal.SIGTERM, limit_s: float = STOP_LIMIT_S
    ) -> int:
        """Ends the process of a node or proxy; returns its exit code. :raises subprocess.TimeoutExpired"""
        process = self._processes.pop((name, member))
        process.send_signal(number)
        return process.wait(limit_s)

    def stop(self) -> list[str]:
        """Ends all processes, at last by SIGKILL; returns what had to be killed. May be called twice."""
        running = [process for popen in self._processes.values() for process in tree(popen)]
        for popen in self._processes.values():
            popen.send_signal(signal.SIGTERM)
        left = psutil.wait_procs(running, timeout=STOP_LIMIT_S)[1]
        killed = [" ".join(_arguments(process)) for process in left]
        for process in left:
            process.kill()
        for popen in self._processes.values():
            popen.wait(1.0)
        self.context.destroy(linger=0)
        return killed

    def says(self) -> str:
        """A line of each member and each proxy's status on how they are, to be shown with a failure."""
        lines = [f"{name}: {(self.status(name) or {}).get('why')}" for name in self.configuration.proxies]
        for name in self.names:
            for member in self.members(name):
                pong = self.ping(name, member) or {"role": "does not answer"}
                lines.append(f"{name}/{member}: {pong['role']}, {pong.get('why')}")
        return "\n".join(lines)

    def tails(self, lines: int = TAIL_LINES) -> str:
        """The last lines of every log, to be shown with a failure."""
        tails = []
        for log in sorted(self.folder.glob("*.log")):
            text = log.read_text(errors="replace").splitlines()[-lines:]
            tails.append("\n".join([f"\n--- {log.name}", *text]))
        return "\n".join(tails)

    def _plan_of_processes(self) -> list[tuple[str, str | None]]:
        if self.plan.supervised:
            return [(name, None) for name in self.names]
        return [(name, member) for name in self.names for member in self.members(name)]

    def _fail_if_ended(self) -> None:
        for (name, member), process in self._processes.items():
            if member is None and process.poll() is not None:
                raise ClusterFailure(f"{name} has ended with {process.returncode}{self.tails()}")


def tree(popen: subprocess.Popen[bytes] | None) -> list[psutil.Process]:
    """A running process and all that it has started; empty when it has ended."""
    if popen is None or popen.poll() is not None:
        return []
    process = psutil.Process(popen.pid)
    return [process, *process.children(recursive=True)]


def _stands_still(pid: int) -> bool:
    """Whether a process is stopped, or has ended meanwhile."""
    try:
        return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _arguments(process: psutil.Process) -> list[str]:
    """The command line of a process; empty when it has ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []
