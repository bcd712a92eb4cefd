"""Frames <-> what cores take and give. Pure: the sockets are in the shells.

Two forms travel between processes:

- **pairs**, for every client: ``[ref, payload, ref, payload, …]``, a reply's ``ref`` is its request's (protocol 1);
- **one packed frame**, between a proxy and a node: a MessagePack array that holds a whole batch
  (:class:`PackedRequests`, :class:`PackedReplies`, :class:`PackedEvents`). It costs one ZeroMQ send instead of
  hundreds, and its table of numbers and lengths is packed and unpacked in C.

A message of one frame can only be packed; a message of an even number of frames can only be pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

MAX_REF = 64
MAX_FRAMES = 2000
"""In one message of pairs: a client that has more to ask sends more messages."""
PACKED_TOPIC = b"\x00packed"
"""What proxies subscribe to at a node; clients' topics begin with the digits of a tenant."""

ECHO = 1
"""Flag of a packed request: another node speaks for this agent operation; its events are echoes (see PROTOCOL)."""
RESENT = 2
"""Flag of a packed request: it was sent before, to this member or to the one that was active before it."""

LISTED = 4
"""Flag of a packed request: the interactions that are found are wanted as :class:`Rows`, to be merged with others'."""


MARKED = 8
"""Flag of a packed request: a snapshot is one part of several, and keeps what its place among the others follows from
(``RequestSnapshotOrder``)."""


class PackedRequest(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One request in a packed frame.

    :param number: the proxy's own, rising; the reply carries it, and a node executes one number of one link once
    :param client: which of the proxy's clients asks; 0 is the proxy itself
    :param flags: :data:`ECHO`, :data:`RESENT`, :data:`LISTED`, :data:`MARKED`
    :param payload: the request's JSON, byte for byte as the client sent it
    """

    number: int
    client: int
    flags: int
    payload: bytes


class PackedRequests(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a proxy sends to a node.

    :param settled: every request of this link below this number has its reply; the node may forget those replies
    """

    settled: int
    requests: list[PackedRequest]


class Rows(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The interactions that a node has found, in the asked order, for a proxy that merges them with others'.

    :param marks: their sort keys as bytes, which compare as the asked order has it (:mod:`broker.conditions.marks`)
    :param interactions: their JSON; a proxy copies it and never looks into it
    :param more: the node has further ones, beyond the asked count
    """

    marks: list[bytes]
    interactions: list[bytes]
    more: bool


class PackedReply(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One reply in a packed frame, or (``number`` 0) a notification for ``client``.

    :param code: the error code of the payload, 0 for a positive reply; spares the proxy a look into the payload
    :param rows: what was found, of a request with :data:`LISTED`; then the payload is empty
    """

    number: int
    client: int
    code: int
    payload: bytes
    rows: Rows | None = None


class PackedReplies(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a node sends to a proxy. :param epoch: the sender's; a lower one than was seen before is not listened to"""

    epoch: int
    replies: list[PackedReply]


class PackedEvent(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One reporting event. :param us: its time in microseconds. :param flags: :data:`ECHO` or 0"""

    us: int
    flags: int
    topic: bytes
    payload: bytes


class Events(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A batch's events as they stand in the journal: the first has ``first_seq``, the next one more, and so on."""

    first_seq: int
    events: list[PackedEvent]


class Replayed(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A node's answer to RequestReplayEvents that a proxy itself asked (client 0): the payload of that reply.

    :param first_seq: of the first event; a node's events have no gap
    :param events: those after the asked time, echoes included, oldest first
    :param us: "everything up to here was considered": the last event's time where there is more, else the promise
    :param more: there are further ones
    """

    first_seq: int
    events: list[PackedEvent]
    us: int
    more: bool


class PackedEvents(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a node member publishes to proxies: after each batch, and when idle as a heartbeat.

    :param node: name of the node
    :param member: ``primary`` or ``backup``
    :param role: ``active``, ``standby``, ``starting``
    :param epoch: of the lease the member knows; only the events of the highest epoch count
    :param us: "everything up to here is out": no later event of this node has a time at or below it (µs)
    :param next_seq: the seq the node's next event will have, so a lost last message is noticed
    :param first_seq: of the first in ``events``
    :param status: JSON of the member's state for GetStatus; in idle heartbeats only, else empty
    """

    node: str
    member: str
    role: str
    epoch: int
    us: int
    next_seq: int
    first_seq: int
    events: list[PackedEvent]
    status: bytes = b""


_encoder = msgspec.msgpack.Encoder()
pack = _encoder.encode
"""Any of the classes above -> the bytes of one frame."""

unpack_requests = msgspec.msgpack.Decoder(PackedRequests).decode
unpack_replies = msgspec.msgpack.Decoder(PackedReplies).decode
unpack_published = msgspec.msgpack.Decoder(PackedEvents).decode
unpack_replayed = msgspec.msgpack.Decoder(Replayed).decode
unpack_events = msgspec.msgpack.Decoder(Events).decode
"""Bytes -> the class; raises ``msgspec.DecodeError`` (``ValidationError`` is one) for anything else."""


class BadFrames(ValueError):
    """A client's message is not a row of pairs. :attr:`pairs` are those that could be read, :attr:`ref` is the
    reference to answer the fault with."""

    def __init__(self, reason: str, pairs: list[tuple[bytes, bytes]], ref: bytes) -> None:
        super().__init__(reason)
        self.pairs = pairs
        self.ref = ref


def split_pairs(frames: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """A client's frames (without the ROUTER's routing id) as ``(ref, payload)`` pairs.

    :raises BadFrames: an odd number of frames, none at all, too many, or a ``ref`` above 64 bytes
    """
    count = len(frames)
    if count == 2 and len(frames[0]) <= MAX_REF:
        return [(frames[0], frames[1])]
    if count > MAX_FRAMES:
        raise BadFrames(f"a message has at most {MAX_FRAMES} frames", [], b"")
    pairs = [(frames[at], frames[at + 1]) for at in range(0, count - 1, 2)]
    for at, (ref, _) in enumerate(pairs):
        if len(ref) > MAX_REF:
            raise BadFrames(f"a ref has at most {MAX_REF} bytes, this one {len(ref)}", pairs[:at], b"")
    if count == 0:
        raise BadFrames("a message has at least one pair of frames", [], b"")
    if count % 2:
        last = frames[-1]
        raise BadFrames(
            f"frames come in pairs of ref and payload, {count} is odd", pairs, last if len(last) <= MAX_REF else b""
        )
    return pairs


def join_pairs(pairs: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """Pairs -> the frames of one message."""
    return [frame for pair in pairs for frame in pair]


def make_cursor(us: int, node: str, behind: dict[str, int] | None = None) -> str:
    """The position after the event of ``node`` at ``us`` in the one stream of all nodes.

    16 digits of microseconds, a dash, the node's name: cursors compare as strings in the order of the stream. While
    the stream goes on without a node that is away, the cursor also says how far that node's events have come:
    ``1790000000250001-n1;n3=1790000000100000``.

    :param behind: nodes whose events are out only up to an earlier time (µs)
    """
    cursor = f"{us:016d}-{node}"
    if behind:
        cursor += "".join(f";{name}={at:016d}" for name, at in sorted(behind.items()))
    return cursor


def parse_cursor(cursor: str) -> tuple[int, str, dict[str, int]]:
    """The parts of a cursor: time in µs, node, and the nodes that are behind with their times.

    :raises ValueError: it is no cursor
    """
    position, *rest = cursor.split(";")
    digits, dash, node = position.partition("-")
    if not dash or not digits.isdecimal():
        raise ValueError("a cursor looks like 1790000000250001-n1")
    behind: dict[str, int] = {}
    for part in rest:
        name, equals, at = part.partition("=")
        if not equals or not at.isdecimal():
            raise ValueError("a cursor's part behind ';' looks like n3=1790000000100000")
        behind[name] = int(at)
    return int(digits), node, behind
