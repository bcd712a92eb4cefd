"""The acts of a play in which a node and the plain model are asked the same."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from broker.errors import Code
from broker.messages import REQUESTS
from tests.model.differences import Told, differences
from tests.model.plain import MEDIA, Document, Plain, Wrong
from tests.model.requests import AGENTS, CLIENTS, OFTEN, SELDOM, WRITERS, Author, likely
from tests.model.served import START, Served
from tests.model.things import Client
from tests.model.verdicts import VERDICTS, Asked
from tests.node.conftest import make_configuration

TICK_S = 0.01
"""Between two requests, so that no two things are due at the same time."""
SETTINGS: dict[str, Any] = {"keepalive_interval": 3600.0, "delivering_timeout": 30.0}
READY = dict.fromkeys(MEDIA, 1)
CHANGES_ALWAYS = frozenset({"RequestSubmit", "RequestPlaceInQueue", "RequestStopProcessing", "RequestHold"})
"""What always changes something when it is acked, so that its reply is kept."""


class Play:
    """A node with its database, the model, and what the events have told. :param folder: for the database"""

    def __init__(self, folder: Path) -> None:
        self.served = Served(folder / "n1.db", make_configuration(**SETTINGS))
        self.plain = Plain(START)
        self.told = Told()
        self.repeatable: list[tuple[str, Document, Document, float]] = []
        self.dedups = 0
        for name, kind in CLIENTS.items():
            self._register(name, kind)
        for name, (agent_id, place_id) in AGENTS.items():
            place = {"place_id": place_id} if place_id else {}
            login = {
                "message": "RequestAgentLogin",
                "tenant_id": 101,
                "agent_id": agent_id,
                "media_list": READY,
                **place,
            }
            self._judged(self.plain.clients[name], login)

    def _register(self, name: str, kind: str, session: str | None = None) -> None:
        request = {"message": "RequestRegisterClient", "client_name": name, "client_type": kind}
        _, reply = self.served.ask(name, request | ({"session_id": session} if session else {}))
        assert reply is not None
        assert reply["message"] == "EventAck", reply
        if session is not None and self.plain.needs(self.plain.clients[name]):
            assert reply["session_id"] == session, f"{name} has lost what it had in {session}"
        self.plain.clients[name] = Client(name, kind, reply["session_id"], self.plain.now)

    # -- what happens

    def ask(self, chance: Random) -> None:
        """Somebody asks for something."""
        name = chance.choice([*OFTEN, *sorted(WRITERS.keys() - SELDOM)])
        clients = list(self.plain.clients.values())
        allowed = [one for one in clients if one.kind in REQUESTS[name].senders]
        self._ask(chance, chance.choice(clients if chance.random() < 0.03 else allowed), name)

    def go_on(self, chance: Random) -> None:
        """Somebody goes on with what it has, or answers what it was offered; if nobody has, something is brought in."""
        media, engine = self.plain.clients["media"], self.plain.clients["engine1"]
        begins = [(media, "RequestSubmit"), (engine, "RequestPull")]
        self._ask(chance, *chance.choice(likely(self.plain) or begins))

    def go(self, chance: Random) -> None:
        """Somebody goes. A client comes back at once, with nothing."""
        name = chance.choice(sorted(SELDOM))
        client = chance.choice([one for one in self.plain.clients.values() if one.kind in REQUESTS[name].senders])
        if chance.random() < 0.2:
            self._ask(chance, client, name)
        if client.name not in self.plain.clients:
            self._register(client.name, client.kind)

    def _ask(self, chance: Random, client: Client, name: str) -> None:
        self._wait(TICK_S)
        request = Author(chance, self.plain, client).write(name)
        if chance.random() < 0.2 and REQUESTS[name].once:
            self.dedups += 1
            request["dedup_id"] = f"d{self.dedups}"
        self._judged(client, request)

    def _judged(self, client: Client, request: Document) -> None:
        """Asks both."""
        name, before = request["message"], len(self.served.notes)
        answer = self.served.ask(client.name, request)
        if name != "RequestPing":
            client.asked = self.plain.now
        asked = Asked(self.plain, client, request, answer)
        asked.notes = self.served.notes[before:]
        if client.kind in REQUESTS[name].senders:
            VERDICTS[name](asked)
        else:
            asked.verdict({Code.ACCESS_DENIED})
        self.plain.settle()
        self._late()
        reply = answer[1]
        if "dedup_id" in request and reply and name in CHANGES_ALWAYS and reply["message"] != "EventError":
            self.repeatable.append((client.name, request, reply, self.plain.now))

    def repeat(self, chance: Random) -> None:
        """A client asks the same again: it gets the same, and nothing is done."""
        if not self.repeatable:
            return
        name, request, first, at = chance.choice(self.repeatable[-5:])
        if self.plain.now - at > 299.0:
            return
        rev = self.served.core.rev
        _, reply = self.served.ask(name, request)
        self.plain.clients[name].asked = self.plain.now
        if reply != first or self.served.core.rev != rev:
            raise Wrong(f"{request} was answered with {reply}, and before with {first}")

    def wait(self, chance: Random) -> None:
        """Time passes, seldom much of it."""
        self._wait(chance.choice([0.5] * 12 + [6.0, 6.0, 31.0, 61.0, 130.0]))

    def _wait(self, seconds: float) -> None:
        self.served.wait(seconds)
        self.plain.wait(seconds)
        self._late()

    def _late(self) -> None:
        """Replies to what was asked before: those that are due, and no others."""
        got, self.served.late = self.served.late, {}
        expected, self.plain.late = self.plain.late, {}
        if got.keys() != expected.keys():
            raise Wrong(f"late replies {got} are not those to {expected}")
        for ref, reply in got.items():
            due = expected[ref]
            if isinstance(due, list):
                idents = [one["interaction_id"] for one in reply["interactions"]]
                if sorted(idents) != sorted(due):
                    raise Wrong(f"a pull that waited got {idents}, not {due}")
                for one in reply["interactions"]:
                    holding = self.plain.items[one["interaction_id"]].holding
                    assert holding is not None
                    holding.token = one["token"]
            elif reply.get("code") != due:
                raise Wrong(f"the late reply {reply} is not {due}")

    def fold(self, chance: Random) -> None:
        """Some rows of the tables are written."""
        self.served.fold()

    def crash(self, chance: Random) -> None:
        """The member is gone; the next one has the file. The clients come back."""
        if chance.random() < 0.7:
            return
        self.served.crash()
        self.plain.crash()
        for client in list(self.plain.clients.values()):
            self._register(client.name, client.kind, session=client.session)

    # -- what always holds

    def compare(self) -> None:
        """:raises Wrong: the node, the model and what the events have told are not the same"""
        events, self.served.said = self.served.said, []
        found = [*differences(self.plain, self.served.core), *self.told.read(events)]
        found += self.told.differences(self.plain)
        if found:
            raise Wrong("\n".join(found))
