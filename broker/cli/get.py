"""``ixn get``: one interaction."""

from __future__ import annotations

import click

from broker.messages.interactions import RequestGetInteractionProperties
from broker.messages.kinds import ClientType

from .interactions import print_one
from .output import output_option, print_document
from .reach import connected


@click.command("get")
@click.argument("interaction_id", metavar="ID")
@output_option()
@click.pass_context
def command(context: click.Context, interaction_id: str, output: str) -> None:
    """Show the interaction ID. Exit code 1: there is none, and every node has said so."""
    with connected(context, ClientType.MONITOR) as client:
        interaction = client.request(RequestGetInteractionProperties(interaction_id=interaction_id))["interaction"]
    if output == "text":
        print_one(interaction)
    else:
        print_document(interaction, output)
