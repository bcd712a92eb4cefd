"""The layers hold: what decides does nothing, broker knows neither node nor proxy, and these two never meet.

Imports are read from the source with ast, so imports inside functions count too.
"""

from __future__ import annotations

import ast
import configparser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("broker", "node", "proxy", "bench")

SHELLS = (
    "bench",
    "broker.cli",
    "broker.client",
    "broker.config.load",
    "broker.config.reading",
    "broker.front",
    "broker.link",
    "broker.loop",
    "broker.memory",
    "broker.processes",
    "broker.replay.player",
    "broker.signals",
    "broker.sockets",
    "broker.subscription",
    "broker.supervisor",
    "node.command",
    "node.housekeeping",
    "node.lines",
    "node.member",
    "node.orders",
    "node.outbox",
    "node.refused",
    "node.store",
    "node.tenure",
    "proxy.command",
    "proxy.member",
)
"""The one list of modules (and packages) that may touch the world: sockets, clock, disk, processes, terminal."""

INTERFACES = ("node.store",)
"""Packages of shells whose ``__init__`` only says what they look like; what is pure may use its types."""

OF_SHELLS = {
    "apsw", "asyncio", "click", "concurrent", "ctypes", "http", "logging", "multiprocessing", "os", "pathlib", "psutil",
    "random", "resource", "rich", "secrets", "select", "shutil", "signal", "socket", "sqlite3", "ssl", "structlog",
    "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid", "zmq",
}  # fmt: skip
"""Modules that only shells import."""

NEVER = {"broker": ("node", "proxy", "bench"), "node": ("proxy", "bench"), "proxy": ("node", "bench"), "bench": ()}
"""Package -> packages it never imports."""


def name_of(path: Path) -> str:
    """A file's module name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source: str, module: str, is_package: bool) -> set[str]:
    """Everything that a module imports, by absolute name; of ``from a import b`` both ``a`` and ``a.b``."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            found.update([origin, *(f"{origin}.{alias.name}" for alias in node.names)])
    return found


def is_in(module: str, places: tuple[str, ...]) -> bool:
    """``module`` is one of ``places`` or inside one."""
    return any(module == place or module.startswith(f"{place}.") for place in places)


MODULES = {name_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
IMPORTS = {name: imports_of(path.read_text(), name, path.name == "__init__.py") for name, path in MODULES.items()}
PURE = [name for name in MODULES if name in INTERFACES or not is_in(name, SHELLS)]


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_does_nothing(module):
    touched = {name for name in IMPORTS[module] if name.split(".")[0] in OF_SHELLS}
    others = {name for name in IMPORTS[module] & MODULES.keys() if not is_in(name, (module,))}
    shells = others.difference(PURE)

    assert touched == set(), "only shells do that; the list of shells is in this test"
    assert shells == set(), "what is pure is used by shells, not the other way round"


@pytest.mark.parametrize("module", MODULES)
def test_packages_know_only_what_is_below_them(module):
    above = NEVER[module.split(".")[0]]

    assert {name for name in IMPORTS[module] if is_in(name, above)} == set()


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_in_the_list_exists(shell):
    assert shell in MODULES


def test_every_package_is_installed_and_tests_are_not():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    declared = setup["options"]["packages"].split()
    found = sorted(name for name, path in MODULES.items() if path.name == "__init__.py")

    assert declared == found
    assert not any(is_in(name, ("tests",)) for name in declared)


class TestTheTest:
    """It sees what it should see."""

    @pytest.mark.parametrize(
        ("source", "found"),
        [
            ("import time", "time"),
            ("import os.path as p", "os.path"),
            ("from zmq.utils import monitor", "zmq.utils"),
            ("def f():\n    import random", "random"),
            ("from . import member", "node.member"),
            ("from .store import Row", "node.store"),
            ("from broker import sockets", "broker.sockets"),
        ],
    )
    def test_imports_of_all_forms(self, source, found):
        assert found in imports_of(source, "node.core", is_package=False)

    def test_relative_imports_of_packages(self):
        assert "node.store.sqlite" in imports_of("from .sqlite import Store", "node.store", is_package=True)
        assert "broker.errors" in imports_of("from ..errors import Code", "broker.config.load", is_package=False)
