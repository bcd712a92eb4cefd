"""Licences: seats for agents and for media types, of the node or (``licence-pool = cluster``) of all nodes together.

A pool is held without a book of its own: every agent is at every node, so each of them counts the whole cluster's. An
agent takes its agent seat at login, and the seat of a media type when it first has it; all are free again at its
logout, however long ago a media type was removed. When a limit is lowered while more seats are in use, those who came
last are logged out (guide, "Licensing").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from broker.config.objects import AGENT_SEAT, LICENSES, MEDIA_SEATS, OPEN_MEDIA_SEAT
from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.licences import EventLicenceUsage

from . import agents
from .calls import UNASKED, Call
from .records import AgentRow

if TYPE_CHECKING:
    from .core import NodeCore


class Licences:
    """The limits in force, and which of them are reached.

    :param limits: licence -> seats; absent: any number
    :param echo: another node speaks for all agents here, and of a pool's use, too
    """

    def __init__(self, limits: dict[str, int]) -> None:
        self.limits = dict(limits)
        self.reached: set[str] = set()
        self.echo = False


def of_media(media: Iterable[str]) -> list[str]:
    """The licences that media types need."""
    return sorted({MEDIA_SEATS.get(name, OPEN_MEDIA_SEAT) for name in media})


def is_pooled(node: NodeCore) -> bool:
    """Whether the seats are those of several nodes."""
    return node.settings.licence_pool == "cluster" and len(node.configuration.nodes) > 1


def check_login(node: NodeCore, call: Call, seats: Iterable[str], leaving: Iterable[AgentRow]) -> None:
    """:raises Refusal: ``LICENCE_LIMIT``: no agent seat, or none of a media type, is left when these agents are gone;
    or the seats are the cluster's, and no other node would know of one that is taken here"""
    if is_pooled(node) and not call.source[1]:
        raise Refusal(Code.LICENCE_LIMIT, "the seats of the cluster's pool are taken through a proxy")
    freed = Counter(seat for agent in leaving for seat in (AGENT_SEAT, *agent.seats))
    _check(node, (AGENT_SEAT, *seats), freed)


def _check(node: NodeCore, seats: Iterable[str], freed: Mapping[str, int]) -> None:
    for seat in seats:
        limit = node.licences.limits.get(seat)
        if limit is not None and used(node, seat) - freed.get(seat, 0) >= limit:
            whose = "of the cluster" if is_pooled(node) else f"on {node.name}"
            raise Refusal(Code.LICENCE_LIMIT, f"all {limit} seats of {seat} {whose} are taken")


def check_media(node: NodeCore, agent: AgentRow, media: Iterable[str]) -> list[str]:
    """The agent's licences if it gets these media types. :raises Refusal: ``LICENCE_LIMIT``"""
    more = [seat for seat in of_media(media) if seat not in agent.seats]
    _check(node, more, {})
    return [*agent.seats, *more]


def used(node: NodeCore, licence: str) -> int:
    """Seats in use."""
    if licence == AGENT_SEAT:
        return len(node.memory.agents)
    return node.memory.agents.count("seat", licence)


def usage(node: NodeCore) -> dict[str, dict[str, int | None]]:
    """``{licence: {"used": n, "limit": n}}`` for the status: the agent seat, and all that are limited or in use."""
    limits = node.licences.limits
    shown = ((licence, used(node, licence), limits.get(licence)) for licence in LICENSES)
    return {
        licence: {"used": count, "limit": limit}
        for licence, count, limit in shown
        if count or limit is not None or licence == AGENT_SEAT
    }


def settle(node: NodeCore) -> None:
    """At the end of a batch: says of which licences the limit was reached, or is no longer."""
    state = node.licences
    for licence, limit in state.limits.items():
        reached = used(node, licence) >= limit
        if reached is not (licence in state.reached):
            (state.reached.add if reached else state.reached.discard)(licence)
            _say(node, licence, "limit reached" if reached else "below the limit")


def resume(node: NodeCore) -> None:
    """This member begins to serve: limits that are reached were said to be; those that its configuration has lowered
    hold."""
    limits = node.configuration.seats_of(node.name)
    reached = {licence for licence, limit in limits.items() if used(node, licence) >= limit}
    node.licences.limits, node.licences.reached = limits, reached
    _log_out_surplus(node)


def reconfigured(node: NodeCore) -> None:
    """The active member's ``node.configuration`` is another one: its limits hold from now on."""
    state = node.licences
    old, state.limits = state.limits, node.configuration.seats_of(node.name)
    state.reached &= state.limits.keys()
    for licence in sorted({*old, *state.limits}):
        if old.get(licence) != state.limits.get(licence):
            _say(node, licence, "changed")
    _log_out_surplus(node)


def _log_out_surplus(node: NodeCore) -> None:
    """Whoever came last, while more seats are in use than there are."""
    for licence, limit in node.licences.limits.items():
        for agent in _last_come(node, licence)[: max(used(node, licence) - limit, 0)]:
            agents.log_out(node, agent, "LicenceDecreased")


def _last_come(node: NodeCore, licence: str) -> list[AgentRow]:
    """The agents with a seat, who came last first."""
    rows = node.memory.agents.rows
    keys = list(rows) if licence == AGENT_SEAT else node.memory.agents.keys("seat", licence)
    return sorted((rows[key] for key in keys), key=lambda agent: agent.login_us, reverse=True)


def _say(node: NodeCore, licence: str, why: str) -> None:
    """What is said of a pool is the same at all nodes: those that speak for no agent say it as an echo."""
    rows = node.memory.agents.rows.values()
    if rows:
        node.licences.echo = is_pooled(node) and all(agent.echo for agent in rows)
    body: dict[str, Any] = {
        "licence": licence,
        "used": used(node, licence),
        "limit": node.licences.limits.get(licence),
        "why": why,
    }
    node.system_event(EventLicenceUsage, UNASKED, Raw(encode(body)), echo=node.licences.echo)
