"""How ``ixn node`` and ``ixn proxy`` become processes: a supervisor with its members, or one bare member. A shell."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple, NoReturn, Protocol

import click
import structlog
import zmq

from broker.config import Configuration
from broker.config.load import examine
from broker.loop import Shell, Stalls, run
from broker.memory import keep_freed_memory
from broker.sockets import raise_file_limit
from broker.supervisor import EXIT_ADDRESS, parent_pid, supervise

EXIT_USAGE, EXIT_CONFIGURATION = 64, 78
MEMBERS = ("primary", "backup")


class Pair(Protocol):
    """What nodes and proxies have in common: one or two members."""

    @property
    def backup(self) -> object | None:
        """The second member, if there is one."""


MakeShell = Callable[[Configuration, str, str, Stalls, str], Shell]
"""``(configuration, name, member, stalls, path)`` -> the shell of that member; it reads ``path`` again at SIGHUP."""


class Kind(NamedTuple):
    """What can be run. :param command: ``node`` or ``proxy``. :param pairs: where the configuration has them"""

    command: str
    pairs: Callable[[Configuration], Mapping[str, Pair]]
    make: MakeShell


def run_process(kind: Kind, path: str, name: str, member: str | None) -> NoReturn:
    """Runs the pair ``name`` of the configuration at ``path`` under a supervisor, or its ``member`` bare.

    :raises SystemExit: always; 78 for a wrong configuration, 64 for a name or member that it does not have, 71 for an
        address that cannot be used, as where the same member runs already
    """
    configuration = read_configuration(path, warn=member is None)
    pairs = kind.pairs(configuration)
    if name not in pairs:
        _fail(EXIT_USAGE, f"there is no {kind.command} {name} in {path}; it has {', '.join(pairs) or 'none'}")
    members = [one for one in MEMBERS if one == "primary" or pairs[name].backup is not None]
    if member is None:
        supervise(name, {one: _argv(kind.command, path, name, one) for one in members})
    if member not in members:
        _fail(EXIT_USAGE, f"{kind.command} {name} has no {member}")
    _log_to_stderr(name, member)
    raise_file_limit()
    keep_freed_memory()
    stalls = Stalls()
    try:
        shell = kind.make(configuration, name, member, stalls, path)
    except zmq.ZMQError as refused:  # it names the address
        _fail(EXIT_ADDRESS, f"{name}/{member} cannot serve: {refused}")
    run(shell, parent_pid(), stalls)
    raise SystemExit(0)


def read_configuration(path: str, *, warn: bool = False) -> Configuration:
    """The configuration at ``path``. :raises SystemExit: 78, after all its faults were printed to stderr"""
    verdict = examine(path)
    for warning in verdict.warnings if warn else ():
        click.echo(f"warning: {warning}", err=True)
    for fault in verdict.faults:
        click.echo(str(fault), err=True)
    if verdict.faults:
        raise SystemExit(EXIT_CONFIGURATION)
    return verdict.configuration


def _argv(command: str, path: str, name: str, member: str) -> list[str]:
    return [sys.executable, "-m", "broker.cli", "--config", path, command, name, "--member", member]


def _fail(code: int, text: str) -> NoReturn:
    click.echo(text, err=True)
    raise SystemExit(code)


def _log_to_stderr(name: str, member: str) -> None:
    """One line per decision, with the process it is of; never a line per message."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "process", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=f"{name}/{member}")
