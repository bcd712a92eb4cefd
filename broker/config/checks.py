"""What single options cannot say: that names exist, that addresses and databases are not used twice, that custom
properties can be named, that conditions can be read, and what is not served in this release.

Each check is a function ``(configuration, findings)`` that notes a fault at the option that has to change;
:data:`CHECKS` is the list of them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from broker.errors import Refusal
from broker.ids import node_code

from .addresses import WrongAddress, database_path, normal_address
from .conversion import nearest
from .faults import Findings, key_of, quoted
from .locator import Path
from .objects import LICENSES, PRIVATE_VIEW, Addresses, ApplicationCluster, Configuration

Check = Callable[[Configuration, Findings], None]

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,30}")
"""Names of nodes and proxies: they stand in cursors and sessions, whose own marks are ``;`` and ``=``."""

_COLUMN = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TAKEN_COLUMNS = frozenset({"n", "flexible_properties", "user_data", "rowid", "oid"})
"""Columns that a node's table of interactions has, and names that SQLite takes for its own, besides the properties."""

_NODES, _PROXIES = "Interaction Server", "Interaction Server Proxy"


def check(configuration: Configuration, findings: Findings) -> None:
    """Notes all faults between the options of a converted document."""
    for rule in CHECKS:
        rule(configuration, findings)


def names(configuration: Configuration, findings: Findings) -> None:
    """Names of nodes and proxies have a form, and a cluster's name is nobody else's."""
    for section in ("nodes", "proxies"):
        for name in getattr(configuration, section):
            if not NAME.fullmatch(name):
                findings.add((section, name), "expected a name of a-z 0-9 _ . - (first a letter or digit), at most 31")
    for name in configuration.clusters:
        for section in ("nodes", "proxies"):
            if name in getattr(configuration, section):
                findings.add(("clusters", name), f"is also the name of {key_of((section, name))}; choose another")


def codes(configuration: Configuration, findings: Findings) -> None:
    """Interaction ids carry four characters of the node's name; no two nodes have the same."""
    named = [name for name in configuration.nodes if NAME.fullmatch(name)]
    for path, first in _doubles((("nodes", name), node_code(name)) for name in named):
        findings.add(path, f"makes the same interaction ids as {key_of(first)}; choose another name")


def addresses(configuration: Configuration, findings: Findings) -> None:
    """Addresses can be bound, each by one member or ESP server."""
    normal = []
    for path, address in _addresses(configuration):
        try:
            normal.append((path, normal_address(address)))
        except WrongAddress as fault:
            findings.add(path, str(fault))
    for path, first in _doubles(normal):
        findings.add(path, f"is the same address as {key_of(first)} (line {findings.line(first)})")


def _addresses(configuration: Configuration) -> Iterator[tuple[Path, str]]:
    for section in ("nodes", "proxies"):
        for name, pair in getattr(configuration, section).items():
            for member in ("primary", "backup"):
                bound: Addresses | None = getattr(pair, member)
                if bound:
                    yield (section, name, member, "requests"), bound.requests
                    yield (section, name, member, "events"), bound.events
    for name, server in configuration.esp_servers.items():
        yield ("esp-servers", name, "address"), server.address


def databases(configuration: Configuration, findings: Findings) -> None:
    """Each node has a database of its own."""
    used: list[tuple[Path, str]] = []
    for name, node in configuration.nodes.items():
        path: Path = ("nodes", name, "database")
        try:
            used.append((path, database_path(node.database)))
        except WrongAddress as fault:
            findings.add(path, str(fault))
    for path, first in _doubles(used):
        findings.add(path, f"is the same database as {key_of(first)} (line {findings.line(first)})")


def event_logs(configuration: Configuration, findings: Findings) -> None:
    """No event logger is served yet, and a list of them must not look as if it were."""
    for name, node in configuration.nodes.items():
        if node.event_logs:
            findings.warn(
                ("nodes", name, "event-logs"),
                "event loggers are not in this release, nothing is written there;"
                " the node keeps its events itself for event-retention",
            )


def licenses(configuration: Configuration, findings: Findings) -> None:
    """Licences are known."""
    for name, node in configuration.nodes.items():
        for licence in node.licenses:
            path = ("nodes", name, "licenses", licence)
            if licence not in LICENSES:
                findings.add(path, f"is not a known licence{nearest(licence, LICENSES)}")


def licence_pool(configuration: Configuration, findings: Findings) -> None:
    """A pool is held by counting agents at every node, so every agent has to be at every node: all proxies reach all
    nodes, and all nodes serve all tenants."""
    rules = {name: node.settings.licence_pool for name, node in configuration.nodes.items()}
    if "cluster" not in rules.values():
        return
    for name, rule in rules.items():
        if rule != "cluster":
            findings.add(
                ("nodes", name, "settings", "licence-pool"), 'must be the same on all nodes; another has "cluster"'
            )
        served = configuration.nodes[name].cluster_settings.tenants
        if served is not None and set(served) < set(configuration.tenants):
            findings.add(
                ("nodes", name, "cluster-settings", "tenants"),
                'with licence-pool = "cluster" every node serves all tenants',
            )
    for proxy in configuration.proxies:
        missing = sorted(configuration.nodes.keys() - set(configuration.nodes_of(proxy)))
        if missing:
            findings.add(
                ("proxies", proxy, "connections"),
                f'with licence-pool = "cluster" every proxy connects to all nodes; missing: {", ".join(missing)}',
            )


def tenants(configuration: Configuration, findings: Findings) -> None:
    """The tenants that nodes, proxies and queues name exist."""
    for path, tenant in _tenants(configuration):
        if tenant not in configuration.tenants:
            findings.add(path, f"there is no tenant {tenant}; known: {_list(configuration.tenants)}")


def _tenants(configuration: Configuration) -> Iterator[tuple[Path, int]]:
    for name, node in configuration.nodes.items():
        for index, tenant in enumerate(node.cluster_settings.tenants or ()):
            yield ("nodes", name, "cluster-settings", "tenants", index), tenant
    for name, proxy in configuration.proxies.items():
        for index, tenant in enumerate(proxy.tenants or ()):
            yield ("proxies", name, "tenants", index), tenant
    for name, server in configuration.esp_servers.items():
        for index, tenant in enumerate(server.tenants or ()):
            yield ("esp-servers", name, "tenants", index), tenant
    for name, queue in configuration.queues.items():
        yield ("queues", name, "tenant"), queue.tenant


def media_types(configuration: Configuration, findings: Findings) -> None:
    """A node's media types exist in one of the node's tenants."""
    for name, node in configuration.nodes.items():
        served = configuration.tenants if node.cluster_settings.tenants is None else node.cluster_settings.tenants
        known = {
            media
            for number, tenant in configuration.tenants.items()
            for media in tenant.media_types
            if number in served
        }
        for index, media in enumerate(node.cluster_settings.media_types or ()):
            if media not in known:
                path = ("nodes", name, "cluster-settings", "media-types", index)
                findings.add(path, f"no tenant of this node has a media type {quoted(media)}{nearest(media, known)}")


def clusters(configuration: Configuration, findings: Findings) -> None:
    """A cluster of nodes names nodes, one of proxies names proxies."""
    members: dict[str, tuple[str, Iterable[str]]] = {
        _NODES: ("node", configuration.nodes),
        _PROXIES: ("proxy", configuration.proxies),
    }
    for name, cluster in configuration.clusters.items():
        what, known = members[cluster.cluster_type]
        if findings.is_placeholder(("clusters", name, "cluster-type")):
            continue
        for index, connection in enumerate(cluster.connections):
            path = ("clusters", name, "connections", index)
            _refer(path, (what, connection), known, _others(connection, configuration), findings)


def connections(configuration: Configuration, findings: Findings) -> None:
    """A proxy connects to nodes, directly, through clusters, or as another proxy does, and never to itself."""
    known = [*configuration.nodes, *configuration.clusters, *configuration.proxies]
    for name, proxy in configuration.proxies.items():
        for index, connection in enumerate(proxy.connections):
            path = ("proxies", name, "connections", index)
            _refer(path, ("node, proxy or cluster", connection), known, "", findings)
        _lead_to_nodes(name, configuration, findings)


def _lead_to_nodes(proxy: str, configuration: Configuration, findings: Findings) -> None:
    """Notes a proxy whose connections lead back to it, or nowhere, unless what is wrong on the way is noted already."""
    path: Path = ("proxies", proxy, "connections")
    reached = configuration.reached(proxy)
    clusters = [cluster for it in reached if (cluster := configuration.clusters.get(it)) is not None]
    known = {*configuration.nodes, *configuration.clusters, *configuration.proxies}
    mixed = any(set(one.connections) - set(_members(configuration, one)) for one in clusters)
    unread = any(it in configuration.proxies and not configuration.proxies[it].connections for it in (proxy, *reached))
    if unread or mixed or not known.issuperset(reached):
        return
    if proxy in reached and proxy not in configuration.nodes:
        findings.add(path, f"lead back to {quoted(proxy)} itself")
    elif not configuration.nodes_of(proxy):
        findings.add(path, "lead to no node")


def _members(configuration: Configuration, cluster: ApplicationCluster) -> Iterable[str]:
    """What a cluster may name."""
    return configuration.nodes if cluster.cluster_type == _NODES else configuration.proxies


def esp_servers(configuration: Configuration, findings: Findings) -> None:
    """A node connects to ESP servers that are described; one that no node connects to is of no use."""
    for name, node in configuration.nodes.items():
        listed: list[tuple[Path, str]] = [
            (("nodes", name, "connections", index), it) for index, it in enumerate(node.connections)
        ]
        for path, it in listed:
            _refer(path, ("ESP server", it), configuration.esp_servers, _others(it, configuration), findings)
        for path, first in _doubles(listed):
            findings.add(path, f"is the same as {key_of(first)}")
    for name in configuration.esp_servers:
        if configuration.nodes and not any(name in node.connections for node in configuration.nodes.values()):
            findings.warn(("esp-servers", name), "no node has it among its connections")


def _others(name: str, configuration: Configuration) -> str:
    """What else has this name, for a reader who took one kind for another."""
    if name in configuration.nodes:
        return "; it is a node"
    if name in configuration.proxies:
        return "; it is a proxy"
    cluster = configuration.clusters.get(name)
    return f"; it is a cluster of type {quoted(cluster.cluster_type)}" if cluster else ""


def queues(configuration: Configuration, findings: Findings) -> None:
    """The queues that views and workbins name exist."""
    for section in ("views", "workbins"):
        for name, thing in getattr(configuration, section).items():
            if thing.queue is not None:
                path = (section, name, "queue")
                _refer(path, ("queue", thing.queue), configuration.queues, "", findings)


def groups(configuration: Configuration, findings: Findings) -> None:
    """Groups name each member once, and a type of workbin that groups own has groups to own it."""
    for section, option in (("agent-groups", "agents"), ("place-groups", "places")):
        for name, group in getattr(configuration, section.replace("-", "_")).items():
            members: list[tuple[Path, str]] = [
                ((section, name, option, index), it) for index, it in enumerate(getattr(group, option))
            ]
            for path, member in members:
                if not member:
                    findings.add(path, "expected an id, got an empty string")
            for path, first in _doubles(members):
                findings.add(path, f"is the same as {key_of(first)}")
    for name, workbin in configuration.workbins.items():
        owners = {"agent-group": configuration.agent_groups, "place-group": configuration.place_groups}
        if not owners.get(workbin.owner, True):
            findings.warn(("workbins", name, "owner"), f"there is no {workbin.owner} that could own one")


def capacities(configuration: Configuration, findings: Findings) -> None:
    """Capacities are of media types that a tenant has."""
    known = {media for tenant in configuration.tenants.values() for media in tenant.media_types}
    for section in ("agents", "agent-groups"):
        for name, thing in getattr(configuration, section.replace("-", "_")).items():
            for media in thing.capacity:
                _refer((section, name, "capacity", media), ("media type", media), known, "", findings)


def unserved(configuration: Configuration, findings: Findings) -> None:
    """A media type that is enabled is served by some node; else every submit of it is refused (2001)."""
    for number, tenant in configuration.tenants.items():
        nodes = [
            node.cluster_settings.media_types
            for node in configuration.nodes.values()
            if node.cluster_settings.tenants is None or number in node.cluster_settings.tenants
        ]
        for name, media in tenant.media_types.items():
            if media.enabled and nodes and not any(served is None or name in served for served in nodes):
                findings.warn(
                    ("tenants", str(number), "media-types", name), "no node serves it: see media-types of the nodes"
                )


def strategies(configuration: Configuration, findings: Findings) -> None:
    """The views of a strategy exist, each once, all of one tenant; one that two strategies have is warned of."""
    owners: dict[str, str] = {}
    for name, strategy in configuration.strategies.items():
        views: list[tuple[Path, str]] = [
            (("strategies", name, "views", at), it) for at, it in enumerate(strategy.views)
        ]
        for path, view in views:
            _refer(path, ("view", view), configuration.views, "", findings)
            if owners.setdefault(view, name) != name:
                findings.warn(path, f"the strategy {quoted(owners[view])} has it, too: their engines take turns")
        for path, first in _doubles(views):
            findings.add(path, f"is the same as {key_of(first)}")
        known = [(path, tenant) for path, view in views if (tenant := _tenant_of(view, configuration)) is not None]
        for path, tenant in known:
            if tenant != known[0][1]:
                findings.add(path, f"is of tenant {tenant}, the first view is of tenant {known[0][1]}")


def _tenant_of(view: str, configuration: Configuration) -> int | None:
    """Whose view it is; None: it is nobody's, or there is none."""
    known = configuration.views.get(view)
    queue = configuration.queues.get(known.queue) if known is not None else None
    return queue.tenant if queue is not None else None


def workbin_views(configuration: Configuration, findings: Findings) -> None:
    """No view has the name of a workbin's own."""
    for name in configuration.workbins:
        view = f"{name}/{PRIVATE_VIEW}"
        if view in configuration.views:
            findings.add(("views", view), f"is the view of the workbin {quoted(name)}; choose another name")


def custom_properties(configuration: Configuration, findings: Findings) -> None:
    """A custom property is not spelt like an interaction's own: conditions and orders would always mean that one."""
    # Imported here because the grammar is heavy, and its own package may name the configuration's classes.
    from broker.conditions import is_system_name

    for name in configuration.custom_properties:
        if is_system_name(name):
            text = "is spelt like a property of every interaction, which conditions would mean; choose another key"
            findings.add(("custom-properties", name), text)
    used: list[tuple[Path, str]] = []
    for name, custom in configuration.custom_properties.items():
        if custom.column is None:
            continue
        path: Path = ("custom-properties", name, "column")
        used.append((path, custom.column))
        if not _COLUMN.fullmatch(custom.column):
            findings.add(path, "expected a name of a-z 0-9 _ (first a letter), at most 63")
        elif is_system_name(custom.column) or custom.column in {*_TAKEN_COLUMNS, *configuration.custom_properties}:
            findings.add(path, "is the name of another property; choose another")
    for path, first in _doubles(used):
        findings.add(path, f"is the same as {key_of(first)}")


def conditions(configuration: Configuration, findings: Findings) -> None:
    """Views' conditions and orders can be read; a fault gives the column."""
    from broker.conditions import compile_condition, compile_order, compile_segmentation  # here: as above

    texts: list[tuple[Path, str, Callable[..., Any]]] = []
    for name, view in configuration.views.items():
        texts.append((("views", name, "condition"), view.condition, compile_condition))
        texts.append((("views", name, "order"), view.order, compile_order))
        texts.append((("views", name, "segmentation"), view.segmentation, compile_segmentation))
    for name, workbin in configuration.workbins.items():
        texts.append((("workbins", name, "order"), workbin.order, compile_order))
    for path, text, compiler in texts:
        try:
            compiler(text, configuration.custom_properties)
        except Refusal as fault:
            findings.add(path, f"cannot be understood: {fault.detail}")


def _refer(path: Path, meant: tuple[str, str], known: Iterable[str], other: str, findings: Findings) -> None:
    """Notes that there is nothing of this kind and name. :param meant: what it should be, and its name"""
    what, name = meant
    if name not in known:
        findings.add(path, f"there is no {what} {quoted(name)}{other or nearest(name, known)}")


def _doubles(things: Iterable[tuple[Path, Any]]) -> Iterator[tuple[Path, Path]]:
    """The paths whose value came before, each with the path where it came first."""
    first: dict[Any, Path] = {}
    for path, value in things:
        if first.setdefault(value, path) != path:
            yield path, first[value]


def _list(things: Iterable[Any]) -> str:
    return ", ".join(map(str, things)) or "none"


CHECKS: tuple[Check, ...] = (
    names,
    codes,
    addresses,
    databases,
    event_logs,
    licenses,
    tenants,
    media_types,
    clusters,
    connections,
    licence_pool,
    esp_servers,
    queues,
    groups,
    capacities,
    unserved,
    strategies,
    workbin_views,
    custom_properties,
    conditions,
)
