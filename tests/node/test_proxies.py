"""What proxies ask of a node: an agent is brought to a state; what was executed under a dedup_id is told again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from broker.errors import Code
from broker.wire import ECHO, PackedRequest, PackedRequests

HELLO = {"message": "RequestRegisterClient", "client_name": "p1", "client_type": "Proxy", "session_id": "p1.b"}
DESK = {**HELLO, "client_name": "desk", "client_type": "AgentApplication", "session_id": "p1.b.7"}
ENGINE = {**HELLO, "client_name": "urs", "client_type": "RoutingEngine", "session_id": "p1.b.8"}
ALIGN = {"message": "RequestAlignAgent", "tenant_id": 101, "agent_id": "VICKY"}
LOGIN = {"message": "RequestAgentLogin", "tenant_id": 101, "agent_id": "VICKY", "media_list": {"voice": 1}}
PULL = {"message": "RequestPull", "tenant_id": 101, "view_id": "Inbound/all"}


class Link:
    """A proxy with two clients; ``notes`` are what they were told."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.numbers = 0
        self.notes: list[dict[str, Any]] = []
        for client, message in ((0, HELLO), (7, DESK), (8, ENGINE)):
            self.ask(client, message)

    def ask(self, client: int, message: dict[str, Any], flags: int = 0) -> dict[str, Any]:
        """The reply to one request of a client, alone in its batch."""
        self.numbers += 1
        request = PackedRequest(self.numbers, client, flags, json.dumps(message).encode())
        self.driver.core.receive_link(self.driver.now, b"proxy", PackedRequests(self.numbers, [request]))
        batch = self.driver.core.take(self.driver.now)
        self.driver.said += [json.loads(event.payload) for event in batch.events.events]
        self.notes += [json.loads(payload) for _, ref, payload, _ in batch.replies if ref is None]
        (reply,) = [json.loads(payload) for _, ref, payload, _ in batch.replies if ref is not None]
        return dict(reply)


@pytest.fixture
def link(driver: Any) -> Link:
    link = Link(driver)
    driver.events()
    return link


def vicky(driver: Any) -> Any:
    """The agent's row."""
    return driver.core.memory.agents.get("101/VICKY@")


# -- an agent is brought to a state


def test_an_agent_that_is_not_logged_in_is_logged_in_first(driver: Any, link: Link) -> None:
    # given a node without the agent
    # when it is told what the agent is
    reply = link.ask(7, {**ALIGN, "media_list": {"voice": 0}, "donot_disturb": True}, ECHO)
    # then it is that, by echoes of the agent's own requests
    assert reply == {"message": "EventAck"}
    assert (vicky(driver).media, vicky(driver).donot_disturb) == ({"voice": 0}, True)
    assert [(event["cause"], event["echo"]) for event in driver.said] == [
        ("RequestAgentLogin", True),
        ("RequestDoNotDisturbOn", True),
    ]


def test_only_what_differs_is_changed(driver: Any, link: Link) -> None:
    # given an agent with two media types
    link.ask(7, {**LOGIN, "media_list": {"voice": 1, "email": 1}})
    driver.events()
    # when one of them is to be not ready, and another one there instead of the other
    link.ask(7, {**ALIGN, "media_list": {"voice": 0, "fax": 1}})
    # then these three things happen
    assert vicky(driver).media == {"voice": 0, "fax": 1}
    assert sorted(driver.events()) == ["EventMediaAdded", "EventMediaRemoved", "EventNotReadyForMedia"]
    # and nothing when it is so already, but that the client is told the state
    link.notes.clear()
    assert link.ask(7, {**ALIGN, "media_list": {"voice": 0, "fax": 1}}) == {"message": "EventAck"}
    assert driver.events() == []
    (note,) = link.notes
    assert (note["message"], note["media_state_list"]) == ("EventCurrentAgentStatus", {"voice": 0, "fax": 1})


def test_who_speaks_is_set_too(driver: Any, link: Link) -> None:
    # given an agent for whom this node speaks
    link.ask(7, LOGIN)
    # when another node is to speak for it
    link.ask(7, {**ALIGN, "media_list": {"voice": 1}}, ECHO)
    # then the node's own changes are echoes from now on
    assert vicky(driver).echo is True


def test_a_state_that_cannot_be_is_refused(driver: Any, link: Link) -> None:
    # given a tenant without such a media type
    # when an agent is to have it
    reply = link.ask(7, {**ALIGN, "media_list": {"smoke": 1}})
    # then that is refused, and the agent is not logged in
    assert reply["code"] == 12
    assert vicky(driver) is None


def test_only_a_proxy_brings_agents_into_a_state(driver: Any) -> None:
    # given an agent's application that is at the node directly
    desk = driver.client("desk", "AgentApplication")
    # when it asks what only proxies ask
    replies = [desk.ask("RequestAlignAgent", tenant_id=101, agent_id="VICKY"), desk.ask("RequestRecall", asked_as="d")]
    # then it may not
    assert [reply["code"] for reply in replies] == [Code.ACCESS_DENIED] * 2


def test_an_agent_is_brought_to_its_reasons(driver: Any, link: Link) -> None:
    # given an agent with reasons
    lunch, training = {"reason_system_name": "Lunch"}, {"reason_system_name": "Training"}
    link.ask(7, {**LOGIN, "media_list": {"voice": 0, "email": 1}})
    link.ask(7, {"message": "RequestChangeMediaStateReason", "media_type": "voice", "reason": lunch})
    driver.events()
    # when the node is told that they are others
    state = {"media_list": {"voice": 0, "email": 0}, "media_reasons": {"email": lunch}, "reason": training}
    link.ask(7, {**ALIGN, **state}, ECHO)
    # then it has them, and nothing more is done for the same state
    assert driver.events() == [
        "EventMediaStateReasonChanged", "EventNotReadyForMedia", "EventAgentStateReasonChanged"
    ]  # fmt: skip
    assert link.notes[-1]["media_reasons"] == {"email": lunch}
    assert link.notes[-1]["state_reason"] == training
    link.ask(7, {**ALIGN, **state}, ECHO)
    assert driver.events() == []


def test_an_agent_whose_client_has_vanished_is_logged_in_anew(driver: Any, link: Link) -> None:
    # given an agent whose client the proxy does not hear of any more
    link.ask(7, LOGIN)
    link.ask(7, {"message": "RequestUnregisterClient", "vanished": True})
    link.ask(7, DESK)
    driver.events()
    # when it is back, and brought to its state
    link.ask(7, {**ALIGN, "media_list": {"voice": 1}, "donot_disturb": True})
    # then it is there again
    assert driver.events() == ["EventReadyForMedia", "EventDoNotDisturbOn"]
    assert vicky(driver).vanished_us == 0


def test_what_an_agent_that_comes_back_is_brought_to_is_said_by_who_spoke_for_it(driver: Any, link: Link) -> None:
    # given an agent that this node has spoken for, that vanished, and came back as another node speaks for it
    link.ask(7, LOGIN)
    link.ask(7, {"message": "RequestUnregisterClient", "vanished": True})
    link.ask(7, DESK)
    link.ask(7, LOGIN, ECHO)
    driver.said.clear()
    # when it is brought to the other node's state, and later changes there
    link.ask(7, {**ALIGN, "media_list": {"voice": 0}}, ECHO)
    link.ask(7, {"message": "RequestCancelNotReadyForMedia", "media_type": "voice"}, ECHO)
    # then the stream is told of the state by this node, and of the change by the other one
    assert [(event["message"], event.get("echo", False)) for event in driver.said] == [
        ("EventNotReadyForMedia", False),
        ("EventReadyForMedia", True),
    ]


def test_what_an_agent_that_another_proxy_moves_is_brought_to_is_said_by_who_spoke_for_it(
    driver: Any, link: Link
) -> None:
    # given an agent that this node speaks for, whose proxy is gone before this node has noticed
    link.ask(7, LOGIN)
    link.ask(9, {**DESK, "session_id": "p1.b.9"})
    driver.said.clear()
    # when it is logged in through another proxy, where another node speaks for it in a state that is new
    link.ask(9, {**ALIGN, "media_list": {"voice": 0}}, ECHO)
    link.ask(9, {"message": "RequestCancelNotReadyForMedia", "media_type": "voice"}, ECHO)
    # then the stream is told of that state by this node, and of later changes by the other one
    assert [(event["message"], event.get("echo", False)) for event in driver.said] == [
        ("EventNotReadyForMedia", False),
        ("EventReadyForMedia", True),
    ]


@pytest.mark.parametrize(("spoke", "echo"), [(True, False), (False, True)])
def test_an_agent_that_is_back_where_it_was_logged_out_is_seen_to_be_back(
    driver: Any, link: Link, spoke: bool, echo: bool
) -> None:
    # given an agent that this node has spoken for, or another one, and that it has logged out
    link.ask(7, LOGIN, 0 if spoke else ECHO)
    link.ask(7, {"message": "RequestUnregisterClient"})
    link.ask(7, DESK)
    driver.said.clear()
    # when it is brought to the state that it has at the others, where it was logged in all the time
    link.ask(7, {**ALIGN, "media_list": {"voice": 1}, "donot_disturb": True, "spoke": spoke}, ECHO)
    # then the stream is told if it has the logout; what comes later is the other node's to say
    assert [(event["message"], event.get("echo", False)) for event in driver.said] == [
        ("EventAgentLogin", echo),
        ("EventDoNotDisturbOn", echo),
    ]
    assert vicky(driver).echo is True


def test_a_last_word_is_said_though_the_agent_vanishes_again_before(driver: Any, link: Link) -> None:
    # given an agent that this node has spoken for, that came back as another node speaks, and vanished again
    link.ask(7, {**LOGIN, "media_list": {"voice": 0}})
    for login in (False, True):
        link.ask(7, {"message": "RequestUnregisterClient", "vanished": True})
        link.ask(7, DESK)
        if not login:
            link.ask(7, {**LOGIN, "media_list": {"voice": 0}}, ECHO)
    driver.said.clear()
    # when it comes back once more, as another node speaks, in a state that is new
    link.ask(7, LOGIN, ECHO)
    # then the stream is told by this node
    assert [(event["message"], event.get("echo", False)) for event in driver.said] == [("EventReadyForMedia", False)]
    assert vicky(driver).echo is True


# -- what was executed before


def submitted(driver: Any, count: int) -> list[str]:
    """Interactions that wait."""
    media = driver.client("mail", "MediaServer")
    fields = {"tenant_id": 101, "media_type": "voice", "queue": "Inbound"}
    return [media.ask("RequestSubmit", **fields)["interaction_id"] for _ in range(count)]


def recalled(reply: dict[str, Any]) -> list[list[str]]:
    """The ids in each of the recalled replies."""
    return [[one["interaction_id"] for one in answer["interactions"]] for answer in reply.get("answers", [])]


def test_a_pull_is_recalled_in_its_parts(driver: Any, link: Link) -> None:
    # given a pull that a proxy has asked for in two parts
    one, other, third = submitted(driver, 3)
    link.ask(8, {**PULL, "dedup_id": "d", "count": 2})
    link.ask(8, {**PULL, "dedup_id": "d", "part": 1})
    # when it is asked what is known of it
    reply = link.ask(8, {"message": "RequestRecall", "asked_as": "d"})
    # then both replies are told, and nothing is done
    assert recalled(reply) == [[one, other], [third]]
    assert "expired" not in reply


def test_nothing_is_known_of_what_was_not_executed(driver: Any, link: Link) -> None:
    # given a pull that got nothing, and one of another client
    link.ask(8, {**PULL, "dedup_id": "d"})
    submitted(driver, 1)
    driver.client("other", "RoutingEngine").ask(**PULL, dedup_id="d")
    # when it is asked what is known of it
    # then nothing
    assert link.ask(8, {"message": "RequestRecall", "asked_as": "d"}) == {"message": "EventRecalled"}


def test_of_a_reply_that_is_kept_no_longer_it_is_known_that_it_was(driver: Any, link: Link) -> None:
    # given a pull whose window has passed
    submitted(driver, 1)
    link.ask(8, {**PULL, "dedup_id": "d"})
    for _ in range(6):
        driver.wait(60)
        link.ask(0, {"message": "RequestPing"})
    # when it is asked what is known of it
    # then it was executed
    assert link.ask(8, {"message": "RequestRecall", "asked_as": "d"}) == {"message": "EventRecalled", "expired": True}


# -- what its clients ask elsewhere


def test_a_proxy_says_whose_agents_are_not_silent(driver: Any, link: Link) -> None:
    # given a client of a proxy that has asked for nothing here for a minute
    driver.wait(60)
    session = driver.core.sessions.by_source[b"proxy", 7]
    before = session.asked
    # when somebody else names it, and then the proxy, with one that is not known
    driver.client("ops", "Monitor").ask("RequestGetStatus", askers=[7])
    unheeded = session.asked
    link.ask(0, {"message": "RequestGetStatus", "askers": [7, 999]})
    # then the proxy is believed
    assert (unheeded, session.asked) == (before, driver.now)
