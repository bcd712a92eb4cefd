"""The one stream: the events of all nodes, merged in the order of (time, node).

    heard     what a member publishes: events, and the promise "everything up to T is out" (a heartbeat is just that)
    wanted    gaps to be filled by asking the node; fetched brings the answer
    tick      nodes that have been silent for too long no longer hold the stream
    take      what is to be published, in order: late events, then all up to the smallest watermark of the nodes

How a node stands to the stream (:class:`proxy.sources.Standing`)::

    IN         ──silent, or its gap stays open──▶ STALLED      said: EventStreamStalled
    STALLED    ──no gap, within reach of the position──▶ RETURNING
    RETURNING  ──at the position──▶ IN                         said: EventStreamResumed
    RETURNING  ──silent again──▶ STALLED

Where the stream begins: at the latest of the nodes' first promises, so that replay has all before it and the stream
all after it. A node that is not heard in time is STALLED from the start; as its clock may be behind, the stream has
its events from a stall timeout earlier.

A node that comes later is let in as one that was not heard in time: the stream has its events from a stall timeout
before the position, those of the time already passed come late. Earlier ones are history. A node that goes is not
waited for; what is here of it is published in its place.

The position only moves in ``take``, to T: all events at or below T of the nodes that are IN are published. An event at
or below the position is therefore late, whatever made it so. The nodes' clocks may differ: the stream follows the
slowest that is IN. A node whose clock is behind by more than the stall timeout cannot return.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from broker.clock import MICROSECONDS
from broker.messages.reporting import EventStreamResumed, EventStreamStalled, SystemEvent
from broker.positions import Position
from broker.wire import PackedEvents, Replayed

from .published import Published, about, below, in_order, late
from .sources import UNKNOWN, Entry, Source, Standing
from .watches import Watch

PAGE = 2000
"""Events asked for at once to fill a gap."""
_SLACK = 4.0
"""A node's time may run this much slower than ours before that counts as silence."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0


class Fetch(NamedTuple):
    """A gap to be filled: up to ``limit`` events of ``node`` after ``after_us``. Answer with ``fetched``."""

    node: str
    after_us: int
    limit: int


class MergeStream:
    """The core of the stream.

    :param proxy: the proxy's name; it is the ``node`` of the system events that the stream itself makes (``seq`` 0)
    :param nodes: names of all nodes that belong to the stream
    :param stall_timeout: seconds a silent node holds the stream at most
    :param buffer: events kept while a node is waited for; when there are more, the wait ends early
    """

    def __init__(self, proxy: str, nodes: Sequence[str], stall_timeout: float = 2.0, buffer: int = 200_000) -> None:
        self.position: int | None = None
        """Time in µs up to which everything is published, but for the nodes in :attr:`behind`. None: not begun."""
        self.began_us: int | None = None
        """Where the stream began: it has all events after that time, earlier ones are to be had by replay."""
        self.last_node = max(nodes, default="")
        """Stands in cursors for "after all events of this time"."""
        self.counts: Counter[str] = Counter()
        self._proxy = proxy
        self._timeout_s = stall_timeout
        self._timeout_us = round(stall_timeout * MICROSECONDS)
        self._buffer = buffer
        self._sources = {name: Source(name, self._waiting_limit(len(nodes))) for name in sorted(nodes)}
        self._left: list[Source] = []
        """Nodes that belong to the stream no more, and have events here that are to be published."""
        self._parted_us: dict[str, int] = {}
        """Up to where (µs) the stream has the events of such nodes."""
        self._given_up: set[Source] = set()
        """Stalled just now: the position has to get the chance to move without them before they may return."""
        self._watches: list[Watch] = []
        self._said: list[Published] = []
        self._now: float | None = None
        self._lived = 0.0
        self._news = True
        self._wake_at: float | None = None
        self._heard_first_at: float | None = None

    def _waiting_limit(self, nodes: int) -> int:
        """How many events of one of so many nodes wait behind a gap at most."""
        return self._buffer // (2 * max(nodes, 1))

    # -- nodes that come and go

    def join(self, now: float, name: str) -> None:
        """One more node belongs to the stream."""
        self._live(now)
        source = Source(name, self._waiting_limit(len(self._sources) + 1))
        source.advanced_at = source.heard_at = self._lived
        if self.position is not None:
            source.begin_unheard(max(self.position - self._timeout_us, self._parted_us.pop(name, 0)))
            source.standing = Standing.STALLED
        self._sources = dict(sorted({**self._sources, name: source}.items()))
        self.last_node = max(self.last_node, name)  # never another one that comes before it: cursors only rise

    def part(self, now: float, name: str) -> None:
        """A node belongs to the stream no more."""
        self._live(now)
        source = self._sources.pop(name)
        self._given_up.discard(source)
        self.counts.update(doubles=source.doubles, dropped=source.dropped, lost=source.lost)
        self._parted_us[name] = source.out_us
        if source.ready and self.position is not None:
            self._left.append(source)

    def is_whole(self, name: str) -> bool:
        """Whether nothing of a node is known to be missing."""
        return not self._sources[name].gap

    # -- what comes

    def heard(self, now: float, published: PackedEvents) -> None:
        """Anything that a member of a node has published. Nothing is raised, whatever it is."""
        self._live(now)
        source = self._sources.get(published.node)
        if source is None:
            self.counts["unknown"] += 1
        elif published.epoch < source.epoch:
            self.counts["stale"] += 1
        else:
            source.epoch = published.epoch
            if published.role == "active":
                self._hear(source, published)

    def _hear(self, source: Source, published: PackedEvents) -> None:
        source.heard_at = self._lived
        if self._heard_first_at is None:
            self._heard_first_at = self._lived
        before = source.out_us
        unplaced = source.expected == UNKNOWN
        if unplaced and (self.position is None or published.us <= source.out_us):
            source.begin(published.next_seq, published.us)
        source.heard(published)
        self._follow(source, before)

    def fetched(self, now: float, node: str, replayed: Replayed | None) -> None:
        """The answer to a fetch that was :meth:`wanted`. None: there was none in time, or it was negative."""
        self._live(now)
        source = self._sources.get(node)
        if source is None:
            return
        source.asking = False
        before = source.out_us, source.expected
        if replayed is not None:
            source.fill(replayed)
        if (source.out_us, source.expected) == before:
            source.retry_at = self._lived + min(_FIRST_PAUSE_S * 2 ** min(source.failures, 10), _LONGEST_PAUSE_S)
            source.failures += 1
        else:
            source.failures = 0
        self._follow(source, before[0])

    def _follow(self, source: Source, before_us: int) -> None:
        """Looks at how far the node has come. Its time has to run about as fast as ours: one that creeps, because
        the node's clock was set back, is as good as silent."""
        advanced_s = _SLACK * (source.out_us - before_us) / MICROSECONDS
        source.advanced_at = min(self._lived, source.advanced_at + advanced_s)
        returns = source.standing is Standing.STALLED and source not in self._given_up
        if returns and not source.gap and self._in_reach(source):
            source.standing = Standing.RETURNING

    def _in_reach(self, source: Source) -> bool:
        return self.position is None or source.out_us >= self.position - self._timeout_us

    # -- what is to be asked

    def wanted(self) -> list[Fetch]:
        """Gaps to be filled now, one at most per node; each is answered by one call of :meth:`fetched`."""
        return [
            Fetch(source.name, source.ask(), PAGE)
            for source in self._sources.values()
            if source.gap and not source.asking and self._lived >= source.retry_at
        ]

    # -- time

    def _live(self, now: float) -> None:
        """Something has come, or it is time, so there may be something to publish. The stream's own clock: what passed
        while this process stood still, or a jump of ``now``, is not the nodes' silence, so no single step counts for
        more than a quarter of the timeout."""
        if self._now is not None:
            self._lived += min(max(now - self._now, 0.0), self._timeout_s / 4)
        self._now = now
        self._news = True
        self._wake_at = None

    @property
    def wake_at(self) -> float:
        """When :meth:`tick` should be called next, in seconds of ``now``."""
        if self._wake_at is None:
            self._wake_at = self._next_wake()
        return self._wake_at

    def _next_wake(self) -> float:
        if self._now is None or self._heard_first_at is None:
            return float("inf")
        waited_since = self._heard_first_at if self.position is None else float("inf")
        retry_at = float("inf")
        for source in self._sources.values():  # hot path: no lists
            if source.advanced_at < waited_since and source.standing is not Standing.STALLED:
                waited_since = source.advanced_at
            if source.retry_at < retry_at and source.gap and not source.asking:
                retry_at = source.retry_at
        at = min(waited_since + self._timeout_s, retry_at)
        return float("inf") if at == float("inf") else self._now + min(max(at - self._lived, 0.0), self._timeout_s / 4)

    def tick(self, now: float) -> None:
        """Does what is due: a node that has not come forward for the timeout no longer holds the stream."""
        self._live(now)
        if self.position is None:
            self._begin()
            return
        self._stall(*[found for found in self._holders() if self._lived - found.advanced_at >= self._timeout_s])

    def _holders(self) -> list[Source]:
        """The nodes that the stream waits for."""
        return [source for source in self._sources.values() if source.standing is not Standing.STALLED]

    def _stall(self, *sources: Source) -> None:
        said = [source for source in sources if source.standing is Standing.IN]
        for source in sources:
            source.standing = Standing.STALLED
            source.floor = min(source.floor, source.out_us)
            self._given_up.add(source)
        for source in said:
            self.counts["stalls"] += 1
            self._say(EventStreamStalled, source, self._behind())

    def _resume(self, source: Source) -> None:
        """A returning node that has come to the position is in the stream again."""
        assert self.position is not None
        if source.standing is Standing.RETURNING and source.out_us >= self.position:
            source.standing = Standing.IN
            self._say(EventStreamResumed, source, self._behind() | {source.name: self.position})

    def _say(self, kind: type[SystemEvent], source: Source, behind: dict[str, int]) -> None:
        assert self.position is not None
        self._said.append(about(kind, self._proxy, source, Position(self.position, self.last_node, behind)))

    # -- the beginning

    def _begin(self) -> bool:
        """Begins as soon as all nodes were heard, or the wait for the others is over."""
        heard = [source for source in self._sources.values() if source.expected != UNKNOWN]
        if not heard or self._heard_first_at is None:
            return False
        waited = self._lived - self._heard_first_at >= self._timeout_s or self.buffered > self._buffer
        if len(heard) < len(self._sources) and not waited:
            return False
        self.position = self.began_us = max(source.floor for source in heard)
        self._stall(*[source for source in self._sources.values() if not self._admitted(source, self.position)])
        return True

    def _admitted(self, source: Source, position: int) -> bool:
        """Gives a node its place at the beginning; whether it is in the stream."""
        if source.expected == UNKNOWN:
            source.begin_unheard(position - self._timeout_us)
            return False
        if self._in_reach(source):
            source.forget(position)
            return True
        return False

    # -- what is to be published

    def take(self) -> list[Published]:
        """What is to be published now, in this order."""
        if not self._news or (self.position is None and not self._begin()):
            return []
        self._news = False
        self._wake_at = None
        published = self._flush()
        for source in self._left:
            published += self._late(source)
        for source in self._sources.values():
            published += self._late(source)
            self._resume(source)
            published += self._flush()
        published += self._released()
        while self.buffered > self._buffer and self._stall_early():
            published += self._flush()
            published += self._released()
        return published

    def _flush(self) -> list[Published]:
        said, self._said = self._said, []
        return said

    def _stall_early(self) -> bool:
        """The buffer is full: the node that holds the stream holds it no longer."""
        holders = self._holders()
        if len(holders) < 2:
            return False
        self._stall(min(holders, key=lambda source: source.out_us))
        return True

    def _late(self, source: Source) -> list[Published]:
        """The node's events for the time already passed."""
        assert self.position is not None
        entries = source.cut(self.position)
        if not entries:
            return []
        self._watch(entries)
        published = late(entries, Position(self.position, self.last_node, self._behind()), source.name)
        self.counts["late"] += len(published)
        return published

    def _released(self) -> list[Published]:
        """The events up to the smallest watermark of the nodes that are waited for; the position moves there."""
        holders = self._holders()
        self._given_up.clear()
        if not holders or self.position is None:
            return []
        us = min(source.out_us for source in holders)
        if us <= self.position:
            return []
        parts = [part for part in [source.cut(us) for source in self._here()] if part]
        self.position = us
        self._left = [source for source in self._left if source.ready]
        if not parts:
            return []
        entries = parts[0] if len(parts) == 1 else sorted(chain.from_iterable(parts))
        self._watch(entries)
        return in_order(entries, {name: source.out_us for name, source in self._sources.items()})

    def _here(self) -> list[Source]:
        """All nodes of which there may be events to publish."""
        return [*self._sources.values(), *self._left]

    # -- what others want to know

    @property
    def behind(self) -> dict[str, int]:
        """The nodes that have not come to the position, and the times (µs) up to which their events are published."""
        return self._behind()

    def _behind(self) -> dict[str, int]:
        """Of a node that has late events to come, nothing from the first of them on is published."""
        if self.position is None:
            return {}
        firsts = {source.name: source.ready[0][0] for source in self._sources.values() if source.ready}
        to_come = {name: us - 1 for name, us in firsts.items() if us <= self.position}
        return below({name: source.out_us for name, source in self._sources.items()}, self.position) | to_come

    @property
    def settled(self) -> bool:
        """Whether all nodes in the stream have come to the position. Just after the beginning some have not: what they
        have up to there is history, but they may not have said it yet."""
        position = self.position
        return position is not None and all(
            source.out_us >= position for source in self._sources.values() if source.standing is Standing.IN
        )

    @property
    def stalled(self) -> set[str]:
        """The nodes that are not in the stream (or not yet again)."""
        return {source.name for source in self._sources.values() if source.standing is not Standing.IN}

    @property
    def silent(self) -> set[str]:
        """Those of them that have not been heard for the timeout, so that there is little sense in asking them."""
        return {name for name in self.stalled if self._lived - self._sources[name].heard_at >= self._timeout_s}

    @property
    def counters(self) -> dict[str, int]:
        """What was counted since the start: stalls, late and lost events, messages that were of no use."""
        totals = Counter(self.counts)
        for source in self._sources.values():
            totals.update(doubles=source.doubles, dropped=source.dropped, lost=source.lost)
        return dict(totals)

    @property
    def buffered(self) -> int:
        """Events that wait to be published."""
        return sum(len(source.ready) + source.waiting_count for source in self._here())

    def watch(self) -> Watch:
        """Keeps what is published from now on, until :meth:`unwatch`."""
        watch = Watch()
        self._watches.append(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        """Ends a watch."""
        self._watches.remove(watch)

    def _watch(self, entries: Sequence[Entry]) -> None:
        for watch in self._watches:
            watch.see(entries)
