"""The counts of a replay, from events and from the file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.replay.calls import Call, Fate
from broker.replay.report import Effort, report
from broker.replay.tally import Life, Tally, from_file, summary

RUN = "run1"


def event(message: str, interaction_id: str, time: float, **parts: Any) -> bytes:
    interaction = {
        "interaction_id": interaction_id,
        "media_type": "voice",
        "queue": "PS",
        **parts.pop("interaction", {}),
    }
    return json.dumps({"message": message, "node": "n1", "time": time, "interaction": interaction, **parts}).encode()


def submitted(interaction_id: str, time: float, run: str | None = RUN, queue: str = "PS") -> bytes:
    data = {"user_data": {"run": run, "row": 1}} if run is not None else {}
    return event("EventInteractionSubmitted", interaction_id, time, interaction={"queue": queue, **data})


def answered(interaction_id: str, time: float, agent: str = "VICKY") -> bytes:
    return event("EventPartyAdded", interaction_id, time, party={"type": 2, "agent_id": agent})


def taken(interaction_id: str, time: float) -> bytes:
    return event("EventPartyAdded", interaction_id, time, party={"type": 1, "strategy_id": "s"})


def stopped(interaction_id: str, time: float) -> bytes:
    return event("EventProcessingStopped", interaction_id, time)


def tally(*events: bytes, scale: float = 1.0) -> Tally:
    made = Tally(RUN, scale)
    for payload in events:
        made.add(payload)
    return made


@pytest.mark.parametrize(
    ("events", "life"),
    [
        ([submitted("a", 10), taken("a", 11), answered("a", 12.5), stopped("a", 20)], Life("PS", 2.5, "VICKY", True)),
        ([submitted("a", 10), stopped("a", 14)], Life("PS", 4.0, None, True)),
        ([submitted("a", 10), taken("a", 11), stopped("a", 14)], Life("PS", 4.0, None, True)),
        ([submitted("a", 10)], Life("PS", 0.0, None, False)),
        ([submitted("a", 10), answered("a", 12)], Life("PS", 2.0, "VICKY", False)),
        (
            [submitted("a", 10), answered("a", 12), answered("a", 15, "AVI"), stopped("a", 20)],
            Life("PS", 2.0, "VICKY", True),
        ),
        ([submitted("a", 10, queue="NE"), stopped("a", 9)], Life("NE", 0.0, None, True)),
    ],
)
def test_what_the_stream_says_of_a_call(events: list[bytes], life: Life) -> None:
    # Given the events of one call, when they are counted, then this became of it
    assert tally(*events).lives() == [life]


def test_other_interactions_of_the_cluster_do_not_count() -> None:
    # Given events of another run, of no run, of an interaction from before, and things that are no events
    others = [
        *(submitted("b", 1, run="run2"), answered("b", 2), stopped("b", 3)),
        *(submitted("c", 1, run=None), stopped("c", 3)),
        *(answered("d", 2), stopped("d", 3)),
        *(event("EventAgentLogin", "x", 1), b"no json", b"[]", b'{"message":"EventAgentLogin","time":1}'),
        event("EventInteractionSubmitted", "e", 1, interaction={"user_data": ["run1"]}),
    ]
    # When they come between those of this run, then only these count
    counted = tally(*others, submitted("a", 10), *others, stopped("a", 14))
    assert (len(counted.lives()), counted.events, counted.ended) == (1, 2, 1)


def test_waits_are_given_in_recorded_time() -> None:
    # Given a replay that is 10 times faster, when a call waited 2 s in it, then that stands for 20 s
    assert tally(submitted("a", 10), answered("a", 12), scale=10).lives()[0].wait_s == 20.0


def test_figures() -> None:
    # Given ten calls of one queue and one of another, when they are summed up
    lives = [Life("PS", float(wait), "AVI" if wait % 2 else "VICKY", True) for wait in (1, 2, 3, 4, 5, 6, 7, 8, 30)]
    made = summary([*lives, Life("PS", 50.0, None, True), Life("NE", 0.0, None, False)])
    # Then waits are those of answered calls, p90 is the value that 90 % are within, and the share is of all submitted
    queue = made.queues["PS"]
    assert (queue.submitted, queue.answered, queue.abandoned, queue.open) == (10, 9, 1, 0)
    assert queue.handled_by == {"AVI": 4, "VICKY": 5}
    assert (queue.mean_wait, queue.p90_wait, queue.within_20s) == (pytest.approx(66 / 9, abs=1e-6), 30.0, 0.8)
    assert (made.total.submitted, made.total.open, made.queues["NE"].mean_wait) == (11, 1, None)


CALLS = st.lists(
    st.builds(
        lambda fate, queue, entered, wait, service, agent: (fate, queue, entered, wait, service, agent),
        st.sampled_from(list(Fate)),
        st.sampled_from(["PS", "NE", "TT"]),
        st.integers(0, 80_000),
        st.integers(0, 600),
        st.integers(0, 600),
        st.sampled_from(["AVI", "VICKY", "NO_SERVER"]),
    ),
    max_size=30,
)


def recorded(rows: list[tuple[Any, ...]]) -> list[Call]:
    return [
        Call(
            row=number,
            fate=fate,
            line="AA0101",
            call_id=f"{number}",
            customer_id="0",
            priority=0,
            queue=queue,
            entered=entered,
            left=entered + wait,
            ended=entered + wait + (service if fate is Fate.ANSWERED else 0),
            agent=agent if fate is Fate.ANSWERED else "",
        )
        for number, (fate, queue, entered, wait, service, agent) in enumerate(rows, start=1)
    ]


def events_of(calls: list[Call]) -> list[bytes]:
    """What a perfect cluster would log of these calls, in time, each call's own in order."""
    timed: list[tuple[float, int, bytes]] = []
    for call in calls:
        if call.submitted:
            name = f"i{call.row}"
            own = [(call.entered, submitted(name, call.entered, queue=call.queue))]
            if call.fate is Fate.ANSWERED:
                own += [(call.left, taken(name, call.left)), (call.left, answered(name, call.left, call.agent))]
            own.append((call.ended, stopped(name, call.ended)))
            timed += [(at, call.row, payload) for at, payload in own]
    return [payload for _, _, payload in sorted(timed, key=lambda one: one[:2])]


@given(CALLS)
def test_the_events_of_a_recording_give_its_own_figures(rows: list[tuple[Any, ...]]) -> None:
    """Given any recording, when its events are those of a perfect cluster, then stream and file agree, waits too."""
    calls = recorded(rows)
    counted = tally(*events_of(calls))
    assert summary(counted.lives()).document() == summary(from_file(calls)).document()
    made = report(calls, counted, Effort(RUN, None, 1.0, 0))
    assert made.match and made.calls == len(calls) == made.vru_only + made.phantom + made.file.total.submitted


@given(CALLS.filter(len), st.data())
def test_one_event_more_or_less_is_noticed(rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    """Given the events of a recording, when one that decides is lost, or a call is doubled, then they do not agree."""
    calls = recorded(rows)
    events = events_of(calls)
    deciding = [at for at, payload in enumerate(events) if b'"type": 1' not in payload]
    if not deciding:
        return
    at = data.draw(st.sampled_from(deciding))
    more = tally(*events, submitted("doubled", 1), stopped("doubled", 2))
    less = tally(*events[:at], *events[at + 1 :])
    for counted in (more, less):
        assert not report(calls, counted, Effort(RUN, None, 1.0, 0)).match


def test_the_document() -> None:
    # Given a report, when it is made a document, then it has the fields that the operations page names
    calls = recorded([(Fate.ANSWERED, "PS", 0, 5, 10, "AVI"), (Fate.PHANTOM, "PS", 0, 0, 0, "")])
    document = report(calls, tally(*events_of(calls)), Effort(RUN, 60.0, 1.23456, {"stop: 91 Busy": 2})).document()
    named = {"calls": 2, "vru_only": 0, "phantom": 1, "match": True, "seconds": 1.235, "events": 4}
    named |= {"repeated": 2, "faults": {"stop: 91 Busy": 2}}
    assert {name: document[name] for name in named} == named
    assert document["stream"]["handled_by"] == {"AVI": 1} and document["file"]["queues"]["PS"]["p90_wait"] == 5.0
    assert document["speed"] == 60.0 and json.dumps(document)
