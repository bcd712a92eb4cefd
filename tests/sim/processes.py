"""Simulated processes: the real shells of nodes and proxies, each with its own clocks, sockets and accidents.

The shells import clocks, sockets, pids and stores by name; :func:`staged` puts the simulated ones in their place. What
such a name means depends on whose turn it is (:data:`STAGE`). A process can stand still in the middle of a write: only
for that its round runs in a thread of its own, which is handed the baton and gives it back, so there is never more than
one that runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Semaphore, Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import zmq

from node.store import Holder
from tests.sim.sockets import Plug, Port, Publisher, Subscriber
from tests.sim.store import Mishap, SimStore, User

if TYPE_CHECKING:
    from tests.sim.world import World

START = 1_790_000_000.0
LONGEST_WAIT_S = 0.5
"""As in :mod:`broker.loop`."""
FREEZES = frozenset({Mishap.FREEZE_BEFORE, Mishap.FREEZE_INSIDE, Mishap.FREEZE_AFTER})


class Killed(BaseException):
    """The process has ended in the middle of what it did."""


class Process:
    """One process and, after its end, the next one in its place.

    :param host: the machine it runs on
    :param make: makes the shell; called in the process
    """

    def __init__(self, world: World, name: str, host: str, make: Callable[[], Any]) -> None:
        self.world = world
        self.name = name
        self.host = host
        self.running = self.paused = False
        self.pid = 0
        self.offset_s = 0.0
        """How far its wall clock is from the true time."""
        self.freeze_s = 0.0
        self.user = User(self._die, self._freeze)
        self.user.host = host
        self.shell: Any = None
        self.starts = 0
        self._make = make
        self._heap = world.heap
        self._token = 0
        self._next_at = self._busy_until = 0.0
        self._pauses = 0
        self._frozen = self._killed = False
        self._here, self._there = Semaphore(0), Semaphore(0)

    # -- its clocks

    def wall(self) -> float:
        """What its wall clock shows."""
        return START + self._heap.now + self.offset_s

    def monotonic(self) -> float:
        """What its other clock shows."""
        return 1000.0 + self._heap.now

    # -- its life

    def start(self) -> None:
        """A new process."""
        if self.running:
            return
        self.running, self.paused = True, False
        self.pid = self.user.pid = self.world.new_pid(self)
        self.starts += 1
        self.world.trace(self.name, "starts", f"pid {self.pid}")
        STAGE.process = self
        self.shell = self._make()
        self.world.started(self)
        self._next_at = float("inf")
        self._schedule(self._heap.now)

    def crash(self, why: str) -> None:
        """kill -9."""
        if not self.running:
            return
        self._end(why)
        if self._frozen:
            caller = STAGE.process
            self._killed = True
            self._pass_baton()
            STAGE.process = caller

    def _end(self, why: str) -> None:
        self.world.trace(self.name, "ends", why)
        self.running = self.paused = False
        self._token += 1
        self.user.next = None
        self.world.network.leave(self)
        self.world.ended(self)
        self._heap.after(self._heap.random.uniform(0.05, 0.6), self.start)

    def pause(self, seconds: float) -> None:
        """SIGSTOP, and later SIGCONT. What comes meanwhile waits; the others hear nothing, and leave after a while."""
        if self.running and not self.paused:
            self._stand_still(seconds)
            self._heap.after(seconds, self._resume, self._pauses)

    def _stand_still(self, seconds: float) -> None:
        self.world.trace(self.name, "stops", f"for {seconds:.3f} s")
        self.paused = True
        self._pauses += 1
        self._heap.after(self.world.silence_s, self._unheard, self._pauses)

    def _unheard(self, pause: int) -> None:
        if self.paused and pause == self._pauses:
            self.world.network.silent(self.name)

    def _resume(self, pause: int) -> None:
        if not self.paused or pause != self._pauses:
            return
        self.world.trace(self.name, "goes on")
        self.paused = False
        if self._frozen:
            self._pass_baton()
        else:
            self._schedule(self._heap.now)

    def resume(self) -> None:
        """It goes on now."""
        self._resume(self._pauses)

    # -- its rounds

    def wake(self) -> None:
        """Something has come: a round is due."""
        if self.running and not self.paused:
            self._schedule(max(self._heap.now, self._busy_until))

    def _schedule(self, at: float) -> None:
        if at < self._next_at:
            self._next_at = at
            self._token += 1
            self._heap.at(at, self._round, self._token)

    def _round(self, token: int) -> None:
        if token != self._token or not self.running:
            return
        self._next_at = float("inf")
        if self.paused:
            return
        if self.user.next in FREEZES:
            Thread(target=self._threaded, daemon=True).start()
            self._here.acquire()
        else:
            self._turn()

    def _turn(self) -> None:
        """One round of :mod:`broker.loop`."""
        STAGE.process = self
        try:
            for thing, drain in self.shell.sockets():
                if thing.ready:
                    drain()
            wake_at = self.shell.turn(self.wall())
        except Killed:
            return
        except Exception as error:
            self.world.broke(self, error)
            self._end("a mistake")
            return
        self._turned(wake_at)

    def _turned(self, wake_at: float) -> None:
        now = self._heap.now
        self.world.turned(self)
        if self.shell.finished:
            self.shell.close()
            self._end("finished")
            return
        self._busy_until = now + self._heap.random.uniform(0.0001, 0.001)
        wait_s = min(max(wake_at - self.wall(), 0.0), LONGEST_WAIT_S)
        more = any(thing.ready for thing, _ in self.shell.sockets())
        self._schedule(self._busy_until if more else max(now + wait_s, self._busy_until))

    # -- in the middle of a write

    def _die(self) -> None:
        self._end("dies in a write")
        raise Killed

    def _freeze(self) -> None:
        self._stand_still(self.freeze_s)
        self._heap.after(self.freeze_s, self._resume, self._pauses)
        self._frozen = True
        self._here.release()
        self._there.acquire()
        self._frozen = False
        if self._killed:
            self._killed = False
            raise Killed
        STAGE.process = self

    def _pass_baton(self) -> None:
        """The frozen round goes on, and this one waits until it is over or stands still again."""
        self._there.release()
        self._here.acquire()

    def _threaded(self) -> None:
        try:
            self._turn()
        finally:
            self._here.release()


class Stage:
    """Whose turn it is."""

    process: Process

    @property
    def world(self) -> World:
        """The history's world."""
        return self.process.world


STAGE = Stage()


# -- what the shells find in place of the real things


class _Context:
    def destroy(self, linger: int = 0) -> None:
        pass


class _Zmq:
    Context = _Context

    def __getattr__(self, name: str) -> Any:
        return getattr(zmq, name)


class _Log:
    """A shell's log goes into the trace."""

    def __getattr__(self, level: str) -> Callable[..., None]:
        def note(event: str, **fields: Any) -> None:
            if STAGE.world.traced:
                STAGE.world.trace(
                    STAGE.process.name, f"{level}: {event}", " ".join(f"{k}={v}" for k, v in fields.items())
                )

        return note


_time = SimpleNamespace(time=lambda: STAGE.process.wall(), monotonic=lambda: STAGE.process.monotonic())
_os = SimpleNamespace(getpid=lambda: STAGE.process.pid)
_secrets = SimpleNamespace(token_hex=lambda count: f"{STAGE.process.pid:0{2 * count}x}")


def _router(context: Any, address: str, limits: Any) -> Port:
    return STAGE.world.router(STAGE.process, address)


def _xpub(context: Any, address: str, manual: bool = False) -> Publisher:
    return STAGE.world.publisher(STAGE.process, address)


def _dealer(context: Any, address: str, linger_ms: int = 0) -> Plug:
    plug = Plug(STAGE.world.network, STAGE.process, "link")
    plug.connect(address)
    return plug


def _sub(context: Any, address: str, topics: Any, connected: bool = True) -> Subscriber:
    subscriber = Subscriber(STAGE.world.network, STAGE.process, "events")
    if connected:
        subscriber.connect(address)
    return subscriber


def _routed(port: Port, limit: int) -> Iterator[tuple[bytes, list[bytes]]]:
    for _ in range(limit):
        if not port.ready:
            return
        peer, *frames = port.recv_multipart()
        yield peer, frames


def _batches(plug: Plug | Subscriber, limit: int) -> Iterator[memoryview]:
    for _ in range(limit):
        if not plug.ready:
            return
        yield memoryview(plug.recv_multipart()[-1])


def _open_store(url: str, *, node: str, synchronous: str = "full") -> SimStore:
    return SimStore(STAGE.world.disks[node], STAGE.process.user)


def _this_holder(member: str) -> Holder:
    process = STAGE.process
    return Holder(host=process.host, boot="simulated", pid=process.pid, started=process.pid, member=member)


def _is_alive(holder: Holder) -> bool | None:
    if holder.host != STAGE.process.host:
        return None
    process = STAGE.world.pids.get(holder.pid)
    return process is not None and process.running and process.pid == holder.pid


def _kill(holder: Holder, wait_s: float = 1.0) -> bool:
    if holder.pid == STAGE.process.pid or not _is_alive(holder):
        return False
    STAGE.world.killed_by_other(STAGE.world.pids[holder.pid])
    return True


REPLACED: dict[str, dict[str, Any]] = {
    "broker.front": {"routed": _routed},
    "node.housekeeping": {"time": _time, "FOLD_ROWS": 7},
    "node.member": {
        "time": _time,
        "os": _os,
        "zmq": _Zmq(),
        "router": _router,
        "xpub": _xpub,
        "open_store": _open_store,
        "log": _Log(),
        "STANDBY_HEARTBEAT_S": 0.4,
    },
    "node.orders": {"dealer": _dealer, "log": _Log()},
    "node.tenure": {
        "time": _time,
        "os": _os,
        "this_holder": _this_holder,
        "is_alive": _is_alive,
        "kill": _kill,
        "log": _Log(),
        "LOOK_S": 0.12,
        "FORGET_S": 1.0,
        "TAIL_ROWS": 5,
    },
    "proxy.nodes": {"SPREAD_S": 1.2},
    "proxy.member": {
        "time": _time,
        "os": _os,
        "zmq": _Zmq(),
        "secrets": _secrets,
        "router": _router,
        "xpub": _xpub,
        "dealer": _dealer,
        "sub": _sub,
        "batches": _batches,
        "log": _Log(),
    },
}
"""Module -> name -> what it is in a simulation."""


@contextmanager
def staged() -> Iterator[None]:
    """While this lasts, shells live in the simulated world."""
    with ExitStack() as stack:
        for module, names in REPLACED.items():
            for name, thing in names.items():
                stack.enter_context(patch(f"{module}.{name}", thing))
        yield
