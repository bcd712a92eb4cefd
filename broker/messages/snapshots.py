"""Snapshots: a frozen list of interactions to read, lock and move; and locks of single interactions."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta

from broker.errors import Code

from .interactions import InteractionRequest
from .kinds import ClientType, Merge, Reply, Request, Route
from .objects import Count, Flag, Interaction, MediaType, QueueName, Reason, TenantId, ViewId

SNAPSHOT_SENDERS = frozenset({ClientType.AGENT, ClientType.ROUTING, ClientType.MONITOR, ClientType.PROXY})

SnapshotId = Annotated[
    str, Meta(min_length=1, max_length=4096, description="of `EventSnapshotTaken`; the session's own snapshot")
]


class RequestTakeSnapshot(Request):
    """Takes a snapshot: what is in a view, or all that a condition is true of, in an order, as a list that stays.

    With ``lock`` the interactions that wait are locked: no view shows them and nobody can pull them until they are
    unlocked. A snapshot ends when it is released, with its session, and when it was not used for ``snapshot-timeout``;
    then all that it locks is unlocked. (Each node's part ends by itself: an unlock is a use at one node.) Each node
    gives at most ``max-interactions-per-snapshot``.
    """

    refuses: ClassVar[tuple[Code, ...]] = (
        Code.UNKNOWN_TENANT,
        Code.UNKNOWN_VIEW,
        Code.BAD_CONDITION,
        Code.UNKNOWN_SNAPSHOT,
        Code.IN_PROGRESS,
    )
    senders: ClassVar[frozenset[ClientType]] = SNAPSHOT_SENDERS
    route: ClassVar[Route] = Route.SCATTER
    merge: ClassVar[Merge] = Merge.SNAPSHOT
    once: ClassVar[bool] = True
    reply: ClassVar[str] = "EventSnapshotTaken"
    example: ClassVar[dict[str, Any]] = {
        "tenant_id": 101,
        "condition": "[media_type] = 'voice' and queue = 'Inbound'",
        "order": "received_at",
        "lock": 1,
    }

    tenant_id: Annotated[TenantId | None, Meta(description="absent: all of the session's")] = None
    media_type: Annotated[MediaType | None, Meta(description="absent: all")] = None
    view_id: Annotated[ViewId | None, Meta(description="only what waits in this view; this or `condition`")] = None
    condition: Annotated[
        str | None, Meta(description="see [protocol.md](protocol.md#9-conditions-and-orders); empty: all")
    ] = None
    order: Annotated[str, Meta(description="empty: the view's; without a view `received_at`, then the id")] = ""
    lock: Annotated[Flag, Meta(description="1: locks those that are queued")] = 0
    check_interactions_state: Annotated[
        Flag, Meta(description="1: only those that are queued and not locked; 0: whatever their state")
    ] = 1
    snapshot_id: Annotated[
        SnapshotId | None, Meta(description="takes this snapshot anew; all that it locks is unlocked first")
    ] = None
    snapshot_max_interactions: Annotated[
        Count | None, Meta(description="interactions at most, of each node; never beyond its own bound")
    ] = None


class EventSnapshotTaken(Reply):
    """The snapshot is there.

    :param snapshot_id: for all further requests; it names its nodes
    :param number_of_interactions: how many are in it
    :param complete: from a proxy: false when nodes did not answer
    :param missing: which
    """

    snapshot_id: str
    number_of_interactions: int
    complete: bool | None = None
    missing: list[str] | None = None


class SnapshotRequest(Request):
    """What requests about a snapshot share: only the session that took it may ask."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_SNAPSHOT,)
    senders: ClassVar[frozenset[ClientType]] = SNAPSHOT_SENDERS
    route: ClassVar[Route] = Route.SNAPSHOT

    snapshot_id: SnapshotId


class RequestGetSnapshotInteractions(SnapshotRequest):
    """Reads interactions of a snapshot by their place in it, as they are now.

    Those that are gone from the node keep their place and are left out.
    """

    merge: ClassVar[Merge] = Merge.PLACES
    reply: ClassVar[str] = "EventSnapshotInteractions"
    example: ClassVar[dict[str, Any]] = {
        "snapshot_id": "30FGHMI2NBPV2PWI",
        "start_from": 0,
        "number_of_interactions": 100,
    }

    start_from: Annotated[int, Meta(ge=0, le=1_000_000, description="place of the first one, from 0")] = 0
    number_of_interactions: Annotated[Count, Meta(description="places at most")] = 100


class EventSnapshotInteractions(Reply):
    """Interactions of a snapshot, in its order.

    :param start_from: place of the first one that was asked for
    """

    snapshot_id: str
    start_from: int = 0
    interactions: list[Interaction]


class RequestSnapshotOrder(SnapshotRequest):
    """Between proxies and nodes: what the places of a part's interactions in the whole snapshot follow from."""

    senders: ClassVar[frozenset[ClientType]] = frozenset({ClientType.PROXY})
    merge: ClassVar[Merge] = Merge.PASS
    reply: ClassVar[str] = "EventSnapshotOrder"
    example: ClassVar[dict[str, Any]] = {"snapshot_id": "30FGHMI2NBPV2PWI"}


class EventSnapshotOrder(Reply):
    """The sort keys of a snapshot's interactions, in its order.

    :param marks: as bytes that compare as the order has it, in base64; none where they were not kept
    """

    snapshot_id: str
    marks: list[str] = []


class RequestArrangeSnapshot(SnapshotRequest):
    """Between proxies and nodes: the places of a part's interactions in the whole snapshot."""

    senders: ClassVar[frozenset[ClientType]] = frozenset({ClientType.PROXY})
    merge: ClassVar[Merge] = Merge.PASS
    example: ClassVar[dict[str, Any]] = {"snapshot_id": "30FGHMI2NBPV2PWI", "runs": [0, 1]}

    runs: Annotated[
        list[Annotated[int, Meta(ge=0, le=10_000_000)]],
        Meta(description="places, rising, as runs: the first place of a run, how many there are, and so on"),
    ]


class RequestReleaseSnapshot(SnapshotRequest):
    """Ends a snapshot; what it still locks is unlocked."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.IN_PROGRESS,)
    merge: ClassVar[Merge] = Merge.ALL
    once: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"snapshot_id": "30FGHMI2NBPV2PWI"}


class RequestMoveInteractions(SnapshotRequest):
    """Puts every interaction of a snapshot that is as it was into a queue.

    One that was taken or placed meanwhile, is locked by somebody else, is gone, or is of another tenant than the queue
    stays where it is. What the snapshot locks stays locked until it is released.
    """

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_QUEUE, Code.QUEUE_DISABLED, Code.IN_PROGRESS)
    merge: ClassVar[Merge] = Merge.SNAPSHOT
    once: ClassVar[bool] = True
    reply: ClassVar[str] = "EventInteractionMoved"
    causes: ClassVar[tuple[str, ...]] = (
        "EventTakenFromQueue",
        "EventTakenFromWorkbin",
        "EventPlacedInQueue",
        "EventWorkbinContentChanged",
    )
    example: ClassVar[dict[str, Any]] = {"snapshot_id": "30FGHMI2NBPV2PWI", "queue": "PS"}

    queue: QueueName
    reason: Reason = UNSET


class EventInteractionMoved(Reply):
    """A snapshot's interactions were moved.

    :param number_of_interactions: how many are in the queue now
    :param not_moved: how many were not as the snapshot had them, and stay where they are
    """

    snapshot_id: str
    queue: str
    number_of_interactions: int
    not_moved: int = 0


class LockRequest(InteractionRequest):
    """What locking and unlocking share."""

    senders: ClassVar[frozenset[ClientType]] = SNAPSHOT_SENDERS

    snapshot_id: Annotated[
        SnapshotId | None, Meta(description="the snapshot that the lock belongs to; absent: the session")
    ] = None


class RequestLockInteraction(LockRequest):
    """Locks an interaction that is queued: no view shows it, nobody can pull it; the asking session may change it.

    The lock ends with the snapshot or the session that it belongs to.
    """

    refuses: ClassVar[tuple[Code, ...]] = (Code.LOCKED, Code.WRONG_STATE, Code.UNKNOWN_SNAPSHOT)
    example: ClassVar[dict[str, Any]] = {"interaction_id": "30FGHMI2NBPV2PWI"}


class RequestUnlockInteraction(LockRequest):
    """Unlocks an interaction that the session or one of its snapshots has locked."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.SAME_STATE, Code.UNKNOWN_SNAPSHOT)
    example: ClassVar[dict[str, Any]] = {"interaction_id": "30FGHMI2NBPV2PWI"}
