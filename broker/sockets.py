"""ZeroMQ sockets with this cluster's defaults, and who listens at an XPUB. A shell.

The defaults and why (reliability page): ``LINGER`` 0, so that ending never waits for a peer that is away;
``IMMEDIATE`` on DEALER, so that nothing queues for a server that is not there; a short ``HANDSHAKE_IVL``, because
silent connections keep new clients out; ZMTP heartbeats, which free the queues of a stopped peer; high-water marks
above what can be in flight, because ROUTER and XPUB drop at theirs, while a full receiving side only slows its sender
down; ``ROUTER_MANDATORY``, so that a lost client is an error that can be seen.

All sockets are :class:`Lean`, which costs a third of what pyzmq's own class does per message.

Sockets belong to the thread and the process that made them.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import zmq
import zmq.backend

from broker.config.objects import Limits
from broker.wire import MAX_FRAMES, PACKED_TOPIC

Socket: TypeAlias = zmq.Socket[bytes]
Context: TypeAlias = zmq.Context[Socket]

HANDSHAKE_MS = 2000
HEARTBEAT_MS, HEARTBEAT_TIMEOUT_MS = 1000, 3000
RECONNECT_MS, RECONNECT_MAX_MS = 50, 500

REQUESTS_IN = 10_000
"""Messages that wait on the receiving side of ROUTER and DEALER; beyond it TCP slows the sender down."""
REPLIES_OUT = 100_000
"""Messages that wait for one peer of a ROUTER or DEALER; beyond it sending fails."""
EVENTS_WAITING = 100_000
"""Messages that wait for one subscriber; beyond it they are dropped, and filled by replay."""

MAX_TOPIC = 256
"""Bytes of a subscription; there is no longer topic."""
SUBSCRIPTIONS_PER_DRAIN = 1000

_FRAME_OVERHEAD = 64 * 1024
_PACKED_BYTES = 16 * 1024 * 1024
_IPC = "ipc://"
_DIGITS = [b"%d" % digit for digit in range(10)]


def max_packed_size(limits: Limits) -> int:
    """Bytes of payloads that a sender may put into one packed frame; a single payload always fits."""
    return max(_PACKED_BYTES, 2 * limits.max_message_size)


def max_frame_size(limits: Limits) -> int:
    """The longest frame a ROUTER takes from the wire; the sender of a longer one is disconnected.

    Above ``max-message-size``, so that a client whose payload is only a bit too long gets an answer that says so, and
    so that a packed frame of :func:`max_packed_size` passes.
    """
    return max_packed_size(limits) + _FRAME_OVERHEAD


def router(context: Context, address: str, limits: Limits) -> Socket:
    """A bound ROUTER for requests. A send to a lost peer raises ``EHOSTUNREACH``, to one that is full ``EAGAIN``.

    :raises zmq.ZMQError: the address is in use or cannot be bound
    """
    socket = _socket(context, zmq.ROUTER, address)
    socket.maxmsgsize = max_frame_size(limits)
    socket.rcvhwm, socket.sndhwm = REQUESTS_IN, REPLIES_OUT
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    return _bind(socket, address)


def dealer(context: Context, address: str, linger_ms: int = 0, *, longest: int = -1, connected: bool = True) -> Socket:
    """A DEALER that connects (and connects again) to ``address``. Without a connection a send raises ``zmq.Again``.

    :param linger_ms: how long closing may wait for what was sent last; for those whose last word matters
    :param longest: bytes of the longest frame that is taken, the sender of a longer one is disconnected; -1: any
    :param connected: false: it is left to the caller to connect, who watches the connection from its beginning
    """
    socket = _socket(context, zmq.DEALER, address)
    socket.maxmsgsize = longest
    socket.linger = linger_ms
    socket.rcvhwm, socket.sndhwm = REQUESTS_IN, REPLIES_OUT
    socket.setsockopt(zmq.IMMEDIATE, 1)
    return _connect(socket, address) if connected else socket


def xpub(context: Context, address: str, manual: bool = False) -> Socket:
    """A bound XPUB for events.

    :param manual: subscriptions take effect only through an :class:`Audience`, which must drain the socket
    :raises zmq.ZMQError: the address is in use or cannot be bound
    """
    socket = _socket(context, zmq.XPUB, address)
    socket.maxmsgsize = MAX_TOPIC + 1
    socket.sndhwm = EVENTS_WAITING
    if manual:
        socket.setsockopt(zmq.XPUB_MANUAL, 1)
    return _bind(socket, address)


def sub(context: Context, address: str, topics: Iterable[bytes], *, connected: bool = True) -> Socket:
    """A SUB that connects (and connects again) to ``address``, for the topics that begin with one of ``topics``.

    :param connected: false: it is left to the caller to connect, to this address and to others
    """
    socket = _socket(context, zmq.SUB, address)
    socket.rcvhwm = EVENTS_WAITING
    for topic in topics:
        socket.setsockopt(zmq.SUBSCRIBE, topic)
    return _connect(socket, address) if connected else socket


def raise_file_limit() -> int:
    """Lets this process open as many files as it is allowed to (a connection is a file); returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


_send, _receive, _poll = zmq.backend.Socket.send, zmq.backend.Socket.recv, zmq.backend.zmq_poll
_MORE, _NOBLOCK = int(zmq.SNDMORE), int(zmq.NOBLOCK)


class Lean(zmq.Socket[bytes]):
    """pyzmq's socket with messages of several frames on its C core directly: frames are bytes and are copied.

    Measured with three small frames: 3.5 instead of 12 µs to send, 5 instead of 14 to receive. What is left out are
    checks of every part beforehand, arithmetic on flags that are enums, and an option asked through an enum per frame.
    """

    def send_multipart(self, msg_parts: Sequence[Any], flags: int = 0, *_: Any, **__: Any) -> None:
        flags = int(flags)
        for part in msg_parts[:-1]:
            _send(self, part, flags | _MORE)
        _send(self, msg_parts[-1], flags)

    def recv_multipart(self, flags: int = 0, *_: Any, **__: Any) -> list[Any]:
        flags = int(flags)
        frame = _receive(self, flags, False)
        parts = [frame.bytes]
        while frame.more:
            frame = _receive(self, flags, False)
            parts.append(frame.bytes)
        return parts


def routed(socket: Socket, limit: int) -> Iterator[tuple[bytes, list[bytes]]]:
    """What has arrived at a ROUTER, at most ``limit`` messages, as the peer and its frames.

    Of a message that is too long, only the first frames are given, one more than ``MAX_FRAMES``; what comes next from
    the socket is the rest of it.
    """
    for _ in range(limit):
        try:
            peer = _receive(socket, _NOBLOCK)
        except zmq.Again:
            return
        frame = _receive(socket, _NOBLOCK, False)
        frames = [frame.bytes]
        while frame.more and len(frames) <= MAX_FRAMES:
            frame = _receive(socket, _NOBLOCK, False)
            frames.append(frame.bytes)
        yield peer, frames
        if len(frames) == 1 and not _waits(socket):
            return


def pass_over(socket: Socket, limit: int) -> bool:
    """Reads on in a message, at most ``limit`` frames. :returns: whether its end was reached"""
    return any(not _receive(socket, _NOBLOCK, False).more for _ in range(limit))


def batches(socket: Socket, limit: int) -> Iterator[memoryview]:
    """The last frame of each message that has arrived, at most ``limit``: the packed batches of a DEALER or SUB."""
    for _ in range(limit):
        try:
            frame = _receive(socket, _NOBLOCK, False)
        except zmq.Again:
            return
        while frame.more:
            frame = _receive(socket, _NOBLOCK, False)
        yield frame.buffer
        if not _waits(socket):
            return


def _waits(socket: Socket) -> bool:
    """Whether there is another message. Packed batches mostly come one at a time, and to ask costs a quarter of an
    attempt in vain, which raises; among single requests the attempt mostly succeeds."""
    return bool(_poll([(socket, zmq.POLLIN)], 0))


class Audience:
    """Who listens at a manual XPUB.

    Packed batches and single events leave by the same socket. A subscription to everything (``b""``) would get both,
    so here it stands for the topics of clients, which begin with a tenant's digits; packed messages go only to those
    who name :data:`~broker.wire.PACKED_TOPIC`.
    """

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.joined = False
        """Somebody has begun to listen to packed messages since this was set to false."""
        self._clients = 0

    @property
    def watched(self) -> bool:
        """A client may listen to single events; while this is false they need not be sent one by one."""
        return self._clients > 0

    def drain(self) -> None:
        """Takes what subscribers have asked for since the last call, a bounded part of it."""
        for _ in range(SUBSCRIPTIONS_PER_DRAIN):
            try:
                frame = self.socket.recv(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            self._take(frame.bytes, _is_gone(frame))

    def _take(self, message: bytes, gone: bool) -> None:
        verb, topic = message[:1], message[1:]
        if verb == b"\x01":
            self._subscribe(topic)
        elif verb == b"\x00":
            self._unsubscribe(topic, gone)

    def _subscribe(self, topic: bytes) -> None:
        self._set(zmq.SUBSCRIBE, topic)
        if topic == PACKED_TOPIC:
            self.joined = True
        else:
            self._clients += 1

    def _unsubscribe(self, topic: bytes, gone: bool) -> None:
        """Ends a subscription. Only a lost connection counts down: nothing tells whether the sender of an explicit
        one has ever subscribed, and a stranger must not silence what others listen to."""
        self._set(zmq.UNSUBSCRIBE, topic)
        self._clients -= gone and topic != PACKED_TOPIC

    def _set(self, option: int, topic: bytes) -> None:
        for prefix in [topic] if topic else _DIGITS:
            self.socket.setsockopt(option, prefix)


def _is_gone(frame: zmq.Frame) -> bool:
    """An unsubscription that libzmq wrote for a lost connection: it has no peer."""
    try:
        frame.get("Peer-Address")
    except zmq.ZMQError:
        return True
    return False


def _socket(context: Context, kind: int, address: str) -> Socket:
    """A socket with the defaults that all kinds share."""
    socket = context.socket(kind, socket_class=Lean)
    socket.linger = 0
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
    socket.setsockopt(zmq.IPV6, int("[" in address))
    return socket


def _bind(socket: Socket, address: str) -> Socket:
    if address.startswith(_IPC):
        Path(address.removeprefix(_IPC)).parent.mkdir(parents=True, exist_ok=True)
    return _open(socket, socket.bind, address)


def _connect(socket: Socket, address: str) -> Socket:
    return _open(socket, socket.connect, address)


def _open(socket: Socket, act: Callable[[str], object], address: str) -> Socket:
    """``socket`` after ``act`` on ``address``; a socket that could not be opened is not left behind."""
    try:
        act(address)
    except zmq.ZMQError:
        socket.close()
        raise
    return socket
