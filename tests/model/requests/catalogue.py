"""All requests that are drawn, and which are asked next with some likelihood."""

from __future__ import annotations

from tests.model.plain import Plain
from tests.model.requests import (
    agents,
    interactions,
    parties,
    pulls,
    reporting,
    services,
    sessions,
    snapshots,
    strategies,
    workbins,
)
from tests.model.requests.entries import Entry
from tests.model.things import HANDLING, Client

_MODULES = (
    sessions,
    agents,
    interactions,
    pulls,
    parties,
    workbins,
    snapshots,
    reporting,
    strategies,
    services,
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
OF_HOLDERS = {
    "AgentApplication": (
        "RequestPlaceInQueue",
        "RequestPlaceInWorkbin",
        "RequestTransfer",
        "RequestConference",
        "RequestStopProcessing",
        "RequestChangeProperties",
        "RequestHold",
        "RequestLeaveInteraction",
        "RequestUpdateActivity",
    ),
    "RoutingEngine": ("RequestDeliver", "RequestDeliver", "RequestPlaceInQueue", "RequestStopProcessing"),
}


def likely(plain: Plain) -> list[tuple[Client, str]]:
    """Who might go on with what: those that have something, and those that were offered something."""
    chances: list[tuple[Client, str]] = []
    for client in plain.clients.values():
        agent = plain.agent_of(client)
        names = {client.session, agent.key if agent else None}
        if any(item.holding and names.intersection(item.holding.holders) for item in plain.items.values()):
            chances += [(client, name) for name in OF_HOLDERS[client.kind]]
        if agent and any(one.agent == agent.key for one in plain.invitations.values()):
            chances += [(client, "RequestAccept")] * 6 + [(client, "RequestReject")]
        if agent and any(item.state == HANDLING for item in plain.items.values()):
            chances.append((client, "RequestIntrude"))
        if any(service.server == client.session for service in plain.services.values()):
            chances += [(client, "Request3rdServerResponse")] * 3 + [(client, "Request3rdServerFault")]
    return chances
