"""Checkers of refusals: each code has its occasion, and that was there at some moment between question and answer.

:data:`OCCASIONS` is the law: which codes a request may be refused with. What a code means is in :data:`EXCUSES`: each
says whether there was no occasion for it, as far as the journals show. Limits, tickets' tokens, what is absent and what
is there twice are in :mod:`tests.sim.answers`; invitations, snapshots, services and reservations are modules of their
own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from broker.errors import Code
from tests.sim.agents import Agent
from tests.sim.clients import REFUSED, Client, Operation
from tests.sim.model import Document, NodeModel, Things

if TYPE_CHECKING:
    from tests.sim.world import World

Faults = Iterator[str]

HELD = {Code.UNKNOWN_INTERACTION, Code.ACCESS_DENIED, Code.BAD_TICKET}
INVITING = {Code.BAD_TARGET, Code.CAPACITY_FULL}
OFFERING = {*HELD, *INVITING, Code.REJECTED, Code.EXPIRED, Code.WRONG_STATE}
SNAPSHOTS = {Code.UNKNOWN_SNAPSHOT, Code.SNAPSHOT_NOT_ACCESSIBLE, Code.ACCESS_DENIED}
ANSWERING = {Code.UNKNOWN_INTERACTION, Code.NOT_LOGGED_IN, Code.BAD_TICKET, Code.ALREADY_ACCEPTED}

OCCASIONS: dict[str, set[Code]] = {
    "RequestSubmit": {Code.DUPLICATE_INTERACTION},
    "RequestGetInteractionProperties": {Code.UNKNOWN_INTERACTION},
    "RequestChangeProperties": HELD,
    "RequestStopProcessing": HELD,
    "RequestPlaceInQueue": HELD,
    "RequestPlaceInWorkbin": HELD,
    "RequestHold": {*HELD, Code.SAME_STATE},
    "RequestResume": {*HELD, Code.SAME_STATE, Code.CAPACITY_FULL},
    "RequestLeaveInteraction": HELD,
    "RequestTransfer": OFFERING,
    "RequestConference": OFFERING,
    "RequestIntrude": {*OFFERING, Code.NOT_LOGGED_IN},
    "RequestDeliver": {*HELD, *INVITING, Code.WRONG_STATE, Code.RESERVED},
    "RequestAccept": {*ANSWERING, Code.CAPACITY_FULL},
    "RequestReject": ANSWERING,
    "RequestPull": {
        Code.NOT_LOGGED_IN,
        Code.CAPACITY_FULL,
        Code.UNKNOWN_INTERACTION,
        Code.LOCKED,
        Code.WRONG_STATE,
    },
    "RequestAgentLogin": {Code.LICENCE_LIMIT, Code.CONNECTION_REFUSED},
    "RequestAgentLogout": {Code.NOT_LOGGED_IN},
    "RequestNotReadyForMedia": {Code.NOT_LOGGED_IN, Code.SAME_STATE},
    "RequestCancelNotReadyForMedia": {Code.NOT_LOGGED_IN, Code.SAME_STATE},
    "RequestDoNotDisturbOn": {Code.NOT_LOGGED_IN, Code.SAME_STATE},
    "RequestDoNotDisturbOff": {Code.NOT_LOGGED_IN, Code.SAME_STATE},
    "RequestReserveAgent": {*INVITING, Code.NOT_LOGGED_IN, Code.RESERVED},
    "RequestCancelAgentReservation": {Code.NOT_LOGGED_IN},
    "RequestUnloadStrategy": {Code.UNKNOWN_STRATEGY},
    "RequestTakeSnapshot": SNAPSHOTS,
    "RequestGetSnapshotInteractions": SNAPSHOTS,
    "RequestReleaseSnapshot": SNAPSHOTS,
    "RequestMoveInteractions": SNAPSHOTS,
    "RequestLockInteraction": {Code.UNKNOWN_INTERACTION, Code.LOCKED, Code.WRONG_STATE},
    "RequestUnlockInteraction": {*SNAPSHOTS, Code.UNKNOWN_INTERACTION, Code.SAME_STATE},
    "Request3rdServer": {Code.NO_SERVICE, Code.SERVICE_TIMEOUT},
    "Request3rdServerResponse": {Code.BAD_TICKET},
    "Request3rdServerFault": {Code.BAD_TICKET},
    "RequestSwitchover": {Code.WRONG_STATE, Code.WRONG_VALUE},
}
"""What clients of the histories may be refused with. All else has no occasion in them."""

ALWAYS = ("MediaServer",)
"""Kinds of clients that may act on every interaction."""


class Refused(NamedTuple):
    """A refusal, and when it can have been decided."""

    world: World
    client: Client
    operation: Operation
    began: float
    ended: float

    @property
    def is_calm(self) -> bool:
        """All is well, and the client has been with one server, in one session."""
        client = self.client
        return self.world.is_calm(self.began) and len(client.met) == 1 and client.sessions == 1

    def all_along(self, things: Things, key: str, holds: Callable[[Document], bool]) -> bool:
        """Whether something was there, and like that, all the time."""
        spans = things.spans(key, self.began, self.ended)
        return all(span.state is not None and holds(span.state) for span in spans)

    def homes(self) -> list[tuple[NodeModel, str]]:
        """Nodes that had the interaction all the time."""
        ident = self.operation.fields.get("interaction_id", "")
        asked = self.world.asked_of(self.operation).values()
        return [(model, ident) for model in asked if self.all_along(model.interactions, ident, bool)]


def refusals_have_their_occasions(world: World) -> Faults:
    """Whatever is refused is refused for a reason of that request, and there was one."""
    for client in world.clients:
        for operation in client.operations:
            if operation.outcome != REFUSED or not operation.attempts:
                continue
            code = Code(operation.code)
            if code not in OCCASIONS.get(operation.message, ()):
                yield f"no occasion for {code.name}: {operation}"
            refused = Refused(world, client, operation, operation.attempts[-1][0], operation.ended_at)
            unfounded = EXCUSES.get(code)
            if unfounded is not None and unfounded(refused):
                yield f"there was no reason for {code.name}: {operation} {operation.reply}"


# -- interactions


def _may_act(refused: Refused) -> bool:
    """40: the one who asks had it all the time, or needs not have it."""
    client, operation = refused.client, refused.operation
    if client.kind in ALWAYS and operation.message != "RequestUnlockInteraction":
        return True
    agent = isinstance(client, Agent)
    if agent and not refused.is_calm:
        return False  # its agent may be another session's

    def is_its(holding: Document) -> bool:
        mine = ((one.get("agent") or "") if agent else one["client_name"] for one in holding["holders"])
        key = f"/{client.name}@" if agent else client.name
        return any(key in one if agent else key == one for one in mine)

    needs = agent or operation.fields.get("token") is not None
    return needs and any(refused.all_along(model.holdings, ident, is_its) for model, ident in refused.homes())


def _was_free(refused: Refused) -> bool:
    """45: it was not locked at any moment."""
    return any(
        refused.all_along(model.interactions, ident, lambda state: not state.get("is_locked"))
        for model, ident in _named(refused)
    )


def _named(refused: Refused) -> list[tuple[NodeModel, str]]:
    """Where the interactions of a request are, as far as they were there all the time: of a pull by ids, too."""
    parameters = refused.operation.fields.get("pull_parameters")
    if parameters is None:
        return refused.homes()
    idents = parameters["interaction_ids"]
    models = refused.world.asked_of(refused.operation).values()
    return [(model, one) for model in models for one in idents if refused.all_along(model.interactions, one, bool)]


STATES: dict[str, Callable[[Document], bool]] = {
    "RequestLockInteraction": lambda state: state["interaction_state"] == 0,
    "RequestPull": lambda state: (
        state["interaction_state"] == 0 and not state.get("is_held") and state.get("workbin") is None
    ),
    "RequestIntrude": lambda state: state["interaction_state"] == 3,
}
"""The state that a request wants."""


def _was_in_its_state(refused: Refused) -> bool:
    """46: it was in the right state all the time. (An invitation may have been taken back for it.)"""
    if refused.operation.message == "RequestDeliver":
        return any(
            refused.all_along(model.holdings, ident, lambda holding: bool(holding["holders"]))
            for model, ident in refused.homes()
        )
    holds = STATES.get(refused.operation.message)
    if holds is None or (refused.operation.message == "RequestIntrude" and not refused.is_calm):
        return False
    if any(_mine(refused, model) for model in refused.world.models.values()):
        return False
    return any(refused.all_along(model.interactions, one, holds) for model, one in _named(refused))


def _stood(refused: Refused) -> bool:
    """48 to who accepts or rejects: the invitation stood all the time."""
    ticket = str(refused.operation.fields.get("ticket_id", ""))
    return any(refused.all_along(model.invitations, ticket, bool) for model, _ in refused.homes())


# -- agents


def _rows(refused: Refused, name: str, holds: Callable[[Document], bool]) -> list[bool]:
    """Of each node that was asked: whether the agent was there, and like that, all the time."""
    found = []
    for model in refused.world.asked_of(refused.operation).values():
        keys = [key for key in model.agents.versions if f"/{name}@" in key]
        found.append(any(refused.all_along(model.agents, key, holds) for key in keys))
    return found


def _was_logged_in(refused: Refused) -> bool:
    """22: it was logged in, everywhere, all the time."""
    operation = refused.operation
    if isinstance(refused.client, Agent):
        return refused.is_calm and all(_rows(refused, refused.client.name, bool))
    return all(_rows(refused, operation.fields.get("agent_id", ""), bool))


CHANGES: dict[str, Callable[[Document], bool]] = {
    "RequestDoNotDisturbOn": lambda row: not row.get("donot_disturb"),
    "RequestDoNotDisturbOff": lambda row: bool(row.get("donot_disturb")),
    "RequestNotReadyForMedia": lambda row: row.get("media", {}).get("email") == 1,
    "RequestCancelNotReadyForMedia": lambda row: row.get("media", {}).get("email") == 0,
}
"""Requests that change an agent, and what it is like before."""
TURNS: dict[str, Callable[[Document], bool]] = {
    "RequestHold": lambda state: not state.get("is_held"),
    "RequestResume": lambda state: bool(state.get("is_held")),
    "RequestUnlockInteraction": lambda state: bool(state.get("is_locked")),
}
"""The same of interactions."""


def _was_otherwise(refused: Refused) -> bool:
    """25: it was not in that state at any moment."""
    change = CHANGES.get(refused.operation.message)
    if change is not None:
        return all(_rows(refused, refused.client.name, change))
    holds = TURNS[refused.operation.message]
    return any(refused.all_along(model.interactions, ident, holds) for model, ident in refused.homes())


def _was_away(refused: Refused) -> bool:
    """27: nobody was logged in under that name, nowhere, at any moment."""
    name = refused.operation.fields["agent_id"]
    for model in refused.world.asked_of(refused.operation).values():
        for key in model.agents.versions:
            spans = model.agents.spans(key, refused.began, refused.ended) if f"/{name}@" in key else ()
            if any(span.state is not None for span in spans):
                return False
    return True


def _could_take(refused: Refused) -> bool:
    """49: nothing spoke against the agent at any moment, where the interaction is; of a reservation: anywhere."""
    fields = refused.operation.fields
    name = fields.get("agent_id") or refused.client.name
    if refused.operation.message == "RequestReserveAgent":
        media = fields.get("media_type")
        return all(_rows(refused, name, lambda row: _is_ready(row, media)))
    if any(_mine(refused, model) for model in refused.world.models.values()):
        return False  # it was invited, and has gone
    for model, ident in refused.homes():
        state = model.interactions.at(ident, refused.ended) or {}
        fits = partial(_is_ready, media_type=state.get("media_type"))
        ready = any(refused.all_along(model.agents, key, fits) for key in model.agents.versions if f"/{name}@" in key)
        asked = any(
            one.ident == ident and one.agent == name and one.at <= refused.ended and one.ended_at >= refused.began
            for one in model.holders.invitations
        )
        if ready and not asked and not _was_party(refused, model, ident, name):
            return True
    return False


def _mine(refused: Refused, model: NodeModel) -> list[Any]:
    return [one for one in model.holders.invitations if one.asked == refused.operation.name]


def _was_party(refused: Refused, model: NodeModel, ident: str, name: str) -> bool:
    spans = model.holdings.spans(ident, refused.began, refused.ended)
    return any(
        f"/{name}@" in (one.get("agent") or "") for span in spans for one in (span.state or {}).get("holders", ())
    )


def _is_ready(row: Document, media_type: str | None) -> bool:
    media = row.get("media", {})
    ready = media.get(media_type) if media_type is not None else any(media.values())
    return bool(ready) and not row.get("donot_disturb") and not row.get("missing_us")


def _had_room(refused: Refused) -> bool:
    """52: while all is well: not even all together, that it had or was offered anywhere meanwhile, fill it."""
    limit = refused.world.plan.capacity
    name = refused.operation.fields.get("agent_id") or refused.client.name
    if limit is None or not refused.is_calm or refused.operation.message == "RequestResume":
        return False
    began = refused.began - STALE_S
    count = 0
    for model in refused.world.models.values():
        invited = {one.ident for one in model.holders.invitations if one.agent == name and one.ended_at >= began}
        held = {
            ident
            for ident in model.holdings.versions
            for span in model.holdings.spans(ident, began, refused.ended)
            if any(f"/{name}@" in (one.get("agent") or "") for one in (span.state or {}).get("holders", ()))
        }
        count += len(invited | held)
    return count < limit


STALE_S = 0.25


def _had_loaded(refused: Refused) -> bool:
    """18: while all is well: it had the strategy loaded, everywhere."""
    if not refused.is_calm:
        return False
    found = []
    for model in refused.world.asked_of(refused.operation).values():
        rows = [key for key, versions in model.loads.versions.items() if _is_of(versions, refused.client.name)]
        found.append(any(refused.all_along(model.loads, key, bool) for key in rows))
    return all(found)


def _is_of(versions: list[Any], name: str) -> bool:
    return any(state is not None and state["client_name"] == name for _, state in versions)


EXCUSES: dict[Code, Callable[[Refused], bool]] = {
    Code.UNKNOWN_STRATEGY: _had_loaded,
    Code.NOT_LOGGED_IN: _was_logged_in,
    Code.SAME_STATE: _was_otherwise,
    Code.CONNECTION_REFUSED: _was_away,
    Code.ACCESS_DENIED: _may_act,
    Code.LOCKED: _was_free,
    Code.WRONG_STATE: _was_in_its_state,
    Code.BAD_TICKET: _stood,
    Code.BAD_TARGET: _could_take,
    Code.CAPACITY_FULL: _had_room,
}
"""Code -> whether it was said without a reason."""
