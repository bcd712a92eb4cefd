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

NAMES = ["Greeting", "Slow", "Own"]


def write_load(author: Author) -> Document:
    fields: Document = {"tenant_id": 101, "strategy_id": author.one(*NAMES)}
    if author.some():
        fields["view_ids"] = [author.one(*author.plain.world.views), author.one(*author.plain.world.views)]
    if author.seldom():
        fields["view_ids"] = ["Fair/all", author.one("None/all", "Shop/all")]
    if author.some():
        fields["max_submitted"] = author.one(0, 1, 2, 2)
    if author.seldom():
        fields["submission_rate"] = author.one("0", "10/minute", "2/second")
    return fields


def load(asked: Asked) -> None:
    faults, plain, client, rate = set[Code](), asked.plain, asked.client, asked["submission_rate"]
    loaded = Load(
        session=client.session,
        client=client.name,
        strategy=asked["strategy_id"],
        views=asked["view_ids"],
        most=asked["max_submitted"],
        rate=rate,
        pace=Pace(rate),
    )
    if any(view not in plain.world.views for view in loaded.views or ()):
        faults.add(Code.UNKNOWN_VIEW)
    if not engines.views_of(plain, loaded):
        faults.add(Code.UNKNOWN_STRATEGY)
    if asked.verdict(faults):
        plain.loads[client.session, loaded.strategy] = loaded


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
