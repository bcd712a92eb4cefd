"""Replay through the proxy: pages as the live stream would have them, whatever nodes answer, and filled gaps."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.config.objects import ProxySettings
from broker.errors import Code, Refusal
from broker.ledger import Ledger
from broker.messages import decode_request
from broker.messages.reporting import RequestReplayEvents
from broker.positions import OLDEST, Position, read_cursor
from broker.wire import ECHO, PackedEvent, PackedEvents, PackedReply, Replayed, make_cursor, pack
from proxy.replays import MAX_OPEN, Answers, Bounds, Replays, merge
from proxy.stream import MergeStream

T0 = 1_790_000_000
US = T0 * 1_000_000
Log = dict[str, list[PackedEvent]]


def event(node: str, us: int, flags: int = 0, tenant: int = 101, size: int = 0) -> PackedEvent:
    document = {"message": "EventX", "node": node, "us": us, "pad": "x" * size}
    return PackedEvent(us, flags, b"%d/interaction/EventX" % tenant, json.dumps(document).encode())


def logs(*events: PackedEvent) -> Log:
    found: Log = {"n1": [], "n2": [], "n3": []}
    for past in events:
        found[json.loads(past.payload)["node"]].append(past)
    return found


def node_answer(events: list[PackedEvent], after_us: int, limit: int, promise: int) -> Replayed:
    later = [past for past in events if past.us > after_us]
    more = len(later) > limit
    return Replayed(1, later[:limit], later[limit - 1].us if more else promise, more)


class Cluster:
    """Three nodes that answer at once, or when told to, and a stream that has begun (and come to ``promise``)."""

    def __init__(self, log: Log, promise: int = US + 1000, **options: Any) -> None:
        self.log = {name: list(events) for name, events in log.items()}
        self.promise = promise
        self.away: set[str] = set()
        self.held: list[Callable[[], None]] | None = None
        self.asked: list[tuple[str, str | None, int]] = []
        self.replies: list[bytes | Refusal] = []
        self.stream = MergeStream("p1", list(log))
        self.counts = Ledger()
        self.replays = Replays(self.stream, self.ask, log, ProxySettings(**options), self.counts)

    def begin(self) -> Cluster:
        for name in self.log:
            self.stream.heard(T0, PackedEvents(name, "primary", "active", 1, self.promise, 1, 1, []))
        self.stream.take()
        return self

    def ask(self, nodes: list[str], payload: bytes, deadline: float, done: Callable[[float, Answers], None]) -> None:
        request = decode_request(payload)
        assert isinstance(request, RequestReplayEvents) and request.start is not None
        (name,) = nodes
        self.asked.append((name, request.start, request.count))
        reply = node_answer(self.log[name], read_cursor(request.start).us, request.count, self.promise)
        answer = None if name in self.away else PackedReply(7, 0, 0, pack(reply))
        if self.held is None:
            done(T0, {name: answer})
        else:
            self.held.append(lambda: done(T0, {name: answer}))

    def replay(
        self, start: str | None = None, count: int = 1000, tenants: frozenset[int] | None = None
    ) -> dict[str, Any]:
        self.replays.replay(T0, RequestReplayEvents(start=start, count=count), tenants, self._reply)
        reply = self.replies.pop()
        assert isinstance(reply, bytes)
        document: dict[str, Any] = json.loads(reply)
        assert document.pop("message") == "EventReplayedEvents"
        return document

    def _reply(self, now: float, reply: bytes | Refusal) -> None:
        self.replies.append(reply)


def told(page: dict[str, Any]) -> list[str]:
    return [f"{past['node']}@{past['us'] - US}" + (" late" if past.get("late") else "") for past in page["events"]]


THREE = logs(
    event("n1", US + 10), event("n2", US + 20), event("n2", US + 30), event("n3", US + 30), event("n1", US + 40)
)


def test_pages_follow_each_other_from_the_oldest_to_the_last() -> None:
    # Given five events on three nodes; when they are read two by two
    cluster = Cluster(THREE).begin()
    first = cluster.replay(count=2)
    second = cluster.replay(first["cursor"], count=2)
    third = cluster.replay(second["cursor"], count=2)
    # Then they come in the stream's order, each page with the position of its last event
    assert told(first) == ["n1@10", "n2@20"] and first["cursor"] == make_cursor(US + 20, "n2") and first["more"]
    assert told(second) == ["n2@30", "n3@30"] and second["cursor"] == make_cursor(US + 30, "n3") and second["more"]
    assert told(third) == ["n1@40"] and "more" not in third
    # And every node was asked for what it has after that position
    assert cluster.asked[6:] == [(name, make_cursor(US + 30, name), 2) for name in ("n1", "n2", "n3")]
    # And at the end the position stays
    assert cluster.replay(third["cursor"]) == {"events": [], "cursor": third["cursor"], "complete": True}


def test_a_position_between_events_of_the_same_time() -> None:
    cluster = Cluster(THREE).begin()
    assert told(cluster.replay(make_cursor(US + 30, "n2"))) == ["n3@30", "n1@40"]
    assert cluster.asked == [
        ("n1", make_cursor(US + 30, "n1"), 1000),
        ("n2", make_cursor(US + 30, "n2"), 1000),
        ("n3", make_cursor(US + 29, "n3"), 1000),
    ]


def test_a_full_answer_of_one_node_ends_the_page() -> None:
    # Given n1 has many events, and its answer holds the first 1000 of them
    busy = logs(*(event("n1", US + number) for number in range(1, 1501)), event("n2", US + 1400))
    page = Cluster(busy, promise=US + 9999).begin().replay(count=5000)
    # Then n2's later event is not in the page: n1 has some that come before it
    assert len(page["events"]) == 1000 and page["more"] and page["cursor"] == make_cursor(US + 1000, "n1")


def test_echoes_and_other_tenants_are_left_out_but_the_cursor_goes_past_them() -> None:
    # Given one event that may be seen, and behind it only such that may not
    log = logs(
        event("n1", US + 10, tenant=102),
        event("n1", US + 20),
        event("n2", US + 30, flags=ECHO),
        event("n1", US + 40, tenant=1011),
    )
    page = Cluster(log).begin().replay(tenants=frozenset({101}))
    assert told(page) == ["n1@20"] and page["cursor"] == make_cursor(US + 40, "n1")
    # And a page of nothing that may be seen still leads on
    page = Cluster(log).begin().replay(page["cursor"], tenants=frozenset({999}))
    assert page == {"events": [], "cursor": make_cursor(US + 40, "n1"), "complete": True}
    # And the cluster's own events are for everybody
    log["n3"].append(event("n3", US + 50, tenant=0))
    assert told(Cluster(log).begin().replay(tenants=frozenset({999}))) == ["n3@50"]


def test_events_beyond_the_streams_position_are_not_given() -> None:
    # Given the stream has published up to 25
    cluster = Cluster(THREE, promise=US + 25).begin()
    cluster.promise = US + 1000
    page = cluster.replay()
    # Then a replay goes as far, and there is no more for now, though n2 has more
    assert told(page) == ["n1@10", "n2@20"] and "more" not in page
    cluster.log["n2"].append(event("n2", US + 35))
    page = cluster.replay(make_cursor(US + 10, "n1"), count=2)
    assert told(page) == ["n2@20"] and "more" not in page


def test_a_node_that_has_not_come_as_far_ends_the_page_unless_it_is_stalled() -> None:
    # Given n2 answers that it knows of nothing beyond 25; n1 has an event at 20 and one at 30
    answers: dict[str, Replayed | None] = {
        "n1": Replayed(1, [event("n1", US + 20), event("n1", US + 30)], US + 100, False),
        "n2": Replayed(1, [], US + 25, False),
    }
    start = Position(US + 10, "n2", {})
    page = merge(start, answers, Bounds(US + 50, 10, 10**6), None)
    assert [json.loads(payload)["us"] - US for payload in page.payloads] == [20]
    assert page.position == Position(US + 20, "n1", {})
    # When the stream goes on without n2, then so does the page, and the cursor says how far n2 has come
    page = merge(start, answers, Bounds(US + 50, 10, 10**6, {"n2"}), None)
    assert len(page.payloads) == 2 and page.position == Position(US + 30, "n1", {"n2": US + 25})


def test_what_a_node_was_not_asked_for_is_left_out() -> None:
    answers: dict[str, Replayed | None] = {
        "n1": Replayed(1, [event("n1", US + 9), event("n1", US + 10)], US + 50, False)
    }
    assert merge(Position(US + 10, "n1", {}), answers, Bounds(US + 50, 10, 10**6), None).payloads == []


def test_nothing_has_happened_yet() -> None:
    assert Cluster(logs()).begin().replay() == {"events": [], "complete": True}


def test_a_node_that_does_not_answer_is_named_and_the_cursor_stays_behind_for_it() -> None:
    # Given n2 is away
    cluster = Cluster(THREE).begin()
    cluster.away = {"n2"}
    page = cluster.replay(make_cursor(US + 15, "n1"))
    assert told(page) == ["n3@30", "n1@40"] and page["missing"] == ["n2"]
    assert page["cursor"] == make_cursor(US + 40, "n1", {"n2": US + 14})
    # When it is back, then its events come as late, and the cursor is plain again
    cluster.away = set()
    cluster.log["n1"].append(event("n1", US + 50))
    first = cluster.replay(page["cursor"], count=1)
    assert told(first) == ["n2@20 late"] and first["cursor"] == make_cursor(US + 40, "n1", {"n2": US + 20})
    second = cluster.replay(first["cursor"])
    assert told(second) == ["n2@30 late", "n1@50"] and second["cursor"] == make_cursor(US + 50, "n1")


def test_a_node_that_was_never_reached_is_behind_from_the_start() -> None:
    cluster = Cluster(THREE).begin()
    cluster.away = {"n2"}
    assert cluster.replay()["cursor"] == make_cursor(US + 40, "n1", {"n2": 0})


def test_no_node_answers() -> None:
    # Given all nodes are away; when more replays come than may be under way at once
    cluster = Cluster(THREE).begin()
    cluster.away = {"n1", "n2", "n3"}
    for _ in range(MAX_OPEN + 1):
        cluster.replays.replay(T0, RequestReplayEvents(), None, cluster._reply)
    # Then each is refused, and none is under way any more
    refusal = cluster.replies[MAX_OPEN]
    assert isinstance(refusal, Refusal) and refusal.code is Code.LOST_CONNECTION
    assert refusal.missing == ("n1", "n2", "n3")


@pytest.mark.parametrize(
    "start", ["", "x", "12", "x-n1", "12-n1;", "12-n1;n2", "12-n1;n2=x", "9" * 20 + "-n1", "9" * 5000 + "-n"]
)
def test_a_cursor_that_is_none(start: str) -> None:
    with pytest.raises(Refusal) as caught:
        Cluster(THREE).begin().replay(start)
    assert caught.value.code is Code.WRONG_VALUE and caught.value.field == "from"


def test_negative_and_unreadable_answers_count_as_missing() -> None:
    cluster = Cluster(THREE).begin()
    answers = iter([PackedReply(1, 0, 90, b"{}"), PackedReply(1, 0, 0, b"\xff rubbish")])
    plain = cluster.ask

    def ask(nodes: list[str], payload: bytes, deadline: float, done: Callable[[float, Answers], None]) -> None:
        if nodes == ["n1"]:
            plain(nodes, payload, deadline, done)
        else:
            done(T0, {nodes[0]: next(answers)})

    cluster.replays._ask = ask
    page = cluster.replay()
    assert told(page) == ["n1@10", "n1@40"] and page["missing"] == ["n2", "n3"] and cluster.counts["garbage"] == 1


def test_a_page_has_no_more_bytes_than_a_message() -> None:
    # Given events of about 1 kB and messages of at most 8 kB
    big = logs(*(event("n1", US + number, size=1000) for number in range(1, 21)))
    cluster = Cluster(big, max_message_size=8192).begin()
    seen, cursor, pages = [], None, 0
    while True:
        page = cluster.replay(cursor)
        assert len(json.dumps(page)) < 8192 and page["events"]
        seen += told(page)
        cursor, pages = page["cursor"], pages + 1
        if not page.get("more"):
            break
    assert seen == [f"n1@{number}" for number in range(1, 21)] and pages > 2
    # And one that is too big for any message comes alone
    huge = Cluster(logs(event("n1", US + 1, size=20_000), event("n1", US + 2)), max_message_size=8192).begin().replay()
    assert told(huge) == ["n1@1"] and huge["more"]


def test_a_replay_that_comes_before_the_stream_has_begun_waits_for_it() -> None:
    # Given a proxy that has just started
    cluster = Cluster(THREE)
    cluster.replays.replay(T0, RequestReplayEvents(), None, cluster._reply)
    cluster.replays.tick(T0)
    assert cluster.replies == [] and cluster.replays.wake_at == T0 + 10
    # When the stream begins, then it is answered
    cluster.begin().replays.tick(T0)
    (reply,) = cluster.replies
    assert isinstance(reply, bytes) and len(json.loads(reply)["events"]) == 5
    # And when it never begins, then it is refused at its deadline
    alone = Cluster(THREE)
    alone.replays.replay(T0, RequestReplayEvents(), None, alone._reply)
    alone.replays.tick(T0 + 10)
    assert isinstance(alone.replies[0], Refusal) and alone.replays.wake_at == float("inf")


def test_a_replay_waits_until_the_stream_has_settled() -> None:
    # Given n1's time is behind the other's, where the stream begins
    cluster = Cluster(THREE)
    for name, us in (("n1", US + 20), ("n2", US + 50), ("n3", US + 50)):
        cluster.stream.heard(T0, PackedEvents(name, "primary", "active", 1, us, 1, 1, []))
    assert cluster.stream.take() == [] and cluster.stream.position == US + 50
    cluster.replays.replay(T0, RequestReplayEvents(), None, cluster._reply)
    cluster.replays.tick(T0)
    assert cluster.asked == []
    # When n1 has come there, then a replay has all up to there
    cluster.stream.heard(T0, PackedEvents("n1", "primary", "active", 1, US + 50, 1, 1, []))
    cluster.replays.tick(T0)
    (reply,) = cluster.replies
    assert isinstance(reply, bytes) and len(json.loads(reply)["events"]) == 5


def test_replays_are_bounded() -> None:
    # Given as many replays as may be under way
    cluster = Cluster(THREE).begin()
    cluster.held = []
    for _ in range(MAX_OPEN):
        cluster.replays.replay(T0, RequestReplayEvents(), None, cluster._reply)
    with pytest.raises(Refusal) as caught:
        cluster.replays.replay(T0, RequestReplayEvents(), None, cluster._reply)
    assert caught.value.code is Code.BUSY and caught.value.retry_after == 0.1
    # When they are answered, then there is room again
    for answer in cluster.held:
        answer()
    assert len(cluster.replies) == MAX_OPEN
    cluster.held = None
    assert told(cluster.replay()) != []


def test_a_silent_stalled_node_is_not_asked() -> None:
    # Given n3 has been silent for so long that the stream goes on without it
    cluster = Cluster(THREE).begin()
    for tenth in range(1, 30):
        for name in ("n1", "n2"):
            heartbeat = PackedEvents(name, "primary", "active", 1, US + tenth * 100_000, 1, 1, [])
            cluster.stream.heard(T0 + tenth / 10, heartbeat)
        cluster.stream.tick(T0 + tenth / 10)
        cluster.stream.take()
    page = cluster.replay()
    # Then it is missing at once
    assert page["missing"] == ["n3"] and [name for name, _, _ in cluster.asked] == ["n1", "n2"]
    # When all are silent, then all are asked, for one may be there
    for tenth in range(30, 60):
        cluster.stream.tick(T0 + tenth / 10)
    assert cluster.stream.silent == {"n1", "n2", "n3"}
    assert len(cluster.replay()["events"]) == 5


def test_a_gap_of_the_live_stream_is_filled_from_the_node() -> None:
    # Given n1's event was lost on its way
    cluster = Cluster(logs(event("n1", US + 1500))).begin()
    for name in ("n1", "n2", "n3"):
        seq = 2 if name == "n1" else 1
        cluster.stream.heard(T0, PackedEvents(name, "primary", "active", 1, US + 2000, seq, seq, []))
    assert cluster.stream.take() == []
    cluster.promise = US + 2000
    cluster.replays.tick(T0)
    assert cluster.asked == [("n1", make_cursor(US + 1000, "n1"), 2000)]
    assert [cursor for _, cursor, _ in cluster.stream.take()] == [make_cursor(US + 1500, "n1").encode()]


# -- whatever the nodes have, whoever is away


times = st.lists(st.tuples(st.integers(1, 60), st.booleans(), st.sampled_from([101, 101, 102])), max_size=12)


def _log(drawn: dict[str, list[tuple[int, bool, int]]]) -> Log:
    return {
        name: [
            event(name, US + us, ECHO if echo else 0, tenant)
            for us, (echo, tenant) in sorted({us: (echo, tenant) for us, echo, tenant in found}.items())
        ]
        for name, found in drawn.items()
    }


@given(st.fixed_dictionaries({"n1": times, "n2": times, "n3": times}), st.data())
@settings(deadline=None, max_examples=200)
def test_a_reader_gets_every_event_once_whoever_is_away_meanwhile(
    drawn: dict[str, list[tuple[int, bool, int]]], data: st.DataObject
) -> None:
    # Given three nodes' events; when they are read page by page, and nodes are away for some pages
    cluster = Cluster(_log(drawn), promise=US + 100).begin()
    wanted = {
        (past.us, name)
        for name, events in cluster.log.items()
        for past in events
        if not past.flags & ECHO and past.topic.startswith(b"101/")
    }
    seen: list[tuple[int, str]] = []
    position = OLDEST
    for turn in range(60):
        cluster.away = data.draw(st.sets(st.sampled_from(["n1", "n2", "n3"]), max_size=2)) if turn < 12 else set()
        count = data.draw(st.integers(1, 5)) if turn < 12 else 5
        start = None if position == OLDEST else position.cursor()
        page = cluster.replay(start, count, frozenset({101}))
        assert len(page["events"]) <= count
        for past in page["events"]:
            assert bool(past.get("late")) == position.is_late(past["us"], past["node"])
            seen.append((past["us"], past["node"]))
        after = read_cursor(page["cursor"]) if "cursor" in page else OLDEST
        # Then the cursor says exactly what has been read
        assert {key for key in wanted if key[0] <= after.after(key[1])} == set(seen)
        stands = after == position
        position = after
        if turn >= 12 and not page.get("more"):
            break
        assert not (stands and page.get("more"))
    # And in the end all have been read, once
    assert sorted(seen) == sorted(wanted)


@given(st.fixed_dictionaries({"n1": times, "n2": times, "n3": times}), st.integers(0, 60), st.integers(1, 8))
@settings(deadline=None, max_examples=100)
def test_merge_is_the_sorted_whole(drawn: dict[str, list[tuple[int, bool, int]]], after: int, count: int) -> None:
    # Given what three nodes answer to an earlier position; when it is merged
    log, position = _log(drawn), Position(US + after, "n2", {})
    answers = {name: node_answer(log[name], position.after(name), 1000, US + 61) for name in log}
    page = merge(position, dict(answers), Bounds(US + 61, count, 10**6), None)
    # Then it is the beginning of the sorted whole
    every = [(past.us, name, past) for name, events in log.items() for past in events if not past.flags & ECHO]
    later = [past for us, name, past in sorted(every, key=lambda row: row[:2]) if (us, name) > (US + after, "n2")]
    assert page.payloads == [past.payload for past in later[:count]]
    assert page.more == (len(later) > count)
