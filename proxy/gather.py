"""Asking nodes and gathering what they answer: one request to one or several nodes, one end.

An ask is over when every node has answered or is known not to answer in time: then its ``done(now, answers)`` is
called, once, with a reply or None for every node that was asked. ``done`` is called from :meth:`Gather.settle` only,
never from inside :meth:`Gather.ask`, so who asks need not expect to be answered before it has gone on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from msgspec import Struct

from broker.errors import Code, Refusal
from broker.ledger import Ledger, name_in
from broker.messages import error_payload
from broker.messages.kinds import Request
from broker.wire import LISTED, PackedReply

from .links import Links

Answers = dict[str, PackedReply | None]
"""What became of an ask, by node: its reply, None where there was none in time."""

Done = Callable[[float, Answers], None]

_SPARE = 1000
BUSY_S = 0.5
"""When to ask again what a node had no room for."""


class Asker(NamedTuple):
    """On whose behalf nodes are asked.

    :param client: 0 is the proxy itself; :param flags: as in packed requests
    :param reads: the answers are read, whatever they are, by who asks; else what is no message of a node is no answer
    :param says: how a positive answer begins, where that is known
    """

    client: int
    flags: int = 0
    reads: bool = False
    says: bytes = b'{"message":"Event'


PROXY = Asker(0)
READER = Asker(0, reads=True)


class _Ask(Struct, gc=False):
    """One request under way. :param asker: for whom; :param size: how many nodes were asked"""

    asker: Asker
    payload: bytes
    size: int
    answers: Answers
    nodes: Sequence[str]
    done: Done


class Gather:
    """All asks under way, by the number that they have on the links. ``now`` is the core's time.

    :param proxy: its name, for refusals
    :param limit: requests that a node may leave unanswered (``max-pending-per-node``)
    """

    def __init__(self, proxy: str, links: Links, counts: Ledger, limit: int) -> None:
        self._proxy = proxy
        self.limit = limit
        self.now = 0.0
        self._links = links
        self._counts = counts
        self._open: dict[int, _Ask] = {}
        self._deadlines: list[tuple[float, int]] = []
        self._over: list[_Ask] = []

    def __len__(self) -> int:
        return len(self._open)

    def ask(self, nodes: Sequence[str], payload: bytes, deadline: float, done: Done, asker: Asker = PROXY) -> int:
        """Sends a request to nodes and has ``done`` called with their answers, at ``deadline`` at the latest.

        A node that has been away for too long is not asked: its answer is None. Nor is one that has left too many
        unanswered, on behalf of a client: its answer is ``BUSY``. So a node that stands still does not fill the proxy,
        nor the pipe to it.

        :returns: what :meth:`cancel` takes
        """
        answers: Answers = {}
        asked = nodes
        gone = self._links.gone(self.now, nodes)
        if gone:
            for node in gone:
                self._counts.drop(node, "node away", payload)
            answers = dict.fromkeys(gone)
            asked = [node for node in nodes if node not in answers]
        if len(self._open) >= self.limit and asker.client:  # hot path: else none can have as many
            asked = self._decline(asked, asker.client, payload, answers)
        ask = _Ask(asker, payload, len(nodes), answers, asked, done)
        if not asked:
            self._over.append(ask)
            return 0
        number = self._links.send(asked, asker.client, asker.flags, payload)
        self._open[number] = ask
        heappush(self._deadlines, (deadline, number))
        if len(self._deadlines) > 2 * len(self._open) + _SPARE:
            self._shrink()
        return number

    def _decline(self, nodes: Sequence[str], client: int, payload: bytes, answers: Answers) -> Sequence[str]:
        """Answers in the place of nodes that have no room. :returns: the others"""
        full = self._links.full(nodes, self.limit)
        for node in full:
            self._counts["node full"] += 1
            refusal = Refusal(Code.BUSY, f"{self.limit} requests wait for {node}", retry_after=BUSY_S)
            declined = error_payload(refusal, name_in(payload), self._proxy)
            answers[node] = PackedReply(0, client, int(refusal.code), declined)
        return [node for node in nodes if node not in full]

    def has_room(self, node: str) -> bool:
        """Whether a node is asked, and not answered for."""
        return len(self._open) < self.limit or not self._links.full((node,), self.limit)

    def cancel(self, number: int) -> None:
        """An ask is not to be sent again, and nobody wants to know what becomes of it, if it is not over."""
        ask = self._open.pop(number, None)
        for node in ask.nodes if ask is not None else ():
            self._links.drop(node, number)

    def answer(self, node: str, reply: PackedReply) -> None:
        """A node's answer, the first of this node (:meth:`Links.replies` lets no other through).

        What cannot be a message of a node, or rows where those were asked for, is no answer: the node counts as silent,
        and the ledger says which request it has so answered.
        """
        ask = self._open.get(reply.number)
        if ask is None:
            self._counts.drop(node, "late reply", reply.payload)
            return
        answers = ask.answers
        if not ask.asker.reads and not _answers(ask.asker, reply):
            self._counts.drop(node, "garbage", ask.payload)
            answers[node] = None
        else:
            answers[node] = reply
        if len(answers) == ask.size:
            del self._open[reply.number]
            self._over.append(ask)

    def silent(self, node: str, number: int) -> None:
        """A node will not answer this in time."""
        ask = self._open.get(number)
        if ask is None:
            return
        ask.answers[node] = None
        if len(ask.answers) == ask.size:
            del self._open[number]
            self._over.append(ask)

    def tick(self, now: float) -> None:
        """Ends what has reached its deadline."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            _, number = heappop(deadlines)
            ask = self._open.pop(number, None)
            if ask is None:
                continue
            for node in ask.nodes:
                if node not in ask.answers:
                    ask.answers[node] = None
                    self._links.expire(node, number)
            self._over.append(ask)

    def settle(self, now: float) -> None:
        """Calls ``done`` of everything that is over."""
        while self._over:
            over, self._over = self._over, []
            for ask in over:
                ask.done(now, ask.answers)

    @property
    def wake_at(self) -> float:
        """When :meth:`tick` has something to end next."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][1] not in self._open:
            heappop(deadlines)
        return deadlines[0][0] if deadlines else float("inf")

    def _shrink(self) -> None:
        """Forgets the deadlines of what has been answered."""
        self._deadlines = [entry for entry in self._deadlines if entry[1] in self._open]
        heapify(self._deadlines)


def _answers(asker: Asker, reply: PackedReply) -> bool:
    """Whether a reply is of the form that was asked for; a refusal is always a message. A message is known by its
    beginning and its end: in all that nodes say its name comes first."""
    rows = reply.rows
    if rows is not None:
        return bool(asker.flags & LISTED) and len(rows.marks) == len(rows.interactions)
    if asker.flags & LISTED and not reply.code:
        return False
    return reply.payload.startswith(_REFUSED if reply.code else asker.says) and reply.payload.endswith(b"}")


def whole(reply: PackedReply) -> bytes:
    """What the only node there is to ask has found, as the proxy's own reply: it is complete."""
    return reply.payload if reply.code else reply.payload[:-1] + b',"complete":true}'


@cache
def says(request: type[Request]) -> bytes:
    """How the positive reply to a request begins. (That of a service may be its fault.)"""
    return b'{"message":"%b' % request.reply.removesuffix("Response").encode()


_REFUSED = b'{"message":"EventError"'
