"""All processes of a cluster asked for their configuration: what they make of a new one, and which one they have."""

from __future__ import annotations

from typing import Any

from broker.answers import ClientError, Unavailable
from broker.client import Client, Endpoint
from broker.config import Configuration
from broker.config.objects import Node, Proxy
from broker.link import clock
from broker.messages.kinds import ClientType
from broker.messages.operations import RequestReconfigure

from .pings import ping
from .reach import members

CONNECT_S = 2.0
"""How long a server is looked for."""
BUILD_S = 600.0
"""How long a node may take to build its views anew."""
CONFIRM_S = 10.0
"""How long members have to show the new fingerprint; a standby follows its active member."""

Answers = dict[str, dict[str, Any] | Exception]
"""By the server's name: what it has answered, or why it has not."""


def servers(*known: Configuration) -> dict[str, list[Endpoint]]:
    """Whom to ask, the nodes first: a node by its active member, every member of a proxy by itself.

    :param known: one configuration, or the old one and the new one: who is elsewhere by then is looked for at both
    """
    asked: dict[str, dict[Endpoint, None]] = {}
    for one in known:
        for name, node in one.nodes.items():
            asked.setdefault(name, {}).update(dict.fromkeys(members(node).values()))
    for one in known:
        for name, proxy in one.proxies.items():
            for member, endpoint in members(proxy).items():
                asked.setdefault(name if member == "primary" else f"{name}/{member}", {})[endpoint] = None
    return {name: list(endpoints) for name, endpoints in asked.items()}


def ask_all(asked: dict[str, list[Endpoint]], request: RequestReconfigure) -> Answers:
    """Asks one after the other, in their order. Nothing is raised."""
    return {name: _ask(endpoints, request) for name, endpoints in asked.items()}


def _ask(endpoints: list[Endpoint], request: RequestReconfigure) -> dict[str, Any] | Exception:
    try:
        with Client(endpoints, "ixn-cluster", ClientType.MONITOR, timeout=CONNECT_S) as client:
            return client.request(request, BUILD_S)
    except (ClientError, Unavailable, TimeoutError) as error:
        return error


def confirm(old: Configuration, new: Configuration, fingerprints: dict[str, str]) -> tuple[dict[str, str | None], bool]:
    """What each member shows in the end, and whether those that answer show what is expected of them.

    :param old: where they are; whom it does not know is where the new one says
    """
    nodes = {**new.nodes, **old.nodes}
    pairs: dict[str, Node | Proxy] = {**nodes, **new.proxies, **old.proxies}
    expected: dict[str, tuple[str, str | None]] = {}
    for name, pair in pairs.items():
        for member, endpoint in members(pair).items():
            asked = name if name in nodes or member == "primary" else f"{name}/{member}"
            expected[f"{name}/{member}"] = endpoint.requests, fingerprints.get(asked)
    until = clock() + CONFIRM_S
    while True:
        pongs = ping([address for address, _ in expected.values()])
        seen = {name: pong.configuration if pong else None for name, pong in zip(expected, pongs, strict=True)}
        agreed = all(seen[name] in (None, mark) for name, (_, mark) in expected.items() if mark is not None)
        if agreed or clock() > until:
            return seen, agreed
