"""Routing engines in bare pyzmq behind proxies: whatever dies, every interaction is handled by the agent, once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
import zmq

from bench.cluster import ROOT
from broker.config.objects import NodeSettings, ProxySettings
from tests.live.running import follow, now

pytestmark = pytest.mark.timeout(400)

ENGINE = ROOT / "examples" / "bare_engine.py"
PATIENCE_S = 90.0


class Engine:
    """The example, as a process of its own."""

    def __init__(self, cluster, at, name):
        self.log = cluster.folder / f"{name}.out"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", str(ENGINE), "VICKY", cluster.requests(at), name],
                cwd=cluster.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def sent(self, word=""):
        """How many interactions it was sent so far; with a word: as what."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("Greeting ")]
        return sum(word in line for line in lines)

    def is_ready(self, times=1):
        """Whether its strategy was loaded, so many times."""
        return self.log.read_text().count('load {"message":"EventAck"') >= times

    def kill(self, number=signal.SIGKILL):
        os.kill(self.process.pid, number)

    def end(self):
        self.process.kill()
        self.process.wait()


class Bare:
    """A bare DEALER. What has to be read is read by :meth:`pump`."""

    def __init__(self, context, address, kind):
        self.socket = context.socket(zmq.DEALER)
        self.socket.connect(address)
        self.send("hello", "RequestRegisterClient", client_name=f"bare-{kind}", client_type=kind, tenants=[101])
        self.beaten = time.monotonic()

    def send(self, ref, message, **fields):
        self.socket.send_multipart([ref.encode(), json.dumps({"message": message, **fields}).encode()])

    def pump(self):
        """Reads what is there."""
        if time.monotonic() - self.beaten > 0.5:
            self.beaten = time.monotonic()
            self.send("ping", "RequestPing")
        while self.socket.poll(0):
            frames = self.socket.recv_multipart()
            for ref, payload in zip(frames[::2], frames[1::2], strict=True):
                self.read(ref.decode(), json.loads(payload))


class Desk(Bare):
    """An agent that accepts and ends everything. ``handled``: how often each interaction was ended by it."""

    def __init__(self, context, address):
        super().__init__(context, address, "AgentApplication")
        self.handled = Counter()
        self.accepted = set()
        self.send("login", "RequestAgentLogin", tenant_id=101, agent_id="VICKY", media_list={"email": 1})

    def read(self, ref, said):
        if said["message"] == "EventInvite":
            ident = said["interaction"]["interaction_id"]
            self.send(f"accept {ident}", "RequestAccept", interaction_id=ident, ticket_id=said["ticket_id"])
        elif ref.startswith("accept ") and said["message"] == "EventAck":
            self.send(f"stop {ref[7:]}", "RequestStopProcessing", interaction_id=ref[7:])
        elif ref.startswith("stop ") and said["message"] == "EventAck":
            self.handled[ref[5:]] += 1


class Gateway(Bare):
    """A media server. ``idents``: what it has submitted and was acked."""

    def __init__(self, context, address):
        super().__init__(context, address, "MediaServer")
        self.idents = []
        self.asked = 0

    def submit(self, number):
        for _ in range(number):
            self.asked += 1
            self.send(
                f"submit {self.asked}",
                "RequestSubmit",
                tenant_id=101,
                media_type="email",
                queue="Inbound",
                dedup_id=f"{self.asked}",
            )

    def read(self, ref, said):
        if ref.startswith("submit "):
            assert said["message"] == "EventAck", said
            self.idents.append(said["interaction_id"])


@pytest.fixture
def scene(start_cluster, context):
    """Two engines at two proxies, an agent, a media server; ``reach(condition)`` lets them work until it is true."""
    settings = {"keepalive_interval": 1.0}
    cluster = start_cluster(
        node_settings=NodeSettings(**settings, delivering_timeout=4.0), proxy_settings=ProxySettings(**settings)
    )
    engines = [Engine(cluster, "p1", "first"), Engine(cluster, "p2", "second")]
    desk, gateway = Desk(context, cluster.requests("p2")), Gateway(context, cluster.requests("p2"))

    def reach(condition):
        until = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < until, f"{len(desk.handled)} of {gateway.asked} are handled"
            desk.pump()
            gateway.pump()
            time.sleep(0.002)

    try:
        reach(lambda: all(engine.is_ready() for engine in engines))
        yield cluster, engines, desk, gateway, reach
    finally:
        for engine in engines:
            engine.end()


def all_once(cluster, desk, gateway, start):
    """Every interaction was ended once, by the agent, and nothing is left."""
    assert len(gateway.idents) == gateway.asked
    assert desk.handled == dict.fromkeys(gateway.idents, 1)
    register = {"message": "RequestRegisterClient", "client_name": "look", "client_type": "Monitor"}
    find = {"message": "RequestFindInteractions", "require_complete": True}
    assert cluster.ask(cluster.requests("p1"), register, find)[-1]["interactions"] == []
    with follow(cluster, at="p1", start=start) as events:

        def stopped():
            names = [json.loads(line)["event"]["message"] for line in events.lines]
            return names.count("EventProcessingStopped") == gateway.asked

        cluster.wait_until(stopped)


def test_an_engine_that_is_killed_leaves_its_work_to_the_other(scene):
    """Given two engines that route to an agent, when one hangs with work in its hands and is killed, then the other one
    is sent that, too, and all interactions are handled once."""
    cluster, (first, second), desk, gateway, reach = scene
    start = now(cluster)
    gateway.submit(100)
    reach(lambda: len(desk.handled) == 100)
    assert first.sent() and second.sent()
    first.kill(signal.SIGSTOP)
    gateway.submit(100)
    reach(lambda: len(gateway.idents) == 200 and len(desk.handled) >= 150)
    first.kill()
    gateway.submit(100)
    reach(lambda: len(desk.handled) == 300)

    assert second.sent("resubmitted") > 0
    all_once(cluster, desk, gateway, start)


def test_an_engine_whose_proxy_is_killed_comes_back(scene):
    """Given two engines that route to an agent, when the proxy of one is killed and started again, then that engine
    registers and loads anew, and all interactions are handled once."""
    cluster, (first, second), desk, gateway, reach = scene
    start = now(cluster)
    gateway.submit(100)
    reach(lambda: len(desk.handled) >= 40)
    cluster.kill("p1")
    before = first.sent()
    gateway.submit(100)
    reach(lambda: len(desk.handled) == 200)
    reach(lambda: first.is_ready(times=2))
    gateway.submit(100)
    reach(lambda: len(desk.handled) == 300)

    assert first.sent() > before
    all_once(cluster, desk, gateway, start)


def test_a_node_that_fails_over_goes_on_with_the_engines(scene):
    """Given two engines that route to an agent, when a node's active member is killed, then the other member knows what
    they have loaded and hold, and all interactions are handled once."""
    cluster, engines, desk, gateway, reach = scene
    start = now(cluster)
    gateway.submit(150)
    reach(lambda: len(desk.handled) >= 40)
    cluster.kill("n1", cluster.active("n1"))
    gateway.submit(150)
    reach(lambda: len(desk.handled) == 300)

    all_once(cluster, desk, gateway, start)
