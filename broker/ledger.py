"""What a process has dropped: messages that reached nobody, came too late or could not be read, by peer and reason.

Nothing is logged per message: a drop costs the same whatever was dropped before, and what is kept is bounded. Counts
are per peer and reason; peers beyond :data:`MOST_PEERS` are counted together. The last :data:`LAST` drops are kept one
by one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from broker.messages.operations import LAST, LedgerEntry

MOST_PEERS = 1000
"""Peers that are counted by name; a process talks to few nodes, but to many clients."""
OTHERS = "others"
"""Peers beyond the bound, together."""
STRANGER = "a stranger"
"""A peer that has not registered, or is not registered any more."""
_LOOKED_THROUGH = 256
"""Bytes of a payload in which its name is looked for."""
_NAME = b'"message"'


class Ledger(Counter[str]):
    """What one process counts, by reason; of what it drops, with the peers and the last ones.

    :param clock: the time now, in seconds
    """

    def __init__(self, clock: Callable[[], float] = float) -> None:
        super().__init__()
        self.dropped = 0
        self._clock = clock
        self._peers: dict[str, Counter[str]] = {}
        self._last: deque[tuple[float, str, str, bytes, int]] = deque(maxlen=LAST)

    def drop(self, peer: str, reason: str, payload: bytes | memoryview = b"", times: int = 1) -> None:
        """A message was dropped. :param payload: it, as far as it is known; :param times: so many of the same kind"""
        self.dropped += times
        self[reason] += times
        reasons = self._peers.get(peer)
        if reasons is None:
            if len(self._peers) >= MOST_PEERS:
                peer = OTHERS
            reasons = self._peers.setdefault(peer, Counter())
        reasons[reason] += times
        self._last.append((self._clock(), peer, reason, bytes(payload[:_LOOKED_THROUGH]), len(payload)))

    def by_peer(self) -> dict[str, dict[str, int]]:
        """How many, by peer and reason."""
        return {peer: dict(reasons) for peer, reasons in self._peers.items()}

    def by_reason(self) -> dict[str, int]:
        """How many, by reason."""
        total: Counter[str] = Counter()
        for reasons in self._peers.values():
            total.update(reasons)
        return dict(total)

    def last(self, count: int = LAST) -> list[LedgerEntry]:
        """The last ones, oldest first."""
        rows = list(self._last)[-count:] if count else []
        return [
            LedgerEntry(time=at, peer=peer, reason=why, name=name_in(head), size=size)
            for at, peer, why, head, size in rows
        ]

    def document(self) -> dict[str, Any]:
        """What a status says of it: the total, and by reason."""
        return {"total": self.dropped, "reasons": self.by_reason()}


def name_in(payload: bytes) -> str | None:
    """The name of a message by the beginning of its payload; None where it is not there."""
    _, found, rest = payload[:_LOOKED_THROUGH].partition(_NAME)
    parts = rest.split(b'"', 2) if found else []
    if len(parts) < 3 or parts[0].strip() != b":":
        return None
    return parts[1].decode("utf-8", "replace")
