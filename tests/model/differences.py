"""What a node holds, against what the plain model holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from broker.messages.kinds import Workbin
from broker.messages.objects import SETTABLE
from node.core import NodeCore
from tests.model.plain import Plain
from tests.model.things import Bin, Item


def differences(plain: Plain, core: NodeCore) -> Iterator[str]:
    """Each in words."""
    memory = core.memory
    if memory.interactions.keys() != plain.items.keys():
        yield f"interactions {sorted(memory.interactions)} are not {sorted(plain.items)}"
        return
    for ident, item in plain.items.items():
        held, known = _held(core, ident), _known(item)
        if held != known:
            yield f"{ident} is {held}, not {known}"
        elif item.holding and item.holding.token not in (None, memory.holdings.rows[ident].token):
            yield f"{ident} is held under {memory.holdings.rows[ident]}, not {item.holding}"
    for what, (rows, things) in _tables(plain, core).items():
        if rows != things:
            yield f"{what} {rows} are not {things}"
    yield from _views(plain, core)


def _tables(plain: Plain, core: NodeCore) -> dict[str, tuple[Any, Any]]:
    """The rows of each table, and what there is to be in them."""
    memory = core.memory
    return {
        "agents": (
            {
                row.key: (row.media, row.donot_disturb, len(row.sessions), bool(row.vanished_us), set(row.seats))
                for row in memory.agents.rows.values()
            },
            {
                one.key: (one.media, one.donot_disturb, len(one.clients) or 1, bool(one.vanished), one.seats)
                for one in plain.agents.values()
            },
        ),
        "reservations": (
            {key: row.session_id for key, row in memory.reservations.rows.items()},
            {key: one.session for key, one in plain.reserved.items()},
        ),
        "invitations": (
            {row.ticket_id: (row.interaction_id, row.agent) for row in memory.invitations.rows.values()},
            {one.ticket: (one.ident, one.agent) for one in plain.invitations.values()},
        ),
        "queues that operators have paused and resumed": (
            {name: row.paused for name, row in memory.queues.rows.items()},
            plain.ordered,
        ),
        "drains": (len(memory.drains), int(plain.drained)),
        "snapshots": (set(memory.snapshots.rows), set(plain.snapshots)),
        "workbins that sessions are told of": (
            {(row.session_id, bin_of(row.workbin)) for row in memory.subscriptions.rows.values()},
            plain.told,
        ),
        "topics": (
            {(row.session_id, row.kind, row.name, row.reporting) for row in memory.topics.rows.values()},
            plain.topics,
        ),
        "loads": (
            {(row.session_id, row.strategy_id) for row in memory.loads.rows.values()},
            set(plain.loads),
        ),
        "services": (
            {refid: row.server for refid, row in memory.services.rows.items()},
            {refid: one.server for refid, one in plain.services.items()},
        ),
    }


def _held(core: NodeCore, ident: str) -> tuple[Any, ...]:
    """An interaction as the node has it."""
    one = core.memory.interactions[ident]
    holding, lock = core.memory.holdings.get(ident), core.memory.locks.get(ident)
    return (
        one.interaction_state,
        one.queue,
        bin_of(one.workbin),
        one.priority,
        bool(one.is_held),
        bool(one.is_locked),
        (lock.session_id, lock.snapshot_id) if lock else None,
        one.assigned_to,
        orjson.loads(bytes(one.user_data)),
        {name: getattr(one, name) for name in SETTABLE if name != "priority"},
        (one.placed_in_queue_at, one.moved_to_queue_at, one.completed_at, one.abandoned_at, one.held_at),
        sorted(holder.name for holder in holding.holders) if holding else None,
    )


def _known(item: Item) -> tuple[Any, ...]:
    """And the model."""
    return (
        item.state,
        item.queue,
        item.workbin,
        item.priority,
        item.held,
        item.lock is not None,
        item.lock,
        item.assigned,
        item.data,
        item.properties,
        (item.placed_at, item.moved_at, item.completed_at, item.abandoned_at, item.held_at),
        sorted(item.holding.holders) if item.holding else None,
    )


def _views(plain: Plain, core: NodeCore) -> Iterator[str]:
    if core.memory.views.by_id.keys() != {*plain.world.views, "Shop/all"}:
        yield f"views {sorted(core.memory.views.by_id)} are not {sorted(plain.world.views)}"
        return
    for view, known in plain.world.views.items():
        kept = core.memory.views.by_id[view]
        shown = [item.ident for item in plain.shown(view) if not item.held]
        held = {item.ident for item in plain.shown(view) if item.held}
        keys = [key[-1] for key in kept.keys]
        if (sorted(keys) != sorted(shown)) if known.divided else (keys != shown):
            yield f"view {view} has {keys}, not {shown}"
        if kept.held_ids != held:
            yield f"view {view} has {kept.held_ids} on hold, not {held}"


def bin_of(workbin: Workbin | None) -> Bin | None:
    """A workbin as the model knows it."""
    if workbin is None:
        return None
    return workbin.type, workbin.agent_id or workbin.agent_group or workbin.place_id or workbin.place_group or ""
