"""What a replay comes to: the stream's counts beside the file's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .calls import Call, Fate
from .tally import Summary, Tally, from_file, summary


class Report(NamedTuple):
    """The result of a replay.

    :param run: the run, as in the user data of its interactions
    :param speed: how many times faster than recorded; None: as fast as possible
    :param calls: rows of the file, of which ``vru_only`` and ``phantom`` were not played
    :param stream: from the event stream alone; waits in recorded time, at full speed the cluster's own
    :param seconds: how long it took
    :param events: how many events the run's interactions have had
    :param faults: why requests had to be repeated, and how many for each reason
    """

    run: str
    speed: float | None
    calls: int
    vru_only: int
    phantom: int
    stream: Summary
    file: Summary
    seconds: float
    events: int
    faults: Mapping[str, int]

    @property
    def repeated(self) -> int:
        """How many requests had to be repeated."""
        return sum(self.faults.values())

    @property
    def match(self) -> bool:
        """Stream and file have the same counts."""
        return self.stream.agrees_with(self.file)

    def document(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "calls": self.calls,
            "vru_only": self.vru_only,
            "phantom": self.phantom,
            "stream": self.stream.document(),
            "file": self.file.document(),
            "match": self.match,
            "seconds": round(self.seconds, 3),
            "events": self.events,
            "repeated": self.repeated,
            "faults": dict(self.faults),
            "run": self.run,
            "speed": "max" if self.speed is None else self.speed,
        }


class Effort(NamedTuple):
    """What playing took. :param speed: as it was asked for; :param faults: as in the report"""

    run: str
    speed: float | None
    seconds: float
    faults: Mapping[str, int]


def report(calls: Sequence[Call], tally: Tally, effort: Effort) -> Report:
    """The report on ``calls`` as the stream, in ``tally``, has shown them."""
    fates = [call.fate for call in calls]
    return Report(
        run=effort.run,
        speed=effort.speed,
        calls=len(calls),
        vru_only=fates.count(Fate.VRU_ONLY),
        phantom=fates.count(Fate.PHANTOM),
        stream=summary(tally.lives()),
        file=summary(from_file(calls)),
        seconds=effort.seconds,
        events=tally.events,
        faults=effort.faults,
    )
