"""Strategies that routing engines load and unload."""

from __future__ import annotations

from collections.abc import Iterator

from broker.errors import Code
from broker.rates import Pace
from tests.model import engines
from tests.model.asked import Asked
from tests.model.author import Author
from tests.model.plain import Plain
from tests.model.requests.entries import Entry, Next
from tests.model.things import Document, Load
from tests.model.world import ORDERS, STRATEGIES

NAMES = [*STRATEGIES, "Own"]


def write_load(author: Author) -> Document:
    fields: Document = {"tenant_id": 101, "strategy_id": author.one(*NAMES)}
    if author.some():
        fields["view_ids"] = [author.one(*ORDERS), author.one(*ORDERS)]
    if author.seldom():
        fields["view_ids"] = ["Fair/all", author.one("None/all", "Shop/all")]
    if author.some():
        fields["max_submitted"] = author.one(0, 1, 2, 2)
    if author.seldom():
        fields["submission_rate"] = author.one("0", "10/minute", "2/second")
    return fields


def load(asked: Asked) -> None:
    faults, strategy = set[Code](), asked["strategy_id"]
    known = STRATEGIES.get(strategy)
    views = asked["view_ids"] or (known.views if known else [])
    if any(view not in ORDERS for view in views):
        faults.add(Code.UNKNOWN_VIEW)
    if not views:
        faults.add(Code.UNKNOWN_STRATEGY)
    if asked.verdict(faults):
        rate, client = asked["submission_rate"], asked.client
        most = engines.most_of(strategy, asked["max_submitted"], client.name)
        loaded = Load(client.session, client.name, strategy, list(views), most, rate, Pace(rate))
        asked.plain.loads[client.session, strategy] = loaded


def write_unload(author: Author) -> Document:
    own = [load.strategy for load in author.plain.loads.values() if load.session == author.client.session]
    return {"tenant_id": 101, "strategy_id": author.one(*own or NAMES, *NAMES * author.seldom())}


def unload(asked: Asked) -> None:
    key = asked.client.session, asked["strategy_id"]
    if asked.verdict({Code.UNKNOWN_STRATEGY} if key not in asked.plain.loads else ()):
        del asked.plain.loads[key]
        asked.plain.abandon(*key)


def likely(plain: Plain) -> Iterator[Next]:
    """What is loaded is unloaded, or loaded anew."""
    for load in plain.loads.values():
        client = plain.of_session(load.session)
        if client is not None:
            yield client, "RequestLoadStrategy"
            yield client, "RequestUnloadStrategy"


REQUESTS = {"RequestLoadStrategy": Entry(write_load, load), "RequestUnloadStrategy": Entry(write_unload, unload)}
