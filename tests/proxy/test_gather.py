"""Asks: one end each, with an answer or None for every node, whatever is lost, doubled or late."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.ledger import Ledger
from broker.wire import LISTED, PackedEvents, PackedReplies, PackedReply, Rows
from proxy.gather import PROXY, READER, Answers, Asker, Gather
from proxy.links import Links, Patience
from proxy.sessions import hello

NODES = ("n1", "n2", "n3")
NOW = 1000.0
DEADLINE_S = 5.0
PAYLOAD = b'{"message":"RequestPing"}'


class Bench:
    """A gather with linked nodes; what came of asks, and the numbers that were sent."""

    def __init__(self, nodes: tuple[str, ...] = NODES, limit: int = 1000) -> None:
        self.counts = Ledger()
        self.links = Links(
            dict.fromkeys(nodes, 30.0), hello("p1", "b"), lambda client: b"{}", Patience(10.0), self.counts
        )
        self.gather = Gather("p1", self.links, self.counts, limit)
        self.gather.now = NOW
        self.ended: list[tuple[str, float, Answers]] = []
        for node in nodes:
            said = PackedEvents(node, "primary", "active", 1, 1, 1, 1, [])
            self.links.heard(NOW, said)
        sent, _ = self.links.take()
        for (node, member), requests in sent.items():
            self.links.replies(NOW, node, member, PackedReplies(1, [PackedReply(requests[0].number, 0, 0, b"{}")]))

    def ask(self, name: str, nodes: tuple[str, ...] = NODES, asker: Asker = READER) -> int:
        """Asks nodes; returns the number."""

        def done(now: float, answers: Answers) -> None:
            self.ended.append((name, now, answers))

        self.gather.ask(nodes, PAYLOAD, self.gather.now + DEADLINE_S, done, asker)
        return self.links._numbers.last

    def answer(self, node: str, number: int, payload: bytes = b"{}", *, client: int = 0) -> None:
        """A node answers."""
        self.take(node, PackedReply(number, client, 0, payload))

    def take(self, node: str, said: PackedReply) -> None:
        """What a node has sent."""
        for reply in self.links.replies(self.gather.now, node, "primary", PackedReplies(1, [said])):
            self.gather.answer(node, reply)
        self.gather.settle(self.gather.now)

    def pass_to(self, now: float) -> None:
        """Time passes."""
        self.gather.now = now
        self.gather.tick(now)
        self.gather.settle(now)


@pytest.fixture
def bench() -> Bench:
    """Three nodes, all linked."""
    return Bench()


def test_an_ask_ends_when_all_have_answered(bench: Bench) -> None:
    # given an ask of three nodes
    number = bench.ask("a")
    # when two have answered, and then the third
    bench.answer("n1", number)
    bench.answer("n3", number)
    assert bench.ended == []
    bench.answer("n2", number)
    # then it ends, once, with three answers
    ((name, now, answers),) = bench.ended
    assert (name, now, set(answers)) == ("a", NOW, set(NODES))
    assert None not in answers.values() and len(bench.gather) == 0


def test_an_ask_ends_at_its_deadline_with_what_has_come(bench: Bench) -> None:
    # given an ask that one node answers
    number = bench.ask("a")
    bench.answer("n2", number)
    # when its deadline comes
    bench.pass_to(NOW + DEADLINE_S - 0.001)
    assert bench.ended == [] and bench.gather.wake_at == NOW + DEADLINE_S
    bench.pass_to(NOW + DEADLINE_S)
    # then it ends with None for the others, whose late answers are counted and change nothing
    ((_, _, answers),) = bench.ended
    assert [node for node, reply in answers.items() if reply is None] == ["n1", "n3"]
    bench.answer("n1", number)
    assert len(bench.ended) == 1 and bench.counts["late reply"] == 1
    assert bench.gather.wake_at == float("inf")


def test_a_node_that_is_given_up_ends_an_ask_that_others_have_answered(bench: Bench) -> None:
    # given an ask that all but one have answered
    number = bench.ask("a")
    bench.answer("n1", number)
    bench.answer("n2", number)
    # when the link to that one gives up
    bench.gather.silent("n3", number)
    bench.gather.settle(NOW)
    # then the ask is over, and a second giving up changes nothing
    bench.gather.silent("n3", number)
    bench.gather.settle(NOW)
    ((_, _, answers),) = bench.ended
    assert answers["n3"] is None and answers["n1"] is not None


def test_nodes_that_are_gone_are_not_asked() -> None:
    # given nodes of which one was never heard, after the patience with it is over
    bench = Bench(("n1",))
    bench.links.links["n9"] = type(bench.links.links["n1"])("n9", 30.0)
    # when it is asked, alone and with another
    alone = bench.ask("alone", ("n9",))
    number = bench.ask("both", ("n1", "n9"))
    bench.gather.settle(NOW)
    # then the first ask ends without having been sent, the second with the other's answer
    assert [name for name, _, _ in bench.ended] == ["alone"] and alone < number
    bench.answer("n1", number)
    assert bench.ended[1][2]["n9"] is None and bench.ended[1][2]["n1"] is not None


@pytest.mark.parametrize("payload", [b"\x93\x01", b"", b"{}", b"[1]", b'{"message":"Event', b'{"message":"Request"}'])
def test_an_answer_that_is_no_message_of_a_node_is_silence(bench: Bench, payload: bytes) -> None:
    # given an ask for a client, one of the proxy itself, and one whose answer is read by who asks
    for asker, expected in ((Asker(7), None), (PROXY, None), (READER, payload)):
        number = bench.ask("a", ("n1",), asker)
        # when the answer is no message of a node
        bench.answer("n1", number, payload, client=asker.client)
        # then the node counts as silent for all but the reader
        reply = bench.ended[-1][2]["n1"]
        assert (reply and reply.payload) == expected
    assert bench.counts["garbage"] == 2
    # and the ledger has the node, and what it was asked
    assert {(entry.peer, entry.name) for entry in bench.counts.last()} == {("n1", "RequestPing")}


CLIENT = Asker(7, reads=True)
LIST = PackedReply(0, 7, 0, b"", Rows([b"1"], [b"{}"], False))
OBJECT = PackedReply(0, 7, 0, b'{"message":"EventAck"}')
REFUSAL = PackedReply(0, 7, 62, b'{"message":"EventError"}')


@pytest.mark.parametrize(
    ("flags", "reply", "counts"),
    [
        (LISTED, LIST, True),
        (LISTED, OBJECT, False),
        (LISTED, REFUSAL, True),
        (LISTED, PackedReply(0, 7, 62, b"\xff"), False),
        (LISTED, PackedReply(0, 7, 0, b"", Rows([b"1", b"2"], [b"{}"], False)), False),
        (0, LIST, False),
        (0, OBJECT, True),
        (0, REFUSAL, True),
    ],
)
def test_rows_answer_those_who_have_asked_for_rows(bench: Bench, flags: int, reply: PackedReply, counts: bool) -> None:
    # given an ask for a client, for rows or for a message
    number = bench.ask("a", ("n1",), Asker(7, flags))
    # when a node answers with rows, with a message, or with a refusal
    bench.take("n1", replace(reply, number=number))
    # then what was not asked for is silence, and a refusal always counts
    assert (bench.ended[-1][2]["n1"] is not None) is counts
    assert bench.counts["garbage"] == (not counts)


def test_what_follows_from_an_end_may_ask_again(bench: Bench) -> None:
    # given an ask whose end asks the next
    ends: list[int] = []

    def done(now: float, answers: Answers) -> None:
        ends.append(len(ends))
        if len(ends) < 5:
            bench.gather.ask(("n9",), PAYLOAD, now, done)

    bench.links.links["n9"] = type(bench.links.links["n1"])("n9", 30.0)
    # when each ends at once, because nobody is there
    bench.gather.ask(("n9",), PAYLOAD, NOW, done)
    assert ends == []
    bench.gather.settle(NOW)
    # then each has ended, and none inside of asking
    assert ends == [0, 1, 2, 3, 4]


def test_deadlines_of_what_was_answered_take_no_room(bench: Bench) -> None:
    # given thousands of asks
    # when all are answered at once
    for _ in range(5000):
        bench.answer("n1", bench.ask("a", ("n1",)))
    # then what is left of them is bounded
    assert len(bench.ended) == 5000
    assert len(bench.gather._deadlines) <= 1001


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_every_ask_ends_once_with_what_a_plain_model_says(data: Any) -> None:
    # given asks of some nodes, and answers that come in any order, are lost, doubled, or late
    bench = Bench()
    some = st.lists(st.sampled_from(NODES), min_size=1, max_size=3, unique=True)
    asks = [bench.ask(str(at), tuple(data.draw(some))) for at in range(data.draw(st.integers(1, 5)))]
    numbers = dict(enumerate(asks))
    asked = {at: set(bench.gather._open[number].nodes) for at, number in numbers.items()}
    expected: dict[int, dict[str, bytes | None]] = {at: dict.fromkeys(nodes) for at, nodes in asked.items()}
    event = st.tuples(st.sampled_from(sorted(numbers)), st.sampled_from(NODES), st.binary(min_size=1, max_size=2))
    # when they have come, and then the deadline
    for at, node, text in data.draw(st.lists(event, max_size=20)):
        bench.answer(node, numbers[at], text)
        if node in expected[at] and expected[at][node] is None:
            expected[at][node] = text
    ended_before = {name for name, _, _ in bench.ended}
    bench.pass_to(NOW + DEADLINE_S)
    # then each has ended once, at once where all had answered, with the first answer of every node
    ended = {
        int(name): {node: reply and reply.payload for node, reply in answers.items()}
        for name, _, answers in bench.ended
    }
    assert ended == expected
    assert len(bench.ended) == len(asks)
    assert ended_before == {str(at) for at, answers in expected.items() if None not in answers.values()}
    assert len(bench.gather) == 0 and all(not link.open for link in bench.links.links.values())


def test_a_node_that_leaves_too_many_unanswered_is_answered_for():
    """Given a node with as many open requests as it may have, when a client's next one comes, then it is busy there and
    the others are asked; the proxy's own requests go through."""
    bench = Bench(limit=3)
    for number in range(3):
        bench.ask(str(number), ("n2",), CLIENT)
    number = bench.ask("last", NODES, CLIENT)
    for node in ("n1", "n3"):
        bench.answer(node, number, client=7)
    ((name, _, answers),) = bench.ended

    assert name == "last"
    assert {node: reply.code for node, reply in answers.items()} == {"n1": 0, "n2": 91, "n3": 0}
    busy = json.loads(answers["n2"].payload)
    assert (busy["request"], busy["retry_after"]) == ("RequestPing", 0.5)
    sent = bench.links.take()[0]
    assert len([entry for entry in sent["n2", "primary"] if entry.client]) == 4  # an introduction, and three requests
    bench.ask("own", ("n2",))
    assert len(bench.links.take()[0]["n2", "primary"]) == 1
