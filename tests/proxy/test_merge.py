"""Merges: one reply of the nodes' replies."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.conditions import compile_order
from broker.errors import Code, Refusal
from broker.ledger import Ledger
from broker.messages import REQUESTS, encode
from broker.messages.interactions import EventInteractionsFound
from broker.messages.kinds import Merge
from broker.messages.objects import Interaction
from broker.wire import PackedReply, Rows
from proxy.gather import Answers
from proxy.merge import MERGES, Terms, acknowledged, ordered, passed, positive, queues, totals

STOP = REQUESTS["RequestStopProcessing"]
FIND = REQUESTS["RequestFindInteractions"]


class Head(msgspec.Struct):
    """Of a find."""

    order: str = ""
    count: int = 100
    require_complete: bool = False


def terms(request: Any = STOP, **head: Any) -> Terms:
    """What a merge may look at."""
    return Terms(request, Head(**head), Ledger())


def said(code: int = 0, **fields: Any) -> PackedReply:
    """A node's reply, negative with a code."""
    message = {"message": "EventError", "code": code} if code else {"message": "EventAck"}
    return PackedReply(1, 1, code, json.dumps({**message, **fields}).encode())


def found(interactions: list[Interaction], more: bool = False, order: str = "") -> PackedReply:
    """A node's rows, in the asked order."""
    mark = compile_order(order).mark
    return PackedReply(1, 1, 0, b"", Rows(list(map(mark, interactions)), list(map(encode, interactions)), more))


def interaction(ident: str, priority: int = 0, received_at: float = 0.0) -> Interaction:
    """An interaction that waits."""
    return Interaction(
        interaction_id=ident,
        tenant_id=101,
        media_type="email",
        interaction_type="Inbound",
        interaction_state=0,
        queue="Inbound",
        priority=priority,
        is_online=0,
        received_at=received_at,
        submitted_at=received_at,
        submit_seq=1,
        place_in_queue_seq=1,
    )


def test_every_merge_of_one_step_is_here() -> None:
    # given the words for merges
    # when those that take steps of their own are left out
    # then each of the others has its function
    assert set(MERGES) == set(Merge) - {Merge.GRANTS, Merge.EVENTS, Merge.STATES}


# -- one positive


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({"n1": 0}, "n1"),
        ({"n1": 43}, "n1"),
        ({"n1": None}, Code.NOT_ACCESSIBLE),
        ({"n1": 43, "n2": 0, "n3": 43}, "n2"),
        ({"n1": 43, "n2": 0, "n3": None}, "n2"),
        ({"n1": 43, "n2": 43, "n3": 43}, Code.UNKNOWN_INTERACTION),
        ({"n1": 43, "n2": None, "n3": 43}, Code.NOT_ACCESSIBLE),
        ({"n1": None, "n2": None}, Code.NOT_ACCESSIBLE),
        ({"n1": 0, "n2": 0, "n3": 43}, Code.SEVERAL_OWNERS),
        ({"n1": 43, "n2": 46, "n3": None}, "n2"),
        ({"n1": 91, "n2": 46}, "n2"),
        ({"n1": 43, "n2": 91}, "n2"),
        ({"n1": 0, "n2": 46}, "n1"),
    ],
)
def test_positive(codes: dict[str, int | None], expected: str | Code) -> None:
    # given what nodes said: 0 positive, None nothing
    answers: Answers = {node: None if code is None else said(code, node=node) for node, code in codes.items()}
    # when that is merged
    try:
        reply = json.loads(positive(terms(), answers))
    except Refusal as refusal:
        # then it is the proxy's own refusal, which names who was silent
        assert refusal.code is expected
        silent = tuple(sorted(node for node, code in codes.items() if code is None))
        assert refusal.missing == (silent if refusal.code is Code.NOT_ACCESSIBLE else ())
    else:
        # or one node's words
        assert reply["node"] == expected


def test_two_owners_are_named() -> None:
    # given two nodes that both did it
    with pytest.raises(Refusal) as raised:
        positive(terms(), {"n2": said(), "n1": said(), "n3": said(43)})
    # when the client looks at the error
    # then it says which they are
    assert raised.value.detail == "n1 and n2 hold it"


@given(st.dictionaries(st.sampled_from(["n1", "n2", "n3", "n4"]), st.sampled_from([0, 43, 46, 91, None]), min_size=1))
@settings(max_examples=300, deadline=None)
def test_positive_never_says_not_found_while_a_node_might_hold_it(codes: dict[str, int | None]) -> None:
    # given anything that nodes may say
    answers: Answers = {node: None if code is None else said(code) for node, code in codes.items()}
    # when that is merged
    try:
        code = json.loads(positive(terms(), answers)).get("code", 0)
    except Refusal as refusal:
        code = int(refusal.code)
    # then "not found" needs every node's word, done needs exactly one that did it, and silence is never overheard
    values = list(codes.values())
    assert (code == 43) == all(value == 43 for value in values)
    assert (code == 0) == (values.count(0) == 1)
    assert (code == 2005) == (values.count(0) > 1)
    if code == 2003:
        assert None in values and not {0, 46, 91} & set(values)


# -- the others


def test_passed() -> None:
    # given one answer, none, and several
    # when they are merged
    # then it is the one as it is, a refusal of the route's kind, the first positive one
    assert passed(terms(), {"n1": said(46)}) == said(46).payload
    assert passed(terms(), {"n1": said(46), "n2": said(0)}) == said(0).payload
    for request, code in ((STOP, Code.NOT_ACCESSIBLE), (FIND, Code.LOST_CONNECTION)):
        with pytest.raises(Refusal) as raised:
            passed(terms(request), {"n1": None})
        assert (raised.value.code, raised.value.missing) == (code, ("n1",))


def test_acknowledged() -> None:
    # given answers of which all, not all, and none are positive
    # when they are merged
    # then it is an ack, the refusal, the loss
    assert acknowledged(terms(FIND), {"n1": said(), "n2": said()}) == said().payload
    assert acknowledged(terms(FIND), {"n1": said(), "n2": said(30), "n3": None}) == said(30).payload
    with pytest.raises(Refusal) as raised:
        acknowledged(terms(FIND), {"n1": said(), "n2": None})
    assert (raised.value.code, raised.value.missing) == (Code.LOST_CONNECTION, ("n2",))


# -- ordered


def test_ordered_keeps_order_and_limit_exactly() -> None:
    # given two nodes' lists in the asked order
    answers: Answers = {
        "n1": found([interaction("a", 5), interaction("d", 1)], order="priority desc"),
        "n2": found([interaction("b", 4), interaction("c", 2), interaction("e", 0)], order="priority desc"),
    }
    # when they are merged with a limit
    reply = json.loads(ordered(terms(FIND, order="priority desc", count=3), answers))
    # then the first three of both are there in order, and there are more
    assert [one["interaction_id"] for one in reply["interactions"]] == ["a", "b", "c"]
    assert (reply["more"], reply["complete"]) == (True, True)


def test_ordered_passes_interactions_byte_for_byte() -> None:
    # given an interaction whose user data is spelled in an unusual way
    raw = encode(interaction("a"))[:-1] + b',"user_data":{"n": 1.50, "\\u0041" :"\\/"}}'
    answers: Answers = {"n1": PackedReply(1, 1, 0, b"", Rows([b"1"], [raw], False)), "n2": found([])}
    # when it is merged
    # then it is spelled so still
    assert raw in ordered(terms(FIND), answers)


def test_a_single_relevant_node_is_passed_through() -> None:
    # given the only node that there is to ask
    reply = PackedReply(1, 1, 0, encode(EventInteractionsFound(interactions=[interaction("a")], more=True)))
    # when its answer is merged
    # then it is that answer, which is complete
    assert ordered(terms(FIND), {"n1": reply}) == reply.payload[:-1] + b',"complete":true}'


def test_ordered_without_a_node() -> None:
    # given nodes that are silent
    answers: Answers = {"n2": None, "n1": None, "n3": found([interaction("a")])}
    # when they are merged
    reply = json.loads(ordered(terms(FIND), dict(answers)))
    # then they are missing, and the answer says that it is not complete; where that is required, it is refused
    assert (reply["complete"], reply["missing"], len(reply["interactions"])) == (False, ["n1", "n2"], 1)
    with pytest.raises(Refusal) as raised:
        ordered(terms(FIND, require_complete=True), dict(answers))
    assert (raised.value.code, raised.value.missing) == (Code.LOST_CONNECTION, ("n1", "n2"))
    with pytest.raises(Refusal) as raised:
        ordered(terms(FIND), {"n1": None, "n2": None})
    assert raised.value.code is Code.LOST_CONNECTION


def test_ordered_with_a_refusal() -> None:
    # given a condition that a node cannot understand
    # when the nodes' answers are merged
    # then it is that error
    assert ordered(terms(FIND), {"n1": said(62), "n2": found([])}) == said(62).payload


interactions = st.builds(
    interaction,
    ident=st.integers(0, 10**6).map(str),
    priority=st.integers(-2, 2),
    received_at=st.floats(0, 1e9),
)


@given(
    st.lists(st.lists(interactions, max_size=6), min_size=2, max_size=4),
    st.integers(1, 8),
    st.sampled_from(["", "priority desc, received_at", "received_at desc", "queue, priority"]),
)
@settings(max_examples=150, deadline=None)
def test_ordered_is_what_one_node_with_all_of_them_would_say(
    lists: list[list[Interaction]], count: int, order: str
) -> None:
    # given interactions spread over nodes, each of which gives its first in the asked order
    key = compile_order(order).key
    answers: Answers = {}
    for at, one in enumerate(lists):
        mine = sorted(one, key=key)
        answers[f"n{at}"] = found(mine[:count], len(mine) > count, order)
    # when their answers are merged
    reply = json.loads(ordered(terms(FIND, order=order, count=count), answers))
    # then it is what one node would answer that had them all
    every = sorted((one for mine in lists for one in mine), key=key)
    assert [key(msgspec.convert(one, Interaction)) for one in reply["interactions"]] == [key(x) for x in every[:count]]
    assert reply.get("more", False) == (len(every) > count)


# ---- numbers and queues

PURGE, QUEUES = REQUESTS["RequestPurgeQueue"], REQUESTS["RequestGetQueues"]


def test_numbers_are_added_up() -> None:
    # given two nodes that have purged something, and a third that is silent
    answers: Answers = {"n1": said(purged=3, left=0), "n2": said(purged=4, left=2, complete=True), "n3": None}
    # when their answers are put together
    whole = json.loads(totals(terms(PURGE), answers))
    # then they are added up, and who is missing is said
    assert whole == {"message": "EventQueuePurged", "purged": 7, "left": 2, "complete": False, "missing": ["n3"]}
    del answers["n3"]
    assert json.loads(totals(terms(PURGE), answers))["complete"] is True


def test_a_queue_has_all_nodes_parts() -> None:
    # given a queue at two nodes, disabled at one of them, and another that only one has
    inbound = {"queue": "Inbound", "tenant_id": 101}
    first = said(queues=[{**inbound, "nodes": {"n1": {"queued": 3}}}])
    second = said(
        queues=[
            {"queue": "A", "tenant_id": 102, "nodes": {"n2": {}}},
            {**inbound, "enabled": False, "nodes": {"n2": {"queued": 1, "paused_since": 5.0}}},
        ]
    )
    answers: Answers = {"n1": reply_as("EventQueues", first), "n2": reply_as("EventQueues", second)}
    # when they are put together
    whole = json.loads(queues(terms(QUEUES), answers))
    # then each stands once, by name, with its nodes
    assert [part["queue"] for part in whole["queues"]] == ["A", "Inbound"]
    assert whole["queues"][1] == {
        **inbound,
        "enabled": False,
        "nodes": {"n1": {"queued": 3}, "n2": {"queued": 1, "paused_since": 5.0}},
    }
    assert whole["complete"] is True


def reply_as(message: str, reply: PackedReply) -> PackedReply:
    """The same under another name."""
    return PackedReply(1, 1, 0, reply.payload.replace(b"EventAck", message.encode()))


@pytest.mark.parametrize(("merge", "request_"), [(totals, PURGE), (queues, QUEUES)])
def test_numbers_of_nobody_and_of_one_who_refuses(merge: Any, request_: Any) -> None:
    # given a node that refuses, one that says garbage, and none at all
    refused = said(11, field="queue")
    # when their answers are put together, then the refusal is the answer, and nobody is 2002
    assert merge(terms(request_), {"n1": refused, "n2": None}) == refused.payload
    for silent in (None, PackedReply(1, 1, 0, b"[]"), PackedReply(1, 1, 0, b"{")):
        asked = terms(request_)
        with pytest.raises(Refusal) as refusal:
            merge(asked, {"n1": silent})
        assert (refusal.value.code, refusal.value.missing) == (Code.LOST_CONNECTION, ("n1",))
        assert asked.counts["garbage"] == (silent is not None)
