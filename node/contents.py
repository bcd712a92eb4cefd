"""What is in the workbins, found without looking through all interactions.

A workbin is known by its tenant, its type and its owner. It is there as long as something is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from broker.conditions import compile_condition, compile_order
from broker.config.objects import PRIVATE_VIEW, Configuration
from broker.messages.kinds import Workbin
from broker.messages.objects import QUEUED, Interaction

from .views import View

Bin = tuple[int, Workbin]
"""A tenant's workbin."""


class Move(NamedTuple):
    """An interaction came into a workbin or went out of it."""

    bin: Bin
    interaction_id: str
    added: bool


class Contents:
    """The workbins of a node.

    :param ids: workbin -> what is in it, also what is locked or held; sorted when it is asked for
    :param views: workbin -> what pulls may take from it
    :param moves: what came and went since the end of the last batch, for those who want to be told
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._stale: list[Bin] = []
        self.ids: dict[Bin, dict[str, None]] = {}
        self.views: dict[Bin, View] = {}
        self.moves: list[Move] = []

    @property
    def building(self) -> bool:
        """Workbins have another order than before: :meth:`build` has to be called."""
        return bool(self._stale)

    def reconfigure(self, configuration: Configuration) -> None:
        """Workbins whose order is another one are put into it, by and by."""
        self._configuration = configuration
        self._stale = [where for where, view in self.views.items() if view.order is not self._view(where).order]

    def build(self, interactions: Mapping[str, Interaction], limit: int) -> bool:
        """Orders the next workbins anew, until ``limit`` interactions were looked at. True: all are done."""
        while self._stale and limit > 0:
            where = self._stale.pop()
            if where in self.views:
                view = self.views[where] = self._view(where)
                for ident in self.ids[where]:
                    limit -= 1
                    if not interactions[ident].is_locked:
                        view.add(interactions[ident])
        return not self._stale

    def enter(self, interaction: Interaction) -> None:
        """Notes where a stored interaction is."""
        where = place_of(interaction)
        if where is not None:
            self.ids.setdefault(where, {})[interaction.interaction_id] = None
            if not interaction.is_locked:
                view = self.views.get(where)
                if view is None:
                    view = self.views[where] = self._view(where)
                view.add(interaction)

    def leave(self, interaction: Interaction) -> None:
        """Forgets where an interaction is; call it while it still has its old values."""
        where = place_of(interaction)
        if where is None:
            return
        ids, view = self.ids[where], self.views.get(where)
        del ids[interaction.interaction_id]
        if view is not None:
            view.discard(interaction.interaction_id)
        if not ids:
            del self.ids[where]
            self.views.pop(where, None)

    def moved(self, interaction_id: str, old: Bin | None, new: Bin | None) -> None:
        """Notes that an interaction is in another place than it was."""
        if old != new:
            self.moves += [Move(old, interaction_id, False)] if old is not None else []
            self.moves += [Move(new, interaction_id, True)] if new is not None else []

    def of(self, where: Bin) -> list[str]:
        """The ids of all that is in a workbin."""
        return list(self.ids.get(where, ()))

    def count(self, where: Bin) -> tuple[int, int]:
        """How many are in a workbin, and how many of them are held."""
        view = self.views.get(where)
        return len(self.ids.get(where, ())), len(view.held_ids) if view is not None else 0

    def _view(self, where: Bin) -> View:
        tenant_id, workbin = where
        kind = self._configuration.workbins.get(workbin.type)
        order = compile_order(kind.order if kind else "", self._configuration.custom_properties)
        return View(f"{workbin.type}/{PRIVATE_VIEW}", tenant_id, compile_condition(""), order)


def place_of(interaction: Interaction) -> Bin | None:
    """The workbin that an interaction is in; one that is handled remembers it only as where it came from."""
    if interaction.workbin is None or interaction.interaction_state != QUEUED:
        return None
    return interaction.tenant_id, interaction.workbin
