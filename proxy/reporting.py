"""Requests that the merged stream answers: its past, and the state of agents and places at a position of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from broker.errors import Code, Refusal
from broker.messages.kinds import Request
from broker.messages.reporting import (
    RequestReplayEvents,
    RequestStartPlaceAgentStateReporting,
    RequestStartPlaceAgentStateReportingAll,
)
from broker.topics import key_of_one

from .calls import Call, Reply
from .desk import Desk
from .replays import Ask, Replays
from .states import States
from .stream import MergeStream
from .topics import Topics

Answer = Callable[[float, Any, frozenset[int], Reply], None]
"""``answer(now, head, tenants, done)``: ``done`` is called once, now or later."""


class Reporting:
    """Route STREAM.

    :param topics: notes what a client is told of after the answer
    """

    def __init__(self, desk: Desk, stream: MergeStream, ask: Ask, nodes: Iterable[str], topics: Topics) -> None:
        names = list(nodes)
        self.replays = Replays(stream, ask, names, desk.settings, desk.counts)
        self.states = States(stream, ask, names, desk.settings, desk.counts)
        self._calls = desk.calls
        self._topics = topics
        self._answers: dict[type[Request], Answer] = {
            RequestReplayEvents: self.replays.replay,
            RequestStartPlaceAgentStateReportingAll: self.states.state,
            RequestStartPlaceAgentStateReporting: self._state_of_one,
        }

    def reload(self, nodes: Iterable[str]) -> None:
        """Other nodes belong to the stream."""
        names = list(nodes)
        self.replays.reload(names)
        self.states.reload(names)

    def request(self, now: float, call: Call) -> None:
        """:raises Refusal: ``BUSY``, or the stream does not answer this"""
        answer = self._answers.get(call.request)
        if answer is None:
            raise Refusal(Code.UNSUPPORTED, "the stream does not answer this")
        self._calls.begin(call)
        try:
            answer(now, call.head, call.session.tenants, partial(self._finish, call))
        except Refusal as refusal:
            self._calls.refuse(call, refusal)

    def _finish(self, call: Call, now: float, reply: bytes | Refusal) -> None:
        try:
            if isinstance(reply, Refusal):
                raise reply
            self._calls.answer(call, self._topics.answered(call, reply))
        except Refusal as refusal:
            self._calls.refuse(call, refusal)

    def _state_of_one(self, now: float, head: Any, tenants: frozenset[int], done: Reply) -> None:
        """RequestStartPlaceAgentStateReporting: of the whole state, what is of the one; from there on it is told of."""
        key_of_one(head.tenant_id, head.agent_id, head.place_id, tenants)
        self.states.state(now, RequestStartPlaceAgentStateReportingAll(tenant_id=head.tenant_id), tenants, done)

    @property
    def wake_at(self) -> float:
        """When :meth:`tick` wants to be called next."""
        return min(self.replays.wake_at, self.states.wake_at)

    def tick(self, now: float) -> None:
        """What has come in is answered, and what has waited for too long."""
        self.replays.tick(now)
        self.states.tick(now)
