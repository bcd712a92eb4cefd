"""The state at one cursor: nodes answer at times of their own, the proxy brings all parts to one position."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.board import Board, merged_agents, merged_queues
from broker.config.objects import ProxySettings
from broker.errors import Code, Refusal
from broker.ledger import Ledger
from broker.messages import EVENTS, encode
from broker.messages.kinds import AgentPart, InteractionPart, ReportingEvent
from broker.messages.objects import STATES
from broker.messages.reporting import EventPlaceAgentState, RequestStartPlaceAgentStateReportingAll
from broker.positions import read_cursor
from broker.wire import ECHO, PackedEvent, PackedEvents, PackedReply, make_cursor
from proxy import states, watches
from proxy.replays import Answers
from proxy.states import MAX_OPEN, States
from proxy.stream import MergeStream

T0 = 1_790_000_000
US = T0 * 1_000_000


class Node:
    """A node: its events, and what it has now."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.board = Board()
        self.log: list[PackedEvent] = []

    def does(self, us: int, event: str, *, echo: bool = False, tenant: int = 101, **parts: Any) -> PackedEvents:
        """Something happens, and is published."""
        kind: type[ReportingEvent] = EVENTS[event]
        seq = len(self.log) + 1
        payload = encode(kind(node=self.name, seq=seq, time=us / 1e6, tenant_id=tenant, echo=echo, **parts))
        self.board.apply(payload)
        self.log.append(PackedEvent(us, ECHO if echo else 0, b"%d/x/%b" % (tenant, event.encode()), payload))
        return PackedEvents(self.name, "primary", "active", 1, us, seq + 1, seq, self.log[-1:])

    def beats(self, us: int) -> PackedEvents:
        return PackedEvents(self.name, "primary", "active", 1, us, len(self.log) + 1, 0, [])

    def state(self, us: int) -> PackedReply:
        agents = list(self.board.agents.values())
        reply = EventPlaceAgentState(cursor=make_cursor(us, self.name), agents=agents, queues=self.board.queues)
        return PackedReply(1, 0, 0, encode(reply))


class Proxy:
    """Two nodes and a stream that has begun; questions to nodes are kept until they are answered."""

    def __init__(self) -> None:
        self.nodes = {name: Node(name) for name in ("n1", "n2")}
        self.asked: list[tuple[list[str], bytes, Callable[[float, Answers], None]]] = []
        self.replies: list[dict[str, Any] | Refusal] = []
        self.stream = MergeStream("p1", list(self.nodes), stall_timeout=2.0)
        self.counts = Ledger()
        self.states = States(self.stream, self._ask, self.nodes, ProxySettings(), self.counts)
        self.hear(*(node.beats(US) for node in self.nodes.values()))

    def _ask(self, nodes: list[str], payload: bytes, deadline: float, done: Callable[[float, Answers], None]) -> None:
        self.asked.append((nodes, payload, done))

    def hear(self, *said: PackedEvents, now: float = T0) -> None:
        for published in said:
            self.stream.heard(now, published)
        self.stream.take()
        self.states.tick(now)

    def start(self, tenants: frozenset[int] | None = None, tenant_id: int | None = None) -> None:
        request = RequestStartPlaceAgentStateReportingAll(tenant_id=tenant_id)
        self.states.state(T0, request, tenants, self._reply)

    def _reply(self, now: float, reply: bytes | Refusal) -> None:
        self.replies.append(reply if isinstance(reply, Refusal) else json.loads(reply))

    def answer(self, answers: Answers, now: float = T0) -> None:
        self.asked.pop(0)[2](now, answers)


def agent(name: str = "VICKY", **part: Any) -> AgentPart:
    return AgentPart(agent_id=name, **part)


def call(ident: str, state: int, queue: str = "In") -> InteractionPart:
    return InteractionPart(
        interaction_id=ident,
        media_type="voice",
        interaction_state=state,
        queue=queue,
        priority=0,
        is_online=1,
        received_at=1.0,
        submitted_at=1.0,
    )


def test_parts_of_different_times_are_brought_to_one_position() -> None:
    # Given n1 answered at 10, right after a call, and n2 at 120; in between each has had one more
    proxy = Proxy()
    one, two = proxy.nodes.values()
    proxy.start()
    proxy.hear(one.does(US + 10, "EventInteractionSubmitted", interaction=call("a", 0)))
    first = one.state(US + 10)
    proxy.hear(one.does(US + 110, "EventInteractionSubmitted", interaction=call("b", 0)))
    proxy.hear(two.does(US + 115, "EventInteractionSubmitted", interaction=call("c", 0)))
    proxy.answer({"n1": first, "n2": two.state(US + 120)})
    # When the stream has not come to 120, then there is no answer yet
    assert proxy.replies == []
    proxy.hear(two.beats(US + 130), one.beats(US + 119))
    assert proxy.replies == []
    # When it has, then all three calls are counted at its position, once
    proxy.hear(one.does(US + 121, "EventInteractionSubmitted", interaction=call("d", 0)), one.beats(US + 125))
    counts = {"queued": 4, "cached": 0, "routing": 0, "handling": 0}
    assert proxy.replies == [
        {
            "message": "EventPlaceAgentState",
            "cursor": make_cursor(US + 125, "n2"),
            "agents": [],
            "queues": {"101": {"In": counts}},
            "complete": True,
        }
    ]


def test_echoes_bring_a_nodes_part_forward_too() -> None:
    # Given n2 spoke for the agent, n1 only echoed; n1's answer is from before it logged the agent out as an echo
    proxy = Proxy()
    one, two = proxy.nodes.values()
    proxy.hear(two.does(US + 1, "EventAgentLogin", agent=agent(media={"voice": 1})), one.beats(US + 1))
    proxy.hear(one.does(US + 2, "EventAgentLogin", agent=agent(media={"voice": 1}), echo=True), two.beats(US + 2))
    proxy.start()
    before = one.state(US + 10)
    proxy.hear(one.does(US + 11, "EventAgentLogout", agent=agent(), echo=True))
    proxy.hear(two.does(US + 12, "EventAgentLogout", agent=agent()))
    proxy.answer({"n1": before, "n2": two.state(US + 20)})
    proxy.hear(one.beats(US + 30), two.beats(US + 30))
    # Then the agent is not there
    (reply,) = proxy.replies
    assert isinstance(reply, dict) and reply["agents"] == []


def test_an_agent_on_both_nodes_is_shown_once_without_internal_marks() -> None:
    proxy = Proxy()
    one, two = proxy.nodes.values()
    proxy.hear(two.does(US + 1, "EventAgentLogin", agent=agent(session="n2-1", media={"voice": 1})))
    proxy.hear(one.does(US + 2, "EventAgentLogin", agent=agent(session="n1-2", media={"chat": 0}), echo=True))
    proxy.start()
    proxy.answer({"n1": one.state(US + 3), "n2": two.state(US + 3)})
    proxy.hear(one.beats(US + 3), two.beats(US + 3))
    (reply,) = proxy.replies
    assert isinstance(reply, dict)
    assert reply["agents"] == [
        {"agent_id": "VICKY", "session": "n2-1", "media": {"chat": 0, "voice": 1}, "tenant_id": 101}
    ]


def test_a_session_sees_its_tenants_only() -> None:
    # Given agents and calls of two tenants
    proxy = Proxy()
    one, two = proxy.nodes.values()
    for tenant in (101, 102):
        proxy.hear(one.does(US + tenant, "EventAgentLogin", agent=agent(f"A{tenant}"), tenant=tenant))
        proxy.hear(one.does(US + tenant, "EventInteractionSubmitted", interaction=call(f"c{tenant}", 0), tenant=tenant))
    # When sessions of one, of both, of both that ask for one, and of all tenants ask
    one_tenant, both = frozenset({101}), frozenset({101, 102})
    asked = [(one_tenant, None), (both, None), (both, 102), (None, 102), (None, None)]
    for tenants, tenant_id in asked:
        proxy.start(tenants, tenant_id)
        proxy.answer({"n1": one.state(US + 300), "n2": two.state(US + 300)})
    proxy.hear(one.beats(US + 300), two.beats(US + 300))
    seen = [[agent["tenant_id"] for agent in reply["agents"]] for reply in proxy.replies if isinstance(reply, dict)]
    assert seen == [[101], [101, 102], [102], [102], [101, 102]]
    assert [list(reply["queues"]) for reply in proxy.replies if isinstance(reply, dict)] == [
        [str(tenant) for tenant in found] for found in seen
    ]
    # And one who asks for a foreign tenant is told that there is none
    with pytest.raises(Refusal) as caught:
        proxy.start(frozenset({101}), 102)
    assert caught.value.code is Code.UNKNOWN_TENANT and caught.value.field == "tenant_id"


def test_a_node_that_does_not_answer_is_missing() -> None:
    proxy = Proxy()
    one, two = proxy.nodes.values()
    proxy.hear(one.does(US + 1, "EventAgentLogin", agent=agent(), echo=True), two.beats(US + 1))
    for answers in ({"n1": one.state(US + 1)}, {"n1": one.state(US + 1), "n2": None}):
        proxy.start()
        proxy.answer(dict(answers))
    # An error and rubbish count as silence
    proxy.start()
    proxy.answer({"n1": one.state(US + 1), "n2": PackedReply(1, 0, 90, b"{}")})
    for rubbish in (b"{}", b"\xff", b'{"message":"EventPlaceAgentState","cursor":"x","agents":[],"queues":{}}'):
        proxy.start()
        proxy.answer({"n1": one.state(US + 1), "n2": PackedReply(1, 0, 0, rubbish)})
    # Then what others have is shown, and that it is not all; the agent's speaking node may be the missing one
    assert len(proxy.replies) == 6 and proxy.counts["garbage"] == 3
    for reply in proxy.replies:
        assert isinstance(reply, dict) and not reply["complete"] and reply["missing"] == ["n2"]
        assert [agent["agent_id"] for agent in reply["agents"]] == ["VICKY"]


def test_no_node_answers() -> None:
    proxy = Proxy()
    proxy.start()
    proxy.answer({"n1": None, "n2": None})
    (refusal,) = proxy.replies
    assert isinstance(refusal, Refusal) and refusal.code is Code.LOST_CONNECTION and refusal.missing == ("n1", "n2")
    assert proxy.stream._watches == []


def test_a_node_that_stalls_after_its_answer_stands_in_the_cursor_with_its_own_time() -> None:
    # Given n2 has answered at 500 and is not heard any more; the stream had come to 400 of it
    proxy = Proxy()
    one, two = proxy.nodes.values()
    proxy.hear(one.beats(US + 400), two.beats(US + 400))
    proxy.start()
    two.does(US + 450, "EventInteractionSubmitted", interaction=call("lost on the way", 0))
    proxy.answer({"n1": one.state(US + 600), "n2": two.state(US + 500)})
    for tenth in range(1, 25):
        proxy.stream.tick(T0 + tenth / 10)
        proxy.hear(one.beats(US + tenth * 100_000), now=T0 + tenth / 10)
    # When the stream goes on without it, then the answer says that n2's part is true at 500
    (reply,) = proxy.replies
    assert isinstance(reply, dict) and reply["queues"]["101"]["In"]["queued"] == 1
    position = read_cursor(reply["cursor"])
    assert position.us == US + 2_000_000 and position.apart == {"n2": US + 500}


def test_a_node_whose_clock_is_ahead_does_not_hold_the_answer_for_ever() -> None:
    # Given n2's time is an hour ahead
    proxy = Proxy()
    one, two = proxy.nodes.values()
    proxy.start()
    proxy.answer({"n1": one.state(US + 10), "n2": two.state(US + 3_600_000_000)})
    proxy.hear(one.beats(US + 20), two.beats(US + 3_600_000_000))
    assert proxy.replies == [] and proxy.states.wake_at == T0 + 10
    # When the deadline has come, then the answer is given, with n2's own time
    proxy.states.tick(T0 + 10)
    (reply,) = proxy.replies
    assert isinstance(reply, dict) and reply["cursor"] == make_cursor(US + 20, "n2", {"n2": US + 3_600_000_000})


def test_a_state_before_the_stream_has_settled_waits_for_it() -> None:
    # Given a proxy that has just started, with n1's time a little behind n2's
    proxy = Proxy()
    proxy.stream = proxy.states._stream = MergeStream("p1", ["n1", "n2"])
    one, two = proxy.nodes.values()
    proxy.start()
    assert proxy.asked == []
    proxy.hear(one.does(US + 10, "EventAgentLogin", agent=agent("EARLY")), two.beats(US + 30))
    # When the stream has begun at 30, then the nodes are not asked before n1 has come there as well
    proxy.hear(one.does(US + 20, "EventAgentLogin", agent=agent("HISTORY")))
    assert proxy.stream.position == US + 30 and proxy.asked == []
    proxy.hear(one.beats(US + 31))
    proxy.answer({"n1": one.state(US + 32), "n2": two.state(US + 33)})
    proxy.hear(one.beats(US + 40), two.beats(US + 40))
    (reply,) = proxy.replies
    assert isinstance(reply, dict)
    assert [agent["agent_id"] for agent in reply["agents"]] == ["EARLY", "HISTORY"]
    # And where it does not begin, it is refused at the deadline
    proxy.stream = proxy.states._stream = MergeStream("p1", ["n1", "n2"])
    proxy.start()
    assert proxy.states.wake_at == T0 + 10
    proxy.states.tick(T0 + 10)
    assert isinstance(proxy.replies[-1], Refusal) and proxy.states._open == []


def test_states_and_what_they_keep_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given as many as may be under way
    proxy = Proxy()
    one, two = proxy.nodes.values()
    for _ in range(MAX_OPEN):
        proxy.start()
    with pytest.raises(Refusal) as caught:
        proxy.start()
    assert caught.value.code is Code.BUSY
    # When more is published meanwhile than is kept, then all are told to come again
    monkeypatch.setattr(watches, "WATCHED", 3)
    for number in range(1, 5):
        proxy.hear(
            one.does(US + number, "EventInteractionSubmitted", interaction=call(str(number), 0)), two.beats(US + number)
        )
    for _ in range(MAX_OPEN):
        proxy.answer({"n1": one.state(US + 4), "n2": two.state(US + 4)})
    assert [reply.code for reply in proxy.replies if isinstance(reply, Refusal)] == [Code.BUSY] * MAX_OPEN
    assert proxy.stream._watches == [] and proxy.states._open == []
    assert states.MAX_OPEN == MAX_OPEN


# -- whenever nodes answer


deeds = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(1, 3),
        st.sampled_from(["login", "logout", "media", "submit", "take", "stop", "beat", "beat", "answer"]),
        st.integers(0, 2),
    ),
    max_size=60,
)


@given(deeds, st.integers(0, 60))
@settings(deadline=None, max_examples=200)
def test_the_answer_is_the_state_at_its_cursor(found: list[tuple[int, int, str, int]], start: int) -> None:
    # Given two nodes where agents and calls come and go, and a state that is asked for at some moment
    proxy = Proxy()
    nodes = list(proxy.nodes.values())
    us, answers = US, dict[str, PackedReply | None]()
    for number, (which, gap, deed, ident) in enumerate(found):
        us += gap
        if number == start:
            proxy.start()
        if deed == "answer" and number > start:
            answers.setdefault(nodes[which].name, nodes[which].state(us))
        elif deed == "beat":
            proxy.hear(nodes[which].beats(us))
        elif deed != "answer":
            proxy.hear(*_done(nodes[which], us, deed, f"{which}-{ident}"))
    # When all have answered, at times of their own, and the stream has come there
    if start >= len(found):
        proxy.start()
    for node in nodes:
        answers.setdefault(node.name, node.state(us + 1))
    proxy.answer(answers)
    proxy.hear(*(node.beats(us + 2) for node in nodes))
    # Then the answer is what all events up to its cursor make
    (reply,) = proxy.replies
    assert isinstance(reply, dict)
    assert reply == json.loads(encode(_state_at(nodes, reply["cursor"])))


def _state_at(nodes: list[Node], cursor: str) -> EventPlaceAgentState:
    """All events of the nodes up to the cursor, applied from the start."""
    position, boards = read_cursor(cursor), []
    for node in nodes:
        boards.append(Board())
        for past in node.log:
            if past.us <= position.after(node.name):
                boards[-1].apply(past.payload)
    return EventPlaceAgentState(
        cursor=cursor, agents=merged_agents(boards, complete=True), queues=merged_queues(boards), complete=True
    )


def _done(node: Node, us: int, deed: str, ident: str) -> list[PackedEvents]:
    """One deed at a node, where it is possible there."""
    board = node.board
    key, where = (101, ident, ""), board._moving.get(ident)
    if deed == "login" and key not in board.agents:
        return [node.does(us, "EventAgentLogin", agent=agent(ident, media={"voice": 1}))]
    if deed == "logout" and key in board.agents:
        return [node.does(us, "EventAgentLogout", agent=agent(ident))]
    if deed == "media" and key in board.agents:
        return [node.does(us, "EventMediaAdded", agent=agent(ident, media={"voice": 1, "email": 0}))]
    if deed == "submit" and where is None:
        return [node.does(us, "EventInteractionSubmitted", interaction=call(ident, 0))]
    if deed == "take" and where is not None:
        state = (where[1] + 1) % len(STATES)
        moved = call(ident, state, "Out" if state == 2 else "In")
        return [node.does(us, "EventPlacedInQueue", interaction=moved, old_queue=where[0], old_state=where[1])]
    if deed == "stop" and where is not None:
        ended = call(ident, where[1], where[0] or "")
        return [node.does(us, "EventProcessingStopped", interaction=ended, old_queue=where[0], old_state=where[1])]
    return []
