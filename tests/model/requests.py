"""Requests that make sense often enough: drawn from what there is, and now and then from what there is not."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tests.model.plain import MEDIA, ORDERS, QUEUES, Document, Plain
from tests.model.things import HANDLING, Client

AGENTS = {"desk1": ("VICKY", "P1"), "desk2": ("ANAT", None), "desk3": ("ZOHAR", "P2")}
"""Which agent a client logs in as."""
CLIENTS = {
    "media": "MediaServer",
    "engine1": "RoutingEngine",
    "engine2": "RoutingEngine",
    **dict.fromkeys(AGENTS, "AgentApplication"),
    "report": "ReportingEngine",
    "monitor": "Monitor",
}
WORKBINS = [
    {"type": "Drafts"},
    {"type": "Drafts", "agent_id": "VICKY"},
    {"type": "Notes", "agent_id": "ANAT"},
    {"type": "Notes"},
    {"type": "Team", "agent_group": "Support"},
    {"type": "Desk", "place_id": "P1"},
]
HOLD = {"pull-for-strategy": 1}


class Author:
    """Writes requests."""

    def __init__(self, chance: Random, plain: Plain, client: Client) -> None:
        self.chance = chance
        self.plain = plain
        self.client = client

    def one(self, *things: Any) -> Any:
        return self.chance.choice(things)

    def some(self) -> bool:
        return self.chance.random() < 0.5

    def seldom(self) -> bool:
        return self.chance.random() < 0.12

    def item(self) -> str:
        """An item, best one that this client has to do with."""
        items = list(self.plain.items.values())
        agent = self.plain.agent_of(self.client)
        names = {self.client.session, agent.key if agent else None}
        own = [item.ident for item in items if item.holding and names.intersection(item.holding.holders)]
        if own and not self.seldom():
            return str(self.one(*own))
        return str(self.one(*[item.ident for item in items][-20:] or ["nowhere"], *["nowhere"] * self.seldom()))

    def write(self, name: str) -> Document:
        """A request of that name."""
        return {"message": name, **WRITERS[name](self)}


def _item(author: Author) -> Document:
    fields: Document = {"interaction_id": author.item()}
    if author.seldom():
        item = author.plain.items.get(fields["interaction_id"])
        known = item.holding.token if item and item.holding else None
        fields["token"] = author.one(1, known or 1)
        if item and item.holding and item.holding.token is None:
            del fields["token"]  # nobody knows it
    return fields


def _changing(author: Author) -> Document:
    fields = _item(author)
    if author.some():
        fields["changed_properties"] = author.one({"priority": 7}, {"note": "x"}, {"priority": 1, "note": [1]})
    if author.seldom():
        fields["deleted_properties"] = ["note"]
    return fields


def _submit(author: Author) -> Document:
    fields: Document = {
        "tenant_id": 101,
        "media_type": author.one(*MEDIA),
        "priority": author.one(0, 5, 9),
        "received_at": 1_790_000_000.0 + author.one(1, 2, 3, 4),
        "user_data": author.one({}, {"Subject": "x"}, {"handling-timeout": 1}),
    }
    where = author.one("queue", "queue", "queue", "bin", "both")
    if where != "bin":
        fields["queue"] = author.one("Inbound", "Inbound", "Done", "Fair", *["Off", "Nowhere"] * author.seldom())
    if where != "queue":
        fields["workbin"] = author.one(*WORKBINS)
    if author.seldom():
        fields["scheduled_at"] = author.plain.now + author.one(3.0, 20.0)
    if author.seldom():
        fields["interaction_id"] = author.one("mine1", "mine2")
    return fields


def _pull(author: Author) -> Document:
    fields: Document = {"tenant_id": 101, "count": author.one(1, 1, 2, 5)}
    kind = author.one("view", "view", "view", "ids", "bin")
    if kind == "view":
        fields["view_id"] = author.one(*ORDERS)
        if author.some():
            fields["extension"] = HOLD
    elif kind == "ids":
        fields |= {"view_id": "_system_", "pull_parameters": {"interaction_ids": list({author.item(), author.item()})}}
    else:
        workbin = author.one(*WORKBINS)
        fields |= {"view_id": f"{workbin['type']}/PrivateView", "workbin": workbin}
    if author.seldom():
        fields["ignore_hold"] = True
    return fields


def _login(author: Author) -> Document:
    agent_id, place_id = AGENTS.get(author.client.name, ("VICKY", None))
    fields: Document = {
        "tenant_id": 101,
        "agent_id": agent_id,
        "media_list": author.one({"voice": 1}, dict.fromkeys(MEDIA, 1)),
    }
    if place_id or author.seldom():
        fields["place_id"] = author.one("P1", "P9") if author.seldom() else place_id or "P8"
    return fields


def _target(author: Author) -> Document:
    fields = _item(author)
    others = [agent for agent in author.plain.agents.values() if author.client.name not in agent.clients]
    willing = [agent for agent in others if not agent.donot_disturb and not author.seldom()] or others
    fields["agent_id"] = author.one(*[agent.agent_id for agent in willing] or ["VICKY"])
    if author.some():
        fields["timeout"] = author.one(5, 60)
    return fields


def _answer(author: Author) -> Document:
    agent = author.plain.agent_of(author.client)
    there = list(author.plain.invitations.values())
    own = [one for one in there if agent and one.agent == agent.key] or there
    if own and not author.seldom():
        invitation = author.one(*own)
        return {"interaction_id": invitation.ident, "ticket_id": invitation.ticket}
    item = author.plain.items.get(author.item())
    token = item.holding.token if item and item.holding and item.holding.token else 1
    return {"interaction_id": item.ident if item else "nowhere", "ticket_id": token}


def _snapshot(author: Author) -> Document:
    own = [one.ident for one in author.plain.snapshots.values() if one.session == author.client.session]
    known = own if own and not author.seldom() else [*author.plain.snapshots, "none"]
    return {"snapshot_id": author.one(*known)}


def _take(author: Author) -> Document:
    what = {"view_id": "Inbound/all"} if author.some() else {"condition": "priority >= 0"}
    return {"tenant_id": 101, **what, "lock": int(author.some())}


def _bin(author: Author) -> Document:
    return {"tenant_id": 101, "workbin": author.one(*WORKBINS)}


def _reason(author: Author) -> Document:
    return {"reason": author.one({"reason_system_name": "Lunch"}, "why not", 7)} if author.some() else {}


def _media(author: Author) -> Document:
    return {"media_type": author.one(*MEDIA), **_reason(author)}


def _whose(author: Author) -> Document:
    if author.client.kind == "AgentApplication" and author.some():
        return {}
    return {"tenant_id": 101, "agent_id": author.one(*AGENTS.values())[0]}


def _nothing(author: Author) -> Document:
    return {}


WRITERS: dict[str, Callable[[Author], Document]] = {
    "RequestUnregisterClient": _nothing,
    "RequestPing": _nothing,
    "RequestGetStatus": _nothing,
    "RequestAgentLogin": _login,
    "RequestAgentLogout": _nothing,
    "RequestAddMedia": _media,
    "RequestRemoveMedia": _media,
    "RequestNotReadyForMedia": _media,
    "RequestCancelNotReadyForMedia": _media,
    "RequestDoNotDisturbOn": _reason,
    "RequestDoNotDisturbOff": _reason,
    "RequestChangeMediaStateReason": _media,
    "RequestChangeAgentStateReason": _reason,
    "RequestAgentState": _whose,
    "RequestSubmit": _submit,
    "RequestPlaceInQueue": lambda author: {**_changing(author), "queue": author.one(*QUEUES[:2], *QUEUES)},
    "RequestPlaceInWorkbin": lambda author: {**_changing(author), "workbin": author.one(*WORKBINS)},
    "RequestStopProcessing": _changing,
    "RequestChangeProperties": _changing,
    "RequestGetInteractionProperties": _item,
    "RequestFindInteractions": lambda author: {
        "condition": f"priority >= {author.one(0, 5)}",
        "order": "priority desc, received_at",
        "count": author.one(2, 1000),
    },
    "RequestHold": _item,
    "RequestResume": _item,
    "RequestPull": _pull,
    "RequestDeliver": _target,
    "RequestTransfer": _target,
    "RequestConference": _target,
    "RequestIntrude": _item,
    "RequestAccept": _answer,
    "RequestReject": _answer,
    "RequestLeaveInteraction": _item,
    "RequestUpdateActivity": lambda author: {**_item(author), "activity": {"is": "typing"}},
    "RequestDistributeEvent": lambda author: {"tenant_id": 101, "media_type": "voice", "event_id": 5, "body": {"a": 1}},
    "RequestGetWorkbinContent": _bin,
    "RequestWorkbinStatistic": _bin,
    "RequestWorkbinTypesInfo": lambda author: {"tenant_id": 101},
    "RequestWorkbinNotifications": _bin,
    "RequestWorkbinCancelNotifications": _bin,
    "RequestPauseQueue": lambda author: {"queue": author.one("Inbound", "Done")},
    "RequestResumeQueue": lambda author: {"queue": author.one("Inbound", "Done")},
    "RequestGetQueues": _nothing,
    "RequestPurgeQueue": lambda author: {
        "queue": author.one("Inbound", "Done"),
        "condition": f"priority >= {author.one(3, 8)}",
        "count": author.one(1, 2),
    },
    "RequestDrain": lambda author: {"node": "n1"},
    "RequestUndrain": lambda author: {"node": "n1"},
    "RequestExplainInteraction": _item,
    "RequestTakeSnapshot": _take,
    "RequestGetSnapshotInteractions": lambda author: {
        **_snapshot(author),
        "start_from": 0,
        "number_of_interactions": 1000,
    },
    "RequestReleaseSnapshot": _snapshot,
    "RequestMoveInteractions": lambda author: {**_snapshot(author), "queue": author.one("Done", "Inbound", "Off")},
    "RequestLockInteraction": _item,
    "RequestUnlockInteraction": _item,
    "RequestStartPlaceAgentStateReportingAll": _nothing,
    "RequestStopPlaceAgentStateReportingAll": _nothing,
}
OF_HOLDERS = {
    "AgentApplication": (
        "RequestPlaceInQueue",
        "RequestPlaceInWorkbin",
        "RequestTransfer",
        "RequestConference",
        "RequestStopProcessing",
        "RequestChangeProperties",
        "RequestHold",
        "RequestLeaveInteraction",
        "RequestUpdateActivity",
    ),
    "RoutingEngine": ("RequestDeliver", "RequestDeliver", "RequestPlaceInQueue", "RequestStopProcessing"),
}


def likely(plain: Plain) -> list[tuple[Client, str]]:
    """Who might go on with what: those that have something, and those that were offered something."""
    chances: list[tuple[Client, str]] = []
    for client in plain.clients.values():
        agent = plain.agent_of(client)
        names = {client.session, agent.key if agent else None}
        if any(item.holding and names.intersection(item.holding.holders) for item in plain.items.values()):
            chances += [(client, name) for name in OF_HOLDERS[client.kind]]
        if agent and any(one.agent == agent.key for one in plain.invitations.values()):
            chances += [(client, "RequestAccept")] * 6 + [(client, "RequestReject")]
        if agent and any(item.state == HANDLING for item in plain.items.values()):
            chances.append((client, "RequestIntrude"))
    return chances


OFTEN = (
    "RequestSubmit",
    "RequestSubmit",
    "RequestPull",
    "RequestPull",
    "RequestDeliver",
    "RequestAccept",
    "RequestAccept",
    "RequestAgentLogin",
    "RequestPlaceInQueue",
    "RequestTransfer",
    "RequestConference",
)
SELDOM = frozenset({"RequestUnregisterClient", "RequestAgentLogout"})
