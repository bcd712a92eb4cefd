"""The load of benches, and what it costs: a client as light as can be, and a meter of processor time. A shell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
import psutil
import zmq

from bench.cluster import Cluster
from broker.sockets import Context, Lean

LIMIT_MS = 20_000
"""A reply that takes longer fails the bench."""

Document = dict[str, Any]


class Driver:
    """A DEALER that keeps so many requests in flight; each goes as a message of its own. It does not look at replies.

    :param kind: the client type to register as; None: the server wants no registration
    """

    def __init__(self, context: Context, address: str, kind: str | None = "Monitor") -> None:
        self.socket = Lean(context, zmq.DEALER)
        self.socket.linger = 0
        self.socket.rcvtimeo = self.socket.sndtimeo = LIMIT_MS
        self.socket.connect(address)
        if kind is not None:
            self.ask({"message": "RequestRegisterClient", "client_name": "driver", "client_type": kind})

    def ask(self, *requests: Document) -> list[Document]:
        """The replies to these requests, asked together. An error ends the bench."""
        for request in requests:
            self.socket.send_multipart((b"", orjson.dumps(request)))
        replies = [orjson.loads(self.socket.recv_multipart()[-1]) for _ in requests]
        for reply in replies:
            assert reply["message"] != "EventError", reply
        return replies

    def flood(self, payload: bytes, number: int, in_flight: int) -> None:
        """Asks the same ``number`` times. A reply is two frames, and is taken as such: the driver shall cost little."""
        send, receive = self.socket.send_multipart, self.socket.recv
        message = (b"r", payload)
        for _ in range(in_flight):
            send(message)
        for _ in range(number - in_flight):
            receive()
            receive()
            send(message)
        for _ in range(in_flight):
            receive()
            receive()
        assert not self.socket.rcvmore, "a reply is a pair of frames"

    def close(self) -> None:
        """Ends the connection."""
        self.socket.close()


class Meter:
    """Processor time of processes while it runs, all their threads. It is counted in ticks of 10 ms, so it should run
    for seconds in all.

    :param pids: by a name that stands for one or several
    """

    def __init__(self, pids: Mapping[str, Iterable[int]]) -> None:
        self._processes = {name: [psutil.Process(pid) for pid in them] for name, them in pids.items()}
        self._began: dict[str, float] = {}
        self.seconds = dict.fromkeys(self._processes, 0.0)

    def start(self) -> None:
        """Counts from now on."""
        self._began = self._used()

    def stop(self) -> None:
        """Counts no more. Nothing happens when it does not run."""
        began, self._began = self._began, {}
        for name, used in self._used().items() if began else ():
            self.seconds[name] += used - began[name]

    def _used(self) -> dict[str, float]:
        return {name: sum(map(_cpu_s, them)) for name, them in self._processes.items()}

    def microseconds(self, requests: int) -> dict[str, float]:
        """Per request, by name."""
        return {name: round(seconds / requests * 1e6, 1) for name, seconds in self.seconds.items()}


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def pid_of(cluster: Cluster, name: str) -> int:
    """The process of a node's or proxy's only member."""
    pid = cluster.pid(name)
    assert pid is not None, f"{name} does not run"
    return pid
