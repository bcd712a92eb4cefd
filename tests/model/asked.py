"""A request in front of the model: what many requests look at, and whether the reply is as it should be.

A verdict (one function a request, in :mod:`tests.model.requests`) collects what speaks against the request;
:meth:`Asked.verdict` compares that with the reply. Then, if nothing does, it changes the model.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from broker.errors import Code
from broker.messages.objects import PROPERTIES, SETTABLE
from tests.model.plain import Plain, Wrong
from tests.model.served import Turn
from tests.model.things import Agent, Bin, Client, Document, Item
from tests.model.world import AGENTS, DISABLED, OWNERS, TYPES

Faults = set[Code]


class Asked:
    """A request and its reply. :param reply: None: it comes later"""

    def __init__(self, plain: Plain, client: Client, request: Document, turn: Turn, reply: Document | None) -> None:
        self.plain = plain
        self.client = client
        self.request = request
        self.turn = turn
        self.reply = reply
        self.file = turn.file
        self.acts_as: str | None = None
        """The party of the item that the client is or acts for, when it is one."""

    def __getitem__(self, name: str) -> Any:
        return self.request.get(name)

    @property
    def ref(self) -> int:
        """The request's own."""
        assert self.turn.ref is not None
        return self.turn.ref

    @property
    def refused(self) -> bool:
        return self.reply is not None and self.reply["message"] == "EventError"

    def verdict(self, faults: Iterable[Code], *, later: bool = False) -> bool:
        """Whether the request is done. :raises Wrong: it is not as it should be"""
        expected = {int(code) for code in faults}
        reply = self.reply
        if reply is None:
            if expected or not later:
                raise Wrong(f"no reply, expected {expected or 'an ack'}: {self.request}")
            return True
        code = reply["code"] if self.refused else None
        if (code is None and expected) or (code is not None and code not in expected):
            raise Wrong(f"expected {expected or 'no error'}, not {reply}, for {self.request}")
        if not expected and later:
            raise Wrong(f"{reply} came too early, for {self.request}")
        return not expected

    def judge_causes(self) -> None:
        """Events that this request has caused name it, and who has asked: the party that the client is or acts for, or
        itself. :raises Wrong: somebody else is named"""
        agent = self.plain.name_of(self.acts_as) if self.acts_as else None
        for event in self.turn.events:
            if event.get("cause") != self["message"] or self["message"] == "RequestPull":
                continue
            actor = event.get("actor", {})
            named = {actor.get("client_name"), actor.get("router_id"), *self._names(actor)}
            if (agent is not None and actor.get("agent_id") != agent) or self.client.name not in named:
                raise Wrong(f"{event} is not by {self.client}, {self.acts_as}")

    def _names(self, actor: Document) -> list[str]:
        """The clients that log in as an agent, or have."""
        there = [agent for agent in self.plain.agents.values() if agent.agent_id == actor.get("agent_id")]
        usual = [name for name, (agent_id, _) in AGENTS.items() if agent_id == actor.get("agent_id")]
        return usual + [name for agent in there for name in agent.clients]

    # -- what many requests look at

    def item(self, faults: Faults) -> Item | None:
        """The item it names."""
        item = self.plain.items.get(self["interaction_id"])
        if item is None:
            faults.add(Code.UNKNOWN_INTERACTION)
        return item

    def own(self, faults: Faults) -> Agent | None:
        """The agent that asks."""
        agent = self.plain.agent_of(self.client)
        if agent is None:
            faults.add(Code.NOT_LOGGED_IN)
        return agent

    def holder(self, item: Item) -> str | None:
        """The party of the item that the client is or acts for."""
        agent = self.plain.agent_of(self.client)
        names = {self.client.session, agent.key if agent else ""}
        holders = item.holding.holders if item.holding is not None else []
        return next((holder for holder in holders if holder in names), None)

    def allowed(self, item: Item, faults: Faults) -> None:
        """Whether the client may act on an item."""
        token = self["token"]
        if token is not None and (item.holding is None or item.holding.token != token):
            faults.add(Code.BAD_TICKET)
        self.acts_as = self.holder(item)
        if self.client.kind == "MediaServer" or self.acts_as is not None:
            return
        if item.holding is None and item.lock is not None and item.lock[0] == self.client.session:
            return
        faults.add(Code.ACCESS_DENIED)

    def queue(self, faults: Faults) -> str:
        """The queue it names."""
        queue: str = self["queue"]
        if queue not in self.plain.world.queues:
            faults.add(Code.UNKNOWN_QUEUE)
        elif queue in DISABLED:
            faults.add(Code.QUEUE_DISABLED)
        return queue

    def bin(self, faults: Faults, agent: Agent | None) -> Bin:
        """The workbin it names, or the one that the agent has of this type."""
        named = dict(self["workbin"])
        kind = named.pop("type")
        field = OWNERS[kind]
        owner = named.get(field) or (getattr(agent, field, None) if agent else None)
        if owner is None:
            faults.add(Code.MISSING_ATTRIBUTE)
        return kind, owner or ""

    def reader(self, faults: Faults) -> Bin:
        """The workbin that a client wants to look into."""
        agent = self.own(faults) if self.client.kind == "AgentApplication" else None
        workbin = self.bin(faults, agent)
        if agent is not None and not faults and not self.plain.uses(agent, workbin):
            faults.add(Code.ACCESS_DENIED)
        return workbin

    def changes(self, faults: Faults) -> Document:
        """The properties that come with a request, by their own names; what is to be deleted is None."""
        given = {**(self["added_properties"] or {}), **(self["changed_properties"] or {})}
        deleted = dict.fromkeys(self["deleted_properties"] or ())
        changes = {PROPERTIES.get(name, name): value for name, value in [*given.items(), *deleted.items()]}
        for name, value in changes.items():
            if name == "is_online" and self.client.kind != "MediaServer":
                faults.add(Code.ACCESS_DENIED)
            if name in PROPERTIES and name not in SETTABLE:
                faults.add(Code.WRONG_VALUE)
            if (name == "priority" and value is None) or (name == "interaction_type" and value not in TYPES):
                faults.add(Code.WRONG_VALUE)
        return changes

    def change(self, item: Item, changes: Document) -> None:
        """Does them."""
        for name, value in changes.items():
            if name == "priority":
                item.priority = value
            elif name in SETTABLE:
                if name == "is_online" and value != item.properties[name]:
                    item.abandoned_at = None if value else self.plain.now
                item.properties[name] = value
            elif value is None:
                item.data.pop(name, None)
            else:
                item.data[name] = value

    def first_placing(self, item: Item, queue: str | None, faults: Faults) -> None:
        """What an agent has brought in is placed: only then its parent's rule holds."""
        if item.placed_at is None:
            self.child(item.properties["parent_id"], queue, faults)

    def child(self, parent_id: str | None, queue: str | None, faults: Faults) -> None:
        """Whether a child may go there."""
        parent = self.plain.items.get(parent_id or "")
        allowed = parent.properties["out_queues"] if parent else None
        if queue is not None and allowed is not None and queue not in allowed:
            faults.add(Code.WRONG_VALUE)
