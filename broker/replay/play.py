"""A replay as a pure core: which decisions begin when, and what is asked of the cluster next.

    LOGIN     every agent logs in
    PLAYING   the decisions begin in recorded order: at their time, or as soon as the window has room; a decision whose
              call is still busy with the one before holds up all that come later, so the order is kept
    LOGOUT    every agent logs out
    OVER

``orders`` are what is to be sent; ``answered``, ``invited`` and ``session`` bring what comes. What an answer means is
in :mod:`broker.replay.steps`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from enum import Enum
from heapq import heappop, heappush
from typing import NamedTuple

from broker.answers import Outcome
from broker.messages.kinds import Request

from .calls import Action, Call, Decision, agents_of, decisions
from .steps import CHAINS, INVITATION_S, Orders, Step, Task, Verdict, verdict

WINDOW = 64
"""Decisions under way at once at full speed."""
WIDE_WINDOW = 1024
"""The same at a given speed, where the recorded times set the pace."""
PAUSE_S = 0.1
"""Between a step that failed in passing and its repetition."""
PATIENCE_S = 120.0
"""A decision that is not done after this long ends the replay; above the three keep-alive intervals (of 30 s) after
which what a dead proxy's clients held goes back."""
_INVITATION_MARGIN_S = 0.5


class Phase(Enum):
    """Where the replay stands."""

    LOGIN = "the agents log in"
    PLAYING = "the calls are played"
    LOGOUT = "the agents log out"
    OVER = "all is done"


class ReplayFailed(Exception):
    """The cluster does not let the replay go on. :param refused: it was refused, asking again is of no use"""

    def __init__(self, text: str, *, refused: bool) -> None:
        super().__init__(text)
        self.refused = refused


class Order(NamedTuple):
    """A request to send. :param number: give it back with the answer"""

    number: int
    client: str
    request: Request


class Play:
    """The core. Times are seconds of any rising clock.

    :param run: tells this replay from all others; short, for it stands in every ``dedup_id``
    :param speed: how many times faster than recorded; None: as fast as the window lets it
    """

    def __init__(self, calls: Sequence[Call], run: str, tenant: int, speed: float | None = None) -> None:
        self.phase = Phase.LOGIN
        self.done = 0
        """How many decisions are done."""
        self.faults: Counter[str] = Counter()
        """Why steps had to be asked again, and how many for each reason."""
        self._orders = Orders(run, tenant)
        self._decisions = decisions(calls)
        self._speed = speed
        self._next = 0
        self._open = 0
        self._began_at: float | None = None
        self._tasks = {call.row: Task(f"{call.row}", call.agent, call) for call in calls if call.submitted}
        self._sessions = {name: Task(f"a{at}", name) for at, name in enumerate(agents_of(calls))}
        self._by_id: dict[str, Task] = {}
        self._asked: dict[int, Task] = {}
        self._numbers = 0
        self._due: list[tuple[float, int, Task]] = []
        self._out: deque[Order] = deque()

    @property
    def total(self) -> int:
        """How many decisions there are."""
        return len(self._decisions)

    @property
    def repeated(self) -> int:
        """How many steps had to be asked again."""
        return self.faults.total()

    @property
    def agents(self) -> list[str]:
        """Who logs in."""
        return list(self._sessions)

    def orders(self) -> list[Order]:
        """What is to be sent now."""
        orders = list(self._out)
        self._out.clear()
        return orders

    # ---- what comes

    def begin(self, now: float) -> None:
        """All clients are registered: the agents log in."""
        for task in self._sessions.values():
            self._start(now, task, [Step.LOGIN])
        self._turn_page(now)

    def session(self, now: float, agent: str) -> None:
        """The agent's client had to register anew; the cluster may have logged the agent out."""
        if self.phase in (Phase.LOGIN, Phase.PLAYING):
            task = self._sessions[agent]
            task.attempt += 1
            self._start(now, task, [Step.LOGIN])

    def answered(self, now: float, number: int, outcome: Outcome) -> None:
        """The answer to an order. :raises ReplayFailed: the replay cannot go on"""
        task = self._asked.pop(number, None)
        if task is None or task.asked != number:
            return
        _ACTS[verdict(task, outcome)](self, now, task, outcome)
        self._turn_page(now)

    def invited(self, now: float, interaction_id: str, ticket: int) -> None:
        """An agent was told of an invitation."""
        task = self._by_id.get(interaction_id)
        if task is not None and task.busy and task.step in (Step.DELIVER, Step.INVITED):
            task.ticket = ticket
            if task.step is Step.INVITED:
                self._advance(now, task)

    def tick(self, now: float) -> None:
        """Begins and repeats what is due. :raises ReplayFailed: a decision has taken too long"""
        while self._due and self._due[0][0] <= now:
            _, number, task = heappop(self._due)
            if task.busy and task.asked == number:
                self._overdue(now, task)
        self._begin_decisions(now)

    @property
    def wake_at(self) -> float:
        """When :meth:`tick` has something to do next."""
        due = self._due[0][0] if self._due else float("inf")
        decision = self._startable()
        return due if decision is None else min(due, self._time_of(decision))

    # ---- the decisions

    def _begin_decisions(self, now: float) -> None:
        while (decision := self._startable()) is not None and self._time_of(decision) <= now:
            self._next += 1
            self._open += 1
            self._start(now, self._task_of(decision), CHAINS[decision.action])

    def _startable(self) -> Decision | None:
        """The next decision, if the window has room and its call is not busy."""
        room = self._open < (WINDOW if self._speed is None else WIDE_WINDOW)
        if self.phase is not Phase.PLAYING or not room or self._next >= len(self._decisions):
            return None
        decision = self._decisions[self._next]
        return None if self._task_of(decision).busy else decision

    def _task_of(self, decision: Decision) -> Task:
        return self._tasks[decision.call.row]

    def _time_of(self, decision: Decision) -> float:
        if self._speed is None or self._began_at is None:
            return 0.0
        return self._began_at + (decision.at - self._decisions[0].at) / self._speed

    # ---- the steps of one

    def _start(self, now: float, task: Task, steps: Sequence[Step]) -> None:
        task.busy, task.begun_at, task.repeated = True, now, False
        task.step, *task.then = steps
        self._ask(task)

    def _ask(self, task: Task) -> None:
        self._numbers += 1
        task.asked = self._numbers
        self._asked[task.asked] = task
        self._out.append(Order(task.asked, *self._orders.of(task)))

    def _advance(self, now: float, task: Task, outcome: Outcome | None = None) -> None:
        """The step is done: the next one, or the end of the decision."""
        if task.step is Step.SUBMIT:
            self._by_id[task.interaction_id] = task
        if not task.then:
            self._finish(task)
            return
        task.step = task.then.pop(0)
        task.repeated = False
        if task.step is not Step.INVITED:
            self._ask(task)
        elif task.ticket is not None:
            self._advance(now, task)
        else:
            self._wait(task, now + INVITATION_S + _INVITATION_MARGIN_S)

    def _finish(self, task: Task) -> None:
        task.busy = False
        if task.call is not None:
            self._open -= 1
            self.done += 1

    def _again(self, now: float, task: Task, outcome: Outcome) -> None:
        self.faults[f"{task.step.value}: {task.fault}"] += 1
        self._repeat(now, task, outcome)

    def _repeat(self, now: float, task: Task, outcome: Outcome) -> None:
        task.repeated = True
        retry_after = outcome.get("retry_after") if isinstance(outcome, dict) else None
        self._wait(task, now + max(retry_after or 0.0, PAUSE_S))

    def _anew(self, now: float, task: Task, outcome: Outcome | None = None) -> None:
        """Back to the pull; what came after it follows again, and what was to come then, too.

        Where an agent could not stop a call that cannot be pulled either, the agent has it still (it had to log in
        again, and was asked too early), so it is told to stop once more.
        """
        self.faults[f"{task.step.value}: {task.fault}"] += 1
        still_held = task.step is Step.PULL and Step.STOP in task.then
        again = [Step.STOP] if still_held else CHAINS[Action.ANSWER]
        rest = [step for step in (task.step, *task.then) if step is Step.STOP]
        task.step, *task.then = list(dict.fromkeys([*again, *rest]))
        task.attempt += 1
        task.ticket = None
        self._repeat(now, task, {})

    def _fail(self, now: float, task: Task, outcome: Outcome) -> None:
        raise ReplayFailed(_fault(task), refused=True)

    def _wait(self, task: Task, until: float) -> None:
        self._numbers += 1
        task.asked = self._numbers
        heappush(self._due, (until, task.asked, task))

    def _overdue(self, now: float, task: Task) -> None:
        """A pause is over, or no invitation has come."""
        if now >= task.begun_at + PATIENCE_S:
            raise ReplayFailed(f"{_fault(task)} (for {PATIENCE_S:g} s)", refused=False)
        if task.step is Step.INVITED:
            task.fault = "the agent was not told of the invitation"
            self._anew(now, task)
        else:
            self._ask(task)

    # ---- the phases

    def _turn_page(self, now: float) -> None:
        if self.phase is Phase.LOGIN and not self._any_session_busy():
            self.phase = Phase.PLAYING
            self._began_at = now
        if self.phase is Phase.PLAYING and self.done == len(self._decisions):
            self.phase = Phase.LOGOUT
            for task in self._sessions.values():
                self._start(now, task, [Step.LOGOUT])
        if self.phase is Phase.LOGOUT and not self._any_session_busy():
            self.phase = Phase.OVER

    def _any_session_busy(self) -> bool:
        return any(task.busy for task in self._sessions.values())


_ACTS = {
    Verdict.DONE: Play._advance,
    Verdict.AGAIN: Play._again,
    Verdict.ANEW: Play._anew,
    Verdict.FAILED: Play._fail,
}


def _fault(task: Task) -> str:
    what = f"call in row {task.call.row}" if task.call is not None else f"agent {task.agent}"
    return f"{what}, {task.step.value}: {task.fault}"
