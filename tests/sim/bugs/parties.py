"""Bugs of transfers, conferences, intrusions and invitations."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from broker.errors import Code
from broker.messages.connection import EventAck
from node import (
    holdings,
    invitations,
    parties,
)
from node.core import NodeCore
from tests.sim.bugs.bug import CALM, Planted
from tests.sim.plan import QUEUES


def _transfers_keep_the_asker() -> Any:
    """Who has accepted a transfer is one party more."""
    return patch.dict(invitations._ACCEPTED, transfer=invitations._joins)


def _offers_are_acked_at_once() -> Any:
    """Who transfers is not kept waiting."""
    wait = parties._invite_and_wait

    def hasty(node: NodeCore, call: Any, interaction: Any, *given: Any) -> None:
        wait(node, call, interaction, *given)
        node.finish(call, EventAck(interaction_id=interaction.interaction_id))
        for ticket in [ticket for ticket, waiting in node.offers.items() if waiting is call]:
            del node.offers[ticket]

    return patch.object(parties, "_invite_and_wait", hasty)


def _rejections_count_as_silence() -> Any:
    """Whoever transfers is told that there was no answer."""
    refuse = invitations._refuse_asker

    def silent(node: NodeCore, invitation: Any, code: Code, why: str) -> None:
        refuse(node, invitation, Code.EXPIRED if code is Code.REJECTED else code, why)

    return patch.object(invitations, "_refuse_asker", silent)


def _unseen_are_seen() -> Any:
    """The other parties are told of everybody."""
    return patch.object(holdings, "NOBODY", 3)


def _seen_are_unseen() -> Any:
    """The other parties are told of nobody."""
    return patch.object(holdings, "tell_joined", lambda *given: None)


def _nobody_is_told_who_left() -> Any:
    """The other parties are not told of one that leaves."""
    return patch.object(holdings, "tell_left", lambda *given: None)


def _left_ones_go_elsewhere() -> Any:
    """What the last party leaves goes into any queue."""
    back = holdings._return

    def astray(node: NodeCore, interaction: Any, holding: Any, cause: Any) -> None:
        back(node, interaction, replace(holding, queue=QUEUES[-1], workbin=None), cause)

    return patch.object(holdings, "_return", astray)


def _invitations_end_at_take_overs() -> Any:
    """A new active member does not know when invitations run out."""
    return patch.object(invitations, "resume", lambda node: None)


TOGETHER: dict[str, Any] = {"parties": 0.7, "agents": 3, "nodes": 2, "media": 2, "routers": 2, "engines": 0}

PLANTED: dict[str, Planted] = {
    "transfers keep the asker": Planted(_transfers_keep_the_asker, TOGETHER),
    "offers are acked at once": Planted(_offers_are_acked_at_once, TOGETHER),
    "rejections count as silence": Planted(_rejections_count_as_silence, TOGETHER),
    "unseen are seen": Planted(_unseen_are_seen, TOGETHER),
    "seen are unseen": Planted(_seen_are_unseen, {**CALM, **TOGETHER}),
    "nobody is told who left": Planted(_nobody_is_told_who_left, {**CALM, **TOGETHER}),
    "left ones go elsewhere": Planted(_left_ones_go_elsewhere, TOGETHER),
    "invitations end at take-overs": Planted(
        _invitations_end_at_take_overs, {**TOGETHER, "lazy": 0.7, "faults": ("crash a member", "restart a member")}
    ),
}
