"""Agents of the proxy's clients: every change is made on all nodes of the tenant, or on none.

    login, readiness …   the speaking node first; when it acks, the other nodes with the flag ECHO; when all ack: done
    logout               the other nodes first (ECHO), the speaking node last
    a node refuses       what was done is undone, the refusal is the answer
    a node is away       it is left out; when it is back it gets the login, or the changes that it missed

The node that speaks for an agent is the one whose events the merged stream shows; it is chosen at login (rendezvous of
the agent over the nodes that are there) and remembered. While a change runs, another one of the same agent is refused
(2004).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from broker.errors import Code, Refusal
from broker.ids import rendezvous
from broker.messages import encode
from broker.messages.agents import (
    EventAgentConnectionClosed,
    EventCurrentAgentStatus,
    RequestAgentLogin,
    RequestAgentLogout,
    RequestDoNotDisturbOn,
)
from broker.messages.kinds import Request
from broker.wire import ECHO

from .calls import Call
from .desk import Desk
from .gather import Answers, Asker
from .merge import lost
from .roster import ALREADY, DEFINITE, EFFECTS, UNDO, Agent, Name, Roster, ids, names_of
from .route import Nodes, checked_tenant
from .sessions import Session

MAX_DOUBTFUL = 10_000
"""Logins of which it is not known whether a node executed them, per node; of more the oldest are forgotten."""


class _Change:
    """One change of one agent under way.

    :param call: who is answered; None when the proxy itself logs the agent out
    :param names: what it keeps other changes away from
    :param speaking: the node that speaks for the agent; :param others: the other nodes that are there
    """

    __slots__ = ("agent", "call", "deadline", "head", "names", "others", "payload", "request", "session", "speaking")

    def __init__(self, session: Session, request: type[Request], head: Any, payload: bytes, deadline: float) -> None:
        self.session = session
        self.request = request
        self.head = head
        self.payload = payload
        self.deadline = deadline
        self.call: Call | None = None
        self.agent: Agent | None = None
        self.names: frozenset[Name] = frozenset()
        self.speaking = ""
        self.others: list[str] = []

    @property
    def is_logout(self) -> bool:
        """Whether the other nodes come first."""
        return self.request is RequestAgentLogout

    @property
    def is_login(self) -> bool:
        """Whether it brings the agent to nodes that do not have it."""
        return self.request is RequestAgentLogin


Step = Callable[[_Change, float, Answers], None]


class Agents:
    """All agents of the proxy's clients, and the changes under way."""

    def __init__(self, desk: Desk) -> None:
        self._timeout = desk.settings.request_timeout
        self._gather = desk.gather
        self._calls = desk.calls
        self._links = desk.links
        self._routes = desk.routes
        self._roster = Roster()
        self._locked: set[Name] = set()
        self._running: dict[int, list[_Change]] = {}
        self._doubtful: dict[str, dict[tuple[int, str | None, str | None], bytes]] = {}

    # -- a change begins

    def request(self, call: Call) -> None:
        """A client's change of an agent. :raises Refusal: it cannot be routed, or another change of it is under way"""
        head, session = call.head, call.session
        change = _Change(session, call.request, head, call.payload, call.deadline)
        meant = self._roster.meant(session.client, head.agent_id, head.place_id)
        if len(meant) > 1:
            raise Refusal(Code.MISSING_ATTRIBUTE, "this session has several agents", field="agent_id")
        change.agent = agent = meant[0] if meant else None
        tenants = _tenants(call, agent)
        change.names = names_of(min(tenants, default=0) if len(tenants) == 1 else 0, head.agent_id, head.place_id)
        if agent is not None:
            change.names |= agent.names
        if not change.names and change.is_login:
            raise Refusal(Code.MISSING_ATTRIBUTE, "agent_id, place_id or both", field="agent_id")
        if not change.names.isdisjoint(self._locked):
            raise Refusal(Code.IN_PROGRESS, "a change of this agent is under way")
        nodes = self._routes.serving(tenants)
        self._calls.begin(call)
        change.call = call
        self._begin(change, nodes)

    def _begin(self, change: _Change, nodes: Nodes) -> None:
        """Chooses who speaks, and asks: the speaking node first, at a logout the others."""
        self._locked |= change.names
        self._running.setdefault(change.session.client, []).append(change)
        ready = [node for node in nodes if self._links.is_ready(node)]
        change.speaking = self._speaking(change, nodes, ready)
        change.others = [node for node in ready if node != change.speaking]
        if change.is_logout and change.others:
            self._ask(change.others, change, self._others_left)
        else:
            self._ask([change.speaking], change, self._spoken)

    def _speaking(self, change: _Change, nodes: Nodes, ready: list[str]) -> str:
        """The agent's own node while it can be expected to answer; else one that is there, rather with the agent."""
        gone = self._links.gone(self._gather.now, nodes)
        agent = change.agent
        if agent is not None and agent.speaking not in gone:
            return agent.speaking
        informed = [node for node in ready if agent is not None and node in agent.nodes]
        candidates = informed or ready or [node for node in nodes if node not in gone] or list(nodes)
        return rendezvous(repr(min(change.names, default="")), candidates)[0]

    def _ask(self, nodes: Sequence[str], change: _Change, done: Step) -> None:
        """Asks nodes for a step of a change: the speaking node, or others, whose events are echoes."""
        asker = Asker(change.session.client, 0 if change.speaking in nodes else ECHO)
        self._gather.ask(nodes, change.payload, change.deadline, partial(done, change), asker)

    # -- a change goes on

    def _spoken(self, change: _Change, now: float, answers: Answers) -> None:
        """The speaking node has answered, or not."""
        reply = answers[change.speaking]
        if reply is None:
            self._doubt(change, [change.speaking])
            self._finish(change, lost(change.request, [change.speaking]))
        elif reply.code:
            if change.is_logout and reply.code == Code.NOT_LOGGED_IN:
                self._roster.discard(change.agent)
            self._finish(change, reply.payload)
        elif change.others and not change.is_logout:
            self._ask(change.others, change, partial(self._echoed, reply.payload))
        else:
            self._agreed(change, [change.speaking])
            self._finish(change, reply.payload)

    def _echoed(self, ack: bytes, change: _Change, now: float, answers: Answers) -> None:
        """The other nodes have answered, or not: all agree, or all goes back."""
        already = ALREADY.get(change.request, Code.SAME_STATE)
        agreed = [node for node, reply in answers.items() if reply is not None and reply.code in (0, already)]
        unaware = [node for node, reply in answers.items() if reply is not None and _is_unaware(change, reply.code)]
        silent = [node for node, reply in answers.items() if reply is None]
        refused = [node for node in answers if node not in (*agreed, *unaware, *silent)]
        if refused:
            reply = answers[refused[0]]
            assert reply is not None
            self._doubt(change, silent)
            self._undo(change, agreed, reply.payload)
            return
        if change.agent is not None:
            change.agent.nodes.difference_update(unaware)
        self._agreed(change, [change.speaking, *agreed])
        for node in (*unaware, *silent):
            self._miss(change, node)
        self._finish(change, ack)

    def _undo(self, change: _Change, done: list[str], refusal: bytes) -> None:
        """A node has refused: takes back what others did; the speaking node, whose events are seen, comes last."""
        undo = UNDO.get(change.request)
        if undo is None:
            self._finish(change, refusal)
            return
        change.payload = encode(undo(change.head, change.agent))
        if done:
            self._ask(done, change, partial(self._undo_last, refusal))
        else:
            self._undo_last(refusal, change, self._gather.now, {})

    def _undo_last(self, refusal: bytes, change: _Change, now: float, answers: Answers) -> None:
        self._doubt(change, [node for node, reply in answers.items() if reply is None])
        self._ask([change.speaking], change, partial(self._undone, refusal))

    def _undone(self, refusal: bytes, change: _Change, now: float, answers: Answers) -> None:
        self._doubt(change, [node for node, reply in answers.items() if reply is None])
        self._finish(change, refusal)

    def _others_left(self, change: _Change, now: float, answers: Answers) -> None:
        """All but the speaking node have logged the agent out; one that has not answered is told when it is back."""
        self._doubt(change, [node for node, reply in answers.items() if reply is None])
        if change.agent is not None:
            change.agent.nodes.difference_update(answers)
        self._ask([change.speaking], change, self._spoken)

    def _agreed(self, change: _Change, done: list[str]) -> None:
        """All nodes that are there have made the change: it is noted."""
        if change.is_logout:
            self._roster.discard(change.agent)
            return
        if change.agent is None and change.is_login:
            change.agent = Agent(change.session, change.head, change.speaking)
            self._roster.add(change.agent)
        agent = change.agent
        if agent is None:
            return
        agent.speaking = change.speaking
        effect = EFFECTS.get(change.request)
        if effect is not None:
            effect(agent, change.head)
        if change.is_login:
            agent.nodes.update(done)
        for node in agent.nodes.difference(done, change.others):
            self._miss(change, node)

    def _miss(self, change: _Change, node: str) -> None:
        """A node has not got the change: it gets it later (:meth:`_catch_up`), or the whole login."""
        agent = change.agent
        if agent is None:
            return
        if change.is_login:
            agent.nodes.discard(node)
        elif node in agent.nodes:
            agent.miss(node, change.payload)

    def _finish(self, change: _Change, answer: bytes | Refusal) -> None:
        """The end of a change, and of the waiting of what comes after it."""
        self._locked -= change.names
        running = self._running[change.session.client]
        running.remove(change)
        if not running:
            del self._running[change.session.client]
        if change.call is None:
            self._roster.discard(change.agent)
        elif isinstance(answer, Refusal):
            self._calls.refuse(change.call, answer)
        else:
            self._calls.answer(change.call, answer)
        if change.agent is not None and change.agent in self._roster.of(change.session.client):
            for node in self._routes.serving(frozenset({change.agent.tenant})):
                self._catch_up(change.agent, node)
        if change.session.ended:
            self.end(change.session)

    def is_busy(self, client: int) -> bool:
        """Whether changes of a client's agents are under way."""
        return client in self._running

    # -- the end of a session

    def end(self, session: Session) -> None:
        """A client's session has ended: its agents are logged out, then the nodes are told."""
        for agent in self._roster.of(session.client):
            if agent.names.isdisjoint(self._locked):
                self._log_out(agent)
        if session.client not in self._running:
            self._links.farewell(session.client, session.introduction)

    def _log_out(self, agent: Agent) -> None:
        """Logs an agent out everywhere, unasked."""
        payload = encode(RequestAgentLogout(**ids(agent)))
        change = _Change(agent.session, RequestAgentLogout, agent, payload, self._gather.now + self._timeout)
        change.agent = agent
        change.names = agent.names
        self._begin(change, self._routes.serving(frozenset({agent.tenant})))

    # -- nodes that were away

    def _doubt(self, change: _Change, nodes: list[str]) -> None:
        """A login may have been executed, or a logout not: these nodes are told to log out when they are back."""
        if not change.is_login and not change.is_logout:
            return
        head = change.head
        for node in nodes:
            doubtful = self._doubtful.setdefault(node, {})
            doubtful[change.session.client, head.agent_id, head.place_id] = encode(RequestAgentLogout(**ids(head)))
            if len(doubtful) > MAX_DOUBTFUL:
                del doubtful[next(iter(doubtful))]

    def ready(self, node: str, forgot: bool, is_open: Callable[[int], bool]) -> None:
        """A node is back: it gets what it missed.

        :param forgot: it may have ended the sessions, and with them the agents, that it had
        :param is_open: whether a client's session goes on
        """
        serving = [agent for agent in self._roster if node in self._routes.serving(frozenset({agent.tenant}))]
        self._links.introduce(node, dict.fromkeys(agent.session.client for agent in serving))
        for (client, agent_id, place_id), logout in self._doubtful.pop(node, {}).items():
            if is_open(client) and not self._roster.meant(client, agent_id, place_id):
                self._tell(node, logout, Asker(client, ECHO))
        for agent in serving:
            if forgot:
                agent.nodes.discard(node)
            self._catch_up(agent, node)

    def _catch_up(self, agent: Agent, node: str) -> None:
        """Brings a node that is there to the agent's state. What it has already it refuses, and nothing happens."""
        behind = node not in agent.nodes or agent.missed.get(node)
        if not behind or node in agent.catching_up or not self._links.is_ready(node):
            return
        asker = Asker(agent.session.client, 0 if node == agent.speaking else ECHO)
        missed = agent.missed.pop(node, [])
        if node not in agent.nodes:
            login = RequestAgentLogin(**ids(agent), tenant_id=agent.tenant, media_list=agent.media)
            deadline = self._gather.now + self._timeout
            self._gather.ask([node], encode(login), deadline, partial(self._caught_up, agent, node), asker)
            agent.catching_up.add(node)
            if agent.donot_disturb:
                self._tell(node, encode(RequestDoNotDisturbOn(**ids(agent))), asker)
        for payload in missed:
            self._tell(node, payload, asker)

    def _tell(self, node: str, payload: bytes, asker: Asker) -> None:
        """A request whose answer changes nothing."""
        self._gather.ask([node], payload, self._gather.now + self._timeout, _nothing, asker)

    def _caught_up(self, agent: Agent, node: str, now: float, answers: Answers) -> None:
        """A node that was away has the agent now; or it refuses, and then the agent is to be nowhere."""
        agent.catching_up.discard(node)
        reply = answers[node]
        if reply is None or agent not in self._roster.of(agent.session.client):
            return
        if not reply.code:
            agent.nodes.add(node)
            self._catch_up(agent, node)
        elif reply.code in DEFINITE and agent.names.isdisjoint(self._locked):
            why = f"{node} refuses the login: {DEFINITE[reply.code].text}"
            self._calls.tell(agent.session, encode(EventAgentConnectionClosed(**ids(agent), reason=why)))
            self._log_out(agent)

    # -- notifications

    def lets_pass(self, session: Session, node: str, payload: bytes) -> bool:
        """Whether a client shall see a notification: every node sends those about agents, one of them is enough."""
        if not payload.startswith(_ABOUT_AGENTS):
            return True
        try:
            note = _read_note(payload)
        except (ValueError, RecursionError):
            return False
        for change in self._running.get(session.client, ()):
            if _is_about(note, change.head):
                return change.speaking == node
        agent = next((agent for agent in self._roster.of(session.client) if _is_about(note, agent)), None)
        if agent is not None and payload.startswith(_CLOSED):
            self._roster.discard(agent)
            return True
        return agent is not None and agent.speaking == node


class _Note(msgspec.Struct):
    agent_id: str | None = None
    place_id: str | None = None


_read_note = msgspec.json.Decoder(_Note).decode

_CLOSED = b'{"message":"%b"' % EventAgentConnectionClosed.__name__.encode()
_ABOUT_AGENTS = (_CLOSED, b'{"message":"%b"' % EventCurrentAgentStatus.__name__.encode())
"""How notifications about agents begin: the name comes first in all that nodes say."""


def _is_about(note: _Note, who: Any) -> bool:
    """Whether a notification is about these ids; it may say more than they do."""
    return who.agent_id in (None, note.agent_id) and who.place_id in (None, note.place_id)


def _tenants(call: Call, agent: Agent | None) -> frozenset[int]:
    """Whose nodes are asked: the tenant that is named, the agent's, or all of the session's."""
    tenant = getattr(call.head, "tenant_id", None)
    if tenant is not None:
        return checked_tenant(tenant, call.session.tenants)
    return call.session.tenants if agent is None else frozenset({agent.tenant})


def _is_unaware(change: _Change, code: int) -> bool:
    """Whether a node does not know the agent that the speaking node knows: it missed the login."""
    return code == Code.NOT_LOGGED_IN and not change.is_login and not change.is_logout


def _nothing(now: float, answers: Answers) -> None:
    """The answer changes nothing."""
