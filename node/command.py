"""``ixn node``: runs a pair, or one member of it."""

from __future__ import annotations

import click

from broker.config import Configuration
from broker.loop import Shell, Stalls
from broker.processes import MEMBERS, Kind, run_process

from .member import NodeMember
from .refused import RefusedMember
from .store import StoreFailure


def _make(  # noqa: PLR0913 - what the command knows
    configuration: Configuration, name: str, member: str, stalls: Stalls, file: str
) -> Shell:
    """A member, or the one that says why it cannot be one."""
    try:
        return NodeMember(configuration, name, member, stalls, file)
    except StoreFailure as fault:
        return RefusedMember(configuration, name, member, fault)


NODES = Kind("node", lambda configuration: configuration.nodes, _make)


@click.command("node")
@click.argument("name")
@click.option("--member", type=click.Choice(MEMBERS), help="Run this member alone (systemd, containers, other hosts).")
@click.pass_context
def command(context: click.Context, name: str, member: str | None) -> None:
    """Run the Interaction Server NAME: its pair under a supervisor, or one member of it.

    The supervisor starts a member again that has died. SIGTERM drains and ends everything within 5 s, a second one
    ends at once; SIGHUP reloads what can be reloaded.
    """
    run_process(NODES, context.obj["config"], name, member)
