"""An agent works on what one node holds: no other node takes it for silent, as long as it comes through a proxy."""

from __future__ import annotations

from typing import Any

from broker.config.objects import NodeSettings
from tests.world import World, make_configuration

PATIENT = NodeSettings(handling_timeout=1, keepalive_interval=3600)
"""An agent may be silent for a minute."""


def make_world() -> World:
    return World(make_configuration(2, 1, PATIENT, keepalive_interval=3600))


def handling(world: World) -> tuple[Any, list[str]]:
    """An agent that handles a mail at each of two nodes, and the ids of these mails."""
    media, desk = world.client("MediaServer"), world.client("AgentApplication")
    mail = {"tenant_id": 101, "media_type": "email", "queue": "Inbound"}
    ids = [media.ask("RequestSubmit", **mail)["interaction_id"] for _ in range(2)]  # the nodes have their turns
    desk.ask("RequestAgentLogin", tenant_id=101, agent_id="VICKY", media_list={"email": 1})
    desk.ask("RequestPull", tenant_id=101, view_id="_system_", pull_parameters={"interaction_ids": ids})
    assert ids[0][:4] != ids[1][:4]
    return desk, ids


def handled(world: World, ids: list[str]) -> list[bool]:
    """Which of the mails the agent handles."""
    monitor = world.client("Monitor")
    found = [monitor.ask("RequestGetInteractionProperties", interaction_id=one)["interaction"] for one in ids]
    return [one.get("assigned_to") == "VICKY" for one in found]


def test_what_an_agent_asks_of_one_node_counts_at_the_others() -> None:
    # given an agent that handles a mail at each of two nodes
    world = make_world()
    desk, ids = handling(world)
    # when it asks for the first one only, for longer than it may be silent
    for _ in range(3):
        world.run(40)
        desk.ask("RequestGetInteractionProperties", interaction_id=ids[0])
    # then it still handles both
    assert handled(world, ids) == [True, True]


def test_an_agent_that_only_pings_is_silent() -> None:
    # given an agent that handles a mail at each of two nodes
    world = make_world()
    desk, ids = handling(world)
    # when it sends nothing but pings
    for _ in range(3):
        world.run(25)
        desk.ask("RequestPing")
    # then both are taken from it
    assert handled(world, ids) == [False, False]
