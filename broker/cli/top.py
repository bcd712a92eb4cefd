"""``ixn top``: the status, live."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from broker.link import clock

from .output import output_option, print_document
from .status import look, node_table, proxy_table


@click.command("top")
@click.option(
    "--interval", type=click.FloatRange(0.1, 60), default=1.0, show_default=True, help="Seconds between looks."
)
@click.option("--count", "times", type=click.IntRange(min=1), help="End after so many looks.  [default: with Ctrl-C]")
@output_option()
@click.pass_context
def command(context: click.Context, interval: float, times: int | None, output: str) -> None:
    """Show the status live, until Ctrl-C: the figures of `ixn status`.

    -o json and -o jsonl print a document for each look, as `ixn status` does.
    """
    try:
        if output == "text" and sys.stdout.isatty():
            with Live(console=Console(), screen=True, auto_refresh=False) as live:
                for document in _looks(context, interval, times):
                    live.update(screen(document), refresh=True)
        else:
            for document in _looks(context, interval, times):
                if output == "text":
                    Console(file=sys.stdout, width=240, highlight=False).print(screen(document))
                else:
                    print_document(document, output)
    except KeyboardInterrupt:
        return


def _looks(context: click.Context, interval: float, times: int | None) -> Iterator[dict[str, Any]]:
    for number in count(1):
        began = clock()
        yield look(context)
        if number == times:
            return
        time.sleep(max(interval - (clock() - began), 0.0))


def screen(document: dict[str, Any]) -> Group:
    """The whole picture."""
    colours = {"healthy": "green", "degraded": "yellow", "down": "red"}
    head = Text(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z  ")
    head.append(document["state"], style=f"bold {colours.get(document['state'], '')}")
    whys = [Text(f"  {why}", style="yellow") for why in document["why"]]
    return Group(head, *whys, node_table(document["nodes"]), proxy_table(document["proxies"]))
