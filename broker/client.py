"""The blocking client: one thread, one server at a time out of several, many requests in flight. A shell.

    with Client(["tcp://127.0.0.1:7001", "tcp://127.0.0.1:7011"], "desk-1", "AgentApplication") as client:
        reply = client.request(RequestPull(tenant_id=101, view_id="Inbound/all"))

What it decides is in :mod:`broker.conversation`. Everything happens inside its calls: while a program does other things
for longer than the keep-alive interval it should call :meth:`Client.idle` now and then.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
import zmq

from broker.answers import Answer, ClientError, Outcome, Unavailable, error_of
from broker.conversation import PATIENT, Conversation, State, Timing
from broker.link import IN, IN_OUT, Link, clock, turn
from broker.messages import encode
from broker.messages.connection import RequestRegisterClient, RequestUnregisterClient
from broker.messages.kinds import ClientType, Request
from broker.sockets import Context, Socket, dealer
from broker.subscription import Events
from broker.wire import join_pairs

TIMEOUT_S = 15.0
"""For one request; longer than a server takes to give up (``request-timeout``)."""
_LAST_WORD_MS = 200
_LONGEST_TURN_S = 1.0
_STALE_S = 0.01
"""After this long without a turn the link is looked at before something is sent: it may have been lost meanwhile."""

Message: TypeAlias = Request | dict[str, Any] | bytes


class Endpoint(NamedTuple):
    """Where a server listens. :param events: the address of its event stream, empty if it is not known"""

    requests: str
    events: str

    @classmethod
    def of(cls, text: str) -> Endpoint:
        """``REQUESTS,EVENTS``, or ``REQUESTS`` alone: then the events are taken to be at the next port."""
        requests, comma, events = text.partition(",")
        place, _, port = requests.rpartition(":")
        if not comma and port.isdecimal():
            events = f"{place}:{int(port) + 1}"
        return cls(requests, events)


class _Given(msgspec.Struct):
    """What the client must know of a payload that it was given as bytes."""

    dedup_id: str | None = None


_given = msgspec.json.Decoder(_Given).decode


class Client:
    """A registered client of a proxy (or of a node's members: give both).

    :param endpoints: the servers to choose from, in random order; one is used at any time
    :param client_type: what it registers as
    :param tenants: None: all that it may use
    :param timeout: seconds for a request, unless it says otherwise, and for the first registration
    :raises Unavailable: no server registered it in time
    :raises ClientError: a server refused to register it
    """

    def __init__(  # noqa: PLR0913 - the attributes of a registration
        self,
        endpoints: str | Endpoint | Sequence[str | Endpoint],
        name: str,
        client_type: ClientType | str = ClientType.MONITOR,
        *,
        tenants: list[int] | None = None,
        media_type: str | None = None,
        timeout: float = TIMEOUT_S,
        context: Context | None = None,
        timing: Timing = PATIENT,
    ) -> None:
        register = RequestRegisterClient(
            client_name=name, client_type=ClientType(client_type), tenants=tenants, media_type=media_type
        )
        self.name = name
        self.timeout = timeout
        self.context: Context = context or zmq.Context.instance()
        self._endpoints = _endpoints(endpoints)
        self._conversation = Conversation(register, len(self._endpoints), timing)
        self._link: Link | None = None
        self._looked_at = self._wake_at = 0.0
        self._stuck = False
        self._answers: dict[int, Answer] = {}
        self._callbacks: dict[int, Callable[[Answer], None]] = {}
        try:
            self._register(timeout)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Says goodbye, so that the server ends the session at once, and lets go of the sockets."""
        link, self._link = self._link, None
        if link is None:
            return
        if self._conversation.state is State.READY:
            link.socket.linger = _LAST_WORD_MS
            _try_to_send(link.socket, [(b"bye", encode(RequestUnregisterClient()))])
        link.close()

    # ---- one request

    def request(self, message: Message, timeout: float | None = None) -> dict[str, Any]:
        """Sends a request and waits for its reply.

        :raises ClientError: the reply is an ``EventError``
        :raises TimeoutError: no reply came within ``timeout`` seconds; it may or may not have been done
        :raises Unavailable: no server could be reached, or it was lost; with a ``dedup_id`` it is tried elsewhere first
        """
        return _decoded(self.request_raw(message, timeout))

    def request_raw(self, message: Message, timeout: float | None = None) -> bytes:
        """As :meth:`request`, with the reply's bytes."""
        answer = self._await(self.send(message, timeout))
        if isinstance(answer, Exception):
            raise answer
        error = error_of(answer)
        if error is not None:
            raise error
        return answer

    # ---- many in flight

    def send(self, message: Message, timeout: float | None = None) -> int:
        """Sends a request without waiting. Returns its number, for :meth:`gather` and :meth:`replies`."""
        return self.send_all([message], timeout)[0]

    def send_all(self, messages: Iterable[Message], timeout: float | None = None) -> list[int]:
        """Sends several requests, as few messages on the wire. Returns their numbers."""
        now = clock()
        until = self.timeout if timeout is None else timeout
        if now - self._looked_at > _STALE_S:
            self._take_in(now)
        numbers = [self._conversation.request(now, *_encoded(message), until) for message in messages]
        self._flush(now)
        return numbers

    def ask(self, message: Message, done: Callable[[Answer], None], timeout: float | None = None) -> None:
        """Sends a request whose answer goes to ``done``, in one of the later calls."""
        self._callbacks[self.send(message, timeout)] = done

    def gather(self, numbers: Iterable[int]) -> list[dict[str, Any]]:
        """Waits for the replies to some requests, and gives them in the order of ``numbers``.

        :raises ClientError, TimeoutError, Unavailable: for the first that has failed; the others are dropped
        """
        answers = [self._await(number) for number in numbers]
        return [_reply_or_raise(answer) for answer in answers]

    def replies(self) -> Iterator[tuple[int, Outcome]]:
        """The answers to all requests in flight, as they come; ends when none is left. Nothing is raised."""
        while True:
            yield from self.arrived()
            if not self._conversation.answers and self.in_flight <= len(self._callbacks):
                return
            self._turn(_LONGEST_TURN_S)

    def arrived(self) -> list[tuple[int, Outcome]]:
        """The answers that are here already."""
        answers, self._answers = self._answers, {}
        return [(number, _outcome(answer)) for number, answer in answers.items()]

    # ---- notifications, events, time

    def notifications(self, timeout: float = 0.0) -> list[dict[str, Any]]:
        """What the server has told unasked, oldest first; waits up to ``timeout`` seconds for the first."""
        until = clock() + timeout
        self._turn(0.0)
        while not self._conversation.notifications and clock() < until:
            self._turn(until - clock())
        return self.told()

    def told(self) -> list[dict[str, Any]]:
        """The notifications that are here already."""
        told = self._conversation.notifications
        if not told:
            return []
        notes = [_decoded(payload) for payload in told]
        told.clear()
        return notes

    def events(self, start: str | None = None, topics: Sequence[str] = ("",)) -> Events:
        """Follows the merged stream, with gaps filled, also from proxy to proxy. Iterate, or :meth:`Events.read`.

        :param start: the cursor to go on after; None: from now on; :data:`broker.subscription.OLDEST`: all that is kept
        :param topics: only topics with one of these beginnings
        """
        return Events(self, start, topics)

    def idle(self, seconds: float = 0.0) -> None:
        """Keeps the session alive, and takes in what comes, for some time."""
        until = clock() + seconds
        self._turn(seconds)
        while clock() < until:
            self._turn(until - clock())

    # ---- what others may want to know

    @property
    def endpoint(self) -> Endpoint:
        """The server in use, or the one that is tried now."""
        return self._endpoints[self._conversation.endpoint]

    @property
    def sessions(self) -> int:
        """How many sessions there have been; after a new one the server knows nothing of the client's agents."""
        return self._conversation.sessions

    @property
    def in_flight(self) -> int:
        """How many requests have no answer yet."""
        return self._conversation.in_flight

    # ---- the turns (broker.link.Turning)

    def begin(self, now: float) -> float:
        """Opens the link and sends what waits, where that is due."""
        if self._conversation.state is State.SEEKING:
            self._seek(now)
        self._flush(now)
        self._wake_at = self._conversation.wake_at if not self._conversation.answers else now
        return self._wake_at

    def sockets(self) -> list[tuple[Socket, int]]:
        """The link's sockets."""
        if self._link is None:
            return []
        return [(self._link.socket, IN_OUT if self._stuck else IN), (self._link.monitor, IN)]

    def end(self, now: float, ready: Container[Socket]) -> None:
        """Takes in what has come, sends what that has freed, and hands out answers."""
        link = self._link
        if link is not None and (link.socket in ready or link.monitor in ready):
            self._take_in(now)
        elif now < self._wake_at:
            return
        self._conversation.tick(now)
        self._flush(now)
        self._hand_out()

    def _turn(self, timeout_s: float) -> None:
        turn([self], timeout_s)

    def _take_in(self, now: float) -> None:
        """What the server has said, and whether it is still there."""
        self._looked_at = now
        if self._link is None:
            return
        for frames in self._link.messages():
            self._conversation.received(now, frames)
        if self._link.change().lost:
            self._conversation.closed(now)
            self._link.close()
            self._link = None

    def _seek(self, now: float) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
        if now >= self._conversation.reopen_at:
            self._link = Link(dealer(self.context, self.endpoint.requests))
            self._conversation.opened(now)

    def _flush(self, now: float) -> None:
        """Sends what is to be sent, as far as the link takes it."""
        self._stuck = False
        while self._link is not None and (pairs := self._conversation.outgoing()):
            if not _try_to_send(self._link.socket, pairs):
                self._stuck = True
                return
            self._conversation.sent(now, pairs)

    def _hand_out(self) -> None:
        answers = self._conversation.answers
        while answers:
            number, answer = answers.popleft()
            callback = self._callbacks.pop(number, None)
            if callback is None:
                self._answers[number] = answer
            else:
                callback(answer)

    def _await(self, number: int) -> Answer:
        while number not in self._answers:
            self._turn(_LONGEST_TURN_S)
        return self._answers.pop(number)

    def _register(self, timeout: float) -> None:
        until = clock() + timeout
        while self._conversation.state is not State.READY:
            if self._conversation.refusal is not None:
                raise self._conversation.refusal
            if clock() >= until:
                names = ", ".join(endpoint.requests for endpoint in self._endpoints)
                raise Unavailable(f"nobody has answered within {timeout:g} s at {names}")
            self._turn(until - clock())


def _endpoints(given: str | Endpoint | Sequence[str | Endpoint]) -> list[Endpoint]:
    """The endpoints as objects, in random order."""
    several = [given] if isinstance(given, (str, Endpoint)) else list(given)
    if not several:
        raise ValueError("a client needs an endpoint at least")
    endpoints = [Endpoint.of(one) if isinstance(one, str) else one for one in several]
    random.shuffle(endpoints)
    return endpoints


def _encoded(message: Message) -> tuple[bytes, bool]:
    """A message as its payload, and whether it may be repeated."""
    if isinstance(message, Request):
        return encode(message), message.dedup_id is not None
    if isinstance(message, dict):
        return msgspec.json.encode(message), message.get("dedup_id") is not None
    try:
        return message, _given(message).dedup_id is not None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return message, False


def _try_to_send(socket: Socket, pairs: list[tuple[bytes, bytes]]) -> bool:
    try:
        socket.send_multipart(join_pairs(pairs), zmq.DONTWAIT)
    except zmq.Again:
        return False
    return True


def _decoded(payload: bytes) -> dict[str, Any]:
    reply: dict[str, Any] = msgspec.json.decode(payload)
    return reply


def _outcome(answer: Answer) -> Outcome:
    return answer if isinstance(answer, Exception) else _decoded(answer)


def _reply_or_raise(answer: Answer) -> dict[str, Any]:
    if isinstance(answer, Exception):
        raise answer
    error = error_of(answer)
    if error is not None:
        raise error
    return _decoded(answer)


__all__ = ["Answer", "Client", "ClientError", "Endpoint", "Events", "Outcome", "Unavailable"]
