"""``ixn ledger`` against a scripted proxy."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from broker.cli import ixn
from tests.broker.peer import Peer

ENTRY = {"time": 1790000000.25, "peer": "n1", "reason": "late reply", "name": "EventAck", "size": 22}
KEPT = {
    "message": "EventLedger",
    "server": "p1",
    "member": "primary",
    "dropped": 3,
    "peers": {"n1": {"late reply": 2}, "VICKY": {"client gone": 1}},
    "last": [ENTRY],
}


def answers(request: dict[str, Any]) -> dict[str, Any]:
    return KEPT if request["message"] == "RequestGetLedger" else {"message": "EventAck"}


@pytest.mark.parametrize("output", ["text", "json", "jsonl"])
def test_a_ledger_is_shown(output):
    """Given a proxy with a ledger, when it is asked for a node's, then the request names it, and all is printed."""
    with Peer(answers) as peer:
        start = ["--config", "/nonexistent/cluster.toml", "--connect", peer.endpoint]
        result = CliRunner().invoke(ixn, [*start, "ledger", "n1", "--count", "5", "-o", output])
        asked = peer.named("RequestGetLedger")

    assert result.exit_code == 0, result.output
    assert [(request["node"], request["count"]) for request in asked] == [("n1", 5)]
    if output == "text":
        assert "p1 primary: 3 dropped" in result.stdout
        assert "VICKY" in result.stdout and "2026-09-21 14:13:20.250" in result.stdout
    else:
        assert json.loads(result.stdout) == (KEPT if output == "json" else ENTRY)
