"""Routing engines and what they are sent: who may get something, and who has to.

Which of several engines gets an interaction, and of which view they are sent the next one, is the node's to choose and
other tests'. Here is judged what must hold: each is the first of a view that the engine has loaded, no limit is passed,
nobody is sent what another one has, and nothing stays in a view while an engine has room for it.
"""

from __future__ import annotations

from broker.rates import Pace
from tests.model.plain import Plain, Wrong
from tests.model.served import Said, Turn
from tests.model.things import Item, Load


def views_of(plain: Plain, load: Load) -> list[str]:
    """The views that there are of those that a load has named, or that the configuration has for its strategy."""
    known = plain.world.strategies.get(load.strategy)
    views = load.views if load.views is not None else known.views if known else []
    return [view for view in views if view in plain.world.views]


def most_of(plain: Plain, load: Load) -> int:
    """How many items an engine may have of a strategy."""
    known = plain.world.strategies.get(load.strategy)
    limits = [load.most, known.max_submitted_interactions if known else None, plain.world.most_of(load.client)]
    return min(limit for limit in limits if limit is not None)


def paces_of(plain: Plain, load: Load) -> list[Pace]:
    """Its own, its engine's, and the strategy's at this engine."""
    engine, known = plain.world.engines.get(load.client), plain.world.strategies.get(load.strategy)
    return [
        load.pace,
        plain.paces.setdefault((load.session, None), Pace(engine.max_submission_rate if engine else None)),
        plain.paces.setdefault((load.session, load.strategy), Pace(known.max_submission_rate if known else None)),
    ]


def next_at(plain: Plain, load: Load) -> float:
    """When an engine may be sent the next item, as far as numbers go."""
    held, most = plain.held_by(load.session), plain.world.most_of(load.client)
    of_strategy = [item for item in held if item.holding and item.holding.strategy == load.strategy]
    away = plain.of_session(load.session) is None
    if away or len(held) >= most or len(of_strategy) >= most_of(plain, load):
        return float("inf")
    return max(pace.next_at(plain.now) for pace in paces_of(plain, load))


def has_room(plain: Plain, load: Load) -> bool:
    return next_at(plain, load) <= plain.now


# -- the end of a batch


def pass_on(plain: Plain, turn: Turn) -> None:
    """What engines held that have gone, or have unloaded the strategy: another one of the strategy has it, or it is
    back in its place."""
    orphans, plain.orphans = plain.orphans, []
    for ident, token in orphans:
        item = plain.items[ident]
        holding = item.holding
        if holding is None or holding.token != token:
            continue
        able = [load for load in plain.loads.values() if load.strategy == holding.strategy and has_room(plain, load)]
        told = [one for one in turn.said if _is_sent(one, ident, "resubmitted")]
        if not told and able and holding.view is not None:
            raise Wrong(f"{item} could have gone to one of {able}")
        if not told:
            plain.put_back(item)
            continue
        turn.said.remove(told[0])
        if holding.view is None:
            raise Wrong(f"{item} was pulled, and is sent to {told[0]}")
        plain.end_hold(item)
        _send(plain, item, told[0], holding.view)
        assert item.holding is not None
        item.holding.queue, item.holding.workbin = holding.queue, holding.workbin


def _is_sent(one: Said, ident: str, how: str) -> bool:
    note = one.document
    return (
        note["message"] == "EventRouteRequest"
        and bool(note.get(how))
        and note["interaction"]["interaction_id"] == ident
    )


def pushed(plain: Plain, said: Said) -> None:
    """An engine was sent an item that nobody had before."""
    note = said.document
    if note.get("resubmitted") or note.get("repeated"):
        raise Wrong(f"nothing was to be sent again: {said}")
    view, ident = note["view_id"], note["interaction"]["interaction_id"]
    waiting = plain.waiting(view)
    if ident not in [item.ident for item in (waiting if plain.world.views[view].divided else waiting[:1])]:
        raise Wrong(f"{said} is not the first of {waiting}")
    _send(plain, plain.items[ident], said, view)


def _send(plain: Plain, item: Item, said: Said, view: str) -> None:
    note, client = said.document, plain.at(said.source)
    load = plain.loads.get((client.session, note["strategy_id"])) if client else None
    if load is None or note["view_id"] != view or not has_room(plain, load):
        raise Wrong(f"{said} has no room, or has not loaded this")
    if view not in views_of(plain, load) and not note.get("resubmitted"):
        raise Wrong(f"{said} is not of {load}")
    for pace in paces_of(plain, load):
        pace.done(plain.now)
    plain.grant(item, load.session, note["token"], load.strategy, view)


def repeated(plain: Plain, session: str, turn: Turn) -> None:
    """An engine that is back is told of all that it was sent and holds."""
    told = [one for one in turn.said if one.document["message"] == "EventRouteRequest" and one.document.get("repeated")]
    turn.said = [one for one in turn.said if one not in told]
    held = [item.holding for item in plain.held_by(session) if item.holding and item.holding.view]
    if [one.document["token"] for one in told] != sorted(holding.token for holding in held):
        raise Wrong(f"{session} was told {told}, and holds {held}")


def waits_in_vain(plain: Plain) -> str | None:
    """What stays in a view, though somebody has room for it, in words."""
    for load in plain.loads.values():
        for view in views_of(plain, load) if has_room(plain, load) else ():
            if plain.waiting(view):
                return f"{plain.waiting(view)} stay in {view}, though {load} has room"
    return None
