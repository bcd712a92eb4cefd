"""Queues as operators see them: what is in them over all nodes, emptying one, an interaction's place in a view."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta

from broker.errors import Code

from .kinds import OPERATORS, ClientType, Merge, Record, Reply, Request, Route
from .objects import ViewId
from .workbins import QueueRequest


class RequestGetQueues(Request):
    """What is in the queues of the session's tenants, by state, and whether they give anything."""

    senders: ClassVar[frozenset[ClientType]] = OPERATORS
    route: ClassVar[Route] = Route.SCATTER
    merge: ClassVar[Merge] = Merge.QUEUES
    reply: ClassVar[str] = "EventQueues"
    example: ClassVar[dict[str, Any]] = {}


class NodeQueue(Record):
    """One node's part of a queue.

    :param queued: interactions that wait, with those that are held, locked, scheduled or in a workbin
    :param routing: being processed by routing, or an agent is invited to them
    :param handling: being handled by agents
    :param paused: it gives nothing here: by the configuration, or because an operator has paused it
    :param paused_since: since when an operator has
    :param views: of each of its views, how many a pull could take
    """

    queued: int = 0
    routing: int = 0
    handling: int = 0
    paused: bool = False
    paused_since: float | None = None
    views: dict[str, int] = {}


class QueuePart(Record):
    """One queue.

    :param enabled: as the configuration has it
    :param nodes: by node
    """

    queue: str
    tenant_id: int
    enabled: bool = True
    nodes: dict[str, NodeQueue] = {}


class EventQueues(Reply):
    """The queues, by name.

    :param complete: from a proxy: false when nodes did not answer
    :param missing: which
    """

    queues: list[QueuePart]
    complete: bool | None = None
    missing: list[str] | None = None


class RequestPurgeQueue(QueueRequest):
    """Stops interactions that wait in the queue: they are gone. What is held by somebody, locked or in a workbin stays.

    Those that have waited longest go first, at most `count` at each node; `left` says how many there still are.
    """

    refuses: ClassVar[tuple[Code, ...]] = (Code.BAD_CONDITION,)
    merge: ClassVar[Merge] = Merge.TOTALS
    reply: ClassVar[str] = "EventQueuePurged"
    causes: ClassVar[tuple[str, ...]] = ("EventProcessingStopped",)
    example: ClassVar[dict[str, Any]] = {"queue": "Inbound", "condition": "priority < 0", "count": 100}

    condition: Annotated[
        str, Meta(description="only these, see [protocol.md](protocol.md#9-conditions-and-orders); empty: all")
    ] = ""
    count: Annotated[int, Meta(ge=1, le=1000, description="interactions at most, at each node")] = 500


class EventQueuePurged(Reply):
    """What was purged.

    :param purged: interactions that are gone now
    :param left: interactions that could still be purged
    :param complete: from a proxy: false when nodes did not answer
    :param missing: which
    """

    purged: int = 0
    left: int = 0
    complete: bool | None = None
    missing: list[str] | None = None


class RequestGetViewPosition(Request):
    """How many interactions of a view come before a place in its order, over all nodes.

    The place is given as the values that the view's order compares, as `EventViewHead` and `EventInteractionExplained`
    have them.
    """

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_VIEW,)
    senders: ClassVar[frozenset[ClientType]] = OPERATORS
    route: ClassVar[Route] = Route.SCATTER
    merge: ClassVar[Merge] = Merge.TOTALS
    reply: ClassVar[str] = "EventViewPosition"
    example: ClassVar[dict[str, Any]] = {"view_id": "Inbound/all", "key": [0, 1790000000.25, "30FGHMI2NBPV2PWI"]}

    view_id: ViewId
    key: Annotated[list[Any], Meta(description="the values that the view's order compares, the id last")]


class EventViewPosition(Reply):
    """A place in a view.

    :param before: interactions that a pull takes before this place; in a view with segments those of all segments
    :param depth: interactions in the view
    :param complete: from a proxy: false when nodes did not answer
    :param missing: which
    """

    before: int = 0
    depth: int = 0
    complete: bool | None = None
    missing: list[str] | None = None
