"""The end of a batch: all that the node has said is held against what is due, and against what anybody waits for."""

from __future__ import annotations

from tests.model import capacity, engines, reservations, servers, topics
from tests.model.plain import Plain, Wrong
from tests.model.served import Said, Turn
from tests.model.things import Document, Item


def settle(plain: Plain, turn: Turn) -> None:
    """:raises Wrong: it said what it should not have, or has not said what it should"""
    for key in plain.freed:
        reservations.release(plain, key)
    plain.freed.clear()
    engines.pass_on(plain, turn)
    servers.go_on(plain, turn)
    topics.judge(plain, turn)
    for said in turn.said:
        if said.ref is not None:
            _late(plain, said)
        elif said.document["message"] == "EventRouteRequest":
            engines.pushed(plain, said)
        elif said.document["message"] == "EventViewHead":
            watched = plain.heads[said.document["view_id"]]
            plain.heads[said.document["view_id"]] = watched._replace(told=said.document)
        elif said.document["message"] == "EventAgentLoad":
            key = f"101/{said.document.get('agent_id', '')}@{said.document.get('place_id', '')}"
            plain.agent_loads[key] = said.document.get("load", {})
    complaints = [judge(plain) for judge in JUDGES]
    if any(complaints):
        raise Wrong("; ".join(filter(None, complaints)))


def _late(plain: Plain, said: Said) -> None:
    """A reply to what was asked before: one that is due, or to a pull that waits."""
    assert said.ref is not None
    if any(pull.ref == said.ref for pull in plain.pulls):
        _served(plain, said)
        return
    if said.ref not in plain.late:
        raise Wrong(f"{said} was not due")
    due = plain.late.pop(said.ref)
    if not fits(said.document, due):
        raise Wrong(f"{said} is not {due}")


def fits(reply: Document, due: Document) -> bool:
    """Whether a reply has what it has to have; where several values would do, one of them."""
    return all(
        reply.get(name) in value if isinstance(value, set) else reply.get(name) == value for name, value in due.items()
    )


def _served(plain: Plain, said: Said) -> None:
    """A pull that waited has got something: the first ones of the view, and no other pull waits longer for them."""
    (pull,) = [pull for pull in plain.pulls if pull.ref == said.ref]
    waiting = plain.waiting(pull.view, ignore_hold=pull.ignore_hold)
    ahead = [
        other
        for other in plain.pulls[: plain.pulls.index(pull)]
        if other.view == pull.view and plain.waiting(pull.view, ignore_hold=other.ignore_hold)
    ]
    if ahead:
        raise Wrong(f"{pull} was served before {ahead}")
    granted = said.document["interactions"]
    if not are_first(plain, [one["interaction_id"] for one in granted], pull.view, waiting, pull.count):
        raise Wrong(f"{pull} got {granted}, not {waiting}")
    plain.pulls.remove(pull)
    for one in granted:
        session = plain.clients[pull.client].session
        plain.grant(plain.items[one["interaction_id"]], session, one["token"], pull.strategy)


def are_first(plain: Plain, got: list[str], view: str | None, waiting: list[Item], count: int) -> bool:
    """Whether these are the first of what waits in a view. :param view: None: a workbin's"""
    there = [item.ident for item in waiting]
    if view is not None and plain.world.views[view].divided:
        return len(got) == len(there[:count]) and {*got} <= {*there}
    return got == there[:count]


def _unanswered(plain: Plain) -> str | None:
    return f"no replies to {plain.late}" if plain.late else None


def _pull_waits(plain: Plain) -> str | None:
    for pull in plain.pulls:
        if plain.waiting(pull.view, ignore_hold=pull.ignore_hold):
            return f"{pull} waits, though there is something"
    return None


def _head_untold(plain: Plain) -> str | None:
    for view, (reach, told) in plain.heads.items():
        known = plain.world.views[view]
        live, every = ([known.key(item) for item in plain.waiting(view, ignore_hold=hold)] for hold in (False, True))
        line = [told["head"], *told.get("next", [])] if told.get("head") else []
        right = line[1:] == [] and _may_be_first(line, live) if known.divided else line == live[:reach]
        any_head = told.get("any_head") or told.get("head")
        right &= _may_be_first([any_head] if any_head else [], every if known.divided else every[:1])
        if not right or (line and (told["depth"] > len(line)) != (len(live) > len(line))):
            return f"the proxy was told {told}, and {view} has {live}, with what is on hold {every}"
    return None


def _may_be_first(line: list[list[object]], keys: list[list[object]]) -> bool:
    """Whether the head that was told is one of these; none, when there are none."""
    return line[0] in keys if line else not keys


JUDGES = (_unanswered, engines.waits_in_vain, _pull_waits, _head_untold, capacity.untold)
"""What has to be true whenever all is said; each complains in words."""
