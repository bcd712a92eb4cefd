"""A reporting client: follows the merged stream from proxy to proxy with the product's own :class:`Following`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from broker.following import OWN_WORDS, Following
from broker.messages.reporting import EventReplayedEvents
from tests.sim.clients import OK, Client, Script, Sleep
from tests.sim.sockets import Plug

if TYPE_CHECKING:
    from tests.sim.world import World

SILENCE_S = 1.0
LAST_S = 1.0
"""By then all that there will be is published."""
_replayed = msgspec.json.Decoder(EventReplayedEvents).decode


class Reporter(Client):
    """It follows from the oldest event on, and moves whenever its server does not answer.

    ``followed`` are the events it was given: node and seq.
    """

    kind = "ReportingEngine"

    def __init__(self, world: World, name: str, servers: list[str]) -> None:
        self.following = Following(None)
        self.followed: list[tuple[str, int]] = []
        self._stream: Plug | None = None
        self._heard_at = 0.0
        super().__init__(world, name, servers)

    def _connect(self) -> None:
        super()._connect()
        if self._stream is not None:
            self.world.network.close(self._stream)
        self._stream = Plug(self.world.network, self, "stream")
        self._stream.connect(f"sim://{self.server}/events")
        self.following.moved()

    def wake(self) -> None:
        if self._stream is not None:
            while self._stream.inbox:
                self._heard_at = self._heap.now
                self.following.published(*self._stream.inbox.popleft())
            self._take_events()
        super().wake()

    def _take_events(self) -> None:
        for event in self.following.take():
            document = orjson.loads(event.payload)
            if document["message"] not in OWN_WORDS:
                self.followed.append((document["node"], document["seq"]))

    def script(self) -> Script:
        while not self.world.closing:
            yield from self._follow()
            if self._random.random() < 0.05:
                yield from self.ask("RequestStartPlaceAgentStateReportingAll", dedup=False, patience=2)
            if self._random.random() < 0.03:
                self._move()
        if self.world.growth.later is not None:
            yield Sleep(LAST_S)  # what it has not seen of the node is behind the last gap, which shows with what comes
        self.following.doubt()
        while not self.following.live:
            yield from self._follow()

    def _follow(self) -> Script:
        if self._heap.now > self._heard_at + SILENCE_S:
            self._heard_at = self._heap.now
            self.following.doubt()
        question = self.following.question()
        if question is None:
            yield Sleep(self._random.uniform(0.02, 0.3))
            return
        fields: dict[str, Any] = orjson.loads(msgspec.json.encode(question))
        del fields["message"]
        done = yield from self.ask("RequestReplayEvents", dedup=False, patience=1, **fields)
        if done.outcome == OK:
            self.following.replayed(_replayed(orjson.dumps(done.reply)))
        else:
            self.following.unanswered()
        self._take_events()
        yield Sleep(self._random.uniform(0.0, 0.2))
