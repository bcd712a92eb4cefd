"""ESP servers and the requests that they have to answer: who may get one, and what becomes of it when a server goes."""

from __future__ import annotations

from broker.errors import Code
from tests.model.plain import Plain, Wrong
from tests.model.served import Turn
from tests.model.things import Document, Server, Service
from tests.model.world import LISTED, SETTINGS

MOST = SETTINGS["max_esp_requests_per_server"]
LISTED_KEY = "=" + LISTED


def able(plain: Plain, request: Document, but: str | None = None) -> list[Server]:
    """The servers that serve what is asked for."""
    name, target = request["request"]["Service"], request.get("target")
    return [
        server
        for server in plain.servers.values()
        if server.key != but
        and target in (None, server.name, server.application_type)
        and (server.services is None or name in server.services)
    ]


def pending(plain: Plain, server: Server) -> int:
    """How many requests it has not answered."""
    return sum(service.server == server.key for service in plain.services.values())


def faults(plain: Plain, request: Document, but: str | None = None) -> set[Code]:
    """What speaks against asking anybody."""
    there = able(plain, request, but)
    if not there:
        return {Code.NO_SERVICE}
    return set() if any(pending(plain, server) < MOST for server in there) else {Code.BUSY}


def sent(plain: Plain, turn: Turn, *, refid: str | None = None) -> tuple[Server, Document]:
    """The server that was sent a request in this turn, and what it was sent; taken out of the turn.

    :param refid: of the request; None: the only one. :raises Wrong: none or several were, or nobody who is there
    """
    found = [
        (server, one.document, turn.said, one)
        for one in turn.said
        if one.document["message"] == "Request3rdServer"
        for server in plain.servers.values()
        if (client := plain.of_session(server.key)) is not None and client.source == one.source
    ]
    found += [
        (plain.servers[LISTED_KEY], one[2], turn.dialled, one) for one in turn.dialled if LISTED_KEY in plain.servers
    ]
    found = [one for one in found if refid in (None, one[1]["esp_server_refid"])]
    if len(found) != 1:
        raise Wrong(f"{refid} was sent to {found}, of {plain.servers}")
    server, note, where, what = found[0]
    where.remove(what)
    return server, note


def chosen(plain: Plain, server: Server, request: Document, but: str | None = None) -> None:
    """Whether it was right to ask this one: one that answers in time, with the fewest open requests."""
    free = [one for one in able(plain, request, but) if pending(plain, one) < MOST]
    if server not in free or (server.late, pending(plain, server)) != min(
        (one.late, pending(plain, one)) for one in free
    ):
        raise Wrong(f"{request} was sent to {server}, not to another of {free}")


def go_on(plain: Plain, turn: Turn) -> None:
    """Requests of servers that are gone: another one has them, or their clients an error."""
    unserved, plain.unserved = plain.unserved, []
    for refid, key, got in unserved:
        service = plain.services[refid]
        if got and not service.request.get("repeatable"):
            fail(plain, service, Code.SERVICE_TIMEOUT)
        elif faults(plain, service.request, but=key):
            fail(plain, service, Code.NO_SERVICE)
        else:
            server, note = sent(plain, turn, refid=refid)
            service.resent = service.resent or got
            _same(service, note)
            del plain.services[refid]
            chosen(plain, server, service.request, but=key)
            plain.services[refid] = service
            service.server, service.server_name = server.key, server.name


def _same(service: Service, note: Document) -> None:
    if note["request"] != service.request["request"] or bool(note.get("resent")) is not service.resent:
        raise Wrong(f"{note} is not {service}")


def joins(plain: Plain, server: Server, turn: Turn) -> None:
    """A server is there (again): what may be repeated and was its own it has again."""
    plain.servers[server.key] = server
    for refid, service in sorted(plain.services.items()):
        if service.server == server.key and service.request.get("repeatable"):
            service.resent = True
            again, note = sent(plain, turn, refid=refid)
            _same(service, note)
            if again is not server:
                raise Wrong(f"{note} was sent to {again}, not to {server}")


def fail(plain: Plain, service: Service, code: Code) -> None:
    """No server has answered."""
    reply = {"message": "EventError", "code": int(code)}
    finish(plain, service, reply, kept=code is Code.SERVICE_TIMEOUT)


def finish(plain: Plain, service: Service, reply: Document, *, kept: bool = True) -> None:
    """A request is over; whoever asks it again has the same reply, if it is kept."""
    del plain.services[service.refid]
    plain.answer(service.ref, reply)
    plain.keep(service.request, reply if kept else None)


def expire(plain: Plain, service: Service) -> None:
    """A server has had its time."""
    if service.server in plain.servers:
        plain.servers[service.server].late = True
    fail(plain, service, Code.SERVICE_TIMEOUT)
