"""Custom events: about an interaction, an agent or neither; any client's."""

from __future__ import annotations

import pytest

from broker.messages.kinds import ClientType

BODY = {"Step": "archived"}


@pytest.fixture
def media(driver):
    return driver.client("gateway", "MediaServer")


def said(driver, party, name="RequestDistributeEvent", **fields):
    """The one event that a custom event's request has caused."""
    driver.events()
    reply = party.ask(name, **{"tenant_id": 101, "event_id": 7, "body": BODY, **fields})
    assert reply["message"] == "EventAck", reply
    (event,) = driver.said
    assert event["message"] == "EventCustomReporting"
    return event


@pytest.mark.parametrize("name", ["RequestDistributeEvent", "RequestDistributeUserEvent"])
def test_about_nothing_in_particular(driver, media, name):
    """Given a client, when it distributes an event, by either name, then reporting has it as it came."""
    event = said(driver, media, name, media_type="voice", reason={"reason_system_name": "Batch"})
    assert event["body"] == {"event_id": 7, "activity": "custom", "media_type": "voice", "content": BODY}
    assert (event["cause"], event["actor"]["client_name"]) == (name, "gateway")
    assert event["reason"] == {"reason_system_name": "Batch"}
    assert not {"interaction", "agent", "party"} & event.keys()


def test_about_an_interaction(driver, media):
    """Given an interaction that another client holds, when an event is distributed about it, then it is shown in it."""
    vicky = driver.agent("VICKY")
    ident = media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")["interaction_id"]
    vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    event = said(driver, driver.client("crm", "Monitor"), interaction_id=ident, agent_id="VICKY")
    assert event["body"]["activity"] == "interaction"
    assert (event["interaction"]["interaction_id"], event["interaction"]["interaction_state"]) == (ident, 3)
    assert event["party"] == {"type": 2, "agent_id": "VICKY"}


@pytest.mark.parametrize("who", [{"agent_id": "VICKY"}, {"place_id": "P1"}, {"agent_id": "NOBODY", "place_id": "P1"}])
def test_about_an_agent_or_place(driver, media, who):
    """Given an agent that may be logged in or not, when an event is distributed about it, then it is its party, and
    says nothing of the agent's state."""
    driver.agent("VICKY")
    event = said(driver, media, **who)
    assert (event["body"]["activity"], event["party"]) == ("agent", {"type": 2, **who})
    assert "agent" not in event


@pytest.mark.parametrize("kind", list(ClientType))
def test_any_client_may(driver, kind):
    assert said(driver, driver.client("any", kind.value))


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"tenant_id": 9}, 10), ({"media_type": "pigeon"}, 12), ({"interaction_id": "nobody"}, 43), ({"event_id": -1}, 3)],
)
def test_refused(driver, media, fields, code):
    driver.events()
    assert media.ask("RequestDistributeEvent", **{"tenant_id": 101, "event_id": 7, **fields})["code"] == code
    assert driver.events() == []


def test_an_interaction_of_another_tenant(driver, media):
    ident = media.ask("RequestSubmit", tenant_id=102, media_type="voice", queue="Shop")["interaction_id"]
    assert media.ask("RequestDistributeEvent", tenant_id=101, event_id=7, interaction_id=ident)["code"] == 43
