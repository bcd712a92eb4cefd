"""RequestExplainInteraction: where an interaction is, what keeps it there, how the views of its queue judge it.

Nothing is changed by any of it. What keeps an interaction is asked in the order of :data:`CAUSES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from broker.clock import to_seconds
from broker.config.objects import PRIVATE_VIEW
from broker.errors import Code, Refusal
from broker.messages.explaining import (
    EventInteractionExplained,
    RequestExplainInteraction,
    Term,
    ViewJudgement,
    Wait,
)
from broker.messages.objects import QUEUED, Interaction
from broker.messages.queues import EventViewPosition, RequestGetViewPosition

from . import holdings, queues
from .calls import Call
from .engines import UNTIL_FREED, Runner
from .overdue import MINUTE, allowed_s
from .records import Holder, Holding
from .strategies import room_at
from .views import View

if TYPE_CHECKING:
    from .core import NodeCore


def explain(node: NodeCore, call: Call) -> EventInteractionExplained:
    """RequestExplainInteraction."""
    interaction = holdings.find(node, call)
    return EventInteractionExplained(
        node=node.name,
        interaction=interaction,
        waits=waits_of(node, interaction),
        views=[judge(node, view, interaction) for view in node.memory.views.serving(interaction.queue or "")],
    )


# -- views


def judge(node: NodeCore, view: View, interaction: Interaction) -> ViewJudgement:
    """How a view judges an interaction, whether it has it or not."""
    return ViewJudgement(
        view_id=view.view_id,
        condition=view.condition.text,
        order=view.order.text,
        matches=view.condition.matches(interaction),
        terms=[Term(**term._asdict()) for term in view.condition.explain(interaction)],
        position=view.position(interaction.interaction_id),
        depth=len(view),
        segment=view.segmentation.value(interaction) if view.segmentation is not None else None,
        key=view.order.head(interaction),
        waiting_pulls=len(node.pulls.waiting.get(view.view_id, ())),
    )


def place(node: NodeCore, call: Call) -> EventViewPosition:
    """RequestGetViewPosition."""
    request: RequestGetViewPosition = call.request
    view = node.memory.views.by_id.get(request.view_id)
    if view is None or view.tenant_id not in call.session.tenants:
        raise Refusal(Code.UNKNOWN_VIEW, request.view_id, field="view_id")
    try:
        key = view.order.key_of(request.key)
    except ValueError as fault:
        raise Refusal(Code.WRONG_VALUE, str(fault), field="key") from None
    return EventViewPosition(before=view.before(key), depth=len(view))


# -- what keeps it


def waits_of(node: NodeCore, interaction: Interaction) -> list[Wait]:
    """What keeps the interaction where it is, the most important first; at least one thing."""
    return [wait for cause in CAUSES for wait in cause(node, interaction)]


def _parties(node: NodeCore, interaction: Interaction) -> Iterator[Wait]:
    holding = node.memory.holdings.get(interaction.interaction_id)
    for holder in holding.holders if holding is not None else ():
        yield _party(node, interaction, holding, holder)  # type: ignore[arg-type]  # there are none without a holding


def _party(node: NodeCore, interaction: Interaction, holding: Holding, holder: Holder) -> Wait:
    since = to_seconds(holding.since_us)
    party = holder.party
    if holder.agent:
        text = f"agent {party.agent_id or party.place_id} handles it"
        minutes = allowed_s(node, interaction) / MINUTE
        if party.agent_id and party.place_id:
            text += f" at {party.place_id}"
        return Wait(reason="agent", text=f"{text}; handling-timeout after {minutes:g} silent minutes", since=since)
    strategy = f"strategy {party.strategy_id} of " if party.strategy_id else ""
    how = f"was sent it from {holding.view_id}" if holding.view_id is not None else "has pulled it"
    until = since + node.settings.routing_timeout * MINUTE
    return Wait(reason="strategy", text=f"{strategy}{party.router_id} {how}", since=since, until=until)


def _invitations(node: NodeCore, interaction: Interaction) -> Iterator[Wait]:
    for ticket in node.memory.invitations.keys("interaction", interaction.interaction_id):
        invitation = node.memory.invitations.rows[ticket]
        agent = node.memory.agents.get(invitation.agent)
        name = (agent.agent_id or agent.place_id) if agent is not None else invitation.agent
        text = f"agent {name} is invited ({invitation.purpose.value}) and has not answered"
        yield Wait(reason="invitation", text=text, until=to_seconds(invitation.deadline_us))


def _locked(node: NodeCore, interaction: Interaction) -> Iterator[Wait]:
    lock = node.memory.locks.get(interaction.interaction_id)
    if lock is not None:
        snapshot = f", for its snapshot {lock.snapshot_id}" if lock.snapshot_id else ""
        session = node.sessions.by_id.get(lock.session_id)
        name = session.name if session is not None else f"a client that is away ({lock.session_id})"
        yield Wait(reason="locked", text=f"{name} has locked it{snapshot}")


def _held(node: NodeCore, interaction: Interaction) -> Iterator[Wait]:
    if interaction.is_held:
        text = "it is on hold: only pulls that ignore that take it"
        yield Wait(reason="held", text=text, since=interaction.held_at)


def _scheduled(node: NodeCore, interaction: Interaction) -> Iterator[Wait]:
    if interaction.scheduled_at is not None and interaction.scheduled_at > node.now:
        yield Wait(reason="scheduled", text="no view has it before its time", until=interaction.scheduled_at)


def _workbin(node: NodeCore, interaction: Interaction) -> Iterator[Wait]:
    where = interaction.workbin
    if where is not None and interaction.interaction_state == QUEUED:
        owner = where.agent_id or where.agent_group or where.place_id or where.place_group
        text = f"it is in the workbin {where.type} of {owner}: pulls from {where.type}/{PRIVATE_VIEW} take it"
        yield Wait(reason="workbin", text=text, since=interaction.placed_in_queue_at)


def _queue(node: NodeCore, interaction: Interaction) -> Iterator[Wait]:
    if interaction.interaction_state != QUEUED or interaction.workbin is not None:
        return
    name = interaction.queue
    known = node.configuration.queues.get(name or "")
    if name is None or known is None:
        yield Wait(reason="no-queue", text="it is in no queue" if name is None else f"there is no queue {name}")
        return
    if not known.enabled:
        yield Wait(reason="queue-disabled", text=f"the queue {name} is disabled in the configuration")
    if queues.is_paused(node, name, known):
        since = queues.paused_since(node, name)
        by = "the configuration" if since is None else "an operator"
        yield Wait(reason="queue-paused", text=f"{by} has paused the queue {name} at {node.name}", since=since)


def _views(node: NodeCore, interaction: Interaction) -> Iterator[Wait]:
    if interaction.interaction_state != QUEUED or interaction.workbin is not None or interaction.queue is None:
        return
    views = node.memory.views.serving(interaction.queue)
    matching = [view for view in views if view.condition.matches(interaction)]
    if not views:
        yield Wait(reason="no-view", text=f"the queue {interaction.queue} has no view")
    elif not matching:
        text = f"no view of the queue {interaction.queue} has a condition that is true of it"
        yield Wait(reason="no-view", text=text)
    elif queues.gives(node, interaction.queue) and any(view.position(interaction.interaction_id) for view in matching):
        names = ", ".join(view.view_id for view in matching)
        text = f"nobody has pulled it from {names} yet{_engines(node, matching)}"
        yield Wait(reason="pull", text=text, since=interaction.placed_in_queue_at)


def _engines(node: NodeCore, views: list[View]) -> str:
    """The routing engines that are sent what is in the views, and why they have not been sent this."""
    lanes = node.strategies.engines.lanes
    runners = [runner for view in views if view.view_id in lanes for runner in lanes[view.view_id].runners]
    said = {f"; {runner.engine.name} is sent what is in it, and {_room(node, runner)}" for runner in runners}
    return "".join(sorted(said))


def _room(node: NodeCore, runner: Runner) -> str:
    """Why an engine is not sent the next interaction."""
    at, held, session_id = room_at(node, runner), node.memory.holdings, runner.row.session_id
    if at <= node.now:
        return "has room: others come first"
    if at != UNTIL_FREED:
        return "has got as many as its rate allows for now"
    if session_id not in node.sessions.by_id:
        return "is away"
    by_engine = held.count("holder", session_id), runner.engine.most
    by_strategy = held.count("strategy", (session_id, runner.row.strategy_id)), runner.most
    has, most = by_engine if by_engine[0] >= by_engine[1] else by_strategy
    return f"has no room: it holds {has} of {most}"


CAUSES: tuple[Callable[[NodeCore, Interaction], Iterator[Wait]], ...] = (
    _parties,
    _invitations,
    _locked,
    _held,
    _scheduled,
    _workbin,
    _queue,
    _views,
)
"""What may keep an interaction; each says nothing, or what it is."""

HANDLERS = {RequestExplainInteraction: explain, RequestGetViewPosition: place}
