"""Pulling interactions from views, by ids, with and without hold (protocol 8)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta

from broker.errors import Code, Refusal

from .kinds import ClientType, Merge, Record, Reply, Request, Route, Workbin
from .objects import AskingAgent, AskingPlace, Flag, Interaction, InteractionId, Reason, StrategyId, TenantId, ViewId

BY_IDS = "_system_"
"""The view whose pull takes the interactions that ``pull_parameters`` names."""


class PullParameters(Record):
    """Which ids a pull from ``_system_`` takes."""

    interaction_ids: list[InteractionId] | None = None


class RequestPull(Request):
    """Takes interactions from the head of a view, or by ids (view ``_system_``), for an agent or a strategy.

    With ``extension`` ``{"pull-for-strategy": 1}`` a routing engine's pull of an empty view is held until something
    comes or ``pull-hold-timeout`` passes. Ids may also be the keys of a published kv list ``pull_parameters``.
    """

    refuses: ClassVar[tuple[Code, ...]] = (
        Code.UNKNOWN_TENANT,
        Code.UNKNOWN_VIEW,
        Code.UNKNOWN_WORKBIN,
        Code.NOT_LOGGED_IN,
        Code.UNKNOWN_INTERACTION,
        Code.LOCKED,
        Code.WRONG_STATE,
        Code.CAPACITY_FULL,
    )
    senders: ClassVar[frozenset[ClientType]] = frozenset({ClientType.AGENT, ClientType.ROUTING, ClientType.PROXY})
    route: ClassVar[Route] = Route.PULL
    merge: ClassVar[Merge] = Merge.GRANTS
    once: ClassVar[bool] = True
    reply: ClassVar[str] = "EventPulledInteractions"
    causes: ClassVar[tuple[str, ...]] = (
        "EventTakenFromQueue",
        "EventTakenFromWorkbin",
        "EventPartyAdded",
        "EventWorkbinContentChanged",
    )
    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "view_id": "Inbound/all", "count": 1}

    tenant_id: TenantId
    view_id: Annotated[
        ViewId, Meta(description="such as `Inbound/all`; `TYPE/PrivateView` is a workbin; `_system_` takes by ids")
    ]
    count: Annotated[int, Meta(ge=1, le=1000, description="interactions at most; the view's first ones")] = 1
    pull_parameters: Annotated[
        PullParameters | None, Meta(description='which ids, for `_system_`: `{"interaction_ids": […]}`')
    ] = None
    ignore_hold: Annotated[bool, Meta(description="take also what is on hold")] = False
    initial_in_focus_state: Annotated[
        Flag | None, Meta(description="1: the agent has them before it at once; the party in events shows it")
    ] = None
    workbin: Annotated[
        Workbin | None, Meta(description="which workbin, for the view of one; absent: the asking agent's own")
    ] = None
    agent_id: AskingAgent | None = None
    place_id: AskingPlace | None = None
    strategy_id: StrategyId | None = None
    reason: Reason = UNSET
    below: Annotated[
        list[Any] | None,
        Meta(description="a proxy's own: only what comes before this key of the view, the head of another node"),
    ] = None
    share: Annotated[
        dict[str, bytes] | None,
        Meta(
            description="a proxy's own: only these ids, each with the mark of its place (Base64); those that have gone"
            " or stand elsewhere now are passed over"
        ),
    ] = None
    part: Annotated[
        int,
        Meta(ge=0, description="a proxy's own: the parts of it that this node has granted before under its `dedup_id`"),
    ] = 0


class Granted(Interaction):
    """A pulled interaction: an [Interaction](#interaction) with the token of its grant.

    :param token: to be given back with requests about it; one of an earlier grant is refused
    """

    token: int = 0


class Unpulled(Record):
    """Why an interaction was not pulled by its id, as an [EventError](#eventerror) would say it.

    :param text: the code's fixed text
    :param detail: one sentence for a person
    :param missing: names of the nodes that did not answer
    :param retry_after: seconds after which it is worth asking again
    """

    code: int
    text: str = ""
    detail: str | None = None
    missing: list[str] | None = None
    retry_after: float | None = None

    @classmethod
    def of(cls, refusal: Refusal) -> Unpulled:
        """What a refusal of this one alone would say."""
        said, missing = refusal.detail or None, list(refusal.missing) or None
        return cls(
            code=int(refusal.code),
            text=refusal.code.text,
            detail=said,
            missing=missing,
            retry_after=refusal.retry_after,
        )


class EventPulledInteractions(Reply):
    """The interactions that the puller holds now, in the view's order; none when there was nothing.

    :param errors: of a pull by ids: what became of the ids that are not among them, each as an [Unpulled](#unpulled)
    :param complete: from a proxy: false when nodes that could have given something did not answer
    :param missing: which
    """

    interactions: list[Granted]
    errors: dict[str, Unpulled] | None = None
    complete: bool | None = None
    missing: list[str] | None = None


class RequestWatchView(Request):
    """A proxy's own: asks for the view's first keys now, and to be told of their changes from then on."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_VIEW,)
    senders: ClassVar[frozenset[ClientType]] = frozenset({ClientType.PROXY})
    route: ClassVar[Route] = Route.SCATTER
    reply: ClassVar[str] = "EventViewHead"
    example: ClassVar[dict[str, Any]] = {"view_id": "Inbound/all"}

    view_id: ViewId
    keys: Annotated[int, Meta(ge=1, le=64, description="how many of the view's first keys are told at most")] = 1


class EventViewHead(Reply):
    """The keys of the first interactions that pulls from the view would take; a proxy that watches the view gets them
    anew when they have changed.

    :param head: the first: the values that the view's order compares, the id last; null when the view is empty
    :param next: those behind it, if more than one was asked for; a view with segments tells its head only
    :param depth: interactions in the view
    :param any_head: the first for pulls that ignore holds; absent: the same as ``head``
    :param held: interactions of the view that are on hold, which ``depth`` does not count
    """

    view_id: str
    head: list[Any] | None = None
    next: list[list[Any]] = []
    depth: int = 0
    any_head: list[Any] | None = None
    held: int = 0

    def line(self, *, ignore_hold: bool) -> tuple[list[list[Any]], bool]:
        """What pulls would take first, and whether there is more behind that."""
        if self.held and ignore_hold:
            head = self.any_head or self.head
            return ([] if head is None else [head]), self.depth + self.held > 1
        heads = [] if self.head is None else [self.head, *self.next]
        return heads, self.depth > len(heads)
