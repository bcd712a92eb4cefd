"""What operators ask of a node (clients of type Monitor)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.errors import Code, Refusal
from broker.messages.connection import EventAck
from broker.messages.operations import EventStatus, RequestGetStatus, RequestSwitchover

from . import licences
from .calls import Call

if TYPE_CHECKING:
    from .core import NodeCore


def status(node: NodeCore, call: Call) -> EventStatus:
    """RequestGetStatus: this node as its active member sees it."""
    member = node.pong()
    document: dict[str, Any] = {
        "state": "healthy",
        **figures(node),
        "members": {
            node.member: {"role": member.role, "pid": member.pid, "epoch": node.epoch, "rev": node.rev, "why": node.why}
        },
    }
    return EventStatus(state="healthy", nodes={node.name: document})


def figures(node: NodeCore) -> dict[str, Any]:
    """What the status says of a node's work."""
    memory = node.memory
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
        "licences": licences.usage(node),
    }


def switchover(node: NodeCore, call: Call) -> EventAck:
    """RequestSwitchover: the shell hands over to the standby once this reply is out."""
    if call.request.node != node.name:
        raise Refusal(Code.WRONG_VALUE, f"this is {node.name}", field="node")
    if node.configuration.nodes[node.name].backup is None:
        raise Refusal(Code.WRONG_STATE, f"{node.name} has no backup")
    node.hand_over = True
    return EventAck()


HANDLERS = {RequestGetStatus: status, RequestSwitchover: switchover}
