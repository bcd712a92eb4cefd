"""Deliver, accept, reject, expire: every message to every party, in order."""

import pytest


@pytest.fixture
def scene(driver):
    """A routing engine that holds one interaction, and an agent that is ready."""
    media = driver.client("gateway", "MediaServer")
    router = driver.client("urs", "RoutingEngine")
    vicky = driver.agent("VICKY")
    ident = media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")["interaction_id"]
    router.ask("RequestPull", tenant_id=101, view_id="_system_", pull_parameters={"interaction_ids": [ident]})
    driver.events()
    return driver, media, router, vicky, ident


def deliver(router, ident, agent="VICKY", **fields):
    return router.ask("RequestDeliver", interaction_id=ident, agent_id=agent, **fields)


def test_the_event_of_an_acceptance_says_from_which_state_it_was(scene):
    # given an interaction that a strategy has offered to an agent
    driver, _, router, vicky, ident = scene
    deliver(router, ident)
    driver.said.clear()
    # when the agent accepts
    vicky.ask("RequestAccept", interaction_id=ident, ticket_id=vicky.notes[0]["ticket_id"])
    # then a reader that knows nothing of the interaction can count it out of the one state and into the other
    (added,) = driver.said
    assert (added["old_queue"], added["old_state"], added["interaction"]["interaction_state"]) == ("Inbound", 2, 3)


def test_deliver_and_accept(scene):
    driver, _, router, vicky, ident = scene
    assert deliver(router, ident)["message"] == "EventAck"
    assert driver.events() == ["EventAgentInvited", "EventPartyRemoved"]
    (invite,) = vicky.notes
    assert (invite["message"], invite["interaction"]["interaction_id"]) == ("EventInvite", ident)
    vicky.ask("RequestAccept", interaction_id=ident, ticket_id=invite["ticket_id"])
    assert driver.events() == ["EventPartyAdded"]
    shown = vicky.ask("RequestGetInteractionProperties", interaction_id=ident)["interaction"]
    assert (shown["interaction_state"], shown["assigned_to"]) == (3, "VICKY")
    assert vicky.ask("RequestAccept", interaction_id=ident, ticket_id=invite["ticket_id"])["code"] == 47
    assert vicky.ask("RequestStopProcessing", interaction_id=ident)["message"] == "EventAck"
    assert driver.events() == ["EventPartyRemoved", "EventProcessingStopped"]


def test_reject_returns_it_to_its_queue(scene):
    driver, _, router, vicky, ident = scene
    deliver(router, ident)
    driver.events()
    ticket = vicky.notes[0]["ticket_id"]
    vicky.ask("RequestReject", interaction_id=ident, ticket_id=ticket)
    assert driver.events() == ["EventRejected", "EventPlacedInQueue"]
    assert router.told() == ["EventAbandoned"]
    assert driver.core.memory.views.by_id["Inbound/all"].head() == ident
    assert vicky.ask("RequestAccept", interaction_id=ident, ticket_id=ticket)["code"] == 48


def test_an_invitation_expires_after_the_delivering_timeout(scene):
    driver, _, router, vicky, ident = scene
    deliver(router, ident)
    vicky.told()
    driver.events()
    driver.wait(29.9)
    assert driver.events() == []
    driver.wait(0.2)
    assert driver.events() == ["EventRevoked", "EventPlacedInQueue"]
    assert vicky.told() == ["EventRevoked"]
    assert router.told() == ["EventAbandoned"]


def test_deliver_takes_its_own_timeout(scene):
    driver, _, router, _, ident = scene
    deliver(router, ident, timeout=2)
    driver.events()
    driver.wait(2.1)
    assert "EventRevoked" in driver.events()


@pytest.mark.parametrize("spoil", ["RequestDoNotDisturbOn", "RequestNotReadyForMedia", "RequestAgentLogout"])
def test_a_target_that_cannot_be_invited_is_refused_and_the_strategy_keeps_it(scene, spoil):
    _, _, router, vicky, ident = scene
    vicky.ask(spoil, **({"media_type": "voice"} if "Media" in spoil else {}))
    assert deliver(router, ident)["code"] == 49
    assert router.ask("RequestStopProcessing", interaction_id=ident)["message"] == "EventAck"


def test_only_the_strategy_that_holds_it_may_deliver(scene):
    driver, _, router, _, ident = scene
    other = driver.client("urs2", "RoutingEngine")
    assert deliver(other, ident)["code"] == 40
    deliver(router, ident)
    assert deliver(router, ident)["code"] == 40


def test_the_invited_agent_leaving_returns_it(scene):
    driver, _, router, vicky, ident = scene
    deliver(router, ident)
    driver.events()
    vicky.ask("RequestAgentLogout")
    assert driver.events() == ["EventRevoked", "EventPlacedInQueue", "EventAgentLogout"]


def test_stop_while_invited_revokes_the_invitation(scene):
    driver, media, router, vicky, ident = scene
    deliver(router, ident)
    vicky.told()
    driver.events()
    media.ask("RequestStopProcessing", interaction_id=ident)
    assert driver.events() == ["EventRevoked", "EventProcessingStopped"]
    assert vicky.told() == ["EventRevoked"]
    driver.wait(60)
    assert driver.events() == []


def test_a_routing_engine_that_leaves_returns_what_it_held(scene):
    driver, _, router, _, ident = scene
    router.ask("RequestUnregisterClient")
    assert driver.events() == ["EventPartyRemoved", "EventPlacedInQueue"]
    assert driver.core.memory.views.by_id["Inbound/all"].head() == ident
