"""A client's conversation with one of several servers, as a pure core; its shell is :mod:`broker.client`.

A client is with one server at a time. What may happen, and what is done then::

    SEEKING ──opened──▶ REGISTERING ──acked──▶ READY
       ▲                  │  │  ▲                │ │
       │                  │  │  └── forgotten ───┘ │      the server does not know the session (code 1)
       ├───── lost ───────┘  │                     │
       ├───── lost ──────────┼─────────────────────┘      closed, silent, or not the active member: try the next
       │                     └──refused──▶ REFUSED        the server will not have this client

Requests wait while there is no server. Of those that were sent when a server is lost, the ones that carry a
``dedup_id`` are sent again to the next one; the others fail, for nobody knows whether they were done. A request that
was answered with code 1 or 90 was not done, so it is always sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum
from heapq import heappop, heappush
from typing import NamedTuple, TypeAlias

import msgspec

from broker.answers import Answer, ClientError, Head, Unavailable, error_of, look
from broker.errors import Code
from broker.messages import encode
from broker.messages.connection import RequestPing, RequestRegisterClient
from broker.wire import BadFrames, split_pairs

REGISTRATION = b"register"
PING = b"ping"
GROUP_PAIRS, GROUP_BYTES = 64, 256 * 1024
"""How many requests, and how many bytes of them, go into one message at most."""
MAX_IN_FLIGHT = 65_536
MAX_NOTIFICATIONS = 10_000
"""Unread notifications; of more the oldest are dropped and counted."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0

Pair: TypeAlias = tuple[bytes, bytes]


class Timing(NamedTuple):
    """The patience of a client, in seconds.

    :param probe: without a word from the server for this long while a reply is awaited, it is asked whether it lives
    :param silence: a server that does not answer that (or the registration) for this long is left
    """

    probe: float = 1.0
    silence: float = 3.0


PATIENT = Timing()


class State(Enum):
    """Where the conversation stands."""

    SEEKING = "no server"
    REGISTERING = "the registration is under way"
    READY = "requests are served"
    REFUSED = "the server will not have this client"


class _Turn(Enum):
    OPENED = "the shell has opened a link"
    ACKED = "registered"
    FORGOTTEN = "the server does not know the session"
    REFUSED = "the registration was refused"
    LOST = "the link is of no use any more"


class _Pending:
    """A request without its answer."""

    __slots__ = ("deadline", "number", "payload", "repeatable")

    def __init__(self, number: int, payload: bytes, repeatable: bool, deadline: float) -> None:
        self.number = number
        self.payload = payload
        self.repeatable = repeatable
        self.deadline = deadline


class Conversation:
    """The core. The shell opens links where :attr:`reopen_at` says, sends :meth:`outgoing`, and hands in what comes.

    :param register: how the client introduces itself
    :param endpoints: how many servers there are to choose from; :attr:`endpoint` is the number of the chosen one
    """

    def __init__(self, register: RequestRegisterClient, endpoints: int, timing: Timing = PATIENT) -> None:
        self.state = State.SEEKING
        self.endpoint = 0
        self.reopen_at = 0.0
        """In SEEKING: when the shell should open a link to :attr:`endpoint`, and call :meth:`opened`."""
        self.answers: deque[tuple[int, Answer]] = deque()
        self.notifications: deque[bytes] = deque()
        self.dropped = 0
        """Notifications that were dropped because nobody read them."""
        self.sessions = 0
        """How many sessions there have been; after a new one the server knows nothing of the client's agents."""
        self.refusal: ClientError | None = None
        self._register = register
        self._endpoints = endpoints
        self._timing = timing
        self._failures = 0
        self._next_number = 1
        self._pending: dict[bytes, _Pending] = {}
        self._unsent: deque[bytes] = deque()
        self._control: deque[Pair] = deque()
        self._deadlines: list[tuple[float, bytes]] = []
        self._keepalive_s = 30.0
        self._heard_at = self._said_at = 0.0
        self._asked_at: float | None = None

    # ---- what the user does

    def request(self, now: float, payload: bytes, repeatable: bool, timeout_s: float) -> int:
        """Takes a request in; its number comes back with the answer. Times are seconds of any rising clock.

        :param repeatable: it carries a ``dedup_id``
        :raises Unavailable: more are in flight than a client may have
        """
        if len(self._pending) >= MAX_IN_FLIGHT:
            raise Unavailable(f"{MAX_IN_FLIGHT} requests are in flight already")
        number = self._next_number
        self._next_number += 1
        if self.refusal is not None:
            self.answers.append((number, self.refusal))
            return number
        ref = b"%d" % number
        deadline = now + timeout_s
        self._pending[ref] = _Pending(number, payload, repeatable, deadline)
        heappush(self._deadlines, (deadline, ref))
        self._unsent.append(ref)
        return number

    @property
    def in_flight(self) -> int:
        """How many requests have no answer yet."""
        return len(self._pending)

    # ---- what the shell does

    def opened(self, now: float) -> None:
        """A fresh link to :attr:`endpoint` is there."""
        self._turn(now, _Turn.OPENED)

    def closed(self, now: float) -> None:
        """The link was lost, or nobody listens at the other end."""
        self._turn(now, _Turn.LOST)

    def outgoing(self) -> list[Pair]:
        """What is to be sent next, as one message; say :meth:`sent` when it was."""
        if self._control:
            return list(self._control)
        if not self._unsent or self.state is not State.READY:
            return []
        self._drop_answered()
        pairs: list[Pair] = []
        size = 0
        for ref in self._unsent:
            pending = self._pending.get(ref)
            if pending is None or len(pairs) >= GROUP_PAIRS or (pairs and size + len(pending.payload) > GROUP_BYTES):
                break
            pairs.append((ref, pending.payload))
            size += len(pending.payload)
        return pairs

    def sent(self, now: float, pairs: Sequence[Pair]) -> None:
        """What :meth:`outgoing` gave has left."""
        self._said_at = now
        queue = self._control if self._control else self._unsent
        for _ in pairs:
            queue.popleft()

    def received(self, now: float, frames: Sequence[bytes]) -> None:
        """A message of the server."""
        self._heard_at = now
        self._asked_at = None
        try:
            pairs = split_pairs(frames)
        except BadFrames as fault:
            pairs = fault.pairs
        for ref, payload in pairs:
            self._take(now, ref, payload)

    def tick(self, now: float) -> None:
        """Does what is due. Hand in what has come before, else a late look is taken for silence."""
        self._expire(now)
        if self.state is State.REGISTERING or self._asked_at is not None:
            if now >= self._silent_at():
                self._turn(now, _Turn.LOST)
        elif self.state is State.READY and now >= self._ask_at():
            self._control.append((PING, encode(RequestPing())))
            self._asked_at = now

    @property
    def wake_at(self) -> float:
        """When :meth:`tick` has something to do next."""
        due = self._deadlines[0][0] if self._deadlines else float("inf")
        if self.state is State.SEEKING:
            return min(due, self.reopen_at)
        if self.state is State.REGISTERING or self._asked_at is not None:
            return min(due, self._silent_at())
        return min(due, self._ask_at()) if self.state is State.READY else due

    # ---- the law

    def _turn(self, now: float, turn: _Turn) -> None:
        state, act = _LAW.get((self.state, turn), (self.state, Conversation._nothing))
        self.state = state
        act(self, now)

    def _nothing(self, now: float) -> None:
        pass

    def _introduce(self, now: float) -> None:
        self._control.clear()
        self._control.append((REGISTRATION, encode(self._register)))
        self._asked_at = now

    def _begin(self, now: float) -> None:
        self._failures = 0

    def _seek(self, now: float) -> None:
        """Chooses the next server and says when to try it: at once, but after a fruitless round with a pause."""
        self._failures += 1
        rounds = self._failures // self._endpoints
        pause = min(_FIRST_PAUSE_S * 2 ** min(rounds - 1, 10), _LONGEST_PAUSE_S) if rounds else 0.0
        self.endpoint = (self.endpoint + 1) % self._endpoints
        self.reopen_at = now + pause
        self._asked_at = None
        self._control.clear()
        self._sort_out()

    def _sort_out(self) -> None:
        """Parts what was in flight: what may be repeated (or was not sent) waits, in its order; the rest has failed."""
        unsent = set(self._unsent)
        self._unsent.clear()
        for ref, pending in list(self._pending.items()):
            if pending.repeatable or ref in unsent:
                self._unsent.append(ref)
            else:
                self._answer(ref, Unavailable("the server was lost before it answered, and there is no dedup_id"))

    def _give_up(self, now: float) -> None:
        assert self.refusal is not None
        for ref in list(self._pending):
            self._answer(ref, self.refusal)

    # ---- what comes

    def _take(self, now: float, ref: bytes, payload: bytes) -> None:
        if not ref:
            self._notify(payload)
        elif ref == REGISTRATION:
            self._registered(now, payload)
        elif ref == PING:
            self._ponged(now, payload)
        elif ref in self._pending:
            self._replied(now, ref, payload)

    def _notify(self, payload: bytes) -> None:
        if len(self.notifications) >= MAX_NOTIFICATIONS:
            self.notifications.popleft()
            self.dropped += 1
        self.notifications.append(payload)

    def _registered(self, now: float, payload: bytes) -> None:
        head = look(payload)
        if head.message == "EventError":
            self._unregistered(now, head, payload)
            return
        self._keepalive_s = head.keepalive_interval or self._keepalive_s
        if head.session_id is None or head.session_id != self._register.session_id:
            self.sessions += 1
            self._register = msgspec.structs.replace(self._register, session_id=head.session_id)
        self._turn(now, _Turn.ACKED)

    def _unregistered(self, now: float, head: Head, payload: bytes) -> None:
        """The registration was answered with an error: a passing one, one about the old session, or a refusal."""
        if head.code in _PASSING:
            self._turn(now, _Turn.LOST)
        elif self._register.session_id is not None:
            self._register = msgspec.structs.replace(self._register, session_id=None)
            self._introduce(now)
        else:
            self.refusal = error_of(payload)
            self._turn(now, _Turn.REFUSED)

    def _ponged(self, now: float, payload: bytes) -> None:
        """The server lives; but it may not serve, or may have been started anew and know nobody: Ping is for all."""
        head = look(payload)
        if head.role == "standby" and self._endpoints > 1:
            self._turn(now, _Turn.LOST)
        elif head.registered is False:
            self._turn(now, _Turn.FORGOTTEN)

    def _replied(self, now: float, ref: bytes, payload: bytes) -> None:
        head = look(payload)
        code = head.code if head.message == "EventError" else 0
        if code == Code.NOT_REGISTERED:
            self._unsent.append(ref)
            self._turn(now, _Turn.FORGOTTEN)
        elif code == Code.NOT_PRIMARY and self._endpoints > 1:
            self._unsent.append(ref)
            self._turn(now, _Turn.LOST)
        else:
            self._answer(ref, payload)

    def _answer(self, ref: bytes, answer: Answer) -> None:
        self.answers.append((self._pending.pop(ref).number, answer))

    # ---- time

    def _expire(self, now: float) -> None:
        while self._deadlines:
            deadline, ref = self._deadlines[0]
            if ref in self._pending:
                if deadline > now:
                    return
                self._answer(ref, self._late())
            heappop(self._deadlines)

    def _late(self) -> Exception:
        if self.state is State.READY:
            return TimeoutError("no reply in time")
        return Unavailable(f"no server to ask: {self.state.value}")

    def _ask_at(self) -> float:
        """When the server should be asked whether it lives: a reply is overdue, or the session would end."""
        keepalive = self._said_at + self._keepalive_s / 2
        if not self._pending:
            return keepalive
        return min(keepalive, max(self._heard_at, self._said_at) + self._timing.probe)

    def _silent_at(self) -> float:
        return (self._asked_at or 0.0) + self._timing.silence

    def _drop_answered(self) -> None:
        while self._unsent and self._unsent[0] not in self._pending:
            self._unsent.popleft()


_LAW = {
    (State.SEEKING, _Turn.OPENED): (State.REGISTERING, Conversation._introduce),
    (State.REGISTERING, _Turn.ACKED): (State.READY, Conversation._begin),
    (State.REGISTERING, _Turn.LOST): (State.SEEKING, Conversation._seek),
    (State.REGISTERING, _Turn.REFUSED): (State.REFUSED, Conversation._give_up),
    (State.READY, _Turn.LOST): (State.SEEKING, Conversation._seek),
    (State.READY, _Turn.FORGOTTEN): (State.REGISTERING, Conversation._introduce),
}
"""(state, turn) -> (state, action); what is not here changes nothing."""

_PASSING = frozenset({Code.NOT_PRIMARY, Code.BUSY, Code.DATABASE_FAILURE, Code.DATABASE_TIMEOUT, Code.LOST_CONNECTION})
"""Why a server may refuse a registration that another one, or the same one a little later, takes."""
