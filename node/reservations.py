"""Reservations: of several routing engines that want one agent, one gets it.

    free       ──first request──▶ collecting      further requests are collected for ``request-collection-time``
    collecting ──its end──▶ reserved              the highest priority wins; the others are refused, or wait
    reserved   ──the engine delivers, gives it back or goes; the time is over──▶ free, or the next that waits has it

A reservation is a row. Requests that are collected or wait are not: after a take-over they are sent again. Over a
cluster one node decides for all, and the others are told with the flag ECHO (:mod:`proxy.reservations`): those take it
down at once, or refuse if another engine has it there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from broker.clock import to_seconds, to_us
from broker.config.objects import AgentReservation
from broker.errors import Code, Refusal
from broker.messages.connection import EventAck
from broker.messages.reservations import (
    EventAgentReserved,
    RequestCancelAgentReservation,
    RequestReserveAgent,
    ReservationRequest,
)

from . import agents, capacity
from .calls import Call
from .records import AgentRow, Reservation

if TYPE_CHECKING:
    from .core import NodeCore
    from .sessions import Session

MILLISECOND = 0.001


class Wish:
    """A request that has not been decided on. :param until: when it has waited for too long"""

    __slots__ = ("call", "until")

    def __init__(self, call: Call, until: float) -> None:
        self.call = call
        self.until = until

    @property
    def rank(self) -> int:
        """The lowest comes first; of equal ones the one that came first."""
        return -int(self.call.request.priority)


Wishes = dict[str, list[Wish]]
"""By the agent's key: the requests that wait, in the order they came."""


def reserve(node: NodeCore, call: Call) -> EventAgentReserved | None:
    """RequestReserveAgent: answered when it is decided."""
    agent = _agent(node, call)
    if _is_waiting(node, call, agent.key):
        return None
    check_free(node, agent, call)
    standing = _standing(node, agent.key)
    if standing is not None and standing.session_id == call.session.session_id:
        return _grant(node, call, agent)
    if standing is not None and (call.echo or _options(node).reject_subsequent_request):
        raise _taken(agent, standing)
    if call.echo:
        return _grant(node, call, agent)
    _wait(node, call, agent.key, collecting=standing is None)
    return None


def _options(node: NodeCore) -> AgentReservation:
    return node.configuration.nodes[node.name].agent_reservation


def _agent(node: NodeCore, call: Call) -> AgentRow:
    """The agent that a request names. :raises Refusal: none is named, or it is not logged in"""
    request: ReservationRequest = call.request
    call.tenant(request.tenant_id)
    if not request.agent_id and not request.place_id:
        raise Refusal(Code.MISSING_ATTRIBUTE, "agent_id, place_id or both", field="agent_id")
    agent = agents.named(node, request.tenant_id, request.agent_id, request.place_id)
    if agent is None:
        raise Refusal(Code.NOT_LOGGED_IN, f"{request.agent_id or request.place_id} is not logged in here")
    return agent


def check_free(node: NodeCore, agent: AgentRow, call: Call) -> None:
    """:raises Refusal: ``BAD_TARGET``, ``CAPACITY_FULL``: nothing could be delivered to the agent"""
    media_type = call.request.media_type
    name = agent.agent_id or agent.place_id
    if agent.donot_disturb:
        raise Refusal(Code.BAD_TARGET, f"{name} has do-not-disturb on", field="agent_id")
    if not any(agent.media.values()) if media_type is None else not agent.media.get(media_type):
        raise Refusal(Code.BAD_TARGET, f"{name} is not ready for {media_type or 'anything'}", field="agent_id")
    if media_type is not None:
        capacity.check(node, agent, media_type)


def _is_waiting(node: NodeCore, call: Call, key: str) -> bool:
    """Whether a request was asked again that is waiting already; then it gets the reply, when there is one."""
    keys = set(call.keys)
    for wish in node.wishes.get(key, ()):
        if not keys.isdisjoint(wish.call.keys):
            before, wish.call = wish.call, call
            node.supersede(before, call)
            return True
    return False


def _wait(node: NodeCore, call: Call, key: str, *, collecting: bool) -> None:
    """Takes a request on. :raises Refusal: too many wait"""
    if sum(map(len, node.wishes.values())) >= node.settings.max_pending:
        raise Refusal(Code.BUSY, "too many requests wait for agents", retry_after=1.0)
    options = _options(node)
    wish = Wish(call, node.now + (options.request_collection_time + options.reservation_time) * MILLISECOND)
    waiting = node.wishes.setdefault(key, [])
    waiting.append(wish)
    node.deadline(wish.until, _too_long, (key, wish))
    if collecting and len(waiting) == 1:
        node.deadline(node.now + options.request_collection_time * MILLISECOND, _collected, (key, waiting))


def _collected(node: NodeCore, what: tuple[str, list[Wish]]) -> None:
    """A deadline: requests have been collected for as long as they are; if they were given back, others begin anew."""
    key, waiting = what
    if node.wishes.get(key) is waiting:
        _decide(node, key)


def _decide(node: NodeCore, key: str) -> None:
    """Whenever an agent is free, or free again: the first of those that wait gets it."""
    agent, standing = node.memory.agents.get(key), _standing(node, key)
    waiting = node.wishes.pop(key, [])
    if agent is not None and standing is None:
        waiting = _serve(node, agent, waiting)
        standing = _standing(node, key)
    if agent is None:
        _refuse(node, waiting, Refusal(Code.NOT_LOGGED_IN, "the agent has logged out"))
    elif standing is not None and _options(node).reject_subsequent_request:
        _refuse(node, waiting, _taken(agent, standing))
    elif waiting:
        node.wishes[key] = waiting


def _serve(node: NodeCore, agent: AgentRow, waiting: list[Wish]) -> list[Wish]:
    """Grants the agent to the first that can still use it. :returns: those that have to wait on"""
    for wish in sorted(waiting, key=lambda wish: wish.rank):
        waiting.remove(wish)
        try:
            check_free(node, agent, wish.call)
        except Refusal as refusal:
            node.refuse(wish.call, refusal)
            continue
        node.finish(wish.call, _grant(node, wish.call, agent))
        break
    return waiting


def _grant(node: NodeCore, call: Call, agent: AgentRow) -> EventAgentReserved:
    """The engine has the agent to itself from now on."""
    longest = _options(node).reservation_time * MILLISECOND
    until_us = to_us(node.now + min(call.request.timeout or longest, longest))
    session = call.session
    row = Reservation(session_id=session.session_id, client_name=session.name, until_us=until_us)
    node.memory.put(node.memory.reservations, agent.key, row)
    _watch(node, agent.key, row)
    until = to_seconds(until_us)
    return EventAgentReserved(
        tenant_id=agent.tenant_id, agent_id=agent.agent_id, place_id=agent.place_id, reserved_until=until
    )


def _watch(node: NodeCore, key: str, row: Reservation) -> None:
    node.deadline(to_seconds(row.until_us), _expired, (key, row.until_us))


def _expired(node: NodeCore, what: tuple[str, int]) -> None:
    """A deadline: a reservation was not used."""
    key, until_us = what
    row = node.memory.reservations.get(key)
    if row is not None and row.until_us == until_us:
        _release(node, key)


def _release(node: NodeCore, key: str) -> None:
    """An agent is free again."""
    node.memory.drop(node.memory.reservations, key)
    if key in node.wishes:
        _decide(node, key)


def _too_long(node: NodeCore, what: tuple[str, Wish]) -> None:
    """A deadline: a request has waited for as long as a reservation may stand."""
    key, wish = what
    waiting = node.wishes.get(key, [])
    if wish in waiting:
        waiting.remove(wish)
        if not waiting:
            del node.wishes[key]
        node.refuse(wish.call, Refusal(Code.RESERVED, "the agent was not free in time"))


def _taken(agent: AgentRow, standing: Reservation) -> Refusal:
    return Refusal(Code.RESERVED, f"{agent.agent_id or agent.place_id} is reserved by {standing.client_name}")


def _refuse(node: NodeCore, wishes: Sequence[Wish], refusal: Refusal) -> None:
    for wish in wishes:
        node.refuse(wish.call, refusal)


# -- what a reservation means


def _standing(node: NodeCore, key: str) -> Reservation | None:
    """The reservation of an agent, if its time is not over."""
    row = node.memory.reservations.get(key)
    return row if row is not None and row.until_us > to_us(node.now) else None


def holder(node: NodeCore, key: str) -> str | None:
    """The name of the routing engine that has the agent to itself."""
    row = _standing(node, key)
    return row.client_name if row is not None else None


def check(node: NodeCore, agent: AgentRow, session: Session) -> None:
    """:raises Refusal: ``RESERVED``: another routing engine has the agent to itself"""
    row = _standing(node, agent.key)
    if row is not None and row.session_id != session.session_id:
        raise _taken(agent, row)


def used(node: NodeCore, agent: AgentRow) -> None:
    """The engine has delivered: the agent is free for the next."""
    if agent.key in node.memory.reservations.rows:
        _release(node, agent.key)


# -- its end


def cancel(node: NodeCore, call: Call) -> EventAck:
    """RequestCancelAgentReservation: also of one that does not stand any more, or is another's: that one stays."""
    agent = _agent(node, call)
    session_id = call.session.session_id
    _forget(node, agent.key, session_id)
    row = node.memory.reservations.get(agent.key)
    if row is not None and row.session_id == session_id:
        _release(node, agent.key)
    return EventAck()


def forget(node: NodeCore, session_id: str) -> None:
    """A session has ended: it wants nothing any more, and its reservations are free."""
    for key in [key for key, wishes in node.wishes.items() if any(_is_of(wish, session_id) for wish in wishes)]:
        _forget(node, key, session_id)
    for key in node.memory.reservations.keys("session", session_id):
        _release(node, key)


def _forget(node: NodeCore, key: str, session_id: str) -> None:
    """Whoever asked for an agent wants it no more."""
    waiting = node.wishes.get(key, [])
    gone = [wish for wish in waiting if _is_of(wish, session_id)]
    waiting[:] = [wish for wish in waiting if wish not in gone]
    if not waiting:
        node.wishes.pop(key, None)
    _refuse(node, gone, Refusal(Code.RESERVED, "given back before it was decided"))


def _is_of(wish: Wish, session_id: str) -> bool:
    return wish.call.session.session_id == session_id


def left(node: NodeCore, key: str) -> None:
    """An agent has logged out."""
    node.memory.drop(node.memory.reservations, key)
    if key in node.wishes:
        _decide(node, key)


def resume(node: NodeCore) -> None:
    """After a take-over: reservations end at their time."""
    for key, row in node.memory.reservations.rows.items():
        _watch(node, key, row)


HANDLERS = {RequestReserveAgent: reserve, RequestCancelAgentReservation: cancel}
