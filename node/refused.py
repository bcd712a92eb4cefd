"""A member whose database cannot be used: it serves nobody and says why, to whoever looks; then it ends. A shell.

Its supervisor starts it again, and it looks at the database anew. So nobody has to tell it when the operator is done,
and meanwhile the status of the cluster shows the reason. What a member finds while it runs is the tenure's affair.
"""

from __future__ import annotations

import os
import time
from typing import Any

import msgspec
import orjson
import structlog
import zmq

from broker.config.objects import Configuration
from broker.errors import Code, Refusal
from broker.front import Front
from broker.ledger import Ledger
from broker.loop import Polled
from broker.messages.connection import EventPong
from broker.sockets import Audience, Context, max_packed_size, router, xpub
from broker.supervisor import EXIT_DISK, EXIT_REFUSED
from broker.wire import PackedEvents, unpack_requests

from .declining import declined
from .outbox import Outbox
from .sessions import KIND
from .store import Refused, StoreFailure

SHOWN_S = 10.0
"""How long a database that needs an operator is shown before it is looked at again."""
SOON_S = 2.0
"""The same for a failure that may pass by itself."""
HEARTBEAT_S = 0.25

log = structlog.get_logger("node")


class RefusedMember:
    """The shell.

    :param fault: what the database said when it was opened
    """

    def __init__(self, configuration: Configuration, name: str, member: str, fault: StoreFailure) -> None:
        node = configuration.nodes[name]
        self.name, self.member = name, member
        self.settings = node.settings
        addresses = node.primary if member == "primary" else node.backup
        assert addresses is not None, "the command checks that the member is configured"
        lasts = isinstance(fault, Refused)
        self.exit_code = EXIT_REFUSED if lasts else EXIT_DISK
        self.finished = False
        self.why = f"{fault}: {fault.remedy}"
        log.error("the database cannot be used", database=fault.path, reason=fault.reason, do=fault.remedy)
        self.context: Context = zmq.Context()
        self.front = Front(name, router(self.context, addresses.requests, self.settings), Ledger(time.time))
        self.audience = Audience(xpub(self.context, addresses.events, manual=True))
        self.outbox = Outbox(name, self.front, self.audience, max_packed_size(self.settings))
        self._links: set[bytes] = set()
        self._ends_at = time.monotonic() + (SHOWN_S if lasts else SOON_S)
        self._heartbeat_at = 0.0

    def sockets(self) -> list[Polled]:
        return [(self.front.socket, self._drain_requests), (self.audience.socket, self.audience.drain)]

    def _drain_requests(self) -> None:
        for peer, frames in self.front.messages(self.settings.max_batch):
            if len(frames) == 1:
                self._decline_packed(peer, frames[0])
            else:
                for ref, payload in self.front.pairs(peer, frames):
                    self._decline((peer, 0), ref, payload)

    def _decline_packed(self, peer: bytes, frame: bytes) -> None:
        try:
            requests = unpack_requests(frame).requests
        except msgspec.DecodeError:
            return
        self._links.add(peer)
        for request in requests:
            self._decline((peer, request.client), request.number, request.payload)

    def _decline(self, source: tuple[bytes, int], ref: Any, payload: bytes) -> None:
        refusal = Refusal(Code.NOT_PRIMARY, f"the {self.member} of {self.name} is stopped: {self.why}")
        said, code = declined(payload, self.settings.max_message_size, self._pong(), refusal)
        self.outbox.replies([(source, ref, said, code)], self._links, 0)

    def _pong(self) -> EventPong:
        return EventPong(server=self.name, kind=KIND, member=self.member, role="stopped", pid=os.getpid(), why=self.why)

    def turn(self, now: float) -> float:
        """Says how it is. :raises SystemExit: that was long enough"""
        left_s = self._ends_at - time.monotonic()
        if left_s <= 0:
            raise SystemExit(self.exit_code)
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + HEARTBEAT_S
            self._publish()
        return min(self._heartbeat_at, now + left_s)

    def _publish(self) -> None:
        document = {"pid": os.getpid(), "role": "stopped", "why": self.why}
        self.outbox.events(
            PackedEvents(
                node=self.name,
                member=self.member,
                role="stopped",
                epoch=0,
                us=0,
                next_seq=1,
                first_seq=1,
                events=[],
                status=orjson.dumps(document),
            )
        )

    def drain(self, now: float) -> None:
        """SIGTERM: there is nothing to finish."""
        self.finished = True

    def reload(self, now: float) -> None:
        """SIGHUP: another configuration is read at the next start."""

    def close(self) -> None:
        self.context.destroy(linger=0)
