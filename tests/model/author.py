"""Requests that make sense often enough: drawn from what there is, and now and then from what there is not."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.model.plain import Plain
from tests.model.things import Client, Document

CHANGES: list[Document] = [
    {"priority": 7},
    {"note": "x"},
    {"Priority": 1, "note": [1]},
    {"ExternalId": "e1", "service_type": "gold"},
    {"out_queues": ["Done", "Fair"]},
    {"handling-timeout": 2},
]
ODD: list[Document] = [{"is_online": 1}, {"IsOnline": 0}, {"interaction_type": "Odd"}, {"queue": "Done"}]
"""What is not for everybody, or for nobody."""


class Author:
    """Writes requests of a client."""

    def __init__(self, chance: Random, plain: Plain, client: Client) -> None:
        self.chance = chance
        self.plain = plain
        self.client = client

    def one(self, *things: Any) -> Any:
        return self.chance.choice(things)

    def some(self) -> bool:
        return self.chance.random() < 0.5

    def seldom(self) -> bool:
        return self.chance.random() < 0.12

    def ident(self) -> str:
        """An item's id, best of one that this client has to do with."""
        items = list(self.plain.items.values())
        agent = self.plain.agent_of(self.client)
        names = {self.client.session, agent.key if agent else None}
        own = [item.ident for item in items if item.holding and names.intersection(item.holding.holders)]
        if own and not self.seldom():
            return str(self.one(*own))
        return str(self.one(*[item.ident for item in items][-20:] or ["nowhere"], *["nowhere"] * self.seldom()))

    def item(self) -> Document:
        """The fields of a request about an item, now and then with a token, and not always the right one."""
        fields: Document = {"interaction_id": self.ident()}
        if self.seldom():
            item = self.plain.items.get(fields["interaction_id"])
            known = item.holding.token if item and item.holding else 1
            fields["token"] = self.one(1, known or 1)
            if known is None:
                del fields["token"]
        return fields

    def changing(self) -> Document:
        """The same of a request that may change properties on the way."""
        fields = self.item()
        if self.some():
            fields["changed_properties"] = self.one(*CHANGES)
        if self.seldom():
            fields["added_properties"] = self.one({"scheduled_at": self.plain.now + self.one(0.5, 5.0)}, *ODD)
        if self.seldom():
            fields["deleted_properties"] = [self.one("note", "ExternalId", "scheduled_at", "out_queues", "Priority")]
        return fields
