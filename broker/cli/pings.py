"""Who answers a ping: members are asked directly, and without registering."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from math import ceil

import msgspec
import zmq

from broker.link import clock
from broker.messages import encode
from broker.messages.connection import EventPong, RequestPing
from broker.sockets import Context, Socket, dealer


def ping(addresses: Sequence[str], timeout: float = 1.0, context: Context | None = None) -> list[EventPong | None]:
    """Asks several members at once whether they live, without registering. None for one that is silent."""
    made: Context = context or zmq.Context.instance()
    sockets = [dealer(made, address) for address in addresses]
    try:
        return _pongs(sockets, clock() + timeout)
    finally:
        for socket in sockets:
            socket.close()


def _pongs(sockets: list[Socket], until: float) -> list[EventPong | None]:
    pongs: dict[Socket, EventPong | None] = {}
    unasked = dict.fromkeys(sockets)
    while len(pongs) < len(sockets) and clock() < until:
        poller = zmq.Poller()
        for socket in sockets:
            if socket not in pongs:
                poller.register(socket, zmq.POLLOUT if socket in unasked else zmq.POLLIN)
        for socket, _ in poller.poll(ceil(max(until - clock(), 0.0) * 1000)):
            if socket not in unasked:
                pongs[socket] = _pong(socket.recv_multipart())
            elif _asked(socket):
                del unasked[socket]
    return [pongs.get(socket) for socket in sockets]


def _pong(frames: list[bytes]) -> EventPong | None:
    try:
        return msgspec.json.decode(frames[-1], type=EventPong)
    except msgspec.DecodeError:
        return None


def _asked(socket: Socket) -> bool:
    with suppress(zmq.Again):
        socket.send_multipart([b"ping", encode(RequestPing())], zmq.DONTWAIT)
        return True
    return False
