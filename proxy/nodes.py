"""The nodes that the proxy works with, while they come, go and move.

comes
    It has a link and a place in the stream at once. When its link is ready, it is brought what a node is that comes
    back: clients, agents, strategies, ESP servers; views are asked for their heads, and searches are for it, too. But
    for SPREAD_S it is young: no new interaction goes there, and it speaks for nobody. By then the other proxies have it
    in their streams as well, so what begins there is in all of them.
goes
    Nothing new is sent to it, and other nodes speak for its agents. When it has answered all that it was asked and its
    events are here, after SPREAD_S at the earliest and ``request-timeout`` at the latest, it is told that all our
    clients go; what is open then is given up, as for a node that is away (2002, 2003, 2006).
is back before that
    It has never gone.
moves
    As when a member is lost: what is open waits for who serves at the new address, and is sent again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from broker.config.objects import Addresses, Configuration, Node

if TYPE_CHECKING:
    from .core import ProxyCore

SPREAD_S = 3.0
"""Within this time all proxies have read a configuration: they are asked one after the other."""
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
        self._young: dict[str, float] = {}
        self._leaving: dict[str, Leaving] = {}
        self.reached = places(core.configuration, core.routes.nodes)
        self.wake_at = float("inf")
        """When :meth:`tick` has something to do next."""

    def change(self, now: float) -> None:
        """There is another configuration in force."""
        core = self._core
        names = core.configuration.nodes_of(core.name)
        self._move(now, names)
        for name in names:
            if self._leaving.pop(name, None) is not None:
                core.links.resume(name)
            elif name not in core.links:
                self._join(now, name)
        gone = [name for name in core.links.links if name not in names and name not in self._leaving]
        for name in gone:
            self._young.pop(name, None)
            self._leaving[name] = Leaving(now + SPREAD_S, now + max(SPREAD_S, core.settings.request_timeout))
        self._route()
        for name in gone:
            core.agents.leave(name)
        core.reporting.reload(core.links.links)
        self._look(now)

    def _join(self, now: float, name: str) -> None:
        core = self._core
        core.links.join(now, name, core.configuration.nodes[name].settings.keepalive_interval)
        core.stream.join(now, name)
        self._young[name] = core.routes.added[name] = now + SPREAD_S

    def _route(self) -> None:
        core = self._core
        names = core.configuration.nodes_of(core.name)
        core.routes.reload(core.configuration, names, self._young)
        core.whereis.reload(names)

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
        """Lets nodes begin that are not young any more, and parts from those that can go."""
        if now < self.wake_at:
            return
        grown = [name for name, until in self._young.items() if now >= until]
        for name in grown:
            del self._young[name]
        if grown:
            self._route()
        for name, leaving in list(self._leaving.items()):
            if now >= leaving.latest or (now >= leaving.earliest and self._is_done(name)):
                del self._leaving[name]
                self._part(now, name)
        self._look(now)

    def _look(self, now: float) -> None:
        self.wake_at = now + LOOK_S if self._leaving or self._young else float("inf")

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
