"""``ixn replay``: options, output and exit codes; the replay itself is played by a stand-in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from broker.cli import ixn
from broker.replay.calls import Call
from broker.replay.play import ReplayFailed
from broker.replay.report import Effort, Report, report
from broker.replay.tally import Tally

HEADER = (
    "vru+line,call_id,customer_id,priority,type,date,vru_entry,vru_exit,vru_time,q_start,q_exit,q_time,outcome,"
    "ser_start,ser_exit,ser_time,server\n"
)
ROW = "AA,1,2,1,PS,1999-08-01,9:59:50,10:00:00,10,10:00:00,10:00:30,30,HANG,0:00:00,0:00:00,0,NO_SERVER\n"


class StandIn:
    """A player whose cluster does what the recording says, but for what a test takes away."""

    given: dict[str, Any] = {}
    lost = False
    fault: Exception | None = None

    def __init__(self, endpoints: list[Any], calls: list[Call], **options: Any) -> None:
        StandIn.given = {"calls": calls, **options}

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def play(self, progress: Callable[[int, int], None]) -> Report:
        if StandIn.fault is not None:
            raise StandIn.fault
        calls, tally = StandIn.given["calls"], Tally("run")
        played = [call for call in calls if call.submitted]
        for call in played[1:] if StandIn.lost else played:
            interaction = {"interaction_id": f"i{call.row}", "queue": call.queue, "user_data": {"run": "run"}}
            steps = [("EventInteractionSubmitted", call.entered, None)]
            if call.agent:
                steps.append(("EventPartyAdded", call.left, {"type": 2, "agent_id": call.agent}))
            steps.append(("EventProcessingStopped", call.ended, None))
            for message, time, party in steps:
                said = {"message": message, "time": time, "interaction": interaction, "party": party}
                tally.add(json.dumps(said).encode())
            progress(call.row, len(calls))
        return report(calls, tally, Effort("run", StandIn.given["speed"], 1.5, {}))


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.cli.replay.Player", StandIn)
    monkeypatch.setattr(StandIn, "lost", False)
    monkeypatch.setattr(StandIn, "fault", None)


def replay(*words: str) -> Result:
    start = ["--config", "/nonexistent", "--connect", "tcp://127.0.0.1:1", "replay"]
    return CliRunner().invoke(ixn, [*start, *words])


def test_the_sample_day_is_there_without_a_file() -> None:
    # Given no file, when the replay is asked for as JSON, then the shipped day is played, and the document is complete
    result = replay("-o", "json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["calls"], document["vru_only"], document["phantom"]) == (0, 2375, 118, 18)
    assert document["match"] is True and document["seconds"] == 1.5 and document["events"] == 3 * 1511 + 2 * 728
    assert document["stream"]["submitted"] == document["file"]["submitted"] == 2239
    assert sum(document["stream"]["handled_by"].values()) == 1511
    assert set(document["stream"]["queues"]) == {"PS", "PE", "IN", "NE", "NW", "TT"}


def test_text(tmp_path: Path) -> None:
    # Given a file of one call, when it is played in ten times its speed, then the text says what its waits are
    file = tmp_path / "calls.csv"
    file.write_text(HEADER + ROW)
    result = replay(str(file), "--speed", "10")
    assert result.exit_code == 0 and "multiplied by 10" in result.stdout and "match" in result.stdout
    assert StandIn.given["speed"] == 10.0 and "cluster's own" in replay(str(file)).stdout


def test_options_reach_the_player() -> None:
    # Given a limit and a tenant, when the replay begins, then they hold
    replay("--limit", "5", "--tenant", "7", "--speed", "max")
    assert (len(StandIn.given["calls"]), StandIn.given["tenant"], StandIn.given["speed"]) == (5, 7, None)


def test_counts_that_differ_are_a_no() -> None:
    # Given a cluster that has lost a call, when the counts are compared, then the exit code says no, and the text where
    StandIn.lost = True
    result = replay("--limit", "200")
    assert result.exit_code == 1 and "DIFFER" in result.stdout
    assert json.loads(replay("--limit", "200", "-o", "json").stdout)["match"] is False


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (ReplayFailed("row 1: no", refused=True), 77),
        (ReplayFailed("row 1: late", refused=False), 75),
    ],
)
def test_a_replay_that_fails_says_why(fault: Exception, code: int) -> None:
    # Given a cluster that does not let the replay go on, when it ends, then stderr says why
    StandIn.fault = fault
    result = replay("--limit", "1")
    assert (result.exit_code, result.stdout) == (code, "") and str(fault) in result.stderr


@pytest.mark.parametrize(("content", "code"), [(b"a,b\n1,2\n", 65), (HEADER.encode() + b"\xff\xfe\n", 65), (None, 64)])
def test_a_wrong_file(tmp_path: Path, content: bytes | None, code: int) -> None:
    # Given a file that is no recording, or none, when it is to be played, then the exit code tells which
    file = tmp_path / "calls.csv"
    if content is not None:
        file.write_bytes(content)
    assert replay(str(file)).exit_code == code


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "nan", "inf"])
def test_a_speed_that_is_none_is_64(speed: str) -> None:
    # Given a speed that is neither a number above 0 nor max, when the replay is asked for, then that is refused
    assert replay("--speed", speed).exit_code == 64
