"""Bugs of refusals: a code without its occasion, or another code than there is one for."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from broker.errors import Code, Refusal
from broker.messages.parties import RequestHold
from node import capacity, holdings, invitations
from node.core import NodeCore
from node.handlers import HANDLERS
from tests.sim.bugs.bug import CALM, Planted


def _bad_targets_are_wrong_states() -> Any:
    """An agent that cannot be invited is told as if the interaction were in a wrong state."""
    check = invitations.check_invitable

    def vague(*given: Any) -> None:
        try:
            check(*given)
        except Refusal as refusal:
            raise Refusal(Code.WRONG_STATE, refusal.detail) from None

    return patch.object(invitations, "check_invitable", vague)


def _ready_ones_are_refused() -> Any:
    """What is urgent nobody can take."""
    check = invitations.check_invitable

    def choosy(node: NodeCore, agent: Any, interaction: Any) -> None:
        check(node, agent, interaction)
        if interaction.priority == 3:
            raise Refusal(Code.BAD_TARGET, "no")

    return patch.object(invitations, "check_invitable", choosy)


def _holds_stand_already() -> Any:
    """What is least urgent is on hold already."""
    hold = HANDLERS[RequestHold]

    def never(node: NodeCore, call: Any) -> Any:
        if holdings.find(node, call).priority == 0:
            raise Refusal(Code.SAME_STATE, "it is held")
        return hold(node, call)

    return patch.dict(HANDLERS, {RequestHold: never})


def _holders_are_strangers() -> Any:
    """An agent does not hold what it was invited to."""
    holder_of = holdings.holder_of

    def forgetful(node: NodeCore, call: Any, holding: Any) -> Any:
        holder = holder_of(node, call, holding)
        return None if holder is not None and holder.agent and holding.token % 2 else holder

    return patch.object(holdings, "holder_of", forgetful)


def _full_before_their_time() -> Any:
    """An agent has room for one less than it has."""
    takes = capacity.Room.takes

    def cautious(room: capacity.Room, media_type: str) -> bool:
        return takes(room, media_type) and (media_type not in room._left or takes(room, media_type))

    return patch.object(capacity.Room, "takes", cautious)


PLANTED: dict[str, Planted] = {
    "bad targets are wrong states": Planted(_bad_targets_are_wrong_states, {"routers": 2, "agents": 2, "nodes": 2}),
    "ready ones are refused": Planted(_ready_ones_are_refused, {"routers": 2, "agents": 3, "nodes": 2}),
    "holds stand already": Planted(_holds_stand_already, {"media": 3}),
    "holders are strangers": Planted(_holders_are_strangers, {**CALM, "routers": 2, "agents": 2, "media": 2}),
    "full before their time": Planted(
        _full_before_their_time, {**CALM, "routers": 2, "agents": 2, "capacity": 2, "media": 3}
    ),
}
