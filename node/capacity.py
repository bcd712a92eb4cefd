"""How much agents can take: nothing is offered or given to one that handles as much of a media type as it may.

What counts is what the agent handles and is invited to; what is on hold does not. A node counts its own. Over a cluster
its proxy tells each node what the agent has at the others (:class:`proxy.capacity.Capacity`), as the nodes tell it:
:func:`settle` puts that before the replies of the same batch, so a proxy knows it when it has the reply.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from broker.capacity import CapacityRules
from broker.config.objects import Configuration
from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.capacity import EventAgentLoad, Load, RequestAgentLoad
from broker.messages.connection import EventAck
from broker.messages.objects import Interaction

from . import agents
from .calls import Call, Outgoing, Source
from .records import AgentRow

if TYPE_CHECKING:
    from .core import NodeCore

NONE = (0, 0)
_UNKNOWN: Load = {"": NONE}
"""Like no agent's load."""
Told = tuple[Load, frozenset[Source], AgentRow]
"""What of an agent was told last, to which proxies."""


class Capacity:
    """The rules, and by the agent's key what is elsewhere and what proxies were told. Nothing here is durable: after a
    take-over both sides tell it again. ``touched`` are the keys of agents whose load may be another one."""

    def __init__(self, configuration: Configuration) -> None:
        self.rules = CapacityRules(configuration)
        self.elsewhere: dict[str, Load] = {}
        self.told: dict[str, Told] = {}
        self.touched: set[str] = set()


def of(node: NodeCore, agent: AgentRow) -> dict[str, int]:
    """An agent's limits, of the media types that it has."""
    rules = node.capacity.rules.of(agent.tenant_id, agent.agent_id)
    return {name: limit for name, limit in rules.items() if name in agent.media}


def handled(node: NodeCore, agent: AgentRow) -> Iterable[Interaction]:
    """What an agent handles at this node, on hold or not."""
    interactions = node.memory.interactions
    return (interactions[ident] for ident in node.memory.holdings.keys("holder", agent.key))


def invited(node: NodeCore, agent: AgentRow) -> Iterable[Interaction]:
    """What an agent is invited to at this node."""
    memory = node.memory
    tickets = memory.invitations.keys("agent", agent.key)
    return (memory.interactions[memory.invitations.rows[ticket].interaction_id] for ticket in tickets)


def _load(node: NodeCore, agent: AgentRow) -> Load:
    """What counts at this node, of the media types that the agent has a limit for."""
    rules = node.capacity.rules.of(agent.tenant_id, agent.agent_id)
    load: Load = {}
    if rules:
        for which, interactions in enumerate((handled(node, agent), invited(node, agent))):
            for interaction in interactions:
                name = interaction.media_type
                if name in rules and not interaction.is_held:
                    counts = load.get(name, NONE)
                    load[name] = (counts[0] + 1, counts[1]) if which == 0 else (counts[0], counts[1] + 1)
    return load


# -- what is refused


class Room:
    """What an agent can still take, counted down as it takes. :ivar full: the media type that something did not fit
    for; :ivar limit: how many of it the agent may have"""

    def __init__(self, node: NodeCore, agent: AgentRow) -> None:
        self._interactions = node.memory.interactions
        self._name = agent.agent_id or agent.place_id
        self._limits = node.capacity.rules.of(agent.tenant_id, agent.agent_id)
        self._left: dict[str, int] = {}
        if self._limits:
            here, elsewhere = _load(node, agent), node.capacity.elsewhere.get(agent.key, {})
            for name, limit in self._limits.items():
                self._left[name] = limit - sum(here.get(name, NONE)) - sum(elsewhere.get(name, NONE))
        self.full: str | None = None

    def fits(self, interaction_id: str) -> bool:
        """Whether the agent can take this one besides; then it counts."""
        interaction = self._interactions[interaction_id]
        return bool(interaction.is_held) or self.takes(interaction.media_type)

    def takes(self, media_type: str) -> bool:
        """Whether the agent can take one more of a media type; then it counts."""
        left = self._left.get(media_type)
        if left is None:
            return True
        if left <= 0:
            self.full = media_type
            return False
        self._left[media_type] = left - 1
        return True

    def refusal(self) -> Refusal:
        """Why something did not fit."""
        limit = self._limits.get(self.full or "")
        return Refusal(Code.CAPACITY_FULL, f"{self._name} has its {limit} of {self.full}")


def check(node: NodeCore, agent: AgentRow, media_type: str) -> None:
    """:raises Refusal: ``CAPACITY_FULL``: the agent cannot take one more of a media type"""
    if node.capacity.rules.any:
        room = Room(node, agent)
        if not room.takes(media_type):
            raise room.refusal()


def check_accept(node: NodeCore, agent: AgentRow, interaction: Interaction) -> None:
    """An invitation counts here already. What was accepted at other nodes meanwhile may leave no room for it.

    :raises Refusal: ``CAPACITY_FULL``
    """
    name = interaction.media_type
    limit = node.capacity.rules.of(agent.tenant_id, agent.agent_id).get(name)
    elsewhere = node.capacity.elsewhere.get(agent.key)
    if limit is None or elsewhere is None or interaction.is_held:
        return
    if _load(node, agent).get(name, NONE)[0] + elsewhere.get(name, NONE)[0] >= limit:
        who = agent.agent_id or agent.place_id
        raise Refusal(Code.CAPACITY_FULL, f"{who} has its {limit} of {name}, some of them at other nodes")


def check_resume(node: NodeCore, interaction: Interaction) -> None:
    """What is on hold counts again when it is resumed, for those who handle it and those who are invited to it.

    :raises Refusal: ``CAPACITY_FULL``, of any of them
    """
    for key in _concerned(node, interaction):
        check(node, node.memory.agents.rows[key], interaction.media_type)


def moved(node: NodeCore, interaction: Interaction) -> None:
    """An interaction was put on hold or resumed: its agents' loads are others."""
    node.capacity.touched.update(_concerned(node, interaction))


def _concerned(node: NodeCore, interaction: Interaction) -> list[str]:
    """The keys of the agents that handle an interaction or are invited to it."""
    memory, ident = node.memory, interaction.interaction_id
    holding = memory.holdings.get(ident)
    keys = [holder.agent for holder in holding.holders if holder.agent] if holding is not None else []
    keys += [memory.invitations.rows[ticket].agent for ticket in memory.invitations.keys("interaction", ident)]
    return [key for key in keys if key in memory.agents.rows]


# -- between nodes


def told(node: NodeCore, call: Call) -> EventAck:
    """RequestAgentLoad: what an agent has elsewhere."""
    request: RequestAgentLoad = call.request
    agent = agents.named(node, request.tenant_id, request.agent_id, request.place_id)
    if agent is None:
        raise Refusal(Code.NOT_LOGGED_IN, f"{request.agent_id or request.place_id} is not logged in here")
    if request.elsewhere:
        node.capacity.elsewhere[agent.key] = request.elsewhere
    else:
        node.capacity.elsewhere.pop(agent.key, None)
    return EventAck()


def introduce(node: NodeCore, agent: AgentRow) -> None:
    """A client has come or come back, perhaps through another proxy: that one is told the agent's load even if there
    is none, for it may know of an older one."""
    if node.capacity.rules.of(agent.tenant_id, agent.agent_id):
        node.capacity.told[agent.key] = (_UNKNOWN, frozenset(), agent)
        node.capacity.touched.add(agent.key)


def settle(node: NodeCore) -> None:
    """At the end of a batch: tells proxies what their agents have here, where that has changed; ahead of replies."""
    for touched in (node.memory.holdings.touched, node.memory.invitations.touched):
        if touched:
            node.capacity.touched |= touched
            touched.clear()
    if node.capacity.touched:
        notes: list[Outgoing] = []
        for key in sorted(node.capacity.touched):
            notes += _notes(node, key)
        node.capacity.touched.clear()
        node.outgoing[:0] = notes


def _notes(node: NodeCore, key: str) -> Iterable[Outgoing]:
    """What there is to tell of an agent, and to which proxies."""
    capacity, agent = node.capacity, node.memory.agents.get(key)
    last = capacity.told.get(key)
    if agent is None:
        capacity.elsewhere.pop(key, None)
        if last is None:
            return
        load, links, row = {}, last[1], last[2]
    else:
        load, links, row = _load(node, agent), _links(node, agent), agent
        if last is None and not load:
            return
        if last is not None and (last[0], last[1]) == (load, links):
            return
    if load:
        capacity.told[key] = (load, links, row)
    else:
        capacity.told.pop(key, None)
    note = EventAgentLoad(tenant_id=row.tenant_id, agent_id=row.agent_id, place_id=row.place_id, load=load)
    payload = encode(note)
    for link in sorted(links):
        yield link, None, payload, 0


def _links(node: NodeCore, agent: AgentRow) -> frozenset[Source]:
    """The proxies that an agent's clients come through."""
    sessions = (node.sessions.by_id.get(name) for name in agent.sessions)
    links = (node.sessions.link_of(session.source) for session in sessions if session and session.source[1])
    return frozenset(link.source for link in links if link is not None)


def watch(node: NodeCore) -> None:
    """Where nobody has a limit, nobody wants to know whose holdings and invitations have changed."""
    node.memory.holdings.watching = node.memory.invitations.watching = node.capacity.rules.any


def reconfigured(node: NodeCore) -> list[AgentRow]:
    """``node.configuration`` is another one: its capacities hold for what is offered from now on.

    :returns: the agents whose limits are others than before
    """
    rows = list(node.memory.agents.rows.values())
    before = [of(node, agent) for agent in rows]
    node.capacity.rules = CapacityRules(node.configuration)
    watch(node)
    node.capacity.touched.update(node.memory.agents.rows)
    return [agent for agent, limits in zip(rows, before, strict=True) if of(node, agent) != limits]


HANDLERS = {RequestAgentLoad: told}
