"""The end of a batch: all that the node has said is held against what is due, and against what anybody waits for."""

from __future__ import annotations

from tests.model import engines, servers, topics
from tests.model.plain import Plain, Wrong
from tests.model.served import Said, Turn
from tests.model.things import Document, Item


def settle(plain: Plain, turn: Turn) -> None:
    """:raises Wrong: it said what it should not have, or has not said what it should"""
    engines.pass_on(plain, turn)
    servers.go_on(plain, turn)
    topics.judge(plain, turn)
    for said in turn.said:
        if said.ref is not None:
            _late(plain, said)
        elif said.document["message"] == "EventRouteRequest":
            engines.pushed(plain, said)
        elif said.document["message"] == "EventViewHead":
            plain.heads[said.document["view_id"]] = said.document
    for complaint in (_unanswered(plain), engines.waits_in_vain(plain), _pull_waits(plain), _head_untold(plain)):
        if complaint:
            raise Wrong(complaint)


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
    """Whether a reply has what it has to have."""
    return all(reply.get(name) == value for name, value in due.items())


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
    for view, told in plain.heads.items():
        due = [_head(plain, view, ignore_hold=False), _head(plain, view, ignore_hold=True)]
        head, any_head = told.get("head"), told.get("any_head") or told.get("head")
        if head not in due[0] or any_head not in due[1]:
            return f"the proxy was told {told}, and {view} has {due}"
    return None


def _head(plain: Plain, view: str, *, ignore_hold: bool) -> list[list[object] | None]:
    """What may be told as the head of a view."""
    known = plain.world.views[view]
    keys = [known.key(item) for item in plain.waiting(view, ignore_hold=ignore_hold)]
    return [*keys[: None if known.divided else 1]] or [None]
