"""How much of agents' capacity is in use at which node: what nodes and proxies tell each other."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta

from broker.errors import Code

from .kinds import ClientType, Notification, Request, Route
from .objects import AgentId, PlaceId, TenantId

Load = dict[str, tuple[int, int]]
"""Media type -> interactions that an agent handles, and invitations that it has not answered."""


class RequestAgentLoad(Request):
    """A proxy's own: tells a node what an agent handles at the other nodes, so that its capacity holds over all."""

    senders: ClassVar[frozenset[ClientType]] = frozenset({ClientType.PROXY})
    route: ClassVar[Route] = Route.SCATTER
    refuses: ClassVar[tuple[Code, ...]] = (Code.NOT_LOGGED_IN,)
    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "agent_id": "VICKY", "elsewhere": {"voice": [1, 0]}}

    tenant_id: TenantId
    agent_id: AgentId | None = None
    place_id: PlaceId | None = None
    elsewhere: Annotated[
        Load, Meta(description="media type -> interactions handled, and invitations unanswered, at the other nodes")
    ] = {}


class EventAgentLoad(Notification):
    """To a proxy: what an agent of its clients handles at this node, of media types that the agent has a capacity for.

    :param load: media type -> interactions handled (none on hold), and invitations unanswered
    """

    tenant_id: int
    agent_id: str | None = None
    place_id: str | None = None
    load: Load = {}
