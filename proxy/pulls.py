"""Pulls from views over all nodes (protocol 8): one order, nobody served before his turn, nothing handed out twice.

    a pull waits in its view's queue
    lines of all nodes say which has the next one: that node is asked, for no more than comes before the others' next
    what it gives is kept; who has not enough waits again, in his old place, for the next node
    no node has anything:   with a hold      it goes on waiting, until a line is pushed or the hold is over
                            without          all lines are asked for afresh; still nothing: the answer is empty

How far nodes tell their lines follows what is wanted at once, from one key to :data:`proxy.lanes.WIDEST`, so pulls are
under way at all nodes at the same time and the order of the view holds all the same. With ``pull-order = round-robin``
the nodes that have something are asked in turn instead. What a client that has gone was granted, its nodes take back
when its session ends.

Pulls that ignore holds see other lines than those that do not, so they have a :class:`View` of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from broker.conditions import compile_order
from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.objects import Interaction
from broker.messages.pulls import RequestPull

from .calls import Call
from .desk import Desk
from .gather import Answers, Asker, whole
from .grants import granted_payload, id_of, read_granted
from .hints import holds_on, without_hold
from .lanes import NO_BOUND, Flight, Key, Line
from .lookout import WATCH_S, Lookout
from .merge import lost
from .route import checked_tenant, no_servers
from .views import Pull, View

MOST_TRIES = 50
"""Nodes that a pull is sent to before it is answered with what it has: others are always faster. One that may wait, and
has nothing yet, goes on trying: it is in the place that it has waited for."""


_read_interaction = msgspec.json.Decoder(Interaction).decode


class Asked(NamedTuple):
    """What a node was asked for.

    :param wanted: how many; ``line``: its line then; ``bound``: the first of the other nodes' keys that it was told of
    """

    node: str
    wanted: int
    line: Line | None
    bound: Key | None


class Pulls:
    """The views that clients pull from, and their pulls."""

    def __init__(self, desk: Desk, lookout: Lookout) -> None:
        self._lookout = lookout
        self._configuration = desk.configuration
        self._settings = desk.settings
        self._gather = desk.gather
        self._calls = desk.calls
        self._links = desk.links
        self._routes = desk.routes
        self._whereis = desk.whereis
        self._counts = desk.counts
        self._turns = count()
        self._turn = 0
        self._rotation = 0
        self._open: dict[int, tuple[View, Pull]] = {}
        self._due: list[tuple[float, int]] = []
        self._look_at = float("inf")
        self.granted = 0
        """Interactions that clients were given out of several nodes' views."""
        self.inversions = 0
        """Those of them that another node's head came before: it became known while they were on their way."""

    # -- requests

    def request(self, call: Call) -> None:
        """A client's pull from a view. :raises Refusal: unknown tenant or view, too many calls"""
        request: RequestPull = call.head
        view = self._view(call, request)
        holds = holds_on(call)
        self._calls.begin(call)
        if len(view.nodes) == 1 and not holds:
            asker = Asker(call.session.client)
            self._gather.ask(view.nodes, call.payload, call.deadline, partial(self._passed, call), asker)
            return
        if holds:
            request.extension = without_hold(request.extension)
        pull = self._begin(view, call, holds)
        view.wait(pull)
        if view.watched and (view.knows_any or view.looking):
            self._lookout.ask_unknown(view)
        else:  # never asked; or nodes may have refused, and nobody has said so since
            self._lookout.look(view, self._turn, call.deadline)
        self._serve(view)

    def _begin(self, view: View, call: Call, holds: bool) -> Pull:
        """A new pull, and when it is over at the latest."""
        now = self._gather.now
        self._turn = next(self._turns)
        until = now + self._settings.pull_hold_timeout if holds else call.deadline
        pull = Pull(call, call.head, self._turn, call.head.count, until, holds, [])
        self._open[pull.turn] = view, pull
        heappush(self._due, (until, pull.turn))
        if len(self._due) > 2 * len(self._open) + 1000:
            self._due = [due for due in self._due if due[1] in self._open]
            heapify(self._due)
        self._look_at = min(self._look_at, now + WATCH_S)
        return pull

    def _view(self, call: Call, request: RequestPull) -> View:
        """The view that is pulled from. :raises Refusal: foreign tenant, or not one of its views"""
        tenant = checked_tenant(request.tenant_id, call.session.tenants)
        known = self._configuration.views.get(request.view_id)
        if known is None or self._configuration.queues[known.queue].tenant != request.tenant_id:
            text = f"tenant {request.tenant_id} has no view {request.view_id}"
            raise Refusal(Code.UNKNOWN_VIEW, text, field="view_id")
        name = request.view_id, request.ignore_hold
        view = self._lookout.views.get(name)
        if view is None:
            order = compile_order(known.order, self._configuration.custom_properties)
            view = self._lookout.views[name] = View(name, self._routes.serving(tenant), order)
        return view

    def _passed(self, call: Call, now: float, answers: Answers) -> None:
        """The only node there is has answered, or not."""
        reply = next(iter(answers.values()))
        if reply is None:
            self._calls.refuse(call, lost(call.request, answers))
        else:
            self._calls.answer(call, whole(reply))

    def reload(self) -> None:
        """Another configuration: views that are gone refuse the pulls that wait, others go on as they are now."""
        for name, view in list(self._lookout.views.items()):
            known = self._configuration.views.get(view.view_id)
            tenant = self._configuration.queues[known.queue].tenant if known is not None else 0
            nodes = self._routes.nodes_of(tenant)
            if known is None or not nodes:
                del self._lookout.views[name]
                gone = Refusal(Code.UNKNOWN_VIEW, f"{view.view_id} was removed", field="view_id")
                self._remove(view, gone if known is None else no_servers({tenant}))
                continue
            order = compile_order(known.order, self._configuration.custom_properties)
            if order is not view.order or nodes != view.nodes:
                view.change(nodes, order)
                for node in view.nodes if view.watched else ():
                    self._lookout.ask(view, node, self._gather.now + WATCH_S)

    def _remove(self, view: View, refusal: Refusal) -> None:
        """Nobody waits at a view any more. Those under way are answered when they are back."""
        for turn in list(view.waiting):
            pull = view.release(turn)
            if pull is not None and self._open.pop(turn, None) is not None:
                self._calls.refuse(pull.call, refusal)

    def settle(self) -> None:
        """Serves the views of which something was learnt."""
        for view in self._lookout.touched():
            self._serve(view)

    # -- serving

    def _serve(self, view: View) -> None:
        """Sends those whose turn it is to the node whose turn it is."""
        view.peak = max(view.peak, view.demand)
        in_order = self._settings.pull_order == "global"
        while view.waiting and not (in_order and view.is_short):
            if view.asking and self._gather.now < view.blocked_until:
                return
            node = self._choose(view)
            if node is None:
                if not view.is_flying:
                    self._empty(view)
                return
            if in_order and view.is_blocked(node):
                if view.stretch():
                    self._lookout.ask_again(view)
                return
            pull = view.next()
            if pull is None:
                return
            if pull.is_over:
                self._answer(pull)
            else:
                self._send(view, node, pull)

    def _choose(self, view: View) -> str | None:
        """The node to pull from next."""
        if self._settings.pull_order == "global":
            return view.first(self._links.is_ready)
        nodes = view.offering(self._links.is_ready)
        return nodes[self._rotation % len(nodes)] if nodes else None

    def _send(self, view: View, node: str, pull: Pull) -> None:
        if self._settings.pull_order == "global":
            bound = view.bound(node)
        else:
            self._rotation += 1
            bound = NO_BOUND
        wanted = 1 if bound.same else pull.wanted
        payload = encode(pull.request_for(node, bound.head, wanted))
        pull.tries += 1
        pull.away = True
        lane = view.lanes[node]
        lane.fly(pull.turn, Flight(wanted, pull.wanted, None if bound.same else bound.key))
        deadline = self._gather.now + self._settings.request_timeout if pull.holds else pull.until
        done = partial(self._pulled, view, pull, Asked(node, wanted, lane.line, bound.key))
        self._gather.ask([node], payload, deadline, done, Asker(pull.call.session.client))

    def _pulled(self, view: View, pull: Pull, asked: Asked, now: float, answers: Answers) -> None:
        """A node has answered a pull, or not. Who is served next is decided when the whole frame is known, for the
        node's line is already that behind all answers in it."""
        node, wanted, line, bound = asked
        pull.away = False
        granted = self._granted(view, pull, node, answers)
        lane = view.lanes.get(node)
        if lane is not None:  # else it was taken out of the configuration
            lane.landed(pull.turn, granted is not None and len(granted) == wanted)
        if granted is not None:
            self._note(view, node, bound, granted)
            pull.got += granted
            pull.parts[node] += bool(granted)
            pull.wanted -= len(granted)
            if not granted and lane is not None and lane.line is line:
                view.forget(node)
                self._lookout.ask_and_wait(view, node)
            tired = pull.tries >= MOST_TRIES and (pull.got or not pull.holds)
            if pull.wanted <= 0 or tired or now >= pull.until:
                self._answer(pull)
            else:
                view.wait(pull)
        self._lookout.touch(view)

    def _note(self, view: View, node: str, bound: Key | None, granted: list[Raw]) -> None:
        """Counts what was granted, and what of it should have come after another node's head as it is known now.

        :param bound: the first of the other heads that the node was told of; it has given nothing from behind that
        """
        self.granted += len(granted)
        first = view.bound(node).key
        if first is None or (bound is not None and first >= bound):
            return
        try:
            for raw in reversed(granted):
                if view.order.key(_read_interaction(raw)) <= first:
                    return
                self.inversions += 1
        except (ValueError, RecursionError):
            self._counts.drop(node, "garbage", b"".join(granted))

    @property
    def figures(self) -> dict[str, Any]:
        """What the status says of pulls."""
        return {"pulls": {"waiting": len(self._open), "granted": self.granted, "inversions": self.inversions}}

    def _granted(self, view: View, pull: Pull, node: str, answers: Answers) -> list[Raw] | None:
        """What a node gave; None when that ends the pull, with what it has or with the fault."""
        reply = answers[node]
        if reply is not None and not reply.code:
            try:
                granted = read_granted(reply.payload).interactions
                ids = set(map(id_of, granted))
                for ident in ids:
                    self._whereis.learn(ident, node)
                if node in view.lanes:
                    view.lanes[node].took(ids)
                return granted
            except (ValueError, RecursionError):
                self._counts.drop(node, "garbage", pull.call.payload)
                reply = None
        if pull.got:
            pull.silent = pull.silent | {node}
            self._answer(pull)
        elif reply is not None:
            del self._open[pull.turn]
            self._calls.answer(pull.call, reply.payload)
        else:
            self._refuse(pull, [node])
        return None

    def _empty(self, view: View) -> None:
        """No node has anything, as far as is known. Who holds, waits; who does not is answered when it is certain."""
        unsure: Pull | None = None
        for pull in list(view.impatient.values()):
            if pull.turn > view.confirmed and not pull.got and not pull.is_over:
                unsure = unsure or pull
                continue
            view.release(pull.turn)
            if pull.got or view.reached:
                self._answer(pull)
            else:
                self._refuse(pull, view.nodes)
        if unsure is not None and view.looking is None:
            self._lookout.look(view, self._turn, unsure.until)

    def _answer(self, pull: Pull) -> None:
        """What a pull has, in order; and which nodes had no part in that."""
        view, _ = self._open.pop(pull.turn)
        self._calls.answer(pull.call, granted_payload(pull.got, view.unknown(self._gather.now) | pull.silent))

    def _refuse(self, pull: Pull, missing: Iterable[str]) -> None:
        """Nodes that were needed have not answered."""
        del self._open[pull.turn]
        self._calls.refuse(pull.call, lost(pull.call.request, missing))

    # -- time

    def tick(self, now: float) -> None:
        """Ends the pulls whose time is over; asks for heads again while pulls wait."""
        due = self._due
        while due and due[0][0] <= now:
            view, pull = self._open.get(heappop(due)[1], (None, None))
            if view is None or pull is None or pull.away:
                continue
            view.release(pull.turn)
            if pull.got or view.knows_any:
                self._answer(pull)
            else:
                self._refuse(pull, view.nodes)
        if now >= self._look_at:
            self._look_again(now)

    def _look_again(self, now: float) -> None:
        """While pulls wait, lines are asked for from time to time; none is waited for longer than this. Lines that are
        longer than what is wanted become shorter."""
        waiting = [view for view in self._lookout.views.values() if view.waiting]
        shorter = [view for view in self._lookout.views.values() if view.reach > 1 and view.shrink()]
        longer = any(view.reach > 1 for view in self._lookout.views.values())
        self._look_at = now + WATCH_S if waiting or longer else float("inf")
        for view in shorter:
            self._lookout.ask_again(view)
        for view in waiting:
            if view.asking and now >= view.blocked_until:
                view.asking.clear()
            self._lookout.ask_again(view)
            self._serve(view)

    @property
    def wake_at(self) -> float:
        """When :meth:`tick` has something to do next."""
        due = self._due
        while due and due[0][1] not in self._open:
            heappop(due)
        return min(due[0][0] if due else float("inf"), self._look_at)
