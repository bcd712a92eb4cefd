"""Lines: connections to the ESP servers that are listed in the configuration. A shell.

The active member has a DEALER to each of them. A request goes out as a pair of frames ``[ref, payload]``, where ``ref``
is the node's reference; the server, a ROUTER, answers with the same ``ref``. A server is asked while there is a
connection; when that is lost, the core is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial

import structlog
import zmq

from broker.config.objects import Configuration
from broker.link import Link
from broker.loop import Polled
from broker.sockets import Context, dealer, max_frame_size
from broker.wire import BadFrames, split_pairs

from .calls import Dialled
from .core import NodeCore

log = structlog.get_logger("node")


class Lines:
    """The lines of one member; none while it is standby.

    :param core: gives the core of the present tenure
    """

    def __init__(self, context: Context, configuration: Configuration, node: str, core: Callable[[], NodeCore]) -> None:
        here = configuration.nodes[node]
        self._context = context
        self._addresses = {name: configuration.esp_servers[name].address for name in here.connections}
        self._longest = max_frame_size(here.settings)
        self._core = core
        self._links: dict[str, Link] = {}
        self._up: set[str] = set()
        self._polled: list[Polled] = []

    def sockets(self) -> list[Polled]:
        """What to poll."""
        return self._polled

    def keep(self, *, open_: bool) -> None:
        """Opens all lines, or closes them; nothing happens where it is so."""
        if open_ != bool(self._links):
            for name in self._addresses if open_ else ():
                self._open(name)
            for name in () if open_ else list(self._links):
                self._close(name)
            self._list()

    def _open(self, name: str) -> None:
        address = self._addresses[name]
        link = self._links[name] = Link(dealer(self._context, address, longest=self._longest, connected=False))
        link.socket.connect(address)  # not before somebody watches: a connection can be there in no time

    def _close(self, name: str) -> None:
        self._links.pop(name).close()
        self._up.discard(name)

    def _list(self) -> None:
        self._polled = []
        for name, link in self._links.items():
            self._polled += [(link.socket, partial(self._drain, name)), (link.monitor, partial(self._look, name))]

    def _look(self, name: str) -> None:
        """A connection was made or lost. What the server had said and was not read yet, libzmq drops with it."""
        change = self._links[name].change()
        if change.lost and name in self._up:
            self._lost(time.time(), name, [])
        if change.up:
            log.info("an ESP server is there", server=name)
            self._up.add(name)
            self._core().connected(time.time(), name)

    def _lost(self, now: float, name: str, unsent: list[str]) -> None:
        log.warning("an ESP server is gone", server=name, unsent=len(unsent))
        self._up.discard(name)
        self._core().disconnected(now, name, unsent)

    def _drain(self, name: str) -> None:
        now, core = time.time(), self._core()
        for frames in self._links[name].messages():
            try:
                pairs = split_pairs(frames)
            except BadFrames as fault:
                core.counts.drop(name, "garbage", frames[-1])
                pairs = fault.pairs
            for ref, payload in pairs:
                core.answered(now, name, ref, payload)

    def send(self, now: float, dialled: Iterable[Dialled]) -> None:
        """Sends requests. A server that takes none is gone, and connected to anew."""
        unsent: dict[str, list[str]] = {}
        for name, refid, payload in dialled:
            try:
                self._links[name].socket.send_multipart([refid.encode(), payload], zmq.NOBLOCK)
            except zmq.Again:
                unsent.setdefault(name, []).append(refid)
        for name, refids in unsent.items():
            self._close(name)
            self._open(name)
            self._list()
            self._lost(now, name, refids)
