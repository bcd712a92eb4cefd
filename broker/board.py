"""The picture of agents and queues that reporting events move: a state at one position, brought forward event by event.

One board holds one node's part, or all nodes' (of the merged stream). What an event says of an agent or an interaction
is how it is *after* the event, so an agent event replaces the agent, and an interaction event moves one interaction
from where it was to where it is now. Where it was is known from an earlier event, else from the event's own
``old_queue`` and ``old_state`` (``old_state`` without ``old_queue``: it was in no queue), else it has not moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from broker.messages import EVENTS, encode
from broker.messages.agents import AgentEvent
from broker.messages.kinds import AgentPart, ReportingEvent
from broker.messages.objects import STATES
from broker.messages.reporting import AgentState, EventPlaceAgentState

Queues = dict[str, dict[str, dict[str, int]]]
"""``{tenant: {queue: {"queued": n, …}}}``, as in ``EventPlaceAgentState``."""

AgentKey = tuple[int, str, str]
"""Tenant, agent and (of a login without an agent) place."""

MAX_MOVING = 100_000
"""Interactions whose whereabouts a board remembers; those that moved longest ago are forgotten first."""

Place = tuple[str | None, int]
"""Queue and state of an interaction."""


class _Interaction(Struct):
    interaction_id: str
    interaction_state: int
    queue: str | None = None


class _Change(Struct):
    """What a reporting event is looked at for; the rest of it is skipped."""

    message: str
    tenant_id: int
    echo: bool = False
    interaction: _Interaction | None = None
    old_queue: str | None = None
    old_state: int | None = None
    agent: AgentPart | None = None


_read = msgspec.json.Decoder(_Change).decode


def key_of(tenant_id: int, agent: AgentPart) -> AgentKey:
    """What tells agents apart."""
    return (tenant_id, agent.agent_id, "") if agent.agent_id else (tenant_id, "", agent.place_id or "")


class Board:
    """Agents and queue counts.

    :param agents: who is logged in
    :param queues: how many interactions are in which state, per tenant and queue; queues that emptied stay, with 0
    """

    def __init__(self) -> None:
        self.agents: dict[AgentKey, AgentState] = {}
        self.queues: Queues = {}
        self.unreadable = 0
        """Events that could not be read."""
        self._moving: dict[str, Place] = {}

    def load(self, state: EventPlaceAgentState) -> None:
        """Begins anew with a state."""
        self.agents = {key_of(agent.tenant_id, agent): agent for agent in state.agents}
        self.queues = {
            tenant: {queue: dict(counts) for queue, counts in queues.items()} for tenant, queues in state.queues.items()
        }
        self._moving.clear()

    def apply(self, event: bytes | Mapping[str, Any] | ReportingEvent) -> bool:
        """Brings the board forward by one event, which has to come in the order of the stream.

        :returns: whether it could be read; what cannot be read is counted and changes nothing
        """
        try:
            change = _read(event if isinstance(event, bytes) else encode(event))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
            self.unreadable += 1
            return False
        if change.agent is not None:
            self._change_agent(change, change.agent)
        if change.interaction is not None:
            self._move(change, change.interaction)
        return True

    def _change_agent(self, change: _Change, agent: AgentPart) -> None:
        key = key_of(change.tenant_id, agent)
        if change.message == "EventAgentLogout":
            self.agents.pop(key, None)
        elif change.message in _ABOUT_AGENTS:
            self.agents[key] = AgentState(
                tenant_id=change.tenant_id,
                echo=change.echo,
                agent_id=agent.agent_id,
                place_id=agent.place_id,
                session=agent.session,
                media=agent.media,
                media_reasons=agent.media_reasons,
                donot_disturb=agent.donot_disturb,
                state_reason=agent.state_reason,
            )

    def _move(self, change: _Change, interaction: _Interaction) -> None:
        now = (interaction.queue, interaction.interaction_state)
        before = self._moving.pop(interaction.interaction_id, None) or _before(change, now)
        tenant = str(change.tenant_id)
        if change.message != "EventInteractionSubmitted":
            self._count(tenant, before, -1)
        if change.message != "EventProcessingStopped":
            self._count(tenant, now, 1)
            self._remember(interaction.interaction_id, now)

    def _remember(self, interaction_id: str, place: Place) -> None:
        self._moving[interaction_id] = place
        if len(self._moving) > MAX_MOVING:
            del self._moving[next(iter(self._moving))]

    def _count(self, tenant: str, place: Place, by: int) -> None:
        queue, state = place
        if queue is None or not 0 <= state < len(STATES):
            return
        counts = self.queues.setdefault(tenant, {}).setdefault(queue, dict.fromkeys(STATES, 0))
        name = STATES[state]
        counts[name] = max(counts.get(name, 0) + by, 0)


_ABOUT_AGENTS = {name for name, kind in EVENTS.items() if issubclass(kind, AgentEvent)}
"""Events after which the agent is as their ``agent`` says; after a logout it is not."""


def _before(change: _Change, now: Place) -> Place:
    """Where the interaction was, by the event alone."""
    if change.old_state is not None:
        return change.old_queue, change.old_state
    return now if change.old_queue is None else (change.old_queue, now[1])


def merged_agents(boards: Iterable[Board], *, complete: bool) -> list[AgentState]:
    """The agents of several nodes' boards, each once: media of all nodes together, else what the speaking node says.

    :param complete: all nodes' boards are here; then an agent that no node speaks for is not logged in any more
    """
    parts: dict[AgentKey, list[AgentState]] = {}
    for board in boards:
        for key, agent in board.agents.items():
            parts.setdefault(key, []).append(agent)
    merged = (_merged(agents) for agents in parts.values())
    found = [agent for agent in merged if not (complete and agent.echo)]
    found.sort(key=lambda agent: key_of(agent.tenant_id, agent))
    return [replace(agent, echo=False) for agent in found]


def _merged(agents: list[AgentState]) -> AgentState:
    speaker = next((agent for agent in agents if not agent.echo), agents[0])
    media = {name: state for agent in agents for name, state in agent.media.items()}
    return replace(speaker, media={**media, **speaker.media})


def merged_queues(boards: Iterable[Board]) -> Queues:
    """The counts of several nodes' boards, added up."""
    total: Queues = {}
    for board in boards:
        for tenant, queues in board.queues.items():
            for queue, counts in queues.items():
                sums = total.setdefault(tenant, {}).setdefault(queue, {})
                for state, count in counts.items():
                    sums[state] = sums.get(state, 0) + count
    return total
