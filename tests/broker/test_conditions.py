"""Conditions and orders, against hand-made expectations, a plain evaluator, and SQLite as the judge of SQL."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import apsw
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.conditions import (
    MAX_NESTING,
    MAX_PATTERN,
    MAX_STRING,
    MAX_TERMS,
    MAX_TEXT,
    Descending,
    Order,
    compile_condition,
    compile_order,
)
from broker.config.objects import CustomProperty
from broker.errors import Code, Refusal
from broker.messages.kinds import Workbin
from broker.messages.objects import Interaction

CUSTOM = {
    "Segment": CustomProperty(type="string"),
    "deal size": CustomProperty(type="number"),
    "Due": CustomProperty(type="timestamp"),
}
NOON = 1_790_000_000.25
NOON_TEXT = "2026-09-21 14:13:20.25"


def interaction(user_data: Any = None, **values: Any) -> Interaction:
    """An e-mail that waits in Inbound, but for ``values``."""
    plain: dict[str, Any] = {
        "interaction_id": "0001K3",
        "tenant_id": 101,
        "media_type": "email",
        "interaction_type": "Inbound",
        "interaction_state": 0,
        "queue": "Inbound",
        "priority": 2,
        "is_online": 0,
        "received_at": NOON,
        "submitted_at": NOON + 1,
        "submit_seq": 7,
        "place_in_queue_seq": 9,
    }
    return Interaction(**{**plain, "user_data": msgspec.Raw(msgspec.json.encode(user_data or {})), **values})


def matches(text: str, it: Interaction) -> bool:
    return compile_condition(text, CUSTOM).matches(it)


# ---- Conditions: by hand -------------------------------------------------------------------------------------------

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
    assert compile_condition(text, CUSTOM).explain(it) == [(text, None)]
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


def test_explain_gives_each_term_and_its_truth() -> None:
    """Given a condition that does not match, when it is explained, then each term says true, false or unknown."""
    condition = compile_condition("priority >= 5 and not ( queue  =  'Inbound' ) or parent_id IS not NULL or id < 'a' ")
    assert condition.explain(interaction()) == [
        ("priority >= 5", False),
        ("queue  =  'Inbound'", True),
        ("parent_id IS not NULL", False),
        ("id < 'a'", True),
    ]


def test_compiled_once() -> None:
    """Given the same text, when it is compiled again, then the same object comes; other custom types, another one."""
    other = {**CUSTOM, "Segment": CustomProperty(type="number")}
    assert compile_condition("Segment is null", CUSTOM) is compile_condition("Segment is null", dict(CUSTOM))
    assert compile_condition("Segment is null", CUSTOM) is not compile_condition("Segment is null", other)
    assert compile_order("Segment", CUSTOM) is compile_order("Segment", dict(CUSTOM))
    assert compile_order("Segment", CUSTOM) is not compile_order("Segment", other)


# ---- Faults --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("priority = 'abc'", "column 12: priority is a number: write it without quotes; found 'abc'"),
        ("prioritty = 3", "column 1: there is no property 'prioritty'; did you mean 'priority'?"),
        ("priority = 1 and segment = 'x'", "column 18: there is no property 'segment'; did you mean 'Segment'?"),
        ("zzzz = 1", "column 1: there is no property 'zzzz', neither of an interaction nor configured as custom"),
        ("user_data = 'x'", "column 1: there is no property 'user_data'"),
        ("priority =\n 1 and\n  foo = 2", "line 3, column 3: there is no property 'foo'"),
        ("queue = 5", "column 9: queue is a string: write it in single quotes; found '5'"),
        ("Segment = 5", "column 11: Segment is a string"),
        ("[deal size] = '5'", "column 15: deal size is a number"),
        ("received_at > 'x'", "column 15: received_at is a time: seconds since 1970 or 'YYYY-MM-DD HH:MM:SS' (UTC)"),
        (
            "state = 'foo'",
            "column 9: interaction_state is a state: 0 to 3, or 'queued', 'cached', 'routing', 'handling'",
        ),
        ("priority = 1e999", "column 12: priority is a number"),
        ("priority like '1%'", "column 10: 'like' is for strings, priority is none"),
        ("queue like 'a' escape 'ab'", "column 23: the escape is one character"),
        ("queue like 'a!' escape '!'", "column 12: the pattern ends with its escape character"),
        ("priority foo 5", "column 10: expected a comparison (= <> < <= > >=), 'between', 'in', 'is', 'like' or 'not'"),
        ("queue = 'abc", "column 9: the string that begins here has no closing quote"),
        ('queue = "abc"', "column 9: strings stand in single quotes"),
        ("[queue = 'abc'", "column 1: the name that begins here has no closing bracket, or is empty"),
        ("queue = ", "column 8: expected a number, a string in single quotes or 'null', found the end"),
        ("(queue = 'x'", "column 13: expected ')', found the end"),
        ("queue = 'x')", "column 12: expected the end, found ')'"),
        ("priority = 1 andqueue = 'x'", "column 14: expected the end, 'and' or 'or', found 'andqueue'"),
        ("priority between 1 or 2", "column 20: expected 'and', found 'or'"),
        ("queue in ()", "column 11: expected a number, a string in single quotes or 'null', found ')'"),
        ("queue == 'x'", "column 8: expected a number, a string in single quotes or 'null', found '='"),
        ("priority = 1;", "column 13: expected the end, 'and' or 'or', found ';'"),
        ("priority = 1 and ?", "column 18: expected a property name, '(' or 'not', found '?'"),
        ("1 = priority", "column 1: expected a property name, '(' or 'not', found '1'"),
    ],
)
def test_a_faulty_condition_says_where_and_what(text: str, detail: str) -> None:
    """Given a faulty condition, when it is compiled, then the refusal has the column and a sentence for a person."""
    with pytest.raises(Refusal) as caught:
        compile_condition(text, CUSTOM)
    assert caught.value.detail.startswith(detail)
    assert (caught.value.code, caught.value.field) == (Code.BAD_CONDITION, "condition")


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("priority foo", "column 10: expected a comma, the end, 'asc' or 'desc', found 'foo'"),
        ("priority desc,", "column 15: expected a property name, found the end"),
        (", priority", "column 1: expected a property name, found ','"),
        ("prio", "column 1: there is no property 'prio'; did you mean 'priority'?"),
        ("priority = 1", "column 10: expected"),
        ("user_data", "column 1: there is no property 'user_data'"),
    ],
)
def test_a_faulty_order_says_where_and_what(text: str, detail: str) -> None:
    """Given a faulty order, when it is compiled, then the refusal has the column and a sentence for a person."""
    with pytest.raises(Refusal) as caught:
        compile_order(text, CUSTOM)
    assert caught.value.detail.startswith(detail)
    assert (caught.value.code, caught.value.field) == (Code.BAD_CONDITION, "order")


def nested(depth: int) -> str:
    """The worst nesting: each level has an ``or``, an ``and`` and a ``not``."""
    opening, closing = "priority = 1 or priority = 2 and not (", ")"
    return opening * depth + "priority = 2" + closing * depth


@pytest.mark.parametrize(
    ("fits", "too_much"),
    [
        ("priority = 2".ljust(MAX_TEXT), "priority = 2".ljust(MAX_TEXT + 1)),
        (nested(MAX_NESTING), nested(MAX_NESTING + 1)),
        ("(" * MAX_NESTING + "id='('" + ")" * MAX_NESTING, "(" * 2000),
        (" or ".join(["id='('"] * MAX_TERMS), " or ".join(["id='('"] * (MAX_TERMS + 1))),
        (f"queue like '{'%' * MAX_PATTERN}'", f"queue like '{'%' * (MAX_PATTERN + 1)}'"),
        ("not " * 1000 + "id='x'", "not " * 1023 + "id='x'"),
        (f"priority < {'9' * 4000}", f"priority < {'9' * 4096}"),
    ],
)
def test_bounds(fits: str, too_much: str) -> None:
    """Given a condition at a bound, when it is compiled, then it works; one step further it is refused."""
    assert isinstance(matches(fits, WAITING), bool)
    compile_condition(fits).explain(WAITING)
    with pytest.raises(Refusal):
        compile_condition(too_much)


def test_order_bounds() -> None:
    """Given an order that is too long or has too many terms, when it is compiled, then it is refused."""
    custom = {f"c{at}": CustomProperty() for at in range(MAX_TERMS + 1)}
    assert compile_order(",".join(list(custom)[:MAX_TERMS]), custom).fields == {"user_data", "interaction_id"}
    for text in (",".join(custom), "priority".ljust(MAX_TEXT + 1)):
        with pytest.raises(Refusal):
            compile_order(text, custom)


PIECES = """priority queue Segment [deal size] state Due zz and or not in like between is null escape asc desc ( ) , =
<> < >= 1 -2.5 1e999 'a' 'queued' '2026-01-01' '%_' ' " [ ] ; \x00 é ((("""
WORDS = st.sampled_from(PIECES.split())
GARBAGE = st.text() | st.lists(WORDS, max_size=12).map(" ".join) | st.text(st.sampled_from("[]'()%_ ,=<>!aä1.e-\n"))


@settings(max_examples=200, deadline=None)
@given(GARBAGE)
def test_garbage_is_refused_and_nothing_else(text: str) -> None:
    """Given any text, when it is compiled, then it works or is refused with a place in it."""
    for compile_text in (compile_condition, compile_order):
        try:
            compile_text(text, CUSTOM)
        except Refusal as refusal:
            assert refusal.code is Code.BAD_CONDITION
            assert refusal.detail.startswith(("column ", "line ")) and refusal.detail.isprintable()


# ---- Conditions: against a plain evaluator and SQLite --------------------------------------------------------------

TEXTS = ["", "a", "A", "ab", "abab", "b%", "x_y", "é", "it's"]
NUMBERS = [-1, 0, 1, 2, 2.5, 10**20]
TIMES: dict[Any, str] = {
    0.0: "1970-01-01",
    1.5: "1970-01-01T00:00:01.5",
    NOON: NOON_TEXT,
    NOON + 3600: "2026-09-21T17:13:20.25+02:00",
}
STATE_NAMES: dict[Any, str] = {0: "queued", 1: "cached", 2: "Routing", 3: "HANDLING"}

COLUMNS = {
    "interaction_id": "string",
    "media_type": "string",
    "queue": "string",
    "parent_id": "string",
    "in_queues": "string",
    "workbin_type": "string",
    "workbin_agent_id": "string",
    "Segment": "string",
    "priority": "number",
    "service_objective": "number",
    "[deal size]": "number",
    "received_at": "timestamp",
    "scheduled_at": "timestamp",
    "Due": "timestamp",
    "interaction_state": "state",
}
JUNK: list[Any] = [None, True, [], {"a": 1}, "soon"]
or_none = st.none().__or__


@st.composite
def interactions(draw: st.DrawFn, interaction_id: str | None = None) -> tuple[Interaction, dict[str, Any]]:
    """An interaction with few different values, and the row that SQLite has for it."""
    text, number, time = st.sampled_from(TEXTS), st.sampled_from(NUMBERS), st.sampled_from(list(TIMES))
    segment, size, due = draw(text | st.sampled_from([*JUNK[:4], 5])), draw(number | st.sampled_from(JUNK)), draw(time)
    it = interaction(
        {"Segment": segment, "deal size": size, "Due": draw(st.sampled_from([due, TIMES[due]]))},
        interaction_id=interaction_id or draw(text),
        media_type=draw(text),
        queue=draw(or_none(text)),
        parent_id=draw(or_none(text)),
        in_queues=draw(or_none(st.lists(text, max_size=2))),
        workbin=draw(or_none(st.builds(Workbin, type=text, agent_id=or_none(text)))),
        priority=draw(st.integers(-1, 2)),
        service_objective=draw(or_none(st.integers(-1, 2))),
        received_at=draw(time),
        scheduled_at=draw(or_none(time)),
        interaction_state=draw(st.integers(0, 3)),
    )
    row = {name: getattr(it, name) for name in COLUMNS if hasattr(it, name)}
    row["in_queues"] = None if it.in_queues is None else ",".join(it.in_queues)
    row["workbin_type"], row["workbin_agent_id"] = (
        (it.workbin.type, it.workbin.agent_id) if it.workbin else (None, None)
    )
    row["Segment"] = segment if isinstance(segment, str) else None
    row["[deal size]"] = size if type(size) in (int, float) else None
    row["Due"] = due
    return it, {name: row[name] for name in COLUMNS}


def sql(value: Any) -> str:
    """A value as SQL writes it."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "null" if value is None else repr(value)


def written(draw: st.DrawFn, kind: str, value: Any) -> str:
    """A value as a condition may write it: times and states also by their text."""
    names = {"timestamp": TIMES, "state": STATE_NAMES}.get(kind, {})
    return sql(draw(st.sampled_from([value, names[value]])) if value in names else value)


@st.composite
def terms(draw: st.DrawFn) -> dict[str, Any]:
    """A term: how a condition and how SQL write it, and what the plain evaluator needs."""
    name, kind = draw(st.sampled_from(list(COLUMNS.items())))
    verbs = ["= ", "<>", "!=", "< ", "<=", "> ", ">=", "in", "between", "is"] + ["like"] * (kind == "string")
    verb, no = draw(st.sampled_from(verbs)), draw(st.sampled_from(["", "not "]))
    literals: dict[str, list[Any]] = {
        "string": TEXTS,
        "number": NUMBERS,
        "timestamp": list(TIMES),
        "state": [0, 1, 2, 3],
    }
    values = draw(st.lists(st.sampled_from(literals[kind] * 3 + [None]), min_size=3, max_size=3))
    if verb == "like":
        values = [draw(st.text(st.sampled_from("aAb%_é"), max_size=5))]
    elif verb == "is":
        values = []
    ours, theirs = [written(draw, kind, it) for it in values], [sql(it) for it in values]
    shapes = {
        "in": "{name} {no}in ({0}, {1}, {2})",
        "between": "{name} {no}between {0} and {1}",
        "is": "{name} is {no}null",
        "like": "{name} {no}like {0}",
    }
    shape = shapes.get(verb, "{name} {verb} {0}")
    no = "" if verb not in shapes else no
    return {
        "ours": shape.format(*ours, name=name, verb=verb, no=no),
        "theirs": shape.format(*theirs, name=name, verb=verb, no=no),
        "name": name,
        "verb": verb.strip(),
        "not": bool(no),
        "values": values,
    }


def joined(word: str) -> Any:
    def join(parts: list[Any]) -> tuple[str, list[Any]]:
        return word, parts

    return join


TREES = st.recursive(
    terms(),
    lambda inner: (
        st.lists(inner, min_size=2, max_size=3).map(joined("and"))
        | st.lists(inner, min_size=2, max_size=3).map(joined("or"))
        | st.lists(inner, min_size=1, max_size=1).map(joined("not"))
    ),
    max_leaves=8,
)


def text_of(tree: Any, dialect: str) -> str:
    """A tree as text, in our words or SQLite's, with the parentheses that it needs and no more."""
    if isinstance(tree, dict):
        return str(tree[dialect])
    word, parts = tree
    texts = [
        f"({text_of(part, dialect)})" if isinstance(part, tuple) and part[0] != "not" else text_of(part, dialect)
        for part in parts
    ]
    return f"not {texts[0]}" if word == "not" else f" {word} ".join(texts)


def negated(truth: bool | None) -> bool | None:
    return None if truth is None else not truth


def truth_of(tree: Any, row: dict[str, Any]) -> bool | None:
    """The plain evaluator: Kleene's logic, written down as it is taught."""
    if isinstance(tree, dict):
        truth = term_truth(tree, row[tree["name"]])
        return negated(truth) if tree["not"] else truth
    word, parts = tree
    truths = [truth_of(part, row) for part in parts]
    if word == "not":
        return negated(truths[0])
    decisive = word == "or"
    return decisive if decisive in truths else None if None in truths else not decisive


def term_truth(term: dict[str, Any], value: Any) -> bool | None:
    verb, values = term["verb"], term["values"]
    if verb == "is":
        return value is None
    if verb == "in":
        return truth_of(
            ("or", [{**term, "verb": "=", "not": False, "values": [it]} for it in values]), {term["name"]: value}
        )
    if verb == "between":
        low, high = (
            {**term, "verb": sign, "not": False, "values": [it]} for sign, it in zip((">=", "<="), values, strict=False)
        )
        return truth_of(("and", [low, high]), {term["name"]: value})
    if value is None or values[0] is None:
        return None
    if verb == "like":
        return like(value, values[0])
    order = (value > values[0]) - (value < values[0])
    return order in {"=": {0}, "<>": {-1, 1}, "!=": {-1, 1}, "<": {-1}, "<=": {-1, 0}, ">": {1}, ">=": {0, 1}}[verb]


def like(text: str, pattern: str) -> bool:
    """LIKE by trying everything."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(like(text[at:], pattern[1:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and like(text[1:], pattern[1:])


DATABASE = apsw.Connection(":memory:")
DATABASE.execute("pragma case_sensitive_like = 1")
DATABASE.execute(f"create table t ({', '.join(COLUMNS)}, number)")


def stored(rows: list[dict[str, Any]]) -> None:
    """Puts rows into SQLite's table. Numbers beyond 64 bits are stored as floats, which compare the same here."""
    DATABASE.execute("delete from t")
    marks = ", ".join("?" * (len(COLUMNS) + 1))
    for number, row in enumerate(rows):
        values = [float(it) if type(it) is int and abs(it) > 2**62 else it for it in row.values()]
        DATABASE.execute(f"insert into t values ({marks})", (*values, number))


@settings(max_examples=200, deadline=None)
@given(TREES, interactions())
def test_conditions_agree_with_a_plain_evaluator_and_with_sqlite(
    tree: Any, pair: tuple[Interaction, dict[str, Any]]
) -> None:
    """Given any condition and interaction, when it is asked, then true, false and unknown are SQL's."""
    it, row = pair
    ours, theirs = text_of(tree, "ours"), text_of(tree, "theirs")
    stored([row])
    answer = DATABASE.execute(f"select {theirs} from t").get
    expected = None if answer is None else bool(answer)
    assert truth_of(tree, row) is expected
    assert matches(ours, it) is (expected is True)
    assert matches(f"not ({ours})", it) is (expected is False)


@settings(max_examples=100, deadline=None)
@given(terms(), interactions())
def test_explained_terms_agree_with_the_plain_evaluator(term: Any, pair: tuple[Interaction, dict[str, Any]]) -> None:
    """Given any term, when it is explained, then its truth is the plain evaluator's."""
    it, row = pair
    assert compile_condition(term["ours"], CUSTOM).explain(it) == [(term["ours"], truth_of(term, row))]


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.sampled_from("ab_%!.[\n"), max_size=9), st.text(st.sampled_from("ab_%!.["), max_size=6), st.booleans()
)
def test_like_agrees_with_sqlite(text: str, pattern: str, escaped: bool) -> None:
    """Given any text and pattern, with and without escape, when they are compared, then as SQLite does."""
    if escaped:
        pattern = pattern.rstrip("!") + "!%"
    term = f"queue like {sql(pattern)}" + " escape '!'" * escaped
    stored([{**dict.fromkeys(COLUMNS), "queue": text}])
    assert matches(term, interaction(queue=text)) is bool(DATABASE.execute(f"select {term} from t").get)


def test_like_does_not_explode() -> None:
    """Given a pattern that makes backtracking matchers hang, when it is tried on a long text, then it answers."""
    it = interaction(queue="a" * 20_000)
    assert not matches(f"queue like '{'%a' * 60}%_b%'", it)
    assert matches(f"queue like '{'%a_' * 60}%'", it)


# ---- Orders --------------------------------------------------------------------------------------------------------

ORDERS = st.lists(
    st.tuples(st.sampled_from(list(COLUMNS)), st.sampled_from(["", " asc", " DESC"])),
    max_size=4,
    unique_by=lambda item: item[0],
).map(lambda items: ", ".join(name + direction for name, direction in items))


@st.composite
def populations(draw: st.DrawFn) -> list[tuple[Interaction, dict[str, Any]]]:
    ids = draw(st.lists(st.text(st.sampled_from("abAé"), min_size=1, max_size=2), unique=True, min_size=1, max_size=6))
    return [draw(interactions(interaction_id=it)) for it in ids]


@settings(max_examples=100, deadline=None)
@given(ORDERS, populations())
def test_orders_agree_with_sqlite(text: str, population: list[tuple[Interaction, dict[str, Any]]]) -> None:
    """Given any order and interactions, when they are sorted by key, then they stand as SQLite sorts them."""
    order = compile_order(text, CUSTOM)
    stored([row for _, row in population])
    terms_of_sql = f"{text or 'received_at'}, interaction_id"
    numbers = [number for (number,) in DATABASE.execute(f"select number from t order by {terms_of_sql}")]
    expected = [population[number][0] for number in numbers]
    assert sorted((it for it, _ in population), key=order.key) == expected
    for one, next_one in pairwise(expected):
        low, high = order.key(one), order.key(next_one)
        assert low < high and low <= high and high > low and high >= low and low != high
        assert not (high < low or high <= low or low > high or low >= high or low == high)


@settings(max_examples=100, deadline=None)
@given(ORDERS, interactions())
def test_a_key_is_the_same_however_it_is_made(text: str, pair: tuple[Interaction, dict[str, Any]]) -> None:
    """Given an interaction, when its key comes from the object, its head's JSON or its own JSON, then it is one."""
    it, _ = pair
    order = compile_order(text, CUSTOM)
    key = order.key(it)
    assert order.key_of(json.loads(json.dumps(order.head(it)))) == key
    assert order.key_of(msgspec.json.decode(msgspec.json.encode(order.head(it)))) == key
    assert order.decode_key(msgspec.json.encode(it)) == key
    assert hash(key) == hash(order.decode_key(msgspec.json.encode(it)))
    assert not key < key and key <= key


def test_the_default_order_and_the_tie_breaker() -> None:
    """Given no order, or one without the id, when a key is made, then arrival comes first and the id decides ties."""
    it = interaction()
    assert compile_order("").text == compile_order(" ").text == "received_at, interaction_id"
    assert compile_order("").key(it) == (NOON, "0001K3")
    assert compile_order("priority desc").key(it) == (-2, "0001K3")
    assert compile_order("priority desc, Priority asc").key(it) == (-2, "0001K3")
    assert compile_order("id desc").head(it) == ["0001K3"]
    assert compile_order("id desc").key(it) > compile_order("id desc").key(interaction(interaction_id="0001K4"))
    assert compile_order("queue, Due", CUSTOM).head(it) == ["Inbound", None, "0001K3"]
    assert compile_order("WorkbinAgentId, Due", CUSTOM).fields == {"workbin", "user_data", "interaction_id"}


def test_descending_strings_compare_the_other_way_round() -> None:
    """Given wrapped strings, when they are compared by any operator, then the greater string comes first."""
    a, b = Descending("a"), Descending("b")
    assert b < a and b <= a and a > b and a >= b and a != b
    assert a <= Descending("a") and a >= Descending("a") and a == Descending("a") and not a < Descending("a")
    assert len({a, b, Descending("a")}) == 2
    assert a != "a"


def test_fields_left_out_on_the_wire_have_their_defaults() -> None:
    """Given an interaction's JSON without defaults, with fields nobody knows, when its key is read, then it holds."""
    order = compile_order("is_locked desc, parent_id desc, workbin, in_queues")
    payload = b'{"token": 5, "interaction_id": "x", "new": {"a": []}}'
    assert order.decode_key(payload) == order.key(interaction(interaction_id="x"))


@pytest.mark.parametrize(
    "head",
    [
        None,
        (1, 2.0, None, "x"),
        [],
        [1, 2.0, None],
        [1, 2.0, None, "x", 0],
        ["1", 2.0, None, "x"],
        [None, 2.0, None, "x"],
        [True, 2.0, None, "x"],
        [1, float("nan"), None, "x"],
        [1, 2.0, 3, "x"],
        [1, 2.0, None, None],
        [1, 2.0, None, ["x"]],
    ],
)
def test_a_head_of_another_shape_is_refused(head: Any) -> None:
    """Given something else than this order's head, when its key is asked, then ValueError names what was expected."""
    order = compile_order("priority, received_at, queue desc")
    assert isinstance(order, Order)
    order.key_of([1, 2, None, "x"])
    with pytest.raises(ValueError, match="4 values: priority, received_at, queue, interaction_id"):
        order.key_of(head)


@settings(max_examples=100, deadline=None)
@given(st.binary() | st.sampled_from([b"{}", b"[]", b'{"interaction_id": 5}', b'{"a":' + b"[" * 9999, b"null"]))
def test_garbage_for_a_key_is_a_value_error(raw_json: bytes) -> None:
    """Given bytes that are no interaction, when a key is read from them, then ValueError and nothing else."""
    with pytest.raises(ValueError):
        compile_order("priority").decode_key(raw_json)
