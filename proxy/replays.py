"""Past events through the proxy (RequestReplayEvents), and the gaps of the live stream: both ask the nodes.

A page is what the live stream would have published: the nodes' events after the asked position, merged by (time, node),
echoes left out, up to the stream's own position at most. Where a node's answer ends because it was full, the page ends
there, for what the node has next may come before what others have. A node that does not answer is named in ``missing``
and stands in the cursor with its old time, so nothing of it is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import msgspec
from msgspec import Raw

from broker.config.objects import ProxySettings
from broker.errors import Code, Refusal
from broker.ledger import Ledger
from broker.messages import encode
from broker.messages.reporting import EventReplayedEvents, RequestReplayEvents
from broker.positions import OLDEST, Position, read_cursor, times_of
from broker.wire import ECHO, PackedEvent, PackedReply, Replayed, make_cursor, unpack_replayed

from .published import mark_late
from .stream import Fetch, MergeStream

Answers = dict[str, PackedReply | None]
Ask = Callable[[list[str], bytes, float, Callable[[float, Answers], None]], None]
"""``ask(nodes, payload, deadline, done)``: a request of the proxy's own; ``done(now, answers)`` is called once."""

Done = Callable[[float, bytes | Refusal], None]
"""``done(now, reply)``: the reply's payload, or why there is none."""

PAGE = 1000
"""Events that one node is asked for at once; a page of the reply may have fewer than were asked for, with ``more``."""
MAX_OPEN = 32
"""Replays under way at once; further ones are told to come again."""
_BRACKETS = 1024
"""Room in a reply for what is around the events."""


class Bounds(NamedTuple):
    """What ends a page: the stream's position (µs), how many events, how many bytes; nodes that do not end it, because
    the stream goes on without them; and whether the answers leave events out, so that they lead further than to the
    last event in them."""

    us: int
    length: int
    size: int
    stalled: frozenset[str] | set[str] = frozenset()
    partial: bool = False


class Page(NamedTuple):
    """Events as the stream has them, the position behind the last one considered, and whether there is more now."""

    payloads: list[bytes]
    position: Position
    more: bool


Replies = dict[str, Replayed | None]


def merge(position: Position, replies: Replies, bounds: Bounds, tenants: frozenset[bytes] | None) -> Page:
    """The page after ``position``.

    :param replies: of every node: its events after ``position.after(node)``, or None where it has not answered
    :param tenants: only events whose topic begins with one of these; None: all
    """
    answers = {name: reply for name, reply in replies.items() if reply is not None}
    end_us = _end(answers, bounds)
    payloads: list[bytes] = []
    size, cut = 0, False
    last: tuple[int, str] | None = None
    for us, name, event in _merged(position, answers, end_us):
        if not event.flags & ECHO and (tenants is None or event.topic.partition(b"/")[0] in tenants):
            payload = mark_late(event.payload) if position.is_late(us, name) else event.payload
            size += len(payload) + 1
            cut = len(payloads) == bounds.length or (size > bounds.size and len(payloads) > 0)
            if cut:
                break
            payloads.append(payload)
        last = us, name
    if bounds.partial and not cut and answers:
        last = max(end_us, position.us), max(replies)
    more = cut or any(answer.more and answer.us < bounds.us for answer in answers.values())
    return Page(payloads, position if last is None else _moved(position, replies, last), more)


def _end(answers: dict[str, Replayed], bounds: Bounds) -> int:
    """The time up to which the answers are complete."""
    ends = [answer.us for name, answer in answers.items() if answer.more or name not in bounds.stalled]
    return min([bounds.us, *ends])


def _merged(position: Position, answers: dict[str, Replayed], end_us: int) -> Iterator[tuple[int, str, PackedEvent]]:
    rows: list[tuple[int, str, PackedEvent]] = []
    for name in sorted(answers):
        after_us = position.after(name)
        rows += [(event.us, name, event) for event in answers[name].events if after_us < event.us <= end_us]
    rows.sort(key=_time)
    return iter(rows)


def _time(row: tuple[int, str, PackedEvent]) -> int:
    return row[0]


def _moved(position: Position, replies: Replies, last: tuple[int, str]) -> Position:
    """The position behind the event ``last``: nodes that did not answer stay where they were."""
    considered = Position(*last, {})
    times = times_of(position, replies)
    for name, reply in replies.items():
        if reply is not None:
            times[name] = max(times[name], min(considered.base(name), reply.us))
    us, node = max(last, (position.us, position.node))
    return position.moved(times, us, node)


class _Replay:
    """A replay under way."""

    def __init__(
        self, position: Position, request: RequestReplayEvents, tenants: frozenset[int] | None, deadline: float
    ) -> None:
        self.position = position
        self.count = request.count
        self.interaction_id = request.interaction_id
        self.tenants = None if tenants is None else frozenset(b"%d" % tenant for tenant in {0, *tenants})
        self.deadline = deadline
        self.asked: set[str] = set()
        self.replies: Replies = {}


class Replays:
    """Replays under way, and the filling of the live stream's gaps.

    :param ask: how the proxy asks nodes for itself
    :param nodes: names of all nodes that belong to the stream; :param counts: what could not be read
    """

    def __init__(  # noqa: PLR0913 - what it works with
        self, stream: MergeStream, ask: Ask, nodes: Iterable[str], settings: ProxySettings, counts: Ledger
    ) -> None:
        self._stream = stream
        self._counts = counts
        self._ask = ask
        self._nodes = sorted(nodes)
        self._settings = settings
        self._open = 0
        self._early: list[tuple[_Replay, Done]] = []

    def replay(self, now: float, request: RequestReplayEvents, tenants: frozenset[int] | None, done: Done) -> None:
        """Answers a client's request, now or later, by ``done(now, reply)``.

        :param tenants: the session's; None: all
        :raises Refusal: ``WRONG_VALUE`` for a cursor that is none, ``BUSY``
        """
        position = OLDEST
        if request.start is not None:
            try:
                position = read_cursor(request.start)
            except ValueError as fault:
                raise Refusal(Code.WRONG_VALUE, str(fault), field="from") from None
        if self._open >= MAX_OPEN:
            raise Refusal(Code.BUSY, f"{MAX_OPEN} replays are under way", retry_after=0.1)
        self._open += 1
        replay = _Replay(position, request, tenants, now + self._settings.request_timeout)
        if self._stream.settled:
            self._begin(replay, done)
        else:
            self._early.append((replay, done))

    def reload(self, nodes: Iterable[str]) -> None:
        """Other nodes belong to the stream. Replays under way go on with those that were asked."""
        self._nodes = sorted(nodes)

    @property
    def wake_at(self) -> float:
        """When :meth:`tick` should be called next."""
        return min([replay.deadline for replay, _ in self._early]) if self._early else float("inf")

    def tick(self, now: float) -> None:
        """Asks for what the stream misses, and begins the replays that came before the stream had begun."""
        for fetch in self._stream.wanted():
            self._fill(now, fetch)
        early, self._early = self._early, []
        for replay, done in early:
            if self._stream.settled:
                self._begin(replay, done)
            elif now >= replay.deadline:
                self._refuse(now, done, "the stream has not begun: no node was heard")
            else:
                self._early.append((replay, done))

    def _fill(self, now: float, fetch: Fetch) -> None:
        deadline = now + self._settings.stream_stall_timeout
        self._ask([fetch.node], _request(*fetch), deadline, partial(self._filled, fetch))

    def _filled(self, fetch: Fetch, now: float, answers: Answers) -> None:
        self._stream.fetched(now, fetch.node, self._read(fetch.node, answers))

    def _begin(self, replay: _Replay, done: Done) -> None:
        silent = self._stream.silent
        replay.replies = dict.fromkeys(self._nodes)
        replay.asked = {name for name in self._nodes if name not in silent} or set(self._nodes)
        for name in sorted(replay.asked):
            payload = _request(name, replay.position.after(name), min(replay.count, PAGE), replay.interaction_id)
            self._ask([name], payload, replay.deadline, partial(self._answered, replay, done, name))

    def _answered(self, replay: _Replay, done: Done, name: str, now: float, answers: Answers) -> None:
        replay.asked.discard(name)
        replay.replies[name] = self._read(name, answers)
        if not replay.asked:
            self._finish(now, replay, done)

    def _finish(self, now: float, replay: _Replay, done: Done) -> None:
        missing = [name for name, answer in replay.replies.items() if answer is None]
        if len(missing) == len(replay.replies):
            self._refuse(now, done, "no node has answered")
            return
        self._open -= 1
        stream, size = self._stream, self._settings.max_message_size - _BRACKETS
        some = replay.interaction_id is not None
        bounds = Bounds(stream.position or 0, replay.count, size, stream.stalled, some)
        page = merge(replay.position, replay.replies, bounds, replay.tenants)
        reply = EventReplayedEvents(
            events=[Raw(payload) for payload in page.payloads],
            cursor=None if page.position == OLDEST else page.position.cursor(),
            more=page.more,
            complete=not missing,
            missing=missing or None,
        )
        done(now, encode(reply))

    def _refuse(self, now: float, done: Done, why: str) -> None:
        self._open -= 1
        done(now, Refusal(Code.LOST_CONNECTION, why, missing=tuple(self._nodes)))

    def _read(self, node: str, answers: Answers) -> Replayed | None:
        """A node's answer; None where there is none, where it is negative or cannot be read."""
        reply = answers.get(node)
        if reply is None or reply.code:
            return None
        try:
            return unpack_replayed(reply.payload)
        except msgspec.DecodeError:
            self._counts.drop(node, "garbage", _NAMED)
            return None


_NAMED = encode(RequestReplayEvents())


def _request(node: str, after_us: int, limit: int, interaction_id: str | None = None) -> bytes:
    start = make_cursor(after_us, node)
    return encode(RequestReplayEvents(start=start, count=limit, interaction_id=interaction_id))
