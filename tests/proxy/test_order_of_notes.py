"""A client behind a proxy is told things in the order that it would be told them by one server."""

from __future__ import annotations

from tests.transcripts.play import Stage, read

CAST = read("with media (MediaServer), vicky (AgentApplication)\n")
SUBMIT = 'media RequestSubmit {"tenant_id": 101, "media_type": "voice", "queue": "Inbound"}'


def test_a_logout_is_acked_before_its_consequences_at_any_node() -> None:
    """Given an agent that handles interactions of three nodes, when it logs out, then it is acked, and then told of
    each interaction that is taken from it."""
    stage = Stage(CAST, "p1", 3)
    stage.play('vicky RequestAgentLogin {"tenant_id": 101, "agent_id": "VICKY", "media_list": {"voice": 1}}')
    for _ in range(3):
        stage.play(SUBMIT)
    stage.play('vicky RequestPull {"tenant_id": 101, "view_id": "Inbound/all", "count": 3}')
    assert {len(pair.core.memory.holdings) for pair in stage.pairs.values() if pair.core} == {1}

    stage.play("vicky RequestAgentLogout")
    assert [said["message"] for who, said in stage.said if who == "vicky"] == ["EventAck", *["EventRevoked"] * 3]
