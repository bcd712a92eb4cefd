"""``ixn status``: how the cluster is, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.table import Table

from broker.answers import Unavailable
from broker.config import Configuration
from broker.config.objects import Node, Proxy
from broker.messages.connection import EventPong
from broker.messages.kinds import ClientType
from broker.messages.operations import RequestGetStatus

from .exits import Exit
from .output import cell, output_option, print_document, print_table, table
from .pings import ping
from .reach import configuration_if_any, connected, members

PING_S = 1.0
Document = dict[str, Any]
Pongs = Mapping[str, EventPong | None]
"""By address of the member's requests; None: it does not answer."""


@click.command("status")
@output_option()
@click.pass_context
def command(context: click.Context, output: str) -> int:
    """Show nodes, proxies and their members: healthy, degraded or down, and why.

    One proxy is asked about the nodes (--connect: that one), every proxy of the configuration about itself. When no
    proxy answers, the nodes' members are asked themselves. Exit code 69: the cluster is down.
    """
    document = look(context)
    if output == "text":
        _print(document)
    else:
        print_document(document, output)
    return Exit.UNAVAILABLE if document["state"] == "down" else Exit.FINE


def look(context: click.Context) -> Document:
    """The status document. :raises ConfigurationFaults: the configuration is wrong and there is no ``--connect``"""
    known = configuration_if_any(context) or Configuration()
    proxies = _ping(known.proxies)
    reported = _reported(context) if context.obj["connect"] or any(proxies.values()) else None
    if reported is None:
        return assemble(None, nodes_of(known, _ping(known.nodes)), proxies_of(known, proxies))
    return assemble(reported, reported.get("nodes", {}), {**reported.get("proxies", {}), **proxies_of(known, proxies)})


def _reported(context: click.Context) -> Document | None:
    """What a proxy says; None: none answers."""
    try:
        with connected(context, ClientType.MONITOR) as client:
            return client.request(RequestGetStatus())
    except (Unavailable, TimeoutError):
        return None


def _ping(pairs: Mapping[str, Node] | Mapping[str, Proxy]) -> Pongs:
    addresses = [member.requests for pair in pairs.values() for member in members(pair).values()]
    return dict(zip(addresses, ping(addresses, PING_S), strict=True))


# ---- the document


def assemble(reported: Document | None, nodes: Document, proxies: Document) -> Document:
    """The status document of what a proxy has said (None: none has), and what the members say of themselves."""
    why = list(reported.get("why", [])) if reported is not None else ["no proxy answers"]
    state = reported["state"] if reported is not None else _without_proxy(nodes)
    for kind, pairs in (("node", nodes if reported is None else {}), ("proxy", proxies)):
        for name, pair in pairs.items():
            for member, seen in pair["members"].items():
                if seen["role"] == "unreachable":
                    why.append(f"{kind} {name}: {member} does not answer")
                    state = "degraded" if state == "healthy" else state
    why += _differences({**nodes, **proxies}) + _strays(nodes)
    return {"state": state, "why": why, "nodes": nodes, "proxies": proxies}


def _differences(pairs: Document) -> list[str]:
    """A sentence, where not all members have the same configuration; those that do not say have none to compare."""
    having: dict[str, list[str]] = {}
    for name, pair in pairs.items():
        for member, seen in pair["members"].items():
            if seen.get("configuration"):
                having.setdefault(seen["configuration"], []).append(f"{name}/{member}")
    if len(having) < 2:
        return []
    return ["configurations differ: " + "; ".join(f"{', '.join(who)} {mark}" for mark, who in having.items())]


def _strays(nodes: Document) -> list[str]:
    """A sentence for every node that has interactions where the configuration has nothing."""
    found: list[str] = []
    for name, node in nodes.items():
        if strays := node.get("strays"):
            where = ", ".join(f"{queue} {count}" for queue, count in strays.items())
            found.append(f"{name} has interactions in queues that the configuration does not have: {where}")
    return found


def _without_proxy(nodes: Document) -> str:
    """Without a proxy there are still the nodes for those who ask them directly."""
    return "down" if all(node["state"] == "down" for node in nodes.values()) else "degraded"


def nodes_of(known: Configuration, pongs: Pongs) -> Document:
    """The nodes as their members see themselves; what only a proxy knows is None."""
    return {
        name: {"backlog": None, **_pair(node, pongs, ("pid", "epoch", "rev", "why", "configuration"))}
        for name, node in known.nodes.items()
    }


def proxies_of(known: Configuration, pongs: Pongs) -> Document:
    """The proxies as their members see themselves."""
    return {
        name: _pair(proxy, pongs, ("pid", "clients", "why", "configuration")) for name, proxy in known.proxies.items()
    }


def _pair(pair: Node | Proxy, pongs: Pongs, shown: tuple[str, ...]) -> Document:
    seen = {name: _member(pongs.get(at.requests), shown) for name, at in members(pair).items()}
    roles = [member["role"] for member in seen.values()]
    return {"state": _state(roles), "members": seen}


def _state(roles: list[str]) -> str:
    if "active" not in roles:
        return "down"
    return "degraded" if "unreachable" in roles else "healthy"


def _member(pong: EventPong | None, shown: tuple[str, ...]) -> Document:
    if pong is None:
        return {"role": "unreachable", **dict.fromkeys(shown), "why": f"no answer within {PING_S:g} s"}
    return {"role": pong.role, **{name: getattr(pong, name) for name in shown}}


# ---- as text


def _print(document: Document) -> None:
    click.echo(document["state"] + "".join(f"\n  {why}" for why in document["why"]))
    print_table(node_table(document["nodes"]))
    print_table(proxy_table(document["proxies"]))
    licences = licence_table(document["nodes"])
    if licences.row_count:
        print_table(licences)


def node_table(nodes: Document) -> Table:
    """The nodes and their members."""
    made = table(
        "nodes",
        ("node", "state", "member", "role", "#pid", "#epoch", "#rev", "#backlog", "#agents", "#events/s", "why"),
    )
    for name, node in nodes.items():
        state = node["state"] + (", drained" if node.get("drained_since") is not None else "")
        for number, (member, seen) in enumerate(node["members"].items()):
            first = number == 0
            made.add_row(
                *(cell(value if first else None) for value in (name, state)),
                *(cell(value) for value in (member, seen["role"], seen.get("pid"), seen.get("epoch"), seen.get("rev"))),
                *(cell(node.get(key) if first else None) for key in ("backlog", "agents", "event_rate")),
                cell(seen.get("why")),
            )
    return made


def licence_table(nodes: Document) -> Table:
    """The seats in use of each licence that has a limit: of every node or, where they are a pool, of the cluster."""
    made = table("licences", ("licence", "of", "#used", "#limit"))
    pools: dict[str, tuple[int, int]] = {}
    for name, node in nodes.items():
        for licence, use in node.get("licences", {}).items():
            if use["limit"] is None:
                continue
            if node.get("licence_pool") == "cluster":
                pools[licence] = max(pools.get(licence, (0, 0)), (use["used"], use["limit"]))
            else:
                made.add_row(licence, name, cell(use["used"]), cell(use["limit"]))
    for licence, (used, limit) in pools.items():
        made.add_row(licence, "the cluster", cell(used), cell(limit))
    return made


def proxy_table(proxies: Document) -> Table:
    """The proxies and their members."""
    made = table("proxies", ("proxy", "member", "role", "#pid", "#clients", "why"))
    for name, proxy in proxies.items():
        for member, seen in proxy["members"].items():
            rest = (seen.get(key) for key in ("pid", "clients", "why"))
            made.add_row(name, member, seen["role"], *map(cell, rest))
    return made
