"""Pulls, and the heads of views that the proxy watches."""

from __future__ import annotations

from broker.errors import Code
from tests.model.asked import Asked, Faults
from tests.model.author import Author
from tests.model.plain import Wrong
from tests.model.requests.entries import Entry
from tests.model.things import QUEUED, Document, Item, Pull
from tests.model.turns import are_first
from tests.model.world import IN_BINS, PULL_HOLD_S, WORKBINS

HOLD = {"pull-for-strategy": 1}


def write_pull(author: Author) -> Document:
    fields: Document = {"tenant_id": 101, "count": author.one(1, 1, 2, 5)}
    kind = author.one("view", "view", "view", "ids", "bin")
    if kind == "view":
        fields["view_id"] = author.one(*author.plain.world.views)
        if author.some():
            fields["extension"] = HOLD
    elif kind == "ids":
        idents = list({author.ident(), author.ident()})
        fields |= {"view_id": "_system_", "pull_parameters": {"interaction_ids": idents}}
    else:
        workbin = author.one(*WORKBINS)
        fields |= {"view_id": f"{workbin['type']}/PrivateView", "workbin": workbin}
    if author.seldom():
        fields["ignore_hold"] = True
    if author.client.kind == "RoutingEngine" and author.seldom():
        fields["strategy_id"] = author.one("Greeting", "Slow")
    return fields


def pull(asked: Asked) -> None:
    if asked["view_id"] == "_system_":
        _pull_ids(asked)
        return
    faults = set[Code]()
    if asked.client.kind == "AgentApplication":
        asked.own(faults)
    there = _there(asked, faults)
    holds = bool(asked["extension"]) and asked.client.kind == "RoutingEngine" and _private(asked) is None
    if not asked.verdict(faults, later=holds and not there):
        return
    if asked.reply is None:
        _wait(asked)
        return
    granted = asked.reply["interactions"]
    view = asked["view_id"] if _private(asked) is None else None
    if not are_first(asked.plain, [one["interaction_id"] for one in granted], view, there, asked["count"]):
        raise Wrong(f"pulled {granted}, not {there}")
    _grant(asked, granted)


def _private(asked: Asked) -> str | None:
    """The type of the workbin that is pulled from."""
    kind, _, private = str(asked["view_id"]).partition("/")
    return kind if private == "PrivateView" else None


def _there(asked: Asked, faults: Faults) -> list[Item]:
    """What the pull may take, in the order of its view or workbin."""
    plain, ignore_hold, kind = asked.plain, bool(asked["ignore_hold"]), _private(asked)
    if kind is None:
        return plain.waiting(asked["view_id"], ignore_hold=ignore_hold)
    if asked.client.kind != "AgentApplication":
        faults.add(Code.ACCESS_DENIED)
    workbin = asked.reader(faults) if not faults else ("", "")
    there = [item for item in plain.in_bin(workbin) if item.lock is None and (ignore_hold or not item.held)]
    return sorted(there, key=IN_BINS[kind].place)


def _wait(asked: Asked) -> None:
    asked.plain.pulls.append(
        Pull(
            ref=asked.ref,
            client=asked.client.name,
            view=asked["view_id"],
            count=asked["count"],
            ignore_hold=bool(asked["ignore_hold"]),
            strategy=asked["strategy_id"],
            due=asked.plain.now + PULL_HOLD_S,
        )
    )


def _grant(asked: Asked, granted: list[Document]) -> None:
    agent = asked.plain.agent_of(asked.client)
    holder = agent.key if agent else asked.client.session
    for one in granted:
        asked.plain.grant(asked.plain.items[one["interaction_id"]], holder, one["token"], asked["strategy_id"])


def _pull_ids(asked: Asked) -> None:
    faults = set[Code]()
    if asked.client.kind == "AgentApplication":
        asked.own(faults)
    untaken = {ident: _untakeable(asked, ident) for ident in asked["pull_parameters"]["interaction_ids"]}
    if len(untaken) == 1:
        faults |= {code for code in untaken.values() if code is not None}
    if not asked.verdict(faults):
        return
    assert asked.reply is not None
    errors = {ident: error["code"] for ident, error in (asked.reply.get("errors") or {}).items()}
    if ({one["interaction_id"] for one in asked.reply["interactions"]}, errors) != (
        {ident for ident, code in untaken.items() if code is None},
        {ident: int(code) for ident, code in untaken.items() if code is not None},
    ):
        raise Wrong(f"{asked.reply} is not {untaken}")
    _grant(asked, asked.reply["interactions"])


def _untakeable(asked: Asked, ident: str) -> Code | None:
    item = asked.plain.items.get(ident)
    agent = asked.plain.agent_of(asked.client)
    if item is None:
        return Code.UNKNOWN_INTERACTION
    if item.lock is not None:
        return Code.LOCKED
    if item.state != QUEUED or (item.held and not asked["ignore_hold"]):
        return Code.WRONG_STATE
    if item.workbin is not None and not (agent and asked.plain.uses(agent, item.workbin)):
        return Code.WRONG_STATE
    return None


def write_watch(author: Author) -> Document:
    return {"view_id": author.one(*author.plain.world.views, *["None/all"] * author.seldom())}


def watch(asked: Asked) -> None:
    faults = {Code.UNKNOWN_VIEW} if asked["view_id"] not in asked.plain.world.views else set()
    if asked.verdict(faults) and asked.reply:
        asked.plain.heads[asked["view_id"]] = asked.reply


REQUESTS = {"RequestPull": Entry(write_pull, pull), "RequestWatchView": Entry(write_watch, watch)}
