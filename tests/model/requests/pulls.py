"""Pulls, and the heads of views that the proxy watches."""

from __future__ import annotations

from collections.abc import Iterator

from broker.errors import Code
from tests.model import capacity
from tests.model.asked import Asked, Faults
from tests.model.author import Author
from tests.model.plain import Plain, Wrong
from tests.model.requests.entries import Entry, Next
from tests.model.things import QUEUED, Agent, Document, Item, Pull, Watched
from tests.model.turns import are_first
from tests.model.world import IN_BINS, OWNERS, PROXY, PULL_HOLD_S, WORKBINS

HOLD = {"pull-for-strategy": 1}


def write_pull(author: Author) -> Document:
    fields: Document = {"tenant_id": 101, "count": author.one(1, 1, 2, 5)}
    kind = author.one("view", "view", "view", "ids", "bin", *["bin"] * 3 * bool(_filled(author)))
    if kind == "view":
        fields["view_id"] = author.one(*author.plain.world.views)
        if author.some():
            fields["extension"] = HOLD
    elif kind == "ids":
        locked = [item.ident for item in author.plain.items.values() if item.lock]
        idents = sorted({author.ident(), author.one(*locked) if locked and author.some() else author.ident()})
        fields |= {"view_id": "_system_", "pull_parameters": {"interaction_ids": idents}}
    else:
        workbin = author.one(*WORKBINS, *_filled(author) * 3)
        fields |= {"view_id": f"{workbin['type']}/PrivateView", "workbin": workbin}
    if author.seldom():
        fields["ignore_hold"] = True
    if author.client.kind == "RoutingEngine" and author.seldom():
        fields["strategy_id"] = author.one("Greeting", "Slow")
    return fields


def _filled(author: Author) -> list[Document]:
    """Workbins in which there is something, that the client's agent may use."""
    agent = author.plain.agent_of(author.client)
    named = [(one, (one["type"], one.get(OWNERS[one["type"]]))) for one in WORKBINS if len(one) > 1]
    return [one for one, key in named if agent and author.plain.uses(agent, key) and author.plain.in_bin(key)]


def pull(asked: Asked) -> None:
    if asked["view_id"] == "_system_":
        _pull_ids(asked)
        return
    faults = set[Code]()
    if asked.client.kind == "AgentApplication":
        asked.own(faults)
    there = _there(asked, faults)
    view, agent = asked["view_id"] if _private(asked) is None else None, asked.plain.agent_of(asked.client)
    divided = view is not None and asked.plain.world.views[view].divided
    if agent is not None and not faults and not divided:
        fit = capacity.fitting(asked.plain, agent, there)
        if there and not fit:
            faults.add(Code.CAPACITY_FULL)
        there = fit
    holds = bool(asked["extension"]) and asked.client.kind == "RoutingEngine" and view is not None
    if divided and agent is not None:
        _divided(asked, agent, there, faults)
    elif asked.verdict(faults, later=holds and not there):
        _pulled(asked, view, there)


def _pulled(asked: Asked, view: str | None, there: list[Item]) -> None:
    """It has got the first ones, or waits for some."""
    if asked.reply is None:
        _wait(asked)
        return
    granted = asked.reply["interactions"]
    if not are_first(asked.plain, [one["interaction_id"] for one in granted], view, there, asked["count"]):
        raise Wrong(f"pulled {granted}, not {there}")
    _grant(asked, granted)


def _divided(asked: Asked, agent: Agent, there: list[Item], faults: Faults) -> None:
    """An agent has got some of a view with segments: no more than fit, and all unless the next does not."""
    unfit = any(not item.held and capacity.is_full(asked.plain, agent, item.media) for item in there)
    if unfit and asked.reply is not None and asked.reply.get("code") == Code.CAPACITY_FULL:
        return
    if not asked.verdict(faults) or asked.reply is None:
        return
    granted = asked.reply["interactions"]
    items = [asked.plain.items[one["interaction_id"]] for one in granted]
    if any(item not in there for item in items) or capacity.fitting(asked.plain, agent, items) != items:
        raise Wrong(f"pulled {granted} of {there}, for {agent}")
    _grant(asked, granted)
    rest = [item for item in there if item not in items]
    full = any(not item.held and capacity.is_full(asked.plain, agent, item.media) for item in rest)
    if len(items) < min(asked["count"], len(there)) and not full:
        raise Wrong(f"pulled only {granted} of {there}")


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
    untaken: dict[str, Code | None] = {}
    for ident in asked["pull_parameters"]["interaction_ids"]:
        fits = [asked.plain.items[one] for one, code in untaken.items() if code is None]
        untaken[ident] = _untakeable(asked, ident, fits)
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


def _untakeable(asked: Asked, ident: str, before: list[Item]) -> Code | None:
    """What speaks against it, for who takes others before."""
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
    if agent and item not in capacity.fitting(asked.plain, agent, [*before, item]):
        return Code.CAPACITY_FULL
    return None


def write_watch(author: Author) -> Document:
    views, watched = author.plain.world.views, author.plain.heads
    unwatched = [view for view in views if view not in watched]
    view = author.one(*(unwatched or views), *["None/all"] * author.seldom())
    return {"view_id": view, "keys": author.one(1, 2, 4, 64)}


def watch(asked: Asked) -> None:
    faults = {Code.UNKNOWN_VIEW} if asked["view_id"] not in asked.plain.world.views else set()
    if asked.verdict(faults) and asked.reply:
        asked.plain.heads[asked["view_id"]] = Watched(asked["keys"], asked.reply)


def likely(plain: Plain) -> Iterator[Next]:
    """The proxy watches views again, after a failure of the node for one."""
    if plain.heads.keys() != plain.world.views.keys():
        yield plain.clients[PROXY], "RequestWatchView"


REQUESTS = {"RequestPull": Entry(write_pull, pull), "RequestWatchView": Entry(write_watch, watch)}
