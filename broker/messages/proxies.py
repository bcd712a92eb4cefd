"""What only proxies ask their nodes, for a client of theirs or for themselves."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta, Raw

from .agents import RequestAgentLogin
from .kinds import ClientType, Merge, Reply, Request, Route

PROXIES = frozenset({ClientType.PROXY})


class RequestAlignAgent(RequestAgentLogin):
    """A proxy's own: the agent is to be as this says. Who is not logged in is logged in first; then every media type
    and do-not-disturb is changed that is not so already, and the reasons of the states (``reason`` is that of the
    agent's). Whatever had to be done, the node tells the client the state.
    """

    senders: ClassVar[frozenset[ClientType]] = PROXIES
    route: ClassVar[Route] = Route.SCATTER
    merge: ClassVar[Merge] = Merge.PASS
    causes: ClassVar[tuple[str, ...]] = (
        "EventMediaAdded",
        "EventMediaRemoved",
        "EventReadyForMedia",
        "EventNotReadyForMedia",
        "EventDoNotDisturbOn",
        "EventDoNotDisturbOff",
        "EventMediaStateReasonChanged",
        "EventAgentStateReasonChanged",
    )
    example: ClassVar[dict[str, Any]] = {
        "tenant_id": 101,
        "agent_id": "VICKY",
        "media_list": {"voice": 0},
        "donot_disturb": True,
    }

    media_reasons: Annotated[dict[str, Raw], Meta(description="why it is ready or not ready for media types")] = {}
    donot_disturb: Annotated[bool, Meta(description="whether it is not to be disturbed")] = False
    spoke: Annotated[bool, Meta(description="the node has spoken for it before: its logout there was seen")] = False


class RequestRecall(Request):
    """A proxy's own: what the node has executed of this client's requests under a `dedup_id`. Nothing is done."""

    senders: ClassVar[frozenset[ClientType]] = PROXIES
    route: ClassVar[Route] = Route.SCATTER
    reply: ClassVar[str] = "EventRecalled"
    example: ClassVar[dict[str, Any]] = {"asked_as": "5f2c"}

    asked_as: Annotated[str, Meta(min_length=1, max_length=64, description="the `dedup_id` of the request")]


class EventRecalled(Reply):
    """What the node has executed of that client's requests with that ``dedup_id``.

    :param answers: the replies; of a pull that a proxy asked for in several parts, one for each
    :param expired: one was executed whose reply is no longer kept
    """

    answers: list[Raw] = []
    expired: bool = False
