"""Which servers a command talks to: the one of ``--connect``, or any proxy of the configuration that is for its
tenants.

A proxy serves all tenants; the list that is configured for it is what clients choose their proxy by (guide, "Step by
Step Cluster Configuration Process").
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import click

from broker.client import TIMEOUT_S, Client, Endpoint
from broker.config import Configuration, ConfigurationFaults
from broker.config.load import load
from broker.config.objects import Node, Proxy
from broker.messages.kinds import ClientType

CONNECT_S = 5.0
"""How long a command looks for a server."""


def configuration(context: click.Context) -> Configuration:
    """The configuration that ``--config`` names. :raises ConfigurationFaults: it is wrong"""
    return load(context.obj["config"])


def configuration_if_any(context: click.Context) -> Configuration | None:
    """The configuration; None where there is no good one and ``--connect`` makes up for it.

    :raises ConfigurationFaults: it is wrong, and there is no ``--connect``
    """
    try:
        return configuration(context)
    except ConfigurationFaults:
        if context.obj["connect"]:
            return None
        raise


def endpoints(context: click.Context, tenants: Collection[int] | None = None) -> list[Endpoint]:
    """The servers to choose from.

    :param tenants: those of the client; None: it chooses among all proxies
    :raises ConfigurationFaults: they are to come from the configuration, and that is wrong
    :raises click.UsageError: ``--connect`` is no address, or there is no proxy
    """
    found = configuration_if_any(context)
    proxies = list(found.proxies.values()) if found is not None else []
    connect = context.obj["connect"]
    if connect:
        return [_asked_for(connect, _of(proxies))]
    if not proxies:
        raise click.UsageError(f"there is no proxy in {context.obj['config']}: say --connect ENDPOINT")
    suitable = [proxy for proxy in proxies if _is_for(proxy, tenants)]
    if not suitable:
        wanted = ", ".join(map(str, tenants or ()))
        raise click.UsageError(f"no proxy in {context.obj['config']} is for tenant {wanted}: say --connect ENDPOINT")
    return _of(suitable)


def _of(proxies: Iterable[Proxy]) -> list[Endpoint]:
    return [endpoint for proxy in proxies for endpoint in members(proxy).values()]


def _is_for(proxy: Proxy, tenants: Collection[int] | None) -> bool:
    return proxy.tenants is None or tenants is None or set(tenants) <= set(proxy.tenants)


def _asked_for(connect: str, known: list[Endpoint]) -> Endpoint:
    """``--connect``; a proxy of the configuration is known with the address of its events."""
    if not connect.startswith(("tcp://", "ipc://")):
        raise click.UsageError(f"--connect {connect}: expected tcp://HOST:PORT or ipc://PATH")
    asked = Endpoint.of(connect)
    return next((one for one in known if "," not in connect and one.requests == asked.requests), asked)


def members(pair: Node | Proxy) -> dict[str, Endpoint]:
    """The members of a node or a proxy, and where they are."""
    found = {"primary": pair.primary, "backup": pair.backup}
    return {name: Endpoint(at.requests, at.events) for name, at in found.items() if at is not None}


def connected(context: click.Context, client_type: ClientType, tenants: list[int] | None = None) -> Client:
    """A client for this command, at one of the servers.

    :raises Unavailable, ClientError: as :class:`broker.client.Client`
    """
    name = f"ixn-{context.info_name}"
    client = Client(endpoints(context, tenants), name, client_type, tenants=tenants, timeout=CONNECT_S)
    client.timeout = TIMEOUT_S
    return client
