"""Checkers of what ESP servers were asked and what came of it.

A request is over once, at the node that took it: by the answer of the server that had it, by its time, or because there
is no server. The client is told just that. What may not be repeated reaches one server, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from broker.errors import Code
from tests.sim.clients import OK, REFUSED, Operation
from tests.sim.model import NodeModel
from tests.sim.servers import Asked, Server

if TYPE_CHECKING:
    from tests.sim.world import World

Faults = Iterator[str]
Document = dict[str, Any]

ANSWERS = {"Request3rdServerResponse": "response", "Request3rdServerFault": "fault_string"}
"""What servers say, and what of it shows which answer it is."""
SETTLED_S = 1.0
"""In calm weather every node knows of a server after this long."""
PROMPT_S = 0.5


class Errand:
    """A request at a node, as its events tell it.

    :ivar asked: when which server was asked; :ivar over: when and how it was over, as often as it was
    """

    def __init__(self, node: str, refid: str, name: str) -> None:
        self.node, self.refid, self.name = node, refid, name
        self.asked: list[tuple[float, str]] = []
        self.over: list[tuple[float, Document]] = []

    def __repr__(self) -> str:
        return f"<{self.name} as {self.refid} at {self.node}: asked {self.asked}, over {self.over}>"


def errands(world: World) -> dict[str, Errand]:
    """All, by their references."""
    return {refid: errand for model in world.models.values() for refid, errand in _errands_at(model).items()}


def _errands_at(model: NodeModel) -> dict[str, Errand]:
    known: dict[str, Errand] = {}
    for said in model.events:
        document = said.document
        if document["message"] == "EventExternalServiceRequested":
            body = document["body"]
            refid, name = body["esp_server_refid"], body["request"]["Parameters"]["N"]
            known.setdefault(refid, Errand(model.name, refid, name)).asked.append((said.at, body["server"]))
        elif document["message"] == "EventExternalServiceResponded":
            body = document["body"]
            known[body["esp_server_refid"]].over.append((said.at, document))
    return known


def _servers(world: World) -> list[Server]:
    return [client for client in world.clients if isinstance(client, Server)]


def _calls(world: World) -> Iterator[Operation]:
    return (operation for operation in world.operations() if operation.message == "Request3rdServer")


def what_is_asked_is_over_once(world: World) -> Faults:
    """No request waits for ever, none is over twice."""
    for errand in errands(world).values():
        if len(errand.over) != 1:
            yield f"over {len(errand.over)} times: {errand}"


# -- what clients are told


def services_answer_what_they_were_asked(world: World) -> Faults:
    """A response or a fault is what a server has said to just this; no answer in time means that there was none."""
    known = errands(world)
    for operation in _calls(world):
        mine = [errand for errand in known.values() if errand.name == operation.name]
        if operation.outcome == OK:
            yield from _answer_faults(world, operation, mine)
        elif operation.outcome == REFUSED:
            yield from _failure_faults(world, operation, mine)
    for server in _servers(world):
        for answer in server.operations:
            if answer.message in ANSWERS:
                yield from _taken_faults(world, answer, known.get(answer.fields["esp_server_refid"]))


def _answer_faults(world: World, operation: Operation, mine: list[Errand]) -> Faults:
    reply = operation.reply
    errand = next((one for one in mine if one.refid == reply["esp_server_refid"]), None)
    if errand is None or not any(at <= operation.ended_at for at, _ in errand.over):
        yield f"answered, and the node has had no answer by then: {operation} {reply} {errand}"
        return
    said = [
        answer
        for server in _servers(world)
        for answer in server.operations
        if server.name == reply["server"]
        and answer.fields.get("esp_server_refid") == errand.refid
        and answer.message in ANSWERS
        and answer.invoked_at <= operation.ended_at
        and answer.fields.get(ANSWERS[answer.message]) == reply.get(ANSWERS[answer.message])
    ]
    if not said:
        yield f"no server has said that: {operation} {reply}"
    elif reply.get("user_data_merged", False):
        yield from _merge_faults(world, operation, errand, said[0])
    elif said[0].fields.get("merge_user_data") and "interaction_id" in operation.fields:
        spans = list(
            world.models[errand.node].interactions.spans(
                operation.fields["interaction_id"], errand.asked[0][0], errand.over[0][0]
            )
        )
        if all(span.state is not None for span in spans):
            yield f"not merged, and the interaction was there: {operation} {reply}"


def _merge_faults(world: World, operation: Operation, errand: Errand, said: Operation) -> Faults:
    versions = world.models[errand.node].interactions.versions.get(operation.fields["interaction_id"], ())
    wanted = said.fields["user_data"].items()
    if not any(version.state and wanted <= version.state.get("user_data", {}).items() for version in versions):
        yield f"told to be merged, and was not: {operation} {operation.reply}"


def _failure_faults(world: World, operation: Operation, mine: list[Errand]) -> Faults:
    """80: no server has got it, or it may be repeated. 81: there was no answer in time, or the server was lost."""
    began, ended = operation.attempts[-1][0], operation.ended_at
    calm = world.is_calm(operation.invoked_at) and len(operation.attempts) == 1
    now = [errand for errand in mine if any(began <= at <= ended for at, _ in errand.over)]
    if operation.code == Code.NO_SERVICE:
        if not operation.fields.get("repeatable") and any(
            began <= asked.at <= ended for asked in _got(world, operation)
        ):
            yield f"told that no server has got it, and one has: {operation}"
        if calm and any(server.since < began - SETTLED_S for server in _reached(world, operation)):
            yield f"told that there is no server, and there is: {operation}"
    elif operation.code == Code.SERVICE_TIMEOUT:
        if len(operation.attempts) == 1 and not now:
            yield f"told to be over, and no node says so: {operation} {mine}"
        for errand in now if calm else ():
            took_s = errand.over[0][0] - errand.asked[0][0]
            if abs(took_s - operation.fields["timeout"]) > PROMPT_S:
                yield f"over after {took_s:.3f} s: {operation} {errand}"


def _reached(world: World, operation: Operation) -> list[Server]:
    """Servers at nodes that the client's server asks."""
    asked = world.asked_of(operation)
    return [
        server
        for server in _servers(world)
        if server.server in world.configuration.proxies or server.server.partition(".")[0] in asked
    ]


def _taken_faults(world: World, answer: Operation, errand: Errand | None) -> Faults:
    """What a server was acked is in the journal; what it is told to be late was."""
    part = ANSWERS[answer.message]
    over = [document for at, document in errand.over if at <= answer.ended_at] if errand is not None else []
    if answer.outcome == OK and not any(one["body"].get(part) == answer.fields[part] for one in over):
        yield f"a server's answer was acked and lost: {answer} {errand}"
    if answer.outcome == REFUSED and answer.code != Code.BAD_TICKET:
        yield f"a server's answer was refused with {answer.code}: {answer}"
    if answer.outcome == REFUSED and not over and world.is_calm(answer.invoked_at):
        yield f"a server's answer was refused, and it was waited for: {answer} {errand}"


# -- whom nodes ask


def _got(world: World, operation: Operation) -> list[Asked]:
    return [asked for server in _servers(world) for asked in server.asked if asked.name == operation.name]


def services_are_asked_once(world: World) -> Faults:
    """What may not be repeated reaches one server, once; unless the client was told that none has got it."""
    for operation in _calls(world):
        got = _got(world, operation)
        doubled = "links double" in world.plan.faults  # then a server knows it by its reference
        times = len({(asked.server, asked.refid) for asked in got}) if doubled else len(got)
        once = operation.dedup or len(operation.attempts) == 1
        if not operation.fields.get("repeatable") and once and (times > 1 or any(asked.resent for asked in got)):
            yield f"done {times} times: {operation} {got}"


def services_are_asked_where_they_are(world: World) -> Faults:
    """While all is well a request about an interaction goes to the node that holds it, as that has servers, too."""
    known, servers = list(errands(world).values()), _servers(world)
    if not any(server.server in world.configuration.proxies for server in servers):
        return
    for operation in _calls(world):
        ident, began = operation.fields.get("interaction_id"), operation.invoked_at
        settled = world.is_calm(began) and all(server.since < began - SETTLED_S for server in servers)
        if ident is None or len(operation.attempts) != 1 or not settled:
            continue
        for node, model in world.asked_of(operation).items():
            here = all(span.state is not None for span in model.interactions.spans(ident, began, operation.ended_at))
            others = [one for one in known if one.name == operation.name and one.node != node]
            if here and others:
                yield f"{node} holds it, and others were asked: {operation} {others}"
