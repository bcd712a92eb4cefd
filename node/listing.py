"""Interactions as a reply: to a client as one message, to a proxy that merges them with other nodes' as rows."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from broker.conditions import Order
from broker.messages import encode
from broker.messages.interactions import EventInteractionsFound
from broker.messages.objects import Interaction
from broker.messages.workbins import EventWorkbinContent
from broker.wire import Rows

from .calls import Call

if TYPE_CHECKING:
    from .core import NodeCore

Listing = EventInteractionsFound | EventWorkbinContent
Sorted = tuple[Any, Interaction]
"""An interaction behind its sort key."""

key_of: Callable[[Sorted], Any] = itemgetter(0)


def keys(call: Call, order: Order) -> Callable[[Interaction], Any]:
    """The function that makes the sort keys for the answer to a call: marks, where those are a part of it."""
    return order.mark if call.listed else order.key


def listed(node: NodeCore, call: Call, kind: type[Listing], found: list[Sorted], more: bool) -> Listing | None:
    """A handler's end: the reply, or None where the call got rows instead.

    :param found: in order, behind the :func:`keys` of this call; :param more: there are further ones
    """
    interactions = [one for _, one in found]
    if not call.listed:
        return kind(interactions=interactions, more=more)
    rows = Rows([mark for mark, _ in found], list(map(encode, interactions)), more)
    node.outgoing.append((call.source, call.ref, rows, 0))
    return None
