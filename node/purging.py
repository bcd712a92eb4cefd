"""RequestPurgeQueue: the interactions that wait in a queue are stopped, those that have waited longest first.

All interactions are looked at for those of the queue, in slices, as a search does; then the chosen ones go at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nsmallest
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

from broker.conditions import compile_condition
from broker.errors import Code, Refusal
from broker.messages.interactions import EventProcessingStopped
from broker.messages.objects import Interaction
from broker.messages.queues import EventQueuePurged, RequestPurgeQueue

from . import queues
from .calls import Call
from .finding import SLICE
from .views import waits

if TYPE_CHECKING:
    from .core import NodeCore

_place = attrgetter("place_in_queue_seq")


class Purging:
    """One purge on its way through the interactions.

    :param calls: that wait for it: the request and its repetitions
    """

    def __init__(self, node: NodeCore, call: Call) -> None:
        request: RequestPurgeQueue = call.request
        self.calls = [call]
        self._queue = request.queue
        self._count = request.count
        self._matches = compile_condition(request.condition, node.configuration.custom_properties).matches
        self._ids: Iterator[str] = iter(list(node.memory.interactions))
        self._found: list[Interaction] = []
        self._matching = 0

    def slice(self, node: NodeCore) -> bool:
        """Looks at the next interactions. True: all were looked at."""
        ids = list(islice(self._ids, SLICE))
        interactions = node.memory.interactions
        found = [one for ident in ids if (one := interactions.get(ident)) is not None and self._is_meant(one)]
        self._matching += len(found)
        self._found = nsmallest(self._count, [*self._found, *found], key=_place)
        return len(ids) < SLICE

    def finish(self, node: NodeCore) -> None:
        """Answers those who asked."""
        reply = self.purge(node)
        for call in self.calls:
            node.finish(call, reply)

    def purge(self, node: NodeCore) -> EventQueuePurged:
        """Stops what was found, as far as it still waits there."""
        cause = self.calls[0].cause()
        chosen = [
            one
            for one in self._found
            if node.memory.interactions.get(one.interaction_id) is one and self._is_meant(one)
        ]
        for interaction in chosen:
            queue, state = interaction.queue, interaction.interaction_state
            node.event(EventProcessingStopped, interaction, cause, old_queue=queue, old_state=state)
            node.memory.remove(interaction)
        return EventQueuePurged(purged=len(chosen), left=self._matching - len(chosen))

    def _is_meant(self, interaction: Interaction) -> bool:
        return interaction.queue == self._queue and waits(interaction, ignore_hold=True) and self._matches(interaction)


def purge(node: NodeCore, call: Call) -> EventQueuePurged | None:
    """RequestPurgeQueue: at once where few have to be looked at, else over several turns."""
    queues.known(node, call, call.request.queue)
    running = _running(node, call)
    if running is not None:
        running.calls.append(call)
        return None
    purging = Purging(node, call)
    if purging.slice(node):
        return purging.purge(node)
    if len(node.searches) >= node.settings.max_pending:
        raise Refusal(Code.BUSY, "too many searches are running", retry_after=1.0)
    node.searches.append(purging)
    return None


def _running(node: NodeCore, call: Call) -> Purging | None:
    """The same request, where it was asked before and is not done yet."""
    keys = set(call.keys)
    for task in node.searches:
        if isinstance(task, Purging) and not keys.isdisjoint(task.calls[0].keys):
            return task
    return None


HANDLERS = {RequestPurgeQueue: purge}
"""What stops the contents of queues."""
