"""A cluster in memory whose nodes' answers can be disturbed on their way to the proxy: late, garbled, doubled."""

from __future__ import annotations

import json
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Any, NamedTuple

from msgspec.structs import replace

from broker.config.objects import Configuration
from broker.ledger import name_in
from broker.wire import LISTED, PackedReply, PackedRequests
from tests.world import Pair, World

LOOK = "RequestPull, listed"
"""What a look into a workbin is called here: a pull with the flag LISTED."""
STEP_S = 0.2
"""Time passes in coarser steps here: nothing that is tried takes less."""


class Disturbance(NamedTuple):
    """What becomes of a node's answers.

    :param delay_s: by how much they come later; :param garbled: what comes in their place; :param times: how often
    """

    delay_s: float = 0.0
    garbled: bytes | None = None
    times: int = 1


class Said(NamedTuple):
    """An answer of a node, as it gave it. :param name: the request's"""

    node: str
    number: int
    name: str
    payload: bytes


class Disturbed(World):
    """The cluster. What passes from :meth:`watch` on is noted.

    :ivar disturbances: by node, of the answers to the requests that are watched
    :ivar asked: which node was asked what, in order; of what is sent again only the first time
    :ivar came_at: when the answers to a number of a node have come to the proxy; ``asked_at``: when it was asked
    :ivar answered_at: when a client's request was answered
    """

    def __init__(self, configuration: Configuration) -> None:
        self.disturbances: dict[str, Disturbance] = {}
        self.asked: list[tuple[str, str]] = []
        self.said: list[Said] = []
        self.came_at: dict[tuple[str, int], list[float]] = {}
        self.asked_at: dict[tuple[str, int], float] = {}
        self.answered_at: dict[int, float] = {}
        self._noted: frozenset[str] = frozenset()
        self._disturbed: frozenset[str] = frozenset()
        self._numbers: dict[tuple[str, int], str] = {}
        self._under_way: list[tuple[float, int, Pair, str, PackedReply]] = []
        self._order = 0
        super().__init__(configuration)

    def watch(self, noted: Iterable[str] = (), disturbed: Iterable[str] = ()) -> None:
        """From now on these requests are noted, and of these of them the answers are disturbed."""
        self._noted, self._disturbed = frozenset(noted), frozenset(disturbed)

    def request(self, proxy: str, pair: Pair, member: str, requests: PackedRequests) -> None:
        for entry in requests.requests:
            name = name_in(entry.payload)
            if name == "RequestPull" and entry.flags & LISTED:
                name = LOOK
            if name in self._noted and (pair.name, entry.number) not in self._numbers:
                self._numbers[pair.name, entry.number] = name
                self.asked_at[pair.name, entry.number] = self.now
                self.asked.append((pair.name, name))
        super().request(proxy, pair, member, requests)

    def reply(self, pair: Pair, proxy: str, replies: list[PackedReply]) -> None:
        at_once = []
        for reply in replies:
            name = self._numbers.get((pair.name, reply.number))
            if name is None:
                at_once.append(reply)
                continue
            self.said.append(Said(pair.name, reply.number, name, reply.payload))
            disturbance = Disturbance()
            if name in self._disturbed:
                disturbance = self.disturbances.get(pair.name, disturbance)
            if disturbance.garbled is not None:
                reply = replace(reply, payload=disturbance.garbled, code=0, rows=None)
            if disturbance.delay_s:
                self._order += 1
                heappush(self._under_way, (self.now + disturbance.delay_s, self._order, pair, proxy, reply))
            else:
                at_once += [reply] * disturbance.times
                self.came_at.setdefault((pair.name, reply.number), []).extend([self.now] * disturbance.times)
        super().reply(pair, proxy, at_once)

    def settle(self) -> None:
        while self._under_way and self._under_way[0][0] <= self.now + 1e-9:
            _, _, pair, proxy, reply = heappop(self._under_way)
            self.came_at.setdefault((pair.name, reply.number), []).append(self.now)
            super().reply(pair, proxy, [reply])
        super().settle()

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until - 1e-9:
            self.now = min(self.now + STEP_S, until)
            self.settle()

    def _answered(self, at: str, source: bytes, ref: Any, payload: bytes) -> None:
        if ref is not None:
            self.answered_at.setdefault(int(ref), self.now)
        super()._answered(at, source, ref, payload)

    def asked_of(self, node: str) -> str:
        """What a node was asked first."""
        return next(name for at, name in self.asked if at == node).partition(",")[0]

    def came(self, node: str) -> int:
        """How many answers of a node have come."""
        return sum(len(times) for (at, _), times in self.came_at.items() if at == node)

    def useless(self, node: str, patience_s: float) -> int:
        """How many of them nobody waited for any more: all but the first to each request, and that if it came late."""
        waited_for = [
            key for key, times in self.came_at.items() if key[0] == node and times[0] < self.asked_at[key] + patience_s
        ]
        return self.came(node) - len(waited_for)


def read(payload: bytes) -> dict[str, Any]:
    """A payload as a dict."""
    document: dict[str, Any] = json.loads(payload)
    return document
