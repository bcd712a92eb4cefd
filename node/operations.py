"""What operators ask of a node (clients of type Monitor): how it is, to hand over, to take nothing new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.clock import to_seconds
from broker.errors import Code, Refusal
from broker.messages.connection import EventAck, EventPong
from broker.messages.faults import came
from broker.messages.operations import (
    EventDrainBegun,
    EventDrainEnded,
    EventLedger,
    EventStatus,
    NodeRequest,
    RequestDrain,
    RequestGetLedger,
    RequestGetStatus,
    RequestSwitchover,
    RequestUndrain,
)

from . import licences, overdue, queues
from .calls import Call
from .records import ONLY, Drain

if TYPE_CHECKING:
    from .core import NodeCore

MOST_BEHIND = 1_000
"""Rows of the journal that a standby may be behind when it is handed over to: what it can apply in some hundredths of
a second. A healthy one is behind by what was written in the last twentieth of a second."""


def status(node: NodeCore, call: Call) -> EventStatus:
    """RequestGetStatus: this node as its active member sees it. A proxy says by it whose agents are not silent."""
    if call.session is not None and call.session.link:
        overdue.asked_elsewhere(node, call.source[0], call.request.askers)
    member = node.pong()
    document: dict[str, Any] = {
        "state": "healthy",
        **figures(node),
        "members": {
            node.member: {
                "role": member.role,
                "pid": member.pid,
                "epoch": node.epoch,
                "rev": node.rev,
                "why": node.why,
                "configuration": node.fingerprint,
            }
        },
    }
    return EventStatus(state="healthy", nodes={node.name: document})


def figures(node: NodeCore) -> dict[str, Any]:
    """What the status says of a node's work."""
    memory = node.memory
    drain, known = memory.drains.get(ONLY), node.configuration.queues
    return {
        "backlog": sum(counts[0] for counts in memory.queue_counts.values()),
        "interactions": len(memory.interactions),
        "agents": len(memory.agents),
        "clients": len(node.sessions.by_id),
        "held_pulls": node.pulls.held,
        "esp_servers": len(node.services.servers),
        "esp_requests": len(memory.services),
        "loads": len(memory.loads),
        "next_seq": memory.counters.next_seq,
        "refused": node.counts["refused"],
        "dropped": node.counts.dropped,
        "licences": licences.usage(node),
        "licence_pool": node.settings.licence_pool,
        "drained_since": to_seconds(drain.since_us) if drain is not None else None,
        "strays": queues.strays(node),
        "paused": sorted(name for name, queue in known.items() if queues.is_paused(node, name, queue)),
    }


def ledger(node: NodeCore, call: Call) -> EventLedger:
    """RequestGetLedger: what this member has dropped."""
    request: RequestGetLedger = call.request
    if request.node not in (None, node.name):
        raise Refusal(Code.WRONG_VALUE, f"node: expected {node.name}, got {came(request.node)}", field="node")
    kept = node.counts
    return EventLedger(
        server=node.name,
        member=node.member,
        dropped=kept.dropped,
        peers=kept.by_peer(),
        last=kept.last(request.count),
    )


# -- switchover


def switchover(node: NodeCore, call: Call) -> None:
    """RequestSwitchover: the shell asks the standby how it is, and says so (:func:`standby_said`)."""
    _check_name(node, call)
    if node.configuration.nodes[node.name].backup is None:
        raise Refusal(Code.WRONG_STATE, f"{node.name} has no backup")
    if node.hand_over:
        raise Refusal(Code.IN_PROGRESS, f"{node.name} is handing over")
    node.orders.append(call)


def standby_said(node: NodeCore, call: Call, pong: EventPong | None) -> None:
    """The standby was asked. If it can serve, this member hands over once the reply is out.

    :param pong: its answer; None: there was none in time
    """
    fault = _unfit(node, pong)
    if node.hand_over:
        node.refuse(call, Refusal(Code.IN_PROGRESS, f"{node.name} is handing over"))
    elif fault:
        node.refuse(call, Refusal(Code.WRONG_STATE, f"no healthy standby: {fault}"))
    else:
        node.hand_over = True
        node.finish(call, EventAck())


def _unfit(node: NodeCore, pong: EventPong | None) -> str:
    """Why the standby cannot take over now; empty: it can."""
    other = "backup" if node.member == "primary" else "primary"
    if pong is None:
        return f"the {other} of {node.name} does not answer"
    if pong.role != "standby":
        return f"the {other} of {node.name} is {pong.role}" + (f" ({pong.why})" if pong.why else "")
    behind = node.rev - (pong.rev or 0)
    return f"the {other} of {node.name} is {behind} journal rows behind" if behind > MOST_BEHIND else ""


# -- drain


def drain(node: NodeCore, call: Call) -> EventAck:
    """RequestDrain: kept in a table, so that it outlasts failover and restart."""
    _check_name(node, call)
    if node.memory.drains.get(ONLY) is None:
        node.memory.put(node.memory.drains, ONLY, Drain(since_us=node.clock.next(node.now)))
        node.system_event(EventDrainBegun, call.cause())
    return EventAck()


def undrain(node: NodeCore, call: Call) -> EventAck:
    """RequestUndrain."""
    _check_name(node, call)
    if node.memory.drains.get(ONLY) is not None:
        node.memory.drop(node.memory.drains, ONLY)
        node.system_event(EventDrainEnded, call.cause())
    return EventAck()


def check_admission(node: NodeCore, call: Call) -> None:
    """Whether a new interaction may come in. :raises Refusal: ``DRAINED``, to proxies; others are taken in (guide)"""
    through_proxy = call.source[1] != 0 or call.session.link
    if through_proxy and node.memory.drains.rows:
        raise Refusal(Code.DRAINED, f"{node.name} is drained")


def _check_name(node: NodeCore, call: Call) -> None:
    request: NodeRequest = call.request
    if request.node != node.name:
        raise Refusal(Code.WRONG_VALUE, f"node: expected {node.name}, got {came(request.node)}", field="node")


HANDLERS = {
    RequestGetStatus: status,
    RequestGetLedger: ledger,
    RequestSwitchover: switchover,
    RequestDrain: drain,
    RequestUndrain: undrain,
}
