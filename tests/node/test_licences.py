"""Seats: of agents and of media types, from login to logout; lowered limits; what is said of their use."""

from __future__ import annotations

import pytest

from broker.config.objects import Configuration, Node
from node import licences


@pytest.fixture
def make_seats(make_driver):
    """``make_seats(ics_chat_seat=1, …)``: a driver with these licences and no others."""

    def make(**seats):
        def change(configuration: Configuration) -> None:
            configuration.nodes["n1"].licenses = seats

        return make_driver(change)

    return make


def login(driver, agent, **media):
    desk = driver.client(agent, "AgentApplication")
    fields = {"tenant_id": 101, "agent_id": agent, "media_list": media}
    return desk, desk.ask("RequestAgentLogin", **fields).get("code", 0)


def relicense(driver, **seats):
    """The configuration is another one, as after a reload."""
    node: Node = driver.configuration.nodes["n1"]
    node.licenses = seats
    licences.reconfigured(driver.core)
    driver.settle()


@pytest.mark.parametrize(
    ("seat", "media", "other"),
    [
        ("ics_email_seat", "email", "chat"),
        ("ics_chat_seat", "chat", "email"),
        ("ics_open_media_seat", "voice", "email"),
        ("ics_open_media_seat", "fax", "email"),
    ],
)
def test_a_media_type_needs_its_seat(make_seats, seat, media, other):
    # given one seat of a media type, and an agent on it
    driver = make_seats(**{seat: 1})
    login(driver, "A", **{media: 1})
    # when others log in, with this media type and without
    _, refused = login(driver, "B", **{media: 0})
    _, accepted = login(driver, "C", **{other: 1})
    # then only the one without is let in
    assert (refused, accepted) == (30, 0)


def test_a_seat_is_taken_by_an_added_media_type_until_the_logout(make_seats):
    # given one chat seat, and two agents
    driver = make_seats(ics_chat_seat=1)
    (first, _), (second, _) = login(driver, "A", voice=1), login(driver, "B", voice=1)
    # when one adds chat, and removes it again
    assert first.ask("RequestAddMedia", media_type="chat")["message"] == "EventAck"
    assert first.ask("RequestRemoveMedia", media_type="chat")["message"] == "EventAck"
    # then the seat is taken until it logs out
    assert second.ask("RequestAddMedia", media_type="chat")["code"] == 30
    assert first.ask("RequestAddMedia", media_type="chat")["message"] == "EventAck"
    first.ask("RequestAgentLogout")
    assert second.ask("RequestAddMedia", media_type="chat")["message"] == "EventAck"


def test_media_types_that_share_a_seat_take_one(make_seats):
    driver = make_seats(ics_open_media_seat=1)
    desk, code = login(driver, "A", voice=1, fax=1)
    assert code == 0
    assert login(driver, "B", voice=1)[1] == 30


def test_a_refused_login_takes_no_seat(make_seats):
    # given seats for two agents, one of them with chat
    driver = make_seats(ics_multi_media_agent_seat=2, ics_chat_seat=1)
    login(driver, "A", chat=1)
    # when a second one with chat is refused
    assert login(driver, "B", chat=1)[1] == 30
    # then there is still an agent seat
    assert login(driver, "C", email=1)[1] == 0


def test_seats_are_kept_across_a_failover(make_seats):
    # given one chat seat, taken by an agent that has no chat any more
    driver = make_seats(ics_chat_seat=1)
    first, _ = login(driver, "A", chat=1)
    first.ask("RequestRemoveMedia", media_type="chat")
    # when the pair fails over
    after = driver.reopened()
    # then it is still taken
    assert login(after, "B", chat=1)[1] == 30


def test_a_lowered_limit_logs_out_who_came_last(make_seats):
    # given four agents, three of them with e-mail, all handling something
    driver = make_seats(ics_multi_media_agent_seat=4, ics_email_seat=3)
    media = driver.client("mail", "MediaServer")
    for _ in range(4):
        media.ask("RequestSubmit", tenant_id=101, media_type="email", queue="Inbound")
    desks = {}
    for agent, media_type in (("A", "email"), ("B", "email"), ("C", "voice"), ("D", "email")):
        desks[agent], _ = login(driver, agent, **{media_type: 1})
        desks[agent].ask("RequestPull", tenant_id=101, view_id="Inbound/all")
        driver.wait(1)
        desks[agent].told()
    driver.events()
    # when one e-mail seat is left
    relicense(driver, ics_multi_media_agent_seat=4, ics_email_seat=1)
    # then those with e-mail that came last are logged out, what they had goes back, and they are told
    said = [event for event in driver.said if event["message"] == "EventAgentLogout"]
    assert [(event["agent"]["agent_id"], event["reason"]["reason_system_name"]) for event in said] == [
        ("D", "LicenceDecreased"),
        ("B", "LicenceDecreased"),
    ]
    assert [event["message"] for event in driver.said].count("EventPlacedInQueue") == 2
    assert {agent: desk.told() for agent, desk in desks.items()} == {
        "A": [], "B": ["EventRevoked", "EventAgentConnectionClosed"],
        "C": [], "D": ["EventRevoked", "EventAgentConnectionClosed"],
    }  # fmt: skip
    assert sorted(row.agent_id for row in driver.core.memory.agents.rows.values()) == ["A", "C"]


def test_a_limit_that_was_lowered_while_the_node_was_down(make_seats):
    # given two agents
    driver = make_seats(ics_multi_media_agent_seat=2)
    login(driver, "A"), driver.wait(1), login(driver, "B")
    # when the next member begins with a lower limit
    driver.configuration.nodes["n1"].licenses = {"ics_multi_media_agent_seat": 1}
    after = driver.reopened()
    # then the last one is out
    assert [row.agent_id for row in after.core.memory.agents.rows.values()] == ["A"]


def test_the_use_is_said_when_it_comes_to_a_limit_and_when_a_limit_changes(make_seats):
    # given two seats
    driver = make_seats(ics_multi_media_agent_seat=2)
    driver.events()

    def said():
        found = [event["body"] for event in driver.said if event["message"] == "EventLicenceUsage"]
        driver.said.clear()
        return [(body["used"], body["limit"], body["why"]) for body in found]

    # when they are taken one by one, one is free again, and then the limit changes
    first, _ = login(driver, "A")
    assert said() == []
    login(driver, "B")
    assert said() == [(2, 2, "limit reached")]
    login(driver, "C")
    assert said() == []
    first.ask("RequestAgentLogout")
    assert said() == [(1, 2, "below the limit")]
    relicense(driver, ics_multi_media_agent_seat=5)
    # then each is said once, and nothing more
    assert said() == [(1, 5, "changed")]


def test_the_status_shows_seats(make_seats):
    driver = make_seats(ics_chat_seat=3)
    login(driver, "A", chat=1, voice=1)
    shown = driver.client("look", "Monitor").ask("RequestGetStatus")["nodes"]["n1"]["licences"]
    assert shown == {
        "ics_multi_media_agent_seat": {"used": 1, "limit": None},
        "ics_chat_seat": {"used": 1, "limit": 3},
        "ics_open_media_seat": {"used": 1, "limit": None},
    }
