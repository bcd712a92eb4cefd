"""``ixn queue``: look into queues, pause, move, purge them."""

from __future__ import annotations

import sys
from typing import Any
from uuid import uuid4

import click
from msgspec import UNSET, Raw

from broker.client import Client
from broker.config.conversion import nearest
from broker.messages import encode
from broker.messages.interactions import RequestFindInteractions
from broker.messages.kinds import ClientType, Document
from broker.messages.queues import RequestGetQueues, RequestPurgeQueue
from broker.messages.snapshots import RequestMoveInteractions, RequestReleaseSnapshot, RequestTakeSnapshot
from broker.messages.workbins import RequestPauseQueue, RequestResumeQueue

from .interactions import as_time, print_list
from .output import cell, output_option, print_document, print_json, print_table, table
from .reach import connected

_STATES = ("queued", "routing", "handling")

reason_option = click.option("--reason", metavar="TEXT", help="Why: the events that this causes carry it.")
condition_option = click.option(
    "--condition",
    default="",
    metavar="CONDITION",
    help="Only these, such as \"priority < 0 and media_type = 'email'\".",
)


@click.group()
def queue() -> None:
    """Look into queues over all nodes; pause, move and purge them."""


@queue.command("list")
@output_option()
@click.pass_context
def list_(context: click.Context, output: str) -> None:
    """Show every queue: what is in it, by state and node, and whether it is paused or disabled."""
    with connected(context, ClientType.MONITOR) as client:
        reply = client.request(RequestGetQueues())
    if output == "json":
        print_document(reply, output)
    elif output == "jsonl":
        for part in reply["queues"]:
            print_json(part, indent=False)
    else:
        _print_queues(reply["queues"])
    _warn(reply)


@queue.command()
@click.argument("name", metavar="QUEUE")
@condition_option
@click.option("--order", default="received_at", show_default=True, help='Such as "priority desc, received_at".')
@click.option("--count", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most so many.")
@output_option()
@click.pass_context
def peek(context: click.Context, /, name: str, output: str, **options: Any) -> None:
    """Show what waits in QUEUE; nothing is taken."""
    request = RequestFindInteractions(
        condition=waiting_in(name, options["condition"]), order=options["order"], count=options["count"]
    )
    with connected(context, ClientType.MONITOR) as client:
        reply = client.request(request)
        if not reply["interactions"]:
            _check_known(client, name)
    if output == "json":
        print_document(reply, output)
    elif output == "jsonl":
        for one in reply["interactions"]:
            print_json(one, indent=False)
    else:
        more = ", and there are more" if reply.get("more") else ""
        print_list(f"{len(reply['interactions'])} waiting in {name}{more}", reply["interactions"])
    _warn(reply)


@queue.command()
@click.argument("name", metavar="QUEUE")
@reason_option
@output_option()
@click.pass_context
def pause(context: click.Context, name: str, reason: str | None, output: str) -> None:
    """Have pulls from the views of QUEUE get nothing, at all nodes, until it is resumed; it is filled as before."""
    with connected(context, ClientType.MONITOR) as client:
        client.request(RequestPauseQueue(queue=name, reason=_reason(reason)))
    _say({"queue": name, "paused": True}, f"{name} is paused", output)


@queue.command()
@click.argument("name", metavar="QUEUE")
@reason_option
@output_option()
@click.pass_context
def resume(context: click.Context, name: str, reason: str | None, output: str) -> None:
    """Have pulls from the views of QUEUE get interactions again."""
    with connected(context, ClientType.MONITOR) as client:
        client.request(RequestResumeQueue(queue=name, reason=_reason(reason)))
    _say({"queue": name, "paused": False}, f"{name} is resumed", output)


@queue.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@condition_option
@reason_option
@output_option()
@click.pass_context
def move(context: click.Context, /, source: str, target: str, output: str, **options: Any) -> None:
    """Move what waits in the queue FROM to the queue TO, at each node, those that have waited longest first.

    What somebody holds, what is locked or in a workbin stays. An interaction stays at its node. Exit code 1: some were
    taken by somebody meanwhile, and stay where they are.
    """
    if source == target:
        raise click.UsageError(f"what waits in {source} is there already")
    with connected(context, ClientType.MONITOR) as client:
        moved, left = _move(client, waiting_in(source, options["condition"]), target, _reason(options["reason"]))
        if not moved + left:
            _check_known(client, source)
    document = {"from": source, "to": target, "moved": moved, "not_moved": left}
    _say(document, f"{moved} moved from {source} to {target}" + (f", {left} not" if left else ""), output)


@queue.command()
@click.argument("name", metavar="QUEUE")
@condition_option
@reason_option
@click.option("--yes", is_flag=True, help="Do it without asking.")
@output_option()
@click.pass_context
def purge(context: click.Context, /, name: str, output: str, **options: Any) -> None:
    """Stop all that waits in QUEUE, at all nodes: it is gone for ever.

    What somebody holds, what is locked or in a workbin stays. On a terminal it asks first; elsewhere --yes is needed.
    """
    with connected(context, ClientType.MONITOR) as client:
        _confirm(client, name, options)
        purged, missing = _purge(client, name, options["condition"], _reason(options["reason"]))
    _say({"queue": name, "purged": purged}, f"{purged} purged from {name}", output)
    _warn({"missing": missing})


# ---- how it is done


def waiting_in(queue: str, condition: str = "") -> str:
    """The condition for what waits in a queue."""
    quoted = queue.replace("'", "''")
    waiting = f"queue = '{quoted}' and interaction_state = 0 and is_locked = 0 and workbin_type is null"
    return f"{waiting} and ({condition})" if condition.strip() else waiting


def _check_known(client: Client, name: str) -> None:
    """Of a queue in which nothing was found. :raises click.UsageError: there is none of this name"""
    known = [part["queue"] for part in client.request(RequestGetQueues())["queues"]]
    if name not in known:
        raise click.UsageError(f"there is no queue {name}{nearest(name, known)}")


def _move(client: Client, condition: str, target: str, reason: Document) -> tuple[int, int]:
    """Snapshot after snapshot, as many as a node's snapshot may hold each time. Gives moved, and not moved."""
    moved = left = 0
    while True:
        taken = client.request(_once(RequestTakeSnapshot(condition=condition, order="place_in_queue_seq", lock=1)))
        snapshot_id = taken["snapshot_id"]
        try:
            if not taken.get("number_of_interactions"):
                return moved, left
            request = RequestMoveInteractions(snapshot_id=snapshot_id, queue=target, reason=reason)
            reply = client.request(_once(request), timeout=120.0)
        finally:
            client.request(_once(RequestReleaseSnapshot(snapshot_id=snapshot_id)))
        moved += reply.get("number_of_interactions", 0)
        left += reply.get("not_moved", 0)
        if not reply.get("number_of_interactions"):
            return moved, left


def _purge(client: Client, name: str, condition: str, reason: Document) -> tuple[int, list[str] | None]:
    purged = 0
    while True:
        request = RequestPurgeQueue(queue=name, condition=condition, reason=reason)
        reply = client.request(_once(request), timeout=120.0)
        purged += reply.get("purged", 0)
        if not reply.get("left") or not reply.get("purged"):
            return purged, reply.get("missing")


def _confirm(client: Client, name: str, options: dict[str, Any]) -> None:
    """:raises click.UsageError: nobody is there to be asked; click.Abort: the answer is no"""
    if options["yes"]:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("purging is for ever: say --yes")
    reply = client.request(RequestFindInteractions(condition=waiting_in(name, options["condition"]), count=10_000))
    count = len(reply["interactions"])
    click.confirm(
        f"Stop {count}{' or more' if reply.get('more') else ''} interactions in {name}?", abort=True, err=True
    )


def _once(request: Any) -> Any:
    """Under a name of its own, so that another proxy can be asked the same again when one is lost."""
    request.dedup_id = uuid4().hex
    return request


def _reason(text: str | None) -> Document:
    return UNSET if text is None else Raw(encode({"reason_system_name": text}))


# ---- as text


def _say(document: dict[str, Any], text: str, output: str) -> None:
    if output == "text":
        click.echo(text)
    else:
        print_document(document, output)


def _print_queues(parts: list[dict[str, Any]]) -> None:
    made = table("queues", ("queue", "#tenant", *(f"#{state}" for state in _STATES), "by node", "gives"))
    for part in parts:
        nodes = part.get("nodes", {})
        counts = [sum(node.get(state, 0) for node in nodes.values()) for state in _STATES]
        where = ", ".join(f"{name} {node['queued']}" for name, node in nodes.items() if node.get("queued"))
        made.add_row(part["queue"], cell(part["tenant_id"]), *map(str, counts), where, _gives(part, nodes))
    print_table(made)


def _gives(part: dict[str, Any], nodes: dict[str, Any]) -> str:
    if not part.get("enabled", True):
        return "nothing: disabled"
    paused = {name: node.get("paused_since") for name, node in nodes.items() if node.get("paused")}
    if not paused:
        return ""
    where = "" if len(paused) == len(nodes) else f" at {', '.join(paused)}"
    since = min((at for at in paused.values() if at is not None), default=None)
    return f"nothing: paused{where}" + (f" since {as_time(since)}" if since is not None else " by the configuration")


def _warn(reply: dict[str, Any]) -> None:
    if reply.get("missing"):
        click.echo(f"not complete: no answer from {', '.join(reply['missing'])}", err=True)
