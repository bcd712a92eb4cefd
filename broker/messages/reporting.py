"""The reporting stream: current state with its cursor, and replay (protocol 6)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta, Raw, field

from broker.errors import Code

from .kinds import REPORTERS, AgentPart, ClientType, Merge, Reply, ReportingEvent, Request, Route
from .objects import InteractionId, Name, TenantId


class RequestStartPlaceAgentStateReportingAll(Request):
    """The current state of agents, places, media and queues, and the cursor it is true at.

    Subscribe first, ask, then skip every event at or before the cursor: nothing is lost or doubled.
    """

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_TENANT,)
    senders: ClassVar[frozenset[ClientType]] = REPORTERS
    route: ClassVar[Route] = Route.STREAM
    merge: ClassVar[Merge] = Merge.STATES
    reply: ClassVar[str] = "EventPlaceAgentState"
    example: ClassVar[dict[str, Any]] = {"tenant_id": 101}

    tenant_id: Annotated[TenantId | None, Meta(description="absent: all of the session's")] = None


class RequestStopPlaceAgentStateReportingAll(Request):
    """The published end of the reporting: of all that ``RequestStartPlaceAgentStateReporting`` began; the subscription
    to the stream is the SUB socket's."""

    senders: ClassVar[frozenset[ClientType]] = REPORTERS
    example: ClassVar[dict[str, Any]] = {}


class RequestStartPlaceAgentStateReporting(Request):
    """The current state of one agent or place, and the cursor it is true at. From then on, until it is stopped or the
    session ends, the client is told of every event about it, as after ``RequestSubscribe``."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_TENANT,)
    senders: ClassVar[frozenset[ClientType]] = REPORTERS
    route: ClassVar[Route] = Route.STREAM
    merge: ClassVar[Merge] = Merge.STATES
    reply: ClassVar[str] = "EventPlaceAgentState"
    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "agent_id": "VICKY"}

    tenant_id: TenantId
    agent_id: Annotated[Name | None, Meta(description="the agent, logged in or not")] = None
    place_id: Annotated[Name | None, Meta(description="the place; one of the two is given")] = None


class RequestStopPlaceAgentStateReporting(Request):
    """The client is told of this agent or place no more."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_TENANT,)
    senders: ClassVar[frozenset[ClientType]] = REPORTERS
    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "agent_id": "VICKY"}

    tenant_id: TenantId
    agent_id: Annotated[Name | None, Meta(description="as it was started")] = None
    place_id: Annotated[Name | None, Meta(description="as it was started")] = None


class AgentState(AgentPart):
    """A logged-in agent or place: an [AgentPart](#agentpart) with its tenant.

    :param echo: between nodes and proxies only: another node speaks for the agent
    """

    tenant_id: int
    echo: bool = False


class EventPlaceAgentState(Reply):
    """The state at ``cursor``.

    :param agents: every logged-in agent or place with ``tenant_id`` and its media
    :param queues: ``{tenant: {queue: {"queued": n, "routing": n, "handling": n}}}``, by the queue of the interaction
    :param complete: from a proxy: false when nodes did not answer
    :param missing: which
    """

    cursor: str
    agents: list[AgentState]
    queues: dict[str, dict[str, dict[str, int]]]
    complete: bool | None = None
    missing: list[str] | None = None


class RequestReplayEvents(Request):
    """Past events after a cursor (``from``, exclusive; absent: from the oldest kept)."""

    senders: ClassVar[frozenset[ClientType]] = REPORTERS
    route: ClassVar[Route] = Route.STREAM
    merge: ClassVar[Merge] = Merge.EVENTS
    reply: ClassVar[str] = "EventReplayedEvents"
    example: ClassVar[dict[str, Any]] = {"from": "1790000000250001-n1", "count": 500}

    start: Annotated[str | None, Meta(description="the cursor to go on after; absent: from the oldest kept")] = field(
        default=None, name="from"
    )
    count: Annotated[int, Meta(ge=1, le=10_000, description="events at most; a reply may have fewer, with `more`")] = (
        1000
    )
    interaction_id: Annotated[
        InteractionId | None,
        Meta(description="only events about this interaction; a reply may have none, and `more`: then go on"),
    ] = None


class EventReplayedEvents(Reply):
    """Events in order.

    :param events: their payloads, as they were published
    :param cursor: where to go on
    :param more: there are further ones now
    :param complete: from a proxy: false when nodes did not answer; the cursor stays behind for them
    :param missing: which
    """

    events: list[Raw]
    cursor: str | None = None
    more: bool = False
    complete: bool | None = None
    missing: list[str] | None = None


class SystemEvent(ReportingEvent):
    """What the events about the stream and the cluster share."""

    topic: ClassVar[str] = "system"


class EventNodeActive(SystemEvent):
    """A member of the node became active; ``body`` names it and its epoch."""


class EventStreamStalled(SystemEvent):
    """A proxy's: the stream goes on without a node that is silent; what it says later of this time is ``late``."""


class EventStreamResumed(SystemEvent):
    """A proxy's: the node is in the stream again."""
