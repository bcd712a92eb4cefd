"""Routing engines load strategies, and are sent what comes into the strategies' views.

At the end of a batch (:meth:`Strategies.settle`) every view that was touched is emptied in its order: each interaction
goes to the engine that has waited longest of those that have loaded the view's strategies and have room; where pulls
are held for the view, they and the engines take turns. A view that nobody has room for waits until an engine holds
less, its rate allows the next one, or its session is back. No turn does more than AT_ONCE; the next one goes on.

What an engine holds when it goes, or unloads the strategy, goes to another engine of the strategy that has room, or
back to its old place in its queue. Loads and what was pushed are rows: after a take-over they wait for their sessions,
and an engine that resumes its session is told again what it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

from broker.errors import Code, Refusal
from broker.messages.connection import EventAck
from broker.messages.interactions import EventPartyRemoved, EventTakenFromQueue
from broker.messages.kinds import ClientType
from broker.messages.objects import Interaction
from broker.messages.routing import EventAbandoned
from broker.messages.strategies import EventRouteRequest, RequestLoadStrategy, RequestUnloadStrategy

from . import holdings, queues
from .calls import UNASKED, Call
from .engines import UNTIL_FREED, Engine, Engines, Lane, Runner
from .records import Holding, Load, load_key
from .views import View

if TYPE_CHECKING:
    from .core import NodeCore
    from .sessions import Session

AT_ONCE = 256
"""Interactions that are sent, sent again or taken back in one turn: about 10 ms."""
MOST = 1000
"""Strategies that one session may have loaded."""
_DONE = object()


class Strategies:
    """What engines have loaded, and what is still to be done for them.

    :param tasks: what goes on over several turns, an interaction a step; by session what is told again
    """

    def __init__(self) -> None:
        self.engines = Engines()
        self.tasks: dict[str | int, Iterator[None]] = {}
        self._numbers = count()

    def is_busy(self, node: NodeCore) -> bool:
        """Whether there is something to do at once."""
        return bool(self.tasks) or (self.engines.is_busy and not node.journal_full)

    # -- loads

    def add(self, node: NodeCore, row: Load) -> None:
        """A strategy is loaded."""
        engine = self.engines.by_session.get(row.session_id)
        if engine is None:
            engine = Engine(row.client_name, node.settings, node.configuration)
        self.engines.add(Runner(row, engine, node.configuration), _views_of(node, row))

    def restore(self, node: NodeCore) -> None:
        """After a take-over: what is loaded, by engines that have to come back."""
        for row in sorted(node.memory.loads.rows.values(), key=lambda row: row.us):
            self.add(node, row)

    def reload(self, node: NodeCore) -> None:
        """Other views, other limits: what is loaded goes on with them. Rates begin anew."""
        for runner in self.engines.runners.values():
            runner.stuck.clear()  # its rate may still call
        self.engines = Engines()
        self.restore(node)

    def drop(self, node: NodeCore, key: str) -> None:
        """A strategy is loaded no more."""
        node.memory.drop(node.memory.loads, key)
        self.engines.remove(key)

    # -- the end of a batch

    def settle(self, node: NodeCore) -> None:
        """Does what is due, up to AT_ONCE interactions."""
        freed = node.memory.holdings.freed
        if not self.tasks and not self.engines.runners:
            freed.clear()
            return
        left = self._go_on(AT_ONCE)
        for session_id in sorted(freed & self.engines.by_session.keys()):
            self.engines.freed(session_id)
        freed.clear()
        for view_id in node.memory.views.touched & self.engines.lanes.keys():
            self.engines.look(self.engines.lanes[view_id])
        if not node.journal_full:
            self._send(node, left)

    def _go_on(self, left: int) -> int:
        """The tasks, an interaction after the other. :returns: how many more may be done"""
        while self.tasks and left:
            key = next(iter(self.tasks))
            if next(self.tasks[key], _DONE) is _DONE:
                del self.tasks[key]
            else:
                left -= 1
        return left

    def _send(self, node: NodeCore, left: int) -> None:
        """Sends what waits to those that have room, from one view after the other."""
        if not left:
            return
        for lane in self.engines.waiting():
            if self._step(node, lane):
                self.engines.look(lane)
                left -= 1
                if not left:
                    return

    def _step(self, node: NodeCore, lane: Lane) -> bool:
        """A view's first interaction goes to the one whose turn it is. False: there is none, or nobody has room."""
        view = lane.view
        if not len(view) or not queues.gives(node, view.queue):
            return False
        runner = self._next(node, lane.runners)
        if runner is None:
            for one in lane.runners:
                one.stuck[view.view_id] = lane
            return False
        lane.turn = self.engines.next_turn()
        if lane.pull_next and node.pulls.serve_first(node, view):
            lane.pull_next = False
            return True
        lane.pull_next = True
        self._push(node, runner, node.memory.interactions[view.take(1)[0]], view.view_id)
        return True

    def _push(self, node: NodeCore, runner: Runner, interaction: Interaction, view_id: str) -> None:
        """A waiting interaction goes to an engine."""
        queue, state = interaction.queue, interaction.interaction_state
        party = runner.holder.party
        holding = holdings.grant(node, interaction, runner.holder, view_id=view_id)
        runner.sent(node.now, self.engines.next_turn())
        node.event(EventTakenFromQueue, interaction, UNASKED, party=party, old_queue=queue, old_state=state)
        holdings.add_party(node, interaction, runner.holder, UNASKED, "Route")
        _tell(node, interaction, holding)

    def _next(self, node: NodeCore, runners: list[Runner]) -> Runner | None:
        """The runner that has waited longest of those that have room; those that have none are stopped."""
        while True:
            best: Runner | None = None
            for runner in runners:
                if not runner.stopped and (best is None or runner.turn < best.turn):
                    best = runner
            if best is None:
                return None
            at = room_at(node, best)
            if at <= node.now:
                return best
            best.stopped = at
            if at != UNTIL_FREED:
                node.deadline(at, _rate_allows, best)

    # -- engines that come and go

    def resumed(self, node: NodeCore, session: Session) -> None:
        """A session goes on, after a take-over or at a new address: what its engine holds it is told again.

        Strategies of tenants that the session no longer acts in are unloaded.
        """
        engine = self.engines.by_session.get(session.session_id)
        if engine is None:
            return
        for runner in list(engine.runners):
            if runner.row.tenant_id not in session.tenants or session.type is not ClientType.ROUTING:
                self.drop(node, runner.row.key)
                self.give_back(node, session.session_id, "Unloaded", runner.row)
        self.engines.freed(session.session_id)
        self.tasks[session.session_id] = _repeat(node, session.session_id)  # however often it registers: once

    def release(self, node: NodeCore, session_id: str, why: str) -> None:
        """A session has ended."""
        for key in node.memory.loads.keys("session", session_id):
            self.drop(node, key)
        self.engines.forget(session_id)
        self.give_back(node, session_id, why)

    def give_back(self, node: NodeCore, session_id: str, why: str, load: Load | None = None) -> None:
        """Takes from an engine what it holds, of one load or of all."""
        held = _held(node, session_id, load)
        if held:
            self.tasks[next(self._numbers)] = self._passed_on(node, session_id, held, why)

    def _passed_on(self, node: NodeCore, session_id: str, held: list[tuple[str, int]], why: str) -> Iterator[None]:
        for interaction_id, token in held:
            holding = node.memory.holdings.get(interaction_id)
            if holding is not None and holding.token == token:
                self._pass_on(node, session_id, holding, why)
                yield

    def _pass_on(self, node: NodeCore, session_id: str, holding: Holding, why: str) -> None:
        """One interaction goes to another engine of the strategy that has room, or back to its old place."""
        interaction = node.memory.interactions[holding.interaction_id]
        cause, strategy_id = holdings.because(why), None
        for holder in holding.holders:
            if holder.name == session_id:
                strategy_id = holder.party.strategy_id
                note = EventAbandoned(interaction_id=interaction.interaction_id, reason=why, strategy_id=strategy_id)
                node.tell(session_id, note)
                node.event(EventPartyRemoved, interaction, cause, party=holder.party)
        runner = self._next(node, self.engines.of_strategy(interaction.tenant_id, strategy_id))
        if runner is None or holding.view_id is None or node.journal_full:
            holdings.put_back(node, interaction, holding, cause)
            return
        holdings.end_hold(node, interaction, holding, cause)
        holding = holdings.grant(node, interaction, runner.holder, holding, holding.view_id)
        runner.sent(node.now, self.engines.next_turn())
        holdings.add_party(node, interaction, runner.holder, cause, "Route")
        _tell(node, interaction, holding, resubmitted=True)


def room_at(node: NodeCore, runner: Runner) -> float:
    """When a runner may be sent the next interaction, as far as that can be said."""
    session_id, held = runner.row.session_id, node.memory.holdings
    if (
        session_id not in node.sessions.by_id
        or held.count("holder", session_id) >= runner.engine.most
        or held.count("strategy", (session_id, runner.row.strategy_id)) >= runner.most
    ):
        return UNTIL_FREED
    return runner.next_at(node.now)


def _rate_allows(node: NodeCore, runner: Runner) -> None:
    """A deadline: the rate allows the next one."""
    if runner.stopped <= node.now:
        node.strategies.engines.go_on(runner)


def _held(node: NodeCore, session_id: str, load: Load | None = None) -> list[tuple[str, int]]:
    """What a session holds as a routing engine, of one load or of all: ids and tokens, as they were granted."""
    memory = node.memory
    if load is None:
        keys = memory.holdings.keys("holder", session_id)
    else:
        keys = memory.holdings.keys("strategy", (session_id, load.strategy_id))
        keys = [key for key in keys if memory.interactions[key].tenant_id == load.tenant_id]
    return sorted(((key, memory.holdings.rows[key].token) for key in keys), key=lambda pair: pair[1])


def _repeat(node: NodeCore, session_id: str) -> Iterator[None]:
    """Tells an engine again what it was sent and still holds."""
    for interaction_id, token in _held(node, session_id):
        holding = node.memory.holdings.get(interaction_id)
        if holding is not None and holding.token == token and holding.view_id is not None:
            _tell(node, node.memory.interactions[interaction_id], holding, repeated=True)
            yield


def _tell(
    node: NodeCore, interaction: Interaction, holding: Holding, *, resubmitted: bool = False, repeated: bool = False
) -> None:
    """Sends the engine that holds an interaction its route request."""
    for holder in holding.holders:
        note = EventRouteRequest(
            strategy_id=holder.party.strategy_id or "",
            view_id=holding.view_id or "",
            token=holding.token,
            resubmitted=resubmitted,
            repeated=repeated,
            interaction=interaction,
        )
        node.tell(holder.session_id, note)


# -- requests


def load(node: NodeCore, call: Call) -> EventAck:
    """RequestLoadStrategy: the engine is sent what waits and what comes, or has new views and limits."""
    request: RequestLoadStrategy = call.request
    call.tenant(request.tenant_id)
    session, loads = call.session, node.memory.loads
    known = loads.get(load_key(session.session_id, request.tenant_id, request.strategy_id))
    row = Load(
        session_id=session.session_id,
        client_name=session.name,
        tenant_id=request.tenant_id,
        strategy_id=request.strategy_id,
        us=known.us if known is not None else node.clock.next(node.now),
        view_ids=list(dict.fromkeys(request.view_ids)) if request.view_ids is not None else None,
        max_submitted=request.max_submitted,
        submission_rate=request.submission_rate,
    )
    _check(node, row)
    if known is None and loads.count("session", session.session_id) >= MOST:
        raise Refusal(Code.BUSY, f"a session has {MOST} strategies loaded", retry_after=60.0)
    node.memory.put(loads, row.key, row)
    node.strategies.add(node, row)
    return EventAck()


def _check(node: NodeCore, row: Load) -> None:
    """:raises Refusal: a view that is not the tenant's; a strategy that the configuration does not know for it"""
    views = {view.view_id: view for view in _views_of(node, row)}
    for view_id in row.view_ids or ():
        if view_id not in views:
            raise Refusal(Code.UNKNOWN_VIEW, f"tenant {row.tenant_id} has no view {view_id}", field="view_ids")
    if not views:
        text = f"tenant {row.tenant_id} has no strategy {row.strategy_id} in the configuration, and no views are named"
        raise Refusal(Code.UNKNOWN_STRATEGY, text, field="strategy_id")


def _views_of(node: NodeCore, row: Load) -> list[View]:
    """The views of a load that there are in its tenant."""
    known = node.configuration.strategies.get(row.strategy_id)
    names = row.view_ids if row.view_ids is not None else known.views if known is not None else []
    views = [view for name in names if (view := node.memory.views.by_id.get(name)) is not None]
    return [view for view in views if view.tenant_id == row.tenant_id]


def unload(node: NodeCore, call: Call) -> EventAck:
    """RequestUnloadStrategy: nothing more is sent; what the engine still holds is taken from it."""
    request: RequestUnloadStrategy = call.request
    call.tenant(request.tenant_id)
    row = node.memory.loads.get(load_key(call.session.session_id, request.tenant_id, request.strategy_id))
    if row is None:
        raise Refusal(Code.UNKNOWN_STRATEGY, f"{request.strategy_id} is not loaded", field="strategy_id")
    node.strategies.drop(node, row.key)
    node.strategies.give_back(node, row.session_id, "Unloaded", row)
    return EventAck()


HANDLERS = {RequestLoadStrategy: load, RequestUnloadStrategy: unload}
