"""Who holds an interaction that is out of its queue, and how it comes back.

At any time at most one of queue, agent, strategy or workbin has an interaction (promise P2). A holding begins with a
grant (pull, accepted invitation, an agent's own submit) that carries a token, and ends here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Raw
from msgspec.structs import replace

from broker.clock import to_seconds
from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.interactions import (
    EventPartyAdded,
    EventPartyRemoved,
    EventPlacedInQueue,
    EventRevoked,
    InteractionRevoked,
)
from broker.messages.kinds import STRATEGY, Actor, ClientType, Party, Workbin
from broker.messages.objects import HANDLING, QUEUED, ROUTING, Interaction
from broker.messages.parties import EventResumed, PartyJoined, PartyLeft
from broker.messages.routing import EventAbandoned
from broker.messages.workbins import EventPlacedInWorkbin, EventTakenFromWorkbin

from . import agents, invitations, overdue
from .calls import UNASKED, Call, Cause
from .contents import place_of
from .records import AgentRow, Holder, Holding

if TYPE_CHECKING:
    from .core import NodeCore

NOBODY = 2
"""The visibility mode of a party that the others do not see."""

SERVERS = frozenset({ClientType.MEDIA, ClientType.CAPTURE})
"""Clients that may act on any interaction of their tenants: they brought them in."""


def find(node: NodeCore, call: Call) -> Interaction:
    """The interaction a request names. :raises Refusal: 43; another tenant's is answered like an absent one"""
    interaction = node.memory.interactions.get(call.request.interaction_id)
    if interaction is None or interaction.tenant_id not in call.session.tenants:
        raise Refusal(Code.UNKNOWN_INTERACTION, f"{node.name} has no interaction {call.request.interaction_id}")
    return interaction


def authorise(node: NodeCore, call: Call, interaction: Interaction) -> Holding | None:
    """The holding, if the client may act on the interaction: its holder may, the one that has it locked while it
    waits, and the servers that bring them in.

    :raises Refusal: ``ACCESS_DENIED``; ``BAD_TICKET`` with a token of an earlier grant
    """
    holding = node.memory.holdings.get(interaction.interaction_id)
    token = call.request.token
    if token is not None and (holding is None or holding.token != token):
        raise Refusal(Code.BAD_TICKET, "the token is of an earlier grant", field="token")
    if call.session.type in SERVERS:
        return holding
    if holding is not None and holder_of(node, call, holding) is not None:
        return holding
    lock = node.memory.locks.get(interaction.interaction_id)
    if holding is None and lock is not None and lock.session_id == call.session.session_id:
        return None
    raise Refusal(Code.ACCESS_DENIED, f"{_asker(call)} does not hold {interaction.interaction_id}")


def holder_of(node: NodeCore, call: Call, holding: Holding) -> Holder | None:
    """The holder that the asking client is, or acts for.

    Of a session's several agents it is the one that the request names, where it names who asks. A routing engine that
    had to register anew shows by its name and the grant's token that it is the same one.
    """
    session = call.session
    own = node.memory.agents.keys("session", session.session_id)
    for holder in holding.holders:
        if holder.agent:
            if holder.agent in own and _asks(node, call, holder.agent):
                return holder
        elif (
            holder.session_id == session.session_id
            or call.request.token is not None
            and holder.client_name == session.name
        ):
            return holder
    return None


def _asks(node: NodeCore, call: Call, agent: str) -> bool:
    """Whether an agent may be the one who asks: the request names it, names nobody, or names whom it invites."""
    request = call.request
    if getattr(request, "names_target", False):
        return True
    agent_id, place_id = getattr(request, "agent_id", None), getattr(request, "place_id", None)
    row = node.memory.agents.get(agent)
    return row is None or agents.is_named(node, row, agent_id, place_id)


def _asker(call: Call) -> str:
    """Who asks, in words: the agent that the request names as the one, or its client."""
    request = call.request
    named = None if getattr(request, "names_target", False) else request.agent_id or request.place_id
    return str(named or "this client")


def grant(
    node: NodeCore,
    interaction: Interaction,
    holder: Holder,
    origin: Holding | None = None,
    view_id: str | None = None,
) -> Holding:
    """The interaction is held by ``holder`` from node.now on, under a fresh token.

    :param origin: the earlier holding whose place of return goes on; None: it is taken from where it is
    :param view_id: the view that it is pushed from; None: somebody has asked for it
    """
    token = node.clock.next(node.now)
    holding = Holding(
        interaction_id=interaction.interaction_id,
        token=token,
        since_us=token,
        holders=[holder],
        queue=origin.queue if origin else interaction.queue,
        workbin=origin.workbin if origin else interaction.workbin,
        handling_s=overdue.allowed_s(node, interaction) if holder.agent else None,
        view_id=view_id,
    )
    node.memory.put(node.memory.holdings, interaction.interaction_id, holding)
    node.watch(holding)
    if holder.agent:
        handled(node, interaction, holder)
    else:
        node.memory.update(interaction, interaction_state=ROUTING)
    return holding


def handled(node: NodeCore, interaction: Interaction, holder: Holder) -> None:
    """The interaction is being handled by an agent from now on."""
    node.memory.update(
        interaction,
        interaction_state=HANDLING,
        assigned_to=_assignee(holder),
        assigned_at=to_seconds(node.clock.next(node.now)),
    )


def add_party(  # noqa: PLR0913 - who, to what, why and how
    node: NodeCore, interaction: Interaction, holder: Holder, cause: Cause, operation: str, old_state: int | None = None
) -> None:
    """Says that a party handles the interaction now.

    :param operation: by what it comes, in the published word
    :param old_state: the state it was in, where no event has said yet that it is in another
    """
    parts: dict[str, Any] = {"party": holder.party, "operation": operation}
    if old_state is not None:
        parts |= {"old_queue": interaction.queue, "old_state": old_state}
    node.event(EventPartyAdded, interaction, cause, **parts)


def as_actor(holder: Holder) -> Actor:
    """A party as the one who caused something."""
    party = holder.party
    return Actor(
        agent_id=party.agent_id, place_id=party.place_id, strategy_id=party.strategy_id, router_id=party.router_id
    )


def cause_of(node: NodeCore, call: Call, holding: Holding | None) -> Cause:
    """The request as a cause: asked by the agent or strategy that holds the interaction, else by the client."""
    holder = holder_of(node, call, holding) if holding is not None else None
    return call.cause(as_actor(holder) if holder is not None else None)


def remove_parties(node: NodeCore, interaction: Interaction, holding: Holding, cause: Cause = UNASKED) -> None:
    """Says of each party that it handles the interaction no more; the holding is gone."""
    for holder in holding.holders:
        node.event(EventPartyRemoved, interaction, cause, party=holder.party)
    node.memory.drop(node.memory.holdings, interaction.interaction_id)


def place(node: NodeCore, interaction: Interaction, queue: str, cause: Cause) -> None:
    """Puts an interaction that nobody holds (any more) into a queue."""
    _take_from_workbin(node, interaction, None, cause)
    old_queue, old_state = interaction.queue, interaction.interaction_state
    _put(node, interaction, queue, None)
    node.event(EventPlacedInQueue, interaction, cause, old_queue=old_queue, old_state=old_state)


def place_in_workbin(node: NodeCore, interaction: Interaction, workbin: Workbin, cause: Cause) -> None:
    """Puts an interaction that nobody holds (any more) into a workbin, and into the queue behind it if there is one."""
    _take_from_workbin(node, interaction, workbin, cause)
    old_queue, old_state = interaction.queue, interaction.interaction_state
    queue = backing_queue(node, workbin) or old_queue
    _put(node, interaction, queue, workbin)
    if queue is not None:
        node.event(EventPlacedInQueue, interaction, cause, old_queue=old_queue, old_state=old_state)
    node.event(EventPlacedInWorkbin, interaction, cause, old_queue=old_queue, old_state=old_state)


def _take_from_workbin(node: NodeCore, interaction: Interaction, to: Workbin | None, cause: Cause) -> None:
    """Says that an interaction which waits in a workbin leaves it, without anybody having pulled it."""
    where = place_of(interaction)
    if where is not None and where[1] != to:
        parts: dict[str, Any] = {"old_queue": interaction.queue, "old_state": interaction.interaction_state}
        node.event(EventTakenFromWorkbin, interaction, cause, **parts)


def _put(node: NodeCore, interaction: Interaction, queue: str | None, workbin: Workbin | None) -> None:
    same = queue == interaction.queue and interaction.moved_to_queue_at is not None
    node.memory.update(
        interaction,
        interaction_state=QUEUED,
        queue=queue,
        workbin=workbin,
        place_in_queue_seq=node.memory.counters.place_seq + 1,
        placed_in_queue_at=node.now,
        moved_to_queue_at=interaction.moved_to_queue_at if same else node.now,
        completed_at=completed_at(node, interaction, queue),
        assigned_to=None,
        assigned_at=None,
    )


def completed_at(node: NodeCore, interaction: Interaction | None, queue: str | None) -> float | None:
    """When an interaction that is put into a queue was completed: the first time that it came into one of the queues
    that are ``completed``, as long as it goes from one of these to another."""
    known = node.configuration.queues.get(queue or "")
    if known is None or not known.completed:
        return None
    return interaction.completed_at if interaction is not None and interaction.completed_at is not None else node.now


def backing_queue(node: NodeCore, workbin: Workbin) -> str | None:
    """The queue behind a workbin."""
    kind = node.configuration.workbins.get(workbin.type)
    return kind.queue if kind is not None else None


def _return(node: NodeCore, interaction: Interaction, holding: Holding, cause: Cause) -> None:
    """Puts an interaction where its holding took it from: a workbin, or a queue."""
    end_hold(node, interaction, holding, cause)
    if holding.workbin is not None:
        place_in_workbin(node, interaction, holding.workbin, cause)
    else:
        queue = holding.queue or interaction.queue
        assert queue is not None, "what is in no workbin was in a queue"
        place(node, interaction, queue, cause)


def end_hold(node: NodeCore, interaction: Interaction, holding: Holding, cause: Cause) -> None:
    """Who had it may have put it on hold, and is not there any more to resume it: it is resumed, to be seen again."""
    if interaction.is_held and (interaction.held_at or 0.0) >= to_seconds(holding.since_us):
        node.memory.update(interaction, is_held=0, held_at=None)
        node.event(EventResumed, interaction, cause)


def put_back(node: NodeCore, interaction: Interaction, holding: Holding, cause: Cause) -> None:
    """Puts an interaction back as if it had not been taken: in its old place in its queue. Its parties are told."""
    node.memory.drop(node.memory.holdings, interaction.interaction_id)
    if holding.workbin is not None or holding.queue is None:
        _return(node, interaction, holding, cause)
        return
    end_hold(node, interaction, holding, cause)
    queue, state = interaction.queue, interaction.interaction_state
    node.memory.update(interaction, interaction_state=QUEUED, queue=holding.queue)
    node.event(EventPlacedInQueue, interaction, cause, old_queue=queue, old_state=state)


def revoke(node: NodeCore, interaction: Interaction, holding: Holding, why: str, asking: Call | None = None) -> None:
    """Tells every holder but the one who asks that the interaction is taken from it."""
    own = holder_of(node, asking, holding) if asking is not None else None
    for holder in holding.holders:
        if holder is own:
            continue
        if holder.agent:
            tell_taken(node, interaction, holder.agent, why)
        else:
            strategy_id = holder.party.strategy_id
            note = EventAbandoned(interaction_id=interaction.interaction_id, reason=why, strategy_id=strategy_id)
            node.tell(holder.session_id, note)


def tell_taken(node: NodeCore, interaction: Interaction, agent: str, why: str) -> None:
    """Tells an agent that an interaction is taken from it. For reporting there is its EventPartyRemoved.

    :param agent: its key
    """
    node.tell_agent(agent, InteractionRevoked(interaction_id=interaction.interaction_id, reason=why))


def report_revoked(node: NodeCore, interaction: Interaction, agent: AgentRow, why: str, ticket_id: int) -> None:
    """Says, also to the agent itself, that an invitation is taken back."""
    node.event(EventRevoked, interaction, because(why), party=agent.party())
    note = InteractionRevoked(interaction_id=interaction.interaction_id, ticket_id=ticket_id, reason=why)
    node.tell_agent(agent.key, note)


def end(node: NodeCore, interaction: Interaction, holding: Holding, why: str) -> None:
    """The server takes an interaction from all its holders and puts it back where it was taken from."""
    remove_parties(node, interaction, holding, because(why))
    revoke(node, interaction, holding, why)
    invitations.withdraw_all(node, interaction, why)
    place_back(node, interaction, holding, why)


def give_back(node: NodeCore, name: str, why: str) -> None:
    """All that an agent held returns to where it was taken from, if nobody else holds it; an agent whose connection is
    still there is told.

    :param name: the agent's key
    """
    for interaction_id in node.memory.holdings.keys("holder", name):
        interaction = node.memory.interactions[interaction_id]
        holding = node.memory.holdings.rows[interaction_id]
        for holder in [holder for holder in holding.holders if holder.name == name]:
            leave(node, interaction, holding, holder, because(why))
            tell_taken(node, interaction, name, why)


def leave(node: NodeCore, interaction: Interaction, holding: Holding, holder: Holder, cause: Cause) -> None:
    """One holder holds it no more; when it was the last one, the interaction goes back."""
    staying = [one for one in holding.holders if one is not holder]
    node.event(EventPartyRemoved, interaction, cause, party=holder.party)
    if staying:
        left = replace(holding, holders=staying)
        node.memory.put(node.memory.holdings, interaction.interaction_id, left)
        node.watch(left)  # those that stay may have been silent for longer than the one that goes
        if interaction.assigned_to == _assignee(holder):
            node.memory.update(interaction, assigned_to=_assignee(staying[0]))
        tell_left(node, interaction, holder, staying)
        return
    node.memory.drop(node.memory.holdings, interaction.interaction_id)
    invitations.withdraw_all(node, interaction, "Left")
    _return(node, interaction, holding, cause)


def tell_joined(node: NodeCore, interaction: Interaction, holder: Holder, others: list[Holder]) -> None:
    """Tells the other parties of one that is new, if it is there to be seen."""
    mode = holder.party.visibility_mode
    if mode != NOBODY:
        note = PartyJoined(interaction_id=interaction.interaction_id, party=holder.party, visibility_mode=mode)
        for other in others:
            node.tell_holder(other, note)


def tell_left(node: NodeCore, interaction: Interaction, holder: Holder, others: list[Holder]) -> None:
    """Tells the other parties of one that has left, if it was there to be seen."""
    if holder.party.visibility_mode != NOBODY:
        for other in others:
            node.tell_holder(other, PartyLeft(interaction_id=interaction.interaction_id, party=holder.party))


def _assignee(holder: Holder) -> str | None:
    return holder.party.agent_id or holder.party.place_id


def place_back(node: NodeCore, interaction: Interaction, holding: Holding, why: str) -> None:
    """Puts an interaction back into the queue or workbin it was taken from."""
    _return(node, interaction, holding, because(why))


def strategy_holder(call: Call, strategy_id: str | None) -> Holder:
    """The asking routing engine, as the holder of what it takes."""
    session = call.session
    party = Party(type=STRATEGY, strategy_id=strategy_id, router_id=session.name)
    return Holder(party=party, session_id=session.session_id, client_name=session.name)


def because(why: str) -> Cause:
    """The server's own doing, with its reason."""
    return Cause(reason=Raw(encode({"reason_system_name": why})))
