"""Every flow goes as its transcript says, at a node and through proxies: a client cannot tell them apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.transcripts.play import FLOWS, STAGES, played, read

TRANSCRIPTS = {path: read(path.read_text()) for path in sorted(FLOWS.glob("*.txt"))}
CASES = [
    (path, stage)
    for path, transcript in TRANSCRIPTS.items()
    for stage, (_, nodes) in STAGES.items()
    if nodes <= transcript.nodes  # some flows are of one node
]


@pytest.mark.parametrize(("path", "stage"), CASES, ids=[f"{path.stem}, {stage}" for path, stage in CASES])
def test_it_goes_as_it_is_written(path: Path, stage: str) -> None:
    """Given a flow, when its steps are done, then everybody is told just what is written there, in this order."""
    assert played(TRANSCRIPTS[path], *STAGES[stage]).text() == path.read_text()
