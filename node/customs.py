"""Custom events: what clients put into the reporting stream themselves (domain 1.6, 4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Raw

from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.connection import EventAck
from broker.messages.kinds import AGENT, Party
from broker.messages.parties import (
    CustomRequest,
    EventCustomReporting,
    RequestDistributeEvent,
    RequestDistributeUserEvent,
)

from . import holdings
from .calls import Call

if TYPE_CHECKING:
    from .core import NodeCore


def distribute(node: NodeCore, call: Call) -> EventAck:
    """RequestDistributeEvent, RequestDistributeUserEvent: anybody of the tenant may say it, holder or not."""
    request: CustomRequest = call.request
    call.tenant(request.tenant_id)
    known = node.configuration.tenants[request.tenant_id].media_types
    if request.media_type is not None and request.media_type not in known:
        text = f"tenant {request.tenant_id} has no media type {request.media_type}"
        raise Refusal(Code.UNKNOWN_MEDIA, text, field="media_type")
    body: dict[str, Any] = {"event_id": request.event_id, "activity": _activity(request)}
    if request.media_type is not None:
        body["media_type"] = request.media_type
    if request.body is not UNSET:
        body["content"] = request.body
    party = _meant(request)
    if request.interaction_id is None:
        node.custom_event(EventCustomReporting, request.tenant_id, call.cause(), Raw(encode(body)), party=party)
        return EventAck()
    interaction = holdings.find(node, call)
    if interaction.tenant_id != request.tenant_id:
        raise Refusal(Code.UNKNOWN_INTERACTION, f"tenant {request.tenant_id} has no such interaction")
    node.event(EventCustomReporting, interaction, call.cause(), body=Raw(encode(body)), party=party)
    return EventAck(interaction_id=interaction.interaction_id)


def _activity(request: CustomRequest) -> str:
    """What it is about; of an interaction and an agent the interaction counts."""
    if request.interaction_id is not None:
        return "interaction"
    return "agent" if request.agent_id is not None or request.place_id is not None else "custom"


def _meant(request: CustomRequest) -> Party | None:
    """The agent or place that it is about. Not as an event's ``agent``: that says how an agent is after a change."""
    if request.agent_id is None and request.place_id is None:
        return None
    return Party(type=AGENT, agent_id=request.agent_id, place_id=request.place_id)


HANDLERS = {RequestDistributeEvent: distribute, RequestDistributeUserEvent: distribute}
