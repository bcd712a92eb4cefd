"""Requests to external services: of clients, their answers, and those that the node serves itself."""

from __future__ import annotations

from collections.abc import Iterator

from broker.errors import Code
from broker.messages import REQUESTS as CLASSES
from broker.ownservice import CLUSTERS_OWN
from tests.model import servers
from tests.model.asked import Asked
from tests.model.author import Author
from tests.model.plain import Plain, Wrong
from tests.model.requests import interactions
from tests.model.requests.entries import Entry, Next, same
from tests.model.things import Document, Service
from tests.model.world import ESP_S, PROXY

OWN = "OMService"
METHODS = {
    name: (f"Request{name}", interactions.REQUESTS[f"Request{name}"])
    for name in ("FindInteractions", "GetInteractionProperties", "ChangeProperties", "PlaceInQueue", "StopProcessing")
}


# -- asked


def write_ask(author: Author) -> Document:
    if author.seldom():
        return _write_own(author)
    request = {"Service": author.one("Classify", "Classify", "Screen", "Else"), "Method": "ByText"}
    fields: Document = {"tenant_id": 101, "request": request}
    if author.some():
        fields["interaction_id"] = author.ident()
    if author.some():
        fields["repeatable"] = True
    if author.seldom():
        fields["target"] = author.one("ClassificationServer", "Universal", "sorter1", "Nobody")
    if author.some():
        fields["timeout"] = author.one(5, 50)
    return fields


def _write_own(author: Author) -> Document:
    """The parameters in either spelling of their names."""
    method = author.one(*METHODS)
    fields = METHODS[method][1].write(author)
    if author.some():
        fields = {"".join(word.capitalize() for word in name.split("_")): value for name, value in fields.items()}
    return {"tenant_id": 101, "request": {"Service": OWN, "Method": method, "Parameters": fields}}


def ask(asked: Asked) -> None:
    if asked["request"]["Service"] == OWN and asked["target"] is None:
        _served_here(asked)
        return
    if not asked.verdict(servers.faults(asked.plain, asked.request), later=True):
        return
    server, note = servers.sent(asked.plain, asked.turn)
    if note["request"] != asked["request"] or note["client_name"] != asked.client.name or note.get("resent"):
        raise Wrong(f"{server} was sent {note}, not {asked.request}")
    servers.chosen(asked.plain, server, asked.request)
    service = Service(
        refid=note["esp_server_refid"],
        client=asked.client.name,
        request=asked.request,
        server=server.key,
        server_name=server.name,
        due=asked.plain.now + (asked["timeout"] or ESP_S),
        ref=asked.ref,
    )
    asked.plain.services[service.refid] = service


def _served_here(asked: Asked) -> None:
    """A method of the node's own is the request that it stands for, with the same rights."""
    name, entry = METHODS[asked["request"]["Method"]]
    fields = {_spelt(key): value for key, value in asked["request"]["Parameters"].items()}
    assert asked.reply is not None
    inner = Asked(asked.plain, asked.client, {"message": name, **fields}, asked.turn, _unwrapped(asked.reply))
    if asked.client.kind in CLASSES[name].senders:
        entry.judge(inner)
    else:
        inner.verdict({Code.ACCESS_DENIED})


def _spelt(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def _unwrapped(reply: Document) -> Document:
    """The reply of the request that a method stands for."""
    if reply["message"] == "Event3rdServerResponse":
        return dict(reply["response"])
    if reply["message"] == "Event3rdServerFault":
        if reply["fault_code"] in {int(code) for code in CLUSTERS_OWN}:
            raise Wrong(f"{reply} is no fault")
        return {"message": "EventError", "code": reply["fault_code"]}
    return reply


# -- answered


def write_response(author: Author) -> Document:
    data = author.one({}, {"Category": "x"}, {"note": "y"})
    return {**write_refid(author), "response": {"Found": 1}, "user_data": data, "merge_user_data": author.some()}


def write_fault(author: Author) -> Document:
    return {**write_refid(author), "fault_code": 7, "fault_string": "no"}


def write_refid(author: Author) -> Document:
    there = author.plain.services.values()
    own = [service.refid for service in there if service.server == author.client.session]
    known = own if own and not author.seldom() else [service.refid for service in there]
    return {"esp_server_refid": author.one(*known or ["none"])}


def respond(asked: Asked) -> None:
    service = _answered(asked)
    if service is not None:
        response(asked.plain, service, asked.request)


def refuse(asked: Asked) -> None:
    service = _answered(asked)
    if service is not None:
        fault(asked.plain, service, asked.request)


def _answered(asked: Asked) -> Service | None:
    """A registered server answers what it was asked, and nothing else."""
    service = asked.plain.services.get(asked["esp_server_refid"])
    own = service is not None and asked.client.name == service.server_name
    return service if asked.verdict(() if own else {Code.BAD_TICKET}) else None


def response(plain: Plain, service: Service, said: Document) -> None:
    """What comes of a response, of a registered server or a listed one."""
    item = plain.items.get(service.request.get("interaction_id", ""))
    merged = bool(said["merge_user_data"] and said["user_data"] and item is not None)
    if merged and item is not None:
        item.data.update(said["user_data"])
    reply = {"message": "Event3rdServerResponse", "response": said["response"], "server": service.server_name}
    _done(plain, service, reply | ({"user_data_merged": True} if merged else {}))


def fault(plain: Plain, service: Service, said: Document) -> None:
    """And of a fault."""
    reply = {"message": "Event3rdServerFault", "fault_code": said["fault_code"], "server": service.server_name}
    _done(plain, service, reply)


def _done(plain: Plain, service: Service, reply: Document) -> None:
    if service.server in plain.servers:
        plain.servers[service.server].late = False
    servers.finish(plain, service, reply)


# -- not got


def undelivered(asked: Asked) -> None:
    """The proxy has not brought a request to a server of its own: that one is gone, and another may have it."""
    asked.verdict(())
    service = asked.plain.services.get(asked["esp_server_refid"])
    server = asked.plain.of_session(service.server) if service else None
    if service is not None and server is not None and server.source[0] == asked.client.source[0]:
        asked.plain.leave_server(service.server, got=False, only=[service.refid])


def likely(plain: Plain) -> Iterator[Next]:
    """Registered servers answer, or have not got it."""
    for service in plain.services.values():
        server = plain.of_session(service.server)
        if server is not None:
            yield from [(server, "Request3rdServerResponse")] * 3 + [(server, "Request3rdServerFault")]
        if server is not None and server.proxied:
            yield plain.clients[PROXY], "RequestServiceUndelivered"


REQUESTS = {
    **same(("Request3rdServer", "RequestExternalService"), Entry(write_ask, ask)),
    "Request3rdServerResponse": Entry(write_response, respond),
    "Request3rdServerFault": Entry(write_fault, refuse),
    "RequestServiceUndelivered": Entry(write_refid, undelivered),
}
