"""Interactions as rows, for a proxy that merges them with other nodes'."""

from __future__ import annotations

import json
from typing import Any

import pytest

from broker.wire import LISTED, PackedReplies, PackedReply, Rows, pack, unpack_replies
from node.calls import packed_reply
from node.outbox import Outbox

DRAFTS = {"type": "Drafts", "agent_id": "VICKY"}
FIND = {"message": "RequestFindInteractions", "order": "priority desc, external_id", "count": 4}
CONTENT = {"message": "RequestGetWorkbinContent", "tenant_id": 101, "workbin": DRAFTS, "order": "priority", "count": 2}


@pytest.fixture
def stock(driver: Any) -> Any:
    """A client that has brought in interactions of several priorities, some into a workbin."""
    media = driver.client("mail", "MediaServer")
    for priority in (1, 7, 3, -2, 7, 0):
        media.ask("RequestSubmit", tenant_id=101, media_type="email", queue="Inbound", priority=priority)
        media.ask("RequestSubmit", tenant_id=101, media_type="email", workbin=DRAFTS, priority=priority)
    return media


def rows_of(driver: Any, source: tuple[bytes, int], request: dict[str, Any]) -> Rows:
    """What a proxy gets that asks for rows, on its way there and back."""
    driver.core.receive(driver.now, source, 5, json.dumps(request).encode(), LISTED)
    while driver.core.searches:
        driver.core.tick(driver.now)
    (said,) = driver.core.take(driver.now).replies
    (reply,) = unpack_replies(pack(PackedReplies(1, [packed_reply(said)]))).replies
    assert (reply.number, reply.client, reply.code, reply.payload) == (5, source[1], 0, b"")
    assert reply.rows is not None
    return reply.rows


@pytest.mark.parametrize("slice_", [2000, 3])
@pytest.mark.parametrize("request_", [FIND, CONTENT], ids=["find", "workbin"])
def test_rows_are_the_reply_in_parts(driver: Any, stock: Any, monkeypatch: Any, request_: Any, slice_: int) -> None:
    # given interactions, looked at in one turn or in several
    expected = driver.ask(stock.source, request_)
    monkeypatch.setattr("node.finding.SLICE", slice_)
    # when a proxy asks for rows
    rows = rows_of(driver, stock.source, request_)
    # then they are the interactions that a client gets, in their order, and so are the marks
    assert [json.loads(one) for one in rows.interactions] == expected["interactions"]
    assert len(rows.marks) == len(rows.interactions) == request_["count"]
    assert rows.marks == sorted(rows.marks) and len(set(rows.marks)) == len(rows.marks)
    assert rows.more is expected["more"] is True


def test_nothing_found(driver: Any, stock: Any) -> None:
    # given a condition that nothing meets
    # when a proxy asks for rows
    rows = rows_of(driver, stock.source, {**FIND, "condition": "priority > 99"})
    # then there are none
    assert rows == Rows([], [], False)


def test_a_refusal_to_a_proxy_is_a_message(driver: Any, stock: Any) -> None:
    # given a proxy that asks for rows in an order that is none
    driver.core.receive(driver.now, stock.source, 5, json.dumps({**FIND, "order": "no such"}).encode(), LISTED)
    # when it is answered
    reply = packed_reply(driver.core.take(driver.now).replies[0])
    # then by the error that a client would get
    assert (reply.code, reply.rows, json.loads(reply.payload)["code"]) == (62, None, 62)


class Sent:
    """Stands in for the ROUTER: keeps what is sent."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def send(self, pairs: list[Any]) -> None:
        assert pairs == []

    def send_frames(self, peer: bytes, frames: list[bytes]) -> None:
        assert peer == b"link"
        self.frames += frames


def test_long_rows_leave_in_several_frames() -> None:
    # given replies of which two are as long as a packed frame may be
    sent = Sent()
    outbox = Outbox("n1", sent, None, 2000)  # type: ignore[arg-type]
    rows = Rows([b"m" * 100], [b"x" * 900], False)
    # when five of them leave for one proxy
    outbox.replies([((b"link", 1), number, rows, 0) for number in range(1, 6)], {b"link"}, 1)
    # then in three frames, in their order
    assert [len(unpack_replies(frame).replies) for frame in sent.frames] == [2, 2, 1]
    replies = [reply for frame in sent.frames for reply in unpack_replies(frame).replies]
    assert PackedReplies(1, replies) == PackedReplies(1, [PackedReply(n, 1, 0, b"", rows) for n in range(1, 6)])
