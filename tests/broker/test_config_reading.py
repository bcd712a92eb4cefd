"""A configuration file that is read beside the loop."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from broker.config.reading import WAITING, Read, Readings, faults_of


def taken(readings: Readings) -> Read:
    """The next reading that is done."""
    until = time.monotonic() + 10
    while (read := readings.take()) is None:
        assert readings.under_way and time.monotonic() < until
        time.sleep(0.005)
    return read


def test_readings_are_done_one_after_the_other(tmp_path: Path) -> None:
    """Given a good file, a text with a fault and the file again; when they are read; then each has its verdict."""
    file = tmp_path / "cluster.toml"
    file.write_text("[tenants.101]\n")
    readings = Readings(str(file))
    for order, text in (("file", None), ("text", "[tenants.x]\n"), ("again", None)):
        assert readings.begin(order, text)
    reads = [taken(readings) for _ in range(3)]
    assert [read.order for read in reads] == ["file", "text", "again"]
    assert [bool(faults_of(read.verdict)) for read in reads] == [False, True, False]
    assert faults_of(reads[1].verdict).startswith("configuration:1: tenants.x: ")
    assert list(reads[0].verdict.configuration.tenants) == [101]
    assert not readings.under_way and readings.take() is None


def test_without_a_file_there_is_a_fault() -> None:
    """Given a process that was not started from a file; when it is to read it; then that is a fault."""
    readings = Readings(None)
    readings.begin("SIGHUP")
    assert "was not started from a file" in faults_of(taken(readings).verdict)


def test_too_many_are_refused_and_all_can_be_forgotten() -> None:
    """Given as many as may wait; when there is one more; then it is refused; forgotten, none comes back."""
    readings = Readings(None)
    begun = [readings.begin(number) for number in range(WAITING + 5)]
    assert begun.count(False) >= 3
    readings.forget()
    assert not readings.under_way and readings.take() is None


def test_what_did_not_come_about_is_said_louder() -> None:
    """Given what became of configurations; when it is noted; then what was refused or waits is a warning."""
    from broker.config.reading import note

    class Log:
        """Notes the level."""

        def __init__(self) -> None:
            self.levels: list[str] = []

        def __getattr__(self, level: str) -> Any:
            return lambda event, **fields: self.levels.append(level)

    log = Log()
    for said in ("changed: nothing", "changed: nothing; NOT CHANGED UNTIL A RESTART: x", "nothing is changed: faults"):
        note(log, said, "SIGHUP")
    assert log.levels == ["info", "warning", "warning"]
