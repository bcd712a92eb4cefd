"""Interactions that are held too long: ``handling-timeout`` of agents, ``routing-timeout`` of strategies.

Any request of the agent but Ping starts the agent's time anew, through a proxy also one to another node. The time is
looked up in the interaction's user data (key ``handling-timeout``, minutes), then in its media type, then in the
server's settings, when an agent gets it: a later change is for those that are not handled yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import orjson

from broker.messages.objects import Interaction

from . import holdings
from .records import Holding

if TYPE_CHECKING:
    from .core import NodeCore

KEY = "handling-timeout"
MINUTE = 60.0


def watch(node: NodeCore, holding: Holding) -> None:
    """Has the holding looked at when its time may be over."""
    if holding.holders:
        agent = holding.holders[0].agent
        at = _due(node, holding) if agent else node.now + node.settings.routing_timeout * MINUTE
        node.deadline(at, look, (holding.interaction_id, holding.token))


def _due(node: NodeCore, holding: Holding) -> float:
    """When its agents have been silent for too long."""
    return _heard_at(node, holding) + _wait_s(node, holding)


def _wait_s(node: NodeCore, holding: Holding) -> float:
    """How long the holding's agents may be silent, in seconds."""
    if holding.handling_s is not None:
        return holding.handling_s
    return allowed_s(node, node.memory.interactions[holding.interaction_id])


def allowed_s(node: NodeCore, interaction: Interaction) -> float:
    """How long an agent may be silent while it handles the interaction, in seconds."""
    if KEY.encode() in bytes(interaction.user_data):
        minutes = _minutes(orjson.loads(bytes(interaction.user_data)).get(KEY))
        if minutes is not None:
            return minutes * MINUTE
    media = node.configuration.tenants[interaction.tenant_id].media_types.get(interaction.media_type)
    if media is not None and media.handling_timeout:
        return media.handling_timeout * MINUTE
    return node.settings.handling_timeout * MINUTE


def _minutes(value: object) -> float | None:
    """A value of user data as minutes from 1 to 1440; None where it is none."""
    try:
        minutes = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return minutes if 1 <= minutes <= 1440 else None


def asked_elsewhere(node: NodeCore, peer: bytes, clients: Iterable[int]) -> None:
    """Clients of a proxy have asked for something, here or at another node: their agents are not silent."""
    for client in clients:
        session = node.sessions.by_source.get((peer, client))
        if session is not None:
            session.asked = node.now


def look(node: NodeCore, what: tuple[str, int]) -> None:
    """A deadline: a holding's time is over, unless its agent was heard of meanwhile."""
    interaction_id, token = what
    holding = node.memory.holdings.get(interaction_id)
    if holding is None or holding.token != token or not holding.holders:
        return
    interaction = node.memory.interactions[interaction_id]
    if not holding.holders[0].agent:
        holdings.end(node, interaction, holding, "RoutingTimeout")
        return
    due = _due(node, holding)
    if due <= node.now:
        holdings.end(node, interaction, holding, "HandlingTimeout")
    else:
        node.deadline(due, look, what)


def _heard_at(node: NodeCore, holding: Holding) -> float:
    """When one of the holding's agents last asked for anything."""
    heard = [max(holding.since_us / 1e6, node.active_since)]
    for holder in holding.holders:
        agent = node.memory.agents.get(holder.agent) if holder.agent else None
        for session_id in agent.sessions if agent is not None else ():
            session = node.sessions.by_id.get(session_id)
            if session is not None:
                heard.append(session.asked)
    return max(heard)
