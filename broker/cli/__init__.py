"""``ixn``: the command line. A module per command; each is imported when it is asked for, so that members start fast.

Commands of other packages (``ixn node``, ``ixn proxy``) come through the entry points of the group ``ixn.commands``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

import click

OWN = {
    "status": "broker.cli.status:command",
    "request": "broker.cli.request:command",
    "events": "broker.cli.events:command",
    "replay": "broker.cli.replay:command",
    "find": "broker.cli.find:command",
    "get": "broker.cli.get:command",
    "ledger": "broker.cli.ledger:command",
    "explain": "broker.cli.explain:command",
    "timeline": "broker.cli.timeline:command",
    "top": "broker.cli.top:command",
    "queue": "broker.cli.queue:queue",
    "switchover": "broker.cli.switchover:command",
    "drain": "broker.cli.drain:drain",
    "undrain": "broker.cli.drain:undrain",
    "cluster": "broker.cli.cluster:cluster",
    "config": "broker.cli.config:config",
}
"""Name of a command -> where it is."""

ENTRY_POINTS = "ixn.commands"


class Commands(click.Group):
    """The commands, found by name; and what becomes of exceptions (:mod:`broker.cli.exits`)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return sorted({*OWN, *_others()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name; None: there is none."""
        if cmd_name in OWN:
            module, _, attribute = OWN[cmd_name].partition(":")
            command = getattr(import_module(module), attribute)
        else:
            other = _others().get(cmd_name)
            command = other.load() if other is not None else None
        return command if isinstance(command, click.Command) else None

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Runs a command line. :raises SystemExit: always, with the exit code"""
        try:
            code = super().main(args, prog_name, **{**extra, "standalone_mode": False})
        except Exception as error:
            from .exits import explain

            code = explain(error)
        sys.exit(code if isinstance(code, int) else 0)


def _others() -> dict[str, EntryPoint]:
    return {found.name: found for found in entry_points(group=ENTRY_POINTS)}


@click.group(cls=Commands)
@click.option("--config", envvar="IXN_CONFIG", default="cluster.toml", show_default=True, help="The configuration.")
@click.option(
    "--connect", metavar="ENDPOINT", help="Talk to this server: REQUESTS or REQUESTS,EVENTS.  [default: any proxy]"
)
@click.version_option(package_name="ixn")
@click.pass_context
def ixn(context: click.Context, config: str, connect: str | None) -> None:
    """Operate an Interaction Server cluster.

    Data goes to stdout, everything else to stderr. Exit codes: 0 fine, 1 a check says no, 64 usage, 65 bad data,
    69 unavailable, 70 bug, 75 timeout, 77 refused, 78 configuration.
    """
    context.obj = {"config": config, "connect": connect}


def main() -> None:
    """The console script. :raises SystemExit: always"""
    ixn.main(prog_name="ixn")
