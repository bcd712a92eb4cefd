"""Reservations: of several routing engines that want one agent, one gets it."""

from __future__ import annotations

import json

import pytest

from broker.config.objects import AgentReservation
from broker.wire import ECHO, PackedRequest, PackedRequests

VICKY = {"tenant_id": 101, "agent_id": "VICKY"}


class Contest:
    """An agent, and engines that want it."""

    def __init__(self, driver):
        self.driver = driver
        self.agent = driver.agent("VICKY")
        self.media = driver.client("mail", "MediaServer")
        self.engines = {name: driver.client(name, "RoutingEngine") for name in ("one", "two", "three")}
        self.refs = {}

    def want(self, name, flags=0, **fields):
        """An engine asks for the agent, and does not wait for the answer."""
        ref = self.refs[name] = f"{name}{len(self.refs)}{self.driver.now}".encode()
        message = {"message": "RequestReserveAgent", **VICKY, **fields}
        self.driver.core.receive(self.driver.now, self.engines[name].source, ref, json.dumps(message).encode(), flags)
        self.driver.settle()

    def answer(self, name):
        """What an engine was answered to its last request: 0, a code, or None for nothing yet."""
        reply = self.driver.late.get(self.refs[name])
        return reply if reply is None else reply.get("code", 0)

    def answers(self):
        return {name: self.answer(name) for name in self.refs}

    def deliver(self, name):
        """An engine takes an interaction and delivers it to the agent: the code."""
        ident = self.media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")["interaction_id"]
        wanted = {"interaction_ids": [ident]}
        engine = self.engines[name]
        engine.ask("RequestPull", tenant_id=101, view_id="_system_", pull_parameters=wanted)
        return engine.ask("RequestDeliver", interaction_id=ident, agent_id="VICKY").get("code", 0)


@pytest.fixture
def contest(driver):
    return Contest(driver)


@pytest.fixture
def make_contest(make_driver):
    """``make_contest(**options)`` of the section agent-reservation."""

    def make(**options):
        def change(configuration):
            configuration.nodes["n1"].agent_reservation = AgentReservation(**options)

        return Contest(make_driver(change))

    return make


def test_the_highest_priority_of_those_collected_wins(contest):
    # given three engines that ask within the collection time
    contest.want("one", priority=1)
    contest.driver.wait(0.05)
    contest.want("two", priority=7)
    contest.want("three", priority=7)
    undecided = contest.answers()
    # when it is over
    contest.driver.wait(0.06)
    # then the first of the highest has the agent
    assert set(undecided.values()) == {None}
    assert contest.answers() == {"one": 53, "two": 0, "three": 53}


def test_only_the_engine_that_reserved_delivers_and_only_once(contest):
    # given a reserved agent
    contest.want("one")
    contest.driver.wait(0.2)
    # when others deliver, then the one that has reserved, then others again
    before, own, after = contest.deliver("two"), contest.deliver("one"), contest.deliver("two")
    # then only the other one's first delivery is refused
    assert (before, own, after) == (53, 0, 0)


def test_a_later_request_is_refused_at_once(contest):
    contest.want("one")
    contest.driver.wait(0.2)
    contest.want("two", priority=99)
    assert contest.answers() == {"one": 0, "two": 53}


def test_a_reservation_ends_with_its_time(contest):
    # given reservations of ten seconds and of one
    contest.want("one")
    contest.driver.wait(9.9)
    contest.want("two")
    early = contest.answer("two")
    contest.driver.wait(0.5)
    contest.want("two", timeout=1)
    contest.driver.wait(1)
    # when the first is over, and later the second
    contest.driver.wait(0.2)
    contest.want("three")
    contest.driver.wait(0.2)
    # then the agent was free each time
    assert early == 53
    assert contest.answers() == {"one": 0, "two": 0, "three": 0}
    assert contest.agent.ask("RequestAgentState")["reserved_by"] == "three"


def test_a_reservation_that_is_given_back(contest):
    # given a reserved agent
    contest.want("one")
    contest.driver.wait(0.2)
    # when another engine gives it back, and then its own
    contest.engines["two"].ask("RequestCancelAgentReservation", **VICKY)
    kept = contest.agent.ask("RequestAgentState")["reserved_by"]
    contest.engines["one"].ask("RequestCancelAgentReservation", **VICKY)
    # then only its own can
    assert (kept, contest.deliver("two")) == ("one", 0)


def test_requests_may_wait_for_the_agent(make_contest):
    # given engines that are not refused but wait
    contest = make_contest(reject_subsequent_request=False)
    contest.want("one", priority=5)
    contest.want("two", priority=1)
    contest.driver.wait(0.2)
    contest.want("three", priority=3)
    waiting = contest.answers()
    # when the first delivers, and the next gives it back
    contest.deliver("one")
    second = contest.answers()
    contest.engines["three"].ask("RequestCancelAgentReservation", **VICKY)
    # then they have it by their priority
    assert waiting == {"one": 0, "two": None, "three": None}
    assert second == {"one": 0, "two": None, "three": 0}
    assert contest.answers() == {"one": 0, "two": 0, "three": 0}


def test_nobody_waits_for_longer_than_a_reservation(make_contest):
    # given an agent that is reserved again and again
    contest = make_contest(reject_subsequent_request=False, reservation_time=1000)
    contest.want("one")
    contest.driver.wait(0.2)
    contest.want("two", priority=-1)
    contest.driver.wait(0.6)
    contest.want("one")
    # when the other one's time is over
    contest.driver.wait(0.6)
    # then it is refused
    assert contest.answer("two") == 53


def test_a_request_that_is_sent_again_is_the_same_request(contest):
    # given a request with a name of the client's own
    contest.want("one", dedup_id="mine")
    # when it is sent again before and after it is decided
    contest.want("one", dedup_id="mine")
    contest.driver.wait(0.2)
    first = contest.answer("one")
    contest.want("one", dedup_id="mine")
    # then it is answered each time, and the agent was reserved once
    assert (first, contest.answer("one")) == (0, 0)
    changes = [row for _, row, _ in contest.driver.rows if b'"reservations"' in row]
    assert len(changes) == 1


def test_a_request_that_is_asked_again_while_it_waits_is_answered_there(contest):
    # given a request that waits
    contest.want("one", dedup_id="mine")
    earlier = contest.refs["one"]
    contest.driver.wait(0.01)
    # when it is asked again
    contest.want("one", dedup_id="mine")
    # then the earlier one is told so at once, and the later one is answered
    assert contest.driver.late.pop(earlier)["code"] == 2004
    contest.driver.wait(0.2)
    assert contest.answer("one") == 0


def test_through_a_proxy_too_whatever_its_number(driver):
    # given an engine behind a proxy
    driver.agent("VICKY", voice=1)
    driver.client("p1", "Proxy", session_id="p1.boot")
    register = {"message": "RequestRegisterClient", "client_name": "urs", "client_type": "RoutingEngine"}
    wish = {"message": "RequestReserveAgent", "tenant_id": 101, "agent_id": "VICKY", "dedup_id": "d1"}
    for number, request in ((1, {**register, "session_id": "p1.boot.3"}), (2, wish), (3, wish)):
        packed = PackedRequests(1, [PackedRequest(number, 3, 0, json.dumps(request).encode())])
        driver.core.receive_link(driver.now, b"p1", packed)
        driver.settle()
    # when its request comes twice
    driver.wait(0.2)
    # then it has the agent, by the later one
    assert (driver.late[2]["code"], driver.late[3]["message"]) == (2004, "EventAgentReserved")


def test_what_was_given_back_does_not_shorten_the_time_of_the_next(contest):
    # given a request that is given back before it is decided, and another one
    contest.want("one")
    contest.driver.wait(0.06)
    contest.engines["one"].ask("RequestCancelAgentReservation", **VICKY)
    contest.want("two")
    # when requests have been collected since the first one
    contest.driver.wait(0.06)
    contest.want("three", priority=7)
    contest.driver.wait(0.06)
    # then the second one has had its own time, and the third one has come within it
    assert contest.answers() == {"one": 53, "two": 53, "three": 0}


@pytest.mark.parametrize(
    ("before", "fields", "code"),
    [
        (("RequestDoNotDisturbOn", {}), {}, 49),
        (("RequestNotReadyForMedia", {"media_type": "voice"}), {}, 49),
        (None, {"media_type": "chat"}, 49),
        (None, {"agent_id": "NOBODY"}, 22),
        (None, {"agent_id": None}, 2),
        (None, {"tenant_id": 999}, 10),
    ],
)
def test_an_agent_that_cannot_be_invited_cannot_be_reserved(contest, before, fields, code):
    if before is not None:
        contest.agent.ask(before[0], **before[1])
    contest.want("one", **fields)
    assert contest.answer("one") == code


def test_an_agent_that_is_not_ready_any_more_when_it_is_decided(contest):
    # given a request that is collected
    contest.want("one")
    # when the agent is not ready meanwhile, and when it goes
    contest.agent.ask("RequestNotReadyForMedia", media_type="voice")
    contest.driver.wait(0.2)
    contest.agent.ask("RequestCancelNotReadyForMedia", media_type="voice")
    contest.want("two")
    contest.agent.ask("RequestAgentLogout")
    # then each is refused with the reason
    assert contest.answers() == {"one": 49, "two": 22}


def test_an_engine_that_goes_leaves_its_agent(contest):
    # given an agent that is reserved, and wanted by another
    contest.want("one")
    contest.driver.wait(0.2)
    # when the engine is gone
    contest.driver.core.lost(contest.driver.now, b"one")
    contest.driver.settle()
    # then the agent is free
    contest.want("two")
    contest.driver.wait(0.2)
    assert contest.answer("two") == 0


def test_a_reservation_outlasts_a_failover_and_ends_at_its_time(contest):
    # given a reserved agent
    contest.want("one")
    contest.driver.wait(5)
    # when the pair fails over
    after = Contest.__new__(Contest)
    after.driver, after.refs = contest.driver.reopened(), {}
    after.media = after.driver.client("mail", "MediaServer")
    after.engines = {"two": after.driver.client("two", "RoutingEngine")}
    # then another engine has to wait for its end
    assert after.deliver("two") == 53
    after.driver.wait(5.1)
    assert after.deliver("two") == 0


def test_who_waits_after_a_failover_has_the_agent_when_the_reservation_ends(make_contest):
    # given a reserved agent, and engines that wait
    contest = make_contest(reject_subsequent_request=False)
    contest.want("one")
    contest.driver.wait(5)
    # when the pair fails over, and an engine asks the next member
    after = Contest.__new__(Contest)
    after.driver, after.refs = contest.driver.reopened(), {}
    after.engines = {"two": after.driver.client("two", "RoutingEngine")}
    after.want("two")
    after.driver.wait(4)
    waiting = after.answer("two")
    after.driver.wait(1.2)
    # then it has it when the time of the first one is over
    assert (waiting, after.answer("two")) == (None, 0)


def test_a_node_that_does_not_decide_takes_it_down_or_refuses(contest):
    # given a node that is told what another has decided
    contest.want("one", flags=ECHO)
    contest.want("two", flags=ECHO)
    # then it is so at once, and a second engine is refused
    assert contest.answers() == {"one": 0, "two": 53}
    assert contest.deliver("two") == 53


def test_colleagues_may_still_transfer_to_a_reserved_agent(contest):
    # given a reserved agent, and a colleague who handles something
    contest.want("one")
    contest.driver.wait(0.2)
    anat = contest.driver.agent("ANAT")
    contest.media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")
    (taken,) = anat.ask("RequestPull", tenant_id=101, view_id="Inbound/all")["interactions"]
    contest.agent.told()
    # when the colleague transfers it
    transfer = {"message": "RequestTransfer", "interaction_id": taken["interaction_id"], "agent_id": "VICKY"}
    contest.driver.ask(anat.source, transfer)
    # then the agent is invited: reservations are between routing engines
    assert contest.agent.told() == ["EventInvite"]
