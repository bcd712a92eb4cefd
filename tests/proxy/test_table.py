"""Every request class through a proxy in every circumstance: one right answer each, in its time, and nothing left over.

What is right is in ``table/rules.py``, by the way that a request takes; the rows are in ``table/rows.py``. Real nodes
are behind the proxy; only their answers are disturbed on the way.
"""

from __future__ import annotations

import pytest

from broker.errors import Code
from broker.messages import REQUESTS
from broker.messages.refusals import GENERAL, refusals
from tests.proxy.table.play import judge, played
from tests.proxy.table.rows import ROWS, Row
from tests.proxy.table.rules import CIRCUMSTANCES, OF_ROUTE, WAYS, Circumstance, way_of

RUBBISH = (
    b"", b"null", b"[]", b"{}", b'{"message":5}', b'{"message":"RequestPing"}', b'{"message":"EventAck"',
    b'{"message":"EventPong"}', b'{"message":"EventError","code":43}',
)  # fmt: skip
"""What no node says to that: all of it as a positive answer."""
OF_EACH_WAY = list({row.way: row for row in reversed(ROWS) if row.way not in ("here", "proxies")}.values())


@pytest.mark.parametrize("circumstance", CIRCUMSTANCES, ids=str)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_one_right_answer(row: Row, circumstance: Circumstance) -> None:
    """Given what a request needs, when it is asked and nodes are lost, slow or talk nonsense, then the client gets the
    one right answer by its deadline, and nothing is left over."""
    judge(played(row, circumstance))


@pytest.mark.parametrize("rubbish", RUBBISH, ids=str)
@pytest.mark.parametrize("row", OF_EACH_WAY, ids=str)
def test_whatever_the_garbage_is(row: Row, rubbish: bytes) -> None:
    """Given a node that says what no node says, when it is asked, then it counts as silent and the ledger says so."""
    judge(played(row, Circumstance("its", "garbage"), rubbish))


# ---- the table is whole


def test_every_request_class_has_a_row_and_every_rule_has_one() -> None:
    """Given the catalogue, when a class, route or merge is new, then it needs a rule; no rule is for nothing."""
    assert {row.name for row in ROWS} == set(REQUESTS)
    assert {row.way for row in ROWS} == set(WAYS)
    ways = {(request.route, request.merge) for name, request in REQUESTS.items() if way_of(name) != "proxies"}
    assert ways == set(OF_ROUTE)


def test_rows_are_told_apart() -> None:
    assert len({str(row) for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_it_is_refused_with_is_documented(row: Row) -> None:
    """Given a row, when its rules say an error, then the request's documentation says it too."""
    codes = {Code(int(cell)) for cell in WAYS[row.way].values() if cell.isdigit()}
    assert codes <= {*GENERAL, *refusals(REQUESTS[row.name])}
