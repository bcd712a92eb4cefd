"""Requests that bring interactions in, place them, change them, stop them, look for them."""

from __future__ import annotations

from broker.errors import Code
from broker.messages.objects import SETTABLE
from tests.model import capacity
from tests.model.asked import Asked
from tests.model.author import Author
from tests.model.plain import Wrong
from tests.model.requests.entries import Entry
from tests.model.things import Document, Item
from tests.model.world import BACKING, MEDIA, QUEUES, START, TYPES, WORKBINS


def write_submit(author: Author) -> Document:
    fields: Document = {
        "tenant_id": 101,
        "media_type": author.one(*MEDIA),
        "priority": author.one(0, 5, 9),
        "received_at": START + author.one(1, 2, 3, 4),
        "user_data": author.one({}, {"Subject": "x"}, {"handling-timeout": 1}),
        "is_online": int(author.some()),
    }
    where = author.one("queue", "queue", "queue", "bin", "both")
    if where != "bin":
        odd = ["Closed", "Later", "Off", "Nowhere"] * author.seldom()
        fields["queue"] = author.one("Inbound", "Inbound", "Done", "Fair", *odd)
    if where != "queue":
        fields["workbin"] = author.one(*WORKBINS)
    if author.seldom():
        fields["scheduled_at"] = author.plain.now + author.one(3.0, 20.0)
    if author.seldom():
        fields["interaction_id"] = author.one("mine1", "mine2")
    if author.seldom():
        fields["parent_id"] = author.ident()
    if author.seldom():
        fields["out_queues"] = author.one(["Done"], [], ["Inbound", "Fair"])
    if author.seldom():
        fields["interaction_type"] = author.one("Outbound", "Odd")
    return fields


def submit(asked: Asked) -> None:
    plain, faults = asked.plain, set[Code]()
    agent = asked.own(faults) if asked.client.kind == "AgentApplication" else None
    workbin = asked.bin(faults, agent) if asked["workbin"] else None
    queue = asked.queue(faults) if asked["queue"] else BACKING.get(workbin[0]) if workbin else None
    asked.child(asked["parent_id"], queue, faults)
    if asked["interaction_type"] not in (None, *TYPES):
        faults.add(Code.WRONG_VALUE)
    if plain.drained and asked.client.proxied:
        faults.add(Code.DRAINED)
    if agent is not None and capacity.is_full(plain, agent, asked["media_type"]):
        faults.add(Code.CAPACITY_FULL)
    if asked["interaction_id"] in plain.items:
        faults.add(Code.DUPLICATE_INTERACTION)
    if not asked.verdict(faults):
        return
    assert asked.reply is not None
    given = {name: asked[name] for name in SETTABLE if name != "priority"}
    item = Item(
        ident=asked.reply["interaction_id"],
        media=asked["media_type"],
        queue=queue,
        workbin=workbin,
        priority=asked["priority"],
        received_at=asked["received_at"],
        data=dict(asked["user_data"]),
        version=0,
        properties=given | {"interaction_type": asked["interaction_type"] or "Inbound"},
    )
    plain.items[item.ident] = item
    if agent is not None:
        plain.grant(item, agent.key, None)
    else:
        plain.put(item, queue, workbin)


def write_place(author: Author) -> Document:
    return {**author.changing(), "queue": author.one(*QUEUES[:2], *QUEUES)}


def place_in_queue(asked: Asked) -> None:
    faults = set[Code]()
    item, queue, changes = asked.item(faults), asked.queue(faults), asked.changes(faults)
    if item is not None:
        asked.allowed(item, faults)
        asked.first_placing(item, queue, faults)
    if asked.verdict(faults) and item:
        asked.plain.take_out(item)
        asked.change(item, changes)
        asked.plain.place(item, queue)


def stop(asked: Asked) -> None:
    faults = set[Code]()
    item, _ = asked.item(faults), asked.changes(faults)
    if item is not None:
        asked.allowed(item, faults)
    if asked.verdict(faults) and item:
        asked.plain.take_out(item)
        del asked.plain.items[item.ident]


def change(asked: Asked) -> None:
    faults = set[Code]()
    item, changes = asked.item(faults), asked.changes(faults)
    if item is not None:
        asked.allowed(item, faults)
    if asked.verdict(faults) and item:
        asked.change(item, changes)


def get(asked: Asked) -> None:
    faults = set[Code]()
    item = asked.item(faults)
    if asked.verdict(faults) and item:
        assert asked.reply is not None
        shown = asked.reply["interaction"]
        known = {name: value for name, value in item.properties.items() if value is not None}
        known |= {"priority": item.priority, "user_data": item.data}
        if any(shown.get(name, {}) != value for name, value in known.items()):
            raise Wrong(f"{shown} is not {item}")


def write_find(author: Author) -> Document:
    return {
        "condition": f"priority >= {author.one(0, 5)}",
        "order": "priority desc, received_at",
        "count": author.one(2, 1000),
    }


def find(asked: Asked) -> None:
    """All items of at least a priority."""
    if asked.verdict(()):
        assert asked.reply is not None
        least = int(asked["condition"].split()[-1])
        found = [one["interaction_id"] for one in asked.reply["interactions"]]
        expected = sorted(
            (item for item in asked.plain.items.values() if item.priority >= least),
            key=lambda item: (-item.priority, item.received_at, item.ident),
        )
        if [(asked.plain.items[one].priority, asked.plain.items[one].received_at) for one in found] != [
            (item.priority, item.received_at) for item in expected[: asked["count"]]
        ]:
            raise Wrong(f"found {found}, not {expected}")


REQUESTS = {
    "RequestSubmit": Entry(write_submit, submit),
    "RequestPlaceInQueue": Entry(write_place, place_in_queue),
    "RequestStopProcessing": Entry(Author.changing, stop),
    "RequestChangeProperties": Entry(Author.changing, change),
    "RequestGetInteractionProperties": Entry(Author.item, get),
    "RequestFindInteractions": Entry(write_find, find),
}
