"""Plays recorded calls into a cluster: the clients of a replay, in one thread. The shell of :mod:`broker.replay.play`.

It is media server, routing engine, every agent (a client each) and reporting client at once. What it counts comes from
the event stream alone, from before the first submit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

import msgspec

from broker.client import Answer, Client, Endpoint, Events
from broker.link import clock, turn
from broker.messages.kinds import ClientType

from .calls import Call
from .play import Order, Phase, Play
from .report import Effort, Report, report
from .steps import ENGINE, MEDIA, MEDIA_TYPE, agent_client
from .tally import Tally

REQUEST_S = 15.0
SETTLE_S = 15.0
"""How long the stream may take to show the last event after the last decision was acked."""
_LONGEST_TURN_S = 0.5

Progress = Callable[[int, int], None]
"""``progress(done, total)``: how many decisions are done."""


class Player:
    """One replay. Use it in a ``with`` statement: it opens all clients, and closes them.

    :param endpoints: the proxies; every client chooses one at random
    :param run: tells this replay from all others
    :param speed: how many times faster than recorded; None: as fast as possible
    :raises Unavailable: no proxy answers
    :raises ClientError: a client was refused
    """

    def __init__(
        self, endpoints: Sequence[Endpoint], calls: Sequence[Call], *, run: str, tenant: int, speed: float | None
    ) -> None:
        self._calls = calls
        self._run = run
        self._speed = speed
        self._play = Play(calls, run, tenant, speed)
        self._tally = Tally(run, speed or 1.0)
        self._stack = ExitStack()
        self._clients: dict[str, Client] = {}
        self._sessions: dict[str, int] = {}
        with ExitStack() as opened:
            opened.push(self._stack)
            self._open(list(endpoints), [tenant])
            opened.pop_all()

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def play(self, progress: Progress) -> Report:
        """Plays all calls, and waits until the stream has shown what became of them.

        :raises ReplayFailed: the cluster does not let it go on
        """
        began_at = clock()
        self._play.begin(began_at)
        while self._play.phase is not Phase.OVER:
            self._turn()
            progress(self._play.done, self._play.total)
        self._settle()
        effort = Effort(self._run, self._speed, clock() - began_at, self._play.faults)
        return report(self._calls, self._tally, effort)

    # ---- the clients

    def _open(self, endpoints: list[Endpoint], tenants: list[int]) -> None:
        def client(name: str, kind: ClientType, media_type: str | None = None) -> Client:
            made = Client(endpoints, f"replay-{name}", kind, tenants=tenants, media_type=media_type, timeout=REQUEST_S)
            return self._stack.enter_context(made)

        self._reporter = client("reporter", ClientType.REPORTING)
        self._events: Events = self._reporter.events()
        self._stack.callback(self._events.close)
        self._clients[MEDIA] = client(MEDIA, ClientType.MEDIA, MEDIA_TYPE)
        self._clients[ENGINE] = client(ENGINE, ClientType.ROUTING)
        for name in self._play.agents:
            self._clients[agent_client(name)] = client(name, ClientType.AGENT)
            self._sessions[name] = self._clients[agent_client(name)].sessions

    # ---- the turns

    def _turn(self) -> None:
        self._send()
        now = clock()
        wait_s = min(max(self._play.wake_at - now, 0.0), _LONGEST_TURN_S)
        turn([*self._clients.values(), self._reporter, self._events], wait_s)
        now = clock()
        for name in self._play.agents:
            self._look_at(now, name)
        self._play.tick(now)
        self._send()
        self._count()

    def _send(self) -> None:
        for order in self._play.orders():
            self._clients[order.client].ask(order.request, partial(self._answered, order))

    def _answered(self, order: Order, answer: Answer) -> None:
        outcome = answer if isinstance(answer, Exception) else msgspec.json.decode(answer)
        self._play.answered(clock(), order.number, outcome)

    def _look_at(self, now: float, name: str) -> None:
        """What an agent's client was told, and whether it had to begin a new session."""
        client = self._clients[agent_client(name)]
        for note in client.told():
            if note.get("message") == "EventInvite":
                self._play.invited(now, note["interaction"]["interaction_id"], note["ticket_id"])
        if client.sessions != self._sessions[name]:
            self._sessions[name] = client.sessions
            self._play.session(now, name)

    def _count(self) -> None:
        for event in self._events.take():
            self._tally.add(event.payload)

    def _settle(self) -> None:
        """The last event may come a little after the last ack."""
        expected = sum(call.submitted for call in self._calls)
        until = clock() + SETTLE_S
        self._count()
        while self._tally.ended < expected and clock() < until:
            turn([self._reporter, self._events], until - clock())
            self._count()
