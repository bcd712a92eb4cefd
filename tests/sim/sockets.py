"""Simulated sockets: as much of a ``zmq.Socket`` as the shells use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import zmq

from tests.sim.network import Connection, Frames, Host, Network


class Plug:
    """The connecting end: a DEALER or a SUB that is connected to one address."""

    def __init__(self, network: Network, host: Host, kind: str) -> None:
        self.network = network
        self.host = host
        self.kind = kind
        self.inbox: deque[Frames] = deque()
        self.connection: Connection | None = None
        self.closed = False

    @property
    def ready(self) -> bool:
        """Something can be received."""
        return bool(self.inbox)

    def arrived(self, frames: Frames) -> None:
        """A message has come."""
        if not self.closed:
            self.inbox.append(frames)
            self.host.wake()

    # -- as a zmq.Socket

    def connect(self, address: str) -> None:
        self.network.connect(self, address)

    def close(self, linger: int = 0) -> None:
        self.network.close(self)

    def send(self, frame: bytes, flags: int = 0) -> None:
        self.send_multipart([frame])

    def send_multipart(self, frames: Sequence[bytes], flags: int = 0) -> None:
        if self.connection is None:
            raise zmq.Again
        self.connection.up.send(list(frames))

    def recv_multipart(self, flags: int = 0) -> Frames:
        if not self.inbox:
            raise zmq.Again
        return self.inbox.popleft()


class Subscriber:
    """A SUB: one plug for each publisher it is connected to, and one inbox."""

    def __init__(self, network: Network, host: Host, kind: str) -> None:
        self.plugs: dict[str, Plug] = {}
        self.inbox: deque[Frames] = deque()
        self._made = lambda: Plug(network, host, kind)

    @property
    def ready(self) -> bool:
        """Something can be received."""
        return bool(self.inbox)

    def connect(self, address: str) -> None:
        plug = self._made()
        plug.inbox = self.inbox
        self.plugs[address] = plug
        plug.connect(address)

    def disconnect(self, address: str) -> None:
        self.plugs.pop(address).close()

    def recv_multipart(self, flags: int = 0) -> Frames:
        if not self.inbox:
            raise zmq.Again
        return self.inbox.popleft()


class Port:
    """The bound end: a ROUTER with ``ROUTER_MANDATORY``, or an XPUB (:meth:`publish`)."""

    def __init__(self, network: Network, host: Host, address: str) -> None:
        self.network = network
        self.host = host
        self.address = address
        self.connections: dict[bytes, Connection] = {}
        self.counts = [0, 0]
        self._inboxes: dict[bytes, deque[Frames]] = {}
        self._turns: deque[bytes] = deque()
        network.ports[address] = self

    @property
    def ready(self) -> bool:
        """Something can be received."""
        return bool(self._turns)

    def arrived(self, ident: bytes, frames: Frames) -> None:
        """A message of a peer has come; it is read although the peer may have gone."""
        inbox = self._inboxes.get(ident)
        if inbox is None:
            inbox = self._inboxes[ident] = deque()
        if not inbox:
            self._turns.append(ident)
        inbox.append(frames)
        self.host.wake()

    # -- as a zmq.Socket

    def recv_multipart(self, flags: int = 0) -> Frames:
        """The peers have their turns, as in libzmq."""
        if not self._turns:
            raise zmq.Again
        ident = self._turns.popleft()
        inbox = self._inboxes[ident]
        frames = inbox.popleft()
        if inbox:
            self._turns.append(ident)
        return [ident, *frames]

    def send_multipart(self, frames: Sequence[bytes], flags: int = 0) -> None:
        ident, *rest = frames
        connection = self.connections.get(ident)
        if connection is None:
            raise zmq.ZMQError(zmq.EHOSTUNREACH)
        connection.down.send(rest)


class Publisher(Port):
    """An XPUB: what is sent goes to all that are connected.

    :param heard: is told of each message
    :param topics: what somebody has subscribed to
    """

    def __init__(
        self,
        network: Network,
        host: Host,
        address: str,
        heard: Callable[[Sequence[bytes]], None],
        topics: Sequence[bytes],
    ) -> None:
        super().__init__(network, host, address)
        self._heard = heard
        self._subscriptions = deque(b"\x01" + topic for topic in topics)

    @property
    def ready(self) -> bool:
        return bool(self._subscriptions)

    def recv(self, flags: int = 0, copy: bool = True) -> zmq.Frame:
        if not self._subscriptions:
            raise zmq.Again
        return zmq.Frame(self._subscriptions.popleft())

    def setsockopt(self, option: int, value: bytes) -> None:
        pass

    def send_multipart(self, frames: Sequence[bytes], flags: int = 0) -> None:
        self._heard(frames)
        for connection in list(self.connections.values()):
            connection.down.send(list(frames))
