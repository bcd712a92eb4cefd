"""The wire: what encoding, decoding, routing and merging cost per message, beside other ways to do the same.

``ixn`` is the cluster's own way; the report shows how many times its time another one takes. ``orjson`` and ``json``
do less: they check no field and know no types.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from time import process_time
from typing import Any

import msgspec
import orjson
import pytest

from bench.notes import microseconds, note
from bench.test_core import FIND, ROW, SUBMIT, found, whole
from broker.ledger import Ledger
from broker.messages import decode_request, encode
from broker.messages.interactions import EventInteractionsFound, RequestFindInteractions
from broker.messages.objects import Interaction
from broker.wire import PackedReply, PackedRequest, PackedRequests, join_pairs, pack, split_pairs, unpack_requests
from proxy.gather import Answers
from proxy.heads import decode_head
from proxy.merge import Terms, ordered

BATCH = 64
"""Requests in a packed frame."""
NODES, ROWS, COUNT = 4, 8, 100

Ways = dict[str, Callable[[], Any]]


def measure(benchmark: Any, ways: Ways, way: str, messages: int = 1) -> None:
    """Runs one of the ways; the extra column is µs per message."""
    benchmark.pedantic(ways[way], rounds=200, iterations=20, warmup_rounds=2)
    note(benchmark, us_per_message=microseconds(messages, 2))


REPLY = EventInteractionsFound(interactions=[msgspec.json.decode(ROW % (1, 1, 1, 1), type=Interaction)])
DOCUMENT = orjson.loads(encode(REPLY))

ENCODE: Ways = {
    "ixn": partial(encode, REPLY),
    "orjson": partial(orjson.dumps, DOCUMENT),
    "json": lambda: json.dumps(DOCUMENT).encode(),
}


@pytest.mark.benchmark(group="wire: encode a reply with one interaction", timer=process_time)
@pytest.mark.parametrize("way", ENCODE)
def test_encode(benchmark: Any, way: str) -> None:
    """An interaction's 30 properties; its user data is kept as bytes, others have to write it anew."""
    measure(benchmark, ENCODE, way)


DECODE: Ways = {
    "ixn": partial(decode_request, SUBMIT),
    "orjson": partial(orjson.loads, SUBMIT),
    "json": partial(json.loads, SUBMIT),
}


@pytest.mark.benchmark(group="wire: decode a request", timer=process_time)
@pytest.mark.parametrize("way", DECODE)
def test_decode(benchmark: Any, way: str) -> None:
    """A submit: typed and validated, or just a dict."""
    measure(benchmark, DECODE, way)


def routed(loads: Callable[[bytes], Any]) -> tuple[Any, ...]:
    document = loads(SUBMIT)
    return document["message"], document["tenant_id"], document["media_type"], document.get("interaction_id")


ROUTE: Ways = {
    "ixn": partial(decode_head, SUBMIT),
    "orjson": partial(routed, orjson.loads),
    "json": partial(routed, json.loads),
}


@pytest.mark.benchmark(group="wire: route a request", timer=process_time)
@pytest.mark.parametrize("way", ROUTE)
def test_route(benchmark: Any, way: str) -> None:
    """What a proxy needs to know of a submit."""
    measure(benchmark, ROUTE, way)


FOUND = [found(place, ROWS) for place in range(NODES)]
PAYLOADS = list(map(whole, FOUND))
ANSWERS: Answers = {f"n{place}": PackedReply(1, 1, 0, b"", rows) for place, rows in enumerate(FOUND)}
TERMS = Terms(RequestFindInteractions, decode_head(FIND), Ledger())


def merged(loads: Callable[[bytes], Any], dumps: Callable[[Any], Any]) -> Any:
    rows = [row for payload in PAYLOADS for row in loads(payload)["interactions"]]
    rows.sort(key=lambda row: (row["received_at"], row["interaction_id"]))
    return dumps({"message": "EventInteractionsFound", "interactions": rows[:COUNT], "complete": True})


MERGE: Ways = {
    "ixn": partial(ordered, TERMS, ANSWERS),
    "orjson": partial(merged, orjson.loads, orjson.dumps),
    "json": partial(merged, json.loads, lambda document: json.dumps(document).encode()),
}


@pytest.mark.benchmark(group="wire: merge four nodes' replies", timer=process_time)
@pytest.mark.parametrize("way", MERGE)
def test_merge(benchmark: Any, way: str) -> None:
    """Eight interactions each, one reply in the asked order: they go on as raw JSON by the marks beside it, or all is
    decoded and encoded."""
    measure(benchmark, MERGE, way)


REQUESTS = PackedRequests(1, [PackedRequest(number, 1, 0, SUBMIT) for number in range(BATCH)])
PAIRS = [(b"%d" % number, SUBMIT) for number in range(BATCH)]


def texts(loads: Callable[[bytes], Any], dumps: Callable[[Any], Any]) -> list[Any]:
    frame = dumps([[number, 1, 0, SUBMIT.decode()] for number in range(BATCH)])
    return [(number, client, flags, payload.encode()) for number, client, flags, payload in loads(frame)]


FRAME: Ways = {
    "ixn": lambda: unpack_requests(pack(REQUESTS)),
    "pairs of frames": lambda: split_pairs(join_pairs(PAIRS)),
    "orjson": partial(texts, orjson.loads, orjson.dumps),
    "json": partial(texts, json.loads, json.dumps),
}


@pytest.mark.benchmark(group="wire: a batch of requests to frames and back", timer=process_time)
@pytest.mark.parametrize("way", FRAME)
def test_frame(benchmark: Any, way: str) -> None:
    """64 requests as one packed frame and back. Pairs of frames cost little here, but a ZeroMQ frame more each."""
    measure(benchmark, FRAME, way, BATCH)
