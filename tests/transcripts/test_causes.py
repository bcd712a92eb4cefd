"""What a request is documented to cause is what the transcripts show that it causes, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from broker.messages import EVENTS, NOTIFICATIONS, REQUESTS
from tests.transcripts.play import FLOWS, STAGES, Stage, read

ELSEWHERE = {
    "RequestAlignAgent": set(REQUESTS["RequestAlignAgent"].causes),  # proxies ask it, not clients
    "RequestUnregisterClient": {"EventPanicSignal"},  # proxies ask it so for a client that has vanished
    "RequestSwitchover": {"EventNodeActive"},  # processes do it, not cores: the pair's tests show it
    "RequestReconfigure": {"EventConfigurationChanged"},  # processes read the file: the live tests show it
    "RequestServiceUndelivered": {"Request3rdServer", "EventExternalServiceRequested"},  # proxies ask it, not clients
}
"""What no client's flow can show."""
TOLD = set(EVENTS) | set(NOTIFICATIONS)


class Seen:
    """What all transcripts show.

    :param at_once: request -> the messages of its own step that come of it, each with the flow it is in
    :param later: request -> those of later steps of the same flow, which may come of it
    """

    def __init__(self) -> None:
        self.at_once: dict[str, dict[str, str]] = defaultdict(dict)
        self.later: dict[str, set[str]] = defaultdict(set)
        for path in sorted(FLOWS.glob("*.txt")):
            self._play(path.stem, path.read_text())

    def _play(self, flow: str, text: str) -> None:
        transcript = read(text)
        stage = Stage(transcript, *STAGES["node"])
        before: set[str] = set()
        for step, _ in transcript.steps:
            stage.play(step)
            asked = next((word for word in step.split() if word in REQUESTS), None)
            for _, said in stage.said:
                if said["message"] not in TOLD:
                    continue
                cause = said.get("cause") or asked
                if "cause" not in said and _is_push(said, asked):
                    continue
                if cause is not None:
                    self.at_once[cause].setdefault(said["message"], flow)
                for request in before:
                    self.later[request].add(said["message"])
            before |= {asked} if asked else set()


def _is_push(said: dict[str, Any], asked: str | None) -> bool:
    """What is pushed to an engine is the server's own doing: whatever lets something wait may be followed by it."""
    known = asked is not None and said["message"] in REQUESTS[asked].causes
    return said["message"] in REQUESTS["RequestLoadStrategy"].causes and not known


@pytest.fixture(scope="module")
def seen() -> Seen:
    return Seen()


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_all_that_it_causes_at_once_is_documented(seen, name):
    """Given the transcripts, when a request leads to a message, then its ``causes`` has it."""
    undocumented = {
        message: flow for message, flow in seen.at_once[name].items() if message not in REQUESTS[name].causes
    }
    assert not undocumented


@pytest.mark.parametrize("name", sorted(name for name in REQUESTS if REQUESTS[name].causes))
def test_all_that_is_documented_is_seen(seen, name):
    """Given a request's ``causes``, when the transcripts are played, then each of them comes, at once or later."""
    unseen = set(REQUESTS[name].causes) - seen.at_once[name].keys() - seen.later[name]
    assert unseen == ELSEWHERE.get(name, set())
