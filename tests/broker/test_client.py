"""The blocking client against a scripted server: real sockets, no cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from broker.cli.pings import ping
from broker.client import Client, ClientError, Endpoint, Unavailable
from broker.conversation import Timing
from broker.messages.interactions import RequestStopProcessing
from broker.messages.operations import RequestGetStatus
from broker.sockets import Context
from broker.subscription import Events, Followed
from tests.broker.peer import Peer, Reply

HASTY = Timing(probe=0.1, silence=0.3)
NEVER = Timing(probe=60.0, silence=60.0)
"""For tests in which silence must not be what helps."""


def echo(request: dict[str, Any]) -> Reply:
    """Answers with what was asked; ``fail`` asks for an error."""
    if "fail" in request:
        return {"message": "EventError", "code": request["fail"], "text": "no", "detail": "because"}
    return {"message": "EventAck", "asked": request}


@pytest.fixture
def context() -> Iterator[Context]:
    """A context of the test's own, without sockets left behind."""
    context: Context = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
def connect(context: Context) -> Iterator[Callable[..., Client]]:
    """``connect(peer, …)``: a client of these peers, closed behind the test."""
    clients: list[Client] = []

    def make(*peers: Peer, **options: Any) -> Client:
        options = {"timeout": 5.0, "timing": HASTY, "context": context, **options}
        clients.append(Client([peer.endpoint for peer in peers], "desk", "AgentApplication", **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_registers_and_asks(connect: Callable[..., Client]) -> None:
    # Given a server, when a client connects and asks as a class, as a dict and as bytes
    with Peer(echo) as peer:
        client = connect(peer, tenants=[101], media_type="voice")
        replies = [
            client.request(RequestGetStatus()),
            client.request({"message": "RequestX", "a": 1}),
            client.request(b'{"message":"RequestY"}'),
        ]
    # Then it has registered with its attributes, and each question has its own answer
    assert peer.requests[0] == {
        "message": "RequestRegisterClient",
        "client_name": "desk",
        "client_type": "AgentApplication",
        "tenants": [101],
        "media_type": "voice",
    }
    assert [reply["asked"]["message"] for reply in replies] == ["RequestGetStatus", "RequestX", "RequestY"]


def test_a_raw_reply_comes_byte_for_byte(connect: Callable[..., Client]) -> None:
    # Given a server whose replies have spaces of their own, when the bytes are asked for, then they are those
    with Peer(lambda request: b'{ "message" : "EventAck" ,"x": 1e0 }') as peer:
        assert connect(peer).request_raw({"message": "RequestX"}) == b'{ "message" : "EventAck" ,"x": 1e0 }'


def test_an_error_is_raised_with_its_code(connect: Callable[..., Client]) -> None:
    # Given a server that refuses, when the client asks, then it raises code, text and the whole reply
    with Peer(echo) as peer, pytest.raises(ClientError) as refused:
        connect(peer).request({"message": "RequestX", "fail": 43})
    assert (refused.value.code, refused.value.text, refused.value.reply["detail"]) == (43, "no: because", "because")


def test_a_refused_client_is_told_so(connect: Callable[..., Client]) -> None:
    # Given a server that refuses the registration, when a client connects, then it raises
    def refuse(request: dict[str, Any]) -> Reply:
        return {"message": "EventError", "code": 40, "text": "Access denied"}

    with Peer(echo, refuse) as peer, pytest.raises(ClientError, match="40"):
        connect(peer)


def test_many_in_flight(connect: Callable[..., Client]) -> None:
    # Given a hundred requests sent at once, when the replies are gathered
    with Peer(echo) as peer:
        client = connect(peer)
        numbers = client.send_all({"message": "RequestX", "n": n} for n in range(100))
        replies = client.gather(numbers)
    # Then they are in the order of the requests, and they went as few messages
    assert [reply["asked"]["n"] for reply in replies] == list(range(100))
    assert len(peer.messages) <= 5


def test_replies_as_they_come(connect: Callable[..., Client]) -> None:
    # Given three requests, of which one fails, when the replies are taken as they come
    with Peer(echo) as peer:
        client = connect(peer)
        numbers = [client.send({"message": "RequestX", **more}) for more in ({}, {"fail": 91}, {})]
        outcomes = dict(client.replies())
    # Then there is one for each, an EventError is one, and then it ends
    assert sorted(outcomes) == numbers
    assert [outcome["message"] for _, outcome in sorted(outcomes.items()) if isinstance(outcome, dict)] == [
        "EventAck",
        "EventError",
        "EventAck",
    ]


def test_no_reply_is_a_timeout(connect: Callable[..., Client]) -> None:
    # Given a server that answers pings only, when a request's time is over, then it raises TimeoutError
    with Peer(lambda request: None) as peer:
        client = connect(peer)
        with pytest.raises(TimeoutError):
            client.request({"message": "RequestX"}, timeout=0.5)
        # And a reply that fails does so for replies(), too, without raising
        client.send({"message": "RequestX"}, timeout=0.1)
        assert [type(outcome) for _, outcome in client.replies()] == [TimeoutError]


def test_nobody_there(context: Context) -> None:
    # Given an address where nobody listens, when a client connects, then it says so in time
    with pytest.raises(Unavailable, match="nobody"):
        Client("tcp://127.0.0.1:1", "desk", timeout=0.3, context=context)


def test_a_server_that_is_not_there_is_passed_over_at_once(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given two addresses, and nobody at the one that is tried first, when a client connects
    monkeypatch.setattr("broker.client.random.shuffle", lambda endpoints: None)
    with Peer(echo) as peer:
        addresses = ["tcp://127.0.0.1:1", peer.endpoint]
        # Then it does not wait for silence, but takes the other
        with Client(addresses, "desk", timeout=2.0, timing=NEVER, context=context) as client:
            assert client.endpoint.requests in peer.endpoint


def test_notifications(connect: Callable[..., Client]) -> None:
    # Given a registered client, when the server tells it something unasked
    with Peer(echo) as peer:
        client = connect(peer)
        assert client.notifications() == []
        peer.notify({"message": "EventInvite", "ticket_id": 7})
        # Then it is there, once
        assert client.notifications(5.0) == [{"message": "EventInvite", "ticket_id": 7}]
        assert client.notifications() == []


def test_a_restarted_server_is_registered_with_again(connect: Callable[..., Client]) -> None:
    # Given a client that has seen its server go, when another is there at the same address
    with Peer(echo) as first:
        client = connect(first)
        first.stop()
        client.idle(0.1)
        with Peer(echo, port=first.ports) as second:
            # Then the next request is served by it, in a session of its own
            assert client.request({"message": "RequestX"})["message"] == "EventAck"
            assert second.requests[0]["message"] == "RequestRegisterClient" and client.sessions == 2


def test_a_lost_session_is_made_anew(connect: Callable[..., Client]) -> None:
    # Given a server that forgets its clients once
    forgotten: list[dict[str, Any]] = []

    def forgetful(request: dict[str, Any]) -> Reply:
        if not forgotten:
            forgotten.append(request)
            return {"message": "EventError", "code": 1, "text": "Client is not registered"}
        return echo(request)

    # When the client asks, then it registers again and has its answer
    with Peer(forgetful) as peer:
        assert connect(peer).request({"message": "RequestX"})["message"] == "EventAck"
    assert [request["message"] for request in peer.requests] == [
        *("RequestRegisterClient", "RequestX", "RequestRegisterClient", "RequestX")
    ]


@pytest.mark.parametrize("how", ["stopped", "silent"])
def test_in_flight_requests_move_with_their_dedup_id(connect: Callable[..., Client], how: str) -> None:
    # Given two servers, the client at one of them, with a request that can be repeated and one that cannot
    held: list[Peer] = []

    def hold(request: dict[str, Any]) -> Reply:
        return None if held and request["message"] == "RequestStopProcessing" and not moved else echo(request)

    moved: list[bool] = []
    with Peer(hold) as one, Peer(hold) as two:
        client = connect(one, two, timing=HASTY if how == "silent" else NEVER)
        client.request({"message": "RequestX"})
        at, other = (one, two) if one.requests else (two, one)
        held.append(at)
        again = client.send(RequestStopProcessing(interaction_id="i", dedup_id="d1"))
        never = client.send({"message": "RequestStopProcessing", "interaction_id": "i"})
        client.idle(0.05)
        moved.append(True)
        if how == "stopped":
            at.stop()
        else:
            at.silent = True
        # When its server dies, or says nothing any more, then the other one gets the first, and the second has failed
        outcomes = dict(client.replies())
        assert isinstance(outcomes[never], Unavailable)
        reply = outcomes[again]
        assert isinstance(reply, dict) and reply["asked"]["dedup_id"] == "d1"
        assert len(other.named("RequestStopProcessing")) == 1 and client.endpoint.requests in other.endpoint


def test_idle_clients_stay_alive(connect: Callable[..., Client]) -> None:
    # Given a keep-alive interval of 0.2 s, when the client has nothing to do but is given time
    def register(request: dict[str, Any]) -> Reply:
        return {"message": "EventAck", "session_id": "s", "keepalive_interval": 0.2}

    with Peer(echo, register) as peer:
        connect(peer).idle(0.5)
        # Then it has pinged often enough
        assert len(peer.named("RequestPing")) >= 3


def test_says_goodbye(connect: Callable[..., Client], wait_until: Callable[..., None]) -> None:
    # Given a client, when it is closed, then the server is told, so that the session ends at once
    with Peer(echo) as peer:
        connect(peer).close()
        wait_until(lambda: peer.named("RequestUnregisterClient"))


def test_pings_without_registering(context: Context) -> None:
    # Given one member that lives, one that says nothing and one that is not there
    with Peer(echo) as lives, Peer(echo) as silent:
        silent.silent = True
        addresses = [Endpoint.of(peer.endpoint).requests for peer in (lives, silent)]
        # When all are asked, then each has its own answer, and none was registered with
        pongs = ping([*addresses, "tcp://127.0.0.1:1"], 0.5, context)
        assert [pong and pong.role for pong in pongs] == ["active", None, None]
        assert not lives.named("RequestRegisterClient")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp://h:7001", ("tcp://h:7001", "tcp://h:7002")),
        ("tcp://h:7001,tcp://g:9", ("tcp://h:7001", "tcp://g:9")),
        ("ipc:///tmp/x", ("ipc:///tmp/x", "")),
    ],
)
def test_an_endpoint_says_where_the_events_are(text: str, expected: tuple[str, str]) -> None:
    # Given an endpoint as text, when it is read, then the stream's address is known, guessed, or left open
    assert Endpoint.of(text) == expected


# ---- the stream

BASE_US = 1_790_000_000_000_000


def message(seq: int, node: str = "n1") -> tuple[bytes, bytes, bytes]:
    us = BASE_US + seq * 10
    payload = {"message": "EventAgentLogin", "node": node, "seq": seq, "time": us / 1e6, "tenant_id": 101}
    return b"101/agent/EventAgentLogin", b"%016d-%b" % (us, node.encode()), json.dumps(payload).encode()


class Stream:
    """The events that a scripted proxy has, and its answers to state and replay."""

    def __init__(self, upto: int) -> None:
        self.upto = upto

    def __call__(self, request: dict[str, Any]) -> Reply:
        if request["message"] == "RequestStartPlaceAgentStateReportingAll":
            return {
                "message": "EventPlaceAgentState",
                "cursor": message(self.upto)[1].decode(),
                "agents": [],
                "queues": {},
            }
        if request["message"] == "RequestReplayEvents":
            return self._replay(request.get("from"), request["count"])
        return echo(request)

    def _replay(self, start: str | None, count: int) -> Reply:
        first = 1 if start is None else (int(start.partition("-")[0]) - BASE_US) // 10 + 1
        found = [message(seq) for seq in range(first, self.upto + 1)]
        body = b",".join(payload for _, _, payload in found[:count])
        more = b"true" if len(found) > count else b"false"
        last = (found[:count] or [message(first - 1)])[-1][1]
        form = b'{"message":"EventReplayedEvents","events":[%b],"cursor":"%b","more":%b}'
        return form % (body, last, more)


def follow(events: Events, upto: int) -> list[Followed]:
    """Reads until the event with this seq is there."""
    taken: list[Followed] = []
    for _ in range(200):
        taken += events.read(0.1)
        if taken and json.loads(taken[-1].payload)["seq"] >= upto:
            return taken
    raise AssertionError(f"seq {upto} did not come; the last was {taken[-1:]}")


def seqs(taken: list[Followed]) -> list[int]:
    return [json.loads(one.payload)["seq"] for one in taken]


def test_the_stream_from_the_oldest_event_in_pages(connect: Callable[..., Client]) -> None:
    # Given 2,500 past events, when a client follows from the oldest
    with Peer(Stream(2500)) as peer:
        events = connect(peer).events("")
        taken = follow(events, 2500)
        events.close()
    # Then all are there, as they were published
    assert [one.payload for one in taken] == [message(seq)[2] for seq in range(1, 2501)]
    assert (taken[0].topic, taken[0].cursor) == ("101/agent/EventAgentLogin", message(1)[1].decode())


def test_the_stream_from_now_on_with_a_gap(connect: Callable[..., Client]) -> None:
    # Given a client that follows from now on, when an event is lost on the way
    stream = Stream(10)
    with Peer(stream) as peer:
        events = connect(peer).events()
        events.read(0.3)
        stream.upto = 13
        peer.publish(message(11), message(13))
        # Then it is filled, and nothing comes twice
        assert seqs(follow(events, 13)) == [11, 12, 13]
        events.close()


def test_the_last_event_of_all_is_found_without_a_successor(connect: Callable[..., Client]) -> None:
    # Given a stream whose last message was lost, when nothing more comes
    stream = Stream(10)
    with Peer(stream) as peer:
        events = connect(peer).events()
        events.read(0.2)
        stream.upto = 11
        # Then the follower asks after a while
        assert seqs(follow(events, 11)) == [11]
        events.close()


def test_the_stream_goes_on_at_another_proxy(connect: Callable[..., Client]) -> None:
    # Given a client that follows at one of two proxies, when that one dies
    streams = Stream(10), Stream(10)
    with Peer(streams[0]) as one, Peer(streams[1]) as two:
        client = connect(one, two)
        events = client.events()
        events.read(0.3)
        at, other = (one, two) if one.requests else (two, one)
        for stream in streams:
            stream.upto = 12
        at.publish(message(11), message(12))
        assert seqs(follow(events, 12)) == [11, 12]
        at.stop()
        for stream in streams:
            stream.upto = 14
        # Then what happened meanwhile comes from the other, and what that one publishes, too
        assert seqs(follow(events, 14)) == [13, 14]
        for stream in streams:
            stream.upto = 15
        other.publish(message(15))
        assert seqs(follow(events, 15)) == [15]
        events.close()


def test_only_the_topics_that_were_asked_for(connect: Callable[..., Client]) -> None:
    # Given events of agents, when only those of interactions are wanted, then none comes
    with Peer(Stream(5)) as peer:
        events = connect(peer).events("", topics=["101/interaction/"])
        assert events.read(0.3) == []
        assert events.position == message(5)[1].decode()
        events.close()


def test_a_stream_without_an_address_is_refused(context: Context) -> None:
    # Given a server whose event address is not known, when its stream is asked for, then the client says what is needed
    with Peer(Stream(1)) as peer:
        requests = Endpoint.of(peer.endpoint).requests
        with (
            Client(Endpoint(requests, ""), "desk", context=context) as client,
            pytest.raises(ValueError, match="EVENTS"),
        ):
            client.events()
