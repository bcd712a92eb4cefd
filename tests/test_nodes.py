"""Nodes come, go and move while proxies run: real cores behind real proxy cores, and what clients and readers see."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest

from broker.config.objects import Addresses, Configuration, NodeSettings
from broker.following import OWN_WORDS, Following
from broker.ids import code_of, node_code, rendezvous
from broker.messages.reporting import EventReplayedEvents, RequestReplayEvents
from proxy import reconfiguration
from tests.world import World, make_configuration

SUBMIT: dict[str, Any] = {"tenant_id": 101, "media_type": "voice", "queue": "Inbound"}
PULL: dict[str, Any] = {"tenant_id": 101, "view_id": "Inbound/all"}
LOGIN: dict[str, Any] = {"tenant_id": 101, "agent_id": "VICKY", "media_list": {"voice": 1}}
LISTENED_S = 3.2
"""After this long a node that comes has its share, and one that goes has been left."""


def cluster_of(*names: str) -> Configuration:
    """Pairs n1, n2, n3, each member at an address of its own; the proxies work with ``names``."""
    configuration = make_configuration(3, 2)
    for name, node in configuration.nodes.items():
        for member in ("primary", "backup"):
            addresses = Addresses(requests=f"ipc://{name}-{member}", events=f"ipc://{name}-{member}-events")
            setattr(node, member, addresses)
    configuration.nodes = {name: configuration.nodes[name] for name in names}
    for proxy in configuration.proxies.values():
        proxy.connections = list(names)
    return configuration


def reload(world: World, configuration: Configuration, *at: str) -> list[dict[str, Any]]:
    """All proxies, or the servers that are named, have read another configuration."""
    world.configuration = configuration
    replies = []
    for name in at or world.proxies:
        if name in world.pairs:
            world.pairs[name].configuration = configuration
        client = world.clients.get((name, b"top")) or world.client("Monitor", name, "top")
        replies.append(client.ask("RequestReconfigure"))
    return replies


def node_of(reply: dict[str, Any]) -> str:
    """The node that has made an interaction's id."""
    codes = {node_code(name): name for name in ("n1", "n2", "n3")}
    return codes[code_of(reply["interaction_id"]) or ""]


def agents_of(world: World, name: str) -> dict[str, bool]:
    """The agents that a node has, and whether what it does to them by itself is an echo."""
    core = world.pairs[name].core
    assert core is not None
    return {row.agent_id or "": row.echo for row in core.memory.agents.rows.values()}


@pytest.fixture
def world() -> World:
    """Two nodes behind two proxies."""
    return World(cluster_of("n1", "n2"))


@pytest.fixture
def wider() -> World:
    """Three nodes behind two proxies."""
    return World(cluster_of("n1", "n2", "n3"))


class Reader:
    """Reads the stream as a client does that has a follower, from its first moment on."""

    def __init__(self, world: World, at: str) -> None:
        self.world = world
        self.following = Following(None)
        self.seen: list[tuple[str, int]] = []
        self.move(at)

    def move(self, at: str) -> None:
        """It reads at this proxy from now on."""
        self.at, self.client = at, self.world.client("ReportingEngine", at)
        self.following.moved()
        self._read = len(self.world.stream[at])

    def read(self) -> None:
        """All that there is by now."""
        for topic, cursor, payload in self.world.stream[self.at][self._read :]:
            self.following.published(topic, cursor, payload)
        self._read = len(self.world.stream[self.at])
        while (question := self.following.question()) is not None:
            self.following.replayed(_replayed(json.dumps(self._replay(question)).encode()))
        events = [json.loads(one.payload) for one in self.following.take()]
        self.seen += [(event["node"], event["seq"]) for event in events if event["message"] not in OWN_WORDS]

    def _replay(self, question: RequestReplayEvents) -> dict[str, Any]:
        fields = {"count": question.count, **({"from": question.start} if question.start else {})}
        reply: dict[str, Any] = self.client.ask("RequestReplayEvents", **fields)
        assert not reply.get("missing")
        return reply


_replayed = msgspec.json.Decoder(EventReplayedEvents).decode


def logged(world: World, *names: str) -> set[tuple[str, int]]:
    """What nodes have in their journals that is no echo."""
    events = [
        json.loads(event.payload) for name in names for event in world.pairs[name].journal.events(0, 1_000_000).events
    ]
    return {(event["node"], event["seq"]) for event in events if not event.get("echo")}


class TestAdded:
    def test_it_takes_its_share_and_is_found_everywhere(self, world: World) -> None:
        # given two nodes at work
        media = world.client("MediaServer")
        before = [media.ask("RequestSubmit", **SUBMIT) for _ in range(2)]
        # when a third one is started, and the proxies read of it
        world.configuration = cluster_of("n1", "n2", "n3")
        world.add("n3")
        replies = reload(world, world.configuration)
        world.run(0.1)
        assert {node_of(media.ask("RequestSubmit", **SUBMIT)) for _ in range(2)} == {"n1", "n2"}
        world.run(LISTENED_S)
        # then nothing waits for a restart, it takes its share, and it is asked with the others
        assert [reply.get("kept", []) for reply in replies] == [[], []]
        made = [media.ask("RequestSubmit", **SUBMIT) for _ in range(6)]
        assert {node_of(reply) for reply in made} == {"n1", "n2", "n3"}
        agent = world.client("AgentApplication", "p2")
        found = agent.ask("RequestFindInteractions", tenant_id=101, condition="")
        assert found["complete"] and len(found["interactions"]) == len(before) + 2 + len(made)
        status = world.clients["p1", b"top"].ask("RequestGetStatus")
        assert set(status["nodes"]) == {"n1", "n2", "n3"}

    def test_agents_engines_and_held_pulls_are_brought_to_it(self, world: World) -> None:
        # given an agent, a loaded strategy, an ESP server and a pull that waits
        agent = world.client("AgentApplication")
        assert agent.ask("RequestAgentLogin", **LOGIN)["message"] == "EventAck"
        agent.ask("RequestNotReadyForMedia", agent_id="VICKY", media_type="voice")
        router = world.client("RoutingEngine")
        held = router.send("RequestPull", **PULL, extension={"pull-for-strategy": 1})
        server = world.client("ESPServer", name="classify")
        world.run(0.1)
        # when a node comes
        world.configuration = cluster_of("n1", "n2", "n3")
        world.add("n3")
        reload(world, world.configuration)
        world.run(0.1)
        # then it has the agent in its state, as an echo
        assert agents_of(world, "n3") == {"VICKY": True}
        assert [row.media for row in world.pairs["n3"].core.memory.agents.rows.values()] == [{"voice": 0}]  # type: ignore[union-attr]
        # and what it gets first ends the pull
        direct = world.client("MediaServer", "n3")
        made = direct.ask("RequestSubmit", **SUBMIT)
        assert [one["interaction_id"] for one in router.answer(held)["interactions"]] == [made["interaction_id"]]
        # and it asks the server
        asked = direct.send("Request3rdServer", tenant_id=101, request={"Service": "Classify"}, esp_server="classify")
        world.settle()
        assert server.notes and server.notes[-1]["message"] == "Request3rdServer"
        assert asked

    def test_it_changes_nothing_for_what_is_under_way(self, world: World) -> None:
        # given a find that a node has not answered yet
        agent = world.client("AgentApplication")
        made = world.client("MediaServer").ask("RequestSubmit", **SUBMIT)
        world.lose("n2")
        number = agent.send("RequestFindInteractions", tenant_id=101, condition="")
        # when another node comes, and the one is back
        world.configuration = cluster_of("n1", "n2", "n3")
        world.add("n3")
        reload(world, world.configuration, "p1")
        world.take_over("n2")
        world.run(0.2)
        # then the answer is of those that were asked
        reply = agent.answer(number)
        assert reply["complete"] and [one["interaction_id"] for one in reply["interactions"]] == [
            made["interaction_id"]
        ]


def test_a_pool_of_seats_grows_and_shrinks_with_the_nodes() -> None:
    # given two nodes that bring two seats each into one pool, and six agents who want one
    def pooled(*names: str) -> Configuration:
        configuration = cluster_of(*names)
        for node in configuration.nodes.values():
            node.settings, node.licenses = NodeSettings(licence_pool="cluster"), {"ics_multi_media_agent_seat": 2}
        return configuration

    def login(number: int) -> int:
        desk = world.client("AgentApplication", f"p{1 + number % 2}")
        return int(desk.ask("RequestAgentLogin", **{**LOGIN, "agent_id": f"agent{number}"}).get("code", 0))

    world = World(pooled("n1", "n2"))
    assert [login(number) for number in range(5)] == [0, 0, 0, 0, 30]
    # when a third node comes, at which all four are logged in at once
    world.configuration = pooled("n1", "n2", "n3")
    world.add("n3")
    reload(world, world.configuration, "n1", "n2", *world.proxies)
    world.run(0.2)
    assert len(agents_of(world, "n3")) == 4
    # then there are two seats more, at all nodes; they go with the node
    assert [login(number) for number in range(5, 8)] == [0, 0, 30]
    world.run(LISTENED_S)
    assert [len(agents_of(world, name)) for name in ("n1", "n2", "n3")] == [6, 6, 6]
    reload(world, pooled("n1", "n2"), "n1", "n2", *world.proxies)
    world.run(LISTENED_S)
    assert [len(agents_of(world, name)) for name in ("n1", "n2", "n3")] == [4, 4, 0]


class TestHomes:
    """Keys whose home has moved to a node that was added."""

    def keys(self, prefix: str = "") -> list[str]:
        """Some whose home is n3 as soon as that is there."""
        names = [f"call-{number}" for number in range(60)]
        return [name for name in names if rendezvous(f"{prefix}{name}", ["n1", "n2", "n3"])[0] == "n3"][:4]

    def grow(self, world: World) -> None:
        """A third node comes."""
        world.configuration = cluster_of("n1", "n2", "n3")
        world.add("n3")
        reload(world, world.configuration)
        world.run(LISTENED_S)

    def test_a_clients_own_id_is_refused_as_a_duplicate_and_a_new_one_goes_to_its_home(self, world: World) -> None:
        # given interactions with ids of the client's own, whose home moves when a node comes
        media = world.client("MediaServer")
        first, *others = self.keys()
        assert media.ask("RequestSubmit", **SUBMIT, interaction_id=first)["message"] == "EventAck"
        self.grow(world)
        # when one is submitted again, through either proxy, and others for the first time
        servers = [world.client("MediaServer", at) for at in world.proxies]
        replies = [server.ask("RequestSubmit", **SUBMIT, interaction_id=first) for server in servers]
        for ident in others:
            assert media.ask("RequestSubmit", **SUBMIT, interaction_id=ident)["message"] == "EventAck"
        # then the one is a duplicate, and the others are at their home
        assert [reply["code"] for reply in replies] == [44, 44]
        core = world.pairs["n3"].core
        assert core is not None and sorted(core.memory.interactions) == sorted(others)

    def test_a_repetition_gets_the_first_answer(self, world: World) -> None:
        # given submits under dedup_ids whose home moves when a node comes
        media = world.client("MediaServer", name="bank")
        names = self.keys("bank\0")
        asked = [*({"dedup_id": name} for name in names[:2]), {"dedup_id": "both", "interaction_id": self.keys()[0]}]
        before = [media.ask("RequestSubmit", **SUBMIT, **fields) for fields in asked]
        self.grow(world)
        # when they are asked again; then the answers are the same, and nothing is there twice
        assert [media.ask("RequestSubmit", **SUBMIT, **fields) for fields in asked] == before
        assert [reply["message"] for reply in before] == ["EventAck"] * 3
        core = world.pairs["n3"].core
        assert core is not None and not core.memory.interactions
        # and what was not asked before is done, once, at the new home
        made = [media.ask("RequestSubmit", **SUBMIT, dedup_id=names[2]) for _ in range(2)]
        assert made[0] == made[1] and node_of(made[0]) == "n3"

    def test_an_earlier_home_that_does_not_answer_leaves_it_open(self, world: World) -> None:
        # given a node that has come, and the earlier home of a key, which is lost
        media, (first, *_) = world.client("MediaServer"), self.keys()
        self.grow(world)
        home = rendezvous(first, ["n1", "n2"])[0]
        world.lose(home)
        # when the key is submitted; then nobody can say whether it is new
        number = media.send("RequestSubmit", **SUBMIT, interaction_id=first)
        world.run(11.0)
        assert (media.answer(number)["code"], media.answer(number)["missing"]) == (2002, [home])


class TestStream:
    def test_every_event_comes_once_and_in_order_through_both(self, world: World) -> None:
        # given readers at both proxies, of whom one replays all the time, and one that goes to and fro
        readers = [Reader(world, at) for at in ("p1", "p2", "p1")]
        media, other = world.client("MediaServer", "p1"), world.client("MediaServer", "p2")
        # when a node comes, which one proxy knows two seconds before the other, and works
        world.configuration = cluster_of("n1", "n2", "n3")
        world.add("n3")
        for step in range(80):
            if step in (20, 40):
                reload(world, world.configuration, f"p{step // 20}")
            for client in (media, other):
                client.ask("RequestSubmit", **SUBMIT)
            world.run(0.1)
            if step % 3 == 0:
                readers[2].move(f"p{1 + step % 2}")
            readers[1].following.doubt()
            for reader in readers:
                reader.read()
        world.run(3.0)
        # then each has what all nodes have logged, once, and of each node in order
        expected = logged(world, "n1", "n2", "n3")
        assert sum(node == "n3" for node, _ in expected) > 10
        for reader in readers:
            reader.read()
            assert len(reader.seen) == len(set(reader.seen))
            lost = expected - set(reader.seen)
            assert lost <= {("n3", 1)}, sorted(lost)  # that it began: before anybody knew it
            for name in ("n1", "n2", "n3"):
                seqs = [seq for node, seq in reader.seen if node == name]
                assert seqs == sorted(seqs)

    def test_cursors_from_before_it_came_and_from_after_it_went(self, world: World) -> None:
        # given a cursor that does not know of a third node
        media = world.client("MediaServer")
        media.ask("RequestSubmit", **SUBMIT)
        world.run(0.1)
        early = world.stream["p1"][-1][1].decode()
        world.configuration = cluster_of("n1", "n2", "n3")
        world.add("n3")
        reload(world, world.configuration)
        world.run(LISTENED_S)
        for _ in range(6):
            media.ask("RequestSubmit", **SUBMIT)
            world.run(0.1)
        client = world.client("ReportingEngine", "p2")
        # when a reader goes on from it; then it gets all nodes' events
        reply = client.ask("RequestReplayEvents", count=100, **{"from": early})
        submitted = [event["node"] for event in reply["events"] if event["message"] == "EventInteractionSubmitted"]
        assert sorted(submitted) == ["n1", "n1", "n2", "n2", "n3", "n3"] and reply["complete"]
        # when the node has gone; then its events have gone with it, and the cursors of before work
        reload(world, cluster_of("n1", "n2"))
        world.run(LISTENED_S)
        again = client.ask("RequestReplayEvents", count=100, **{"from": early})
        assert again["complete"] and {event["node"] for event in again["events"]} == {"n1", "n2"}
        late = client.ask("RequestReplayEvents", count=100, **{"from": reply["cursor"] + f";n3={START_US}"})
        assert late["complete"] and late["events"] == []

    def test_the_state_of_agents_and_queues_is_of_all_nodes_that_there_are(self, world: World) -> None:
        # given interactions at three nodes, of which one has come later
        world.configuration = cluster_of("n1", "n2", "n3")
        world.add("n3")
        reload(world, world.configuration)
        world.run(LISTENED_S)
        media = world.client("MediaServer")
        for _ in range(6):
            media.ask("RequestSubmit", **SUBMIT)
        client = world.client("ReportingEngine")
        # when the state is asked for, before and after one has gone; then it is of those that there are
        for names, waiting in ((("n1", "n2", "n3"), 6), (("n1", "n2"), 4)):
            reload(world, cluster_of(*names))
            world.run(LISTENED_S)
            number = client.send("RequestStartPlaceAgentStateReportingAll")
            world.run(0.2)
            reply = client.answer(number)
            assert reply["complete"] and reply["queues"]["101"]["Inbound"]["queued"] == waiting, reply


START_US = 1_790_000_000_000_000


class TestRemoved:
    def test_what_it_was_asked_before_is_answered_and_nothing_new_goes_there(self, wider: World) -> None:
        # given a find that one node has not answered yet, and the configuration without that node
        world, agent = wider, wider.client("AgentApplication")
        media = world.client("MediaServer")
        made = {
            node_of(reply): reply["interaction_id"]
            for reply in (media.ask("RequestSubmit", **SUBMIT) for _ in range(3))
        }
        world.lose("n3")
        find = agent.send("RequestFindInteractions", tenant_id=101, condition="")
        held = agent.send("RequestGetInteractionProperties", interaction_id=made["n3"])
        reload(world, cluster_of("n1", "n2"))
        # when the node answers after all; then that counts, and later requests are without it
        world.take_over("n3")
        world.run(0.2)
        assert len(agent.answer(find)["interactions"]) == 3 and agent.answer(find)["complete"]
        assert agent.answer(held)["message"] == "EventInteractionProperties"
        found = agent.ask("RequestFindInteractions", tenant_id=101, condition="")
        assert found["complete"] and len(found["interactions"]) == 2
        assert agent.ask("RequestGetInteractionProperties", interaction_id=made["n3"])["code"] == 43
        assert {node_of(media.ask("RequestSubmit", **SUBMIT)) for _ in range(4)} == {"n1", "n2"}
        # and in the end it has none of our clients any more
        world.run(LISTENED_S)
        core = world.pairs["n3"].core
        assert core is not None and not core.sessions.by_id
        status = world.clients["p1", b"top"].ask("RequestGetStatus")
        assert set(status["nodes"]) == {"n1", "n2"}

    def test_one_that_does_not_answer_is_given_up(self, wider: World) -> None:
        # given requests to a node that nobody serves, when it is removed
        world, agent = wider, wider.client("AgentApplication")
        media = world.client("MediaServer")
        made = {
            node_of(reply): reply["interaction_id"]
            for reply in (media.ask("RequestSubmit", **SUBMIT) for _ in range(3))
        }
        snapshot = agent.ask("RequestTakeSnapshot", tenant_id=101, condition="")["snapshot_id"]
        world.run(0.1)
        world.lose("n3")
        find = agent.send("RequestFindInteractions", tenant_id=101, condition="")
        held = agent.send("RequestGetInteractionProperties", interaction_id=made["n3"])
        kept = agent.send(
            "RequestGetSnapshotInteractions", snapshot_id=snapshot, start_from=0, number_of_interactions=9
        )
        reload(world, cluster_of("n1", "n2"))
        world.run(11.0)
        # then the answers say so, by the codes of their kind
        assert agent.answer(find)["missing"] == ["n3"] and not agent.answer(find)["complete"]
        assert (agent.answer(held)["code"], agent.answer(held)["missing"]) == (2003, ["n3"])
        assert agent.answer(kept)["code"] == 2006
        assert agent.ask("RequestFindInteractions", tenant_id=101, condition="")["complete"]
        assert (
            agent.ask("RequestGetSnapshotInteractions", snapshot_id=snapshot, start_from=0, number_of_interactions=9)[
                "code"
            ]
            == 2006
        )

    def test_another_node_speaks_for_its_agents(self, wider: World) -> None:
        # given agents, one of whom the node speaks for that is to go
        world = wider
        desks = {name: world.client("AgentApplication") for name in ("ANAT", "VICKY", "ZOHAR", "DORIT", "MICHAL")}
        for name, desk in desks.items():
            assert desk.ask("RequestAgentLogin", **{**LOGIN, "agent_id": name})["message"] == "EventAck"
        spoken = {name: at for at in ("n1", "n2", "n3") for name, echo in agents_of(world, at).items() if not echo}
        gone = spoken["VICKY"]
        left = [name for name in ("n1", "n2", "n3") if name != gone]
        # when that node is removed, and everybody does something
        reload(world, cluster_of(*left))
        world.run(LISTENED_S)
        seen = len(world.stream["p2"])
        for name, desk in desks.items():
            assert desk.ask("RequestNotReadyForMedia", agent_id=name, media_type="voice")["message"] == "EventAck"
        world.run(0.2)
        # then each is seen once, and is logged out nowhere but there
        events = [json.loads(payload) for _, _, payload in world.stream["p2"][seen:]]
        changes = [event["actor"]["agent_id"] for event in events if event["message"] == "EventNotReadyForMedia"]
        assert sorted(changes) == sorted(desks)
        published = [json.loads(payload)["message"] for _, _, payload in world.stream["p2"]]
        assert "EventAgentLogout" not in published
        assert not agents_of(world, gone)
        for at in left:
            assert set(agents_of(world, at)) == set(desks)
        spoken = {name: at for at in left for name, echo in agents_of(world, at).items() if not echo}
        assert set(spoken) == set(desks)

    def test_it_comes_back(self, wider: World) -> None:
        # given a node with an interaction and an agent that was removed, and an agent who came after that
        world, media = wider, wider.client("MediaServer")
        made = {
            node_of(reply): reply["interaction_id"]
            for reply in (media.ask("RequestSubmit", **SUBMIT) for _ in range(3))
        }
        desk = world.client("AgentApplication")
        desk.ask("RequestAgentLogin", **LOGIN)
        reload(world, cluster_of("n1", "n2"))
        world.run(LISTENED_S)
        other = world.client("AgentApplication", "p2")
        other.ask("RequestAgentLogin", **{**LOGIN, "agent_id": "ANAT"})
        # when it is ours again
        reload(world, cluster_of("n1", "n2", "n3"))
        world.run(0.2)
        # then its interaction is there by its old id, and it has both agents
        assert (
            desk.ask("RequestGetInteractionProperties", interaction_id=made["n3"])["message"]
            == "EventInteractionProperties"
        )
        assert set(agents_of(world, "n3")) == {"VICKY", "ANAT"}
        # and of what comes now the stream has every event
        seen = len(world.stream["p1"])
        direct = world.client("MediaServer", "n3")
        direct.ask("RequestSubmit", **SUBMIT)
        world.run(0.2)
        assert "EventInteractionSubmitted" in [json.loads(one[2])["message"] for one in world.stream["p1"][seen:]]

    def test_one_that_was_away_when_it_went_has_none_who_have_left_meanwhile(self, wider: World) -> None:
        # given a node that is away while it is removed, and a desk that ends then
        world, desk = wider, wider.client("AgentApplication")
        desk.ask("RequestAgentLogin", **LOGIN)
        world.lose("n3")
        reload(world, cluster_of("n1", "n2"))
        world.run(LISTENED_S)
        assert desk.ask("RequestUnregisterClient")["message"] == "EventAck"
        # when it is back, and ours again
        world.take_over("n3")
        reload(world, cluster_of("n1", "n2", "n3"))
        world.run(0.3)
        # then the agent is logged out there, too
        assert not agents_of(world, "n3")


class TestMoved:
    def test_what_is_open_waits_for_who_serves_at_the_new_address(self, world: World) -> None:
        # given a request to a member that does not answer just now
        media, agent = world.client("MediaServer"), world.client("AgentApplication")
        made = {
            node_of(reply): reply["interaction_id"]
            for reply in (media.ask("RequestSubmit", **SUBMIT) for _ in range(2))
        }
        world.lose("n1")
        number = media.send("RequestStopProcessing", interaction_id=made["n1"])
        world.settle()
        # when the node is to be found elsewhere, and is started there
        moved = cluster_of("n1", "n2")
        for member in ("primary", "backup"):
            setattr(
                moved.nodes["n1"],
                member,
                Addresses(requests=f"ipc://new-{member}", events=f"ipc://new-{member}-events"),
            )
        replies = reload(world, moved)
        reached = world.proxies["p1"].nodes.reached["n1", "primary"]
        world.run(0.5)
        assert not media.answers[number]
        world.take_over("n1")
        world.run(0.2)
        # then it is done there, once, and nothing waits for a restart
        assert reached.requests == "ipc://new-primary" and "kept" not in replies[0]
        assert media.answer(number)["message"] == "EventAck"
        assert agent.ask("RequestGetInteractionProperties", interaction_id=made["n1"])["code"] == 43

    def test_a_backup_that_moves_disturbs_nobody(self, world: World) -> None:
        # given a node whose primary member serves
        agent = world.client("AgentApplication")
        moved = cluster_of("n1", "n2")
        moved.nodes["n1"].backup = Addresses(requests="ipc://new", events="ipc://new-events")
        # when its backup is elsewhere, and then is no more
        for backup in (moved.nodes["n1"].backup, None):
            moved = cluster_of("n1", "n2")
            moved.nodes["n1"].backup = backup
            reload(world, moved)
            # then requests are answered at once
            found = agent.ask("RequestFindInteractions", tenant_id=101, condition="")
            assert found["complete"]
        assert ("n1", "backup") not in world.proxies["p1"].nodes.reached


class Walk:
    """Nodes come, go, are lost and come back at random, while clients work."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = world = World(cluster_of("n1", "n2", "n3"))
        self.desks = {f"agent{number}": world.client("AgentApplication", f"p{1 + number % 2}") for number in range(4)}
        self.media = [world.client("MediaServer", at) for at in world.proxies]

    def step(self) -> None:
        """Something happens."""
        self.random.choice((self.change, self.lose, self.ask, self.ask, self.ask, self.work, self.work))()
        self.world.run(self.random.choice((0.02, 0.1, 0.5, 1.5)))

    def change(self) -> None:
        others = self.random.sample(("n2", "n3"), self.random.randint(0, 2))
        configuration = cluster_of(*sorted(["n1", *others]))
        self.read(configuration, *self.random.choice((("p1",), ("p2",), ("p1", "p2"))))

    def read(self, configuration: Configuration, *at: str) -> None:
        """Proxies read a configuration; nothing is waited for."""
        self.world.configuration = configuration
        for name in at:
            reconfiguration.ordered(self.world.proxies[name], self.world.now, None, configuration, "")

    def lose(self) -> None:
        name = self.random.choice(("n1", "n2", "n3"))
        if self.world.pairs[name].core is None:
            self.world.take_over(name)
        else:
            self.world.lose(name)

    def ask(self) -> None:
        agent, desk = self.random.choice(sorted(self.desks.items()))
        message = self.random.choice(("RequestAgentLogin",) * 3 + ("RequestAgentLogout",))
        if self.random.random() < 0.5:
            message = self.random.choice(("RequestNotReadyForMedia", "RequestCancelNotReadyForMedia"))
        fields = {"media_type": "voice"} if "Media" in message else {}
        if message == "RequestAgentLogin":
            fields = {"tenant_id": 101, "media_list": {"voice": 1}}
        desk.send(message, agent_id=agent, **fields)

    def work(self) -> None:
        media, number = self.random.choice(self.media), self.random.randrange(40)
        own = self.random.choice(({}, {"dedup_id": f"d{number}"}, {"interaction_id": f"i{number}"}))
        media.send("RequestSubmit", **SUBMIT, **own)
        media.send("RequestFindInteractions", tenant_id=101, condition="")

    def end(self) -> None:
        """All nodes are there again, at all proxies."""
        for name, pair in self.world.pairs.items():
            if pair.core is None:
                self.world.take_over(name)
        self.read(cluster_of("n1", "n2", "n3"), "p1", "p2")
        for _ in range(10):
            for desk in self.desks.values():
                desk.ask("RequestPing")
            self.world.run(2.0)


@pytest.mark.parametrize("seed", [*range(12), 47])
def test_whatever_comes_and_goes_everything_is_answered_once_and_agents_are_the_same(seed: int) -> None:
    # given nodes that come, go, are lost and come back at random, while clients work
    walk = Walk(seed)
    for _ in range(60):
        walk.step()
    # when all are there again
    walk.end()
    # then every request has one answer
    clients = walk.world.clients.values()
    assert {len(answers) for client in clients for answers in client.answers.values()} == {1}
    # and all nodes have the same agents in the same state
    rows = [list(pair.core.memory.agents.rows.values()) for pair in walk.world.pairs.values() if pair.core is not None]
    states = [{row.agent_id: (row.media, row.vanished_us == 0) for row in part} for part in rows]
    assert states[0] == states[1] == states[2]
    # and no event was published twice
    for published in walk.world.stream.values():
        events = [json.loads(payload) for _, _, payload in published]
        seen = [(event["node"], event["seq"]) for event in events if event["seq"]]
        assert len(seen) == len(set(seen))
