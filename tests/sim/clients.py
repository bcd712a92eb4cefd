"""Scripted clients: media servers, routing engines, agents' applications, reporting clients.

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
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from broker.errors import Code
from tests.sim.network import Frames, Plug
from tests.sim.plan import QUEUES, TENANT, VIEWS

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
    """

    __slots__ = ("attempts", "client", "dedup", "ended_at", "fields", "invoked_at", "message", "name", "outcome", "reply")

    def __init__(self, client: str, name: str, message: str, fields: dict[str, Any], dedup: bool, now: float) -> None:
        self.client = client
        self.name = name
        self.message = message
        self.fields = fields
        self.dedup = dedup
        self.invoked_at = now
        self.ended_at = float("inf")
        self.attempts: list[tuple[float, str]] = []
        self.outcome: str | None = None
        self.reply: dict[str, Any] = {}

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
        operation = Operation(self.name, name, message, fields, dedup, self._heap.now)
        self.operations.append(operation)
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
        return operation

    def _attempt(self, operation: Operation, document: dict[str, Any]) -> Script:
        if not self._registered and not (yield from self._register()):
            self._move()
            yield Sleep(self._random.uniform(0.05, 0.2))
            return
        began = self._heap.now
        operation.attempts.append((began, self.server))
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


class Media(Client):
    """A media server: brings interactions in, looks at them, changes them, stops them."""

    kind = "MediaServer"

    def script(self) -> Script:
        self.mine: list[str] = []
        for _ in range(self.world.plan.requests):
            deed = self._random.choice(self._deeds()) if self.mine else Media._submit
            yield from deed(self)
            yield Sleep(self._moments())

    def _deeds(self) -> list[Callable[[Media], Script]]:
        return [Media._submit, Media._submit, Media._submit, Media._get, Media._change, Media._stop, Media._place, Media._find]

    def _submit(self) -> Script:
        fields: dict[str, Any] = {
            "tenant_id": TENANT,
            "media_type": self._random.choice(("email", "voice")),
            "queue": self._random.choice(QUEUES),
            "priority": self._random.randrange(4),
            "user_data": {"n": self._numbers},
        }
        if self._random.random() < 0.3:
            fields["interaction_id"] = f"own-{self.name}-{self._random.randrange(4)}"
        done = yield from self.ask("RequestSubmit", **fields)
        if done.outcome == OK:
            self.mine.append(done.reply["interaction_id"])

    def _one(self) -> str:
        return self._random.choice(self.mine)

    def _get(self) -> Script:
        yield from self.ask("RequestGetInteractionProperties", interaction_id=self._one())

    def _change(self) -> Script:
        changes = {"priority": self._random.randrange(4), "seen": self._numbers}
        yield from self.ask("RequestChangeProperties", interaction_id=self._one(), changed_properties=changes)

    def _stop(self) -> Script:
        yield from self.ask("RequestStopProcessing", interaction_id=self._one())

    def _place(self) -> Script:
        yield from self.ask("RequestPlaceInQueue", interaction_id=self._one(), queue=self._random.choice(QUEUES))

    def _find(self) -> Script:
        condition = self._random.choice(("", "queue = 'Inbound'", "priority >= 2", "interaction_state = 0"))
        yield from self.ask(
            "RequestFindInteractions", tenant_id=TENANT, condition=condition, order="priority desc", count=10_000
        )


class Router(Client):
    """A routing engine: pulls, and delivers, places or stops what it got."""

    kind = "RoutingEngine"

    def script(self) -> Script:
        for _ in range(self.world.plan.requests):
            yield from self._pull()
            yield Sleep(self._moments())

    def _pull(self) -> Script:
        if self._random.random() < 0.25 and self.world.known_ids:
            ids = self._random.sample(self.world.known_ids, min(len(self.world.known_ids), self._random.choice((1, 3))))
            done = yield from self.ask(
                "RequestPull", tenant_id=TENANT, view_id="_system_", pull_parameters={"interaction_ids": ids}
            )
        else:
            fields: dict[str, Any] = {"view_id": self._random.choice(list(VIEWS)), "count": self._random.choice((1, 1, 3))}
            if self._random.random() < 0.4:
                fields["extension"] = {"pull-for-strategy": 1}
            done = yield from self.ask("RequestPull", tenant_id=TENANT, strategy_id="S1", **fields)
        if done.outcome == OK:
            for granted in done.reply["interactions"]:
                yield from self._route(granted)

    def _route(self, granted: dict[str, Any]) -> Script:
        ident, token = granted["interaction_id"], granted["token"]
        agents = self.world.agent_names
        if agents and self._random.random() < 0.7:
            done = yield from self.ask(
                "RequestDeliver", interaction_id=ident, token=token, agent_id=self._random.choice(agents)
            )
            if done.outcome == OK:
                return
        if self._random.random() < 0.3:
            return  # its holder forgets it
        if self._random.random() < 0.5:
            yield from self.ask("RequestStopProcessing", interaction_id=ident, token=token)
        else:
            yield from self.ask(
                "RequestPlaceInQueue", interaction_id=ident, token=token, queue=self._random.choice(QUEUES)
            )


class Agent(Client):
    """An agent's application: logs in, takes or rejects what it is offered, works on it."""

    kind = "AgentApplication"

    def script(self) -> Script:
        self._logged_in_as = 0
        self._ready = True
        for _ in range(self.world.plan.requests):
            yield from self._log_in()
            note = yield Note(self._random.uniform(0.1, 1.0))
            if note is None:
                yield from self._odd_job()
            elif note["message"] == "EventInvite":
                yield from self._answer(note)
        if self._random.random() < 0.5:
            yield from self.ask("RequestAgentLogout", agent_id=self.name, dedup=False, patience=20)
            self._logged_in_as = 0

    def _log_in(self) -> Script:
        if self._logged_in_as == self.sessions and self.sessions and self._registered:
            return
        done = yield from self.ask(
            "RequestAgentLogin",
            tenant_id=TENANT,
            agent_id=self.name,
            media_list={"email": 1, "voice": 1},
            dedup=False,
            patience=3,
        )
        if done.outcome == OK:
            self._logged_in_as = self.sessions

    def _odd_job(self) -> Script:
        deed = self._random.choice(("ready", "dnd", "pull", "nothing", "nothing"))
        if deed == "pull":
            done = yield from self.ask("RequestPull", tenant_id=TENANT, view_id=self._random.choice(list(VIEWS)))
            if done.outcome == OK:
                for granted in done.reply["interactions"]:
                    yield from self._work(granted["interaction_id"], granted["token"])
        elif deed == "ready":
            self._ready = not self._ready
            request = "RequestCancelNotReadyForMedia" if self._ready else "RequestNotReadyForMedia"
            yield from self.ask(request, agent_id=self.name, media_type="email", dedup=False, patience=2)
        elif deed == "dnd":
            request = self._random.choice(("RequestDoNotDisturbOn", "RequestDoNotDisturbOff"))
            yield from self.ask(request, agent_id=self.name, dedup=False, patience=2)

    def _answer(self, note: dict[str, Any]) -> Script:
        ident, ticket = note["interaction"]["interaction_id"], note["ticket_id"]
        choice = self._random.random()
        if choice < 0.7:
            done = yield from self.ask("RequestAccept", interaction_id=ident, ticket_id=ticket)
            if done.outcome == OK:
                yield Sleep(self._moments())
                yield from self._work(ident, note["token"])
        elif choice < 0.9:
            yield from self.ask("RequestReject", interaction_id=ident, ticket_id=ticket)

    def _work(self, ident: str, token: int) -> Script:
        choice = self._random.random()
        if choice < 0.5:
            yield from self.ask("RequestStopProcessing", interaction_id=ident, token=token)
        elif choice < 0.9:
            queue = self._random.choice(QUEUES)
            yield from self.ask("RequestPlaceInQueue", interaction_id=ident, token=token, queue=queue)


class Operator(Client):
    """Asks for switchovers when it is told to."""

    kind = "Monitor"

    def script(self) -> Script:
        while True:
            while not self.world.switchovers:
                yield Sleep(0.05)
                if self.world.healed:
                    return
            yield from self.ask("RequestSwitchover", node=self.world.switchovers.pop(), dedup=False, patience=1)
