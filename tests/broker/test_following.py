"""Following the stream: every event once and in its node's order, whatever was lost. No sockets, no clock."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from broker.following import MAX_KEPT_BACK, Following, after
from broker.messages.reporting import EventReplayedEvents, RequestReplayEvents
from broker.positions import OLDEST, Position, read_cursor, times_of
from broker.wire import make_cursor

BASE_US = 1_790_000_000_000_000


def event(node: str, seq: int, us: int, **parts: Any) -> bytes:
    said = {"message": "EventAgentLogin", "node": node, "seq": seq, "time": us / 1e6, "tenant_id": 101, **parts}
    return json.dumps(said).encode()


def cursor(us: int, node: str) -> str:
    return make_cursor(us, node)


def publish(follower: Following, node: str, seq: int, at: int, **parts: Any) -> None:
    us = BASE_US + at
    follower.published(b"101/agent/EventAgentLogin", cursor(us, node).encode(), event(node, seq, us, **parts))


def replay(follower: Following, *events: bytes, upto: int, node: str = "n2", **parts: Any) -> None:
    """Answers the question that the follower has."""
    assert follower.question() is not None
    raws = [Raw(payload) for payload in events]
    follower.replayed(EventReplayedEvents(events=raws, cursor=cursor(BASE_US + upto, node), **parts))


def seqs(follower: Following) -> list[tuple[str, int]]:
    said = [json.loads(followed.payload) for followed in follower.take()]
    return [(one["node"], one["seq"]) for one in said]


def live(start_at: int = 0) -> Following:
    """A follower that knows n1 up to seq 1, n2 up to seq 1."""
    follower = Following(cursor(BASE_US, "n2"))
    replay(follower, event("n1", 1, BASE_US + 1), event("n2", 1, BASE_US + 2), upto=3)
    assert seqs(follower) == [("n1", 1), ("n2", 1)] and follower.live
    return follower


def test_what_is_published_without_a_gap_is_given_out_as_it_came() -> None:
    # Given a follower that is live, when the next events are published
    follower = live()
    publish(follower, "n1", 2, 10)
    publish(follower, "n2", 2, 11)
    # Then they come out with the published topic and cursor, byte for byte
    first, second = follower.take()
    assert first == ("101/agent/EventAgentLogin", cursor(BASE_US + 10, "n1"), event("n1", 2, BASE_US + 10))
    assert second.cursor == cursor(BASE_US + 11, "n2") and follower.question() is None


def test_echoes_that_were_left_out_are_no_gap() -> None:
    # Given a follower that is live, when an event says that two echoes were before it
    follower = live()
    publish(follower, "n1", 4, 10, echoes=2)
    # Then nothing is missing
    assert seqs(follower) == [("n1", 4)] and follower.live


def test_a_gap_is_filled_before_the_event_that_shows_it() -> None:
    # Given a follower that is live, when seq 2 of n1 is lost and seq 3 comes, and then one of n2
    follower = live()
    publish(follower, "n1", 3, 12)
    publish(follower, "n2", 2, 13)
    # Then nothing is given out until a replay from the position has brought what is missing; nothing comes twice
    assert seqs(follower) == []
    replay(follower, event("n1", 2, BASE_US + 11), event("n1", 3, BASE_US + 12), upto=12)
    assert seqs(follower) == [("n1", 2), ("n1", 3), ("n2", 2)]


def test_a_gap_that_lies_before_events_of_others_is_filled_too() -> None:
    # Given that seq 2 of n1 was lost, and events of n2 were given out since
    follower = live()
    publish(follower, "n2", 2, 20)
    assert seqs(follower) == [("n2", 2)]
    publish(follower, "n1", 3, 30)
    # When the follower asks, then from where n1 was, not from where n2 is
    question = follower.question()
    assert question is not None and question.start is not None
    asked = read_cursor(question.start)
    assert asked.after("n1") == BASE_US + 3 and asked.after("n2") == BASE_US + 20


def test_the_first_event_of_a_node_is_checked() -> None:
    # Given a node that the follower has seen nothing of, when its event with seq 7 comes
    follower = live()
    publish(follower, "n3", 7, 10)
    # Then there may be others before it; only with seq 1 there cannot
    assert seqs(follower) == [] and not follower.live
    other = live()
    publish(other, "n3", 1, 10)
    assert seqs(other) == [("n3", 1)]


def test_a_gap_that_the_replay_does_not_fill_has_nothing_in_it() -> None:
    # Given a gap that retention has cut, when the replay comes back without it
    follower = live()
    publish(follower, "n1", 9, 12)
    replay(follower, upto=11)
    # Then the follower goes on, and does not ask for ever
    assert seqs(follower) == [("n1", 9)] and follower.question() is None


def test_what_came_after_the_question_is_not_covered_by_its_answer() -> None:
    # Given a question on its way, when an event comes that shows another gap
    follower = live()
    publish(follower, "n1", 3, 12)
    assert follower.question() is not None
    publish(follower, "n1", 6, 16)
    events = [Raw(event("n1", 2, BASE_US + 11)), Raw(event("n1", 3, BASE_US + 12))]
    follower.replayed(EventReplayedEvents(events=events, cursor=cursor(BASE_US + 12, "n2")))
    # Then it is asked again
    assert seqs(follower) == [("n1", 2), ("n1", 3)]
    missing = [event("n1", seq, BASE_US + 10 + seq) for seq in (4, 5, 6)]
    replay(follower, *missing, upto=17)
    assert seqs(follower) == [("n1", 4), ("n1", 5), ("n1", 6)]


def test_a_replay_of_several_pages_is_read_to_its_end() -> None:
    # Given more events than one page, when the first page says so
    follower = Following(None)
    replay(follower, event("n1", 1, BASE_US + 1), upto=1, node="n1", more=True)
    publish(follower, "n1", 3, 3)
    # Then the next page is asked from there, and what was published meanwhile comes after it
    question = follower.question()
    assert question is not None and question.start == cursor(BASE_US + 1, "n1")
    follower.replayed(EventReplayedEvents(events=[Raw(event("n1", 2, BASE_US + 2))], cursor=cursor(BASE_US + 2, "n1")))
    assert seqs(follower) == [("n1", 1), ("n1", 2), ("n1", 3)]


def test_a_node_that_is_missing_from_the_replay_is_in_arrears_alone() -> None:
    # Given a gap of n1, which does not answer the replay
    follower = live()
    publish(follower, "n1", 3, 12)
    publish(follower, "n2", 2, 13)
    assert follower.question() is not None
    behind = make_cursor(BASE_US + 13, "n2", {"n1": BASE_US + 3})
    follower.replayed(EventReplayedEvents(events=[Raw(event("n2", 2, BASE_US + 13))], cursor=behind, missing=["n1"]))
    # Then the other node's events go on, its own wait
    publish(follower, "n1", 4, 14)
    publish(follower, "n2", 3, 15)
    assert seqs(follower) == [("n2", 2), ("n2", 3)] and not follower.live
    # And when it takes part again, all of its own come, in their order
    late = [event("n1", seq, BASE_US + 9 + seq, late=True) for seq in (2, 3, 4)]
    replay(follower, *late, upto=15)
    assert seqs(follower) == [("n1", 2), ("n1", 3), ("n1", 4)] and follower.live


def test_late_events_of_a_stalled_node_pass_once() -> None:
    # Given a stream that goes on without n1
    follower = live()
    behind = make_cursor(BASE_US + 20, "n2", {"n1": BASE_US + 3}).encode()
    follower.published(b"101/agent/EventAgentLogin", behind, event("n2", 2, BASE_US + 20))
    # When n1 is back and what it has missed comes late
    late = make_cursor(BASE_US + 21, "n2", {"n1": BASE_US + 10}).encode()
    for _ in range(2):
        follower.published(b"101/agent/EventAgentLogin", late, event("n1", 2, BASE_US + 10, late=True))
    # Then it passes, once
    assert seqs(follower) == [("n2", 2), ("n1", 2)]


def test_a_proxys_own_words_pass_and_change_nothing() -> None:
    # Given a follower that is live, when the proxy says that its stream goes on without a node
    follower = live()
    said = {"message": "EventStreamStalled", "node": "p1", "seq": 0, "time": 1.0, "tenant_id": 0}
    follower.published(b"0/system/EventStreamStalled", b"0000000000000001-p1", json.dumps(said).encode())
    # Then that is given out, and the position stays
    assert [followed.topic for followed in follower.take()] == ["0/system/EventStreamStalled"]
    assert follower.position is not None and read_cursor(follower.position).us == BASE_US + 3


def test_events_of_the_state_that_the_start_is_ahead_with_are_not_doubled() -> None:
    # Given a start from a state in which n1 is ahead of the stream
    start = make_cursor(BASE_US + 10, "n2", {"n1": BASE_US + 30})
    follower = Following(start)
    assert follower.question() is not None
    follower.replayed(EventReplayedEvents(events=[], cursor=start))
    # When an event of n1 from before that comes, and others
    publish(follower, "n1", 1, 20)
    publish(follower, "n2", 1, 21)
    publish(follower, "n1", 2, 31, echoes=0)
    # Then the first is part of the state already; the cursor keeps that as long as it matters
    assert follower.question() is not None, "n1's first event needs a look, for its seq is not 1"
    follower.replayed(
        EventReplayedEvents(events=[Raw(event("n1", 2, BASE_US + 31))], cursor=cursor(BASE_US + 31, "n1"))
    )
    first, second = follower.take()
    assert read_cursor(first.cursor).after("n1") == BASE_US + 30 and second.cursor == cursor(BASE_US + 31, "n1")


def test_after_a_move_nothing_of_the_old_server_is_trusted() -> None:
    # Given events kept back from one proxy, when the client goes to another
    follower = live()
    publish(follower, "n1", 5, 15)
    follower.moved()
    # Then the replay of the new one decides, and what it has not come to yet is not skipped
    replay(follower, upto=10)
    assert seqs(follower) == []
    publish(follower, "n1", 2, 12)
    assert seqs(follower) == [("n1", 2)]


def test_a_question_without_an_answer_is_asked_again() -> None:
    # Given a question, when nobody answers it, then there is one again
    follower = live()
    follower.doubt()
    assert follower.question() is not None and follower.question() is None
    follower.unanswered()
    assert follower.question() is not None


def test_what_is_kept_back_is_bounded() -> None:
    # Given a replay that takes for ever, when more is published than is kept
    follower = live()
    follower.doubt()
    assert follower.question() is not None
    for number in range(MAX_KEPT_BACK + 1):
        publish(follower, "n1", 2 + number, 10 + number)
    # Then it is forgotten, and asked for
    follower.replayed(EventReplayedEvents(events=[], cursor=cursor(BASE_US + 3, "n2")))
    assert seqs(follower) == [] and follower.question() is not None


def test_nonsense_is_counted() -> None:
    # Given a follower, when something comes that is no event, then it is counted and nothing else happens
    follower = live()
    follower.published(b"x", b"y", b"no json")
    follower.published(b"\xff", b"y", event("n1", 2, BASE_US + 10))
    assert follower.unreadable == 2 and seqs(follower) == []


def test_a_wrong_cursor_is_refused() -> None:
    # Given something that is no cursor, when a follower is to start there, then it says so
    with pytest.raises(ValueError, match="cursor"):
        Following("yesterday")


@pytest.mark.parametrize(
    ("start", "us", "node", "expected"),
    [
        ("0000000000000100-n2", 120, "n1", "0000000000000120-n1"),
        ("0000000000000100-n2;n3=0000000000000050", 120, "n1", "0000000000000120-n1;n3=0000000000000050"),
        ("0000000000000100-n2;n3=0000000000000050", 70, "n3", "0000000000000100-n2;n3=0000000000000070"),
        ("0000000000000100-n2;n3=0000000000000050", 120, "n3", "0000000000000120-n3"),
        ("0000000000000100-n2;n1=0000000000000150", 120, "n2", "0000000000000120-n2;n1=0000000000000150"),
        ("0000000000000100-n2;n1=0000000000000150", 160, "n2", "0000000000000160-n2"),
    ],
)
def test_the_position_after_a_replayed_event(start: str, us: int, node: str, expected: str) -> None:
    # Given a position, when the next event of a replay is at (us, node), then the position after it is this
    assert after(read_cursor(start), us, node).cursor() == expected


# ---- against a model: a proxy that publishes, loses and replays as it likes


@dataclass
class Cluster:
    """Three nodes' events in the one order, published up to ``out`` by a proxy that may be without a node."""

    events: list[tuple[int, str, bytes]] = field(default_factory=list)
    seqs: dict[str, int] = field(default_factory=dict)
    out: int = 0

    def commit(self, node: str, echo: bool) -> None:
        us = BASE_US + 10 * (len(self.events) + 1)
        self.seqs[node] = self.seqs.get(node, 0) + 1
        echoes = 0
        for _, other, payload in reversed(self.events):
            if other == node:
                said = json.loads(payload)
                echoes = said.get("run", 0) if said.get("echo") else 0
                break
        parts = {"echo": True, "run": echoes + 1} if echo else {"echoes": echoes}
        self.events.append((us, node, event(node, self.seqs[node], us, **parts)))

    def publish(self) -> tuple[bytes, bytes, bytes] | None:
        us, node, payload = self.events[self.out]
        self.out += 1
        if json.loads(payload).get("echo"):
            return None
        return b"101/agent/EventAgentLogin", cursor(us, node).encode(), payload

    def replay(self, start: str | None, count: int, without: str | None) -> EventReplayedEvents:
        position = OLDEST if start is None else read_cursor(start)
        nodes = sorted({node for _, node, _ in self.events} - {without})
        stop = self.events[self.out - 1][0] if self.out else BASE_US
        found = [one for one in self.events if one[1] in nodes and position.after(one[1]) < one[0] <= stop]
        page, more = found[:count], len(found) > count
        base = (page[-1][0], page[-1][1]) if page else (position.us, position.node)
        us, node = max(base, (position.us, position.node))
        times = times_of(position, nodes)
        for name in nodes:
            times[name] = max(times[name], Position(*base, {}).base(name))
        if without is not None:
            times[without] = position.after(without)
        moved = position.moved(times, us, node)
        shown = [Raw(payload) for _, _, payload in page if not json.loads(payload).get("echo")]
        missing = [without] if without is not None else None
        return EventReplayedEvents(
            events=shown, cursor=None if moved == OLDEST else moved.cursor(), more=more, missing=missing
        )


NODES = st.sampled_from(["n1", "n2", "n3"])
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), NODES, st.booleans()),
        st.tuples(st.just("publish"), st.booleans(), st.none()),
        st.tuples(st.just("replay"), st.one_of(st.none(), NODES), st.integers(1, 4)),
        st.tuples(st.sampled_from(["doubt", "move", "lose replay"]), st.none(), st.none()),
    ),
    max_size=60,
)


class History:
    """A follower in the model's hands: what it has given out, and the question it has on its way."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.follower = Following(None)
        self.given_out: list[tuple[str, int]] = []
        self._asked: list[RequestReplayEvents] = []

    def do(self, act: str, what: Any, more: Any) -> None:
        """One act of the history; one that cannot be is none."""
        {
            "commit": lambda: self.cluster.commit(what, more),
            "publish": lambda: self._publish(lost=what),
            "replay": lambda: self.replay(more, what),
            "lose replay": self._lose_replay,
            "doubt": self.follower.doubt,
            "move": self.follower.moved,
        }[act]()
        self.given_out += seqs(self.follower)

    def _publish(self, *, lost: bool) -> None:
        if self.cluster.out < len(self.cluster.events):
            message = self.cluster.publish()
            if message is not None and not lost:
                self.follower.published(*message)

    def replay(self, count: int, without: str | None) -> bool:
        """Has the next question answered. False: there is none."""
        self._ask()
        if not self._asked:
            return False
        self.follower.replayed(self.cluster.replay(self._asked.pop().start, count, without))
        return True

    def _lose_replay(self) -> None:
        self._ask()
        if self._asked:
            self._asked.pop()
            self.follower.unanswered()

    def _ask(self) -> None:
        question = self.follower.question()
        if question is not None:
            self._asked.append(question)

    def heal(self) -> None:
        """All that is left is published and lost; then replays work until there is nothing to ask."""
        for _ in range(self.cluster.out, len(self.cluster.events)):
            self._publish(lost=True)
        self.follower.doubt()
        while self.replay(3, None):
            pass
        self.given_out += seqs(self.follower)

    def expected(self, node: str) -> list[int]:
        """The seqs of a node's events that are no echoes."""
        said = [json.loads(payload) for _, name, payload in self.cluster.events if name == node]
        return [one["seq"] for one in said if not one.get("echo")]


@settings(max_examples=300, deadline=None)
@given(ACTS)
def test_every_event_comes_once_and_in_its_nodes_order(acts: list[tuple[str, Any, Any]]) -> None:
    """Given any history of commits, lost messages, replays without a node, moves and lost answers, when at the end
    all is well, then the follower has given out every event that is no echo, once, each node's in order."""
    history = History()
    for act in acts:
        history.do(*act)
    history.heal()
    for node in history.cluster.seqs:
        assert [seq for name, seq in history.given_out if name == node] == history.expected(node)
    assert history.follower.live and history.follower.unreadable == 0
