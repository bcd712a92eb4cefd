"""``ixn config``: is the configuration right, and what is in force."""

from __future__ import annotations

import sys
from typing import Any

import click
import orjson

from broker.config.faults import Fault
from broker.config.listing import document, listing
from broker.config.load import Verdict, examine

DEFAULT_FILE = "cluster.toml"
WRONG_CONFIGURATION = 78
"""Exit code: the configuration is wrong (EX_CONFIG)."""

_output = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print it."
)


@click.group()
def config() -> None:
    """Check and show the configuration."""


@config.command()
@click.option("--cluster", is_flag=True, help="Also compare what must be the same on all nodes.")
@_output
@click.pass_context
def check(context: click.Context, cluster: bool, output: str) -> None:
    """Say whether the configuration can be used; all faults at once.

    Each fault is a line FILE:LINE: KEY: TEXT on stderr. Exit code 0: it can be used; 78: it cannot.

    With --cluster the nodes are compared, too: what differs and must not is a fault; what is not as the cluster guide
    recommends is a warning and leaves the exit code as it is.
    """
    path = _path(context)
    verdict = examine(path, cluster=cluster)
    if output == "json":
        _print_json(_report(verdict))
    else:
        _complain(verdict)
        if not verdict.faults:
            click.echo(_praise(path, verdict))
    if verdict.faults:
        sys.exit(WRONG_CONFIGURATION)


@config.command()
@_output
@click.pass_context
def show(context: click.Context, output: str) -> None:
    """Print the configuration in force, with the defaults filled in.

    As text it is TOML again; an option that differs from its default has the default in a comment behind it. As JSON,
    "changed" lists the keys of those options.
    """
    verdict = examine(_path(context))
    if verdict.faults:
        _complain(verdict)
        sys.exit(WRONG_CONFIGURATION)
    if output == "json":
        _print_json(document(verdict.configuration))
    else:
        click.echo(listing(verdict.configuration), nl=False)


def _path(context: click.Context) -> str:
    """The file that the global ``--config`` names."""
    settings: dict[str, Any] = context.obj or {}
    return str(settings.get("config") or DEFAULT_FILE)


def _report(verdict: Verdict) -> dict[str, Any]:
    return {
        "ok": not verdict.faults,
        "faults": [fault._asdict() for fault in verdict.faults],
        "warnings": [warning._asdict() for warning in verdict.warnings],
    }


def _complain(verdict: Verdict) -> None:
    for fault in verdict.faults:
        click.echo(str(fault), err=True)
    for warning in verdict.warnings:
        click.echo(as_warning(warning), err=True)


def as_warning(warning: Fault) -> str:
    """A warning as a line: with file, line and key, as a fault."""
    return str(warning._replace(text=f"warning: {warning.text}"))


def _praise(path: str, verdict: Verdict) -> str:
    configuration = verdict.configuration
    return (
        f"{path}: fine ({len(configuration.nodes)} nodes, {len(configuration.proxies)} proxies,"
        f" {len(configuration.queues)} queues, {len(configuration.views)} views)"
    )


def _print_json(value: Any) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
