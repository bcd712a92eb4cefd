"""What is held for too long comes back: handling-timeout, routing-timeout, hold and resume, not ready after expiry."""

from __future__ import annotations

import pytest


def handled(driver, **fields):
    media = driver.client("gateway", "MediaServer")
    vicky = driver.agent("VICKY")
    submit = {"tenant_id": 101, "media_type": "voice", "queue": "Inbound", **fields}
    ident = media.ask("RequestSubmit", **submit)["interaction_id"]
    vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    driver.events()
    vicky.told()
    return vicky, ident


def keep_alive(driver, party, minutes):
    """Time passes with Ping alone."""
    for _ in range(minutes):
        driver.wait(60)
        party.ask("RequestPing")


@pytest.mark.parametrize(
    ("user_data", "minutes"),
    [({}, 90), ({"handling-timeout": 5}, 5), ({"handling-timeout": "7"}, 7), ({"handling-timeout": "x"}, 90)],
)
def test_an_agent_that_is_silent_for_too_long_loses_the_interaction(make_driver, user_data, minutes):
    driver = make_driver(keepalive_interval=3600, handling_timeout=90)
    vicky, ident = handled(driver, user_data=user_data)
    driver.wait(minutes * 60 - 1)
    assert driver.events() == []
    driver.wait(2)
    assert driver.events() == ["EventPartyRemoved", "EventPlacedInQueue"]
    assert vicky.told() == ["EventRevoked"]
    assert driver.core.memory.views.by_id["Inbound/all"].head() == ident


def test_a_request_of_the_agent_starts_the_time_anew_and_ping_does_not(make_driver):
    driver = make_driver(handling_timeout=10)
    vicky, ident = handled(driver)
    keep_alive(driver, vicky, 8)
    vicky.ask("RequestUpdateActivity", interaction_id=ident, activity={"Name": "Research"})
    assert driver.events() == ["EventActivityReport"]
    keep_alive(driver, vicky, 8)
    assert driver.events() == []
    keep_alive(driver, vicky, 3)
    assert driver.events() == ["EventPartyRemoved", "EventPlacedInQueue"]


def test_the_media_types_own_time_counts_before_the_servers(make_driver):
    driver = make_driver(keepalive_interval=3600)
    driver.configuration.tenants[101].media_types["voice"].handling_timeout = 2
    handled(driver)
    driver.wait(119)
    assert driver.events() == []
    driver.wait(2)
    assert driver.events() == ["EventPartyRemoved", "EventPlacedInQueue"]


def test_a_strategy_that_keeps_it_for_too_long_loses_it(make_driver):
    driver = make_driver(routing_timeout=20, keepalive_interval=3600)
    media, router = driver.client("gateway", "MediaServer"), driver.client("urs", "RoutingEngine")
    media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")
    router.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    driver.events()
    driver.wait(20 * 60 + 1)
    assert driver.events() == ["EventPartyRemoved", "EventPlacedInQueue"]
    assert router.told() == ["EventAbandoned"]


def test_the_time_goes_on_after_a_failover(make_driver):
    driver = make_driver(handling_timeout=10, keepalive_interval=3600)
    handled(driver)
    after = driver.reopened()
    after.events()
    after.wait(10 * 60 + 1)
    assert "EventPlacedInQueue" in after.events()


@pytest.mark.parametrize("rule", [True, False])
def test_an_expired_invitation_may_make_the_agent_not_ready(make_driver, rule):
    driver = make_driver(not_ready_on_invitation_timeout=rule)
    media, router = driver.client("gateway", "MediaServer"), driver.client("urs", "RoutingEngine")
    vicky = driver.agent("VICKY")
    ident = media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")["interaction_id"]
    router.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    router.ask("RequestDeliver", interaction_id=ident, agent_id="VICKY")
    driver.wait(31)
    assert ("EventNotReadyForMedia" in driver.events()) is rule
    assert ("EventForcedAgentStateChange" in vicky.told()) is rule


def test_what_is_held_stays_out_of_pulls_until_it_is_resumed(driver):
    media, router = driver.client("gateway", "MediaServer"), driver.client("urs", "RoutingEngine")
    ident = media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")["interaction_id"]
    driver.events()
    assert media.ask("RequestHold", interaction_id=ident)["message"] == "EventAck"
    assert media.ask("RequestHold", interaction_id=ident)["code"] == 25
    assert router.ask("RequestPull", tenant_id=101, view_id="Inbound/all")["interactions"] == []
    shown = media.ask("RequestGetInteractionProperties", interaction_id=ident)["interaction"]
    assert (shown["is_held"], shown["held_at"]) == (1, driver.now)
    assert router.ask("RequestResume", interaction_id=ident)["message"] == "EventAck"
    assert driver.events() == ["EventHeld", "EventResumed"]
    assert len(router.ask("RequestPull", tenant_id=101, view_id="Inbound/all")["interactions"]) == 1


def test_when_the_active_one_of_two_agents_leaves_the_silence_of_the_other_counts(make_driver):
    # given two agents with one interaction, of whom one is silent for longer than it may be
    driver = make_driver(handling_timeout=10)
    vicky, ident = handled(driver)
    anat = driver.agent("ANAT")
    driver.ask(vicky.source, {"message": "RequestConference", "interaction_id": ident, "agent_id": "ANAT"})
    anat.ask("RequestAccept", interaction_id=ident, ticket_id=anat.notes[0]["ticket_id"])
    for _ in range(12):
        driver.wait(60)
        vicky.ask("RequestUpdateActivity", interaction_id=ident, activity={"Name": "Research"})
        anat.ask("RequestPing")
    driver.events()
    # when the other one leaves
    vicky.ask("RequestLeaveInteraction", interaction_id=ident)
    driver.wait(0)
    # then the interaction goes back at once
    assert driver.events() == ["EventPartyRemoved", "EventPartyRemoved", "EventPlacedInQueue"]
