"""The links to the nodes: which member serves, what is under way there, and what has to be said first.

A link is in one of three states:

    state      event                                                  next       action
    AWAY       a member says it is active, its epoch not below ours   GREETING   say hello to it
    GREETING   the hello is acknowledged                              READY      introduce clients, send what is open
    GREETING   the hello is refused, or unanswered for PROBE_S        GREETING   say hello again
    any        a member says it is active with a higher epoch         GREETING   say hello to it
    not AWAY   the active member is silent, says it is not active,    AWAY       requests wait
               or answers NOT_PRIMARY
    READY      the member does not know the proxy any more            GREETING   say hello again
    not READY  ... for longer than `patience`                         (same)     open and new requests are given up

Requests keep their number when they are sent again, and get the flag RESENT: a node executes a number once. On a link
that is READY a probe goes out every second; it is executed after all that was sent before it, so what is still open
when its answer comes was lost on the way (or is answered later by nature) and is sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import NamedTuple

import msgspec

from broker.errors import Code
from broker.ledger import Ledger
from broker.messages import encode
from broker.messages.operations import RequestGetStatus
from broker.wire import PackedEvents, PackedReplies, PackedReply, PackedRequest

from .introductions import Introductions
from .link import AWAY, GREETING, READY, Farewell, Link, Member, Numbers

SILENCE_S = 1.0
"""Silence after which a member counts as unreachable: fifty heartbeats of an active one, four of a standby."""
GRACE_S = 2.0
"""How long after its start a proxy has patience with a node that it has never heard."""
PROBE_S = 1.0
RETRY_S = 0.05
"""Pause before requests that the shell could not send are tried again."""
RATE_S = 1.0

_probe = encode(RequestGetStatus())
ASKERS = 64
"""Clients that one probe names at most: it has to be shorter than the shortest `max-message-size`. Others are named by
the next ones, in turn."""


class Patience(NamedTuple):
    """How long links wait, in seconds.

    :param away_s: for a node that nobody serves (``request-timeout``)
    :param silence_s: without a word of a member before it counts as unreachable
    """

    away_s: float
    silence_s: float = SILENCE_S


class Links:
    """All links of a proxy.

    :param keepalives: by node: its keep-alive interval; :param hello: the proxy's own registration
    :param introduction: a client's number -> its RequestRegisterClient, None when its session has ended
    :param counts: what was dropped and why
    """

    def __init__(
        self,
        keepalives: Mapping[str, float],
        hello: bytes,
        introduction: Callable[[int], bytes | None],
        patience: Patience,
        counts: Ledger,
    ) -> None:
        self.links = {name: Link(name, keepalive_s) for name, keepalive_s in keepalives.items()}
        self.counts = counts
        self.ready: list[tuple[str, bool]] = []
        """Nodes whose link has become ready since this was emptied, and whether the node may have forgotten clients."""
        self.went: list[str] = []
        """Nodes whose link is no more ready, since this was emptied."""
        self.given_up: list[tuple[str, int]] = []
        """Requests that no member will answer in time: node and number, since this was emptied."""
        self._linked: set[str] = set()
        self._hello = hello
        self.patience = patience
        self._numbers = Numbers()
        self._introductions = Introductions(self._numbers, introduction, counts)
        self._started: float | None = None
        self._forgot: set[str] = set()
        self._parted: dict[str, Link] = {}
        self._last_words: dict[tuple[str, str], list[PackedRequest]] = {}

    # -- nodes that come and go

    def join(self, now: float, node: str, keepalive_s: float) -> None:
        """One more node; it is waited for as any is at the start of this proxy."""
        link = self._parted.pop(node, None) or Link(node, keepalive_s)
        link.keepalive_s = keepalive_s
        link.away_since = self._new_since(now)
        self.links[node] = link

    def resume(self, node: str) -> None:
        """A node that was to go stays: it may have missed something."""
        if self.is_ready(node):
            self.ready.append((node, False))

    def part(self, now: float, node: str) -> bool:
        """A node is none of ours any more: what is open there is given up, and it is told that everybody goes.

        A node that is away cannot be told. What it knows is remembered, for the case that it is ours again.

        :returns: whether it could be told
        """
        link = self.links.pop(node)
        for number in link.open.keys() - link.told.keys():
            self.given_up.append((node, number))
        told = link.flowing and link.active is not None
        if link.active is not None and told:
            self._last_words[node, link.active] = self._introductions.farewells(link)
        else:
            self._parted[node] = link
        self._leave(now, link)
        link.retract()
        link.open, link.epoch, link.members = {}, 0, {}
        link.fresh.clear()
        self._forgot.discard(node)
        return told

    def move(self, now: float, node: str, member: str) -> None:
        """A member is to be found elsewhere from now on, or nowhere: what it was sent may be lost."""
        link = self.links[node]
        link.members.pop(member, None)
        if link.active == member:
            self._leave(now, link)
            link.active = None

    def lingering(self, nodes: Iterable[str]) -> list[str]:
        """Nodes that may know our clients besides these: those that are to go, or could not be told that we have."""
        return [node for node in (*self.links, *self._parted) if node not in nodes]

    def is_idle(self, node: str) -> bool:
        """Whether a node has answered all that clients have asked it."""
        link = self.links[node]
        return len(link.open) == len(link.told)

    # -- what cores ask

    def __contains__(self, node: str) -> bool:
        return node in self.links

    def is_ready(self, node: str) -> bool:
        """Whether requests to the node go out at once."""
        return node in self._linked

    def is_coming(self, node: str) -> bool:
        """Whether a member serves it that has not acknowledged the hello yet."""
        link = self.links.get(node)
        return link is not None and link.state is GREETING

    def is_drained(self, node: str) -> bool:
        """Whether it says that it takes no new interactions; one that there is not takes none."""
        link = self.links.get(node)
        return link is None or link.drained

    def gone(self, now: float, nodes: Iterable[str]) -> list[str]:
        """Those of the nodes that are not waited for: away for longer than the patience, or not ours any more."""
        if self._linked.issuperset(nodes):  # hot path
            return []
        links = self.links
        return [node for node in nodes if node not in self._linked and self._is_gone(now, links.get(node))]

    def full(self, nodes: Iterable[str], limit: int) -> list[str]:
        """Those of the nodes that have left so many requests unanswered, not counting the link's own."""
        links = self.links
        return [node for node in nodes if len(links[node].open) - len(links[node].told) >= limit]

    def _is_gone(self, now: float, link: Link | None) -> bool:
        self._start(now)
        return link is None or now >= link.away_since + self.patience.away_s

    # -- what members say

    def heard(self, now: float, said: PackedEvents) -> None:
        """A member's heartbeat or batch of events."""
        self._start(now)
        link = self.links.get(said.node)
        if link is None:
            self.counts.drop(said.node, "unknown node")
            return
        member = link.members.get(said.member)
        if member is None:
            member = link.members[said.member] = Member()
        if said.status or (said.role, said.epoch) != (member.role, member.epoch):
            member.status = said.status  # what was said in another role, or by another process, says nothing now
        member.heard, member.role, member.epoch = now, said.role, said.epoch
        if said.status and said.role == "active":
            link.drained = _is_drained(said.status)
        if not link.heard_ever:
            link.heard_ever = True
            link.away_since = now
        if said.role == "active":
            if now - link.rate_at >= RATE_S:
                link.event_rate = max(said.next_seq - link.rate_seq, 0) / (now - link.rate_at)
                link.rate_at, link.rate_seq = now, said.next_seq
            if said.epoch > link.epoch or (link.state is AWAY and said.epoch == link.epoch):
                self._greet(now, link, said.member, said.epoch)
        elif link.active == said.member:
            self._leave(now, link)

    def replies(self, now: float, node: str, member: str, packed: PackedReplies) -> list[PackedReply]:
        """What came on a link: the first answer to each open request, and notifications.

        Answers of a replaced member, late and doubled ones are dropped; those to the link's own requests end here.
        """
        link = self.links.get(node)
        if link is None:
            self.counts.drop(node, "unknown node", times=len(packed.replies))
            return []
        replies = packed.replies
        if packed.epoch < link.epoch:
            replies = self._declined(link, member, replies)
        heard = link.members.get(member)
        if heard is not None:
            heard.heard = now
        accepted = []
        waiting, told = link.open, link.told
        for reply in replies:
            number = reply.number
            if not reply.code and number in waiting and number not in told:  # hot path
                del waiting[number]
                accepted.append(reply)
            elif not number or self._accepts(now, link, member, reply):
                accepted.append(reply)
        return accepted

    def _accepts(self, now: float, link: Link, member: str, reply: PackedReply) -> bool:
        """Whether a reply that is not simply positive is a client's; what it means for the link is done here."""
        number = reply.number
        if number not in link.open:
            self.counts.drop(link.name, "late reply", reply.payload)
        elif reply.code == Code.NOT_REGISTERED and not reply.client:
            self._forgotten(now, link)
        elif number in link.told:
            del link.open[number]
            link.told.pop(number)(now, link, reply)
        elif reply.code in _BOUNCES:
            self._bounced(now, link, member, reply)
        else:
            del link.open[number]
            return True
        return False

    def _declined(self, link: Link, member: str, replies: list[PackedReply]) -> list[PackedReply]:
        """What counts of a member without the epoch: the one that was asked may say that it cannot serve."""
        counted = [reply for reply in replies if member == link.active and reply.code in _DECLINES]
        stale = len(replies) - len(counted)
        if stale:
            self.counts.drop(link.name, "stale reply", times=stale)
        return counted

    def unsent(self, now: float, node: str, member: str, requests: list[PackedRequest]) -> None:
        """The shell could not send these: they are tried again shortly, in their order."""
        link = self.links.get(node)
        if link is None or link.active != member:
            return
        self.counts["unsent"] += len(requests)
        if link.state is READY:
            link.fresh.update(entry.number for entry in requests if entry.number in link.open)
            link.paused_until = now + RETRY_S
        else:
            link.probe_at = now + RETRY_S

    # -- sending

    def send(self, nodes: Iterable[str], client: int, flags: int, payload: bytes) -> int:
        """One request to nodes, under one number. It waits where a link is not ready. :returns: the number"""
        links = list(map(self.links.__getitem__, nodes))
        for link in links:
            if client not in link.introduced and link.flowing:
                self._introductions.introduce(link, client)
        entry = PackedRequest(self._numbers.next(), client, flags, payload)
        for link in links:
            link.put(entry)
        return entry.number

    def drop(self, node: str, number: int) -> None:
        """Nobody waits for this answer any more."""
        link = self.links.get(node)
        if link is not None:
            link.drop(number)

    def expire(self, node: str, number: int) -> None:
        """The node has not answered in time."""
        link = self.links.get(node)
        if link is None:
            return
        entry = link.open.get(number)
        self.counts.drop(node, "no answer in time", entry.payload if entry is not None else b"")
        link.drop(number)

    def introduce_again(self, client: int) -> None:
        """A client's registration has changed, or it is back: the nodes that know it hear it."""
        knowing = self.knowing(client)
        self._introductions.forget(self.links.values(), client)
        for node in knowing:
            self.introduce(node, [client])

    def introduce(self, node: str, clients: Iterable[int]) -> None:
        """Makes clients known to a node now, so that it can tell them things."""
        link = self.links.get(node)
        for client in clients:
            if link is not None and link.flowing:
                self._introductions.introduce(link, client)

    def knowing(self, client: int) -> list[str]:
        """The nodes that are there and know a client."""
        return [link.name for link in self.links.values() if link.flowing and client in link.known]

    def forget(self, node: str, client: int, number: int) -> None:
        """A node has ended a client's session, as it was asked by this number."""
        link = self.links.get(node)
        if link is not None:
            link.forget(client, number)

    def farewell(self, client: int, farewell: Farewell) -> None:
        """A session has ended: every node that knows it is told, those that are away when they are back."""
        self._introductions.farewell([*self.links.values(), *self._parted.values()], client, farewell)

    def take(self) -> tuple[dict[tuple[str, str], list[PackedRequest]], dict[str, int]]:
        """What the shell shall send now, by node and member, and the settled number of each of these nodes."""
        sending, self._last_words = self._last_words, {}
        settled = {node: requests[0].number for (node, _), requests in sending.items()}
        for link in self.links.values():
            if link.outgoing and link.active is not None:
                sending[link.name, link.active] = link.outgoing
                link.outgoing = []
                settled[link.name] = link.settled(self._numbers.last + 1)
        return sending, settled

    # -- time

    def tick(self, now: float) -> None:
        """Notices silence, says hello and probes again, gives up what has waited too long."""
        self._start(now)
        for link in self.links.values():
            if link.state is not READY and link.open and now >= link.away_since + self.patience.away_s:
                self._give_up(link)
            if link.active is None or link.state is AWAY:
                continue
            if now - link.members[link.active].heard > self.patience.silence_s:
                self._leave(now, link)
            else:
                self._go_on(now, link)

    def _go_on(self, now: float, link: Link) -> None:
        """What is due on a link that somebody serves."""
        if now >= link.probe_at:
            self._probe(now, link)
        if link.paused_until and now >= link.paused_until:
            link.paused_until = 0.0
            self._send_fresh(link)
        if link.owed or link.leaving:
            self._introductions.go_on(link)

    @property
    def wake_at(self) -> float:
        """When :meth:`tick` has something to do next."""
        at = float("inf")
        for link in self.links.values():  # hot path: no generator, no min
            wake_at = self._wake_at(link)
            if wake_at < at:
                at = wake_at
        return at

    def _wake_at(self, link: Link) -> float:
        if link.flowing and not link.owed and link.active is not None:  # hot path: so it is nearly always
            return min(link.probe_at, link.members[link.active].heard + self.patience.silence_s + 0.001)
        at = link.away_since + self.patience.away_s if link.open and link.state is not READY else float("inf")
        if link.active is None or link.state is AWAY:
            return at
        if link.owed and link.flowing:
            return 0.0
        at = min(at, link.probe_at, link.members[link.active].heard + self.patience.silence_s + 0.001)
        return min(at, link.paused_until) if link.paused_until else at

    def _start(self, now: float) -> None:
        """The first moment of this proxy: from here on it waits a short while for every node."""
        if self._started is None:
            self._started = now
            for link in self.links.values():
                link.away_since = self._new_since(now)

    def _new_since(self, now: float) -> float:
        """Since when a node that is new counts as away, so that it is waited for a short while."""
        return now - self.patience.away_s + min(GRACE_S, self.patience.away_s)

    # -- changes of state

    def _greet(self, now: float, link: Link, member: str, epoch: int) -> None:
        """-> GREETING: the member is the one to talk to."""
        self._turn_to(now, link, member, epoch)
        self._say_hello(now, link)

    def _turn_to(self, now: float, link: Link, member: str, epoch: int) -> None:
        self._lose(now, link)
        self._become(link, GREETING)
        link.active = member
        link.epoch = epoch
        link.paused_until = 0.0
        link.retract()

    def _say_hello(self, now: float, link: Link) -> None:
        link.greeted_at = now
        link.probe_at = now + _pause_s(link)
        link.tell(PackedRequest(self._numbers.next(), 0, 0, self._hello), self._greeted)

    def _greeted(self, now: float, link: Link, reply: PackedReply) -> None:
        """The hello's answer: -> READY."""
        if reply.code or link.state is not GREETING:
            if reply.code:
                self.counts["hello refused"] += 1
            return
        self._become(link, READY)
        link.probe = 0
        link.probe_at = now + _pause_s(link)
        forgot = link.name in self._forgot or link.greeted_at - link.answered_at > link.keepalive_s
        link.answered_at = link.greeted_at
        self._forgot.discard(link.name)
        self._introductions.begin(link)
        self._send_all(link)
        self.ready.append((link.name, forgot))

    def _leave(self, now: float, link: Link) -> None:
        """-> AWAY: nobody serves there now; what is open waits."""
        self._lose(now, link)
        self._become(link, AWAY)
        link.outgoing = []

    def _become(self, link: Link, state: str) -> None:
        link.state = state
        if state is READY:
            self._linked.add(link.name)
        else:
            self._linked.discard(link.name)

    def _lose(self, now: float, link: Link) -> None:
        """READY no more."""
        if link.state is READY:
            self.went.append(link.name)
            link.away_since = now

    def _give_up(self, link: Link) -> None:
        """Nobody has served for too long: what clients asked is answered without this node."""
        for number, entry in link.open.items():
            if number not in link.told:
                self.counts.drop(link.name, "node away", entry.payload)
                self.given_up.append((link.name, number))
        link.open = {number: entry for number, entry in link.open.items() if number in link.told}
        link.fresh.clear()

    # -- loss

    def _probe(self, now: float, link: Link) -> None:
        """A hello that was not answered is said again; on a ready link the probe goes out."""
        link.probe_at = now + _pause_s(link)
        if link.state is GREETING:
            self._say_hello(now, link)
        elif link.flowing:
            link.probe = self._numbers.next()
            link.tell(PackedRequest(link.probe, 0, 0, _probe_for(link)), self._probed)

    def asked(self, client: int) -> None:
        """A client with agents asks for something: nodes hear of it with the next probe, so that none takes for silent
        an agent that works on what others hold (``handling-timeout``)."""
        for link in self.links.values():
            if client in link.introduced:
                link.askers[client] = None

    def _probed(self, now: float, link: Link, reply: PackedReply) -> None:
        """All that was sent before the probe has been executed: what has no answer is sent again."""
        if reply.code in _BOUNCES:
            self._bounced(now, link, link.active or "", reply)
            return
        if reply.code or reply.number != link.probe or not link.flowing:
            return
        link.answered_at = link.probe_at - _pause_s(link)
        for number, entry in list(link.open.items()):
            if number >= reply.number:
                break
            if number not in link.fresh:
                self._resend(link, entry)
        self._introductions.again(link)

    def _bounced(self, now: float, link: Link, member: str, reply: PackedReply) -> None:
        """The member does not serve, or does not know who asks: once more, to who serves, or after an introduction."""
        entry = link.open.get(reply.number)
        if reply.code == Code.NOT_PRIMARY:
            if member == link.active:
                self._leave(now, link)
        elif entry is None or entry.client == 0:
            self._forgotten(now, link)
        elif reply.number in link.bounced:
            link.drop(reply.number)
            self.counts.drop(link.name, "client not known", entry.payload)
            self.given_up.append((link.name, reply.number))
        else:
            link.bounced.add(reply.number)
            link.introduced.discard(entry.client)
            if link.flowing:
                self._introductions.introduce(link, entry.client)
                self._resend(link, entry)
            else:
                link.fresh.add(reply.number)

    def _forgotten(self, now: float, link: Link) -> None:
        """The active member lost the proxy's session, and with it all that came through it."""
        if link.state is READY:
            self.counts["link forgotten"] += 1
            self._forgot.add(link.name)
            self._turn_to(now, link, link.active or "", link.epoch)
            link.probe_at = max(now, link.greeted_at + RETRY_S)

    def _send_all(self, link: Link) -> None:
        """Sends everything open, in order; what went out before is marked."""
        for number, entry in list(link.open.items()):
            if number in link.told:
                continue
            self._introductions.introduce(link, entry.client)
            if number in link.fresh:
                link.outgoing.append(entry)
            else:
                self._resend(link, entry)
        link.fresh.clear()

    def _send_fresh(self, link: Link) -> None:
        """Sends what has waited, in order."""
        for number in sorted(link.fresh):
            entry = link.open.get(number)
            if entry is not None:
                self._introductions.introduce(link, entry.client)
                link.outgoing.append(entry)
        link.fresh.clear()

    def _resend(self, link: Link, entry: PackedRequest) -> None:
        self.counts["resent"] += 1
        link.resend(entry)


def _probe_for(link: Link) -> bytes:
    """The next probe, with those who have asked for something since they were last named."""
    if not link.askers:
        return _probe
    askers = list(islice(link.askers, ASKERS))
    for client in askers:
        del link.askers[client]
    return encode(RequestGetStatus(askers=askers))


def _pause_s(link: Link) -> float:
    """How long after a hello or probe the next one goes out; the node must not take the proxy for silent."""
    return min(PROBE_S, link.keepalive_s / 2)


_BOUNCES = frozenset({int(Code.NOT_REGISTERED), int(Code.NOT_PRIMARY)})
_DECLINES = frozenset({int(Code.NOT_PRIMARY), int(Code.DATABASE_FAILURE)})


class _Figures(msgspec.Struct):
    drained_since: float | None = None


class _Said(msgspec.Struct):
    node: _Figures = msgspec.field(default_factory=_Figures)


_read_status = msgspec.json.Decoder(_Said).decode


def _is_drained(status: bytes) -> bool:
    """Whether an active member says that it takes no new interactions."""
    try:
        return _read_status(status).node.drained_since is not None
    except (ValueError, RecursionError):
        return False
