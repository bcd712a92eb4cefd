"""What the nodes of a cluster should have in common, and what the cluster guide recommends for them."""

from __future__ import annotations

from typing import Any

import msgspec

from .faults import Findings, quoted
from .locator import Path
from .objects import LICENSES, AgentReservation, Configuration, NodeSettings

SAME = (
    "agent_login_control",
    "allow_multiple_agent_connections",
    "login_session_timeout",
    "panic_threshold",
    "panic_window",
    "panic_grace",
)
"""Settings that must be the same on all nodes: an agent is logged in at all of them at once."""

RECOMMENDED = {"login_session_timeout": 1440, "allow_multiple_agent_connections": "false"}
"""The guide's "Configuration Recommendations" for the nodes of a cluster."""

RESERVATION = tuple(field.encode_name for field in msgspec.structs.fields(AgentReservation))
"""Options of `agent-reservation`; they must be the same on all nodes, for any of them may decide about an agent."""

_OPTIONS = {field.name: field.encode_name for field in msgspec.structs.fields(NodeSettings)}


def compare(configuration: Configuration, findings: Findings) -> None:
    """Notes as faults what differs and must not, as warnings what is not as recommended."""
    for option in SAME:
        _same(("settings", _OPTIONS[option]), _values(option, configuration, findings), findings)
    for option in RESERVATION:
        path = ("agent-reservation", option)
        values = {
            name: getattr(node.agent_reservation, option.replace("-", "_"))
            for name, node in configuration.nodes.items()
            if not findings.is_placeholder(("nodes", name, *path))
        }
        _same(path, values, findings)
    for option, recommended in RECOMMENDED.items():
        for name, value in _values(option, configuration, findings).items():
            if value != recommended:
                said = f"{_spelt(recommended)} is recommended for a cluster, here it is {_spelt(value)}"
                findings.warn(_path(name, option), said)
    _pairs(configuration, findings)
    _esp_servers(configuration, findings)
    if any(node.settings.licence_pool == "cluster" for node in configuration.nodes.values()):
        return  # their sum counts, however they are spread
    for licence in LICENSES:
        _seats(licence, configuration, findings)


def _path(node: str, option: str) -> Path:
    return ("nodes", node, "settings", _OPTIONS[option])


def _values(option: str, configuration: Configuration, findings: Findings) -> dict[str, Any]:
    """The value of an option at each node; a node where it is wrong by itself is left out."""
    return {
        name: getattr(node.settings, option)
        for name, node in configuration.nodes.items()
        if not findings.is_placeholder(_path(name, option))
    }


def _spelt(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else str(value)


def _same(option: tuple[str, str], values: dict[str, Any], findings: Findings) -> None:
    """:param option: section and option; :param values: by node"""
    for name, value in values.items():
        first = next(iter(values))
        if value != values[first]:
            said = f"must be the same on all nodes: {_spelt(value)} here, {_spelt(values[first])} at {first}"
            findings.add(("nodes", name, *option), said)


def _pairs(configuration: Configuration, findings: Findings) -> None:
    for name, node in configuration.nodes.items():
        if node.backup is None:
            said = "has no backup: while its primary is down, nobody can reach its interactions"
            findings.warn(("nodes", name), said)


def _esp_servers(configuration: Configuration, findings: Findings) -> None:
    """Nodes that serve the same tenant and media type are connected to the same ESP servers of the tenant, so that
    none of them refuses what another can do (guide, "ESP Configuration Must Be Symmetrical")."""
    for tenant in configuration.tenants:
        nodes = [name for name in configuration.nodes if _serves(configuration, name, tenant)]
        for at, name in enumerate(nodes):
            first = next((other for other in nodes[:at] if _share_media(configuration, name, other, tenant)), None)
            if first is None:
                continue
            here, there = (_connected(configuration, node, tenant) for node in (name, first))
            path = ("nodes", name, "connections")
            if here != there and not any(findings.is_placeholder(("nodes", it, "connections")) for it in (name, first)):
                findings.add(
                    path,
                    f"nodes of one tenant and media type are connected to the same ESP servers: for tenant {tenant}"
                    f" {_listed(here)} here, {_listed(there)} at {first}",
                )


def _serves(configuration: Configuration, node: str, tenant: int) -> bool:
    tenants = configuration.nodes[node].cluster_settings.tenants
    return tenants is None or tenant in tenants


def _share_media(configuration: Configuration, node: str, other: str, tenant: int) -> bool:
    """Whether two nodes serve a media type of the tenant both."""
    lists = [configuration.nodes[name].cluster_settings.media_types for name in (node, other)]
    media = set(configuration.tenants[tenant].media_types)
    for served in lists:
        media &= media if served is None else set(served)
    return bool(media)


def _connected(configuration: Configuration, node: str, tenant: int) -> set[str]:
    """The ESP servers of a tenant that a node connects to."""
    servers = configuration.esp_servers
    return {
        name
        for name in configuration.nodes[node].connections
        if name in servers and ((served := servers[name].tenants) is None or tenant in served)
    }


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _seats(licence: str, configuration: Configuration, findings: Findings) -> None:
    """The lowest count of a licence is the cluster's, so more at another node is never used."""
    paths: dict[str, Path] = {name: ("nodes", name, "licenses", licence) for name in configuration.nodes}
    right = [name for name, path in paths.items() if not findings.is_placeholder(path)]
    counts = {name: configuration.nodes[name].licenses.get(licence) for name in right}
    lowest = min((count for count in counts.values() if count is not None), default=None)
    for name, count in counts.items():
        if count != lowest:
            has = "no limit" if count is None else str(count)
            findings.warn(paths[name], f"the cluster's limit is the lowest, {lowest}; here: {has}")
