"""Every flow goes as its transcript says, at a node and through proxies: a client cannot tell them apart."""

from __future__ import annotations

import pytest

from tests.transcripts.play import FLOWS, STAGES, played, read

FILES = sorted(FLOWS.glob("*.txt"))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_goes_as_it_is_written(path, stage):
    """Given a flow, when its steps are done, then everybody is told just what is written there, in this order."""
    transcript = read(path.read_text())
    at, nodes = STAGES[stage]
    if nodes > transcript.nodes:
        pytest.skip("what it shows is of one node")
    assert played(transcript, at, nodes).text() == path.read_text()
