"""Snapshots over several nodes: every node takes its part, then the parts are put into one order.

    take       every node takes its part and keeps the marks of what is in it; refuses one, the others give theirs back
    order      the nodes that have something say their marks (RequestSnapshotOrder)
    arrange    merged, the marks are the places in the whole; each node is told those of its part
    reply      the id names all parts, so that any proxy can serve it: nodes know what they have at which place

Marks and places are with the nodes, and survive their failover. A node that falls silent on the way takes no part: it
is ``missing``, as one that was silent from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from msgspec import Struct

from broker.messages import encode
from broker.messages.snapshots import RequestArrangeSnapshot, RequestReleaseSnapshot, RequestSnapshotOrder
from broker.wire import LISTED, MARKED

from .calls import Call
from .desk import Desk
from .forward import Forward
from .gather import Answers, Asker, says
from .merge import Part, parts_of, whole_id

FIRST = 0.75
"""The part of a request's time that nodes have to take the snapshot."""


class _Taking(Struct, gc=False):
    """A snapshot that is being taken.

    :param answers: the nodes' answers to the request; None: the node takes no part
    :param arranging: nodes that have not acknowledged their places yet; ``lost``: that will not
    """

    call: Call
    answers: Answers
    arranging: set[str] = set()
    lost: list[str] = []


class Snapshots:
    """The snapshots that clients take. :param forward: for what is as with any other request"""

    def __init__(self, desk: Desk, forward: Forward) -> None:
        self._timeout = desk.settings.request_timeout
        self._counts = desk.counts
        self._gather = desk.gather
        self._calls = desk.calls
        self._forward = forward

    def take(self, call: Call) -> None:
        """A client's RequestTakeSnapshot. :raises Refusal: no node serves it, too many calls"""
        nodes = self._forward.concerned(call)
        self._calls.begin(call)
        asker = Asker(call.session.client, MARKED if len(nodes) > 1 else 0, says=says(call.request))
        self._gather.ask(nodes, call.payload, self._until(call, FIRST), partial(self._taken, call), asker)

    def _until(self, call: Call, share: float = 0.5) -> float:
        """How long a step may take: always a part of the time that is left, so that there is some for the next one."""
        now = self._gather.now
        return now + share * max(call.deadline - now, 0.0)

    def _taken(self, call: Call, now: float, answers: Answers) -> None:
        """Every node has taken its part, or refuses, or is silent."""
        taking = _Taking(call, answers, set())
        if any(reply is not None and reply.code for reply in answers.values()):
            self._give_back(taking, answers)
            self._forward.merged(call, now, answers)
        else:
            self._put_in_order(taking, now)

    def _put_in_order(self, taking: _Taking, now: float) -> None:
        """Asks for the marks of those that have something; with one of them there is nothing to put in order."""
        parts = parts_of(taking.answers, self._counts)
        filled = [node for node, part in parts.items() if part.number_of_interactions]
        if len(filled) < 2:
            self._forward.merged(taking.call, now, taking.answers)
            return
        payload = encode(RequestSnapshotOrder(snapshot_id=whole_id(parts)))
        done = partial(self._ordered, taking, parts)
        self._gather.ask(filled, payload, self._until(taking.call), done, Asker(0, LISTED))

    def _ordered(self, taking: _Taking, parts: dict[str, Part], now: float, answers: Answers) -> None:
        """The nodes have said their marks."""
        marks = {
            node: reply.rows.marks for node, reply in answers.items() if reply is not None and reply.rows is not None
        }
        lost = [node for node in answers if len(marks.get(node, ())) != parts[node].number_of_interactions]
        if lost:
            self._go_on_without(taking, lost, now)
            return
        taking.arranging = set(marks)
        until = self._until(taking.call)
        for node, runs in runs_of(marks).items():
            payload = encode(RequestArrangeSnapshot(snapshot_id=whole_id(parts), runs=runs))
            self._gather.ask([node], payload, until, partial(self._arranged, taking, node))

    def _arranged(self, taking: _Taking, node: str, now: float, answers: Answers) -> None:
        """A node knows its places, or does not."""
        taking.arranging.discard(node)
        reply = answers[node]
        if reply is None or reply.code:
            taking.lost.append(node)
        if taking.arranging:
            return
        if taking.lost:
            self._go_on_without(taking, taking.lost, now)
        else:
            self._forward.merged(taking.call, now, taking.answers)

    def _go_on_without(self, taking: _Taking, nodes: list[str], now: float) -> None:
        """Nodes that have fallen silent take no part."""
        self._give_back(taking, nodes)
        taking.answers.update(dict.fromkeys(nodes))
        taking.lost = []
        self._put_in_order(taking, now)

    def _give_back(self, taking: _Taking, nodes: Iterable[str]) -> None:
        """Releases parts that nobody will know of."""
        parts = parts_of({node: taking.answers[node] for node in nodes}, self._counts)
        asker, deadline = Asker(taking.call.session.client), self._gather.now + self._timeout
        for node, part in parts.items():
            payload = encode(RequestReleaseSnapshot(snapshot_id=part.snapshot_id))
            self._gather.ask([node], payload, deadline, _ignore, asker)


def runs_of(marks: dict[str, list[bytes]]) -> dict[str, list[int]]:
    """The places of each node's marks in the order of all, as runs: first place, how many, and so on."""
    owners = sorted((mark, node) for node, own in marks.items() for mark in own)
    runs: dict[str, list[int]] = {node: [] for node in marks}
    last = None
    for place, (_, node) in enumerate(owners):
        if node == last:
            runs[node][-1] += 1
        else:
            runs[node] += (place, 1)
        last = node
    return runs


def _ignore(now: float, answers: Answers) -> None:
    """What a node says to a release that nobody waits for."""
