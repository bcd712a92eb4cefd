"""Conditions, against a plain evaluator and SQLite."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.conditions import compile_condition
from broker.messages.objects import Interaction
from tests.broker.judge import DATABASE, stored
from tests.broker.samples import COLUMNS, CUSTOM, NUMBERS, TEXTS, TIMES, interaction, interactions, matches

STATE_NAMES: dict[Any, str] = {0: "queued", 1: "cached", 2: "Routing", 3: "HANDLING"}


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
    explained = compile_condition(term["ours"], CUSTOM).explain(it)
    assert [(one.term, one.truth) for one in explained] == [(term["ours"], truth_of(term, row))]


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
