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

from collections import Counter, deque
from collections.abc import Callable, Iterable
from itertools import count

from broker.errors import Code
from broker.messages import encode
from broker.messages.connection import RequestUnregisterClient
from broker.messages.operations import RequestGetStatus
from broker.wire import RESENT, PackedEvents, PackedReplies, PackedReply, PackedRequest

AWAY, GREETING, READY = "away", "greeting", "ready"

SILENCE_S = 1.0
"""Silence after which a member counts as unreachable: fifty heartbeats of an active one, four of a standby."""
GRACE_S = 2.0
"""How long after its start a proxy has patience with a node that it has never heard."""
PROBE_S = 1.0
RETRY_S = 0.05
"""Pause before requests that the shell could not send are tried again."""
RATE_S = 1.0
INTRODUCED_AT_ONCE = 200
"""After a failover: how many idle clients are introduced again per turn, so that requests are not held up."""

_probe = encode(RequestGetStatus())
_farewell = encode(RequestUnregisterClient())


class Member:
    """One member of a node's pair as it says of itself. :param status: the last JSON of its state, or empty"""

    __slots__ = ("epoch", "heard", "role", "status")

    def __init__(self) -> None:
        self.role = "unreachable"
        self.epoch = 0
        self.heard = float("-inf")
        self.status = b""


class Link:
    """The link to one node.

    :param open: what the node has not answered: number -> entry; ``order`` has the same numbers, rising
    :param fresh: numbers in ``open`` that were never handed to the shell
    :param introduced: clients that the active member knows; ``known``: that the node knows, whoever is active
    :param owed: clients to introduce again; ``leaving``: ended sessions that the node is still to be told of
        (with their introductions); ``parting``: that it has been told of, but has not acknowledged
    :param bounced: requests that came back once because their client was not known
    :param away_since: when the link ceased to be READY
    :param event_rate: reporting events per second, counted over about a second
    :param told: own requests (hello, introductions, probes) in ``open``: number -> what to do with the answer
    """

    __slots__ = (
        "active", "away_since", "bounced", "epoch", "event_rate", "fresh", "greeted_at", "heard_ever", "introduced",
        "known", "leaving", "members", "name", "open", "order", "outgoing", "owed", "parting", "paused_until", "probe",
        "probe_at", "rate_at", "rate_seq", "state", "told",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[str, Member] = {}
        self.state = AWAY
        self.active: str | None = None
        self.epoch = 0
        self.away_since = float("-inf")
        self.heard_ever = False
        self.open: dict[int, PackedRequest] = {}
        self.order: deque[int] = deque()
        self.fresh: set[int] = set()
        self.told: dict[int, Callable[[float, Link, PackedReply], None]] = {}
        self.outgoing: list[PackedRequest] = []
        self.introduced: set[int] = set()
        self.known: set[int] = set()
        self.owed: deque[int] = deque()
        self.leaving: dict[int, bytes] = {}
        self.parting: dict[int, bytes] = {}
        self.bounced: set[int] = set()
        self.probe = 0
        self.probe_at = 0.0
        self.greeted_at = float("-inf")
        self.paused_until = 0.0
        self.event_rate = 0.0
        self.rate_at, self.rate_seq = float("-inf"), 0

    @property
    def flowing(self) -> bool:
        """Whether a request can be handed to the shell now."""
        return self.state is READY and not self.paused_until

    def settled(self, next_number: int) -> int:
        """The lowest number still open here; every number is looked at once, whatever the order of answers."""
        order, waiting = self.order, self.open
        while order and order[0] not in waiting:
            order.popleft()
        if len(order) > 2 * len(waiting) + 1000:
            self.order = order = deque(number for number in order if number in waiting)
        return order[0] if order else next_number


class Links:
    """All links of a proxy.

    :param hello: the proxy's own registration
    :param introduction: a client's number -> its RequestRegisterClient, None when its session has ended
    :param patience: seconds to wait for a node that is away (``request-timeout``)
    :param counts: what was dropped and why
    """

    def __init__(
        self,
        nodes: Iterable[str],
        hello: bytes,
        introduction: Callable[[int], bytes | None],
        patience: float,
        counts: Counter[str],
    ) -> None:
        self.links = {name: Link(name) for name in nodes}
        self.counts = counts
        self.ready: list[tuple[str, bool]] = []
        """Nodes whose link has become ready since this was emptied, and whether the node may have forgotten clients."""
        self.went: list[str] = []
        """Nodes whose link is no more ready, since this was emptied."""
        self.given_up: list[tuple[str, int]] = []
        """Requests that no member will answer in time: node and number, since this was emptied."""
        self.silence_s = SILENCE_S
        self._hello = hello
        self._introduction = introduction
        self._patience = patience
        self._numbers = count(1)
        self._last = 0
        self._started: float | None = None
        self._forgot: set[str] = set()

    # -- what cores ask

    def number(self) -> int:
        """A new request number."""
        self._last = next(self._numbers)
        return self._last

    def is_ready(self, node: str) -> bool:
        """Whether requests to the node go out at once."""
        return self.links[node].state is READY

    def gone(self, now: float, nodes: Iterable[str]) -> list[str]:
        """Those of the nodes that are not waited for: away for longer than the patience."""
        links = self.links
        return [node for node in nodes if links[node].state is not READY and self._is_gone(now, links[node])]

    def _is_gone(self, now: float, link: Link) -> bool:
        self._start(now)
        return now >= link.away_since + self._patience

    # -- what members say

    def heard(self, now: float, said: PackedEvents) -> None:
        """A member's heartbeat or batch of events."""
        self._start(now)
        link = self.links.get(said.node)
        if link is None:
            self.counts["unknown node"] += 1
            return
        member = link.members.get(said.member)
        if member is None:
            member = link.members[said.member] = Member()
        member.heard, member.role, member.epoch = now, said.role, said.epoch
        if said.status:
            member.status = said.status
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
            self.counts["unknown node"] += 1
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
            if not number:
                accepted.append(reply)
            elif number not in waiting:
                self.counts["late reply"] += 1
            elif number in told:
                del waiting[number]
                told.pop(number)(now, link, reply)
            elif reply.code in _BOUNCES and not self._bounced(now, link, member, reply):
                continue
            else:
                del waiting[number]
                accepted.append(reply)
        return accepted

    def _declined(self, link: Link, member: str, replies: list[PackedReply]) -> list[PackedReply]:
        """What counts of a member without the epoch: the one that was asked may say that it cannot serve."""
        counted = [reply for reply in replies if member == link.active and reply.code in _DECLINES]
        self.counts["stale reply"] += len(replies) - len(counted)
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
        links = [self.links[node] for node in nodes]
        for link in links:
            if client not in link.introduced and link.flowing:
                self._introduce(link, client)
        number = self._last = next(self._numbers)
        entry = PackedRequest(number, client, flags, payload)
        for link in links:
            link.open[number] = entry
            link.order.append(number)
            if link.flowing:
                link.outgoing.append(entry)
            else:
                link.fresh.add(number)
        return number

    def drop(self, node: str, number: int) -> None:
        """Nobody waits for this answer any more."""
        link = self.links[node]
        link.open.pop(number, None)
        link.fresh.discard(number)
        link.bounced.discard(number)

    def introduce_again(self, client: int) -> None:
        """A client's registration has changed: nodes hear it before its next request."""
        for link in self.links.values():
            link.introduced.discard(client)

    def introduce(self, node: str, clients: Iterable[int]) -> None:
        """Makes clients known to a node now, so that it can tell them things."""
        link = self.links[node]
        for client in clients:
            if client not in link.introduced and link.flowing:
                self._introduce(link, client)

    def farewell(self, client: int, introduction: bytes) -> None:
        """A session has ended: every node that knows it is told, those that are away when they are back."""
        for link in self.links.values():
            if client in link.known:
                link.leaving[client] = introduction
                if link.flowing:
                    self._dismiss(link)

    def take(self) -> tuple[dict[tuple[str, str], list[PackedRequest]], dict[str, int]]:
        """What the shell shall send now, by node and member, and the settled number of each of these nodes."""
        sending: dict[tuple[str, str], list[PackedRequest]] = {}
        settled: dict[str, int] = {}
        for link in self.links.values():
            if link.outgoing and link.active is not None:
                sending[link.name, link.active] = link.outgoing
                link.outgoing = []
                settled[link.name] = link.settled(self._last + 1)
        return sending, settled

    # -- time

    def tick(self, now: float) -> None:
        """Notices silence, says hello and probes again, gives up what has waited too long."""
        self._start(now)
        for link in self.links.values():
            if link.state is not READY and link.open and now >= link.away_since + self._patience:
                self._give_up(link)
            if link.active is None or link.state is AWAY:
                continue
            if now - link.members[link.active].heard > self.silence_s:
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
        if link.flowing:
            if link.owed:
                self._pay(link)
            if link.leaving:
                self._dismiss(link)

    @property
    def wake_at(self) -> float:
        """When :meth:`tick` has something to do next."""
        return min((self._wake_at(link) for link in self.links.values()), default=float("inf"))

    def _wake_at(self, link: Link) -> float:
        if link.flowing and not link.owed and link.active is not None:  # hot path: so it is nearly always
            return min(link.probe_at, link.members[link.active].heard + self.silence_s + 0.001)
        at = link.away_since + self._patience if link.open and link.state is not READY else float("inf")
        if link.active is None or link.state is AWAY:
            return at
        if link.owed and link.flowing:
            return 0.0
        at = min(at, link.probe_at, link.members[link.active].heard + self.silence_s + 0.001)
        return min(at, link.paused_until) if link.paused_until else at

    def _start(self, now: float) -> None:
        """The first moment of this proxy: from here on it waits a short while for every node."""
        if self._started is None:
            self._started = now
            for link in self.links.values():
                link.away_since = now - self._patience + min(GRACE_S, self._patience)

    # -- changes of state

    def _greet(self, now: float, link: Link, member: str, epoch: int) -> None:
        """-> GREETING: the member is the one to talk to."""
        self._turn_to(now, link, member, epoch)
        self._say_hello(now, link)

    def _turn_to(self, now: float, link: Link, member: str, epoch: int) -> None:
        self._lose(now, link)
        link.state = GREETING
        link.active = member
        link.epoch = epoch
        for number in link.told:
            link.open.pop(number, None)
        link.told.clear()
        link.outgoing = []
        link.bounced.clear()
        link.leaving.update(link.parting)
        link.paused_until = 0.0

    def _say_hello(self, now: float, link: Link) -> None:
        link.greeted_at = now
        link.probe_at = now + PROBE_S
        self._tell(link, 0, self._hello, self._greeted)

    def _greeted(self, now: float, link: Link, reply: PackedReply) -> None:
        """The hello's answer: -> READY."""
        if reply.code or link.state is not GREETING:
            if reply.code:
                self.counts["hello refused"] += 1
            return
        link.state = READY
        link.probe = 0
        link.probe_at = now + PROBE_S
        forgot = link.name in self._forgot
        self._forgot.discard(link.name)
        link.owed = deque(sorted(link.known))
        link.introduced = {0}
        self._send_all(link)
        self._dismiss(link)
        self.ready.append((link.name, forgot))

    def _leave(self, now: float, link: Link) -> None:
        """-> AWAY: nobody serves there now; what is open waits."""
        self._lose(now, link)
        link.state = AWAY
        link.outgoing = []

    def _lose(self, now: float, link: Link) -> None:
        """READY no more."""
        if link.state is READY:
            self.went.append(link.name)
            link.away_since = now

    def _give_up(self, link: Link) -> None:
        """Nobody has served for too long: what clients asked is answered without this node."""
        self.given_up.extend((link.name, number) for number in link.open if number not in link.told)
        link.open = {number: entry for number, entry in link.open.items() if number in link.told}
        link.fresh.clear()

    # -- the links' own requests

    def _tell(self, link: Link, client: int, payload: bytes, done: Callable[[float, Link, PackedReply], None]) -> int:
        """Sends a request of the link's own. :returns: its number"""
        number = self._last = next(self._numbers)
        entry = PackedRequest(number, client, 0, payload)
        link.open[number] = entry
        link.order.append(number)
        link.told[number] = done
        link.outgoing.append(entry)
        return number

    def _introduce(self, link: Link, client: int) -> None:
        """Makes a client known to the active member, ahead of what it asks."""
        introduction = link.leaving.get(client) or self._introduction(client)
        if introduction is not None:
            link.introduced.add(client)
            link.known.add(client)
            self._tell(link, client, introduction, self._introduced)

    def _introduced(self, now: float, link: Link, reply: PackedReply) -> None:
        if reply.code:
            self.counts["introduction refused"] += 1
            link.introduced.discard(reply.client)

    def _dismiss(self, link: Link) -> None:
        """Tells the node of the sessions that have ended."""
        for client in link.leaving:
            if client not in link.introduced:
                self._introduce(link, client)
            self._tell(link, client, _farewell, self._dismissed)
        link.parting.update(link.leaving)
        link.leaving.clear()

    def _dismissed(self, now: float, link: Link, reply: PackedReply) -> None:
        for clients in (link.known, link.introduced):
            clients.discard(reply.client)
        link.parting.pop(reply.client, None)

    def _pay(self, link: Link) -> None:
        """Introduces some of the clients that the node knew before it changed members."""
        for _ in range(min(INTRODUCED_AT_ONCE, len(link.owed))):
            client = link.owed.popleft()
            if client not in link.introduced:
                self._introduce(link, client)

    def _probe(self, now: float, link: Link) -> None:
        """A hello that was not answered is said again; on a ready link the probe goes out."""
        link.probe_at = now + PROBE_S
        if link.state is GREETING:
            self._say_hello(now, link)
        elif link.flowing:
            link.probe = self._tell(link, 0, _probe, self._probed)

    def _probed(self, now: float, link: Link, reply: PackedReply) -> None:
        """All that was sent before the probe has been executed: what has no answer is sent again."""
        if reply.code in _BOUNCES:
            self._bounced(now, link, link.active or "", reply)
            return
        if reply.number != link.probe or not link.flowing:
            return
        for number in list(link.order):
            if number >= reply.number:
                break
            entry = link.open.get(number)
            if entry is not None and number not in link.fresh:
                self._resend(link, entry)

    # -- sending again

    def _bounced(self, now: float, link: Link, member: str, reply: PackedReply) -> bool:
        """The member does not serve, or does not know who asks. :returns: whether that is to be taken as the answer"""
        if reply.code == Code.NOT_PRIMARY:
            if member == link.active:
                self._leave(now, link)
            return False
        entry = link.open.get(reply.number)
        if entry is None or entry.client == 0:
            self._forgotten(now, link)
            return False
        if reply.number in link.bounced:
            link.bounced.discard(reply.number)
            return True
        link.bounced.add(reply.number)
        link.introduced.discard(entry.client)
        if link.flowing:
            self._introduce(link, entry.client)
            self._resend(link, entry)
        else:
            link.fresh.add(reply.number)
        return False

    def _forgotten(self, now: float, link: Link) -> None:
        """The active member lost the proxy's session, and with it all that came through it."""
        if link.state is READY:
            self.counts["link forgotten"] += 1
            self._forgot.add(link.name)
            self._turn_to(now, link, link.active or "", link.epoch)
            link.probe_at = max(now, link.greeted_at + RETRY_S)

    def _send_all(self, link: Link) -> None:
        """Sends everything open, in order; what went out before is marked."""
        for number in list(link.order):
            entry = link.open.get(number)
            if entry is None or number in link.told:
                continue
            if entry.client not in link.introduced:
                self._introduce(link, entry.client)
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
                if entry.client not in link.introduced:
                    self._introduce(link, entry.client)
                link.outgoing.append(entry)
        link.fresh.clear()

    def _resend(self, link: Link, entry: PackedRequest) -> None:
        """The same request under the same number, marked: it is executed once."""
        if not entry.flags & RESENT:
            entry = PackedRequest(entry.number, entry.client, entry.flags | RESENT, entry.payload)
            link.open[entry.number] = entry
        self.counts["resent"] += 1
        link.outgoing.append(entry)


_BOUNCES = frozenset({int(Code.NOT_REGISTERED), int(Code.NOT_PRIMARY)})
_DECLINES = frozenset({int(Code.NOT_PRIMARY), int(Code.DATABASE_FAILURE)})
