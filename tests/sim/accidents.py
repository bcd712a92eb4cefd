"""What happens to a cluster: each accident of a plan, done to somebody at its moment, and undone when all is healed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.sim.processes import FREEZES, Process
from tests.sim.store import Disk, Mishap

if TYPE_CHECKING:
    from tests.sim.world import World


class Accidents:
    """The accidents of one history."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._heap = world.heap
        self._random = world.heap.random
        self.count = 0
        self._parted: list[tuple[str, str]] = []

    def plan(self) -> None:
        """Puts all of them on the heap."""
        for at, fault in self._world.plan.accidents:
            self._heap.at(at, self._happen, fault)

    def heal(self) -> None:
        """Undoes what does not pass by itself."""
        world = self._world
        world.growth.begin()
        for disk in world.disks.values():
            disk.sick = None
            self._unlock(disk)
        for one, other in self._parted:
            world.network.join(one, other)
        for process in world.processes.values():
            process.user.next = None
            process.resume()

    def _happen(self, fault: str) -> None:
        if not self._world.healed:
            self.count += 1
            _ACCIDENTS[fault](self)

    # -- to whom

    def _node(self) -> str:
        return self._random.choice(list(self._world.disks))

    def _active(self) -> Process:
        """Most often a member that serves, for it has more to lose."""
        members = self._world.members(self._node())
        active = [process for process in members if process.running and process.shell.core.active]
        return active[0] if active and self._random.random() < 0.75 else self._random.choice(members)

    def _proxy(self) -> Process:
        return self._world.processes[self._random.choice(list(self._world.configuration.proxies))]

    # -- what

    def _crash_member(self) -> None:
        self._active().crash("kill -9")

    def _crash_pair(self) -> None:
        for process in self._world.members(self._node()):
            process.crash("kill -9 of both")

    def _crash_proxy(self) -> None:
        self._proxy().crash("kill -9")

    def _pause_member(self) -> None:
        self._active().pause(self._random.choice((0.2, 1.0, 3.0)) * self._random.uniform(0.5, 1.5))

    def _pause_proxy(self) -> None:
        self._proxy().pause(self._random.choice((0.2, 1.0, 3.0)) * self._random.uniform(0.5, 1.5))

    def _die_in_write(self) -> None:
        self._mishap(Mishap.DIE_BEFORE, Mishap.DIE_AFTER)

    def _freeze_in_write(self) -> None:
        process = self._mishap(*sorted(FREEZES, key=lambda mishap: mishap.name))
        process.freeze_s = self._random.choice((0.1, 1.0, 3.0)) * self._random.uniform(0.5, 1.5)

    def _fail_write(self) -> None:
        self._mishap(Mishap.FAIL_BEFORE, Mishap.FAIL_AFTER)

    def _mishap(self, *mishaps: Mishap) -> Process:
        process = self._active()
        if process.running:
            process.user.next = self._random.choice(mishaps)
            self._world.trace(process.name, "will meet", process.user.next.value)
        return process

    def _sicken(self) -> None:
        disk = self._world.disks[self._node()]
        until = self._heap.now + self._random.choice((0.2, 1.0, 2.5)) * self._random.uniform(0.5, 1.5)
        some = self._random.choice((0.3, 1.0))
        disk.sick = lambda: self._heap.now < until and self._heap.chance(some)
        self._world.trace(disk.node, "has a sick database", f"until {until:.3f}")

    def _lock(self) -> None:
        """A tool begins a transaction, as soon as nobody else is in one, and takes its time."""
        disk = self._world.disks[self._node()]
        if disk.locked_by is None:
            lasts_s = self._random.choice((0.2, 1.0, 3.0)) * self._random.uniform(0.5, 1.5)
            disk.locked_by = disk.tool
            self._world.trace(disk.node, "is locked by a tool", f"for {lasts_s:.3f} s")
            self._heap.after(lasts_s, self._unlock, disk)

    def _unlock(self, disk: Disk) -> None:
        if disk.locked_by is disk.tool:
            disk.locked_by = None
            self._world.trace(disk.node, "is not locked any more", "")

    def _part(self) -> None:
        world = self._world
        proxies = list(world.configuration.proxies)
        others = [name for name in world.processes if name not in proxies]
        others += [client.name for client in world.clients]
        one, other = self._random.choice(proxies), self._random.choice(others)
        if self._random.random() < 0.5:
            one, other = other, one
        lasts_s = self._random.choice((0.3, 1.5, 4.0)) * self._random.uniform(0.5, 1.5)
        self._part_for(lasts_s, one, other, one_way=self._random.random() < 0.3)

    def _part_for(self, lasts_s: float, one: str, other: str, *, one_way: bool) -> None:
        world = self._world
        world.trace("network", "parts", f"{one} and {other}")
        world.network.part(one, other, one_way=one_way)
        self._parted.append((one, other))
        self._heap.after(lasts_s, world.network.join, one, other)

    def _put_out_of_reach(self) -> None:
        """No proxy reaches a node, neither of its members."""
        node, lasts_s = self._node(), self._random.uniform(2.0, 5.0)
        for proxy in self._world.configuration.proxies:
            for member in self._world.members(node):
                self._part_for(lasts_s, proxy, member.name, one_way=False)

    def _add_node(self) -> None:
        """The proxies read, one after the other, of a node that they have not known."""
        self._world.growth.begin()

    def _cut(self) -> None:
        pairs = self._world.network.pairs()
        if pairs:
            one, other = self._random.choice(pairs)
            self._world.trace("network", "cuts", f"{one} and {other}")
            self._world.network.cut(one, other)

    def _switch_over(self) -> None:
        self._world.switchovers.append(self._node())

    def _restart_member(self) -> None:
        process = self._active()
        if process.running and not process.paused:
            self._world.trace(process.name, "is told to end")
            process.shell.drain(process.wall())
            process.wake()

    def _vanish(self) -> None:
        living = [
            client for client in self._world.clients[:-2] if client.running and client not in self._world.reporters
        ]
        if living:
            self._random.choice(living).vanish()

    def _jump(self) -> None:
        process = self._world.processes[self._random.choice(list(self._world.processes))]
        seconds = self._random.choice((-1.0, 1.0)) * self._random.uniform(0.01, 0.6)
        for other in self._world.processes.values():
            if other.host == process.host:
                other.offset_s += seconds
        self._world.trace(process.host, "has its clock set", f"by {seconds:.3f} s")


_ACCIDENTS: dict[str, Callable[[Accidents], object]] = {
    "crash a member": Accidents._crash_member,
    "crash both members": Accidents._crash_pair,
    "crash a proxy": Accidents._crash_proxy,
    "pause a member": Accidents._pause_member,
    "pause a proxy": Accidents._pause_proxy,
    "die in a write": Accidents._die_in_write,
    "freeze in a write": Accidents._freeze_in_write,
    "fail a write": Accidents._fail_write,
    "sick database": Accidents._sicken,
    "locked by a tool": Accidents._lock,
    "partition": Accidents._part,
    "node out of reach": Accidents._put_out_of_reach,
    "node added": Accidents._add_node,
    "cut": Accidents._cut,
    "switchover": Accidents._switch_over,
    "restart a member": Accidents._restart_member,
    "vanishing client": Accidents._vanish,
    "clock jump": Accidents._jump,
}
