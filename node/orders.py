"""What operators order and the core cannot do by itself: read the configuration file, ask the standby. A shell.

    SIGHUP, RequestReconfigure   the file is read beside the loop, then :func:`node.reconfiguration.ordered` decides
    RequestSwitchover            the other member is pinged, then :func:`node.operations.standby_said` decides

A standby does not read the file: it follows the active member's configuration. But a SIGHUP that comes while the pair
changes roles must not be lost, so a standby that becomes active shortly after one reads the file then.
"""

from __future__ import annotations

from itertools import count

import msgspec
import structlog
import zmq
from msgspec import Raw

from broker.config.objects import Configuration
from broker.config.reading import LOOK_S, Readings, faults_of, note
from broker.errors import Code, Refusal
from broker.loop import Polled
from broker.messages import encode
from broker.messages.connection import EventPong, RequestPing
from broker.messages.operations import RequestReconfigure
from broker.sockets import Context, Socket, dealer

from . import operations, reconfiguration
from .calls import Call
from .core import NodeCore

PATIENCE_S = 0.5
"""How long the standby has to answer."""
HAND_OVER = b'"hand-over"'
"""What a ping has in its ``extension`` that asks because the asker wants to hand over."""
REMEMBERED_S = 10.0
"""How long a standby remembers a SIGHUP."""

log = structlog.get_logger("node")

_PING = encode(RequestPing(extension=Raw(b"{%b:1}" % HAND_OVER)))
_pong = msgspec.json.Decoder(EventPong).decode


class Orders:
    """The orders of one member.

    :param configuration: says where the other member is
    :param file: the path of the configuration file
    """

    def __init__(
        self, context: Context, configuration: Configuration, name: str, member: str, file: str | None
    ) -> None:
        node = configuration.nodes[name]
        self._context = context
        self._other = node.backup if member == "primary" else node.primary
        self._readings = Readings(file)
        self._socket: Socket | None = None
        self._pings = count(1)
        self._asking: tuple[Call, bytes, float] | None = None
        self._unsent = False
        self._pong: EventPong | None = None
        self._told_at = float("-inf")

    def sockets(self) -> list[Polled]:
        """What to poll: the way to the other member, once it was needed."""
        return [] if self._socket is None else [(self._socket, self._drain)]

    def reload(self, now: float, core: NodeCore) -> None:
        """SIGHUP."""
        if core.active:
            self._readings.begin(None)
        else:
            self._told_at = now
            log.info("the active member reads the configuration, this one follows it")

    def turn(self, now: float, core: NodeCore) -> None:
        """Goes on with what was ordered of the active member."""
        if now - self._told_at < REMEMBERED_S:
            self._readings.begin(None)
        self._told_at = float("-inf")
        orders, core.orders = core.orders, []
        for call in orders:
            self._begin(now, core, call)
        while (read := self._readings.take()) is not None:
            call, faults = read.order, faults_of(read.verdict)
            new = None if faults else read.verdict.configuration
            said = reconfiguration.ordered(core, now, call, new, faults)
            if said:
                note(log, said, "SIGHUP" if call is None else call.session.name)
        self._look(now, core)

    def followed(self) -> None:
        """The standby has taken on what the active member has read: a SIGHUP was not lost."""
        self._told_at = float("-inf")

    def forget(self) -> None:
        """This member serves no more: those who wait are answered by the other one, when they ask again."""
        self._readings.forget()
        self._asking = None

    def wake_at(self, now: float) -> float:
        """When :meth:`turn` wants to be called next."""
        return now + LOOK_S if self._readings.under_way or self._asking is not None else float("inf")

    # -- one order

    def _begin(self, now: float, core: NodeCore, call: Call) -> None:
        if type(call.request) is RequestReconfigure:
            if not self._readings.begin(call, call.request.configuration):
                core.refuse(call, Refusal(Code.BUSY, "other configurations are being read", retry_after=1.0))
        elif self._asking is None:
            self._ask(now, call)
        elif (call.source, call.ref) == (self._asking[0].source, self._asking[0].ref):
            self._asking = (call, *self._asking[1:])  # the same one, sent again by its proxy
        else:
            core.refuse(call, Refusal(Code.IN_PROGRESS, f"{core.name} is handing over"))

    # -- the other member

    def _ask(self, now: float, call: Call) -> None:
        assert self._other is not None, "the core has looked whether there is a backup"
        if self._socket is None:
            self._socket = dealer(self._context, self._other.requests)
        self._asking = call, b"%d" % next(self._pings), now + PATIENCE_S
        self._unsent, self._pong = True, None

    def _look(self, now: float, core: NodeCore) -> None:
        """Pings the other member as soon as it is connected; goes on when it has answered, or not in time."""
        if self._asking is None or self._socket is None:
            return
        call, ref, until = self._asking
        if self._unsent:
            try:
                self._socket.send_multipart([ref, _PING], zmq.NOBLOCK)
                self._unsent = False
            except zmq.Again:
                self._unsent = True
        if self._pong is not None or now >= until:
            self._asking = None
            operations.standby_said(core, call, self._pong)

    def _drain(self) -> None:
        """Takes the answer to the last ping; what is older, or none, is passed over."""
        assert self._socket is not None
        try:
            while True:
                ref, payload = self._socket.recv_multipart(zmq.NOBLOCK)[-2:]
                if self._asking is not None and ref == self._asking[1]:
                    self._pong = _pong(payload)
        except zmq.Again:
            return
        except (ValueError, msgspec.DecodeError):
            log.warning("the other member has answered something that is no answer")
