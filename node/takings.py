"""Taking a snapshot: what is found is pinned in order, page by page, and locked if so asked.

It goes on in slices (:mod:`node.snapshots` says why): the old one is emptied where it is taken anew, then the search
looks at everything, then a page is pinned and locked a turn. What was taken, placed or locked by others between two
turns is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from broker.errors import Code, Refusal
from broker.ids import make_id
from broker.messages.objects import QUEUED, Interaction
from broker.messages.snapshots import EventSnapshotTaken, RequestTakeSnapshot

from . import finding, locks, snapshots
from .calls import Call
from .listing import Sorted, key_of
from .records import Page, Pin, Snapshot, Stage
from .views import View

if TYPE_CHECKING:
    from .core import NodeCore


class Taking(finding.Search):
    """A snapshot that is being taken.

    :param calls: that wait for it: the request and its repetitions
    :param again: it takes an old snapshot's place, which is emptied first
    """

    def __init__(self, node: NodeCore, call: Call, view: View | None, again: Snapshot | None) -> None:
        request: RequestTakeSnapshot = call.request
        self.view = view
        most = node.settings.max_interactions_per_snapshot
        super().__init__(node, call, min(request.snapshot_max_interactions or most, most))
        if view is not None and not request.order.strip():
            self.order = view.order
        self.keys = call.keys
        self.calls = [call]
        self.snapshot_id = again.snapshot_id if again is not None else make_id(node.code, node.clock.next(node.now))
        self.row = Snapshot(
            snapshot_id=self.snapshot_id,
            session_id=call.session.session_id,
            taken_us=node.clock.last_us,
            stage=Stage.TAKING,
            asked=call.keys,
        )
        node.memory.put(node.memory.snapshots, self.snapshot_id, self.row)
        self._watched = again is not None and again.stage is Stage.READY
        self._steps = self._work(node, again is not None)

    def _work(self, node: NodeCore, again: bool) -> Iterator[None]:
        """The whole of it, with a yield at the end of every turn but the last."""
        if again:
            yield from snapshots.empty(node, self.snapshot_id)
            self.ids = iter(self._candidates(node))  # what the old one locked waits again by now
        while not super().slice(node):
            yield
        yield from self._pin(node, self._chosen())

    def _candidates(self, node: NodeCore) -> list[str]:
        if self.view is None:
            return super()._candidates(node)
        if self.call.request.condition or self.call.request.order.strip() or self.media_type:
            return list(self.view.of)
        return [str(key[-1]) for key in islice(self.view.keys, self.limit)]

    def _visible(self, interaction: Interaction) -> bool:
        if self.call.request.check_interactions_state and (
            interaction.interaction_state != QUEUED or interaction.is_locked
        ):
            return False
        return super()._visible(interaction)

    def slice(self, node: NodeCore) -> bool:
        """Does the next turn's work. True: it is done, or its end has come meanwhile."""
        return not self._lives(node) or next(self._steps, self) is self

    def _lives(self, node: NodeCore) -> bool:
        return node.memory.snapshots.get(self.snapshot_id) is self.row

    def _chosen(self) -> list[Sorted]:
        """The first ones in order, as they are now: the search may have taken a while."""
        key = self.order.mark if self.call.marked else self.order.key
        return nsmallest(self.limit, ((key(one), one) for _, one in self.found), key=key_of)

    def _pin(self, node: NodeCore, chosen: list[Sorted]) -> Iterator[None]:
        """Pins and locks what still is as it was found."""
        pins: list[tuple[Any, Pin]] = []
        for at, (key, one) in enumerate(chosen, 1):
            if self._still(node, one):
                pins.append((key, pin_of(one)))
                if self.call.request.lock and one.interaction_state == QUEUED and not one.is_locked:
                    locks.put(node, one, self.row.session_id, self.snapshot_id)
            if len(pins) == snapshots.PAGE or (pins and at == len(chosen)):
                self._add_page(node, pins)
                pins = []
            if at % snapshots.PAGE == 0 and at < len(chosen):
                yield
        self._set(node, replace(self.row, stage=Stage.READY, asked=[]))

    def _still(self, node: NodeCore, one: Interaction) -> bool:
        """Whether it is there, where it was looked for, and matches."""
        here = node.memory.interactions
        waits = self.view.of if self.view is not None else here
        ident = one.interaction_id
        return here.get(ident) is one and ident in waits and self._visible(one) and self.condition.matches(one)

    def _add_page(self, node: NodeCore, pins: list[tuple[Any, Pin]]) -> None:
        marks = [mark for mark, _ in pins] if self.call.marked else []
        key = snapshots.page_key(self.snapshot_id, snapshots.pages(self.row.count))
        node.memory.put(node.memory.pages, key, Page(pins=[pin for _, pin in pins], marks=marks))
        self._set(node, replace(self.row, count=self.row.count + len(pins)))

    def _set(self, node: NodeCore, row: Snapshot) -> None:
        self.row = row
        node.memory.put(node.memory.snapshots, self.snapshot_id, row)

    def finish(self, node: NodeCore) -> None:
        """Answers it; it is kept for those that ask again."""
        if self.row.stage is not Stage.READY:
            return  # it has ended with the session that asked, and nobody waits
        reply = self.taken(node)
        for call in self.calls:
            node.finish(call, reply)

    def taken(self, node: NodeCore) -> EventSnapshotTaken:
        """The snapshot is there, and can be used."""
        node.snapshot_uses[self.snapshot_id] = node.now
        if not self._watched:
            node.deadline(node.now + node.settings.snapshot_timeout, snapshots.look, self.snapshot_id)
        return EventSnapshotTaken(snapshot_id=self.snapshot_id, number_of_interactions=self.row.count)


def pin_of(interaction: Interaction) -> Pin:
    """The interaction as it is now."""
    return Pin(
        interaction.interaction_id,
        interaction.place_in_queue_seq,
        interaction.interaction_state,
        interaction.workbin,
    )


def take(node: NodeCore, call: Call) -> EventSnapshotTaken | None:
    """RequestTakeSnapshot: at once where few have to be looked at and locked, else over several turns."""
    running = _running(node, call)
    if running is not None:
        running.calls.append(call)
        return None
    view = _view(node, call)
    old = _half_taken(node, call) or _reused(node, call)
    if old is None and len(node.memory.snapshots) >= node.settings.max_snapshots:
        raise Refusal(Code.BUSY, f"{node.name} has max-snapshots", retry_after=5.0)
    if len(node.searches) >= node.settings.max_pending:
        raise Refusal(Code.BUSY, "too many searches are running", retry_after=1.0)
    taking = Taking(node, call, view, old)
    if old is not None and old.stage is Stage.TAKING:
        _undo_no_more(node, old)
    if taking.slice(node):
        return taking.taken(node)
    node.searches.append(taking)
    return None


def _running(node: NodeCore, call: Call) -> Taking | None:
    """The same request, where it was asked before and is not done yet."""
    keys = set(call.keys)
    for task in node.searches:
        if isinstance(task, Taking) and not keys.isdisjoint(task.keys):
            return task
    return None


def _half_taken(node: NodeCore, call: Call) -> Snapshot | None:
    """What the same request had taken at the other member when that failed: it is taken anew instead of undone."""
    for key in call.keys:
        row = node.memory.snapshots.one("asked", key)
        if row is not None and row.stage is Stage.TAKING:
            return row
    return None


def _undo_no_more(node: NodeCore, row: Snapshot) -> None:
    for task in list(node.searches):
        if isinstance(task, snapshots.Ending) and task.snapshot_id == row.snapshot_id:
            node.searches.remove(task)


def _view(node: NodeCore, call: Call) -> View | None:
    request: RequestTakeSnapshot = call.request
    if request.tenant_id is not None:
        call.tenant(request.tenant_id)
    if request.view_id is None:
        if request.condition is None:
            raise Refusal(Code.MISSING_ATTRIBUTE, "a snapshot is of a view_id or of a condition", field="view_id")
        return None
    view = node.memory.views.by_id.get(request.view_id)
    tenants = call.session.tenants if request.tenant_id is None else {request.tenant_id}
    if view is None or view.tenant_id not in tenants:
        whose = f"tenant {request.tenant_id}" if request.tenant_id is not None else "the client's tenants"
        raise Refusal(Code.UNKNOWN_VIEW, f"there is no view {request.view_id} of {whose}", field="view_id")
    return view


def _reused(node: NodeCore, call: Call) -> Snapshot | None:
    """The snapshot to take anew. A proxy's id may have no part of this node: then it is taken for the first time."""
    snapshot_id: str | None = call.request.snapshot_id
    if snapshot_id is None or ("*" in snapshot_id and snapshots.own_part(node, snapshot_id) is None):
        return None
    row = snapshots.find(node, call, snapshot_id)
    snapshots.idle(node, row)
    return row


HANDLERS = {RequestTakeSnapshot: take}
