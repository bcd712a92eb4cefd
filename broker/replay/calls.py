"""The recorded calls: rows of a CSV file -> calls, and the decisions that a replay follows.

What becomes of a row:

==========================  =====  ====================================================================================
row                          rows  replayed as
==========================  =====  ====================================================================================
PHANTOM                        18  not at all; counted as ``phantom``
HANG without a queue time     118  not at all, it never left the voice response unit: ``vru_only``
HANG with a queue time        728  submitted at ``q_start``; at ``q_exit`` the caller hangs up: abandoned. 5 of them
                                   have a service time (somebody who found no caller any more; no server is named): it
                                   is not looked at, the outcome counts
AGENT with a queue time      1243  submitted at ``q_start``, answered at ``q_exit``. One has no service time: it is
                                   stopped as soon as it was answered
AGENT without a queue time    268  submitted and answered at ``vru_exit``: it went straight to an agent. 6 of them name
                                   no server: the outcome says that they were served, so they are answered, by an agent
                                   who is called NO_SERVER as in the file
==========================  =====  ====================================================================================

(The rows are counted in the sample day.) Answered calls are stopped by the agent at ``ser_exit``, or as soon as they
were answered where that is earlier or missing. A call's wait is its ``q_time``, 0 without a queue. ``ser_start`` is not
used: in the recording it lies up to 102 s before the end of the wait.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

COLUMNS = (
    *("vru+line", "call_id", "customer_id", "priority", "type", "vru_exit", "q_start", "q_exit", "q_time"),
    *("outcome", "ser_exit", "ser_time", "server"),
)
"""The columns that are used; others may be there."""

_TIME = re.compile(r"(\d{1,2}):([0-5]\d):([0-5]\d)")
_NEVER = "0:00:00"


class BadCalls(ValueError):
    """The file is no recording of calls; the text says where and why."""


class Fate(Enum):
    """What became of a call."""

    PHANTOM = "not a call"
    VRU_ONLY = "never left the voice response unit"
    ABANDONED = "hung up in the queue"
    ANSWERED = "served by an agent"


class Call(NamedTuple):
    """One recorded call. Times are seconds of the day.

    :param row: number of the row, from 1
    :param entered: when it came to the queue, or straight to an agent
    :param left: when it left the queue: to an agent, or hung up
    :param ended: when the agent was done with it; ``left`` for a call that hung up
    """

    row: int
    fate: Fate
    line: str
    call_id: str
    customer_id: str
    priority: int
    queue: str
    entered: int
    left: int
    ended: int
    agent: str

    @property
    def submitted(self) -> bool:
        """It is played."""
        return self.fate in (Fate.ABANDONED, Fate.ANSWERED)

    @property
    def wait(self) -> int:
        """Seconds in the queue."""
        return self.left - self.entered


class Action(Enum):
    """A decision about a call."""

    SUBMIT = "the media server submits it"
    ANSWER = "it is delivered to the agent, who accepts it"
    STOP = "the agent is done with it"
    HANG_UP = "the caller is gone: the media server sets it offline and stops it"


class Decision(NamedTuple):
    """Something that happens to a call. :param at: seconds of the day"""

    at: int
    action: Action
    call: Call


def read_calls(lines: Iterable[str], limit: int | None = None) -> list[Call]:
    """The calls of a CSV file, in its order. :param limit: only the first rows

    :raises BadCalls: a column is missing, or a value is not what its column has
    """
    rows = csv.DictReader(lines)
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise BadCalls(f"line 1: no column {', '.join(missing)}")
    return list(_calls(rows, limit))


def _calls(rows: csv.DictReader[str], limit: int | None) -> Iterator[Call]:
    for number, row in enumerate(_rows(rows), start=1):
        if limit is not None and number > limit:
            return
        try:
            yield _call(number, row)
        except ValueError as fault:
            raise BadCalls(f"line {rows.line_num}: {fault}") from None


def _rows(rows: csv.DictReader[str]) -> Iterator[dict[str, str]]:
    try:
        yield from rows
    except csv.Error as fault:
        raise BadCalls(f"line {rows.line_num}: {fault}") from None


def _call(number: int, row: dict[str, str]) -> Call:
    short = [name for name in COLUMNS if row[name] is None]
    if short:
        raise ValueError(f"the row ends before column {short[0]}")
    queued = _happened(row, "q_start", "q_time")
    fate = _fate(row["outcome"], queued)
    entered = _seconds(row, "q_start" if queued else "vru_exit")
    left = max(_seconds(row, "q_exit"), entered) if queued else entered
    ended = left
    if fate is Fate.ANSWERED and _happened(row, "ser_exit", "ser_time"):
        ended = max(_seconds(row, "ser_exit"), left)
    if fate in (Fate.ABANDONED, Fate.ANSWERED) and not row["type"]:
        raise ValueError("type: expected the name of a queue")
    return Call(
        row=number,
        fate=fate,
        line=row["vru+line"],
        call_id=row["call_id"],
        customer_id=row["customer_id"],
        priority=_whole(row, "priority"),
        queue=row["type"],
        entered=entered,
        left=left,
        ended=ended,
        agent=_agent(row) if fate is Fate.ANSWERED else "",
    )


def _fate(outcome: str, queued: bool) -> Fate:
    if outcome == "PHANTOM":
        return Fate.PHANTOM
    if outcome == "AGENT":
        return Fate.ANSWERED
    if outcome == "HANG":
        return Fate.ABANDONED if queued else Fate.VRU_ONLY
    raise ValueError(f"outcome: expected AGENT, HANG or PHANTOM, got {outcome!r}")


def _agent(row: dict[str, str]) -> str:
    if not row["server"]:
        raise ValueError("server: expected a name or NO_SERVER")
    return row["server"]


def _happened(row: dict[str, str], time: str, duration: str) -> bool:
    """``0:00:00`` with a duration of 0 says that it did not; with one, that it was at midnight."""
    return _whole(row, duration) != 0 or row[time] != _NEVER


def _seconds(row: dict[str, str], column: str) -> int:
    found = _TIME.fullmatch(row[column])
    if not found:
        raise ValueError(f"{column}: expected hh:mm:ss, got {row[column]!r}")
    hours, minutes, seconds = map(int, found.groups())
    return hours * 3600 + minutes * 60 + seconds


def _whole(row: dict[str, str], column: str) -> int:
    try:
        return int(row[column])
    except ValueError:
        raise ValueError(f"{column}: expected a whole number, got {row[column]!r}") from None


def decisions(calls: Sequence[Call]) -> list[Decision]:
    """All decisions in recorded order: by time, those of one second in the order of the rows, of one call in theirs."""
    return sorted((decision for call in calls for decision in _decisions_of(call)), key=lambda decision: decision.at)


def _decisions_of(call: Call) -> Iterator[Decision]:
    if not call.submitted:
        return
    yield Decision(call.entered, Action.SUBMIT, call)
    if call.fate is Fate.ABANDONED:
        yield Decision(call.left, Action.HANG_UP, call)
    else:
        yield Decision(call.left, Action.ANSWER, call)
        yield Decision(call.ended, Action.STOP, call)


def agents_of(calls: Sequence[Call]) -> list[str]:
    """The agents who answer, each once, in the order of their names."""
    return sorted({call.agent for call in calls if call.fate is Fate.ANSWERED})
