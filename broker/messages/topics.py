"""Topics: being told of reporting events without a SUB socket.

What a client is told is the event itself, byte for byte as it is in the stream, with an empty ``ref``. By its ``seq``
it is known from a notification of the same name. A proxy tells what is in the one stream, in its order.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta

from broker.errors import Code

from .kinds import Record, Request, Route
from .objects import AgentId, PlaceId, QueueName, TenantId

MAX_TOPICS = 1000
"""Topics of one session."""


class Topic(Record, frozen=True):
    """What reporting events are about: an agent, a place or a queue of a tenant; none of them: all of the tenant's.

    :param tenant_id: the tenant's number
    :param agent_id: events about this agent, with it as a party, or caused by it
    :param place_id: the same of a place
    :param queue: events about interactions in this queue, or that were in it just before
    """

    tenant_id: TenantId
    agent_id: AgentId | None = None
    place_id: PlaceId | None = None
    queue: QueueName | None = None


Topics = Annotated[list[Topic], Meta(min_length=1, max_length=MAX_TOPICS)]


class RequestSubscribe(Request):
    """Has the client told of all events that match one of the topics, until it unsubscribes or its session ends. An
    event that matches several comes once."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_TENANT, Code.UNKNOWN_QUEUE)
    route: ClassVar[Route] = Route.HERE
    example: ClassVar[dict[str, Any]] = {
        "topics": [{"tenant_id": 101, "agent_id": "VICKY"}, {"tenant_id": 101, "queue": "Inbound"}]
    }

    topics: Annotated[Topics, Meta(description="what it wants to be told of; each with at most one of the three")]


class RequestUnsubscribe(Request):
    """Ends what ``RequestSubscribe`` began; topics that were never subscribed to are passed over."""

    route: ClassVar[Route] = Route.HERE
    example: ClassVar[dict[str, Any]] = {"topics": [{"tenant_id": 101, "queue": "Inbound"}]}

    topics: Annotated[Topics | None, Meta(description="absent: all")] = None
