"""Registration, liveness and what the end of a session gives back."""


def test_nothing_but_ping_and_registration_is_served_to_a_stranger(driver):
    stranger = driver.stranger("who")
    assert stranger.ask("RequestPing")["message"] == "EventPong"
    assert stranger.ask("RequestGetStatus")["code"] == 1


def test_registration_says_who_answers(driver):
    reply = driver.stranger("desk").ask(
        "RequestRegisterClient", client_name="desk", client_type="AgentApplication", tenants=[101]
    )
    assert reply["server"] == "n1"
    assert reply["kind"] == "Interaction Server"
    assert reply["session_id"]
    assert reply["keepalive_interval"] == 30.0


def test_an_unknown_tenant_is_refused_at_registration(driver):
    reply = driver.stranger("desk").ask(
        "RequestRegisterClient", client_name="desk", client_type="AgentApplication", tenants=[999]
    )
    assert (reply["code"], reply["field"]) == (10, "tenants")


def test_a_silent_client_is_forgotten_after_three_intervals(driver):
    media = driver.client("mail", "MediaServer")
    driver.wait(89)
    assert media.ask("RequestGetStatus")["message"] == "EventStatus"
    media.told()
    driver.wait(91)
    assert media.told() == ["EventForcedDisconnect"]
    assert media.ask("RequestGetStatus")["code"] == 1


def test_any_message_keeps_a_session(driver):
    media = driver.client("mail", "MediaServer")
    for _ in range(10):
        driver.wait(60)
        assert media.ask("RequestPing")["message"] == "EventPong"
    assert media.ask("RequestGetStatus")["message"] == "EventStatus"


def test_the_end_of_an_agents_session_logs_out_and_gives_back(driver):
    media = driver.client("mail", "MediaServer")
    ident = media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")["interaction_id"]
    vicky = driver.agent("VICKY")
    vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    driver.events()
    vicky.ask("RequestUnregisterClient")
    assert driver.events() == ["EventPartyRemoved", "EventPlacedInQueue", "EventAgentLogout"]
    shown = media.ask("RequestGetInteractionProperties", interaction_id=ident)["interaction"]
    assert (shown["interaction_state"], shown["queue"]) == (0, "Inbound")


def test_a_lost_connection_ends_its_sessions(driver):
    vicky = driver.agent("VICKY")
    driver.core.lost(driver.now, b"VICKY")
    driver.settle()
    assert vicky.ask("RequestGetStatus")["code"] == 1


def test_a_message_that_is_not_for_the_clients_type_is_refused(driver):
    media = driver.client("mail", "MediaServer")
    assert media.ask("RequestAgentLogin", tenant_id=101, agent_id="X")["code"] == 40


def test_the_number_of_clients_is_bounded(make_driver):
    driver = make_driver(max_clients=2)
    driver.client("a", "MediaServer")
    driver.client("b", "MediaServer")
    reply = driver.stranger("c").ask("RequestRegisterClient", client_name="c", client_type="MediaServer")
    assert (reply["code"], reply["retry_after"] > 0) == (91, True)


def test_a_direct_client_goes_on_with_its_session_at_another_address(driver):
    """Given an agent's client at a node, when it registers with its session_id from a new connection, then the session
    is the same one, and the agent is still its own."""
    register = {"client_name": "desk", "client_type": "AgentApplication"}
    before, after = driver.stranger("before"), driver.stranger("after")
    session_id = before.ask("RequestRegisterClient", **register)["session_id"]
    before.ask("RequestAgentLogin", tenant_id=101, agent_id="VICKY", media_list={"voice": 1})
    assert after.ask("RequestRegisterClient", **register, session_id=session_id)["session_id"] == session_id
    assert after.ask("RequestNotReadyForMedia", media_type="voice")["message"] == "EventAck"
    assert before.ask("RequestNotReadyForMedia", media_type="voice")["code"] == 1
    assert len(driver.core.sessions.by_id) == 1


def test_a_resumed_session_is_the_same_session(driver):
    # given a routing engine that holds an interaction, and comes back by another connection
    media = driver.client("mail", "MediaServer")
    media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")
    register = {"client_name": "urs", "client_type": "RoutingEngine"}
    session = driver.stranger("one").ask("RequestRegisterClient", **register)["session_id"]
    driver.ask((b"one", 0), {"message": "RequestPull", "tenant_id": 101, "view_id": "Inbound/all"})
    back = driver.stranger("other")
    assert back.ask("RequestRegisterClient", **register, session_id=session)["session_id"] == session
    driver.events()
    # when it leaves
    back.ask("RequestUnregisterClient")
    # then what it held goes back
    assert driver.events() == ["EventPartyRemoved", "EventPlacedInQueue"]


def invited(driver, desk):
    """Agent VICKY of a desk is invited; the ticket."""
    media, urs = driver.client("mail", "MediaServer"), driver.client("urs", "RoutingEngine")
    ident = media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")["interaction_id"]
    urs.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    assert urs.ask("RequestDeliver", interaction_id=ident, agent_id="VICKY", timeout=20)["message"] == "EventAck"
    (note,) = [note for note in desk.notes if note["message"] == "EventInvite"]
    return note


def test_an_invitation_is_told_again_when_the_session_comes_back_after_a_take_over(driver):
    # given an invited agent, and another member that takes over
    note = invited(driver, driver.agent("VICKY"))
    driver.wait(5)
    (agent,) = driver.core.memory.agents.rows.values()
    after = driver.reopened()
    # when the agent's application resumes its session there
    back = after.stranger("VICKY")
    register = {"client_name": "VICKY", "client_type": "AgentApplication", "session_id": agent.sessions[0]}
    back.ask("RequestRegisterClient", **register)
    # then it is told again of the invitation, with the time that is left, and may accept
    (again,) = back.notes
    assert again.pop("timeout") == 15.0 and note.pop("timeout") == 20.0
    assert again == note
    fields = {"interaction_id": note["interaction"]["interaction_id"], "ticket_id": note["ticket_id"]}
    assert back.ask("RequestAccept", **fields)["message"] == "EventAck"


def test_an_invitation_is_told_to_a_further_connection_of_the_agent(driver):
    # given an invited agent
    note = invited(driver, driver.agent("VICKY"))
    # when it logs in from another application as well
    second = driver.client("second", "AgentApplication")
    second.ask("RequestAgentLogin", tenant_id=101, agent_id="VICKY")
    # then that one hears of the invitation
    assert [one["ticket_id"] for one in second.notes if one["message"] == "EventInvite"] == [note["ticket_id"]]
