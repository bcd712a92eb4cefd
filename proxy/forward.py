"""Requests that go to their nodes as they came, and whose answers are merged in one step: by interaction, by tenant and
media type, new interactions, to a named node.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cache, partial

from broker.errors import Code, Refusal
from broker.ids import code_of
from broker.messages.faults import came
from broker.messages.kinds import ClientType, Merge, Request
from broker.messages.wording import any_of
from broker.wire import LISTED

from .calls import Call
from .desk import Desk
from .gather import Answers, Asker, says
from .homes import Homes
from .merge import MERGES, Merger, Terms, lost
from .route import Nodes, checked_tenant, none_takes

_PROXIES = frozenset({ClientType.PROXY})


class Forward:
    """Forwarding; and the submits that wait for any node that takes them."""

    def __init__(self, desk: Desk) -> None:
        self._counts = desk.counts
        self._gather = desk.gather
        self._calls = desk.calls
        self._links = desk.links
        self._routes = desk.routes
        self._whereis = desk.whereis
        self._homes = Homes(desk)
        self._parked: deque[tuple[Call, Nodes]] = deque()

    # -- by interaction

    def to_interaction(self, call: Call) -> None:
        """Route INTERACTION: to the node that holds it, or to all that could."""
        there = self._whereis.find(call.head.interaction_id)
        certain = there.certain and len(there.nodes) == 1
        self._forward(call, there.nodes, self.merged if certain else self._found)

    def _found(self, call: Call, now: float, answers: Answers) -> None:
        """Nodes that may hold the interaction have answered. Where a remembered one does not have it, the others are
        asked: its id may have been used again."""
        others = tuple(node for node in self._routes.nodes if node not in answers)
        if others and all(reply and reply.code == Code.UNKNOWN_INTERACTION for reply in answers.values()):
            self._ask(call, others, partial(self._found_elsewhere, answers))
            return
        holders = [node for node, reply in answers.items() if reply is not None and not reply.code]
        if len(holders) == 1:
            self._whereis.learn(call.head.interaction_id, holders[0])
        self.merged(call, now, answers)

    def _found_elsewhere(self, before: Answers, call: Call, now: float, answers: Answers) -> None:
        self._found(call, now, {**before, **answers})

    # -- new interactions

    def submit(self, call: Call) -> None:
        """Route SUBMIT: to one node that takes new interactions of this tenant and media type, each in turn.

        With an id of the client's own: to the id's home, where a duplicate is seen. A child: to its parent's node,
        which knows where the parent lets its children go. With a dedup_id: to its home, where a repetition is seen.
        """
        head, session = call.head, call.session
        checked_tenant(head.tenant_id, session.tenants)
        eligible = self._routes.submitting(head.tenant_id, head.media_type)
        if head.interaction_id is not None:
            homes = self._whereis.homes(head.interaction_id, eligible)
            if not homes:
                raise Refusal(Code.NO_SERVERS, "the node that this id names does not take it", field="interaction_id")
            self._submit_at_home(call, homes)
        elif (home := self._home_of_parent(call, eligible)) is not None:
            self._forward(call, (home,), partial(self._submitted, tuple(node for node in eligible if node != home)))
        elif head.dedup_id is not None:
            self._submit_at_home(call, self._routes.homes(f"{session.name}\0{head.dedup_id}", eligible))
        else:
            self._calls.begin(call)
            self._submit_in_turn(call, eligible)

    def _submit_at_home(self, call: Call, homes: Nodes) -> None:
        """To the first of the homes; if nodes were added, when the earlier homes do not have it.

        :raises Refusal: ``BUSY``
        """
        self._calls.begin(call)
        if not self._routes.added:
            self._submit_to(homes, call)
        elif call.head.dedup_id is None:
            self._homes.look(call, homes, partial(self._submit_to, homes))
        else:
            self._homes.recall(call, homes, partial(self._submit_new, homes))

    def _submit_new(self, homes: Nodes, call: Call) -> None:
        """No earlier home knows the dedup_id; does one have the client's own id?"""
        if call.head.interaction_id is None:
            self._submit_to(homes, call)
        else:
            self._homes.look(call, homes, partial(self._submit_to, homes))

    def _submit_to(self, homes: Nodes, call: Call) -> None:
        self._ask(call, homes[:1], partial(self._submitted, homes[1:]))

    def _home_of_parent(self, call: Call, eligible: Nodes) -> str | None:
        """The node of a child's parent, if it takes new interactions and is there. (With a dedup_id also if it is away:
        a repetition has to come to the same node.)"""
        if call.head.parent_id is None:
            return None
        homes = self._whereis.homes(call.head.parent_id, eligible)
        return homes[0] if homes and (call.head.dedup_id or self._links.is_ready(homes[0])) else None

    def _submit_in_turn(self, call: Call, eligible: Nodes) -> None:
        """To the next node that is there; when none is, the call waits for the first that comes back.

        A drained node is left out as soon as it has said so; one that has not yet refuses, and the next one is asked.
        """
        taking = tuple(node for node in eligible if not self._links.is_drained(node))
        ready = tuple(filter(self._links.is_ready, taking))
        if ready:
            node = self._routes.turn(taking, ready)
            if not self._gather.has_room(node):
                node = next(filter(self._gather.has_room, ready), node)
            left = tuple(other for other in taking if other != node)
            self._ask(call, (node,), partial(self._submitted_in_turn, left))
        elif taking:
            self._parked.append((call, taking))
        else:
            self._refuse_drained(call)

    def _submitted_in_turn(self, left: Nodes, call: Call, now: float, answers: Answers) -> None:
        if _is_drained(answers):
            self._submit_in_turn(call, left)
        else:
            self.merged(call, now, answers)

    def _submitted(self, left: Nodes, call: Call, now: float, answers: Answers) -> None:
        """The home of a client's own id or of a dedup_id has answered, or not. A drained one has said that it does not
        know it: then the next home is asked."""
        if _is_drained(answers):
            if left:
                self._ask(call, left[:1], partial(self._submitted, left[1:]))
            else:
                self._refuse_drained(call)
            return
        for node, reply in answers.items():
            if reply is not None and not reply.code and call.head.interaction_id is not None:
                self._whereis.learn(call.head.interaction_id, node)
        self.merged(call, now, answers)

    def _refuse_drained(self, call: Call) -> None:
        """Every node that could take it is drained."""
        nodes = self._routes.nodes_of(call.head.tenant_id)
        self._calls.refuse(call, none_takes(nodes, call.head.tenant_id, call.head.media_type))

    def ready(self) -> None:
        """A node is back: submits that have waited for one go on."""
        parked, self._parked = self._parked, deque()
        for call, eligible in parked:
            self._submit_in_turn(call, eligible)

    def tick(self, now: float) -> None:
        """Ends the submits that no node has come back for in time."""
        while self._parked and self._parked[0][0].deadline <= now:
            call, eligible = self._parked.popleft()
            for node in eligible:
                self._counts.drop(node, "node away", call.payload)
            self._calls.refuse(call, lost(call.request, eligible))

    @property
    def wake_at(self) -> float:
        """When :meth:`tick` has something to end next."""
        return self._parked[0][0].deadline if self._parked else float("inf")

    # -- by tenant and media type, by name

    def scatter(self, call: Call) -> None:
        """Route SCATTER: to all nodes that it concerns."""
        self._forward(call, self.concerned(call), self.merged)

    def concerned(self, call: Call) -> Nodes:
        """The nodes that serve the tenant (without one: any of the session's) and media type of a request.

        :raises Refusal: there are none; a foreign tenant; it is for proxies only
        """
        _for_clients(call)
        tenants = call.session.tenants
        tenant = getattr(call.head, "tenant_id", None)
        if tenant is not None:
            tenants = checked_tenant(tenant, tenants)
        return self._routes.serving(tenants, getattr(call.head, "media_type", None))

    def to_snapshot(self, call: Call) -> None:
        """Route SNAPSHOT: to the nodes that the snapshot's id names; each finds its own part in it."""
        _for_clients(call)
        idents = [part.partition("*")[0] for part in call.head.snapshot_id.split(".")]
        nodes = tuple(dict.fromkeys(node for ident in idents if (node := self._whereis.named(ident)) is not None))
        if len(nodes) < len(idents):
            if nodes and all(map(code_of, idents)):
                raise Refusal(Code.SNAPSHOT_NOT_ACCESSIBLE, "a part of it is at a node that is none of ours any more")
            raise Refusal(Code.UNKNOWN_SNAPSHOT, call.head.snapshot_id, field="snapshot_id")
        self._forward(call, nodes, self.merged)

    def to_node(self, call: Call) -> None:
        """Route NODE: to the node that is named."""
        if call.head.node not in self._links:
            raise Refusal(
                Code.WRONG_VALUE,
                f"node: expected {any_of(list(self._routes.nodes))}, got {came(call.head.node)}",
                field="node",
            )
        self._forward(call, (call.head.node,), self.merged)

    def to_reference(self, call: Call) -> None:
        """Route REFERENCE: to the node that has made the reference."""
        _for_clients(call)
        node = self._whereis.named(call.head.esp_server_refid)
        if node is None:
            raise Refusal(Code.BAD_TICKET, "no node here has made this reference", field="esp_server_refid")
        self._forward(call, (node,), self.merged)

    # -- all of them

    def _forward(self, call: Call, nodes: Nodes, done: Callable[[Call, float, Answers], None]) -> None:
        """:raises Refusal: ``BUSY``"""
        self._calls.begin(call)
        self._ask(call, nodes, done)

    def _ask(self, call: Call, nodes: Nodes, done: Callable[[Call, float, Answers], None]) -> None:
        flags = LISTED if len(nodes) > 1 and _lists(call.request) else 0
        asker = Asker(call.session.client, flags, False, says(call.request))  # hot path: by position
        self._gather.ask(nodes, call.payload, call.deadline, partial(done, call), asker)

    def merged(self, call: Call, now: float, answers: Answers) -> None:
        """The nodes' answers become the reply, as the request's Merge has it."""
        if len(answers) == 1 and not _lists(call.request):
            (reply,) = answers.values()
            if reply is not None:  # hot path: every merge but that one passes a single reply on as it is
                self._calls.answer(call, reply.payload)
                return
        terms = Terms(call.request, call.head, self._counts)
        try:
            self._calls.answer(call, _merger(call.request)(terms, answers))
        except Refusal as refusal:
            self._calls.refuse(call, refusal)


def _is_drained(answers: Answers) -> bool:
    """The one node that was asked takes nothing new."""
    return any(reply is not None and reply.code == Code.DRAINED for reply in answers.values())


def _for_clients(call: Call) -> None:
    """:raises Refusal: it is for proxies only"""
    if call.request.senders <= _PROXIES:
        raise Refusal(Code.UNSUPPORTED, "this is between a proxy and its nodes")


@cache
def _merger(request: type[Request]) -> Merger:
    return MERGES[request.merge]


@cache
def _lists(request: type[Request]) -> bool:
    """Whether the answers are merged row by row, so that nodes which are asked together answer with rows."""
    return request.merge in (Merge.ORDERED, Merge.PLACES)
