"""Lines to listed ESP servers: a real ROUTER at the other end, which comes, answers, goes, and comes again."""

from __future__ import annotations

import time
from contextlib import closing

import pytest
import zmq

from bench.plan import free_ports
from broker.config.objects import Addresses, Configuration, ESPServer, Node
from broker.ledger import Ledger
from node.calls import Dialled
from node.lines import Lines


class Told:
    """A core's side of the lines: notes what it is told."""

    def __init__(self):
        self.log = []
        self.counts = Ledger()

    def connected(self, now, name):
        self.log.append(("connected", name))

    def disconnected(self, now, name, unsent):
        self.log.append(("disconnected", name, unsent))

    def answered(self, now, name, refid, payload):
        self.log.append(("answered", name, refid, payload))


class Scene:
    """The lines of one member, and a server's end."""

    def __init__(self, context):
        self.context = context
        self.address = f"tcp://127.0.0.1:{next(free_ports())}"
        nowhere = Addresses(requests="tcp://127.0.0.1:1", events="tcp://127.0.0.1:2")
        configuration = Configuration(
            nodes={"n1": Node(database="sqlite:///n1.db", primary=nowhere, connections=["Sorter"])},
            esp_servers={"Sorter": ESPServer(address=self.address)},
        )
        self.core = Told()
        self.lines = Lines(context, configuration, "n1", lambda: self.core)

    def server(self):
        router = self.context.socket(zmq.ROUTER)
        router.linger = 0
        router.bind(self.address)
        return closing(router)

    def until(self, count, limit_s=10.0):
        """Turns the loop until the core was told so much; returns the last that it was told."""
        until = time.monotonic() + limit_s
        while len(self.core.log) < count and time.monotonic() < until:
            for socket, drain in self.lines.sockets():
                if socket.poll(10):
                    drain()
        assert len(self.core.log) >= count, self.core.log
        return self.core.log[-1]


@pytest.fixture
def scene():
    context = zmq.Context()
    scene = Scene(context)
    yield scene
    scene.lines.keep(open_=False)
    context.destroy(linger=0)


def test_a_server_that_comes_answers_goes_and_comes_again(scene):
    """Given a listed server that is not there, when it comes, then it is known and its answers arrive under their
    references; when it goes, that is known; and when it is back, it is known again."""
    scene.lines.keep(open_=True)
    with scene.server() as router:
        assert scene.until(1) == ("connected", "Sorter")
        scene.lines.send(0.0, [Dialled("Sorter", "r1", b"{}"), Dialled("Sorter", "r2", b"[]")])
        peer, ref, payload = router.recv_multipart()
        assert (ref, payload) == (b"r1", b"{}")
        router.send_multipart([peer, b"r2", b"two", b"r1", b"one"])
        assert scene.until(3)[1:] == ("Sorter", b"r1", b"one")
        router.send_multipart([peer, b"r3", b"three", b"odd"])
        assert scene.until(4)[1:] == ("Sorter", b"r3", b"three")
        assert scene.core.counts["garbage"] == 1
    assert scene.until(5) == ("disconnected", "Sorter", [])
    with scene.server():
        assert scene.until(6) == ("connected", "Sorter")


def test_what_cannot_be_sent_is_said(scene):
    """Given a listed server that is not there, when something is to be sent to it, then the core is told what it has
    not got; and when the server comes, it is known."""
    scene.lines.keep(open_=True)
    scene.lines.send(0.0, [Dialled("Sorter", "r1", b"{}"), Dialled("Sorter", "r2", b"{}")])
    assert scene.core.log == [("disconnected", "Sorter", ["r1", "r2"])]
    with scene.server():
        assert scene.until(2) == ("connected", "Sorter")


def test_a_standby_has_no_lines(scene):
    """Given a server, when a member stops being active, then its line is closed, and opened again with the next
    tenure."""
    with scene.server():
        scene.lines.keep(open_=True)
        scene.until(1)
        scene.lines.keep(open_=False)
        assert scene.lines.sockets() == []
        scene.lines.keep(open_=True)
        assert scene.until(2) == ("connected", "Sorter")
