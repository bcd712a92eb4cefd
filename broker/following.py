"""Following the merged event stream without a gap, as a pure core; its shell is :class:`broker.stream.Events`.

What is published may be lost on the way; what a replay gives is complete, but late. So the follower listens first,
replays from its position, and then compares: per node ``seq`` rises by one (and by the echoes that an event says were
left out before it). Where it does not, or where nothing can be known (the first event of a node, a new connection, a
long silence), it asks for a replay, keeps back what is published meanwhile, and goes on when the replay has caught up::

    LIVE ──gap, doubt──▶ question() ──replayed(more)──▶ question() … ──replayed(all)──▶ what was kept back ──▶ LIVE

It asks from what it knows for certain: the position that the last replay came to (all nodes are complete up to there)
and, beyond it, the time of the last event of each node. So an event that was lost before those of other nodes were
given out is still found, though it then comes behind them; of one node the order always holds.

A gap that a replay does not fill has nothing in it (retention has cut it), unless the node did not take part in the
replay: then the node is *in arrears*. Its events come by replay only, until it takes part again; the others go on.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import msgspec

from broker.clock import to_us
from broker.messages import EVENTS
from broker.messages.reporting import EventReplayedEvents, RequestReplayEvents
from broker.positions import OLDEST, Position, read_cursor

REPLAY_COUNT = 1000
MAX_KEPT_BACK = 100_000
"""Published events kept while a replay is under way; beyond it they are forgotten, and replayed."""
OWN_WORDS = frozenset({"EventStreamStalled", "EventStreamResumed"})
"""A proxy's own events about its stream: no node has them, so they have no ``seq`` and are never replayed."""


class Followed(NamedTuple):
    """One event of the stream.

    :param topic: ``<tenant>/<class>/<message>``
    :param cursor: the position in the stream after this event
    :param payload: its JSON, byte for byte
    """

    topic: str
    cursor: str
    payload: bytes


class _Event(msgspec.Struct):
    """What the follower needs to know of an event."""

    message: str
    node: str = ""
    seq: int = 0
    time: float = 0.0
    tenant_id: int = 0
    echo: bool = False
    echoes: int = 0


class _Published(NamedTuple):
    event: _Event
    topic: str
    cursor: str
    payload: bytes


_decode = msgspec.json.Decoder(_Event).decode


class Following:
    """The core.

    :param start: the cursor to go on after; None: from the oldest event that is kept
    :raises ValueError: it is no cursor
    """

    def __init__(self, start: str | None) -> None:
        self.unreadable = 0
        """Messages that were no events."""
        self._verified = OLDEST if start is None else read_cursor(start)
        self._shown = self._verified.cursor()
        self._ahead = {name: at for name, at in self._verified.apart.items() if at > self._verified.base(name)}
        self._seqs: dict[str, int] = {}
        self._times: dict[str, int] = {}
        self._arrears: frozenset[str] = frozenset()
        self._out: deque[Followed] = deque()
        self._kept_back: deque[_Published] = deque()
        self._covered = 0
        self._asking = False
        self._doubt = True

    # ---- what comes

    def published(self, topic: bytes, cursor: bytes, payload: bytes) -> None:
        """A message of the stream."""
        try:
            message = _Published(_decode(payload), topic.decode(), cursor.decode(), payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.unreadable += 1
            return
        if self._asking or self._doubt or not self._consider(message):
            self._keep_back(message)

    def doubt(self) -> None:
        """Something may have been missed: silence, a connection that was lost for a while."""
        self._doubt = True

    def moved(self) -> None:
        """What is published comes from another server now, which may not have come as far as the last one."""
        self._kept_back.clear()
        self._covered = 0
        self._doubt = True

    def question(self) -> RequestReplayEvents | None:
        """What to ask now, if anything: hand the answer to :meth:`replayed`, or say :meth:`unanswered`.

        While a node is in arrears there is always something to ask: let some time pass in between.
        """
        if self._asking or not (self._doubt or self._arrears):
            return None
        self._asking, self._doubt = True, False
        self._covered = len(self._kept_back)
        return RequestReplayEvents(start=self.position, count=REPLAY_COUNT)

    def unanswered(self) -> None:
        """The last question got no answer."""
        self._asking, self._doubt = False, True

    def replayed(self, reply: EventReplayedEvents) -> None:
        """The answer to the last question."""
        self._asking = False
        self._arrears = frozenset(reply.missing or ())
        for payload in reply.events:
            self._consider_replayed(bytes(payload))
        if reply.cursor:
            self._verified = read_cursor(reply.cursor)
        if reply.more:
            self._doubt = True
        else:
            self._let_go()

    # ---- what goes out

    def take(self) -> list[Followed]:
        """The events that are due."""
        taken = list(self._out)
        self._out.clear()
        return taken

    @property
    def waiting(self) -> int:
        """How many events wait to be taken."""
        return len(self._out)

    @property
    def live(self) -> bool:
        """Nothing is known to be missing."""
        return not (self._asking or self._doubt or self._arrears)

    @property
    def position(self) -> str | None:
        """The cursor to go on after; nothing that was not given out is before it. None: nothing is known yet."""
        apart = self._verified.apart | {node: self._after(node) for node in self._times}
        verified = self._verified._replace(apart={n: at for n, at in apart.items() if at != self._verified.base(n)})
        return None if verified == OLDEST else verified.cursor()

    # ---- the comparison

    def _consider(self, message: _Published, covered: bool = False) -> bool:
        """Gives a published event out, or drops it as known. False: events before it are missing.

        :param covered: a replay that was asked for after it came has been read: what is missing still, is nowhere
        """
        event = message.event
        if event.message in OWN_WORDS:
            self._out.append(Followed(message.topic, message.cursor, message.payload))
            return True
        us = to_us(event.time)
        if us <= self._after(event.node) or event.node in self._arrears:
            return True
        if not covered and event.seq > self._seqs.get(event.node, 0) + 1 + event.echoes:
            self._doubt = True
            return False
        self._note(event, us)
        if not event.echo:
            self._give(message.topic, self._cursor(message.cursor), message.payload)
        return True

    def _consider_replayed(self, payload: bytes) -> None:
        try:
            event = _decode(payload)
        except msgspec.DecodeError:
            self.unreadable += 1
            return
        us = to_us(event.time)
        if us <= self._after(event.node):
            return
        self._note(event, us)
        if not event.echo:
            cursor = after(read_cursor(self._shown), us, event.node).cursor()
            self._give(topic_of(event.tenant_id, event.message), cursor, payload)

    def _after(self, node: str) -> int:
        """The time (µs) up to which the events of ``node`` are behind the follower."""
        return max(self._times.get(node, 0), self._verified.after(node))

    def _note(self, event: _Event, us: int) -> None:
        self._seqs[event.node] = event.seq
        self._times[event.node] = us

    def _give(self, topic: str, cursor: str, payload: bytes) -> None:
        self._shown = cursor
        self._out.append(Followed(topic, cursor, payload))

    def _cursor(self, cursor: str) -> str:
        """A published cursor, with the nodes that the start was ahead with, as long as it still is."""
        if not self._ahead:
            return cursor
        position = read_cursor(cursor)
        self._ahead = {node: at for node, at in self._ahead.items() if at > position.base(node)}
        return position._replace(apart=position.apart | self._ahead).cursor()

    # ---- what is kept back

    def _keep_back(self, message: _Published) -> None:
        if len(self._kept_back) >= MAX_KEPT_BACK:
            self.moved()
        self._kept_back.append(message)

    def _let_go(self) -> None:
        """After a replay has caught up: what came before it was asked for is covered by it, the rest is compared."""
        while self._kept_back and not self._doubt:
            message = self._kept_back.popleft()
            covered, self._covered = self._covered > 0, max(self._covered - 1, 0)
            if not self._consider(message, covered):
                self._kept_back.appendleft(message)


def topic_of(tenant_id: int, message: str) -> str:
    """The topic that an event is published under."""
    known = EVENTS.get(message)
    return f"{tenant_id}/{known.topic if known else 'custom'}/{message}"


def after(position: Position, us: int, node: str) -> Position:
    """The position in the stream after an event of ``node`` at ``us`` that came next in a replay.

    One from before the base is of a node that was behind: it catches up, all else stays. Nodes that were behind stay
    so; those that were ahead of the base are ahead as long as it has not come to them.
    """
    if position.is_late(us, node):
        return position._replace(apart=position.apart | {node: us})
    base = Position(us, node, {})
    for name, at in position.apart.items():
        if name != node and (at < position.base(name) or at > base.base(name)):
            base.apart[name] = at
    return base
