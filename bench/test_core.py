"""The pure cores: what a request costs in a node, and what a scatter costs in a proxy, without sockets and disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from time import process_time
from typing import Any

import pytest

from bench.configurations import many_nodes, one_node
from bench.notes import microseconds, note
from broker.wire import (
    LISTED,
    PackedEvents,
    PackedReplies,
    PackedReply,
    PackedRequest,
    PackedRequests,
    Rows,
    pack,
    unpack_replies,
    unpack_requests,
)
from node.calls import packed_reply
from node.core import NodeCore
from node.journal import encode_changes
from proxy.core import ProxyCore

NOW = 1_790_000_000.0
SUBMIT = (
    b'{"message":"RequestSubmit","tenant_id":101,"media_type":"email","queue":"Inbound","priority":2,'
    b'"user_data":{"Subject":"Card blocked","Customer":"33052234"}}'
)
PULL = b'{"message":"RequestPull","tenant_id":101,"view_id":"Inbound/all"}'
STOP = b'{"message":"RequestStopProcessing","interaction_id":"%s"}'


class Link:
    """A proxy's link to one core: batches in as packed frames, replies out as packed frames, as the shell does it."""

    def __init__(self) -> None:
        self.core = NodeCore("n1", one_node())
        self.core.activate(NOW, 1, "bench")
        self.numbers = count(1)
        for client, kind in ((0, "Proxy"), (1, "MediaServer"), (2, "RoutingEngine"), (3, "Monitor")):
            hello = {"message": "RequestRegisterClient", "client_name": f"c{client}", "client_type": kind}
            self.batch([json.dumps({**hello, "session_id": f"s{client}"}).encode()], client)

    def batch(self, payloads: list[bytes], client: int) -> list[dict[str, Any]]:
        """The replies to one batch of requests of one client."""
        replies = self.exchange(self.packed(payloads, client))
        return [json.loads(payload) for _, ref, payload, _ in replies if ref is not None]

    def packed(self, payloads: list[bytes], client: int) -> bytes:
        requests = [PackedRequest(next(self.numbers), client, 0, payload) for payload in payloads]
        return pack(PackedRequests(requests[0].number, requests))

    def exchange(self, frame: bytes) -> list[Any]:
        """All that a node does for a batch but disk and sockets."""
        self.core.receive_link(NOW, b"link", unpack_requests(frame))
        batch = self.core.take(NOW)
        encode_changes(batch.changes)
        batch.packed_events()
        pack(PackedReplies(1, list(map(packed_reply, batch.replies))))
        return batch.replies


def submitted(link: Link, number: int) -> list[bytes]:
    return [reply["interaction_id"].encode() for reply in link.batch([SUBMIT] * number, 1)]


def held(link: Link, number: int) -> list[bytes]:
    submitted(link, number)
    pulled = link.batch([PULL] * number, 2)
    return [reply["interactions"][0]["interaction_id"].encode() for reply in pulled]


Prepare = Callable[[Link, int], tuple[list[bytes], int]]

STEPS: dict[str, Prepare] = {
    "submit": lambda link, size: ([SUBMIT] * size, 1),
    "pull": lambda link, size: (submitted(link, size) and [PULL] * size, 2),
    "stop": lambda link, size: ([STOP % ident for ident in held(link, size)], 2),
}


@pytest.mark.benchmark(group="core: a request in a node", timer=process_time)
@pytest.mark.parametrize("size", [1, 64])
@pytest.mark.parametrize("step", STEPS)
def test_node(benchmark: Any, step: str, size: int) -> None:
    """One batch of ``size`` requests of one kind; the extra column is µs per request."""
    link = Link()

    def prepare() -> tuple[tuple[bytes], dict[str, Any]]:
        payloads, client = STEPS[step](link, size)
        return (link.packed(payloads, client),), {}

    benchmark.pedantic(link.exchange, setup=prepare, rounds=200, warmup_rounds=10)
    note(benchmark, us_per_request=microseconds(size))


@pytest.mark.benchmark(group="core: a pull by backlog", timer=process_time)
@pytest.mark.parametrize("backlog", [1_000, 100_000, 1_000_000])
def test_pull_by_backlog(benchmark: Any, backlog: int) -> None:
    """One pull from a view that holds ``backlog`` interactions: flat, for views are kept in order."""
    link = Link()
    for _ in range(backlog // 1000):
        link.batch([SUBMIT] * 1000, 1)

    def prepare() -> tuple[tuple[bytes], dict[str, Any]]:
        submitted(link, 1)
        return (link.packed([PULL], 2),), {}

    benchmark.pedantic(link.exchange, setup=prepare, rounds=200, warmup_rounds=10)


LOAD = b'{"message":"RequestLoadStrategy","tenant_id":101,"strategy_id":"S","view_ids":["Inbound/all"]%s}'
PAUSE = b'{"message":"RequestPauseQueue","queue":"Inbound"}'
RESUME = b'{"message":"RequestResumeQueue","queue":"Inbound"}'


@pytest.mark.benchmark(group="core: an interaction pushed to a routing engine and stopped by it", timer=process_time)
@pytest.mark.parametrize("size", [1, 64])
def test_push(benchmark: Any, size: int) -> None:
    """``size`` interactions begin to flow: one batch pushes them, the next one has the engine's answers. The queue is
    paused and resumed around it, which is a request more."""
    link = Link()
    link.batch([LOAD % b""], 2)

    def prepare() -> tuple[tuple[bytes, bytes], dict[str, Any]]:
        link.batch([PAUSE], 3)
        stops = [STOP % ident for ident in submitted(link, size)]
        return (link.packed([RESUME], 3), link.packed(stops, 2)), {}

    def push(resume: bytes, stops: bytes) -> None:
        assert len(link.exchange(resume)) == size + 1
        link.exchange(stops)

    benchmark.pedantic(push, setup=prepare, rounds=200, warmup_rounds=10)
    note(benchmark, us_per_request=microseconds(size))


@pytest.mark.benchmark(group="core: a push by backlog", timer=process_time)
@pytest.mark.parametrize("backlog", [1_000, 100_000])
def test_push_by_backlog(benchmark: Any, backlog: int) -> None:
    """An engine that may hold one stops it and is sent the next of ``backlog``: flat, as pulls are."""
    link = Link()
    for _ in range(backlog // 1000):
        link.batch([SUBMIT] * 1000, 1)
    sent = link.exchange(link.packed([LOAD % b',"max_submitted":1'], 2))

    def prepare() -> tuple[tuple[bytes], dict[str, Any]]:
        submitted(link, 1)
        (note,) = [json.loads(payload) for _, ref, payload, _ in sent if ref is None]
        return (link.packed([STOP % note["interaction"]["interaction_id"].encode()], 2),), {}

    def stop(frame: bytes) -> None:
        sent[:] = link.exchange(frame)

    benchmark.pedantic(stop, setup=prepare, rounds=200, warmup_rounds=10)


FIND = b'{"message":"RequestFindInteractions","tenant_id":101,"condition":"external_id = \'x\'"}'
ACK = b'{"message":"EventAck"}'
ROW = (
    b'{"interaction_id":"0001%012d","tenant_id":101,"media_type":"email","interaction_type":"Inbound",'
    b'"interaction_state":0,"queue":"Inbound","priority":0,"is_online":0,"received_at":1790000000.%d,'
    b'"submitted_at":1790000000.5,"submit_seq":%d,"place_in_queue_seq":%d,"external_id":"x","submitted_by":"media",'
    b'"placed_in_queue_at":1790000000.5,"moved_to_queue_at":1790000000.5,'
    b'"user_data":{"Subject":"Card blocked","Customer":"33052234"}}'
)


def found(place: int, rows: int) -> Rows:
    """What a node finds, 0.5 kB a row; its interactions are older and younger than those of other places."""
    numbers = range(place, 10 * rows + place, 10)
    return Rows([b"%04d" % at for at in numbers], [ROW % (at, at, at, at) for at in numbers], False)


def whole(rows: Rows) -> bytes:
    """The same as a client or the only node's proxy gets it."""
    return b'{"message":"EventInteractionsFound","interactions":[' + b",".join(rows.interactions) + b"]}"


class Front:
    """A proxy's core with a client, in front of scripted nodes: frames out and in as the shell packs and unpacks them.

    :param rows: interactions that each node finds
    """

    def __init__(self, nodes: int, rows: int) -> None:
        self.core = ProxyCore("p1", "b00t", many_nodes(nodes))
        self.found = {f"n{place}": found(place, rows) for place in range(1, nodes + 1)}
        for place in range(1, nodes + 1):
            said = PackedEvents(f"n{place}", "primary", "active", 1, int(NOW * 1e6), 1, 1, [])
            self.core.heard(NOW, said)
        self.exchange([])
        hello = {"message": "RequestRegisterClient", "client_name": "bench", "client_type": "Monitor"}
        self.exchange([json.dumps(hello).encode()])

    def exchange(self, payloads: list[bytes]) -> int:
        """All that a proxy does for a batch but sockets, until nothing is under way; returns the number of replies.
        What scripted nodes need for it is within a few per cent."""
        for payload in payloads:
            self.core.receive(NOW, b"client", b"ref", payload)
        replies = 0
        while True:
            out = self.core.take()
            replies += len(out.replies)
            if not out.links:
                return replies
            frames = {
                (node, member): self.answered(node, pack(PackedRequests(out.settled[node], requests)))
                for (node, member), requests in out.links.items()
            }
            for (node, member), frame in frames.items():
                self.core.replies(NOW, node, member, unpack_replies(frame))

    def answered(self, node: str, frame: bytes) -> bytes:
        """What a node makes of a packed frame."""
        replies = [self.reply(node, request) for request in unpack_requests(frame).requests]
        return pack(PackedReplies(1, replies))

    def reply(self, node: str, request: PackedRequest) -> PackedReply:
        """What a node says to a request."""
        if request.payload != FIND:
            return PackedReply(request.number, request.client, 0, ACK)
        rows = self.found[node]
        if request.flags & LISTED:
            return PackedReply(request.number, request.client, 0, b"", rows)
        return PackedReply(request.number, request.client, 0, whole(rows))


@pytest.mark.benchmark(group="core: a scatter in a proxy", timer=process_time)
@pytest.mark.parametrize("rows", [1, 8], ids="{} rows a node".format)
@pytest.mark.parametrize("size", [1, 64], ids="batch {}".format)
@pytest.mark.parametrize("nodes", [1, 2, 4, 8], ids="{} nodes".format)
def test_scatter(benchmark: Any, nodes: int, size: int, rows: int) -> None:
    """A batch of finds, each to all nodes, and the merged replies."""
    front = Front(nodes, rows)
    assert front.exchange([FIND] * size) == size
    benchmark.pedantic(front.exchange, ([FIND] * size,), rounds=200, warmup_rounds=10)
    note(benchmark, us_per_request=microseconds(size))
