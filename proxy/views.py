"""What the proxy knows of a view over all nodes: what each node has first, and the pulls that wait for their turn.

A node tells the first keys of what waits there (a :class:`Line`), as many as it was asked for, with the answer to
RequestWatchView and whenever they have changed. What pulls under way will take is counted off the line's beginning, so
that the lines of all nodes together say for every next pull to which node it goes, and pulls are under way at several
nodes at once without one being served before its turn. Behind the end of a line nobody knows what comes: then a few
pulls are sent on a guess, bound by what the other nodes have.

A node whose line is not known is away, or has to be asked again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from typing import Any

from msgspec import Raw, Struct, field
from msgspec.structs import replace

from broker.conditions import Order
from broker.messages.pulls import RequestPull

from .calls import Call
from .lanes import NO_BOUND, WIDEST, Bound, Key, Lane, Line

_SPARE = 100
_NONE: frozenset[str] = frozenset()


class Pull(Struct, gc=False):
    """A client's pull from a view under way.

    :param turn: its place among all pulls; the lowest comes first
    :param wanted: interactions still to be had; ``got``: those it has, raw
    :param until: when it is answered with what it has; ``holds``: an empty view does not end it before
    :param parts: how often each node has granted something for it; ``tries``: how often nodes were asked; ``away``: one
        is being asked; ``silent``: nodes that did not answer that
    """

    call: Call
    request: RequestPull
    turn: int
    wanted: int
    until: float
    holds: bool
    got: list[Raw] = []
    parts: Counter[str] = field(default_factory=Counter)
    tries: int = 0
    away: bool = False
    silent: frozenset[str] = frozenset()

    @property
    def is_over(self) -> bool:
        """It was answered, or there is nobody any more to answer."""
        return not self.call.open or self.call.session.ended or self.call.session.source is None

    def request_for(self, node: str, below: list[Any] | None, count: int) -> RequestPull:
        """What a node is asked: what it grants is a part of what the client asked for under its dedup_id."""
        return replace(
            self.request,
            part=self.parts[node],
            count=count,
            below=below,
        )


class Round(Struct, gc=False):
    """A look at all nodes' heads. :param turn: of the last pull that it is good for; :param open: still to answer"""

    turn: int
    open: set[str]
    seen: set[str] = set()


class View:
    """One view over all its nodes.

    :param name: in the configuration, and whether its pulls ignore holds
    :param nodes: the nodes that can have its interactions
    :param lanes: by node, its line and the pulls under way there
    :param asking: nodes whose line is being asked for, and which are waited for until ``blocked_until``
    :param reach: how many keys nodes are asked to tell; :param peak: the most that was wanted at once since that was
        looked at
    :param waiting: pulls that wait, by turn; ``impatient``: those of them that an empty view does not let wait;
        ``wanted``: interactions that they wait for
    :param looking: the look at all lines under way; ``confirmed``: turn of the last pull that a finished one covers;
        ``reached``: whether any node answered that
    """

    __slots__ = (
        "_queue", "asking", "blocked_until", "confirmed", "impatient", "lanes", "looking", "name", "nodes", "order",
        "peak", "reach", "reached", "view_id", "waiting", "wanted", "watched",
    )  # fmt: skip

    def __init__(self, name: tuple[str, bool], nodes: tuple[str, ...], order: Order) -> None:
        self.name = name
        self.view_id = name[0]
        self.nodes = nodes
        self.order = order
        self.lanes: dict[str, Lane] = {node: Lane() for node in nodes}
        self.asking: set[str] = set()
        self.blocked_until = 0.0
        self.watched = False
        self.reach = 1
        self.peak = 0
        self.waiting: dict[int, Pull] = {}
        self.impatient: dict[int, Pull] = {}
        self.wanted = 0
        self._queue: list[int] = []
        self.looking: Round | None = None
        self.confirmed = -1
        self.reached = True

    def change(self, nodes: tuple[str, ...], order: Order) -> None:
        """Other nodes, another order: lines that are known are so no more."""
        self.nodes, self.order = nodes, order
        self.lanes = {node: self.lanes[node] if node in self.lanes else Lane() for node in nodes}
        for node in nodes:
            self.forget(node)
        self.asking &= set(nodes)

    # -- lines

    def knows(self, node: str) -> bool:
        """Whether a node's line is known."""
        return self.lanes[node].line is not None

    @property
    def knows_any(self) -> bool:
        """Whether any node's line is known."""
        return any(lane.line is not None for lane in self.lanes.values())

    def learn(self, node: str, heads: list[list[Any]], more: bool) -> None:
        """A node's line now. :raises ValueError: these are no keys of this view's order"""
        self.lanes[node].learn(Line(heads, list(map(self.order.key_of, heads)), more))

    def forget(self, node: str) -> None:
        """A node's line is not known any more."""
        self.lanes[node].learn(None)

    def unknown(self, now: float) -> frozenset[str]:
        """The nodes whose heads are not known, so that they have no part in what is pulled now; not those that are just
        being asked."""
        unknown = [node for node in self.nodes if not self.knows(node)]
        if not unknown:  # hot path
            return _NONE
        waited_for = self.asking if now < self.blocked_until else _NONE
        return frozenset(unknown).difference(waited_for)

    def leave(self, node: str) -> None:
        """A node is away: nothing of it is waited for."""
        self.lanes[node].leave()
        self.asking.discard(node)

    def _lines(self) -> Iterator[tuple[str, Line, int]]:
        """The lines of all nodes that have any, and where in them the first one stands that nobody takes."""
        for node, lane in self.lanes.items():
            if lane.line is not None and lane.line.keys:
                lane.count()
                yield node, lane.line, lane.at

    def first(self, is_ready: Callable[[str], bool]) -> str | None:
        """The node that the next pull goes to: the one whose key comes first of those that nobody takes yet, unless
        what another has behind its line may come before that. None: no node that is there has anything left, as far as
        is known."""
        best, best_key, unsure, unsure_key = None, None, None, None
        for node, line, at in self._lines():
            if at < len(line.keys):
                if (best_key is None or line.keys[at] < best_key) and is_ready(node):
                    best, best_key = node, line.keys[at]
            elif line.more and (unsure_key is None or line.keys[-1] < unsure_key) and is_ready(node):
                unsure, unsure_key = node, line.keys[-1]
        return unsure if unsure_key is not None and (best_key is None or unsure_key < best_key) else best

    def offering(self, is_ready: Callable[[str], bool]) -> list[str]:
        """All nodes that may have something left."""
        return [node for node, line, at in self._lines() if (line.more or at < len(line.keys)) and is_ready(node)]

    def bound(self, node: str) -> Bound:
        """What a node's next interactions have to come before."""
        best: tuple[Key, list[Any]] | None = None
        own: Key | None = None
        for other, line, at in self._lines():
            if other == node:
                own = line.keys[at] if at < len(line.keys) else None
            elif at < len(line.keys) or line.more:
                which = at if at < len(line.keys) else -1  # what is behind the line comes after its end
                if best is None or line.keys[which] < best[0]:
                    best = line.keys[which], line.heads[which]
        if best is None:
            return NO_BOUND
        return Bound(best[0], best[1] if best[0] != own else None, same=best[0] == own)

    # -- pulls under way

    @property
    def is_flying(self) -> bool:
        """Whether any pull is under way."""
        return any(map(len, self.lanes.values()))

    @property
    def is_short(self) -> bool:
        """Whether a pull under way will come back for more: nobody may be served before it."""
        for lane in self.lanes.values():
            lane.count()
            if lane.short:
                return True
        return False

    def is_blocked(self, node: str) -> bool:
        """Whether the next pull for a node has to wait: it would be a guess too many, or a longer line spares it."""
        lane = self.lanes[node]
        lane.count()
        if lane.line is not None and lane.at < len(lane.line.keys):
            return False
        return self.reach < _power(self.demand) or lane.guesses >= lane.width

    def stretch(self) -> bool:
        """Whether nodes have to be asked for longer lines, for what is wanted now."""
        enough = _power(self.demand)
        longer = enough > self.reach
        self.reach = max(self.reach, enough)
        return longer

    def shrink(self) -> bool:
        """Whether shorter lines do: what was wanted at once lately was much less."""
        peak, self.peak = self.peak, self.demand
        if 2 * _power(peak) > self.reach:
            return False
        self.reach = _power(peak)
        return True

    @property
    def demand(self) -> int:
        """How many interactions are wanted now, those that are on their way among them."""
        return self.wanted + sum(map(len, self.lanes.values()))

    # -- pulls that wait

    def wait(self, pull: Pull) -> None:
        """A pull waits for its turn."""
        self.waiting[pull.turn] = pull
        self.wanted += min(pull.wanted, WIDEST)
        if pull.got or not pull.holds:
            self.impatient[pull.turn] = pull
        heappush(self._queue, pull.turn)
        if len(self._queue) > 2 * len(self.waiting) + _SPARE:
            self._queue = list(self.waiting)
            heapify(self._queue)

    def release(self, turn: int) -> Pull | None:
        """A pull waits no more."""
        self.impatient.pop(turn, None)
        pull = self.waiting.pop(turn, None)
        if pull is not None:
            self.wanted -= min(pull.wanted, WIDEST)
        return pull

    def next(self) -> Pull | None:
        """The pull whose turn it is, which waits no more."""
        while self._queue:
            pull = self.release(heappop(self._queue))
            if pull is not None:
                return pull
        return None


def _power(number: int) -> int:
    """The next power of two, ``WIDEST`` at most."""
    return min(1 << max(number - 1, 0).bit_length(), WIDEST)
