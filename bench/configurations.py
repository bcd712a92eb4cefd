"""Configurations that benches share: small, on no address that is ever bound."""

from __future__ import annotations

from broker.config.objects import (
    Addresses,
    ApplicationCluster,
    Configuration,
    MediaType,
    Node,
    Proxy,
    Queue,
    Tenant,
    View,
)

NOWHERE = Addresses(requests="tcp://127.0.0.1:1", events="tcp://127.0.0.1:2")


def many_nodes(number: int) -> Configuration:
    """``number`` nodes n1, n2 …, one proxy p1 of all of them, tenant 101 with a queue and two views."""
    names = [f"n{place}" for place in range(1, number + 1)]
    return Configuration(
        tenants={101: Tenant(name="Bank", media_types={"voice": MediaType(), "email": MediaType()})},
        nodes={name: Node(database=f"sqlite:///{name}.db", primary=NOWHERE) for name in names},
        clusters={"servers": ApplicationCluster(cluster_type="Interaction Server", connections=names)},
        proxies={"p1": Proxy(primary=NOWHERE, connections=["servers"])},
        queues={"Inbound": Queue(tenant=101)},
        views={
            "Inbound/all": View(queue="Inbound", order="priority desc, received_at"),
            "Inbound/urgent": View(queue="Inbound", condition="priority >= 5"),
        },
    )


def one_node() -> Configuration:
    """:func:`many_nodes` of one."""
    return many_nodes(1)
