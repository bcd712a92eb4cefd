"""Which node holds an interaction: said by its id, remembered, or to be asked of all.

Interactions never change nodes (guide, "Nodes Are Irreplaceable"), so an id that the cluster made is certain. What is
remembered of ids that clients made up is not: the interaction may be gone, and its id used again at another node.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from broker.ids import code_of, node_code, rendezvous


class Whereabouts(NamedTuple):
    """Where to ask first. :param certain: no other node can hold it"""

    nodes: tuple[str, ...]
    certain: bool


class WhereIs:
    """Ids -> nodes. :param nodes: all nodes of the proxy; :param size: how many made-up ids are remembered"""

    def __init__(self, nodes: Sequence[str], size: int) -> None:
        self._cache: OrderedDict[str, str] = OrderedDict()
        self.size = size
        self.reload(nodes)

    def reload(self, nodes: Sequence[str]) -> None:
        """Other nodes: what is remembered of those that have gone is forgotten."""
        self._all = Whereabouts(tuple(nodes), True)
        self._by_code = {node_code(name): Whereabouts((name,), True) for name in nodes}
        for ident in [ident for ident, node in self._cache.items() if node not in nodes]:
            del self._cache[ident]

    def __len__(self) -> int:
        return len(self._cache)

    def find(self, interaction_id: str) -> Whereabouts:
        """Where an interaction is or may be."""
        named = self._by_code.get(interaction_id[:4])
        if named is not None and code_of(interaction_id) is not None:
            return named
        known = self._cache.get(interaction_id)
        return self._all if known is None else Whereabouts((known,), len(self._all.nodes) == 1)

    def named(self, interaction_id: str) -> str | None:
        """The node that an id of the cluster's own make names; None for any other id."""
        there = self._by_code.get(interaction_id[:4])
        return there.nodes[0] if there is not None and code_of(interaction_id) is not None else None

    def learn(self, interaction_id: str, node: str) -> None:
        """A node has shown that it holds the interaction. The id learned longest ago is forgotten for a new one."""
        if self.named(interaction_id) is not None:
            return
        cache = self._cache
        cache[interaction_id] = node
        cache.move_to_end(interaction_id)
        if len(cache) > self.size:
            cache.popitem(last=False)

    def homes(self, interaction_id: str, eligible: Sequence[str]) -> tuple[str, ...]:
        """The node that a new interaction with an id of the client's own goes to, so that a second one with the same id
        meets the first; then those that take it while that one is drained. Empty: the id names a node that takes none.

        :param eligible: the configured nodes that could take it, reachable or not
        """
        named = self.named(interaction_id)
        if named is not None:
            return (named,) if named in eligible else ()
        return tuple(rendezvous(interaction_id, list(eligible)))
