"""The state of agents and queues at one cursor (RequestStartPlaceAgentStateReportingAll), over all nodes.

    settle    just after the proxy's start, until the stream has settled
    watch     from now on, what is published is kept
    ask       every node answers its own state, true at a time T of its own
    wait      until the stream has come to the latest T
    finish    every node's part is brought forward to the stream's position, by that node's events in between

Then all parts are true at one position, and a client that skips what is at or before it counts nothing twice. A node
that the stream goes on without stands in the cursor with the time that its part is true at.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import msgspec

from broker.board import Board, merged_agents, merged_queues
from broker.config.objects import ProxySettings
from broker.errors import Code, Refusal
from broker.ledger import Ledger
from broker.messages import encode
from broker.messages.reporting import EventPlaceAgentState, RequestStartPlaceAgentStateReportingAll
from broker.positions import Position, read_cursor
from broker.wire import PackedReply

from .replays import Answers, Ask, Done
from .stream import MergeStream
from .watches import Watch

MAX_OPEN = 8
"""States asked for at once; each keeps what is published meanwhile. Further ones are told to come again."""

_REQUEST = encode(RequestStartPlaceAgentStateReportingAll())
_read_state = msgspec.json.Decoder(EventPlaceAgentState).decode


class _Part:
    """One node's state, and the time in µs it is true at."""

    def __init__(self, state: EventPlaceAgentState) -> None:
        self.us = read_cursor(state.cursor).us
        self.board = Board()
        self.board.load(state)


class _Inquiry:
    """A state that was asked for."""

    def __init__(self, tenants: frozenset[int] | None, deadline: float, done: Done) -> None:
        self.tenants = tenants
        self.deadline = deadline
        self.done = done
        self.watch: Watch | None = None
        """None: the nodes are not asked yet."""
        self.parts: dict[str, _Part] | None = None
        """By node; None: not all have answered yet."""

    @property
    def us(self) -> int:
        """The time in µs that the stream has to come to."""
        return max((part.us for part in self.parts.values()), default=0) if self.parts else 0


class States:
    """States under way.

    :param nodes: names of all nodes that belong to the stream; :param counts: what could not be read
    """

    def __init__(  # noqa: PLR0913 - what it works with
        self, stream: MergeStream, ask: Ask, nodes: Iterable[str], settings: ProxySettings, counts: Ledger
    ) -> None:
        self._stream = stream
        self._counts = counts
        self._ask = ask
        self._nodes = sorted(nodes)
        self._settings = settings
        self._open: list[_Inquiry] = []

    def state(
        self,
        now: float,
        request: RequestStartPlaceAgentStateReportingAll,
        tenants: frozenset[int] | None,
        done: Done,
    ) -> None:
        """Answers a client's request, later, by ``done(now, reply)``.

        :param tenants: the session's; None: all
        :raises Refusal: a foreign tenant, or ``BUSY``
        """
        if request.tenant_id is not None:
            if tenants is not None and request.tenant_id not in tenants:
                raise Refusal(Code.UNKNOWN_TENANT, f"no tenant {request.tenant_id}", field="tenant_id")
            tenants = frozenset({request.tenant_id})
        if len(self._open) >= MAX_OPEN:
            raise Refusal(Code.BUSY, f"{MAX_OPEN} states are being put together", retry_after=0.1)
        inquiry = _Inquiry(tenants, now + self._settings.request_timeout, done)
        self._open.append(inquiry)
        self._follow(now, inquiry)

    def reload(self, nodes: Iterable[str]) -> None:
        """Other nodes belong to the stream. States under way are of those that have answered."""
        self._nodes = sorted(nodes)

    @property
    def wake_at(self) -> float:
        """When :meth:`tick` should be called next, if the stream does not move before."""
        if not self._open:
            return float("inf")
        waiting = (inquiry for inquiry in self._open if inquiry.watch is None or inquiry.parts is not None)
        return min([inquiry.deadline for inquiry in waiting], default=float("inf"))

    def tick(self, now: float) -> None:
        """Goes on where the stream has come far enough; call it after the stream's ``take``."""
        for inquiry in list(self._open):
            self._follow(now, inquiry)

    def _follow(self, now: float, inquiry: _Inquiry) -> None:
        if inquiry.watch is None:
            self._begin_if_settled(now, inquiry)
        elif inquiry.parts is not None:
            self._finish_if_due(now, inquiry, inquiry.watch, inquiry.parts)

    def _begin_if_settled(self, now: float, inquiry: _Inquiry) -> None:
        if self._stream.settled:
            inquiry.watch = self._stream.watch()
            silent = self._stream.silent
            asked = [name for name in self._nodes if name not in silent] or self._nodes
            self._ask(asked, _REQUEST, inquiry.deadline, partial(self._answered, inquiry))
        elif now >= inquiry.deadline:
            self._close(now, inquiry, self._lost("the stream has not begun: no node was heard"))

    def _answered(self, inquiry: _Inquiry, now: float, answers: Answers) -> None:
        parts = {name: self._part(name, answers.get(name)) for name in self._nodes}
        inquiry.parts = {name: part for name, part in parts.items() if part is not None}
        self._follow(now, inquiry)

    def _part(self, node: str, reply: PackedReply | None) -> _Part | None:
        """A node's answer; None where there is none, where it is negative or cannot be read."""
        if reply is None or reply.code:
            return None
        try:
            return _Part(_read_state(reply.payload))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
            self._counts.drop(node, "garbage", _REQUEST)
            return None

    def _finish_if_due(self, now: float, inquiry: _Inquiry, watch: Watch, parts: dict[str, _Part]) -> None:
        position = self._stream.position or 0
        if not parts:
            self._close(now, inquiry, self._lost("no node has answered"))
        elif watch.overflow:
            self._close(now, inquiry, Refusal(Code.BUSY, "too many events meanwhile", retry_after=1.0))
        elif position >= inquiry.us or now >= inquiry.deadline:
            self._close(now, inquiry, encode(self._finished(watch, parts, position, inquiry.tenants)))

    def _lost(self, why: str) -> Refusal:
        return Refusal(Code.LOST_CONNECTION, why, missing=tuple(self._nodes))

    def _close(self, now: float, inquiry: _Inquiry, reply: bytes | Refusal) -> None:
        self._open.remove(inquiry)
        if inquiry.watch is not None:
            self._stream.unwatch(inquiry.watch)
        inquiry.done(now, reply)

    def _finished(
        self, watch: Watch, parts: dict[str, _Part], us: int, tenants: frozenset[int] | None
    ) -> EventPlaceAgentState:
        for part_us, suffix, _, _, payload in watch.entries:
            part = parts.get(suffix[1:].decode())
            if part is not None and part_us > part.us:
                part.board.apply(payload)
        boards = [part.board for part in parts.values()]
        missing = [name for name in self._nodes if name not in parts]
        agents = merged_agents(boards, complete=not missing)
        queues = merged_queues(boards)
        return EventPlaceAgentState(
            cursor=self._position(parts, us).cursor(),
            agents=[agent for agent in agents if tenants is None or agent.tenant_id in tenants],
            queues={name: part for name, part in queues.items() if tenants is None or name in map(str, tenants)},
            complete=not missing,
            missing=missing or None,
        )

    def _position(self, parts: dict[str, _Part], us: int) -> Position:
        """The stream's position, and the times of parts that are ahead of what the stream has published."""
        stream = self._stream
        times = dict(stream.behind)
        for name, part in parts.items():
            published_us = times.get(name, us)
            if part.us > published_us:
                times[name] = part.us
        return Position(us, stream.last_node, {name: at for name, at in times.items() if at != us})
