"""The counts of a replay: once from the merged event stream alone, once from the file, by the same arithmetic.

From the stream, a call is an interaction whose EventInteractionSubmitted carries this replay's run in its user data:
answered when an agent became a party to it (EventPartyAdded), abandoned when it was stopped without that, open as long
as it was not stopped. Its wait runs from the first event to the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from typing import Any, NamedTuple

import msgspec

from broker.messages.kinds import AGENT

from .calls import Call, Fate

WITHIN_S = 20
"""Calls answered within this many seconds are counted on their own."""


class Life(NamedTuple):
    """What became of one submitted call.

    :param wait_s: seconds until an agent had it, or until it was abandoned
    :param agent: who answered; None: nobody has
    :param ended: it was stopped
    """

    queue: str
    wait_s: float
    agent: str | None
    ended: bool


class Figures(msgspec.Struct):
    """The counts of a queue, or of all.

    :param open: not stopped
    :param handled_by: calls per agent
    :param mean_wait: seconds that answered calls waited, None when there are none; and the value that 90 % are within
    :param within_20s: share of all submitted calls that were answered within 20 s, None when there are none
    """

    submitted: int
    answered: int
    abandoned: int
    open: int
    handled_by: dict[str, int]
    mean_wait: float | None
    p90_wait: float | None
    within_20s: float | None

    def counts(self) -> tuple[Any, ...]:
        """What must be equal in stream and file; times need not."""
        return self.submitted, self.answered, self.abandoned, self.open, self.handled_by


class Summary(msgspec.Struct):
    """The figures of all calls, and of each queue."""

    total: Figures
    queues: dict[str, Figures]

    def agrees_with(self, other: Summary) -> bool:
        """All counts are equal, in total and in every queue."""
        return self.total.counts() == other.total.counts() and {
            queue: figures.counts() for queue, figures in self.queues.items()
        } == {queue: figures.counts() for queue, figures in other.queues.items()}

    def document(self) -> dict[str, Any]:
        """As JSON: the total's figures, and ``queues``."""
        return {
            **msgspec.to_builtins(self.total),
            "queues": {queue: msgspec.to_builtins(figures) for queue, figures in self.queues.items()},
        }


def summary(lives: Sequence[Life]) -> Summary:
    """The figures of some calls."""
    queues = sorted({life.queue for life in lives})
    return Summary(
        _figures(lives), {queue: _figures([life for life in lives if life.queue == queue]) for queue in queues}
    )


def _figures(lives: Sequence[Life]) -> Figures:
    answered = [life for life in lives if life.agent is not None]
    waits = sorted(life.wait_s for life in answered)
    return Figures(
        submitted=len(lives),
        answered=len(answered),
        abandoned=sum(life.ended and life.agent is None for life in lives),
        open=sum(not life.ended for life in lives),
        handled_by=_handled_by(answered),
        mean_wait=round(sum(waits) / len(waits), 6) if waits else None,
        p90_wait=round(waits[ceil(0.9 * len(waits)) - 1], 6) if waits else None,
        within_20s=round(sum(wait <= WITHIN_S for wait in waits) / len(lives), 6) if lives else None,
    )


def _handled_by(answered: Iterable[Life]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for life in answered:
        counts[str(life.agent)] = counts.get(str(life.agent), 0) + 1
    return dict(sorted(counts.items()))


def from_file(calls: Iterable[Call]) -> list[Life]:
    """What the recording says of the calls that are played."""
    return [
        Life(call.queue, float(call.wait), call.agent if call.fate is Fate.ANSWERED else None, ended=True)
        for call in calls
        if call.submitted
    ]


class _Interaction(msgspec.Struct):
    interaction_id: str
    queue: str | None = None
    user_data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Party(msgspec.Struct):
    type: int
    agent_id: str | None = None


class _Event(msgspec.Struct):
    """What the tally reads of an event."""

    message: str
    time: float = 0.0
    interaction: _Interaction | None = None
    party: _Party | None = None


class _Marks(msgspec.Struct):
    run: str | None = None


class _Record:
    """A call of this run as the stream has shown it so far. Times are those of the events."""

    __slots__ = ("agent", "answered_at", "ended_at", "queue", "submitted_at")

    def __init__(self, queue: str, submitted_at: float) -> None:
        self.queue = queue
        self.submitted_at = submitted_at
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.agent: str | None = None


_event = msgspec.json.Decoder(_Event).decode
_marks = msgspec.json.Decoder(_Marks).decode


class Tally:
    """Counts one run from the events of the stream.

    :param run: the run whose interactions count; all others in the cluster are somebody else's
    :param scale: how much faster than recorded the run is; waits are given in recorded time
    """

    def __init__(self, run: str, scale: float = 1.0) -> None:
        self.events = 0
        """How many events this run's interactions have had."""
        self.ended = 0
        """How many of them were stopped."""
        self._run = run
        self._scale = scale
        self._records: dict[str, _Record] = {}

    def add(self, payload: bytes) -> None:
        """The next event of the stream. Raises nothing: what is no event of this run is left out."""
        try:
            event = _event(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if event.interaction is None:
            return
        if event.message == "EventInteractionSubmitted" and self._is_own(event.interaction):
            self._submitted(event, event.interaction)
        record = self._records.get(event.interaction.interaction_id)
        if record is not None:
            self.events += 1
            self._note(record, event)

    def lives(self) -> list[Life]:
        """What became of every call that was seen."""
        return [_life(record, self._scale) for record in self._records.values()]

    def _is_own(self, interaction: _Interaction) -> bool:
        if interaction.user_data is msgspec.UNSET:
            return False
        try:
            return _marks(interaction.user_data).run == self._run
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False

    def _submitted(self, event: _Event, interaction: _Interaction) -> None:
        self._records.setdefault(interaction.interaction_id, _Record(interaction.queue or "", event.time))

    def _note(self, record: _Record, event: _Event) -> None:
        party = event.party
        if event.message == "EventPartyAdded" and party is not None and party.type == AGENT:
            if record.answered_at is None:
                record.answered_at = event.time
                record.agent = party.agent_id or ""
        elif event.message == "EventProcessingStopped" and record.ended_at is None:
            record.ended_at = event.time
            self.ended += 1


def _life(record: _Record, scale: float) -> Life:
    until = record.answered_at if record.answered_at is not None else record.ended_at
    wait_s = 0.0 if until is None else max(until - record.submitted_at, 0.0) * scale
    return Life(record.queue, wait_s, record.agent, record.ended_at is not None)
