"""Capacity: an agent never has more of a media type than it may, whichever way it gets it."""

from __future__ import annotations

import json
from collections import Counter
from random import Random

import pytest

from broker.config.objects import Agent, AgentGroup, Configuration
from broker.wire import PackedRequest, PackedRequests

BOTH = {"voice": 1, "chat": 1}


def limited(configuration: Configuration) -> None:
    """Two chats for everybody, one for VICKY, three for who is in a group."""
    configuration.tenants[101].media_types["chat"].capacity = 2
    configuration.agents = {"VICKY": Agent(capacity={"chat": 1})}
    configuration.agent_groups["Support"] = AgentGroup(agents=["VICKY", "ANAT"], capacity={"chat": 3})
    configuration.agent_groups["Night"] = AgentGroup(agents=["ANAT"], capacity={"chat": 1, "email": 5})


class Floor:
    """A media server, a routing engine that has taken chats, and agents."""

    def __init__(self, driver, chats=4):
        self.driver = driver
        self.media, self.router = driver.client("chat", "MediaServer"), driver.client("urs", "RoutingEngine")
        self.vicky, self.anat = driver.agent("VICKY", **BOTH), driver.agent("ANAT", **BOTH)
        self.chats = [self.chat() for _ in range(chats)]

    def chat(self, media_type="chat"):
        """A chat that waits."""
        fields = {"tenant_id": 101, "media_type": media_type, "queue": "Inbound"}
        return self.media.ask("RequestSubmit", **fields)["interaction_id"]

    def route(self, ident, agent="VICKY"):
        """The code with which the routing engine's delivery of it is answered; 0: the agent is invited."""
        wanted = {"interaction_ids": [ident]}
        self.router.ask("RequestPull", tenant_id=101, view_id="_system_", pull_parameters=wanted)
        return self.router.ask("RequestDeliver", interaction_id=ident, agent_id=agent).get("code", 0)

    def accept(self, agent):
        """The agent's application accepts what it was offered last."""
        note = [note for note in agent.notes if note["message"] == "EventInvite"][-1]
        fields = {"interaction_id": note["interaction"]["interaction_id"], "ticket_id": note["ticket_id"]}
        return agent.ask("RequestAccept", **fields).get("code", 0)

    def take(self, agent, *idents, **fields):
        """An agent pulls by ids."""
        wanted = {"interaction_ids": list(idents)}
        return agent.ask("RequestPull", tenant_id=101, view_id="_system_", pull_parameters=wanted, **fields)


@pytest.fixture
def floor(make_driver):
    return Floor(make_driver(limited))


def test_the_rule_of_the_agent_goes_before_its_groups_and_these_before_the_media_type(make_driver):
    # given agents with a rule of their own, in two groups, and in none
    driver = make_driver(limited)
    shown = {}
    # when they log in
    for agent in ("VICKY", "ANAT", "TOVA"):
        desk = driver.client(agent, "AgentApplication")
        media = {"chat": 1, "email": 1, "voice": 1}
        desk.ask("RequestAgentLogin", tenant_id=101, agent_id=agent, media_list=media)
        shown[agent] = desk.notes[-1].get("media_capacity_list")
    # then each is told its own capacity; what has no limit is not there
    assert shown == {"VICKY": {"chat": 1}, "ANAT": {"chat": 3, "email": 5}, "TOVA": {"chat": 2}}


def test_an_invitation_counts_until_it_comes_to_nothing(floor):
    # given an agent that is invited to the one chat it may have
    first, second, *_ = floor.chats
    assert floor.route(first) == 0
    # when another one is routed to it; and again when the first has expired
    refused = floor.route(second)
    floor.driver.wait(31)
    floor.router.ask("RequestPing")
    # then it is refused as long as the first stands
    assert (refused, floor.route(second)) == (52, 0)


def test_what_it_handles_counts_until_it_is_done(floor):
    # given an agent that handles one chat
    first, second, third, *_ = floor.chats
    floor.route(first)
    assert floor.accept(floor.vicky) == 0
    # when others are routed to it before and after that is stopped
    before = floor.route(second)
    floor.vicky.ask("RequestStopProcessing", interaction_id=first)
    after = floor.route(third)
    # then it gets one only after
    assert (before, after) == (52, 0)


def test_what_has_no_limit_is_not_counted(floor):
    floor.take(floor.vicky, floor.chats[0])
    for _ in range(5):
        assert floor.route(floor.chat("voice")) == 0


def test_a_pull_takes_as_many_as_there_is_room_for(floor):
    # given an agent that may have three chats
    # when it pulls four, then one more
    got = floor.anat.ask("RequestPull", tenant_id=101, view_id="Inbound/all", count=4)
    more = floor.anat.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    # then it has the first three, and is told that it is full
    assert [one["interaction_id"] for one in got["interactions"]] == floor.chats[:3]
    assert (more["code"], more["detail"]) == (52, "ANAT has its 3 of chat")


def test_a_pull_ends_where_the_next_one_does_not_fit(floor):
    # given a view with a call behind the chats, and an agent that is full
    call = floor.chat("voice")
    floor.take(floor.vicky, floor.chats[0])
    # when it pulls from the view, and the call by its id
    code = floor.vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")["code"]
    taken = floor.take(floor.vicky, call)
    # then the view's order holds: what comes first does not fit
    assert (code, len(taken["interactions"])) == (52, 1)


def test_a_pull_by_ids_says_which_did_not_fit(floor):
    got = floor.take(floor.anat, *floor.chats)
    assert [one["interaction_id"] for one in got["interactions"]] == floor.chats[:3]
    full = {"code": 52, "text": "Agent has no capacity left", "detail": "ANAT has its 3 of chat"}
    assert got["errors"] == {floor.chats[3]: full}


def test_a_pull_of_one_id_says_what_is_full(floor):
    floor.take(floor.anat, *floor.chats[:3])
    more = floor.take(floor.anat, floor.chats[3])
    assert (more["code"], more["detail"]) == (52, "ANAT has its 3 of chat")


def test_a_strategy_has_no_capacity(floor):
    got = floor.router.ask("RequestPull", tenant_id=101, view_id="Inbound/all", count=4)
    assert len(got["interactions"]) == 4


def test_an_agents_own_submit_counts(floor):
    # given an agent that may have one chat
    fields = {"tenant_id": 101, "media_type": "chat", "queue": "Inbound"}
    # when it submits two
    codes = [floor.vicky.ask("RequestSubmit", **fields).get("code", 0) for _ in range(2)]
    # then the second is refused, and not there
    assert codes == [0, 52]
    assert len(floor.driver.core.memory.interactions) == 5


@pytest.mark.parametrize("request_name", ["RequestTransfer", "RequestConference"])
def test_colleagues_cannot_bring_in_one_that_is_full(floor, request_name):
    # given an agent that handles one chat, and is full; and a colleague with another
    floor.take(floor.vicky, floor.chats[0])
    floor.take(floor.anat, floor.chats[1])
    # when the colleague wants it in
    reply = floor.anat.ask(request_name, interaction_id=floor.chats[1], agent_id="VICKY")
    # then it is refused at once
    assert reply["code"] == 52


def test_a_full_agent_cannot_intrude(floor):
    floor.take(floor.vicky, floor.chats[0])
    floor.take(floor.anat, floor.chats[1])
    assert floor.vicky.ask("RequestIntrude", interaction_id=floor.chats[1])["code"] == 52


def test_what_is_on_hold_does_not_count_and_is_not_resumed_by_one_that_is_full(floor):
    # given a full agent whose chat is put on hold
    first, second, *_ = floor.chats
    floor.take(floor.vicky, first)
    floor.vicky.ask("RequestHold", interaction_id=first)
    # when it takes another one, and then wants the first one back
    taken = floor.take(floor.vicky, second)
    resumed = [who.ask("RequestResume", interaction_id=first).get("code", 0) for who in (floor.vicky, floor.media)]
    floor.vicky.ask("RequestStopProcessing", interaction_id=second)
    # then it can only when the other one is done, whoever resumes it
    assert len(taken["interactions"]) == 1
    assert resumed == [52, 52]
    assert floor.vicky.ask("RequestResume", interaction_id=first)["message"] == "EventAck"
    assert floor.take(floor.vicky, floor.chats[2])["code"] == 52


def test_what_is_on_hold_can_be_taken_by_one_that_is_full(floor):
    # given a full agent, and a chat that waits on hold
    first, second, *_ = floor.chats
    floor.take(floor.vicky, first)
    floor.media.ask("RequestHold", interaction_id=second)
    # when the agent takes it as it is
    taken = floor.take(floor.vicky, second, ignore_hold=True)
    # then it has it, but cannot resume it
    assert [one["interaction_id"] for one in taken["interactions"]] == [second]
    assert floor.vicky.ask("RequestResume", interaction_id=second)["code"] == 52


def test_a_capacity_of_nought(make_driver):
    def none(configuration):
        configuration.agents = {"VICKY": Agent(capacity={"chat": 0})}

    floor = Floor(make_driver(none), chats=1)
    assert floor.route(floor.chats[0]) == 52


def test_capacity_holds_across_a_failover(floor):
    # given an agent that handles its one chat
    floor.take(floor.vicky, floor.chats[0])
    session = floor.driver.core.memory.agents.one("agent", (101, "VICKY")).sessions[0]
    # when the pair fails over, and it comes back
    after = floor.driver.reopened()
    vicky = after.client("VICKY", "AgentApplication", session_id=session)
    # then it is full
    assert Floor.take(floor, vicky, floor.chats[1])["code"] == 52


class Walk:
    """Agents, colleagues and a routing engine that do whatever comes to mind. ``codes`` are the answers, counted."""

    def __init__(self, floor, chance):
        self.floor = floor
        self.chance = chance
        self.agents = {"VICKY": floor.vicky, "ANAT": floor.anat}
        self.codes = Counter()

    def load(self, name):
        """What counts: handled or offered, and not on hold."""
        memory = self.floor.driver.core.memory
        (key,) = [key for key, row in memory.agents.rows.items() if row.agent_id == name]
        offered = [memory.invitations.rows[ticket].interaction_id for ticket in memory.invitations.keys("agent", key)]
        idents = [*memory.holdings.keys("holder", key), *offered]
        return sum(not memory.interactions[ident].is_held for ident in idents)

    def step(self):
        """One of them does one thing."""
        name, ident = self.chance.choice(sorted(self.agents)), self.chance.choice(self.floor.chats)
        self.chance.choice([self.route, self.answer, self.take, self.view, self.bring, self.hold, self.wait])(
            name, ident
        )

    def ask(self, name, message, **fields):
        reply = self.floor.driver.ask(self.agents[name].source, {"message": message, **fields})
        self.codes[(reply or {}).get("code", 0)] += 1

    def route(self, name, ident):
        self.codes[self.floor.route(ident, name)] += 1

    def answer(self, name, ident):
        notes = [note for note in self.agents[name].notes if note["message"] == "EventInvite"]
        for note in notes:
            offered = {"interaction_id": note["interaction"]["interaction_id"], "ticket_id": note["ticket_id"]}
            self.ask(name, self.chance.choice(["RequestAccept", "RequestAccept", "RequestReject"]), **offered)
        self.agents[name].notes.clear()

    def take(self, name, ident):
        self.floor.take(self.agents[name], ident, ignore_hold=self.chance.random() < 0.3)

    def view(self, name, ident):
        self.ask(name, "RequestPull", tenant_id=101, view_id="Inbound/all", count=self.chance.choice([1, 5]))

    def bring(self, name, ident):
        other = "ANAT" if name == "VICKY" else "VICKY"
        message = self.chance.choice(["RequestTransfer", "RequestConference", "RequestIntrude"])
        self.ask(name, message, interaction_id=ident, **({} if message == "RequestIntrude" else {"agent_id": other}))

    def hold(self, name, ident):
        message = self.chance.choice(["RequestHold", "RequestResume", "RequestPlaceInQueue"])
        self.ask(name, message, interaction_id=ident, **({"queue": "Inbound"} if message.endswith("Queue") else {}))

    def wait(self, name, ident):
        self.floor.driver.wait(1)
        for party in self.floor.driver.parties.values():
            party.ask("RequestPing")


def test_whatever_is_asked_nobody_has_more_than_he_may(make_driver):
    # given two agents with limits for chat
    walk = Walk(Floor(make_driver(limited, delivering_timeout=3), chats=8), Random(7))
    # when they and others do thousands of things
    for _ in range(2500):
        walk.step()
        # then none ever has more than it may
        assert walk.load("VICKY") <= 1
        assert walk.load("ANAT") <= 3
    assert walk.codes[0] > 400 and walk.codes[52] > 100, walk.codes


# -- over several nodes


HELLO = {"message": "RequestRegisterClient", "client_name": "p1", "client_type": "Proxy", "session_id": "p1.b"}
VICKY = {"tenant_id": 101, "agent_id": "VICKY"}


class Link:
    """A proxy with VICKY's client, and one chat that waits at this node."""

    def __init__(self, driver):
        self.driver = driver
        self.number = 0
        self.ident = driver.client("m", "MediaServer").ask(
            "RequestSubmit", tenant_id=101, media_type="chat", queue="Inbound"
        )["interaction_id"]
        self.router = driver.client("urs", "RoutingEngine")
        self.ask(0, HELLO)
        self.ask(7, {**HELLO, "client_name": "d", "client_type": "AgentApplication", "session_id": "p1.b.7"})
        self.ask(7, {"message": "RequestAgentLogin", **VICKY, "media_list": BOTH})

    def ask(self, client, message):
        """What the node sends to the proxy, in its order; the last one is the reply."""
        self.number += 1
        packed = PackedRequest(self.number, client, 0, json.dumps(message).encode())
        self.driver.core.receive_link(self.driver.now, b"link", PackedRequests(1, [packed]))
        return self.sent()

    def sent(self):
        """What the node has for the proxy now."""
        replies = self.driver.core.take(self.driver.now).replies
        return [(source[1], json.loads(payload)) for source, _, payload, _ in replies if source[0] == b"link"]

    def route(self):
        """The code of a delivery of the chat to VICKY; 0: she is invited."""
        wanted = {"interaction_ids": [self.ident]}
        self.router.ask("RequestPull", tenant_id=101, view_id="_system_", pull_parameters=wanted)
        self.driver.core.receive(
            self.driver.now,
            self.router.source,
            b"r",
            json.dumps({"message": "RequestDeliver", "interaction_id": self.ident, "agent_id": "VICKY"}).encode(),
        )
        replies = self.driver.core.take(self.driver.now).replies
        self.notes = [json.loads(payload) for source, _, payload, _ in replies if source[0] == b"link"]
        (code,) = [code for source, ref, _, code in replies if source == self.router.source and ref is not None]
        return code


@pytest.fixture
def link(make_driver):
    return Link(make_driver(limited))


def test_a_proxy_is_told_before_the_reply_what_its_agent_has(link):
    # given an agent of a proxy's client; when it takes a chat
    wanted = {"interaction_ids": [link.ident]}
    sent = link.ask(7, {"message": "RequestPull", "tenant_id": 101, "view_id": "_system_", "pull_parameters": wanted})
    # then the proxy itself is told before the client has its reply
    assert [(client, one["message"]) for client, one in sent] == [
        (0, "EventAgentLoad"),
        (7, "EventPulledInteractions"),
    ]
    assert sent[0][1]["load"] == {"chat": [1, 0]}
    # and when it is done with it, the proxy is told that, too
    sent = link.ask(7, {"message": "RequestStopProcessing", "interaction_id": link.ident})
    assert sent[0][1] == {"message": "EventAgentLoad", **VICKY}


def test_a_proxy_is_told_what_is_put_on_hold_and_resumed(link):
    # given an agent of a proxy's client that has taken a chat
    wanted = {"interaction_ids": [link.ident]}
    link.ask(7, {"message": "RequestPull", "tenant_id": 101, "view_id": "_system_", "pull_parameters": wanted})
    # when it puts it on hold, and resumes it
    sent = [link.ask(7, {"message": name, "interaction_id": link.ident}) for name in ("RequestHold", "RequestResume")]
    # then the proxy knows that it has it no more, and again
    assert [one.get("load") for said in sent for client, one in said if client == 0] == [None, {"chat": [1, 0]}]


def test_what_an_agent_has_elsewhere_counts(link):
    # given an agent that has its one chat at another node
    link.ask(0, {"message": "RequestAgentLoad", **VICKY, "elsewhere": {"chat": [0, 1]}})
    full = link.route()
    # when it has it no more
    link.ask(0, {"message": "RequestAgentLoad", **VICKY})
    # then it can be invited here
    assert (full, link.route()) == (52, 0)


def test_of_two_invitations_from_two_nodes_the_second_cannot_be_accepted(link):
    # given an agent that two nodes have invited at the same moment, and that accepts at the other one
    assert link.route() == 0
    (invite,) = [note for note in link.notes if note["message"] == "EventInvite"]
    accept = {"message": "RequestAccept", "interaction_id": link.ident, "ticket_id": invite["ticket_id"]}
    link.ask(0, {"message": "RequestAgentLoad", **VICKY, "elsewhere": {"chat": [1, 0]}})
    # when it accepts here, and again when it is done there
    (_, refused) = link.ask(7, accept)[-1]
    link.ask(0, {"message": "RequestAgentLoad", **VICKY})
    (_, accepted) = link.ask(7, accept)[-1]
    # then it is refused, but the invitation stands
    assert (refused["code"], accepted["message"]) == (52, "EventAck")


def test_a_proxy_is_told_again_by_the_next_member(link):
    # given an agent with a chat
    wanted = {"interaction_ids": [link.ident]}
    link.ask(7, {"message": "RequestPull", "tenant_id": 101, "view_id": "_system_", "pull_parameters": wanted})
    link.driver.core.deactivate()
    link.driver.core.activate(link.driver.now, 2, "test")
    # when the other member serves, and the proxy brings the client back
    link.ask(0, HELLO)
    sent = link.ask(7, {**HELLO, "client_name": "d", "client_type": "AgentApplication", "session_id": "p1.b.7"})
    # then it is told what the agent has
    assert [one["load"] for client, one in sent if client == 0] == [{"chat": [1, 0]}]


def test_only_proxies_tell_loads(driver):
    assert driver.client("d", "Monitor").ask("RequestAgentLoad", **VICKY)["code"] == 40
