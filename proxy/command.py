"""``ixn proxy``: runs a proxy, alone or as a pair."""

from __future__ import annotations

import click

from broker.processes import MEMBERS, Kind, run_process

from .member import ProxyMember

PROXIES = Kind("proxy", lambda configuration: configuration.proxies, ProxyMember)


@click.command("proxy")
@click.argument("name")
@click.option("--member", type=click.Choice(MEMBERS), help="Run this member alone (systemd, containers, other hosts).")
@click.pass_context
def command(context: click.Context, name: str, member: str | None) -> None:
    """Run the Interaction Server Proxy NAME: its members under a supervisor, or one of them.

    The supervisor starts a member again that has died. SIGTERM drains and ends everything within 5 s, a second one
    ends at once; SIGHUP reloads what can be reloaded.
    """
    run_process(PROXIES, context.obj["config"], name, member)
