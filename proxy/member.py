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
from collections import Counter

import msgspec
import structlog
import zmq

from broker.config.objects import Configuration
from broker.front import Front
from broker.loop import Polled, Stalls
from broker.sockets import Audience, Context, Socket, batches, dealer, max_packed_size, router, sub, xpub
from broker.wire import PACKED_TOPIC, PackedRequest, PackedRequests, pack, unpack_published, unpack_replies

from .core import ProxyCore

MESSAGES_PER_DRAIN = 64
"""Packed messages of one node taken before the others have their turn; each holds a whole batch."""

log = structlog.get_logger("proxy")


class ProxyMember:
    """The shell of one proxy member.

    :param configuration: the whole cluster's
    :param name: the proxy
    :param member: ``primary`` or ``backup``
    :param stalls: filled by the loop
    """

    def __init__(self, configuration: Configuration, name: str, member: str, stalls: Stalls) -> None:
        proxy = configuration.proxies[name]
        addresses = proxy.primary if member == "primary" else proxy.backup
        assert addresses is not None, "the command checks that the member is configured"
        self.settings = proxy.settings
        self.stalls = stalls
        self.counts: Counter[str] = Counter()
        self.context: Context = zmq.Context()
        self.front = Front(router(self.context, addresses.requests, self.settings), self.counts)
        self.audience = Audience(xpub(self.context, addresses.events, manual=True))
        self.core = ProxyCore(name, secrets.token_hex(4), configuration, member=member, pid=os.getpid())
        self.links: dict[tuple[str, str], Socket] = {}
        self.subscriber = self._connect(configuration, name)
        self.finished = False
        self._ticked_at = self._wake_at = 0.0
        self._packed = max_packed_size(self.settings)
        self._polled = self._sockets()
        log.info("serving", nodes=",".join(configuration.nodes_of(name)), requests=addresses.requests)

    def _connect(self, configuration: Configuration, name: str) -> Socket:
        """A DEALER to every member of every node, and one SUB to all of them."""
        events = []
        for node in configuration.nodes_of(name):
            pair = configuration.nodes[node]
            for member, addresses in (("primary", pair.primary), ("backup", pair.backup)):
                if addresses is not None:
                    self.links[node, member] = dealer(self.context, addresses.requests)
                    events.append(addresses.events)
        subscriber = sub(self.context, events[0], [PACKED_TOPIC])
        for address in events[1:]:
            subscriber.connect(address)
        return subscriber

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
                self.counts["garbage from a node"] += 1
                continue
            self.core.replies(now, node, member, packed)

    def _drain_events(self) -> None:
        now = time.time()
        for frame in batches(self.subscriber, MESSAGES_PER_DRAIN):
            try:
                published = unpack_published(frame)
            except msgspec.DecodeError:
                self.counts["garbage from a node"] += 1
                continue
            self.core.heard(now, published)

    # -- a turn

    def turn(self, now: float) -> float:
        """Lets the core do what is due and sends all it has to say."""
        if not self._ticked_at <= now < self._wake_at:  # due, or the clock was set back
            self._ticked_at = now
            self.core.tick(now)
        out = self.core.take()
        for (node, member), requests in out.links.items():
            self._send(now, node, member, out.settled.get(node, 0), requests)
        if out.replies:
            self.front.send(out.replies)
        if self.audience.watched:
            for event in out.publish:
                self.audience.socket.send_multipart(event, zmq.NOBLOCK)
        for peer, undelivered in self.front.lost():
            self.core.lost(now, peer, undelivered)
        self._wake_at = self.core.wake_at
        return self._wake_at

    def _send(self, now: float, node: str, member: str, settled: int, requests: list[PackedRequest]) -> None:
        for part in self._parts(requests):
            try:
                self.links[node, member].send_multipart((pack(PackedRequests(settled, part)),), zmq.NOBLOCK)
            except zmq.Again:
                self.counts["node could not be sent to"] += 1
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
        """SIGHUP: says what a restart would change."""
        log.warning("this release does not reload a proxy's configuration: restart it, clients move to another one")

    def close(self) -> None:
        self.context.destroy(linger=200)
