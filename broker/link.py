"""A connection that says when it is lost, and one turn of several things that have connections. A shell.

libzmq connects again by itself and hides what happened; a client has to know, because what was in flight is gone.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterator, Sequence
from math import ceil
from typing import NamedTuple, Protocol

import zmq
from zmq.utils.monitor import recv_monitor_message

from broker.sockets import Socket

_FRUITLESS = (
    zmq.EVENT_CONNECT_RETRIED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_LOST, _UP = zmq.EVENT_DISCONNECTED, zmq.EVENT_HANDSHAKE_SUCCEEDED
MESSAGES_PER_DRAIN = 1000
IN, IN_OUT = int(zmq.POLLIN), int(zmq.POLLIN | zmq.POLLOUT)
clock = time.monotonic
"""The clock of all turns, in seconds."""


class Change(NamedTuple):
    """What became of a connection since the last look.

    :param lost: there was one and it is gone, or it cannot be made now; what was sent may not have arrived
    :param up: it was made; with ``lost``, it is another one than before
    """

    lost: bool
    up: bool


class Link:
    """A connected socket under watch. :param socket: just connected; it is closed with the link"""

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.monitor: Socket = socket.get_monitor_socket(_LOST | _FRUITLESS | _UP)

    def change(self) -> Change:
        """What has happened to the connection since the last call."""
        gone = fruitless = up = False
        for event in self._events():
            gone = gone or event == _LOST
            up = up or event == _UP
            # An attempt that failed is forgotten when the next one succeeds.
            fruitless = event != _UP and (fruitless or event != _LOST)
        return Change(gone or fruitless, up)

    def _events(self) -> Iterator[int]:
        while True:
            try:
                yield recv_monitor_message(self.monitor, zmq.DONTWAIT)["event"]
            except zmq.Again:
                return

    def messages(self) -> Iterator[list[bytes]]:
        """What has come, a bounded part of it."""
        for _ in range(MESSAGES_PER_DRAIN):
            try:
                yield self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return

    def close(self) -> None:
        """Ends the connection. What was sent last leaves if the socket lingers."""
        self.socket.disable_monitor()
        self.monitor.close()
        self.socket.close()


class Turning(Protocol):
    """What takes part in a turn."""

    def begin(self, now: float) -> float:
        """Opens and sends what is due. Returns when it wants the next turn, in seconds of :data:`clock`."""

    def sockets(self) -> list[tuple[Socket, int]]:
        """What to wait for, with the flags of :meth:`zmq.Poller.register`."""

    def end(self, now: float, ready: Container[Socket]) -> None:
        """Takes in what has come at the sockets that are ready, and does what is due."""


def turn(things: Sequence[Turning], timeout_s: float) -> None:
    """One turn of several clients and followers at once: sends, waits at most ``timeout_s`` for any of them, receives.

    It returns as soon as anything has come or is due for any of them, so call it in a loop.
    """
    now = clock()
    wake_at = min([now + timeout_s, *[thing.begin(now) for thing in things]])
    poller = zmq.Poller()
    for thing in things:
        for socket, flags in thing.sockets():
            poller.register(socket, flags)
    ready = dict(poller.poll(ceil(max(wake_at - clock(), 0.0) * 1000)))
    now = clock()
    for thing in things:
        thing.end(now, ready)
