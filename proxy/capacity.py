"""What limited agents have at which node, so that their capacity holds over all nodes.

    a node tells        its part of an agent's load, before the reply that made it so   (EventAgentLoad)
    the proxy tells     every other node what the agent has elsewhere                   (RequestAgentLoad)

A node refuses what would be more than the agent may have here and elsewhere together. Between two nodes that give an
agent something at the same moment there is still a gap: so an agent's own requests for more (:data:`TAKING`) are passed
on one after the other. As a node is told over the link that the next such request takes, what an agent *handles* never
exceeds its capacity while all its clients are at one proxy and no node is just coming back. Invitations of two nodes
may cross; then the agent cannot accept the second (52), and it returns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

import msgspec

from broker.capacity import CapacityRules
from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.capacity import EventAgentLoad, Load, RequestAgentLoad
from broker.messages.interactions import RequestSubmit
from broker.messages.kinds import Request
from broker.messages.parties import RequestResume
from broker.messages.pulls import RequestPull
from broker.messages.routing import RequestAccept

from .calls import Call
from .desk import Desk
from .gather import Answers
from .roster import Agent

TAKING: frozenset[type[Request]] = frozenset({RequestAccept, RequestPull, RequestSubmit, RequestResume})
"""The requests by which an agent gets more to handle."""
MOST_WAITING = 100
"""Such requests of one agent that wait for the one under way."""

Key = tuple[int, str | None, str | None]
"""Tenant, agent and place."""
Take = Callable[[Call], None]

_read = msgspec.json.Decoder(EventAgentLoad).decode


class Capacity:
    """All limited agents' loads, and their requests that wait.

    :param meant: a client's agents that ids mean
    """

    def __init__(self, desk: Desk, meant: Callable[[int, str | None, str | None], list[Agent]]) -> None:
        self._configuration = desk.configuration
        self._rules = CapacityRules(desk.configuration)
        self._settings = desk.settings
        self._gather = desk.gather
        self._calls = desk.calls
        self._links = desk.links
        self._routes = desk.routes
        self._meant = meant
        self._parts: dict[Key, dict[str, Load]] = {}
        self._telling: dict[tuple[Key, str], int] = {}
        self._waiting: dict[Key, deque[tuple[Call, Take]]] = {}

    def reload(self) -> None:
        """Another configuration: it says who is limited from now on."""
        self._rules = CapacityRules(self._configuration)

    def leave(self, node: str) -> None:
        """A node is none of ours any more: what agents have there no longer counts elsewhere."""
        for key, parts in list(self._parts.items()):
            if parts.pop(node, None):
                self._tell(key, self._routes.nodes_of(key[0]))
            if not any(parts.values()):
                del self._parts[key]

    # -- what nodes say

    def learn(self, node: str, payload: bytes) -> None:
        """A node tells what an agent has there. :raises ValueError: it cannot be read"""
        note = _read(payload)
        key = (note.tenant_id, note.agent_id, note.place_id)
        parts = self._parts.setdefault(key, {})
        parts[node] = note.load
        others = [name for name in self._routes.nodes_of(note.tenant_id) if name != node]
        self._tell(key, others)
        if not note.load and any(parts.values()):
            self._tell(key, [node])  # it may have the agent anew
        if not any(parts.values()):
            del self._parts[key]

    def ready(self, node: str) -> None:
        """A node is back: whoever serves it now does not know what agents have elsewhere."""
        for key in self._parts:
            if node in self._routes.nodes_of(key[0]):
                self._tell(key, [node])

    def _tell(self, key: Key, nodes: Iterable[str]) -> None:
        tenant_id, agent_id, place_id = key
        for node in filter(self._links.is_ready, nodes):
            elsewhere = _sum(part for name, part in self._parts[key].items() if name != node)
            told = RequestAgentLoad(tenant_id=tenant_id, agent_id=agent_id, place_id=place_id, elsewhere=elsewhere)
            before = self._telling.get((key, node))
            if before is not None:
                self._gather.cancel(before)  # sent again later, it would say what was before
            done = partial(self._told, (key, node))
            number = self._gather.ask([node], encode(told), self._gather.now + self._settings.request_timeout, done)
            self._telling[key, node] = number

    def _told(self, which: tuple[Key, str], now: float, answers: Answers) -> None:
        """A node knows it, or does not have the agent, or is away; then it is told when it is back."""
        self._telling.pop(which, None)

    # -- one after the other

    def take(self, call: Call, take: Take) -> None:
        """A request by which its client may get more to handle. :raises Refusal: what ``take`` raises; ``BUSY``"""
        key = self._limited(call)
        if key is None:
            take(call)
        elif key not in self._waiting:
            self._waiting[key] = deque()
            self._start(key, call, take)
        elif len(self._waiting[key]) < MOST_WAITING:
            self._waiting[key].append((call, take))
        else:
            raise Refusal(Code.BUSY, f"{MOST_WAITING} requests of this agent wait for each other", retry_after=0.5)

    def _limited(self, call: Call) -> Key | None:
        """The one agent that asks, if it has a limit."""
        if not self._rules.any or call.request not in TAKING:
            return None
        meant = self._meant(call.session.client, call.head.agent_id, call.head.place_id)
        if len(meant) != 1 or not self._rules.of(meant[0].tenant, meant[0].agent_id):
            return None
        return meant[0].tenant, meant[0].agent_id, meant[0].place_id

    def _start(self, key: Key, call: Call, take: Take) -> None:
        call.after, call.limited = partial(self._next, key), True
        try:
            take(call)
        except Refusal:
            self._next(key)
            raise

    def _next(self, key: Key, done: bool = False) -> None:
        """A request is answered: the next one has its turn."""
        waiting = self._waiting[key]
        if not waiting:
            del self._waiting[key]
            return
        call, take = waiting.popleft()
        try:
            self._start(key, call, take)
        except Refusal as refusal:
            self._calls.decline(call, refusal)


def _sum(parts: Iterable[Load]) -> Load:
    total: Load = {}
    for part in parts:
        for name, (handled, invited) in part.items():
            before = total.get(name, (0, 0))
            total[name] = (before[0] + handled, before[1] + invited)
    return total
