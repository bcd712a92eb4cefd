"""RequestFindInteractions: a condition over all interactions, in slices that never stall the node.

An identifier or external id in the condition is looked up; otherwise every interaction is looked at, some thousands
each turn, while requests go on being served between the slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nsmallest
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

from broker.conditions import compile_condition, compile_order
from broker.errors import Code, Refusal
from broker.messages.interactions import EventInteractionsFound, RequestFindInteractions
from broker.messages.objects import Interaction
from broker.messages.snapshots import RequestTakeSnapshot

from .calls import Call

if TYPE_CHECKING:
    from .core import NodeCore

SLICE = 2_000
"""Interactions looked at in one turn: about 2 ms."""


_key = itemgetter(0)


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
        self.found: list[tuple[tuple[Any, ...], Interaction]] = []

    def _candidates(self, node: NodeCore) -> list[str]:
        memory, equals = node.memory, self.condition.equals
        if "interaction_id" in equals:
            return [equals["interaction_id"]]
        if "external_id" in equals:
            return sorted(memory.by_external_id.get(equals["external_id"], ()))
        return list(memory.interactions)

    def slice(self, node: NodeCore) -> bool:
        """Looks at the next interactions. True: all were looked at."""
        interactions, matches, key = node.memory.interactions, self.condition.matches, self.order.key
        visible = self._visible
        ids = list(islice(self.ids, SLICE))
        for ident in ids:
            interaction = interactions.get(ident)
            if interaction is not None and visible(interaction) and matches(interaction):
                self.found.append((key(interaction), interaction))
        self._shrink()
        return len(ids) < SLICE

    def _visible(self, interaction: Interaction) -> bool:
        return interaction.tenant_id in self.tenants and self.media_type in (None, interaction.media_type)

    def _shrink(self) -> None:
        """Keeps no more than can be in the answer, and the one that tells there is more."""
        limit = self.limit + 1
        if len(self.found) > 2 * limit:
            self.found = nsmallest(limit, self.found, key=_key)

    def finish(self, node: NodeCore) -> None:
        """Answers the one that asked."""
        node.finish(self.call, self.reply(node), changed=False)

    def reply(self, node: NodeCore) -> EventInteractionsFound:
        """The first ``count`` in order, of those that still are."""
        count = self.limit
        there = [found for found in self.found if found[1].interaction_id in node.memory.interactions]
        there.sort(key=_key)
        return EventInteractionsFound(
            interactions=[interaction for _, interaction in there[:count]], more=len(there) > count
        )


def find(node: NodeCore, call: Call) -> EventInteractionsFound | None:
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
