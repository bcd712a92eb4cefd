"""Workbins: placing into them, reading them, and telling those who want to know what comes and goes.

An agent uses its own workbins, those of the place it is at, and those of the groups that it or its place is in.
Clients that are no agents read all workbins of their tenants.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from heapq import nsmallest
from typing import TYPE_CHECKING

from broker.conditions import compile_order
from broker.config.objects import PRIVATE_VIEW, WorkbinType
from broker.errors import Code, Refusal
from broker.messages.connection import EventAck
from broker.messages.faults import came
from broker.messages.kinds import AGENTS, Workbin
from broker.messages.pulls import RequestPull
from broker.messages.workbins import (
    EventAgentWorkbinStats,
    EventWorkbinContent,
    EventWorkbinContentChanged,
    EventWorkbinTypesInfo,
    RequestGetWorkbinContent,
    RequestPlaceInWorkbin,
    RequestWorkbinCancelNotifications,
    RequestWorkbinNotifications,
    RequestWorkbinStatistic,
    RequestWorkbinTypesInfo,
    WorkbinCount,
    WorkbinTypeInfo,
)

from . import agents, attributes, holdings, interactions
from .calls import Call
from .contents import Bin, Move
from .listing import Listing, key_of, keys, listed
from .properties import changed_properties, report_change
from .records import AgentRow, Subscription

if TYPE_CHECKING:
    from .core import NodeCore

OWNERS = {"agent": "agent_id", "agent-group": "agent_group", "place": "place_id", "place-group": "place_group"}
"""The kinds of owners, and the field of a workbin that names one."""


def place(node: NodeCore, call: Call) -> EventAck:
    """RequestPlaceInWorkbin: its holder (or a media server) puts the interaction into a workbin."""
    request: RequestPlaceInWorkbin = call.request
    interaction = holdings.find(node, call)
    holding = holdings.authorise(node, call, interaction)
    holder = holdings.holder_of(node, call, holding) if holding is not None else None
    agent = node.memory.agents.get(holder.agent) if holder is not None and holder.agent else None
    workbin = known_workbin(node, interaction.tenant_id, request.workbin, agent)
    check_open(node, workbin)
    attributes.check_placing(node, interaction, holdings.backing_queue(node, workbin))
    changed = changed_properties(node, call, interaction)
    cause = holdings.cause_of(node, call, holding)
    interactions.take_out(node, call, interaction, holding, "PlacedInWorkbin")
    if changed:
        report_change(node, call, interaction, changed, cause)
    holdings.place_in_workbin(node, interaction, workbin, cause)
    return EventAck(interaction_id=interaction.interaction_id)


# -- which workbin, and whose


def known_workbin(node: NodeCore, tenant_id: int, workbin: Workbin, agent: AgentRow | None = None) -> Workbin:
    """A workbin that a request names, with its owner. :param agent: whose it is where no owner is named

    :raises Refusal: ``UNKNOWN_WORKBIN``; ``MISSING_ATTRIBUTE``, ``WRONG_VALUE``: not the one owner its type has
    """
    kind = _type(node, tenant_id, workbin.type)
    field = OWNERS[kind.owner]
    owners = {name: getattr(workbin, name) for name in OWNERS.values() if getattr(workbin, name)}
    if not owners and agent is not None and getattr(agent, field, None):
        return Workbin(type=workbin.type, **{field: getattr(agent, field)})
    if not owners:
        raise Refusal(
            Code.MISSING_ATTRIBUTE,
            f"workbin.{field}: expected the owner of a workbin of type {workbin.type}",
            field="workbin",
        )
    if list(owners) != [field]:
        text = f"workbin: one of type {workbin.type} has {field} and no other owner, got {', '.join(owners)}"
        raise Refusal(Code.WRONG_VALUE, text, field="workbin")
    groups: dict[str, Container[str]] = {
        "agent_group": node.configuration.agent_groups,
        "place_group": node.configuration.place_groups,
    }
    if field in groups and owners[field] not in groups[field]:
        raise Refusal(Code.UNKNOWN_WORKBIN, f"there is no {kind.owner} {owners[field]}", field="workbin")
    return Workbin(type=workbin.type, **owners)


def _type(node: NodeCore, tenant_id: int, name: str) -> WorkbinType:
    kind = node.configuration.workbins.get(name)
    if kind is None or not _of_tenant(node, kind, tenant_id):
        raise Refusal(Code.UNKNOWN_WORKBIN, f"tenant {tenant_id} has no workbins of type {name}", field="workbin")
    return kind


def check_open(node: NodeCore, workbin: Workbin) -> None:
    """Checks a workbin that something is to be put into. :raises Refusal: the queue behind it is disabled"""
    queue = node.configuration.workbins[workbin.type].queue
    if queue is not None and not node.configuration.queues[queue].enabled:
        text = f"the queue {queue} behind workbins of type {workbin.type} is disabled in the configuration"
        raise Refusal(Code.QUEUE_DISABLED, text, field="workbin")


def _of_tenant(node: NodeCore, kind: WorkbinType, tenant_id: int) -> bool:
    """A type is of the tenant that the queue behind it is of; without a queue, of every tenant."""
    return kind.queue is None or node.configuration.queues[kind.queue].tenant == tenant_id


def uses(node: NodeCore, agent: AgentRow, workbin: Workbin) -> bool:
    """Whether an agent may see a workbin and pull from it."""
    return any(workbin == own for own in _own(node, agent, workbin.type))


def _own(node: NodeCore, agent: AgentRow, name: str) -> Iterator[Workbin]:
    """The workbins of one type that an agent may use."""
    kind = node.configuration.workbins.get(name)
    if kind is None:
        return
    if kind.owner in ("agent", "place"):
        owner = getattr(agent, OWNERS[kind.owner])
        if owner:
            yield Workbin(type=name, **{OWNERS[kind.owner]: owner})
    elif kind.owner == "agent-group":
        for group, agents_of in node.configuration.agent_groups.items():
            if agent.agent_id in agents_of.agents:
                yield Workbin(type=name, agent_group=group)
    else:
        for group, places_of in node.configuration.place_groups.items():
            if agent.place_id in places_of.places:
                yield Workbin(type=name, place_group=group)


def _reader(node: NodeCore, call: Call) -> AgentRow | None:
    """The asking agent; None for a client that reads all workbins of its tenants."""
    call.tenant(call.request.tenant_id)
    if call.session.type not in AGENTS:
        return None
    agent = agents.asking(node, call)
    if agent.tenant_id != call.request.tenant_id:
        raise Refusal(Code.NOT_LOGGED_IN, f"not in tenant {call.request.tenant_id}")
    return agent


def asked(node: NodeCore, call: Call, workbin: Workbin) -> Bin:
    """The workbin that a request is about. :raises Refusal: unknown, or not for the asking agent"""
    agent = _reader(node, call)
    known = known_workbin(node, call.request.tenant_id, workbin, agent)
    if agent is not None and not uses(node, agent, known):
        raise Refusal(Code.ACCESS_DENIED, "the workbin is another's", field="workbin")
    return call.request.tenant_id, known


def pulled(node: NodeCore, call: Call) -> Bin | None:
    """The workbin whose view a pull names; None: it is no workbin's. :raises Refusal: not for the one who asks"""
    request: RequestPull = call.request
    name, _, view = request.view_id.rpartition("/")
    if view != PRIVATE_VIEW or name not in node.configuration.workbins or request.view_id in node.memory.views.by_id:
        return None
    if call.session.type not in AGENTS:
        raise Refusal(Code.ACCESS_DENIED, "only agents pull from workbins")
    workbin = request.workbin or Workbin(type=name)
    if workbin.type != name:
        raise Refusal(
            Code.WRONG_VALUE,
            f"workbin.type: expected {name}, as view_id says, got {came(workbin.type)}",
            field="workbin",
        )
    return asked(node, call, workbin)


# -- reading


def content(node: NodeCore, call: Call) -> Listing | None:
    """RequestGetWorkbinContent."""
    request: RequestGetWorkbinContent = call.request
    order = compile_order(request.order, node.configuration.custom_properties)
    ids = node.memory.contents.of(asked(node, call, request.workbin))
    key = keys(call, order)
    there = [(key(one), one) for one in map(node.memory.interactions.__getitem__, ids)]
    first = nsmallest(request.count, there, key=key_of)
    return listed(node, call, EventWorkbinContent, first, len(ids) > request.count)


def types(node: NodeCore, call: Call) -> EventWorkbinTypesInfo:
    """RequestWorkbinTypesInfo."""
    agent = _reader(node, call)
    queues = node.configuration.queues
    return EventWorkbinTypesInfo(
        workbin_types=[
            WorkbinTypeInfo(
                type=name,
                owner=kind.owner,
                view=f"{name}/{PRIVATE_VIEW}",
                queue=kind.queue,
                active=kind.queue is None or queues[kind.queue].enabled,
                workbins=list(_own(node, agent, name)) if agent is not None else [],
            )
            for name, kind in node.configuration.workbins.items()
            if _of_tenant(node, kind, call.request.tenant_id)
        ]
    )


def statistic(node: NodeCore, call: Call) -> EventAgentWorkbinStats:
    """RequestWorkbinStatistic."""
    request: RequestWorkbinStatistic = call.request
    contents, tenant = node.memory.contents, request.tenant_id
    if request.workbin is not None:
        bins = [asked(node, call, request.workbin)]
    else:
        agent = _reader(node, call)
        if agent is None:
            bins = [where for where in contents.ids if where[0] == tenant]
        else:
            bins = [(tenant, own) for name in node.configuration.workbins for own in _own(node, agent, name)]
    counts = [(where[1], *contents.count(where)) for where in bins]
    return EventAgentWorkbinStats(
        workbins=[WorkbinCount(workbin=it, count=all_, held=held) for it, all_, held in counts]
    )


# -- telling


def notify(node: NodeCore, call: Call) -> EventAck:
    """RequestWorkbinNotifications: kept in a table, as the session may outlast this member."""
    tenant_id, workbin = asked(node, call, call.request.workbin)
    row = Subscription(session_id=call.session.session_id, tenant_id=tenant_id, workbin=workbin)
    if len(node.memory.subscriptions.keys("session", row.session_id)) >= MOST:
        raise Refusal(Code.BUSY, f"a session is told of {MOST} workbins", retry_after=60.0)
    node.memory.put(node.memory.subscriptions, _key(row), row)
    return EventAck()


def notify_no_more(node: NodeCore, call: Call) -> EventAck:
    """RequestWorkbinCancelNotifications."""
    tenant_id, workbin = asked(node, call, call.request.workbin)
    row = Subscription(session_id=call.session.session_id, tenant_id=tenant_id, workbin=workbin)
    node.memory.drop(node.memory.subscriptions, _key(row))
    return EventAck()


MOST = 10_000
"""Workbins that one session may be told of."""


def _key(row: Subscription) -> str:
    owner = "\n".join(f"{name}={getattr(row.workbin, name)}" for name in OWNERS.values() if getattr(row.workbin, name))
    return f"{row.session_id}\n{row.tenant_id}\n{row.workbin.type}\n{owner}"


def forget(node: NodeCore, session_id: str) -> None:
    """A session has ended: it is told no more."""
    for key in node.memory.subscriptions.keys("session", session_id):
        node.memory.drop(node.memory.subscriptions, key)


def settle(node: NodeCore) -> None:
    """At the end of a batch: tells of what came and went, to those who asked for it."""
    contents = node.memory.contents
    moves, contents.moves = contents.moves, []
    if node.memory.subscriptions.rows:
        for move in moves:
            _tell(node, move)


def _tell(node: NodeCore, move: Move) -> None:
    tenant_id, workbin = move.bin
    note = None
    for key in node.memory.subscriptions.keys("workbin", move.bin):
        note = note or EventWorkbinContentChanged(
            tenant_id=tenant_id,
            workbin=workbin,
            operation="added" if move.added else "removed",
            interaction_id=move.interaction_id,
            interaction=node.memory.interactions.get(move.interaction_id) if move.added else None,
            count=node.memory.contents.count(move.bin)[0],
        )
        node.tell(node.memory.subscriptions.rows[key].session_id, note)


HANDLERS = {
    RequestPlaceInWorkbin: place,
    RequestGetWorkbinContent: content,
    RequestWorkbinTypesInfo: types,
    RequestWorkbinStatistic: statistic,
    RequestWorkbinNotifications: notify,
    RequestWorkbinCancelNotifications: notify_no_more,
}
