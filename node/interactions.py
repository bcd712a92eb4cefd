"""Interactions: submit, place, change, stop, read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Raw

from broker.errors import Code, Refusal
from broker.ids import make_id
from broker.messages import encode
from broker.messages.connection import EventAck
from broker.messages.faults import in_words
from broker.messages.interactions import (
    EventInteractionProperties,
    EventInteractionSubmitted,
    EventProcessingStopped,
    RequestGetInteractionProperties,
    RequestPlaceInQueue,
    RequestStopProcessing,
    RequestSubmit,
)
from broker.messages.kinds import EMPTY, ClientType
from broker.messages.objects import HANDLING, QUEUED, Interaction
from broker.messages.workbins import EventPlacedInWorkbin

from . import agents, attributes, capacity, holdings, invitations, operations, workbins
from .calls import Call
from .invitations import agent_holder
from .properties import changed_properties, report_change
from .records import AgentRow, Holding

if TYPE_CHECKING:
    from .core import NodeCore


def submit(node: NodeCore, call: Call) -> EventAck:
    """RequestSubmit: queued when a media server submits, handled when an agent does."""
    request: RequestSubmit = call.request
    call.tenant(request.tenant_id)
    operations.check_admission(node, call)
    agent = agents.asking(node, call) if call.session.type is ClientType.AGENT else None
    _check_submit(node, request, agent)
    workbin = (
        workbins.known_workbin(node, request.tenant_id, request.workbin, agent) if request.workbin is not None else None
    )
    if workbin is not None:
        workbins.check_open(node, workbin)
    queue = request.queue or (holdings.backing_queue(node, workbin) if workbin else None)
    attributes.check_child_queue(node, request.tenant_id, request.parent_id, queue)
    memory = node.memory
    us = node.clock.next(node.now)
    interaction = Interaction(
        interaction_id=request.interaction_id or make_id(node.code, us),
        tenant_id=request.tenant_id,
        media_type=request.media_type,
        interaction_type=request.interaction_type,
        interaction_state=HANDLING if agent else QUEUED,
        queue=queue,
        workbin=workbin,
        priority=request.priority,
        is_online=request.is_online,
        received_at=request.received_at if request.received_at is not None else node.now,
        submitted_at=node.now,
        submit_seq=memory.counters.submit_seq + 1,
        place_in_queue_seq=0 if agent else memory.counters.place_seq + 1,
        interaction_subtype=request.interaction_subtype,
        parent_id=request.parent_id,
        external_id=request.external_id,
        in_queues=request.in_queues,
        out_queues=request.out_queues,
        submitted_by=call.session.name,
        placed_in_queue_at=None if agent else node.now,
        moved_to_queue_at=None if agent else node.now,
        completed_at=None if agent else holdings.completed_at(node, None, queue),
        scheduled_at=request.scheduled_at,
        service_type=request.service_type,
        service_objective=request.service_objective,
        user_data=json_object(request.user_data, "user_data"),
    )
    memory.add(interaction)
    cause = call.cause(agent.actor() if agent else None)
    node.event(EventInteractionSubmitted, interaction, cause, shows_data=True)
    if agent is not None:
        _begin_handling(node, call, interaction, agent)
    elif workbin is not None:
        node.event(EventPlacedInWorkbin, interaction, cause)
    ident = interaction.interaction_id
    return EventAck(interaction_id=ident, extension=Raw(encode({"InteractionId": ident})))


def _check_submit(node: NodeCore, request: RequestSubmit, agent: AgentRow | None) -> None:
    tenant = node.configuration.tenants[request.tenant_id]
    if request.media_type not in tenant.media_types:
        raise Refusal(
            Code.UNKNOWN_MEDIA, f"tenant {request.tenant_id} has no media type {request.media_type}", field="media_type"
        )
    if agent is not None:
        _check_agents_submit(node, request, agent)
    if request.queue is None and request.workbin is None:
        raise Refusal(
            Code.MISSING_ATTRIBUTE, "an interaction waits in a queue or a workbin: one has to be given", field="queue"
        )
    attributes.check_types(node, request.tenant_id, request.interaction_type, request.interaction_subtype)
    if request.queue is not None:
        known_queue(node, request.tenant_id, request.queue)
    if request.interaction_id is not None and request.interaction_id in node.memory.interactions:
        text = f"{node.name} has an interaction {request.interaction_id} already"
        raise Refusal(Code.DUPLICATE_INTERACTION, text, field="interaction_id")
    if len(node.memory.interactions) >= node.settings.max_interactions:
        raise Refusal(Code.BUSY, f"{node.name} holds max-interactions", retry_after=5.0)


def _check_agents_submit(node: NodeCore, request: RequestSubmit, agent: AgentRow) -> None:
    """What an agent may not submit, though a media server may. :raises Refusal: a disabled media type; no capacity"""
    if not node.configuration.tenants[request.tenant_id].media_types[request.media_type].enabled:
        text = f"media type {request.media_type} is disabled in the configuration"
        raise Refusal(Code.MEDIA_DISABLED, text, field="media_type")
    capacity.check(node, agent, request.media_type)


def _begin_handling(node: NodeCore, call: Call, interaction: Interaction, agent: AgentRow) -> None:
    holder = agent_holder(agent, call.session.session_id, call.session.name)
    holdings.grant(node, interaction, holder)
    holdings.add_party(node, interaction, holder, call.cause(holdings.as_actor(holder)), "Create")


def known_queue(node: NodeCore, tenant_id: int, queue: str) -> None:
    """Checks a queue that something is to be put into. :raises Refusal: another tenant's is as good as none"""
    known = node.configuration.queues.get(queue)
    if known is None or known.tenant != tenant_id:
        raise Refusal(Code.UNKNOWN_QUEUE, f"tenant {tenant_id} has no queue {queue}", field="queue")
    if not known.enabled:
        raise Refusal(Code.QUEUE_DISABLED, f"queue {queue} is disabled in the configuration", field="queue")


def place_in_queue(node: NodeCore, call: Call) -> EventAck:
    """RequestPlaceInQueue: its holder (or a media server) puts the interaction into a queue."""
    request: RequestPlaceInQueue = call.request
    interaction = holdings.find(node, call)
    holding = holdings.authorise(node, call, interaction)
    known_queue(node, interaction.tenant_id, request.queue)
    attributes.check_placing(node, interaction, request.queue)
    changed = changed_properties(node, call, interaction)
    cause = holdings.cause_of(node, call, holding)
    take_out(node, call, interaction, holding, "PlacedInQueue")
    if changed:
        report_change(node, call, interaction, changed, cause)
    holdings.place(node, interaction, request.queue, cause)
    return EventAck(interaction_id=interaction.interaction_id)


def stop(node: NodeCore, call: Call) -> EventAck:
    """RequestStopProcessing: the interaction is gone; whoever was involved is told."""
    interaction = holdings.find(node, call)
    holding = holdings.authorise(node, call, interaction)
    changed = changed_properties(node, call, interaction)
    cause = holdings.cause_of(node, call, holding)
    old_queue, old_state = interaction.queue, interaction.interaction_state
    take_out(node, call, interaction, holding, "Stopped")
    if changed:
        report_change(node, call, interaction, changed, cause)
    node.event(EventProcessingStopped, interaction, cause, old_queue=old_queue, old_state=old_state)
    node.memory.remove(interaction)
    node.memory.drop(node.memory.locks, interaction.interaction_id)
    return EventAck(interaction_id=interaction.interaction_id)


def take_out(node: NodeCore, call: Call, interaction: Interaction, holding: Holding | None, why: str) -> None:
    """Ends whatever has the interaction: parties are removed, others than the one who asks are told."""
    if holding is None:
        return
    cause = holdings.cause_of(node, call, holding)
    invitations.withdraw_all(node, interaction, why)
    holdings.revoke(node, interaction, holding, why, call)
    holdings.remove_parties(node, interaction, holding, cause)


def get_properties(node: NodeCore, call: Call) -> EventInteractionProperties:
    """RequestGetInteractionProperties."""
    return EventInteractionProperties(interaction=holdings.find(node, call))


def json_object(raw: Raw, field: str) -> Raw:
    """A JSON object as its own bytes (the request's buffer is let go). :raises Refusal: it is not an object"""
    if raw is EMPTY:
        return raw
    text = bytes(raw)
    try:
        text.decode()
    except UnicodeDecodeError as fault:
        raise Refusal(Code.WRONG_VALUE, f"{field}: not UTF-8 from byte {fault.start} on", field=field) from None
    if text[:1] != b"{":
        raise Refusal(Code.WRONG_VALUE, in_words(dict[str, Any], text, field), field=field)
    return Raw(text)


HANDLERS = {
    RequestSubmit: submit,
    RequestPlaceInQueue: place_in_queue,
    RequestStopProcessing: stop,
    RequestGetInteractionProperties: get_properties,
}
