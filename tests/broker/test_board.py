"""The picture of agents and queues: what each event moves, one node's part, and all nodes' together."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker import board as module
from broker.board import Board, merged_agents, merged_queues
from broker.messages import EVENTS, encode
from broker.messages.kinds import AgentPart, InteractionPart, ReportingEvent
from broker.messages.objects import HANDLING, QUEUED, ROUTING, STATES
from broker.messages.reporting import AgentState, EventPlaceAgentState

EMPTY = {"queued": 0, "cached": 0, "routing": 0, "handling": 0}


def happened(
    name: str, ident: str, state: int, queue: str | None = "In", tenant: int = 101, **parts: Any
) -> ReportingEvent:
    """An event about an interaction that is in ``state`` and ``queue`` after it."""
    part = InteractionPart(
        interaction_id=ident,
        media_type="voice",
        interaction_state=state,
        queue=queue,
        priority=0,
        is_online=1,
        received_at=1.0,
        submitted_at=1.0,
    )
    return EVENTS[name](node="n1", seq=1, time=1.0, tenant_id=tenant, interaction=part, **parts)


def did(
    name: str, agent: str | None = "VICKY", place: str | None = None, *, echo: bool = False, **part: Any
) -> ReportingEvent:
    """An event about an agent who is as ``part`` says after it."""
    about = AgentPart(agent_id=agent, place_id=place, **part)
    return EVENTS[name](node="n1", seq=1, time=1.0, tenant_id=101, agent=about, echo=echo)


def after(*events: ReportingEvent, state: EventPlaceAgentState | None = None) -> Board:
    board = Board()
    if state is not None:
        board.load(state)
    for event in events:
        assert board.apply(encode(event))
    return board


def loaded(**counts: int) -> EventPlaceAgentState:
    return EventPlaceAgentState(cursor="1-n1", agents=[], queues={"101": {"In": EMPTY | counts}})


# -- queues


def test_a_call_from_submit_to_stop() -> None:
    # Given a call that is queued, given to a strategy, accepted by an agent, and stopped
    story = [
        happened("EventInteractionSubmitted", "a", QUEUED),
        happened("EventTakenFromQueue", "a", ROUTING, old_queue="In", old_state=QUEUED),
        happened("EventPartyAdded", "a", ROUTING),
        happened("EventAgentInvited", "a", ROUTING),
        happened("EventPartyRemoved", "a", ROUTING),
        happened("EventPartyAdded", "a", HANDLING),
        happened("EventPartyRemoved", "a", HANDLING),
        happened("EventProcessingStopped", "a", HANDLING, old_queue="In", old_state=HANDLING),
    ]
    board, seen = Board(), []
    for event in story:
        board.apply(encode(event))
        seen.append([state for state, count in board.queues["101"]["In"].items() if count])
    # Then at each moment it is counted once, where it is
    assert seen == [["queued"], ["routing"], ["routing"], ["routing"], ["routing"], ["handling"], ["handling"], []]
    assert board.queues == {"101": {"In": EMPTY}}


@pytest.mark.parametrize(
    "event, wanted",
    [
        (
            happened("EventTakenFromQueue", "a", HANDLING, old_queue="In", old_state=QUEUED),
            {"queued": 4, "handling": 6},
        ),
        (happened("EventPlacedInQueue", "a", QUEUED, old_queue="In", old_state=HANDLING), {"queued": 6, "handling": 4}),
        (happened("EventProcessingStopped", "a", HANDLING, old_queue="In", old_state=HANDLING), {"handling": 4}),
        (happened("EventProcessingStopped", "a", HANDLING), {"handling": 4}),
        (happened("EventPlacedInQueue", "a", QUEUED, old_state=HANDLING), {"queued": 6}),
        (happened("EventInteractionSubmitted", "a", QUEUED), {"queued": 6}),
        (happened("EventPropertiesChanged", "a", QUEUED), {}),
        (happened("EventRejected", "a", ROUTING), {}),
        (happened("EventTakenFromQueue", "a", 4, old_queue="In", old_state=QUEUED), {"queued": 4}),
        (happened("EventPlacedInQueue", "a", QUEUED, None, old_queue="In"), {"queued": 4}),
    ],
)
def test_an_interaction_that_was_there_before_the_board_moves_by_its_events_own_words(
    event: ReportingEvent, wanted: dict[str, int]
) -> None:
    board = after(event, state=loaded(queued=5, routing=5, handling=5))
    assert board.queues["101"]["In"] == EMPTY | {"queued": 5, "routing": 5, "handling": 5} | wanted


def test_from_queue_to_queue_and_no_queue() -> None:
    # Given one moves from In to Out, and one that an agent made without a queue is put into Out
    board = after(
        happened("EventPlacedInQueue", "a", QUEUED, "Out", old_queue="In", old_state=ROUTING),
        happened("EventInteractionSubmitted", "b", HANDLING, None),
        happened("EventPlacedInQueue", "b", QUEUED, "Out", old_state=HANDLING),
        state=loaded(routing=1),
    )
    assert board.queues["101"] == {"In": EMPTY, "Out": EMPTY | {"queued": 2}}


def test_two_events_of_one_move_count_once() -> None:
    # Given both the party's and the queue's event speak of the same move
    move: dict[str, Any] = {"old_queue": "In", "old_state": HANDLING}
    board = after(
        happened("EventPartyRemoved", "a", QUEUED, **move),
        happened("EventPlacedInQueue", "a", QUEUED, **move),
        state=loaded(handling=2),
    )
    assert board.queues["101"]["In"] == EMPTY | {"queued": 1, "handling": 1}


def test_counts_never_fall_below_nothing_and_the_memory_of_moves_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MOVING", 10)
    board = after(happened("EventProcessingStopped", "z", QUEUED))
    assert board.queues["101"]["In"]["queued"] == 0
    for number in range(50):
        board.apply(happened("EventInteractionSubmitted", str(number), QUEUED))
    assert len(board._moving) == 10 and board.queues["101"]["In"]["queued"] == 50
    # And those that moved longest ago are forgotten first
    board.apply(happened("EventPropertiesChanged", "40", QUEUED))
    board.apply(happened("EventPropertiesChanged", "new", QUEUED))
    assert list(board._moving) == ["42", "43", "44", "45", "46", "47", "48", "49", "40", "new"]
    # And one that was forgotten still moves by its event's own words
    board.apply(happened("EventProcessingStopped", "0", QUEUED))
    assert board.queues["101"]["In"]["queued"] == 49


# -- agents


def test_an_agent_is_as_the_last_event_says() -> None:
    board = after(
        did("EventAgentLogin", session="s1", media={"voice": 1}),
        did("EventMediaAdded", session="s1", media={"voice": 1, "email": 0}),
        did("EventDoNotDisturbOn", session="s1", media={"voice": 1, "email": 0}, donot_disturb=True),
        did("EventAgentLogin", None, "desk-7", session="s2"),
    )
    assert board.agents == {
        (101, "VICKY", ""): AgentState(
            tenant_id=101, agent_id="VICKY", session="s1", media={"voice": 1, "email": 0}, donot_disturb=True
        ),
        (101, "", "desk-7"): AgentState(tenant_id=101, place_id="desk-7", session="s2"),
    }
    board.apply(did("EventAgentLogout", session="s1"))
    board.apply(did("EventAgentLogout", "NOBODY"))
    board.apply({"message": "EventOfTheFuture", "tenant_id": 101, "agent": {"agent_id": "NOBODY"}})
    assert list(board.agents) == [(101, "", "desk-7")]


def test_a_state_is_loaded_and_then_brought_forward() -> None:
    # Given a state with one agent; when it is loaded twice, and the agent logs out on one board
    state = EventPlaceAgentState(
        cursor="1-n1", agents=[AgentState(tenant_id=101, agent_id="VICKY")], queues={"101": {"In": EMPTY}}
    )
    one, other = after(did("EventAgentLogout"), state=state), after(state=state)
    one.apply(happened("EventInteractionSubmitted", "a", QUEUED))
    # Then the other board and the state are as they were
    one.load(state)
    one.apply(happened("EventProcessingStopped", "a", HANDLING, old_queue="In", old_state=HANDLING))
    assert one.queues == {"101": {"In": EMPTY}}
    one.apply(did("EventAgentLogout"))
    assert not one.agents and list(other.agents) == [(101, "VICKY", "")]
    assert other.queues == state.queues == {"101": {"In": EMPTY}}


# -- all nodes together


def part(*agents: AgentState, **queues: int) -> Board:
    board = Board()
    counts = {"101": {name: EMPTY | {"queued": count} for name, count in queues.items()}} if queues else {}
    board.load(EventPlaceAgentState(cursor="1-n1", agents=list(agents), queues=counts))
    return board


def vicky(*, echo: bool = False, **fields: Any) -> AgentState:
    return AgentState(tenant_id=101, agent_id="VICKY", echo=echo, **fields)


def test_an_agent_on_several_nodes_appears_once_as_the_speaking_node_has_it() -> None:
    boards = [
        part(vicky(echo=True, session="n1-5", media={"voice": 0, "chat": 1})),
        part(vicky(session="n2-4", media={"voice": 1, "email": 1}, donot_disturb=True)),
    ]
    for order in (boards, boards[::-1]):
        (agent,) = merged_agents(order, complete=True)
        assert agent == vicky(session="n2-4", media={"chat": 1, "voice": 1, "email": 1}, donot_disturb=True)


def test_an_agent_that_no_node_speaks_for_is_there_only_while_a_node_is_missing() -> None:
    # Given the speaking node has logged the agent out, or is not here
    boards = [part(vicky(echo=True)), part()]
    assert merged_agents(boards, complete=True) == []
    assert merged_agents(boards, complete=False) == [vicky()]


def test_agents_come_in_order_and_echoes_are_known_by_their_events() -> None:
    # Given boards that events made, each with an agent of its own and one that the other speaks for
    one = after(did("EventAgentLogin", "ZOE"), did("EventAgentLogin", "ADAM", echo=True, media={"voice": 0}))
    other = after(did("EventAgentLogin", "ZOE", echo=True), did("EventAgentLogin", "ADAM", media={"voice": 1}))
    agents = merged_agents([one, other], complete=True)
    assert [(agent.agent_id, agent.media) for agent in agents] == [("ADAM", {"voice": 1}), ("ZOE", {})]


def test_queue_counts_add_up() -> None:
    total = merged_queues([part(In=3, Out=1), part(In=4), part()])
    assert total == {"101": {"In": EMPTY | {"queued": 7}, "Out": EMPTY | {"queued": 1}}}


# -- rubbish, and a model


@given(
    st.binary()
    | st.recursive(st.none() | st.integers() | st.text(), lambda x: st.dictionaries(st.text(), x)).map(encode)
)
def test_rubbish_is_counted_and_changes_nothing(payload: bytes) -> None:
    board = Board()
    assert board.apply(payload) is False
    assert board.unreadable == 1 and not board.agents and not board.queues


@pytest.mark.parametrize(
    "payload", [b"[" * 100_000, b'{"message":"EventAgentLogin","tenant_id":1,"agent":[]}', b"\xff"]
)
def test_more_rubbish(payload: bytes) -> None:
    assert Board().apply(payload) is False


def test_dicts_and_typed_events_are_applied_too() -> None:
    event = happened("EventInteractionSubmitted", "a", QUEUED)
    board = Board()
    assert board.apply(event) and board.apply(msgspec.json.decode(encode(event)) | {"late": True})
    assert board.queues["101"]["In"]["queued"] == 2
    assert not board.apply({"message": object()})


moves = st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["In", "Out", None]), st.integers(0, 3)), max_size=40)


@given(moves, st.integers(0, 40))
@settings(deadline=None)
def test_a_board_that_starts_in_the_middle_comes_to_the_same_counts(
    found: list[tuple[int, str | None, int]], at: int
) -> None:
    # Given interactions that come, move and go; when a board is loaded in the middle and moved on
    model: dict[str, tuple[str | None, int]] = {}
    board = Board()
    for number, (which, queue, state) in enumerate(found):
        if number == at:
            board.load(EventPlaceAgentState(cursor="1-n1", agents=[], queues=_counted(model)))
        event = _moved(model, str(which), queue, state)
        if number >= at:
            board.apply(encode(event))
    # Then it has the counts of the whole
    if len(found) > at:
        assert _plain(board.queues) == _plain(_counted(model))


def _moved(model: dict[str, tuple[str | None, int]], ident: str, queue: str | None, state: int) -> ReportingEvent:
    old = model.get(ident)
    if old is None:
        model[ident] = (queue, state)
        return happened("EventInteractionSubmitted", ident, state, queue)
    if state == 3 and queue is None:
        del model[ident]
        return happened("EventProcessingStopped", ident, old[1], old[0], old_queue=old[0], old_state=old[1])
    model[ident] = (queue, state)
    return happened("EventPlacedInQueue", ident, state, queue, old_queue=old[0], old_state=old[1])


def _counted(model: dict[str, tuple[str | None, int]]) -> dict[str, dict[str, dict[str, int]]]:
    queues: dict[str, dict[str, int]] = {}
    for queue, state in model.values():
        if queue is not None:
            queues.setdefault(queue, dict(EMPTY))[STATES[state]] += 1
    return {"101": queues}


def _plain(queues: dict[str, dict[str, dict[str, int]]]) -> set[tuple[str, str, str, int]]:
    return {
        (tenant, queue, state, count)
        for tenant, some in queues.items()
        for queue, counts in some.items()
        for state, count in counts.items()
        if count
    }
