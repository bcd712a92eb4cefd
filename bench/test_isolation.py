"""Whether clients that do not read slow an ordinary client down: its p50 and p99, alone and with them, by turns.

Requests go out at an even pace, whether or not the ones before are answered, and are timed from when they were due: so
a stall counts for all that it holds up. Three kinds of windows take turns: alone, alone once more (the floor: how much
two like windows differ on this machine), and disturbed, by a subscriber of all events that reads none and by a client
that asks for much and takes no reply. A ratio is the median over the turns of what is compared within one turn.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from statistics import median
from typing import Any

import orjson
import pytest
import zmq

from bench.cluster import Cluster
from bench.driver import LIMIT_MS, Driver
from bench.plan import Plan
from bench.test_core import SUBMIT
from broker.sockets import Context

PACE_S = 0.004
"""Between two requests: far from what a proxy can do, so that waiting is somebody's fault."""
REQUESTS = 1000
"""Of a window; its p99 is the tenth longest."""
TURNS = 7
UNREAD = 2000
"""Replies that the silent client leaves untaken."""
PING = b'{"message":"RequestPing"}'
STOP = b'{"message":"RequestStopProcessing","interaction_id":"%b"}'
ALONE, AGAIN, DISTURBED = "alone", "alone again", "disturbed"

Window = tuple[float, float]
"""The p50 and p99 of a window, in seconds."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes without backups, one proxy."""
    plan = Plan(nodes=2, proxies=1, backups=False, supervised=False)
    with Cluster(tmp_path_factory.mktemp("isolation"), plan) as cluster:
        yield cluster


class Ordinary:
    """Submits interactions and stops them, at an even pace. A request's ref is when it was due."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._open: deque[bytes] = deque()
        """Interactions that were submitted and are not stopped yet."""

    def window(self) -> Window:
        """The pace kept for a while. :raises AssertionError: a request was refused, or is not answered in time"""
        took_s: list[float] = []
        began = time.monotonic()
        for number in range(REQUESTS):
            due = began + number * PACE_S
            while (left_s := due - time.monotonic()) > 0:
                if self._socket.poll(max(int(left_s * 1000), 0)):
                    self._take(took_s)
            self._ask(number, due)
        while len(took_s) < REQUESTS:
            assert self._socket.poll(LIMIT_MS), "a reply is missing"
            self._take(took_s)
        took_s.sort()
        return took_s[REQUESTS // 2], took_s[REQUESTS * 99 // 100]

    def _ask(self, number: int, due: float) -> None:
        stops = bool(number % 2 and self._open)
        payload = STOP % self._open.popleft() if stops else SUBMIT
        self._socket.send_multipart((orjson.dumps([due, not stops]), payload))

    def _take(self, took_s: list[float]) -> None:
        frames = self._socket.recv_multipart()
        now = time.monotonic()
        for at in range(0, len(frames), 2):
            due, submitted = orjson.loads(frames[at])
            reply = orjson.loads(frames[at + 1])
            assert reply["message"] == "EventAck", reply
            took_s.append(now - due)
            if submitted:
                self._open.append(reply["interaction_id"].encode())


@contextmanager
def disturbed(context: Context, cluster: Cluster) -> Iterator[None]:
    """Meanwhile a subscriber does not read, and a client has asked much that it does not take."""
    with closing(context.socket(zmq.SUB)) as subscriber, closing(context.socket(zmq.DEALER)) as silent:
        for socket in (subscriber, silent):
            socket.linger, socket.rcvhwm, socket.rcvbuf = 0, 1, 4096
        subscriber.subscribe(b"")
        subscriber.connect(cluster.events("p1"))
        silent.sndtimeo = LIMIT_MS
        silent.connect(cluster.requests("p1"))
        for _ in range(UNREAD):
            silent.send_multipart((b"", PING))
        yield


@pytest.mark.benchmark(group="isolation: clients that do not read")
def test_isolation(benchmark: Any, cluster: Cluster) -> None:
    """7 turns of three windows of 1,000 requests, 250 in a second."""
    windows: dict[str, list[Window]] = {ALONE: [], AGAIN: [], DISTURBED: []}
    with closing(Driver(cluster.context, cluster.requests("p1"), "MediaServer")) as driver:
        ordinary = Ordinary(driver.socket)
        ordinary.window()

        def turn() -> None:
            windows[ALONE].append(ordinary.window())
            with disturbed(cluster.context, cluster):
                windows[DISTURBED].append(ordinary.window())
            windows[AGAIN].append(ordinary.window())

        benchmark.pedantic(turn, rounds=TURNS)
    for place, name in enumerate(("p50", "p99")):
        benchmark.extra_info[f"{name} ms"] = {
            kind: round(median(window[place] for window in those) * 1000, 2) for kind, those in windows.items()
        }
        benchmark.extra_info[f"{name} ratio"] = {
            kind: round(median(a[place] / b[place] for a, b in zip(windows[kind], windows[ALONE], strict=True)), 2)
            for kind in (AGAIN, DISTURBED)
        }
