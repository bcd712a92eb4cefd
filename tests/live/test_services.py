"""ESP with real processes and bare pyzmq: servers that register and that are listed, and a node that fails over while
requests are under way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager

import pytest
import zmq
from msgspec.structs import replace

from bench.cluster import ROOT, Cluster
from bench.plan import Plan, free_ports
from broker.config.load import load
from broker.config.objects import ESPServer
from tests.live.pace import PATIENCE_S
from tests.live.running import follow, now

pytestmark = pytest.mark.timeout(400)

LISTED = {"Service": "Translate", "Method": "ToEnglish"}
REGISTERED = {"Service": "Classify", "Method": "ByText", "Parameters": {"Text": "My card is blocked"}}


@pytest.fixture(scope="module")
def address():
    return f"tcp://127.0.0.1:{next(free_ports())}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, address):
    """Two pairs, two proxies; every node is to connect to the ESP server Dragoman."""
    listed = ESPServer(address=address, application_type="TranslationServer", services=["Translate"])
    domain = replace(load(str(ROOT / "cluster.toml")), esp_servers={"Dragoman": listed})
    with Cluster(tmp_path_factory.mktemp("services") / "cluster", Plan(), domain) as cluster:
        yield cluster


@contextmanager
def dragoman(address):
    """A listed server: a bound ROUTER that answers what comes, under the reference that it came with."""
    ended, seen = threading.Event(), []

    def serve():
        with zmq.Context() as context, closing(context.socket(zmq.ROUTER)) as router:
            router.linger = 0
            router.bind(address)
            while not ended.is_set():
                if router.poll(50):
                    peer, ref, payload = router.recv_multipart()
                    seen.append(json.loads(payload)["esp_server_refid"])
                    answer = {"message": "Event3rdServerResponse", "response": {"Text": "hello"}}
                    router.send_multipart([peer, ref, json.dumps(answer).encode()])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


@contextmanager
def sorter(cluster, proxy):
    """The example of a server that registers, as a process of its own."""
    command = [sys.executable, str(ROOT / "examples/bare_service.py"), cluster.requests(proxy)]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Asker:
    """A media server at a proxy, in bare pyzmq."""

    def __init__(self, cluster, proxy):
        self.socket = cluster.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(cluster.requests(proxy))
        self.sent = 0
        self.replies = {}
        self.ask("RequestRegisterClient", client_name="asker", client_type="MediaServer")
        self.collect(1, PATIENCE_S)

    def ask(self, message, **fields):
        self.sent += 1
        self.socket.send_multipart([b"%d" % self.sent, json.dumps({"message": message, **fields}).encode()])
        return b"%d" % self.sent

    def collect(self, count, limit_s):
        """Waits until there are so many replies."""
        until = time.monotonic() + limit_s
        while len(self.replies) < count and time.monotonic() < until:
            if self.socket.poll(100):
                ref, payload = self.socket.recv_multipart()
                if ref:
                    assert ref not in self.replies
                    self.replies[ref] = json.loads(payload)
        assert len(self.replies) >= count, f"{len(self.replies)} of {count} replies"


@pytest.fixture
def asker(cluster):
    cluster.wait_until_healthy()
    asker = Asker(cluster, "p2")
    with closing(asker.socket):
        yield asker


def until_served(asker, request):
    """Asks until there is a server for it."""
    for _ in range(100):
        ref = asker.ask("Request3rdServer", tenant_id=101, request=request, timeout=5)
        asker.collect(asker.sent, PATIENCE_S)
        if asker.replies[ref].get("code") != 80:
            return asker.replies[ref]
        time.sleep(0.1)
    raise AssertionError("no server came")


def kill_active(cluster, node):
    member = cluster.active(node)
    os.kill(cluster.ping(node, member)["pid"], signal.SIGKILL)


@pytest.mark.parametrize("which", ["registered", "listed"])
def test_a_node_fails_over_while_requests_are_under_way(cluster, address, asker, which):
    """Given an ESP server and a client at two proxies, when the active member of a node is killed while requests that
    may be repeated are under way, then each of them is answered once, and reporting has both legs of each."""
    request = REGISTERED if which == "registered" else LISTED
    start = now(cluster)
    with sorter(cluster, "p1"), dragoman(address), follow(cluster, start=start) as reader:
        assert until_served(asker, request)["message"] == "Event3rdServerResponse"
        first = asker.sent
        for number in range(400):
            asker.ask("Request3rdServer", tenant_id=101, request=request, repeatable=True, timeout=20)
            if number == 150:
                kill_active(cluster, "n1")
            if number % 10 == 0:
                asker.collect(max(len(asker.replies), 1), 0.1)
        asker.collect(asker.sent, PATIENCE_S)
        said = [asker.replies[b"%d" % (first + 1 + number)] for number in range(400)]

        assert {reply["message"] for reply in said} == {"Event3rdServerResponse"}
        refids = {reply["esp_server_refid"] for reply in said}
        assert len(refids) == 400
        assert {reply["server"] for reply in said} == {"sorter" if which == "registered" else "Dragoman"}
        cluster.wait_until(lambda: len(responded(reader)) >= len(refids))
        events = [body for body in responded(reader) if body["esp_server_refid"] in refids]
        assert len(events) == 400


def responded(reader):
    events = [json.loads(line)["event"] for line in reader.lines]
    return [event["body"] for event in events if event["message"] == "EventExternalServiceResponded"]


def test_a_server_that_is_killed_is_missed_and_its_successor_found(cluster, asker):
    """Given a registered server that is killed, when it is asked what may not be repeated, then the client hears that
    nobody has got it; and when another one registers, that one is asked."""
    with sorter(cluster, "p1") as process:
        assert until_served(asker, REGISTERED)["response"] == {"Category": "Cards"}
        process.kill()
        process.wait()
        codes = []
        while codes[-3:] != [80, 80, 80]:  # every node; what was on its way when the server died may be an 81
            ref = asker.ask("Request3rdServer", tenant_id=101, request=REGISTERED, timeout=2)
            asker.collect(asker.sent, PATIENCE_S)
            codes.append(asker.replies[ref]["code"])
        assert codes.count(81) <= 2 and len(codes) <= 5
    with sorter(cluster, "p2"):
        assert until_served(asker, REGISTERED)["message"] == "Event3rdServerResponse"
