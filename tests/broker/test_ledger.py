"""The ledger: what was dropped, by peer and reason, within its bounds."""

from __future__ import annotations

import pytest

from broker.ledger import LAST, MOST_PEERS, OTHERS, Ledger


def test_drops_are_counted_by_peer_and_reason_and_the_last_are_kept():
    """Given drops of two peers, when the ledger is read, then every one is counted, and each is there with its name."""
    ledger = Ledger(lambda: 7.5)
    ledger.drop("n1", "late reply", b'{"message":"EventAck"}')
    ledger.drop("VICKY", "client gone", b'{ "a": 1, "message" : "EventInvite"}', times=2)

    assert ledger.dropped == 3
    assert ledger.by_peer() == {"n1": {"late reply": 1}, "VICKY": {"client gone": 2}}
    assert ledger.by_reason() == {"late reply": 1, "client gone": 2}
    assert [(entry.time, entry.peer, entry.name, entry.size) for entry in ledger.last()] == [
        (7.5, "n1", "EventAck", 22),
        (7.5, "VICKY", "EventInvite", 36),
    ]


def test_it_is_the_counter_of_all_that_is_counted():
    """Given something that is counted and no drop, when the ledger is asked, then it is in the counts alone."""
    ledger = Ledger()
    ledger["resent"] += 1
    ledger.drop("n1", "garbage")

    assert dict(ledger) == {"resent": 1, "garbage": 1}
    assert (ledger.dropped, ledger.by_reason()) == (1, {"garbage": 1})


def test_peers_and_entries_are_bounded():
    """Given more peers than are counted by name, when each drops, then those beyond are counted together."""
    ledger = Ledger()
    for number in range(MOST_PEERS + 50):
        ledger.drop(f"client-{number}", "client gone")

    assert len(ledger.by_peer()) == MOST_PEERS + 1
    assert ledger.by_peer()[OTHERS] == {"client gone": 50}
    assert ledger.by_reason() == {"client gone": MOST_PEERS + 50}
    assert len(ledger.last()) == LAST
    assert [entry.peer for entry in ledger.last(1)] == [OTHERS] and ledger.last(0) == []


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff" * 300, b'{"message":7}', b'{"message"', b'["message","x"]', b" " * 300 + b'{"message":"EventAck"}'],
)
def test_a_name_that_cannot_be_read_is_left_out(payload):
    ledger = Ledger()
    ledger.drop("n1", "garbage", payload)

    assert ledger.last()[0].name is None
    assert ledger.last()[0].size == len(payload)
