"""The links to the nodes: who serves, what has to be said first, what is sent again."""

from __future__ import annotations

from typing import Any

import pytest

from broker.wire import RESENT, PackedReplies, PackedReply
from proxy.link import AWAY, GREETING, READY, Link
from proxy.links import ASKERS

STOP: dict[str, Any] = {"interaction_id": "one of mine"}
ASK = "RequestStopProcessing"


def link_of(world: Any, name: str = "n1") -> Link:
    """The core's link to a node."""
    link: Link = world.core.links.links[name]
    return link


# -- who serves


def test_a_link_is_ready_when_the_active_member_has_acknowledged_the_hello(make_world: Any) -> None:
    # given a proxy that has heard nobody
    world = make_world(("n1",), beaten=False)
    assert link_of(world).state is AWAY
    # when a member says that it is active
    world.beat()
    # then the proxy says hello to it, and serves through it when that is acknowledged
    assert link_of(world).state is GREETING
    world.flow()
    assert link_of(world).state is READY
    entry, request = world["n1"].seen[0]
    assert (entry.client, request["client_type"], request["session_id"]) == (0, "Proxy", "p1.b007")


@pytest.mark.parametrize("role", ["standby", "starting"])
def test_a_member_that_does_not_serve_is_not_talked_to(make_world: Any, role: str) -> None:
    # given a proxy that has heard nobody
    world = make_world(("n1",), beaten=False)
    # when a member says that it is not active
    world.core.heard(world.now, world["n1"].beat(world.now, role=role))
    world.flow()
    # then nothing is sent to it
    assert link_of(world).state is AWAY
    assert world["n1"].seen == []


def test_the_highest_epoch_is_the_active_member(make_world: Any) -> None:
    # given a link to the primary
    world = make_world(("n1",))
    # when the backup says that it is active with a higher epoch, and the primary goes on saying so with the old one
    world["n1"].fail_over()
    for _ in range(3):
        world.core.heard(world.now, world["n1"].beat(world.now, member="primary", epoch=1))
        world.beat()
        world.flow()
    # then the proxy talks to the backup
    assert (link_of(world).active, link_of(world).epoch, link_of(world).state) == ("backup", 2, READY)


def test_a_silent_member_is_away_after_a_second(make_world: Any) -> None:
    # given a link
    world = make_world(("n1",))
    # when nothing is heard of the member for a second, and then again
    world.kill("n1")
    world.run(0.98)
    states = [link_of(world).state]
    world.run(0.1)
    states.append(link_of(world).state)
    world["n1"].active = "primary"
    world.run(0.1)
    states.append(link_of(world).state)
    # then the link is away, and ready after a new hello
    assert states == [READY, AWAY, READY]
    assert len([request for _, request in world["n1"].seen if request["message"] == "RequestRegisterClient"]) == 2


@pytest.mark.parametrize(("role", "epoch"), [("standby", 1), ("starting", 0)])
def test_a_member_that_steps_down_or_starts_again_is_away_at_once(make_world: Any, role: str, epoch: int) -> None:
    # given a link
    world = make_world(("n1",))
    # when the member says that it does not serve now, or not yet
    world.core.heard(world.now, world["n1"].beat(world.now, role=role, epoch=epoch))
    # then nothing is sent to it any more
    assert link_of(world).state is AWAY


def test_a_hello_that_is_not_answered_is_said_again(make_world: Any) -> None:
    # given a member that is active but does not answer
    world = make_world(("n1",), beaten=False)
    world["n1"].script["RequestRegisterClient"] = None
    world.run(2.5)
    assert link_of(world).state is GREETING
    # when it answers
    del world["n1"].script["RequestRegisterClient"]
    world.run(1.1)
    # then the link is ready; the hello was said about once a second
    assert link_of(world).state is READY
    assert 3 <= len(world["n1"].seen) <= 5


def test_a_jump_of_the_wall_clock_is_nobodys_silence(make_world: Any) -> None:
    # given a link and an open request
    world = make_world(("n1",))
    client = world.client(b"c")
    world["n1"].script[ASK] = None
    ref = world.send(client, ASK, **STOP)
    world.flow()
    # when the wall clock jumps an hour forward, and two back
    for jump_s in (3600.0, -7200.0):
        world.now += jump_s
        world.beat()
        world.flow()
    # then the link is ready, the client registered, the request open
    assert link_of(world).state is READY
    assert world.core.sessions.by_source and not world.is_answered(client, ref)


# -- introductions


def test_a_client_is_introduced_before_its_first_request(make_world: Any) -> None:
    # given a client that no node knows
    world = make_world(("n1",))
    client = world.client(b"desk", "AgentApplication", tenants=[101])
    assert len(world["n1"].seen) == 1
    # when it asks twice
    world.ask(client, ASK, **STOP)
    world.ask(client, ASK, **STOP)
    # then it was introduced once, before that, under its own name and with its own tenants
    ((entry, request),) = world["n1"].seen[1:]
    assert entry.number < world["n1"].log[0][0].number
    assert entry.client == world["n1"].log[0][0].client == world.number_of(client)
    assert request == {
        "message": "RequestRegisterClient",
        "client_name": "desk",
        "client_type": "AgentApplication",
        "tenants": [101],
        "session_id": f"p1.b007.{entry.client}",
    }


def test_a_client_that_changes_its_registration_is_introduced_again(make_world: Any) -> None:
    # given a client that the node knows
    world = make_world(("n1",))
    client = world.client(b"desk")
    world.ask(client, ASK, **STOP)
    # when it registers with fewer tenants and asks again
    world.client(b"desk", tenants=[101])
    world.ask(client, ASK, **STOP)
    # then the node has heard of it
    assert [request.get("tenants") for _, request in world["n1"].seen[1:]] == [[101, 102], [101]]


def test_a_node_that_has_forgotten_a_client_gets_to_know_it_again(make_world: Any) -> None:
    # given a client that the node has forgotten
    world = make_world(("n1",))
    client = world.client(b"desk")
    world.ask(client, ASK, **STOP)
    world["n1"].known.discard(world.number_of(client))
    # when it asks again
    reply = world.ask(client, ASK, **STOP)
    # then it was introduced again, and its request sent again, marked
    assert reply["message"] == "EventAck"
    assert world["n1"].flags(ASK)[-1] == RESENT


def test_a_node_that_does_not_take_a_client_does_not_stop_the_proxy(make_world: Any) -> None:
    # given a node that refuses every introduction but the proxy's own
    world = make_world(("n1",))
    refusal = {"message": "EventError", "code": 91, "text": "busy"}
    world["n1"].script["RequestRegisterClient"] = refusal
    client = world.client(b"desk")
    # when a client asks
    reply = world.ask(client, ASK, **STOP)
    # then the node counts as lost to it, after one more try
    assert (reply["code"], reply["missing"]) == (2003, ["n1"])
    assert len(world["n1"].flags(ASK)) == 2


def test_a_member_that_lost_the_link_is_greeted_again(make_world: Any) -> None:
    # given a member that has lost all sessions, as after a lost connection
    world = make_world(("n1",))
    client = world.client(b"desk")
    world.ask(client, ASK, **STOP)
    world["n1"].known.clear()
    # when the next probe tells the proxy
    world.run(1.2)
    # then it has said hello, introduced its client, and counts it
    assert world["n1"].known == {0, world.number_of(client)}
    assert world.core.counts["link forgotten"] == 1


def test_a_connection_that_was_made_anew_is_greeted_and_asked_again(make_world: Any) -> None:
    # given a client's request that has come to a node by a connection without a hello
    world = make_world(("n1",))
    client, node = world.client(b"desk"), world["n1"]
    node.script[ASK] = None
    ref = world.send(client, ASK, **STOP)
    world.flow()
    entry, _ = node.log[-1]
    # when the node, which knows nobody there, says so to the proxy itself
    del node.script[ASK]
    node.known.clear()
    node.outgoing.append(PackedReply(entry.number, 0, 1, b'{"message":"EventError","code":1}'))
    world.run(0.1)
    # then the proxy says hello, and the request is sent again under its number, and answered once
    assert [request["client_type"] for _, request in node.seen[-2:]] == ["Proxy", "AgentApplication"]
    assert [(again.number, again.flags) for again, _ in node.log] == [(entry.number, 0), (entry.number, RESENT)]
    assert world.reply(client, ref)["message"] == "EventAck"


def test_a_session_that_ends_is_told_to_the_nodes_that_know_it(make_world: Any) -> None:
    # given a client that one of two nodes knows
    world = make_world(("n1", "n2"))
    client = world.client(b"desk")
    number = world.number_of(client)
    world["n1"].script[ASK] = {"message": "EventAck"}
    world["n2"].known.add(number)
    world.ask(client, "RequestSubmit", tenant_id=101, media_type="email")
    knowing = [name for name in ("n1", "n2") if world[name].log]
    # when its session ends
    world.ask(client, "RequestUnregisterClient")
    # then that node is told, and no other
    told = [
        name
        for name in ("n1", "n2")
        if any(request["message"] == "RequestUnregisterClient" for _, request in world[name].seen)
    ]
    assert told == knowing and len(told) == 1


def test_a_node_that_was_away_hears_of_ended_sessions_when_it_is_back(make_world: Any) -> None:
    # given a node that knows a client and is away when its session ends
    world = make_world(("n1",))
    client = world.client(b"desk")
    number = world.number_of(client)
    world.ask(client, ASK, **STOP)
    world.kill("n1")
    world.run(1.2)
    world.ask(client, "RequestUnregisterClient")
    # when its other member takes over, which loses the first farewell as well
    world["n1"].active = "primary"
    world["n1"].fail_over()
    world["n1"].script["RequestUnregisterClient"] = None
    world.run(0.2)
    world["n1"].fail_over()
    del world["n1"].script["RequestUnregisterClient"]
    world.run(0.2)
    # then it was introduced there, so that it could be dismissed
    told = [entry.client for entry, request in world["n1"].seen if request["message"] == "RequestUnregisterClient"]
    assert told == [number, number]
    assert link_of(world).known == {} and link_of(world).leaving == {} and link_of(world).parting == {}


def test_a_node_whose_database_is_locked_hears_of_ended_sessions_again(make_world: Any) -> None:
    # given a node whose database is locked when a session ends
    world = make_world(("n1",))
    number = world.number_of(client := world.client(b"desk"))
    world.ask(client, ASK, **STOP)
    world["n1"].script["RequestUnregisterClient"] = lambda request: world["n1"].known.add(number) or LOCKED
    world.ask(client, "RequestUnregisterClient")
    world.run(3.0)
    # when the lock is gone
    del world["n1"].script["RequestUnregisterClient"]
    told = len(world["n1"].seen)
    world.run(1.2)
    # then it is told again, and until then it was not asked all the time
    assert told < 12
    assert "RequestUnregisterClient" in [request["message"] for _, request in world["n1"].seen[told:]]
    assert link_of(world).known == {} and link_of(world).unheeded == {}


def test_a_client_that_a_node_could_not_take_is_introduced_again_though_it_asks_nothing(make_world: Any) -> None:
    # given a new active member whose database is locked when the clients come back
    world = make_world(("n1",))
    number = world.number_of(client := world.client(b"desk"))
    world.ask(client, ASK, **STOP)
    world["n1"].fail_over()
    registered = {"message": "EventAck"}
    world["n1"].known.add(0)
    world["n1"].script["RequestRegisterClient"] = lambda request: registered if "p1" in request.values() else LOCKED
    world.run(1.0)
    assert number not in world["n1"].known
    # when the lock is gone
    del world["n1"].script["RequestRegisterClient"]
    world.run(2.2)
    # then the client is known there
    assert number in world["n1"].known


LOCKED = {"message": "EventError", "code": 60, "text": "Database failure"}


def test_an_introduction_that_was_not_answered_brings_nobody_back(make_world: Any) -> None:
    # given a node that knows a client, and whose word of that was lost on the way
    world = make_world(("n1",))
    number = world.number_of(client := world.client(b"desk"))
    world["n1"].known.add(number)
    world["n1"].script["RequestRegisterClient"] = None
    world.ask(client, ASK, **STOP)
    del world["n1"].script["RequestRegisterClient"]
    # when the client's session has ended there, and what has no answer is sent again
    world.ask(client, "RequestUnregisterClient")
    world.run(2.0)
    # then the client stays unknown there
    assert number not in world["n1"].known
    assert link_of(world).open == {}


def test_an_introduction_that_was_not_answered_does_not_undo_a_later_one(make_world: Any) -> None:
    # given a node that knows a client, and whose word of that was lost on the way
    world = make_world(("n1",))
    number = world.number_of(client := world.client(b"mail", "MediaServer", media_type="email"))
    world["n1"].known.add(number)
    world["n1"].script["RequestRegisterClient"] = None
    world.ask(client, ASK, **STOP)
    del world["n1"].script["RequestRegisterClient"]
    # when the client changes its registration
    world.client(client, "MediaServer", media_type="chat")
    world.run(2.0)
    # then that is the last that the node has heard of it
    told = [request["media_type"] for entry, request in world["n1"].seen if entry.client == number]
    assert told == ["email", "chat"]


# -- failover


def test_open_requests_are_sent_again_to_the_new_member(make_world: Any) -> None:
    # given a request that the active member has not answered when it dies
    world = make_world(("n1",))
    client = world.client(b"desk")
    world["n1"].script[ASK] = None
    ref = world.send(client, ASK, **STOP)
    world.flow()
    world.kill("n1")
    world.run(1.5)
    # when the other member takes over
    del world["n1"].script[ASK]
    world["n1"].active = "primary"
    world["n1"].fail_over()
    world.run(0.1)
    # then it was sent again, under the same number and marked, and the client has its answer
    first, second = (entry for entry, _ in world["n1"].log)
    assert (first.number, first.payload) == (second.number, second.payload)
    assert (first.flags, second.flags) == (0, RESENT)
    assert world.reply(client, ref)["message"] == "EventAck"


def test_requests_wait_for_a_member_in_their_order(make_world: Any) -> None:
    # given a node between two active members
    world = make_world(("n1",))
    client = world.client(b"desk")
    world.kill("n1")
    world.run(1.2)
    # when requests come, and then the new member
    refs = [world.send(client, ASK, interaction_id=str(number)) for number in range(5)]
    world.run(1.0)
    assert not any(world.is_answered(client, ref) for ref in refs)
    world["n1"].active = "primary"
    world["n1"].fail_over()
    world.run(0.1)
    # then they arrive as they came, none marked as sent before
    assert [request["interaction_id"] for request in world["n1"].asked(ASK)] == list("01234")
    assert set(world["n1"].flags(ASK)) == {0}
    assert all(world.is_answered(client, ref) for ref in refs)


def test_a_member_that_is_not_primary_makes_requests_wait(make_world: Any) -> None:
    # given a member that has just been replaced and says so, without the epoch
    world = make_world(("n1",))
    client = world.client(b"desk")
    world["n1"].deaf = True
    ref = world.send(client, ASK, **STOP)
    world.flow()
    number = max(world.core.links.links["n1"].open)
    decline = PackedReply(number, 1, 90, b'{"message":"EventError","code":90,"text":"not primary"}')
    world.core.replies(world.now, "n1", "primary", PackedReplies(0, [decline]))
    # when the other one serves
    assert link_of(world).state is AWAY and not world.is_answered(client, ref)
    world["n1"].deaf = False
    world["n1"].fail_over()
    world.run(0.1)
    # then the request is served there
    assert world.reply(client, ref)["message"] == "EventAck"


def test_a_replaced_member_is_not_listened_to(make_world: Any) -> None:
    # given a request that the old member answers only after the new one has taken over
    world = make_world(("n1",))
    client = world.client(b"desk")
    world["n1"].script[ASK] = None
    ref = world.send(client, ASK, **STOP)
    world.flow()
    number = world["n1"].log[0][0].number
    world["n1"].fail_over()
    world.beat()
    # when its answer comes
    late = PackedReply(number, 1, 0, b'{"message":"EventAck","interaction_id":"stale"}')
    world.core.replies(world.now, "n1", "primary", PackedReplies(1, [late]))
    world["n1"].script[ASK] = {"message": "EventAck", "interaction_id": "fresh"}
    world.run(0.1)
    # then it is counted, and the new member's is passed on
    assert world.reply(client, ref)["interaction_id"] == "fresh"
    assert world.core.counts["stale reply"] == 1


def test_clients_are_introduced_to_the_new_member_though_they_ask_nothing(make_world: Any) -> None:
    # given many clients that the node knows
    world = make_world(("n1",))
    for number in range(450):
        world.ask(world.client(f"desk{number}".encode()), ASK, **STOP)
    # when the node fails over
    world["n1"].fail_over()
    world.run(0.2)
    # then the new member knows them all
    assert len(world["n1"].known) == 451


# -- loss


def test_a_request_lost_on_the_way_is_sent_again_after_the_next_probe(make_world: Any) -> None:
    # given a request that the node has never got
    world = make_world(("n1",))
    client = world.client(b"desk")
    world.ask(client, ASK, **STOP)
    world["n1"].deaf = True
    ref = world.send(client, ASK, **STOP)
    world.core.take()
    world["n1"].deaf = False
    # when a probe that was sent later is answered
    world.run(2.1)
    # then the request was sent again, marked, once
    assert world.reply(client, ref)["message"] == "EventAck"
    assert world["n1"].flags(ASK) == [0, RESENT]


def test_what_the_shell_could_not_send_is_tried_again_in_order(make_world: Any) -> None:
    # given requests that the shell could not send
    world = make_world(("n1",))
    client = world.client(b"desk")
    world.ask(client, ASK, interaction_id="first")
    refs = [world.send(client, ASK, interaction_id=str(number)) for number in range(3)]
    ((_, requests),) = world.core.take().links.items()
    world.core.unsent(world.now, "n1", "primary", requests)
    refs.append(world.send(client, ASK, interaction_id="3"))
    world.flow()
    assert not world.is_answered(client, refs[0]) and not world.is_answered(client, refs[3])
    # when a moment has passed
    world.run(0.1)
    # then they were sent in their order, before what came after them, as new ones
    assert [request["interaction_id"] for request in world["n1"].asked(ASK)][1:] == list("0123")
    assert set(world["n1"].flags(ASK)) == {0}


def test_a_node_does_not_take_the_proxy_for_silent(make_world: Any) -> None:
    # given a node with a short keep-alive interval
    world = make_world(("n1",))
    world.core.links.links["n1"].keepalive_s = 0.2
    world.run(1.0)
    before = len(world["n1"].seen)
    # when a second passes
    world.run(1.0)
    # then it has heard of the proxy often enough
    assert len(world["n1"].seen) - before >= 8


def test_a_doubled_reply_is_dropped_and_counted(make_world: Any) -> None:
    # given a node that answers twice
    world = make_world(("n1",))
    client = world.client(b"desk")
    world.ask(client, ASK, **STOP)
    entry, _ = world["n1"].log[0]
    # when the second answer comes
    world["n1"].reply(entry, {"message": "EventAck"})
    world.flow()
    # then the client does not see it
    assert len(world.replies[client, 2]) == 1
    assert world.core.counts["late reply"] == 1


def test_nodes_are_told_what_is_settled(make_world: Any) -> None:
    # given three requests, of which the first and the last are answered
    world = make_world(("n1",))
    client = world.client(b"desk")
    world["n1"].script[ASK] = lambda request: None if request["interaction_id"] == "2" else {"message": "EventAck"}
    for ident in "123":
        world.send(client, ASK, interaction_id=ident)
        world.flow()
    second = world["n1"].log[1][0].number
    # when something more is sent
    world.send(client, ASK, interaction_id="4")
    settled = [world.core.take().settled["n1"]]
    world["n1"].reply(world["n1"].log[1][0], {"message": "EventAck"})
    world.flow()
    ref = world.send(client, ASK, interaction_id="5")
    settled.append(world.core.take().settled["n1"])
    # then everything below the lowest open number is settled
    assert settled[0] == second
    assert settled[1] > second + 1 and not world.is_answered(client, ref)


def test_numbers_behind_a_request_that_stays_open_take_no_room(make_world: Any) -> None:
    # given a request that stays open
    world = make_world(("n1",))
    client = world.client(b"desk")
    world["n1"].script[ASK] = lambda request: None if request["interaction_id"] == "open" else {"message": "EventAck"}
    world.send(client, ASK, interaction_id="open")
    # when thousands of others are answered behind it
    for number in range(3000):
        world.send(client, ASK, interaction_id=str(number))
        if number % 100 == 0:
            world.flow()
    world.flow()
    # then nothing is kept of them
    assert len(link_of(world).open) == 1
    assert link_of(world).settled(9999) == min(link_of(world).open)


# -- patience


@pytest.mark.parametrize(("away_s", "waits"), [(0.5, True), (9.0, True), (11.0, False)])
def test_a_node_is_waited_for_as_long_as_it_is_expected_back(make_world: Any, away_s: float, waits: bool) -> None:
    # given a node that has been without an active member for so long
    world = make_world(("n1",))
    client = world.client(b"desk")
    world.kill("n1")
    world.run(1.02 + away_s)
    # when a request for it comes
    ref = world.send(client, ASK, **STOP)
    world.flow()
    # then it waits while the node may come back within the request timeout, else it is answered at once
    assert world.is_answered(client, ref) is not waits


def test_what_waits_is_given_up_when_the_node_has_been_away_too_long(make_world: Any) -> None:
    # given a request that waits for a node which has been away for nine seconds
    world = make_world(("n1",))
    client = world.client(b"desk")
    world.kill("n1")
    world.run(10.02)
    ref = world.send(client, ASK, **STOP)
    # when the node has been away for ten
    world.run(1.1)
    # then the request is answered, well before its own deadline
    assert world.reply(client, ref)["code"] == 2003
    assert world.reply(client, ref)["missing"] == ["n1"]


def test_a_node_never_heard_is_waited_for_shortly(make_world: Any) -> None:
    # given a proxy that has just started and has heard nobody
    world = make_world(("n1", "n2"), beaten=False)
    client = world.client(b"desk")
    for node in world.nodes.values():
        node.deaf = True
    refs = [world.send(client, ASK, **STOP)]
    # when two seconds have passed, and then a request comes
    world.run(1.9)
    before = world.is_answered(client, refs[0])
    world.run(0.2)
    refs.append(world.send(client, ASK, **STOP))
    world.flow()
    # then the first has waited so long, the second does not
    assert not before
    assert [world.reply(client, ref)["code"] for ref in refs] == [2003, 2003]


def test_a_node_that_starts_with_the_proxy_is_waited_for(make_world: Any) -> None:
    # given a proxy and a node that start together: the node is heard, but serves only after five seconds
    world = make_world(("n1",), beaten=False)
    client = world.client(b"desk")
    world["n1"].active = None
    ref = world.send(client, ASK, **STOP)
    for _ in range(50):
        world.core.heard(world.now, world["n1"].beat(world.now, role="starting", member="primary"))
        world.run(0.1)
    # when it serves
    world["n1"].active = "primary"
    world.run(0.1)
    # then the request has waited for it
    assert world.reply(client, ref)["message"] == "EventAck"


def probed(world: Any) -> list[int]:
    """Whom the node was told of by the probes of three seconds."""
    before = len(world["n1"].seen)
    world.run(3.1)
    return [client for _, request in world["n1"].seen[before:] for client in request.get("askers", [])]


def test_probes_name_clients_with_agents_that_ask_anything_once(make_world: Any) -> None:
    # given more desks than one probe names, which the node knows, and an engine
    world = make_world(("n1",))
    desks = [world.client(f"desk-{number}".encode()) for number in range(ASKERS + 6)]
    engine = world.client(b"urs", "RoutingEngine")
    for client in (*desks, engine):
        world.ask(client, ASK, **STOP)
    probed(world)
    # when some ask twice, one pings, and the engine asks
    for client in (*desks[:-1], *desks[:2], engine):
        world.ask(client, ASK, **STOP)
    world.ask(desks[-1], "RequestPing")
    # then the node is told of each desk that has asked, once, and then of nobody
    numbers = [world.core.sessions.by_source[desk].client for desk in desks]
    assert sorted(probed(world)) == sorted(numbers[:-1])
    assert probed(world) == []
