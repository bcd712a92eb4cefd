"""What nodes that were away, or could not say, still have to be told of agents.

    behind      a node that does not have an agent, or not in its state: it is told the state (RequestAlignAgent)
    doubtful    an agent that a node may have though it is logged in nowhere (any more): a logout

A node gets it when it is there; what it cannot do now is tried again after RETRY_S. What a node refuses for good ends
the agent's session everywhere. What is under way when the agent changes is withdrawn: sent again later, it would undo
what came after it. And nothing is said while the client is silent: its agent may be logged in through another proxy by
then, which knows better; the end of the session settles what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from broker.errors import Code
from broker.messages import encode
from broker.messages.agents import RequestAgentLogout
from broker.messages.proxies import RequestAlignAgent
from broker.wire import ECHO

from .desk import Desk
from .gather import Answers, Asker
from .roster import UNSURE, Agent, Roster, ids
from .sessions import Session

RETRY_S = 1.0
MAX_DOUBTFUL = 10_000
"""Doubtful agents per node; of more the oldest are forgotten."""


class Doubt(NamedTuple):
    """A client's agent that nodes may have."""

    session: Session
    agent_id: str | None
    place_id: str | None


class Arrears:
    """All nodes' arrears.

    :param expel: logs an agent out everywhere because a node refuses its login with this code
    :param is_changing: whether a change of an agent is under way: when that is over, :meth:`catch_up` is called
    """

    def __init__(
        self,
        desk: Desk,
        roster: Roster,
        expel: Callable[[Agent, str, int], None],
        is_changing: Callable[[Agent], bool],
    ) -> None:
        self._settings = desk.settings
        self._keepalive_s = desk.settings.keepalive_interval
        self._gather = desk.gather
        self._links = desk.links
        self._routes = desk.routes
        self._roster = roster
        self._expel = expel
        self._is_changing = is_changing
        self._due: dict[Agent, None] = {}
        """Agents that nodes are behind with, for the next try."""
        self._doubts: dict[str, dict[Doubt, int]] = {}
        self._resolving: dict[tuple[str, Doubt], int] = {}
        self.wake_at = float("inf")
        """When :meth:`tick` wants to be called next."""

    def ready(self, node: str, forgot: bool) -> None:
        """A node is back. :param forgot: it may have ended the sessions, and with them the agents, that it had"""
        serving = [agent for agent in self._roster if node in self.nodes_of(agent)]
        self._links.introduce(node, dict.fromkeys(agent.session.client for agent in serving))
        self._resolve(node)
        for agent in serving:
            if forgot:
                agent.doubt([node])
            self._catch_up(agent, node)

    def nodes_of(self, agent: Agent) -> tuple[str, ...]:
        """The nodes that an agent is to be logged in at."""
        return self._routes.nodes_of(agent.tenant)

    def may_have(self, agent: Agent) -> list[str]:
        """The nodes that may have an agent: those too that are about to go."""
        nodes = self.nodes_of(agent)
        return [*nodes, *self._links.lingering(self._routes.nodes)]

    def tick(self, now: float) -> None:
        """Tries again what could not be done."""
        if now < self.wake_at:
            return
        self.wake_at = float("inf")
        for node in list(self._doubts):
            self._resolve(node)
        due, self._due = self._due, {}
        for agent in due:
            if agent in self._roster:
                self.catch_up(agent)

    def _catch_up_later(self, agent: Agent) -> None:
        self._due[agent] = None
        self._later()

    def _later(self) -> None:
        self.wake_at = min(self.wake_at, self._gather.now + RETRY_S)

    # -- behind

    def catch_up(self, agent: Agent) -> None:
        """Brings all nodes that are there to the agent's state."""
        for node in self.nodes_of(agent):
            self._catch_up(agent, node)

    def hush(self, agent: Agent, node: str) -> None:
        """A node that has spoken for an agent does so no more: what it does to it by itself is an echo from now on."""
        if agent.is_behind(node) or self._is_silent(agent.session) or not self._links.is_ready(node):
            return  # it would log the agent in, now or when it is back
        asker, deadline = Asker(agent.session.client, ECHO), self._gather.now + self._settings.request_timeout
        self._gather.ask([node], _aligned(agent, node), deadline, _nothing, asker)

    def _catch_up(self, agent: Agent, node: str) -> None:
        """Tells a node that is behind the agent's state, unless that is about to change."""
        if node in agent.catching_up or not self._links.is_ready(node) or not agent.is_behind(node):
            return
        if self._is_silent(agent.session):
            self._catch_up_later(agent)
        elif not self._is_changing(agent):
            asker = Asker(agent.session.client, 0 if node == agent.speaking else ECHO)
            done = partial(self._caught_up, agent, node)
            deadline = self._gather.now + self._settings.request_timeout
            agent.catching_up[node] = self._gather.ask([node], _aligned(agent, node), deadline, done, asker)

    def _caught_up(self, agent: Agent, node: str, now: float, answers: Answers) -> None:
        """A node has done it, which its word about the agent has shown, or refuses it, or could not say."""
        reply = answers[node]
        if agent.catching_up.pop(node, None) is None or agent not in self._roster:
            return
        code = 0 if reply is None else reply.code
        if code == Code.LICENCE_LIMIT and self._has_patience(agent, node, now):
            self._catch_up_later(agent)
            return
        agent.seatless.pop(node, None)
        if reply is not None and not code:
            agent.former.discard(node)
        if code and code not in UNSURE:
            if not self._is_changing(agent):
                self._expel(agent, node, code)
        elif agent.is_behind(node):
            self._catch_up_later(agent)

    def _has_patience(self, agent: Agent, node: str, now: float) -> bool:
        """Whether a node without a seat for an agent is asked again: one that was away has to hear first who has logged
        out meanwhile, which other proxies may have to tell it."""
        return now < agent.seatless.setdefault(node, now) + self._settings.request_timeout

    def heard(self, agent: Agent) -> None:
        """A node has said something of the agent: others may have to be told, if they do not say so soon themselves."""
        if any(map(agent.is_behind, self.nodes_of(agent))):
            self._catch_up_later(agent)

    def _is_silent(self, session: Session) -> bool:
        """Whether a client has not been heard lately: its agent may be logged in through another proxy by now."""
        return self._gather.now - session.heard > self._keepalive_s

    # -- doubtful

    def doubt(self, doubt: Doubt, nodes: Iterable[str], speaking: str) -> None:
        """These nodes may have an agent that is to be logged in nowhere. :param speaking: whose logout is to be seen"""
        for node in nodes:
            doubts = self._doubts.setdefault(node, {})
            doubts[doubt] = 0 if node == speaking else ECHO
            if len(doubts) > MAX_DOUBTFUL:
                del doubts[next(iter(doubts))]
            self._later()

    def _resolve(self, node: str) -> None:
        """Tells a node that is there to log out whom it may have."""
        if not self._links.is_ready(node):
            return
        for doubt, flags in self._doubts.pop(node, {}).items():
            if doubt.session.ended:
                continue
            if self._is_silent(doubt.session):
                self.doubt(doubt, [node], node if not flags else "")
                continue
            logout = encode(RequestAgentLogout(agent_id=doubt.agent_id, place_id=doubt.place_id))
            deadline = self._gather.now + self._settings.request_timeout
            done = partial(self._resolved, doubt, node, flags)
            asker = Asker(doubt.session.client, flags)
            self._resolving[node, doubt] = self._gather.ask([node], logout, deadline, done, asker)

    def _resolved(self, doubt: Doubt, node: str, flags: int, now: float, answers: Answers) -> None:
        reply = answers[node]
        if self._resolving.pop((node, doubt), None) is not None and (reply is None or reply.code in UNSURE):
            self.doubt(doubt, [node], node if not flags else "")

    def forget(self, node: str) -> None:
        """A node has none of our agents any more."""
        self._doubts.pop(node, None)

    # -- what a change makes void

    def withdraw(self, agent: Agent) -> None:
        """An agent is about to change: what nodes are just told of it is void."""
        for number in agent.catching_up.values():
            self._gather.cancel(number)
        agent.catching_up.clear()

    def withdraw_doubts(self, session: Session, head: Any) -> list[tuple[str, Doubt]]:
        """An agent is about to be logged in or out: no node is to log it out because of what was before.

        :returns: what was withdrawn; if nothing comes of the change, it holds again
        """
        withdrawn = []
        for node, doubts in self._doubts.items():
            for doubt in [doubt for doubt in doubts if _is_same(doubt, session, head)]:
                del self._doubts[node][doubt]
                withdrawn.append((node, doubt))
        for key in [key for key in self._resolving if _is_same(key[1], session, head)]:
            self._gather.cancel(self._resolving.pop(key))
            withdrawn.append(key)
        return withdrawn


def _nothing(now: float, answers: Answers) -> None:
    """What becomes of it need not be known."""


def _is_same(doubt: Doubt, session: Session, head: Any) -> bool:
    """Whether a doubt is about the agent that a request's head names, or may be."""
    if doubt.session is not session:
        return False
    return head.agent_id in (None, doubt.agent_id) or (head.place_id is not None and head.place_id == doubt.place_id)


def _aligned(agent: Agent, node: str) -> bytes:
    """The agent as it is to be at a node."""
    state = agent.state
    return encode(
        RequestAlignAgent(
            **ids(agent),
            tenant_id=agent.tenant,
            media_list=state.media,
            media_reasons=state.media_reasons,
            donot_disturb=state.donot_disturb,
            reason=state.reason,
            spoke=node in agent.former,
        )
    )
