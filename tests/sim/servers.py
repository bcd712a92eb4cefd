"""ESP servers: they answer at once, later, too late, with a fault, or never; twice what they were told twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from tests.sim.clients import Client, Note, Operation, Script, Sleep
from tests.sim.law import SERVICE
from tests.sim.network import Frames

if TYPE_CHECKING:
    from tests.sim.world import World


class Asked(NamedTuple):
    """What a server was told. :param name: the operation; ``refid``: the node's reference"""

    at: float
    server: str
    name: str
    refid: str
    resent: bool


class Server(Client):
    """An ESP server. ``asked`` is what it was told, ``answers`` what it has said to that."""

    kind = "ESPServer"
    also = {"services": [SERVICE], "application_type": "Sorter"}

    def __init__(self, world: World, name: str, servers: list[str]) -> None:
        self.asked: list[Asked] = []
        self.answers: dict[str, Operation] = {}
        self.since = float("inf")
        """From when on it was registered, without a break."""
        self._choices: dict[str, float] = {}
        self._heard_at = 0.0
        super().__init__(world, name, servers)

    def _take(self, frames: Frames) -> None:
        self._heard_at = self._heap.now
        ref, payload = frames
        if ref == b"ping" and not orjson.loads(payload).get("registered", True):
            self._registered = False
        if not ref:
            note = orjson.loads(payload)
            name = note["request"]["Parameters"]["N"] if "request" in note else ""
            refid, resent = note.get("esp_server_refid", ""), note.get("resent", False)
            self.asked.append(Asked(self._heap.now, self.name, name, refid, resent))
        super()._take(frames)

    def _connect(self) -> None:
        super()._connect()
        self.since, self._heard_at = float("inf"), self._heap.now

    def script(self) -> Script:
        while not self.world.closing:
            if not self._registered:
                yield from self._come()
                continue
            note = yield Note(0.2)
            if note is not None and note["message"] == "Request3rdServer":
                yield from self._serve(note)
            if self._heap.now > self._heard_at + 2 * self.world.keepalive_s:
                self._move()

    def _come(self) -> Script:
        self.since = float("inf")
        if (yield from self._register()):
            self.since = self._heap.now
        else:
            self._move()
            yield Sleep(self._random.uniform(0.05, 0.2))

    def _serve(self, note: dict[str, Any]) -> Script:
        """What it has done already it does not do again, and says the same."""
        refid = note["esp_server_refid"]
        choice = self._choices.setdefault(refid, self._random.random())
        if choice < self.world.plan.lazy:
            return  # never
        if choice > 0.5:
            yield Sleep((choice - 0.5) * (2.4 if choice > 0.9 else 0.3))
        message = "Request3rdServerFault" if choice < 0.25 else "Request3rdServerResponse"
        self.answers[refid] = yield from self.ask(
            message, patience=4, esp_server_refid=refid, **self._answer(note, choice)
        )

    def _answer(self, note: dict[str, Any], choice: float) -> dict[str, Any]:
        name = note["request"]["Parameters"]["N"]
        if choice < 0.25:
            return {"fault_code": 402, "fault_string": name}
        data = {"sorted": f"{name} by {self.name}"}
        return {"response": {"N": name, "By": self.name}, "user_data": data, "merge_user_data": choice < 0.7}
