"""What the nodes of a cluster should have in common, and what the cluster guide recommends for them."""

from __future__ import annotations

from typing import Any

import msgspec

from .faults import Findings, quoted
from .locator import Path
from .objects import LICENSES, Configuration, NodeSettings

SAME = ("agent_login_control", "allow_multiple_agent_connections", "login_session_timeout")
"""Settings that must be the same on all nodes: an agent is logged in at all of them at once."""

RECOMMENDED = {"login_session_timeout": 1440, "allow_multiple_agent_connections": "false"}
"""The guide's "Configuration Recommendations" for the nodes of a cluster."""

_OPTIONS = {field.name: field.encode_name for field in msgspec.structs.fields(NodeSettings)}


def compare(configuration: Configuration, findings: Findings) -> None:
    """Notes as faults what differs and must not, as warnings what is not as recommended."""
    for option in SAME:
        _same(option, _values(option, configuration, findings), findings)
    for option, recommended in RECOMMENDED.items():
        for name, value in _values(option, configuration, findings).items():
            if value != recommended:
                said = f"{_spelt(recommended)} is recommended for a cluster, here it is {_spelt(value)}"
                findings.warn(_path(name, option), said)
    _pairs(configuration, findings)
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


def _same(option: str, values: dict[str, Any], findings: Findings) -> None:
    for name, value in values.items():
        first = next(iter(values))
        if value != values[first]:
            said = f"must be the same on all nodes: {_spelt(value)} here, {_spelt(values[first])} at {first}"
            findings.add(_path(name, option), said)


def _pairs(configuration: Configuration, findings: Findings) -> None:
    for name, node in configuration.nodes.items():
        if node.backup is None:
            said = "has no backup: while its primary is down, nobody can reach its interactions"
            findings.warn(("nodes", name), said)


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
