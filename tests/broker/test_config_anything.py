"""Any text at all is read as a configuration or refused with faults: nothing else is ever raised."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.config.faults import ConfigurationFaults
from broker.config.load import parse
from broker.config.objects import Configuration

SHIPPED = (Path(__file__).parents[2] / "cluster.toml").read_text()
GOOD = (
    SHIPPED
    + """
[workbins.Drafts]
owner = "agent"
queue = "Inbound"
[custom-properties.CustomerId]
type = "string"
[views."Inbound/urgent"]
queue = "Inbound"
condition = "priority >= 2 and CustomerId = '7'"
"""
)

WORDS = """[ ] [[ ]] { } = . , # " ' nodes n1 clusters servers proxies p1 queues Inbound views order condition workbins
tenants 101 settings primary requests database licenses connections cluster-type media-types custom-properties
true 5 -1 1.5 inf 1979-05-27 "a" 'order' ''' pull-hold-timeout event-logs"""
PIECES = st.sampled_from([*WORDS.split(), "\n"])
STATEMENTS = st.sampled_from([line for line in GOOD.splitlines() if line and not line.startswith("#")])


def survives(text: str) -> None:
    try:
        assert isinstance(parse(text), Configuration)
    except ConfigurationFaults as refused:
        assert refused.faults
        assert all(1 <= fault.line <= text.count("\n") + 1 for fault in refused.faults)


@settings(deadline=None)
@given(st.text() | st.lists(PIECES, max_size=30).map(" ".join))
def test_any_text(text: str) -> None:
    """Given any text, when it is read, then it is a configuration or faults with lines; nothing else is raised."""
    survives(text)


@settings(deadline=None)
@given(st.lists(STATEMENTS, unique=True, max_size=25).map("\n".join))
def test_any_statements(text: str) -> None:
    """Given lines of good files in any order, when they are read, then the same."""
    survives(text)


@settings(deadline=None)
@given(st.data())
def test_any_damage(data: st.DataObject) -> None:
    """Given a good file with a piece replaced by anything, when it is read, then the same."""
    start = data.draw(st.integers(0, len(GOOD)))
    end = data.draw(st.integers(start, min(len(GOOD), start + 20)))
    survives(GOOD[:start] + data.draw(st.text(max_size=5) | PIECES) + GOOD[end:])


VALUES = st.recursive(
    st.sampled_from(["1", "-5", "1e3", "nan", "true", '""', '"n1"', "1979-05-27", "99999999999999999999999"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | inner.map(lambda item: f"{{ a = {item} }}")
    ),
    max_leaves=4,
)


@settings(deadline=None)
@given(st.data())
def test_any_value(data: st.DataObject) -> None:
    """Given a good file with an option's value replaced by any other, when it is read, then the same."""
    name, _, _ = data.draw(STATEMENTS.filter(lambda line: " = " in line)).partition(" = ")
    survives(re.sub(f"(?m)^{re.escape(name)} = .*$", lambda _: f"{name} = {data.draw(VALUES)}", GOOD))
