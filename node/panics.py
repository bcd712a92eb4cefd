"""Many agents' clients gone at once: one panic signal instead of a wave of logouts (guide, "Panic Signal").

    a proxy is lost            all agents that came through it are missing, and one signal says so, at once
    a client vanishes          its agents are missing; when ``panic-window`` is over
                                   there are ``panic-threshold`` of them or more: one signal says so
                                   there are fewer: each has vanished, as :mod:`node.agents` has it
    ... while a panic of many is open: its agents belong to it

A missing agent stays as it is, with all that it handles. One that comes back until ``panic-grace`` is over, at whatever
proxy, goes on, and no event says so. Then the others have vanished, with the panic's name as the reason.

Who says it: the agents of a panic are at all nodes of their tenant, so all of these see it. The node that speaks for
the first of the agents (by key) speaks for the panic; what the others say are echoes. A signal is for one tenant.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import Raw
from msgspec.structs import replace

from broker.clock import to_seconds, to_us
from broker.messages import encode
from broker.messages.kinds import ReportingEvent
from broker.messages.panics import EventPanicEnded, EventPanicSignal

from . import agents
from .calls import UNASKED
from .records import AgentRow, Panic

if TYPE_CHECKING:
    from .core import NodeCore

MANY = "agents"
"""The name of a panic without a proxy."""
SHOWN = 100
"""Agents that a signal names one by one."""


class Panics:
    """What is not known yet to be a panic.

    :param gathering: agents that have vanished since the window was opened, with why
    :param behind: agents that came through the proxy that is just being lost
    """

    def __init__(self) -> None:
        self.gathering: dict[str, str] = {}
        self.behind: list[str] = []


def miss(node: NodeCore, agent: AgentRow, why: str, proxy: str | None) -> None:
    """An agent has no client any more. :param proxy: that is lost, and the client with it"""
    name = "" if proxy is not None or node.memory.panics.get(_key(agent.tenant_id, MANY)) is None else MANY
    if proxy is None and not name and not node.settings.panic_window:
        agents.give_up(node, agent, why)
        return
    missing = replace(agent, missing_us=node.clock.next(node.now), panic=name)
    node.memory.put(node.memory.agents, agent.key, missing)
    if proxy is not None:
        node.panics.behind.append(agent.key)
    elif name:
        _count(node, missing, agents=1)
    else:
        _gather(node, agent.key, why)


def _gather(node: NodeCore, key: str, why: str) -> None:
    if not node.panics.gathering:
        node.deadline(node.now + node.settings.panic_window, _look, node.panics)
    node.panics.gathering[key] = why


def _look(node: NodeCore, panics: Panics) -> None:
    """A deadline: the window is over."""
    if panics is not node.panics:
        return
    gathered, panics.gathering = panics.gathering, {}
    missing = [key for key in gathered if _is_missing(node, key)]
    if 0 < node.settings.panic_threshold <= len(missing):
        _signal(node, MANY, None, missing)
    else:
        for key in missing:
            agents.give_up(node, node.memory.agents.rows[key], gathered[key])


def _is_missing(node: NodeCore, key: str) -> bool:
    agent = node.memory.agents.get(key)
    return agent is not None and bool(agent.missing_us) and not agent.panic


def proxy_lost(node: NodeCore, proxy: str, session_ids: Iterable[str], why: str) -> None:
    """A proxy, or a client that speaks for several agents, is lost. :param session_ids: of all that came through it"""
    for session_id in session_ids:
        agents.disconnect(node, session_id, why, vanished=True, proxy=proxy)
    behind, node.panics.behind = node.panics.behind, []
    if behind:
        _signal(node, proxy, proxy, behind)


def _signal(node: NodeCore, name: str, proxy: str | None, keys: list[str]) -> None:
    """Says it, for each tenant."""
    tenants: dict[int, list[AgentRow]] = {}
    for key in sorted(keys):
        agent = node.memory.agents.rows[key]
        tenants.setdefault(agent.tenant_id, []).append(agent)
    until = node.now + node.settings.panic_grace
    for tenant_id, missing in tenants.items():
        key = _key(tenant_id, name)
        before = node.memory.panics.get(key)
        panic = Panic(
            tenant_id=tenant_id,
            name=name,
            until_us=to_us(until),
            agents=len(missing) + (before.agents if before is not None else 0),
            returned=before.returned if before is not None else 0,
            echo=missing[0].echo,
        )
        node.memory.put(node.memory.panics, key, panic)
        for agent in missing:
            node.memory.put(node.memory.agents, agent.key, replace(agent, panic=name))
        shown = [{"agent_id": one.agent_id, "place_id": one.place_id} for one in missing[:SHOWN]]
        body = {"panic": name, **({"proxy": proxy} if proxy else {}), "agents": len(missing), "keys": shown}
        _say(node, EventPanicSignal, panic, {**body, "until": until})
        node.deadline(until, _over, key)


def back(node: NodeCore, was: AgentRow) -> None:
    """A missing agent has a client again. :param was: its row before that"""
    if was.panic:
        _count(node, was, returned=1)
        settle(node, was)


def _count(node: NodeCore, agent: AgentRow, agents: int = 0, returned: int = 0) -> None:
    """One more of a panic's agents is missing, or back."""
    key = _key(agent.tenant_id, agent.panic)
    panic = node.memory.panics.get(key)
    if panic is not None:
        counted = replace(panic, agents=panic.agents + agents, returned=panic.returned + returned)
        node.memory.put(node.memory.panics, key, counted)


def settle(node: NodeCore, agent: AgentRow) -> None:
    """An agent belongs to a panic no more: that ends with the last one."""
    panic = node.memory.panics.get(_key(agent.tenant_id, agent.panic))
    if panic is not None and not node.memory.agents.count("panic", (agent.tenant_id, agent.panic)):
        _end(node, panic)


def _over(node: NodeCore, key: str) -> None:
    """A deadline: the grace time is over, unless the same proxy was lost again meanwhile."""
    panic = node.memory.panics.get(key)
    if panic is None or to_us(node.now) < panic.until_us:
        return
    why = f"Panic {panic.name}"
    for lost in node.memory.agents.keys("panic", (panic.tenant_id, panic.name)):
        agents.give_up(node, node.memory.agents.rows[lost], why)
    if key in node.memory.panics.rows:
        _end(node, panic)


def _end(node: NodeCore, panic: Panic) -> None:
    node.memory.drop(node.memory.panics, _key(panic.tenant_id, panic.name))
    lost = panic.agents - panic.returned
    body = {"panic": panic.name, "agents": panic.agents, "returned": panic.returned, "lost": lost}
    _say(node, EventPanicEnded, panic, body)


def _say(node: NodeCore, kind: type[ReportingEvent], panic: Panic, body: dict[str, object]) -> None:
    node.system_event(kind, UNASKED, Raw(encode(body)), tenant_id=panic.tenant_id, echo=panic.echo)


def resume(node: NodeCore) -> None:
    """After a take-over: panics go on, and who was missing waits for the others anew."""
    for key, panic in node.memory.panics.rows.items():
        node.deadline(to_seconds(panic.until_us), _over, key)
    for key, agent in node.memory.agents.rows.items():
        if agent.missing_us and not agent.panic:
            _gather(node, key, "ConnectionLost")


def _key(tenant_id: int, name: str) -> str:
    return f"{tenant_id}/{name}"
