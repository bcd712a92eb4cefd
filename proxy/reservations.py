"""Reservations over all nodes: one node decides between the routing engines, the others take it down.

    ask the deciding node     rendezvous of the agent over the nodes that are there, so all proxies choose the same
    it grants                 the others are told (ECHO); one that has another engine's reservation refuses
    one refuses               all give it back, the refusal is the answer
    the engine delivers       one node has seen that; the proxy has the others give the reservation back

A node that is away, or does not have the agent, is left out. What is not given back ends by its time.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from broker.errors import Code, Refusal
from broker.ids import rendezvous
from broker.messages import encode
from broker.messages.reservations import RequestCancelAgentReservation
from broker.wire import ECHO

from .calls import Call
from .desk import Desk
from .gather import Answers, Asker, says
from .merge import lost
from .roster import UNSURE
from .route import Nodes, checked_tenant

Key = tuple[int, str | None, str | None]
"""Client, agent and place, as the reservation names them."""

MOST_REMEMBERED = 100_000
"""Reservations that are remembered to be given back; of more the oldest end by their time."""

_FINE = frozenset({0, int(Code.NOT_LOGGED_IN)}) | UNSURE
"""What other nodes may say without hindering a reservation: it is so, or nothing can be delivered there."""


class Reservations:
    """The reservations of the proxy's clients, and at which nodes they stand."""

    def __init__(self, desk: Desk) -> None:
        self._settings = desk.settings
        self._gather = desk.gather
        self._calls = desk.calls
        self._links = desk.links
        self._routes = desk.routes
        self._standing: dict[Key, tuple[int, Nodes]] = {}

    def request(self, call: Call) -> None:
        """Route RESERVE. :raises Refusal: no agent is named, foreign tenant, too many calls"""
        head = call.head
        if not head.agent_id and not head.place_id:
            raise Refusal(Code.MISSING_ATTRIBUTE, "agent_id, place_id or both", field="agent_id")
        nodes = self._routes.serving(checked_tenant(head.tenant_id, call.session.tenants))
        self._calls.begin(call)
        gone = self._links.gone(self._gather.now, nodes)
        there = tuple(node for node in nodes if node not in gone) or nodes
        name = f"{head.tenant_id}/{head.agent_id or ''}@{'' if head.agent_id else head.place_id}"
        deciding = rendezvous(name, list(self._routes.grown(there)))[0]
        others = tuple(node for node in there if node != deciding)
        if call.request is RequestCancelAgentReservation:
            self._standing.pop(_key(call), None)
            asker = Asker(call.session.client, ECHO, says=says(call.request))
            self._gather.ask(there, call.payload, call.deadline, partial(self._given_back, call), asker)
        else:
            done = partial(self._decided, call, deciding, others)
            asker = Asker(call.session.client, says=says(call.request))
            self._gather.ask([deciding], call.payload, call.deadline, done, asker)

    def _decided(self, call: Call, deciding: str, others: Nodes, now: float, answers: Answers) -> None:
        """The deciding node has answered, or not."""
        reply = answers[deciding]
        if reply is None:
            self._give_back(call, call.head.tenant_id, (deciding,))
            self._calls.refuse(call, lost(call.request, answers))
        elif reply.code or not others:
            self._end(call, reply.payload, () if reply.code else (deciding,))
        else:
            done = partial(self._taken_down, call, deciding, reply.payload)
            self._gather.ask(others, call.payload, now + self._settings.request_timeout, done, _echo(call))

    def _taken_down(self, call: Call, deciding: str, granted: bytes, now: float, answers: Answers) -> None:
        """The other nodes have answered, or not."""
        refused = [reply.payload for reply in answers.values() if reply is not None and reply.code not in _FINE]
        asked = (deciding, *answers)
        if refused:
            self._give_back(call, call.head.tenant_id, asked)
            self._end(call, refused[0], ())
        else:
            self._end(call, granted, asked)

    def _end(self, call: Call, payload: bytes, nodes: Nodes) -> None:
        """:param nodes: where the reservation stands, if it does"""
        if nodes:
            self._standing[_key(call)] = call.head.tenant_id, nodes
            if len(self._standing) > MOST_REMEMBERED:
                del self._standing[next(iter(self._standing))]
        self._calls.answer(call, payload)

    def _given_back(self, call: Call, now: float, answers: Answers) -> None:
        replies = [reply for reply in answers.values() if reply is not None]
        best = next((reply for reply in replies if not reply.code), None) or next(iter(replies), None)
        if best is None:
            self._calls.refuse(call, lost(call.request, answers))
        else:
            self._calls.answer(call, best.payload)

    def _give_back(self, call: Call, tenant_id: int, nodes: Iterable[str]) -> None:
        """Nodes that have or may have a reservation for the client forget it; nobody waits for that."""
        who = {"agent_id": call.head.agent_id, "place_id": call.head.place_id}
        payload = encode(RequestCancelAgentReservation(tenant_id=tenant_id, **who))
        self._gather.ask(list(nodes), payload, self._gather.now + self._settings.request_timeout, _forget, _echo(call))

    def delivering(self, call: Call) -> None:
        """A client delivers: when it has, its reservation of that agent is used."""
        key = _key(call)
        if key in self._standing:
            call.after = partial(self._delivered, call, key)

    def _delivered(self, call: Call, key: Key, done: bool) -> None:
        if done and key in self._standing:
            tenant_id, nodes = self._standing.pop(key)
            self._give_back(call, tenant_id, nodes)


def _key(call: Call) -> Key:
    return call.session.client, call.head.agent_id, call.head.place_id


def _echo(call: Call) -> Asker:
    return Asker(call.session.client, ECHO)


def _forget(now: float, answers: Answers) -> None:
    """Nobody waits for it."""
