"""``ixn timeline``: what has happened to an interaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from broker.client import Client
from broker.ids import code_of, node_code, time_of
from broker.messages.interactions import EventInteractionSubmitted
from broker.messages.kinds import ClientType
from broker.messages.reporting import RequestReplayEvents
from broker.wire import make_cursor

from .exits import Exit
from .interactions import as_time, state_of
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
        missing = _relevant(interaction_id, reply.get("missing") or [])
        if missing:
            click.echo(f"not complete: no answer from {', '.join(missing)}", err=True)
        yield from reply["events"]
        if not reply.get("more") or reply.get("cursor") == start:
            return
        start = reply["cursor"]


_OWNERS = ("agent_id", "agent_group", "place_id", "place_group")


def _print(interaction_id: str, events: list[dict[str, Any]]) -> None:
    made = table(interaction_id, ("time", "#after", "event", "node", "state", "where", "what", "by", "cause", "reason"))
    before: float | None = None
    for event in events:
        after = "" if before is None else _span(event["time"] - before)
        before = event["time"]
        part = event.get("interaction", {})
        made.add_row(
            *(as_time(event["time"]), after, event["message"], event["node"], _state(part), _where(event, part)),
            *(_what(event), _name(event.get("actor")), cell(event.get("cause")), _reason(event)),
        )
    print_table(made)
    if events[0]["message"] != EventInteractionSubmitted.__name__:
        click.echo("earlier events are not kept any more", err=True)
    if len(events) > 1:
        click.echo(f"{len(events)} events in {_span(events[-1]['time'] - events[0]['time']).lstrip('+')}")


def _relevant(interaction_id: str, nodes: list[str]) -> list[str]:
    """Those of the nodes that can have events of the interaction: an id that the cluster made names the only one."""
    code = code_of(interaction_id)
    return [node for node in nodes if code in (None, node_code(node))]


def _span(seconds: float) -> str:
    """A time between, short."""
    if seconds < 1:
        return f"+{1000 * seconds:.1f} ms"
    if seconds < 60:
        return f"+{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"+{hours}:{minutes:02d}:{rest:02d}"


def _state(part: dict[str, Any]) -> str:
    return state_of(part) if part else ""


def _where(event: dict[str, Any], part: dict[str, Any]) -> str:
    """The queue, and the one before if it is another; the workbin."""
    old, new, workbin = event.get("old_queue"), part.get("queue"), part.get("workbin")
    queue = f"{old} → {new}" if old and new and old != new else cell(new)
    if not workbin:
        return queue
    owner = next((workbin[name] for name in _OWNERS if workbin.get(name)), "")
    return f"{queue}, {workbin['type']} of {owner}"


def _what(event: dict[str, Any]) -> str:
    """Who came or went, and by what; what was changed."""
    party, operation, body = _name(event.get("party")), event.get("operation"), event.get("body")
    if party:
        return f"{party} ({operation})" if operation else party
    if not isinstance(body, dict):
        return ""
    changed = {**body.get("added_properties", {}), **body.get("changed_properties", {})}
    deleted = [f"-{name}" for name in body.get("deleted_properties", [])]
    return ", ".join([*(f"{name}={cell(value)}" for name, value in changed.items()), *deleted])


def _name(party: dict[str, Any] | None) -> str:
    """Who it is: an agent, a router's strategy, a client."""
    names = ("agent_id", "place_id", "strategy_id", "router_id", "client_name")
    return " ".join(str(party[name]) for name in names if party.get(name)) if party else ""


def _reason(event: dict[str, Any]) -> str:
    reason = event.get("reason")
    return cell(reason.get("reason_system_name") if isinstance(reason, dict) else reason)
