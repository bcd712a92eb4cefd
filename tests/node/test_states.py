"""Media types, readiness, do-not-disturb, reasons, and the state of one agent."""

from __future__ import annotations

import pytest

LUNCH = {"reason": 7, "reason_system_name": "Lunch"}
CLERICAL = {"reason_system_name": "Clerical"}


def state(driver, agent="VICKY"):
    name = f"look{len(driver.parties)}"
    return driver.client(name, "Monitor").ask("RequestAgentState", tenant_id=101, agent_id=agent)


def test_a_reason_comes_with_a_change_and_can_be_changed(driver):
    # given an agent that is not ready, and why
    vicky = driver.agent("VICKY")
    vicky.ask("RequestNotReadyForMedia", media_type="voice", reason=LUNCH)
    shown = state(driver)["media_reasons"]
    driver.events(), vicky.told()
    # when only the reason changes
    assert vicky.ask("RequestChangeMediaStateReason", media_type="voice", reason=CLERICAL)["message"] == "EventAck"
    # then it is reported, the application is told, and the state is the same
    (event,) = driver.said
    assert event["message"] == "EventMediaStateReasonChanged"
    assert event["agent"]["media_type"] == "voice"
    assert (event["reason"], event["agent"]["media_reasons"], event["agent"]["media"]) == (
        CLERICAL,
        {"voice": CLERICAL},
        {"voice": 0},
    )
    assert vicky.told() == ["EventCurrentAgentStatus"]
    assert (shown, state(driver)["media_reasons"]) == ({"voice": LUNCH}, {"voice": CLERICAL})


def test_a_change_without_a_reason_has_none(driver):
    # given an agent that is not ready, and why
    vicky = driver.agent("VICKY")
    vicky.ask("RequestNotReadyForMedia", media_type="voice", reason=LUNCH)
    # when it is ready again, and does not say why
    vicky.ask("RequestCancelNotReadyForMedia", media_type="voice")
    # then no reason is left
    assert "media_reasons" not in state(driver)


def test_the_reason_of_the_agent_itself(driver):
    # given an agent that has said why it logs in
    desk = driver.client("desk", "AgentApplication")
    desk.ask("RequestAgentLogin", tenant_id=101, agent_id="VICKY", reason=CLERICAL)
    shown = [state(driver)["state_reason"]]
    driver.events()
    # when it changes the reason, and then does not want to be disturbed
    desk.ask("RequestChangeAgentStateReason", reason=LUNCH)
    shown.append(state(driver)["state_reason"])
    desk.ask("RequestDoNotDisturbOn", reason=CLERICAL)
    shown.append(state(driver)["state_reason"])
    # then each is the reason of its state from then on
    assert driver.events() == ["EventAgentStateReasonChanged", "EventDoNotDisturbOn"]
    assert shown == [CLERICAL, LUNCH, CLERICAL]


@pytest.mark.parametrize(
    ("request_name", "fields", "code"),
    [
        ("RequestChangeMediaStateReason", {"media_type": "email"}, 23),
        ("RequestChangeMediaStateReason", {"media_type": "voice", "reason": "x" * 2000}, 3),
        ("RequestChangeAgentStateReason", {"reason": ["x" * 2000]}, 3),
        ("RequestChangeAgentStateReason", {"agent_id": "ANAT"}, 22),
    ],
)
def test_a_reason_that_cannot_be_kept_is_refused(driver, request_name, fields, code):
    vicky = driver.agent("VICKY")
    assert vicky.ask(request_name, **fields)["code"] == code
    assert "media_reasons" not in state(driver)


def test_states_and_reasons_outlast_a_failover(driver):
    # given an agent with all kinds of states
    vicky = driver.agent("VICKY", voice=1, email=0)
    vicky.ask("RequestChangeMediaStateReason", media_type="email", reason=LUNCH)
    vicky.ask("RequestDoNotDisturbOn", reason=CLERICAL)
    vicky.ask("RequestAddMedia", media_type="chat", state=0)
    # when the pair fails over
    before, after = state(driver), state(driver.reopened())
    # then they are as they were
    assert after == before
    assert after["media_state_list"] == {"voice": 1, "email": 0, "chat": 0}
    assert (after["media_reasons"], after["state_reason"], after["donot_disturb"]) == ({"email": LUNCH}, CLERICAL, True)


def test_the_state_counts_what_the_agent_does(driver):
    # given an agent that handles two, one of them on hold, and is invited to a third
    media, router, vicky = (
        driver.client("mail", "MediaServer"),
        driver.client("urs", "RoutingEngine"),
        driver.agent("VICKY", voice=1, email=1),
    )
    idents = [
        media.ask("RequestSubmit", tenant_id=101, media_type=name, queue="Inbound")["interaction_id"]
        for name in ("voice", "email", "email")
    ]
    vicky.ask("RequestPull", tenant_id=101, view_id="_system_", pull_parameters={"interaction_ids": idents[:2]})
    media.ask("RequestHold", interaction_id=idents[1])
    router.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    router.ask("RequestDeliver", interaction_id=idents[2], agent_id="VICKY")
    # when its state is asked for
    shown = vicky.ask("RequestAgentState")
    # then it says so
    assert shown["message"] == "EventAgentState"
    assert (shown["handled"], shown["held"], shown["invited"]) == ({"voice": 1}, {"email": 1}, {"email": 1})
    assert (shown["connections"], shown["login_at"] > 1_789_999_999) == (1, True)


def test_who_may_ask_for_whose_state(driver):
    # given an agent of one tenant
    driver.agent("VICKY")
    stranger = driver.client("shop", "Monitor", tenants=[102])
    engine = driver.client("urs", "RoutingEngine")
    # when others ask
    codes = [
        stranger.ask("RequestAgentState", agent_id="VICKY")["code"],
        stranger.ask("RequestAgentState", tenant_id=101, agent_id="VICKY")["code"],
        engine.ask("RequestAgentState", agent_id="VICKY", place_id="P9")["code"],
        engine.ask("RequestAgentState")["code"],
    ]
    # then another tenant's agent is as if it were not there, and an engine has to name one
    assert codes == [22, 10, 22, 2]
    assert engine.ask("RequestAgentState", agent_id="VICKY")["agent_id"] == "VICKY"


def test_an_invitation_that_expires_makes_not_ready_where_that_is_set(make_driver):
    # given a node that does so, and an agent that is invited
    driver = make_driver(not_ready_on_invitation_timeout=True)
    media, router, vicky = (
        driver.client("mail", "MediaServer"),
        driver.client("urs", "RoutingEngine"),
        driver.agent("VICKY"),
    )
    ident = media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")["interaction_id"]
    router.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    router.ask("RequestDeliver", interaction_id=ident, agent_id="VICKY", timeout=5)
    driver.events(), vicky.told()
    # when it does not answer
    driver.wait(6)
    # then it is not ready, its application is told, and the reason is kept
    assert driver.events()[-1] == "EventNotReadyForMedia"
    (change,) = [note for note in vicky.notes if note["message"] == "EventForcedAgentStateChange"]
    assert (change["media_type"], change["media_state_list"], change["reason"]) == (
        "voice",
        {"voice": 0},
        "InvitationExpired",
    )
    assert state(driver)["media_reasons"] == {"voice": {"reason_system_name": "InvitationExpired"}}


def test_an_agent_that_comes_back_has_the_reasons_of_its_login(driver):
    # given an agent with reasons, whose client has vanished
    vicky = driver.agent("VICKY", voice=0)
    vicky.ask("RequestChangeMediaStateReason", media_type="voice", reason=LUNCH)
    driver.core.lost(driver.now, b"VICKY")
    driver.settle()
    driver.events()
    # when it logs in again as it was
    desk = driver.client("desk", "AgentApplication")
    desk.ask("RequestAgentLogin", tenant_id=101, agent_id="VICKY", media_list={"voice": 0}, reason=CLERICAL)
    # then reporting hears that its reasons are others
    assert driver.events() == ["EventMediaStateReasonChanged", "EventAgentStateReasonChanged"]
    assert "media_reasons" not in state(driver)


def test_the_board_of_a_reporting_client_shows_reasons(driver):
    # given an agent with reasons
    vicky = driver.agent("VICKY")
    vicky.ask("RequestNotReadyForMedia", media_type="voice", reason=LUNCH)
    # when a reporting client asks for all agents
    reply = driver.client("stat", "ReportingEngine").ask("RequestStartPlaceAgentStateReportingAll")
    # then it sees them
    assert reply["agents"][0]["media_reasons"] == {"voice": LUNCH}
