"""Pulls from workbins: what comes first over all nodes, in the workbin's order.

    look    every node says what a pull would take there (the flag LISTED): marks and ids, and nothing is granted
    choose  the first ones of all that are wanted (:mod:`proxy.shares`)
    take    each node is asked for its share, all of them at once: just these, where they stand as they stood
    again   what somebody else has taken meanwhile is made up for by another look

So a pull gets what one server would have given when it looked. Nothing is kept of workbins between pulls: there may be
any number of them, and what stands here is never older than the pull itself. Pulls of this proxy that come together see
as much as all of them want, and pass over what is in each other's shares.

A node that is silent when it is looked at takes no part, as long as others have something; it is missing. One that
falls silent over its share may have granted that: nobody else is asked for as many. An agent whose capacity is limited
gets the shares one after the other, in the order, and nothing behind what does not fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from operator import itemgetter

from msgspec import Raw, Struct, field
from msgspec.structs import replace

from broker.config.objects import PRIVATE_VIEW, Configuration, WorkbinType
from broker.errors import Code
from broker.messages import encode
from broker.messages.kinds import Workbin
from broker.wire import LISTED, PackedReply

from .calls import Call
from .desk import Desk
from .gather import Answers, Asker, whole
from .grants import granted_payload, id_of, read_granted
from .merge import lost
from .route import checked_tenant
from .shares import Line, Place, Rush, Share, first_of, line_of, runs_of, shares_of

LOOK_S = 1.0
"""How long a look waits for a node before a pull goes on with what the others have."""
MOST_LOOKS = 50
"""Looks of one pull: others are always faster."""
MOST_TOLD = 1000
"""Places that a node tells at once, as many as a pull may want."""

Key = tuple[str, Workbin | int]
"""A view, and the workbin that the request names, or else the client whose own it is."""


def workbin_type(configuration: Configuration, view_id: str) -> WorkbinType | None:
    """The type of the workbins that a view is of; None: it is a queue's."""
    name, _, view = view_id.rpartition("/")
    if view != PRIVATE_VIEW or view_id in configuration.views:
        return None
    return configuration.workbins.get(name)


class _Pull(Struct, gc=False):
    """A pull under way.

    :param key: the workbin, as it is named; ``rush``: the pulls that name it so
    :param wanted: interactions still to be had; ``got``: those it has, behind their marks
    :param looks: how many there were; ``patient``: nodes that are away are waited for, for the others have nothing
    :param unseen: nodes that the last look did not reach; ``passed``: those that one did not reach by which something
        was chosen; ``silent``: those that did not answer about their shares
    :param parts: how often each node has granted something for it
    :param left: shares that are still to be asked for, ``open``: that are being asked for
    :param short: a share was not there any more, or not all of it; ``refused``: what a node refused one with
    """

    call: Call
    key: Key
    rush: Rush
    nodes: Sequence[str]
    wanted: int
    got: list[tuple[bytes, Raw]] = []
    looks: int = 0
    patient: bool = False
    unseen: frozenset[str] = frozenset()
    passed: frozenset[str] = frozenset()
    silent: set[str] = set()
    parts: Counter[str] = field(default_factory=Counter)
    left: list[Share] = []
    open: int = 0
    short: bool = False
    refused: PackedReply | None = None

    @property
    def is_over(self) -> bool:
        """There is nobody any more to give anything to."""
        return self.call.session.ended or self.call.session.source is None


class Workbins:
    """Pulls from workbins."""

    def __init__(self, desk: Desk) -> None:
        self._configuration = desk.configuration
        self._gather = desk.gather
        self._calls = desk.calls
        self._links = desk.links
        self._routes = desk.routes
        self._whereis = desk.whereis
        self._counts = desk.counts
        self._rushes: dict[Key, Rush] = {}

    def has(self, view_id: str) -> bool:
        """Whether a view is a workbin's."""
        return workbin_type(self._configuration, view_id) is not None

    def request(self, call: Call) -> None:
        """A client's pull from a workbin. :raises Refusal: foreign tenant, too many calls"""
        nodes = self._routes.serving(checked_tenant(call.head.tenant_id, call.session.tenants))
        self._calls.begin(call)
        if len(nodes) == 1:
            done, asker = partial(self._passed, call), Asker(call.session.client)
            self._gather.ask(nodes, call.payload, call.deadline, done, asker)
        else:
            self._look(self._begin(call, nodes))

    def _begin(self, call: Call, nodes: Sequence[str]) -> _Pull:
        head = call.head
        key = head.view_id, head.workbin or call.session.client
        rush = self._rushes.setdefault(key, Rush())
        rush.pulls += 1
        rush.wanted += head.count
        return _Pull(call, key, rush, nodes, head.count)

    def _passed(self, call: Call, now: float, answers: Answers) -> None:
        """The only node there is has answered, or not."""
        (reply,) = answers.values()
        if reply is None:
            self._calls.refuse(call, lost(call.request, answers))
        else:
            self._calls.answer(call, whole(reply))

    # -- looking

    def _look(self, pull: _Pull) -> None:
        """Asks the nodes what they have first; those that are away only if nobody else has anything."""
        pull.looks += 1
        nodes = [node for node in pull.nodes if node not in pull.silent]
        there = [node for node in nodes if self._links.is_ready(node) or self._links.is_coming(node)]
        request = replace(pull.call.head, dedup_id=None, count=min(pull.rush.wanted, MOST_TOLD))
        until = min(self._gather.now + LOOK_S, pull.call.deadline)
        asker = Asker(pull.call.session.client, LISTED)
        asked = nodes if pull.patient or not there else there
        self._gather.ask(asked, encode(request), until, partial(self._looked, pull, until), asker)

    def _looked(self, pull: _Pull, until: float, now: float, answers: Answers) -> None:
        """The nodes have said what they have, or not. One that refuses takes no part, as long as others do."""
        lines: dict[str, Line] = {}
        refused = next((reply for reply in answers.values() if reply is not None and reply.code), None)
        for node, reply in answers.items():
            if reply is not None and reply.rows is not None:
                try:
                    lines[node] = line_of(node, reply.rows)
                except ValueError:
                    self._counts.drop(node, "garbage", pull.call.payload)
        pull.unseen = frozenset(pull.nodes).difference(lines)
        chosen = first_of(lines.values(), pull.wanted, pull.rush.taken)
        behind = len(chosen) < pull.wanted and any(line.more for line in lines.values())
        if behind and self._may_look(pull, now):
            self._look(pull)
        elif chosen and not pull.is_over:
            self._take(pull, chosen)
        elif refused is None and not pull.got and self._may_come(pull, until, now, answers):
            pull.patient = True
            self._look(pull)
        else:
            pull.refused = pull.refused or refused
            self._finish(pull)

    def _may_look(self, pull: _Pull, now: float) -> bool:
        """Whether there may be another look."""
        return pull.looks < MOST_LOOKS and now < pull.call.deadline and not pull.is_over

    def _may_come(self, pull: _Pull, until: float, now: float, answers: Answers) -> bool:
        """Nobody has anything: whether one that has not said so may do that in time."""
        if now >= pull.call.deadline or pull.is_over:
            return False
        return bool(pull.unseen) if now >= until else not pull.unseen.issubset(answers)

    # -- taking

    def _take(self, pull: _Pull, chosen: list[Place]) -> None:
        """Asks nodes for what was chosen."""
        pull.short = False
        pull.passed |= pull.unseen
        if pull.call.limited:
            pull.left = runs_of(chosen)
            self._ask(pull, pull.left.pop(0))
        else:
            for share in shares_of(chosen):
                self._ask(pull, share)

    def _ask(self, pull: _Pull, share: Share) -> None:
        node, marks = share
        request = replace(pull.call.head, count=len(marks), part=pull.parts[node], share=marks)
        pull.open += 1
        pull.rush.taken.update(marks)
        done, asker = partial(self._taken, pull, share), Asker(pull.call.session.client)
        self._gather.ask([node], encode(request), pull.call.deadline, done, asker)

    def _taken(self, pull: _Pull, share: Share, now: float, answers: Answers) -> None:
        """A node has answered about its share, or not. The next one is asked when this one came in whole."""
        pull.open -= 1
        pull.rush.taken.difference_update(share.marks)
        reply = answers[share.node]
        if reply is not None and reply.code:
            self._refused(pull, share.node, reply)
        elif reply is None or not self._gives(pull, share, reply):
            pull.silent.add(share.node)
            pull.wanted -= len(share.marks)
        if pull.open:
            return
        stopped = pull.short or pull.silent or pull.refused or pull.is_over
        if pull.left and not stopped:
            self._ask(pull, pull.left.pop(0))
        elif self._goes_on(pull, now):
            self._look(pull)
        else:
            self._finish(pull)

    def _refused(self, pull: _Pull, node: str, reply: PackedReply) -> None:
        """A node gives nothing. An agent that has no room for more got all that it could; else the node is missing."""
        pull.refused = pull.refused or reply
        if reply.code != Code.CAPACITY_FULL:
            pull.unseen |= {node}

    def _gives(self, pull: _Pull, share: Share, reply: PackedReply) -> bool:
        """Notes what a node has granted. False: that cannot be read."""
        try:
            granted = [(share.marks[id_of(raw)], raw) for raw in read_granted(reply.payload).interactions]
        except (ValueError, KeyError, RecursionError):
            self._counts.drop(share.node, "garbage", pull.call.payload)
            return False
        for _, raw in granted:
            self._whereis.learn(id_of(raw), share.node)
        pull.got += granted
        pull.wanted -= len(granted)
        pull.parts[share.node] += bool(granted)
        pull.short = pull.short or len(granted) < len(share.marks)
        return True

    def _goes_on(self, pull: _Pull, now: float) -> bool:
        """Whether what was not there any more is made up for."""
        return pull.short and not pull.refused and self._may_look(pull, now)

    # -- answering

    def _finish(self, pull: _Pull) -> None:
        """What was granted is given, in order. Without anything: 2002 where a node may have granted something or was
        not seen, and what nodes refuse with."""
        pull.rush.pulls -= 1
        pull.rush.wanted -= pull.call.head.count
        if not pull.rush.pulls:
            del self._rushes[pull.key]
        missing = pull.unseen | pull.silent
        if pull.got or not (missing or pull.refused):
            granted = [raw for _, raw in sorted(pull.got, key=itemgetter(0))]
            self._calls.answer(pull.call, granted_payload(granted, missing | pull.passed if granted else missing))
        elif pull.refused and not pull.silent:
            self._calls.answer(pull.call, pull.refused.payload)
        else:
            self._calls.refuse(pull.call, lost(pull.call.request, missing))
