"""The table of holdings, which also notes who has less to do than before."""

from __future__ import annotations

from .records import Holding
from .tables import Kind, Watched


class Taken(Watched[Holding]):
    """Interactions that are out of their queues.

    :param freed: sessions of routing engines that one of their interactions was taken from, or that may hold it under
        another grant, since this was emptied
    """

    def __init__(self, name: str, kind: Kind[Holding]) -> None:
        super().__init__(name, kind)
        self.freed: set[str] = set()

    def _leave(self, key: str, row: Holding) -> None:
        super()._leave(key, row)
        for holder in row.holders:
            if not holder.agent:
                self.freed.add(holder.session_id)
