"""The Interaction Server's core: requests in, things to do out.

    receive / receive_link     a request is decoded, authorised, decided on by its handler; memory changes at once
    tick                       what has come due: invitations, held pulls, silent sessions, slices of searches
    take                       closes the batch: held pulls are served, then changes, events and replies are handed out
    (the shell commits changes and events in one journal row, and only then sends events and replies)
    apply / load               the same changes on a standby or a starting member, from the journal and the tables

Handlers are grouped by noun in the modules beside this one (:mod:`node.handlers`). A handler gets the node and the
call, changes memory only after every check has passed, and returns the reply, or None when the reply comes later
(:meth:`NodeCore.finish`). It refuses by raising :class:`broker.errors.Refusal`. What it has to say besides goes through
the node's voice (:mod:`node.voice`), what it has to do later on is put on its agenda (:mod:`node.agenda`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Raw

from broker.config.changes import fingerprint
from broker.config.objects import Configuration
from broker.errors import Code, Refusal
from broker.ids import node_code
from broker.ledger import Ledger
from broker.messages import decode_request, encode, error_payload
from broker.messages.connection import EventPong, RequestPing, RequestRegisterClient
from broker.messages.faults import not_for
from broker.messages.kinds import Reply, Request
from broker.messages.proxies import PROXIES
from broker.messages.reporting import EventNodeActive
from broker.messages.services import refid_of
from broker.wire import ECHO, PackedRequests, unpack_events

from . import (
    attendance,
    capacity,
    finding,
    invitations,
    licences,
    overdue,
    panics,
    pulls,
    repetitions,
    reservations,
    resumption,
    servers,
    services,
    sessions,
    strategies,
    workbins,
)
from .agenda import Agenda
from .calls import UNASKED, Batch, Call, Dialled, Read, Source
from .declining import faulty_name
from .handlers import HANDLERS
from .journal import decode_changes
from .memory import Memory
from .records import Holding
from .sessions import Sessions
from .voice import Voice

SLICES = 4
"""Slices of long work in one turn, about 10 ms; what is more waits for the next turn."""

UNREGISTERED = frozenset({RequestPing, RequestRegisterClient})
"""What is served before registration."""


class NodeCore(Voice):
    """One Interaction Server's decisions.

    :param name: the node's name in the configuration
    :param member: ``primary`` or ``backup``
    :param ledger: of the process; None: its own
    """

    def __init__(  # noqa: PLR0913 - who it is, and what it is given
        self,
        name: str,
        configuration: Configuration,
        member: str = "primary",
        pid: int = 0,
        ledger: Ledger | None = None,
    ) -> None:
        counts = Ledger(lambda: self.now) if ledger is None else ledger
        super().__init__(name, configuration.nodes[name].settings, Memory(configuration), counts)
        self.member = member
        self.pid = pid
        self.code = node_code(name)
        self.configuration = configuration
        self.configured_us = 0
        """When the configuration was read, or taken on while the node ran."""
        self.licences = licences.Licences(configuration.seats_of(name))
        self.epoch = 0
        self.rev = 0
        self.why = "starting"
        self.active_since = 0.0
        self.journal_full = False
        self.reads: list[Read] = []
        self.dialled: list[Dialled] = []
        self._stand_by()
        capacity.watch(self)
        self._fingerprint = configuration, fingerprint(configuration)

    # -- requests

    def receive_link(self, now: float, peer: bytes, packed: PackedRequests) -> None:
        """A proxy's batch: first what it has received, then its requests in order."""
        self.now = now
        link = self.sessions.by_source.get((peer, 0))
        if link is not None:
            link.settled = max(link.settled, packed.settled)
            self.memory.settle(link.session_id, packed.settled)
        for request in packed.requests:
            link = link or self.sessions.by_source.get((peer, 0))
            if link is None and request.client:
                self._send_back(peer, request.number)
            elif link is not None and request.number < link.settled:
                self.counts.drop(link.name, "late request", request.payload)  # or twice: the proxy has its reply
            else:
                self.receive(now, (peer, request.client), request.number, request.payload, request.flags)

    def _send_back(self, peer: bytes, number: int) -> None:
        """Whose client asks is not known: a connection was made anew. The proxy itself (client 0) is told, and
        introduces itself first."""
        refusal = Refusal(Code.NOT_REGISTERED, f"{self.name} does not know this link")
        self.outgoing.append(((peer, 0), number, error_payload(refusal, None, self.name), int(refusal.code)))

    def receive(self, now: float, source: Source, ref: Any, payload: bytes, flags: int = 0) -> None:
        """One request. Whatever it is, it is answered, now or later; nothing is raised.

        :param source: the peer and, behind a proxy, its client
        :param ref: given back with the reply; an int is a link's request number
        """
        self.now = self.memory.views.now = now
        session = self.sessions.by_source.get(source)
        if session is not None:
            session.heard = now
        try:
            request = self._decode(payload)
        except Refusal as refusal:
            self.counts["refused"] += 1
            self.outgoing.append(
                (source, ref, error_payload(refusal, faulty_name(payload, refusal), self.name), int(refusal.code))
            )
            return
        call = Call(source, ref, flags, session, request)
        try:
            self._admit(call)
            if request.once and self._repeated(call):
                return
            before, said = self._done, len(self.outgoing)
            reply = self.do(call)
            if reply is not None:
                self.finish(call, reply, changed=self._done > before)
                self.reply_first(said)
        except Refusal as refusal:
            self.refuse(call, refusal)

    @property
    def _done(self) -> int:
        """What this batch has changed and said so far."""
        return len(self.memory.changes) + len(self.events)

    def do(self, call: Call) -> Reply | None:
        """A request by its handler. :returns: the reply, None when it comes later. :raises Refusal: it is refused"""
        return HANDLERS[type(call.request)](self, call)

    def _decode(self, payload: bytes) -> Request:
        """:raises Refusal: too long, no JSON, no request, a field that is missing or wrong"""
        longest = self.settings.max_message_size
        if len(payload) > longest:
            raise Refusal(Code.MALFORMED, f"a payload has at most {longest} bytes, this one {len(payload)}")
        return decode_request(payload)

    def _admit(self, call: Call) -> None:
        """:raises Refusal: not registered, or not for this type of client"""
        kind = type(call.request)
        if call.session is None:
            if kind not in UNREGISTERED:
                raise Refusal(Code.NOT_REGISTERED, f"{self.name} does not know this client")
            return
        if kind is not RequestPing:
            call.session.asked = self.now
        by_proxy = call.session.link or (call.source[1] and kind.senders == PROXIES)
        if call.session.type not in kind.senders and not by_proxy:
            raise Refusal(Code.ACCESS_DENIED, not_for(kind, call.session.type))

    def _repeated(self, call: Call) -> bool:
        """Whether the request has its reply, or is under way, from when it was asked before.

        :raises Refusal: its reply is no longer kept; or it is new, and no change is taken just now
        """
        call.keys = repetitions.keys_of(self, call)
        if repetitions.answered(self, call):
            return True
        for key in call.keys:
            if services.waits(self, key, call) or invitations.waits(self, key, call):
                return True
        if self.journal_full:
            raise Refusal(Code.BUSY, f"the journal of {self.name} has max-journal-rows", retry_after=5.0)
        return False

    # -- replies

    def finish(self, call: Call, reply: Reply, *, changed: bool = True) -> None:
        """The positive reply to a call; kept for repetitions when the call changed something."""
        payload = encode(reply if call.dress is None else call.dress(reply))
        self.outgoing.append((call.source, call.ref, payload, 0))
        if changed and call.request.once:
            repetitions.keep(self, call.keys, payload)

    def reply_first(self, said: int) -> None:
        """Who asked gets the reply, said just now, before what it is told because of it (domain facts, 1.4).

        :param said: how many were on their way out before the request was done
        """
        if len(self.outgoing) > said + 1:
            self.outgoing.insert(said, self.outgoing.pop())

    def keep_reply(self, keys: list[str], reply: Reply) -> None:
        """Keeps the reply to a call that is not here (any more), for when it is asked again."""
        repetitions.keep(self, keys, encode(reply))

    def keep_refusal(self, keys: list[str], refusal: Refusal, name: str) -> None:
        """Keeps a refusal like a reply: what was asked may have been done, and is not to be done a second time."""
        repetitions.keep(self, keys, error_payload(refusal, name, self.name), int(refusal.code))

    def takes_over(self, calls: dict[str, Call], key: str, call: Call) -> None:
        """What a call waits for is asked again. :param calls: that wait, with this one under ``key``"""
        before = calls.get(key)
        if before is not None:
            self.supersede(before, call)
        calls[key] = call

    def supersede(self, before: Call, call: Call) -> None:
        """The later call will have the reply, and the earlier one is told so. What a proxy sends again is the same."""
        if not call.is_again(before):
            self.refuse(before, Refusal(Code.IN_PROGRESS, "it was asked again, and is answered there"))

    def refuse(self, call: Call, refusal: Refusal) -> None:
        """The negative reply to a call."""
        self.counts["refused"] += 1
        self.outgoing.append((call.source, call.ref, error_payload(refusal, call.name, self.name), int(refusal.code)))

    # -- time

    @property
    def wake_at(self) -> float:
        """When :meth:`tick` wants to be called next, in seconds; 0 is at once."""
        if self.searches or self.strategies.is_busy(self):
            return 0.0
        return min(self.agenda.next_at, self.memory.views.wake_at)

    def deadline(self, at: float, due: Callable[..., None], what: Any) -> None:
        """Has ``due(node, what)`` called when ``at`` has come."""
        self.agenda.add(at, due, what)

    def watch(self, holding: Holding) -> None:
        """Has a holding looked at when it lasts too long."""
        overdue.watch(self, holding)

    def tick(self, now: float) -> None:
        """Does what has come due, and the next slice of every running search."""
        self.now = now
        self.memory.views.wake(now)
        while (entry := self.agenda.pop(now)) is not None:
            entry.due(self, entry.what)
        for _ in range(min(len(self.searches), SLICES)):
            search = self.searches.popleft()
            if search.slice(self):
                search.finish(self)
            else:
                self.searches.append(search)

    def lost(self, now: float, peer: bytes, undelivered: Sequence[bytes] = ()) -> None:
        """A peer cannot be reached any more: its sessions end. :param undelivered: notifications that did not leave"""
        self.now = now
        for payload in undelivered:
            attendance.undelivered(self, peer, refid_of(payload))
        for source in sorted(self.sessions.clients_of.get(peer, ())):  # a proxy itself first: the others end with it
            session = self.sessions.by_source.get(source)
            if session is not None:
                sessions.end(self, session, "connection lost")

    # -- ESP servers that the shell connects to

    def connected(self, now: float, name: str) -> None:
        """There is a connection to a listed ESP server."""
        self.now = now
        attendance.connected(self, name)

    def disconnected(self, now: float, name: str, unsent: list[str]) -> None:
        """There is no connection to a listed ESP server (any more). :param unsent: references that it has not got"""
        self.now = now
        attendance.disconnected(self, name, unsent)

    def answered(self, now: float, name: str, refid: bytes, payload: bytes) -> None:
        """What a listed ESP server has sent: its answer to a reference, or garbage."""
        self.now = now
        attendance.answered(self, name, refid, payload)

    # -- the batch

    def take(self, now: float) -> Batch:
        """Closes the batch: what to commit, and what to send when that is done."""
        self.now = now
        self.strategies.settle(self)
        self.pulls.settle(self)
        workbins.settle(self)
        licences.settle(self)
        capacity.settle(self)
        outgoing, self.outgoing = self.outgoing, []
        reads, self.reads = self.reads, []
        dialled, self.dialled = self.dialled, []
        changes = self.memory.take_changes()
        return Batch(self.clock.last_us, changes, self.take_events(), outgoing, reads, dialled)

    # -- the journal's side

    def apply(self, us: int, changes: bytes, events: bytes) -> None:
        """Brings memory and clock forward by one journal row."""
        self.clock.observe(us)
        if changes:
            self.memory.apply(decode_changes(changes))
        if events:
            said = unpack_events(events)
            counters = self.memory.counters
            if said.first_seq + len(said.events) > counters.next_seq:
                counters.next_seq = said.first_seq + len(said.events)
                for event in said.events:
                    counters.echo_run = counters.echo_run + 1 if event.flags & ECHO else 0

    def activate(self, now: float, epoch: int, why: str) -> None:
        """This member serves from now on. What waits for time is taken up again; sessions have to come back."""
        self.now = now
        self.active = True
        self.epoch = epoch
        self.why = why
        self.active_since = now
        resumption.resume(self)
        body = Raw(encode({"member": self.member, "epoch": epoch, "why": why}))
        self.system_event(EventNodeActive, UNASKED, body)
        licences.resume(self)

    def deactivate(self) -> None:
        """This member serves no more and follows the journal; all it decided is committed."""
        self._stand_by()

    def _stand_by(self) -> None:
        """Has nothing that only an active member has: what is not in the journal."""
        self.active = self.hand_over = False
        self.agenda = Agenda()
        self.sessions = Sessions()
        self.orphans: set[str] = set()
        """Sessions that are kept for clients which have not come back yet."""
        self.pulls = pulls.Pulls()
        self.panics = panics.Panics()
        self.strategies = strategies.Strategies()
        self.services = servers.Services()
        self.capacity = capacity.Capacity(self.configuration)
        self.wishes: reservations.Wishes = {}
        self.offers: dict[str, Call] = {}
        """By ticket: the calls that wait for an invited agent."""
        self.searches: deque[finding.Task] = deque()
        self.snapshot_uses: dict[str, float] = {}
        """By snapshot: when it was last asked for."""
        self.events, self.outgoing, self.reads, self.dialled = [], [], [], []
        self.orders: list[Call] = []
        """Calls that the shell has to do something for."""

    @property
    def fingerprint(self) -> str:
        """Of the configuration in force."""
        if self._fingerprint[0] is not self.configuration:
            self._fingerprint = self.configuration, fingerprint(self.configuration)
        return self._fingerprint[1]

    def pong(self) -> EventPong:
        """How this member sees itself."""
        return EventPong(
            server=self.name,
            kind=sessions.KIND,
            member=self.member,
            role="active" if self.active else "standby",
            pid=self.pid,
            epoch=self.epoch,
            rev=self.rev,
            why=self.why,
            clients=len(self.sessions.by_id),
            configuration=self.fingerprint,
        )
