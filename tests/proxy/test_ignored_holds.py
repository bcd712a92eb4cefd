"""Pulls that ignore holds, over several real nodes: they see what others do not, in the same order."""

from __future__ import annotations

from typing import Any

import pytest

from tests.world import Client, World, make_configuration

VIEW = {"tenant_id": 101, "view_id": "Inbound/all"}
HOLD = {"extension": {"pull-for-strategy": 1}}


class Scene:
    """Interactions at two nodes, by their priority; some are on hold."""

    def __init__(self, pull_order: str = "global") -> None:
        self.world = World(make_configuration(2, 1, pull_order=pull_order))
        self.media = self.world.client("MediaServer")
        self.desks = {name: self.world.client("MediaServer", name) for name in ("n1", "n2")}
        self.engine = self.world.client("RoutingEngine")

    def submit(self, node: str, priority: int, held: bool = True) -> str:
        fields = {"tenant_id": 101, "media_type": "voice", "queue": "Inbound", "priority": priority}
        ident: str = self.desks[node].ask("RequestSubmit", **fields)["interaction_id"]
        if held:
            self.desks[node].ask("RequestHold", interaction_id=ident)
        return ident

    def pulled(self, client: Client | None = None, **fields: Any) -> list[int]:
        """The priorities of what a pull gets."""
        client = client or self.engine
        number = client.send("RequestPull", **VIEW, **fields)
        self.world.run(0.2)
        return [one.get("priority", 0) for one in client.answer(number)["interactions"]]


@pytest.mark.parametrize("pull_order", ["global", "round-robin"])
def test_a_view_whose_interactions_are_all_on_hold(pull_order: str) -> None:
    """Given two nodes with nothing but held interactions, when a pull ignores holds, then it gets them all; when
    it does not, then it gets nothing."""
    scene = Scene(pull_order)
    for node, priority in (("n1", 5), ("n2", 4), ("n1", 3), ("n2", 2)):
        scene.submit(node, priority)
    assert scene.pulled(count=4) == []
    got = scene.pulled(count=4, ignore_hold=True)
    assert sorted(got, reverse=True) == [5, 4, 3, 2]
    assert pull_order != "global" or got == [5, 4, 3, 2]
    assert scene.pulled(count=4, ignore_hold=True) == []


def test_held_ones_stand_in_the_order_among_the_others() -> None:
    """Given held and waiting interactions at both nodes, when pulls of both kinds come, then each gets the first that
    it may have over all nodes."""
    scene = Scene()
    for node, priority, held in (("n1", 9, True), ("n2", 8, False), ("n1", 7, False), ("n2", 6, True), ("n1", 5, True)):
        scene.submit(node, priority, held)
    assert scene.pulled() == [8]
    assert scene.pulled(ignore_hold=True) == [9]
    assert scene.pulled(count=2, ignore_hold=True) == [7, 6]
    assert scene.pulled() == []
    assert scene.pulled(ignore_hold=True) == [5]


def test_a_pull_that_waits_is_served_by_what_comes_on_hold_only_if_it_ignores_holds() -> None:
    """Given two pulls on hold of which one ignores holds, when a held interaction comes, then that one gets it; the
    other gets it as soon as the next is resumed."""
    scene = Scene()
    patient = scene.world.client("RoutingEngine")
    first, second = (
        scene.engine.send("RequestPull", **VIEW, **HOLD),
        patient.send("RequestPull", **VIEW, **HOLD, ignore_hold=True),
    )
    scene.world.run(0.2)
    scene.submit("n2", 1)
    scene.world.run(0.2)
    assert [one["priority"] for one in patient.answer(second)["interactions"]] == [1]
    assert scene.engine.answers[first] == []
    ident = scene.submit("n1", 2)
    scene.desks["n1"].ask("RequestResume", interaction_id=ident)
    scene.world.run(0.2)
    assert [one["priority"] for one in scene.engine.answer(first)["interactions"]] == [2]


def test_a_hold_and_a_resumption_move_the_heads() -> None:
    """Given a proxy that knows the heads, when the first interaction is put on hold and resumed, then pulls follow."""
    scene = Scene()
    first = scene.submit("n1", 9, held=False)
    scene.submit("n2", 1, held=False)
    scene.pulled(count=1, ignore_hold=True)
    scene.media.ask("RequestPlaceInQueue", interaction_id=first, queue="Inbound")
    scene.media.ask("RequestHold", interaction_id=first)
    assert scene.pulled() == [1]
    scene.media.ask("RequestResume", interaction_id=first)
    assert scene.pulled() == [9]
