"""``make run``: the cluster of the Procfile, a stretch of the sample day is played into it. A shell.

honcho, which reads the Procfile, is started in a session of its own: Ctrl-C reaches only this process, which then lets
the cluster drain.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import orjson
import psutil

from broker.config.faults import ConfigurationFaults
from broker.config.load import load
from broker.config.objects import Configuration, Node, Proxy

from .cluster import tree

CALLS = 200
HEALTHY_LIMIT_S = 30.0
STOP_LIMIT_S = 8.0
LOOK_S = 0.2
BIN = Path(sys.executable).parent

HINTS = """
The cluster goes on until Ctrl-C. In another terminal, after `. .venv/bin/activate`:

  ixn status                    nodes, members and proxies: who is active, what waits
  ixn events                    the event stream of all nodes, as it happens
  ixn replay --speed 300        the whole sample day, 300 times faster; watch it in `ixn events`
  kill -9 {pid:<21} ends the active member of {node}; `ixn status` shows how the other takes over
  ixn --help                    everything else
"""


class TourFailure(Exception):
    """The cluster could not be shown; the text says why."""


def main() -> int:
    """Starts, plays, waits. Returns the exit code: 0 after Ctrl-C or SIGTERM, 1 when something went wrong."""
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: shells start background jobs deaf to it
        signal.signal(number, signal.default_int_handler)
    try:
        configuration = load(os.environ.get("IXN_CONFIG", "cluster.toml"))
        refuse_busy_ports(configuration)
        with Foreman() as foreman:
            show(configuration, foreman)
    except KeyboardInterrupt:
        say("The cluster has ended.")
        return 0
    except (ConfigurationFaults, TourFailure) as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


def say(text: str) -> None:
    """A line of the tour's own."""
    print(text, flush=True)


class Foreman:
    """honcho with the Procfile's processes."""

    def __enter__(self) -> Foreman:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "honcho", "start"],
            env=environment(),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def __exit__(self, *error: object) -> None:
        """Lets the cluster drain; what does not end, or not before a second Ctrl-C, is killed."""
        running = tree(self._process)
        if not running:
            return
        say("\nDraining the cluster ...")
        self._process.terminate()
        try:
            psutil.wait_procs(running, timeout=STOP_LIMIT_S)
        finally:
            for process in running:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.wait()

    def check(self) -> None:
        """:raises TourFailure: it has ended"""
        if self._process.poll() is not None:
            raise TourFailure(f"The cluster has ended by itself (honcho: {self._process.returncode}), see above.")

    def wait(self) -> None:
        """Waits for its end, which is a failure. :raises TourFailure: always"""
        self._process.wait()
        self.check()


def show(configuration: Configuration, foreman: Foreman) -> None:
    """The tour, on a cluster that is just starting."""
    say(f"Starting the Procfile: nodes {', '.join(configuration.nodes)}, proxies {', '.join(configuration.proxies)}")
    took_s = wait_until_healthy(foreman)
    say(f"\nThe cluster is healthy after {took_s:.1f} s. Playing the first {CALLS} calls of the sample day into it:\n")
    if ixn("replay", "--limit", str(CALLS), "--speed", "max").returncode:
        raise TourFailure("The replay failed, see above.")
    node = next(iter(configuration.nodes))
    say(HINTS.format(node=node, pid=active_pid(node) or "PID"))
    foreman.wait()


def wait_until_healthy(foreman: Foreman) -> float:
    """Returns the seconds it took. :raises TourFailure: it takes too long"""
    began = time.monotonic()
    while status().get("state") != "healthy":
        foreman.check()
        if time.monotonic() - began > HEALTHY_LIMIT_S:
            raise TourFailure(f"Not healthy within {HEALTHY_LIMIT_S:g} s: {', '.join(status().get('why', []))}")
        time.sleep(LOOK_S)
    return time.monotonic() - began


def active_pid(node: str) -> int | None:
    """The pid of the active member of ``node``."""
    members = status().get("nodes", {}).get(node, {}).get("members", {})
    return next((member.get("pid") for member in members.values() if member.get("role") == "active"), None)


def status() -> dict[str, Any]:
    """What ``ixn status`` says; empty when it says nothing."""
    said = subprocess.run(
        [BIN / "ixn", "status", "-o", "json"], env=environment(), capture_output=True, check=False
    ).stdout
    try:
        document: dict[str, Any] = orjson.loads(said)
    except orjson.JSONDecodeError:
        return {}
    return document


def ixn(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Runs ``ixn``; its output is seen."""
    return subprocess.run([BIN / "ixn", *arguments], env=environment(), check=False)


def environment() -> dict[str, str]:
    """This process's, with the commands of its own Python first."""
    return {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}


def refuse_busy_ports(configuration: Configuration) -> None:
    """Another cluster at the same addresses would answer in place of this one.

    :raises TourFailure: somebody listens there
    """
    pairs: list[Node | Proxy] = [*configuration.nodes.values(), *configuration.proxies.values()]
    members = [member for pair in pairs for member in (pair.primary, pair.backup) if member is not None]
    addresses = [address for member in members for address in (member.requests, member.events)]
    busy = [address for address in addresses if address.startswith("tcp://") and is_busy(address)]
    if busy:
        others = f" and {len(busy) - 1} more of this cluster's addresses" if busy[1:] else ""
        raise TourFailure(f"Somebody listens at {busy[0]}{others} already. Does a cluster run in another terminal?")


def is_busy(address: str) -> bool:
    """Somebody listens at a ``tcp://`` address."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    with closing(socket.socket()) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, int(port))) == 0


if __name__ == "__main__":
    sys.exit(main())
