"""Routing engines and the views that they are sent interactions from: who is next, and who has to wait for what.

    Runner    one strategy at one engine; it has room, or it is stopped
    Lane      one view and the runners that its interactions go to, in turn
    Engines   all of them, and the lanes that have to be looked at

A runner that has no room is stopped until a moment (a rate), or until something is freed (it holds as much as it may,
or its session is not there). A lane whose runners are all stopped waits with them, and is not looked at meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from itertools import count

from broker.config.objects import Configuration, NodeSettings
from broker.messages.kinds import STRATEGY, Party
from broker.rates import Pace

from .records import Holder, Load
from .views import View

UNTIL_FREED = float("inf")


class Engine:
    """A routing engine's session, with its limits over all strategies.

    :param name: that the client has registered with
    :param most: interactions that it may hold; :param pace: how often it may be sent one
    """

    __slots__ = ("_paces", "most", "name", "pace", "runners")

    def __init__(self, name: str, settings: NodeSettings, configuration: Configuration) -> None:
        own = configuration.routing_engines.get(name)
        most = own.max_submitted_interactions if own is not None else None
        rate = own.max_submission_rate if own is not None else None
        self.name = name
        self.most = settings.default_max_submitted_per_router if most is None else most
        self.pace = Pace(settings.default_max_submission_rate if rate is None else rate)
        self.runners: list[Runner] = []
        self._paces: dict[str, Pace] = {}

    def pace_of(self, strategy_id: str, rate: str | None) -> Pace:
        """The pace that the configuration has for a strategy; loading it again does not begin it anew."""
        return self._paces.setdefault(strategy_id, Pace(rate))


class Runner:
    """A strategy at an engine.

    :param most: interactions that it may hold; :param paces: how often it may be sent one
    :param holder: it, as the holder of what it is sent
    :param turn: when it was sent something last; the lowest comes first
    :param stopped: the moment until which it is; 0: it has room, as far as is known; UNTIL_FREED
    :param stuck: lanes that wait for it
    """

    __slots__ = ("engine", "holder", "lanes", "most", "paces", "row", "stopped", "stuck", "turn")

    def __init__(self, row: Load, engine: Engine, configuration: Configuration) -> None:
        known = configuration.strategies.get(row.strategy_id)
        limits = [row.max_submitted, known.max_submitted_interactions if known is not None else None]
        rate = known.max_submission_rate if known is not None else None
        self.row = row
        self.engine = engine
        self.most = min((limit for limit in limits if limit is not None), default=engine.most)
        self.paces = (engine.pace, engine.pace_of(row.strategy_id, rate), Pace(row.submission_rate))
        party = Party(type=STRATEGY, strategy_id=row.strategy_id, router_id=engine.name)
        self.holder = Holder(party=party, session_id=row.session_id, client_name=engine.name)
        self.lanes: list[Lane] = []
        self.turn = 0
        self.stopped = 0.0
        self.stuck: dict[str, Lane] = {}

    def next_at(self, now: float) -> float:
        """When the rates allow the next one."""
        return max(pace.next_at(now) for pace in self.paces)

    def sent(self, now: float, turn: int) -> None:
        """It was sent something."""
        self.turn = turn
        for pace in self.paces:
            pace.done(now)


class Lane:
    """A view from which interactions are sent.

    :param turn: when something was taken from it last; the lowest comes first
    :param pull_next: what is taken next goes to a pull that waits, if one does
    """

    __slots__ = ("pull_next", "queued", "runners", "turn", "view")

    def __init__(self, view: View) -> None:
        self.view = view
        self.runners: list[Runner] = []
        self.turn = 0
        self.queued = False
        self.pull_next = True


class Engines:
    """All engines, runners and lanes."""

    def __init__(self) -> None:
        self.by_session: dict[str, Engine] = {}
        self.runners: dict[str, Runner] = {}
        self.lanes: dict[str, Lane] = {}
        self._of_strategy: dict[tuple[int, str], list[Runner]] = {}
        self._turns = count(1)
        self._queue: list[tuple[int, str]] = []

    # -- loading

    def add(self, runner: Runner, views: Iterable[View]) -> None:
        """A strategy is loaded, in the place of an older load of it."""
        row, engine = runner.row, runner.engine
        old = self.remove(row.key)
        if old is not None:
            runner.turn = old.turn
        self.by_session[row.session_id] = engine
        self.runners[row.key] = runner
        engine.runners.append(runner)
        self._of_strategy.setdefault((row.tenant_id, row.strategy_id), []).append(runner)
        for view in views:
            lane = self.lanes.get(view.view_id)
            if lane is None:
                lane = self.lanes[view.view_id] = Lane(view)
            lane.runners.append(runner)
            runner.lanes.append(lane)
            self.look(lane)

    def remove(self, key: str) -> Runner | None:
        """A strategy is loaded no more. Its engine stays known, with its paces."""
        runner = self.runners.pop(key, None)
        if runner is None:
            return None
        runner.engine.runners.remove(runner)
        self._of_strategy[runner.row.tenant_id, runner.row.strategy_id].remove(runner)
        if not self.of_strategy(runner.row.tenant_id, runner.row.strategy_id):
            del self._of_strategy[runner.row.tenant_id, runner.row.strategy_id]
        for lane in runner.lanes:
            lane.runners.remove(runner)
            if lane.runners:
                self.look(lane)
            else:
                del self.lanes[lane.view.view_id]
        runner.stuck.clear()  # its rate may still call
        if not self.runners:
            self._queue.clear()  # there is no lane any more, and nobody would ever look
        return runner

    def forget(self, session_id: str) -> None:
        """An engine has gone."""
        engine = self.by_session.pop(session_id, None)
        for runner in list(engine.runners) if engine is not None else ():
            self.remove(runner.row.key)

    def of_strategy(self, tenant_id: int, strategy_id: str | None) -> list[Runner]:
        """The runners of one strategy, at whichever engine."""
        return self._of_strategy.get((tenant_id, strategy_id or ""), [])

    # -- turns

    def next_turn(self) -> int:
        """A number higher than all before."""
        return next(self._turns)

    def look(self, lane: Lane) -> None:
        """Something about a lane has changed."""
        if not lane.queued:
            lane.queued = True
            heappush(self._queue, (lane.turn, lane.view.view_id))

    def go_on(self, runner: Runner) -> None:
        """A runner may have room again."""
        runner.stopped = 0.0
        stuck, runner.stuck = runner.stuck, {}
        for lane in stuck.values():
            self.look(lane)

    def freed(self, session_id: str) -> None:
        """An engine holds less than before, or is there again."""
        engine = self.by_session.get(session_id)
        for runner in engine.runners if engine is not None else ():
            if runner.stopped == UNTIL_FREED:
                self.go_on(runner)

    def waiting(self) -> Iterator[Lane]:
        """The lanes to be looked at, the one that has waited longest first; each is taken off the list."""
        while self._queue:
            lane = self.lanes.get(heappop(self._queue)[1])
            if lane is not None and lane.queued:
                lane.queued = False
                yield lane

    @property
    def is_busy(self) -> bool:
        """Whether a lane is to be looked at."""
        return bool(self._queue)
