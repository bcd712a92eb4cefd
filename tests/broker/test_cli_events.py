"""``ixn events`` against a scripted proxy."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from broker.cli import ixn
from broker.cli.events import as_line, of_nodes
from broker.following import Followed
from tests.broker.peer import Peer, Reply

BASE_US = 1_790_000_000_000_000


def payload(seq: int) -> bytes:
    us = BASE_US + seq
    return (
        b'{"message":"EventAgentLogin","node":"n1","seq":%d,"time":%d.%06d,"tenant_id":101, "agent":{"agent_id":"AVI"}}'
        % (seq, us // 10**6, us % 10**6)
    )


def cursor(seq: int) -> str:
    return f"{BASE_US + seq:016d}-n1"


def replays(request: dict[str, Any]) -> Reply:
    """Five events, and after them a word of the proxy's own would come live."""
    if request["message"] != "RequestReplayEvents":
        return {"message": "EventPlaceAgentState", "cursor": cursor(3), "agents": [], "queues": {}}
    start = int(request["from"].partition("-")[0]) - BASE_US if "from" in request else 0
    body = b",".join(payload(seq) for seq in range(start + 1, 6))
    return b'{"message":"EventReplayedEvents","events":[%b],"cursor":"%b"}' % (body, cursor(5).encode())


def events(peer: Peer, *words: str) -> Result:
    return CliRunner().invoke(ixn, ["--config", "/nonexistent", "--connect", peer.endpoint, "events", *words])


def lines(first: int, last: int) -> str:
    form = '{{"cursor":"{}","topic":"101/agent/EventAgentLogin","event":{}}}\n'
    return "".join(form.format(cursor(seq), payload(seq).decode()) for seq in range(first, last + 1))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--from", "oldest", "--count", "5"], lines(1, 5)),
        (["--from", cursor(2), "--count", "2"], lines(3, 4)),
        (["--count", "2"], lines(4, 5)),
        (["--from", "oldest", "--topic", "101/agent", "--count", "1"], lines(1, 1)),
    ],
)
def test_lines_byte_for_byte(words: list[str], expected: str) -> None:
    # Given a proxy with five events, when they are printed, then each is a line with cursor, topic and its own bytes
    with Peer(replays) as peer:
        result = events(peer, *words)
    assert (result.exit_code, result.stdout) == (0, expected)


def test_two_proxies_print_the_same() -> None:
    # Given two proxies with the same stream, when both are asked, then the lines are the same
    with Peer(replays) as one, Peer(replays) as two:
        assert (
            events(one, "--from", "oldest", "--count", "5").stdout
            == events(two, "--from", "oldest", "--count", "5").stdout
        )


def test_an_array_and_text() -> None:
    # Given the same events, when they are asked for as JSON and as text
    with Peer(replays) as peer:
        array = events(peer, "--from", "oldest", "--count", "2", "-o", "json")
        text = events(peer, "--from", "oldest", "--count", "1", "-o", "text")
    # Then the first is one document, and the second says who it is about
    assert [one["event"]["seq"] for one in json.loads(array.stdout)] == [1, 2]
    assert text.stdout == f"{cursor(1)} 101/agent/EventAgentLogin agent_id=AVI\n"


def test_a_wrong_cursor_is_64() -> None:
    # Given something that is no cursor, when it is to be begun there, then that is a fault of the command line
    with Peer(replays) as peer:
        assert events(peer, "--from", "yesterday").exit_code == 64


def test_a_line_is_json_whatever_the_topic() -> None:
    # Given a topic with quotes, when it is printed, then the line is JSON still
    line = as_line(Followed('1/custom/"', "c", b'{"a": 1}'))
    assert json.loads(line) == {"cursor": "c", "topic": '1/custom/"', "event": {"a": 1}}


def test_a_proxys_own_words_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    # Given a stream in which the proxy says that it goes on without a node, when it is printed
    own = Followed("0/system/EventStreamStalled", "c", b'{"message":"EventStreamStalled"}')
    event = Followed("0/system/EventNodeActive", "c", b"{}")
    # Then that is no event of the cluster: two proxies would not say the same
    assert list(of_nodes([own, event])) == [event]
    assert capsys.readouterr() == ("", '{"message":"EventStreamStalled"}\n')
