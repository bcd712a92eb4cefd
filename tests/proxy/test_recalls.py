"""Pulls under a dedup_id: asked again, wherever, they get what they got the first time, and nothing else is taken."""

from __future__ import annotations

from typing import Any

import pytest

from broker.errors import Code
from broker.messages.kinds import ClientType
from tests.world import Client, World, make_configuration

TIMEOUT_S = 2.0


@pytest.fixture
def world() -> World:
    """Three nodes, two proxies, and a dozen interactions, on each node some."""
    world = World(make_configuration(3, 2, request_timeout=TIMEOUT_S))
    media = world.client(ClientType.MEDIA, "p1")
    for number in range(12):
        fields = {"tenant_id": 101, "media_type": "voice", "queue": "Inbound", "received_at": world.now + number}
        assert media.ask("RequestSubmit", **fields)["message"] == "EventAck"
    return world


def engine(world: World, at: str) -> Client:
    """The one routing engine, at a proxy."""
    return world.client(ClientType.ROUTING, at, name=f"urs-at-{at}", client_name="urs")


def pull(client: Client, **fields: Any) -> dict[str, Any]:
    """Its pull under the one dedup_id."""
    return client.ask("RequestPull", **{"tenant_id": 101, "view_id": "Inbound/all", "dedup_id": "d1", **fields})


def taken(world: World) -> int:
    """How many interactions are held."""
    return sum(len(pair.core.memory.holdings) for pair in world.pairs.values() if pair.core is not None)


def holders(world: World) -> list[str]:
    """The nodes that hold something."""
    return [name for name, pair in world.pairs.items() if pair.core is not None and len(pair.core.memory.holdings)]


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("again", ["p1", "p2"])
def test_a_pull_asked_again_gets_the_same(world: World, again: str, count: int) -> None:
    # given a pull, whose grants are of one node or of several
    first = pull(engine(world, "p1"), count=count)
    # when it is asked again through this proxy or another one
    second = pull(engine(world, again), count=count)
    # then the same is answered, and nothing else was taken
    assert len(first["interactions"]) == count
    assert second == first
    assert taken(world) == count


def test_what_one_node_gave_in_parts_is_put_together(world: World) -> None:
    # given a pull that took from one node, then from another, then from the first again
    first = pull(engine(world, "p1"), count=12)
    assert len(holders(world)) == 3
    # when it is asked again
    second = pull(engine(world, "p2"), count=12)
    # then all parts are there, in their order
    assert [one["interaction_id"] for one in second["interactions"]] == [
        one["interaction_id"] for one in first["interactions"]
    ]


def test_another_name_is_another_pull(world: World) -> None:
    # given a pull
    first = pull(engine(world, "p1"))
    # when the same client pulls under another dedup_id, and another client under the same
    second = pull(engine(world, "p2"), dedup_id="d2")
    third = pull(world.client(ClientType.ROUTING, "p2", name="ors"))
    # then each has its own
    assert len({one["interactions"][0]["interaction_id"] for one in (first, second, third)}) == 3


def test_a_pull_without_a_dedup_id_asks_nobody_before(world: World) -> None:
    # given an engine that nodes know
    client = engine(world, "p1")
    client.ask("RequestPull", tenant_id=101, view_id="Inbound/all", count=3)
    numbers = world.proxies["p1"].links._numbers
    before = numbers.last
    # when it pulls without a dedup_id
    client.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    # then one node was asked one thing
    assert numbers.last == before + 1


def test_a_node_that_may_have_granted_is_waited_for(world: World) -> None:
    # given a pull, and the node that granted it has just gone
    first = pull(engine(world, "p1"))
    (holder,) = holders(world)
    world.lose(holder)
    # when it is asked again, and the node's other member takes over
    client = engine(world, "p2")
    number = client.send("RequestPull", tenant_id=101, view_id="Inbound/all", dedup_id="d1")
    world.run(0.5)
    assert client.answers[number] == []
    world.take_over(holder)
    world.run(1.0)
    # then the same is answered
    assert client.answer(number) == first
    assert taken(world) == 1


def test_while_a_node_may_have_granted_nothing_else_is_taken(world: World) -> None:
    # given a pull, and the node that granted it has just gone
    pull(engine(world, "p1"))
    (holder,) = holders(world)
    world.lose(holder)
    # when it is asked again, and the node does not come back in time
    client = engine(world, "p2")
    number = client.send("RequestPull", tenant_id=101, view_id="Inbound/all", dedup_id="d1")
    world.run(TIMEOUT_S + 0.5)
    # then it is not known what became of it, and nothing was taken
    assert client.answer(number)["code"] == Code.LOST_CONNECTION
    assert client.answer(number)["missing"] == [holder]
    assert taken(world) == 0


def test_a_node_that_has_been_away_for_long_keeps_nobody_from_pulling(world: World) -> None:
    # given a node that has been away for longer than a request waits
    world.lose("n1")
    world.run(3 * TIMEOUT_S)
    # when a client pulls under a dedup_id
    answer = pull(engine(world, "p1"))
    # then it gets something at once
    assert len(answer["interactions"]) == 1


def test_a_reply_that_is_kept_no_longer_is_not_made_up_for() -> None:
    # given a pull whose window has passed, and another node that has the first interaction now
    world = World(make_configuration(2, 2))
    for pair in world.pairs.values():
        pair.core.settings.dedup_window = 1.0  # type: ignore[union-attr]
    media = world.client(ClientType.MEDIA, "p1")
    for _ in range(4):
        media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")
    pull(engine(world, "p1"))
    (holder,) = holders(world)
    direct = world.client(ClientType.MEDIA, "n2" if holder == "n1" else "n1")
    direct.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound", priority=9)
    world.run(1.5)
    # when it is asked again through the other proxy
    answer = pull(engine(world, "p2"))
    # then it is refused, and nothing else was taken
    assert answer["code"] == Code.DUPLICATE_EXPIRED
    assert taken(world) == 1


def test_a_held_pull_asked_again_is_answered_with_the_first(world: World) -> None:
    # given a pull of an empty view that is held
    client = engine(world, "p1")
    fields = {"tenant_id": 101, "view_id": "PS/all", "dedup_id": "d1", "extension": {"pull-for-strategy": 1}}
    first = client.send("RequestPull", **fields)
    world.settle()
    # when it is asked again meanwhile, and then two interactions come
    second = client.send("RequestPull", **fields)
    world.settle()
    media = world.client(ClientType.MEDIA, "p2")
    for _ in range(2):
        media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="PS")
    world.settle()
    # then one is taken, and both questions have that answer
    assert len(client.answer(first)["interactions"]) == 1
    assert client.answer(second) == client.answer(first)
    assert taken(world) == 1
    # and its name is free again
    assert len(world.proxies["p1"].calls) == 0 and world.proxies["p1"].calls._named == {}


def test_a_pull_that_cannot_be_is_refused_as_ever(world: World) -> None:
    # given an engine
    client = engine(world, "p1")
    # when it pulls from a view that is none, or of a foreign tenant, under a dedup_id
    answers = [pull(client, view_id="Nowhere/all"), pull(client, tenant_id=999)]
    # then it is told so
    assert [answer["code"] for answer in answers] == [Code.UNKNOWN_VIEW, Code.NO_SERVERS]
    assert len(world.proxies["p1"].calls) == 0


def test_a_pull_by_ids_asked_again_gets_the_same(world: World) -> None:
    # given a pull by ids, of which one is held by somebody else, who then gives it back
    other = world.client(ClientType.ROUTING, "p1")
    (mine,) = pull(other, dedup_id="x")["interactions"]
    waiting = [
        ident
        for pair in world.pairs.values()
        if pair.core is not None
        for ident in pair.core.memory.interactions
        if ident != mine["interaction_id"]
    ]
    ids = {"view_id": "_system_", "pull_parameters": {"interaction_ids": [mine["interaction_id"], *waiting[::4]]}}
    first = pull(engine(world, "p1"), **ids)
    assert len(first["interactions"]) == 3 and first["errors"].keys() == {mine["interaction_id"]}
    other.ask("RequestPlaceInQueue", interaction_id=mine["interaction_id"], queue="Inbound", token=mine["token"])
    # when it is asked again through another proxy
    second = pull(engine(world, "p2"), **ids)

    # then it gets what it got, and nothing that can be had now
    def granted(reply: dict[str, Any]) -> list[str]:
        return sorted(one["interaction_id"] for one in reply["interactions"])

    assert granted(second) == granted(first)
    assert taken(world) == 3


def test_a_held_pull_is_recalled_although_the_view_is_empty_now() -> None:
    # given one node, whose only interaction a pull has taken
    world = World(make_configuration(1, 2))
    world.client(ClientType.MEDIA).ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")
    hold = {"extension": {"pull-for-strategy": 1}}
    first = pull(engine(world, "p1"), **hold)
    assert len(first["interactions"]) == 1
    # when it is asked again through another proxy, which would hold it
    # then the same is answered at once
    assert pull(engine(world, "p2"), **hold) == first
