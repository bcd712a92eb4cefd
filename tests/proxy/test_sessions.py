"""The proxy's clients: registration, resumption, liveness."""

from __future__ import annotations

import pytest

from broker.errors import Code, Refusal
from broker.messages.connection import RequestRegisterClient
from broker.messages.kinds import ClientType
from proxy.sessions import Sessions

NOW = 1000.0
KEEPALIVE_S = 10.0


@pytest.fixture
def sessions() -> Sessions:
    """No client yet; two tenants, room for three."""
    return Sessions("p1", "b007", frozenset({101, 102}), 3, KEEPALIVE_S)


def asks(name: str = "desk", kind: ClientType = ClientType.AGENT, **fields: object) -> RequestRegisterClient:
    """A registration."""
    return RequestRegisterClient(client_name=name, client_type=kind, **fields)  # type: ignore[arg-type]


def test_a_client_has_a_number_and_a_session_that_cannot_be_guessed(sessions: Sessions) -> None:
    # given two clients
    one, _ = sessions.register(NOW, b"a", asks("one"))
    two, _ = sessions.register(NOW, b"b", asks("two"))
    # when they look at what they know of their sessions
    # then the numbers differ, nothing of one's id tells the other's, and the boot is in neither
    assert (one.client, two.client) == (1, 2)
    assert one.session_id.rpartition(".")[2] != two.session_id.rpartition(".")[2]
    assert "b007" not in one.session_id + two.session_id
    assert b"p1.b007.1" in one.introduction


def test_tenants_are_all_unless_some_are_asked_for(sessions: Sessions) -> None:
    # given clients that ask for no tenant, for one, and for one that there is not
    # when they register
    # then they may act in all, in that one, and not at all
    assert sessions.register(NOW, b"a", asks("a"))[0].tenants == {101, 102}
    assert sessions.register(NOW, b"b", asks("b", tenants=[102]))[0].tenants == {102}
    with pytest.raises(Refusal) as raised:
        sessions.register(NOW, b"c", asks("c", tenants=[103]))
    assert (raised.value.code, raised.value.field) == (Code.UNKNOWN_TENANT, "tenants")


def test_a_client_comes_back_with_its_session_id(sessions: Sessions) -> None:
    # given a client whose connection was lost
    before, _ = sessions.register(NOW, b"a", asks())
    sessions.lost(b"a")
    assert before.source is None and b"a" not in sessions.by_source
    # when it registers at a new address with its session id
    after, replaced = sessions.register(NOW, b"b", asks(session_id=before.session_id))
    # then it is the same session there
    assert after is before and replaced is None
    assert sessions.by_source == {b"b": before}


def test_a_repeated_registration_is_the_same_session(sessions: Sessions) -> None:
    # given a client that has not seen the reply to its registration
    before, _ = sessions.register(NOW, b"a", asks())
    # when it registers again
    after, replaced = sessions.register(NOW, b"a", asks(tenants=[101]))
    # then it goes on with the same session, which is known to have changed
    assert after is before and replaced is None and after.changed
    assert after.tenants == {101}


def test_another_client_at_the_same_address_ends_the_first(sessions: Sessions) -> None:
    # given a client
    first, _ = sessions.register(NOW, b"a", asks("first"))
    # when another one registers from the same address
    second, replaced = sessions.register(NOW, b"a", asks("second"))
    # then the first one's session is over
    assert replaced is first and first.ended
    assert sessions.by_source == {b"a": second} and list(sessions.by_client.values()) == [second]


def test_somebody_elses_session_is_not_handed_out(sessions: Sessions) -> None:
    # given a client
    session, _ = sessions.register(NOW, b"a", asks("one"))
    # when another one registers with its session id
    with pytest.raises(Refusal) as raised:
        sessions.register(NOW, b"b", asks("two", session_id=session.session_id))
    # then it is denied, and nothing has changed
    assert raised.value.code is Code.ACCESS_DENIED
    assert sessions.by_source == {b"a": session}


def test_there_is_room_for_so_many(sessions: Sessions) -> None:
    # given as many clients as there may be
    for source in (b"a", b"b", b"c"):
        sessions.register(NOW, source, asks(source.decode()))
    # when one more registers
    with pytest.raises(Refusal) as raised:
        sessions.register(NOW, b"d", asks("d"))
    # then it is told to come again; one that is known is let in
    assert raised.value.code is Code.BUSY and raised.value.retry_after
    assert sessions.register(NOW, b"a", asks("a"))[0].client == 1


def test_a_session_ends_after_three_silent_intervals(sessions: Sessions) -> None:
    # given two clients, of which one says something after two intervals
    quiet, _ = sessions.register(NOW, b"a", asks("quiet"))
    lively, _ = sessions.register(NOW, b"b", asks("lively"))
    lively.heard = NOW + 2 * KEEPALIVE_S
    # when three intervals have passed, and then three since that
    over = sessions.silent(NOW + 3 * KEEPALIVE_S)
    later = sessions.silent(NOW + 5 * KEEPALIVE_S)
    # then each session ends in its time
    assert over == [quiet] and quiet.ended
    assert later == [lively]
    assert sessions.wake_at == float("inf")


def test_what_is_left_of_ended_sessions_is_bounded(sessions: Sessions) -> None:
    # given a client that registers under ever new names
    # when it has done so very often
    for number in range(5000):
        sessions.register(NOW, b"a", asks(str(number)))
    # then there is one session, and no more than a bounded rest of the others
    assert len(sessions) == 1
    assert len(sessions._due) <= 1002
