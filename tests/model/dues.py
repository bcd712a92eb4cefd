"""Time: what is due when, and what happens then."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from broker.errors import Code
from tests.model import engines, reservations, servers
from tests.model.plain import Plain
from tests.model.things import Holding, Item, Pull
from tests.model.world import LOGIN_SESSION_S, ROUTING_S, SNAPSHOT_S

Due = tuple[float, Callable[[], None]]
NEVER = float("inf")


def next_due(plain: Plain) -> float:
    """When something happens by itself."""
    return min((at for at, _ in _dues(plain)), default=NEVER)


def pass_time(plain: Plain, now: float) -> None:
    """It is later now; what is due happens, one thing after the other."""
    plain.now = now
    while (due := min(_dues(plain), key=lambda due: due[0], default=None)) is not None and due[0] <= now:
        due[1]()


def _dues(plain: Plain) -> Iterator[Due]:
    for one in plain.invitations.values():
        yield one.due, lambda one=one: plain.end(one, Code.EXPIRED)
    for pull in plain.pulls:
        yield pull.due, lambda pull=pull: _hold_over(plain, pull)
    for service in plain.services.values():
        yield service.due, lambda service=service: servers.expire(plain, service)
    yield from _of_agents(plain)
    for snapshot in plain.snapshots.values():
        since = max(snapshot.used, plain.active_since)
        yield since + SNAPSHOT_S, lambda snapshot=snapshot: plain.drop(snapshot)
    for item in plain.items.values():
        yield from _of_item(plain, item)
    for load in plain.loads.values():
        at = engines.next_at(plain, load)
        if at > plain.now:
            yield at, lambda: None  # it is sent something, if there is anything


def _of_agents(plain: Plain) -> Iterator[Due]:
    for agent in plain.agents.values():
        if agent.vanished is not None:
            yield agent.vanished[1] + LOGIN_SESSION_S, lambda agent=agent: plain.log_out(agent)
    for key, at in plain.decisions.items():
        yield at, lambda key=key: reservations.decide(plain, key)
    for key, standing in plain.reserved.items():
        yield standing.until, lambda key=key: reservations.release(plain, key)
    for key, wishes in plain.wishes.items():
        for wish in wishes:
            yield wish.until, lambda key=key, wish=wish: plain.unwish(key, wish, Code.RESERVED)


def _of_item(plain: Plain, item: Item) -> Iterator[Due]:
    if item.holding is not None and item.holding.holders:
        yield _overdue_at(plain, item, item.holding), lambda: _overdue(plain, item)
    if item.scheduled_at is not None and item.scheduled_at > plain.now:
        yield item.scheduled_at, lambda: None  # views have it


def _overdue_at(plain: Plain, item: Item, holding: Holding) -> float:
    heard = [holding.since, plain.active_since]
    if holding.holders[0] not in plain.agents:
        return max(heard) + ROUTING_S
    for holder in holding.holders:
        clients = plain.agents[holder].clients if holder in plain.agents else []
        heard += [plain.clients[name].asked for name in clients if name in plain.clients]
    return max(heard) + holding.handling_s


def _overdue(plain: Plain, item: Item) -> None:
    plain.withdraw(item)
    plain.returns(item)


def _hold_over(plain: Plain, pull: Pull) -> None:
    plain.pulls.remove(pull)
    plain.answer(pull.ref, {"message": "EventPulledInteractions", "interactions": []})
