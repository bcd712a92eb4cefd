"""What nodes that were away, or could not say, still have to be told of agents.

    behind      an agent that a node does not have, or changes that it missed: first the login, then change by change
    doubtful    an agent that a node may have though it is logged in nowhere (any more): a logout

A node gets it when it is back, one request after the other; what it cannot do now is tried again after RETRY_S. What a
node has already it refuses, and nothing happens. A login that it refuses for good ends the agent's session everywhere.
What is under way when the agent logs in or out is withdrawn: sent again later, it would undo what came after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from broker.errors import Code
from broker.messages import encode
from broker.messages.agents import RequestAgentLogin, RequestAgentLogout, RequestDoNotDisturbOn
from broker.wire import ECHO

from .desk import Desk
from .gather import Answers, Asker
from .roster import UNSURE, Agent, Roster, ids
from .sessions import Session

RETRY_S = 1.0
MAX_DOUBTFUL = 10_000
"""Doubtful agents per node; of more the oldest are forgotten."""


class Step(NamedTuple):
    """What a node that is behind is told next: the login, or the first of the changes that it missed."""

    payload: bytes
    is_login: bool


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
                agent.nodes.discard(node)
            self._catch_up(agent, node)

    def nodes_of(self, agent: Agent) -> tuple[str, ...]:
        """The nodes that an agent is to be logged in at."""
        return self._routes.serving(frozenset({agent.tenant}))

    def tick(self, now: float) -> None:
        """Tries again what could not be done."""
        if now < self.wake_at:
            return
        self.wake_at = float("inf")
        for node in list(self._doubts):
            self._resolve(node)
        for agent in list(self._roster):
            self.catch_up(agent)

    def _later(self) -> None:
        self.wake_at = min(self.wake_at, self._gather.now + RETRY_S)

    # -- behind

    def catch_up(self, agent: Agent) -> None:
        """Brings all nodes that are there to the agent's state."""
        for node in self.nodes_of(agent):
            self._catch_up(agent, node)

    def _catch_up(self, agent: Agent, node: str) -> None:
        """The next step of one node."""
        if node in agent.catching_up or not self._links.is_ready(node) or not agent.is_behind(node):
            return
        if self._is_changing(agent):
            return
        step = Step(_login(agent), True) if node not in agent.nodes else Step(agent.missed[node][0], False)
        asker = Asker(agent.session.client, 0 if node == agent.speaking else ECHO)
        done = partial(self._caught_up, agent, node, step)
        deadline = self._gather.now + self._settings.request_timeout
        agent.catching_up[node] = self._gather.ask([node], step.payload, deadline, done, asker)

    def _caught_up(self, agent: Agent, node: str, step: Step, now: float, answers: Answers) -> None:
        """A node has done the step, or refuses it, or could not say."""
        reply = answers[node]
        if agent.catching_up.pop(node, None) is None or agent not in self._roster:
            return
        if reply is None or reply.code in UNSURE:
            self._later()
        elif step.is_login and reply.code:
            if not self._is_changing(agent):
                self._expel(agent, node, reply.code)
        else:
            self._note(agent, node, step, reply.code)
            self._catch_up(agent, node)

    def _note(self, agent: Agent, node: str, step: Step, code: int) -> None:
        """A step is done at a node."""
        missed = agent.missed.setdefault(node, [])
        if step.is_login:
            agent.nodes.add(node)
            if agent.donot_disturb:
                missed.insert(0, encode(RequestDoNotDisturbOn(**ids(agent))))
        elif code == Code.NOT_LOGGED_IN:
            agent.nodes.discard(node)
        elif missed and missed[0] is step.payload:
            del missed[0]

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
        """Tells a node that is there to log out whom it may have.

        Not while the client is silent: its agent may be logged in through another proxy by now, and the end of the
        session, which settles the doubt as well, leaves agents that have another connection.
        """
        if not self._links.is_ready(node):
            return
        for doubt, flags in self._doubts.pop(node, {}).items():
            if doubt.session.ended:
                continue
            if self._gather.now - doubt.session.heard > self._keepalive_s:
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

    # -- what a login or logout makes void

    def withdraw(self, session: Session, agent: Agent | None, head: Any) -> None:
        """An agent is about to be logged in or out: what nodes were to be told before that is void."""
        for node, doubts in self._doubts.items():
            for doubt in [doubt for doubt in doubts if _is_same(doubt, session, head)]:
                del self._doubts[node][doubt]
        for key in [key for key in self._resolving if _is_same(key[1], session, head)]:
            self._gather.cancel(self._resolving.pop(key))
        for number in agent.catching_up.values() if agent is not None else ():
            self._gather.cancel(number)
        if agent is not None:
            agent.catching_up.clear()


def _is_same(doubt: Doubt, session: Session, head: Any) -> bool:
    """Whether a doubt is about the agent that a request's head names, or may be."""
    if doubt.session is not session:
        return False
    return head.agent_id in (None, doubt.agent_id) or (head.place_id is not None and head.place_id == doubt.place_id)


def _login(agent: Agent) -> bytes:
    """The agent as it is now, for a node that does not have it."""
    return encode(RequestAgentLogin(**ids(agent), tenant_id=agent.tenant, media_list=agent.media))
