"""What each request may be answered with, and what it changes: one function a request, in the words of the protocol.

A function gets the model, the client that asks, the request and the reply (None: it comes later). It collects what
speaks against the request; :func:`verdict` compares that with the reply. Then, if nothing does, it changes the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from broker.errors import Code
from tests.model.plain import (
    DISABLED,
    DIVIDED,
    MEDIA,
    ORDERS,
    OWNERS,
    PULL_HOLD_S,
    QUEUES,
    Document,
    Plain,
    Wrong,
)
from tests.model.things import HANDLING, QUEUED, ROUTING, Agent, Bin, Client, Invitation, Item, Pin, Pull, Snapshot

Faults = set[Code]


class Asked:
    """A request in front of the model."""

    def __init__(self, plain: Plain, client: Client, request: Document, answer: tuple[int, Document | None]) -> None:
        self.plain = plain
        self.client = client
        self.request = request
        self.ref, self.reply = answer
        self.notes: list[tuple[str, Document]] = []

    def __getitem__(self, name: str) -> Any:
        return self.request.get(name)

    def verdict(self, faults: Iterable[Code], *, later: bool = False) -> bool:
        """Whether the request is done. :raises Wrong: it is not as it should be"""
        expected = {int(code) for code in faults}
        reply = self.reply
        if reply is None:
            if expected or not later:
                raise Wrong(f"no reply, expected {expected or 'an ack'}: {self.request}")
            return True
        code = reply["code"] if reply["message"] == "EventError" else None
        if (code is None and expected) or (code is not None and code not in expected):
            raise Wrong(f"expected {expected or 'no error'}, not {reply}, for {self.request}")
        return not expected

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
        if self.client.kind == "MediaServer" or self.holder(item) is not None:
            return
        if item.holding is None and item.lock is not None and item.lock[0] == self.client.session:
            return
        faults.add(Code.ACCESS_DENIED)

    def queue(self, faults: Faults) -> str:
        """The queue it names."""
        queue: str = self["queue"]
        if queue not in QUEUES:
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

    def changes(self, item: Item) -> None:
        """Properties that came with a request."""
        for name, value in {**(self["added_properties"] or {}), **(self["changed_properties"] or {})}.items():
            if name == "priority":
                item.priority = value
            else:
                item.data[name] = value
        for name in self["deleted_properties"] or ():
            item.data.pop(name, None)


# -- connection


def unregister(asked: Asked) -> None:
    if asked.verdict(()):
        asked.plain.end_session(asked.client)


def nothing(asked: Asked) -> None:
    asked.verdict(())


# -- agents


def login(asked: Asked) -> None:
    plain, faults = asked.plain, set[Code]()
    agent_id, place_id = asked["agent_id"], asked["place_id"]
    at_place = next((one for one in plain.agents.values() if place_id and one.place_id == place_id), None)
    known = next((one for one in plain.agents.values() if one.agent_id == agent_id), None)
    if at_place is not None and at_place is not known:
        faults.add(Code.PLACE_OCCUPIED)
    if known is not None and known.place_id != place_id:
        faults.add(Code.AGENT_ELSEWHERE)
    if not asked.verdict(faults):
        return
    if known is None:
        known = Agent(agent_id, place_id, dict(asked["media_list"]), [])
        plain.agents[known.key] = known
    if asked.client.name not in known.clients:
        known.clients.append(asked.client.name)


def logout(asked: Asked) -> None:
    faults = set[Code]()
    agent = asked.own(faults)
    if asked.verdict(faults) and agent:
        asked.plain.log_out(agent)


def media(asked: Asked) -> None:
    """Add, remove, ready, not ready, why."""
    faults, name, kind = set[Code](), asked["media_type"], asked["message"]
    agent = asked.own(faults)
    if agent is not None:
        if kind == "RequestAddMedia" and name in agent.media:
            faults.add(Code.MEDIA_PRESENT)
        elif kind != "RequestAddMedia" and name not in agent.media:
            faults.add(Code.MEDIA_ABSENT)
        elif agent.media.get(name) == {"RequestNotReadyForMedia": 0, "RequestCancelNotReadyForMedia": 1}.get(kind, -1):
            faults.add(Code.SAME_STATE)
    if asked.verdict(faults) and agent:
        agent.reasons.pop(name, None)
        if kind == "RequestRemoveMedia":
            del agent.media[name]
            return
        if kind != "RequestChangeMediaStateReason":
            agent.media[name] = 0 if kind == "RequestNotReadyForMedia" else 1
        if asked["reason"] is not None:
            agent.reasons[name] = asked["reason"]


def disturb(asked: Asked) -> None:
    faults, on = set[Code](), asked["message"] == "RequestDoNotDisturbOn"
    agent = asked.own(faults)
    if agent is not None and agent.donot_disturb is on:
        faults.add(Code.SAME_STATE)
    if asked.verdict(faults) and agent:
        agent.donot_disturb = on
        agent.reason = asked["reason"]


def reason(asked: Asked) -> None:
    faults = set[Code]()
    agent = asked.own(faults)
    if asked.verdict(faults) and agent:
        agent.reason = asked["reason"]


def agent_state(asked: Asked) -> None:
    plain, faults = asked.plain, set[Code]()
    if asked["agent_id"]:
        agent = next((one for one in plain.agents.values() if one.agent_id == asked["agent_id"]), None)
        if agent is None:
            faults.add(Code.NOT_LOGGED_IN)
    else:
        agent = asked.own(faults)
    if not asked.verdict(faults) or agent is None or asked.reply is None:
        return
    items = [item for item in plain.items.values() if item.holding and agent.key in item.holding.holders]
    invited = [plain.items[one.ident] for one in plain.invitations.values() if one.agent == agent.key]
    known = {
        "media_state_list": agent.media,
        "media_reasons": agent.reasons,
        "donot_disturb": agent.donot_disturb,
        "state_reason": agent.reason,
        "handled": Counter(item.media for item in items if not item.held),
        "held": Counter(item.media for item in items if item.held),
        "invited": Counter(item.media for item in invited),
        "connections": len(agent.clients),
    }
    shown = {name: asked.reply.get(name, type(value)() if value is not None else None) for name, value in known.items()}
    if shown != known:
        raise Wrong(f"{shown} is not {known}")


# -- interactions


def submit(asked: Asked) -> None:
    plain, faults = asked.plain, set[Code]()
    agent = asked.own(faults) if asked.client.kind == "AgentApplication" else None
    workbin = asked.bin(faults, agent) if asked["workbin"] else None
    queue = asked.queue(faults) if asked["queue"] else None
    if asked["media_type"] not in MEDIA:
        faults.add(Code.UNKNOWN_MEDIA)
    if queue is None and workbin is None and agent is None:
        faults.add(Code.MISSING_ATTRIBUTE)
    if asked["interaction_id"] in plain.items:
        faults.add(Code.DUPLICATE_INTERACTION)
    if not asked.verdict(faults):
        return
    assert asked.reply is not None
    item = Item(
        ident=asked.reply["interaction_id"],
        media=asked["media_type"],
        queue=None,
        workbin=None,
        priority=asked["priority"] or 0,
        received_at=asked["received_at"],
        data=dict(asked["user_data"] or {}),
        version=0,
        scheduled_at=asked["scheduled_at"],
    )
    plain.items[item.ident] = item
    if workbin is not None:
        plain.place_in_bin(item, workbin)
        item.queue = queue or item.queue
    else:
        plain.place(item, queue)
    if agent is not None:
        plain.grant(item, agent.key, None)


def place_in_queue(asked: Asked) -> None:
    faults = set[Code]()
    item = asked.item(faults)
    queue = asked.queue(faults)
    if item is not None:
        asked.allowed(item, faults)
    if asked.verdict(faults) and item:
        asked.plain.take_out(item)
        asked.changes(item)
        asked.plain.place(item, queue)


def place_in_workbin(asked: Asked) -> None:
    faults = set[Code]()
    item = asked.item(faults)
    agent = asked.plain.agent_of(asked.client)
    workbin = asked.bin(faults, agent if item is not None and agent and asked.holder(item) == agent.key else None)
    if item is not None:
        asked.allowed(item, faults)
    if asked.verdict(faults) and item:
        asked.plain.take_out(item)
        asked.changes(item)
        asked.plain.place_in_bin(item, workbin)


def stop(asked: Asked) -> None:
    faults = set[Code]()
    item = asked.item(faults)
    if item is not None:
        asked.allowed(item, faults)
    if asked.verdict(faults) and item:
        asked.plain.take_out(item)
        del asked.plain.items[item.ident]


def change(asked: Asked) -> None:
    faults = set[Code]()
    item = asked.item(faults)
    if item is not None:
        asked.allowed(item, faults)
    if asked.verdict(faults) and item:
        asked.changes(item)


def get(asked: Asked) -> None:
    faults = set[Code]()
    item = asked.item(faults)
    if asked.verdict(faults) and item:
        assert asked.reply is not None
        shown = asked.reply["interaction"]
        if (shown["priority"], shown.get("user_data", {})) != (item.priority, item.data):
            raise Wrong(f"{shown} is not {item}")


def find(asked: Asked) -> None:
    """All items of at least a priority."""
    if asked.verdict(()):
        assert asked.reply is not None
        least = int(asked["condition"].split()[-1])
        found = [one["interaction_id"] for one in asked.reply["interactions"]]
        expected = sorted(
            (item for item in asked.plain.items.values() if item.priority >= least),
            key=lambda item: (-item.priority, item.received_at, item.ident),
        )
        if [(asked.plain.items[one].priority, asked.plain.items[one].received_at) for one in found] != [
            (item.priority, item.received_at) for item in expected[: asked["count"]]
        ]:
            raise Wrong(f"found {found}, not {expected}")


def hold(asked: Asked) -> None:
    faults, held = set[Code](), asked["message"] == "RequestHold"
    item = asked.item(faults)
    if item is not None:
        if not (asked.client.kind == "RoutingEngine" and item.state == QUEUED):
            asked.allowed(item, faults)
        if item.held is held:
            faults.add(Code.SAME_STATE)
    if asked.verdict(faults) and item:
        item.held = held


# -- pull


def pull(asked: Asked) -> None:
    plain, faults = asked.plain, set[Code]()
    agent = asked.own(faults) if asked.client.kind == "AgentApplication" else None
    holder = agent.key if agent else asked.client.session
    ignore_hold, most = bool(asked["ignore_hold"]), asked["count"] or 1
    if asked["view_id"] == "_system_":
        _pull_ids(asked, faults, holder, ignore_hold)
        return
    kind, _, private = asked["view_id"].partition("/")
    if private == "PrivateView":
        if asked.client.kind != "AgentApplication":
            faults.add(Code.ACCESS_DENIED)
        workbin = asked.reader(faults) if not faults else ("", "")
        there = [item for item in plain.in_bin(workbin) if item.lock is None and (ignore_hold or not item.held)]
        order = ORDERS["Inbound/all"] if kind == "Drafts" else ORDERS["Done/all"]
        there.sort(key=order)
    else:
        there = plain.waiting(asked["view_id"], ignore_hold=ignore_hold)
    holds = bool(asked["extension"]) and asked.client.kind == "RoutingEngine" and private != "PrivateView"
    if not asked.verdict(faults, later=holds and not there):
        return
    if asked.reply is None:
        waits = Pull(asked.ref, asked.client.name, asked["view_id"], most, ignore_hold, plain.now + PULL_HOLD_S)
        plain.pulls.append(waits)
        return
    granted = asked.reply["interactions"]
    idents = [one["interaction_id"] for one in granted]
    expected = [item.ident for item in there[:most]]
    divided = asked["view_id"] in DIVIDED
    if (
        (len(idents) != len(expected) or not {*idents} <= {item.ident for item in there})
        if divided
        else (idents != expected)
    ):
        raise Wrong(f"pulled {idents}, not {expected}")
    for one in granted:
        plain.grant(plain.items[one["interaction_id"]], holder, one["token"])


def _pull_ids(asked: Asked, faults: Faults, holder: str, ignore_hold: bool) -> None:
    plain = asked.plain
    untaken = {ident: _untakeable(asked, ident, ignore_hold) for ident in asked["pull_parameters"]["interaction_ids"]}
    if len(untaken) == 1:
        faults |= {code for code in untaken.values() if code is not None}
    if not asked.verdict(faults):
        return
    assert asked.reply is not None
    granted = {one["interaction_id"]: one["token"] for one in asked.reply["interactions"]}
    errors = {ident: error["code"] for ident, error in (asked.reply.get("errors") or {}).items()}
    if (set(granted), errors) != (
        {ident for ident, code in untaken.items() if code is None},
        {ident: int(code) for ident, code in untaken.items() if code is not None},
    ):
        raise Wrong(f"{asked.reply} is not {untaken}")
    for ident, token in granted.items():
        plain.grant(plain.items[ident], holder, token)


def _untakeable(asked: Asked, ident: str, ignore_hold: bool) -> Code | None:
    item = asked.plain.items.get(ident)
    agent = asked.plain.agent_of(asked.client)
    if item is None:
        return Code.UNKNOWN_INTERACTION
    if item.lock is not None:
        return Code.LOCKED
    if item.state != QUEUED or (item.held and not ignore_hold):
        return Code.WRONG_STATE
    if item.workbin is not None and not (agent and asked.plain.uses(agent, item.workbin)):
        return Code.WRONG_STATE
    return None


# -- invitations


def _target(asked: Asked, item: Item, faults: Faults, agent: Agent | None) -> None:
    """Whether an agent can be invited to an item."""
    holders = item.holding.holders if item.holding is not None else []
    if (
        agent is None
        or agent.donot_disturb
        or not agent.media.get(item.media)
        or any(one.agent == agent.key for one in asked.plain.invited(item.ident))
        or agent.key in holders
    ):
        faults.add(Code.BAD_TARGET)


def _named(asked: Asked) -> Agent | None:
    return next((one for one in asked.plain.agents.values() if one.agent_id == asked["agent_id"]), None)


def _invite(asked: Asked, item: Item, agent: Agent, purpose: str, asker: str | None) -> None:
    """The agent was told, or the node forgot to."""
    tickets = {
        note["ticket_id"]
        for client, note in asked.notes
        if note["message"] == "EventInvite"
        and client in agent.clients
        and note["interaction"]["interaction_id"] == item.ident
    }
    if len(tickets) != 1:
        raise Wrong(f"{agent.key} was invited with tickets {tickets} to {item.ident}")
    (ticket,) = tickets
    due = asked.plain.now + (asked["timeout"] or 30.0)
    ref = None if purpose == "deliver" else asked.ref
    asked.plain.invitations[ticket] = Invitation(ticket, item.ident, agent.key, purpose, asker, due, ref)


def deliver(asked: Asked) -> None:
    faults = set[Code]()
    item, agent = asked.item(faults), _named(asked)
    if item is not None:
        asked.allowed(item, faults)
        if item.holding is None or not item.holding.holders:
            faults.add(Code.WRONG_STATE)
        _target(asked, item, faults, agent)
    if asked.verdict(faults) and item and item.holding and agent:
        _invite(asked, item, agent, "deliver", item.holding.holders[0])
        item.holding.holders = []
        item.holding.token = next(iter(asked.plain.invited(item.ident))).ticket


def offer(asked: Asked) -> None:
    """Transfer, conference."""
    faults = set[Code]()
    item, agent = asked.item(faults), _named(asked)
    if item is not None:
        asked.allowed(item, faults)
        own = asked.plain.agent_of(asked.client)
        if own is None or asked.holder(item) != own.key:
            faults.add(Code.ACCESS_DENIED)
        _target(asked, item, faults, agent)
    if asked.verdict(faults, later=True) and item and agent:
        purpose = asked["message"].removeprefix("Request").lower()
        _invite(asked, item, agent, purpose, asked.holder(item))


def intrude(asked: Asked) -> None:
    faults = set[Code]()
    item, agent = asked.item(faults), asked.own(faults)
    if item is not None:
        if item.state != HANDLING:
            faults.add(Code.WRONG_STATE)
        if agent is not None:
            _target(asked, item, faults, agent)
    if asked.verdict(faults, later=True) and item and agent:
        _invite(asked, item, agent, "intrude", None)


def _answered(asked: Asked, faults: Faults) -> tuple[Item | None, Invitation | None]:
    item, agent = asked.item(faults), asked.own(faults)
    invitation = asked.plain.invitations.get(asked["ticket_id"])
    if item is None or agent is None:
        return item, None
    if invitation is None or (invitation.agent, invitation.ident) != (agent.key, item.ident):
        held = item.holding is not None and bool(item.holding.holders)
        accepted = held and item.holding is not None and item.holding.token == asked["ticket_id"]
        faults.add(Code.ALREADY_ACCEPTED if accepted else Code.BAD_TICKET)
    return item, invitation


def accept(asked: Asked) -> None:
    faults = set[Code]()
    item, invitation = _answered(asked, faults)
    if not asked.verdict(faults) or item is None or invitation is None:
        return
    holding, agent = item.holding, invitation.agent
    assert holding is not None
    del asked.plain.invitations[invitation.ticket]
    if invitation.purpose in ("conference", "intrude"):
        holding.holders.append(agent)
    else:
        holding.holders = [one for one in holding.holders if one != invitation.asker] + [agent]
        holding.token = invitation.ticket
        asked.plain.handled(item, agent)
    if invitation.ref is not None:
        asked.plain.late[invitation.ref] = None


def reject(asked: Asked) -> None:
    faults = set[Code]()
    _, invitation = _answered(asked, faults)
    if asked.verdict(faults) and invitation:
        asked.plain.end(invitation, Code.REJECTED)


def leave(asked: Asked) -> None:
    faults = set[Code]()
    item = asked.item(faults)
    if item is not None:
        asked.allowed(item, faults)
        if asked.holder(item) is None:
            faults.add(Code.ACCESS_DENIED)
    if asked.verdict(faults) and item:
        asked.plain.leave(item, str(asked.holder(item)))


def activity(asked: Asked) -> None:
    faults = set[Code]()
    item = asked.item(faults)
    if item is not None:
        asked.allowed(item, faults)
        if asked.holder(item) is None:
            faults.add(Code.ACCESS_DENIED)
    asked.verdict(faults)


# -- workbins and queues


def content(asked: Asked) -> None:
    faults = set[Code]()
    workbin = asked.reader(faults)
    if asked.verdict(faults) and asked.reply:
        shown = {one["interaction_id"] for one in asked.reply["interactions"]}
        if shown != {item.ident for item in asked.plain.in_bin(workbin)}:
            raise Wrong(f"{workbin} has {asked.plain.in_bin(workbin)}, not {shown}")


def statistic(asked: Asked) -> None:
    faults = set[Code]()
    workbin = asked.reader(faults)
    if asked.verdict(faults) and asked.reply:
        (one,) = asked.reply["workbins"]
        if one["count"] != len(asked.plain.in_bin(workbin)):
            raise Wrong(f"{workbin} has {asked.plain.in_bin(workbin)}, not {one}")


def types(asked: Asked) -> None:
    faults = set[Code]()
    if asked.client.kind == "AgentApplication":
        asked.own(faults)
    asked.verdict(faults)


def notify(asked: Asked) -> None:
    faults = set[Code]()
    workbin = asked.reader(faults)
    if asked.verdict(faults):
        change = asked.plain.told.discard if "Cancel" in asked["message"] else asked.plain.told.add
        change((asked.client.session, workbin))


def pause(asked: Asked) -> None:
    if asked.verdict(()):
        change = asked.plain.paused.add if asked["message"] == "RequestPauseQueue" else asked.plain.paused.discard
        change(asked["queue"])


def queues(asked: Asked) -> None:
    if asked.verdict(()) and asked.reply:
        for part in asked.reply["queues"]:
            of_it = [item for item in asked.plain.items.values() if item.queue == part["queue"]]
            (node,) = part["nodes"].values()
            counts = [node.get(state, 0) for state in ("queued", "routing", "handling")]
            known = [sum(item.state == state for item in of_it) for state in (QUEUED, ROUTING, HANDLING)]
            paused = part["queue"] in asked.plain.paused
            if counts != known or ("paused_since" in node) != paused:
                raise Wrong(f"{part} is not {known}, paused: {paused}")


def purge(asked: Asked) -> None:
    plain, least = asked.plain, int(asked["condition"].rpartition(" ")[2])
    there = [
        item
        for item in plain.items.values()
        if item.queue == asked["queue"] and item.state == QUEUED and item.lock is None and item.workbin is None
    ]
    there = sorted((item for item in there if item.priority >= least), key=lambda item: item.version)
    if not asked.verdict(()) or asked.reply is None:
        return
    gone = there[: asked["count"]]
    if (asked.reply.get("purged", 0), asked.reply.get("left", 0)) != (len(gone), len(there) - len(gone)):
        raise Wrong(f"{asked.reply} of {there}")
    for item in gone:
        del plain.items[item.ident]


def explain(asked: Asked) -> None:
    faults = set[Code]()
    item = asked.item(faults)
    if asked.verdict(faults) and asked.reply and item is not None:
        shown = {view["view_id"] for view in asked.reply["views"] if view["position"] is not None}
        known = {view for view in ORDERS if item in asked.plain.shown(view) and not item.held}
        if shown != known or not asked.reply["waits"]:
            raise Wrong(f"{item} is in {known}, not {shown}: {asked.reply['waits']}")


# -- snapshots and locks


def take_snapshot(asked: Asked) -> None:
    plain = asked.plain
    if asked["view_id"]:
        there = [item for item in plain.shown(asked["view_id"]) if not item.held]
    else:
        there = [item for item in plain.items.values() if item.state == QUEUED and item.lock is None]
    if not asked.verdict(()) or asked.reply is None:
        return
    if asked.reply["number_of_interactions"] != len(there):
        raise Wrong(f"{asked.reply} of {there}")
    ident, session = asked.reply["snapshot_id"], asked.client.session
    pins = [Pin(item.ident, item.version, item.state, item.workbin) for item in there]
    plain.snapshots[ident] = Snapshot(ident, session, pins, plain.now)
    if asked["lock"]:
        for item in there:
            item.lock = (session, ident)


def _snapshot(asked: Asked, faults: Faults) -> Snapshot | None:
    snapshot = asked.plain.snapshots.get(asked["snapshot_id"])
    if snapshot is None:
        faults.add(Code.UNKNOWN_SNAPSHOT)
    elif snapshot.session != asked.client.session:
        faults.add(Code.ACCESS_DENIED)
    else:
        snapshot.used = asked.plain.now
    return snapshot


def read_snapshot(asked: Asked) -> None:
    faults = set[Code]()
    snapshot = _snapshot(asked, faults)
    if asked.verdict(faults) and snapshot and asked.reply:
        shown = {one["interaction_id"] for one in asked.reply["interactions"]}
        if shown != {pin.ident for pin in snapshot.pins if pin.ident in asked.plain.items}:
            raise Wrong(f"{shown} is not {snapshot}")


def release_snapshot(asked: Asked) -> None:
    faults = set[Code]()
    snapshot = _snapshot(asked, faults)
    if asked.verdict(faults) and snapshot:
        asked.plain.drop(snapshot)


def move(asked: Asked) -> None:
    faults = set[Code]()
    snapshot = _snapshot(asked, faults)
    queue = asked.queue(faults)
    if not asked.verdict(faults) or snapshot is None or asked.reply is None:
        return
    moved = 0
    for pin in snapshot.pins:
        item = asked.plain.items.get(pin.ident)
        if item is not None and _as_it_was(item, pin, snapshot):
            asked.plain.place(item, queue)
            pin.version, pin.workbin, moved = item.version, None, moved + 1
    if asked.reply["number_of_interactions"] != moved:
        raise Wrong(f"{asked.reply}, not {moved} of {snapshot}")


def _as_it_was(item: Item, pin: Pin, snapshot: Snapshot) -> bool:
    free = item.lock is None or item.lock[0] == snapshot.session
    return free and item.state == pin.state == QUEUED and (item.version, item.workbin) == (pin.version, pin.workbin)


def lock(asked: Asked) -> None:
    faults = set[Code]()
    item = asked.item(faults)
    if item is not None and item.lock is not None:
        faults.add(Code.LOCKED)
    if item is not None and item.state != QUEUED:
        faults.add(Code.WRONG_STATE)
    if asked.verdict(faults) and item:
        item.lock = (asked.client.session, None)


def unlock(asked: Asked) -> None:
    faults = set[Code]()
    item = asked.item(faults)
    if item is not None and item.lock is None:
        faults.add(Code.SAME_STATE)
    elif item is not None and item.lock is not None and item.lock[0] != asked.client.session:
        faults.add(Code.ACCESS_DENIED)
    if asked.verdict(faults) and item:
        item.lock = None


# -- reporting


def state(asked: Asked) -> None:
    if asked.verdict(()) and asked.reply:
        shown = {
            one["agent_id"]: (one.get("media", {}), one.get("donot_disturb", False)) for one in asked.reply["agents"]
        }
        known = {one.agent_id: (one.media, one.donot_disturb) for one in asked.plain.agents.values()}
        if shown != known:
            raise Wrong(f"{shown} is not {known}")


VERDICTS: dict[str, Callable[[Asked], None]] = {
    "RequestUnregisterClient": unregister,
    "RequestPing": nothing,
    "RequestGetStatus": nothing,
    "RequestAgentLogin": login,
    "RequestAgentLogout": logout,
    **dict.fromkeys(
        (
            "RequestAddMedia",
            "RequestRemoveMedia",
            "RequestNotReadyForMedia",
            "RequestCancelNotReadyForMedia",
            "RequestChangeMediaStateReason",
        ),
        media,
    ),
    "RequestChangeAgentStateReason": reason,
    "RequestAgentState": agent_state,
    **dict.fromkeys(("RequestDoNotDisturbOn", "RequestDoNotDisturbOff"), disturb),
    "RequestSubmit": submit,
    "RequestPlaceInQueue": place_in_queue,
    "RequestPlaceInWorkbin": place_in_workbin,
    "RequestStopProcessing": stop,
    "RequestChangeProperties": change,
    "RequestGetInteractionProperties": get,
    "RequestFindInteractions": find,
    **dict.fromkeys(("RequestHold", "RequestResume"), hold),
    "RequestPull": pull,
    "RequestDeliver": deliver,
    **dict.fromkeys(("RequestTransfer", "RequestConference"), offer),
    "RequestIntrude": intrude,
    "RequestAccept": accept,
    "RequestReject": reject,
    "RequestLeaveInteraction": leave,
    "RequestUpdateActivity": activity,
    "RequestDistributeEvent": nothing,
    "RequestGetWorkbinContent": content,
    "RequestWorkbinStatistic": statistic,
    "RequestWorkbinTypesInfo": types,
    **dict.fromkeys(("RequestWorkbinNotifications", "RequestWorkbinCancelNotifications"), notify),
    **dict.fromkeys(("RequestPauseQueue", "RequestResumeQueue"), pause),
    "RequestGetQueues": queues,
    "RequestPurgeQueue": purge,
    **dict.fromkeys(("RequestDrain", "RequestUndrain"), nothing),
    "RequestExplainInteraction": explain,
    "RequestTakeSnapshot": take_snapshot,
    "RequestGetSnapshotInteractions": read_snapshot,
    "RequestReleaseSnapshot": release_snapshot,
    "RequestMoveInteractions": move,
    "RequestLockInteraction": lock,
    "RequestUnlockInteraction": unlock,
    "RequestStartPlaceAgentStateReportingAll": state,
    "RequestStopPlaceAgentStateReportingAll": nothing,
}
