"""Checkers of agents' reservations: of several routing engines one has the agent to itself, and it is the right one.

While all is well a grant stands, at all nodes, from its answer until the engine delivers to the agent or gives it back,
or its time is over. Nobody else delivers to the agent meanwhile, or is granted it; who is told that it is reserved met
such a grant, or another request that was to be decided on together with its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from broker.errors import Code
from tests.sim.clients import OK, REFUSED, Client, Operation
from tests.sim.plan import RESERVED_MS
from tests.sim.processes import START

if TYPE_CHECKING:
    from tests.sim.world import World

Faults = Iterator[str]

RESERVE, CANCEL, DELIVER = "RequestReserveAgent", "RequestCancelAgentReservation", "RequestDeliver"
NEAR_S = 0.05
"""In calm weather a request is with its node after this long."""
SETTLED_S = 0.5
"""And what follows from it is known everywhere after this long."""


class Grant(NamedTuple):
    """An engine has an agent to itself.

    :param begins: it was answered; :param ends: the engine has begun to use it, or to give it back, or it has run out
    :param gone: everybody knows of its end
    """

    client: Client
    operation: Operation
    begins: float
    ends: float
    gone: float


def deliveries_respect_reservations(world: World) -> Faults:
    """No node invites an agent for one engine while another has it reserved there."""
    engines = {operation.name: client.name for client in world.clients for operation in client.operations}
    for node, model in world.models.items():
        for invitation in model.holders.invitations:
            engine = engines.get(invitation.asked or "")
            if invitation.request != DELIVER or engine is None:
                continue
            key = next((one for one in model.reservations.versions if f"/{invitation.agent}@" in one), "")
            before = model.reservations.before(key, invitation.at)
            after = model.reservations.at(key, invitation.at)
            stands = before is not None and before == after and before["until_us"] > invitation.us
            if stands and before is not None and before["client_name"] != engine:
                yield f"{node}: reserved by {before['client_name']}, and {engine} delivers: {invitation}"


def reservations_hold(world: World) -> Faults:
    """While all is well: what a grant means, over all nodes."""
    agents = {one.fields["agent_id"] for one in world.operations() if one.message == RESERVE}
    for agent in sorted(agents):
        grants = sorted(_grants(world, agent), key=lambda grant: grant.begins)
        asked = [one for one in world.operations() if one.message == RESERVE and one.fields["agent_id"] == agent]
        yield from _overlaps(grants)
        yield from _deliveries(world, agent, grants)
        for grant in grants:
            yield from _better_ones(world, grant, asked)
        for operation in world.operations():
            if operation.fields.get("agent_id") == agent and operation.code == Code.RESERVED:
                yield from _refusal_faults(world, operation, grants, asked)


def _is_calm(world: World, operation: Operation) -> bool:
    return (
        world.is_calm(operation.invoked_at)
        and len(operation.attempts) == 1
        and operation.attempts[0][1] in world.configuration.proxies
    )


def _grants(world: World, agent: str) -> Iterator[Grant]:
    for client in world.clients:
        mine = [one for one in client.operations if one.fields.get("agent_id") == agent]
        for operation in mine:
            if operation.message != RESERVE or operation.outcome != OK or not _is_calm(world, operation):
                continue
            after = [
                one
                for one in mine
                if one.message in (DELIVER, CANCEL, RESERVE) and one.invoked_at >= operation.ended_at
            ]
            runs_out = operation.reply["reserved_until"] - START
            used = next((one.ended_at for one in after if one.outcome == OK and one.message != RESERVE), runs_out)
            begun = min([runs_out, *(one.invoked_at for one in after)])
            yield Grant(client, operation, operation.ended_at, begun, min(runs_out, used) + 2 * NEAR_S)


def _overlaps(grants: list[Grant]) -> Faults:
    for grant in grants:
        for other in grants:
            if other.client is not grant.client and grant.begins < other.begins < grant.ends:
                yield f"reserved by two: {grant} {other}"


def _deliveries(world: World, agent: str, grants: list[Grant]) -> Faults:
    for client in world.clients:
        for operation in client.operations:
            if operation.message != DELIVER or operation.fields["agent_id"] != agent:
                continue
            for model in world.models.values():
                for done in model.executions.get(operation.name, ()):
                    for grant in grants:
                        if grant.client is not client and grant.begins < done.at < grant.ends:
                            yield f"{done.node} delivered to whom another one has reserved: {operation} {grant}"


def _better_ones(world: World, grant: Grant, asked: list[Operation]) -> Faults:
    """Requests that were to be decided on at the same time, and should have won."""
    name, won = grant.client.name, grant.operation
    times = [
        at
        for model in world.models.values()
        for versions in model.reservations.versions.values()
        for at, state in versions
        if state is not None and state["client_name"] == name and won.invoked_at <= at <= won.ended_at
    ]
    if not times or min(times) < won.invoked_at + NEAR_S:
        return  # it had the agent already, and has it for longer
    for other in asked:
        waited = other.invoked_at + NEAR_S < min(times) < other.ended_at and _is_calm(world, other)
        fits = other.outcome == OK or other.code == Code.RESERVED
        rank, own = other.fields["priority"], won.fields["priority"]
        sooner = rank == own and other.invoked_at + NEAR_S < won.invoked_at
        if waited and fits and (rank > own or sooner) and other is not won:
            yield f"it was another one's turn: {won} {other}"


def _refusal_faults(world: World, operation: Operation, grants: list[Grant], asked: list[Operation]) -> Faults:
    if operation.outcome != REFUSED or not _is_calm(world, operation):
        return
    began, ended = operation.invoked_at, operation.ended_at
    met: list[Any] = [grant for grant in grants if grant.operation.invoked_at <= ended and grant.gone >= began]
    others = [one for one in asked if one is not operation and one.invoked_at <= ended]
    unsure = [one for one in others if not _is_calm(world, one) and one.outcome != REFUSED]
    longest_s = RESERVED_MS / 1000 + SETTLED_S
    met += [one for one in unsure if one.ended_at + longest_s >= began]
    rivals = [one for one in others if one.ended_at >= began] if operation.message == RESERVE else []
    if not met and not rivals:
        yield f"told to be reserved, and nobody had it: {operation}"


def reservations_end(world: World) -> Faults:
    """None stands for longer than it may."""
    for node, model in world.models.items():
        for key, versions in model.reservations.versions.items():
            for at, state in versions:
                if state is None:
                    continue
                ends = state["until_us"] / 1_000_000 - START
                still = model.reservations.at(key, ends + SETTLED_S)
                over = world.heap.now > ends + SETTLED_S
                if over and still == state and world.is_calm(at) and not world.plan.skew_s:
                    yield f"{node}: {key} is reserved for too long: {state}"
        for key, state in model.reservations.now.items():
            if state["until_us"] / 1_000_000 - START + 2 * SETTLED_S < world.heap.now and world.steady:
                yield f"{node}: {key} is reserved for ever: {state}"
