"""No option does nothing: each that a file may set is read by name, outside the package that reads files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from broker.config import objects

ROOT = Path(objects.__file__).resolve().parent.parent.parent
PACKAGES = ("broker", "node", "proxy")

UNSERVED = {"Node.event_logs"}
"""Options that say themselves that they are not served in this release; ``ixn config check`` warns of them."""
FOR_PEOPLE = {"Tenant.name"}
"""Options that are there to be read by people."""
IN_OBJECTS = {
    "Proxy.connections": "nodes_of",
    "Configuration.clusters": "nodes_of",
    "ApplicationCluster.connections": "nodes_of",
    "Node.licenses": "seats_of",
}
"""Those that the code asks for through a method of the configuration."""
CHECKED = {"ApplicationCluster.cluster_type"}
"""It says what its neighbour may list, and that is all there is to do with it."""


def options() -> Iterator[str]:
    """``Class.field`` of every option."""
    for name, kind in vars(objects).items():
        if isinstance(kind, type) and issubclass(kind, objects.Options):
            own = set(vars(kind).get("__annotations__", ()))
            yield from (f"{name}.{field.name}" for field in msgspec.structs.fields(kind) if field.name in own)


def read_names() -> set[str]:
    """The attributes that code outside ``broker/config`` reads."""
    found: set[str] = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if path.parent != ROOT / "broker" / "config":
                nodes = ast.walk(ast.parse(path.read_text()))
                found |= {n.attr for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)}
    return found


READ = read_names()


@pytest.mark.parametrize("option", sorted(set(options()) - UNSERVED - FOR_PEOPLE - CHECKED))
def test_it_is_read(option: str) -> None:
    # Given an option, when the code that runs is looked through, then something there reads it
    assert IN_OBJECTS.get(option, option.partition(".")[2]) in READ


def test_what_is_excepted_exists() -> None:
    assert set(options()) >= UNSERVED | FOR_PEOPLE | set(IN_OBJECTS) | CHECKED
