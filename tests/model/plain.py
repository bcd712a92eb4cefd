"""A plain model of an Interaction Server: no indexes, no journal, no batches; what is to be known is looked for.

It is told each request together with the reply that the node gave, and says what is wrong with it. Names that only the
node can make (ids, tokens, tickets) it takes from the reply and from what clients are told.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from broker.errors import Code
from tests.model.things import HANDLING, QUEUED, ROUTING, Agent, Bin, Client, Holding, Invitation, Item, Pull, Snapshot

Document = dict[str, Any]

ORDERS = {
    "Inbound/all": lambda item: (-item.priority, item.received_at, item.ident),
    "Inbound/urgent": lambda item: (item.received_at, item.ident),
    "Done/all": lambda item: (item.received_at, item.ident),
    "Fair/all": lambda item: (-item.priority, item.ident),
}
"""The order of each view of :func:`tests.node.conftest.make_configuration`."""

CONDITIONS = {"Inbound/urgent": lambda item: item.priority >= 5}
DIVIDED = frozenset({"Fair/all"})
"""Views with segments: their order is left to their own tests."""

BACKING = {"Drafts": "Kept"}
OWNERS = {"Drafts": "agent_id", "Notes": "agent_id", "Team": "agent_group", "Desk": "place_id"}
GROUPS = {"Support": ("VICKY", "ANAT")}
DISABLED = frozenset({"Off"})
QUEUES = ("Inbound", "Done", "Kept", "Fair", "Off")
MEDIA = ("voice", "email", "chat")

PULL_HOLD_S = 10.0
SNAPSHOT_S = 3600.0
ROUTING_S = 720 * 60.0


class Wrong(AssertionError):
    """The node did something that the model does not allow."""


class Plain:
    """The model.

    :param late: replies that are due now to requests asked before: ref -> code, or None for any positive reply
    """

    def __init__(self, now: float) -> None:
        self.now = self.active_since = now
        self.clients: dict[str, Client] = {}
        self.agents: dict[str, Agent] = {}
        self.items: dict[str, Item] = {}
        self.invitations: dict[int, Invitation] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.paused: set[str] = set()
        self.told: set[tuple[str, Bin]] = set()
        self.pulls: list[Pull] = []
        self.late: dict[int, int | list[str] | None] = {}
        self._versions = count(1)

    # -- finding things

    def agent_of(self, client: Client) -> Agent | None:
        """The agent that a client acts for."""
        return next((agent for agent in self.agents.values() if client.name in agent.clients), None)

    def waiting(self, view: str, *, ignore_hold: bool = False) -> list[Item]:
        """What a pull may take, in the view's order."""
        queue = view.split("/")[0]
        if queue in self.paused or queue in DISABLED:
            return []
        return [item for item in self.shown(view) if ignore_hold or not item.held]

    def shown(self, view: str) -> list[Item]:
        """What stands in a view, held or not."""
        queue, fits = view.split("/")[0], CONDITIONS.get(view, lambda item: True)
        there = [item for item in self.items.values() if item.queue == queue and item.waits(self.now) and fits(item)]
        return sorted(there, key=ORDERS[view])

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

    def needs(self, client: Client) -> bool:
        """Whether anything is a session's, so that it has to be found again after a failure."""
        return (
            self.agent_of(client) is not None
            or any(one.session == client.session for one in self.snapshots.values())
            or any(session == client.session for session, _ in self.told)
            or any(item.lock is not None and item.lock[0] == client.session for item in self.items.values())
            or any(item.holding and client.session in item.holding.holders for item in self.items.values())
        )

    # -- what happens to things

    def place(self, item: Item, queue: str | None) -> None:
        """Into a queue."""
        item.queue, item.workbin = queue, None
        self._waits(item)

    def place_in_bin(self, item: Item, workbin: Bin) -> None:
        """Into a workbin, and the queue behind it."""
        item.queue, item.workbin = BACKING.get(workbin[0], item.queue), workbin
        self._waits(item)

    def _waits(self, item: Item) -> None:
        item.state, item.assigned, item.holding = QUEUED, None, None
        item.version = next(self._versions)

    def returns(self, item: Item) -> None:
        """To where it was taken from."""
        holding = item.holding
        assert holding is not None
        if holding.workbin is not None:
            self.place_in_bin(item, holding.workbin)
        else:
            self.place(item, holding.queue)

    def grant(self, item: Item, holder: str, token: int | None) -> None:
        """An item is out of its place."""
        item.holding = Holding([holder], token, item.queue, item.workbin, self.now)
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
        if invitation.ref is not None:
            self.late[invitation.ref] = int(code)
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

    def give_back(self, holder: str) -> None:
        """All that one had."""
        for item in sorted(self.items.values(), key=lambda item: item.ident):
            if item.holding is not None and holder in item.holding.holders:
                self.leave(item, holder)

    def log_out(self, agent: Agent) -> None:
        """An agent goes; its invitations end first."""
        for invitation in sorted(self.invitations.values(), key=lambda one: one.ticket):
            if invitation.agent == agent.key and invitation.ticket in self.invitations:
                self.end(invitation, Code.BAD_TARGET)
        self.give_back(agent.key)
        del self.agents[agent.key]

    def end_session(self, client: Client) -> None:
        """A client goes, with all that it had."""
        self.pulls = [pull for pull in self.pulls if pull.client != client.name]
        for invitation in self.invitations.values():
            invitation.ref = invitation.ref  # its reply still comes; nobody is there to read it
        for agent in list(self.agents.values()):
            if client.name in agent.clients:
                agent.clients.remove(client.name)
                if not agent.clients:
                    self.log_out(agent)
        self.give_back(client.session)
        self.told = {(session, workbin) for session, workbin in self.told if session != client.session}
        for snapshot in list(self.snapshots.values()):
            if snapshot.session == client.session:
                self.drop(snapshot)
        for item in self.items.values():
            if item.lock is not None and item.lock[0] == client.session:
                item.lock = None
        del self.clients[client.name]

    def drop(self, snapshot: Snapshot) -> None:
        """A snapshot ends; what it locks waits again."""
        for item in self.items.values():
            if item.lock is not None and item.lock[1] == snapshot.ident:
                item.lock = None
        del self.snapshots[snapshot.ident]

    # -- the end of a batch

    def settle(self) -> None:
        """Pulls that wait get what has come, the one that waits longest first."""
        for view in sorted({pull.view for pull in self.pulls}):
            for pull in [pull for pull in self.pulls if pull.view == view]:
                got = self.waiting(view, ignore_hold=pull.ignore_hold)[: pull.count]
                if got:
                    self.pulls.remove(pull)
                    for item in got:
                        self.grant(item, self.clients[pull.client].session, None)
                    self.late[pull.ref] = [item.ident for item in got]

    # -- time

    def wait(self, seconds: float) -> None:
        """Time passes; what is due happens, one thing after the other."""
        until = self.now + seconds
        while (due := self._next_due()) is not None and due[0] <= until:
            self.now = max(self.now, due[0])
            due[1]()
            self.settle()
        self.now = until
        self.settle()

    def _next_due(self) -> tuple[float, Any] | None:
        return min(self._dues(), key=lambda due: due[0], default=None)

    def _dues(self) -> list[tuple[float, Any]]:
        dues: list[tuple[float, Any]] = [
            (one.due, lambda one=one: self.end(one, Code.EXPIRED)) for one in self.invitations.values()
        ]
        dues += [(pull.due, lambda pull=pull: self._hold_over(pull)) for pull in self.pulls]
        dues += [
            (max(snapshot.used, self.active_since) + SNAPSHOT_S, lambda snapshot=snapshot: self.drop(snapshot))
            for snapshot in self.snapshots.values()
        ]
        for item in self.items.values():
            if item.holding is not None and item.holding.holders:
                dues.append((self._overdue_at(item, item.holding), lambda item=item: self._overdue(item)))
            if item.scheduled_at is not None and item.scheduled_at > self.now:
                dues.append((item.scheduled_at, lambda: None))
        return dues

    def _overdue_at(self, item: Item, holding: Holding) -> float:
        heard = [holding.since, self.active_since]
        if holding.holders[0] not in self.agents:
            return max(heard) + ROUTING_S
        for holder in holding.holders:
            clients = self.agents[holder].clients if holder in self.agents else []
            heard += [self.clients[name].asked for name in clients if name in self.clients]
        return max(heard) + item.handling_s

    def _overdue(self, item: Item) -> None:
        self.withdraw(item)
        self.returns(item)

    def _hold_over(self, pull: Pull) -> None:
        self.pulls.remove(pull)
        self.late[pull.ref] = []

    def crash(self) -> None:
        """The member is gone, the other one is there at once; who waits for a reply waits in vain."""
        self.pulls.clear()
        self.late.clear()
        for invitation in self.invitations.values():
            invitation.ref = None
        self.active_since = self.now
        for client in self.clients.values():
            client.asked = self.now
