"""Hold and resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.errors import Code, Refusal
from broker.messages.connection import EventAck
from broker.messages.kinds import ClientType
from broker.messages.objects import QUEUED
from broker.messages.parties import (
    EventHeld,
    EventResumed,
    RequestHold,
    RequestResume,
)

from . import capacity, holdings
from .calls import Call

if TYPE_CHECKING:
    from .core import NodeCore


def hold(node: NodeCore, call: Call) -> EventAck:
    """RequestHold."""
    return _set_held(node, call, 1)


def resume(node: NodeCore, call: Call) -> EventAck:
    """RequestResume."""
    return _set_held(node, call, 0)


def _set_held(node: NodeCore, call: Call, held: int) -> EventAck:
    interaction = holdings.find(node, call)
    routes_waiting = call.session.type is ClientType.ROUTING and interaction.interaction_state == QUEUED
    holding = None if routes_waiting else holdings.authorise(node, call, interaction)
    if interaction.is_held == held:
        raise Refusal(Code.SAME_STATE, "it is held" if held else "it is not held")
    if not held:
        capacity.check_resume(node, interaction)
    capacity.moved(node, interaction)
    node.memory.update(interaction, is_held=held, held_at=node.now if held else None)
    node.event(EventHeld if held else EventResumed, interaction, holdings.cause_of(node, call, holding))
    return EventAck(interaction_id=interaction.interaction_id)


HANDLERS = {RequestHold: hold, RequestResume: resume}
