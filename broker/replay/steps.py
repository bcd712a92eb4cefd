"""What a decision asks of the cluster, step by step, and what each answer means: the law of a replay, as tables.

    submit   SUBMIT
    answer   PULL (routing engine, by id) ▶ DELIVER (to the agent) ▶ INVITED (the agent's EventInvite) ▶ ACCEPT (agent)
    stop     STOP (agent)
    hang up  OFFLINE (media server: is_online = 0) ▶ END (media server stops it)

A step that had no answer, or a passing error, is asked again with the same ``dedup_id``: it is done once. Where the
cluster says that the agent or the engine does not hold the call any more (an invitation has run out, a proxy has died
with its sessions), the call is pulled and delivered anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import msgspec

from broker.answers import ClientError, Outcome
from broker.errors import Code
from broker.messages.agents import RequestAgentLogin, RequestAgentLogout
from broker.messages.interactions import RequestChangeProperties, RequestStopProcessing, RequestSubmit
from broker.messages.kinds import Request
from broker.messages.pulls import BY_IDS, PullParameters, RequestPull
from broker.messages.routing import RequestAccept, RequestDeliver

from .calls import Action, Call

MEDIA_TYPE = "voice"
INVITATION_S = 10.0
"""How long an agent's invitation stands. The agents of a replay accept at once, so one that takes longer was lost; but
a failover on a machine with much else to do has to fit in."""

MEDIA, ENGINE = "media", "engine"


def agent_client(name: str) -> str:
    """The name of an agent's client among those of the replay."""
    return f"agent {name}"


class Step(Enum):
    """A request of a replay, or the wait for an invitation. The values stand in dedup ids."""

    LOGIN = "login"
    LOGOUT = "logout"
    SUBMIT = "submit"
    PULL = "pull"
    DELIVER = "deliver"
    INVITED = "invited"
    ACCEPT = "accept"
    STOP = "stop"
    OFFLINE = "offline"
    END = "end"


class Verdict(Enum):
    """What an answer means."""

    DONE = "the step is done"
    AGAIN = "the same once more, a little later"
    ANEW = "the call has to be pulled and delivered anew"
    FAILED = "the replay cannot go on"


@dataclass(slots=True)
class Task:
    """A call, or an agent's session, and where it stands.

    :param label: of the call or the agent, in dedup ids and in faults
    :param agent: who answers, or logs in
    :param then: steps after this one, next first
    :param busy: a decision about it is under way; ``begun_at`` says since when
    :param asked: number of its last order; answers to earlier ones are of no interest
    :param attempt: rises with every fresh start, so that a dedup id is never used for two things
    """

    label: str
    agent: str
    call: Call | None = None
    step: Step = Step.LOGIN
    then: list[Step] = field(default_factory=list)
    busy: bool = False
    begun_at: float = 0.0
    asked: int = 0
    attempt: int = 1
    repeated: bool = False
    interaction_id: str = ""
    token: int = 0
    ticket: int | None = None
    fault: str = ""


CHAINS: dict[Action, list[Step]] = {
    Action.SUBMIT: [Step.SUBMIT],
    Action.ANSWER: [Step.PULL, Step.DELIVER, Step.INVITED, Step.ACCEPT],
    Action.STOP: [Step.STOP],
    Action.HANG_UP: [Step.OFFLINE, Step.END],
}
"""The steps of each decision."""

_PASSING = frozenset(
    {
        *(Code.NOT_REGISTERED, Code.NOT_PRIMARY, Code.BUSY, Code.DATABASE_FAILURE, Code.DATABASE_TIMEOUT),
        *(Code.NO_SERVERS, Code.LOST_CONNECTION, Code.NOT_ACCESSIBLE, Code.IN_PROGRESS),
    }
)
"""Errors that a failover, or load, may cause in any step."""

_HELD_NO_MORE = {
    Code.ACCESS_DENIED: Verdict.ANEW,
    Code.WRONG_STATE: Verdict.ANEW,
    Code.BAD_TICKET: Verdict.ANEW,
    Code.EXPIRED: Verdict.ANEW,
    Code.NOT_LOGGED_IN: Verdict.AGAIN,
}
_EXECUTED = {Code.DUPLICATE_EXPIRED: Verdict.DONE}

VERDICTS: dict[Step, dict[Code, Verdict]] = {
    Step.LOGIN: _EXECUTED | dict.fromkeys((Code.PLACE_OCCUPIED, Code.AGENT_ELSEWHERE, Code.SAME_STATE), Verdict.DONE),
    Step.LOGOUT: _EXECUTED | {Code.NOT_LOGGED_IN: Verdict.DONE},
    Step.SUBMIT: {},
    Step.PULL: dict.fromkeys((Code.WRONG_STATE, Code.LOCKED, Code.DUPLICATE_EXPIRED), Verdict.ANEW),
    Step.DELIVER: _EXECUTED | _HELD_NO_MORE | {Code.BAD_TARGET: Verdict.AGAIN},
    Step.ACCEPT: _EXECUTED | _HELD_NO_MORE | {Code.ALREADY_ACCEPTED: Verdict.DONE},
    Step.STOP: _EXECUTED | _HELD_NO_MORE,
    Step.OFFLINE: _EXECUTED,
    Step.END: _EXECUTED,
}
"""What an error means in a step, beyond :data:`_PASSING`; any other ends the replay."""

_GONE = frozenset({Step.STOP, Step.OFFLINE, Step.END})
"""Steps after which there may be no interaction: "unknown" to a repetition says that the first try was done."""


def verdict(task: Task, outcome: Outcome) -> Verdict:
    """What an answer to the task's step means; notes in the task what the reply brings, and the last fault."""
    if isinstance(outcome, Exception):
        task.fault = str(outcome) or type(outcome).__name__
        return Verdict.FAILED if isinstance(outcome, ClientError) else Verdict.AGAIN
    if outcome.get("message") == "EventError":
        task.fault = f"{outcome.get('code')} {outcome.get('text')}: {outcome.get('detail', '')}"
        return _of_code(task, outcome.get("code"))
    return _GAINS.get(task.step, _nothing)(task, outcome)


def _of_code(task: Task, code: Any) -> Verdict:
    if code in _PASSING:
        return Verdict.AGAIN
    if code == Code.UNKNOWN_INTERACTION and task.step in _GONE and task.repeated:
        return Verdict.DONE
    return VERDICTS[task.step].get(code, Verdict.FAILED)


def _nothing(task: Task, reply: dict[str, Any]) -> Verdict:
    return Verdict.DONE


def _submitted(task: Task, reply: dict[str, Any]) -> Verdict:
    task.interaction_id = reply.get("interaction_id") or reply.get("extension", {}).get("InteractionId", "")
    return Verdict.DONE if task.interaction_id else Verdict.FAILED


def _pulled(task: Task, reply: dict[str, Any]) -> Verdict:
    """By ids through a proxy, an error may stand in ``errors`` instead of an ``EventError``."""
    granted = reply.get("interactions") or []
    if granted:
        task.token = granted[0].get("token", 0)
        return Verdict.DONE
    error = (reply.get("errors") or {}).get(task.interaction_id) or {"code": Code.WRONG_STATE, "text": "not in a queue"}
    task.fault = f"{error.get('code')} {error.get('text')}"
    found = _of_code(task, error.get("code"))
    return Verdict.ANEW if found is Verdict.AGAIN else found


_GAINS = {Step.SUBMIT: _submitted, Step.PULL: _pulled}


class Orders:
    """Makes the requests of a replay.

    :param run: tells this replay's interactions from all others in the cluster
    :param tenant: whose calls they are
    """

    def __init__(self, run: str, tenant: int) -> None:
        self._run = run
        self._tenant = tenant

    def of(self, task: Task) -> tuple[str, Request]:
        """The request of the task's step, and whose client sends it."""
        dedup_id = f"{self._run}.{task.label}.{task.step.value}.{task.attempt}"
        client, request = _REQUESTS[task.step](self, task)
        request.dedup_id = dedup_id
        return client, request

    def _login(self, task: Task) -> tuple[str, Request]:
        request = RequestAgentLogin(tenant_id=self._tenant, agent_id=task.agent, media_list={MEDIA_TYPE: 1})
        return agent_client(task.agent), request

    def _logout(self, task: Task) -> tuple[str, Request]:
        return agent_client(task.agent), RequestAgentLogout(agent_id=task.agent)

    def _submit(self, task: Task) -> tuple[str, Request]:
        call = task.call
        assert call is not None
        marks = {"run": self._run, "row": call.row, "line": call.line}
        return MEDIA, RequestSubmit(
            tenant_id=self._tenant,
            media_type=MEDIA_TYPE,
            queue=call.queue,
            priority=call.priority,
            is_online=1,
            user_data=_raw({**marks, "call_id": call.call_id, "customer_id": call.customer_id}),
        )

    def _pull(self, task: Task) -> tuple[str, Request]:
        wanted = PullParameters(interaction_ids=[task.interaction_id])
        return ENGINE, RequestPull(
            tenant_id=self._tenant, view_id=BY_IDS, pull_parameters=wanted, strategy_id=f"replay-{self._run}"
        )

    def _deliver(self, task: Task) -> tuple[str, Request]:
        return ENGINE, RequestDeliver(
            interaction_id=task.interaction_id, token=task.token, agent_id=task.agent, timeout=INVITATION_S
        )

    def _accept(self, task: Task) -> tuple[str, Request]:
        assert task.ticket is not None
        return agent_client(task.agent), RequestAccept(
            interaction_id=task.interaction_id, ticket_id=task.ticket, agent_id=task.agent
        )

    def _stop(self, task: Task) -> tuple[str, Request]:
        return agent_client(task.agent), RequestStopProcessing(interaction_id=task.interaction_id, agent_id=task.agent)

    def _offline(self, task: Task) -> tuple[str, Request]:
        return MEDIA, RequestChangeProperties(interaction_id=task.interaction_id, changed_properties={"is_online": 0})

    def _end(self, task: Task) -> tuple[str, Request]:
        return MEDIA, RequestStopProcessing(interaction_id=task.interaction_id)


_REQUESTS = {
    Step.LOGIN: Orders._login,
    Step.LOGOUT: Orders._logout,
    Step.SUBMIT: Orders._submit,
    Step.PULL: Orders._pull,
    Step.DELIVER: Orders._deliver,
    Step.ACCEPT: Orders._accept,
    Step.STOP: Orders._stop,
    Step.OFFLINE: Orders._offline,
    Step.END: Orders._end,
}


def _raw(document: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(document))
