"""What operators ask of the node itself: status, drain, switchover, another configuration."""

from __future__ import annotations

from collections.abc import Iterator

from broker.errors import Code
from tests.model import capacity
from tests.model.asked import Asked
from tests.model.author import Author
from tests.model.plain import Plain, Wrong
from tests.model.requests.entries import Entry, Next, no_fields, same
from tests.model.things import QUEUED, Document
from tests.model.world import WORLDS


def status(asked: Asked) -> None:
    """The figures of the node's work."""
    if not asked.verdict(()) or asked.reply is None:
        return
    plain, shown = asked.plain, asked.reply["nodes"]["n1"]
    known = {
        "backlog": sum(item.state == QUEUED for item in plain.items.values()),
        "interactions": len(plain.items),
        "agents": len(plain.agents),
        "clients": len(plain.clients),
        "held_pulls": len(plain.pulls),
        "esp_servers": len(plain.servers),
        "esp_requests": len(plain.services),
        "loads": len(plain.loads),
        "paused": sorted(name for name in plain.world.queues if plain.is_paused(name)),
    }
    if not shown.items() >= known.items() or (shown["drained_since"] is not None) is not plain.drained:
        raise Wrong(f"{shown} is not {known}")


def ledger(asked: Asked) -> None:
    """What was dropped is no part of the node's state; only that it is told is looked at here."""
    if asked.verdict(() if asked["node"] == "n1" else {Code.WRONG_VALUE}) and asked.reply:
        counted = sum(number for reasons in asked.reply.get("peers", {}).values() for number in reasons.values())
        if counted != asked.reply["dropped"]:
            raise Wrong(f"{asked.reply} does not add up")


def write_node(author: Author) -> Document:
    return {"node": "n2" if author.seldom() else "n1"}


def drain(asked: Asked) -> None:
    if asked.verdict(() if asked["node"] == "n1" else {Code.WRONG_VALUE}):
        asked.plain.drained = asked["message"] == "RequestDrain"


def switchover(asked: Asked) -> None:
    """The play goes on with the other member."""
    asked.verdict(() if asked["node"] == "n1" else {Code.WRONG_VALUE})


def reconfigure(asked: Asked) -> None:
    """The file has another world by now; a queue with interactions stays."""
    plain, world = asked.plain, WORLDS[asked.file]
    lost = {name for name in plain.world.queues if name not in world.queues}
    used = any({item.queue, item.holding.queue if item.holding else None} & lost for item in plain.items.values())
    if not asked.verdict({Code.WRONG_CONFIGURATION} if used else ()) or asked.reply is None:
        return
    if bool(asked.reply.get("changed")) is (world == plain.world):
        raise Wrong(f"{asked.reply} of {asked.file}")
    if world == plain.world:
        return
    plain.world = world
    capacity.log_out_surplus(plain)
    plain.paces_begin()
    plain.ordered = {queue: paused for queue, paused in plain.ordered.items() if queue in world.queues}
    for pull in [pull for pull in plain.pulls if pull.view not in world.views]:
        plain.pulls.remove(pull)
        plain.answer(pull.ref, {"message": "EventError", "code": int(Code.UNKNOWN_VIEW)})
    plain.heads = {view: head for view, head in plain.heads.items() if view in world.views}


def likely(plain: Plain) -> Iterator[Next]:
    """What is drained is to be of use again."""
    if plain.drained:
        yield plain.clients["monitor"], "RequestUndrain"


REQUESTS = {
    "RequestGetStatus": Entry(no_fields, status),
    **same(("RequestDrain", "RequestUndrain"), Entry(write_node, drain)),
    "RequestGetLedger": Entry(write_node, ledger),
    "RequestSwitchover": Entry(write_node, switchover),
    "RequestReconfigure": Entry(no_fields, reconfigure),
}
