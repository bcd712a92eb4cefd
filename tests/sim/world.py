"""One history: a cluster of real shells and cores, its clients, what happens to them, and what is found out.

build       disks, processes and clients of the plan; everything starts at 0
accidents   until ``span_s``; then everything is healed
peace       the clients end their scripts, one more asks for everything once: now every request is answered well
quiet       who has gone is forgotten by all; reporting clients catch up
check       the checkers look at journals, memories, streams and at what clients were told
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from broker.errors import Code
from broker.loop import Stalls
from broker.wire import PACKED_TOPIC, unpack_published
from node.core import NodeCore
from node.member import NodeMember
from node.store import Row
from proxy.member import ProxyMember
from tests.sim.accidents import Accidents
from tests.sim.agents import Agent, Clerk
from tests.sim.checkers import CHECKERS
from tests.sim.clients import Client, Operation
from tests.sim.growth import Growth
from tests.sim.heap import Heap, Restless
from tests.sim.law import MOST_SUBMITTED
from tests.sim.memories import memory_faults
from tests.sim.model import Bounds, NodeModel
from tests.sim.movers import Mover
from tests.sim.network import CALM, Frames, Network
from tests.sim.plan import Plan
from tests.sim.processes import Process
from tests.sim.reporters import Reporter
from tests.sim.scripts import Engine, LastWord, Media, Operator, Router, Searcher
from tests.sim.servers import Server
from tests.sim.sockets import Port, Publisher
from tests.sim.store import Disk

Published = tuple[bytes, bytes, bytes]


class Stream(NamedTuple):
    """What one process of a proxy has published. :param since: when the process began"""

    process: Process
    since: float
    published: list[Published]

    @property
    def began_us(self) -> int | None:
        """When its stream began."""
        began_us: int | None = self.process.shell.core.stream.began_us
        return began_us


PEACE_S = 5.0
"""After this long in peace, every request is answered at once and well."""
LONGEST_S = 60.0
"""A client that has not come to its end so long after the peace never will."""
STARTED_S = 1.5
"""After this long all processes have found each other."""
FOLLOWED_S = 1.0
"""A standby knows a row after this long at the latest."""
SILENCE_S = 2.0
MEMBERS = ("primary", "backup")


class Door(Port):
    """A proxy's port for clients: counts what was asked and what was answered, by client and ``ref``.

    A client that comes back by another connection gets there what it asked for by the first.
    """

    def __init__(self, network: Network, host: Process, address: str) -> None:
        super().__init__(network, host, address)
        self.tally: dict[tuple[str, bytes], list[int]] = {}
        self._names: dict[bytes, str] = {}

    def recv_multipart(self, flags: int = 0) -> Frames:
        frames = super().recv_multipart(flags)
        self._count(frames, 0)
        return frames

    def send_multipart(self, frames: Sequence[bytes], flags: int = 0) -> None:
        if frames[1]:
            self._count(frames, 1)
        super().send_multipart(frames, flags)

    def _count(self, frames: Sequence[bytes], which: int) -> None:
        connection = self.connections.get(frames[0])
        if connection is not None:
            self._names[frames[0]] = connection.plug.host.name
        name = self._names.get(frames[0], "nobody")
        self.tally.setdefault((name, frames[1]), [0, 0])[which] += 1

    def reachable(self, name: str) -> bool:
        """Whether a client is connected, by the one connection that it has ever had here."""
        idents = [ident for ident, known in self._names.items() if known == name]
        return len(idents) == 1 and idents[0] in self.connections


class World:
    """A history that has not ended.

    :param traced: keeps a readable trace of it
    """

    def __init__(self, plan: Plan, traced: bool = False) -> None:
        self.plan = plan
        self.traced = traced
        self.lines: list[str] = []
        self.faults: list[str] = []
        self.counts: dict[str, int] = {}
        self.heap = Heap(plan.seed)
        self.network = Network(
            self.heap, dict(plan.weather) or dict.fromkeys(("client", "link", "events", "stream"), CALM)
        )
        self.silence_s = SILENCE_S
        self.keepalive_s = float(plan.proxy_settings.get("keepalive_interval", 1.0))
        self.overlap_us = round(1_000_000 * float(plan.proxy_settings.get("stream_stall_timeout", 2.0)))
        self.configuration = plan.configuration()
        self.growth = Growth(self)
        self.steady = "clock jump" not in plan.faults
        bounds = Bounds(plan.limit, plan.capacity, MOST_SUBMITTED)
        self.models = {name: NodeModel(name, self.fault, bounds, self.steady) for name in self.configuration.nodes}
        self.disks = {name: Disk(name, self.heap, self._committed) for name in self.configuration.nodes}
        self.pids: dict[int, Process] = {}
        self.processes = {process.name: process for process in self._processes()}
        self.doors: dict[str, Door] = {}
        self.published: dict[str, Stream] = {}
        self.switchovers: list[str] = []
        self.healed = self.closing = False
        self.healed_at = float("inf")
        self.known_ids: list[str] = []
        self.in_hands: dict[str, str] = {}
        """What agents handle, as far as they know: interaction -> agent."""
        self.clients = list(self._clients())
        self.reporters = [client for client in self.clients if isinstance(client, Reporter)]
        self.agent_names = [client.name for client in self.clients if isinstance(client, Agent)]
        self.accidents = Accidents(self)

    def _processes(self) -> Iterator[Process]:
        for node in self.configuration.nodes:
            for member in MEMBERS:
                host = f"{node}.{member}" if self.plan.hosts_apart else node
                process = Process(self, f"{node}.{member}", host, self._make_member(node, member))
                process.offset_s = self.plan.skew_s.get(host, 0.0)
                yield process
        for proxy in self.configuration.proxies:
            yield Process(self, proxy, proxy, self._make_proxy(proxy))

    def _make_member(self, node: str, member: str) -> Callable[[], NodeMember]:
        return lambda: NodeMember(self.configuration, node, member, Stalls())

    def _make_proxy(self, proxy: str) -> Callable[[], ProxyMember]:
        return lambda: ProxyMember(self.growth.file, proxy, "primary", Stalls())

    def _clients(self) -> Iterator[Client]:
        plan, proxies = self.plan, list(self.configuration.proxies)
        for number in range(plan.media):
            yield Media(self, f"media{number}", proxies)
        for number in range(plan.direct):
            yield Media(self, f"direct{number}", self._a_pair())
        for number in range(plan.routers):
            direct = self.heap.chance(0.2)
            yield Router(self, f"router{number}", self._a_pair() if direct else proxies)
        for number in range(plan.engines):
            yield Engine(self, f"engine{number}", proxies)
        for number in range(plan.agents):
            yield Agent(self, f"agent{number}", proxies)
        for number in range(plan.clerks):
            yield Clerk(self, f"clerk{number}", proxies)
        for number in range(plan.reporters):
            yield Reporter(self, f"reporter{number}", proxies)
        yield from self._others(proxies)

    def _others(self, proxies: list[str]) -> Iterator[Client]:
        for number in range(self.plan.searchers):
            yield Searcher(self, f"searcher{number}", proxies)
        for number in range(self.plan.movers):
            yield Mover(self, f"mover{number}", proxies)
        for number in range(self.plan.services):
            yield Server(self, f"server{number}", proxies)
        for number in range(self.plan.direct_services):
            yield Server(self, f"nearby{number}", self._a_pair())
        yield Operator(self, "operator", proxies)
        yield LastWord(self, "lastword", proxies)

    def _a_pair(self) -> list[str]:
        """The members of some node, for a client that asks them directly."""
        node = self.heap.random.choice([node for node in self.configuration.nodes if node != self.growth.later])
        return [f"{node}.{member}" for member in MEMBERS]

    # -- what the processes need

    def new_pid(self, process: Process) -> int:
        """A pid that nobody has had."""
        pid = len(self.pids) + 1
        self.pids[pid] = process
        return pid

    def killed_by_other(self, process: Process) -> None:
        """kill -9 by the other member of the pair, which never helps while somebody else has the database's lock."""
        node = process.name.partition(".")[0]
        disk = self.disks[node]
        if disk.locked_by is disk.tool:
            self.fault(f"{process.name} was killed, although a tool holds the lock of its database")
        process.crash("killed by the other member")

    def router(self, process: Process, address: str) -> Port:
        """A bound ROUTER."""
        if process.name in self.configuration.proxies:
            door = self.doors[f"{process.name}.{process.pid}"] = Door(self.network, process, address)
            return door
        return Port(self.network, process, address)

    def publisher(self, process: Process, address: str) -> Publisher:
        """A bound XPUB. A proxy's has a listener from the start, to see its whole stream."""
        if process.name not in self.configuration.proxies:
            return Publisher(self.network, process, address, self._said, [PACKED_TOPIC])
        stream = self.published[f"{process.name}.{process.pid}"] = Stream(process, self.heap.now, [])

        def heard(frames: Sequence[bytes]) -> None:
            stream.published.append((frames[0], frames[1], frames[2]))

        return Publisher(self.network, process, address, heard, [b""])

    def _said(self, frames: Sequence[bytes]) -> None:
        """A member publishes: only what is durable, and no promise that is not kept."""
        if frames[0] != PACKED_TOPIC:
            return
        said = unpack_published(frames[1])
        model = self.models[said.node]
        for seq, event in enumerate(said.events, said.first_seq):
            if seq > len(model.events) or model.events[seq - 1].payload != event.payload:
                self.fault(f"{said.node} {said.member} published event {seq}, which is not in the journal")
        if said.role == "active" and said.us > model.promised[0]:
            model.promised = (said.us, said.next_seq)

    def _committed(self, node: str, row: Row) -> None:
        if self.traced:
            self.trace(node, f"row {row.rev} of epoch {row.epoch}", row.changes.decode())
        self.models[node].take(self.heap.now, row)
        if self.plan.capacity is not None and self.is_calm(self.heap.now):
            self._look_at_capacities(self.plan.capacity)

    def _look_at_capacities(self, capacity: int) -> None:
        """Over all nodes no agent handles more than it may, as long as its client is with one proxy."""
        handled = sum((model.handled() for model in self.models.values()), Counter())
        for agent, count in handled.items():
            if count > capacity and self._stays(agent):
                self.fault(f"{agent} handles {count} of {capacity}")

    def _stays(self, agent: str) -> bool:
        return any(client.name in agent and len(client.met) == 1 for client in self.clients)

    def activated(self, core: NodeCore) -> None:
        """A member is about to serve: its memory is all that its node has ever committed."""
        for fault in memory_faults(core, self.models[core.name]):
            self.fault(f"new active: {fault}")

    def started(self, process: Process) -> None:
        """A process has been made."""
        if process.name in self.configuration.proxies:
            self.growth.started(process)

    def turned(self, process: Process) -> None:
        """A process has had its round."""

    def ended(self, process: Process) -> None:
        """A process has ended."""
        door = self.doors.get(f"{process.name}.{process.pid}")
        if door is not None:
            door.connections.clear()

    def broke(self, process: Process, error: Exception) -> None:
        """A shell has raised, which ends a real process."""
        self.fault(f"{process.name}: the loop failed: {''.join(traceback.format_exception(error))}")

    # -- what the clients tell

    def answered(self, client: Client, operation: Operation) -> None:
        """An operation is over."""
        self.trace(client.name, "is told", repr(operation))
        if operation.message == "RequestSubmit" and operation.outcome == "ok":
            self.known_ids.append(operation.reply["interaction_id"])

    def unanswered(self, client: Client, operation: Operation, began: float) -> None:
        """An attempt brought no answer."""
        self.trace(client.name, "hears nothing", repr(operation))
        if self._is_peace(began):
            self.fault(f"no answer in peace: {operation}")

    def unsure(self, client: Client, operation: Operation, began: float) -> None:
        """An attempt brought an answer that says nothing."""
        if self._is_peace(began) and operation.code != Code.NO_SERVERS:
            self.fault(f"no good answer in peace: {operation} {operation.reply}")

    def _is_peace(self, at: float) -> bool:
        return at > self.healed_at + PEACE_S

    @property
    def peaceful(self) -> bool:
        """All has been healed for long enough."""
        return self._is_peace(self.heap.now)

    def is_calm(self, at: float) -> bool:
        """Nothing has ever happened but clients' work, or it was healed long ago: no answer is worse for it."""
        return self._is_peace(at) or (not self.plan.faults and not self.plan.skew_s and at > STARTED_S)

    def operations(self) -> Iterator[Operation]:
        """All of all clients."""
        for client in self.clients:
            yield from client.operations

    def asked_of(self, operation: Operation) -> dict[str, NodeModel]:
        """The nodes that could answer: all behind a proxy; of a direct client its own."""
        node = operation.attempts[-1][1].partition(".")[0]
        return {node: self.models[node]} if node in self.models else self.models

    # -- looking

    def members(self, node: str) -> list[Process]:
        """The two of a pair."""
        return [self.processes[f"{node}.{member}"] for member in MEMBERS]

    def active_core(self, node: str) -> NodeCore | None:
        """The core of the member that serves."""
        cores = [process.shell.core for process in self.members(node) if process.running]
        return next((core for core in cores if core.active), None)

    def streams(self) -> dict[str, Stream]:
        """What each running proxy has published."""
        return {
            name: stream
            for name, stream in self.published.items()
            if stream.process.running and name == f"{stream.process.name}.{stream.process.pid}"
        }

    def gone(self, server: str) -> set[str]:
        """The nodes that a proxy does not wait for now."""
        process = self.processes[server]
        if server not in self.configuration.proxies or not process.running:
            return set()
        core = process.shell.core
        return set(core.links.gone(core.now, list(self.models)))

    def trace(self, who: str, what: str, more: str = "") -> None:
        """A line of the trace."""
        if self.traced:
            self.lines.append(f"{self.heap.now:10.6f}  {who:<12} {what}{': ' if more else ''}{more}")

    def fault(self, what: str) -> None:
        """Something that must not be."""
        self.trace("FAULT", what)
        self.faults.append(f"at {self.heap.now:.6f} s: {what}")

    # -- the history

    def run(self) -> list[str]:
        """Lets all of it happen. :returns: what was wrong"""
        try:
            self._happen()
        except Restless as fault:
            self.fault(str(fault))
        finally:
            self.counts = self._tally()
            for process in self.processes.values():
                process.crash("the history is over")
        return self.faults

    def _happen(self) -> None:
        for process in self.processes.values():
            self.heap.after(self.heap.random.uniform(0.0, 0.2), process.start)
        for client in self.clients:
            client.start()
        self.accidents.plan()
        if self._until(self.plan.span_s):
            return
        self._heal()
        if self._until(self.healed_at + PEACE_S + LONGEST_S, self._all_done):
            return
        self.closing = True
        if self._until(self.heap.now + 3 * self.keepalive_s + 1.5):
            return
        if self._until(self.heap.now + LONGEST_S, self._all_caught_up):
            return
        self.heap.run(self.heap.now + FOLLOWED_S, self._all_follow)
        for checker in CHECKERS:
            for fault in checker(self):
                self.fault(fault)

    def _until(self, at: float, ended: Callable[[], bool] | None = None) -> bool:
        """Goes on; True when there is no sense in going on further."""
        over = self.heap.run(at, lambda: bool(self.faults) or (ended is not None and ended()))
        if ended is not None and not over:
            waiting = [client for client in self.clients if not client.done]
            self.fault(f"not done: {[(client.name, client.operations[-1:]) for client in waiting]}")
        return bool(self.faults)

    def _all_done(self) -> bool:
        return all(client.done for client in self.clients if not isinstance(client, Reporter | Server))

    def _all_caught_up(self) -> bool:
        return all(client.done for client in self.clients)

    def _all_follow(self) -> bool:
        """Every member knows every row: a deadline may have made one just now."""
        return all(
            process.shell.core.rev == disk.last_rev
            for node, disk in self.disks.items()
            for process in self.members(node)
            if process.running
        )

    def _heal(self) -> None:
        self.trace("world", "all is healed")
        self.healed, self.healed_at = True, self.heap.now
        self.network.weather = dict.fromkeys(self.network.weather, CALM)
        self.accidents.heal()

    def _tally(self) -> dict[str, int]:
        """How much there was of what."""
        operations = list(self.operations())
        published = [message for stream in self.published.values() for message in stream.published]
        return {
            "histories": 1,
            "operations": len(operations),
            "acked": sum(operation.outcome == "ok" for operation in operations),
            "attempts": sum(len(operation.attempts) for operation in operations),
            "events": sum(len(model.events) for model in self.models.values()),
            "takeovers": sum(max(disk.lease.epoch - 1, 0) for disk in self.disks.values()),
            "accidents": self.accidents.count,
            "stalls": sum(topic == b"0/system/EventStreamStalled" for topic, _, _ in published),
            "late events": sum(payload.endswith(b',"late":true}') for _, _, payload in published),
            "steps": self.heap.steps,
            **self.network.counts,
        }
