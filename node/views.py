"""Views: which waiting interactions a pull takes, in which order.

Every view of a queue keeps the keys of its interactions sorted, so a pull is O(log n) at any backlog. An interaction
enters and leaves its queue's views when one of its attributes changes (:meth:`Views.enter`, :meth:`Views.leave`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sortedcontainers import SortedList

from broker.conditions import Condition, Order, compile_condition, compile_order
from broker.config.objects import Configuration
from broker.messages.objects import QUEUED, Interaction

Key = tuple[Any, ...]


class View:
    """One view: its condition, its order and what waits in it.

    :param view_id: its name in the configuration, as in ``Inbound/all``
    """

    __slots__ = ("condition", "keys", "of", "order", "queue", "tenant_id", "view_id")

    def __init__(self, view_id: str, queue: str, tenant_id: int, condition: Condition, order: Order) -> None:
        self.view_id = view_id
        self.queue = queue
        self.tenant_id = tenant_id
        self.condition = condition
        self.order = order
        self.keys: SortedList = SortedList()
        self.of: dict[str, Key] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def first(self, count: int, below: Key | None = None) -> list[str]:
        """Ids of the first ``count`` interactions that come before the key ``below``."""
        ids = []
        for key in self.keys.islice(0, count):
            if below is not None and key >= below:
                break
            ids.append(key[-1])
        return ids

    def head(self) -> str | None:
        """The id that a pull would take first."""
        return self.keys[0][-1] if self.keys else None

    def add(self, interaction: Interaction) -> None:
        if self.condition.matches(interaction):
            key = (*self.order.key(interaction), interaction.interaction_id)
            self.of[interaction.interaction_id] = key
            self.keys.add(key)

    def discard(self, interaction_id: str) -> bool:
        key = self.of.pop(interaction_id, None)
        if key is None:
            return False
        self.keys.remove(key)
        return True


class Views:
    """All views of a node, by name and by queue. ``touched`` collects those that changed in this batch."""

    def __init__(self, configuration: Configuration) -> None:
        self.by_id: dict[str, View] = {}
        self.by_queue: dict[str, list[View]] = {name: [] for name in configuration.queues}
        self.touched: set[str] = set()
        for name, view in configuration.views.items():
            made = View(
                name,
                view.queue,
                configuration.queues[view.queue].tenant,
                compile_condition(view.condition, configuration.custom_properties),
                compile_order(view.order, configuration.custom_properties),
            )
            self.by_id[name] = made
            self.by_queue[view.queue].append(made)
        self.depends: dict[str, frozenset[str]] = {
            queue: frozenset[str](WAITING).union(*(v.condition.fields | v.order.fields for v in views))
            for queue, views in self.by_queue.items()
        }

    def of(self, interaction: Interaction) -> Iterator[View]:
        """The views of the interaction's queue."""
        yield from self.by_queue.get(interaction.queue or "", ())

    def enter(self, interaction: Interaction) -> None:
        """Adds a waiting interaction to the views whose condition it matches."""
        if waits(interaction):
            for view in self.by_queue.get(interaction.queue or "", ()):
                view.add(interaction)
                self.touched.add(view.view_id)

    def leave(self, interaction: Interaction) -> None:
        """Takes an interaction out of its queue's views; call it while ``queue`` still has the old value."""
        for view in self.by_queue.get(interaction.queue or "", ()):
            if view.discard(interaction.interaction_id):
                self.touched.add(view.view_id)

    def concerns(self, interaction: Interaction, fields: dict[str, Any]) -> bool:
        """Whether a change of these fields can move the interaction in, out of or inside its views."""
        depends = self.depends.get(interaction.queue or "", WAITING)
        return not depends.isdisjoint(fields) or "queue" in fields


WAITING = frozenset({"queue", "workbin", "interaction_state", "is_locked", "is_held", "scheduled_at"})
"""What decides whether an interaction waits at all, whatever the view."""


def waits(interaction: Interaction) -> bool:
    """Whether a pull may take it: queued, neither locked nor held, and in a queue."""
    return (
        interaction.interaction_state == QUEUED
        and not interaction.is_locked
        and not interaction.is_held
        and interaction.workbin is None
        and interaction.queue is not None
    )
