"""What a client is told of a field that is wrong: where it is, what was expected there, what came."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import Code, Refusal
from broker.messages import REQUESTS, decode_request
from broker.messages.faults import not_for
from broker.messages.kinds import ClientType


def told(document: dict[str, object] | str | bytes) -> Refusal:
    """How a payload is refused."""
    payload = json.dumps(document) if isinstance(document, dict) else document
    with pytest.raises(Refusal) as caught:
        decode_request(payload if isinstance(payload, bytes) else payload.encode())
    return caught.value


LOGIN = {"message": "RequestAgentLogin", "tenant_id": 101, "agent_id": "VICKY"}
PULL = {"message": "RequestPull", "tenant_id": 101, "view_id": "Inbound/all"}
TOPICS = {"message": "RequestSubscribe"}
LOAD = {"message": "RequestLoadStrategy", "tenant_id": 101, "strategy_id": "Greeting"}


@pytest.mark.parametrize(
    ("document", "field", "detail"),
    [
        ({**LOGIN, "tenant_id": "x"}, "tenant_id", "expected a whole number from 1 (the tenant's number), got \"x\""),
        ({**LOGIN, "agent_id": 7}, "agent_id", "expected a string of 1 to 255 characters, got 7"),
        ({**LOGIN, "agent_id": "x" * 300}, "agent_id", "expected a string of 1 to 255 characters, got a string of 300"
         " characters"),
        ({**PULL, "initial_in_focus_state": 2}, "initial_in_focus_state", "expected 0 or 1, got 2"),
        ({**PULL, "count": None}, "count", "expected a whole number from 1 to 1000 (interactions at most; the view's"
         " first ones), got null"),
        ({**PULL, "ignore_hold": 1}, "ignore_hold", "expected true or false, got 1"),
        ({**PULL, "share": ["i"]}, "share", "expected an object whose values are strings of Base64, got an array"),
        ({**PULL, "pull_parameters": []}, "pull_parameters", "expected an object with interaction_ids, got an array"),
        ({**LOAD, "view_ids": []}, "view_ids", "expected an array of 1 to 1000 strings, got an array"),
        ({**LOAD, "submission_rate": "fast"}, "submission_rate", "expected a rate such as `10/second`, `90/minute`,"
         ' `500/hour`, or `0`, got "fast"'),
        ({"message": "RequestPlaceInWorkbin", "interaction_id": "i", "workbin": "Drafts"}, "workbin",
         "expected an object with type, and if need be agent_id, agent_group, place_id or place_group, got \"Drafts\""),
    ],
)  # fmt: skip
def test_a_wrong_field_is_told_with_what_was_expected_and_what_came(document, field, detail):
    """Given a request with a value of a wrong shape, when it is decoded, then the refusal says both in words."""
    refusal = told(document)
    assert (refusal.code, refusal.field) == (Code.WRONG_VALUE, field)
    assert refusal.detail == f"{field}: {detail}"


@pytest.mark.parametrize(
    ("document", "field", "detail"),
    [
        ({**LOGIN, "media_list": {"email": 1, "voice": 2}}, "media_list", "media_list.voice: expected 0 or 1, got 2"),
        ({**LOGIN, "media_list": {"e mail": "1"}}, "media_list", 'media_list."e mail": expected 0 or 1, got "1"'),
        ({**TOPICS, "topics": [{"tenant_id": 1}, {"tenant_id": 0}]}, "topics", "topics[1].tenant_id: expected a whole"
         " number from 1 (the tenant's number), got 0"),
        ({**PULL, "pull_parameters": {"interaction_ids": ["a", 5]}}, "pull_parameters",
         "pull_parameters.interaction_ids[1]: expected a string of 1 to 64 characters, got 5"),
        ({"message": "RequestStopProcessing", "interaction_id": "i", "token": True}, "token",
         "token: expected a whole number, got true"),
    ],
)  # fmt: skip
def test_what_is_wrong_inside_a_field_is_found_there(document, field, detail):
    """Given a field with a wrong value somewhere inside, when it is decoded, then the refusal says where."""
    refusal = told(document)
    assert (refusal.code, refusal.field) == (Code.WRONG_VALUE, field)
    assert refusal.detail.startswith(detail)


@pytest.mark.parametrize(
    ("document", "field", "detail"),
    [
        ({"message": "RequestAgentLogin"}, "tenant_id",
         "tenant_id: expected a whole number from 1 (the tenant's number)"),
        ({**TOPICS, "topics": [{"queue": "Inbound"}]}, "topics",
         "topics[0].tenant_id: expected a whole number from 1 (the tenant's number)"),
    ],
)  # fmt: skip
def test_what_is_missing_is_told_with_what_it_should_be(document, field, detail):
    """Given a request without a field that it needs, when it is decoded, then the refusal says what belongs there."""
    refusal = told(document)
    assert (refusal.code, refusal.field, refusal.detail) == (Code.MISSING_ATTRIBUTE, field, detail)


@pytest.mark.parametrize(
    ("payload", "code", "detail"),
    [
        ("[1]", Code.MALFORMED, "expected an object with message, the name of a request, got an array"),
        ("{}", Code.MALFORMED, "expected an object with message, the name of a request"),
        ('{"message": 5}', Code.WRONG_VALUE, "message: expected the name of a request, got 5"),
        ('{"message": "RequestSubmitt"}', Code.UNSUPPORTED, 'no request is named "RequestSubmitt"; did you mean'
         ' "RequestSubmit"?'),
        ('{"message": "Hello"}', Code.UNSUPPORTED, 'no request is named "Hello"'),
        (b'{"message": "RequestPing", "extension": "\xff"}', Code.MALFORMED, "not UTF-8 from byte 41 on"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_told_what_one_is(payload, code, detail):
    """Given a payload that is no request, when it is decoded, then the refusal says what was expected."""
    refusal = told(payload)
    assert (refusal.code, refusal.detail) == (code, detail)


@pytest.mark.parametrize("again", ["Foo", [], "RequestPing", 5, None])
def test_a_message_that_is_named_twice_is_none(again):
    """Given a payload with two names and a wrong field, when it is decoded, then it is refused as one that is none."""
    refusal = told('{"message": "RequestSubmit", "tenant_id": "x", "message": ' + json.dumps(again) + "}")
    assert (refusal.code, refusal.detail) == (Code.MALFORMED, "message is there twice")


def test_what_is_broken_behind_a_wrong_field_is_not_json():
    """Given a payload that ends too soon, with a wrong field in front, when it is decoded, then it is no JSON."""
    assert told('{"message": "RequestPull", "tenant_id": "x", "view_id": ').code is Code.MALFORMED


def test_a_field_with_very_many_values_is_refused_without_looking_at_all():
    """Given a list whose last of a great many ids is wrong, when it is decoded, then it is refused all the same."""
    refusal = told({**PULL, "pull_parameters": {"interaction_ids": ["a"] * 20_000 + [5]}})
    assert (refusal.code, refusal.field) == (Code.WRONG_VALUE, "pull_parameters")
    assert refusal.detail == "pull_parameters: expected an object with interaction_ids"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)
THE_DECODERS = re.compile(r"`(str|int|float|bool|object|array|null)|Object missing|Invalid")


@given(st.sampled_from(sorted(REQUESTS)), st.data())
def test_no_refusal_speaks_with_the_decoders_words(name, data):
    """Given a request's example with any value in one field, when it is refused, then in words that people use."""
    request = REQUESTS[name]
    field = data.draw(st.sampled_from([one for one in request.__struct_fields__ if one != "start"]))
    try:
        decode_request(json.dumps({"message": name, **request.example, field: data.draw(JSON)}).encode())
    except Refusal as refusal:
        said = re.sub(r", got .*", "", refusal.detail)
        assert not THE_DECODERS.search(said)
        if refusal.field is not None:
            assert said.startswith(refusal.field)
            assert "expected" in said


def test_who_may_not_ask_is_told_who_may():
    """Given a request for some types of clients, when another one asks, then the refusal names them, but no proxies."""
    said = not_for(REQUESTS["RequestDeliver"], ClientType.AGENT)
    assert said == "it is for clients of type RoutingEngine; this one is of type AgentApplication"
    assert "clients of type Proxy;" in not_for(REQUESTS["RequestWatchView"], ClientType.MONITOR)


def test_a_time_is_told_with_its_unit():
    refusal = told({"message": "RequestSubmit", "tenant_id": 1, "media_type": "email", "received_at": "2026-10-01"})
    assert refusal.detail == 'received_at: expected a time, a number of seconds since 1970, got "2026-10-01"'
