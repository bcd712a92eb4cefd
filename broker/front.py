"""The ROUTER that clients talk to: messages of pairs in, replies out in the grouping they were asked in. A shell.

Pairs that came together in one message are answered together, as far as they are ready together; a pair that came
alone is answered alone, so that a REQ socket gets exactly one reply (protocol 1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

import zmq

from broker.errors import Code, Refusal
from broker.ledger import STRANGER, Ledger
from broker.messages import error_payload
from broker.sockets import Socket, pass_over, routed
from broker.wire import MAX_FRAMES, MAX_REF, BadFrames, split_pairs

NOTIFICATION = b""
"""The ``ref`` of what was not asked for."""
PASSED_OVER = 20_000
"""Frames of a message that is too long that are read at once: some milliseconds."""


class Grouped(NamedTuple):
    """The reference of a pair that came with others in one message. Cores give it back unseen."""

    ref: bytes
    message: int


Pair = tuple[Any, bytes]
"""A client's request: the reference that :meth:`Front.send` wants with the reply, and the payload."""


class Front:
    """One bound ROUTER.

    :param server: whose it is, a node or a proxy
    :param ledger: what could not be read or reached nobody is noted here
    :param name_of: a peer -> its client's name, for the ledger
    """

    def __init__(
        self, server: str, socket: Socket, ledger: Ledger, name_of: Callable[[bytes], str] = lambda peer: STRANGER
    ) -> None:
        self.server = server
        self.socket = socket
        self.ledger = ledger
        self.name_of = name_of
        self._message = count(1)
        self._lost: set[bytes] = set()
        self._undelivered: dict[bytes, list[bytes]] = {}
        self._in_a_rest = False

    def messages(self, limit: int) -> Iterator[tuple[bytes, list[bytes]]]:
        """What has arrived, as the peer and its frames: no further message once there are ``limit`` pairs.

        The rest of a message that is too long is passed over, a stretch in each call, so that nobody waits long for it.
        """
        if self._in_a_rest:
            self._in_a_rest = not pass_over(self.socket, PASSED_OVER)
        left = 0 if self._in_a_rest else limit
        for peer, frames in routed(self.socket, left):
            yield peer, frames
            left -= (len(frames) + 1) // 2
            self._in_a_rest = len(frames) > MAX_FRAMES and bool(self.socket.rcvmore)
            if left <= 0 or self._in_a_rest:
                return

    def pairs(self, peer: bytes, frames: list[bytes]) -> list[Pair]:
        """A client's message as its pairs. What does not parse is answered and counted here."""
        if len(frames) == 2 and len(frames[0]) <= MAX_REF:  # hot path
            return [(frames[0], frames[1])]
        try:
            pairs = split_pairs(frames)
        except BadFrames as fault:
            self.ledger.drop(self.name_of(peer), "bad frames", frames[-1])
            self.send_frames(peer, (fault.ref, error_payload(Refusal(Code.MALFORMED, str(fault)), None, self.server)))
            pairs = fault.pairs
        if len(pairs) == 1:
            return [pairs[0]]
        message = next(self._message)
        return [(Grouped(ref, message), payload) for ref, payload in pairs]

    def send(self, replies: Iterable[tuple[bytes, Any, bytes]]) -> None:
        """Sends ``(peer, ref, payload)``; ``ref`` None is a notification. Peers that cannot be reached are noted."""
        at: tuple[bytes, int] | None = None
        frames: list[bytes] = []
        for peer, ref, payload in replies:  # hot path: no groupby, most are alone
            to = (peer, ref.message) if type(ref) is Grouped else None
            if at is not None and to != at:
                self.send_frames(at[0], frames)
            if to is None:
                self.send_frames(peer, (ref or NOTIFICATION, payload))
            elif to == at:
                frames += (ref.ref, payload)
            else:
                frames = [ref.ref, payload]
            at = to
        if at is not None:
            self.send_frames(at[0], frames)

    def send_frames(self, peer: bytes, frames: Sequence[bytes]) -> None:
        """Sends one message as it is."""
        try:
            self.socket.send_multipart((peer, *frames), zmq.NOBLOCK)
        except zmq.ZMQError as fault:
            if fault.errno not in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                raise
            why = "reply to a full peer" if fault.errno == zmq.EAGAIN else "reply to a lost peer"
            self.ledger.drop(self.name_of(peer), why, frames[-1], max(len(frames) // 2, 1))
            self._lost.add(peer)
            if frames[0] == NOTIFICATION and len(frames) > 1:
                self._undelivered.setdefault(peer, []).append(frames[1])

    @property
    def waiting(self) -> bool:
        """Peers that could not be reached wait for :meth:`lost`."""
        return bool(self._lost)

    def lost(self) -> list[tuple[bytes, list[bytes]]]:
        """The peers that could not be reached since the last call, each with the notifications that did not leave."""
        lost, self._lost = sorted(self._lost), set()
        undelivered, self._undelivered = self._undelivered, {}
        return [(peer, undelivered.get(peer, [])) for peer in lost]
