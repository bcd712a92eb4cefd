"""Strategies that routing engines load: from then on the nodes push what comes into their views (protocol 4).

The engine answers every EventRouteRequest with Deliver, PlaceInQueue, PlaceInWorkbin or StopProcessing.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta

from broker.config.objects import MAX_SUBMITTED
from broker.errors import Code
from broker.rates import RATE

from .kinds import ClientType, Merge, Notification, Request, Route
from .objects import Interaction, Name, TenantId, ViewId

MAX_VIEWS = 1000
"""Views of one strategy."""


class StrategyRequest(Request):
    """What requests about a strategy share."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_TENANT, Code.UNKNOWN_STRATEGY)
    senders: ClassVar[frozenset[ClientType]] = frozenset({ClientType.ROUTING, ClientType.PROXY})
    route: ClassVar[Route] = Route.ENGINE
    merge: ClassVar[Merge] = Merge.ALL
    once: ClassVar[bool] = True

    tenant_id: TenantId
    strategy_id: Annotated[Name, Meta(description="the strategy's name; events show it")]


class RequestLoadStrategy(StrategyRequest):
    """A routing engine runs a strategy: from now on it is sent the interactions of the strategy's views.

    Loaded again, the strategy has the new views and limits; what the engine holds stays.
    """

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_VIEW,)
    causes: ClassVar[tuple[str, ...]] = ("EventRouteRequest", "EventTakenFromQueue", "EventPartyAdded")
    example: ClassVar[dict[str, Any]] = {
        "tenant_id": 101,
        "strategy_id": "Greeting",
        "view_ids": ["Inbound/all"],
        "max_submitted": 20,
    }

    view_ids: Annotated[
        Annotated[list[ViewId], Meta(min_length=1, max_length=MAX_VIEWS)] | None,
        Meta(description="views of the tenant; absent: those that the configuration has for the strategy"),
    ] = None
    max_submitted: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_SUBMITTED)] | None,
        Meta(
            description="interactions that the engine may hold for the strategy, at each node; 0: none for now;"
            " limits of the configuration hold as well"
        ),
    ] = None
    submission_rate: Annotated[
        Annotated[str, Meta(pattern=RATE)] | None,
        Meta(
            description="how many a node may send at most: `10/second`, `90/minute`, `500/hour`; `0`: none for now;"
            " limits of the configuration hold as well"
        ),
    ] = None


class RequestUnloadStrategy(StrategyRequest):
    """A routing engine runs a strategy no more. What it still holds for it goes to another engine that has loaded the
    strategy, or back to its old place in its queue."""

    causes: ClassVar[tuple[str, ...]] = (
        "EventAbandoned",
        "EventPartyRemoved",
        "EventPartyAdded",
        "EventRouteRequest",
        "EventPlacedInQueue",
    )
    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "strategy_id": "Greeting"}


class EventRouteRequest(Notification):
    """An interaction for a strategy, which holds it from now on: to be delivered, placed or stopped.

    :param view_id: the view that it was taken from
    :param token: of the grant: to be given back with requests about it; one of an earlier grant is refused
    :param resubmitted: another engine had it before, and has gone or has unloaded the strategy
    :param repeated: this engine was told already, and may not have heard it: the session was resumed
    :param interaction: with its user data
    """

    strategy_id: str
    view_id: str
    token: int
    resubmitted: bool = False
    repeated: bool = False
    interaction: Interaction
