"""The proxy's core: what clients ask goes to the nodes that it concerns, what nodes answer becomes one reply.

    receive   filter    a head is decoded (heads), the session looked up (sessions), refused what may not be
              route     by the request's Route: forward, agents, pulls, byids, the stream's replays and states, own
              forward   the payload goes on as it is, under one number to all nodes that are asked (gather, links)
    replies   gather    an ask is over when all its nodes have answered, or are known not to in time
              merge     by the request's Merge the answers become one
              reply     once per call (calls)
    heard     heartbeats say which member of a pair serves (links); events go to the merged stream
    tick      deadlines: asks, holds, sessions, silent members
    take      what the shell shall send: replies, packed requests by node and member, merged events

Nothing waits, and nothing is raised whatever comes. A request class of a known Route and Merge needs nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from msgspec.structs import replace

from broker.config.changes import fingerprint
from broker.config.objects import Configuration
from broker.errors import Code, Refusal
from broker.ledger import STRANGER, Ledger
from broker.messages import encode, error_payload
from broker.messages.connection import RequestPing, RequestRegisterClient
from broker.messages.faults import not_for
from broker.messages.kinds import AGENTS, ClientType, Request, Route
from broker.messages.pulls import BY_IDS
from broker.messages.routing import RequestDeliver
from broker.messages.snapshots import RequestTakeSnapshot
from broker.wire import PackedEvents, PackedReplies, PackedReply, PackedRequest

from .agents import Agents
from .byids import ByIds
from .calls import Answered, Call, Calls
from .capacity import TAKING, Capacity
from .desk import Desk
from .forward import Forward
from .gather import READER, Done, Gather
from .heads import HEADS, as_answered, decode_head, request_of
from .links import SILENCE_S, Links, Patience
from .lookout import Lookout
from .nodes import Nodes
from .notices import Notices
from .own import Clients, Own, Self
from .pulls import Pulls
from .recalls import Recalls
from .reconfiguration import become
from .reporting import Reporting
from .reservations import Reservations
from .route import Routes
from .services import Services
from .sessions import Session, Sessions, hello
from .snapshots import Snapshots
from .strategies import Strategies
from .stream import MergeStream
from .topics import Topics
from .whereis import WhereIs
from .workbins import Workbins

LONGEST_STEP_S = 1.0
"""What one step of the caller's clock counts for at most; a healthy loop comes by several times a second."""


class Outbox(NamedTuple):
    """What the shell shall send.

    :param replies: ``(source, ref, payload)``; ``ref`` None is a notification
    :param links: packed requests by node and member; :param settled: of each of these nodes
    :param publish: ``(topic, cursor, payload)`` of the merged stream, in order
    """

    replies: list[Answered]
    links: dict[tuple[str, str], list[PackedRequest]]
    settled: dict[str, int]
    publish: list[tuple[bytes, bytes, bytes]]


class ProxyCore:
    """One proxy's decisions.

    :param boot: random hex of this start; it is part of the sessions at the nodes and never shown to clients
    :param member: ``primary`` or ``backup``; :param pid: of the process
    """

    def __init__(
        self, name: str, boot: str, configuration: Configuration, *, member: str = "primary", pid: int = 0
    ) -> None:
        self.name = name
        self.now = 0.0
        self._wall: float | None = None
        self.counts = Ledger(lambda: self._wall or 0.0)
        self.configuration = configuration = replace(configuration)
        self.settings = settings = replace(configuration.proxies[name].settings)
        nodes = configuration.nodes_of(name)
        tenants = frozenset(configuration.tenants)
        self.sessions = Sessions(name, boot, tenants, settings.max_clients, settings.keepalive_interval)
        keepalives = {node: configuration.nodes[node].settings.keepalive_interval for node in nodes}
        self.links = Links(keepalives, hello(name, boot), self._introduction, self._patience(nodes), self.counts)
        self.gather = Gather(name, self.links, self.counts, settings.max_pending_per_node)
        self.calls = Calls(name, settings.max_pending, self.counts)
        self.routes = Routes(configuration, nodes)
        self.whereis = WhereIs(nodes, settings.interaction_cache_size)
        desk = Desk(
            configuration=configuration,
            settings=settings,
            counts=self.counts,
            links=self.links,
            gather=self.gather,
            calls=self.calls,
            routes=self.routes,
            whereis=self.whereis,
        )
        self.forward = Forward(desk)
        self.snapshots = Snapshots(desk, self.forward)
        self.agents = Agents(desk)
        self.capacity = Capacity(desk, self.agents.meant)
        self.reservations = Reservations(desk)
        self.lookout = Lookout(desk)
        self.pulls = Pulls(desk, self.lookout)
        self.recalls = Recalls(desk)
        self.byids = ByIds(desk)
        self.workbins = Workbins(desk)
        self.strategies = Strategies(desk)
        self.services = Services(desk, self.sessions, self._take)
        self.topics = Topics(desk, self.sessions)
        clients = Clients(self.sessions, self.agents, self.strategies, self.services, self.topics)
        self.own = Own(Self(name, member, pid), desk, clients)
        self.stream = MergeStream(name, nodes, settings.stream_stall_timeout, settings.stream_buffer)
        self.own.figures.append(lambda: self.pulls.figures)
        self.own.figures.append(lambda: {"stream": self.stream.counters})
        self.reporting = Reporting(desk, self.stream, self.ask, nodes, self.topics)
        self.notices = Notices(desk, self.sessions, self.agents, self.lookout, self.capacity)
        takers = self._takers()
        self._plans = {head: (request, takers[request.route]) for head, request in HEADS.items()}
        self.nodes = Nodes(self)
        self._invitation_s = self._service_s = 0.0
        self._reckon()

    def _reckon(self) -> None:
        """What follows from the nodes' own options."""
        self.links.patience = self._patience(self.routes.nodes)
        nodes = [self.configuration.nodes[name].settings for name in self.routes.nodes]
        self._invitation_s = max((node.delivering_timeout for node in nodes), default=0.0)
        self._service_s = max((node.esp_timeout for node in nodes), default=0.0)

    def _patience(self, nodes: Iterable[str]) -> Patience:
        """How long nodes are waited for; some heartbeats of the slowest may be lost."""
        slowest = max((self.configuration.nodes[name].settings.heartbeat_interval for name in nodes), default=0.0)
        return Patience(self.settings.request_timeout, max(SILENCE_S, 4 * slowest))

    def reload(self, now: float, new: Configuration) -> None:
        """Another configuration (:mod:`proxy.reconfiguration`), perhaps with other nodes (:mod:`proxy.nodes`)."""
        self._live(now)
        become(self.configuration, new)
        become(self.settings, new.proxies[self.name].settings)
        settings = self.settings
        self.sessions.reload(frozenset(new.tenants), settings.max_clients)
        self.calls.limit = settings.max_pending
        self.gather.limit = settings.max_pending_per_node
        self.whereis.size = settings.interaction_cache_size
        self.own.fingerprint = fingerprint(new)
        self.nodes.change(self.now)
        self.pulls.reload()
        self.capacity.reload()
        self._reckon()
        self._follow()

    def _takers(self) -> dict[Route, Callable[[Call], None]]:
        """Who takes a request, by its route."""
        return {
            Route.HERE: self.own.answer,
            Route.INTERACTION: self._to_interaction,
            Route.AGENT: self.agents.request,
            Route.SUBMIT: partial(self.capacity.take, take=self.forward.submit),
            Route.SCATTER: self._scatter,
            Route.SNAPSHOT: self.forward.to_snapshot,
            Route.PULL: partial(self.capacity.take, take=self._pull),
            Route.RESERVE: self.reservations.request,
            Route.ENGINE: self.strategies.request,
            Route.STREAM: lambda call: self.reporting.request(self.now, call),
            Route.NODE: self._node,
            Route.SERVICE: self.services.request,
            Route.REFERENCE: self.forward.to_reference,
        }

    # -- clients

    def receive(self, now: float, source: bytes, ref: Any, payload: bytes) -> None:
        """One request of a client. Whatever it is, it is answered, now or later.

        :param ref: opaque; comes back with the reply
        """
        if now != self._wall:  # hot path: what came together has come at one time
            self._live(now)
        session = self.sessions.by_source.get(source)
        if session is not None:
            session.heard = self.now
        request: type[Request] | None = None
        try:
            if len(payload) > self.settings.max_message_size:
                raise Refusal(Code.MALFORMED, f"a payload has at most {self.settings.max_message_size} bytes")
            head = decode_head(payload)
            request, take = self._plans[type(head)]
            if session is None:
                self.calls.outgoing.append((source, ref, self.own.unregistered(self.now, source, head)))
            elif session.type not in request.senders:
                raise Refusal(Code.ACCESS_DENIED, not_for(request, session.type))
            else:
                if session.type in AGENTS and request is not RequestPing:
                    self.links.asked(session.client)
                deadline = self.now + self.settings.request_timeout
                if request.deferred:
                    deadline += head.timeout or self._patience_s(request)
                take(Call(session, ref, request, head, payload, deadline))
        except Refusal as refusal:
            if request is None:
                request = request_of(payload)
                refusal = self._fault(refusal, request, session)
            self.counts["refused"] += 1
            self.calls.outgoing.append((source, ref, error_payload(refusal, _name(request), self.name)))

    def _patience_s(self, request: type[Request]) -> float:
        """How long the reply to a deferred request may take at a node, where the request does not say so."""
        return self._service_s if request.route is Route.SERVICE else self._invitation_s

    def _take(self, call: Call, inner: Request) -> None:
        """A request inside another one: it goes its own way, and its reply is the call's.

        :raises Refusal: as for the request itself
        """
        payload = encode(inner)
        head = decode_head(payload)
        request, take = self._plans[type(head)]
        take(Call(call.session, call.ref, request, head, payload, call.deadline, dress=call.dress))

    def _fault(self, refusal: Refusal, request: type[Request] | None, session: Session | None) -> Refusal:
        """A request that cannot be decoded, as it is answered. Who is not registered is told that first."""
        if session is None and request is not RequestRegisterClient and refusal.code is not Code.MALFORMED:
            return Refusal(Code.NOT_REGISTERED, f"{self.name} does not know this client")
        return as_answered(refusal, request)

    def lost(self, now: float, source: bytes, undelivered: Sequence[bytes] = ()) -> None:
        """A client cannot be reached any more. Its session waits for it as long as for any silent one; but that of an
        ESP server ends, for requests wait for an answer that it will not give.

        :param undelivered: notifications that did not leave
        """
        self._live(now)
        session = self.sessions.lost(source)
        self.strategies.lost(session)
        if session is not None and session.type is ClientType.ESP:
            self.services.undelivered(undelivered)
            self.sessions.end(session)
            self.own.end(session)

    def _introduction(self, client: int) -> bytes | None:
        return self.own.introduction(client)

    def _to_interaction(self, call: Call) -> None:
        """Route INTERACTION; some of these requests mean something for the agent besides."""
        if call.request is RequestDeliver:
            self.reservations.delivering(call)
            self.forward.to_interaction(call)
        elif call.request in TAKING:
            self.capacity.take(call, self.forward.to_interaction)
        else:
            self.forward.to_interaction(call)

    def _pull(self, call: Call) -> None:
        """Route PULL: from a view, from a workbin, or by ids."""
        if call.head.view_id == BY_IDS:
            pull = self.byids.request
        else:
            pull = self.workbins.request if self.workbins.has(call.head.view_id) else self.pulls.request
        if call.head.dedup_id is None:
            pull(call)
        else:
            self.recalls.request(call, pull)

    def _scatter(self, call: Call) -> None:
        """Route SCATTER: to all nodes; snapshots are put into one order."""
        if call.request is RequestTakeSnapshot:
            self.snapshots.take(call)
        else:
            self.forward.scatter(call)

    def _node(self, call: Call) -> None:
        """Route NODE: to the node that is named; without a name this proxy is meant."""
        if call.head.node is None:
            self.own.answer(call)
        else:
            self.forward.to_node(call)

    def name_of(self, source: bytes) -> str:
        """Who is at an address, for the ledger."""
        session = self.sessions.by_source.get(source)
        return STRANGER if session is None else session.name

    # -- nodes

    def heard(self, now: float, published: PackedEvents) -> None:
        """Anything a member published: its role, epoch and status, and the node's events."""
        self._live(now)
        self.links.heard(self.now, published)
        self._follow()
        self.stream.heard(self.now, published)

    def replies(self, now: float, node: str, member: str, packed: PackedReplies) -> None:
        """What came on a link. What the node says of heads of views and of agents counts before what it did to them; a
        client gets its replies before what it is told because of them."""
        self._live(now)
        notes: list[PackedReply] = []
        for reply in self.links.replies(self.now, node, member, packed):
            if not reply.client:
                self.notices.learn(node, reply.payload)
            if reply.number:
                self.gather.answer(node, reply)
            elif reply.client:
                notes.append(reply)
                self.agents.hear(node, reply.client, reply.payload)
        self._settle()
        for note in notes:
            self.notices.tell(node, note.client, note.payload)

    def unsent(self, now: float, node: str, member: str, requests: list[PackedRequest]) -> None:
        """The shell could not send these to a member; they are tried again."""
        self._live(now)
        self.links.unsent(self.now, node, member, requests)

    def ask(self, nodes: list[str], payload: bytes, deadline: float, done: Done) -> None:
        """A request of the proxy's own to nodes; ``done(now, answers)`` is called once, later."""
        self.gather.ask(nodes, payload, deadline, done, READER)

    def _follow(self) -> None:
        """What follows from links that have come or gone."""
        links = self.links
        while links.went or links.ready or links.given_up:
            went, links.went = links.went, []
            ready, links.ready = links.ready, []
            given_up, links.given_up = links.given_up, []
            for node in went:
                self.lookout.went(node)
            for node, forgot in ready:
                self.capacity.ready(node)
                self.agents.arrears.ready(node, forgot)
                self.strategies.ready(node, forgot)
                self.lookout.ready(node)
                self.forward.ready()
                self.services.ready(node)
            for node, number in given_up:
                self.gather.silent(node, number)

    def _settle(self) -> None:
        """Everything that is over has its consequences."""
        self._follow()
        self.gather.settle(self.now)
        self.pulls.settle()

    # -- time

    def _live(self, now: float) -> None:
        """The core's own clock: a wall clock that jumps, or a process that stood still, is nobody's silence and no
        request's time, so no single step counts for more than a second and none goes back."""
        if self._wall is None:
            self.now = now
        elif now > self._wall:
            self.now += min(now - self._wall, LONGEST_STEP_S)
        self._wall = now
        self.gather.now = self.now

    def tick(self, now: float) -> None:
        """Does what has come due."""
        self._live(now)
        now = self.now
        self.links.tick(now)
        self.nodes.tick(now)
        self._follow()
        self.gather.tick(now)
        self._settle()
        self.pulls.tick(now)
        self.forward.tick(now)
        self.agents.arrears.tick(now)
        self.strategies.tick(now)
        self.own.tick(now)
        self.stream.tick(now)

    @property
    def wake_at(self) -> float:
        """When :meth:`tick` wants to be called next, in seconds of the caller's clock."""
        parts = (
            self.links, self.gather, self.pulls, self.forward, self.sessions, self.agents.arrears, self.strategies,
            self.stream, self.reporting, self.nodes,
        )  # fmt: skip
        return min([part.wake_at for part in parts]) - self.now + (self._wall or 0.0)

    def take(self) -> Outbox:
        """What the shell shall send now."""
        publish = self.stream.take()
        self.topics.published(publish)
        self.reporting.tick(self.now)
        self._settle()
        replies, self.calls.outgoing = self.calls.outgoing, []
        links, settled = self.links.take()
        return Outbox(replies, links, settled, publish)


def _name(request: type[Request] | None) -> str | None:
    """A request's name on the wire."""
    return None if request is None else str(request.__struct_config__.tag)
