"""What agents are ready for, and why: media types, readiness, do-not-disturb, reasons; and one agent's state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Raw
from msgspec.structs import replace

from broker.clock import to_seconds
from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.agents import (
    AgentEvent,
    EventCurrentAgentStatus,
    EventDoNotDisturbOff,
    EventDoNotDisturbOn,
    EventForcedAgentStateChange,
    EventMediaAdded,
    EventMediaRemoved,
    EventNotReadyForMedia,
    EventReadyForMedia,
    RequestAddMedia,
    RequestAgentLogin,
    RequestCancelNotReadyForMedia,
    RequestDoNotDisturbOff,
    RequestDoNotDisturbOn,
    RequestNotReadyForMedia,
    RequestRemoveMedia,
)
from broker.messages.connection import EventAck
from broker.messages.kinds import AGENTS, Document
from broker.messages.states import (
    EventAgentState,
    EventAgentStateReasonChanged,
    EventMediaStateReasonChanged,
    RequestAgentState,
    RequestChangeAgentStateReason,
    RequestChangeMediaStateReason,
)
from broker.wire import ECHO

from . import agents, capacity, licences, reservations
from .calls import Call
from .records import AgentRow

if TYPE_CHECKING:
    from .core import NodeCore

MAX_REASON = 2000
"""Bytes of a reason that is kept with an agent's state."""

Reasons = dict[str, Raw]


# -- media types


def add_media(node: NodeCore, call: Call) -> EventAck:
    """RequestAddMedia."""
    agent, media_type = agents.asking(node, call), call.request.media_type
    known_media(node, agent.tenant_id, [media_type], "media_type")
    if media_type in agent.media:
        raise Refusal(Code.MEDIA_PRESENT, f"{agent.agent_id or agent.place_id} has {media_type}", field="media_type")
    changed = replace(
        agent,
        media={**agent.media, media_type: call.request.state},
        media_reasons=_reasons(agent, call),
        seats=licences.check_media(node, agent, [media_type]),
    )
    return _change(node, call, changed, EventMediaAdded, media_type)


def remove_media(node: NodeCore, call: Call) -> EventAck:
    """RequestRemoveMedia."""
    agent, media_type = agents.asking(node, call), call.request.media_type
    _has_media(agent, media_type)
    media, reasons = _without(agent.media, media_type), _without(agent.media_reasons, media_type)
    return _change(node, call, replace(agent, media=media, media_reasons=reasons), EventMediaRemoved, media_type)


def _without(by_media: Mapping[str, Any], media_type: str) -> dict[str, Any]:
    return {name: value for name, value in by_media.items() if name != media_type}


def known_media(node: NodeCore, tenant_id: int, media: Iterable[str], field: str) -> None:
    """:param field: that names them. :raises Refusal: ``UNKNOWN_MEDIA``: the tenant has not all of these"""
    for name in media:
        if name not in node.configuration.tenants[tenant_id].media_types:
            raise Refusal(Code.UNKNOWN_MEDIA, f"tenant {tenant_id} has no media type {name}", field=field)


def _has_media(agent: AgentRow, media_type: str) -> None:
    if media_type not in agent.media:
        raise Refusal(Code.MEDIA_ABSENT, f"{agent.agent_id or agent.place_id} has no {media_type}", field="media_type")


# -- readiness


def not_ready(node: NodeCore, call: Call) -> EventAck:
    """RequestNotReadyForMedia."""
    return _set_ready(node, call, 0, EventNotReadyForMedia)


def ready(node: NodeCore, call: Call) -> EventAck:
    """RequestCancelNotReadyForMedia."""
    return _set_ready(node, call, 1, EventReadyForMedia)


def _set_ready(node: NodeCore, call: Call, state: int, event: type[AgentEvent]) -> EventAck:
    agent, media_type = agents.asking(node, call), call.request.media_type
    _has_media(agent, media_type)
    if agent.media[media_type] == state:
        raise Refusal(Code.SAME_STATE, f"{media_type} is {'ready' if state else 'not ready'}", field="media_type")
    changed = replace(agent, media={**agent.media, media_type: state}, media_reasons=_reasons(agent, call))
    return _change(node, call, changed, event, media_type)


def force_not_ready(node: NodeCore, agent: AgentRow, media_type: str, why: str) -> None:
    """The server makes an agent not ready for a media type; its application, and its proxy, are told."""
    if not agent.media.get(media_type):
        return
    changed = _unready(agent, media_type, why)
    node.memory.put(node.memory.agents, changed.key, changed)
    agents.report(node, EventNotReadyForMedia, changed, why, media_type)
    node.tell_agent(
        changed.key,
        EventForcedAgentStateChange(
            agent_id=agent.agent_id,
            place_id=agent.place_id,
            media_type=media_type,
            media_state_list=changed.media,
            media_reasons=changed.media_reasons,
            reason=why,
        ),
    )


def unready(node: NodeCore, agent: AgentRow, why: str) -> None:
    """The agent's client has vanished: the agent is ready for nothing until it is back."""
    ready = [name for name, state in agent.media.items() if state]
    for name in ready:
        agent = _unready(agent, name, why)
    node.memory.put(node.memory.agents, agent.key, agent)
    for name in ready:
        agents.report(node, EventNotReadyForMedia, agent, why, name)


def _unready(agent: AgentRow, media_type: str, why: str) -> AgentRow:
    reason = Raw(encode({"reason_system_name": why}))
    return replace(
        agent, media={**agent.media, media_type: 0}, media_reasons={**agent.media_reasons, media_type: reason}
    )


def disturb_not(node: NodeCore, call: Call) -> EventAck:
    """RequestDoNotDisturbOn."""
    return _set_disturb(node, call, True, EventDoNotDisturbOn)


def disturb(node: NodeCore, call: Call) -> EventAck:
    """RequestDoNotDisturbOff."""
    return _set_disturb(node, call, False, EventDoNotDisturbOff)


def _set_disturb(node: NodeCore, call: Call, on: bool, event: type[AgentEvent]) -> EventAck:
    agent = agents.asking(node, call)
    if agent.donot_disturb is on:
        raise Refusal(Code.SAME_STATE, f"do-not-disturb is {'on' if on else 'off'}")
    changed = replace(agent, donot_disturb=on, state_reason=kept_reason(call.request.reason))
    return _change(node, call, changed, event)


# -- reasons


def change_media_reason(node: NodeCore, call: Call) -> EventAck:
    """RequestChangeMediaStateReason."""
    agent, media_type = agents.asking(node, call), call.request.media_type
    _has_media(agent, media_type)
    changed = replace(agent, media_reasons=_reasons(agent, call))
    return _change(node, call, changed, EventMediaStateReasonChanged, media_type)


def change_reason(node: NodeCore, call: Call) -> EventAck:
    """RequestChangeAgentStateReason."""
    agent = agents.asking(node, call)
    changed = replace(agent, state_reason=kept_reason(call.request.reason))
    return _change(node, call, changed, EventAgentStateReasonChanged)


def _reasons(agent: AgentRow, call: Call) -> Reasons:
    """The reasons of the agent's media types with that of a request about one of them, which may have none."""
    media_type, reason = call.request.media_type, kept_reason(call.request.reason)
    reasons: Reasons = _without(agent.media_reasons, media_type)
    if reason is not UNSET:
        reasons[media_type] = reason
    return reasons


def kept_reason(reason: Document) -> Document:
    """A reason as bytes of its own, which outlive the request. :raises Refusal: it is too long to be kept"""
    if reason is UNSET:
        return UNSET
    text = bytes(reason)
    if len(text) > MAX_REASON:
        raise Refusal(Code.WRONG_VALUE, f"a reason has at most {MAX_REASON} bytes", field="reason")
    return UNSET if text == b"null" else Raw(text)


# -- the return of an agent whose client had gone


def resume(node: NodeCore, call: Call, agent: AgentRow, reason: Document) -> AgentRow:
    """An agent that had no client has logged in again: its session goes on, its media types are as the login says.

    Who speaks for the agent from now on, the login says; the differences are said by who has spoken for it so far, for
    the stream has what that node made of it when the client vanished, and perhaps no other did.

    :raises Refusal: no seat is left for a media type that it did not have before
    """
    request: RequestAgentLogin = call.request
    back = replace(
        agent,
        sessions=[call.session.session_id],
        media=dict(request.media_list),
        media_reasons={},
        donot_disturb=False,
        state_reason=reason,
        seats=licences.check_media(node, agent, request.media_list),
        echo=call.echo,
        returned=call.echo and agent.has_last_word,
        vanished_us=0,
        missing_us=0,
        panic="",
    )
    node.memory.put(node.memory.agents, back.key, back)
    said = Call(call.source, call.ref, 0 if agent.has_last_word else ECHO, call.session, request)
    for event, media_type in _differences(agent, back):
        agents.report(node, event, back, said, media_type)
    return back


def _differences(old: AgentRow, new: AgentRow) -> list[tuple[type[AgentEvent], str | None]]:
    """What has to be reported for the new state to be known to who knows the old one."""
    said: list[tuple[type[AgentEvent], str | None]] = []
    said += [(EventMediaRemoved, name) for name in old.media if name not in new.media]
    for name, state in new.media.items():
        if name not in old.media:
            said.append((EventMediaAdded, name))
        elif state != old.media[name]:
            said.append((EventReadyForMedia if state else EventNotReadyForMedia, name))
        elif old.media_reasons.get(name) != new.media_reasons.get(name):
            said.append((EventMediaStateReasonChanged, name))
    if old.donot_disturb:
        said.append((EventDoNotDisturbOff, None))
    elif old.state_reason != new.state_reason:
        said.append((EventAgentStateReasonChanged, None))
    return said


# -- telling


def _change(
    node: NodeCore, call: Call, agent: AgentRow, event: type[AgentEvent], media_type: str | None = None
) -> EventAck:
    changed = replace(agent, echo=call.echo, returned=False)
    node.memory.put(node.memory.agents, changed.key, changed)
    agents.report(node, event, changed, call, media_type)
    node.tell_agent(changed.key, status_of(node, changed))
    return EventAck()


def status_of(node: NodeCore, agent: AgentRow) -> EventCurrentAgentStatus:
    """What the agent's application is told after each change."""
    return EventCurrentAgentStatus(
        tenant_id=agent.tenant_id,
        agent_id=agent.agent_id,
        place_id=agent.place_id,
        media_state_list=agent.media,
        media_capacity_list=capacity.of(node, agent),
        media_reasons=agent.media_reasons,
        donot_disturb=agent.donot_disturb,
        state_reason=agent.state_reason,
    )


def state(node: NodeCore, call: Call) -> EventAgentState:
    """RequestAgentState."""
    agent = _meant(node, call)
    doing = list(capacity.handled(node, agent))
    return EventAgentState(
        tenant_id=agent.tenant_id,
        agent_id=agent.agent_id,
        place_id=agent.place_id,
        session=agent.session,
        login_at=to_seconds(agent.login_us),
        connections=0 if agent.is_away else len(agent.sessions),
        media_state_list=agent.media,
        media_reasons=agent.media_reasons,
        media_capacity_list=capacity.of(node, agent),
        donot_disturb=agent.donot_disturb,
        state_reason=agent.state_reason,
        handled=dict(Counter(one.media_type for one in doing if not one.is_held)),
        held=dict(Counter(one.media_type for one in doing if one.is_held)),
        invited=dict(Counter(one.media_type for one in capacity.invited(node, agent))),
        reserved_by=reservations.holder(node, agent.key),
        echo=agent.echo and bool(call.source[1]),
    )


def _meant(node: NodeCore, call: Call) -> AgentRow:
    """The agent that is asked about: any of the client's tenants, or the asking client's own.

    :raises Refusal: ``NOT_LOGGED_IN``; ``MISSING_ATTRIBUTE``: it could be several
    """
    request: RequestAgentState = call.request
    if request.tenant_id is not None:
        call.tenant(request.tenant_id)
    if request.agent_id is None and request.place_id is None:
        if call.session.type in AGENTS:
            return agents.asking(node, call)
        raise Refusal(Code.MISSING_ATTRIBUTE, "agent_id or place_id", field="agent_id")
    tenants = call.session.tenants if request.tenant_id is None else {request.tenant_id}
    found = [agents.named(node, tenant, request.agent_id, request.place_id) for tenant in tenants]
    known = [agent for agent in found if agent is not None]
    if len(known) > 1:
        raise Refusal(Code.MISSING_ATTRIBUTE, "several tenants have one", field="tenant_id")
    if not known:
        raise Refusal(Code.NOT_LOGGED_IN, f"{request.agent_id or request.place_id} is not logged in here")
    return known[0]


HANDLERS = {
    RequestAddMedia: add_media,
    RequestRemoveMedia: remove_media,
    RequestNotReadyForMedia: not_ready,
    RequestCancelNotReadyForMedia: ready,
    RequestDoNotDisturbOn: disturb_not,
    RequestDoNotDisturbOff: disturb,
    RequestChangeMediaStateReason: change_media_reason,
    RequestChangeAgentStateReason: change_reason,
    RequestAgentState: state,
}
