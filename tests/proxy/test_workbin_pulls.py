"""Pulls from workbins over several real nodes: one order, no more than is wanted, nothing lost and nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from broker.config.objects import Agent, Configuration
from broker.errors import Code, Refusal
from broker.ledger import name_in
from broker.messages import error_payload
from broker.messages.kinds import ClientType
from broker.wire import LISTED, PackedReply, PackedRequests
from proxy.workbins import LOOK_S, MOST_LOOKS
from tests.world import Client, Pair, World, make_configuration

TIMEOUT_S = 3.0
DRAFTS = {"type": "Drafts", "agent_id": "VICKY"}
PULL: dict[str, Any] = {"tenant_id": 101, "view_id": "Drafts/PrivateView", "workbin": DRAFTS}
LOOK, SHARE = "look", "share"


class Watched(World):
    """A cluster whose proxies' pulls from workbins are noted.

    :ivar asked: each node that was asked, and for what
    :ivar meanwhile: is done once, before the first share is asked for
    :ivar mute: nodes of which the answers about their shares do not arrive; ``garbled``: ... arrive as garbage;
        ``busy``: that refuse them; ``blurred``: of which the answers to looks arrive as garbage
    """

    def __init__(self, configuration: Configuration) -> None:
        self.asked: list[tuple[str, str]] = []
        self.meanwhile: Callable[[], object] | None = None
        self.mute: set[str] = set()
        self.garbled: set[str] = set()
        self.busy: set[str] = set()
        self.blurred: set[str] = set()
        self._shares: set[tuple[str, int]] = set()
        super().__init__(configuration)

    def request(self, proxy: str, pair: Pair, member: str, requests: PackedRequests) -> None:
        for entry in requests.requests:
            if name_in(entry.payload) == "RequestPull":
                kind = LOOK if entry.flags & LISTED else SHARE
                self.asked.append((pair.name, kind))
                if kind == SHARE:
                    self._shares.add((pair.name, entry.number))
                    deed, self.meanwhile = self.meanwhile, None
                    if deed is not None:
                        deed()
        if pair.name in self.busy:
            refused = [entry for entry in requests.requests if (pair.name, entry.number) in self._shares]
            error = error_payload(Refusal(Code.BUSY, "no room", retry_after=0.5), "RequestPull", "n1")
            self.reply(pair, proxy, [PackedReply(entry.number, entry.client, 91, error) for entry in refused])
            requests = replace(requests, requests=[entry for entry in requests.requests if entry not in refused])
        super().request(proxy, pair, member, requests)

    def reply(self, pair: Pair, proxy: str, replies: list[PackedReply]) -> None:
        passed = []
        for reply in replies:
            if reply.rows is not None and pair.name in self.blurred:
                reply = replace(reply, rows=None)
            if (pair.name, reply.number) not in self._shares or pair.name not in self.mute | self.garbled:
                passed.append(reply)
            elif pair.name in self.garbled:
                passed.append(replace(reply, payload=b"nonsense"))
        super().reply(pair, proxy, passed)


class Scene:
    """VICKY's workbin at three nodes, and VICKY at two proxies."""

    def __init__(self, nodes: int = 3, change: Callable[[Configuration], None] | None = None, **settings: Any) -> None:
        configuration = make_configuration(nodes, 2, request_timeout=TIMEOUT_S, **settings)
        if change is not None:
            change(configuration)
        self.world = Watched(configuration)
        self.desks = {name: self.world.client(ClientType.MEDIA, name) for name in self.world.pairs}
        self.vicky = self.login("p1")

    def login(self, at: str) -> Client:
        """VICKY, at a proxy."""
        client = self.world.client(ClientType.AGENT, at, name=f"vicky-at-{at}", client_name="vicky")
        media = {"voice": 1, "email": 1}
        ack = client.ask("RequestAgentLogin", tenant_id=101, agent_id="VICKY", media_list=media)
        assert ack["message"] == "EventAck"
        return client

    def fill(self, *places: tuple[str, int], **fields: Any) -> list[str]:
        """Puts one into the workbin for each node and priority. :returns: their ids"""
        return [self.put(*place, **fields) for place in places]

    def put(self, node: str, priority: int, **fields: Any) -> str:
        fields = {"tenant_id": 101, "media_type": "voice", "workbin": DRAFTS, "priority": priority, **fields}
        return str(self.desks[node].ask("RequestSubmit", **fields)["interaction_id"])

    def pull(self, count: int = 1, client: Client | None = None, **fields: Any) -> dict[str, Any]:
        """The answer to VICKY's pull, which comes without any time passing."""
        return (client or self.vicky).ask("RequestPull", **PULL, count=count, **fields)

    def pull_in(self, seconds: float, count: int = 1, **fields: Any) -> dict[str, Any]:
        """The answer, which comes within a time and not long before."""
        number = self.vicky.send("RequestPull", **PULL, count=count, **fields)
        self.world.run(seconds - 0.3)
        assert not self.vicky.answers[number]
        self.world.run(0.5)
        return self.vicky.answer(number)

    @property
    def held(self) -> set[str]:
        """What is held at the nodes that are there."""
        return {
            ident
            for pair in self.world.pairs.values()
            if pair.core is not None
            for ident, row in pair.core.memory.holdings.rows.items()
            if row.holders
        }


def priorities(reply: dict[str, Any]) -> list[int]:
    return [one["priority"] for one in reply["interactions"]]


def ids(reply: dict[str, Any]) -> list[str]:
    return [one["interaction_id"] for one in reply["interactions"]]


MIXED = (("n2", 9), ("n1", 8), ("n1", 7), ("n3", 6), ("n2", 5), ("n1", 4), ("n3", 3), ("n3", 2), ("n2", 1))
"""No node could keep any order alone."""


# -- one order


@pytest.mark.parametrize("pull_order", ["global", "round-robin"])
@pytest.mark.parametrize("count", [1, 2, 4, 9, 20])
def test_the_workbins_order_holds_over_all_nodes(count: int, pull_order: str) -> None:
    # given a workbin whose interactions are at three nodes
    scene = Scene(pull_order=pull_order)
    scene.fill(*MIXED)
    # when it is emptied by pulls
    replies = []
    while not replies or replies[-1]["interactions"]:
        replies.append(scene.pull(count))
    # then each gets as many as it wants, of those that come first over all nodes
    assert sum(map(priorities, replies), []) == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert {len(reply["interactions"]) for reply in replies[: 9 // count]} <= {count}
    assert all(reply["complete"] is True for reply in replies)


def test_every_node_is_asked_twice_at_most() -> None:
    # given a workbin at three nodes; when a pull takes all of it, however it is spread
    scene = Scene()
    scene.fill(*MIXED)
    scene.pull(9)
    # then each node was looked at once, and asked for its share once
    nodes = ["n1", "n2", "n3"]
    assert sorted(scene.world.asked) == [(node, kind) for node in nodes for kind in (LOOK, SHARE)]


def test_who_has_nothing_of_it_is_not_asked_for_a_share() -> None:
    # given two interactions, at one node
    scene = Scene()
    scene.fill(("n2", 1), ("n2", 2))
    # when a pull takes one
    assert priorities(scene.pull()) == [2]
    # then only that node was asked for it
    assert [node for node, kind in scene.world.asked if kind == SHARE] == ["n2"]


def test_a_single_node_is_asked_once() -> None:
    # given a cluster of one node; when a pull takes from a workbin
    scene = Scene(nodes=1)
    scene.fill(("n1", 1), ("n1", 2), ("n1", 3))
    reply = scene.pull(2)
    # then there was no look before
    assert (priorities(reply), reply["complete"], scene.world.asked) == ([3, 2], True, [("n1", SHARE)])


def test_held_ones_are_passed_over_unless_holds_are_ignored() -> None:
    # given a workbin whose first one is on hold
    scene = Scene()
    first, *_ = scene.fill(("n1", 9), ("n2", 8), ("n3", 7))
    assert scene.desks["n1"].ask("RequestHold", interaction_id=first)["message"] == "EventAck"
    # when pulls take two each; then who ignores holds gets it in its place
    assert priorities(scene.pull(2)) == [8, 7]
    scene.fill(("n2", 10), ("n3", 1))
    assert priorities(scene.pull(3, ignore_hold=True)) == [10, 9, 1]


def test_an_empty_workbin() -> None:
    # given nothing in it at any node; when it is pulled from
    scene = Scene()
    reply = scene.pull(3)
    # then the answer is empty and complete, and nobody was asked for a share
    assert (reply["interactions"], reply["complete"]) == ([], True)
    assert {kind for _, kind in scene.world.asked} == {LOOK}


def test_what_nodes_refuse_is_refused() -> None:
    # given another's workbin, with something in it and without
    scene = Scene()
    for _ in range(2):
        # when it is pulled from; then that is refused by the node's own words
        reply = scene.vicky.ask("RequestPull", **{**PULL, "workbin": {"type": "Drafts", "agent_id": "ANAT"}})
        assert (reply["message"], reply["code"]) == ("EventError", 40)
        scene.put("n1", 1, workbin={"type": "Drafts", "agent_id": "ANAT"})
    assert scene.held == set()


# -- meanwhile


def test_two_pulls_at_once_get_different_ones_and_each_in_order() -> None:
    # given VICKY at two proxies
    scene = Scene()
    other = scene.login("p2")
    idents = scene.fill(*MIXED)
    # when both pull before either is answered
    numbers = [(client, client.send("RequestPull", **PULL, count=4)) for client in (scene.vicky, other)]
    scene.world.settle()
    one, two = (client.answer(number) for client, number in numbers)
    # then each has four, in order, and nobody has what the other has
    assert (priorities(one), priorities(two)) == ([9, 8, 7, 6], [5, 4, 3, 2])
    assert scene.held == {*ids(one), *ids(two)} == set(idents) - {idents[-1]}


@pytest.mark.parametrize("count", [1, 3])
def test_many_pulls_at_once_through_one_proxy(count: int) -> None:
    # given a workbin with more than are asked for, and pulls that all come before any is answered
    scene = Scene()
    scene.fill(*[(f"n{1 + number % 3}", 200 - number) for number in range(80 * count)])
    numbers = [scene.vicky.send("RequestPull", **PULL, count=count) for _ in range(60)]
    # when they are answered
    scene.world.settle()
    replies = [priorities(scene.vicky.answer(number)) for number in numbers]
    # then the first one has the first ones, the next one the next ones, and so on
    assert sum(replies, []) == [200 - number for number in range(60 * count)]
    # and each of them looked once, and nothing is kept of it
    assert scene.world.asked.count(("n1", LOOK)) == 60
    assert scene.world.proxies["p1"].workbins._rushes == {}


def test_what_is_gone_is_made_up_for() -> None:
    # given a pull that has seen what comes first
    scene = Scene()
    first, *_ = scene.fill(*MIXED)
    # when the first one is stopped before it is asked for
    scene.world.meanwhile = lambda: scene.desks["n2"].send("RequestStopProcessing", interaction_id=first)
    reply = scene.pull(3)
    # then the next one is taken in its place, and the answer is in order
    assert (priorities(reply), reply["complete"]) == ([8, 7, 6], True)
    assert scene.held == set(ids(reply))


def test_what_has_moved_is_taken_from_where_it_is_now() -> None:
    # given a pull that has seen what comes first
    scene = Scene()
    idents = scene.fill(*MIXED)
    # when the last of it moves to the end before it is asked for
    change = {"interaction_id": idents[2], "changed_properties": {"priority": 0}}
    scene.world.meanwhile = lambda: scene.desks["n1"].send("RequestChangeProperties", **change)
    # then it is passed over, and comes when all others are gone
    assert priorities(scene.pull(3)) == [9, 8, 6]
    assert priorities(scene.pull(9)) == [5, 4, 3, 2, 1, 0]


def test_what_has_moved_and_still_comes_next_is_taken() -> None:
    # given a pull that has seen what comes first
    scene = Scene()
    idents = scene.fill(*MIXED)
    # when the second of it moves back by one place before it is asked for
    change = {"interaction_id": idents[1], "changed_properties": {"priority": 7}}
    scene.world.meanwhile = lambda: scene.desks["n1"].send("RequestChangeProperties", **change)
    # then it is among the first three all the same
    assert priorities(scene.pull(3)) == [9, 7, 7]


def test_what_comes_meanwhile_does_not_push_others_out() -> None:
    # given a pull that has seen what comes first
    scene = Scene()
    scene.fill(*MIXED)
    # when another one comes that is first of all, before the shares are asked for
    new = {"tenant_id": 101, "media_type": "voice", "workbin": DRAFTS, "priority": 10}
    scene.world.meanwhile = lambda: scene.desks["n1"].send("RequestSubmit", **new)
    # then the answer is as of the look: nothing was left out that comes before what was given
    assert priorities(scene.pull(4)) == [9, 8, 7, 6]
    assert priorities(scene.pull(4)) == [10, 5, 4, 3]


def test_what_is_held_meanwhile_is_not_given() -> None:
    # given a pull that has seen its only one
    scene = Scene()
    (only,) = scene.fill(("n3", 1))
    # when that is put on hold before it is asked for
    scene.world.meanwhile = lambda: scene.desks["n3"].send("RequestHold", interaction_id=only)
    # then nothing is given
    assert (scene.pull()["interactions"], scene.held) == ([], set())


def test_looks_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    # given nodes that never give what they say that they have
    monkeypatch.setattr("node.shares.still_there", lambda *given, **named: [])
    monkeypatch.setattr("tests.world.AT_ONCE", 10 * MOST_LOOKS)
    scene = Scene()
    scene.fill(*MIXED)
    # when a pull asks for some
    reply = scene.pull(2)
    # then it is answered with nothing after so many looks
    assert (reply["interactions"], reply["complete"]) == ([], True)
    assert scene.world.asked.count(("n1", LOOK)) == MOST_LOOKS


# -- nodes that fail


def test_when_a_node_has_just_died_the_others_give_what_they_have() -> None:
    # given the node with the first ones, which dies, and nobody has noticed
    scene = Scene()
    scene.fill(*MIXED)
    scene.world.lose("n1")
    # when a pull asks for four
    reply = scene.pull_in(LOOK_S, count=4)
    # then it gets the first of the others, and the node is missing
    assert (priorities(reply), reply["complete"], reply["missing"]) == ([9, 6, 5, 3], False, ["n1"])


def test_when_a_node_is_known_to_be_away_nobody_waits_for_it() -> None:
    # given a node that nobody has heard for a while, but not for long
    scene = Scene()
    scene.fill(*MIXED)
    scene.world.lose("n1")
    scene.world.run(1.5)
    # when a pull asks for one; then it is answered at once
    reply = scene.pull()
    assert (priorities(reply), reply["missing"]) == ([9], ["n1"])


def test_when_the_others_have_nothing_a_node_that_is_away_is_waited_for() -> None:
    # given a workbin whose only node is away
    scene = Scene()
    scene.fill(("n2", 5), ("n2", 6))
    scene.world.lose("n2")
    scene.world.run(1.5)
    # when it is pulled from, and the node is back within the request's time
    number = scene.vicky.send("RequestPull", **PULL)
    scene.world.run(1.3)
    assert not scene.vicky.answers[number]
    scene.world.take_over("n2")
    scene.world.run(0.3)
    # then it gives what comes first, and nobody is missing
    reply = scene.vicky.answer(number)
    assert (priorities(reply), reply["complete"]) == ([6], True)


def test_when_nobody_has_anything_and_a_node_stays_away_nothing_is_claimed() -> None:
    # given a workbin that is empty at two nodes, and a third that has died
    scene = Scene()
    scene.fill(("n2", 5))
    scene.world.lose("n2")
    # when it is pulled from; then the answer is 2002 when the request's time is over
    reply = scene.pull_in(TIMEOUT_S)
    assert (reply["code"], reply["missing"]) == (2002, ["n2"])


def test_when_the_node_has_been_away_for_long_nothing_is_claimed_at_once() -> None:
    # given a node that has been away for longer than anybody waits
    scene = Scene()
    scene.fill(("n2", 5))
    scene.world.lose("n2")
    scene.world.run(3 * TIMEOUT_S)
    # when the workbin is pulled from; then the answer is 2002, and comes at once
    reply = scene.pull()
    assert (reply["code"], reply["missing"]) == (2002, ["n2"])


def test_nobody_gives_in_the_place_of_a_node_that_may_have_given() -> None:
    # given a node that grants its share, and whose answer is lost
    scene = Scene()
    scene.fill(*MIXED)
    scene.world.mute = {"n1"}
    # when a pull asks for four
    reply = scene.pull_in(TIMEOUT_S, count=4)
    # then it has those of the others, the node is missing, and no more than four are held
    assert (priorities(reply), reply["complete"], reply["missing"]) == ([9, 6], False, ["n1"])
    assert len(scene.held) == 4


def test_nonsense_about_a_share_is_silence() -> None:
    # given a node that grants its share and says nonsense
    scene = Scene()
    scene.fill(*MIXED)
    scene.world.garbled = {"n1"}
    # when a pull asks for four; then the answer comes at once, and nobody gives in its place
    reply = scene.pull(4)
    assert (priorities(reply), reply["missing"], len(scene.held)) == ([9, 6], ["n1"], 4)


def test_a_share_that_may_have_been_granted_and_nothing_else_is_2002() -> None:
    # given a node whose answer about the only share is lost
    scene = Scene()
    scene.fill(("n2", 5))
    scene.world.mute = {"n2"}
    # when it is pulled from under a dedup_id
    reply = scene.pull_in(TIMEOUT_S, dedup_id="once")
    # then the answer is 2002; asked again, it is what was granted
    assert (reply["code"], reply["missing"]) == (2002, ["n2"])
    scene.world.mute = set()
    again = scene.pull(dedup_id="once")
    assert (priorities(again), again["complete"], len(scene.held)) == ([5], True, 1)


def test_who_makes_up_for_what_is_gone_does_not_give_in_a_silent_nodes_place() -> None:
    # given a node that says nonsense about its share of two, and another one whose only one is gone
    scene = Scene()
    first, *_ = scene.fill(*MIXED)
    scene.world.garbled = {"n1"}
    scene.world.meanwhile = lambda: scene.desks["n2"].send("RequestStopProcessing", interaction_id=first)
    # when a pull asks for four
    reply = scene.pull(4)
    # then one more is given by the others, as one is certainly wanted
    assert (priorities(reply), reply["missing"], len(scene.held)) == ([6, 5], ["n1"], 4)


def test_a_node_that_refuses_its_share_is_missing() -> None:
    # given a node that has too much to do
    scene = Scene()
    first, *_ = scene.fill(*MIXED)
    scene.world.busy = {"n1"}
    # when a pull asks for four, and something else is gone
    scene.world.meanwhile = lambda: scene.desks["n2"].send("RequestStopProcessing", interaction_id=first)
    reply = scene.pull(4)
    # then what was granted is given, and nothing that comes behind what was refused
    assert (priorities(reply), reply["complete"], reply["missing"]) == ([6], False, ["n1"])
    assert len(scene.held) == 1


def test_a_share_that_is_refused_and_nothing_else_is_that_refusal() -> None:
    # given a node that has too much to do, and all that there is
    scene = Scene()
    scene.fill(("n1", 5))
    scene.world.busy = {"n1"}
    # when a pull asks for it; then it is told so
    assert (scene.pull()["code"], scene.held) == (91, set())


def test_a_refusal_does_not_hide_that_another_node_may_have_granted() -> None:
    # given a node that has too much to do, and one whose answer is lost
    scene = Scene()
    scene.fill(("n1", 5), ("n2", 4))
    scene.world.busy, scene.world.garbled = {"n1"}, {"n2"}
    # when a pull asks for both; then the answer is that of doubt
    reply = scene.pull(2)
    assert (reply["code"], reply["missing"]) == (2002, ["n1", "n2"])


def test_nonsense_about_what_there_is_is_not_waited_for() -> None:
    # given a node that says nonsense when it is looked at, and has all that there is
    scene = Scene()
    scene.fill(("n2", 5))
    scene.world.blurred = {"n2"}
    # when a pull asks for it; then the answer is 2002, at once
    reply = scene.pull()
    assert (reply["code"], reply["missing"], scene.held) == (2002, ["n2"], set())


def test_a_node_that_had_no_part_in_a_choice_is_missing() -> None:
    # given a pull that has chosen without a node whose answer was nonsense
    scene = Scene()
    low, gone, high = scene.fill(("n1", 3), ("n3", 2), ("n2", 9))
    scene.world.blurred = {"n2"}

    def meanwhile() -> None:
        scene.world.blurred = set()
        scene.desks["n3"].send("RequestStopProcessing", interaction_id=gone)

    # when one of what was chosen is gone, and the next look sees that node
    scene.world.meanwhile = meanwhile
    reply = scene.pull(2)
    # then it gives, and it is missing all the same: more of it might have come first
    assert (ids(reply), reply["complete"], reply["missing"]) == ([high, low], False, ["n2"])


def test_a_refusal_does_not_wait_for_who_is_away() -> None:
    # given a node that is away; when another's workbin is pulled from
    scene = Scene()
    scene.world.lose("n2")
    scene.world.run(1.5)
    reply = scene.vicky.ask("RequestPull", **{**PULL, "workbin": {"type": "Drafts", "agent_id": "ANAT"}})
    # then that is refused at once
    assert reply["code"] == 40


def test_who_has_something_does_not_wait_for_who_is_away() -> None:
    # given a node that is away, and two interactions, one of which is gone when it is asked for
    scene = Scene()
    first, _ = scene.fill(("n1", 9), ("n3", 8))
    scene.world.lose("n2")
    scene.world.run(1.5)
    scene.world.meanwhile = lambda: scene.desks["n1"].send("RequestStopProcessing", interaction_id=first)
    # when a pull asks for two; then it gets the other one at once
    reply = scene.pull(2)
    assert (priorities(reply), reply["missing"]) == ([8], ["n2"])


def test_where_it_was_is_remembered() -> None:
    # given an interaction with an id of its own; when it is pulled
    scene = Scene()
    scene.put("n3", 5, interaction_id="ticket-7")
    scene.pull()
    # then the proxy knows where it is
    assert scene.world.proxies["p1"].whereis.find("ticket-7").nodes == ("n3",)


def test_a_client_that_has_gone_takes_nothing() -> None:
    # given a pull that waits for a node that has died
    scene = Scene()
    scene.fill(*MIXED)
    scene.world.lose("n1")
    scene.vicky.send("RequestPull", **PULL, count=4)
    scene.world.settle()
    # when its client goes before the others are asked for their shares
    scene.vicky.send("RequestUnregisterClient")
    scene.world.run(LOOK_S + 0.5)
    # then nothing was taken for it
    assert (scene.held, {kind for _, kind in scene.world.asked}) == (set(), {LOOK})


# -- asked again


def test_a_pull_asked_again_gets_the_same_in_the_same_order() -> None:
    # given a pull that took from a node in two parts, as something was gone
    scene = Scene()
    other = scene.login("p2")
    _, second, *_ = scene.fill(*MIXED)
    scene.world.meanwhile = lambda: scene.desks["n1"].send("RequestStopProcessing", interaction_id=second)
    reply = scene.pull(5, dedup_id="once")
    assert priorities(reply) == [9, 7, 6, 5, 4]
    # when it is asked again through the other proxy
    again = scene.pull(5, other, dedup_id="once")
    # then it is the same, and nothing else was taken
    assert again == reply
    assert scene.held == set(ids(reply))


# -- limited agents


def limit(configuration: Configuration) -> None:
    """VICKY may handle two e-mails at once."""
    configuration.agents = {"VICKY": Agent(capacity={"email": 2})}


def test_an_agent_gets_what_fits_in_the_order_over_all_nodes() -> None:
    # given an agent that may handle two e-mails, and a workbin with three
    scene = Scene(change=limit)
    for node, priority, media in (
        ("n1", 9, "email"),
        ("n2", 8, "voice"),
        ("n3", 7, "email"),
        ("n1", 6, "voice"),
        ("n2", 5, "email"),
        ("n3", 4, "voice"),
    ):
        scene.put(node, priority, media_type=media)
    # when it pulls all
    reply = scene.pull(6)
    # then it gets what comes before the third, as a single server has it, and is complete
    assert (priorities(reply), reply["complete"]) == ([9, 8, 7, 6], True)
    # and then it is told that it is full
    assert scene.pull(6)["code"] == 52
    assert len(scene.held) == 4


def test_what_fits_behind_what_does_not_is_not_given() -> None:
    # given an agent that may handle two e-mails, and three of one node before a call
    scene = Scene(change=limit)
    for priority, media in ((9, "email"), (8, "email"), (7, "email"), (6, "voice")):
        scene.put("n1", priority, media_type=media)
    scene.put("n2", 5)
    # when it pulls all; then it gets the first two
    assert priorities(scene.pull(5)) == [9, 8]


def test_an_unlimited_agent_is_not_slowed_down() -> None:
    # given an agent with a limit of another media type than the workbin's
    scene = Scene(change=limit)
    scene.fill(*MIXED)
    # when it pulls all; then it gets all
    assert priorities(scene.pull(9)) == [9, 8, 7, 6, 5, 4, 3, 2, 1]
