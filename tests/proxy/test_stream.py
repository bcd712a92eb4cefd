"""The merged stream: order, gaps, failover, stalls, late events, bounds; and whatever order things are heard in."""

from __future__ import annotations

import json
from collections import deque
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.positions import Position, read_cursor
from broker.wire import ECHO, PackedEvent, PackedEvents, Replayed, make_cursor
from proxy.published import Published
from proxy.stream import Fetch, MergeStream

T0 = 1_790_000_000
US = T0 * 1_000_000


def event(node: str, us: int, seq: int, flags: int = 0, tenant: int = 101) -> PackedEvent:
    payload = json.dumps({"message": "EventX", "node": node, "seq": seq, "time": us / 1e6}).encode()
    return PackedEvent(us, flags, b"%d/interaction/EventX" % tenant, payload)


class Node:
    """A pair: its journal, its clock, and the epoch of the member that is active now."""

    def __init__(self, name: str, skew_us: int = 0) -> None:
        self.name = name
        self.skew_us = skew_us
        self.epoch = 1
        self.us = 0
        self.log: list[PackedEvent] = []

    def say(self, now_us: int, events: int = 0, echoes: int = 0) -> PackedEvents:
        """Commits some events (``echoes``: bits, which of them are) and publishes them; none: a heartbeat."""
        first_seq = len(self.log) + 1
        for number in range(events):
            self.us = max(self.us + 1, now_us + self.skew_us)
            self.log.append(event(self.name, self.us, len(self.log) + 1, ECHO if echoes >> number & 1 else 0))
        self.us = max(self.us, now_us + self.skew_us)
        return PackedEvents(
            self.name, "primary", "active", self.epoch, self.us, len(self.log) + 1, first_seq, self.log[first_seq - 1 :]
        )

    def answer(self, after_us: int, limit: int) -> Replayed:
        seqs = [seq for seq, past in enumerate(self.log, 1) if past.us > after_us]
        events = [self.log[seq - 1] for seq in seqs[:limit]]
        more = len(seqs) > limit
        return Replayed(seqs[0] if seqs else len(self.log) + 1, events, events[-1].us if more else self.us, more)


def hear(stream: MergeStream, now: float, *said: PackedEvents) -> list[Published]:
    """Everything is heard at once."""
    for published in said:
        stream.heard(now, published)
    return stream.take()


def names(published: list[Published]) -> list[str]:
    """``n1:3`` for event 3 of n1, ``n1:3 late``, and the names of system events."""
    told = []
    for _, _, payload in published:
        document = json.loads(payload)
        if document["seq"] == 0:
            told.append(document["message"] + " " + document["body"]["node"])
        else:
            told.append(f"{document['node']}:{document['seq']}" + (" late" if document.get("late") else ""))
    return told


def pair() -> tuple[Node, Node, MergeStream]:
    """Two nodes and a stream that has begun at T0."""
    one, two = Node("n1"), Node("n2")
    stream = MergeStream("p1", ["n1", "n2"], stall_timeout=2.0, buffer=1000)
    assert hear(stream, T0, one.say(US), two.say(US)) == []
    assert stream.position == US
    return one, two, stream


# -- order


def test_events_of_two_nodes_come_in_the_order_of_time_and_node() -> None:
    # Given two nodes; when both have published, in another order than that of their times
    one, two, stream = pair()
    said = [one.say(US + 10, 1), one.say(US + 30, 2), two.say(US + 20, 1), two.say(US + 30, 1), two.say(US + 40)]
    published = hear(stream, T0, *said, one.say(US + 40))
    # Then they come by time, at the same time by name, each with its own position as cursor
    assert names(published) == ["n1:1", "n2:1", "n1:2", "n2:2", "n1:3"]
    assert [cursor for _, cursor, _ in published[:3]] == [
        make_cursor(US + 10, "n1").encode(),
        make_cursor(US + 20, "n2").encode(),
        make_cursor(US + 30, "n1").encode(),
    ]
    assert published[0][0] == b"101/interaction/EventX"


def test_nothing_is_published_beyond_what_every_node_has_promised() -> None:
    # Given n1 has events up to 30 and n2 has promised up to 20
    one, two, stream = pair()
    published = hear(stream, T0, one.say(US + 10, 1), one.say(US + 30, 1), two.say(US + 20))
    # Then only what is at or below 20 is out; the rest comes with n2's next heartbeat
    assert names(published) == ["n1:1"]
    assert stream.position == US + 20
    assert names(hear(stream, T0, two.say(US + 35))) == ["n1:2"]


def test_echoes_are_left_out() -> None:
    one, two, stream = pair()
    published = hear(stream, T0, one.say(US + 10, 3, echoes=0b101), two.say(US + 50), one.say(US + 50))
    assert names(published) == ["n1:2"]


# -- the beginning


def test_what_was_before_the_latest_first_promise_is_history() -> None:
    # Given n1 was heard at 0 and has published since, n2 is heard first at 100
    one, two = Node("n1"), Node("n2")
    stream = MergeStream("p1", ["n1", "n2"])
    assert hear(stream, T0, one.say(US), one.say(US + 50, 1), one.say(US + 99, 1)) == []
    # Then the stream begins at 100, for every node
    assert hear(stream, T0 + 0.1, two.say(US + 100, 1)) == []
    assert stream.position == US + 100
    assert hear(stream, T0 + 0.1, one.say(US + 100, 1)) == []
    assert names(hear(stream, T0 + 0.1, one.say(US + 101, 1), two.say(US + 110))) == ["n1:4"]


def test_a_node_that_is_not_heard_holds_the_beginning_for_the_stall_timeout_at_most() -> None:
    # Given n2 is not heard
    one, two = Node("n1"), Node("n2")
    stream = MergeStream("p1", ["n1", "n2"], stall_timeout=2.0)
    hear(stream, T0, one.say(US))
    for tenth in range(1, 20):
        assert hear(stream, T0 + tenth / 10, one.say(US + tenth * 100_000, 1)) == []
    # When the timeout has passed, then the stream begins where n1 was first heard, and says that n2 is not in it
    published = hear(stream, T0 + 2.0, one.say(US + 2_000_000))
    assert names(published) == ["EventStreamStalled n2"] + [f"n1:{seq}" for seq in range(1, 20)]
    # And n2 may be behind by as much, as its clock is not known
    assert published[-1][1] == make_cursor(US + 1_900_000, "n1", {"n2": US - 2_000_000}).encode()
    # And what n2 has since published, heard or not, is fetched from there and comes late
    two.say(US + 700_000, 1)
    stream.heard(T0 + 2.1, two.say(US + 2_100_000, 1))
    assert stream.wanted() == [Fetch("n2", US - 2_000_000, 2000)]
    stream.fetched(T0 + 2.1, "n2", two.answer(US - 2_000_000, 2000))
    assert names(stream.take()) == ["n2:1 late", "EventStreamResumed n2"]
    assert names(hear(stream, T0 + 2.2, one.say(US + 2_200_000), two.say(US + 2_200_000))) == ["n2:2"]


def test_the_stream_does_not_begin_while_nobody_is_heard() -> None:
    stream = MergeStream("p1", ["n1", "n2"], stall_timeout=2.0)
    for second in range(10):
        stream.tick(T0 + second)
    assert stream.take() == [] and stream.position is None and stream.wake_at == float("inf")


def test_a_node_without_events_that_comes_after_the_beginning_needs_one_answer_only() -> None:
    # Given the stream began without n2, which has no events since
    one, two = Node("n1"), Node("n2")
    stream = MergeStream("p1", ["n1", "n2"], stall_timeout=2.0)
    two.say(US - 2_000_100, 2)
    hear(stream, T0, one.say(US))
    for tenth in range(1, 31):
        hear(stream, T0 + tenth / 10, one.say(US + tenth * 100_000))
    # When it comes and answers that there is nothing
    stream.heard(T0 + 3, two.say(US + 3_000_000))
    stream.fetched(T0 + 3, *_answered(stream, two))
    # Then its next event is in order, not late
    assert names(stream.take()) == ["EventStreamResumed n2"]
    assert names(hear(stream, T0 + 3, two.say(US + 3_000_001, 1), one.say(US + 3_000_002))) == ["n2:3"]


def test_an_answer_from_before_the_claim_places_nobody() -> None:
    # Given the stream began without n2, which then claims an event at 3 s; the answer is from before that
    one, two = Node("n1"), Node("n2")
    stream = MergeStream("p1", ["n1", "n2"], stall_timeout=2.0)
    hear(stream, T0, one.say(US))
    for tenth in range(1, 31):
        hear(stream, T0 + tenth / 10, one.say(US + tenth * 100_000))
    early = two.answer(US - 2_000_000, 2000)
    two.say(US + 3_000_000, 1)
    stream.heard(T0 + 3, two.say(US + 3_100_000))
    assert len(stream.wanted()) == 1
    stream.fetched(T0 + 3, "n2", early)
    # Then it is asked again, and the event is not lost
    assert stream.take() == []
    stream.tick(T0 + 3.1)
    stream.fetched(T0 + 3.1, *_answered(stream, two))
    assert names(stream.take()) == ["n2:1 late", "EventStreamResumed n2"]


def test_an_unheard_node_whose_clock_is_far_behind_is_late_from_its_first_promise_on() -> None:
    # Given the stream began without n2, whose clock is an hour behind
    one, two = Node("n1"), Node("n2", skew_us=-3_600_000_000)
    stream = MergeStream("p1", ["n1", "n2"], stall_timeout=2.0)
    two.say(US, 1)
    hear(stream, T0, one.say(US))
    for tenth in range(1, 31):
        hear(stream, T0 + tenth / 10, one.say(US + tenth * 100_000))
    # When it is heard, then nothing is asked, and what it says from now on comes late
    assert hear(stream, T0 + 3, two.say(US + 3_000_000)) == [] and stream.wanted() == []
    assert names(hear(stream, T0 + 3, two.say(US + 3_000_001, 1))) == ["n2:2 late"]
    # And it is not waited for, as it would never come to the position
    assert names(hear(stream, T0 + 3.1, one.say(US + 3_100_000, 1), two.say(US + 3_100_000))) == ["n1:1"]


def _answered(stream: MergeStream, node: Node) -> tuple[str, Replayed]:
    (fetch,) = stream.wanted()
    return fetch.node, node.answer(fetch.after_us, fetch.limit)


# -- gaps and failover


def test_a_lost_message_is_fetched_and_what_came_behind_it_waits() -> None:
    # Given event 2 of n1 is lost
    one, two, stream = pair()
    first, _, third = one.say(US + 10, 1), one.say(US + 20, 1), one.say(US + 30, 1)
    published = hear(stream, T0, first, third, two.say(US + 40), one.say(US + 40))
    # Then the stream stands at event 1 and asks n1 for what is after it, once
    assert names(published) == ["n1:1"] and stream.position == US + 10
    assert stream.wanted() == [Fetch("n1", US + 10, 2000)] and stream.wanted() == []
    # And the answer closes the gap; what came twice is dropped
    stream.fetched(T0, "n1", one.answer(US + 10, 2000))
    assert names(stream.take()) == ["n1:2", "n1:3"]
    assert stream.wanted() == [] and stream.counters["doubles"] == 1


def test_what_waits_is_put_in_order_and_nothing_of_it_is_left() -> None:
    # Given event 1 is lost, and what two members said behind it comes in another order
    one, two, stream = pair()
    one.say(US + 10, 1)
    second, third = one.say(US + 20, 2), one.say(US + 30, 1)
    assert hear(stream, T0, third, second, two.say(US + 40), one.say(US + 40)) == [] and stream.buffered == 3
    # When the gap is closed by an answer with just that event
    stream.fetched(T0, "n1", one.answer(US, 1))
    # Then all is there, and nothing has to be fetched
    assert names(stream.take()) == ["n1:1", "n1:2", "n1:3", "n1:4"]
    assert stream.wanted() == [] and stream.buffered == 0


def test_an_old_message_takes_nothing_back() -> None:
    # Given n1 has claimed event 2, which was lost; when an older message comes again
    one, two, stream = pair()
    first = one.say(US + 10, 1)
    one.say(US + 20, 1)
    hear(stream, T0, first, one.say(US + 30), first, two.say(US + 40))
    # Then the stream still stands before event 2, and asks for it
    assert stream.position == US + 10 and stream.wanted() == [Fetch("n1", US + 10, 2000)]


def test_a_lost_last_message_is_seen_by_the_next_heartbeat() -> None:
    one, two, stream = pair()
    one.say(US + 10, 1)
    assert hear(stream, T0, one.say(US + 20), two.say(US + 20)) == []
    stream.fetched(T0, *_answered(stream, one))
    assert names(stream.take()) == ["n1:1"]


def test_a_fetch_without_an_answer_is_repeated_with_pauses() -> None:
    one, two, stream = pair()
    one.say(US + 10, 1)
    hear(stream, T0, one.say(US + 20), two.say(US + 20))
    assert stream.wanted() != []
    stream.fetched(T0, "n1", None)
    assert stream.wanted() == [] and stream.wake_at == pytest.approx(T0 + 0.05)
    stream.tick(T0 + 0.06)
    stream.fetched(T0 + 0.06, *_answered(stream, one))
    assert names(stream.take()) == ["n1:1"]


def test_a_gap_in_pages() -> None:
    one, two, stream = pair()
    for at in range(10):
        one.say(US + 10 + at, 1)
    hear(stream, T0, one.say(US + 50), two.say(US + 50))
    for _ in range(4):
        (fetch,) = stream.wanted()
        stream.fetched(T0, "n1", one.answer(fetch.after_us, 3))
    assert names(stream.take()) == [f"n1:{seq}" for seq in range(1, 11)]


def test_events_that_the_node_has_no_more_are_skipped_and_counted() -> None:
    # Given n1 has cut events 1 to 3 from its journal, and 4 was heard
    one, two, stream = pair()
    for at in range(3):
        one.say(US + 10 + at, 1)
    hear(stream, T0, one.say(US + 50, 1), two.say(US + 60), one.say(US + 60))
    # When it has said three times that there is nothing before 4
    now = T0 + 0.0
    for _ in range(3):
        now += 0.3
        stream.tick(now)
        assert len(stream.wanted()) == 1
        stream.fetched(now, "n1", Replayed(4, one.log[3:], US + 60, False))
    # Then the stream goes on, and says how many were lost
    assert names(stream.take()) == ["n1:4"] and stream.counters["lost"] == 3


def test_after_a_failover_the_replaced_member_is_not_listened_to() -> None:
    # Given n1's backup took over as epoch 2 and went on after event 1
    one, two, stream = pair()
    old = one.say(US + 10, 1)
    one.epoch = 2
    new = one.say(US + 30, 1)
    # When a member of epoch 1 says other things about the same seqs
    wrong = PackedEvents("n1", "primary", "active", 1, US + 99, 9, 2, [event("n1", US + 35, 2)])
    published = hear(stream, T0, old, new, wrong, two.say(US + 50), one.say(US + 40))
    # Then only epoch 2's are published
    assert names(published) == ["n1:1", "n1:2"] and stream.position == US + 40
    assert published[1][1] == make_cursor(US + 30, "n1").encode() and stream.counters["stale"] == 1


def test_a_standby_promises_nothing() -> None:
    one, two, stream = pair()
    standby = PackedEvents("n1", "backup", "standby", 1, US + 99, 77, 77, [])
    assert hear(stream, T0, standby, two.say(US + 50)) == []
    assert stream.position == US and stream.wanted() == []


def test_a_broken_promise_makes_a_late_event_not_a_lost_one() -> None:
    # Given n1 promised 50, and its new member, on a host whose clock is behind, says event 1 at 40
    one, two, stream = pair()
    hear(stream, T0, one.say(US + 50), two.say(US + 50))
    broken = PackedEvents("n1", "backup", "active", 2, US + 41, 2, 1, [event("n1", US + 40, 1)])
    published = hear(stream, T0, broken, two.say(US + 60))
    # Then it is published, as late, and the cursor says how far n1 has come
    assert names(published) == ["n1:1 late"]
    assert published[0][1] == make_cursor(US + 50, "n2", {"n1": US + 40}).encode()


# -- stalls


def _silent(stream: MergeStream, node: Node, start: float, seconds: float) -> list[Published]:
    """Only one node is heard for some seconds, with an event each tenth."""
    published: list[Published] = []
    for tenth in range(1, round(seconds * 10) + 1):
        now = start + tenth / 10
        stream.tick(now)
        published += hear(stream, now, node.say(round(now * 1e6), 1))
    return published


def test_a_silent_node_holds_the_stream_for_the_timeout_and_no_longer() -> None:
    # Given n2 is silent; when 1.9 s have passed, then nothing is out
    one, _, stream = pair()
    assert _silent(stream, one, T0, 1.9) == []
    # When 2 s have passed, then the stream says so and goes on, and cursors say where n2 is
    published = _silent(stream, one, T0 + 1.9, 0.3)
    assert names(published) == ["EventStreamStalled n2"] + [f"n1:{seq}" for seq in range(1, 23)]
    topic, cursor, payload = published[0]
    assert topic == b"0/system/EventStreamStalled"
    assert json.loads(payload) == {
        "message": "EventStreamStalled", "node": "p1", "seq": 0, "time": T0, "tenant_id": 0,
        "body": {"node": "n2", "time": T0},
    }  # fmt: skip
    assert published[-1][1] == make_cursor(one.us, "n1", {"n2": US}).encode()
    assert stream.stalled == {"n2"} and stream.behind == {"n2": US} and stream.counters["stalls"] == 1


def test_what_a_stalled_node_says_later_comes_late_and_then_it_is_in_again() -> None:
    # Given n2 had two events that nobody heard, and was silent for 3 s
    one, two, stream = pair()
    two.say(US + 100, 2)
    _silent(stream, one, T0, 3)
    # When it is heard again, then it is not waited for until its gap is closed
    stream.heard(T0 + 3, two.say(US + 3_000_050, 1))
    assert names(_silent(stream, one, T0 + 3, 0.1)) == ["n1:31"]
    # And then its old events come late, in their order, and the new one in its place
    stream.fetched(T0 + 3.1, *_answered(stream, two))
    published = stream.take() + hear(stream, T0 + 3.2, two.say(US + 3_200_000), one.say(US + 3_200_000))
    assert names(published) == ["n2:1 late", "n2:2 late", "n2:3 late", "EventStreamResumed n2"]
    position = US + 3_100_000
    assert [cursor.decode() for _, cursor, _ in published] == [
        make_cursor(position, "n2", {"n2": US + 100}),
        make_cursor(position, "n2", {"n2": US + 101}),
        make_cursor(position, "n2", {"n2": US + 3_000_050}),
        make_cursor(position, "n2", {"n2": position}),
    ]
    assert stream.stalled == set()


def test_after_a_failover_most_events_are_not_late() -> None:
    # Given n2's member was killed and the other one takes over after 2.5 s
    one, two, stream = pair()
    _silent(stream, one, T0, 2.5)
    two.epoch = 2
    # When the new one has heard that n1 is a little ahead, it is waited for until it is there
    stream.heard(T0 + 2.5, two.say(US + 2_499_990))
    assert hear(stream, T0 + 2.51, one.say(US + 2_510_000, 1)) == []
    published = hear(stream, T0 + 2.52, two.say(US + 2_520_000, 1), one.say(US + 2_530_000))
    # Then its event is in order
    assert names(published) == ["EventStreamResumed n2", "n1:26", "n2:1"]


def test_a_node_that_falls_silent_while_it_returns_is_given_up_without_a_word() -> None:
    # Given n2 is back a little behind the position, so that the stream waits for it again
    one, two, stream = pair()
    _silent(stream, one, T0, 3)
    stream.heard(T0 + 3, two.say(US + 2_900_000))
    assert _silent(stream, one, T0 + 3, 1.9) == [] and stream.stalled == {"n2"}
    # When it is silent again for the timeout, then the stream goes on; that it stalled was said before
    published = _silent(stream, one, T0 + 4.9, 0.2)
    assert names(published) == [f"n1:{seq}" for seq in range(31, 52)] and stream.counters["stalls"] == 1
    assert stream.behind == {"n2": US + 2_900_000}


def test_a_node_that_falls_silent_before_it_came_to_the_beginning_loses_nothing() -> None:
    # Given n1's time is 1 s behind n2's where the stream begins; it has an event before it gets there, and is silent
    one, two = Node("n1"), Node("n2", skew_us=1_000_000)
    stream = MergeStream("p1", ["n1", "n2"], stall_timeout=2.0)
    hear(stream, T0, one.say(US), two.say(US))
    assert stream.position == US + 1_000_000 and not stream.settled and stream.behind == {"n1": US}
    one.say(US + 400_000, 1)
    assert names(_silent(stream, two, T0, 2.0))[0] == "EventStreamStalled n1"
    # When it is back, then the event comes late: the cursors since have said that it was to come
    stream.heard(T0 + 2.1, one.say(US + 2_100_000))
    stream.fetched(T0 + 2.1, *_answered(stream, one))
    assert names(stream.take()) == ["n1:1 late"]


def test_a_node_whose_time_creeps_is_as_good_as_silent() -> None:
    # Given n2's clock was set back: heartbeats come, events too, but its time goes on by single microseconds
    one, two, stream = pair()
    published: list[Published] = []
    for tenth in range(1, 25):
        published += hear(stream, T0 + tenth / 10, two.say(US - 10**9, 1), one.say(US + tenth * 100_000))
        stream.tick(T0 + tenth / 10)
    # Then it holds the stream for no longer than a silent one, and its further events are late
    told = names(published)
    assert told[:21] == [f"n2:{seq}" for seq in range(1, 22)]
    assert told[21:] == ["EventStreamStalled n2", "n2:22", "n2:23 late", "n2:24 late"]
    assert stream.position == US + 2_400_000


def test_an_open_gap_holds_the_stream_no_longer_than_silence() -> None:
    # Given n1 goes on to be heard, but never answers for its gap
    one, two, stream = pair()
    one.say(US + 10, 1)
    published: list[Published] = []
    for tenth in range(1, 23):
        published += hear(stream, T0 + tenth / 10, one.say(US + tenth * 100_000), two.say(US + tenth * 100_000, 1))
        stream.tick(T0 + tenth / 10)
        for fetch in stream.wanted():
            stream.fetched(T0 + tenth / 10, fetch.node, None)
    assert names(published)[0] == "EventStreamStalled n1" and "n2:20" in names(published)


def test_a_proxy_that_stood_still_takes_nobody_for_silent() -> None:
    # Given the proxy is stopped for a minute; when it goes on, it has heard nobody for a minute
    one, two, stream = pair()
    stream.tick(T0 + 60)
    # Then it does not say that they are silent before it has listened
    assert stream.take() == [] and stream.stalled == set()
    assert hear(stream, T0 + 60, one.say(US + 60_000_000), two.say(US + 60_000_000)) == []
    assert stream.position == US + 60_000_000


def test_all_silent_and_back() -> None:
    one, two, stream = pair()
    for tenth in range(1, 25):
        stream.tick(T0 + tenth / 10)
    assert names(stream.take()) == ["EventStreamStalled n1", "EventStreamStalled n2"]
    assert stream.wake_at == float("inf") and stream.position == US
    published = hear(stream, T0 + 3, one.say(US + 3_000_000, 1), two.say(US + 3_000_000, 1))
    assert names(published) == ["EventStreamResumed n1", "EventStreamResumed n2", "n1:1", "n2:1"]


def test_a_stalled_node_ahead_of_the_position_is_merged_in_its_place() -> None:
    # Given n3 holds at 10, n2 has published 20 and 30 and is silent as well
    one, two, three = Node("n1"), Node("n2"), Node("n3")
    stream = MergeStream("p1", ["n1", "n2", "n3"], stall_timeout=2.0)
    hear(stream, T0, one.say(US), two.say(US), three.say(US))
    hear(stream, T0, two.say(US + 20, 1), two.say(US + 30, 1))
    # When both are given up and n1 goes on
    published = []
    for tenth in range(1, 22):
        stream.tick(T0 + tenth / 10)
        at = US + (25 if tenth == 1 else tenth * 100_000)
        published += hear(stream, T0 + tenth / 10, one.say(at, 1))
    # Then n2's events are in their places, and it is behind only from where nothing of it is known
    assert names(published)[:5] == [
        "EventStreamStalled n2", "EventStreamStalled n3", "n2:1", "n1:1", "n2:2",
    ]  # fmt: skip
    cursors = [read_cursor(cursor.decode()).apart for _, cursor, _ in published[2:6]]
    assert cursors == [{"n3": US}, {"n3": US}, {"n3": US}, {"n2": US + 30, "n3": US}]


# -- bounds and rubbish


def test_a_full_buffer_ends_the_wait_early() -> None:
    # Given room for 10 events, and n2 holds the stream
    one, _ = Node("n1"), Node("n2")
    stream = MergeStream("p1", ["n1", "n2"], stall_timeout=600, buffer=10)
    hear(stream, T0, one.say(US), Node("n2").say(US))
    assert hear(stream, T0, one.say(US + 10, 10)) == []
    # When an eleventh comes, then the stream goes on without n2
    published = hear(stream, T0, one.say(US + 100, 1))
    assert names(published) == ["EventStreamStalled n2"] + [f"n1:{seq}" for seq in range(1, 12)]
    assert stream.buffered == 0


def test_a_node_with_an_open_gap_does_not_return() -> None:
    # Given room for 10 events, and n1 is given up because its gap holds too much
    one, two = Node("n1"), Node("n2")
    stream = MergeStream("p1", ["n1", "n2"], stall_timeout=600, buffer=10)
    hear(stream, T0, one.say(US), two.say(US))
    one.say(US + 10, 1)
    assert names(hear(stream, T0, one.say(US + 20), two.say(US + 20, 11)))[0] == "EventStreamStalled n1"
    # When it is heard again, then it does not hold the stream before its gap is closed
    assert names(hear(stream, T0, one.say(US + 40), two.say(US + 50, 1))) == ["n2:12"]
    stream.fetched(T0, *_answered(stream, one))
    assert names(stream.take()) == ["n1:1 late"]


def test_the_last_node_that_moves_the_stream_is_never_given_up() -> None:
    # Given room for 10 events; n2, an hour ahead, has 8 of them waiting and is silent; n1 has others behind a gap
    one, two = Node("n1"), Node("n2", skew_us=3_600_000_000)
    stream = MergeStream("p1", ["n1", "n2"], stall_timeout=2.0, buffer=20)
    hear(stream, T0, one.say(US), Node("n2").say(US))
    hear(stream, T0, two.say(US, 18))
    _silent(stream, one, T0, 2.2)
    assert stream.stalled == {"n2"} and stream.buffered == 18
    one.say(US + 2_300_000, 1)
    for number in range(5):
        hear(stream, T0 + 2.3, one.say(US + 2_300_100 + number, 1))
    # Then n1 still moves the stream, though there is too much
    assert stream.buffered > 20 and stream.stalled == {"n2"}


def test_what_waits_behind_a_gap_is_bounded_and_comes_by_fetching() -> None:
    # Given room for 20 events, a gap, and 50 events behind it
    one, two = Node("n1"), Node("n2")
    stream = MergeStream("p1", ["n1", "n2"], stall_timeout=600, buffer=20)
    hear(stream, T0, one.say(US), two.say(US))
    one.say(US + 1, 1)
    for at in range(50):
        stream.heard(T0, one.say(US + 10 + at, 1))
    assert stream.buffered <= 20 and stream.counters["dropped"] > 0
    # When the gap is filled page by page, then all come, once
    published = hear(stream, T0, one.say(US + 100), two.say(US + 100))
    while wanted := stream.wanted():
        stream.fetched(T0, "n1", one.answer(wanted[0].after_us, 5))
        published += stream.take()
    assert names(published) == [f"n1:{seq}" for seq in range(1, 52)]


def test_the_wait_for_the_beginning_is_bounded_too() -> None:
    one = Node("n1")
    stream = MergeStream("p1", ["n1", "n2"], stall_timeout=600, buffer=10)
    assert hear(stream, T0, one.say(US), one.say(US + 10, 10)) == []
    assert names(hear(stream, T0, one.say(US + 30, 1)))[:2] == ["EventStreamStalled n2", "n1:1"]


def test_a_node_that_comes_is_let_in_with_what_it_has_said_since_a_stall_timeout() -> None:
    # Given a stream, and a node that has said something three seconds ago and one second ago
    one, two, stream = pair()
    third = Node("n3")
    third.say(US, 1)
    hear(stream, T0 + 3, one.say(US + 3_000_000), two.say(US + 3_000_000))
    third.say(US + 2_000_000, 1)
    # When it comes to belong to the stream; then the stream goes on without it, and says so in its cursors only
    stream.join(T0 + 3, "n3")
    assert names(hear(stream, T0 + 3.1, one.say(US + 3_100_000, 1), two.say(US + 3_100_000))) == ["n1:1"]
    assert stream.behind == {"n3": US + 1_000_000} and stream.stalled == {"n3"} and stream.silent == set()
    # And when it is heard, and has answered; then the later of the two comes late, and it is in
    hear(stream, T0 + 3.1, third.say(US + 3_150_000, 1))
    (fetch,) = stream.wanted()
    assert (fetch.node, fetch.after_us) == ("n3", US + 1_000_000)
    stream.fetched(T0 + 3.1, "n3", third.answer(fetch.after_us, fetch.limit))
    published = stream.take()
    assert names(published) == ["n3:2 late", "EventStreamResumed n3"]
    assert read_cursor(published[0][1].decode()).after("n3") == US + 2_000_000
    assert names(hear(stream, T0 + 3.2, *(node.say(US + 3_200_000) for node in (one, two, third)))) == ["n3:3"]
    assert stream.stalled == set() and stream.last_node == "n3"


def test_a_node_that_comes_before_the_stream_has_begun_is_waited_for_like_the_others() -> None:
    # Given a stream of one node that was not heard; when a second one comes, and only the first is heard
    stream, one, two = MergeStream("p1", ["n1"]), Node("n1"), Node("n2")
    stream.join(T0, "n2")
    assert hear(stream, T0, one.say(US)) == [] and stream.position is None
    # Then it begins when the second one is
    hear(stream, T0 + 0.1, two.say(US + 100_000))
    assert stream.position == US + 100_000


def test_what_is_here_of_a_node_that_goes_is_published_in_its_place() -> None:
    # Given events of n2, one of the time already passed and one ahead of n1
    one, two, stream = pair()
    _silent(stream, one, T0, 3.0)
    assert stream.position is not None and stream.stalled == {"n2"}
    passed = event("n2", US + 100, 1)
    ahead = event("n2", stream.position + 500_000, 2)
    said = PackedEvents("n2", "primary", "active", 1, ahead.us, 3, 1, [passed, ahead])
    stream.heard(T0 + 3.0, said)
    # When n2 goes; then the one comes late, and the other when the stream is there; nothing is waited for
    stream.part(T0 + 3.0, "n2")
    assert names(stream.take()) == ["n2:1 late"]
    assert stream.buffered == 1
    published = hear(stream, T0 + 4.0, one.say(US + 4_000_000, 1))
    assert names(published) == ["n2:2", "n1:31"]
    assert (stream.buffered, stream.behind, stream.stalled) == (0, {}, set())
    # And what is heard of it later is nobody's; cursors only rise, though the last name is another one
    assert names(hear(stream, T0 + 4.1, two.say(US + 4_100_000, 3), one.say(US + 4_100_000))) == []
    assert stream.last_node == "n2"


def test_a_node_that_does_not_belong_here_is_counted() -> None:
    one, two, stream = pair()
    assert hear(stream, T0, Node("n9").say(US + 10, 5), one.say(US + 20), two.say(US + 20)) == []
    stream.fetched(T0, "n9", None)
    assert stream.counters["unknown"] == 1


numbers = st.integers(-(2**62), 2**62)


@given(
    st.lists(
        st.builds(
            PackedEvents,
            node=st.sampled_from(["n1", "n2", "n9"]),
            member=st.just("primary"),
            role=st.sampled_from(["active", "active", "standby", "rubbish"]),
            epoch=st.integers(-1, 2),
            us=numbers,
            next_seq=numbers | st.integers(-3, 5),
            first_seq=numbers | st.integers(-3, 5),
            events=st.lists(st.builds(PackedEvent, numbers, st.integers(0, 3), st.binary(), st.binary()), max_size=4),
        ),
        max_size=12,
    ),
    st.data(),
)
@settings(deadline=None, max_examples=100)
def test_rubbish_of_nodes_raises_nothing(said: list[PackedEvents], data: st.DataObject) -> None:
    stream = MergeStream("p1", ["n1", "n2"], stall_timeout=1.0, buffer=5)
    for number, published in enumerate(said):
        stream.heard(T0 + number / 3, published)
        stream.tick(T0 + number / 3)
        for fetch in stream.wanted():
            events = data.draw(
                st.lists(st.builds(PackedEvent, numbers, st.just(0), st.binary(), st.binary()), max_size=3)
            )
            stream.fetched(T0 + number / 3, fetch.node, Replayed(data.draw(numbers), events, data.draw(numbers), False))
        stream.take()
        assert stream.buffered <= 5 + 5 or len(stream.stalled) >= 1
        assert stream.wake_at >= T0


# -- whatever order things are heard in


class Reader:
    """A proxy's stream and what is on its way to it: of each member in its order, the members in any."""

    def __init__(self, nodes: list[Node], stall_timeout: float, buffer: int) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.stream = MergeStream("p1", list(self.nodes), stall_timeout, buffer)
        self.coming: dict[tuple[str, int], deque[PackedEvents]] = {}
        self.fetches: list[Fetch] = []
        self.published: list[Published] = []

    @property
    def begin(self) -> int:
        assert self.stream.began_us is not None
        return self.stream.began_us

    def send(self, said: PackedEvents) -> None:
        self.coming.setdefault((said.node, said.epoch), deque()).append(said)

    def deliver(self, now: float, which: int, twice: bool) -> None:
        open_links = [link for link in sorted(self.coming) if self.coming[link]]
        if open_links:
            said = self.coming[open_links[which % len(open_links)]].popleft()
            for _ in range(1 + twice):
                self.stream.heard(now, said)

    def answer(self, now: float, which: int, page: int) -> None:
        self.fetches += self.stream.wanted()
        if self.fetches:
            fetch = self.fetches.pop(which % len(self.fetches))
            node = self.nodes[fetch.node]
            self.stream.fetched(now, fetch.node, node.answer(fetch.after_us, page) if page else None)

    def take(self, now: float) -> None:
        self.stream.tick(now)
        self.published += self.stream.take()

    def finish(self, now: float, said: list[PackedEvents]) -> None:
        """Everything that is on its way comes, and every gap is answered for."""
        for published in said:
            self.send(published)
        while any(self.coming.values()):
            self.deliver(now, 0, False)
        self.fetches += self.stream.wanted()
        while self.fetches:
            self.answer(now, 0, 3)
            self.fetches += self.stream.wanted()
        self.take(now)

    def events(self) -> list[tuple[int, str, bool]]:
        """``(us, node, late)`` of each published event."""
        found = []
        for _, _, payload in self.published:
            document = json.loads(payload)
            if document["seq"]:
                found.append((round(document["time"] * 1e6), document["node"], document.get("late", False)))
        return found


steps = st.one_of(
    st.tuples(st.just("say"), st.integers(0, 2), st.integers(1, 6), st.integers(0, 63), st.integers(0, 3)),
    st.tuples(st.just("say"), st.integers(0, 2), st.just(0), st.just(0), st.integers(0, 3)),
    st.tuples(st.just("fail over"), st.integers(0, 2)),
    st.tuples(st.just("deliver"), st.integers(0, 1), st.integers(0, 5), st.booleans()),
    st.tuples(st.just("deliver"), st.integers(0, 1), st.integers(0, 5), st.just(False)),
    st.tuples(st.just("hear all"), st.integers(0, 1)),
    st.tuples(st.just("answer"), st.integers(0, 1), st.integers(0, 2), st.integers(0, 3)),
    st.tuples(st.just("take"), st.integers(0, 1)),
    st.tuples(st.just("join")),
    st.tuples(st.just("pass"), st.integers(0, 600)),
)


Script = list[tuple[Any, ...]]


def play(nodes: list[Node], readers: list[Reader], script: Script, tempo: float) -> tuple[float, int]:
    """Plays a script: what nodes say, what is lost on the way to whom, what comes when. Returns the times at its end,
    the readers' and the nodes'.

    The second reader hears only what is said after it has joined. ``tempo``: seconds that a millisecond of ``pass``
    takes for the readers.
    """
    now, us = float(T0), US
    joined = readers[:1]
    for what, *how in script:
        if what == "say":
            node, events, echoes, losses = nodes[how[0]], *how[1:]
            us += 1
            said = node.say(us, events, echoes)
            for number, reader in enumerate(joined):
                if not losses >> number & 1:
                    reader.send(said)
        elif what == "fail over":
            nodes[how[0]].epoch += 1
        elif what == "join":
            joined = readers
        elif what == "pass":
            now += how[0] / 1000 * tempo
            us += how[0] * 1000
        else:
            _read(readers[how[0] % len(readers)], now, what, *how[1:])
    return now, us


def _read(reader: Reader, now: float, what: str, *how: int) -> None:
    if what == "deliver":
        reader.deliver(now, how[0], bool(how[1]))
    elif what == "hear all":
        while any(reader.coming.values()):
            reader.deliver(now, 0, False)
    elif what == "answer":
        reader.answer(now, how[0], how[1])
    else:
        reader.take(now)


def wanted_after(nodes: list[Node], us: int) -> list[tuple[int, str, bool]]:
    """The stream as it should be, from ``us`` on."""
    every = [(past.us, node.name, False) for node in nodes for past in node.log if not past.flags & ECHO]
    return sorted(found for found in every if found[0] > us)


@given(st.lists(steps, min_size=30, max_size=90))
@settings(deadline=None, max_examples=100)
def test_two_proxies_publish_the_same_events_in_the_same_order(script: Script) -> None:
    # Given three nodes and two proxies that begin at different times
    nodes = [Node(f"n{number}") for number in (1, 2, 3)]
    readers = [Reader(nodes, 600.0, 10_000) for _ in range(2)]
    # When messages are lost, come twice, in different groups and orders, across failovers, and gaps are filled late
    now, us = play(nodes, readers, script, tempo=0.001)
    for number in range(3):
        us += 1000
        said = [node.say(us, int(number < 2)) for node in nodes]
        for reader in readers:
            reader.finish(now + number, said)
    # Then each publishes exactly what is after its beginning, in order, and so both publish the same
    for reader in readers:
        assert reader.events() == wanted_after(nodes, reader.begin)
        cursors = [cursor.decode() for _, cursor, _ in reader.published]
        assert cursors == [make_cursor(us, node) for us, node, _ in reader.events()]


SMALL = [0, 30_000, -30_000]
skews_of_three = st.lists(st.sampled_from(SMALL), min_size=3, max_size=3) | st.lists(
    st.sampled_from([*SMALL, -5_000_000, 5_000_000]), min_size=3, max_size=3
)


@given(
    st.lists(steps, min_size=30, max_size=90),
    skews_of_three,
    st.sampled_from([5, 1000, 1000]),
)
@settings(deadline=None, max_examples=100)
def test_with_stalls_nothing_is_lost_or_doubled_and_cursors_are_true(
    script: Script,
    skews: list[int],
    buffer: int,
) -> None:
    # Given nodes with clocks that differ, a stall timeout that passes often, and buffers that run over
    nodes = [Node(f"n{number}", skew) for number, skew in zip((1, 2, 3), skews, strict=True)]
    readers = [Reader(nodes, 1.0, buffer) for _ in range(2)]
    now, _ = play(nodes, readers, script, tempo=1.0)
    # When all are heard again for 8 s
    for number in range(32):
        now += 0.25
        for reader in readers:
            reader.finish(now, [node.say(round(now * 1e6), int(number < 3)) for node in nodes])
    for reader in readers:
        _check_stalls(reader, nodes)
        if all(skew in SMALL for skew in skews):
            cursors = [cursor for _, cursor, payload in reader.published if json.loads(payload)["seq"]]
            assert [pair for pair in pairwise(cursors) if pair[0] > pair[1]] == []
        if all(skew in SMALL for skew in skews) and buffer > 5:
            assert reader.stream.stalled == set()


def _check_stalls(reader: Reader, nodes: list[Node]) -> None:
    events, begin = reader.events(), reader.begin
    keys = [(us, name) for us, name, _ in events]
    # Then every event is there, once; what is there of before the beginning is late
    assert len(set(keys)) == len(keys)
    assert {(us, name) for us, name, _ in wanted_after(nodes, begin)} == {key for key in keys if key[0] > begin}
    assert all(late for us, _, late in events if us <= begin)
    # And those in time are in order, each node's as well
    in_time = [(us, name) for us, name, late in events if not late]
    assert in_time == sorted(in_time)
    for node in nodes:
        own = [us for us, name in keys if name == node.name]
        assert own == sorted(own)
    _check_cursors(reader, nodes, begin)


def _check_cursors(reader: Reader, nodes: list[Node], begin: int) -> None:
    """Each cursor says exactly what has been published by then; late is what stands before its base."""
    every = {(us, name) for us, name, _ in wanted_after(nodes, 0)}
    published = {(us, name) for us, name, _ in reader.events()}
    out: set[tuple[int, str]] = set()
    said: dict[str, str] = {}
    before: Position | None = None
    for _, cursor, payload in reader.published:
        document, position = json.loads(payload), read_cursor(cursor.decode())
        step: set[tuple[int, str]] = set()
        if document["seq"]:
            us, name = round(document["time"] * 1e6), document["node"]
            step = {(us, name)}
            if document.get("late"):
                assert position.is_late(us, name) and position.apart[name] == us
            else:
                assert (us, name) == position[:2] and name not in position.apart
        else:
            node, message = document["body"]["node"], document["message"]
            assert said.get(node, "EventStreamResumed") != message
            said[node] = message
        # Since the last cursor just this event has come behind the position, and all in all just those published
        if before is not None and all(node.skew_us in SMALL for node in nodes):
            passed = {key for key in every if before.after(key[1]) < key[0] <= position.after(key[1])}
            assert step == {key for key in passed if key[0] > begin or key in published}
            assert all(before.after(node.name) <= position.after(node.name) for node in nodes)
        out |= step
        assert {key for key in every if begin < key[0] <= position.after(key[1])} == {
            key for key in out if key[0] > begin
        }
        before = position
