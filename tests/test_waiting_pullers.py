"""Many pullers wait for few interactions, with real cores of three nodes: nobody waits for ever.

Who waits at one server is served in the order of asking: before a puller come just those who were there before it, at
most ``waiting`` interactions, however many come after it. Pullers at two proxies race for each interaction; whoever
loses keeps its place.
"""

from __future__ import annotations

import random

import pytest

from tests.world import World, make_configuration

HOLD = {"tenant_id": 101, "view_id": "Inbound/all", "extension": {"pull-for-strategy": 1}}
WAITING = 20
ROUNDS = 150


def make_world(order):
    return World(make_configuration(3, 2, pull_order=order, pull_hold_timeout=600.0, request_timeout=2.0))


class Pullers:
    """Engines at one server that always wait. ``overtaken``: how many who asked later were served before each one."""

    def __init__(self, world, at, number):
        self.world, self.at = world, at
        self.engines = [world.client("RoutingEngine", at, f"{at}-{one}") for one in range(number)]
        self.asked = 0
        self.open = []
        self.served = []
        for engine in self.engines:
            self.ask(engine)

    def ask(self, engine):
        self.asked += 1
        self.open.append((self.asked, engine, engine.send("RequestPull", **HOLD)))

    def settle(self):
        """Notes who was served; they ask again at once, behind all others."""
        done = [one for one in self.open if one[1].answers[one[2]]]
        for one in done:
            turn, engine, number = one
            self.open.remove(one)
            assert len(engine.answer(number)["interactions"]) == 1
            self.served.append(turn)
        for _, engine, _ in done:
            self.ask(engine)


def submit(world, media, chance):
    media.ask("RequestSubmit", tenant_id=101, media_type="email", queue="Inbound", priority=chance.randrange(5))


@pytest.mark.parametrize(("order", "at"), [("global", "p1"), ("round-robin", "p1"), ("global", "n1")])
@pytest.mark.parametrize("together", [1, 7])
def test_who_waits_at_one_server_is_served_in_the_order_of_asking(order, at, together):
    """Given twenty pullers on hold at a proxy or node, when interactions come, one or seven at a time, at any node, and
    who is served asks again, then each is served after just those who asked before it."""
    world, chance = make_world(order), random.Random(together)
    media = world.client("MediaServer", at)
    pullers = Pullers(world, at, WAITING)
    world.settle()
    for _ in range(ROUNDS):
        for _ in range(together):
            submit(world, media, chance)
        world.settle()
        pullers.settle()
        world.settle()

    assert len(pullers.served) == ROUNDS * together
    assert sorted(pullers.served) == list(range(1, ROUNDS * together + 1))  # of n served, these are the first n
    for at_once in range(0, len(pullers.served), together):
        batch = pullers.served[at_once : at_once + together]
        assert sorted(batch) == list(range(at_once + 1, at_once + together + 1))


@pytest.mark.parametrize("order", ["global", "round-robin"])
def test_who_waits_at_two_proxies_keeps_its_place_and_is_served(order):
    """Given many pullers at p1 and one at p2, and proxies that are the faster one by turns, when interactions come one
    by one, then the one is not sent away empty, and is served as often as its proxy is the faster."""
    world, chance = make_world(order), random.Random(7)
    media = world.client("MediaServer")
    crowd, lone = Pullers(world, "p1", WAITING), Pullers(world, "p2", 1)
    world.settle()
    faster = 0
    for _ in range(ROUNDS):
        names = list(world.proxies)
        chance.shuffle(names)
        faster += names[0] == "p2"
        world.proxies = {name: world.proxies[name] for name in names}
        submit(world, media, chance)
        for _ in range(2):
            world.settle()
            crowd.settle()
            lone.settle()

    assert crowd.served == sorted(crowd.served)
    assert len(crowd.served) + len(lone.served) == ROUNDS
    assert len(lone.served) >= faster // 2 > 20


def test_a_pull_that_loses_every_race_waits_on():
    """Given a puller at p2 and a crowd at p1 that is always faster, when far more interactions have come than a pull
    tries for, then it still waits in its place, and has the next one that the crowd does not want."""
    world, chance = make_world("global"), random.Random(1)
    media = world.client("MediaServer")
    crowd, lone = Pullers(world, "p1", WAITING), Pullers(world, "p2", 1)
    world.settle()
    for _ in range(80):
        submit(world, media, chance)
        world.settle()
        crowd.settle()
        world.settle()
    (_, engine, number) = lone.open[0]
    assert not engine.answers[number]
    for one in crowd.engines:
        one.ask("RequestUnregisterClient")
    world.settle()
    submit(world, media, chance)
    world.settle()

    assert len(engine.answer(number)["interactions"]) == 1
