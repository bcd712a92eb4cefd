"""The acts of a play in which a node and the plain model are asked the same."""

from __future__ import annotations

import json
from collections import Counter
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from broker.errors import Code
from broker.messages import REQUESTS
from broker.messages.kinds import ClientType
from tests.model import dues, engines, servers, turns
from tests.model.asked import Asked
from tests.model.author import Author
from tests.model.differences import differences
from tests.model.plain import Plain, Wrong
from tests.model.requests import services
from tests.model.requests.catalogue import DRAWN, OFTEN, SELDOM, likely
from tests.model.requests.proxies import OF_CLIENTS
from tests.model.served import Served, Turn
from tests.model.things import Client, Document, Invitation, Kept, Server, Service, Wish
from tests.model.told import Told
from tests.model.world import AGENTS, CLIENTS, DEDUP_S, LISTED, MEDIA, PROXY, START, WORLDS

TICK_S = 0.01
"""Between two requests, so that no two things are due at the same time."""
HAIR_S = 0.0001
"""How much later than something is due it is looked at: times are rounded on their way through the database."""
READY = {"desk1": dict.fromkeys(MEDIA, 1), "desk2": dict.fromkeys(MEDIA, 1), "desk3": {"voice": 1, "email": 1}}
CHANGES_ALWAYS = frozenset({"RequestSubmit", "RequestPlaceInQueue", "RequestStopProcessing", "RequestHold"})
"""What always changes something when it is acked, so that its reply is kept."""
OF_PROXIES = frozenset(name for name, kind in REQUESTS.items() if kind.senders == {ClientType.PROXY})
KEPT_FOR_LONG_S = 10 * DEDUP_S


class Play:
    """A node with its database, the model, and what the events have told. :param folder: for the database"""

    def __init__(self, folder: Path) -> None:
        self.served = Served(folder / "n1.db")
        self.plain = Plain(START)
        self.told = Told()
        self.events: list[Document] = []
        self.done: Counter[str] = Counter()
        """How often each request was acked, or waits; and ``name!`` how often it was refused."""
        self._numbers = count(1)
        self._dedups = count(1)

    def begin(self) -> None:
        """Everybody comes, and agents log in."""
        self._hear(self.served.events)
        for name in CLIENTS:
            self._register(name)
        for name, (agent_id, place_id) in AGENTS.items():
            place = {"place_id": place_id} if place_id else {}
            login = {"message": "RequestAgentLogin", "tenant_id": 101, "agent_id": agent_id, "media_list": READY[name]}
            self._ask(self.plain.clients[name], login | place)

    # -- clients come and go

    def _register(self, name: str, session: str = "") -> None:
        """A client comes, with nothing, or perhaps still with a session; a proxy names its sessions."""
        kind, number = CLIENTS[name], 0
        if kind.proxied:
            number = next(self._numbers)
        source = (PROXY.encode() if kind.proxied else name.encode(), number)
        client = Client(
            name, kind.client_type, source, f"{PROXY}.{number}" if kind.proxied or name == PROXY else session
        )
        self._introduce(client)

    def _introduce(self, client: Client) -> None:
        """A client registers, with its session if it has one."""
        kind, known = CLIENTS[client.name], client.session
        needed = bool(known) and self.plain.needs(client)
        request = {
            "message": "RequestRegisterClient",
            "client_name": client.name,
            "client_type": kind.client_type,
            **({"session_id": known} if known else {}),
            **({"services": kind.services} if kind.services else {}),
            **({"application_type": kind.application_type} if kind.application_type else {}),
        }
        turn = self.served.ask(client.source, request)
        reply = turn.reply()
        if reply is None or reply["message"] != "EventAck":
            raise Wrong(f"{client} is not registered: {reply}")
        client.session, client.here, client.asked = reply["session_id"], True, self.plain.now
        if needed and client.session != known:
            raise Wrong(f"{client} has lost what it had in {known}")
        self.plain.clients[client.name] = client
        self.plain.returns_agent(client)
        engines.repeated(self.plain, client.session, turn)
        if kind.client_type == "ESPServer":
            server = Server(client.session, client.name, kind.application_type, kind.services)
            servers.joins(self.plain, server, turn)
        self._settle(turn)

    def go(self, chance: Random) -> None:
        """Somebody goes, or is not there any more. A client comes back at once, with nothing."""
        if chance.random() < 0.7:
            return
        name = chance.choice(sorted(SELDOM))
        client = chance.choice([one for one in self._clients() if one.kind in REQUESTS[name].senders])
        self._wait(TICK_S)
        if client.proxied or chance.random() < 0.5:
            self._ask(client, self._request(chance, client, name))
        else:
            turn = self.served.happens("lost", client.source[0])
            self.plain.end_session(client, vanished=True)
            self._settle(turn)
        if client.name not in self.plain.clients:
            self.served.forget(client.source)
            self._register(client.name, client.session if chance.random() < 0.5 else "")

    def _clients(self) -> list[Client]:
        """All but the proxy itself."""
        return [client for client in self.plain.clients.values() if client.name != PROXY]

    # -- requests

    def ask(self, chance: Random) -> None:
        """Somebody asks for something."""
        name = chance.choice([*OFTEN, *sorted(DRAWN.keys() - SELDOM)])
        if chance.random() < 0.03:
            allowed = self._clients()
        elif name in OF_CLIENTS:
            allowed = [one for one in self._clients() if one.proxied and one.kind in OF_CLIENTS[name]]
        else:
            allowed = [one for one in self._clients() if one.kind in REQUESTS[name].senders]
        self._write(chance, chance.choice(allowed or [self.plain.clients[PROXY]]), name)

    def go_on(self, chance: Random) -> None:
        """Somebody goes on with what it has, or answers what it was offered; if nobody has, something is brought in."""
        media, engine = self.plain.clients["media"], self.plain.clients["engine1"]
        begins = [(media, "RequestSubmit"), (engine, "RequestPull")]
        self._write(chance, *chance.choice(chance.choice(likely(self.plain) or [begins])))

    def _request(self, chance: Random, client: Client, name: str) -> Document:
        return {"message": name, **DRAWN[name].write(Author(chance, self.plain, client))}

    def _write(self, chance: Random, client: Client, name: str) -> None:
        self._wait(TICK_S)
        request = self._request(chance, client, name)
        if chance.random() < 0.2 and REQUESTS[name].once:
            request["dedup_id"] = f"d{next(self._dedups)}"
        self._ask(client, request)

    def _ask(self, client: Client, request: Document) -> None:
        self._judge(client, request, self.served.ask(client.source, request))

    def _judge(self, client: Client, request: Document, turn: Turn) -> None:
        """Holds what the node does against the model, which does it then."""
        name, plain = request["message"], self.plain
        asked = Asked(plain, client, request, turn, turn.reply())
        self.done[name + "!" * asked.refused] += 1
        if name != "RequestPing":
            client.asked = plain.now
        if client.kind in REQUESTS[name].senders or client.kind == "Proxy" or (client.proxied and name in OF_PROXIES):
            DRAWN[name].judge(asked)
        else:
            asked.verdict({Code.ACCESS_DENIED})
        asked.judge_causes()
        if "dedup_id" in request and turn.ref is not None:
            self._keep(client, request, turn.ref, asked.reply)
        dues.pass_time(plain, plain.now)  # what was done may make something due at once
        self._settle(turn)
        if self.served.core.hand_over:
            self._fail_over()

    # -- requests that are asked again

    def _keep(self, client: Client, request: Document, ref: int, reply: Document | None) -> None:
        """Notes a request whose reply the node keeps, or will keep."""
        waits = reply is None and REQUESTS[request["message"]].deferred
        done = reply is not None and reply["message"] != "EventError" and request["message"] in CHANGES_ALWAYS
        if waits or done:
            self.plain.kept.append(Kept(client.name, request, ref, reply, self.plain.now))

    def repeat(self, chance: Random) -> None:
        """A client asks the same again: it gets the same, and nothing is done."""
        self.plain.kept = self.plain.kept[-10:]
        if not self.plain.kept:
            return
        self._wait(TICK_S)
        kept, rev = chance.choice(self.plain.kept), self.served.core.rev
        client, age = self.plain.clients[kept.client], self.plain.now - kept.at
        if kept.reply is not None and (abs(age - DEDUP_S) < 1.0 or age > KEPT_FOR_LONG_S - 1.0):
            return
        turn = self.served.ask(client.source, kept.request)
        client.asked = self.plain.now
        reply = turn.reply()
        if kept.reply is None:
            self._waits_again(kept, turn, reply)
        elif age > DEDUP_S:
            self.plain.kept.remove(kept)
            if reply is None or reply.get("code") != Code.DUPLICATE_EXPIRED:
                raise Wrong(f"{kept} is no longer known, and was answered with {reply}")
        elif reply is None or not turns.fits(reply, kept.reply) or turn.events:
            raise Wrong(f"{kept} was answered with {reply}, and {turn.events}")
        elif self.served.core.rev != rev and not client.proxied:  # the proxy says also which replies it has
            raise Wrong(f"{kept} was done again")
        self._settle(turn)

    def _waits_again(self, kept: Kept, turn: Turn, reply: Document | None) -> None:
        """What is asked again while it is open: the earlier call is told so, the later one has the reply."""
        if reply is not None:
            raise Wrong(f"{kept} is not answered yet, and was answered with {reply}")
        assert turn.ref is not None
        for waiting in self._waiting():
            if waiting.request is kept.request:
                self.plain.answer(waiting.ref, {"message": "EventError", "code": int(Code.IN_PROGRESS)})
                waiting.ref = kept.ref = turn.ref

    def _waiting(self) -> list[Invitation | Service | Wish]:
        """What keeps somebody waiting for a reply."""
        wishes = [wish for wishes in self.plain.wishes.values() for wish in wishes]
        return [*self.plain.invitations.values(), *self.plain.services.values(), *wishes]

    # -- time

    def wait(self, chance: Random) -> None:
        """Time passes, seldom much of it."""
        self._wait(chance.choice([0.5] * 12 + [6.0, 6.0, 31.0, 61.0, 130.0]))

    def _wait(self, seconds: float) -> None:
        """Node and model go from one moment when something is due to the next."""
        until = self.served.now + seconds
        while (at := min(self.served.core.wake_at, dues.next_due(self.plain))) <= until:
            self._tick(max(at, self.served.now) + HAIR_S)
        self._tick(max(until, self.served.now))

    def _tick(self, now: float) -> None:
        turn = self.served.tick(now)
        dues.pass_time(self.plain, now)
        self._settle(turn)

    def _settle(self, turn: Turn) -> None:
        self._hear(turn.events)
        turns.settle(self.plain, turn)

    def _hear(self, events: list[Document]) -> None:
        self.events += events
        self.plain.said += events

    # -- the listed ESP server

    def line(self, chance: Random) -> None:
        """The connection to the listed ESP server comes, brings an answer, or goes."""
        self._wait(TICK_S)
        there = [one for one in self.plain.services.values() if one.server == servers.LISTED_KEY]
        if servers.LISTED_KEY not in self.plain.servers:
            turn = self.served.happens("connected", LISTED)
            listed = Server(servers.LISTED_KEY, LISTED, "ClassificationServer", ["Classify"])
            servers.joins(self.plain, listed, turn)
        elif chance.random() < 0.2:
            unsent = sorted(one.refid for one in there if chance.random() < 0.5)
            turn = self.served.happens("disconnected", LISTED, unsent)
            self.plain.leave_server(servers.LISTED_KEY, got=False, only=unsent)
            self.plain.leave_server(servers.LISTED_KEY, got=True)
        elif there:
            turn = self._answer(chance, chance.choice(there).refid)
        else:
            turn = self.served.happens("answered", LISTED, b"none", b"{}")
        self._settle(turn)

    def _answer(self, chance: Random, refid: str) -> Turn:
        """A response, a fault, or what nobody can read."""
        service = self.plain.services[refid]
        author = Author(chance, self.plain, self.plain.clients["sorter1"])
        kind, how = chance.choice(
            [
                ("Event3rdServerResponse", services.write_response),
                ("Event3rdServerResponse", services.write_response),
                ("Event3rdServerFault", services.write_fault),
                ("EventNonsense", services.write_fault),
            ]
        )
        said = {**how(author), "message": kind}
        turn = self.served.happens("answered", LISTED, refid.encode(), encoded(said))
        if kind == "Event3rdServerResponse":
            services.response(self.plain, service, said)
        elif kind == "Event3rdServerFault":
            services.fault(self.plain, service, said)
        else:
            servers.fail(self.plain, service, Code.SERVICE_TIMEOUT)
        return turn

    # -- what the member does

    def edit(self, chance: Random) -> None:
        """Somebody writes another configuration file. The node is told so later, perhaps."""
        self.served.file = chance.choice(list(WORLDS))

    def fold(self, chance: Random) -> None:
        """Some rows of the tables are written."""
        self.served.fold()

    def crash(self, chance: Random) -> None:
        """The member is gone; the next one has the file. The clients come back, and the proxy asks again for what it
        has no reply to."""
        busy = self.plain.reserved or self.plain.invitations or self.plain.services
        if chance.random() > (0.3 if busy else 0.7):
            self._fail_over()

    def _fail_over(self) -> None:
        resent = dict(self.served.open)
        turn = self.served.crash()
        self.plain.crash(set(resent))
        lost = self._lose_listed()
        self._settle(turn)
        for client in sorted(self.plain.clients.values(), key=lambda client: client.name != PROXY):
            self._introduce(client)
        for ref, (source, request) in sorted(resent.items()):
            self._ask_again(ref, source, request, lost.get(ref))

    def _lose_listed(self) -> dict[int, Document]:
        """The connection to the listed server ended with the member that had it. :returns: refs whose replies are
        kept for when they are asked again"""
        lost: dict[int, Document] = {}
        for service in list(self.plain.services.values()):
            if service.server == servers.LISTED_KEY and not service.request.get("repeatable"):
                if service.ref is not None:
                    lost[service.ref] = {"message": "EventError", "code": int(Code.SERVICE_TIMEOUT)}
                    service.ref = None
                servers.fail(self.plain, service, Code.SERVICE_TIMEOUT)
        return lost

    def _ask_again(self, ref: int, source: tuple[bytes, int], request: Document, lost: Document | None) -> None:
        """The proxy sends a request again: it goes on waiting, or has the reply that is kept, or is done only now."""
        turn = self.served.ask(source, request, ref)
        waits = any(one.ref == ref for one in self._waiting())
        client = self.plain.at(source)
        assert client is not None
        if not waits and lost is None:
            self._judge(client, request, turn)
            return
        reply = turn.reply()
        if (reply is not None and not turns.fits(reply, lost or {"message": "none"})) or (reply is None and lost):
            raise Wrong(f"{request} was sent again, and answered with {reply}, not {lost}")
        self._settle(turn)

    # -- what always holds

    def compare(self) -> None:
        """:raises Wrong: the node, the model and what the events have told are not the same"""
        events, self.events = self.events, []
        found = [*differences(self.plain, self.served.core), *self.told.read(events)]
        found += self.told.differences(self.plain)
        if found:
            raise Wrong("\n".join(found))


def encoded(document: Any) -> bytes:
    """As it goes over the wire."""
    return json.dumps(document).encode()
