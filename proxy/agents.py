"""Agents of the proxy's clients: every change is made on all nodes of the tenant, or on none.

    login, readiness …   the speaking node first; when it acks, the other nodes with the flag ECHO; when all ack: done
    logout               the other nodes first (ECHO), the speaking node last
    a node refuses       what was done is undone, the refusal is the answer
    a node is away       it is left out; when it is back it is brought to the agent's state (arrears)

The node that speaks for an agent is the one whose events the merged stream shows; it is chosen at login (rendezvous of
the agent over the nodes that are there) and remembered. While a change runs, another one of the same agent is refused
(2004).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from broker.errors import Code, Refusal
from broker.ids import rendezvous
from broker.messages import encode
from broker.messages.agents import (
    EventAgentConnectionClosed,
    EventCurrentAgentStatus,
    EventForcedAgentStateChange,
    RequestAgentLogout,
    not_logged_in,
)
from broker.messages.kinds import Document
from broker.wire import ECHO

from .arrears import Arrears, Doubt
from .calls import Call
from .change import Change, is_unaware, may_be_same, unsettled
from .desk import Desk
from .gather import Answers, Asker, says
from .merge import lost
from .roster import ALREADY, EFFECTS, UNSURE, Agent, Name, Roster, State, ids, names_of
from .route import Nodes, checked_tenant
from .sessions import Session

Step = Callable[[Change, float, Answers], None]
POOL = "licence-pool"
"""What the node is chosen by that speaks for all agents, where seats are the cluster's."""


class Agents:
    """All agents of the proxy's clients, and the changes under way."""

    def __init__(self, desk: Desk) -> None:
        self._settings = desk.settings
        self._gather = desk.gather
        self._calls = desk.calls
        self._links = desk.links
        self._routes = desk.routes
        self._roster = Roster()
        self._locked: set[Name] = set()
        self._running: dict[int, list[Change]] = {}
        self._configuration = desk.configuration
        self._parting: set[int] = set()
        self.arrears = Arrears(desk, self._roster, self._expel, self._is_changing)

    @property
    def _deadline(self) -> float:
        """Of what begins now without a call."""
        return float(self._gather.now + self._settings.request_timeout)

    @property
    def _ignores_place(self) -> bool:
        """Whether nodes put an agent's id for its place."""
        nodes = self._configuration.nodes.values()
        return any(node.settings.agent_login_control == "ignore" for node in nodes)

    @property
    def _pools_seats(self) -> bool:
        """Whether seats are the cluster's: then all proxies ask the same node first, which so decides who gets the last
        one. It is left last, so the others have no agent that it has not."""
        nodes = self._configuration.nodes.values()
        return any(node.settings.licence_pool == "cluster" for node in nodes)

    # -- a change begins

    def request(self, call: Call) -> None:
        """A client's change of an agent. :raises Refusal: it cannot be routed, or another change of it is under way"""
        head, session = call.head, call.session
        if self._ignores_place and head.agent_id is not None:
            head.place_id = None  # agent-login-control: nodes put the agent's id for it
        change = Change(session, call.request, head, call.payload, call.deadline)
        meant = self._roster.meant(session.client, head.agent_id, head.place_id)
        if len(meant) > 1:
            raise Refusal(
                Code.MISSING_ATTRIBUTE, "this session has several agents: say agent_id or place_id", field="agent_id"
            )
        change.agent = agent = meant[0] if meant else None
        tenants = _tenants(call, agent)
        change.names = names_of(min(tenants, default=0) if len(tenants) == 1 else 0, head.agent_id, head.place_id)
        if agent is not None:
            change.names |= agent.names
        if not change.names and change.is_login:
            raise Refusal(Code.MISSING_ATTRIBUTE, "agent_id, place_id or both", field="agent_id")
        if change.is_login and self._is_being_left(head):
            raise Refusal(Code.LOGOUT_IN_PROGRESS, f"place {head.place_id} is just being left")
        under_way = self._running.get(session.client, ())
        if not change.names.isdisjoint(self._locked) or any(may_be_same(head, other.head) for other in under_way):
            raise Refusal(Code.IN_PROGRESS, "a change of this agent is under way")
        if agent is None and call.request.once and not change.is_login and not change.is_logout:
            raise not_logged_in(head.agent_id or head.place_id)
        nodes = self._routes.serving(tenants)
        self._calls.begin(call)
        change.call = call
        self._begin(change, nodes)

    def _is_being_left(self, head: Any) -> bool:
        """Whether the place of a login is just being left by another agent."""
        place, agent = (head.tenant_id, "place", head.place_id), (head.tenant_id, "agent", head.agent_id)
        if place not in self._locked:
            return False
        leaving = (change for changes in self._running.values() for change in changes if change.is_logout)
        return any(place in change.names and agent not in change.names for change in leaving)

    def _begin(self, change: Change, nodes: Nodes) -> None:
        """Chooses who speaks, and asks: the speaking node first, at a logout the others."""
        if change.is_login or change.is_logout:
            change.doubted = self.arrears.withdraw_doubts(change.session, change.head)
        if change.agent is not None:
            self.arrears.withdraw(change.agent)
            change.before = change.agent.state
        self._locked |= change.names
        self._running.setdefault(change.session.client, []).append(change)
        ready = [node for node in nodes if self._links.is_ready(node)]
        change.speaking = self._speaking(change, nodes, ready)
        change.others = [node for node in ready if node != change.speaking and self._takes_part(change, node)]
        if change.is_logout and change.others:
            self._ask(change.others, change, self._others_left)
        else:
            self._ask([change.speaking], change, self._spoken)

    def _takes_part(self, change: Change, node: str) -> bool:
        """Whether a node makes the change with the others; one that is behind gets it in its order, later."""
        return change.is_login or change.is_logout or change.agent is None or not change.agent.is_behind(node)

    def _speaking(self, change: Change, nodes: Nodes, ready: list[str]) -> str:
        """The agent's own node while it can be expected to answer; else one that is there, rather with the agent."""
        gone = self._links.gone(self._gather.now, nodes)
        agent = change.agent
        informed = [node for node in ready if agent is not None and not agent.is_behind(node)]
        takes_part = not informed or (agent is not None and self._takes_part(change, agent.speaking))
        if agent is not None and agent.speaking not in gone and takes_part:
            return agent.speaking
        candidates = informed or ready or [node for node in nodes if node not in gone] or list(nodes)
        return self._elected(change.names, candidates)

    def _elected(self, names: frozenset[Name], candidates: Sequence[str]) -> str:
        """Which of the nodes speaks for an agent."""
        key = POOL if self._pools_seats else repr(min(names, default=""))
        return rendezvous(key, list(self._routes.grown(tuple(candidates))))[0]

    def _ask(self, nodes: Sequence[str], change: Change, done: Step) -> None:
        """Asks nodes for a step of a change: the speaking node, or others, whose events are echoes."""
        flags = 0 if change.speaking in nodes else ECHO
        asker = Asker(change.session.client, flags, says=says(change.request))
        self._gather.ask(nodes, change.payload, change.deadline, partial(done, change), asker)

    # -- a change goes on

    def _spoken(self, change: Change, now: float, answers: Answers) -> None:
        """The speaking node has answered, or not."""
        reply = answers[change.speaking]
        if reply is None or reply.code in UNSURE:
            self._unsure(change, [change.speaking])
            self._logged_out(change)
            self._finish(change, lost(change.request, [change.speaking]) if reply is None else reply.payload)
        elif reply.code:
            if reply.code == Code.NOT_LOGGED_IN:
                self._not_logged_in(change)
            self._finish(change, reply.payload)
        elif change.others and not change.is_logout:
            self._ask(change.others, change, partial(self._echoed, reply.payload))
        else:
            self._agreed(change, [change.speaking])
            self._finish(change, reply.payload)

    def _not_logged_in(self, change: Change) -> None:
        """The speaking node does not have the agent."""
        if change.is_logout:
            change.left.add(change.speaking)
            self._logged_out(change)
        elif change.agent is not None:
            change.agent.doubt([change.speaking])

    def _echoed(self, ack: bytes, change: Change, now: float, answers: Answers) -> None:
        """The other nodes have answered, or not: all agree, or all goes back."""
        already = ALREADY.get(change.request, Code.SAME_STATE)
        agreed = [node for node, reply in answers.items() if reply is not None and reply.code in (0, already)]
        behind = [node for node, reply in answers.items() if reply is None or is_unaware(change, reply.code)]
        refusals = [reply.payload for node, reply in answers.items() if reply and node not in (*agreed, *behind)]
        if refusals:
            if change.is_login:
                self._roster.discard(change.agent)
            self._unsure(change, unsettled(answers))
            self._undo(change, agreed, refusals[0])
            return
        if change.agent is not None:
            change.agent.doubt(behind)
        self._agreed(change, [change.speaking, *agreed])
        self._finish(change, ack)

    def _undo(self, change: Change, done: list[str], refusal: bytes) -> None:
        """A node has refused. A login is taken back, the speaking node, whose events are seen, comes last; of another
        change the state before is what all nodes are brought back to."""
        if change.is_login:
            self._roster.discard(change.agent)
            change.payload = encode(RequestAgentLogout(**ids(change.head)))
            if done:
                self._ask(done, change, partial(self._undo_last, refusal))
            else:
                self._undo_last(refusal, change, self._gather.now, {})
            return
        if change.agent is not None and change.before is not None:
            self._hear_told(change, change.agent, [change.speaking, *done])
            change.agent.state = change.before
        self._finish(change, refusal)

    def _undo_last(self, refusal: bytes, change: Change, now: float, answers: Answers) -> None:
        self._unsure(change, unsettled(answers))
        self._ask([change.speaking], change, partial(self._undone, refusal))

    def _undone(self, refusal: bytes, change: Change, now: float, answers: Answers) -> None:
        self._unsure(change, unsettled(answers))
        self._finish(change, refusal)

    def _others_left(self, change: Change, now: float, answers: Answers) -> None:
        """All but the speaking node have logged the agent out, if they could."""
        unsure = unsettled(answers)
        self._unsure(change, unsure)
        change.left.update(node for node in answers if node not in unsure)
        self._ask([change.speaking], change, self._spoken)

    def _unsure(self, change: Change, nodes: list[str]) -> None:
        """These nodes may have made the change, or may not have taken it back: they are brought to what is the case."""
        who = change.agent or change.head
        is_in = change.agent is not None and change.agent in self._roster  # and stays so, if it only logs in again
        if change.is_logout or (change.is_login and not is_in):
            self.arrears.doubt(Doubt(change.session, who.agent_id, who.place_id), nodes, change.speaking)
        elif change.agent is not None:
            change.agent.doubt(nodes)

    def _agreed(self, change: Change, done: list[str]) -> None:
        """All nodes that are there have made the change: it is noted."""
        if change.is_logout:
            change.left.update(done)
            self._logged_out(change)
            return
        if change.agent is None and change.is_login:
            change.agent = Agent(change.session, change.head, change.speaking)
            self._roster.add(change.agent)
        agent, effect = change.agent, EFFECTS.get(change.request)
        if agent is None:
            return
        agent.spoken_by(change.speaking)
        if effect is not None:
            agent.state = effect(agent.state, change.head)
        if effect is not None or change.is_login:
            self._hear_told(change, agent, done)
        if agent.speaking not in self._routes.nodes:
            self._hand_over(agent)

    def _hear_told(self, change: Change, agent: Agent, done: list[str]) -> None:
        """What nodes have said of the agent since a change of it began; of one that has not it is not known."""
        agent.doubt(done)
        for node, state in change.told.items():
            agent.hear(node, state)

    def _logged_out(self, change: Change) -> None:
        """The agent is logged in nowhere any more, but perhaps at nodes that have not logged it out: these are told."""
        if change.is_logout and change.agent is not None:
            nodes = self.arrears.may_have(change.agent)
            self._unsure(change, [node for node in nodes if node not in change.left])
            self._roster.discard(change.agent)

    def _finish(self, change: Change, answer: bytes | Refusal) -> None:
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
        for note in change.notes:
            self._calls.tell(change.session, note)
        if change.agent is None or change.agent not in self._roster:
            for node, doubt in change.doubted:
                if node not in change.left:
                    self.arrears.doubt(doubt, [node], change.speaking)
        if change.session.ended:
            self.end(change.session)
        elif change.agent is not None and change.agent in self._roster:
            self.arrears.catch_up(change.agent)

    def meant(self, client: int, agent_id: str | None, place_id: str | None) -> list[Agent]:
        """A client's agents that ids of a request mean."""
        return self._roster.meant(client, agent_id, place_id)

    def is_busy(self, client: int) -> bool:
        """Whether changes of a client's agents, or their end, are under way."""
        return client in self._running or client in self._parting

    # -- the end of a session

    def end(self, session: Session) -> None:
        """A client's session has ended. The nodes that know it are told, those that speak for its agents last: each
        logs out the agents that have no other connection or, where the client has vanished, waits for it."""
        client = session.client
        if client in self._running or client in self._parting:
            return
        speaking = {agent.speaking for agent in self._roster.of(client)}
        for agent in self._roster.of(client):
            self._roster.discard(agent)
        others = [node for node in self._links.knowing(client) if node not in speaking]
        if speaking and others:
            self._parting.add(client)
            done = partial(self._others_ended, session)
            self._gather.ask(others, session.farewell.payload, self._deadline, done, Asker(client))
        else:
            self._links.farewell(client, session.farewell)

    def _others_ended(self, session: Session, now: float, answers: Answers) -> None:
        self._parting.discard(session.client)
        for node, reply in answers.items():
            if reply is not None and not reply.code:
                self._links.forget(node, session.client, reply.number)
        self._links.farewell(session.client, session.farewell)

    def _log_out(self, agent: Agent) -> None:
        """Logs an agent out everywhere, unasked."""
        payload = encode(RequestAgentLogout(**ids(agent)))
        change = Change(agent.session, RequestAgentLogout, agent, payload, self._deadline)
        change.agent = agent
        change.names = agent.names
        nodes = self._routes.nodes_of(agent.tenant)
        if nodes:
            self._begin(change, nodes)
        else:
            self._roster.discard(agent)

    def _is_changing(self, agent: Agent) -> bool:
        """Whether a change of an agent is under way."""
        return not agent.names.isdisjoint(self._locked)

    def _expel(self, agent: Agent, node: str, code: int) -> None:
        """A node that was away refuses the agent's login: the agent is to be nowhere."""
        why = f"{node} refuses the login: {_TEXTS.get(code, code)}"
        self._calls.tell(agent.session, encode(EventAgentConnectionClosed(**ids(agent), reason=why)))
        self._log_out(agent)

    # -- nodes that go

    def leave(self, node: str) -> None:
        """A node will be none of ours any more: others speak for the agents that it has spoken for."""
        for agent in list(self._roster):
            if agent.speaking == node:
                self._hand_over(agent, is_idle=not self._is_changing(agent))

    def _hand_over(self, agent: Agent, *, is_idle: bool = True) -> None:
        """Another node speaks for an agent, and the one that did is told that it does no more. Where there is no other
        one, the agent is logged in nowhere from now on.

        :param is_idle: no change of it is under way, which could be a logout
        """
        nodes = self._routes.nodes_of(agent.tenant)
        if not nodes:
            why = f"no node serves tenant {agent.tenant} any more"
            self._calls.tell(agent.session, encode(EventAgentConnectionClosed(**ids(agent), reason=why)))
            self._roster.discard(agent)
            return
        ready = [node for node in nodes if self._links.is_ready(node)]
        informed = [node for node in ready if not agent.is_behind(node)]
        before, agent.speaking = agent.speaking, self._elected(agent.names, informed or ready or nodes)
        if is_idle:
            self.arrears.hush(agent, before)
        agent.doubt([before, agent.speaking])  # so they are told, the one now, the other if it stays
        self.arrears.catch_up(agent)

    def part(self, node: str, told: bool) -> None:
        """A node is none of ours any more. :param told: it knows that all our clients have gone"""
        for agent in self._roster:
            agent.doubt([node])
            agent.former.discard(node)
            agent.catching_up.pop(node, None)
            agent.seatless.pop(node, None)
        if told:
            self.arrears.forget(node)

    # -- notifications

    def hear(self, node: str, client: int, payload: bytes) -> None:
        """A node tells a client something. What it says of the state of an agent is noted."""
        if not payload.startswith(_STATUS):
            return
        note = _read(payload)
        if note is None:
            return
        change, agent = self._about(client, note)
        if change is not None:
            change.told[node] = note.state
        elif agent is not None:
            agent.hear(node, note.state)
            self.arrears.heard(agent)

    def lets_pass(self, session: Session, node: str, payload: bytes) -> bool:
        """Whether a client shall see a notification now: every node sends those about agents, one of them is enough.
        What comes of a change that is under way comes after its answer."""
        kind = next((kind for kind in (_STATUS, _CLOSED, _FORCED) if payload.startswith(kind)), None)
        if kind is None:
            leaving = next((change for change in self._running.get(session.client, ()) if change.is_logout), None)
            if leaving is not None:
                leaving.notes.append(payload)
            return leaving is None
        note = _read(payload)
        if note is None:
            return False
        change, agent = self._about(session.client, note)
        if kind is _FORCED:
            return self._hear_forced(agent, node, note)
        if change is not None:
            if change.speaking == node:
                change.notes.append(payload)
            return False
        if agent is not None and kind is _CLOSED:
            self._hear_closed(agent, node)
            return True
        return agent is not None and agent.speaking == node

    def _about(self, client: int, note: _Note) -> tuple[Change | None, Agent | None]:
        """The change under way that a notification is about, and the agent."""
        change = next((change for change in self._running.get(client, ()) if _is_about(note, change.head)), None)
        return change, next((agent for agent in self._roster.of(client) if _is_about(note, agent)), None)

    def _hear_closed(self, agent: Agent, node: str) -> None:
        """The agent is not this client's any more; nodes that have not heard of that yet are told."""
        self._roster.discard(agent)
        self.arrears.withdraw(agent)
        doubt = Doubt(agent.session, agent.agent_id, agent.place_id)
        self.arrears.doubt(doubt, [other for other in self.arrears.may_have(agent) if other != node], agent.speaking)

    def _hear_forced(self, agent: Agent | None, node: str, note: _Note) -> bool:
        """A node has changed an agent by itself: that is its state now, at all nodes. The client always hears of it."""
        if agent is not None:
            forced = agent.state._replace(media=note.media_state_list, media_reasons=note.media_reasons)
            agent.said[node] = agent.state = forced
            self.arrears.heard(agent)
        return True


class _Note(msgspec.Struct):
    agent_id: str | None = None
    place_id: str | None = None
    media_state_list: dict[str, int] = {}
    media_reasons: dict[str, Raw] = {}
    donot_disturb: bool = False
    state_reason: Document = UNSET

    @property
    def state(self) -> State:
        """What it says that the agent is."""
        return State(self.media_state_list, self.donot_disturb, self.media_reasons, self.state_reason)


_decode = msgspec.json.Decoder(_Note).decode


def _read(payload: bytes) -> _Note | None:
    """What a node says about an agent; None when it cannot be read."""
    try:
        return _decode(payload)
    except (ValueError, RecursionError):
        return None


_STATUS, _CLOSED, _FORCED = (
    b'{"message":"%b"' % note.__name__.encode()
    for note in (EventCurrentAgentStatus, EventAgentConnectionClosed, EventForcedAgentStateChange)
)
"""How notifications about agents begin: the name comes first in all that nodes say."""


_TEXTS = {int(code): code.text for code in Code}


def _is_about(note: _Note, who: Any) -> bool:
    """Whether a notification is about these ids; it may say more than they do."""
    return who.agent_id in (None, note.agent_id) and who.place_id in (None, note.place_id)


def _tenants(call: Call, agent: Agent | None) -> frozenset[int]:
    """Whose nodes are asked: the tenant that is named, the agent's, or all of the session's."""
    tenant = getattr(call.head, "tenant_id", None)
    if tenant is not None:
        return checked_tenant(tenant, call.session.tenants)
    return call.session.tenants if agent is None else frozenset({agent.tenant})
