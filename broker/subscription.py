"""The merged event stream as a client sees it: every event once, gaps filled, from proxy to proxy. A shell.

What it decides is in :mod:`broker.following`. It listens at the proxy that its client is with, and asks for replays
through the client; when the client moves to another proxy, so does it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from broker.answers import Answer, error_of
from broker.following import OWN_WORDS, Followed, Following
from broker.link import IN, Link, Turning, clock, turn
from broker.messages.kinds import Request
from broker.messages.reporting import (
    EventReplayedEvents,
    RequestReplayEvents,
    RequestStartPlaceAgentStateReportingAll,
)
from broker.sockets import Context, Socket, sub

OLDEST = ""
"""Where to start for all events that are kept."""
SILENCE_S = 2.0
"""After a silence this long it is asked whether anything was missed; the last message of all has no successor."""
PAUSE_S = 0.2
"""Between a question that brought no answer, or not of all nodes, and the next."""
MAX_WAITING = 10_000
"""Events that nobody has taken yet; beyond it no further replay is asked for."""
_LONGEST_TURN_S = 1.0

_replayed = msgspec.json.Decoder(EventReplayedEvents).decode


class Place(Protocol):
    """Where a server listens."""

    @property
    def events(self) -> str:
        """The address of its event stream."""


class Asking(Turning, Protocol):
    """What a follower needs of its client."""

    context: Context

    @property
    def endpoint(self) -> Place:
        """The server in use."""

    def ask(self, message: Request, done: Callable[[Answer], None]) -> None:
        """Sends a request whose answer goes to ``done``, now or later."""

    def request(self, message: Request) -> dict[str, Any]:
        """Sends a request and waits for its reply."""


class Events:
    """The stream from a position on: iterate over it, or :meth:`read` what there is.

    :param start: a cursor to go on after; None: from now on; :data:`OLDEST`: all that is kept
    :param topics: only topics with one of these beginnings
    :raises ValueError: ``start`` is no cursor, or it is not known where the server publishes
    :raises ClientError, TimeoutError, Unavailable: the current position could not be asked for
    """

    def __init__(self, client: Asking, start: str | None = None, topics: Sequence[str] = ("",)) -> None:
        self._client = client
        self._topics = tuple(topics)
        self._place: Place | None = None
        self._link: Link | None = None
        self._heard_at = clock()
        self._ask_at = 0.0
        if not client.endpoint.events:
            raise ValueError("the address of the event stream is not known: give REQUESTS,EVENTS")
        if start is None:
            start = client.request(RequestStartPlaceAgentStateReportingAll())["cursor"]
        self._following = Following(start or None)

    def __iter__(self) -> Iterator[Followed]:
        while True:
            yield from self.read(_LONGEST_TURN_S)

    def read(self, timeout: float) -> list[Followed]:
        """The next events; waits up to ``timeout`` seconds for the first."""
        until = clock() + timeout
        taken = self.take()
        while not taken and clock() < until:
            turn([self._client, self], until - clock())
            taken = self.take()
        return taken

    def take(self) -> list[Followed]:
        """The events that are here, for those who turn client and follower themselves (:func:`broker.link.turn`)."""
        taken = self._following.take()
        return taken if "" in self._topics else [event for event in taken if event.topic.startswith(self._topics)]

    @property
    def position(self) -> str | None:
        """The cursor to go on after; None as long as nothing is known."""
        return self._following.position

    def close(self) -> None:
        """Ends listening."""
        if self._link is not None:
            self._link.close()
            self._link = None

    # ---- the turns (broker.link.Turning)

    def begin(self, now: float) -> float:
        """Goes where the client is, and asks what is to be asked."""
        if self._place != self._client.endpoint:
            self._go(now)
        if now >= self._heard_at + SILENCE_S:
            self._heard_at = now
            self._following.doubt()
        if now >= self._ask_at and self._following.waiting < MAX_WAITING:
            question = self._following.question()
            if question is not None:
                self._ask(question)
        return min(self._heard_at + SILENCE_S, now + PAUSE_S if not self._following.live else float("inf"))

    def sockets(self) -> list[tuple[Socket, int]]:
        """The link's sockets."""
        if self._link is None:
            return []
        return [(self._link.socket, IN), (self._link.monitor, IN)]

    def end(self, now: float, ready: Container[Socket]) -> None:
        """Takes in what was published."""
        if self._link is None:
            return
        if self._link.monitor in ready and self._link.change().up:
            self._following.moved()
        if self._link.socket not in ready:
            return
        for frames in self._link.messages():
            self._heard_at = now
            if len(frames) == 3:
                self._following.published(*frames)

    def _go(self, now: float) -> None:
        self.close()
        self._place = self._client.endpoint
        self._link = Link(sub(self._client.context, self._place.events, [b""]))
        self._following.moved()

    def _ask(self, question: RequestReplayEvents) -> None:
        self._client.ask(question, self._answered)

    def _answered(self, answer: Answer) -> None:
        """A replay, or none: then it is asked again after a pause."""
        reply = _replay_in(answer)
        if reply is None:
            self._following.unanswered()
        else:
            self._following.replayed(reply)
        if reply is None or (reply.missing and not reply.more):
            self._ask_at = clock() + PAUSE_S


def _replay_in(answer: Answer) -> EventReplayedEvents | None:
    if isinstance(answer, Exception) or error_of(answer) is not None:
        return None
    try:
        return _replayed(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


__all__ = ["OLDEST", "OWN_WORDS", "Events", "Followed"]
