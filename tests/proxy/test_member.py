"""The shell's connections, on real sockets: made, ended and made elsewhere as the core wants it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from broker.config.objects import Addresses, Configuration, Node, Proxy
from broker.loop import Stalls
from broker.sockets import xpub
from broker.wire import PACKED_TOPIC
from proxy.member import ProxyMember


@pytest.fixture
def at(tmp_path: Path) -> Any:
    """``at("n1")``: addresses in the test's folder."""
    return lambda name: Addresses(requests=f"ipc://{tmp_path}/{name}", events=f"ipc://{tmp_path}/{name}e")


@pytest.fixture
def member(at: Any) -> Iterator[ProxyMember]:
    """A proxy of two nodes."""
    nodes = {name: Node(database=f"sqlite:///{name}.db", primary=at(name)) for name in ("n1", "n2")}
    configuration = Configuration(nodes=nodes, proxies={"p1": Proxy(primary=at("p1"), connections=["n1", "n2"])})
    with closing(ProxyMember(configuration, "p1", "primary", Stalls())) as member:
        yield member


def hears(member: ProxyMember, addresses: Addresses) -> bool:
    """Whether the proxy listens to who publishes there."""
    with closing(xpub(member.context, addresses.events)) as publisher:
        if not publisher.poll(1000):
            return False
        publisher.recv()
        publisher.send_multipart([PACKED_TOPIC, b"x"])
        heard = bool(member.subscriber.poll(1000))
        while member.subscriber.poll(0):
            member.subscriber.recv_multipart()
        return heard


def test_connections_follow_what_the_core_wants(member: ProxyMember, at: Any) -> None:
    # given connections to two nodes
    before = dict(member.links)
    assert set(before) == {("n1", "primary"), ("n2", "primary")} and hears(member, at("n1"))
    # when one is to be reached elsewhere, and the other no more, and a third one is where that was
    member.core.nodes.reached = {("n1", "primary"): at("moved"), ("n3", "primary"): at("n2")}
    member.turn(time.time())
    # then sockets are made and ended, what is polled is what there is, and all that there are are heard
    assert set(member.links) == {("n1", "primary"), ("n3", "primary")}
    assert all(socket.closed for socket in before.values())
    assert {socket for socket, _ in member.sockets()} >= set(member.links.values())
    assert not {socket for socket, _ in member.sockets()} & set(before.values())
    assert [hears(member, at(name)) for name in ("moved", "n2", "n1")] == [True, True, False]
    # and when nothing has changed, nothing is connected anew
    now = dict(member.links)
    member.core.nodes.reached = dict(member.core.nodes.reached)
    member.turn(time.time())
    assert member.links == now
