"""What the proxy knows of its clients' agents: enough to log them in again at a node that was away.

And what agent requests mean: how they change that state, what takes them back, which refusals say "it is so already".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from broker.errors import Code
from broker.messages.agents import (
    AgentRequest,
    RequestAddMedia,
    RequestAgentLogin,
    RequestAgentLogout,
    RequestCancelNotReadyForMedia,
    RequestDoNotDisturbOff,
    RequestDoNotDisturbOn,
    RequestNotReadyForMedia,
    RequestRemoveMedia,
)
from broker.messages.kinds import Request

from .sessions import Session

MISSED = 64
"""Changes kept for a node that is away, per agent; of more the oldest are forgotten."""

Name = tuple[int, str, str]
"""What changes of an agent lock: tenant (0: not known), ``agent`` or ``place``, and the id."""


class Agent:
    """A logged-in agent, place, or agent at a place.

    :param head: of its RequestAgentLogin
    :param speaking: the node that speaks for it; ``nodes``: where it is logged in
    :param missed: changes that a node has not got, oldest first; ``catching_up``: nodes that are just told of one,
        with the number of the request
    """

    __slots__ = (
        "agent_id", "catching_up", "donot_disturb", "media", "missed", "nodes", "place_id", "session", "speaking",
        "tenant",
    )  # fmt: skip

    def __init__(self, session: Session, head: Any, speaking: str) -> None:
        self.session = session
        self.tenant: int = head.tenant_id
        self.agent_id: str | None = head.agent_id
        self.place_id: str | None = head.place_id
        self.media: dict[str, int] = dict(head.media_list)
        self.donot_disturb = False
        self.speaking = speaking
        self.nodes: set[str] = set()
        self.catching_up: dict[str, int] = {}
        self.missed: dict[str, list[bytes]] = {}

    @property
    def names(self) -> frozenset[Name]:
        """What a change of this agent locks."""
        return names_of(self.tenant, self.agent_id, self.place_id)

    def is_meant(self, agent_id: str | None, place_id: str | None) -> bool:
        """Whether ids of a request mean this agent."""
        return agent_id in (None, self.agent_id) and place_id in (None, self.place_id)

    def may_be_at(self, node: str) -> bool:
        """Whether a node has the agent, or is just being told to log it in."""
        return node in self.nodes or node in self.catching_up

    def is_behind(self, node: str) -> bool:
        """Whether a node does not have the agent, or has not got all changes."""
        return node not in self.nodes or bool(self.missed.get(node))

    def miss(self, node: str, payload: bytes) -> None:
        """A node that has the agent has not got a change; oldest first."""
        changes = self.missed.setdefault(node, [])
        changes.append(payload)
        del changes[:-MISSED]


class Roster:
    """The agents by their client's number."""

    def __init__(self) -> None:
        self._of: dict[int, list[Agent]] = {}

    def __contains__(self, agent: Agent) -> bool:
        return agent in self._of.get(agent.session.client, ())

    def __iter__(self) -> Iterator[Agent]:
        for agents in self._of.values():
            yield from agents

    def of(self, client: int) -> list[Agent]:
        """A client's agents."""
        return list(self._of.get(client, ()))

    def meant(self, client: int, agent_id: str | None, place_id: str | None) -> list[Agent]:
        """Those of a client's agents that ids mean; without ids all."""
        return [agent for agent in self._of.get(client, ()) if agent.is_meant(agent_id, place_id)]

    def add(self, agent: Agent) -> None:
        """An agent was logged in."""
        self._of.setdefault(agent.session.client, []).append(agent)

    def discard(self, agent: Agent | None) -> None:
        """An agent is logged in no more."""
        if agent is None:
            return
        agents = self._of.get(agent.session.client, [])
        if agent in agents:
            agents.remove(agent)
        if not agents:
            self._of.pop(agent.session.client, None)


def names_of(tenant: int, agent_id: str | None, place_id: str | None) -> frozenset[Name]:
    """What a change about these ids locks."""
    names: list[Name] = []
    if agent_id is not None:
        names.append((tenant, "agent", agent_id))
    if place_id is not None:
        names.append((tenant, "place", place_id))
    return frozenset(names)


def ids(head: Any) -> dict[str, Any]:
    """The ids of a request's head or an agent, as fields of a request."""
    return {"agent_id": head.agent_id, "place_id": head.place_id}


ALREADY: dict[type[Request], Code] = {
    RequestAgentLogout: Code.NOT_LOGGED_IN,
    RequestAddMedia: Code.MEDIA_PRESENT,
    RequestRemoveMedia: Code.MEDIA_ABSENT,
}
"""Refusals that say that a node is where the change leads; for all others it is ``SAME_STATE``."""

UNSURE = frozenset({int(Code.BUSY), int(Code.DATABASE_FAILURE), int(Code.DATABASE_TIMEOUT)})
"""Refusals that may be otherwise in a moment, and that do not say for sure that nothing was done."""


def _unlogin(head: Any, agent: Agent | None) -> AgentRequest:
    return RequestAgentLogout(**ids(head))


def _had(head: Any, agent: Agent | None) -> AgentRequest:
    """A media type as the agent had it, or had it not."""
    state = agent.media.get(head.media_type) if agent is not None else None
    if state is None:
        return RequestRemoveMedia(**ids(head), media_type=head.media_type)
    return RequestAddMedia(**ids(head), media_type=head.media_type, state=state)


def _was_ready(head: Any, agent: Agent | None) -> AgentRequest:
    ready = agent is not None and agent.media.get(head.media_type)
    request = RequestCancelNotReadyForMedia if ready else RequestNotReadyForMedia
    return request(**ids(head), media_type=head.media_type)


def _was_disturbed(head: Any, agent: Agent | None) -> AgentRequest:
    on = agent is not None and agent.donot_disturb
    return (RequestDoNotDisturbOn if on else RequestDoNotDisturbOff)(**ids(head))


UNDO: dict[type[Request], Callable[[Any, Agent | None], AgentRequest]] = {
    RequestAgentLogin: _unlogin,
    RequestAddMedia: _had,
    RequestRemoveMedia: _had,
    RequestNotReadyForMedia: _was_ready,
    RequestCancelNotReadyForMedia: _was_ready,
    RequestDoNotDisturbOn: _was_disturbed,
    RequestDoNotDisturbOff: _was_disturbed,
}
"""What takes a change back: it makes the agent what it is known to be, for the change may have been none where it is
taken back. A change without an entry stays where it was made."""


def _set_media(agent: Agent, media_type: str, state: int) -> None:
    agent.media[media_type] = state


def _set_disturb(agent: Agent, on: bool) -> None:
    agent.donot_disturb = on


EFFECTS: dict[type[Request], Callable[[Agent, Any], Any]] = {
    RequestAddMedia: lambda agent, head: _set_media(agent, head.media_type, head.state),
    RequestRemoveMedia: lambda agent, head: agent.media.pop(head.media_type, None),
    RequestNotReadyForMedia: lambda agent, head: _set_media(agent, head.media_type, 0),
    RequestCancelNotReadyForMedia: lambda agent, head: _set_media(agent, head.media_type, 1),
    RequestDoNotDisturbOn: lambda agent, head: _set_disturb(agent, True),
    RequestDoNotDisturbOff: lambda agent, head: _set_disturb(agent, False),
}
"""What a change changes of the state that a login at another node has to bring along."""
