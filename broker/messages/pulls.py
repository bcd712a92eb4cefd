"""Pulling interactions from views, by ids, with and without hold (protocol 8)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta

from .kinds import ClientType, Document, Merge, Record, Reply, Request, Route
from .objects import Interaction, InteractionId, Name, TenantId

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

    senders: ClassVar[frozenset[ClientType]] = frozenset({ClientType.AGENT, ClientType.ROUTING, ClientType.PROXY})
    route: ClassVar[Route] = Route.PULL
    merge: ClassVar[Merge] = Merge.GRANTS
    once: ClassVar[bool] = True
    reply: ClassVar[str] = "EventPulledInteractions"
    causes: ClassVar[tuple[str, ...]] = ("EventTakenFromQueue", "EventPartyAdded")
    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "view_id": "Inbound/all", "count": 1}

    tenant_id: TenantId
    view_id: Name
    count: Annotated[int, Meta(ge=1, le=1000)] = 1
    pull_parameters: PullParameters | None = None
    ignore_hold: bool = False
    agent_id: Name | None = None
    place_id: Name | None = None
    strategy_id: Name | None = None
    reason: Document = UNSET
    below: list[Any] | None = None
    """From a proxy only: take only what comes before this key of the view, the head of another node."""


class Granted(Interaction):
    """A pulled interaction with the token of its grant."""

    token: int = 0


class EventPulledInteractions(Reply):
    """The interactions that the puller holds now, in the view's order; none when there was nothing.

    By ids through a proxy: ``errors`` says what became of the ids that are not among them.
    """

    interactions: list[Granted]
    errors: dict[str, Any] | None = None


class RequestWatchView(Request):
    """A proxy's own: asks for the head-of-view key now, and to be told of its changes from then on."""

    senders: ClassVar[frozenset[ClientType]] = frozenset({ClientType.PROXY})
    route: ClassVar[Route] = Route.SCATTER
    reply: ClassVar[str] = "EventViewHead"

    view_id: Name


class EventViewHead(Reply):
    """The key of the first interaction that a pull from the view would take (see conditions.Order), None when empty."""

    view_id: str
    head: list[Any] | None = None
    depth: int = 0
