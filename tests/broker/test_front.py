"""The front of a server: pairs in, replies out, whatever else comes."""

from __future__ import annotations

import json
from itertools import count

import pytest
import zmq

from broker.config.objects import Limits
from broker.front import PASSED_OVER, Front
from broker.ledger import Ledger
from broker.sockets import router
from broker.wire import MAX_FRAMES

PING = b'{"message":"RequestPing"}'
_names = count(1)


class Meeting:
    """A front and clients of it, in one process."""

    def __init__(self, context, folder):
        self.context = context
        self.address = f"ipc://{folder}/front-{next(_names)}"
        self.front = Front("n1", router(context, self.address, Limits()), Ledger())

    def client(self, kind=zmq.DEALER):
        socket = self.context.socket(kind)
        socket.connect(self.address)
        return socket

    def taken(self, limit=512):
        """What one drain takes: peer and ref of each message's pairs."""
        assert self.front.socket.poll(2000), "nothing has arrived"
        messages = self.front.messages(limit)
        return [[(peer, ref) for ref, _ in self.front.pairs(peer, frames)] for peer, frames in messages]


@pytest.fixture
def meeting(context, tmp_path):
    return Meeting(context, tmp_path)


def arrive(meeting, messages):
    """Waits until so many messages of one more client have arrived as one is sent, so that one drain can take all."""
    client = meeting.client()
    for message in messages:
        client.send_multipart(message)
    return client


def test_pairs_that_came_alone_are_answered_alone_and_together_together(meeting):
    """Given one message of one pair and one of two, when all three are answered, then by a message each time."""
    client = arrive(meeting, [[b"1", PING], [b"2", PING, b"3", PING]])
    asked = []
    while len(asked) < 3:
        asked += [pair for pairs in meeting.taken() for pair in pairs]
    meeting.front.send((peer, ref, b"{}") for peer, ref in asked)

    assert [client.recv_multipart() for _ in range(2)] == [[b"1", b"{}"], [b"2", b"{}", b"3", b"{}"]]


def test_a_drain_ends_with_the_message_that_brings_it_to_its_limit(meeting):
    """Given messages of many pairs, when they are drained, then no more at once than what keeps a turn short."""
    arrive(meeting, [[b"r", PING] * 300] * 10)
    taken = []
    while len(taken) < 10:
        drained = meeting.taken(512)
        assert 1 <= len(drained) <= 2
        taken += drained

    assert {len(pairs) for pairs in taken} == {300}


@pytest.mark.parametrize("frames", [MAX_FRAMES + 1, MAX_FRAMES + 2, 3 * PASSED_OVER])
def test_a_message_that_is_too_long_is_answered_once_and_passed_over(meeting, frames):
    """Given a message of far too many frames, when it is drained, then it is refused, and what comes next is served,
    also what another client asks."""
    client = arrive(meeting, [[b"x"] * frames, [b"1", PING]])
    other = arrive(meeting, [[b"2", PING]])
    asked = []
    while len(asked) < 2:
        asked += [pair for pairs in meeting.taken() for pair in pairs]

    assert sorted(ref for _, ref in asked) == [b"1", b"2"]
    assert meeting.front.ledger == {"bad frames": 1}
    meeting.front.send((peer, ref, b"{}") for peer, ref in asked)
    ref, error = client.recv_multipart()
    assert (ref, json.loads(error)["code"]) == (b"", 4)
    assert client.recv_multipart() == [b"1", b"{}"]
    assert other.recv_multipart() == [b"2", b"{}"]


def test_a_message_of_just_the_longest_length_is_served(meeting):
    arrive(meeting, [[b"r", PING] * (MAX_FRAMES // 2)])

    assert [len(pairs) for pairs in meeting.taken()] == [MAX_FRAMES // 2]
