"""Reservations: routing engines that compete for one agent, so that only one of them delivers to it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta

from broker.errors import Code

from .kinds import ClientType, Merge, Reply, Request, Route
from .objects import AgentId, MediaType, Number, PlaceId, Seconds, TenantId

ENGINES = frozenset({ClientType.ROUTING, ClientType.PROXY})


class ReservationRequest(Request):
    """What requests about the reservation of an agent or place share."""

    senders: ClassVar[frozenset[ClientType]] = ENGINES
    route: ClassVar[Route] = Route.RESERVE
    merge: ClassVar[Merge] = Merge.ALL
    once: ClassVar[bool] = True
    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_TENANT, Code.NOT_LOGGED_IN)

    tenant_id: TenantId
    agent_id: AgentId | None = None
    place_id: PlaceId | None = None


class RequestReserveAgent(ReservationRequest):
    """Reserves an agent: until the reservation ends, no other routing engine can deliver to it.

    Requests that come within ``request-collection-time`` are decided on together: the highest priority wins, of equal
    ones the first. The others are refused (53), or with ``reject-subsequent-request = false`` wait until the agent is
    free again, at most for ``reservation-time``. A reservation ends with the engine's RequestDeliver to the agent, when
    the engine gives it back or goes, or when its time is over. Name the agent the same way as other engines do.
    """

    deferred: ClassVar[bool] = True
    refuses: ClassVar[tuple[Code, ...]] = (Code.BAD_TARGET, Code.CAPACITY_FULL, Code.RESERVED, Code.IN_PROGRESS)
    reply: ClassVar[str] = "EventAgentReserved"
    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "agent_id": "VICKY", "media_type": "voice", "priority": 3}

    media_type: Annotated[
        MediaType | None, Meta(description="if given, the agent has to be ready for it and to have capacity left")
    ] = None
    priority: Annotated[Number, Meta(description="of competing requests the highest wins")] = 0
    timeout: Annotated[
        Seconds | None, Meta(description="seconds that the reservation stands; absent, or longer: `reservation-time`")
    ] = None


class RequestCancelAgentReservation(ReservationRequest):
    """Gives a reservation back before it is used. The agent is free for others at once."""

    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "agent_id": "VICKY"}


class EventAgentReserved(Reply):
    """The agent is reserved for the routing engine that asked.

    :param reserved_until: when the reservation ends, if it is not used before
    """

    tenant_id: int
    agent_id: str | None = None
    place_id: str | None = None
    reserved_until: float
