"""A member's tenure on a real store, driven by hand."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from broker.config.objects import Configuration
from broker.wire import pack
from node.journal import encode_changes
from node.store import Row, Store, open_store
from node.tenure import Tenure
from tests.node.conftest import START

SUBMIT = {"message": "RequestSubmit", "tenant_id": 101, "media_type": "email", "queue": "Inbound"}


class Member:
    """A tenure that is driven by hand: no sockets, no loop."""

    def __init__(self, path: Path, configuration: Configuration, name: str) -> None:
        self.store: Store = open_store(f"sqlite:///{path}", node="n1")
        self.tenure = Tenure(self.store, configuration, "n1", name)
        self.now = START
        self.ended = False

    def follow(self) -> bool:
        """One look, whenever the last one was."""
        self.tenure.next_look = 0.0
        self.now += 1
        return self.tenure.follow(self.now)

    def serve(self) -> None:
        """Looks until it is active."""
        until = time.monotonic() + 5
        while not self.follow():
            assert time.monotonic() < until, self.tenure.why
            time.sleep(0.01)
        self.commit()

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """The reply to a message that is a batch of its own, a second after the last one."""
        self.now += 1
        self.say(message)
        return self.commit()[0]

    def say(self, message: dict[str, Any], peer: bytes = b"c") -> None:
        """A message of the batch."""
        self.tenure.core.receive(self.now, (peer, 0), b"1", json.dumps(message).encode())

    def commit(self) -> list[dict[str, Any]]:
        """Closes the batch. :returns: its replies"""
        core = self.tenure.core
        batch = core.take(self.now)
        if batch.changes or batch.events.events:
            self.store.commit(
                Row(core.rev + 1, core.epoch, batch.us, encode_changes(batch.changes), pack(batch.events))
            )
            core.rev += 1
        return [json.loads(reply[2]) for reply in batch.replies]

    def register(self) -> None:
        hello = {"message": "RequestRegisterClient", "client_name": "mail", "client_type": "MediaServer"}
        assert self.ask(hello)["message"] == "EventAck"

    def fold(self, slices: int = 1_000_000) -> None:
        """A round, or so many slices of one."""
        folding = self.tenure.folding
        self.tenure.arrange()
        if not folding.running:
            folding.begin(self.tenure.core.rev)
        for _ in range(slices):
            if not folding.running:
                return
            self.store.fold(self.tenure.core.epoch, folding.next(2))
            folding.written()

    def leave(self) -> None:
        """Gives the lease up, as an orderly stop does."""
        self.store.release(self.tenure.core.epoch, self.tenure.core.clock.last_us + 1)

    def end(self) -> None:
        """Leaves, and closes the database."""
        if not self.ended:
            self.ended = True
            self.leave()
            self.store.close()
