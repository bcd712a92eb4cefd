"""``ixn timeline``: what has happened to an interaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from broker.client import Client
from broker.ids import time_of
from broker.messages.kinds import ClientType
from broker.messages.reporting import RequestReplayEvents
from broker.wire import make_cursor

from .exits import Exit
from .interactions import as_time
from .output import cell, output_option, print_document, print_json, print_table, table
from .reach import connected


@click.command("timeline")
@click.argument("interaction_id", metavar="ID")
@output_option()
@click.pass_context
def command(context: click.Context, interaction_id: str, output: str) -> int:
    """Show all events of the interaction ID, over all nodes, in order, with the times between them.

    Events are kept for event-retention, so an interaction that is gone is shown, too. Exit code 1: there are none.
    -o json prints an array, -o jsonl one event a line.
    """
    with connected(context, ClientType.MONITOR) as client:
        events = list(_events(client, interaction_id))
    if output == "json":
        print_document(events, output)
    elif output == "jsonl":
        for event in events:
            print_json(event, indent=False)
    elif events:
        _print(interaction_id, events)
    if not events:
        click.echo(f"no event about {interaction_id} is kept", err=True)
    return Exit.FINE if events else Exit.NO


def _events(client: Client, interaction_id: str) -> Iterator[dict[str, Any]]:
    """The events, page after page; many pages may have none of them."""
    made_us = time_of(interaction_id)
    start = None if made_us is None else make_cursor(made_us - 1, "~")
    while True:
        reply = client.request(RequestReplayEvents(start=start, count=1000, interaction_id=interaction_id))
        if reply.get("missing"):
            click.echo(f"not complete: no answer from {', '.join(reply['missing'])}", err=True)
        yield from reply["events"]
        if not reply.get("more") or reply.get("cursor") == start:
            return
        start = reply["cursor"]


def _print(interaction_id: str, events: list[dict[str, Any]]) -> None:
    made = table(interaction_id, ("time", "#after", "event", "node", "queue", "party", "by", "cause", "reason"))
    before: float | None = None
    for event in events:
        after = "" if before is None else _span(event["time"] - before)
        before = event["time"]
        part = event.get("interaction", {})
        made.add_row(
            *(as_time(event["time"]), after, event["message"], event["node"], _queue(event, part)),
            *(_name(event.get("party")), _name(event.get("actor")), cell(event.get("cause")), _reason(event)),
        )
    print_table(made)
    if len(events) > 1:
        click.echo(f"{len(events)} events in {_span(events[-1]['time'] - events[0]['time']).lstrip('+')}")


def _span(seconds: float) -> str:
    """A time between, short."""
    if seconds < 1:
        return f"+{1000 * seconds:.1f} ms"
    if seconds < 60:
        return f"+{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"+{hours}:{minutes:02d}:{rest:02d}"


def _queue(event: dict[str, Any], part: dict[str, Any]) -> str:
    old, new = event.get("old_queue"), part.get("queue")
    return f"{old} → {new}" if old and new and old != new else cell(new)


def _name(party: dict[str, Any] | None) -> str:
    """Who it is: an agent, a router's strategy, a client."""
    names = ("agent_id", "place_id", "strategy_id", "router_id", "client_name")
    return " ".join(str(party[name]) for name in names if party.get(name)) if party else ""


def _reason(event: dict[str, Any]) -> str:
    reason = event.get("reason")
    return cell(reason.get("reason_system_name") if isinstance(reason, dict) else reason)
