"""What the proxy knows of its clients' agents: the state that each is to be in, and what each node has said of it.

The nodes tell an agent's applications its state after each change, so the proxy hears it of every node. The speaking
node's word is the agent's state; a node that says another one, or whose word is not known, is behind, and is brought
to it (:class:`proxy.arrears.Arrears`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from msgspec import UNSET, Raw

from broker.errors import Code
from broker.messages.agents import (
    RequestAddMedia,
    RequestAgentLogout,
    RequestCancelNotReadyForMedia,
    RequestDoNotDisturbOff,
    RequestDoNotDisturbOn,
    RequestNotReadyForMedia,
    RequestRemoveMedia,
)
from broker.messages.kinds import Document, Request
from broker.messages.states import RequestChangeAgentStateReason, RequestChangeMediaStateReason

from .sessions import Session

Name = tuple[int, str, str]
"""What changes of an agent lock: tenant (0: not known), ``agent`` or ``place``, and the id."""


class State(NamedTuple):
    """What is the same at all nodes: media types with 0 not ready, 1 ready, and why; do-not-disturb, and why the agent
    is as it is."""

    media: dict[str, int]
    donot_disturb: bool = False
    media_reasons: dict[str, Raw] = {}
    reason: Document = UNSET


class Agent:
    """A logged-in agent, place, or agent at a place.

    :param head: of its RequestAgentLogin
    :param speaking: the node that speaks for it
    :param former: nodes that have spoken for it before, and were not there since to be told its state
    :param said: what nodes have said last of it; of a node that is not here it is not known, or not logged in there
    :param catching_up: nodes that are just told, with the number of the request
    :param seatless: nodes that have no seat for it, and since when
    """

    __slots__ = (
        "agent_id", "catching_up", "former", "place_id", "said", "seatless", "session", "speaking", "state", "tenant",
    )  # fmt: skip

    def __init__(self, session: Session, head: Any, speaking: str) -> None:
        self.session = session
        self.tenant: int = head.tenant_id
        self.agent_id: str | None = head.agent_id
        self.place_id: str | None = head.place_id
        self.state = State(dict(head.media_list), reason=head.reason)
        self.speaking = speaking
        self.former: set[str] = set()
        self.said: dict[str, State] = {}
        self.catching_up: dict[str, int] = {}
        self.seatless: dict[str, float] = {}

    @property
    def names(self) -> frozenset[Name]:
        """What a change of this agent locks."""
        return names_of(self.tenant, self.agent_id, self.place_id)

    def is_meant(self, agent_id: str | None, place_id: str | None) -> bool:
        """Whether ids of a request mean this agent."""
        return agent_id in (None, self.agent_id) and place_id in (None, self.place_id)

    def is_behind(self, node: str) -> bool:
        """Whether a node is not known to have the agent in its state."""
        return self.said.get(node) != self.state

    def hear(self, node: str, state: State) -> None:
        """A node says what the agent is there."""
        self.said[node] = self.state if state == self.state else state
        if node == self.speaking:
            self.state = state

    def spoken_by(self, node: str) -> None:
        """This node speaks for it from now on."""
        self.former.add(self.speaking)
        self.former.discard(node)
        self.speaking = node

    def doubt(self, nodes: Iterable[str]) -> None:
        """It is not known any more what the agent is at these nodes."""
        for node in nodes:
            self.said.pop(node, None)


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


def _media(state: State, head: Any, to: int) -> State:
    return _because(state._replace(media={**state.media, head.media_type: to}), head)


def _without(state: State, media_type: str) -> State:
    media = {name: to for name, to in state.media.items() if name != media_type}
    reasons = {name: reason for name, reason in state.media_reasons.items() if name != media_type}
    return state._replace(media=media, media_reasons=reasons)


def _because(state: State, head: Any) -> State:
    """The reason of a media type's state is a request's; without one there is none."""
    reasons = {name: reason for name, reason in state.media_reasons.items() if name != head.media_type}
    if head.reason is not UNSET:
        reasons[head.media_type] = head.reason
    return state._replace(media_reasons=reasons)


EFFECTS: dict[type[Request], Callable[[State, Any], State]] = {
    RequestAddMedia: lambda state, head: _media(state, head, head.state),
    RequestRemoveMedia: lambda state, head: _without(state, head.media_type),
    RequestNotReadyForMedia: lambda state, head: _media(state, head, 0),
    RequestCancelNotReadyForMedia: lambda state, head: _media(state, head, 1),
    RequestDoNotDisturbOn: lambda state, head: state._replace(donot_disturb=True, reason=head.reason),
    RequestDoNotDisturbOff: lambda state, head: state._replace(donot_disturb=False, reason=head.reason),
    RequestChangeMediaStateReason: _because,
    RequestChangeAgentStateReason: lambda state, head: state._replace(reason=head.reason),
}
"""What a change makes of an agent's state; other requests leave it as it is."""
