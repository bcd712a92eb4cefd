"""The recorded calls: what becomes of each kind of row, and in which order decisions follow."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import broker
from broker.replay.calls import Action, BadCalls, Call, Fate, agents_of, decisions, read_calls

SAMPLE_DAY = Path(broker.__file__).parent / "data" / "bank_calls_1999-08-01.csv"
HEADER = (
    "vru+line,call_id,customer_id,priority,type,date,vru_entry,vru_exit,vru_time,q_start,q_exit,q_time,outcome,"
    "ser_start,ser_exit,ser_time,server"
)
NEVER = "0:00:00,0:00:00,0"


def row(queue: str, outcome: str, service: str, server: str = "NO_SERVER") -> str:
    return f"AA0101,1,2,1,PS,1999-08-01,9:59:50,10:00:00,10,{queue},{outcome},{service},{server}"


def one(line: str) -> Call:
    return read_calls([HEADER, line])[0]


def sample_day() -> list[Call]:
    with SAMPLE_DAY.open(newline="") as lines:
        return read_calls(lines)


WAITED = "10:00:00,10:00:30,30"
SERVED = "10:00:29,10:02:00,91"
HOUR = 36_000


@pytest.mark.parametrize(
    ("line", "fate", "times", "agent"),
    [
        (row(WAITED, "AGENT", SERVED, "VICKY"), Fate.ANSWERED, (HOUR, HOUR + 30, HOUR + 120), "VICKY"),
        (row(NEVER, "AGENT", SERVED, "VICKY"), Fate.ANSWERED, (HOUR, HOUR, HOUR + 120), "VICKY"),
        (row(NEVER, "AGENT", SERVED), Fate.ANSWERED, (HOUR, HOUR, HOUR + 120), "NO_SERVER"),
        (row(WAITED, "AGENT", NEVER, "STEREN"), Fate.ANSWERED, (HOUR, HOUR + 30, HOUR + 30), "STEREN"),
        (row(WAITED, "AGENT", "10:00:20,10:00:25,5", "AVI"), Fate.ANSWERED, (HOUR, HOUR + 30, HOUR + 30), "AVI"),
        (row(WAITED, "HANG", NEVER), Fate.ABANDONED, (HOUR, HOUR + 30, HOUR + 30), ""),
        (row(WAITED, "HANG", SERVED), Fate.ABANDONED, (HOUR, HOUR + 30, HOUR + 30), ""),
        (row("10:00:00,10:00:00,0", "HANG", NEVER), Fate.ABANDONED, (HOUR, HOUR, HOUR), ""),
        (row("0:00:00,0:00:05,5", "HANG", NEVER), Fate.ABANDONED, (0, 5, 5), ""),
        (row(NEVER, "HANG", NEVER), Fate.VRU_ONLY, (HOUR, HOUR, HOUR), ""),
        (row(WAITED, "PHANTOM", SERVED), Fate.PHANTOM, (HOUR, HOUR + 30, HOUR + 30), ""),
    ],
)
def test_what_becomes_of_a_row(line: str, fate: Fate, times: tuple[int, int, int], agent: str) -> None:
    # Given a row, when it is read, then this is the call it stands for
    call = one(line)
    assert (call.fate, (call.entered, call.left, call.ended), call.agent) == (fate, times, agent)


def test_the_sample_day() -> None:
    # Given the sample day, when it is read, then every row has its place, and waits are those of the file
    calls = sample_day()
    fates = [call.fate for call in calls]
    assert {fate: fates.count(fate) for fate in Fate} == {
        Fate.PHANTOM: 18,
        Fate.VRU_ONLY: 118,
        Fate.ABANDONED: 728,
        Fate.ANSWERED: 1511,
    }
    assert len(agents_of(calls)) == 19 and "NO_SERVER" in agents_of(calls)
    assert sum(call.wait for call in calls if call.submitted) == 261_635


def test_only_the_first_rows() -> None:
    # Given a file, when it is limited, then its first rows are read, and a fault behind them is nobody's
    lines = [HEADER, row(WAITED, "HANG", NEVER), "no row"]
    assert [call.row for call in read_calls(lines, limit=1)] == [1]
    assert read_calls(lines, limit=0) == []


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([], "line 1: no column"),
        (["a,b"], "line 1: no column vru"),
        ([HEADER, "AA0101,1"], "line 2: the row ends before column"),
        ([HEADER, row("10:00:00,25:61:00,30", "HANG", NEVER)], "line 2: q_exit: expected hh:mm:ss"),
        ([HEADER, row("10:00:00,10:00:30,x", "HANG", NEVER)], "line 2"),
        ([HEADER, row(WAITED, "GONE", NEVER)], "line 2: outcome: expected AGENT, HANG or PHANTOM, got 'GONE'"),
        ([HEADER, row(WAITED, "AGENT", SERVED, "")], "line 2: server"),
        ([HEADER, row(WAITED, "AGENT", SERVED).replace(",PS,", ",,")], "line 2: type"),
        ([HEADER, row(WAITED, "AGENT", SERVED).replace(",1,2,1,", ",1,2,high,")], "line 2: priority"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(lines: list[str], fault: str) -> None:
    # Given something that is no recording, when it is read, then the fault names line and column
    with pytest.raises(BadCalls, match=fault):
        read_calls(lines)


def test_decisions_follow_the_recorded_order() -> None:
    # Given the sample day, when its decisions are put in order
    calls = sample_day()
    ordered = decisions(calls)
    # Then time never goes back, within a second rows keep theirs, and every call's own come one after the other
    assert len(ordered) == 3 * 1511 + 2 * 728
    assert [decision.at for decision in ordered] == sorted(decision.at for decision in ordered)
    for earlier, later in zip(ordered, ordered[1:], strict=False):
        assert earlier.at < later.at or earlier.call.row <= later.call.row
    of_call: dict[int, list[Action]] = {}
    for decision in ordered:
        of_call.setdefault(decision.call.row, []).append(decision.action)
    assert set(map(tuple, of_call.values())) == {
        (Action.SUBMIT, Action.ANSWER, Action.STOP),
        (Action.SUBMIT, Action.HANG_UP),
    }


@given(st.lists(st.text(max_size=30), max_size=5))
def test_nonsense_is_refused_and_nothing_else(lines: list[str]) -> None:
    # Given any lines, when they are read, then they are calls or BadCalls
    with suppress(BadCalls):
        read_calls([HEADER, *lines])
