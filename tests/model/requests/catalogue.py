"""All requests that are drawn, and which are asked next with some likelihood."""

from __future__ import annotations

from tests.model.plain import Plain
from tests.model.requests import (
    agents,
    holds,
    interactions,
    invitations,
    operations,
    parties,
    proxies,
    pulls,
    queues,
    reporting,
    reservations,
    services,
    sessions,
    snapshots,
    strategies,
    workbins,
)
from tests.model.requests.entries import Entry, Next

_MODULES = (
    sessions,
    agents,
    interactions,
    pulls,
    invitations,
    parties,
    holds,
    workbins,
    queues,
    operations,
    snapshots,
    reporting,
    strategies,
    services,
    reservations,
    proxies,
)
DRAWN: dict[str, Entry] = {}
for _module in _MODULES:
    DRAWN.update(_module.REQUESTS)

OFTEN = (
    "RequestSubmit",
    "RequestSubmit",
    "RequestPull",
    "RequestPull",
    "RequestDeliver",
    "RequestAccept",
    "RequestAccept",
    "RequestAgentLogin",
    "RequestPlaceInQueue",
    "RequestTransfer",
    "RequestConference",
    "RequestLoadStrategy",
    "Request3rdServer",
    "Request3rdServer",
)
SELDOM = frozenset({"RequestUnregisterClient", "RequestAgentLogout"})
"""What makes a client go."""


def likely(plain: Plain) -> list[list[Next]]:
    """Who might go on with what, of each kind of thing."""
    return [chances for module in _MODULES if hasattr(module, "likely") and (chances := list(module.likely(plain)))]
