"""Agents: login rules, media, readiness, seats, echoes."""

import json

import pytest

from broker.wire import ECHO, PackedRequest, PackedRequests

LOGIN = {"message": "RequestAgentLogin", "tenant_id": 101, "agent_id": "VICKY"}


def login(party, **fields):
    return party.ask("RequestAgentLogin", **{"tenant_id": 101, "media_list": {"voice": 1}, **fields})


def test_login_is_acked_told_and_reported(driver):
    desk = driver.client("desk", "AgentApplication")
    driver.events()
    assert login(desk, agent_id="VICKY", place_id="P7")["message"] == "EventAck"
    (event,) = driver.said
    assert event["message"] == "EventAgentLogin"
    assert event["agent"] == {
        "agent_id": "VICKY",
        "place_id": "P7",
        "session": event["agent"]["session"],
        "media": {"voice": 1},
    }
    assert desk.notes[-1]["media_state_list"] == {"voice": 1}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, 2),
        ({"agent_id": "X", "tenant_id": 999}, 10),
        ({"agent_id": "X", "media_list": {"smoke": 1}}, 12),
        ({"agent_id": "X", "media_list": {"voice": 2}}, 3),
    ],
)
def test_a_bad_login_is_refused(driver, fields, code):
    assert login(driver.client("desk", "AgentApplication"), **fields)["code"] == code


def test_a_place_has_one_agent_and_an_agent_one_place(driver):
    login(driver.client("a", "AgentApplication"), agent_id="VICKY", place_id="P7")
    assert login(driver.client("b", "AgentApplication"), agent_id="ANAT", place_id="P7")["code"] == 20
    assert login(driver.client("c", "AgentApplication"), agent_id="VICKY", place_id="P8")["code"] == 21


@pytest.mark.parametrize(("rule", "code"), [("true", None), ("false", 27), ("force-logout", None)])
def test_a_second_connection_of_the_same_agent(make_driver, rule, code):
    driver = make_driver(allow_multiple_agent_connections=rule)
    first, second = driver.client("a", "AgentApplication"), driver.client("b", "AgentApplication")
    login(first, agent_id="VICKY")
    first.told()
    assert login(second, agent_id="VICKY").get("code") == code
    assert ("EventAgentConnectionClosed" in first.told()) is (rule == "force-logout")
    first.ask("RequestUnregisterClient")
    assert ("EventAgentLogout" in driver.events()) is (rule == "false")


def test_agent_login_control_ignore_puts_the_agent_for_the_place(make_driver):
    driver = make_driver(agent_login_control="ignore")
    login(driver.client("a", "AgentApplication"), agent_id="VICKY", place_id="P7")
    assert driver.said[-1]["agent"]["place_id"] == "VICKY"


def test_seats_are_never_exceeded(driver):
    for number in range(30):
        assert login(driver.client(f"d{number}", "AgentApplication"), agent_id=f"A{number}")["message"] == "EventAck"
    desk = driver.client("late", "AgentApplication")
    assert login(desk, agent_id="LATE")["code"] == 30
    driver.parties[(b"d0", 0)].ask("RequestAgentLogout")
    assert login(desk, agent_id="LATE")["message"] == "EventAck"


@pytest.mark.parametrize(
    ("request_name", "fields", "event", "again"),
    [
        ("RequestAddMedia", {"media_type": "chat"}, "EventMediaAdded", 24),
        ("RequestRemoveMedia", {"media_type": "voice"}, "EventMediaRemoved", 23),
        ("RequestNotReadyForMedia", {"media_type": "voice"}, "EventNotReadyForMedia", 25),
        ("RequestDoNotDisturbOn", {}, "EventDoNotDisturbOn", 25),
    ],
)
def test_a_change_is_reported_once_and_refused_the_second_time(driver, request_name, fields, event, again):
    vicky = driver.agent("VICKY")
    driver.events()
    assert vicky.ask(request_name, **fields)["message"] == "EventAck"
    assert driver.events() == [event]
    assert vicky.told() == ["EventCurrentAgentStatus"]
    assert vicky.ask(request_name, **fields)["code"] == again


def test_ready_and_disturb_come_back(driver):
    vicky = driver.agent("VICKY", voice=0)
    driver.events()
    vicky.ask("RequestCancelNotReadyForMedia", media_type="voice")
    vicky.ask("RequestDoNotDisturbOn")
    vicky.ask("RequestDoNotDisturbOff")
    assert driver.events() == ["EventReadyForMedia", "EventDoNotDisturbOn", "EventDoNotDisturbOff"]


def test_nobody_logged_in_is_a_clear_error(driver):
    desk = driver.client("desk", "AgentApplication")
    assert desk.ask("RequestAgentLogout")["code"] == 22


def test_a_session_with_two_agents_has_to_say_which(driver):
    desk = driver.client("desk", "AgentApplication")
    login(desk, agent_id="A")
    login(desk, agent_id="B")
    assert desk.ask("RequestDoNotDisturbOn")["code"] == 2
    assert desk.ask("RequestDoNotDisturbOn", agent_id="B")["message"] == "EventAck"


def test_an_echo_is_marked_and_the_next_event_counts_it(driver):
    desk = driver.client("desk", "AgentApplication")
    driver.events()
    message = {"message": "RequestAgentLogin", "tenant_id": 101, "agent_id": "VICKY"}
    driver.ask(desk.source, message, ECHO)
    driver.ask(desk.source, {"message": "RequestDoNotDisturbOn"})
    echo, spoken = driver.said
    assert (echo["echo"], spoken.get("echo"), spoken["echoes"]) == (True, None, 1)
    assert spoken["seq"] == echo["seq"] + 1


def test_a_logout_by_the_server_is_an_echo_where_the_login_was(driver):
    desk = driver.client("desk", "AgentApplication")
    driver.ask(desk.source, {"message": "RequestAgentLogin", "tenant_id": 101, "agent_id": "VICKY"}, ECHO)
    driver.events()
    driver.core.lost(driver.now, b"desk")
    driver.settle()
    assert driver.said[-1]["message"] == "EventAgentLogout"
    assert driver.said[-1]["echo"] is True


def test_the_state_is_true_at_its_cursor(driver):
    driver.agent("VICKY")
    reporter = driver.client("stat", "ReportingEngine")
    reply = reporter.ask("RequestStartPlaceAgentStateReportingAll")
    last = driver.said[-1]
    assert [agent["agent_id"] for agent in reply["agents"]] == ["VICKY"]
    assert int(reply["cursor"].split("-")[0]) >= round(last["time"] * 1e6)
    assert json.dumps(reply["queues"]) == "{}"


def test_a_proxy_is_told_for_which_agents_another_node_speaks(driver):
    # given an agent of whom another node speaks
    hello = {"message": "RequestRegisterClient", "client_name": "p1", "client_type": "Proxy", "session_id": "p1.b"}
    desk = {**hello, "client_name": "desk", "client_type": "AgentApplication", "session_id": "p1.b.7"}
    ask = {"message": "RequestStartPlaceAgentStateReportingAll"}
    requests = [(0, 0, hello), (7, 0, desk), (7, ECHO, LOGIN), (0, 0, ask)]
    packed = [PackedRequest(1, client, flags, json.dumps(said).encode()) for client, flags, said in requests]
    # when the proxy itself asks for the state, and when a reporting client does
    driver.core.receive_link(driver.now, b"proxy", PackedRequests(1, packed))
    told = json.loads(driver.core.take(driver.now).replies[-1][2])
    shown = driver.client("report", "ReportingEngine").ask(**ask)
    # then only the proxy sees that the agent's events here are echoes
    assert [agent["echo"] for agent in told["agents"]] == [True]
    assert ["echo" in agent for agent in shown["agents"]] == [False]


def test_a_logout_is_told_to_the_agents_other_connections(driver):
    # given an agent with two applications
    first, second = driver.client("first", "AgentApplication"), driver.client("second", "AgentApplication")
    login(first, agent_id="VICKY")
    login(second, agent_id="VICKY")
    first.told(), second.told()
    # when it logs out at one of them
    second.ask("RequestAgentLogout")
    # then the other one hears of it
    assert (first.told(), second.told()) == (["EventAgentConnectionClosed"], [])


def test_with_a_further_connection_this_node_speaks_for_the_agent_or_not(driver):
    # given an agent of whom another node speaks
    first, second = driver.client("first", "AgentApplication"), driver.client("second", "AgentApplication")
    driver.ask(first.source, LOGIN, ECHO)
    # when it logs in from elsewhere, and this node is to speak
    driver.ask(second.source, LOGIN)
    # then it does
    (agent,) = driver.core.memory.agents.rows.values()
    assert agent.echo is False
