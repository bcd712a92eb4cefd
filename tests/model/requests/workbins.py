"""Requests about workbins."""

from __future__ import annotations

from broker.errors import Code
from tests.model.asked import Asked
from tests.model.author import Author
from tests.model.plain import Wrong
from tests.model.requests.entries import Entry, same
from tests.model.things import Document
from tests.model.world import BACKING, WORKBINS


def write_place(author: Author) -> Document:
    return {**author.changing(), "workbin": author.one(*WORKBINS)}


def place(asked: Asked) -> None:
    faults = set[Code]()
    item, changes = asked.item(faults), asked.changes(faults)
    agent = asked.plain.agent_of(asked.client)
    workbin = asked.bin(faults, agent if item is not None and agent and asked.holder(item) == agent.key else None)
    if item is not None:
        asked.allowed(item, faults)
        asked.first_placing(item, BACKING.get(workbin[0]), faults)
    if asked.verdict(faults) and item:
        asked.plain.take_out(item)
        asked.change(item, changes)
        asked.plain.place_in_bin(item, workbin)


def write_bin(author: Author) -> Document:
    return {"tenant_id": 101, "workbin": author.one(*WORKBINS)}


def content(asked: Asked) -> None:
    faults = set[Code]()
    workbin = asked.reader(faults)
    if asked.verdict(faults) and asked.reply:
        shown = {one["interaction_id"] for one in asked.reply["interactions"]}
        if shown != {item.ident for item in asked.plain.in_bin(workbin)}:
            raise Wrong(f"{workbin} has {asked.plain.in_bin(workbin)}, not {shown}")


def statistic(asked: Asked) -> None:
    faults = set[Code]()
    workbin = asked.reader(faults)
    if asked.verdict(faults) and asked.reply:
        (one,) = asked.reply["workbins"]
        if one["count"] != len(asked.plain.in_bin(workbin)):
            raise Wrong(f"{workbin} has {asked.plain.in_bin(workbin)}, not {one}")


def types(asked: Asked) -> None:
    faults = set[Code]()
    if asked.client.kind == "AgentApplication":
        asked.own(faults)
    asked.verdict(faults)


def notify(asked: Asked) -> None:
    faults = set[Code]()
    workbin = asked.reader(faults)
    if asked.verdict(faults):
        change = asked.plain.told.discard if "Cancel" in asked["message"] else asked.plain.told.add
        change((asked.client.session, workbin))


REQUESTS = {
    "RequestPlaceInWorkbin": Entry(write_place, place),
    "RequestGetWorkbinContent": Entry(write_bin, content),
    "RequestWorkbinStatistic": Entry(write_bin, statistic),
    "RequestWorkbinTypesInfo": Entry(lambda author: {"tenant_id": 101}, types),
    **same(("RequestWorkbinNotifications", "RequestWorkbinCancelNotifications"), Entry(write_bin, notify)),
}
