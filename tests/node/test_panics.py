"""Many agents' clients gone at once: one panic signal, and time to come back."""

from __future__ import annotations

import json

import pytest

from broker.wire import ECHO, PackedRequest, PackedRequests

AGENTS = [f"A{number:02}" for number in range(12)]
REGISTER = {"message": "RequestRegisterClient", "client_name": "desk", "client_type": "AgentApplication"}
PROXY = {**REGISTER, "client_type": "Proxy"}
MINUTE = 60


class Link:
    """A proxy of a node: its clients are asked for under numbers, each is one agent's."""

    def __init__(self, driver, name="p1", boot="b"):
        self.driver, self.name, self.boot, self.numbers = driver, name, boot, 0
        self.ask(0, {**PROXY, "client_name": name, "session_id": f"{name}.{boot}"})

    def ask(self, client, message, flags=0):
        self.numbers += 1
        request = PackedRequest(self.numbers, client, flags, json.dumps(message).encode())
        core, now = self.driver.core, self.driver.now
        core.receive_link(now, self.peer, PackedRequests(self.numbers, [request]))
        batch = core.take(now)
        self.driver.said += [json.loads(event.payload) for event in batch.events.events]
        self.driver.touched = [source for source, ref, _, _ in batch.replies if ref is None]
        (reply,) = [json.loads(payload) for _, ref, payload, _ in batch.replies if ref is not None]
        return reply

    @property
    def peer(self):
        return f"{self.name}/{self.boot}".encode()

    def log_in(self, agents, flags=0, **fields):
        for agent in agents:
            client = int(agent[1:]) + 1
            self.ask(client, {**REGISTER, "session_id": f"{self.name}.{self.boot}.{client}"})
            asked = {"message": "RequestAgentLogin", "tenant_id": 101, "agent_id": agent, "media_list": {"voice": 1}}
            reply = self.ask(client, {**asked, **fields}, flags)
            assert reply["message"] == "EventAck", reply

    def die(self):
        self.driver.core.lost(self.driver.now, self.peer)
        self.driver.settle()


@pytest.fixture
def driver(make_driver):
    return make_driver(panic_window=2.0, panic_threshold=3, panic_grace=90.0)


def signals(driver):
    """Bodies of the panic events since the last call, by name; nothing else may have been said."""
    said = [(event["message"], event.get("body")) for event in driver.said]
    driver.said.clear()
    return said


def lost(driver, agents):
    """The clients of agents that are connected directly vanish."""
    for agent in agents:
        driver.core.lost(driver.now, agent.encode())
    driver.settle()


# -- a proxy


def test_a_lost_proxy_is_one_signal_and_no_logout(driver):
    """Given a proxy with twelve agents, when it dies, then one event says so and names them; nothing else is said."""
    link = Link(driver)
    link.log_in(AGENTS)
    driver.events()
    link.die()
    ((name, body),) = signals(driver)

    assert name == "EventPanicSignal"
    assert (body["panic"], body["proxy"], body["agents"], body["until"]) == ("p1", "p1", 12, driver.now + 90)
    assert [one["agent_id"] for one in body["keys"]] == AGENTS
    driver.wait(89)
    assert driver.events() == []


def test_agents_that_come_back_through_another_proxy_go_on(driver):
    """Given a panic, when all its agents log in through another proxy, then nothing is said of them, and the panic is
    over."""
    link = Link(driver)
    link.log_in(AGENTS)
    sessions = {row.agent_id: row.session for row in driver.core.memory.agents.rows.values()}
    link.die()
    driver.events()
    other = Link(driver, "p2")
    other.log_in(AGENTS[:-1])
    assert driver.events() == []
    other.log_in(AGENTS[-1:])

    assert signals(driver) == [("EventPanicEnded", {"panic": "p1", "agents": 12, "returned": 12, "lost": 0})]
    assert {row.agent_id: row.session for row in driver.core.memory.agents.rows.values()} == sessions


def test_what_a_returning_agent_asks_to_be_is_said_where_it_differs(driver):
    """Given an agent of a panic that was not ready, when it logs in ready and with another media type, then just the
    difference is said."""
    link = Link(driver)
    link.log_in(AGENTS[:2])
    link.ask(1, {"message": "RequestNotReadyForMedia", "media_type": "voice"})
    link.die()
    driver.events()
    Link(driver, "p2").log_in(AGENTS[:1], media_list={"voice": 1, "email": 0})

    assert driver.events() == ["EventReadyForMedia", "EventMediaAdded"]


def test_agents_that_do_not_come_back_are_let_go_when_the_time_is_over(driver):
    """Given a panic, when its time is over with one agent back, then the others are ready for nothing, for the panic's
    sake, and its end says how many."""
    link = Link(driver)
    link.log_in(AGENTS[:3])
    link.die()
    driver.wait(50)
    Link(driver, "p2").log_in(AGENTS[:1])
    driver.events()
    driver.wait(41)
    gone = driver.said[:2]

    assert [(event["message"], event["agent"]["agent_id"]) for event in gone] == [
        ("EventNotReadyForMedia", "A01"),
        ("EventNotReadyForMedia", "A02"),
    ]
    assert {event["reason"]["reason_system_name"] for event in gone} == {"Panic p1"}
    assert signals(driver)[2:] == [("EventPanicEnded", {"panic": "p1", "agents": 3, "returned": 1, "lost": 2})]
    driver.wait(1440 * MINUTE)
    logouts = [event["agent"]["agent_id"] for event in driver.said if event["message"] == "EventAgentLogout"]
    assert logouts == AGENTS[1:3]


def test_a_missing_agent_keeps_what_it_handles_and_gets_nothing_new(driver):
    """Given an agent with an interaction whose proxy dies, when an engine offers it another one, then that is refused;
    the first is still its own, and it stops it when it is back."""
    media, engine = driver.client("mail", "MediaServer"), driver.client("urs", "RoutingEngine")
    submit = {"tenant_id": 101, "media_type": "voice", "queue": "Inbound"}
    held, offered = (media.ask("RequestSubmit", **submit)["interaction_id"] for _ in range(2))
    link = Link(driver)
    link.log_in(AGENTS[:1])
    link.ask(1, {"message": "RequestPull", "tenant_id": 101, "view_id": "Inbound/all"})
    engine.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    link.die()
    refused = engine.ask("RequestDeliver", interaction_id=offered, agent_id="A00")
    shown = media.ask("RequestGetInteractionProperties", interaction_id=held)["interaction"]
    other = Link(driver, "p2")
    other.log_in(AGENTS[:1])

    assert (refused["code"], "its client is gone" in refused["detail"]) == (49, True)
    assert shown["interaction_state"] == 3
    assert other.ask(1, {"message": "RequestStopProcessing", "interaction_id": held})["message"] == "EventAck"


def test_agents_that_log_out_are_no_panic(driver):
    """Given a proxy with agents, when they log out and it dies then, then each logout is said, and no panic."""
    link = Link(driver)
    link.log_in(AGENTS[:4])
    driver.events()
    for client in range(1, 5):
        link.ask(client, {"message": "RequestAgentLogout"})
    link.die()
    driver.wait(200)

    assert driver.events() == ["EventAgentLogout"] * 4


def test_an_agent_with_another_connection_is_not_missing(driver):
    """Given an agent at two proxies, when one dies, then the other agents are a panic, this one is not among them."""
    link, other = Link(driver), Link(driver, "p2")
    link.log_in(AGENTS[:3])
    other.log_in(AGENTS[:1])
    driver.events()
    link.die()
    ((_, body),) = signals(driver)

    assert [one["agent_id"] for one in body["keys"]] == AGENTS[1:3]


def test_a_client_that_speaks_for_many_agents_is_a_proxy_too(driver):
    """Given a client of type Proxy behind another proxy, with several agents, when it is told to have vanished, then
    that is one signal with its name."""
    link = Link(driver)
    link.ask(1, {**PROXY, "client_name": "inner", "session_id": "p1.b.1"})
    for agent in AGENTS[:5]:
        link.ask(1, {"message": "RequestAgentLogin", "tenant_id": 101, "agent_id": agent, "media_list": {"voice": 1}})
    driver.events()
    link.ask(1, {"message": "RequestUnregisterClient", "vanished": True})
    ((_, body),) = signals(driver)

    assert (body["panic"], body["proxy"], body["agents"]) == ("inner", "inner", 5)


def test_a_node_that_does_not_speak_for_them_says_it_as_an_echo(driver):
    """Given a proxy whose agents another node speaks for, when it dies, then the signal is an echo, as their logouts
    would be."""
    link = Link(driver)
    link.log_in(AGENTS[:3], flags=ECHO)
    driver.events()
    link.die()

    assert [(event["message"], event["echo"]) for event in driver.said] == [("EventPanicSignal", True)]


def test_a_panic_goes_on_after_a_take_over(driver):
    """Given a panic, when the node's other member takes over, then the agents have their time, and who comes back is
    counted with the others."""
    link = Link(driver)
    link.log_in(AGENTS[:3])
    link.die()
    driver.wait(60)
    driver = driver.reopened()
    Link(driver, "p2").log_in(AGENTS[:1])
    driver.said.clear()
    driver.wait(29)
    assert driver.events() == []
    driver.wait(2)

    names = driver.events()
    assert names[:2] == ["EventNotReadyForMedia"] * 2 and names[2:] == ["EventPanicEnded"]


def test_a_proxy_that_dies_twice_is_one_panic(driver):
    """Given a panic, when the same proxy is started, gets some agents back and dies again, then the panic goes on from
    there."""
    link = Link(driver)
    link.log_in(AGENTS[:3])
    link.die()
    driver.wait(80)
    again = Link(driver, boot="c")
    again.log_in(AGENTS[:2])
    driver.events()
    again.die()
    ((_, body),) = signals(driver)
    assert (body["agents"], body["until"]) == (2, driver.now + 90)
    driver.wait(89)
    assert driver.events() == []
    driver.wait(2)
    assert signals(driver)[-1][1] == {"panic": "p1", "agents": 5, "returned": 2, "lost": 3}


def test_the_old_process_of_a_proxy_that_comes_back_is_looked_at(driver):
    """Given a link that nobody has missed yet, when the same proxy says hello under another boot, then something is
    sent to the old one, so that its death shows before its clients are back."""
    old = Link(driver)
    Link(driver, "p2")
    assert driver.touched == []
    Link(driver, boot="c")

    assert driver.touched == [(old.peer, 0)]


def test_a_silent_link_is_looked_at_every_second(driver):
    """Given a proxy that says nothing for more than three seconds, when time passes, then it is told something once a
    second: if it is dead, that fails."""
    link = Link(driver)
    sent = []
    driver.parties[link.peer, 0] = type("Party", (), {"notes": sent})()
    driver.wait(3.5)
    assert sent == []
    driver.wait(3)

    assert [note["message"] for note in sent] == ["EventPong"] * 3


# -- many clients


def test_many_clients_that_vanish_within_the_window_are_one_signal(driver):
    """Given the clients of three agents that vanish one after the other within two seconds, when the window is over,
    then one signal says so."""
    for agent in AGENTS[:4]:
        driver.agent(agent)
    driver.events()
    for agent in AGENTS[:3]:
        lost(driver, [agent])
        driver.wait(0.6)
    assert driver.events() == []
    driver.wait(0.3)
    ((name, body),) = signals(driver)

    assert (name, body["panic"], body["agents"]) == ("EventPanicSignal", "agents", 3)
    assert "proxy" not in body


def test_fewer_than_the_threshold_have_vanished_each(driver):
    """Given two clients that vanish, one less than the threshold, when the window is over, then each agent is ready
    for nothing, as ever."""
    for agent in AGENTS[:2]:
        driver.agent(agent)
    driver.events()
    lost(driver, AGENTS[:2])
    driver.wait(2.1)

    assert driver.events() == ["EventNotReadyForMedia"] * 2


def test_who_vanishes_during_a_panic_belongs_to_it(driver):
    """Given a panic of many agents, when another client vanishes later, then nothing is said, and it is counted."""
    for agent in AGENTS[:4]:
        driver.agent(agent)
    lost(driver, AGENTS[:3])
    driver.wait(3)
    driver.events()
    lost(driver, AGENTS[3:4])
    driver.wait(10)
    assert driver.events() == []
    driver.wait(80)

    assert signals(driver)[-1][1] == {"panic": "agents", "agents": 4, "returned": 0, "lost": 4}


def test_one_that_is_back_within_the_window_does_not_count(driver):
    """Given three clients that vanish, when one is back within the window, then the other two are below the
    threshold."""
    for agent in AGENTS[:3]:
        driver.agent(agent)
    driver.events()
    lost(driver, AGENTS[:3])
    driver.wait(1)
    driver.agent(AGENTS[0])
    assert driver.events() == []
    driver.wait(1.5)

    assert driver.events() == ["EventNotReadyForMedia"] * 2


def test_without_a_threshold_only_a_proxy_is_a_panic(make_driver):
    """Given a threshold of 0, when many clients vanish, then each is said to."""
    driver = make_driver(panic_threshold=0, panic_window=2.0)
    for agent in AGENTS:
        driver.agent(agent)
    driver.events()
    lost(driver, AGENTS)
    driver.wait(3)

    assert driver.events() == ["EventNotReadyForMedia"] * 12


def test_each_tenant_hears_of_its_own(make_driver):
    """Given a proxy with agents of two tenants, when it dies, then each tenant has one signal, with its own agents."""

    def second(configuration):
        configuration.tenants[102] = configuration.tenants[101]

    driver = make_driver(second)
    link = Link(driver)
    link.log_in(AGENTS[:2])
    link.log_in(AGENTS[2:5], tenant_id=102)
    driver.events()
    link.die()

    assert [(event["tenant_id"], event["body"]["agents"]) for event in driver.said] == [(101, 2), (102, 3)]
