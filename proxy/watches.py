"""Keeping what the stream publishes for a while, for those who put a state together meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from .sources import Entry

WATCHED = 1_000_000
"""Events that a watch keeps at most."""


class Watch:
    """What is published from now on, and the echoes that are left out: ``entries`` in the order of the stream.

    :param overflow: there was more than a watch keeps; the entries are of no use
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.overflow = False

    def see(self, entries: Sequence[Entry]) -> None:
        """Notes what was published."""
        if len(self.entries) + len(entries) > WATCHED:
            self.overflow = True
            self.entries.clear()
        elif not self.overflow:
            self.entries += entries
