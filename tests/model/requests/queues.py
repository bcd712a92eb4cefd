"""What operators ask about queues and what is in them."""

from __future__ import annotations

from collections.abc import Iterator

from broker.errors import Code
from tests.model.asked import Asked
from tests.model.author import Author
from tests.model.plain import Plain, Wrong
from tests.model.requests.entries import Entry, Next, no_fields, same
from tests.model.things import HANDLING, QUEUED, ROUTING, Document, Item
from tests.model.world import DISABLED


def write_queue(author: Author) -> Document:
    return {"queue": author.one("Inbound", "Done", "Later", *["Nowhere"] * author.seldom())}


def _known(asked: Asked) -> set[Code]:
    return set() if asked["queue"] in asked.plain.world.queues else {Code.UNKNOWN_QUEUE}


def pause(asked: Asked) -> None:
    if asked.verdict(_known(asked)):
        plain, queue, paused = asked.plain, asked["queue"], asked["message"] == "RequestPauseQueue"
        if plain.is_paused(queue) is not paused:
            plain.ordered[queue] = paused
            if paused is (queue in plain.world.paused):
                del plain.ordered[queue]


def get(asked: Asked) -> None:
    """How many are in which state, and what pulls could take."""
    if not asked.verdict(()) or asked.reply is None:
        return
    plain = asked.plain
    parts = {part["queue"]: part for part in asked.reply["queues"] if part["tenant_id"] == 101}
    if parts.keys() != {*plain.world.queues}:
        raise Wrong(f"{sorted(parts)} are not {plain.world.queues}")
    for name, part in parts.items():
        states = [item.state for item in plain.items.values() if item.queue == name]
        views = {
            view: len([item for item in plain.shown(view) if not item.held])
            for view, known in plain.world.views.items()
            if known.queue == name
        }
        (node,) = part["nodes"].values()
        shown = (
            [node.get(state, 0) for state in ("queued", "routing", "handling")],
            node.get("paused", False),
            node.get("views", {}),
            part.get("enabled", True),
        )
        counts = [states.count(state) for state in (QUEUED, ROUTING, HANDLING)]
        if shown != (counts, plain.is_paused(name), views, name not in DISABLED):
            raise Wrong(f"{part} is not {counts}, {views}")


def write_purge(author: Author) -> Document:
    condition = f"priority >= {author.one(3, 8)}"
    return {**write_queue(author), "condition": condition, "count": author.one(1, 2)}


def purge(asked: Asked) -> None:
    """What has waited longest goes first."""
    plain, least = asked.plain, int(asked["condition"].rpartition(" ")[2])
    there = [item for item in plain.items.values() if item.queue == asked["queue"] and _waits(item)]
    there = sorted((item for item in there if item.priority >= least), key=lambda item: item.version)
    if not asked.verdict(_known(asked)) or asked.reply is None:
        return
    gone = there[: asked["count"]]
    if (asked.reply.get("purged", 0), asked.reply.get("left", 0)) != (len(gone), len(there) - len(gone)):
        raise Wrong(f"{asked.reply} of {there}")
    for item in gone:
        del plain.items[item.ident]


def _waits(item: Item) -> bool:
    """Whether it waits in its queue, in time or not."""
    return item.state == QUEUED and item.lock is None and item.workbin is None


def explain(asked: Asked) -> None:
    """Each view that has it, and its place there."""
    faults, plain = set[Code](), asked.plain
    item = asked.item(faults)
    if not asked.verdict(faults) or asked.reply is None or item is None:
        return
    shown = {view["view_id"]: view["position"] for view in asked.reply["views"] if view["position"] is not None}
    there = [view for view in plain.world.views if item in plain.shown(view) and not item.held]
    known = {view: _place(plain, view, item) for view in there}
    if shown != known or not asked.reply["waits"]:
        raise Wrong(f"{item} is in {known}, not {shown}: {asked.reply['waits']}")


def _place(plain: Plain, view: str, item: Item) -> int:
    known = plain.world.views[view]
    there = [one for one in plain.shown(view) if not one.held and (one.media == item.media or not known.divided)]
    return there.index(item) + 1


def write_position(author: Author) -> Document:
    view, items = author.one(*author.plain.world.views), list(author.plain.items.values())
    key = author.plain.world.views[view].key(author.one(*items)) if items else [0]
    return {"view_id": author.one(view, *["None/all"] * author.seldom()), "key": key if not author.seldom() else [[]]}


def position(asked: Asked) -> None:
    """How many come before it, whether it is there or not."""
    known, faults = asked.plain.world.views.get(asked["view_id"]), set[Code]()
    if known is None:
        faults.add(Code.UNKNOWN_VIEW)
    elif len(asked["key"]) != len(known.order) + 1:
        faults.add(Code.WRONG_VALUE)
    if asked.verdict(faults) and asked.reply and known:
        there = [item for item in asked.plain.shown(asked["view_id"]) if not item.held]
        (asked_for,) = [item for item in asked.plain.items.values() if item.ident == asked["key"][-1]]
        before = sum(known.place(item) < known.place(asked_for) for item in there)
        if (asked.reply.get("before", 0), asked.reply.get("depth", 0)) != (before, len(there)):
            raise Wrong(f"{asked.reply} is not {before} of {there}")


def likely(plain: Plain) -> Iterator[Next]:
    """Queues that are paused for long would fill up."""
    if any(plain.ordered.values()):
        yield plain.clients["monitor"], "RequestResumeQueue"


REQUESTS = {
    **same(("RequestPauseQueue", "RequestResumeQueue"), Entry(write_queue, pause)),
    "RequestGetQueues": Entry(no_fields, get),
    "RequestPurgeQueue": Entry(write_purge, purge),
    "RequestExplainInteraction": Entry(Author.item, explain),
    "RequestGetViewPosition": Entry(write_position, position),
}
