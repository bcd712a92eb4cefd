"""Conditions, against hand-made expectations."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from broker.conditions import MAX_STRING, compile_condition, compile_order, is_system_name
from broker.config.objects import CustomProperty
from broker.messages.kinds import Workbin
from tests.broker.samples import CUSTOM, NOON, NOON_TEXT, interaction, matches

WAITING = interaction(
    {"Segment": "gold", "deal size": 12.5, "Due": "2026-10-01T08:00:00+02:00", "other": [1]},
    external_id="it's",
    in_queues=["Sales", "Cards"],
    out_queues=[],
    workbin=Workbin(type="Drafts", agent_id="A7"),
    placed_in_queue_at=NOON + 2,
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t",
        "priority = 2",
        "PRIORITY=2.0",
        "Priority >= +2 AND MediaType = 'email'",
        "[media_type]='email' and [TenantId] = 101",
        "priority <> 3 and priority != -1 and priority < 1e9 and priority <= 2 and priority > .5",
        "not priority = 3",
        "not not priority = 2",
        "NOT (priority = 3 OR queue = 'Outbound')",
        "priority = 3 and queue = 'x' or queue = 'Inbound'",
        "priority in (1, 2, 3) and priority not in (4)",
        "queue in ('Inbound') and queue not in ('a', 'b')",
        "priority between 2 and 2 and priority not between 3 and 9",
        "external_id = 'it''s'",
        "state = 0 and interaction_state = 'queued' and InteractionState < 'Routing' and State in ('QUEUED', 3)",
        "id = '0001K3' and type = 'Inbound' and subtype is null",
        "IsOnline = 0 and is_locked = 0 and SubmitSeq = 7 and PlaceInQueueSeq = 9",
        "destinations = 'Sales,Cards' and in_queues like '%Cards%' and out_queues = ''",
        "workbin = 'Drafts' and workbin_type = 'Drafts' and WorkbinAgentId = 'A7' and workbin_place_id is null",
        "workbin_agent_group is null and WorkbinPlaceGroupId is null",
        f"received_at = {NOON} and ReceivedAt = '{NOON_TEXT}' and received_at = '{NOON_TEXT.replace(' ', 'T')}Z'",
        "received_at > '2026-09-21' and received_at between '2026-09-21 14:00:00' and '2026-09-21T16:14:00+02:00'",
        "Segment = 'gold' and [deal size] > 12 and [deal size] = 12.5",
        "Due = '2026-10-01 06:00:00' and Due < 1790834401",
        "queue like 'In%' and queue like '%bound' and queue like '%bou%' and queue like 'I_b%n_' and queue like '%'",
        "queue like 'Inbound' and queue not like 'inbound' and queue not like 'Inboun' and queue not like '_'",
        "queue not like '%!%%' escape '!'",
        "queue is not null and scheduled_at is null",
    ],
)
def test_a_condition_is_true_of_what_it_describes(text: str) -> None:
    """Given an interaction, when a true condition is asked, then it matches, and its negation does not."""
    assert matches(text, WAITING) is True
    if text.strip():
        assert matches(f"not ({text})", WAITING) is False


@pytest.mark.parametrize(
    "text",
    [
        "service_objective = 1",
        "service_objective <> 1",
        "service_objective in (1, 2)",
        "service_objective not in (1, 2)",
        "service_objective between 1 and 2",
        "parent_id like '%'",
        "workbin_place_id = 'x'",
        "[deal size] > 0",
        "Due > 0",
        "Segment not like 'x'",
        "queue = null",
        "queue <> null",
        "queue not in ('x', null)",
        "priority between null and 9",
        "priority in (null)",
    ],
)
def test_what_depends_on_a_null_is_neither_true_nor_false(text: str) -> None:
    """Given nulls, when they are compared, then neither the condition nor its negation matches."""
    it = interaction({"Segment": 5, "deal size": "12", "Due": "soon"})
    assert not matches(text, it)
    assert not matches(f"not ({text})", it)
    assert [(term.term, term.truth) for term in compile_condition(text, CUSTOM).explain(it)] == [(text, None)]
    assert matches(f"{text} or priority = 2", it)
    assert not matches(f"not ({text} and priority = 2)", it)
    assert matches(f"not ({text} and priority = 3)", it)


def test_a_null_does_not_hide_what_is_certain() -> None:
    """Given a null among the bounds, when the other decides, then the answer is certain, as in SQL."""
    it = interaction()
    assert matches("not (priority between null and 1)", it)
    assert matches("queue in ('Inbound', null)", it)
    assert not matches("queue not in ('Inbound', null)", it)


@pytest.mark.parametrize(
    ("key", "value", "type_", "text"),
    [
        ("k", True, "number", "k is null"),
        ("k", "1", "number", "k is null"),
        ("k", 1, "string", "k is null"),
        ("k", {"a": 1}, "string", "k is null"),
        ("k", None, "string", "k is null"),
        ("k", "x" * (MAX_STRING + 1), "string", "k is null"),
        ("k", "x" * MAX_STRING, "string", "k is not null"),
        ("k", False, "timestamp", "k is null"),
        ("k", "12 o'clock", "timestamp", "k is null"),
        ("k", 12, "timestamp", "k = '1970-01-01 00:00:12'"),
        ("k", 10**30, "number", f"k = {10**30}"),
        ("ä ö", "ü", "string", "[ä ö] = 'ü'"),
        ('a"b', "c", "string", "[a\"b] = 'c'"),
        ("a\\b", 7, "number", "[a\\b] in (7)"),
        ("a]b", 7, "number", "[a]]b] = 7"),
        ("in", 7, "number", "in in (7)"),
    ],
)
def test_custom_properties_are_read_from_user_data(key: str, value: Any, type_: Any, text: str) -> None:
    """Given user data, when a custom property is asked, then its value counts if its type is right; the others stay."""
    custom = {key: CustomProperty(type=type_), "stays": CustomProperty(type="number")}
    assert compile_condition(f"{text} and stays = 1", custom).matches(interaction({key: value, "stays": 1}))


@pytest.mark.parametrize("user_data", [b"[]", b"5", b"{", b"", b'{"k": "\xff"}', b'{"k": "\\ud800"}', b'{"k": 1e999}'])
def test_user_data_that_is_none_counts_as_nulls(user_data: bytes) -> None:
    """Given bytes that are no readable object, when a custom property is asked, then it is null."""
    for type_ in ("string", "number", "timestamp"):
        it = interaction(user_data=msgspec.Raw(user_data))
        assert compile_condition("k is null", {"k": CustomProperty(type=type_)}).matches(it)


def test_an_exact_spelling_comes_first() -> None:
    """Given a custom property named like a system one but for case, when it is written exactly, then it is meant."""
    custom = {"STATE": CustomProperty(type="string"), "state": CustomProperty(type="string")}
    it = interaction({"STATE": "CA", "state": "NY"})
    assert compile_condition("STATE = 'CA' and state = 0 and State = 'queued' and sTATE = 0", custom).matches(it)


def test_what_is_a_system_name() -> None:
    """Given a name, when it is spelt exactly as a property of interactions, then a custom one could not be meant."""
    names = ["priority", "Priority", "state", "State", "workbin_agent_id", "WorkbinAgentId", "STATE", "user_data", ""]
    assert [name for name in names if is_system_name(name)] == names[:6]
    for name in names[:-1]:
        condition = compile_condition(f"{name} is null", {name: CustomProperty()})
        assert ("user_data" in condition.fields) is not is_system_name(name)


def test_fields_equals_and_terms() -> None:
    """Given a condition, when it is compiled, then it says what it reads and what every match must equal."""
    text = (
        "Queue = 'A' and (media_type in ('email') and not state <> 1) and (priority = 1 or id = 'x') and Segment = 'g'"
    )
    condition = compile_condition(text + " and queue = 'B' and not tenant_id = 5 and external_id = null", CUSTOM)
    assert condition.equals == {"queue": "A", "media_type": "email", "Segment": "g"}
    assert condition.fields == {
        *("queue", "media_type", "interaction_state", "priority", "interaction_id"),
        *("user_data", "tenant_id", "external_id"),
    }
    assert condition.terms[:3] == ("Queue = 'A'", "media_type in ('email')", "state <> 1")
    assert compile_condition("workbin_agent_id = 'A7' and destinations is null").fields == {"workbin", "in_queues"}
    assert compile_condition("state = 'handling'").equals == {"interaction_state": 3}
    assert compile_condition("not not id = 'x'").equals == {"interaction_id": "x"}
    assert compile_condition("id <> 'x' and priority > 1 and queue like 'A'").equals == {}
    assert compile_condition("").equals == {}


def test_explain_gives_each_term_its_value_and_its_truth() -> None:
    """Given a condition that does not match, when it is explained, then each term says what it saw, and true or not."""
    condition = compile_condition("priority >= 5 and not ( queue  =  'Inbound' ) or parent_id IS not NULL or id < 'a' ")
    assert condition.explain(interaction()) == [
        ("priority >= 5", "priority", 2, False),
        ("queue  =  'Inbound'", "queue", "Inbound", True),
        ("parent_id IS not NULL", "parent_id", None, False),
        ("id < 'a'", "interaction_id", "0001K3", True),
    ]
    custom = compile_condition("Segment = 'vip' and [deal size] > 7 and workbin_type = 'Drafts'", CUSTOM)
    assert custom.explain(interaction({"Segment": "gold", "deal size": 9})) == [
        ("Segment = 'vip'", "Segment", "gold", False),
        ("[deal size] > 7", "deal size", 9, True),
        ("workbin_type = 'Drafts'", "workbin_type", None, None),
    ]


def test_compiled_once() -> None:
    """Given the same text, when it is compiled again, then the same object comes; other custom types, another one."""
    other = {**CUSTOM, "Segment": CustomProperty(type="number")}
    assert compile_condition("Segment is null", CUSTOM) is compile_condition("Segment is null", dict(CUSTOM))
    assert compile_condition("Segment is null", CUSTOM) is not compile_condition("Segment is null", other)
    assert compile_order("Segment", CUSTOM) is compile_order("Segment", dict(CUSTOM))
    assert compile_order("Segment", CUSTOM) is not compile_order("Segment", other)


def test_like_does_not_explode() -> None:
    """Given a pattern that makes backtracking matchers hang, when it is tried on a long text, then it answers."""
    it = interaction(queue="a" * 20_000)
    assert not matches(f"queue like '{'%a' * 60}%_b%'", it)
    assert matches(f"queue like '{'%a_' * 60}%'", it)
