"""A plain model of an Interaction Server: no indexes, no journal, no batches; what is to be known is looked for.

It is told each request together with the reply that the node gave, and says what is wrong with it. Names that only the
node can make (ids, tokens, tickets) it takes from the reply and from what clients are told.
"""

from __future__ import annotations

from itertools import count

from broker.errors import Code
from broker.rates import Pace
from tests.model.things import (
    HANDLING,
    QUEUED,
    ROUTING,
    Agent,
    Bin,
    Client,
    Document,
    Holding,
    Invitation,
    Item,
    Kept,
    Load,
    Pull,
    Reservation,
    Server,
    Service,
    Snapshot,
    Topic,
    Watched,
    Wish,
)
from tests.model.world import BACKING, COMPLETED, DISABLED, GROUPS, OWNERS, WORLD

RETURN_S = 2.0
"""So long at least invitations stand after a failure."""


class Wrong(AssertionError):
    """The node did something that the model does not allow."""


class Plain:
    """The model.

    :param late: replies that are due now to requests asked before: ref -> what the reply has at least
    :param orphans: what engines that go held, with the tokens: others get it, or it goes back
    :param unserved: requests that ESP servers which go had: others get them, or they have failed; each with the server,
        and whether that one may have got it
    :param heads: what the proxy was told last of the views that it watches
    """

    def __init__(self, now: float) -> None:
        self.now = self.active_since = now
        self.clients: dict[str, Client] = {}
        self.agents: dict[str, Agent] = {}
        self.items: dict[str, Item] = {}
        self.invitations: dict[int, Invitation] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.world = WORLD
        self.ordered: dict[str, bool] = {}
        """Queues that operators have paused (True) or resumed, other than the configuration has it."""
        self.drained = False
        self.told: set[tuple[str, Bin]] = set()
        self.topics: set[Topic] = set()
        self.pulls: list[Pull] = []
        self.heads: dict[str, Watched] = {}
        self.loads: dict[tuple[str, str], Load] = {}
        self.paces: dict[tuple[str, str | None], Pace] = {}
        """Of engines' sessions, and of configured strategies at these."""
        self.orphans: list[tuple[str, int]] = []
        self.servers: dict[str, Server] = {}
        self.services: dict[str, Service] = {}
        self.freed: list[str] = []
        """Agents whose reservation has ended with its engine."""
        self.unserved: list[tuple[str, str, bool]] = []
        self.agent_loads: dict[str, Document] = {}
        """What the proxy was told last of agents, by their keys."""
        self.reserved: dict[str, Reservation] = {}
        self.wishes: dict[str, list[Wish]] = {}
        self.decisions: dict[str, float] = {}
        """Reservations, requests for them, and when the first of these are decided on; by agents' keys."""
        self.late: dict[int, Document] = {}
        self.said: list[Document] = []
        """All reporting events."""
        self.kept: list[Kept] = []
        self.logins = 0
        self._versions = count(1)

    # -- finding things

    def at(self, source: tuple[bytes, int]) -> Client | None:
        """Who is there."""
        return next((client for client in self.clients.values() if client.source == source), None)

    def of_session(self, session: str) -> Client | None:
        """Whose session it is, if it is here."""
        return next((one for one in self.clients.values() if one.session == session and one.here), None)

    def agent_of(self, client: Client) -> Agent | None:
        """The agent that a client acts for."""
        return next((agent for agent in self.agents.values() if client.name in agent.clients), None)

    def is_paused(self, queue: str) -> bool:
        """Whether a queue gives nothing for now."""
        return self.ordered.get(queue, queue in self.world.paused)

    def waiting(self, view: str, *, ignore_hold: bool = False) -> list[Item]:
        """What a pull may take, in the view's order."""
        queue = self.world.views[view].queue
        if self.is_paused(queue) or queue in DISABLED:
            return []
        return [item for item in self.shown(view) if ignore_hold or not item.held]

    def shown(self, view: str) -> list[Item]:
        """What stands in a view, held or not."""
        known = self.world.views[view]
        there = [item for item in self.items.values() if item.queue == known.queue and item.waits(self.now)]
        if known.least is not None:
            there = [item for item in there if item.priority >= known.least]
        return sorted(there, key=known.place)

    def in_bin(self, workbin: Bin) -> list[Item]:
        """What is in a workbin."""
        return [item for item in self.items.values() if item.workbin == workbin and item.state == QUEUED]

    def uses(self, agent: Agent, workbin: Bin) -> bool:
        """Whether an agent may see a workbin."""
        kind, owner = workbin
        if OWNERS[kind] == "agent_group":
            return agent.agent_id in GROUPS[owner]
        return owner == (agent.place_id if OWNERS[kind] == "place_id" else agent.agent_id)

    def invited(self, ident: str) -> list[Invitation]:
        """The invitations to an item."""
        return [one for one in self.invitations.values() if one.ident == ident]

    def held_by(self, holder: str) -> list[Item]:
        """What one holds, an agent or a session."""
        return [item for item in self.items.values() if item.holding and holder in item.holding.holders]

    def needs(self, client: Client) -> bool:
        """Whether anything is a session's, so that it has to be found again after a failure."""
        return (
            self.agent_of(client) is not None
            or any(one.session == client.session for one in self.snapshots.values())
            or any(session == client.session for session, _ in self.told)
            or any(topic[0] == client.session for topic in self.topics)
            or any(item.lock is not None and item.lock[0] == client.session for item in self.items.values())
            or any(load.session == client.session for load in self.loads.values())
            or any(service.server == client.session for service in self.services.values())
            or bool(self.held_by(client.session))
            or any(one.vanished and one.vanished[0] == client.session for one in self.agents.values())
        )

    # -- what happens to items

    def place(self, item: Item, queue: str | None) -> None:
        """Into a queue."""
        self.put(item, queue, None)

    def place_in_bin(self, item: Item, workbin: Bin) -> None:
        """Into a workbin, and the queue behind it."""
        self.put(item, BACKING.get(workbin[0], item.queue), workbin)

    def put(self, item: Item, queue: str | None, workbin: Bin | None) -> None:
        """It waits there from now on."""
        if queue != item.queue or item.moved_at is None:
            item.moved_at = self.now
        if queue not in COMPLETED:
            item.completed_at = None
        elif item.completed_at is None:
            item.completed_at = self.now
        item.queue, item.workbin, item.placed_at = queue, workbin, self.now
        item.state, item.assigned, item.holding = QUEUED, None, None
        item.version = next(self._versions)

    def returns(self, item: Item) -> None:
        """To where it was taken from."""
        holding = item.holding
        assert holding is not None
        self.end_hold(item)
        if holding.workbin is not None:
            self.place_in_bin(item, holding.workbin)
        else:
            self.place(item, holding.queue)

    def put_back(self, item: Item) -> None:
        """As if it had not been taken."""
        holding = item.holding
        assert holding is not None
        if holding.workbin is not None or holding.queue is None:
            self.returns(item)
        else:
            self.end_hold(item)
            item.state, item.queue, item.holding = QUEUED, holding.queue, None

    def end_hold(self, item: Item) -> None:
        """Who had it may have put it on hold, and would be the one to resume it."""
        if item.held_at is not None and item.holding is not None and item.held_at >= item.holding.since:
            item.held_at = None

    def grant(
        self, item: Item, holder: str, token: int | None, strategy: str | None = None, view: str | None = None
    ) -> None:
        """An item is out of its place."""
        item.holding = Holding(
            [holder], token, item.queue, item.workbin, self.now, item.handling_s, strategy=strategy, view=view
        )
        self.handled(item, holder)

    def handled(self, item: Item, holder: str) -> None:
        """Somebody works on it."""
        agent = self.agents.get(holder)
        item.state = HANDLING if agent else ROUTING
        if agent:
            item.assigned = agent.agent_id

    def take_out(self, item: Item) -> None:
        """Whatever has it, has it no more."""
        self.withdraw(item)
        item.holding = None

    def withdraw(self, item: Item) -> None:
        """All invitations to an item end; who asked for them is told."""
        for invitation in self.invited(item.ident):
            self.end(invitation, Code.WRONG_STATE, returns=False)

    def end(self, invitation: Invitation, code: Code, *, returns: bool = True) -> None:
        """An invitation comes to nothing."""
        del self.invitations[invitation.ticket]
        self.answer(invitation.ref, {"message": "EventError", "code": int(code)})
        self.keep(invitation.request, None)
        if returns and invitation.purpose == "deliver":
            self.returns(self.items[invitation.ident])

    def leave(self, item: Item, holder: str) -> None:
        """A party leaves; the last one turns off the light."""
        holding = item.holding
        assert holding is not None
        holding.holders.remove(holder)
        if not holding.holders:
            self.withdraw(item)
            self.returns(item)
        elif item.assigned == self.name_of(holder):
            item.assigned = self.name_of(holding.holders[0])

    def name_of(self, holder: str) -> str | None:
        """Whom an item is assigned to."""
        return holder.partition("/")[2].partition("@")[0] or None if "@" in holder else None

    # -- replies

    def answer(self, ref: int | None, reply: Document) -> None:
        """A reply that was waited for is due now, if anybody still waits."""
        if ref is not None:
            self.late[ref] = reply

    def keep(self, request: Document, reply: Document | None) -> None:
        """What is said when a request is asked again. :param reply: None: nothing is kept of it"""
        for kept in [kept for kept in self.kept if kept.request is request]:
            kept.reply, kept.at = reply, self.now
            if reply is None:
                self.kept.remove(kept)

    # -- who goes

    def let_go(self, agent: Agent) -> None:
        """All that an agent had or was offered; invitations end first."""
        for invitation in sorted(self.invitations.values(), key=lambda one: one.ticket):
            if invitation.agent == agent.key and invitation.ticket in self.invitations:
                self.end(invitation, Code.BAD_TARGET)
        for item in sorted(self.held_by(agent.key), key=lambda item: item.ident):
            self.leave(item, agent.key)

    def log_out(self, agent: Agent) -> None:
        """An agent goes; nobody can have it to itself any more."""
        self.let_go(agent)
        del self.agents[agent.key]
        self.reserved.pop(agent.key, None)
        for wish in list(self.wishes.get(agent.key, [])):
            self.unwish(agent.key, wish, Code.NOT_LOGGED_IN)

    def vanish(self, agent: Agent, session: str) -> None:
        """An agent's last client is not there any more: the agent stays, ready for nothing."""
        self.let_go(agent)
        for name in [name for name, ready in agent.media.items() if ready]:
            agent.media[name], agent.reasons[name] = 0, {"reason_system_name": "ConnectionLost"}
        agent.vanished = session, self.now

    def abandon(self, session: str, strategy: str | None = None) -> None:
        """What an engine holds, of one strategy or at all, is taken from it."""
        held = [item for item in self.held_by(session) if strategy in (None, item.holding and item.holding.strategy)]
        tokens = [(item.ident, item.holding.token) for item in held if item.holding and item.holding.token]
        self.orphans += sorted(tokens, key=lambda one: one[1])

    def end_session(self, client: Client, *, vanished: bool = False) -> None:
        """A client goes, with all that it had. :param vanished: without a word"""
        session = client.session
        client.here = False
        self.pulls = [pull for pull in self.pulls if pull.client != client.name]
        for agent in list(self.agents.values()):
            if client.name in agent.clients:
                agent.clients.remove(client.name)
                if not agent.clients and vanished:
                    self.vanish(agent, session)
                elif not agent.clients:
                    self.log_out(agent)
        self.loads = {key: load for key, load in self.loads.items() if load.session != session}
        self.paces = {key: pace for key, pace in self.paces.items() if key[0] != session}
        self.wanted_no_more(session)
        self.abandon(session)
        self.told = {one for one in self.told if one[0] != session}
        self.leave_server(session, got=True)
        self.topics = {topic for topic in self.topics if topic[0] != session}
        for snapshot in list(self.snapshots.values()):
            if snapshot.session == session:
                self.drop(snapshot)
        for item in self.items.values():
            if item.lock is not None and item.lock[0] == session:
                item.lock = None
        del self.clients[client.name]

    def returns_agent(self, client: Client) -> None:
        """A client that is not the proxy's is back with its session, and its agent with it."""
        for agent in self.agents.values():
            if agent.vanished and agent.vanished[0] == client.session and not client.proxied:
                agent.vanished, agent.clients = None, [client.name]

    def wanted_no_more(self, session: str) -> None:
        """An engine's reservations end with it."""
        for key in [*self.wishes]:
            for wish in [wish for wish in self.wishes[key] if wish.session == session]:
                self.unwish(key, wish, Code.RESERVED)
        self.freed += [key for key, standing in self.reserved.items() if standing.session == session]

    def unwish(self, key: str, wish: Wish, *codes: Code) -> None:
        """A request for an agent comes to nothing. Where it was the only one, the next begins to be collected anew."""
        self.wishes[key].remove(wish)
        if not self.wishes[key]:
            self.decisions.pop(key, None)
        self.answer(wish.ref, {"message": "EventError", "code": {int(code) for code in codes}})
        self.keep(wish.request, None)

    def leave_server(self, key: str, *, got: bool, only: list[str] | None = None) -> None:
        """An ESP server is gone. :param only: of its requests these; None: all. :param got: it may have got them"""
        self.servers.pop(key, None)
        for refid, service in sorted(self.services.items()):
            gone = {one[0] for one in self.unserved}
            if service.server == key and refid not in gone and (only is None or refid in only):
                self.unserved.append((refid, key, got))

    def drop(self, snapshot: Snapshot) -> None:
        """A snapshot ends; what it locks waits again."""
        for item in self.items.values():
            if item.lock is not None and item.lock[1] == snapshot.ident:
                item.lock = None
        del self.snapshots[snapshot.ident]

    def crash(self, resent: set[int]) -> None:
        """The member is gone, the other one is there at once, without its clients. Who waits for a reply waits in vain,
        but for the proxy. :param resent: what the proxy will send again"""
        self.pulls.clear()
        self.late.clear()
        self.heads.clear()
        self.agent_loads.clear()
        self.decisions.clear()
        for wish in [wish for wishes in self.wishes.values() for wish in wishes]:
            self.keep(wish.request, None)
        self.wishes.clear()
        for agent in self.agents.values():
            agent.elsewhere = None
        self.servers.clear()
        for waiting in (*self.invitations.values(), *self.services.values()):
            waiting.ref = waiting.ref if waiting.ref in resent else None
        self.active_since = self.now
        for invitation in self.invitations.values():
            invitation.due = max(invitation.due, self.now + RETURN_S)
        self.paces_begin()
        for client in self.clients.values():
            client.asked, client.here = self.now, False

    def paces_begin(self) -> None:
        """Nobody knows any more how often engines were sent something."""
        self.paces.clear()
        for load in self.loads.values():
            load.pace = Pace(load.rate)
