"""The merged stream in the pure core: events per second from nodes' packed frames to messages with cursors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.notes import note, rate
from broker.positions import Position
from broker.wire import PackedEvent, PackedEvents, Replayed, pack, unpack_published
from proxy.replays import Bounds, merge
from proxy.stream import MergeStream

T0 = 1_790_000_000
US = T0 * 1_000_000
EVENTS = 16_384
BATCH = 64
"""Events in one frame of a node, as under load; one frame of each node is a turn."""

NODES = [f"n{number}" for number in range(1, 9)]
PAD = {"interaction": {"interaction_id": "0001K3XYZ0A1B2C3", "media_type": "voice", "queue": "PS"}, "pad": "x" * 350}


def event(node: str, us: int, seq: int) -> PackedEvent:
    """An event of about 500 bytes, an interaction's with its properties."""
    document = {"message": "EventPlacedInQueue", "node": node, "seq": seq, "time": us / 1e6, "tenant_id": 101, **PAD}
    return PackedEvent(us, 0, b"101/interaction/EventPlacedInQueue", json.dumps(document).encode())


def frames(nodes: list[str]) -> list[list[bytes]]:
    """By turns: a frame of each node; the times of the nodes' events are interleaved."""
    turns: list[list[bytes]] = []
    for turn in range(EVENTS // BATCH // len(nodes)):
        first_seq, first_us = turn * BATCH + 1, US + turn * BATCH * 20
        turns.append([])
        for place, node in enumerate(nodes):
            events = [event(node, first_us + number * 20 + place, first_seq + number) for number in range(BATCH)]
            last_us = first_us + BATCH * 20 - 1
            said = PackedEvents(node, "primary", "active", 1, last_us, first_seq + BATCH, first_seq, events)
            turns[-1].append(pack(said))
    return turns


def begun(nodes: list[str]) -> MergeStream:
    stream = MergeStream("p1", nodes)
    for node in nodes:
        stream.heard(T0, PackedEvents(node, "primary", "active", 1, US - 1, 1, 1, []))
    return stream


def follow(stream: MergeStream, turns: list[list[bytes]]) -> int:
    """All that a proxy does for the stream but sockets."""
    published = 0
    for turn in turns:
        for frame in turn:
            stream.heard(T0, unpack_published(frame))
        published += len(stream.take())
    return published


def note_rate(benchmark: Any, events: int) -> None:
    note(benchmark, events_per_second=rate(events))


@pytest.mark.benchmark(group="stream: merge")
@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_merge(benchmark: Any, count: int) -> None:
    """16,384 events of 500 bytes from 1, 2, 4, 8 nodes, in frames of 64."""
    nodes = NODES[:count]
    turns = frames(nodes)
    result = benchmark.pedantic(follow, setup=lambda: ((begun(nodes), turns), {}), rounds=20, warmup_rounds=2)
    assert result == EVENTS
    note_rate(benchmark, EVENTS)


@pytest.mark.benchmark(group="stream: merge")
def test_merge_without_a_node(benchmark: Any) -> None:
    """The same from 2 of 3 nodes, while the stream goes on without the third: every cursor says so."""
    nodes = NODES[:2]
    turns = frames(nodes)

    def prepare() -> tuple[tuple[MergeStream, list[list[bytes]]], dict[str, Any]]:
        stream = begun(NODES[:3])
        for tenth in range(1, 25):
            stream.tick(T0 + tenth / 10)
        return (stream, turns), {}

    result = benchmark.pedantic(follow, setup=prepare, rounds=20, warmup_rounds=2)
    assert result >= EVENTS
    note_rate(benchmark, EVENTS)


@pytest.mark.benchmark(group="stream: hold")
def test_release_after_a_hold(benchmark: Any) -> None:
    """4 nodes' events that one silent node has held back, sorted and published at once."""
    turns = frames(NODES[:4])

    def prepare() -> tuple[tuple[MergeStream], dict[str, Any]]:
        stream = begun(NODES[:5])
        follow(stream, turns)
        stream.heard(T0, PackedEvents(NODES[4], "primary", "active", 1, US * 2, 1, 1, []))
        return (stream,), {}

    result = benchmark.pedantic(MergeStream.take, setup=prepare, rounds=20, warmup_rounds=2)
    assert len(result) == EVENTS
    note_rate(benchmark, EVENTS)


@pytest.mark.benchmark(group="stream: heartbeats")
def test_idle_heartbeat(benchmark: Any) -> None:
    """8 idle nodes' heartbeats, heard and followed by a take: what the stream costs when nothing happens."""
    stream = begun(NODES)

    def turn() -> None:
        for node in NODES:
            us = (stream.position or US) + 20_000
            stream.heard(T0, PackedEvents(node, "primary", "active", 1, us, 1, 1, []))
        stream.take()

    benchmark(turn)


@pytest.mark.benchmark(group="stream: replay")
@pytest.mark.parametrize("count", [1, 4])
def test_replay_page(benchmark: Any, count: int) -> None:
    """A page of 1000 events, merged from as many nodes' answers."""
    answers: dict[str, Replayed | None] = {}
    for place, node in enumerate(NODES[:count]):
        events = [event(node, US + number * 20 + place, number) for number in range(1, 1001)]
        answers[node] = Replayed(1, events, US + 10**6, False)
    bounds = Bounds(US + 10**6, 1000, 10**7)
    page = benchmark(merge, Position(US, "n1", {}), answers, bounds, frozenset({b"101"}))
    assert len(page.payloads) == 1000
    note_rate(benchmark, 1000)
