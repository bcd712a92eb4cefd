"""The ESP servers that are there, and which of them gets a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from broker import ownservice
from broker.errors import Code, Refusal
from broker.messages.services import ServiceCalled

from .calls import Call, Source

if TYPE_CHECKING:
    from .core import NodeCore

LISTED = "="
"""How the key of a listed server begins; that of a registered one is its session's id."""


class Server(Struct):
    """An ESP server that is there.

    :param key: its session's id, or its name behind :data:`LISTED`
    :param services: what it serves; None: any
    :param late: it has not answered the last request that it was to answer by now
    :param used: rises with every request that a server gets, over all of them: the lowest was asked longest ago
    :param source: where the session of a registered one is
    """

    key: str
    name: str
    application_type: str | None
    services: frozenset[str] | None
    tenants: frozenset[int]
    late: bool = False
    used: int = 0
    source: Source | None = None

    def serves(self, note: ServiceCalled, service: str) -> bool:
        """Whether a request may be sent here."""
        if note.tenant_id not in self.tenants or note.target not in (None, self.name, self.application_type):
            return False
        return self.services is None or service in self.services


class Services:
    """The servers that are there, and the calls that wait, by reference."""

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}
        self.calls: dict[str, Call] = {}
        self._used = 0

    def choose(self, node: NodeCore, note: ServiceCalled, but: str | None = None) -> Server:
        """The server that gets a request: rather one that answers in time, then the one with the fewest open requests,
        then in turn. :param but: the key of one that is not asked

        :raises Refusal: ``NO_SERVICE``; ``BUSY`` when all that serve it have as many as they may
        """
        service = service_of(note)
        able = [server for server in self.servers.values() if server.key != but and server.serves(note, service)]
        if not able:
            raise Refusal(Code.NO_SERVICE, _nobody(node, note, service))
        limit = node.settings.max_esp_requests_per_server
        pending = {server.key: node.memory.services.count("server", server.key) for server in able}
        free = [server for server in able if pending[server.key] < limit]
        if not free:
            raise Refusal(Code.BUSY, f"each ESP server for it has {limit} requests", retry_after=1.0)
        server = min(free, key=lambda one: (one.late, pending[one.key], one.used))
        self._used += 1
        server.used = self._used
        return server


def listed(node: NodeCore, name: str) -> Server:
    """A server as the configuration has it."""
    found = node.configuration.esp_servers[name]
    services = None if found.services is None else frozenset(found.services)
    tenants = frozenset(node.configuration.tenants if found.tenants is None else found.tenants)
    return Server(LISTED + name, name, found.application_type, services, tenants)


def _nobody(node: NodeCore, note: ServiceCalled, service: str) -> str:
    """That nobody serves it, and which servers would that the node has no connection to."""
    what = f"{note.target} for the service {service}" if note.target else f"for the service {service}"
    names = set(node.configuration.nodes[node.name].connections) & set(node.configuration.esp_servers)
    missing = [listed(node, name) for name in sorted(names) if LISTED + name not in node.services.servers]
    away = [server.name for server in missing if server.serves(note, service)]
    why = f"; not connected: {', '.join(away)}" if away else ""
    return f"there is no ESP server {what} at {node.name}{why}"


def service_of(note: ServiceCalled) -> str:
    """Which service a request asks for."""
    return _service(note.request).service


_service = msgspec.json.Decoder(ownservice.Asked).decode
