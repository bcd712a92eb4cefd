"""The Interaction Server's core: requests in, things to do out.

    receive / receive_link     a request is decoded, authorised, decided on by its handler; memory changes at once
    tick                       what has come due: invitations, held pulls, silent sessions, slices of searches
    take                       closes the batch: held pulls are served, then changes, events and replies are handed out
    (the shell commits changes and events in one journal row, and only then sends events and replies)
    apply / load               the same changes on a standby or a starting member, from the journal and the tables

Handlers are grouped by noun in the modules beside this one, each with its own table ``HANDLERS``. A handler gets the
node and the call, changes memory only after every check has passed, and returns the reply, or None when the reply comes
later (:meth:`NodeCore.finish`). It refuses by raising :class:`broker.errors.Refusal`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any

from msgspec import UNSET, Raw

from broker.clock import HybridClock, to_seconds, to_us
from broker.config.changes import fingerprint
from broker.config.objects import Configuration
from broker.errors import Code, Refusal
from broker.ids import node_code
from broker.ledger import Ledger
from broker.messages import decode_request, encode, error_payload
from broker.messages.connection import EventPong, RequestPing, RequestRegisterClient
from broker.messages.kinds import (
    AgentPart,
    Document,
    InteractionPart,
    Notification,
    Party,
    Reply,
    ReportingEvent,
    Request,
)
from broker.messages.objects import Interaction
from broker.messages.proxies import PROXIES
from broker.messages.reporting import EventNodeActive
from broker.messages.services import refid_of
from broker.wire import ECHO, Events, PackedEvent, PackedRequests, unpack_events

from . import (
    agents,
    attendance,
    capacity,
    customs,
    explaining,
    finding,
    holds,
    interactions,
    invitations,
    licences,
    locks,
    moves,
    operations,
    overdue,
    panics,
    parties,
    properties,
    proxies,
    pulls,
    purging,
    queues,
    reconfiguration,
    reporting,
    reservations,
    routing,
    servers,
    services,
    sessions,
    snapshots,
    states,
    strategies,
    takings,
    topics,
    workbins,
)
from .calls import UNASKED, Batch, Call, Cause, Dialled, Outgoing, Read, Source
from .journal import decode_changes
from .memory import Memory
from .records import Answer, Holder, Holding
from .sessions import Sessions
from .tables import answer_key

Handler = Callable[["NodeCore", Call], Reply | None]

HANDLERS: dict[type[Request], Handler] = {}
_MODULES = (
    sessions,
    agents,
    states,
    capacity,
    reservations,
    interactions,
    properties,
    pulls,
    routing,
    invitations,
    parties,
    holds,
    customs,
    finding,
    snapshots,
    takings,
    moves,
    locks,
    reporting,
    operations,
    reconfiguration,
    workbins,
    queues,
    proxies,
    services,
    attendance,
    topics,
    strategies,
    purging,
    explaining,
)
for _module in _MODULES:
    HANDLERS.update(_module.HANDLERS)

REFUSED_WINDOWS = 10
"""How many dedup windows long a repetition is known as one; the reply itself is kept for the first."""

EVERY_NUMBER = 1 << 62
"""Above all numbers of a link's requests."""

SLICES = 4
"""Slices of long work in one turn, about 10 ms; what is more waits for the next turn."""

UNREGISTERED = frozenset({RequestPing, RequestRegisterClient})
"""What is served before registration."""


class NodeCore:
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
        self.name = name
        self.member = member
        self.pid = pid
        self.code = node_code(name)
        self.configuration = configuration
        self.configured_us = 0
        """When the configuration was read, or taken on while the node ran."""
        self.settings = configuration.nodes[name].settings
        self.licences = licences.Licences(configuration.nodes[name].licenses)
        self.capacity = capacity.Capacity(configuration)
        self.wishes: reservations.Wishes = {}
        self.now = 0.0
        self.epoch = 0
        self.rev = 0
        self.why = "starting"
        self.active = False
        self.hand_over = False
        self.journal_full = False
        self.clock = HybridClock()
        self.memory = Memory(configuration)
        capacity.watch(self)
        self.sessions = Sessions()
        self.orphans: set[str] = set()
        self.pulls = pulls.Pulls()
        self.panics = panics.Panics()
        self.strategies = strategies.Strategies()
        self.offers: dict[str, Call] = {}
        """By ticket: the calls that wait for an invited agent."""
        self.services = servers.Services()
        self.dialled: list[Dialled] = []
        self.active_since = 0.0
        self.searches: deque[finding.Task] = deque()
        self.snapshot_uses: dict[str, float] = {}
        """By snapshot: when it was last asked for."""
        self.events: list[PackedEvent] = []
        self.outgoing: list[Outgoing] = []
        self.reads: list[Read] = []
        self.orders: list[Call] = []
        """Calls that the shell has to do something for."""
        self.counts = Ledger(lambda: self.now) if ledger is None else ledger
        self._deadlines: list[tuple[float, int, Callable[..., None], Any]] = []
        self._order = count()
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
        self.outgoing.append(((peer, 0), number, error_payload(refusal, None), int(refusal.code)))

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
            self.outgoing.append((source, ref, error_payload(refusal, None), int(refusal.code)))
            return
        call = Call(source, ref, flags, session, request)
        try:
            self._admit(call)
            if request.once and self._repeated(call):
                return
            if request.once and self.journal_full:
                raise Refusal(Code.BUSY, f"the journal of {self.name} has max-journal-rows", retry_after=5.0)
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
            raise Refusal(Code.ACCESS_DENIED, f"{call.name} is not for clients of type {call.session.type.value}")

    # -- what runs once

    def _keys(self, call: Call) -> list[str]:
        """Under which keys the reply to this call is kept: of the link's number, of the client's dedup_id."""
        keys = []
        if isinstance(call.ref, int):
            link = self.sessions.link_of(call.source)
            if link is not None:
                keys.append(answer_key(link.session_id, call.ref))
        if call.request.dedup_id is not None and call.session is not None:
            part = getattr(call.request, "part", 0)
            keys.append(answer_key(call.session.name, call.request.dedup_id, part))
        return keys

    def _repeated(self, call: Call) -> bool:
        """Whether the request was executed before; then its first reply is sent again.

        :raises Refusal: executed, but the reply is no longer kept
        """
        call.keys = self._keys(call)
        for key in call.keys:
            answer = self.memory.answers.get(key)
            if answer is not None:
                if answer.payload is UNSET:
                    raise Refusal(Code.DUPLICATE_EXPIRED, f"dedup_id {call.request.dedup_id}", field="dedup_id")
                self.counts["repeated"] += 1
                self.outgoing.append((call.source, call.ref, bytes(answer.payload), answer.code))
                return True
            if services.waits(self, key, call):
                return True
            if invitations.waits(self, key, call):
                return True
        return False

    # -- replies

    def finish(self, call: Call, reply: Reply, *, changed: bool = True) -> None:
        """The positive reply to a call; kept for repetitions when the call changed something."""
        payload = encode(reply if call.dress is None else call.dress(reply))
        self.outgoing.append((call.source, call.ref, payload, 0))
        if changed and call.request.once:
            self._keep(call.keys, payload)

    def reply_first(self, said: int) -> None:
        """Who asked gets the reply, said just now, before what it is told because of it (domain facts, 1.4).

        :param said: how many were on their way out before the request was done
        """
        if len(self.outgoing) > said + 1:
            self.outgoing.insert(said, self.outgoing.pop())

    def keep_reply(self, keys: list[str], reply: Reply) -> None:
        """Keeps the reply to a call that is not here (any more), for when it is asked again."""
        self._keep(keys, encode(reply))

    def keep_refusal(self, keys: list[str], refusal: Refusal, name: str) -> None:
        """Keeps a refusal like a reply: what was asked may have been done, and is not to be done a second time."""
        self._keep(keys, error_payload(refusal, name), int(refusal.code))

    def _keep(self, keys: list[str], payload: bytes, code: int = 0) -> None:
        us = to_us(self.now)  # not the clock's: its last tick may be long ago
        for key in keys:
            self.memory.put(self.memory.answers, key, Answer(us=us, payload=Raw(payload), code=code))
            if key[0] == "@":
                self.deadline(self.now + self.settings.dedup_window, _forget_reply, key)

    def forget_link(self, link: str) -> None:
        """A link is gone: what is kept for it is forgotten when it has not come back for long. A proxy that stood still
        may come back late, and asks again for what it has no reply to."""
        self.deadline(self.now + REFUSED_WINDOWS * self.settings.dedup_window, _forget_link, link)

    def takes_over(self, calls: dict[str, Call], key: str, call: Call) -> None:
        """What a call waits for is asked again: the later one will have the reply, and the earlier one is told so.
        What a proxy sends again is the same call.

        :param calls: that wait, with this one under ``key``
        """
        before = calls.get(key)
        if before is not None and not call.is_again(before):
            self.refuse(before, Refusal(Code.IN_PROGRESS, "it was asked again, and is answered there"))
        calls[key] = call

    def refuse(self, call: Call, refusal: Refusal) -> None:
        """The negative reply to a call."""
        self.counts["refused"] += 1
        self.outgoing.append((call.source, call.ref, error_payload(refusal, call.name), int(refusal.code)))

    def tell(self, session_id: str, note: Notification) -> None:
        """A notification to a client, if it is here."""
        session = self.sessions.by_id.get(session_id)
        if session is not None:
            self.outgoing.append((session.source, None, encode(note), 0))
        else:
            self.counts.drop(session_id, "client gone", encode(note))

    def tell_agent(self, key: str, note: Notification) -> None:
        """A notification to every connection of an agent."""
        agent = self.memory.agents.get(key)
        for session_id in agent.sessions if agent is not None else ():
            self.tell(session_id, note)

    def tell_holder(self, holder: Holder, note: Notification) -> None:
        """A notification to one that holds an interaction, agent or strategy."""
        if holder.agent:
            self.tell_agent(holder.agent, note)
        else:
            self.tell(holder.session_id, note)

    # -- events

    def event(
        self,
        kind: type[ReportingEvent],
        interaction: Interaction,
        cause: Cause,
        *,
        shows_data: bool = False,
        **parts: Any,
    ) -> None:
        """A reporting event about an interaction, as the interaction is now.

        :param shows_data: user data is new or changed here; ``event-user-data`` decides whether events carry it
        """
        rule = self.settings.event_user_data
        shown = interaction.user_data if rule == "always" or (shows_data and rule == "changes") else UNSET
        part = InteractionPart(
            interaction_id=interaction.interaction_id,
            media_type=interaction.media_type,
            interaction_type=interaction.interaction_type,
            interaction_subtype=interaction.interaction_subtype,
            interaction_state=interaction.interaction_state,
            queue=interaction.queue,
            workbin=interaction.workbin,
            parent_id=interaction.parent_id,
            external_id=interaction.external_id,
            priority=interaction.priority,
            is_online=interaction.is_online,
            received_at=interaction.received_at,
            submitted_at=interaction.submitted_at,
            submitted_by=interaction.submitted_by,
            user_data=shown,
        )
        self._say(kind, interaction.tenant_id, cause, interaction=part, **parts)

    def agent_event(
        self, kind: type[ReportingEvent], tenant_id: int, agent: AgentPart, cause: Cause, *, echo: bool
    ) -> None:
        """A reporting event about an agent. :param echo: another node speaks for it"""
        self._say(kind, tenant_id, cause, echo=echo, agent=agent)

    def system_event(
        self,
        kind: type[ReportingEvent],
        cause: Cause,
        body: Document = UNSET,
        *,
        tenant_id: int = 0,
        echo: bool = False,
    ) -> None:
        """A reporting event about the node itself, or about what concerns a tenant as a whole."""
        self._say(kind, tenant_id, cause, echo=echo, body=body)

    def custom_event(
        self,
        kind: type[ReportingEvent],
        tenant_id: int,
        cause: Cause,
        body: Document,
        *,
        party: Party | None = None,
    ) -> None:
        """A reporting event about no interaction."""
        self._say(kind, tenant_id, cause, body=body, party=party)

    def _say(
        self, kind: type[ReportingEvent], tenant_id: int, cause: Cause, *, echo: bool = False, **parts: Any
    ) -> None:
        counters = self.memory.counters
        us = self.clock.next(self.now)
        event = kind(
            node=self.name,
            seq=counters.next_seq,
            time=to_seconds(us),
            tenant_id=tenant_id,
            actor=cause.actor,
            cause=cause.request,
            reason=cause.reason,
            echo=echo,
            echoes=0 if echo else counters.echo_run,
            **parts,
        )
        counters.next_seq += 1
        counters.echo_run = counters.echo_run + 1 if echo else 0
        topic = f"{tenant_id}/{kind.topic}/{kind.__name__}".encode()
        payload = encode(event)
        self.events.append(PackedEvent(us, ECHO if echo else 0, topic, payload))
        if self.memory.topics.rows:
            topics.tell(self, event, payload)

    # -- time

    @property
    def wake_at(self) -> float:
        """When :meth:`tick` wants to be called next, in seconds; 0 is at once."""
        if self.searches or self.strategies.is_busy(self):
            return 0.0
        return min(self._deadlines[0][0] if self._deadlines else float("inf"), self.memory.views.wake_at)

    def deadline(self, at: float, due: Callable[[NodeCore, Any], None], what: Any) -> None:
        """Has ``due(node, what)`` called when ``at`` has come."""
        heappush(self._deadlines, (at, next(self._order), due, what))

    def watch(self, holding: Holding) -> None:
        """Has a holding looked at when it lasts too long."""
        overdue.watch(self, holding)

    def tick(self, now: float) -> None:
        """Does what has come due, and the next slice of every running search."""
        self.now = now
        self.memory.views.wake(now)
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, due, what = heappop(self._deadlines)
            due(self, what)
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
        for source in list(self.sessions.clients_of.get(peer, ())):
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
        events, self.events = self.events, []
        outgoing, self.outgoing = self.outgoing, []
        reads, self.reads = self.reads, []
        dialled, self.dialled = self.dialled, []
        changes = self.memory.take_changes()
        first_seq = self.memory.counters.next_seq - len(events)
        return Batch(self.clock.last_us, changes, Events(first_seq, events), outgoing, reads, dialled)

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
        reconfiguration.resume(self)
        memory = self.memory
        for holding in memory.holdings.rows.values():
            self.watch(holding)
        memory.views.wake(now)
        memory.views.touched.clear()
        memory.forget_touched()
        agents.resume(self)
        reservations.resume(self)
        invitations.resume(self)
        self.strategies.restore(self)
        for key, answer in memory.answers.rows.items():
            windows = REFUSED_WINDOWS if answer.payload is UNSET else 1
            if key[0] == "@":
                self.deadline(to_seconds(answer.us) + windows * self.settings.dedup_window, _forget_reply, key)
        for link in memory.answers.links:
            self.forget_link(link)
        waiting = memory.agents.values("session") | {
            holder.session_id for row in memory.holdings.rows.values() for holder in row.holders if not holder.agent
        }
        waiting |= memory.subscriptions.values("session") | memory.loads.values("session")
        waiting |= memory.topics.values("session")
        waiting |= attendance.resume(self)
        waiting |= snapshots.resume(self)
        moves.resume(self)
        for session_id in sorted(map(str, waiting)):
            self.orphans.add(session_id)
            self.deadline(now + 3 * self.settings.keepalive_interval, sessions.orphaned, session_id)
        body = Raw(encode({"member": self.member, "epoch": epoch, "why": why}))
        self.system_event(EventNodeActive, UNASKED, body)
        licences.resume(self)
        panics.resume(self)

    def deactivate(self) -> None:
        """This member serves no more and follows the journal; all it decided is committed."""
        self.active = self.hand_over = False
        self.sessions = Sessions()
        self.orphans = set()
        self.pulls = pulls.Pulls()
        self.strategies = strategies.Strategies()
        self.panics = panics.Panics()
        self.searches.clear()
        self.snapshot_uses.clear()
        self.offers.clear()
        self.wishes.clear()
        self.capacity = capacity.Capacity(self.configuration)
        self.services = servers.Services()
        self.events, self.outgoing, self.reads, self.orders, self.dialled = [], [], [], [], []
        self._deadlines.clear()

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


def _forget_link(node: NodeCore, link: str) -> None:
    """A deadline: a link has been gone for long. Nobody asks again for what it has no replies to."""
    if link not in node.sessions.by_id:
        node.memory.settle(link, EVERY_NUMBER)


def _forget_reply(node: NodeCore, key: str) -> None:
    """A deadline: the dedup window of a stored reply is over. Its key is kept longer, to refuse repetitions by."""
    answer = node.memory.answers.get(key)
    if answer is None:
        return
    if answer.payload is UNSET:
        node.memory.drop(node.memory.answers, key)
    else:
        node.memory.put(node.memory.answers, key, Answer(us=answer.us))
        node.deadline(to_seconds(answer.us) + REFUSED_WINDOWS * node.settings.dedup_window, _forget_reply, key)
