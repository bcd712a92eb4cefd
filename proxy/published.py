"""What the stream publishes: events with their cursors, late ones marked, and system events of the stream's own."""

from __future__ import annotations

from msgspec import Raw

from broker.clock import to_seconds
from broker.messages import encode
from broker.messages.reporting import SystemEvent
from broker.positions import Position
from broker.wire import ECHO, make_cursor

from .sources import Entry, Source

Published = tuple[bytes, bytes, bytes]
"""``(topic, cursor, payload)``: one message of the stream."""

_SIXTEEN_DIGITS = 10**15
_BASE_LENGTH = len(make_cursor(0, ""))


def in_order(entries: list[Entry], out: dict[str, int]) -> list[Published]:
    """The messages of events that are in their place; echoes are left out.

    :param entries: at least one, sorted
    :param out: of each node, how far (µs) its events are published with these; less than the events' times only for
        nodes that the stream goes on without
    """
    first_us, last_us = entries[0][0], entries[-1][0]
    if any(first_us <= out_us < last_us for out_us in out.values()):
        return [
            (topic, make_cursor(us, suffix[1:].decode(), below(out, us)).encode(), payload)
            for us, suffix, flags, topic, payload in entries
            if not flags & ECHO
        ]
    # Hot path, written out: the text of make_cursor, with what follows the ";" made once for all.
    tail = make_cursor(0, "", below(out, first_us))[_BASE_LENGTH:].encode()
    form = b"%d%b%b" if first_us >= _SIXTEEN_DIGITS else b"%016d%b%b"
    return [
        (topic, form % (us, suffix, tail), payload) for us, suffix, flags, topic, payload in entries if not flags & ECHO
    ]


def below(times: dict[str, int], us: int) -> dict[str, int]:
    """The nodes whose time is below ``us``."""
    return {name: at for name, at in times.items() if at < us}


def late(entries: list[Entry], position: Position, node: str) -> list[Published]:
    """The messages of one node's events for the time already passed: each with the position through it."""
    published: list[Published] = []
    for us, _, flags, topic, payload in entries:
        if not flags & ECHO:
            through = position._replace(apart={**position.apart, node: us})
            published.append((topic, through.cursor().encode(), mark_late(payload)))
    return published


def mark_late(payload: bytes) -> bytes:
    """An event's JSON with ``"late": true`` in it; anything that is no JSON object is given back as it is."""
    body = payload.rstrip()
    if not body.endswith(b"}"):
        return payload
    inner = body[:-1].rstrip()
    return inner + (b'"late":true}' if inner.endswith(b"{") else b',"late":true}')


def about(kind: type[SystemEvent], proxy: str, source: Source, position: Position) -> Published:
    """A system event of the stream's own about a node, in its place. It has no ``seq``, for no node has said it."""
    body = Raw(encode({"node": source.name, "time": to_seconds(min(source.out_us, position.us))}))
    event = kind(node=proxy, seq=0, time=to_seconds(position.us), tenant_id=0, body=body)
    topic = f"0/{kind.topic}/{kind.__name__}".encode()
    return topic, position.cursor().encode(), encode(event)
