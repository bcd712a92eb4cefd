"""Scripted clients: how they ask, wait, move from server to server, and what they remember of it.

A client is a script, a generator that asks and waits::

    outcome = yield from self.ask("RequestSubmit", tenant_id=101, ...)      an Operation, over
    yield Sleep(0.2)
    note = yield Note(0.5)                                                  a notification, or None

:meth:`Client.ask` does what a good client does: it registers (again), gives up a server that is silent, tries the next
one, and repeats what carries a ``dedup_id`` until it knows. What it asked and what it was told is an
:class:`Operation`, which the checkers read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from broker.errors import Code
from tests.sim.network import Frames
from tests.sim.plan import TENANT
from tests.sim.sockets import Plug

if TYPE_CHECKING:
    from tests.sim.world import World

PATIENCE_S = 3.2
"""How long a client waits for an answer; longer than a proxy's request-timeout."""

OK, REFUSED, UNKNOWN, EXPIRED = "ok", "refused", "unknown", "expired"
"""What became of an operation: done; definitely not done; nobody knows; done, but the reply is no longer kept."""

NOT_DONE = frozenset({Code.NOT_REGISTERED, Code.NOT_PRIMARY, Code.BUSY, Code.IN_PROGRESS})
"""Refusals after which it is asked again, dedup_id or not."""
UNSURE = frozenset(
    {Code.DATABASE_FAILURE, Code.DATABASE_TIMEOUT, Code.NO_SERVERS, Code.LOST_CONNECTION, Code.NOT_ACCESSIBLE}
)


class Sleep(NamedTuple):
    """Wait for a while."""

    seconds: float


class Note(NamedTuple):
    """Wait for a notification, at most this long."""

    seconds: float


class Reply(NamedTuple):
    """Wait for the answer to ``ref``, at most this long."""

    ref: bytes
    seconds: float


Script = Generator[Sleep | Note | Reply, Any, Any]


class Operation:
    """One thing that a client wanted.

    :param name: unique in the history; it is the dedup_id, and stands in the request's ``reason`` or ``external_id``
    :param invoked_at: when it was asked first; ``ended_at``: when its outcome was known
    :param attempts: when it was sent, and to whom
    :param again: the same, asked again after it was answered; ``gone``: nodes that were not waited for then
    """

    __slots__ = (
        "again",
        "attempts",
        "dedup",
        "ended_at",
        "fields",
        "gone",
        "invoked_at",
        "message",
        "name",
        "outcome",
        "reply",
    )

    def __init__(self, name: str, message: str, fields: dict[str, Any], dedup: bool, now: float) -> None:
        self.name = name
        self.message = message
        self.fields = fields
        self.dedup = dedup
        self.invoked_at = now
        self.ended_at = float("inf")
        self.attempts: list[tuple[float, str]] = []
        self.outcome: str | None = None
        self.reply: dict[str, Any] = {}
        self.again: Operation | None = None
        self.gone: set[str] = set()

    @property
    def code(self) -> int:
        """Of the last reply; 0: positive, or none."""
        return int(self.reply.get("code", 0)) if self.reply.get("message") == "EventError" else 0

    def __repr__(self) -> str:
        end = f"{self.ended_at:.4f}" if self.outcome else "…"
        return (
            f"{self.name} {self.message} {self.fields} [{self.invoked_at:.4f}, {end}] {self.outcome}"
            f" {self.code or ''} attempts={[(round(at, 4), to) for at, to in self.attempts]}"
        )


class Client:
    """A client of the cluster.

    :param servers: the addresses it may ask, by process name
    """

    kind = "MediaServer"
    also: dict[str, Any] = {}
    """What else it says when it registers."""

    def __init__(self, world: World, name: str, servers: list[str]) -> None:
        self.world = world
        self.name = name
        self.servers = servers
        self.running, self.paused = True, False
        self.done = False
        self.operations: list[Operation] = []
        self.notes: deque[dict[str, Any]] = deque()
        self.sessions = 0
        """How many sessions it has had: with a new one it is nobody's agent any more."""
        self._heap = world.heap
        self._random = world.heap.random
        self._at = self._random.randrange(len(servers))
        self._plug: Plug | None = None
        self._registered = False
        self._session: dict[str, str] = {}
        self.met: set[str] = set()
        """The servers that it has been with."""
        self._numbers = 0
        self._refs = 0
        self._waits: Sleep | Note | Reply | None = None
        self._wait = 0
        self._script: Script = self._whole()
        self._connect()

    # -- its life

    def start(self) -> None:
        """Begins its script."""
        self._go_on(None)
        self._keep_alive()

    def vanish(self) -> None:
        """It is gone without a word."""
        if self.running:
            self.world.trace(self.name, "vanishes")
            self.running, self.done = False, True
            self.world.network.leave(self)

    def _whole(self) -> Script:
        yield Sleep(self._random.uniform(0.0, 0.3))
        yield from self.script()

    def script(self) -> Script:
        """What it does."""
        raise NotImplementedError

    @property
    def server(self) -> str:
        """Whom it is with."""
        return self.servers[self._at]

    def _connect(self) -> None:
        if self._plug is not None:
            self.world.network.close(self._plug)
        self._plug = Plug(self.world.network, self, "client")
        self.met.add(self.server)
        self._plug.connect(f"sim://{self.server}/requests")
        self._registered = False

    def _move(self) -> None:
        """To the next server."""
        self._at = (self._at + 1) % len(self.servers)
        self._connect()

    def _keep_alive(self) -> None:
        if self.running:
            self._send(b"ping", {"message": "RequestPing"})
            self._heap.after(self.world.keepalive_s / 2, self._keep_alive)

    # -- its script goes on

    def _go_on(self, value: Any) -> None:
        self._wait += 1
        try:
            self._waits = wait = self._script.send(value)
        except StopIteration:
            self._waits = None
            self.done = True
            return
        if type(wait) is Note and self.notes:
            self._heap.after(0.0, self._over, self._wait)
        else:
            self._heap.after(wait.seconds, self._over, self._wait)

    def _over(self, wait: int) -> None:
        """What was waited for has not come in time (or was here)."""
        if wait == self._wait and self.running:
            self._go_on(self.notes.popleft() if type(self._waits) is Note and self.notes else None)

    def wake(self) -> None:
        """Messages have come."""
        while self.running and self._plug is not None and self._plug.inbox:
            self._take(self._plug.inbox.popleft())

    def _take(self, frames: Frames) -> None:
        ref, payload = frames
        if not ref:
            self.notes.append(orjson.loads(payload))
            if type(self._waits) is Note:
                self._go_on(self.notes.popleft())
        elif ref != b"ping":
            wait = self._waits
            if type(wait) is Reply and wait.ref == ref:
                self._go_on(orjson.loads(payload))

    # -- asking

    def _send(self, ref: bytes, document: dict[str, Any]) -> bool:
        assert self._plug is not None
        if self._plug.connection is None:
            return False
        self._plug.send_multipart([ref, orjson.dumps(document)])
        return True

    def _exchange(self, document: dict[str, Any]) -> Script:
        """One request and its answer; None for silence."""
        self._refs += 1
        ref = b"%d" % self._refs
        if not self._send(ref, document):
            yield Sleep(self._random.uniform(0.01, 0.1))
            if not self._send(ref, document):
                return None
        return (yield Reply(ref, PATIENCE_S))

    def _register(self) -> Script:
        """True when it is registered where it is."""
        document = {
            "message": "RequestRegisterClient",
            "client_name": self.name,
            "client_type": self.kind,
            "tenants": [TENANT],
            **self.also,
        }
        session = self._session.get(self.server)
        reply = yield from self._exchange(document if session is None else {**document, "session_id": session})
        if reply is None or reply["message"] != "EventAck":
            self._session.pop(self.server, None)
            return False
        if reply["session_id"] != session:
            self.sessions += 1
            self._session[self.server] = reply["session_id"]
        self._registered = True
        return True

    def ask(self, message: str, *, dedup: bool | None = None, patience: int = 1000, **fields: Any) -> Script:
        """One operation, until its outcome is known or cannot be.

        :param dedup: with a dedup_id; None: as the plan has it
        :param patience: after so many attempts it is given up
        """
        self._numbers += 1
        name = f"{self.name}-{self._numbers}"
        if dedup is None:
            dedup = self._heap.chance(self.world.plan.dedup)
        operation = Operation(name, message, fields, dedup, self._heap.now)
        self.operations.append(operation)
        yield from self._ask(operation, patience)
        return operation

    def repeat(self, operation: Operation) -> Script:
        """Asks the same again, under the same dedup_id, of the next server."""
        self._move()
        operation.again = again = Operation(operation.name, operation.message, operation.fields, True, self._heap.now)
        yield from self._ask(again, 5)

    def _ask(self, operation: Operation, patience: int) -> Script:
        name, message, fields, dedup = operation.name, operation.message, operation.fields, operation.dedup
        document = {"message": message, **fields}
        if dedup:
            document["dedup_id"] = name
        if message == "RequestSubmit":
            document["external_id"] = name
        else:
            document["reason"] = {"op": name}
        while operation.outcome is None:
            yield from self._attempt(operation, document)
            if operation.outcome is None and len(operation.attempts) >= patience:
                operation.outcome = UNKNOWN
        operation.ended_at = self._heap.now
        self.world.answered(self, operation)

    def _attempt(self, operation: Operation, document: dict[str, Any]) -> Script:
        if not self._registered and not (yield from self._register()):
            self._move()
            yield Sleep(self._random.uniform(0.05, 0.2))
            return
        began = self._heap.now
        operation.attempts.append((began, self.server))
        operation.gone |= self.world.gone(self.server)
        reply = yield from self._exchange(document)
        if reply is None:
            self.world.unanswered(self, operation, began)
            self._move()
            operation.outcome = None if operation.dedup else UNKNOWN
            return
        operation.reply = reply
        code = operation.code
        if code in NOT_DONE:
            yield from self._not_done(code)
        elif code in UNSURE:
            self.world.unsure(self, operation, began)
            operation.outcome = None if operation.dedup else UNKNOWN
            yield Sleep(self._random.uniform(0.05, 0.3))
        else:
            operation.outcome = OK if not code else EXPIRED if code == Code.DUPLICATE_EXPIRED else REFUSED

    def _not_done(self, code: int) -> Script:
        if code == Code.NOT_REGISTERED:
            self._registered = False
        elif code == Code.NOT_PRIMARY:
            self._move()
        yield Sleep(self._random.uniform(0.01, 0.1))

    def _moments(self) -> float:
        """A pause between two requests."""
        return self._random.choice((0.0, self._random.uniform(0.0, 0.1), self._random.uniform(0.0, 0.6)))
