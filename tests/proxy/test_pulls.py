"""Pulls from views over all nodes: one order, nobody before his turn, nothing twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from broker.config.objects import NodeClusterSettings
from proxy.hints import without_hold
from proxy.lanes import WIDEST

VIEW = "Inbound/all"
PULL: dict[str, Any] = {"tenant_id": 101, "view_id": VIEW}
HOLD: dict[str, Any] = {**PULL, "extension": {"pull-for-strategy": 1, "other": "kept"}}
PROPERTIES = {"tenant_id": 101, "media_type": "email", "queue": "Inbound", "token": 1}


class Stock:
    """What waits in the view at each node, lowest number first; nodes grant from it and tell of their heads."""

    def __init__(self, world: Any, **numbers: list[int]) -> None:
        self.world = world
        self.waiting: dict[str, list[int]] = {name: sorted(numbers.get(name, [])) for name in world.nodes}
        self.pulls: list[tuple[str, dict[str, Any]]] = []
        self.mute = self.heads_only = False
        for name, node in world.nodes.items():
            node.heads[VIEW], node.behind[VIEW] = self.line(name)
            node.script["RequestPull"] = lambda request, name=name: self.pull(name, request)

    def line(self, name: str) -> tuple[list[Any] | None, list[list[Any]]]:
        """A node's head as its key (priority desc, received_at, interaction_id), and the keys behind it."""
        head, *behind = [[0, float(number), str(number)] for number in self.waiting[name]] or [None]
        return head, behind

    def pull(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """A node's answer to a pull."""
        self.pulls.append((name, request))
        waiting, below = self.waiting[name], request.get("below")
        take = [number for number in waiting if below is None or number < below[1]][: request.get("count", 1)]
        del waiting[: len(take)]
        self.tell(name)
        interactions = [{"interaction_id": str(number), "received_at": number, **PROPERTIES} for number in take]
        return {"message": "EventPulledInteractions", "interactions": interactions}

    def put(self, name: str, *numbers: int) -> None:
        """New interactions at a node."""
        self.waiting[name] = sorted([*self.waiting[name], *numbers])
        self.tell(name)

    def tell(self, name: str) -> None:
        """The node pushes its first keys when they have changed, unless that is lost."""
        node = self.world.nodes[name]
        before = node.head(VIEW)
        node.heads[VIEW], node.behind[VIEW] = self.line(name)
        if self.heads_only:
            node.reach[VIEW] = 1
        now = node.head(VIEW)
        if not self.mute and (now["head"], now["next"]) != (before["head"], before["next"]):
            node.push(VIEW, node.heads[VIEW])


def numbers(reply: dict[str, Any]) -> list[int]:
    """What a pull got."""
    assert reply["message"] == "EventPulledInteractions", reply
    return [int(one["interaction_id"]) for one in reply["interactions"]]


def rounds_until_answered(world: Any, client: bytes, refs: list[Any]) -> int:
    """How often something goes from the proxy to the nodes and back until all is answered."""
    rounds = 0
    while not all(world.is_answered(client, ref) for ref in refs):
        world._carry()
        rounds += 1
    return rounds


# -- one order


def test_pulls_come_in_the_order_of_the_view_over_all_nodes(world: Any) -> None:
    # given interactions of one view spread over the nodes
    client = world.client(b"c")
    Stock(world, n1=[1, 4, 5, 9], n2=[2, 3, 8], n3=[6, 7])
    # when they are pulled one after the other, until nothing comes
    got = [numbers(world.ask(client, "RequestPull", **PULL)) for _ in range(10)]
    # then they come in order, each once
    assert got == [[number] for number in range(1, 10)] + [[]]


@pytest.mark.parametrize("count", [2, 4, 9, 50])
def test_a_pull_of_many_is_in_order_too(world: Any, count: int) -> None:
    # given interactions spread over the nodes
    client = world.client(b"c")
    Stock(world, n1=[1, 4, 5, 9], n2=[2, 3, 8], n3=[6, 7])
    # when several are pulled at once
    got = numbers(world.ask(client, "RequestPull", **PULL, count=count))
    # then they are the first ones, in order
    assert got == list(range(1, 10))[:count]


def test_pulls_at_the_same_time_are_served_in_the_order_they_came(world: Any) -> None:
    # given interactions spread over the nodes, and clients that ask all at once
    clients = [world.client(f"c{number}".encode()) for number in range(12)]
    stock = Stock(world, n1=[1, 4, 5, 9], n2=[2, 3, 8], n3=[6, 7])
    # when all is answered
    refs = [world.send(client, "RequestPull", **PULL) for client in clients]
    world.flow()
    # then who came first has the first, and the last ones have nothing
    got = [numbers(world.reply(client, ref)) for client, ref in zip(clients, refs, strict=True)]
    assert got == [[number] for number in range(1, 10)] + [[], [], []]
    # and nodes were not asked in vain much more than they gave
    assert len(stock.pulls) <= 2 * 9


def test_one_node_that_has_all_is_asked_many_at_a_time(world: Any) -> None:
    # given a backlog at one node, and many clients
    client = world.client(b"c", "RoutingEngine")
    stock = Stock(world, n1=list(range(500)), n2=[1000])
    # when they pull all at once
    refs = [world.send(client, "RequestPull", **PULL) for _ in range(400)]
    rounds = rounds_until_answered(world, client, refs)
    # then they are served in few rounds, in order
    assert [numbers(world.reply(client, ref)) for ref in refs] == [[number] for number in range(400)]
    assert len(stock.pulls) == 400
    assert rounds < 400 / WIDEST + 12


def test_pulls_are_under_way_at_all_nodes_at_once(world: Any) -> None:
    # given interactions of one order, the next one always at another node, and many clients
    client = world.client(b"c", "RoutingEngine")
    Stock(world, n1=list(range(0, 150, 3)), n2=list(range(1, 150, 3)), n3=list(range(2, 150, 3)))
    # when they pull all at once
    refs = [world.send(client, "RequestPull", **PULL) for _ in range(150)]
    rounds = rounds_until_answered(world, client, refs)
    # then they are served in order, and not one by one
    assert [numbers(world.reply(client, ref)) for ref in refs] == [[number] for number in range(150)]
    assert rounds < 12


def test_nodes_tell_as_many_keys_as_are_wanted_at_once(world: Any) -> None:
    # given a backlog, and a single client that pulls
    client = world.client(b"c", "RoutingEngine")
    Stock(world, n1=list(range(0, 100, 2)), n2=list(range(1, 100, 2)))
    asked = world["n1"].reach
    world.ask(client, "RequestPull", **PULL)
    assert asked[VIEW] == 1
    # when many pull at once, and later on nobody does
    refs = [world.send(client, "RequestPull", **PULL) for _ in range(30)]
    world.flow()
    most = asked[VIEW]
    assert all(world.is_answered(client, ref) for ref in refs)
    world.run(3)
    # then a node tells many keys, and later on one
    assert (most, asked[VIEW]) == (32, 1)
    assert world.core.pulls.wake_at == float("inf")


def test_a_node_that_tells_its_head_only_is_asked_many_at_a_time(world: Any) -> None:
    # given a view with segments, of which nodes tell the head only: one has most, another has one in the middle
    client = world.client(b"c", "RoutingEngine")
    stock = Stock(world, n1=[*range(300), *range(301, 400)], n2=[300])
    stock.heads_only = True
    # when many pull at once
    refs = [world.send(client, "RequestPull", **PULL) for _ in range(400)]
    rounds = rounds_until_answered(world, client, refs)
    # then the order holds, and they are not served one by one
    assert [numbers(world.reply(client, ref)) for ref in refs] == [[number] for number in range(400)]
    assert rounds < 50


def test_who_wants_many_is_served_before_those_who_came_later(world: Any) -> None:
    # given interactions of one order at two nodes, in runs
    client = world.client(b"c", "RoutingEngine")
    Stock(world, n1=[1, 2, 5, 6, 9], n2=[3, 4, 7, 8])
    # when one that wants five pulls, and two that want two
    refs = [world.send(client, "RequestPull", **PULL, count=count) for count in (5, 2, 2)]
    world.flow()
    # then each has its own, in order
    assert [numbers(world.reply(client, ref)) for ref in refs] == [[1, 2, 3, 4, 5], [6, 7], [8, 9]]


def test_a_line_is_without_what_was_granted_also_when_the_node_has_not_said_so(world: Any) -> None:
    # given two nodes whose lines are known
    client = world.client(b"c", "RoutingEngine")
    stock = Stock(world, n1=[1, 3, 5], n2=[2, 4, 6])
    refs = [world.send(client, "RequestPull", **PULL) for _ in range(2)]
    world.flow()
    # when pushed lines are lost, and clients go on
    stock.mute = True
    refs += [world.send(client, "RequestPull", **PULL) for _ in range(2)]
    world.flow()
    # then the order holds, and no node is asked in vain
    assert [numbers(world.reply(client, ref)) for ref in refs] == [[1], [2], [3], [4]]
    assert len(stock.pulls) == 4


def test_a_new_first_one_at_another_node_is_next(world: Any) -> None:
    # given a backlog at one node
    client = world.client(b"c")
    stock = Stock(world, n1=[10, 11, 12])
    got = [numbers(world.ask(client, "RequestPull", **PULL))]
    # when something that comes before it is put to another node
    stock.put("n2", 1)
    world.flow()
    got += [numbers(world.ask(client, "RequestPull", **PULL)) for _ in range(2)]
    # then it is next
    assert got == [[10], [1], [11]]


def test_two_nodes_with_the_very_same_key(world: Any) -> None:
    # given two nodes that hold the same id, as clients can make them
    client = world.client(b"c")
    Stock(world, n1=[1, 3], n2=[1, 2])
    # when all are pulled
    got = numbers(world.ask(client, "RequestPull", **PULL, count=10))
    # then all come, in order
    assert got == [1, 1, 2, 3]


def test_another_proxy_pulls_as_well(world: Any) -> None:
    # given heads of which another proxy has just taken some
    client = world.client(b"c")
    stock = Stock(world, n1=[1, 7], n2=[2, 6], n3=[3])
    world.ask(client, "RequestPull", **PULL)
    stock.mute = True
    stock.waiting["n2"].remove(2)
    stock.waiting["n3"].clear()
    # when this proxy goes on, not knowing it
    got = [numbers(world.ask(client, "RequestPull", **PULL)) for _ in range(3)]
    # then it gets the rest in order, and then nothing
    assert got == [[6], [7], []]


def test_a_head_that_proves_stale_is_waited_for(world: Any) -> None:
    # given a node whose first one another proxy has taken, and its next one comes between those of another node
    clients = [world.client(name) for name in (b"a", b"b", b"c")]
    stock = Stock(world, n1=[1, 2, 6], n2=[5, 7])
    world.ask(clients[0], "RequestPull", **PULL)
    stock.mute = True
    stock.waiting["n1"].remove(2)
    world["n1"].script["RequestWatchView"] = None
    # when clients pull all at once, and that node tells its head a little later than the other one serves
    refs = [world.send(client, "RequestPull", **PULL) for client in clients]
    world.flow()
    stock.mute = False
    world["n1"].push(VIEW, stock.line("n1")[0])
    world.flow()
    # then the order holds for them
    assert [numbers(world.reply(client, ref)) for client, ref in zip(clients, refs, strict=True)] == [[5], [6], [7]]


@given(
    homes=st.lists(st.integers(0, 2), min_size=1, max_size=25),
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=10),
    together=st.booleans(),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_asked_the_order_holds_and_nothing_is_lost_or_doubled(
    make_world: Any, homes: list[int], counts: list[int], together: bool
) -> None:
    # given interactions at any nodes, and pulls of any size, one after the other or all together
    world = make_world()
    client = world.client(b"c", "RoutingEngine")
    spread: dict[str, list[int]] = {"n1": [], "n2": [], "n3": []}
    for number, home in enumerate(homes):
        spread[f"n{home + 1}"].append(number)
    Stock(world, **spread)
    # when they are answered
    refs = []
    for count in counts:
        refs.append(world.send(client, "RequestPull", **PULL, count=count))
        if not together:
            world.flow()
    world.flow()
    # then each pull has its part of the order
    expected = list(range(len(homes)))
    got = [numbers(world.reply(client, ref)) for ref in refs]
    assert sorted(number for one in got for number in one) == expected[: sum(counts)]
    assert all(one == sorted(one) for one in got)
    if not together:
        assert [number for one in got for number in one] == expected[: sum(counts)]


# -- what nodes are asked


def test_a_single_node_gets_the_pull_as_it_came(make_world: Any) -> None:
    # given the only node of a tenant
    world = make_world(("n1", "n2"), cluster={"n2": NodeClusterSettings(tenants=[102])})
    client = world.client(b"c")
    Stock(world, n1=[1])
    payload = b'{"message": "RequestPull", "tenant_id" :101, "view_id":"Inbound/all", "reason": {"a": 1.50}}'
    # when a client pulls
    got = numbers(world.ask(client, payload))
    # then the node has got its very bytes
    assert got == [1]
    assert world["n1"].log[-1][0].payload == payload


def test_nodes_are_never_asked_to_hold(world: Any) -> None:
    # given a pull that holds
    client = world.client(b"c", "RoutingEngine")
    stock = Stock(world, n1=[1])
    # when a node is asked
    world.ask(client, "RequestPull", **HOLD, strategy_id="s", ignore_hold=True, reason={"r": 1})
    # then it is asked for all but the hold
    ((_, request),) = stock.pulls
    assert {"count": 1, **request} == {
        "message": "RequestPull",
        **PULL,
        "extension": {"other": "kept"},
        "strategy_id": "s",
        "ignore_hold": True,
        "reason": {"r": 1},
        "count": 1,
    }


def test_the_extension_without_its_hold() -> None:
    # given extensions with and without the hint, and some that are no objects
    # when the hint is taken out
    # then the rest stays; one that has it not, stays as it is, byte for byte
    assert without_hold(Raw(b'{"pull-for-strategy": true}')) is UNSET
    assert bytes(without_hold(Raw(b'{"a":1,"pull-for-strategy":0}'))) == b'{"a":1}'
    for other in (Raw(b'{ "a" : 1 }'), Raw(b"5"), UNSET):
        assert without_hold(other) is other


def test_what_a_node_is_asked_for_again_is_another_part(world: Any) -> None:
    # given a pull with a dedup_id, for which a node has to be asked twice
    client = world.client(b"c")
    stock = Stock(world, n1=[1, 3], n2=[2])
    # when it is answered
    assert numbers(world.ask(client, "RequestPull", **PULL, count=3, dedup_id="d")) == [1, 2, 3]
    # then the node was asked for a second part, or it would have repeated its first answer
    assert {request["dedup_id"] for _, request in stock.pulls} == {"d"}
    assert [(name, request.get("part", 0)) for name, request in stock.pulls] == [("n1", 0), ("n2", 0), ("n1", 1)]


def test_round_robin_asks_the_nodes_in_turn(make_world: Any) -> None:
    # given the published behaviour
    world = make_world(("n1", "n2", "n3"), pull_order="round-robin")
    client = world.client(b"c")
    stock = Stock(world, n1=[1, 2, 3], n2=[4, 5, 6])
    # when interactions are pulled
    got = [numbers(world.ask(client, "RequestPull", **PULL)) for _ in range(7)]
    # then nodes that have something are asked in turn, and all comes
    assert sorted(number for one in got for number in one) == [1, 2, 3, 4, 5, 6] and got[6] == []
    assert [name for name, _ in stock.pulls][:4] in (["n1", "n2", "n1", "n2"], ["n2", "n1", "n2", "n1"])


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"view_id": "nowhere"}, 14, "view_id"),
        ({"view_id": "Shop/all"}, 14, "view_id"),
        ({"tenant_id": 102}, 2001, "tenant_id"),
        ({"tenant_id": 999}, 2001, "tenant_id"),
        ({"tenant_id": None}, 2001, "tenant_id"),
        ({"count": 0}, 3, "count"),
    ],
)
def test_pulls_that_the_proxy_refuses(world: Any, fields: dict[str, Any], code: int, field: str) -> None:
    # given a client of one tenant
    client = world.client(b"c", tenants=[101])
    # when it pulls from another tenant's view, or from one that there is not
    reply = world.ask(client, "RequestPull", **{**PULL, **fields})
    # then the proxy says so, and no node is asked
    assert (reply["code"], reply["field"]) == (code, field)
    assert all(node.log == [] for node in world.nodes.values())


def test_what_a_node_refuses_is_the_answer(world: Any) -> None:
    # given an agent that is not logged in
    client = world.client(b"c")
    Stock(world, n1=[1])
    world["n1"].script["RequestPull"] = {"message": "EventError", "code": 22, "text": "Agent is not logged in"}
    # when it pulls
    # then the node's words are the answer
    assert world.ask(client, "RequestPull", **PULL)["code"] == 22


# -- empty views


def test_an_empty_view_is_answered_at_once_after_a_look_at_all_nodes(world: Any) -> None:
    # given an empty view whose heads the proxy knows
    client = world.client(b"c")
    stock = Stock(world)
    assert numbers(world.ask(client, "RequestPull", **PULL)) == []
    # when something has come of which the proxy was not told, and then nothing more
    stock.mute = True
    stock.put("n2", 5)
    got = [numbers(world.ask(client, "RequestPull", **PULL)) for _ in range(2)]
    # then it is found, and after it nothing
    assert got == [[5], []]


def test_polls_of_an_empty_view_leave_nothing_behind(world: Any) -> None:
    # given an empty view
    client = world.client(b"c")
    Stock(world)
    # when it is polled very often
    for _ in range(1500):
        assert numbers(world.ask(client, "RequestPull", **PULL)) == []
    # then nothing of it is kept
    pulls = world.core.pulls
    assert pulls._open == {} and len(pulls._due) <= 1001
    assert all(len(view._queue) <= 101 for view in world.core.lookout.views.values())


def test_an_empty_view_during_a_failover_waits_for_the_node(world: Any) -> None:
    # given a node between two active members, which has the only interaction
    client = world.client(b"c")
    stock = Stock(world, n2=[1])
    world.kill("n2")
    world.run(1.1)
    ref = world.send(client, "RequestPull", **PULL)
    world.run(0.5)
    assert not world.is_answered(client, ref)
    # when it is back
    world["n2"].active = "primary"
    world["n2"].fail_over()
    world.run(0.1)
    # then the pull has it
    assert numbers(world.reply(client, ref)) == [1]
    assert stock.waiting["n2"] == []


def test_others_serve_while_a_node_is_away(world: Any) -> None:
    # given a node that is away
    client = world.client(b"c")
    Stock(world, n1=[5], n2=[1])
    world.kill("n2")
    world.run(1.1)
    # when a client pulls
    # then it gets what is there, at once
    assert numbers(world.ask(client, "RequestPull", **PULL)) == [5]


def test_a_node_that_is_gone_is_not_waited_for(world: Any) -> None:
    # given a node that has been away for long, and empty ones
    client = world.client(b"c")
    Stock(world)
    world.kill("n2")
    world.run(12)
    # when a client pulls
    # then there is nothing, at once; and when all are gone, the connection is lost
    assert numbers(world.ask(client, "RequestPull", **PULL)) == []
    for name in ("n1", "n3"):
        world.kill(name)
    world.run(12)
    assert world.ask(client, "RequestPull", **PULL)["code"] == 2002


def test_a_node_that_falls_silent_with_a_pull(world: Any) -> None:
    # given a node that does not answer a pull any more, and others that have something
    client = world.client(b"c")
    Stock(world, n1=[1], n2=[5])
    world["n1"].script["RequestPull"] = None
    # when clients pull
    refs = [world.send(client, "RequestPull", **PULL) for _ in range(2)]
    world.flow()
    # then the first waits for that node, the other is served by another one
    assert numbers(world.reply(client, refs[1])) == [5]
    world.kill("n1")
    world.run(1.2)
    assert not world.is_answered(client, refs[0])
    world.run(10)
    assert (world.reply(client, refs[0])["code"], world.reply(client, refs[0])["missing"]) == (2002, ["n1"])


@pytest.mark.parametrize("garbage", [b"{}", b'{"interactions":5}', b'{"interactions":[{}]}', b"\xff"])
def test_garbage_from_a_node_is_silence(world: Any, garbage: bytes) -> None:
    # given a node that answers pulls with something else
    client = world.client(b"c")
    Stock(world, n1=[1])
    world["n1"].script["RequestPull"] = garbage
    # when a client pulls
    reply = world.ask(client, "RequestPull", **PULL)
    # then that node is lost to it
    assert (reply["code"], reply["missing"]) == (2002, ["n1"])


@pytest.mark.parametrize("head", [b"{}", b'{"message":"EventViewHead"', b'{"message":"EventViewHead","view_id":5}'])
def test_garbage_for_a_head_is_no_head(world: Any, head: bytes) -> None:
    # given a node that tells something else than a head
    client = world.client(b"c")
    Stock(world, n2=[2])
    world["n1"].script["RequestWatchView"] = head
    # when a client pulls
    ref = world.send(client, "RequestPull", **PULL)
    world.run(2.1)
    # then it gets what the others have
    assert numbers(world.reply(client, ref)) == [2]


def test_a_head_of_another_order_is_no_head(world: Any) -> None:
    # given a node whose head is not of this view's order
    client = world.client(b"c")
    Stock(world, n2=[2])
    world["n1"].heads["Inbound/all"] = ["x"]
    # when a client pulls
    ref = world.send(client, "RequestPull", **PULL)
    world.run(2.1)
    # then it gets what the others have
    assert numbers(world.reply(client, ref)) == [2]
    assert world.core.counts["garbage"] >= 1


# -- hold


def test_a_pull_on_hold_is_served_when_something_comes(world: Any) -> None:
    # given pulls of an empty view that hold
    client = world.client(b"c", "RoutingEngine")
    stock = Stock(world)
    refs = [world.send(client, "RequestPull", **HOLD) for _ in range(3)]
    world.run(3.0)
    assert not any(world.is_answered(client, ref) for ref in refs)
    # when two interactions come to different nodes, one after the other
    stock.put("n3", 1)
    world.flow()
    stock.put("n1", 2)
    world.flow()
    # then who came first has the first, and the third waits on
    assert [numbers(world.reply(client, ref)) for ref in refs[:2]] == [[1], [2]]
    assert not world.is_answered(client, refs[2])


def test_a_hold_is_over_in_its_time(make_world: Any) -> None:
    # given a proxy whose own hold is two seconds
    world = make_world(("n1", "n2"), pull_hold_timeout=2.0)
    client = world.client(b"c", "RoutingEngine")
    Stock(world)
    ref = world.send(client, "RequestPull", **HOLD)
    # when they have passed
    world.run(1.9)
    before = world.is_answered(client, ref)
    world.run(0.2)
    # then the answer is empty
    assert not before
    assert numbers(world.reply(client, ref)) == []


def test_a_hold_may_be_longer_than_a_request_waits(make_world: Any) -> None:
    # given a hold of a minute, and a request timeout of a second
    world = make_world(("n1", "n2"), pull_hold_timeout=60.0, request_timeout=1.0)
    client = world.client(b"c", "RoutingEngine")
    stock = Stock(world)
    ref = world.send(client, "RequestPull", **HOLD)
    # when something comes after half a minute
    world.run(30)
    stock.put("n2", 1)
    world.flow()
    # then the pull has it
    assert numbers(world.reply(client, ref)) == [1]


def test_one_node_holds_through_the_proxy_too(make_world: Any) -> None:
    # given a cluster of one
    world = make_world(("n1",))
    client = world.client(b"c", "RoutingEngine")
    stock = Stock(world)
    ref = world.send(client, "RequestPull", **HOLD)
    world.run(1.0)
    # when something comes
    stock.put("n1", 1)
    world.flow()
    # then the pull has it, and the node was never asked to hold
    assert numbers(world.reply(client, ref)) == [1]
    assert all("pull-for-strategy" not in request.get("extension", {}) for _, request in stock.pulls)


def test_a_pull_on_hold_takes_what_it_gets(world: Any) -> None:
    # given a pull of five that holds
    client = world.client(b"c", "RoutingEngine")
    stock = Stock(world)
    ref = world.send(client, "RequestPull", **HOLD, count=5)
    world.flow()
    # when two come
    stock.put("n1", 1, 2)
    world.flow()
    # then it does not wait for more
    assert numbers(world.reply(client, ref)) == [1, 2]


def test_only_a_routing_engine_holds(world: Any) -> None:
    # given an agent that asks for a hold
    client = world.client(b"c")
    Stock(world)
    # when its view is empty
    # then it is answered at once
    assert numbers(world.ask(client, "RequestPull", **HOLD)) == []


def test_a_head_that_was_lost_is_asked_for_again(world: Any) -> None:
    # given a pull on hold, and an interaction of which the proxy was not told
    client = world.client(b"c", "RoutingEngine")
    stock = Stock(world)
    ref = world.send(client, "RequestPull", **HOLD)
    world.flow()
    stock.mute = True
    stock.put("n2", 1)
    # when a second has passed
    world.run(1.1)
    # then the pull has it
    assert numbers(world.reply(client, ref)) == [1]


def test_a_head_that_nobody_told_is_asked_for_by_the_next_pull(make_world: Any) -> None:
    # given a hold that is no longer than heads are waited for, and a node that has not told its head
    world = make_world(("n1", "n2"), pull_hold_timeout=1.0)
    client = world.client(b"c", "RoutingEngine")
    Stock(world)
    for name in ("n1", "n2"):
        world[name].script["RequestWatchView"] = None
    ref = world.send(client, "RequestPull", **HOLD)
    world.run(1.1)
    assert world.reply(client, ref)["code"] == 2002
    world.run(20.0)
    # when it tells it, if it is asked
    for name in ("n1", "n2"):
        del world[name].script["RequestWatchView"]
    # then the next pull asks, and is answered well
    ref = world.send(client, "RequestPull", **HOLD)
    world.run(1.1)
    assert numbers(world.reply(client, ref)) == []


def test_nodes_that_could_not_say_their_heads_are_asked_again_by_the_next_pull(make_world: Any) -> None:
    # given a hold no longer than the pause between two looks, and nodes whose databases are locked at the first pull
    world = make_world(pull_hold_timeout=1)
    client = world.client(b"c", "RoutingEngine")
    Stock(world, n1=[5])
    for node in world.nodes.values():
        node.script["RequestWatchView"] = {"message": "EventError", "code": 60, "text": "Database failure"}
    first = world.send(client, "RequestPull", **HOLD)
    world.run(1.1)
    assert world.reply(client, first)["code"] == 2002
    # when they are well again
    for node in world.nodes.values():
        del node.script["RequestWatchView"]
    # then the next pull gets what is there
    assert numbers(world.ask(client, "RequestPull", **HOLD)) == [5]


def test_a_client_that_has_gone_is_handed_nothing(world: Any) -> None:
    # given two pulls on hold, the first of a client that leaves, or is lost
    gone, lost, client = (world.client(name, "RoutingEngine") for name in (b"gone", b"lost", b"here"))
    stock = Stock(world)
    for one in (gone, lost):
        world.send(one, "RequestPull", **HOLD)
    ref = world.send(client, "RequestPull", **HOLD)
    world.flow()
    world.ask(gone, "RequestUnregisterClient")
    world.core.lost(world.now, lost)
    # when something comes
    stock.put("n1", 1)
    world.flow()
    # then the one who is there has it
    assert numbers(world.reply(client, ref)) == [1]
    assert len(world.core.calls) == 0


def test_a_failover_of_all_nodes_is_just_a_pause_for_those_on_hold(world: Any) -> None:
    # given a pull on hold, and nodes that all fail over
    client = world.client(b"c", "RoutingEngine")
    stock = Stock(world)
    ref = world.send(client, "RequestPull", **HOLD)
    world.run(0.1)
    for name in world.nodes:
        world.kill(name)
    world.run(1.5)
    for node in world.nodes.values():
        node.active = "primary"
        node.fail_over()
    world.run(0.2)
    # when something comes to a new member
    stock.put("n2", 1)
    world.run(0.1)
    # then the pull has it
    assert numbers(world.reply(client, ref)) == [1]


# -- what comes too late to be kept to


def inversions(world: Any) -> int:
    """What the proxy says in its status."""
    status = world.ask(world.client(b"ops", "Monitor"), "RequestGetStatus")
    return int(status["proxies"]["p1"]["members"]["primary"]["pulls"]["inversions"])


class Overtaken(Stock):
    """While ``n2`` answers a pull, something comes into the view at ``n1``."""

    comes: list[int]

    def pull(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """The new one is known before the answer."""
        if name == "n2":
            self.put("n1", *self.comes)
        granted = super().pull(name, request)
        needed = dict.fromkeys(("interaction_state", "priority", "is_online", "submit_seq", "place_in_queue_seq"), 0)
        whole = {"interaction_type": "Inbound", "submitted_at": 1.0, **needed}
        granted["interactions"] = [{**one, **whole} for one in granted["interactions"]]
        return granted


@pytest.mark.parametrize(
    ("comes", "inverted"), [([], 0), ([1], 3), ([35], 1), ([100], 0), ([1, 2], 3)], ids=lambda value: str(value)
)
def test_a_grant_that_should_have_come_after_another_nodes_head_is_counted(
    world: Any, comes: list[int], inverted: int
) -> None:
    # given three interactions at n2, before the one at n3, and one that comes to n1 while n2 is asked for them
    client = world.client(b"c")
    stock = Overtaken(world, n2=[20, 30, 40], n3=[50])
    stock.comes = comes
    # when they are pulled
    assert numbers(world.ask(client, "RequestPull", **PULL, count=3)) == [20, 30, 40]
    # then those that come after the new one are counted, and shown in the status
    assert inversions(world) == inverted
    # and what is pulled next, in order, is not
    stock.comes = []
    assert numbers(world.ask(client, "RequestPull", **PULL, count=5)) == sorted([*comes, 50])
    assert inversions(world) == inverted


def test_in_turn_every_grant_behind_another_head_is_counted(make_world: Any) -> None:
    # given the published way, in which nodes are asked in turn whatever their heads are
    world = make_world(pull_order="round-robin")
    client = world.client(b"c")
    stock = Overtaken(world, n1=[1], n2=[2, 4], n3=[3])
    stock.comes = []
    # when all is pulled, one by one
    got = [numbers(world.ask(client, "RequestPull", **PULL))[0] for _ in range(4)]
    # then the status says how often the order did not hold
    assert sorted(got) == [1, 2, 3, 4]
    assert inversions(world) == sum(one > min(got[at:]) for at, one in enumerate(got))


# -- nodes that are just back


def test_a_node_that_is_just_back_is_waited_for(world: Any) -> None:
    # given pulls that know what nodes have, and a node whose other member takes over
    client = world.client(b"c")
    Stock(world, n1=[1, 2], n2=[3, 4])
    assert numbers(world.ask(client, "RequestPull", **PULL)) == [1]
    world["n1"].fail_over()
    world.beat()
    # when somebody pulls before the proxy has heard what the node has
    ref = world.send(client, "RequestPull", **PULL)
    world.flow()
    # then he gets what comes first, which is there
    assert numbers(world.reply(client, ref)) == [2]


def test_but_for_a_moment_only(world: Any) -> None:
    # given a node that is back and does not say what it has
    client = world.client(b"c")
    Stock(world, n1=[1, 2], n2=[3, 4])
    assert numbers(world.ask(client, "RequestPull", **PULL)) == [1]
    world["n1"].script["RequestWatchView"] = None
    world["n1"].fail_over()
    world.beat()
    # when somebody pulls
    ref = world.send(client, "RequestPull", **PULL)
    world.run(0.5)
    waiting = not world.is_answered(client, ref)
    world.run(2.0)
    # then he waits for it, gets the others' in the end, and is told whose is missing
    reply = world.reply(client, ref)
    assert waiting and numbers(reply) == [3]
    assert (reply["complete"], reply["missing"]) == (False, ["n1"])
