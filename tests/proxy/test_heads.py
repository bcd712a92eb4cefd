"""Heads: of every request just what its route needs, and faults as a proxy answers them."""

from __future__ import annotations

import json

import msgspec
import pytest

from broker.errors import Code, Refusal
from broker.messages import REQUESTS
from broker.messages.interactions import RequestSubmit
from broker.messages.kinds import Request, Route
from proxy.heads import HEADS, NEEDS, as_answered, decode_head, head_of, request_of


@pytest.mark.parametrize("request_class", REQUESTS.values(), ids=list(REQUESTS))
def test_a_head_has_what_the_route_needs_and_no_more(request_class: type[Request]) -> None:
    # given a request class of the catalogue
    # when its head is made
    head = head_of(request_class)
    # then it has those of the request's fields that its route looks at, with the same types; the request itself is its
    # own head where the route needs all
    theirs = {field.name: field.type for field in msgspec.structs.fields(request_class)}
    needs = NEEDS.get(request_class.route, frozenset(theirs))
    assert {field.name: field.type for field in msgspec.structs.fields(head)} == {
        name: kind for name, kind in theirs.items() if name in needs
    }
    assert head.__struct_config__.tag == request_class.__struct_config__.tag


def test_every_request_has_a_head() -> None:
    # given the catalogue
    # when heads are counted
    # then there is one for every request
    assert set(HEADS.values()) == set(REQUESTS.values())


def test_a_head_is_decoded_past_everything_else() -> None:
    # given a submit with much user data, and a fault where no route looks
    payload = json.dumps(
        {
            "message": "RequestSubmit",
            "user_data": {"a": [1] * 100},
            "tenant_id": 101,
            "priority": "high",
            "media_type": "x",
        }
    )
    # when its head is decoded
    head = decode_head(payload.encode())
    # then the routing attributes are there, and the fault is left to the node
    assert (head.tenant_id, head.media_type, head.interaction_id) == (101, "x", None)
    assert HEADS[type(head)] is RequestSubmit


@pytest.mark.parametrize(
    ("message", "fields", "code", "field"),
    [
        ("RequestStopProcessing", {}, Code.NOT_ACCESSIBLE, "interaction_id"),
        ("RequestStopProcessing", {"interaction_id": 5}, Code.NOT_ACCESSIBLE, "interaction_id"),
        ("RequestStopProcessing", {"interaction_id": ""}, Code.NOT_ACCESSIBLE, "interaction_id"),
        ("RequestSubmit", {"media_type": "email"}, Code.NO_SERVERS, "tenant_id"),
        ("RequestSubmit", {"tenant_id": "101", "media_type": "email"}, Code.NO_SERVERS, "tenant_id"),
        ("RequestSubmit", {"tenant_id": 101, "media_type": 5}, Code.NO_SERVERS, "media_type"),
        ("RequestSubmit", {"tenant_id": 1, "media_type": "x", "interaction_id": 5}, Code.WRONG_VALUE, "interaction_id"),
        ("RequestFindInteractions", {"tenant_id": 0}, Code.NO_SERVERS, "tenant_id"),
        ("RequestFindInteractions", {"count": 0}, Code.WRONG_VALUE, "count"),
        ("RequestPull", {"view_id": "v"}, Code.NO_SERVERS, "tenant_id"),
        ("RequestPull", {"tenant_id": 101}, Code.MISSING_ATTRIBUTE, "view_id"),
        ("RequestPull", {"tenant_id": 1, "view_id": "v", "pull_parameters": 5}, Code.NOT_ACCESSIBLE, "pull_parameters"),
        ("RequestAgentLogin", {"agent_id": "V"}, Code.NO_SERVERS, "tenant_id"),
        ("RequestAgentLogin", {"tenant_id": 101, "media_list": {"voice": 2}}, Code.WRONG_VALUE, "media_list"),
        ("RequestSwitchover", {}, Code.MISSING_ATTRIBUTE, "node"),
        ("RequestNothing", {}, Code.UNSUPPORTED, "message"),
    ],
)
def test_a_fault_in_a_routing_attribute(message: str, fields: dict[str, object], code: Code, field: str) -> None:
    # given a request whose routing attribute is absent, mistyped or wrong
    payload = json.dumps({"message": message, **fields}).encode()
    # when its head is decoded
    with pytest.raises(Refusal) as raised:
        decode_head(payload)
    # then the refusal is the one that a proxy answers, and names the field
    refusal = as_answered(raised.value, request_of(payload))
    assert (refusal.code, refusal.field) == (code, field)
    assert refusal.detail


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", b"[1]", b'{"a":1}', b'{"message":5}', b"[" * 100_000, b'{"message":']
)
def test_what_cannot_be_read_has_no_request(payload: bytes) -> None:
    # given bytes that name no request
    # when the request is looked for
    # then there is none, and decoding refuses without anything else being raised
    assert request_of(payload) is None
    with pytest.raises(Refusal):
        decode_head(payload)


def test_a_field_may_be_named_otherwise_on_the_wire() -> None:
    # given a request of a route that needs a field with another name on the wire
    class RequestOdd(Request):
        route = Route.NODE
        node: str = msgspec.field(name="from")

    # when its head is decoded
    head = msgspec.json.decode(b'{"message":"RequestOdd","from":"n1"}', type=head_of(RequestOdd))
    # then the field is found
    assert head.node == "n1"
