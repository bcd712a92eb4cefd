"""Messages of the stream: cursors, and the mark of late events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.positions import Position
from broker.wire import ECHO, make_cursor
from proxy.published import in_order, late, mark_late
from proxy.sources import Entry


def entry(us: int, node: str = "n1", flags: int = 0) -> Entry:
    return us, b"-" + node.encode(), flags, b"101/x", b"{%d}" % us


times = st.integers(1, 30)


@given(
    st.sets(st.tuples(times, st.sampled_from(["n1", "n2"])), min_size=1),
    st.dictionaries(st.sampled_from(["n3", "n4"]), times),
    st.sampled_from([0, 10**15 - 15, 1_790_000_000_000_000]),
)
def test_every_cursor_is_the_events_own_with_the_nodes_that_are_behind(
    found: set[tuple[int, str]], out: dict[str, int], start: int
) -> None:
    # Given events in order, and nodes that the stream has left behind before, between or after them
    entries = [entry(start + us, node) for us, node in sorted(found)]
    behind = {name: start + us for name, us in out.items()}
    # Then each cursor is what make_cursor says of it
    assert in_order(entries, behind) == [
        (b"101/x", make_cursor(us, node, {name: at for name, at in behind.items() if at < us}).encode(), b"{%d}" % us)
        for us, node in [(start + us, node) for us, node in sorted(found)]
    ]


def test_echoes_are_left_out() -> None:
    entries = [entry(10), entry(20, flags=ECHO), entry(30)]
    for out in ({}, {"n3": 15}):
        assert [payload for _, _, payload in in_order(entries, out)] == [b"{10}", b"{30}"]
    assert [payload for _, _, payload in late(entries, Position(40, "n9", {}), "n1")] == [
        b'{10,"late":true}',
        b'{30,"late":true}',
    ]


def test_a_late_events_cursor_is_the_streams_position_and_how_far_the_node_has_come() -> None:
    position = Position(40, "n9", {"n1": 5, "n2": 7})
    cursors = [cursor.decode() for _, cursor, _ in late([entry(10), entry(20)], position, "n1")]
    assert cursors == [make_cursor(40, "n9", {"n1": 10, "n2": 7}), make_cursor(40, "n9", {"n1": 20, "n2": 7})]
    assert position.apart == {"n1": 5, "n2": 7}


@pytest.mark.parametrize(
    "payload, marked",
    [
        (b'{"a":1}', b'{"a":1,"late":true}'),
        (b'{"a":1} \n', b'{"a":1,"late":true}'),
        (b'{"a":1 }', b'{"a":1,"late":true}'),
        (b"{ }", b'{"late":true}'),
        (b"", b""),
        (b"[1]", b"[1]"),
    ],
)
def test_late_is_spliced_in(payload: bytes, marked: bytes) -> None:
    assert mark_late(payload) == marked
