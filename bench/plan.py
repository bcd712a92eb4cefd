"""What a cluster for benches and live tests looks like: how many of what, at which addresses. A shell: tries ports."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from broker.config.objects import (
    Addresses,
    ApplicationCluster,
    Configuration,
    Node,
    NodeSettings,
    Proxy,
    ProxySettings,
)

FIRST_PORT, LAST_PORT = 15_000, 32_000
"""Below the ports that systems give to outgoing connections, so that none of those takes one meanwhile."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start.

    :param backups: nodes are pairs; without, each is a primary alone
    :param proxy_backups: proxies are pairs, too
    :param behind: proxy -> the proxy that it connects to, instead of the nodes
    :param licenses: of every node
    :param supervised: a process a node or proxy, as in the Procfile; without, bare members
    """

    nodes: int = 2
    proxies: int = 2
    backups: bool = True
    proxy_backups: bool = False
    behind: Mapping[str, str] = field(default_factory=dict)
    licenses: Mapping[str, int] = field(default_factory=dict)
    supervised: bool = True
    node_settings: NodeSettings = field(default_factory=NodeSettings)
    proxy_settings: ProxySettings = field(default_factory=ProxySettings)


def free_ports() -> Iterator[int]:
    """Ports of loopback that nobody listens at, in no order, so that clusters side by side seldom meet."""
    for port in random.sample(range(FIRST_PORT, LAST_PORT), LAST_PORT - FIRST_PORT):
        with closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


def configure(folder: Path, plan: Plan, domain: Configuration) -> Configuration:
    """The configuration of a cluster after ``plan``; tenants, queues, views and the like are those of ``domain``."""
    ports = free_ports()

    def addresses() -> Addresses:
        requests, events = (f"tcp://127.0.0.1:{next(ports)}" for _ in range(2))
        return Addresses(requests=requests, events=events)

    nodes = {
        f"n{number}": Node(
            database=f"sqlite:///{folder}/n{number}.db",
            primary=addresses(),
            backup=addresses() if plan.backups else None,
            connections=list(domain.esp_servers),
            settings=plan.node_settings,
            licenses=dict(plan.licenses),
        )
        for number in range(1, plan.nodes + 1)
    }
    proxies = {
        name: Proxy(
            primary=addresses(),
            backup=addresses() if plan.proxy_backups else None,
            connections=[plan.behind.get(name, "servers")],
            settings=plan.proxy_settings,
        )
        for name in (f"p{number}" for number in range(1, plan.proxies + 1))
    }
    clusters = {"servers": ApplicationCluster(cluster_type="Interaction Server", connections=list(nodes))}
    if proxies:
        clusters["proxies"] = ApplicationCluster(cluster_type="Interaction Server Proxy", connections=list(proxies))
    return msgspec.structs.replace(domain, nodes=nodes, clusters=clusters, proxies=proxies)
