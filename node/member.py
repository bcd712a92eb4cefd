"""One member of a node's pair: sockets, disk and clock around the core. A shell.

    drain    what has arrived goes to the core, which decides at once
    turn     deadlines that are due; then the batch is closed: ONE journal row is committed, and only then events are
             published and replies sent. Under load a batch is what arrived during the last commit; without load it is
             one request.

A standby reads the journal behind the active member, so it holds the same memory; it answers Ping and refuses the rest.
When the store fails, the batch waits and is tried again; meanwhile requests are refused, and the other member may take
over. Who is active is decided in :mod:`node.pair` and done in :mod:`node.tenure`.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
import orjson
import structlog
import zmq

from broker.clock import to_us
from broker.config.objects import Configuration, NodeSettings
from broker.errors import Code, Refusal
from broker.front import Front
from broker.ledger import STRANGER, Ledger
from broker.loop import Polled, Stalls
from broker.messages import error_payload
from broker.messages.connection import EventPong
from broker.sockets import Audience, Context, max_packed_size, router, xpub
from broker.wire import PackedEvent, PackedEvents, unpack_requests

from .calls import Batch, Read
from .core import NodeCore
from .declining import declined
from .housekeeping import Housekeeping
from .journal import encode_changes
from .lines import Lines
from .operations import figures
from .orders import HAND_OVER, Orders
from .outbox import Outbox
from .pair import Event
from .past import replay
from .sessions import KIND
from .store import Fenced, Row, StoreFailure, open_store
from .tenure import Tenure

STANDBY_HEARTBEAT_S = 0.25
STATUS_S = 0.5
JOINED_S = 0.02
RETRY_S = 0.1

log = structlog.get_logger("node")


class Held(NamedTuple):
    """A batch that could not be committed yet. :param row: its journal row, None when it changes nothing"""

    row: Row | None
    batch: Batch


class NodeMember:
    """The shell of one member.

    :param configuration: the whole cluster's
    :param name: the node
    :param member: ``primary`` or ``backup``
    :param stalls: filled by the loop, shown in the status
    :param file: the path that the configuration was read from just now
    :raises StoreFailure: the database cannot be opened; nothing was bound
    """

    def __init__(  # noqa: PLR0913 - what the command knows
        self, configuration: Configuration, name: str, member: str, stalls: Stalls, file: str | None = None
    ) -> None:
        self.name, self.member = name, member
        node = configuration.nodes[name]
        settings = node.settings
        self.stalls = stalls
        self.ledger = Ledger(time.time)
        addresses = node.primary if member == "primary" else node.backup
        assert addresses is not None, "the command checks that the member is configured"
        self.store = open_store(node.database, node=name, synchronous=settings.synchronous)
        self.context: Context = zmq.Context()
        self.front = Front(name, router(self.context, addresses.requests, settings), self.ledger, self._name_of)
        self.audience = Audience(xpub(self.context, addresses.events, manual=True))
        self.outbox = Outbox(name, self.front, self.audience, max_packed_size(settings))
        self.tenure = Tenure(self.store, configuration, name, member, self.ledger)
        self.tenure.configured(to_us(time.time()), configuration)
        self.housekeeping = Housekeeping(self.store, self.tenure, self.ledger)
        self.orders = Orders(self.context, configuration, name, member, file)
        self.lines = Lines(self.context, configuration, name, lambda: self.core)
        self.finished = False
        self._links: set[bytes] = set()
        self._held: Held | None = None
        self._drained: bool | None = None
        self._failure = self._said_role = ""
        self._retry_at = 0.0
        self._promised_us = 0
        self._heartbeat_at = self._status_at = 0.0
        self._ending = False

    @property
    def core(self) -> NodeCore:
        """The core of this tenure; after stepping down there is a new one."""
        return self.tenure.core

    @property
    def settings(self) -> NodeSettings:
        """The node's options, as they are now."""
        return self.core.settings

    # -- in

    def sockets(self) -> list[Polled]:
        own: list[Polled] = [(self.front.socket, self._drain_requests), (self.audience.socket, self.audience.drain)]
        return own + self.orders.sockets() + (self.lines.sockets() if self._serving else [])

    def _drain_requests(self) -> None:
        now = time.time()
        for peer, frames in self.front.messages(self.settings.max_batch):
            if len(frames) == 1:
                self._receive_packed(now, peer, frames[0])
            else:
                for ref, payload in self.front.pairs(peer, frames):
                    self._receive(now, peer, ref, payload)

    def _name_of(self, peer: bytes) -> str:
        """Who is at an address, for the ledger."""
        session = self.core.sessions.by_source.get((peer, 0))
        return STRANGER if session is None else session.name

    def _receive_packed(self, now: float, peer: bytes, frame: bytes) -> None:
        try:
            packed = unpack_requests(frame)
        except msgspec.DecodeError as fault:
            self.ledger.drop(self._name_of(peer), "bad frames", frame)
            refusal = Refusal(Code.MALFORMED, f"one frame is a proxy's packed batch, this is none: {fault}")
            said = error_payload(refusal, None, self.name)
            self.outbox.replies([((peer, 0), b"", said, int(refusal.code))], set(), 0)
            return
        self._links.add(peer)
        if self._serving:
            self.core.receive_link(now, peer, packed)
            return
        for request in packed.requests:
            self._decline((peer, request.client), request.number, request.payload)

    def _receive(self, now: float, peer: bytes, ref: Any, payload: bytes) -> None:
        if self._serving:
            self.core.receive(now, (peer, 0), ref, payload)
        else:
            self._decline((peer, 0), ref, payload)

    @property
    def _serving(self) -> bool:
        return self.core.active and self._held is None

    def _decline(self, source: tuple[bytes, int], ref: Any, payload: bytes) -> None:
        """A member that does not serve answers Ping, and says to everything else why not."""
        if HAND_OVER in payload and not self.core.active:
            self.tenure.expect(time.time())
        if self._held is not None:
            refusal = Refusal(Code.DATABASE_FAILURE, f"{self.name}: {self.core.why}", retry_after=RETRY_S)
        else:
            refusal = Refusal(Code.NOT_PRIMARY, f"the {self.member} of {self.name} is {self.tenure.role}")
        said, code = declined(payload, self.settings.max_message_size, self._pong(), refusal)
        self.outbox.replies([(source, ref, said, code)], self._links, 0 if code else self.core.epoch)

    def _pong(self) -> EventPong:
        core = self.core
        return EventPong(
            server=self.name,
            kind=KIND,
            member=self.member,
            role=self.tenure.role,
            pid=os.getpid(),
            epoch=core.epoch,
            rev=core.rev,
            why=core.why if self._held is not None else self.tenure.why,
            configuration=core.fingerprint,
        )

    # -- a turn

    def turn(self, now: float) -> float:
        """Decides, commits, sends. Returns when it wants to be called next."""
        try:
            if self.core.active:
                self._lead(now)
            else:
                self._follow(now)
        except Fenced as fault:
            self._replaced(f"replaced: {fault}")
        except StoreFailure as fault:
            self._note_failure(fault)
        self.lines.keep(open_=self.core.active)
        self._heartbeat(now)
        return self._next_turn(now)

    def _note_failure(self, fault: StoreFailure) -> None:
        """Said when it is another failure than the last one: it is tried again ten times a second."""
        self.ledger["store failures"] += 1
        if self._held is not None:
            self.core.why = str(fault)
        if str(fault) != self._failure:
            self._failure = str(fault)
            log.error("the database did not do it", reason=str(fault), do=fault.remedy)

    def _lead(self, now: float) -> None:
        if self._held is not None:
            self._try_again(now)
            return
        core = self.core
        core.tick(now)
        self.orders.turn(now, core)
        self._commit_and_send(now, core.take(now))
        for peer, undelivered in self.front.lost():
            self._links.discard(peer)
            core.lost(now, peer, undelivered)
        if self._held is None:
            self.housekeeping.turn(now)
            self._hand_over(now)

    def _hand_over(self, now: float) -> None:
        if self._ending or self.core.hand_over:
            event = Event.STOP if self._ending else Event.SWITCHOVER
            self._links.clear()
            self.orders.forget()
            self.finished = self.tenure.release(now, event, "stopping" if self._ending else "switchover")

    def _commit_and_send(self, now: float, batch: Batch) -> None:
        """One journal row, then events and replies. When that cannot be done now, the batch is held back.

        A member that stood still for longer than its lease lasts may have been replaced. Then the database says so, for
        it renews the lease with this very batch; if not, nobody has noticed, and what has come meanwhile is served.
        """
        row = self._row(batch)
        if self.tenure.late():
            log.warning("stood still for longer than the lease lasts", lease_timeout=self.settings.lease_timeout)
        try:
            self._commit(now, row)
        except StoreFailure as fault:
            self._hold_back(now, row, batch, str(fault))
        else:
            self._failure = ""
            self._send(now, batch)

    def _commit(self, now: float, row: Row | None) -> None:
        """Writes the row, and renews the lease when it is time; without a row only that."""
        if row is None:
            self.tenure.keep(now)
            return
        renew_us = self.tenure.renewal(now)
        asked_at = time.monotonic()
        self.store.commit(row, renew_us)
        self.core.rev = row.rev
        if renew_us is not None:
            self.tenure.renewed(asked_at)

    def _row(self, batch: Batch) -> Row | None:
        if not batch.changes and not batch.events.events:
            return None
        changes = encode_changes(batch.changes) if batch.changes else b""
        return Row(self.core.rev + 1, self.core.epoch, batch.us, changes, batch.packed_events())

    def _send(self, now: float, batch: Batch) -> None:
        if self.core.configuration is not self.tenure.configuration:  # it is committed: a new core begins with it
            self.tenure.configured(self.core.configured_us, self.core.configuration)
        if bool(self.core.memory.drains.rows) != self._drained:
            self._drained = bool(self.core.memory.drains.rows)
            self._heartbeat_at = self._status_at = 0.0  # proxies have to know at once
        if batch.events.events:
            self._publish(now, batch.events.first_seq, batch.events.events)
        if batch.replies:
            self.outbox.replies(batch.replies, self._links, self.core.epoch)
        for read in batch.reads:
            self._answer_read(now, read)
        if batch.dialled:
            self.lines.send(now, batch.dialled)

    def _hold_back(self, now: float, row: Row | None, batch: Batch, why: str) -> None:
        """Nobody hears of the batch until it is committed and the lease is known to be this member's."""
        self.ledger["batches held back"] += 1
        log.error("a batch is held back", rev=row.rev if row else None, why=why)
        self._held = Held(row, batch)
        self._retry_at = now
        self.core.why = why

    def _try_again(self, now: float) -> None:
        if now < self._retry_at or self._held is None:
            return
        self._retry_at = now + RETRY_S
        if self.store.writer() not in (None, 0):  # a third process: trying would only stop this one for a while
            return
        row, batch = self._held
        asked_at = time.monotonic()
        if row is not None:
            self.store.commit(row, to_us(now))
            self.core.rev = row.rev
        else:
            self.store.renew(self.core.epoch, to_us(now))
        self.tenure.renewed(asked_at)
        log.info("a batch that was held back is committed", rev=self.core.rev)
        self._held, self._failure = None, ""
        self.core.why = self.tenure.why
        self._send(now, batch)

    def _answer_read(self, now: float, read: Read) -> None:
        payload, code = replay(self.store, self.name, read, self.core.clock.promise(now))
        self.outbox.replies([(read.source, read.ref, payload, code)], self._links, self.core.epoch)

    def _follow(self, now: float) -> None:
        if self._ending:
            self.finished = True
            return
        configuration = self.tenure.configuration
        serves = self.tenure.follow(now)
        if self.tenure.configuration is not configuration:
            self.orders.followed()
        if serves:
            self._commit_and_send(now, self.core.take(now))

    def _replaced(self, why: str) -> None:
        """Another member is active: what was decided and not committed never happened."""
        self._held = None
        self._links.clear()
        self.orders.forget()
        self.tenure.replaced(why)

    # -- heartbeats

    def _heartbeat(self, now: float) -> None:
        if self.tenure.role != self._said_role:
            self._said_role = self.tenure.role
            self._heartbeat_at = self._status_at = 0.0
        if self.audience.joined:  # a proxy that has just come knows nothing of this member
            self.audience.joined = False
            self._heartbeat_at = self._status_at = min(self._status_at, now + JOINED_S)
        if now >= self._heartbeat_at:
            held = self._held  # its events are not out, and perhaps never will be
            self._publish(now, held.batch.events.first_seq if held else self.core.memory.counters.next_seq, [])

    def _publish(self, now: float, first_seq: int, events: list[PackedEvent]) -> None:
        active = self.core.active and self._held is None
        interval = self.settings.heartbeat_interval if active else STANDBY_HEARTBEAT_S
        self._heartbeat_at = now + interval
        if active:  # what was decided and could not be committed is not out, and must not be promised to be
            self._promised_us = self.core.clock.promise(now)
        self.outbox.events(
            PackedEvents(
                node=self.name,
                member=self.member,
                role=self.tenure.role,
                epoch=self.core.epoch,
                us=self._promised_us,
                next_seq=first_seq + len(events),
                first_seq=first_seq,
                events=events,
                status=self._status(now),
            )
        )

    def _status(self, now: float) -> bytes:
        """The member's state as JSON twice a second, else nothing."""
        if now < self._status_at:
            return b""
        self._status_at = now + STATUS_S
        member = self._pong()
        document = {
            "pid": member.pid,
            "role": member.role,
            "epoch": member.epoch,
            "rev": member.rev,
            "why": member.why,
            "durability": self.store.durability,
            "stalls": self.stalls.count,
            "refused": self.core.counts["refused"],
            "dropped": self.ledger.dropped,
            "configuration": self.core.fingerprint,
            **({"node": figures(self.core)} if self.core.active else {}),
        }
        return orjson.dumps(document)

    def _next_turn(self, now: float) -> float:
        if not self.core.active:
            return min(self._heartbeat_at, self.tenure.next_look)
        if self._held is not None:
            return self._retry_at
        if self.front.waiting:
            return 0.0
        renew_at = now + self.tenure.renews_in()  # heartbeats may be slower than the lease
        return min(self.core.wake_at, self._heartbeat_at, self.housekeeping.wake_at, renew_at, self.orders.wake_at(now))

    # -- orders

    def drain(self, now: float) -> None:
        """SIGTERM: what was decided is committed and answered, the lease is given up."""
        self._ending = True

    def reload(self, now: float) -> None:
        """SIGHUP: the active member reads the configuration file again, its standby follows."""
        self.orders.reload(now, self.core)

    def close(self) -> None:
        self.lines.keep(open_=False)
        self.context.destroy(linger=0)
        with suppress(StoreFailure):
            self.store.close()
