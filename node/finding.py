"""RequestFindInteractions: a condition over all interactions, in slices that never stall the node.

An identifier or external id in the condition is looked up; otherwise every interaction is looked at, some thousands
each turn, while requests go on being served between the slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from broker.conditions import compile_condition, compile_order
from broker.errors import Code, Refusal
from broker.messages.interactions import EventInteractionsFound, RequestFindInteractions
from broker.messages.objects import Interaction
from broker.messages.snapshots import RequestTakeSnapshot

from .calls import Call
from .listing import Listing, Sorted, key_of, keys, listed

if TYPE_CHECKING:
    from .core import NodeCore

SLICE = 2_000
"""Interactions looked at in one turn: about 2 ms."""


class Task(Protocol):
    """Work that is done in slices, one a turn."""

    def slice(self, node: NodeCore) -> bool:
        """Does some of it. True: all is done."""

    def finish(self, node: NodeCore) -> None:
        """Answers whoever waits for it."""


class Search:
    """One find on its way through the interactions."""

    def __init__(self, node: NodeCore, call: Call, limit: int) -> None:
        request: RequestFindInteractions | RequestTakeSnapshot = call.request
        custom = node.configuration.custom_properties
        self.call = call
        self.limit = limit
        self.condition = compile_condition(request.condition or "", custom)
        self.order = compile_order(request.order, custom)
        self.tenants = call.session.tenants if request.tenant_id is None else {request.tenant_id}
        self.media_type = request.media_type
        self.ids: Iterator[str] = iter(self._candidates(node))
        self.found: list[Sorted] = []

    def _candidates(self, node: NodeCore) -> list[str]:
        memory, equals = node.memory, self.condition.equals
        if "interaction_id" in equals:
            return [equals["interaction_id"]]
        if "external_id" in equals:
            return sorted(memory.by_external_id.get(equals["external_id"], ()))
        return list(memory.interactions)

    def slice(self, node: NodeCore) -> bool:
        """Looks at the next interactions. True: all were looked at."""
        there, matches, key = node.memory.interactions.get, self.condition.matches, keys(self.call, self.order)
        visible = self._visible
        ids = list(islice(self.ids, SLICE))
        seen = map(there, ids)
        self.found += [(key(one), one) for one in seen if one is not None and visible(one) and matches(one)]
        if len(self.found) > 2 * self.limit:
            self._shrink()
        return len(ids) < SLICE

    def _visible(self, interaction: Interaction) -> bool:
        return interaction.tenant_id in self.tenants and (
            self.media_type is None or self.media_type == interaction.media_type
        )

    def _shrink(self) -> None:
        """Keeps no more than can be in the answer, and the one that tells there is more."""
        self.found = nsmallest(self.limit + 1, self.found, key=key_of)

    def finish(self, node: NodeCore) -> None:
        """Answers the one that asked, with what still is."""
        self.found = [found for found in self.found if found[1].interaction_id in node.memory.interactions]
        reply = self.reply(node)
        if reply is not None:
            node.finish(self.call, reply, changed=False)

    def reply(self, node: NodeCore) -> Listing | None:
        """The first ``count`` in order."""
        found, count = self.found, self.limit
        found.sort(key=key_of)
        return listed(node, self.call, EventInteractionsFound, found[:count], len(found) > count)


def find(node: NodeCore, call: Call) -> Listing | None:
    """RequestFindInteractions: at once where few have to be looked at, else over several turns."""
    if call.request.tenant_id is not None:
        call.tenant(call.request.tenant_id)
    search = Search(node, call, call.request.count)
    if search.slice(node):
        return search.reply(node)
    if len(node.searches) >= node.settings.max_pending:
        raise Refusal(Code.BUSY, "too many searches are running", retry_after=1.0)
    node.searches.append(search)
    return None


HANDLERS = {RequestFindInteractions: find}
