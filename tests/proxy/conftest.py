"""A proxy core with a clock of its own, clients that speak JSON to it, and scripted nodes behind it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from broker.conditions import compile_order
from broker.config.objects import (
    Addresses,
    Configuration,
    MediaType,
    Node,
    NodeClusterSettings,
    Proxy,
    ProxySettings,
    Queue,
    Tenant,
    View,
)
from broker.messages import REQUESTS, encode
from broker.messages.objects import Interaction
from broker.wire import LISTED, PackedEvents, PackedReplies, PackedReply, PackedRequest, Rows
from proxy.core import ProxyCore
from tests.orders import obey_proxy

START = 1_790_000_000.0
STEP_S = 0.02

Answer = dict[str, Any] | bytes | None


def make_configuration(
    names: tuple[str, ...] = ("n1", "n2", "n3"),
    cluster: dict[str, NodeClusterSettings] | None = None,
    **settings: Any,
) -> Configuration:
    """Nodes behind one proxy ``p1``, two tenants; ``settings`` are the proxy's, ``cluster`` those of single nodes."""
    addresses = Addresses(requests="tcp://127.0.0.1:1", events="tcp://127.0.0.1:2")
    media = {"voice": MediaType(), "email": MediaType(), "fax": MediaType(enabled=False)}
    return Configuration(
        tenants={101: Tenant(name="Bank", media_types=media), 102: Tenant(name="Shop", media_types=media)},
        nodes={
            name: Node(
                database=f"sqlite:///{name}.db",
                primary=addresses,
                backup=addresses,
                cluster_settings=(cluster or {}).get(name, NodeClusterSettings()),
            )
            for name in names
        },
        proxies={"p1": Proxy(primary=addresses, connections=list(names), settings=ProxySettings(**settings))},
        queues={"Inbound": Queue(tenant=101), "Shop": Queue(tenant=102)},
        views={
            "Inbound/all": View(queue="Inbound", order="priority desc, received_at"),
            "Shop/all": View(queue="Shop"),
        },
    )


class FakeNode:
    """A node that answers as it was told to.

    ``script[message]`` is a reply (dict or bytes), a function of the request that gives one, or None for silence. What
    is not in the script is acknowledged. ``log`` has the clients' requests, ``seen`` the link's own. ``agents`` is what
    it has acknowledged of agents, by client and ids; it tells their applications, as nodes do.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.active: str | None = "primary"
        self.epoch = 1
        self.deaf = False
        self.script: dict[str, Any] = {}
        self.log: list[tuple[PackedRequest, dict[str, Any]]] = []
        self.seen: list[tuple[PackedRequest, dict[str, Any]]] = []
        self.known: set[int] = set()
        self.agents: dict[tuple[int, Any, Any], dict[str, Any]] = {}
        self.heads: dict[str, list[Any] | None] = {}
        self.behind: dict[str, list[list[Any]]] = {}
        """By view: the keys behind the head."""
        self.reach: dict[str, int] = {}
        """By view: how many keys the proxy wants to be told."""
        self.outgoing: list[PackedReply] = []

    def take(self, member: str, requests: list[PackedRequest]) -> None:
        """What the proxy has sent to one of the members."""
        if self.deaf or member != self.active:
            return
        for entry in requests:
            request = json.loads(entry.payload)
            answer = self._answer(entry, request)
            if answer is not None:
                self.reply(entry, answer)

    def _answer(self, entry: PackedRequest, request: dict[str, Any]) -> Answer:
        message = request["message"]
        own = message in OWN or entry.client == 0
        (self.seen if own else self.log).append((entry, request))
        if message == "RequestRegisterClient" and message not in self.script:
            self.known.add(entry.client)
            return {"message": "EventAck"}
        if entry.client not in self.known:
            return {"message": "EventError", "code": 1, "text": "Client is not registered"}
        if message == "RequestUnregisterClient" and message not in self.script:
            self.known.discard(entry.client)
        if message in self.script:
            said = self.script[message]
            return said(request) if callable(said) else said
        if message == "RequestWatchView":
            self.reach[request["view_id"]] = request.get("keys", 1)
            return self.head(request["view_id"])
        if message == "RequestRecall":
            return {"message": "EventRecalled"}
        if message == "RequestSnapshotOrder":
            return {"message": "EventSnapshotOrder"}
        return {"message": REQUESTS[message].reply if message in REQUESTS else "EventAck"}

    def head(self, view_id: str) -> dict[str, Any]:
        """The head of a view, as a reply and as a push."""
        head, behind = self.heads.get(view_id), self.behind.get(view_id, [])
        told = behind[: self.reach.get(view_id, 1) - 1]
        depth = 0 if head is None else 1 + len(behind)
        return {"message": "EventViewHead", "view_id": view_id, "head": head, "next": told, "depth": depth}

    def reply(self, entry: PackedRequest, answer: dict[str, Any] | bytes) -> None:
        """Answers a request, now or again."""
        payload = answer if isinstance(answer, bytes) else json.dumps(answer, separators=(",", ":")).encode()
        code = answer.get("code", 0) if isinstance(answer, dict) and answer["message"] == "EventError" else 0
        if isinstance(answer, dict) and answer["message"] == "EventAck":
            self._follow(entry.client, json.loads(entry.payload))
        if isinstance(answer, dict) and answer["message"] == "EventSnapshotOrder":
            rows = Rows([self.name.encode()], [b""], False)
            self.outgoing.append(PackedReply(entry.number, entry.client, 0, b"", rows))
        elif isinstance(answer, dict) and "interactions" in answer and entry.flags & LISTED:
            rows = rows_of(json.loads(entry.payload).get("order", ""), answer)
            self.outgoing.append(PackedReply(entry.number, entry.client, 0, b"", rows))
        else:
            self.outgoing.append(PackedReply(entry.number, entry.client, code, payload))

    def _follow(self, client: int, request: dict[str, Any]) -> None:
        """What an acknowledged request makes of an agent, and the word about it."""
        message, who = request["message"], (request.get("agent_id"), request.get("place_id"))
        if message in ("RequestAgentLogin", "RequestAlignAgent"):
            disturb = request.get("donot_disturb", False)
            self.agents[client, *who] = {"media": dict(request.get("media_list", {})), "donot_disturb": disturb}
        key = next((key for key in self.agents if key[0] == client and who in (key[1:], (None, None))), None)
        if key is None:
            return
        if message == "RequestAgentLogout":
            del self.agents[key]
        elif message in (*CHANGES, "RequestAgentLogin", "RequestAlignAgent"):
            state = self.agents[key]
            CHANGES.get(message, lambda *_: None)(state, request)
            note = {"media_state_list": state["media"], "donot_disturb": state["donot_disturb"], "by": self.name}
            self.notify(client, message="EventCurrentAgentStatus", agent_id=key[1], place_id=key[2], **note)

    def push(self, view_id: str, head: list[Any] | None) -> None:
        """Tells the proxy of a new head."""
        self.heads[view_id] = head
        payload = json.dumps(self.head(view_id), separators=(",", ":")).encode()
        self.outgoing.append(PackedReply(0, 0, 0, payload))

    def notify(self, client: int, **note: Any) -> None:
        """Tells a client something."""
        self.outgoing.append(PackedReply(0, client, 0, json.dumps(note, separators=(",", ":")).encode()))

    def beat(self, now: float, **fields: Any) -> PackedEvents:
        """A heartbeat of the active member."""
        values: dict[str, Any] = {
            "role": "active",
            "member": self.active,
            "epoch": self.epoch,
            "us": int(now * 1e6),
            "next_seq": 1,
            "first_seq": 1,
            "events": [],
        }
        return PackedEvents(node=self.name, **{**values, **fields})

    def fail_over(self) -> None:
        """The other member takes over; it knows none of the links' sessions."""
        self.active = "backup" if self.active == "primary" else "primary"
        self.epoch += 1
        self.known.clear()
        self.outgoing.clear()

    def asked(self, message: str = "") -> list[dict[str, Any]]:
        """The clients' requests that have come, of one name or all."""
        return [request for _, request in self.log if message in ("", request["message"])]

    def flags(self, message: str) -> list[int]:
        """The flags they came with."""
        return [entry.flags for entry, request in self.log if request["message"] == message]


CHANGES: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "RequestAddMedia": lambda agent, request: agent["media"].update({request["media_type"]: request.get("state", 1)}),
    "RequestRemoveMedia": lambda agent, request: agent["media"].pop(request["media_type"], None),
    "RequestNotReadyForMedia": lambda agent, request: agent["media"].update({request["media_type"]: 0}),
    "RequestCancelNotReadyForMedia": lambda agent, request: agent["media"].update({request["media_type"]: 1}),
    "RequestDoNotDisturbOn": lambda agent, request: agent.update(donot_disturb=True),
    "RequestDoNotDisturbOff": lambda agent, request: agent.update(donot_disturb=False),
}
"""What requests change of an agent."""


def rows_of(order: str, found: dict[str, Any]) -> Rows:
    """A node's list of interactions as a proxy gets it that merges it with others."""
    mark, given = compile_order(order).mark, found["interactions"]
    interactions = [msgspec.convert({**BLANK, **one}, Interaction) for one in given]
    return Rows(list(map(mark, interactions)), list(map(encode, given)), found.get("more", False))


BLANK = {field.name: "" if field.type is str else 0 for field in msgspec.structs.fields(Interaction) if field.required}
BLANK["queue"] = "Inbound"


OWN = ("RequestRegisterClient", "RequestUnregisterClient", "RequestWatchView", "RequestGetStatus")


class World:
    """A proxy core among its nodes. ``file`` is what its configuration file says by now."""

    def __init__(self, configuration: Configuration, *, beaten: bool = True) -> None:
        self.configuration = self.file = configuration
        self.now = START
        self.core = ProxyCore("p1", "b007", configuration)
        self.nodes = {name: FakeNode(name) for name in configuration.nodes}
        self.replies: dict[tuple[bytes, Any], list[dict[str, Any]]] = {}
        self.notes: dict[bytes, list[dict[str, Any]]] = {}
        self._refs = 0
        if beaten:
            self.beat()
            self.flow()

    def __getitem__(self, name: str) -> FakeNode:
        return self.nodes[name]

    # -- time

    def beat(self) -> None:
        """A heartbeat of every node that has an active member and is not deaf."""
        for node in self.nodes.values():
            if node.active is not None and not node.deaf:
                self.core.heard(self.now, node.beat(self.now))

    def flow(self) -> None:
        """Carries requests and replies until all is quiet."""
        self.core.tick(self.now)
        for _ in range(1000):
            if not self._carry():
                return
        raise AssertionError("the proxy and its nodes do not come to rest")

    def _carry(self) -> bool:
        obey_proxy(self.core, self.now, self.file)
        out = self.core.take()
        for source, ref, payload in out.replies:
            said = json.loads(payload)
            if ref is None:
                self.notes.setdefault(source, []).append(said)
            else:
                self.replies.setdefault((source, ref), []).append(said)
        for (name, member), requests in out.links.items():
            assert out.settled[name] <= min(entry.number for entry in requests)
            self.nodes[name].take(member, requests)
        return self._return() or bool(out.links)

    def _return(self) -> bool:
        moved = False
        for name, node in self.nodes.items():
            if node.outgoing:
                moved = True
                replies, node.outgoing = node.outgoing, []
                self.core.replies(self.now, name, node.active or "primary", PackedReplies(node.epoch, replies))
        return moved

    def run(self, seconds: float) -> None:
        """Lets time pass, in steps of a heartbeat."""
        until = self.now + seconds
        while self.now < until - 1e-9:
            self.now = min(self.now + STEP_S, until)
            self.beat()
            self.flow()

    def kill(self, name: str) -> None:
        """Nobody serves the node any more, and nobody says so."""
        self.nodes[name].active = None

    # -- clients

    def client(self, source: bytes, kind: str = "AgentApplication", **fields: Any) -> bytes:
        """Registers a client; returns its source."""
        reply = self.ask(source, "RequestRegisterClient", client_name=source.decode(), client_type=kind, **fields)
        assert reply["message"] == "EventAck", reply
        return source

    def send(self, source: bytes, message: str | bytes, **fields: Any) -> Any:
        """Sends a request without waiting; returns its ref."""
        self._refs += 1
        payload = message if isinstance(message, bytes) else json.dumps({"message": message, **fields}).encode()
        self.core.receive(self.now, source, self._refs, payload)
        return self._refs

    def ask(self, source: bytes, message: str | bytes, **fields: Any) -> dict[str, Any]:
        """The reply to a request that is answered without time passing."""
        ref = self.send(source, message, **fields)
        self.flow()
        return self.reply(source, ref)

    def reply(self, source: bytes, ref: Any) -> dict[str, Any]:
        """The one reply to a request."""
        replies = self.replies.get((source, ref), [])
        assert len(replies) == 1, f"{len(replies)} replies"
        return replies[0]

    def is_answered(self, source: bytes, ref: Any) -> bool:
        """Whether a request has its reply."""
        return (source, ref) in self.replies

    def number_of(self, source: bytes) -> int:
        """A client's number in packed frames."""
        return self.core.sessions.by_source[source].client


@pytest.fixture
def make_world() -> Callable[..., World]:
    """``make_world(names, cluster=…, beaten=…, change=…, **settings)``: a proxy and its nodes, linked unless not
    ``beaten``; ``change(configuration)`` sets what is no setting of the proxy."""

    def make(names: tuple[str, ...] = ("n1", "n2", "n3"), **settings: Any) -> World:
        beaten, change = settings.pop("beaten", True), settings.pop("change", None)
        configuration = make_configuration(names, **settings)
        if change is not None:
            change(configuration)
        return World(configuration, beaten=beaten)

    return make


@pytest.fixture
def world() -> World:
    """A proxy with three nodes, all there."""
    return World(make_configuration())
