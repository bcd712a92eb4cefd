"""Which handler does which request: the tables of all nouns in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from broker.messages.kinds import Reply, Request

from . import (
    agents,
    attendance,
    capacity,
    customs,
    explaining,
    finding,
    holds,
    interactions,
    invitations,
    locks,
    moves,
    operations,
    parties,
    properties,
    proxies,
    pulls,
    purging,
    queues,
    reconfiguration,
    reporting,
    reservations,
    routing,
    services,
    sessions,
    snapshots,
    states,
    strategies,
    takings,
    topics,
    workbins,
)
from .calls import Call

if TYPE_CHECKING:
    from .core import NodeCore

Handler = Callable[["NodeCore", Call], Reply | None]
"""Gets the node and the call. :returns: the reply, None when it comes later. :raises Refusal: nothing was changed"""

HANDLERS: dict[type[Request], Handler] = {}
_MODULES = (
    sessions,
    agents,
    states,
    capacity,
    reservations,
    interactions,
    properties,
    pulls,
    routing,
    invitations,
    parties,
    holds,
    customs,
    finding,
    snapshots,
    takings,
    moves,
    locks,
    reporting,
    operations,
    reconfiguration,
    workbins,
    queues,
    proxies,
    services,
    attendance,
    topics,
    strategies,
    purging,
    explaining,
)
for _module in _MODULES:
    HANDLERS.update(_module.HANDLERS)
