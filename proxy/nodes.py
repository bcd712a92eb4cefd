"""The nodes that the proxy works with, while they come, go and move.

comes    it has a link and a place in the stream at once. When its link is ready, it is brought what a node is that
         comes back: clients, agents, strategies, ESP servers; views are asked for their heads
goes     nothing new is sent to it, and other nodes speak for its agents. When it has answered all that it was asked
         and its events are here, after PARTING_S at the earliest and ``request-timeout`` at the latest, it is told
         that all our clients go; what is open then is given up, as for a node that is away (2002, 2003, 2006)
is back  before that: it has never gone
moves    as when a member is lost: what is open waits for who serves at the new address, and is sent again
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from broker.config.objects import Addresses, Configuration, Node

if TYPE_CHECKING:
    from .core import ProxyCore

PARTING_S = 1.0
"""How long a node that goes is listened to at least: its last events may be on their way."""
LOOK_S = 0.1

Place = tuple[str, str]
"""A node and its member."""


class Leaving(NamedTuple):
    """A node that goes: not before, and not after."""

    earliest: float
    latest: float


class Nodes:
    """The nodes of one proxy.

    :ivar reached: where the members are that the proxy is connected to
    """

    def __init__(self, core: ProxyCore) -> None:
        self._core = core
        self._leaving: dict[str, Leaving] = {}
        self.reached = places(core.configuration, core.routes.nodes)
        self.wake_at = float("inf")
        """When :meth:`tick` has something to do next."""

    def change(self, now: float) -> None:
        """There is another configuration in force."""
        core = self._core
        names = core.configuration.nodes_of(core.name)
        core.routes.reload(core.configuration, names)
        core.whereis.reload(names)
        self._move(now, names)
        for name in names:
            if self._leaving.pop(name, None) is not None:
                core.links.resume(name)
            elif name not in core.links.links:
                core.links.join(now, name, core.configuration.nodes[name].settings.keepalive_interval)
                core.stream.join(now, name)
        for name in [name for name in core.links.links if name not in names and name not in self._leaving]:
            self._leaving[name] = Leaving(now + PARTING_S, now + max(PARTING_S, core.settings.request_timeout))
            core.agents.leave(name)
        core.reporting.reload(core.links.links)
        self._look(now)

    def _move(self, now: float, names: Iterable[str]) -> None:
        """Connections are where the configuration has them; those of nodes that go stay until then."""
        before, after = self.reached, places(self._core.configuration, names)
        for place, addresses in before.items():
            if place[0] not in names:
                after[place] = addresses
            elif after.get(place) != addresses:
                self._core.links.move(now, *place)
        self.reached = after

    def tick(self, now: float) -> None:
        """Parts from nodes that can go."""
        if now < self.wake_at:
            return
        for name, leaving in list(self._leaving.items()):
            if now >= leaving.latest or (now >= leaving.earliest and self._is_done(name)):
                del self._leaving[name]
                self._part(now, name)
        self._look(now)

    def _look(self, now: float) -> None:
        self.wake_at = now + LOOK_S if self._leaving else float("inf")

    def _is_done(self, name: str) -> bool:
        return self._core.links.is_idle(name) and self._core.stream.is_whole(name)

    def _part(self, now: float, name: str) -> None:
        core = self._core
        told = core.links.part(now, name)
        core.agents.part(name, told)
        core.capacity.leave(name)
        core.strategies.leave(name)
        core.stream.part(now, name)
        core.reporting.reload(core.links.links)
        self.reached = {place: addresses for place, addresses in self.reached.items() if place[0] != name}


def places(configuration: Configuration, names: Iterable[str]) -> dict[Place, Addresses]:
    """Where the members of nodes are."""
    members = [(name, configuration.nodes[name]) for name in names]
    found = [((name, member), at) for name, node in members for member, at in _of(node)]
    return {place: addresses for place, addresses in found if addresses is not None}


def _of(node: Node) -> list[tuple[str, Addresses | None]]:
    return [("primary", node.primary), ("backup", node.backup)]
