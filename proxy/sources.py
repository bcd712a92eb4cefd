"""One node's events on their way into the stream: what was heard, put into one row without gaps and doubles.

What a node publishes can be lost, come twice, or come from a member that has been replaced. So a source counts:

    first_seq == expected       the events are next: they are ready to be merged
    first_seq <  expected       (partly) known: the known ones are dropped
    first_seq >  expected       a gap: the events wait, the missing ones are fetched from the node (replay)
    next_seq  >  expected       a claim that cannot be met yet: the last events were lost, a gap as well
    next_seq <= expected        the claim is met: "everything up to us is out" holds, so the watermark moves to us

The watermark (``out_us``) is what the merge relies on: every event of this node at or below it is ready or published.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from enum import Enum
from operator import itemgetter

from broker.wire import PackedEvent, PackedEvents, Replayed

UNKNOWN = -1
"""The expected seq of a node that has not been heard, or was heard only after the stream had begun without it."""

GIVE_UP = 3
"""A node that says this often in a row that it has no events for a gap has lost them (retention): it is skipped."""

Entry = tuple[int, bytes, int, bytes, bytes]
"""``(us, b"-node", flags, topic, payload)``: a plain tuple, for rows of them sort as the stream is ordered."""

_time = itemgetter(0)
Chunk = tuple[int, list[PackedEvent]]


class Standing(Enum):
    """How a node stands to the stream."""

    IN = "the stream waits for it"
    STALLED = "the stream goes on without it"
    RETURNING = "the stream waits for it again, but has not come back to its time yet"


class Source:
    """One node. Times of events are µs; ``…_at`` are seconds of the stream's own clock.

    :param waiting_limit: events kept behind a gap; more are dropped, for the node has them
    """

    __slots__ = (
        "advanced_at", "asked", "asking", "barren", "claim_seq", "claim_us", "doubles", "dropped", "epoch", "expected",
        "failures", "floor", "heard_at", "last_us", "lost", "name", "out_us", "ready", "retry_at", "standing",
        "suffix", "waiting", "waiting_count", "waiting_limit",
    )  # fmt: skip

    def __init__(self, name: str, waiting_limit: int) -> None:
        self.name = name
        self.suffix = b"-" + name.encode()
        self.waiting_limit = waiting_limit
        self.standing = Standing.IN
        self.epoch = 0
        self.expected = UNKNOWN
        self.floor = self.last_us = self.out_us = 0
        self.claim_seq, self.claim_us = UNKNOWN, 0
        self.ready: list[Entry] = []
        self.waiting: list[Chunk] = []
        self.waiting_count = 0
        self.asking = False
        self.asked: tuple[int, int] = (UNKNOWN, 0)
        self.barren = self.failures = 0
        self.advanced_at = self.heard_at = self.retry_at = 0.0
        self.doubles = self.dropped = self.lost = 0

    @property
    def gap(self) -> bool:
        """Whether the node has said more than is here."""
        return self.claim_seq > self.expected

    def begin(self, seq: int, us: int) -> None:
        """The stream has everything of this node before ``seq`` and up to ``us``; earlier events are history."""
        self.expected = seq
        self.floor = self.last_us = self.out_us = us

    def begin_unheard(self, us: int) -> None:
        """The stream has everything of this node up to ``us``, but which ``seq`` comes next is not known yet."""
        self.floor = self.last_us = self.out_us = us

    def forget(self, us: int) -> None:
        """Events at or below ``us`` are history."""
        self.floor = us
        self.cut(us)

    def heard(self, published: PackedEvents) -> None:
        """What the active member published."""
        self.claim_seq = max(self.claim_seq, published.next_seq, published.first_seq + len(published.events))
        self.claim_us = max(self.claim_us, published.us)
        if published.events:
            self._receive(published.first_seq, published.events)
        self._meet_claim()

    def ask(self) -> int:
        """The gap is about to be fetched: returns the time in µs after which events are missing."""
        self.asking = True
        self.asked = (self.claim_seq, self.claim_us)
        return self.last_us

    def fill(self, replayed: Replayed) -> None:
        """What the node answered to that."""
        before = self.expected
        if self.expected == UNKNOWN:
            self._place(replayed)
        self._receive(replayed.first_seq, replayed.events)
        self.barren = self.barren + 1 if self.gap and self.expected == before else 0
        if self.barren >= GIVE_UP:
            self._skip()
        self._meet_claim()

    def cut(self, us: int) -> list[Entry]:
        """Takes the ready events up to ``us`` out."""
        ready = self.ready
        if not ready or ready[0][0] > us:
            return []
        if ready[-1][0] <= us:
            self.ready = []
            return ready
        end = bisect_right(ready, us, key=_time)
        part = ready[:end]
        del ready[:end]
        return part

    def _receive(self, first_seq: int, events: list[PackedEvent]) -> None:
        if self.expected == UNKNOWN or first_seq > self.expected:
            self._wait(first_seq, events)
            return
        self._append(first_seq, events)
        if self.waiting:
            self._absorb()

    def _append(self, first_seq: int, events: list[PackedEvent]) -> None:
        """Events that are next, after some that may be known."""
        known = self.expected - first_seq
        if known:
            self.doubles += min(known, len(events))
            events = events[known:]
        if not events:
            return
        suffix = self.suffix
        entries = [(event.us, suffix, event.flags, event.topic, event.payload) for event in events]
        if entries[0][0] <= self.floor:
            entries = [entry for entry in entries if entry[0] > self.floor]
        self.ready += entries
        self.expected += len(events)
        self.last_us = max(self.last_us, events[-1].us)
        self.out_us = max(self.out_us, self.last_us)

    def _wait(self, first_seq: int, events: list[PackedEvent]) -> None:
        if not events:
            return
        if self.waiting_count + len(events) > self.waiting_limit:
            self.dropped += len(events)
            return
        insort(self.waiting, (first_seq, events), key=_time)
        self.waiting_count += len(events)

    def _absorb(self) -> None:
        """Takes in what waited, as far as there is no further gap."""
        end = 0
        for first_seq, events in self.waiting:
            if first_seq > self.expected:
                break
            self._append(first_seq, events)
            self.waiting_count -= len(events)
            end += 1
        del self.waiting[:end]

    def _meet_claim(self) -> None:
        if not self.gap:
            self.out_us = max(self.out_us, self.claim_us)

    def _place(self, replayed: Replayed) -> None:
        """Learns which seq comes first after the time that was asked for."""
        if replayed.events:
            self.expected = replayed.first_seq
        elif replayed.us >= self.asked[1]:
            self.expected = self.asked[0]
        self._absorb()

    def _skip(self) -> None:
        """Goes on behind a gap that the node cannot fill."""
        self.barren = 0
        seq = self.waiting[0][0] if self.waiting else self.asked[0]
        if self.expected != UNKNOWN:
            self.lost += max(seq - self.expected, 0)
        self.expected = max(seq, self.expected)
        self._absorb()
