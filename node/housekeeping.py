"""What an active member does behind its work, a slice at a time: tables are written, the journal is cut. A shell."""

from __future__ import annotations

import time

import structlog

from broker.clock import to_us
from broker.ledger import Ledger

from .core import NodeCore
from .store import Store, StoreFailure
from .tenure import Tenure

FOLD_ROWS = 200
"""Rows of the tables written in one slice: one to two milliseconds."""
FOLD_PAUSES = 3.0
"""After a slice nothing is folded for so many times as long as it took: most requests find the member free, and a large
round (a million rows are ten seconds of work) leaves the processor to others."""
FOLD_AFTER_REVS = 2_000
FOLD_IDLE_S = 0.5
CUT_EVERY_S = 1.0
RETRY_S = 1.0
"""After a slice that the database did not do: nobody waits for it, so it is tried again in peace."""
CHECKPOINT_PAGES = 1_000
CUT_ROWS = 500


log = structlog.get_logger("node")


class Housekeeping:
    """The slices of one member.

    :param tenure: has the rounds (:class:`node.folding.Folding`) and the core
    :param ledger: counts what the database did not do
    """

    def __init__(self, store: Store, tenure: Tenure, ledger: Ledger) -> None:
        self._store = store
        self._tenure = tenure
        self._ledger = ledger
        self._failure = ""
        self._slice_at = self._round_at = self._cut_at = 0.0

    @property
    def wake_at(self) -> float:
        """When :meth:`turn` wants to be called next, in seconds."""
        return self._slice_at if self._tenure.folding.running else self._cut_at

    def turn(self, now: float) -> None:
        """The slices that are due. What the database did not do is said, once, and tried again.

        :raises Fenced: this member was replaced
        """
        try:
            self._do(now)
        except StoreFailure as fault:
            self._slice_at = self._cut_at = now + RETRY_S
            self._ledger["store failures"] += 1
            if str(fault) != self._failure:
                self._failure = str(fault)
                log.error("the tables are not written, or the journal not cut", reason=str(fault), do=fault.remedy)

    def _do(self, now: float) -> None:
        core = self._tenure.core
        if now >= self._slice_at:
            began = time.monotonic()
            self._fold(now, core)
            if self._store.behind > CHECKPOINT_PAGES:
                self._store.checkpoint()
            took = time.monotonic() - began
            self._slice_at = now + took + FOLD_PAUSES * took
            self._failure = ""
        if now >= self._cut_at:
            self._shorten_journal(now, core)

    def _fold(self, now: float, core: NodeCore) -> None:
        """Writes the next slice into the tables, or begins a round."""
        folding = self._tenure.folding
        self._tenure.arrange()
        if folding.running:
            self._store.fold(core.epoch, folding.next(FOLD_ROWS))
            folding.written()
        elif core.rev > folding.folded_rev and self._is_due(now, core.rev - folding.folded_rev):
            folding.begin(core.rev)

    def _is_due(self, now: float, revs: int) -> bool:
        """Whether a round begins. :param revs: how far the tables are behind"""
        if revs < FOLD_AFTER_REVS and now < self._round_at:
            return False
        self._round_at = now + FOLD_IDLE_S
        return True

    def _shorten_journal(self, now: float, core: NodeCore) -> None:
        """Cuts what nobody needs any more, a slice at a time; at the journal's bound the core refuses new work."""
        before_us = to_us(now - core.settings.event_retention)
        cut = self._store.cut(core.epoch, before_us, CUT_ROWS)
        self._cut_at = now if cut == CUT_ROWS else now + CUT_EVERY_S
        core.journal_full = self._store.journal_rows() >= core.settings.max_journal_rows
