"""The seats of all nodes as one pool, with real cores: held whoever asks where, and whoever dies meanwhile."""

from __future__ import annotations

import json
import random

import pytest

from broker.config.objects import NodeSettings
from node import licences
from tests.world import World, make_configuration

SEAT, EMAIL = "ics_multi_media_agent_seat", "ics_email_seat"
POOL = 6


def configuration(nodes=3, seats=2, **licenses):
    settings = NodeSettings(licence_pool="cluster", login_session_timeout=1, panic_grace=3.0, keepalive_interval=5.0)
    made = make_configuration(nodes, 2, settings, request_timeout=2.0, keepalive_interval=5.0)
    for node in made.nodes.values():
        node.licenses = {SEAT: seats, **licenses}
    return made


@pytest.fixture
def world():
    return World(configuration())


def login(world, agent, at="p1", **media):
    """The code of the answer: 0, or why not."""
    desk = world.client("AgentApplication", at, f"{at}-{agent}-{world.number()}")
    asked = {"tenant_id": 101, "agent_id": agent, "media_list": media or {"voice": 1}}
    return desk, desk.ask("RequestAgentLogin", **asked).get("code", 0)


def counts(world):
    return [len(pair.core.memory.agents) for pair in world.pairs.values() if pair.core is not None]


def test_the_seats_of_all_nodes_are_the_limit(world):
    """Given three nodes with two seats each, when seven agents log in at two proxies, then six get in, and the seventh
    does when one has gone."""
    desks = [login(world, f"A{number}", f"p{number % 2 + 1}") for number in range(7)]
    assert [code for _, code in desks] == [0] * POOL + [30]
    desks[0][0].ask("RequestAgentLogout")

    assert login(world, "A6", "p1")[1] == 0
    assert counts(world) == [POOL] * 3


def test_media_types_have_a_pool_of_their_own():
    """Given one e-mail seat at each of two nodes, when three agents want e-mail, then the third is refused it, at its
    login or later, and may do without."""
    world = World(configuration(2, 5, **{EMAIL: 1}))
    login(world, "A", "p1", email=1)
    desk, _ = login(world, "B", "p2", voice=1)
    assert desk.ask("RequestAddMedia", media_type="email")["message"] == "EventAck"
    third, code = login(world, "C", "p1", voice=1)

    assert (code, login(world, "D", "p2", email=1)[1]) == (0, 30)
    assert third.ask("RequestAddMedia", media_type="email")["code"] == 30


def test_of_two_that_want_the_last_seat_at_once_one_gets_it(world):
    """Given one seat left, when two agents log in at two proxies at the same time, in any order of what the processes
    do, then one gets in, and it is the same at all nodes."""
    for number in range(POOL - 1):
        login(world, f"A{number}")
    for seed in range(200):
        chance = random.Random(seed)
        desks = [world.client("AgentApplication", at, f"{at}-{seed}") for at in ("p1", "p2")]
        asked = {"tenant_id": 101, "media_list": {"voice": 1}}
        sent = [desk.send("RequestAgentLogin", agent_id=f"B{at}", **asked) for at, desk in enumerate(desks)]
        shuffled(world, chance, 40)
        world.settle()
        said = [desk.answer(number) for desk, number in zip(desks, sent, strict=True)]
        assert sorted(one.get("code", 0) for one in said) == [0, 30], seed
        assert counts(world) == [POOL] * 3
        for desk, one in zip(desks, said, strict=True):
            if not one.get("code"):
                desk.ask("RequestAgentLogout")


def shuffled(world, chance, turns):
    """Nodes and proxies have their turns in any order; what each says arrives at once."""
    for _ in range(turns):
        if chance.random() < 0.5:
            world._turn_of_node(chance.choice(list(world.pairs.values())), False)
        else:
            name = chance.choice(list(world.proxies))
            world._turn_of_proxy(name, world.proxies[name])


class Walk:
    """Agents that log in and out through proxies, while nodes and a proxy come and go. One node, n3, always serves."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.world = World(configuration())
        self.inside = {}
        """Agents that were let in and have not asked to leave: their client."""
        self.asking = []

    def step(self):
        act = self.chance.choices(
            [self.come, self.go, self.turns, self.wait, self.fail, self.mend, self.proxy],
            [30, 20, 30, 12, 4, 8, 1],
        )[0]
        act()
        self.check()

    def come(self):
        agent = f"A{self.chance.randrange(14)}"
        if agent in self.inside or any(agent == name for name, *_ in self.asking):
            return
        at = self.chance.choice(list(self.world.proxies))
        desk = self.world.client("AgentApplication", at, f"{at}-{agent}-{self.world.number()}")
        asked = {"tenant_id": 101, "agent_id": agent, "media_list": {"voice": 1}}
        self.asking.append((agent, desk, desk.send("RequestAgentLogin", **asked)))

    def go(self):
        if self.inside:
            agent = self.chance.choice(list(self.inside))
            desk = self.inside.pop(agent)
            desk.send("RequestAgentLogout", agent_id=agent)

    def turns(self):
        shuffled(self.world, self.chance, self.chance.randrange(12))

    def wait(self):
        for desk in self.inside.values():
            desk.send("RequestPing")
        self.world.run(self.chance.choice([0.02, 0.2, 1.0, 3.0]))

    def fail(self):
        self.world.lose(self.chance.choice(["n1", "n2"]))

    def mend(self):
        name = self.chance.choice(["n1", "n2", "n3"])
        if name != "n3" or self.world.pairs["n3"].core is not None:
            self.world.take_over(name)

    def proxy(self):
        """p2 dies; its agents' applications go to p1, as who they were."""
        if "p2" not in self.world.proxies:
            return
        self.world.settle()
        self.answered()
        self.world.lose_proxy("p2")
        self.asking = [one for one in self.asking if one[1].at != "p2"]
        self.inside = {agent: desk for agent, desk in self.inside.items() if desk.at != "p2"}

    def answered(self):
        left = []
        for agent, desk, number in self.asking:
            said = desk.answers[number]
            if not said:
                left.append((agent, desk, number))
            elif not said[0].get("code"):
                self.inside[agent] = desk
        self.asking = left
        for agent, desk in list(self.inside.items()):
            if any(note["message"] == "EventAgentConnectionClosed" for note in desk.notes):
                del self.inside[agent]

    def check(self):
        self.answered()
        assert all(count <= POOL for count in counts(self.world))
        assert len(self.inside) <= POOL, sorted(self.inside)

    def end(self):
        """All is well again: who is in is in everywhere, and there is a seat for every other, and no more."""
        for name, pair in self.world.pairs.items():
            if pair.core is None:
                self.world.take_over(name)
        for _ in range(90):  # vanished agents' time is over, too; who lives, says so
            self.world.run(1.0)
            for client in list(self.world.clients.values()):
                if client.at in self.world.proxies:
                    client.send("RequestPing")
        self.check()
        expected = sorted(self.inside)
        for pair in self.world.pairs.values():
            assert sorted(row.agent_id for row in pair.core.memory.agents.rows.values()) == expected
        codes = [login(self.world, f"Z{number}")[1] for number in range(POOL + 1 - len(expected))]
        assert codes == [0] * (POOL - len(expected)) + [30]


@pytest.mark.parametrize("seed", range(12))
def test_the_pool_holds_whatever_happens(seed):
    """Given agents that come and go through two proxies, when nodes are lost, come back and fail over and a proxy dies,
    then there are never more of them than seats, at any node and in all; and when all is well, none too few."""
    walk = Walk(seed)
    for _ in range(150):
        walk.step()
    walk.world.settle()
    walk.end()


def test_seats_of_a_node_that_is_down_stay_in_the_pool(world):
    """Given six agents, when a node is away and one of them leaves at p2, then the next gets that seat at p1 and no
    other does; so it is when the node is back, though p1 may tell it of the new one before p2 of the old one."""
    desks = [login(world, f"A{number}", f"p{number % 2 + 1}")[0] for number in range(POOL)]
    world.lose("n1")
    world.run(5)
    assert desks[1].ask("RequestAgentLogout")["message"] == "EventAck"
    (late, code), (_, refused) = (login(world, name, "p1") for name in ("B", "C"))
    assert (code, refused) == (0, 30)
    world.take_over("n1")
    world.run(2)

    assert counts(world) == [POOL] * 3
    notes = [note["message"] for desk in [*desks, late] for note in desk.notes]
    assert "EventAgentConnectionClosed" not in notes


def test_agents_of_a_dead_proxy_keep_their_seats(world):
    """Given six agents at p1, when p1 dies, then a stranger is refused at p2, they themselves get in, and after their
    time the seats of those who did not come back are free."""
    for number in range(POOL):
        login(world, f"A{number}")
    world.lose_proxy("p1")
    assert login(world, "B", "p2")[1] == 30
    back = [login(world, f"A{number}", "p2")[0] for number in range(3)]
    for _ in range(70):
        world.run(1)
        for desk in back:
            desk.ask("RequestPing")

    assert counts(world) == [3] * 3
    assert [login(world, f"C{number}", "p2")[1] for number in range(4)] == [0, 0, 0, 30]


def test_a_lowered_pool_logs_out_who_came_last(world):
    """Given six agents, when one node's licences are lowered by two and all nodes take that on, one after the other,
    then the two who came last are out everywhere, and just they."""
    desks = [login(world, f"A{number}", f"p{number % 2 + 1}")[0] for number in range(POOL)]
    world.configuration.nodes["n2"].licenses = {SEAT: 0}
    for pair in world.pairs.values():
        licences.reconfigured(pair.core)
        world.run(0.5)
    world.run(3)
    closed = [any(note["message"] == "EventAgentConnectionClosed" for note in desk.notes) for desk in desks]

    assert closed == [False] * 4 + [True] * 2
    assert counts(world) == [4] * 3


def test_the_use_of_a_pool_is_said_once(world):
    """Given the last seat, when it is taken and left, then each is one event of the merged stream, with the cluster's
    figures, and every node's status has them."""
    for number in range(POOL - 1):
        login(world, f"A{number}")
    world.run(0.5)
    world.stream["p1"].clear()
    desk, _ = login(world, "B", "p2")
    status = world.client("Monitor").ask("RequestGetStatus")
    desk.ask("RequestAgentLogout")
    world.run(0.5)
    said = [json.loads(payload) for _, _, payload in world.stream["p1"]]
    bodies = [event["body"] for event in said if event["message"] == "EventLicenceUsage"]

    assert bodies == [
        {"licence": SEAT, "used": POOL, "limit": POOL, "why": "limit reached"},
        {"licence": SEAT, "used": POOL - 1, "limit": POOL, "why": "below the limit"},
    ]
    assert status["message"] == "EventStatus"
    for pair in world.pairs.values():
        assert licences.usage(pair.core)[SEAT] == {"used": POOL - 1, "limit": POOL}


def test_agents_that_come_to_a_node_directly_are_refused(world):
    """Given a pool of several nodes, when an agent logs in at one node directly, then it is refused, for the others
    would not count it; at the only node of a cluster it is not."""
    assert login(world, "A", "n1")[1] == 30

    assert login(World(configuration(1)), "A", "n1")[1] == 0
