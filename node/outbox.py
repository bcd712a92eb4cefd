"""What leaves a member after a commit: replies to clients, packed replies to proxies, events. A shell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import zmq

from broker.front import Front
from broker.sockets import Audience
from broker.wire import PACKED_TOPIC, PackedEvent, PackedEvents, PackedReplies, PackedReply, make_cursor, pack

from .calls import Outgoing, packed_reply


class Outbox:
    """The sending side of a member's two sockets.

    :param max_packed: bytes of payloads in one packed frame
    """

    def __init__(self, node: str, front: Front, audience: Audience, max_packed: int) -> None:
        self.node = node
        self.front = front
        self.audience = audience
        self.max_packed = max_packed

    def replies(self, outgoing: Iterable[Outgoing], links: set[bytes], epoch: int) -> None:
        """Sends replies and notifications: packed to proxies, as pairs to everybody else.

        :param links: routing ids of the proxies
        """
        packed: dict[bytes, list[PackedReply]] = {}
        pairs: list[tuple[bytes, Any, bytes]] = []
        for reply in outgoing:
            (peer, _), ref, payload, _ = reply
            if type(ref) is int or (ref is None and peer in links):
                packed.setdefault(peer, []).append(packed_reply(reply))
            else:
                assert isinstance(payload, bytes), "rows are for proxies"
                pairs.append((peer, ref, payload))
        self.front.send(pairs)
        for peer, rows in packed.items():
            for part in self._parts(rows):
                self.front.send_frames(peer, [pack(PackedReplies(epoch, part))])

    def _parts(self, rows: list[PackedReply]) -> Iterable[list[PackedReply]]:
        """Rows in packed frames that are not too long."""
        size, start = 0, 0
        for at, row in enumerate(rows):
            more = _size(row)
            size += more
            if size > self.max_packed and at > start:
                yield rows[start:at]
                start, size = at, more
        yield rows[start:]

    def events(self, published: PackedEvents) -> None:
        """Publishes a batch to proxies, and one by one to clients if any listen."""
        self._publish([PACKED_TOPIC, pack(published)])
        if self.audience.watched:
            for event in published.events:
                self._publish([event.topic, _cursor(event, self.node), event.payload])

    def _publish(self, frames: list[bytes]) -> None:
        # XPUB drops what a slow subscriber does not take; the journal has it, and replay fills the gap.
        self.audience.socket.send_multipart(frames, zmq.NOBLOCK)


def _size(reply: PackedReply) -> int:
    """Bytes of what a reply says."""
    rows = reply.rows
    return len(reply.payload) if rows is None else sum(map(len, rows.interactions)) + sum(map(len, rows.marks))


def _cursor(event: PackedEvent, node: str) -> bytes:
    return make_cursor(event.us, node).encode()
