"""What reporting clients ask: the current state with its cursor, and past events (protocol 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.errors import Code, Refusal
from broker.messages.connection import EventAck
from broker.messages.objects import STATES
from broker.messages.reporting import (
    AgentState,
    EventPlaceAgentState,
    RequestReplayEvents,
    RequestStartPlaceAgentStateReporting,
    RequestStartPlaceAgentStateReportingAll,
    RequestStopPlaceAgentStateReporting,
    RequestStopPlaceAgentStateReportingAll,
)
from broker.topics import key_of_one
from broker.wire import make_cursor, parse_cursor

from . import topics
from .calls import Call, Read
from .records import AgentRow

if TYPE_CHECKING:
    from .core import NodeCore

LOOKED_AT = 5_000
"""Events looked at for those about one interaction, in one request: some hundredths of a second."""


def state(node: NodeCore, call: Call) -> EventPlaceAgentState:
    """RequestStartPlaceAgentStateReportingAll: all logged-in agents and the queues' counts, now."""
    asked = call.request.tenant_id
    if asked is not None:
        call.tenant(asked)
    tenants = call.session.tenants if asked is None else {asked}
    rows = [row for row in node.memory.agents.rows.values() if row.tenant_id in tenants]
    return EventPlaceAgentState(
        cursor=make_cursor(node.clock.promise(node.now), node.name),
        agents=[_agent_state(row, row.echo and call.session.link) for row in rows],
        queues=_queues(node, tenants),
    )


def _agent_state(row: AgentRow, echo: bool) -> AgentState:
    return AgentState(
        tenant_id=row.tenant_id,
        echo=echo,
        agent_id=row.agent_id,
        place_id=row.place_id,
        session=row.session,
        media=row.media,
        media_reasons=row.media_reasons,
        donot_disturb=row.donot_disturb,
        state_reason=row.state_reason,
    )


def _queues(node: NodeCore, tenants: frozenset[int] | set[int]) -> dict[str, dict[str, dict[str, int]]]:
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for queue, numbers in node.memory.queue_counts.items():
        known = node.configuration.queues.get(queue)
        if known is not None and known.tenant in tenants and any(numbers):
            counts.setdefault(str(known.tenant), {})[queue] = dict(zip(STATES, numbers, strict=True))
    return counts


def stop(node: NodeCore, call: Call) -> EventAck:
    """RequestStopPlaceAgentStateReportingAll."""
    topics.forget(node, call.session.session_id, reporting=True)
    return EventAck()


def start_one(node: NodeCore, call: Call) -> EventPlaceAgentState:
    """RequestStartPlaceAgentStateReporting: the state now; every event from now on is told."""
    request: RequestStartPlaceAgentStateReporting = call.request
    key = key_of_one(request.tenant_id, request.agent_id, request.place_id, call.session.tenants)
    topics.want(node, call, [key], reporting=True)
    rows = [node.memory.agents.rows[name] for name in node.memory.agents.keys(key.kind, (key.tenant_id, key.name))]
    return EventPlaceAgentState(
        cursor=make_cursor(node.clock.promise(node.now), node.name),
        agents=[_agent_state(row, row.echo and call.session.link) for row in rows],
        queues={},
    )


def stop_one(node: NodeCore, call: Call) -> EventAck:
    """RequestStopPlaceAgentStateReporting."""
    request: RequestStopPlaceAgentStateReporting = call.request
    key = key_of_one(request.tenant_id, request.agent_id, request.place_id, call.session.tenants)
    topics.unwant(node, call, key, reporting=True)
    return EventAck()


def replay(node: NodeCore, call: Call) -> None:
    """RequestReplayEvents: read from the journal by the shell, after this batch is committed."""
    request: RequestReplayEvents = call.request
    after_us = 0
    if request.start is not None:
        try:
            after_us, _, _ = parse_cursor(request.start)
        except ValueError as fault:
            raise Refusal(Code.WRONG_VALUE, str(fault), field="from") from None
    own = call.source[1] == 0 and call.session.link
    tenants = None if own else call.session.tenants
    looked_at = request.count if request.interaction_id is None else LOOKED_AT
    node.reads.append(Read(call.source, call.ref, after_us, looked_at, own, tenants, request.interaction_id))


HANDLERS = {
    RequestStartPlaceAgentStateReportingAll: state,
    RequestStopPlaceAgentStateReportingAll: stop,
    RequestStartPlaceAgentStateReporting: start_one,
    RequestStopPlaceAgentStateReporting: stop_one,
    RequestReplayEvents: replay,
}
