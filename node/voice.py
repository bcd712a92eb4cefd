"""What a node says of itself: notifications to clients, reporting events to everybody who listens.

Nothing is sent here. What is said waits for the end of the batch, is committed with its changes, and then leaves.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from broker.clock import HybridClock, to_seconds
from broker.config.objects import NodeSettings
from broker.ledger import Ledger
from broker.messages import encode
from broker.messages.kinds import AgentPart, Document, InteractionPart, Notification, Party, ReportingEvent
from broker.messages.objects import Interaction
from broker.wire import ECHO, Events, PackedEvent

from . import topics
from .calls import Cause, Outgoing
from .memory import Memory
from .records import Holder
from .sessions import Sessions


class Voice:
    """Everything that one node says.

    :param name: the node's, as events tell it
    :param memory: whose counters number the events
    :param counts: where a notification is noted that has nobody to go to
    """

    def __init__(self, name: str, settings: NodeSettings, memory: Memory, counts: Ledger) -> None:
        self.name = name
        self.settings = settings
        self.memory = memory
        self.counts = counts
        self.now = 0.0
        self.clock = HybridClock()
        self.sessions = Sessions()
        self.events: list[PackedEvent] = []
        self.outgoing: list[Outgoing] = []

    # -- notifications

    def tell(self, session_id: str, note: Notification) -> None:
        """A notification to a client, if it is here."""
        session = self.sessions.by_id.get(session_id)
        if session is not None:
            self.outgoing.append((session.source, None, encode(note), 0))
        else:
            self.counts.drop(session_id, "client gone", encode(note))

    def tell_agent(self, key: str, note: Notification) -> None:
        """A notification to every connection of an agent."""
        agent = self.memory.agents.get(key)
        for session_id in agent.sessions if agent is not None else ():
            self.tell(session_id, note)

    def tell_holder(self, holder: Holder, note: Notification) -> None:
        """A notification to one that holds an interaction, agent or strategy."""
        if holder.agent:
            self.tell_agent(holder.agent, note)
        else:
            self.tell(holder.session_id, note)

    # -- events

    def event(
        self,
        kind: type[ReportingEvent],
        interaction: Interaction,
        cause: Cause,
        *,
        shows_data: bool = False,
        **parts: Any,
    ) -> None:
        """A reporting event about an interaction, as the interaction is now.

        :param shows_data: user data is new or changed here; ``event-user-data`` decides whether events carry it
        """
        rule = self.settings.event_user_data
        shown = interaction.user_data if rule == "always" or (shows_data and rule == "changes") else UNSET
        part = InteractionPart(
            interaction_id=interaction.interaction_id,
            media_type=interaction.media_type,
            interaction_type=interaction.interaction_type,
            interaction_subtype=interaction.interaction_subtype,
            interaction_state=interaction.interaction_state,
            queue=interaction.queue,
            workbin=interaction.workbin,
            parent_id=interaction.parent_id,
            external_id=interaction.external_id,
            priority=interaction.priority,
            is_online=interaction.is_online,
            received_at=interaction.received_at,
            submitted_at=interaction.submitted_at,
            submitted_by=interaction.submitted_by,
            user_data=shown,
        )
        self._say(kind, interaction.tenant_id, cause, interaction=part, **parts)

    def agent_event(
        self, kind: type[ReportingEvent], tenant_id: int, agent: AgentPart, cause: Cause, *, echo: bool
    ) -> None:
        """A reporting event about an agent. :param echo: another node speaks for it"""
        self._say(kind, tenant_id, cause, echo=echo, agent=agent)

    def system_event(
        self,
        kind: type[ReportingEvent],
        cause: Cause,
        body: Document = UNSET,
        *,
        tenant_id: int = 0,
        echo: bool = False,
    ) -> None:
        """A reporting event about the node itself, or about what concerns a tenant. :param echo: others say it, too"""
        self._say(kind, tenant_id, cause, echo=echo, body=body)

    def custom_event(
        self,
        kind: type[ReportingEvent],
        tenant_id: int,
        cause: Cause,
        body: Document,
        *,
        party: Party | None = None,
    ) -> None:
        """A reporting event about no interaction."""
        self._say(kind, tenant_id, cause, body=body, party=party)

    def _say(
        self, kind: type[ReportingEvent], tenant_id: int, cause: Cause, *, echo: bool = False, **parts: Any
    ) -> None:
        counters = self.memory.counters
        us = self.clock.next(self.now)
        event = kind(
            node=self.name,
            seq=counters.next_seq,
            time=to_seconds(us),
            tenant_id=tenant_id,
            actor=cause.actor,
            cause=cause.request,
            reason=cause.reason,
            echo=echo,
            echoes=0 if echo else counters.echo_run,
            **parts,
        )
        counters.next_seq += 1
        counters.echo_run = counters.echo_run + 1 if echo else 0
        topic = f"{tenant_id}/{kind.topic}/{kind.__name__}".encode()
        payload = encode(event)
        self.events.append(PackedEvent(us, ECHO if echo else 0, topic, payload))
        if self.memory.topics.rows:
            topics.tell(self, event, payload)

    def take_events(self) -> Events:
        """The batch's events with their numbers; the next batch begins without any."""
        events, self.events = self.events, []
        return Events(self.memory.counters.next_seq - len(events), events)
