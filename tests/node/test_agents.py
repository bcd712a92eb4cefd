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


def test_a_refusal_names_the_field_that_the_request_has(driver):
    """Given a logged-in agent and its place; when requests are wrong; then each refusal names its own field."""
    desk, other = driver.client("desk", "AgentApplication"), driver.client("other", "AgentApplication")
    login(desk, agent_id="VICKY", place_id="P7")
    assert login(desk, agent_id="BOB", media_list={"smoke": 1})["field"] == "media_list"
    assert desk.ask("RequestAddMedia", media_type="smoke")["field"] == "media_type"
    assert login(other, agent_id="BOB", place_id="P7")["field"] == "place_id"
    assert login(other, agent_id="VICKY", place_id="P8")["field"] == "place_id"


def test_who_acts_for_an_agent_that_another_client_has_logged_in_is_told_so(driver):
    """Given an agent of one client; when another acts for it, or for none; then the text is not that it is nowhere."""
    desk, other = driver.client("desk", "AgentApplication"), driver.client("other", "AgentApplication")
    login(desk, agent_id="VICKY")
    reply = other.ask("RequestDoNotDisturbOn", agent_id="VICKY")
    assert (reply["code"], reply["detail"]) == (22, "this client has not logged VICKY in")
    assert other.ask("RequestAgentLogout")["detail"] == "this client has not logged any agent in"


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


def test_a_logout_by_the_server_is_an_echo_where_the_login_was(make_driver):
    driver = make_driver(login_session_timeout=0)
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


def test_a_place_alone_is_the_party(driver):
    # given a place without an agent that is delivered to
    media, router = driver.client("mail", "MediaServer"), driver.client("urs", "RoutingEngine")
    desk = driver.client("desk", "AgentApplication")
    login(desk, place_id="P7")
    ident = media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")["interaction_id"]
    router.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    router.ask("RequestDeliver", interaction_id=ident, place_id="P7")
    (ticket,) = [note["ticket_id"] for note in desk.notes if note["message"] == "EventInvite"]
    # when it accepts
    desk.ask("RequestAccept", interaction_id=ident, ticket_id=ticket)
    # then the place handles it
    assert driver.said[-1]["party"] == {"type": 2, "place_id": "P7"}
    shown = media.ask("RequestGetInteractionProperties", interaction_id=ident)["interaction"]
    assert shown["assigned_to"] == "P7"


def test_an_ignored_place_may_still_be_named(make_driver):
    # given a node that puts the agent's id for its place
    driver = make_driver(agent_login_control="ignore")
    desk = driver.client("a", "AgentApplication")
    login(desk, agent_id="VICKY", place_id="P7")
    # when the agent's application goes on naming the place, and another agent logs in there
    named = desk.ask("RequestDoNotDisturbOn", agent_id="VICKY", place_id="P7")
    other = login(driver.client("b", "AgentApplication"), agent_id="ANAT", place_id="P7")
    # then both are served
    assert (named["message"], other["message"]) == ("EventAck", "EventAck")


# -- clients that vanish


class Vanished:
    """VICKY at P7 handles one interaction, is invited to another, and then nothing more is heard of her client."""

    def __init__(self, driver):
        self.driver = driver
        self.media, router = driver.client("mail", "MediaServer"), driver.client("urs", "RoutingEngine")
        self.desk = driver.client("VICKY", "AgentApplication")
        login(self.desk, agent_id="VICKY", place_id="P7", media_list={"voice": 1, "email": 0})
        self.session = driver.core.sessions.by_source[self.desk.source].session_id
        for _ in range(2):
            self.media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")
        self.desk.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
        (offered,) = router.ask("RequestPull", tenant_id=101, view_id="Inbound/all")["interactions"]
        router.ask("RequestDeliver", interaction_id=offered["interaction_id"], agent_id="VICKY")
        (row,) = driver.core.memory.agents.rows.values()
        self.logged_in = row.session
        driver.events()
        driver.core.lost(driver.now, b"VICKY")
        driver.settle()

    def state(self):
        return self.driver.client("look", "Monitor").ask("RequestAgentState", agent_id="VICKY")


def test_a_vanished_agent_stays_logged_in_and_gives_back_what_it_had(driver):
    # given an agent that handles and is invited; when its client vanishes
    scene = Vanished(driver)
    # then all goes back, it takes nothing new, and it is still logged in
    assert driver.events() == [
        "EventRevoked", "EventPlacedInQueue", "EventPartyRemoved", "EventPlacedInQueue", "EventNotReadyForMedia"
    ]  # fmt: skip
    state = scene.state()
    assert (state.get("connections"), state["media_state_list"]) == (None, {"voice": 0, "email": 0})
    assert state["media_reasons"] == {"voice": {"reason_system_name": "ConnectionLost"}}
    assert state["session"] == scene.logged_in


def test_a_vanished_agent_is_logged_out_after_the_login_session_timeout(make_driver):
    # given a vanished agent, and a timeout of three minutes; the pair fails over after one
    scene = Vanished(make_driver(login_session_timeout=3))
    scene.driver.wait(60)
    driver = scene.driver.reopened()
    driver.events()
    # when the others have passed
    driver.wait(119)
    before = driver.events()
    driver.wait(2)
    # then it is logged out
    assert "EventAgentLogout" not in before
    assert [(event["message"], event.get("reason")) for event in driver.said] == [
        ("EventAgentLogout", {"reason_system_name": "LoginSessionTimeout"})
    ]


def test_a_timeout_of_nought_logs_out_at_once(make_driver):
    # given no patience; when an agent's client vanishes
    scene = Vanished(make_driver(login_session_timeout=0))
    # then it is logged out
    assert scene.driver.events()[-1] == "EventAgentLogout"


def test_a_vanished_agent_that_logs_in_again_goes_on_with_its_session(driver):
    # given a vanished agent
    scene = Vanished(driver)
    driver.events()
    # when it logs in from another client, with other media types
    again = driver.client("new", "AgentApplication")
    reply = login(again, agent_id="VICKY", place_id="P7", media_list={"voice": 1, "chat": 0})
    # then its session is the old one, its media types are the new ones, and each difference is reported
    assert reply["message"] == "EventAck"
    said = [(event["message"], event["agent"].get("media_type"), event["agent"]["session"]) for event in driver.said]
    assert said == [
        ("EventMediaRemoved", "email", scene.logged_in),
        ("EventReadyForMedia", "voice", scene.logged_in),
        ("EventMediaAdded", "chat", scene.logged_in),
    ]
    assert again.notes[-1]["media_state_list"] == {"voice": 1, "chat": 0}
    driver.wait(1440 * 60 + 60)
    assert "LoginSessionTimeout" not in json.dumps(driver.said)


def test_the_differences_are_said_by_the_node_that_has_spoken_so_far(driver):
    # given a vanished agent that this node has spoken for, and one that it has not
    said = {}
    for agent, flags, later in (("VICKY", 0, ECHO), ("ANAT", ECHO, 0)):
        desk, back = driver.client(f"{agent}1", "AgentApplication"), driver.client(f"{agent}2", "AgentApplication")
        message = {**LOGIN, "agent_id": agent, "media_list": {"voice": 1}}
        driver.ask(desk.source, message, flags)
        driver.core.lost(driver.now, desk.source[0])
        driver.settle()
        driver.events()
        # when the login that brings it back says the opposite
        driver.ask(back.source, message, later)
        driver.ask(back.source, {"message": "RequestDoNotDisturbOn"}, later)
        said[agent] = [(event["message"], event.get("echo", False)) for event in driver.said]
    # then that holds for what comes after the return
    assert said == {
        "VICKY": [("EventReadyForMedia", False), ("EventDoNotDisturbOn", True)],
        "ANAT": [("EventReadyForMedia", True), ("EventDoNotDisturbOn", False)],
    }


def test_a_vanished_client_that_comes_back_with_its_session_has_its_agent(driver):
    # given a vanished agent
    scene = Vanished(driver)
    # when its client registers with the same session
    back = driver.client("VICKY", "AgentApplication", session_id=scene.session)
    # then the agent is there, and told that it is not ready
    assert back.notes[-1]["message"] == "EventCurrentAgentStatus"
    assert back.notes[-1]["media_state_list"] == {"voice": 0, "email": 0}
    assert back.ask("RequestCancelNotReadyForMedia", media_type="voice")["message"] == "EventAck"


@pytest.mark.parametrize("fields", [{"agent_id": "ANAT", "place_id": "P7"}, {"agent_id": "VICKY", "place_id": "P8"}])
def test_a_vanished_agent_gives_way(driver, fields):
    # given a vanished agent at a place
    Vanished(driver)
    driver.events()
    # when somebody logs in there, or the agent itself at another place
    reply = login(driver.client("new", "AgentApplication"), **fields)
    # then the vanished session ends
    assert reply["message"] == "EventAck"
    assert driver.events() == ["EventAgentLogout", "EventAgentLogin"]


def test_a_vanished_agent_keeps_its_seat(make_driver):
    # given one seat, and a vanished agent on it
    def one_seat(configuration):
        configuration.nodes["n1"].licenses = {"ics_multi_media_agent_seat": 1}

    driver = make_driver(one_seat)
    Vanished(driver)
    # when another agent logs in elsewhere, and then at its place
    elsewhere = login(driver.client("new", "AgentApplication"), agent_id="ANAT", place_id="P9")
    there = login(driver.client("new2", "AgentApplication"), agent_id="ANAT", place_id="P7")
    # then only the second has a seat
    assert (elsewhere.get("code"), there["message"]) == (30, "EventAck")


def test_an_agent_with_another_connection_goes_on(driver):
    # given an agent with two clients
    first, second = driver.client("a", "AgentApplication"), driver.client("b", "AgentApplication")
    for desk in (first, second):
        login(desk, agent_id="VICKY")
    driver.events()
    # when one vanishes
    driver.core.lost(driver.now, b"a")
    driver.settle()
    # then nothing is reported, and the other one is told of changes
    assert driver.events() == []
    second.told()
    assert second.ask("RequestDoNotDisturbOn")["message"] == "EventAck"
    assert second.told() == ["EventCurrentAgentStatus"]


def test_a_client_that_a_proxy_says_has_vanished(driver):
    # given two agents of a proxy's clients
    hello = {"message": "RequestRegisterClient", "client_name": "p1", "client_type": "Proxy", "session_id": "p1.b"}
    entries = [PackedRequest(1, 0, 0, json.dumps(hello).encode())]
    for client, agent in ((7, "VICKY"), (8, "ANAT")):
        desk = {**hello, "client_name": agent, "client_type": "AgentApplication", "session_id": f"p1.b.{client}"}
        said = [desk, {**LOGIN, "agent_id": agent, "media_list": {"voice": 1}}]
        entries += [PackedRequest(client * 10 + at, client, 0, json.dumps(one).encode()) for at, one in enumerate(said)]
    # when one of these has vanished, and the other one has said that it goes
    for client, fields in ((7, {"vanished": True}), (8, {})):
        said = {"message": "RequestUnregisterClient", **fields}
        entries.append(PackedRequest(client * 100, client, 0, json.dumps(said).encode()))
    driver.core.receive_link(driver.now, b"proxy", PackedRequests(1, entries))
    said = [json.loads(event.payload) for event in driver.core.take(driver.now).events.events]
    # then only the other one is logged out
    assert [(one["message"], one["agent"]["agent_id"]) for one in said if "agent" in one][2:] == [
        ("EventNotReadyForMedia", "VICKY"),
        ("EventAgentLogout", "ANAT"),
    ]


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


def test_a_client_that_has_vanished_and_then_says_that_it_goes(driver):
    # given an agent of a proxy's client, of which nothing was heard any more
    hello = {"message": "RequestRegisterClient", "client_name": "p1", "client_type": "Proxy", "session_id": "p1.b"}
    desk = {**hello, "client_name": "VICKY", "client_type": "AgentApplication", "session_id": "p1.b.7"}
    gone, goes = ({"message": "RequestUnregisterClient", "vanished": vanished} for vanished in (True, False))
    # when the proxy brings it back only to say that it goes
    said = [(0, hello), *((7, one) for one in (desk, LOGIN, gone, desk, goes))]
    entries = [PackedRequest(at + 1, client, 0, json.dumps(one).encode()) for at, (client, one) in enumerate(said)]
    driver.core.receive_link(driver.now, b"proxy", PackedRequests(1, entries))
    events = [json.loads(event.payload)["message"] for event in driver.core.take(driver.now).events.events]
    # then it is logged out
    assert events == ["EventAgentLogin", "EventAgentLogout"]
