"""``ixn ledger``: what a server has dropped, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from broker.messages.kinds import ClientType
from broker.messages.operations import LAST, RequestGetLedger

from .output import cell, output_option, print_document, print_json, print_table, table
from .reach import connected


@click.command("ledger")
@click.argument("node", required=False)
@click.option("--count", type=click.IntRange(0, LAST), default=20, show_default=True, help="The last so many.")
@output_option()
@click.pass_context
def command(context: click.Context, node: str | None, count: int, output: str) -> None:
    """Show the messages that NODE's active member has dropped since it began: late, expired, unroutable, unreadable.

    Without NODE the proxy that is asked shows its own. -o jsonl prints the last ones, one a line.
    """
    with connected(context, ClientType.MONITOR) as client:
        reply = client.request(RequestGetLedger(node=node, count=count))
    if output == "json":
        print_document(reply, output)
    elif output == "jsonl":
        for entry in reply.get("last", ()):
            print_json(entry, indent=False)
    else:
        _print(reply)


def _print(reply: dict[str, Any]) -> None:
    click.echo(f"{reply['server']} {reply['member']}: {reply['dropped']} dropped")
    counts = table("by peer and reason", ("peer", "reason", "#messages"))
    for peer, reasons in reply.get("peers", {}).items():
        for reason, number in reasons.items():
            counts.add_row(peer, reason, cell(number))
    print_table(counts)
    last = table("the last ones", ("time", "peer", "reason", "message", "#bytes"))
    for entry in reply.get("last", ()):
        at = datetime.fromtimestamp(entry["time"], UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        last.add_row(at, entry["peer"], entry["reason"], cell(entry.get("name")), cell(entry.get("size")))
    print_table(last)
