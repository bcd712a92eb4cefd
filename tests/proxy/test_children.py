"""Children go to their parent's node, which knows where the parent lets them go."""

from __future__ import annotations

import pytest

from tests.world import World, make_configuration

VOICE = {"tenant_id": 101, "media_type": "voice"}


@pytest.mark.parametrize("own_id", [None, "mine-1", "mine-2"])
def test_a_child_is_held_against_its_parent_wherever_that_is(own_id: str | None) -> None:
    """Given a parent with out queues at some node, when children are submitted through a proxy, then all are held
    against it, and stand at its node."""
    world = World(make_configuration(3, 1))
    media = world.client("MediaServer")
    for _ in range(2):  # whatever node's turn it is
        fields = {"interaction_id": own_id} if own_id else {}
        parent = media.ask("RequestSubmit", **VOICE, queue="Inbound", out_queues=["PS"], **fields)["interaction_id"]
        holder = next(pair.name for pair in world.pairs.values() if parent in pair.core.memory.interactions)
        refused = media.ask("RequestSubmit", **VOICE, queue="Inbound", parent_id=parent)
        assert (refused["code"], refused["field"]) == (3, "queue")
        for dedup in ({}, {"dedup_id": "a"}):
            child = media.ask("RequestSubmit", **VOICE, queue="PS", parent_id=parent, **dedup)["interaction_id"]
            assert child in world.pairs[holder].core.memory.interactions
        media.ask("RequestStopProcessing", interaction_id=parent)


def test_a_child_whose_parents_node_is_away_is_taken_by_another() -> None:
    """Given a parent's node that is away, when a child is submitted, then another node takes it."""
    world = World(make_configuration(2, 1))
    media = world.client("MediaServer")
    parent = media.ask("RequestSubmit", **VOICE, queue="Inbound")["interaction_id"]
    holder = next(pair.name for pair in world.pairs.values() if parent in pair.core.memory.interactions)
    world.lose(holder)
    world.run(2.0)
    assert media.ask("RequestSubmit", **VOICE, queue="PS", parent_id=parent)["message"] == "EventAck"
