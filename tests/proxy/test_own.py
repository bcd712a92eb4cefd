"""What the proxy answers itself: registration, liveness, status."""

from __future__ import annotations

import json
from typing import Any

import pytest

from broker.messages import REQUESTS

STOP: dict[str, Any] = {"interaction_id": "mine"}


def test_the_reply_to_a_registration(world: Any) -> None:
    # given a proxy
    # when a client registers
    reply = world.ask(b"c", "RequestRegisterClient", client_name="desk", client_type="AgentApplication")
    # then it hears who the proxy is, its session, and how often to say something
    assert reply.pop("session_id").startswith("p1.1.")
    assert reply == {
        "message": "EventAck",
        "server": "p1",
        "kind": "Interaction Server Proxy",
        "protocol": 1,
        "keepalive_interval": 30.0,
    }


@pytest.mark.parametrize("message", [name for name in REQUESTS if name not in ("RequestPing", "RequestRegisterClient")])
def test_before_registration_nothing_else_is_served(world: Any, message: str) -> None:
    # given a client that has not registered
    # when it asks for anything, well or badly
    reply = world.ask(b"stranger", message)
    # then it is told to register, and no node hears of it
    assert (reply["code"], reply["request"]) == (1, message)
    assert all(node.log == [] for node in world.nodes.values())


def test_a_ping_is_always_served(world: Any) -> None:
    # given a client that has not registered
    # when it pings, before and after registering
    replies = [world.ask(b"c", "RequestPing")]
    world.client(b"c")
    replies.append(world.ask(b"c", "RequestPing"))
    # then it is answered by the proxy
    assert [(reply["message"], reply["server"], reply["clients"]) for reply in replies] == [
        ("EventPong", "p1", 0),
        ("EventPong", "p1", 1),
    ]
    # and says whether it knows who asks
    assert [reply["registered"] for reply in replies] == [False, True]


def test_a_bad_registration_is_told_what_is_wrong(world: Any) -> None:
    # given a client that has not registered
    # when it forgets a field of its registration
    reply = world.ask(b"c", "RequestRegisterClient", client_name="desk")
    # then that is named
    assert (reply["code"], reply["field"]) == (2, "client_type")


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b"[]", b'{"a":1}', b'"x"', b"[" * 50_000])
@pytest.mark.parametrize("registered", [False, True])
def test_garbage_is_answered(world: Any, payload: bytes, registered: bool) -> None:
    # given a client
    if registered:
        world.client(b"c")
    # when it sends what is no request
    reply = world.ask(b"c", payload)
    # then it is told that it cannot be read
    assert (reply["message"], reply["code"]) == ("EventError", 4)


def test_unknown_requests_and_long_ones(make_world: Any) -> None:
    # given a client
    world = make_world(("n1",), max_message_size=1024)
    client = world.client(b"c")
    # when it asks for something that there is not, and too much
    unknown = world.ask(client, "RequestMoon")
    long = world.ask(client, json.dumps({"message": "RequestPing", "extension": "x" * 1024}).encode())
    # then each is refused
    assert (unknown["code"], unknown["field"]) == (2000, "message")
    assert long["code"] == 4


def test_a_client_may_send_only_what_is_for_its_type(world: Any) -> None:
    # given a monitor
    client = world.client(b"c", "Monitor")
    # when it submits
    reply = world.ask(client, "RequestSubmit", tenant_id=101, media_type="email")
    # then it may not
    assert (reply["code"], reply["request"]) == (40, "RequestSubmit")


def test_a_client_that_unregisters_is_unknown_after_it(world: Any) -> None:
    # given a client
    client = world.client(b"c")
    # when it unregisters and goes on asking
    replies = [world.ask(client, "RequestUnregisterClient"), world.ask(client, "RequestStopProcessing", **STOP)]
    # then it is told to register
    assert replies[0]["message"] == "EventAck"
    assert replies[1]["code"] == 1


def test_a_client_that_registers_as_another_ends_its_first_session(world: Any) -> None:
    # given a client with an agent
    client = world.client(b"c")
    world.ask(client, "RequestAgentLogin", tenant_id=101, agent_id="V")
    number = world.number_of(client)
    # when another client registers from its address
    world.ask(client, "RequestRegisterClient", client_name="other", client_type="Monitor")
    # then the nodes are told of the end of the first one's session
    for node in world.nodes.values():
        assert ("RequestUnregisterClient", number) in [
            (request["message"], entry.client) for entry, request in node.seen
        ]


@pytest.mark.parametrize("keepalive", [True, False])
def test_a_session_lives_as_long_as_something_comes(make_world: Any, keepalive: bool) -> None:
    # given a client that a node knows
    world = make_world(("n1",), keepalive_interval=1.0)
    client = world.client(b"c")
    world.ask(client, "RequestStopProcessing", **STOP)
    # when five intervals pass in which it sends nothing, or anything at all
    for _ in range(5):
        world.run(1.0)
        if keepalive:
            world.ask(client, b"not even a request")
    # then its session is over, and the node told, or not
    assert (b"c" in world.core.sessions.by_source) is keepalive
    told = [request for _, request in world["n1"].seen if request["message"] == "RequestUnregisterClient"]
    assert len(told) == (0 if keepalive else 1)


def test_a_client_that_was_lost_comes_back_for_its_replies(world: Any) -> None:
    # given a client that cannot be reached when a node tells it something
    session_id = world.ask(b"c", "RequestRegisterClient", client_name="c", client_type="AgentApplication")["session_id"]
    number = world.number_of(b"c")
    world.core.lost(world.now, b"c")
    world["n1"].notify(number, message="EventInvite", ticket_id=1)
    world.flow()
    assert world.core.counts["client gone"] == 1
    # when it registers from another address with its session
    world.ask(b"d", "RequestRegisterClient", client_name="c", client_type="AgentApplication", session_id=session_id)
    world["n1"].notify(number, message="EventInvite", ticket_id=2)
    world.flow()
    # then it is the same client, and hears what comes now
    assert world.number_of(b"d") == number
    assert world.notes == {b"d": [{"message": "EventInvite", "ticket_id": 2}]}


def test_a_client_that_comes_back_is_introduced_again_at_once(world: Any) -> None:
    # given a client that a node knows, and whose connection was lost
    world.client(b"c", "MediaServer")
    session = world.core.sessions.by_source[b"c"].session_id
    world.ask(b"c", "RequestFindInteractions", tenant_id=101)
    world.core.lost(world.now, b"c")
    for node in world.nodes.values():
        node.seen.clear()
    # when it resumes its session by another one
    fields = {"client_name": "c", "client_type": "MediaServer", "session_id": session}
    world.ask(b"d", "RequestRegisterClient", **fields)
    # then the nodes hear of it, so that they tell it again what it may have missed
    seen = [[request["message"] for _, request in node.seen] for node in world.nodes.values()]
    assert seen == [["RequestRegisterClient"]] * 3


def test_a_client_whose_session_ends_for_silence_is_told(make_world: Any) -> None:
    # given a client that is connected, and one that is not
    world = make_world(keepalive_interval=5.0)
    world.client(b"c", "MediaServer")
    world.client(b"gone", "MediaServer")
    world.core.lost(world.now, b"gone")
    # when nothing is heard of them for three intervals
    world.run(15.1)
    # then the one that can be told is told
    assert {source: [note["message"] for note in notes] for source, notes in world.notes.items()} == {
        b"c": ["EventForcedDisconnect"]
    }
    assert world.ask(b"c", "RequestGetStatus")["code"] == 1


def test_too_many_clients_and_calls_are_told_to_come_again(make_world: Any) -> None:
    # given a proxy with room for two clients and a hundred calls, in which a hundred wait
    world = make_world(("n1",), max_clients=2, max_pending=100)
    client = world.client(b"c")
    world["n1"].script["RequestStopProcessing"] = None
    refs = [world.send(client, "RequestStopProcessing", **STOP) for _ in range(100)]
    world.flow()
    # when more come
    world.client(b"d")
    registration = world.ask(b"e", "RequestRegisterClient", client_name="e", client_type="Monitor")
    call = world.ask(client, "RequestStopProcessing", **STOP)
    pull = world.ask(client, "RequestPull", tenant_id=101, view_id="Inbound/all")
    login = world.ask(client, "RequestAgentLogin", tenant_id=101, agent_id="V")
    ping = world.ask(client, "RequestPing")
    # then the proxy is busy, says when to come again, and answers what it answers itself
    for reply in (registration, call, pull, login):
        assert reply["code"] == 91 and reply["retry_after"] > 0
    assert ping["message"] == "EventPong"
    # and when those that wait are over, there is room again, also for the agent that was turned away
    world.run(10.1)
    assert all(world.is_answered(client, ref) for ref in refs)
    assert world.ask(client, "RequestAgentLogin", tenant_id=101, agent_id="V")["message"] == "EventAck"


def test_the_status_is_what_members_say_of_themselves(make_world: Any) -> None:
    # given a node with both members, one with the active one only, one with none
    world = make_world(("n1", "n2", "n3"))
    client = world.client(b"m", "Monitor")
    said = json.dumps({"role": "active", "pid": 7, "rev": 5, "why": "started", "node": {"backlog": 3}}).encode()
    world.kill("n3")
    world.run(1.1)
    world.core.heard(world.now, world["n1"].beat(world.now, status=said, next_seq=4))
    world.core.heard(world.now, world["n1"].beat(world.now, member="backup", role="standby", status=b"garbage"))
    # when the status is asked for
    status = world.ask(client, "RequestGetStatus")
    # then it says all this, and why the cluster is not healthy
    n1, n2, n3 = (status["nodes"][name] for name in ("n1", "n2", "n3"))
    assert (n1["state"], n2["state"], n3["state"], status["state"]) == ("healthy", "degraded", "down", "degraded")
    assert n1["backlog"] == 3
    assert n1["members"]["primary"] == {"role": "active", "pid": 7, "epoch": 1, "rev": 5, "why": "started"}
    assert n1["members"]["backup"]["role"] == "standby"
    assert n2["members"]["backup"]["role"] == "unreachable"
    assert status["why"][0] == "n2: backup is unreachable" and "n3: no active member" in status["why"]
    member = status["proxies"]["p1"]["members"]["primary"]
    assert (member["role"], member["clients"]) == ("active", 1)


def test_a_member_that_was_replaced_is_not_shown_as_active(make_world: Any) -> None:
    # given a node whose active member has said what it is
    world = make_world(("n1",))
    client = world.client(b"m", "Monitor")
    said = json.dumps({"role": "active", "pid": 7, "rev": 5, "why": "started", "node": {"backlog": 3}}).encode()
    world.core.heard(world.now, world["n1"].beat(world.now, status=said))
    # when the other member takes over, half a second before the first one counts as silent
    world["n1"].fail_over()
    world.run(0.5)
    members = world.ask(client, "RequestGetStatus")["nodes"]["n1"]["members"]
    # then one is active, and nothing is said of the other but that
    assert (members["backup"]["role"], members["backup"]["epoch"]) == ("active", 2)
    assert (members["primary"]["role"], members["primary"]["pid"]) == ("unreachable", None)
    assert "backup is active in epoch 2" in members["primary"]["why"]
    # and when it comes back as another process, what the first one said is not said of that
    world.core.heard(world.now, world["n1"].beat(world.now, member="primary", role="standby", epoch=0))
    primary = world.ask(client, "RequestGetStatus")["nodes"]["n1"]["members"]["primary"]
    assert (primary["role"], primary["pid"], primary["rev"]) == ("standby", None, None)


def test_a_member_that_needs_an_operator_says_why(make_world: Any) -> None:
    # given a node whose other member's database is refused
    world = make_world(("n1",))
    client = world.client(b"m", "Monitor")
    said = json.dumps({"role": "stopped", "pid": 8, "why": "database n1.db: is damaged"}).encode()
    stopped = world["n1"].beat(world.now, member="backup", role="stopped", epoch=0, status=said)
    world.core.heard(world.now, stopped)
    # when the status is asked for
    status = world.ask(client, "RequestGetStatus")
    # then the reason stands with the cluster's
    assert (status["state"], status["why"]) == ("degraded", ["n1: backup is stopped: database n1.db: is damaged"])


def test_a_cluster_without_a_node_is_down(make_world: Any) -> None:
    # given a proxy that has heard nobody
    world = make_world(("n1",), beaten=False)
    client = world.client(b"m", "Monitor")
    # when the status is asked for
    # then the cluster is down
    assert world.ask(client, "RequestGetStatus")["state"] == "down"
