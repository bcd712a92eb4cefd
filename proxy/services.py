"""ESP through a proxy, and what else goes to the interaction's node if there is one (Route SERVICE).

    which node    an interaction is named: the node that holds it (its id, what is remembered, else all are asked)
                  a dedup_id: the request's home, so that a repetition comes to the same node
                  else: the nodes that serve tenant and media type, in turn
    80 from it    the next node is asked: no ESP server has got the request yet. No other answer, and no silence, is
                  a reason to ask another node, for the request may have been done
    OMService     the request that the method stands for goes its own way over all nodes

ESP servers that register here are made known at once to every node that serves their tenants, and to each that comes
back: they are asked before they ask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from broker import ownservice
from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.interactions import RequestGetInteractionProperties
from broker.messages.kinds import ClientType, Request
from broker.messages.services import RequestServiceUndelivered, ServiceRequest, refid_of

from .calls import Call
from .desk import Desk
from .gather import Answers, Asker, says
from .homes import Homes
from .merge import lost, several_owners
from .route import Nodes, checked_tenant
from .sessions import Session, Sessions


class Services:
    """Requests to services, and the servers that are clients here.

    :param take: has the core take a request that stands for another one
    """

    def __init__(self, desk: Desk, sessions: Sessions, take: Callable[[Call, Request], None]) -> None:
        self._settings = desk.settings
        self._calls = desk.calls
        self._gather = desk.gather
        self._links = desk.links
        self._routes = desk.routes
        self._whereis = desk.whereis
        self._homes = Homes(desk)
        self._sessions = sessions
        self._take = take

    # -- requests

    def request(self, call: Call) -> None:
        """Route SERVICE. :raises Refusal: it cannot be routed, or too many calls"""
        head = call.head
        tenants = checked_tenant(head.tenant_id, call.session.tenants)
        if isinstance(head, ServiceRequest):
            wanted = ownservice.asked(head)
            if ownservice.is_own(head, wanted):
                self._serve(call, wanted)
                return
        nodes = self._routes.serving(tenants, head.media_type)
        self._calls.begin(call)
        if head.interaction_id is None:
            self._ask_in_turn(call, nodes)
        else:
            self._locate(call, nodes)

    def _serve(self, call: Call, wanted: ownservice.Asked) -> None:
        """A method of the cluster's own service. :raises Refusal: what says nothing of the request itself"""
        call.dress = ownservice.wrapped
        try:
            self._take(call, ownservice.native(call.head, wanted, call.session.type))
        except Refusal as refusal:
            fault = encode(ownservice.fault(refusal))
            call.dress = None
            self._calls.say(call, fault)

    def _ask_in_turn(self, call: Call, nodes: Nodes) -> None:
        """Any node may be asked; with a dedup_id its home."""
        nodes = self._routes.grown(nodes)
        if call.head.dedup_id is not None:
            homes = self._routes.homes(f"{call.session.name}\0{call.head.dedup_id}", nodes)
            self._homes.recall(call, homes, partial(self._ask, nodes=homes))
            return
        ready = tuple(filter(self._links.is_ready, nodes)) or nodes
        self._ask(call, _from(self._routes.turn(nodes, ready), ready))

    def _locate(self, call: Call, nodes: Nodes) -> None:
        """The node that holds the interaction comes first."""
        there = self._whereis.find(call.head.interaction_id)
        if len(there.nodes) == 1:
            self._ask(call, _from(there.nodes[0], nodes))
            return
        payload = encode(RequestGetInteractionProperties(interaction_id=call.head.interaction_id))
        deadline = min(call.deadline, self._gather.now + self._settings.request_timeout)
        self._gather.ask(there.nodes, payload, deadline, partial(self._located, call, nodes))

    def _located(self, call: Call, nodes: Nodes, now: float, answers: Answers) -> None:
        """All nodes have said whether they hold the interaction, or not answered."""
        holders = [node for node, reply in answers.items() if reply is not None and not reply.code]
        missing = [node for node, reply in answers.items() if reply is None]
        if len(holders) > 1:
            self._calls.refuse(call, several_owners(holders))
        elif holders:
            self._whereis.learn(call.head.interaction_id, holders[0])
            self._ask(call, _from(holders[0], nodes))
        elif missing:
            self._calls.refuse(call, _lost(call, missing))
        else:
            self._ask_in_turn(call, nodes)

    def _ask(self, call: Call, nodes: Sequence[str]) -> None:
        """Asks the first; the others are for when it has no such server."""
        done, asker = partial(self._answered, call, nodes), Asker(call.session.client, says=says(call.request))
        self._gather.ask(nodes[:1], call.payload, call.deadline, done, asker)

    def _answered(self, call: Call, nodes: Sequence[str], now: float, answers: Answers) -> None:
        reply = answers[nodes[0]]
        if reply is None:
            self._calls.refuse(call, _lost(call, nodes[:1]))
        elif reply.code == Code.NO_SERVICE and len(nodes) > 1 and now < call.deadline:
            self._ask(call, nodes[1:])
        else:
            self._calls.answer(call, reply.payload)

    # -- servers

    def joined(self, session: Session) -> None:
        """A client has registered: an ESP server is made known to the nodes."""
        if session.type is ClientType.ESP:
            for node in self._routes.nodes:
                self._introduce(node, session)

    def ready(self, node: str) -> None:
        """A node is back."""
        for session in self._sessions.by_client.values():
            if session.type is ClientType.ESP:
                self._introduce(node, session)

    def undelivered(self, payloads: Sequence[bytes]) -> None:
        """Notifications did not reach an ESP server: the nodes are told which requests another server may have."""
        for refid in filter(None, map(refid_of, payloads)):
            node = self._whereis.named(refid)
            if node is not None:
                payload = encode(RequestServiceUndelivered(esp_server_refid=refid))
                self._gather.ask([node], payload, self._gather.now + self._settings.request_timeout, _nothing)

    def _introduce(self, node: str, session: Session) -> None:
        try:
            serving = self._routes.serving(session.tenants)
        except Refusal:
            return
        if node in serving:
            self._links.introduce(node, [session.client])


def _nothing(now: float, answers: Answers) -> None:
    """What becomes of it need not be known."""


def _from(first: str, nodes: Sequence[str]) -> list[str]:
    """A node, then the others."""
    return [first, *(node for node in nodes if node != first)]


def _lost(call: Call, missing: Sequence[str]) -> Refusal:
    """2003 where an interaction was named, else 2002."""
    refusal = lost(call.request, missing)
    if call.head.interaction_id is not None:
        return Refusal(Code.NOT_ACCESSIBLE, refusal.detail, missing=refusal.missing)
    return refusal
