"""``ixn find``: interactions by a condition."""

from __future__ import annotations

from typing import Any

import click

from broker.messages.interactions import RequestFindInteractions
from broker.messages.kinds import ClientType

from .interactions import print_list
from .output import counted, output_option, print_document, print_json
from .reach import connected


@click.command("find")
@click.argument("condition", default="")
@click.option("--order", default="", help='Such as "priority desc, received_at".')
@click.option("--count", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many.")
@click.option("--tenant", type=int, help="Only this tenant's.  [default: all]")
@click.option("--media-type", help="Only of this media type.")
@click.option("--require-complete", is_flag=True, help="Rather an error than a list that a node's are missing from.")
@output_option()
@click.pass_context
def command(context: click.Context, /, output: str, **options: Any) -> None:
    """Find interactions by CONDITION, such as "queue = 'Inbound' and priority >= 2"; without one, all.

    -o json prints the reply, -o jsonl one interaction a line. When nodes did not answer, stderr says which.
    """
    request = RequestFindInteractions(
        tenant_id=options["tenant"],
        media_type=options["media_type"],
        condition=options["condition"],
        order=options["order"],
        count=options["count"],
        require_complete=options["require_complete"],
    )
    with connected(context, ClientType.MONITOR) as client:
        reply = client.request(request)
    _print(reply, output)
    if reply.get("missing"):
        click.echo(f"not complete: no answer from {', '.join(reply['missing'])}", err=True)


def _print(reply: dict[str, Any], output: str) -> None:
    interactions = reply["interactions"]
    if output == "json":
        print_document(reply, output)
    elif output == "jsonl":
        for interaction in interactions:
            print_json(interaction, indent=False)
    else:
        more = ", and there are more" if reply.get("more") else ""
        print_list(counted(len(interactions), "interaction") + more, interactions)
