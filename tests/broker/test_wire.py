"""Frames: pairs of clients, packed frames between proxy and node, cursors."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.wire import (
    BadFrames,
    Events,
    PackedEvent,
    PackedReplies,
    PackedReply,
    PackedRequest,
    PackedRequests,
    Rows,
    join_pairs,
    make_cursor,
    pack,
    parse_cursor,
    split_pairs,
    unpack_events,
    unpack_published,
    unpack_replies,
    unpack_requests,
)

REF = st.binary(max_size=64)


@given(st.lists(st.tuples(REF, st.binary(max_size=50)), min_size=1, max_size=20))
def test_pairs_survive_the_way(pairs):
    assert split_pairs(join_pairs(pairs)) == pairs


def test_a_req_sockets_empty_delimiter_is_an_empty_ref():
    assert split_pairs([b"", b"{}"]) == [(b"", b"{}")]


@pytest.mark.parametrize(
    ("frames", "readable", "ref"),
    [
        ([], [], b""),
        ([b"{}"], [], b"{}"),
        ([b"1", b"{}", b"2"], [(b"1", b"{}")], b"2"),
        ([b"1", b"{}", b"x" * 65], [(b"1", b"{}")], b""),
        ([b"x" * 65, b"{}"], [], b""),
        ([b"1", b"{}", b"x" * 65, b"{}", b"3", b"{}"], [(b"1", b"{}")], b""),
    ],
)
def test_what_is_no_row_of_pairs_says_what_could_be_read(frames, readable, ref):
    with pytest.raises(BadFrames) as fault:
        split_pairs(frames)
    assert (fault.value.pairs, fault.value.ref) == (readable, ref)


@given(
    st.integers(0, 2**63),
    st.lists(st.tuples(st.integers(0, 2**63), st.integers(0, 2**31), st.integers(0, 3), st.binary(max_size=99))),
)
def test_packed_requests_survive_the_way(settled, rows):
    batch = PackedRequests(settled, [PackedRequest(*row) for row in rows])
    assert unpack_requests(pack(batch)) == batch


ROWS = st.builds(Rows, st.lists(st.binary(max_size=20)), st.lists(st.binary(max_size=20)), st.booleans())


@given(st.integers(0, 2**63), st.lists(st.builds(PackedReply, *[st.integers(0, 9)] * 3, st.binary(), st.none() | ROWS)))
def test_packed_replies_survive_the_way(epoch, replies):
    batch = PackedReplies(epoch, replies)
    assert unpack_replies(pack(batch)) == batch


@given(st.binary(max_size=200))
def test_bytes_that_are_no_packed_frame_are_a_decode_error(data):
    for unpack in (unpack_requests, unpack_replies, unpack_published, unpack_events):
        with suppress(msgspec.DecodeError):
            unpack(data)


def test_one_packed_kind_is_not_another():
    frame = pack(PackedReplies(1, [PackedReply(1, 2, 0, b"{}")]))
    with pytest.raises(msgspec.ValidationError):
        unpack_published(frame)
    with pytest.raises(msgspec.ValidationError):
        unpack_requests(pack(Events(1, [PackedEvent(1, 0, b"t", b"{}")])))


NAME = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,30}", fullmatch=True)
US = st.integers(0, 10**16 - 1)


@given(US, NAME, st.dictionaries(NAME, US, max_size=3))
def test_cursors_survive_the_way(us, node, behind):
    assert parse_cursor(make_cursor(us, node, behind)) == (us, node, behind)


@given(st.tuples(US, NAME), st.tuples(US, NAME))
def test_cursors_compare_as_strings_in_the_order_of_the_stream(one, other):
    assert (make_cursor(*one) < make_cursor(*other)) == (one < other)


@pytest.mark.parametrize("text", ["", "x", "12", "12n1", "a-n1", "12-n1;n2", "12-n1;n2=x"])
def test_what_is_no_cursor_is_refused(text):
    with pytest.raises(ValueError, match="cursor"):
        parse_cursor(text)
