"""A replay's core against a model of a cluster that loses replies, refuses in passing, forgets agents and invitations.

No sockets, no clock: the model keeps a heap of what arrives when.
"""

from __future__ import annotations

import json
import random
from heapq import heappop, heappush
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.answers import ClientError, Outcome, Unavailable
from broker.messages import encode
from broker.replay.calls import Action, Call, Fate, decisions
from broker.replay.play import PATIENCE_S, WINDOW, Order, Phase, Play, ReplayFailed
from broker.replay.report import Effort, report
from broker.replay.steps import ENGINE, MEDIA, Step, Task, Verdict, verdict
from broker.replay.tally import Tally

RUN = "run1"


def call(row: int, *, answered: bool = True, entered: int = 0, wait: int = 5, service: int = 10) -> Call:
    return Call(
        row=row,
        fate=Fate.ANSWERED if answered else Fate.ABANDONED,
        line="AA0101",
        call_id=f"c{row}",
        customer_id="7",
        priority=row % 3,
        queue="PS" if row % 2 else "NE",
        entered=entered,
        left=entered + wait,
        ended=entered + wait + (service if answered else 0),
        agent=f"agent {row % 4}" if answered else "",
    )


class Faults(msgspec.Struct):
    """How often, of 100, the cluster misbehaves."""

    lost: int = 0
    refused: int = 0
    uninvited: int = 0
    logged_out: int = 0
    moved: int = 0


class Cluster:
    """A cluster as the replay sees it: it executes requests, keeps the replies of each ``dedup_id``, logs events."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self.now = 0.0
        self.events: list[bytes] = []
        self.log: list[tuple[float, str, dict[str, Any]]] = []
        self.interactions: dict[str, dict[str, Any]] = {}
        self.agents: set[str] = set()
        self.strangers: set[str] = set()
        self._faults = faults
        self._random = random.Random(seed)
        self._kept: dict[tuple[str, str], dict[str, Any]] = {}
        self._coming: list[tuple[float, int, str, Any]] = []
        self._numbers = 0

    # ---- what the shell does

    def run(self, play: Play, until: float = 100_000.0) -> None:
        play.begin(self.now)
        while play.phase is not Phase.OVER and self.now < until:
            for order in play.orders():
                self._take(order)
            self.now = max(self.now, min(self._coming[0][0] if self._coming else until, play.wake_at))
            while self._coming and self._coming[0][0] <= self.now:
                _, _, kind, what = heappop(self._coming)
                if kind == "reply":
                    play.answered(self.now, *what)
                elif kind == "invite":
                    play.invited(self.now, *what)
                elif kind == "session":
                    play.session(self.now, what)
                elif kind == "expire":
                    self._expire(*what)
            play.tick(self.now)

    def _later(self, delay_s: float, kind: str, what: Any) -> None:
        self._numbers += 1
        heappush(self._coming, (self.now + delay_s, self._numbers, kind, what))

    def _chance(self, percent: int) -> bool:
        return self._random.randrange(100) < percent

    def _take(self, order: Order) -> None:
        request = json.loads(encode(order.request))
        self.log.append((self.now, order.client, request))
        outcome: Outcome
        if self._chance(self._faults.refused):
            code = self._random.choice([60, 91, 2002, 2003])
            outcome = {"message": "EventError", "code": code, "text": "not now", "retry_after": 0.2}
        else:
            outcome = self._execute(order.client, request)
        if self._chance(self._faults.lost):
            outcome = self._random.choice([Unavailable("lost"), TimeoutError()])
        self._later(0.001 + self._random.random() * 0.01, "reply", (order.number, outcome))

    # ---- the requests

    def _execute(self, client: str, request: dict[str, Any]) -> dict[str, Any]:
        key = (client, request["dedup_id"])
        if key in self._kept:
            return self._kept[key]
        reply: dict[str, Any] = getattr(self, request["message"])(client, request)
        if reply["message"] != "EventError":
            self._kept[key] = reply
        return reply

    def RequestAgentLogin(self, client: str, request: dict[str, Any]) -> dict[str, Any]:
        self.agents.add(request["agent_id"])
        self.strangers.discard(request["agent_id"])
        return {"message": "EventAck"}

    def RequestAgentLogout(self, client: str, request: dict[str, Any]) -> dict[str, Any]:
        if request["agent_id"] not in self.agents:
            return error(22)
        self.agents.discard(request["agent_id"])
        return {"message": "EventAck"}

    def RequestSubmit(self, client: str, request: dict[str, Any]) -> dict[str, Any]:
        assert client == MEDIA and request["is_online"] == 1
        self._numbers += 1
        name = f"i{self._numbers}"
        self.interactions[name] = {"state": "queued", "token": 0, **request}
        self._say("EventInteractionSubmitted", name, user_data=request["user_data"])
        return {"message": "EventAck", "interaction_id": name, "extension": {"InteractionId": name}}

    def RequestPull(self, client: str, request: dict[str, Any]) -> dict[str, Any]:
        assert client == ENGINE
        (name,) = request["pull_parameters"]["interaction_ids"]
        found = self.interactions[name]
        if found["state"] != "queued":
            return error(46)
        self._numbers += 1
        found |= {"state": "routing", "token": self._numbers}
        self._say("EventPartyAdded", name, party={"type": 1, "strategy_id": "s"})
        return {
            "message": "EventPulledInteractions",
            "interactions": [{"interaction_id": name, "token": found["token"]}],
        }

    def RequestDeliver(self, client: str, request: dict[str, Any]) -> dict[str, Any]:
        found = self.interactions[request["interaction_id"]]
        if found["state"] != "routing" or found["token"] != request["token"]:
            return error(48)
        if request["agent_id"] not in self.agents:
            return error(49)
        self._numbers += 1
        ticket = self._numbers
        found |= {"state": "invited", "token": ticket, "agent": request["agent_id"]}
        self._later(request["timeout"], "expire", (request["interaction_id"], ticket))
        if not self._chance(self._faults.uninvited):
            self._later(self._random.random() * 0.02, "invite", (request["interaction_id"], ticket))
        return {"message": "EventAck"}

    def RequestAccept(self, client: str, request: dict[str, Any]) -> dict[str, Any]:
        found = self.interactions[request["interaction_id"]]
        if request["agent_id"] not in self.agents:
            return error(22)
        if found["token"] != request["ticket_id"] or found["state"] not in ("invited", "handled"):
            return error(48)
        if found["state"] == "handled":
            return error(47)
        found["state"] = "handled"
        self._say("EventPartyAdded", request["interaction_id"], party={"type": 2, "agent_id": request["agent_id"]})
        if self._chance(self._faults.logged_out):
            self._log_out(request["agent_id"])
        if self._chance(self._faults.moved):
            self._move(request["agent_id"])
        return {"message": "EventAck"}

    def RequestChangeProperties(self, client: str, request: dict[str, Any]) -> dict[str, Any]:
        if request["interaction_id"] not in self.interactions:
            return error(43)
        self.interactions[request["interaction_id"]] |= request["changed_properties"]
        return {"message": "EventAck"}

    def RequestStopProcessing(self, client: str, request: dict[str, Any]) -> dict[str, Any]:
        found = self.interactions.get(request["interaction_id"])
        if found is None:
            return error(43)
        if client != MEDIA and request["agent_id"] not in self.agents:
            return error(22)
        holds = found["state"] == "handled" and found["agent"] not in self.strangers
        if client != MEDIA and not (holds and found["agent"] == request["agent_id"]):
            return error(40)
        if client == MEDIA:
            assert found["is_online"] == 0, "a caller who is gone is set offline first"
        del self.interactions[request["interaction_id"]]
        self._say("EventProcessingStopped", request["interaction_id"])
        return {"message": "EventAck"}

    # ---- what happens by itself

    def _expire(self, name: str, ticket: int) -> None:
        found = self.interactions.get(name)
        if found is not None and found["state"] == "invited" and found["token"] == ticket:
            found["state"] = "queued"

    def _log_out(self, agent: str) -> None:
        """The agent's proxy has died: what it held goes back, its client registers anew a little later."""
        self.agents.discard(agent)
        for found in self.interactions.values():
            if found.get("agent") == agent and found["state"] in ("handled", "invited"):
                found["state"] = "queued"
        self._later(0.05, "session", agent)

    def _move(self, agent: str) -> None:
        """The agent's client has moved to another proxy, whose session is a stranger to the node until it logs in."""
        self.strangers.add(agent)
        self._later(0.05, "session", agent)

    def _say(self, message: str, name: str, **parts: Any) -> None:
        data = parts.pop("user_data", None)
        interaction = {
            "interaction_id": name,
            "queue": self.interactions.get(name, {}).get("queue"),
            "media_type": "voice",
        }
        if data is not None:
            interaction["user_data"] = data
        self.events.append(
            json.dumps({"message": message, "time": self.now, "interaction": interaction, **parts}).encode()
        )


def error(code: int) -> dict[str, Any]:
    return {"message": "EventError", "code": code, "text": "no"}


def played(calls: list[Call], faults: Faults, seed: int = 0, speed: float | None = None) -> tuple[Play, Cluster]:
    play, cluster = Play(calls, RUN, 101, speed), Cluster(faults, seed)
    cluster.run(play)
    return play, cluster


def matches(calls: list[Call], cluster: Cluster) -> bool:
    tally = Tally(RUN)
    for payload in cluster.events:
        tally.add(payload)
    return report(calls, tally, Effort(RUN, None, 0.0, 0)).match


def day(count: int) -> list[Call]:
    return [
        call(row, answered=row % 3 != 0, entered=row * 2, wait=row % 7, service=row % 11) for row in range(1, count + 1)
    ]


def test_a_day_is_played_and_the_stream_says_the_same_as_the_file() -> None:
    # Given forty calls and a cluster without faults, when they are played
    calls = day(40)
    play, cluster = played(calls, Faults())
    # Then all is done, nothing is left, the agents are logged out, and the counts are the file's
    assert play.phase is Phase.OVER and play.done == play.total and play.repeated == 0
    assert not cluster.interactions and not cluster.agents and matches(calls, cluster)


PERCENT = st.integers(0, 20)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.builds(Faults, lost=PERCENT, refused=PERCENT, uninvited=PERCENT, logged_out=PERCENT, moved=PERCENT),
    st.sampled_from([None, 10.0]),
)
def test_whatever_the_cluster_does_the_day_is_played(seed: int, faults: Faults, speed: float | None) -> None:
    """Given a cluster that loses replies, refuses in passing, does not tell of invitations and forgets agents, when a
    day is played, then every call is done once, and the counts are the file's."""
    calls = day(25)
    play, cluster = played(calls, faults, seed, speed)
    assert play.phase is Phase.OVER and not cluster.interactions and matches(calls, cluster)


def test_decisions_begin_in_recorded_order() -> None:
    # Given a cluster that is slow and unfair, when a day is played
    calls = day(60)
    _, cluster = played(calls, Faults(lost=10, refused=10), seed=3)
    # Then the first request of every decision goes out in the order of the recording
    first = {Action.SUBMIT: "submit", Action.ANSWER: "pull", Action.STOP: "stop", Action.HANG_UP: "offline"}
    expected = [f"{RUN}.{one.call.row}.{first[one.action]}" for one in decisions(calls)]
    seen = [request["dedup_id"].rpartition(".")[0] for _, _, request in cluster.log]
    begun = list(dict.fromkeys(ident for ident in seen if ident in set(expected)))
    assert begun == expected


def test_the_window_bounds_what_is_under_way() -> None:
    # Given two hundred calls that come at once, when nobody answers
    play = Play([call(row) for row in range(1, 201)], RUN, 101)
    play.begin(0.0)
    for order in play.orders():
        play.answered(0.0, order.number, {"message": "EventAck"})
    play.tick(0.0)
    # Then only a window of them has been begun
    assert play.phase is Phase.PLAYING and len(play.orders()) == WINDOW


def test_recorded_time_is_kept_so_many_times_faster() -> None:
    # Given calls at 0 s, 100 s and 300 s, when they are played 10 times faster
    calls = [call(row, answered=False, entered=entered, wait=0) for row, entered in ((1, 0), (2, 100), (3, 300))]
    _, cluster = played(calls, Faults(), speed=10.0)
    # Then they are submitted at 0 s, 10 s and 30 s
    times = [at for at, _, request in cluster.log if request["message"] == "RequestSubmit"]
    assert times == pytest.approx([times[0], times[0] + 10, times[0] + 30], abs=0.02)


def test_every_change_carries_a_dedup_id_that_is_used_for_one_thing() -> None:
    # Given a cluster with all faults, when a day is played
    _, cluster = played(day(40), Faults(lost=15, refused=15, uninvited=10, logged_out=5, moved=5), seed=9)
    # Then one dedup_id stands for one request, whatever was repeated
    said: dict[str, dict[str, Any]] = {}
    for _, client, request in cluster.log:
        assert said.setdefault(f"{client} {request['dedup_id']}", request) == request
        assert len(request["dedup_id"]) <= 64


def test_a_submit_carries_what_tells_the_run_and_the_call() -> None:
    # Given a call, when it is submitted
    _, cluster = played([call(5)], Faults())
    request = next(request for _, _, request in cluster.log if request["message"] == "RequestSubmit")
    # Then queue, priority, and the call's own data are there
    assert (request["queue"], request["priority"], request["media_type"]) == ("PS", 2, "voice")
    assert request["user_data"] == {"run": RUN, "row": 5, "line": "AA0101", "call_id": "c5", "customer_id": "7"}


@pytest.mark.parametrize("outcome", [error(11), ClientError(40, "Access denied", {}), error(40)])
def test_a_refusal_ends_the_replay(outcome: Outcome) -> None:
    # Given a cluster that refuses the submit for good, when that is said, then the replay says of which row, and ends
    play = Play([call(1, answered=False)], RUN, 101)
    play.begin(0.0)
    play.tick(0.0)
    (order,) = play.orders()
    with pytest.raises(ReplayFailed, match="row 1, submit") as failed:
        play.answered(0.1, order.number, outcome)
    assert failed.value.refused


def test_an_answer_to_an_earlier_order_is_nobodys() -> None:
    # Given an agent whose client had to register anew while it logged in, when the first login is refused at last
    play = Play([call(1)], RUN, 101)
    play.begin(0.0)
    (first,) = play.orders()
    play.session(0.1, "agent 1")
    (second,) = play.orders()
    play.answered(0.2, first.number, error(30))
    # Then only the second one counts
    assert play.phase is Phase.LOGIN
    play.answered(0.3, second.number, {"message": "EventAck"})
    assert play.phase is Phase.PLAYING


def test_patience_ends() -> None:
    # Given a cluster that is away for good, when a decision has waited long enough, then the replay ends
    play = Play([call(1, answered=False)], RUN, 101)
    play.begin(0.0)
    now = 0.0
    with pytest.raises(ReplayFailed, match="row 1, submit: nobody") as failed:
        while now < 2 * PATIENCE_S:
            play.tick(now)
            for order in play.orders():
                play.answered(now, order.number, Unavailable("nobody"))
            now = play.wake_at
    assert not failed.value.refused and PATIENCE_S <= now < PATIENCE_S + 1


@pytest.mark.parametrize(
    ("step", "code", "repeated", "expected"),
    [
        (Step.LOGIN, 21, False, Verdict.DONE),
        (Step.LOGIN, 30, False, Verdict.FAILED),
        (Step.PULL, 46, False, Verdict.ANEW),
        (Step.PULL, 43, False, Verdict.FAILED),
        (Step.DELIVER, 49, False, Verdict.AGAIN),
        (Step.DELIVER, 40, False, Verdict.ANEW),
        (Step.ACCEPT, 47, False, Verdict.DONE),
        (Step.ACCEPT, 48, False, Verdict.ANEW),
        (Step.STOP, 43, True, Verdict.DONE),
        (Step.STOP, 43, False, Verdict.FAILED),
        (Step.STOP, 22, False, Verdict.AGAIN),
        (Step.SUBMIT, 2001, False, Verdict.AGAIN),
        (Step.SUBMIT, 5, True, Verdict.FAILED),
        (Step.END, 5, True, Verdict.DONE),
        (Step.LOGOUT, 22, False, Verdict.DONE),
    ],
)
def test_what_an_error_means(step: Step, code: int, repeated: bool, expected: Verdict) -> None:
    # Given a step, when it is answered with this error, then it means that
    task = Task("1", "AVI", step=step, repeated=repeated)
    assert verdict(task, error(code)) is expected


def test_a_pull_through_a_proxy_may_carry_its_error_inside() -> None:
    # Given a pull by id, when the reply is positive but for that id, then it is looked at as an error
    task = Task("1", "AVI", step=Step.PULL, interaction_id="i1")
    for code, expected in ((46, Verdict.ANEW), (2003, Verdict.ANEW), (43, Verdict.FAILED)):
        reply = {
            "message": "EventPulledInteractions",
            "interactions": [],
            "errors": {"i1": {"code": code, "text": "x"}},
        }
        assert verdict(task, reply) is expected
