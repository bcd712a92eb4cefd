"""A cluster that grows: its last node works from the beginning, and its proxies read of it later, each at its moment.

Until then no client asks the node. A proxy that is started before all others know it begins without it, too: it is
only for those who run that a node can be new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from broker.config.objects import Configuration
from proxy import reconfiguration
from tests.sim.plan import NODE_ADDED
from tests.sim.processes import STAGE, Process

if TYPE_CHECKING:
    from tests.sim.world import World

SPREAD_S = 1.0
"""Within this time all proxies have read of it; they are patient for a little longer."""


class Growth:
    """The node that comes, if one does.

    :ivar later: its name; None: all nodes are there from the beginning
    :ivar known_us: from this time on all proxies know it
    :ivar floors: by process of a proxy: the time up to which the node's events are history there
    """

    def __init__(self, world: World) -> None:
        self._world = world
        nodes = list(world.configuration.nodes)
        self.later = nodes[-1] if NODE_ADDED in world.plan.faults and len(nodes) > 1 else None
        self.known_us = 0
        self.floors: dict[str, int] = {}
        self._is_known = self.later is None
        self._begun = False

    @property
    def file(self) -> Configuration:
        """What a proxy reads that is started now."""
        whole = self._world.configuration
        if self._is_known:
            return whole
        connections = [node for node in whole.nodes if node != self.later]
        proxies = {name: replace(proxy, connections=connections) for name, proxy in whole.proxies.items()}
        return replace(whole, proxies=proxies)

    def started(self, process: Process) -> None:
        """A proxy has been started; while the others read the file, it soon does, too."""
        if self._begun and not self._is_known:
            self._world.heap.after(0.0, self._read, process)

    def begin(self) -> None:
        """The file names the node from now on."""
        if self.later is None or self._begun:
            return
        self._begun = True
        heap = self._world.heap
        for name in self._world.configuration.proxies:
            heap.after(heap.random.uniform(0.0, SPREAD_S), self._read, self._world.processes[name])
        heap.after(SPREAD_S, self._end)

    def _read(self, process: Process) -> None:
        """A proxy reads the file."""
        if not process.running or self.later in process.shell.core.links:
            return
        self._world.trace(process.name, "reads of", self.later or "")
        STAGE.process, before = process, STAGE.process
        core = process.shell.core
        reconfiguration.ordered(core, process.wall(), None, self._world.configuration, "")
        if core.stream.position is not None:
            self.floors[f"{process.name}.{process.pid}"] = core.stream.position - self._world.overlap_us
        STAGE.process = before
        process.wake()

    def _end(self) -> None:
        self._is_known = True
        self.known_us = max(self._us(self._world.processes[name]) for name in self._world.configuration.proxies)

    def _us(self, process: Process) -> int:
        return round(process.wall() * 1_000_000)
