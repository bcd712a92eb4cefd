"""Every request of the catalogue through the proxy: exactly one right answer in its time, whatever nodes do."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.ids import make_id, node_code
from broker.messages import REQUESTS, decoder
from broker.messages.interactions import InteractionRequest
from broker.messages.kinds import ClientType, Merge, Request, Route
from broker.messages.reporting import RequestReplayEvents
from broker.wire import PackedReplies, PackedReply, Replayed, pack
from proxy.heads import NEEDS, head_of

AT_1 = make_id(node_code("n1"), 1)
TIMEOUT_S = 10.0
INVITATION_S = 30.0
"""How much longer a reply may take that waits for an invited agent: the nodes' delivering-timeout."""

FIELDS: dict[str, Any] = {
    "snapshot_id": AT_1,
    "condition": "",
    "interaction_id": AT_1,
    "tenant_id": 101,
    "media_type": "email",
    "queue": "Inbound",
    "agent_id": "VICKY",
    "ticket_id": 1,
    "view_id": "Inbound/all",
    "node": "n1",
    "client_name": "desk",
    "request": {"Service": "Classify"},
    "esp_server_refid": AT_1,
}
PROPERTIES = {"interaction_id": AT_1, **dict.fromkeys(("priority", "is_online", "interaction_state"), 0)}
REPLIES: dict[str, dict[str, Any]] = {
    "EventInteractionsFound": {"interactions": []},
    "EventWorkbinContent": {"interactions": []},
    "EventAgentWorkbinStats": {"workbins": []},
    "EventQueues": {"queues": []},
    "EventSnapshotTaken": {"snapshot_id": AT_1, "number_of_interactions": 1},
    "EventSnapshotInteractions": {"snapshot_id": AT_1, "interactions": []},
    "EventInteractionMoved": {"snapshot_id": AT_1, "queue": "Inbound", "number_of_interactions": 1},
    "EventPulledInteractions": {"interactions": [PROPERTIES]},
    "EventInteractionProperties": {"interaction": PROPERTIES},
    "EventAgentState": {"tenant_id": 101, "agent_id": "VICKY", "session": "n1-1", "login_at": 1.0},
    "EventPlaceAgentState": {"cursor": "0000000000000000-n1", "agents": [], "queues": {}},
}
FORWARDED = [name for name, request in REQUESTS.items() if request.route is not Route.HERE]
BETWEEN = {name for name, request in REQUESTS.items() if request.senders == {ClientType.PROXY}}
"""Requests between a proxy and its nodes: not for clients."""
ASKED_AS = {"RequestStartPlaceAgentStateReporting": "RequestStartPlaceAgentStateReportingAll"}
"""What the nodes are asked instead."""


def kind_of(request: type[Request]) -> str:
    """A type of client that may send it."""
    allowed = sorted(kind.value for kind in request.senders)
    return "AgentApplication" if "AgentApplication" in allowed else allowed[0]


def sample(request: type[Request]) -> dict[str, Any]:
    """A well-formed request, with all that routing may look at."""
    fields = msgspec.structs.fields(request)
    body = {
        field.encode_name: FIELDS[field.name] for field in fields if field.name in FIELDS and is_wanted(request, field)
    }
    return {
        "message": str(request.__struct_config__.tag),
        **request.example,
        **body,
        **({"client_type": kind_of(request)} if "client_type" in {f.name for f in fields} else {}),
    }


def is_wanted(request: type[Request], field: Any) -> bool:
    """A required field, or one that makes the request routable; a submit comes without an id of its own."""
    return bool(field.required) or (field.name == "agent_id" and request.route is Route.AGENT)


def head_of_n1() -> dict[str, Any]:
    """A head for the view."""
    return {"message": "EventViewHead", "view_id": "Inbound/all", "head": [0, 1.0, AT_1]}


def answers(world: Any, name: str) -> dict[str, Any] | bytes:
    """What a node answers to a well-formed request."""
    request = REQUESTS[name]
    if request is RequestReplayEvents:
        return pack(Replayed(1, [], int(world.now * 1e6), False))
    return {"message": request.reply, **REPLIES.get(request.reply, {})}


def prepared(make_world: Any, name: str, **script: Any) -> tuple[Any, bytes]:
    """A world whose nodes answer the request well, or as the script has it; and a client that may send it."""
    world = make_world(("n1", "n2", "n3"))
    world.run(0.1)
    client = world.client(b"client", kind_of(REQUESTS[name]))
    world["n1"].heads["Inbound/all"] = head_of_n1()["head"]
    if REQUESTS[name].route is Route.AGENT and name != "RequestAgentLogin":
        world.ask(client, "RequestAgentLogin", tenant_id=101, agent_id="VICKY", media_list={"voice": 1})
        for node in world.nodes.values():
            node.log.clear()
    for node in world.nodes.values():
        node.script[ASKED_AS.get(name, name)] = script.get(node.name, answers(world, name))
    return world, client


def outcome(world: Any, client: bytes, name: str, **fields: Any) -> dict[str, Any]:
    """The one answer to a sample of the request; it has come within the request's time."""
    ref = world.send(client, json.dumps({**sample(REQUESTS[name]), **fields}).encode())
    world.flow()
    if not world.is_answered(client, ref):
        world.run(TIMEOUT_S + (INVITATION_S if REQUESTS[name].deferred else 0.0) + 0.1)
    reply: dict[str, Any] = world.reply(client, ref)
    assert len(world.core.calls) == 0 or REQUESTS[name].route is Route.STREAM
    return reply


# -- all well


@pytest.mark.parametrize("name", REQUESTS)
def test_all_well(make_world: Any, name: str) -> None:
    # given nodes that are all there
    world, client = prepared(make_world, name)
    # when a client sends any request of the catalogue
    reply = outcome(world, client, name)
    # then it gets the reply that the catalogue says, but for what is between proxies and nodes
    if name in BETWEEN:
        assert reply["code"] == 2000
    else:
        assert reply["message"] == REQUESTS[name].reply
    assert all(
        node.name == "n1" or REQUESTS[name].merge is not Merge.POSITIVE for node in world.nodes.values() if node.log
    )


@pytest.mark.parametrize("name", REQUESTS)
def test_wrong_type_of_client(make_world: Any, name: str) -> None:
    # given a client of each type that may not send the request
    denied = [kind for kind in ClientType if kind not in REQUESTS[name].senders]
    for kind in denied:
        world = make_world(("n1",))
        client = world.client(b"client", kind.value)
        # when it does
        reply = outcome(world, client, name)
        # then access is denied, and the node hears nothing
        assert (reply["code"], reply["request"]) == (40, name)
        assert world["n1"].log == []


# -- one node lost, all lost


@pytest.mark.parametrize("name", [name for name in FORWARDED if name not in BETWEEN])
def test_one_node_lost(make_world: Any, name: str) -> None:
    # given a node that answers nothing and is heard no more, where the request's interaction is not
    world, client = prepared(make_world, name, n3=None)
    world.kill("n3")
    world.run(1.1)
    # when the request comes
    reply = outcome(world, client, name)
    # then it is served; where all nodes count, the answer says who is missing, or that it was not done everywhere
    if REQUESTS[name].route is Route.SCATTER and REQUESTS[name].merge is Merge.ALL:
        assert (reply["code"], reply["missing"]) == (2002, ["n3"])
        return
    assert reply["message"] == REQUESTS[name].reply
    if REQUESTS[name].merge in (Merge.ORDERED, Merge.STATES, Merge.EVENTS):
        assert reply["missing"] == ["n3"]
    if REQUESTS[name].merge in (Merge.ORDERED, Merge.STATES):
        assert reply["complete"] is False


@pytest.mark.parametrize("name", [name for name in FORWARDED if REQUESTS[name].route is Route.INTERACTION])
def test_one_node_lost_that_might_hold_the_interaction(make_world: Any, name: str) -> None:
    # given an id that tells nothing, two nodes that do not have it, and one that is lost
    unknown = {"message": "EventError", "code": 43, "text": "Unknown interaction identifier"}
    world, client = prepared(make_world, name, n1=unknown, n2=unknown, n3=None)
    world.kill("n3")
    # when the request comes
    reply = outcome(world, client, name, interaction_id="mine")
    # then nobody can tell
    assert (reply["code"], reply["missing"], reply["request"]) == (2003, ["n3"], name)


@pytest.mark.parametrize("away_s", [0.0, 2.0, 30.0])
@pytest.mark.parametrize("name", [name for name in FORWARDED if name not in BETWEEN])
def test_all_nodes_lost(make_world: Any, name: str, away_s: float) -> None:
    # given nodes of which none answers, since now, for a while, or for long
    world, client = prepared(make_world, name, n1=None, n2=None, n3=None)
    for node in world.nodes:
        world.kill(node)
    world.run(away_s)
    # when the request comes
    reply = outcome(world, client, name)
    # then the answer says so
    expected = {Route.INTERACTION: 2003, Route.SNAPSHOT: 2006}.get(REQUESTS[name].route, 2002)
    assert (reply["message"], reply["code"]) == ("EventError", expected)
    assert reply["missing"]


@pytest.mark.parametrize("name", [name for name in REQUESTS if REQUESTS[name].route is Route.HERE])
def test_what_the_proxy_answers_needs_no_node(make_world: Any, name: str) -> None:
    # given nodes of which none was ever heard
    world = make_world(("n1",), beaten=False)
    client = world.client(b"client", kind_of(REQUESTS[name]))
    # when the request comes
    # then it is answered at once
    assert world.ask(client, json.dumps(sample(REQUESTS[name])).encode())["message"] == REQUESTS[name].reply


# -- garbage and doubles


@pytest.mark.parametrize("garbage", [b"\xff\x00", b"", b'{"message":'])
@pytest.mark.parametrize("name", [name for name in FORWARDED if name not in BETWEEN])
def test_garbage_replies(make_world: Any, name: str, garbage: bytes) -> None:
    # given nodes that answer with what is no reply
    world, client = prepared(make_world, name, n1=garbage, n2=garbage, n3=garbage)
    # when the request comes
    reply = outcome(world, client, name)
    # then they count as silent
    expected = {Route.INTERACTION: 2003, Route.SNAPSHOT: 2006}.get(REQUESTS[name].route, 2002)
    assert (reply["message"], reply["code"]) == ("EventError", expected)


@pytest.mark.parametrize("name", [name for name in FORWARDED if name not in BETWEEN])
def test_doubled_replies(make_world: Any, name: str) -> None:
    # given nodes that answer everything twice
    world, client = prepared(make_world, name)
    for node in world.nodes.values():
        once = node.reply
        node.reply = lambda entry, answer, once=once: (once(entry, answer), once(entry, answer))
    # when the request comes
    reply = outcome(world, client, name)
    # then it is answered once, and the doubles are counted
    assert reply["message"] == REQUESTS[name].reply
    assert world.core.counts["late reply"] > 0


# -- wrong attributes


def _routing_fields() -> list[tuple[str, str]]:
    rows = []
    for name, request in REQUESTS.items():
        whole = {field.name for field in msgspec.structs.fields(request)}
        rows += [(name, field) for field in sorted(NEEDS.get(request.route, whole) & whole & set(FIELDS))]
    return rows


BY_MEDIA = {Route.SUBMIT, Route.PULL, Route.SCATTER, Route.SERVICE}
BY_TENANT = {*BY_MEDIA, Route.ENGINE, Route.AGENT, Route.RESERVE}


@pytest.mark.parametrize(("name", "field"), _routing_fields())
@pytest.mark.parametrize("value", [{"a": 1}, [], 1.5, None])
def test_wrong_routing_attributes(make_world: Any, name: str, field: str, value: Any) -> None:
    # given a request with a routing attribute of a wrong type
    world, client = prepared(make_world, name)
    # when it comes
    reply = outcome(world, client, name, **{field: value})
    # then the proxy answers, as the guide has it; a null is an absent one, and no fault where that is allowed
    optional = not next(it for it in msgspec.structs.fields(REQUESTS[name]) if it.name == field).required
    if value is None and optional:
        return
    route = REQUESTS[name].route
    if route is Route.INTERACTION and field == "interaction_id":
        expected = 2003
    elif (route in BY_TENANT and field == "tenant_id") or (route in BY_MEDIA and field == "media_type"):
        expected = 2001
    elif route is Route.SERVICE and field == "interaction_id":
        expected = 2003
    else:
        expected = 3
    assert (reply["code"], reply["field"], reply["request"]) == (expected, field, name)
    assert reply["detail"]
    assert all(node.log == [] for node in world.nodes.values())


# -- new requests


class RequestFrobInteraction(InteractionRequest):
    """A request that the catalogue may have one day: by interaction."""


class RequestFindFrobs(Request):
    """Another one: over all nodes, in order."""

    route = Route.SCATTER
    merge = Merge.ORDERED
    reply = "EventFrobs"
    tenant_id: int | None = None
    order: str = ""
    count: int = 2


def test_a_new_request_needs_nothing_in_the_proxy(make_world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # given two request classes of known routes and merges that the catalogue did not have
    heads: dict[type[Any], type[Request]] = {
        head_of(request): request
        for request in (REQUESTS["RequestRegisterClient"], RequestFrobInteraction, RequestFindFrobs)
    }
    for request in heads.values():
        monkeypatch.setitem(REQUESTS, request.__name__, request)
    monkeypatch.setattr("proxy.core.HEADS", heads)
    monkeypatch.setattr("proxy.core.decode_head", decoder(heads))
    world = make_world(("n1", "n2"))
    client = world.client(b"c")
    base = {
        **dict.fromkeys(("tenant_id", "interaction_state", "priority", "is_online", "submitted_at"), 0),
        "queue": None,
    }
    for name, times in (("n1", (1, 4)), ("n2", (2, 3))):
        found = [
            {**base, "interaction_id": f"i{at}", "received_at": at, "media_type": "", "interaction_type": ""}
            for at in times
        ]
        world[name].script["RequestFindFrobs"] = {"message": "EventFrobs", "interactions": found}
    # when they come
    frob = world.ask(client, "RequestFrobInteraction", interaction_id=AT_1)
    frobs = world.ask(client, "RequestFindFrobs", order="received_at")
    wrong = world.ask(client, "RequestFrobInteraction", interaction_id=5)
    # then they are routed and merged
    assert frob["message"] == "EventAck" and not world["n2"].asked("RequestFrobInteraction")
    assert (frobs["message"], [one["interaction_id"] for one in frobs["interactions"]]) == ("EventFrobs", ["i1", "i2"])
    assert frobs["complete"] is True and frobs["more"] is True
    assert (wrong["code"], wrong["field"]) == (2003, "interaction_id")


# -- the whole of it


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_request_is_answered_once_whatever_nodes_do(make_world: Any, data: Any) -> None:
    # given nodes that answer, keep silent, answer garbage, errors or doubles, and die and come back, as it happens
    world = make_world(("n1", "n2", "n3"), request_timeout=2.0, pull_hold_timeout=1.0)
    world.run(0.1)
    clients = {kind: world.client(kind.encode(), kind) for kind in {kind_of(request) for request in REQUESTS.values()}}
    names = [name for name in REQUESTS if REQUESTS[name].route is not Route.HERE]
    refs = []
    # when clients ask anything meanwhile
    for _ in range(data.draw(st.integers(1, 12))):
        name = data.draw(st.sampled_from(names))
        for node in world.nodes.values():
            node.script[name] = data.draw(
                st.sampled_from([answers(world, name), None, b"\xff", error(43), error(46), error(1), error(90)])
            )
        if data.draw(st.booleans()):
            node = world[data.draw(st.sampled_from(["n1", "n2", "n3"]))]
            data.draw(st.sampled_from([node.fail_over, lambda node=node: setattr(node, "deaf", not node.deaf)]))()
        client = clients[kind_of(REQUESTS[name])]
        ident = data.draw(st.sampled_from([AT_1, "mine"]))
        body = sample(REQUESTS[name])
        refs.append(
            (
                client,
                world.send(
                    client, json.dumps({**body, "interaction_id": ident} if "interaction_id" in body else body).encode()
                ),
            )
        )
        world.run(data.draw(st.sampled_from([0.02, 0.3, 1.2])))
    world.run(3.5 + INVITATION_S)
    # then each request has exactly one answer, and nothing is left over
    for client, ref in refs:
        assert world.reply(client, ref)["message"].startswith("Event")
    assert len(world.core.calls) == 0
    assert world.core.pulls._open == {} and world.core.agents._running == {} and not world.core.agents._locked


def error(code: int) -> dict[str, Any]:
    """A node's refusal."""
    return {"message": "EventError", "code": code, "text": "no"}


@given(st.binary(max_size=60), st.integers(-1, 40), st.integers(-1, 3), st.integers(0, 100))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_reply_of_a_node_raises(make_world: Any, payload: bytes, number: int, client: int, code: int) -> None:
    # given a proxy with open requests
    world = make_world(("n1",))
    asker = world.client(b"c")
    world["n1"].script["RequestStopProcessing"] = None
    world.send(asker, "RequestStopProcessing", interaction_id="mine")
    world.flow()
    # when a node sends anything that is a packed reply by its form
    for head in (b"", b'{"message":"EventViewHead"', b'{"message":"EventCurrentAgentStatus"'):
        packed = PackedReplies(1, [PackedReply(number, client, code, head + payload)])
        world.core.replies(world.now, "n1", "primary", packed)
        world.core.replies(world.now, "nobody", "primary", packed)
    # then nothing is raised, and time goes on
    world.core.take()
    world.core.tick(world.now + 0.5)


@given(st.binary(max_size=100))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_of_a_client_raise(make_world: Any, payload: bytes) -> None:
    # given a registered client
    world = make_world(("n1",))
    client = world.client(b"c")
    # when it sends anything at all
    # then it is answered
    assert world.ask(client, payload)["message"] == "EventError"
