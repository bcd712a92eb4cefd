"""A cluster in memory: real proxy cores wired to real node cores; what one says the others hear at once.

No socket, no disk, no clock: time is the test's own and passes only in :meth:`World.run`. Everything that goes between
a proxy and a node is packed into a frame and unpacked again, and a node's batches are kept as its journal's rows, so a
node can be lost and come back as its other member.
"""

from __future__ import annotations

import json
from typing import Any

from broker.config.objects import (
    Addresses,
    Configuration,
    MediaType,
    Node,
    NodeSettings,
    Proxy,
    ProxySettings,
    Queue,
    Tenant,
    View,
    WorkbinType,
)
from broker.wire import (
    PackedEvents,
    PackedReplies,
    PackedReply,
    PackedRequests,
    pack,
    unpack_events,
    unpack_published,
    unpack_replies,
    unpack_requests,
)
from node.calls import packed_reply
from node.core import NodeCore
from node.journal import encode_changes
from node.past import replay
from node.store import Past
from proxy.core import ProxyCore
from tests.orders import obey_node, obey_proxy, standby

START = 1_790_000_000.0
STEP_S = 0.02
"""A heartbeat."""
OTHER = {"primary": "backup", "backup": "primary"}
AT_ONCE = 1000
"""Rounds after which a cluster that still speaks will never come to rest."""


def make_configuration(
    nodes: int = 3, proxies: int = 2, node_settings: NodeSettings | None = None, **settings: Any
) -> Configuration:
    """``nodes`` pairs behind ``proxies``, one tenant with queues and views. :param settings: the proxies'"""
    addresses = Addresses(requests="tcp://127.0.0.1:1", events="tcp://127.0.0.1:2")
    names = [f"n{number}" for number in range(1, nodes + 1)]
    return Configuration(
        tenants={101: Tenant(name="Bank", media_types={"voice": MediaType(), "email": MediaType()})},
        nodes={
            name: Node(
                database=f"sqlite:///{name}.db",
                primary=addresses,
                backup=addresses,
                settings=node_settings or NodeSettings(),
            )
            for name in names
        },
        proxies={
            f"p{number}": Proxy(primary=addresses, connections=names, settings=ProxySettings(**settings))
            for number in range(1, proxies + 1)
        },
        queues={"Inbound": Queue(tenant=101), "PS": Queue(tenant=101)},
        views={
            "Inbound/all": View(queue="Inbound", order="priority desc, received_at"),
            "PS/all": View(queue="PS", order="priority desc, received_at"),
        },
        workbins={"Drafts": WorkbinType(owner="agent", order="priority desc, received_at")},
    )


class Journal:
    """The rows of one node; also what past events are read from, as from a store."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, bytes, bytes]] = []

    def events(self, after_us: int, limit: int) -> Past:
        """As :meth:`node.store.Store.events`."""
        batches = [unpack_events(events) for _, _, events in self.rows if events]
        past = [
            (seq, event)
            for batch in batches
            for seq, event in enumerate(batch.events, batch.first_seq)
            if event.us > after_us
        ]
        return Past(past[0][0] if past else 0, [event for _, event in past[:limit]], len(past) > limit)


class Pair:
    """A node: its active member's core, and the journal that outlives it. ``core`` is None while nobody serves."""

    def __init__(self, name: str, configuration: Configuration, now: float) -> None:
        self.name = name
        self.configuration = configuration
        self.journal = Journal()
        self.member = "backup"
        self.epoch = 0
        self.core: NodeCore | None = None
        self.take_over(now)

    def take_over(self, now: float) -> None:
        """The other member knows what is in the journal, and serves."""
        self.member = OTHER[self.member]
        self.epoch += 1
        self.core = NodeCore(self.name, self.configuration, self.member)
        for us, changes, events in self.journal.rows:
            self.core.apply(us, changes, events)
        self.core.activate(now, self.epoch, "test")

    def batch(self, now: float) -> tuple[PackedEvents, dict[bytes, list[PackedReply]], list[Any]] | None:
        """One turn of the active member, as its shell does it: published, packed replies by link, direct replies."""
        core = self.core
        if core is None:
            return None
        core.tick(now)
        obey_node(core, now, self.configuration, standby(core))
        batch = core.take(now)
        if batch.changes or batch.events.events:
            changes = encode_changes(batch.changes) if batch.changes else b""
            self.journal.rows.append((batch.us, changes, batch.packed_events()))
        read = [
            (one.source, one.ref, *replay(self.journal, self.name, one, core.clock.promise(now))) for one in batch.reads
        ]
        packed: dict[bytes, list[PackedReply]] = {}
        direct: list[Any] = []
        for reply in [*batch.replies, *read]:
            (peer, _), ref, payload, _ = reply
            if peer.startswith(b"link:"):
                packed.setdefault(peer, []).append(packed_reply(reply))
            else:
                direct.append((peer, ref, payload))
        published = PackedEvents(
            node=self.name,
            member=self.member,
            role="active",
            epoch=self.epoch,
            us=core.clock.promise(now),
            next_seq=core.memory.counters.next_seq,
            first_seq=batch.events.first_seq,
            events=batch.events.events,
        )
        return published, packed, direct


class Client:
    """A client of a proxy or node: asks, and keeps every answer and notification.

    :param at: the name of its server
    """

    def __init__(self, world: World, at: str, name: str) -> None:
        self.world = world
        self.at = at
        self.source = name.encode()
        self.answers: dict[int, list[dict[str, Any]]] = {}
        self.notes: list[dict[str, Any]] = []
        world.clients[at, self.source] = self

    def send(self, message: str | bytes, **fields: Any) -> int:
        """Asks without waiting. :returns: the number to look for in ``answers``"""
        number = self.world.number()
        payload = message if isinstance(message, bytes) else json.dumps({"message": message, **fields}).encode()
        self.answers[number] = []
        self.world.deliver(self.at, self.source, number, payload)
        return number

    def ask(self, message: str | bytes, **fields: Any) -> dict[str, Any]:
        """The one answer, which has to come before any time passes."""
        number = self.send(message, **fields)
        self.world.settle()
        return self.answer(number)

    def answer(self, number: int) -> dict[str, Any]:
        """The one answer to a request."""
        answers = self.answers[number]
        assert len(answers) == 1, f"{len(answers)} answers"
        return answers[0]


class World:
    """All of it. ``stream`` has what each proxy has published: ``(topic, cursor, payload)``."""

    def __init__(self, configuration: Configuration | None = None) -> None:
        self.configuration = configuration or make_configuration()
        self.now = START
        self.pairs = {name: Pair(name, self.configuration, self.now) for name in self.configuration.nodes}
        self.proxies = {name: ProxyCore(name, f"boot{name}", self.configuration) for name in self.configuration.proxies}
        self.stream: dict[str, list[tuple[bytes, bytes, bytes]]] = {name: [] for name in self.proxies}
        self.clients: dict[tuple[str, bytes], Client] = {}
        self._last = 0
        self.run(0.1)

    def number(self) -> int:
        """A fresh reference for a request."""
        self._last += 1
        return self._last

    # -- clients

    def client(self, kind: str, at: str = "p1", name: str = "", **fields: Any) -> Client:
        """A registered client."""
        client = Client(self, at, name or f"{kind}-{self.number()}")
        fields = {"client_name": client.source.decode(), "client_type": kind, **fields}
        assert client.ask("RequestRegisterClient", **fields)["message"] == "EventAck"
        return client

    def deliver(self, at: str, source: bytes, number: int, payload: bytes) -> None:
        """A client's request arrives. A node is asked under another kind of reference, as its shell does it."""
        if at in self.proxies:
            self.proxies[at].receive(self.now, source, number, payload)
        else:
            core = self.pairs[at].core
            if core is not None:
                core.receive(self.now, (source, 0), str(number).encode(), payload)

    def _answered(self, at: str, source: bytes, ref: Any, payload: bytes) -> None:
        client = self.clients[at, source]
        said = json.loads(payload)
        if ref is None:
            client.notes.append(said)
        else:
            client.answers[int(ref)].append(said)

    # -- what happens

    def lose(self, name: str) -> None:
        """Nobody serves the node any more, and nobody says so."""
        self.pairs[name].core = None

    def lose_proxy(self, name: str) -> None:
        """A proxy is dead. The nodes see that its connection is gone, its clients hear nothing."""
        del self.proxies[name]
        for pair in self.pairs.values():
            if pair.core is not None:
                pair.core.lost(self.now, b"link:" + name.encode())

    def add(self, name: str) -> None:
        """One more node is started. The proxies hear of it with the next configuration."""
        self.pairs[name] = Pair(name, self.configuration, self.now)

    def take_over(self, name: str) -> None:
        """The node's other member serves it from now on."""
        self.pairs[name].take_over(self.now)

    def run(self, seconds: float) -> None:
        """Lets time pass, in steps of a heartbeat."""
        until = self.now + seconds
        while self.now < until - 1e-9:
            self.now = min(self.now + STEP_S, until)
            self.settle()

    def settle(self) -> None:
        """Carries everything to whom it is for, until all is quiet. Every node has its heartbeat."""
        for beat in (True, *[False] * AT_ONCE):
            said = [self._turn_of_node(pair, beat) for pair in self.pairs.values()]
            said += [self._turn_of_proxy(name, proxy) for name, proxy in self.proxies.items()]
            if not any(said):
                return
        raise AssertionError("the cluster does not come to rest")

    def _turn_of_node(self, pair: Pair, beat: bool) -> bool:
        said = pair.batch(self.now)
        if said is None:
            return False
        published, packed, direct = said
        if beat or published.events:
            frame = pack(published)
            for proxy in self.proxies.values():
                if (pair.name, pair.member) in proxy.nodes.reached:
                    proxy.heard(self.now, unpack_published(frame))
        for peer, replies in packed.items():
            self.reply(pair, peer[5:].decode(), replies)
        for peer, ref, payload in direct:
            self._answered(pair.name, peer, ref, payload)
        return bool(published.events or packed or direct)

    def reply(self, pair: Pair, proxy: str, replies: list[PackedReply]) -> None:
        """What a node's active member says to a proxy arrives."""
        if proxy not in self.proxies or (pair.name, pair.member) not in self.proxies[proxy].nodes.reached:
            return
        frame = pack(PackedReplies(pair.epoch, replies))
        self.proxies[proxy].replies(self.now, pair.name, pair.member, unpack_replies(frame))

    def request(self, proxy: str, pair: Pair, member: str, requests: PackedRequests) -> None:
        """What a proxy sends to a member of a node arrives."""
        frame = pack(requests)
        if pair.core is not None and pair.member == member:
            pair.core.receive_link(self.now, b"link:" + proxy.encode(), unpack_requests(frame))

    def _turn_of_proxy(self, name: str, proxy: ProxyCore) -> bool:
        proxy.tick(self.now)
        obey_proxy(proxy, self.now, self.configuration)
        out = proxy.take()
        for (node, member), requests in out.links.items():
            self.request(name, self.pairs[node], member, PackedRequests(out.settled[node], requests))
        for source, ref, payload in out.replies:
            self._answered(name, source, ref, payload)
        self.stream[name] += out.publish
        return bool(out.links or out.replies or out.publish)
