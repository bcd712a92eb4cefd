"""Which servers a command talks to: the one of ``--connect``, or any proxy of the configuration."""

from __future__ import annotations

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


def endpoints(context: click.Context) -> list[Endpoint]:
    """The servers to choose from.

    :raises ConfigurationFaults: they are to come from the configuration, and that is wrong
    :raises click.UsageError: ``--connect`` is no address, or there is no proxy
    """
    known = _known(configuration_if_any(context))
    connect = context.obj["connect"]
    if connect:
        return [_asked_for(connect, known)]
    if not known:
        raise click.UsageError(f"there is no proxy in {context.obj['config']}: say --connect ENDPOINT")
    return known


def _known(found: Configuration | None) -> list[Endpoint]:
    proxies = found.proxies.values() if found is not None else ()
    return [Endpoint(member.requests, member.events) for proxy in proxies for member in members(proxy).values()]


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
    client = Client(endpoints(context), name, client_type, tenants=tenants, timeout=CONNECT_S)
    client.timeout = TIMEOUT_S
    return client
