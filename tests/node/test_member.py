"""A whole member with its sockets and its database, turned by hand instead of by its loop."""

from __future__ import annotations

import json
import time
from contextlib import closing
from types import SimpleNamespace

import pytest

from bench.plan import free_ports
from broker.clock import to_us
from broker.loop import Stalls
from broker.sockets import dealer
from node.member import NodeMember
from node.store import open_store
from node.store.holder import this_holder
from tests.node.conftest import make_configuration

HELLO = {"message": "RequestRegisterClient", "client_name": "mail", "client_type": "MediaServer"}
SUBMIT = {"message": "RequestSubmit", "tenant_id": 101, "media_type": "email", "queue": "Inbound"}


@pytest.fixture
def configuration(tmp_path):
    found = make_configuration()
    node, ports = found.nodes["n1"], free_ports()
    node.database = f"sqlite:///{tmp_path}/n1.db"
    node.primary.requests, node.primary.events = (f"tcp://127.0.0.1:{next(ports)}" for _ in range(2))
    return found


class Driven:
    """The member, and a client that is connected to it."""

    def __init__(self, member, client):
        self.member, self.client = member, client

    def turn(self):
        self.member.turn(time.time())

    def receive(self):
        """Takes what has come in, as the loop does before a turn."""
        sockets = self.member.sockets()
        assert sockets[0][0].poll(5000), "nothing came"
        for _, drain in sockets:
            drain()

    def replies(self, count):
        found = []
        while len(found) < count and self.client.poll(5000):
            frames = self.client.recv_multipart()
            found += [json.loads(payload) for payload in frames[1::2]]
        return found

    def ask(self, *messages):
        self.client.send_multipart([part for message in messages for part in (b"", json.dumps(message).encode())])


@pytest.fixture
def driven(configuration):
    member = NodeMember(configuration, "n1", "primary", Stalls())
    with closing(member), closing(dealer(member.context, configuration.nodes["n1"].primary.requests)) as client:
        client.sndtimeo = 5000
        found = Driven(member, client)
        until = time.monotonic() + 20
        while not member.core.active and time.monotonic() < until:
            found.turn()
        found.ask(HELLO)
        found.receive()
        found.turn()
        assert found.replies(1)[0]["message"] == "EventAck"
        yield found


def stand_still(monkeypatch, seconds):
    """The process was stopped for so long, as it looks to the member."""
    monkeypatch.setattr("node.tenure.time", SimpleNamespace(monotonic=lambda: time.monotonic() + seconds))


@pytest.mark.parametrize("order", ["requests first", "a turn first"])
def test_who_came_while_the_member_stood_still_is_served(driven, monkeypatch, order):
    """Given a member without a standby that stood still for longer than its lease, when it goes on, be it with the
    requests that came meanwhile or with a turn of its own, then they are served and not refused."""
    stand_still(monkeypatch, 60.0)
    driven.ask(SUBMIT, {**SUBMIT, "external_id": "second"})
    if order == "a turn first":
        driven.turn()
    driven.receive()
    driven.turn()

    assert [reply["message"] for reply in driven.replies(2)] == ["EventAck", "EventAck"]


def test_who_was_replaced_while_it_stood_still_says_nothing_more(driven, monkeypatch, configuration):
    """Given a member that stood still, and another took its lease meanwhile, when it goes on with the requests that
    came, then nothing that it decides leaves it: it steps down."""
    stand_still(monkeypatch, 60.0)
    with closing(open_store(configuration.nodes["n1"].database, node="n1")) as other:
        other.acquire(this_holder("backup"), other.lease(), to_us(time.time()))
    driven.ask(SUBMIT)
    driven.receive()
    driven.turn()

    assert not driven.member.core.active
    assert not driven.client.poll(200)
