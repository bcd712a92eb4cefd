"""One member of a proxy: sockets and clock around the core. A shell.

    drain    requests of clients, packed replies of nodes, published batches of nodes go to the core
    turn     what is due; then everything the core has to say leaves at once: one packed frame per node, replies to
             clients, the merged events

A proxy keeps nothing on disk. What a node cannot be sent is given back to the core, which decides what becomes of it.
"""

from __future__ import annotations

import os
import secrets
import time

import msgspec
import structlog
import zmq

from broker.config.objects import Addresses, Configuration, ProxySettings
from broker.config.reading import LOOK_S, Readings, faults_of, note
from broker.errors import Code, Refusal
from broker.front import Front
from broker.loop import Polled, Stalls
from broker.sockets import Audience, Context, Socket, batches, dealer, max_packed_size, router, sub, xpub
from broker.wire import PACKED_TOPIC, PackedRequest, PackedRequests, pack, unpack_published, unpack_replies

from . import reconfiguration
from .core import ProxyCore
from .nodes import Place

MESSAGES_PER_DRAIN = 64
"""Packed messages of one node taken before the others have their turn; each holds a whole batch."""
LAST_WORDS_MS = 1000
"""How long what was said last to a node that is left may take to leave."""

log = structlog.get_logger("proxy")


class ProxyMember:
    """The shell of one proxy member.

    :param configuration: the whole cluster's
    :param name: the proxy
    :param member: ``primary`` or ``backup``
    :param stalls: filled by the loop
    :param file: the path that the configuration was read from just now
    """

    def __init__(  # noqa: PLR0913 - what the command knows
        self, configuration: Configuration, name: str, member: str, stalls: Stalls, file: str | None = None
    ) -> None:
        proxy = configuration.proxies[name]
        addresses = proxy.primary if member == "primary" else proxy.backup
        assert addresses is not None, "the command checks that the member is configured"
        settings = proxy.settings
        self.stalls = stalls
        self.context: Context = zmq.Context()
        self.core = ProxyCore(name, secrets.token_hex(4), configuration, member=member, pid=os.getpid())
        self.ledger = self.core.counts
        socket = router(self.context, addresses.requests, settings)
        self.front = Front(name, socket, self.ledger, self.core.name_of)
        self.audience = Audience(xpub(self.context, addresses.events, manual=True))
        self.links: dict[Place, Socket] = {}
        self._places: dict[Place, Addresses] = {}
        first, *_ = self.core.nodes.reached.values()
        self.subscriber = sub(self.context, first.events, [PACKED_TOPIC], connected=False)
        self._connect()
        self.finished = False
        self._ticked_at = self._wake_at = 0.0
        self._packed = max_packed_size(settings)
        self._readings = Readings(file)
        log.info("serving", nodes=",".join(configuration.nodes_of(name)), requests=addresses.requests)

    def _connect(self) -> None:
        """A DEALER to every member of every node that the core wants to reach, and one SUB to all of them. What is
        elsewhere now is connected anew."""
        self._wanted = wanted = self.core.nodes.reached
        self._disconnect([place for place, known in self._places.items() if wanted.get(place, known) != known])
        for place, addresses in wanted.items():
            if place not in self._places:
                self.links[place] = dealer(self.context, addresses.requests)
                self.subscriber.connect(addresses.events)
                self._places[place] = addresses
        self._polled = self._sockets()

    def _disconnect(self, places: list[Place]) -> None:
        """Connections end; what was said last may still leave. Another member may be where one was: a SUB has one
        connection to an address, however often it was told to connect."""
        for place in places:
            events = self._places.pop(place).events
            self.subscriber.disconnect(events)
            if any(other.events == events for other in self._places.values()):
                self.subscriber.connect(events)
            self.links.pop(place).close(LAST_WORDS_MS)
        self._polled = self._sockets()

    def _sockets(self) -> list[Polled]:
        polled: list[Polled] = [
            (self.front.socket, self._drain_requests),
            (self.subscriber, self._drain_events),
            (self.audience.socket, self.audience.drain),
        ]
        for (node, member), socket in self.links.items():
            polled.append((socket, lambda node=node, member=member, socket=socket: self._drain(node, member, socket)))  # type: ignore[misc]
        return polled

    def sockets(self) -> list[Polled]:
        return self._polled

    @property
    def settings(self) -> ProxySettings:
        """The proxy's options, as they are now."""
        return self.core.settings

    # -- in

    def _drain_requests(self) -> None:
        now = time.time()
        for peer, frames in self.front.messages(self.settings.max_batch):
            for ref, payload in self.front.pairs(peer, frames):
                self.core.receive(now, peer, ref, payload)

    def _drain(self, node: str, member: str, socket: Socket) -> None:
        now = time.time()
        for frame in batches(socket, MESSAGES_PER_DRAIN):
            try:
                packed = unpack_replies(frame)
            except msgspec.DecodeError:
                self.ledger.drop(node, "garbage", frame)
                continue
            self.core.replies(now, node, member, packed)

    def _drain_events(self) -> None:
        now = time.time()
        for frame in batches(self.subscriber, MESSAGES_PER_DRAIN):
            try:
                published = unpack_published(frame)
            except msgspec.DecodeError:
                self.ledger.drop("a node", "garbage", frame)
                continue
            self.core.heard(now, published)

    # -- a turn

    def turn(self, now: float) -> float:
        """Lets the core do what is due and sends all it has to say."""
        if not self._ticked_at <= now < self._wake_at:  # due, or the clock was set back
            self._ticked_at = now
            self.core.tick(now)
        if self.core.own.orders or self._readings.under_way:
            self._obey(now)
        out = self.core.take()
        others = self.core.nodes.reached is not self._wanted
        if others:
            self._connect()
        for (node, member), requests in out.links.items():
            self._send(now, node, member, out.settled.get(node, 0), requests)
        if out.replies:
            self.front.send(out.replies)
        if self.audience.watched:
            for event in out.publish:
                self.audience.socket.send_multipart(event, zmq.NOBLOCK)
        for peer, undelivered in self.front.lost():
            self.core.lost(now, peer, undelivered)
        if others:
            self._disconnect([place for place in self._places if place not in self._wanted])
        self._wake_at = self.core.wake_at
        return min(self._wake_at, now + LOOK_S) if self._readings.under_way else self._wake_at

    def _obey(self, now: float) -> None:
        """Reads the configuration for those who ask for it, beside the loop, and goes on where it is read."""
        orders, self.core.own.orders = self.core.own.orders, []
        for call in orders:
            if not self._readings.begin(call, call.head.configuration):
                busy = Refusal(Code.BUSY, "other configurations are being read", retry_after=1.0)
                self.core.calls.refuse(call, busy)
        while (read := self._readings.take()) is not None:
            faults = faults_of(read.verdict)
            new = None if faults else read.verdict.configuration
            said = reconfiguration.ordered(self.core, now, read.order, new, faults)
            if said:
                note(log, said, "SIGHUP" if read.order is None else read.order.session.name)

    def _send(self, now: float, node: str, member: str, settled: int, requests: list[PackedRequest]) -> None:
        for part in self._parts(requests):
            try:
                self.links[node, member].send_multipart((pack(PackedRequests(settled, part)),), zmq.NOBLOCK)
            except zmq.Again:
                self.ledger["full or lost node"] += 1
                self.core.unsent(now, node, member, part)

    def _parts(self, requests: list[PackedRequest]) -> list[list[PackedRequest]]:
        """Requests in packed frames that are not too long."""
        if sum(len(request.payload) for request in requests) <= self._packed:
            return [requests]
        half = len(requests) // 2
        return [requests] if half == 0 else [*self._parts(requests[:half]), *self._parts(requests[half:])]

    # -- orders

    def drain(self, now: float) -> None:
        """SIGTERM: clients have heard every answer that there is; the nodes wait for the clients to come back."""
        self.finished = True

    def reload(self, now: float) -> None:
        """SIGHUP: reads the configuration file again."""
        self._readings.begin(None)

    def close(self) -> None:
        self.context.destroy(linger=200)
