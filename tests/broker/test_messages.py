"""The catalogue's decoding: every fault names its field, nothing raises anything else."""

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import Code, Refusal
from broker.messages import EVENTS, NOTIFICATIONS, REPLIES, REQUESTS, decode_request, encode, error_payload
from broker.messages.interactions import RequestSubmit


@pytest.mark.parametrize(
    ("payload", "code", "field"),
    [
        (b"", Code.MALFORMED, None),
        (b"\xff\xfe", Code.MALFORMED, None),
        (b"[1]", Code.MALFORMED, None),
        (b"{}", Code.MALFORMED, None),
        (b'{"message": 5}', Code.WRONG_VALUE, "message"),
        (b'{"message": "RequestNothing"}', Code.UNSUPPORTED, "message"),
        (b"[" * 100_000, Code.MALFORMED, None),
        (b'{"message": "RequestSubmit", "media_type": "email"}', Code.MISSING_ATTRIBUTE, "tenant_id"),
        (b'{"message": "RequestSubmit", "tenant_id": "x", "media_type": "email"}', Code.WRONG_VALUE, "tenant_id"),
        (b'{"message": "RequestSubmit", "tenant_id": 0, "media_type": "email"}', Code.WRONG_VALUE, "tenant_id"),
        (b'{"message": "RequestSubmit", "tenant_id": 1, "media_type": ""}', Code.WRONG_VALUE, "media_type"),
        (
            b'{"message": "RequestPull", "tenant_id": 1, "view_id": "v", "pull_parameters": {"interaction_ids": [1]}}',
            Code.WRONG_VALUE,
            "pull_parameters",
        ),
    ],
)
def test_a_fault_has_its_code_and_names_its_field(payload, code, field):
    with pytest.raises(Refusal) as refusal:
        decode_request(payload)
    assert (refusal.value.code, refusal.value.field) == (code, field)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_a_refusal(data):
    with suppress(Refusal):
        decode_request(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(REQUESTS)), st.data())
def test_a_request_with_any_values_is_a_request_or_a_refusal(name, data):
    fields = [field for field in REQUESTS[name].__struct_fields__ if field != "start"]
    document = data.draw(st.dictionaries(st.sampled_from(fields), JSON, max_size=4))
    try:
        decode_request(json.dumps({"message": name, **document}).encode())
    except Refusal as refusal:
        assert refusal.field is None or refusal.field in {*fields, "message"}


def test_what_is_missing_inside_a_field_is_that_fields_fault():
    with pytest.raises(Refusal) as caught:
        decode_request(b'{"message": "RequestGetWorkbinContent", "tenant_id": 1, "workbin": {}}')
    assert (caught.value.code, caught.value.field) == (Code.MISSING_ATTRIBUTE, "workbin")
    assert caught.value.detail == "workbin.type: expected a string"


def test_unknown_fields_are_ignored():
    request = decode_request(b'{"message": "RequestSubmit", "tenant_id": 1, "media_type": "email", "colour": "red"}')
    assert isinstance(request, RequestSubmit)


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_a_request_says_what_it_is(name):
    request = REQUESTS[name]
    assert request.__doc__
    assert request.senders
    assert request.reply in REPLIES
    for caused in request.causes:
        assert caused in EVENTS or caused in NOTIFICATIONS


def test_message_comes_first_on_the_wire():
    payload = error_payload(Refusal(Code.BUSY, "full", retry_after=2.0), "RequestSubmit", "n1")
    assert payload.startswith(b'{"message":"EventError","code":91,')
    assert json.loads(payload)["retry_after"] == 2.0


def test_codes_are_unique_and_have_texts():
    assert len({int(code) for code in Code}) == len(list(Code))
    assert all(code.text for code in Code)
    assert Code(2003).text == "Interaction is not accessible"


def test_a_reply_leaves_out_what_it_does_not_have():
    assert encode(REPLIES["EventAck"]()) == b'{"message":"EventAck"}'


@pytest.mark.parametrize("payload", [b'{"message":"RequestSubmit","user_data":{"a":"\xff"}}', b'{"message":"\xc3"}'])
def test_what_is_not_utf_8_is_refused_also_where_nobody_looks_into_it(payload):
    with pytest.raises(Refusal) as refusal:
        decode_request(payload)
    assert refusal.value.code is Code.MALFORMED


def test_what_is_accepted_can_be_read_again_from_deeper_down_the_stack():
    """Given payloads nested ever deeper, when one is accepted, then whoever reads it again with a longer stack can."""

    def read(payload, levels):
        return read(payload, levels - 1) if levels else msgspec.json.decode(payload)

    def accepted(depth):
        document = {"message": "RequestSubmit", "tenant_id": 1, "media_type": "email"}
        payload = json.dumps({**document, "user_data": 0})[:-2].encode() + b"[" * depth + b"]" * depth + b"}"
        try:
            decode_request(payload)
        except Refusal as refusal:
            assert refusal.code is Code.MALFORMED
            return False
        return bool(read(payload, 40))

    verdicts = [accepted(depth) for depth in range(50, 1200, 10)]

    assert verdicts == sorted(verdicts, reverse=True)
    assert verdicts[0] and not verdicts[-1]


def test_a_rate_that_is_none_is_answered_with_how_one_is_spelt() -> None:
    # given an engine that gives a rate in its own words
    payload = b'{"message":"RequestLoadStrategy","tenant_id":101,"strategy_id":"S1","submission_rate":"fast"}'
    # when it is decoded
    with pytest.raises(Refusal) as refused:
        decode_request(payload)
    # then it is told the spelling, not a pattern
    assert (refused.value.code, refused.value.field) == (Code.WRONG_VALUE, "submission_rate")
    assert refused.value.detail.startswith("submission_rate: expected a rate such as `10/second`")
