"""Views: which waiting interactions a pull takes, in which order.

Every view of a queue keeps the keys of its interactions sorted, so a pull is O(log n) at any backlog. An interaction
enters and leaves its queue's views when one of its attributes changes (:meth:`Views.enter`, :meth:`Views.leave`).
Held interactions stand apart, for pulls that ignore the hold. What is scheduled for later sleeps outside the views
until :meth:`Views.wake` is called at its time; what a standby follows sleeps there until it becomes active.

When the configuration changes, a view that is new or another one is built beside the old one, in slices
(:meth:`Views.build`): what comes, goes and changes meanwhile goes into both, pulls go on in the old one, and when the
new one has all it takes the old one's place.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import merge
from itertools import islice, takewhile
from typing import Any

from sortedcontainers import SortedList

from broker.conditions import (
    Condition,
    Order,
    Segmentation,
    compile_condition,
    compile_order,
    compile_segmentation,
)
from broker.config.objects import Configuration
from broker.config.objects import View as ViewOptions
from broker.messages.objects import QUEUED, Interaction

Key = tuple[Any, ...]

WOKEN_AT_ONCE = 1000
"""Scheduled interactions that enter their views in one turn, so that midnight's do not stall the node."""


class Segments:
    """Sorted keys, divided by a value. The segment whose turn it is stands first; without division there is one."""

    __slots__ = ("by_value",)

    def __init__(self) -> None:
        self.by_value: OrderedDict[Any, SortedList] = OrderedDict()

    def add(self, segment: Any, key: Key) -> None:
        keys = self.by_value.get(segment)
        if keys is None:
            keys = self.by_value[segment] = SortedList()
        keys.add(key)

    def fill(self, divided: Mapping[Any, list[Key]]) -> None:
        """All keys of an empty one: sorted once."""
        self.by_value = OrderedDict((segment, SortedList(keys)) for segment, keys in divided.items())

    def remove(self, segment: Any, key: Key) -> None:
        keys = self.by_value[segment]
        keys.remove(key)
        if not keys:
            del self.by_value[segment]

    def head(self) -> Key | None:
        """The first key of the segment whose turn it is."""
        for keys in self.by_value.values():
            first: Key = keys[0]
            return first
        return None

    def served(self, segment: Any) -> None:
        """The segment has had its turn."""
        if segment in self.by_value:
            self.by_value.move_to_end(segment)


class View:
    """One view: its condition, its order, its segmentation and what waits in it.

    :param view_id: its name in the configuration, as in ``Inbound/all``
    :param live: what pulls take; :param held: what they take when they ignore the hold
    :param of: interaction id -> its key; :param segment_of: and, in a divided view, its segment
    """

    __slots__ = (
        "condition",
        "held",
        "held_ids",
        "live",
        "of",
        "order",
        "queue",
        "segment_of",
        "segmentation",
        "tenant_id",
        "view_id",
    )

    def __init__(  # noqa: PLR0913 - a view is all of these
        self,
        view_id: str,
        tenant_id: int,
        condition: Condition,
        order: Order,
        *,
        queue: str | None = None,
        segmentation: Segmentation | None = None,
    ) -> None:
        self.view_id = view_id
        self.queue = queue
        self.tenant_id = tenant_id
        self.condition = condition
        self.order = order
        self.segmentation = segmentation
        self.live = Segments()
        self.held = Segments()
        self.of: dict[str, Key] = {}
        self.held_ids: set[str] = set()
        self.segment_of: dict[str, Any] = {}

    def __len__(self) -> int:
        """How many a pull that does not ignore holds could take."""
        return len(self.of) - len(self.held_ids)

    def same_as(self, other: View) -> bool:
        """Whether it has the same interactions in the same order. Compiled texts are the same objects."""
        return (
            self.queue == other.queue
            and self.tenant_id == other.tenant_id
            and self.condition is other.condition
            and self.order is other.order
            and self.segmentation is other.segmentation
        )

    @property
    def fields(self) -> frozenset[str]:
        """The attributes that decide whether and where an interaction stands here."""
        divided = self.segmentation.fields if self.segmentation else frozenset()
        return self.condition.fields | self.order.fields | divided

    @property
    def keys(self) -> Iterable[Key]:
        """The keys of what pulls take, in the view's order, whosever turn it is."""
        return merge(*self.live.by_value.values())

    def first(self, count: int) -> list[str]:
        """The ids that the next pulls would take, as far as they are in the view's order: of segments, one."""
        if self.segmentation is not None or count == 1:
            head = self.live.head()
            return [] if head is None else [head[-1]]
        return [key[-1] for keys in self.live.by_value.values() for key in keys[:count]]

    def head(self, *, ignore_hold: bool = False) -> str | None:
        """The id that a pull would take first."""
        if ignore_hold and self.held_ids:
            return next((key[-1] for _, key in self._turns(None, True)), None)
        key = self.live.head()
        return key[-1] if key is not None else None

    def position(self, interaction_id: str) -> int | None:
        """Its place among what pulls take, in its segment; the first is 1. None: pulls do not see it."""
        key = self.of.get(interaction_id)
        if key is None or interaction_id in self.held_ids:
            return None
        place: int = self.live.by_value[self.segment_of.get(interaction_id)].bisect_left(key)
        return place + 1

    def before(self, key: Key) -> int:
        """How many come before a key, of what pulls take."""
        return sum(keys.bisect_left(key) for keys in self.live.by_value.values())

    def take(
        self,
        count: int,
        below: Key | None = None,
        *,
        ignore_hold: bool = False,
        fits: Callable[[str], bool] | None = None,
    ) -> list[str]:
        """Ids of the next ``count`` interactions, for all of which the segments have had their turn then.

        :param below: none that does not come before this key
        :param fits: whether the one who takes has room for an id; it ends with the first that does not fit
        """
        going = self._turns(below, ignore_hold)
        if fits is not None:
            going = takewhile(lambda turn: fits(turn[1][-1]), going)
        turns = list(islice(going, count))
        if self.segmentation is not None:
            for segment, _ in turns:
                self.live.served(segment)
        return [key[-1] for _, key in turns]

    def _turns(self, below: Key | None, ignore_hold: bool) -> Iterator[tuple[Any, Key]]:
        """The segments in turn, each with its next key; a segment that has no more (before ``below``) is left out."""
        lanes: Iterable[tuple[Any, Iterator[Key]]] = self._lanes(ignore_hold)
        while True:
            going = []
            for segment, keys in lanes:
                key = next(keys, None)
                if key is not None and (below is None or key < below):
                    going.append((segment, keys))
                    yield segment, key
            if not going:
                return
            lanes = going

    def _lanes(self, ignore_hold: bool) -> Iterator[tuple[Any, Iterator[Key]]]:
        live, held = self.live.by_value, self.held.by_value if ignore_hold else {}
        for segment, keys in live.items():
            yield segment, merge(keys, held[segment]) if segment in held else iter(keys)
        for segment, keys in held.items():
            if segment not in live:
                yield segment, iter(keys)

    def add(self, interaction: Interaction) -> None:
        """Lets an interaction in, if it matches."""
        if self.condition.matches(interaction):
            ident = interaction.interaction_id
            key = (*self.order.key(interaction), ident)
            segment = None
            if self.segmentation is not None:
                segment = self.segment_of[ident] = self.segmentation.value(interaction)
            if interaction.is_held:
                self.held_ids.add(ident)
            self.of[ident] = key
            (self.held if interaction.is_held else self.live).add(segment, key)

    def fill(self, interactions: Iterable[Interaction]) -> None:
        """Lets in, into an empty view, all that match: each place in it is found by one sort."""
        those = list(filter(self.condition.matches, interactions))
        key_of = self.order.key
        self.of = {one.interaction_id: (*key_of(one), one.interaction_id) for one in those}
        self.held_ids = {one.interaction_id for one in those if one.is_held}
        if self.segmentation is not None:
            segment_of = self.segmentation.value
            self.segment_of = {one.interaction_id: segment_of(one) for one in those}
        if self.segment_of or self.held_ids:
            self._divide()
        elif those:
            self.live.fill({None: list(self.of.values())})

    def _divide(self) -> None:
        """Puts the keys into their segments, those that are held apart."""
        live: dict[Any, list[Key]] = {}
        held: dict[Any, list[Key]] = {}
        for ident, key in self.of.items():
            (held if ident in self.held_ids else live).setdefault(self.segment_of.get(ident), []).append(key)
        self.live.fill(live)
        self.held.fill(held)

    def discard(self, interaction_id: str) -> bool:
        """Takes an interaction out. False: it was not in."""
        key = self.of.pop(interaction_id, None)
        if key is None:
            return False
        held = interaction_id in self.held_ids
        self.held_ids.discard(interaction_id)
        (self.held if held else self.live).remove(self.segment_of.pop(interaction_id, None), key)
        return True


class Views:
    """All views of a node, by name and by queue. ``touched`` collects those that changed in this batch.

    :param now: seconds; what is scheduled for later sleeps
    :param filled: false while a member starts: nothing enters or leaves one by one, :meth:`fill` comes at the end
    """

    def __init__(self, configuration: Configuration) -> None:
        self.by_id: dict[str, View] = {}
        self.by_queue: dict[str, list[View]] = {}
        self.touched: set[str] = set()
        self.filled = True
        self.now = 0.0
        self.asleep: dict[str, Interaction] = {}
        self._times: SortedList = SortedList()
        self._building: dict[str, View] = {}
        self._left: Iterator[str] = iter(())
        self.by_id = {name: _made(name, view, configuration) for name, view in configuration.views.items()}
        self._arrange(configuration.queues)

    def _arrange(self, queues: Iterable[str]) -> None:
        """Notes which views a queue has, with those that are being built, and what they depend on."""
        self.by_queue = {name: [] for name in queues}
        for view in (*self.by_id.values(), *self._building.values()):
            self.by_queue[view.queue or ""].append(view)
        self.depends: dict[str, frozenset[str]] = {
            queue: frozenset[str](WAITING).union(*(view.fields for view in views))
            for queue, views in self.by_queue.items()
        }

    # -- another configuration

    @property
    def building(self) -> bool:
        """Views are being built: :meth:`build` has to be called."""
        return bool(self._building)

    def reconfigure(self, configuration: Configuration, interactions: Mapping[str, Interaction]) -> list[str]:
        """Views that are gone are gone at once, those that are another or new are built.

        :returns: the names of those that are gone
        """
        made = {name: _made(name, view, configuration) for name, view in configuration.views.items()}
        gone = [name for name in self.by_id if name not in made]
        for name in gone:
            del self.by_id[name]
        self._building = {
            name: view for name, view in made.items() if name not in self.by_id or not view.same_as(self.by_id[name])
        }
        self._left = iter(list(interactions)) if self._building else iter(())
        self._arrange({*configuration.queues, *(view.queue or "" for view in self.by_id.values())})
        return gone

    def build(self, interactions: Mapping[str, Interaction], limit: int) -> bool:
        """Looks at the next interactions for the views that are being built. True: they are ready, and serve."""
        wanted: dict[str | None, list[View]] = {}
        for view in self._building.values():
            wanted.setdefault(view.queue, []).append(view)
        looked = 0
        for ident in islice(self._left, limit):
            looked += 1
            interaction = interactions.get(ident)
            if interaction is None or interaction.queue not in wanted or ident in self.asleep:
                continue
            if waits(interaction, ignore_hold=True):
                for view in wanted[interaction.queue]:
                    if ident not in view.of:
                        view.add(interaction)
        if looked == limit:
            return False
        self._put_in_place()
        return True

    def _put_in_place(self) -> None:
        self.by_id.update(self._building)
        self.touched.update(self._building)
        self._building = {}
        self._arrange(self.by_queue)

    def serving(self, queue: str) -> list[View]:
        """The queue's views that pulls take from: without those that are being built."""
        return [view for view in self.by_queue.get(queue, ()) if self.by_id.get(view.view_id) is view]

    def enter(self, interaction: Interaction) -> None:
        """Adds a waiting interaction to the views whose condition it matches; before its time it sleeps."""
        if not self.filled or not waits(interaction, ignore_hold=True):
            return
        if interaction.scheduled_at is not None and interaction.scheduled_at > self.now:
            self.asleep[interaction.interaction_id] = interaction
            self._times.add((interaction.scheduled_at, interaction.interaction_id))
            return
        for view in self.by_queue.get(interaction.queue or "", ()):
            view.add(interaction)
            self.touched.add(view.view_id)

    def fill(self, interactions: Iterable[Interaction]) -> None:
        """As :meth:`enter` of each, into empty views; much faster, as nothing is put in its place one by one."""
        self.filled = True
        waiting: dict[str | None, list[Interaction]] = {}
        for interaction in interactions:
            if waits(interaction, ignore_hold=True):
                if interaction.scheduled_at is not None and interaction.scheduled_at > self.now:
                    self.asleep[interaction.interaction_id] = interaction
                else:
                    waiting.setdefault(interaction.queue, []).append(interaction)
        self._times.update((interaction.scheduled_at, ident) for ident, interaction in self.asleep.items())
        for queue, those in waiting.items():
            for view in self.by_queue.get(queue or "", ()):
                view.fill(those)
                self.touched.add(view.view_id)

    def leave(self, interaction: Interaction) -> None:
        """Takes an interaction out of its queue's views; call it while it still has its old values."""
        if not self.filled:
            return
        if self.asleep and self.asleep.pop(interaction.interaction_id, None) is not None:
            self._times.remove((interaction.scheduled_at, interaction.interaction_id))
            return
        for view in self.by_queue.get(interaction.queue or "", ()):
            if view.discard(interaction.interaction_id):
                self.touched.add(view.view_id)

    @property
    def wake_at(self) -> float:
        """When the next interaction's time has come, in seconds."""
        return self._times[0][0] if self._times else float("inf")

    def wake(self, now: float) -> None:
        """Lets in the interactions whose time has come, so many at once that nobody has to wait for long."""
        self.now = now
        for _ in range(WOKEN_AT_ONCE):
            if self.wake_at > now:
                return
            _, ident = self._times.pop(0)
            self.enter(self.asleep.pop(ident))

    def touch(self, queue: str) -> None:
        """What the views of a queue give may have changed: pulls that wait are looked at, and heads told."""
        self.touched.update(view.view_id for view in self.by_queue.get(queue, ()))

    def concerns(self, interaction: Interaction, fields: dict[str, Any]) -> bool:
        """Whether a change of these fields can move the interaction in, out of or inside its views or its workbin."""
        if interaction.workbin is not None:
            return True
        depends = self.depends.get(interaction.queue or "", WAITING)
        return not depends.isdisjoint(fields) or "queue" in fields


def _made(name: str, view: ViewOptions, configuration: Configuration) -> View:
    """An empty view as the configuration has it."""
    custom = configuration.custom_properties
    return View(
        name,
        configuration.queues[view.queue].tenant,
        compile_condition(view.condition, custom),
        compile_order(view.order, custom),
        queue=view.queue,
        segmentation=compile_segmentation(view.segmentation, custom),
    )


WAITING = frozenset({"queue", "workbin", "interaction_state", "is_locked", "is_held", "scheduled_at"})
"""What decides whether an interaction waits at all, whatever the view."""


def waits(interaction: Interaction, *, ignore_hold: bool = False) -> bool:
    """Whether a pull may take it from its queue: queued, neither locked nor held, in a queue and in no workbin."""
    return (
        interaction.interaction_state == QUEUED
        and not interaction.is_locked
        and (ignore_hold or not interaction.is_held)
        and interaction.workbin is None
        and interaction.queue is not None
    )
