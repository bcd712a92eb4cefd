"""What the proxy knows of a view over all nodes: each node's head, and the pulls that wait for their turn.

Heads come with the answers to RequestWatchView and are pushed by the nodes from then on. A head that is not known (the
node is away, or its head has to be asked again) is not in :attr:`View.keys`; None there is an empty view.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

from msgspec import Raw, Struct, field
from msgspec.structs import replace

from broker.conditions import Order
from broker.messages.pulls import RequestPull

from .calls import Call

Key = tuple[Any, ...]

WIDEST = 64
"""Most pulls that are under way at a node at once, of one view."""

_SPARE = 100


class Pull(Struct, gc=False):
    """A client's pull from a view under way.

    :param turn: its place among all pulls; the lowest comes first
    :param wanted: interactions still to be had; ``got``: those it has, raw
    :param until: when it is answered with what it has; ``holds``: an empty view does not end it before
    :param parts: how often each node has granted something for it; ``tries``: how often nodes were asked; ``away``: one
        is being asked
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

    :param nodes: the nodes that can have its interactions
    :param asking: nodes whose head is being asked for, and which are waited for until ``blocked_until``
    :param waiting: pulls that wait, by turn; ``impatient``: those of them that an empty view does not let wait
    :param flying: turns of the pulls under way, all at the node ``at``; at most ``width`` of them
    :param looking: the look at all heads under way; ``confirmed``: turn of the last pull that a finished one covers;
        ``reached``: whether any node answered that
    """

    __slots__ = (
        "_queue", "asking", "at", "blocked_until", "confirmed", "flying", "heads", "impatient", "keys", "looking",
        "nodes", "order", "reached", "view_id", "waiting", "watched", "width",
    )  # fmt: skip

    def __init__(self, view_id: str, nodes: tuple[str, ...], order: Order) -> None:
        self.view_id = view_id
        self.nodes = nodes
        self.order = order
        self.keys: dict[str, Key | None] = {}
        self.heads: dict[str, list[Any] | None] = {}
        self.asking: set[str] = set()
        self.blocked_until = 0.0
        self.watched = False
        self.waiting: dict[int, Pull] = {}
        self.impatient: dict[int, Pull] = {}
        self._queue: list[int] = []
        self.at = ""
        self.flying: set[int] = set()
        self.width = 1
        self.looking: Round | None = None
        self.confirmed = -1
        self.reached = True

    def change(self, nodes: tuple[str, ...], order: Order) -> None:
        """Other nodes, another order: heads that are known are so no more."""
        self.nodes, self.order = nodes, order
        self.keys.clear()
        self.heads.clear()
        self.asking &= set(nodes)

    # -- heads

    def learn(self, node: str, head: list[Any] | None) -> None:
        """A node's head now. :raises ValueError: it is none of this view's order"""
        self.keys[node] = None if head is None else self.order.key_of(head)
        self.heads[node] = head

    def forget(self, node: str) -> None:
        """A node's head is not known any more."""
        self.keys.pop(node, None)
        self.heads.pop(node, None)

    def leave(self, node: str) -> None:
        """A node is away: nothing of it is waited for."""
        self.forget(node)
        self.asking.discard(node)
        if self.at == node:
            self.flying.clear()
            self.width = 1

    def first(self, is_ready: Callable[[str], bool]) -> str | None:
        """The node whose head comes first; None: no node that is there has anything, as far as is known."""
        best, best_key = None, None
        for node, key in self.keys.items():
            if key is not None and (best_key is None or key < best_key) and is_ready(node):
                best, best_key = node, key
        return best

    def below(self, node: str) -> tuple[list[Any] | None, bool]:
        """The head that a node's interactions have to come before, the first of all others.

        :returns: the head, None without any; and whether it is the very same key as the node's own, so that no more
            than the one interaction can be asked for
        """
        best = self._first_other(node)
        if best is None:
            return None, False
        same = self.keys[best] == self.keys[node]
        return (None if same else self.heads[best]), same

    def first_other(self, node: str) -> Key | None:
        """The first key that is known of all other nodes."""
        best = self._first_other(node)
        return None if best is None else self.keys[best]

    def _first_other(self, node: str) -> str | None:
        best, best_key = None, None
        for other, key in self.keys.items():
            if other != node and key is not None and (best_key is None or key < best_key):
                best, best_key = other, key
        return best

    # -- pulls

    def wait(self, pull: Pull) -> None:
        """A pull waits for its turn."""
        self.waiting[pull.turn] = pull
        if pull.got or not pull.holds:
            self.impatient[pull.turn] = pull
        heappush(self._queue, pull.turn)
        if len(self._queue) > 2 * len(self.waiting) + _SPARE:
            self._queue = list(self.waiting)
            heapify(self._queue)

    def release(self, turn: int) -> Pull | None:
        """A pull waits no more."""
        self.impatient.pop(turn, None)
        return self.waiting.pop(turn, None)

    def next(self) -> Pull | None:
        """The pull whose turn it is, which waits no more."""
        while self._queue:
            pull = self.release(heappop(self._queue))
            if pull is not None:
                return pull
        return None

    def landed(self, pull: Pull, full: bool) -> None:
        """A pull has come back from its node; as long as all get what they want, more may fly at once."""
        if pull.turn in self.flying:
            self.flying.discard(pull.turn)
            self.width = min(self.width * 2, WIDEST) if full else max(self.width // 2, 1)
