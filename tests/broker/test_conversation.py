"""A client's conversation with several servers: what is sent, repeated, given up, and when. No sockets, no clock."""

from __future__ import annotations

import json
from typing import Any

import pytest

from broker.answers import ClientError, Unavailable
from broker.conversation import (
    GROUP_PAIRS,
    MAX_NOTIFICATIONS,
    PING,
    REGISTRATION,
    Conversation,
    State,
    Timing,
)
from broker.messages.connection import RequestRegisterClient
from broker.messages.kinds import ClientType

REGISTER = RequestRegisterClient(client_name="desk", client_type=ClientType.AGENT)
TIMING = Timing(probe=1.0, silence=3.0)


def reply(message: str, **fields: Any) -> bytes:
    return json.dumps({"message": message, **fields}).encode()


ACK = reply("EventAck", session_id="s1", keepalive_interval=30.0)


def error(code: int) -> bytes:
    return reply("EventError", code=code, text="no")


def conversation(endpoints: int = 1) -> Conversation:
    return Conversation(REGISTER, endpoints, TIMING)


def sent(talk: Conversation, now: float) -> list[tuple[bytes, bytes]]:
    """What the shell would send now; all of it leaves."""
    pairs: list[tuple[bytes, bytes]] = []
    while more := talk.outgoing():
        talk.sent(now, more)
        pairs += more
    return pairs


def ready(endpoints: int = 1) -> Conversation:
    talk = conversation(endpoints)
    talk.opened(0.0)
    sent(talk, 0.0)
    talk.received(0.0, [REGISTRATION, ACK])
    assert talk.state is State.READY
    return talk


def ask(talk: Conversation, now: float = 0.0, *, repeatable: bool = False, timeout: float = 10.0) -> bytes:
    """Sends a request; returns its ref."""
    number = talk.request(now, b'{"message":"RequestX"}', repeatable, timeout)
    sent(talk, now)
    return b"%d" % number


def test_registers_before_anything_else() -> None:
    # Given a client that was asked something before it had a server
    talk = conversation()
    talk.request(0.0, b"{}", False, 10.0)
    # When a link is open, then the registration goes first, and the request only after its ack
    talk.opened(0.0)
    assert [ref for ref, _ in sent(talk, 0.0)] == [REGISTRATION]
    talk.received(0.0, [REGISTRATION, ACK])
    assert [ref for ref, _ in sent(talk, 0.0)] == [b"1"]


def test_a_reply_is_given_to_its_request_whatever_the_order() -> None:
    # Given two requests in flight, when the second is answered first, in a message with the first's
    talk = ready()
    first, second = ask(talk), ask(talk)
    talk.received(0.1, [second, reply("EventB"), first, reply("EventA")])
    # Then each number has its own reply
    assert dict(talk.answers) == {int(first): reply("EventA"), int(second): reply("EventB")}


def test_unknown_refs_and_torn_messages_do_no_harm() -> None:
    # Given a request in flight, when a stray reply, a message of odd frames and no JSON come
    talk = ready()
    ref = ask(talk)
    talk.received(0.1, [b"999", b"{}"])
    talk.received(0.1, [ref, b"no json", b"odd"])
    # Then what could be read was taken, and nothing else
    assert list(talk.answers) == [(int(ref), b"no json")]


def test_requests_are_grouped_up_to_a_bound() -> None:
    # Given more requests than one message takes, when the shell asks what to send
    talk = ready()
    for _ in range(GROUP_PAIRS + 1):
        talk.request(0.0, b"{}", False, 10.0)
    # Then there is one full message and a rest
    full = talk.outgoing()
    talk.sent(0.0, full)
    assert (len(full), len(talk.outgoing())) == (GROUP_PAIRS, 1)


@pytest.mark.parametrize("repeatable", [True, False])
def test_a_lost_server_repeats_only_what_has_a_dedup_id(repeatable: bool) -> None:
    # Given a request in flight, when the server is lost and the next one registers the client
    talk = ready(endpoints=2)
    ref = ask(talk, repeatable=repeatable)
    talk.closed(1.0)
    talk.opened(1.0)
    sent(talk, 1.0)
    talk.received(1.0, [REGISTRATION, reply("EventAck", session_id="s2")])
    # Then it is sent again if that does no harm, else it has failed
    assert [pair[0] for pair in sent(talk, 1.0)] == ([ref] if repeatable else [])
    assert [type(answer) for _, answer in talk.answers] == ([] if repeatable else [Unavailable])
    assert talk.sessions == 2


def test_what_was_not_sent_waits_for_the_next_server() -> None:
    # Given a request that has not left, when the server is lost
    talk = ready(endpoints=2)
    talk.request(0.0, b"{}", False, 10.0)
    talk.closed(0.5)
    # Then it has not failed: it goes to the next server
    talk.opened(0.5)
    sent(talk, 0.5)
    talk.received(0.5, [REGISTRATION, ACK])
    assert not talk.answers and len(sent(talk, 0.5)) == 1


@pytest.mark.parametrize("code", [1, 90])
def test_an_answer_that_says_not_done_is_never_given_out(code: int) -> None:
    # Given a request without a dedup_id, when the server says "not registered" or "not the active member"
    talk = ready(endpoints=2)
    ref = ask(talk)
    talk.received(1.0, [ref, error(code)])
    # Then the client registers (here again, or at the other server), and sends it again
    assert not talk.answers
    if talk.state is State.SEEKING:
        talk.opened(1.0)
    assert [pair[0] for pair in sent(talk, 1.0)] == [REGISTRATION]
    talk.received(1.0, [REGISTRATION, ACK])
    assert [pair[0] for pair in sent(talk, 1.0)] == [ref]


def test_several_forgotten_requests_register_once() -> None:
    # Given three requests in flight, when a restarted server knows none of them
    talk = ready()
    refs = [ask(talk) for _ in range(3)]
    for ref in refs:
        talk.received(1.0, [ref, error(1)])
    # Then there is one registration, and then all three in their order
    assert [pair[0] for pair in sent(talk, 1.0)] == [REGISTRATION]
    talk.received(1.0, [REGISTRATION, ACK])
    assert [pair[0] for pair in sent(talk, 1.0)] == refs


def test_the_only_server_may_say_that_it_is_not_active() -> None:
    # Given one server and no other, when it answers 90, then that is the reply
    talk = ready(endpoints=1)
    ref = ask(talk)
    talk.received(1.0, [ref, error(90)])
    assert list(talk.answers) == [(int(ref), error(90))]


def test_a_registration_resumes_the_old_session() -> None:
    # Given a session, when the client comes back after a lost connection
    talk = ready()
    talk.closed(1.0)
    talk.opened(1.0)
    # Then it names the session, and where the server knows it, it is not a new one
    assert json.loads(sent(talk, 1.0)[0][1])["session_id"] == "s1"
    talk.received(1.0, [REGISTRATION, ACK])
    assert talk.sessions == 1


def test_a_refused_session_is_left_for_a_new_one() -> None:
    # Given a server that does not let the client resume its session, when it says so
    talk = ready()
    talk.closed(1.0)
    talk.opened(1.0)
    sent(talk, 1.0)
    talk.received(1.0, [REGISTRATION, error(40)])
    # Then the client registers without it
    assert "session_id" not in json.loads(sent(talk, 1.0)[0][1])
    assert talk.state is State.REGISTERING


def test_a_refused_client_fails_all_it_has_asked() -> None:
    # Given a request that waits, when the server refuses the client itself
    talk = conversation()
    talk.request(0.0, b"{}", True, 10.0)
    talk.opened(0.0)
    sent(talk, 0.0)
    talk.received(0.1, [REGISTRATION, error(40)])
    # Then that is its answer, and the next one's, too
    talk.request(0.2, b"{}", True, 10.0)
    codes = [answer.code for _, answer in talk.answers if isinstance(answer, ClientError)]
    assert codes == [40, 40] and talk.refusal is not None


@pytest.mark.parametrize("code", [90, 91, 60])
def test_a_passing_refusal_tries_the_next_server(code: int) -> None:
    # Given two servers, when the first cannot take the client now
    talk = conversation(endpoints=2)
    talk.opened(0.0)
    sent(talk, 0.0)
    talk.received(0.0, [REGISTRATION, error(code)])
    # Then the second is tried at once
    assert (talk.state, talk.endpoint, talk.reopen_at) == (State.SEEKING, 1, 0.0)


def test_after_a_fruitless_round_there_are_growing_pauses() -> None:
    # Given two servers that are both away, when round after round fails
    talk = conversation(endpoints=2)
    pauses = []
    for _ in range(14):
        talk.opened(0.0)
        talk.closed(0.0)
        pauses.append(talk.reopen_at)
    # Then the pauses begin with none and end at a bound
    assert pauses[:4] == [0.0, 0.05, 0.05, 0.1] and pauses[-1] == 1.0


def test_a_request_times_out_and_a_late_reply_is_dropped() -> None:
    # Given a request with 2 s, when no reply has come by then
    talk = ready()
    ref = ask(talk, timeout=2.0)
    talk.received(1.9, [b"", reply("EventNote")])
    talk.tick(2.0)
    # Then that is its answer, and what comes later is nobody's
    assert [type(answer) for _, answer in talk.answers] == [TimeoutError]
    talk.received(2.1, [ref, reply("EventLate")])
    assert len(talk.answers) == 1


def test_without_any_server_the_answer_is_unavailable() -> None:
    # Given a client that finds no server, when a request's time is over
    talk = conversation()
    talk.request(0.0, b"{}", True, 2.0)
    talk.tick(2.0)
    # Then it is unavailable, not late
    assert [type(answer) for _, answer in talk.answers] == [Unavailable]


def test_a_silent_server_is_asked_and_then_left() -> None:
    # Given a request in flight and not a word for a second, when time passes
    talk = ready(endpoints=2)
    ask(talk)
    talk.tick(0.99)
    assert not talk.outgoing()
    talk.tick(1.0)
    # Then the server is asked whether it lives, and left when that brings nothing for 3 s
    assert [ref for ref, _ in sent(talk, 1.0)] == [PING]
    talk.tick(3.9)
    assert talk.state is State.READY
    talk.tick(4.0)
    assert talk.state is State.SEEKING


def test_a_server_that_answers_a_ping_is_not_left() -> None:
    # Given a pull that is held for long, when the server answers the pings in between
    talk = ready()
    ask(talk, timeout=60.0)
    now = 0.0
    for _ in range(20):
        now = talk.wake_at
        talk.tick(now)
        assert [ref for ref, _ in sent(talk, now)] == [PING]
        talk.received(now, [PING, reply("EventPong", role="active")])
    # Then the client stays with it
    assert talk.state is State.READY and now >= 20.0


def test_a_server_that_has_become_standby_is_left() -> None:
    # Given two members of a pair, when the one in use says that it is the standby now
    talk = ready(endpoints=2)
    ask(talk)
    talk.received(1.0, [PING, reply("EventPong", role="standby")])
    # Then the other is tried
    assert (talk.state, talk.endpoint) == (State.SEEKING, 1)


def test_a_server_that_only_pings_have_reached_and_that_was_started_anew_is_registered_at_again() -> None:
    # Given a client that has nothing to ask but whether its server lives
    talk = ready()
    talk.tick(15.0)
    sent(talk, 15.0)
    # When the answer says that it is not known there, then it registers at once; when it is known, it does nothing
    talk.received(15.1, [PING, reply("EventPong", role="active", registered=False)])
    assert talk.state is State.REGISTERING and [ref for ref, _ in sent(talk, 15.1)] == [REGISTRATION]
    talk.received(15.2, [REGISTRATION, reply("EventAck", session_id="s2", keepalive_interval=30.0)])
    talk.received(15.3, [PING, reply("EventPong", role="active", registered=True)])
    assert (talk.state, talk.sessions, sent(talk, 15.3)) == (State.READY, 2, [])


def test_an_idle_session_is_kept_alive() -> None:
    # Given nothing to do, when half the keep-alive interval has passed since the client's last word
    talk = ready()
    assert talk.wake_at == 15.0
    talk.tick(15.0)
    # Then it pings
    assert [ref for ref, _ in sent(talk, 15.0)] == [PING]


def test_notifications_are_bounded() -> None:
    # Given a client that does not read its notifications, when there are too many, then the oldest are dropped
    talk = ready()
    for number in range(MAX_NOTIFICATIONS + 2):
        talk.received(0.0, [b"", b"%d" % number])
    assert (len(talk.notifications), talk.dropped, talk.notifications[0]) == (MAX_NOTIFICATIONS, 2, b"2")
