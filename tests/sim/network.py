"""The simulated network: connections that open and break, and what becomes of each message on them.

A connection is what ZeroMQ makes of TCP: in each direction messages arrive in order, late, or not at all. It breaks
when an end dies or hears nothing for too long; then some first part of what was under way still arrives, and a new
connection is made under a new routing id. What had arrived from the old one is still read, beside what comes from the
new one. Beyond that, and only where the weather says so, single messages are lost, doubled or overtaken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tests.sim.heap import Heap

if TYPE_CHECKING:
    from tests.sim.sockets import Plug, Port

Frames = list[bytes]

RECONNECT_S = (0.03, 0.3)
SILENCE_S = 2.0
"""A connection whose ends cannot reach each other for this long is broken (ZMTP heartbeats)."""


class Weather(NamedTuple):
    """What becomes of the messages of one kind of connection.

    :param quick: the usual delay, from and to; :param slow: chance of up to ``SLOWEST_S``
    :param loss: chance that a message is lost; :param double: that it comes twice; :param overtake: that it does not
        keep its place
    """

    quick: tuple[float, float] = (0.0001, 0.002)
    slow: float = 0.0
    loss: float = 0.0
    double: float = 0.0
    overtake: float = 0.0


CALM = Weather()
SLOWEST_S = 0.4


class Host(Protocol):
    """Something that has sockets: a process or a client."""

    name: str
    running: bool
    paused: bool

    def wake(self) -> None:
        """Something has come."""


class Wire:
    """One direction of a connection."""

    __slots__ = (
        "_arrived",
        "_heap",
        "_held",
        "_last_at",
        "_limit",
        "_network",
        "_sent",
        "cut_off",
        "kind",
        "ends",
        "take",
    )

    def __init__(self, network: Network, kind: str, ends: tuple[str, str], take: Callable[[Frames], None]) -> None:
        self.kind = kind
        self.ends = ends
        self.take = take
        self.cut_off = False
        self._network = network
        self._heap = network.heap
        self._held: list[Frames] = []
        self._last_at = 0.0
        self._sent = self._arrived = 0
        self._limit: float = float("inf")

    def send(self, frames: Frames) -> None:
        """Puts a message on its way; nobody learns what becomes of it."""
        if self.cut_off:
            return
        if self.ends in self._network.blocked:
            self._held.append(frames)
        else:
            self._carry(frames)

    def flush(self) -> None:
        """The way is free again."""
        held, self._held = self._held, []
        for frames in held:
            self._carry(frames)

    def _carry(self, frames: Frames) -> None:
        weather, heap = self._network.weather[self.kind], self._heap
        if heap.chance(weather.loss):
            self._network.counts["lost"] += 1
            return
        double = heap.chance(weather.double)
        for _ in range(1 + double):
            delay = (
                heap.random.uniform(0.0, SLOWEST_S)
                if heap.chance(weather.slow)
                else heap.random.uniform(*weather.quick)
            )
            at = heap.now + delay
            if heap.chance(weather.overtake):
                self._network.counts["overtaken"] += 1
            else:
                at = self._last_at = max(at, self._last_at)
            self._sent += 1
            heap.at(at, self._arrive, self._sent, frames)
        self._network.counts["doubled"] += double

    def _arrive(self, number: int, frames: Frames) -> None:
        if number <= self._limit:
            self._arrived += 1
            self.take(frames)

    def cut(self, keep: bool) -> None:
        """Nothing goes in any more. :param keep: some first part of what is under way may still arrive"""
        if not self.cut_off:
            self.cut_off = True
            self._limit = (
                self._heap.random.randint(min(self._arrived, self._sent), self._sent) if keep else self._arrived
            )
            self._held.clear()


class Connection:
    """A plug in a port. :param ident: the routing id that the port knows it by"""

    __slots__ = ("down", "ident", "plug", "port", "up")

    def __init__(self, network: Network, plug: Plug, port: Port, ident: bytes) -> None:
        self.ident = ident
        self.plug = plug
        self.port = port
        here, there = plug.host.name, port.host.name
        self.up = Wire(network, plug.kind, (here, there), lambda frames: port.arrived(ident, frames))
        self.down = Wire(network, plug.kind, (there, here), plug.arrived)


class Network:
    """All connections.

    :param weather: by kind of connection: ``client``, ``link``, ``events``, ``stream``
    """

    def __init__(self, heap: Heap, weather: dict[str, Weather]) -> None:
        self.heap = heap
        self.weather = weather
        self.ports: dict[str, Port] = {}
        self.blocked: set[tuple[str, str]] = set()
        self.counts = {"lost": 0, "doubled": 0, "overtaken": 0, "broken": 0}
        self._connections: dict[bytes, Connection] = {}
        self._numbers = 0

    # -- connecting

    def connect(self, plug: Plug, address: str) -> None:
        """Connects, and connects again whenever the connection is lost."""
        self.heap.after(self.heap.random.uniform(0.0002, 0.002), self._try, plug, address)

    def _try(self, plug: Plug, address: str) -> None:
        if plug.closed or plug.connection is not None:
            return
        port = self.ports.get(address)
        if port is None or not self._can_meet(plug.host, port.host):
            self.heap.after(self.heap.random.uniform(*RECONNECT_S), self._try, plug, address)
            return
        self._numbers += 1
        connection = Connection(self, plug, port, b"\0%04d" % self._numbers)
        self._connections[connection.ident] = connection
        port.connections[connection.ident] = connection
        plug.connection = connection

    def _can_meet(self, one: Host, other: Host) -> bool:
        ways = ((one.name, other.name), (other.name, one.name))
        return all(host.running and not host.paused for host in (one, other)) and self.blocked.isdisjoint(ways)

    def close(self, plug: Plug) -> None:
        """The plug is pulled by its own side."""
        plug.closed = True
        if plug.connection is not None:
            self._break(plug.connection, keep_up=True, keep_down=False)

    # -- breaking

    def leave(self, host: Host) -> None:
        """A process has ended: its ports are gone, what was under way to it is lost."""
        for connection in list(self._connections.values()):
            if host in (connection.plug.host, connection.port.host):
                if connection.plug.host is host:
                    connection.plug.closed = True
                self._break(connection, keep_up=connection.plug.host is host, keep_down=connection.port.host is host)
        for address in [address for address, port in self.ports.items() if port.host is host]:
            del self.ports[address]

    def cut(self, one: str, other: str) -> None:
        """All connections between two hosts break, and may be made again at once."""
        for connection in self._between(one, other):
            self._break(connection, keep_up=True, keep_down=True)

    def pairs(self) -> list[tuple[str, str]]:
        """The ends of all connections, as they were made."""
        return [connection.up.ends for connection in self._connections.values()]

    def _between(self, one: str, other: str) -> list[Connection]:
        ends = {(one, other), (other, one)}
        return [connection for connection in self._connections.values() if connection.up.ends in ends]

    def _break(self, connection: Connection, *, keep_up: bool, keep_down: bool) -> None:
        """Both ends learn of it a little later, each at its own time."""
        if self._connections.pop(connection.ident, None) is None:
            return
        self.counts["broken"] += 1
        connection.up.cut(keep_up)
        connection.down.cut(keep_down)
        uniform = self.heap.random.uniform
        self.heap.after(uniform(0.0, 0.02), self._unplugged, connection)
        self.heap.after(uniform(0.0, 0.02), connection.port.connections.pop, connection.ident, None)

    def _unplugged(self, connection: Connection) -> None:
        plug = connection.plug
        if plug.connection is connection:
            plug.connection = None
            self.heap.after(self.heap.random.uniform(*RECONNECT_S), self._try, plug, connection.port.address)

    # -- blocking

    def part(self, one: str, other: str, one_way: bool) -> None:
        """Nothing passes from ``one`` to ``other``, nor back if not ``one_way``, until :meth:`join`."""
        ways = [(one, other)] if one_way else [(one, other), (other, one)]
        self.blocked.update(ways)
        self.heap.after(SILENCE_S, self._give_up, one, other)

    def _give_up(self, one: str, other: str) -> None:
        if (one, other) in self.blocked:
            for connection in self._between(one, other):
                self._break(connection, keep_up=False, keep_down=False)

    def silent(self, name: str) -> None:
        """A host has said nothing for too long: all others have left it."""
        for connection in list(self._connections.values()):
            if name in connection.up.ends:
                self._break(connection, keep_up=True, keep_down=True)

    def join(self, one: str, other: str) -> None:
        """Everything passes again; what was held up arrives."""
        self.blocked -= {(one, other), (other, one)}
        for connection in self._between(one, other):
            connection.up.flush()
            connection.down.flush()
