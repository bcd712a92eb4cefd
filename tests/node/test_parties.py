"""Transfer, conference, intrude, leave: every message to every party, in order; the acks that wait."""

from __future__ import annotations

import json

import pytest

from broker.wire import RESENT, PackedRequest, PackedRequests


@pytest.fixture
def scene(driver):
    """VICKY handles an interaction that came through Inbound; ANAT is ready."""
    media = driver.client("gateway", "MediaServer")
    vicky, anat = driver.agent("VICKY"), driver.agent("ANAT")
    ident = media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")["interaction_id"]
    vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    driver.events()
    return driver, vicky, anat, ident


def offer(driver, party, request, **fields):
    """Sends a request whose reply waits; returns its reference."""
    assert driver.ask(party.source, {"message": request, **fields}) is None
    return str(driver._refs).encode()


def holders(driver, ident):
    row = driver.core.memory.holdings.get(ident)
    return [holder.party.agent_id for holder in row.holders] if row else None


def test_a_transfer_is_acked_when_the_other_agent_accepts(scene):
    driver, vicky, anat, ident = scene
    ref = offer(driver, vicky, "RequestTransfer", interaction_id=ident, agent_id="ANAT")
    assert driver.events() == ["EventAgentInvited"]
    assert holders(driver, ident) == ["VICKY"]
    (invite,) = anat.notes
    anat.ask("RequestAccept", interaction_id=ident, ticket_id=invite["ticket_id"])
    assert driver.late.pop(ref)["message"] == "EventAck"
    assert driver.events() == ["EventPartyAdded", "EventPartyRemoved"]
    assert holders(driver, ident) == ["ANAT"]
    assert vicky.ask("RequestStopProcessing", interaction_id=ident)["code"] == 40
    assert anat.ask("RequestStopProcessing", interaction_id=ident, token=invite["token"])["message"] == "EventAck"


@pytest.mark.parametrize(("answer", "code"), [("reject", 50), ("silence", 51)])
def test_a_transfer_that_is_not_accepted_is_an_error_and_changes_nothing(scene, answer, code):
    driver, vicky, anat, ident = scene
    ref = offer(driver, vicky, "RequestTransfer", interaction_id=ident, agent_id="ANAT")
    if answer == "reject":
        anat.ask("RequestReject", interaction_id=ident, ticket_id=anat.notes[0]["ticket_id"])
    else:
        driver.wait(31)
    assert driver.late.pop(ref)["code"] == code
    assert holders(driver, ident) == ["VICKY"]
    assert driver.events() == ["EventAgentInvited", "EventRejected" if answer == "reject" else "EventRevoked"]


def test_a_conference_has_two_parties_and_each_may_act(scene):
    driver, vicky, anat, ident = scene
    ref = offer(driver, vicky, "RequestConference", interaction_id=ident, agent_id="ANAT", visibility_mode=1)
    vicky.told()
    anat.ask("RequestAccept", interaction_id=ident, ticket_id=anat.notes[0]["ticket_id"])
    assert driver.late.pop(ref)["message"] == "EventAck"
    assert vicky.told() == ["EventPartyAdded"]
    assert holders(driver, ident) == ["VICKY", "ANAT"]
    assert anat.ask("RequestChangeProperties", interaction_id=ident, added_properties={"a": 1})["message"] == "EventAck"
    assert vicky.told() == ["EventPropertiesChanged"]


def test_the_last_party_that_leaves_returns_the_interaction(scene):
    driver, vicky, anat, ident = scene
    offer(driver, vicky, "RequestConference", interaction_id=ident, agent_id="ANAT")
    anat.ask("RequestAccept", interaction_id=ident, ticket_id=anat.notes[0]["ticket_id"])
    driver.events()
    vicky.ask("RequestLeaveInteraction", interaction_id=ident)
    assert driver.events() == ["EventPartyRemoved"]
    assert "EventPartyRemoved" in anat.told()
    assert holders(driver, ident) == ["ANAT"]
    anat.ask("RequestLeaveInteraction", interaction_id=ident)
    assert driver.events() == ["EventPartyRemoved", "EventPlacedInQueue"]
    assert driver.core.memory.views.by_id["Inbound/all"].head() == ident


def test_an_intruder_is_invited_itself_and_has_two_acks(scene):
    driver, vicky, anat, ident = scene
    ref = offer(driver, anat, "RequestIntrude", interaction_id=ident)
    (invite,) = anat.notes
    assert anat.ask("RequestAccept", interaction_id=ident, ticket_id=invite["ticket_id"])["message"] == "EventAck"
    assert driver.late.pop(ref)["message"] == "EventAck"
    assert holders(driver, ident) == ["VICKY", "ANAT"]


@pytest.mark.parametrize(
    ("request_name", "fields", "code"),
    [
        ("RequestTransfer", {"agent_id": "NOBODY"}, 49),
        ("RequestTransfer", {}, 2),
        ("RequestTransfer", {"agent_id": "VICKY"}, 49),
        ("RequestTransfer", {"agent_id": "ANAT", "visibility_mode": 9}, 3),
        ("RequestIntrude", {}, 49),
    ],
)
def test_an_offer_that_cannot_be_made_is_refused_at_once(scene, request_name, fields, code):
    driver, vicky, _, ident = scene
    assert vicky.ask(request_name, interaction_id=ident, **fields)["code"] == code
    assert holders(driver, ident) == ["VICKY"]
    assert driver.events() == []


def test_stop_during_a_transfer_withdraws_the_invitation(scene):
    driver, vicky, anat, ident = scene
    ref = offer(driver, vicky, "RequestTransfer", interaction_id=ident, agent_id="ANAT")
    anat.told()
    vicky.ask("RequestStopProcessing", interaction_id=ident)
    assert driver.late.pop(ref)["code"] == 46
    assert anat.told() == ["EventRevoked"]
    assert not driver.core.memory.invitations.rows


def test_the_asking_agent_leaving_during_a_transfer_returns_the_interaction(scene):
    driver, vicky, anat, ident = scene
    offer(driver, vicky, "RequestTransfer", interaction_id=ident, agent_id="ANAT")
    driver.events()
    vicky.ask("RequestAgentLogout")
    assert holders(driver, ident) is None
    assert driver.core.memory.views.by_id["Inbound/all"].head() == ident
    assert not driver.core.memory.invitations.rows
    driver.wait(60)


HELLO = {"message": "RequestRegisterClient", "client_name": "p1", "client_type": "Proxy", "session_id": "p1.b"}


def client(number, name):
    return {
        "message": "RequestRegisterClient",
        "client_name": name,
        "client_type": "AgentApplication",
        "session_id": f"p1.b.{number}",
    }


def link(driver, *requests):
    for source in [(b"proxy", 0), (b"proxy", 1), (b"proxy", 2)]:
        driver.parties.setdefault(source, driver.stranger(source[0].decode() + str(source[1])))
    packed = [
        PackedRequest(number, who, flags, json.dumps(message).encode()) for number, who, flags, message in requests
    ]
    driver.core.receive_link(driver.now, b"proxy", PackedRequests(0, packed))
    driver.settle()
    return {ref: driver.late.pop(ref) for ref in list(driver.late)}


def test_a_transfer_that_waits_goes_on_waiting_after_a_failover(driver):
    """Given a transfer through a proxy that waits for the invited agent, when the pair fails over and the proxy sends
    it again, then it is not made twice, and is acked when the agent accepts."""
    link(driver, (1, 0, 0, HELLO), (2, 1, 0, client(1, "a")), (3, 2, 0, client(2, "b")))
    for number, who, agent in ((4, 1, "VICKY"), (5, 2, "ANAT")):
        login = {"message": "RequestAgentLogin", "tenant_id": 101, "agent_id": agent, "media_list": {"voice": 1}}
        link(driver, (number, who, 0, login))
    submit = {"message": "RequestSubmit", "tenant_id": 101, "media_type": "voice", "queue": "Inbound"}
    ident = link(driver, (6, 1, 0, submit))[6]["interaction_id"]
    transfer = {"message": "RequestTransfer", "interaction_id": ident, "agent_id": "ANAT", "timeout": 600}
    assert link(driver, (7, 1, 0, transfer)) == {}
    (ticket,) = driver.core.memory.invitations.rows

    after = driver.reopened()
    link(after, (1, 0, 0, HELLO), (2, 1, 0, client(1, "a")), (3, 2, 0, client(2, "b")))
    assert link(after, (7, 1, RESENT, transfer)) == {}
    assert list(after.core.memory.invitations.rows) == [ticket]
    accept = {"message": "RequestAccept", "interaction_id": ident, "ticket_id": int(ticket)}
    replies = link(after, (8, 2, 0, accept))
    assert {ref: reply["message"] for ref, reply in replies.items()} == {7: "EventAck", 8: "EventAck"}


def test_an_accept_before_the_transfer_is_sent_again_is_not_forgotten(driver):
    """Given a failover during a transfer, when the agent accepts before the proxy has sent the transfer again, then the
    proxy still gets its ack, and the transfer happens once."""
    link(driver, (1, 0, 0, HELLO), (2, 1, 0, client(1, "a")), (3, 2, 0, client(2, "b")))
    for number, who, agent in ((4, 1, "VICKY"), (5, 2, "ANAT")):
        login = {"message": "RequestAgentLogin", "tenant_id": 101, "agent_id": agent, "media_list": {"voice": 1}}
        link(driver, (number, who, 0, login))
    submit = {"message": "RequestSubmit", "tenant_id": 101, "media_type": "voice", "queue": "Inbound"}
    ident = link(driver, (6, 1, 0, submit))[6]["interaction_id"]
    transfer = {"message": "RequestTransfer", "interaction_id": ident, "agent_id": "ANAT", "timeout": 600}
    link(driver, (7, 1, 0, transfer))
    (ticket,) = driver.core.memory.invitations.rows
    after = driver.reopened()
    link(after, (1, 0, 0, HELLO), (2, 1, 0, client(1, "a")), (3, 2, 0, client(2, "b")))
    link(after, (8, 2, 0, {"message": "RequestAccept", "interaction_id": ident, "ticket_id": int(ticket)}))
    assert link(after, (7, 1, RESENT, transfer))[7]["message"] == "EventAck"
    assert holders(after, ident) == ["ANAT"]


def test_of_a_sessions_agents_the_one_that_is_named_asks(driver):
    """Given one client with two agents in a conference, when it leaves for the second, then the second has left."""
    server, desk = driver.client("mail", "MediaServer"), driver.client("desk", "AgentApplication")
    for name in ("VICKY", "ANAT"):
        desk.ask("RequestAgentLogin", tenant_id=101, agent_id=name, media_list={"voice": 1})
    ident = server.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")["interaction_id"]
    desk.ask("RequestPull", tenant_id=101, view_id="Inbound/all", agent_id="VICKY")
    denied = desk.ask("RequestUpdateActivity", interaction_id=ident, agent_id="ANAT")
    assert (denied["code"], denied["detail"]) == (40, f"ANAT does not hold {ident}")
    driver.ask(desk.source, {"message": "RequestConference", "interaction_id": ident, "agent_id": "ANAT"})
    ticket = next(note for note in desk.notes if note["message"] == "EventInvite")["ticket_id"]
    desk.ask("RequestAccept", interaction_id=ident, agent_id="ANAT", ticket_id=ticket)
    driver.events()

    desk.ask("RequestLeaveInteraction", interaction_id=ident, agent_id="ANAT")

    assert [(event["message"], event["party"]["agent_id"]) for event in driver.said] == [("EventPartyRemoved", "ANAT")]
    assert desk.ask("RequestGetInteractionProperties", interaction_id=ident)["interaction"]["assigned_to"] == "VICKY"


def test_an_invitation_stands_for_a_day_at_most(driver):
    """Given an agent with an interaction, when it offers that for a thousand years, then it is told what is taken."""
    server = driver.client("mail", "MediaServer")
    asking, _ = driver.agent("VICKY"), driver.agent("ANAT")
    ident = server.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")["interaction_id"]
    asking.ask("RequestPull", tenant_id=101, view_id="Inbound/all")

    refused = asking.ask("RequestTransfer", interaction_id=ident, agent_id="ANAT", timeout=3e10)

    assert (refused["code"], refused["field"], refused["request"]) == (3, "timeout", "RequestTransfer")


@pytest.mark.parametrize("answer", ["reject", "wait", "stop"])
def test_who_offers_in_vain_is_told_what_became_of_it(driver, answer):
    """Given an offer to an agent, when nothing comes of it, then the refusal says in a sentence what and whose."""
    server, asking, invited = driver.client("mail", "MediaServer"), driver.agent("VICKY"), driver.agent("ANAT")
    ident = server.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")["interaction_id"]
    asking.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    driver.ask(asking.source, {"message": "RequestTransfer", "interaction_id": ident, "agent_id": "ANAT"})

    if answer == "reject":
        invited.ask("RequestReject", interaction_id=ident, ticket_id=invited.notes[-1]["ticket_id"])
    elif answer == "wait":
        driver.wait(31)
    else:
        server.ask("RequestStopProcessing", interaction_id=ident)

    (refused,) = driver.late.values()
    said = {
        "reject": (50, "ANAT has rejected the invitation"),
        "wait": (51, "ANAT has not answered in time"),
        "stop": (46, "the invitation of ANAT was taken back: Stopped"),
    }
    assert (refused["code"], refused["detail"]) == said[answer]
