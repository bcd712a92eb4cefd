"""``ixn drain`` and ``ixn undrain``: a node takes no new interactions, and again."""

from __future__ import annotations

from typing import Any

import click

from broker.client import Client
from broker.link import clock
from broker.messages.kinds import ClientType
from broker.messages.operations import RequestDrain, RequestGetStatus, RequestUndrain
from broker.messages.queues import RequestGetQueues

from .output import cell, output_option, print_document, print_table, table
from .reach import connected

LOOK_S = 0.5


@click.command("drain")
@click.argument("node", metavar="NODE")
@click.option("--wait", is_flag=True, help="Wait until nothing is left, and show what is.")
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    help="With --wait: seconds to wait at most.  [default: as long as it takes]",
)
@output_option()
@click.pass_context
def drain(context: click.Context, node: str, wait: bool, timeout: float | None, output: str) -> None:
    """Have NODE take no new interactions that come through proxies; show what is left there.

    What is there goes on: it is pulled, delivered, stopped as before. It holds, also across failovers and restarts,
    until `ixn undrain NODE`. Exit code 75: with --timeout, something was left.
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait")
    with connected(context, ClientType.MONITOR) as client:
        client.request(RequestDrain(node=node))
        left = _left(client, node)
        until = None if timeout is None else clock() + timeout
        while wait and left["interactions"]:
            click.echo(f"{node}: {left['interactions']} left", err=True)
            if until is not None and clock() >= until:
                _print(left, output)
                raise TimeoutError(f"{left['interactions']} interactions are left at {node} after {timeout:g} s")
            client.idle(LOOK_S)
            left = _left(client, node)
    _print(left, output)


@click.command("undrain")
@click.argument("node", metavar="NODE")
@output_option()
@click.pass_context
def undrain(context: click.Context, node: str, output: str) -> None:
    """Have NODE take new interactions again."""
    with connected(context, ClientType.MONITOR) as client:
        client.request(RequestUndrain(node=node))
    if output == "text":
        click.echo(f"{node} takes new interactions")
    else:
        print_document({"node": node, "drained": False}, output)


def _left(client: Client, node: str) -> dict[str, Any]:
    """What is at the node now, by queue."""
    reply = client.request(RequestGetQueues())
    queues = {part["queue"]: part.get("nodes", {}).get(node, {}) for part in reply["queues"]}
    counts = {name: {key: part.get(key, 0) for key in _STATES} for name, part in queues.items()}
    left = {name: count for name, count in counts.items() if any(count.values())}
    figures = client.request(RequestGetStatus())["nodes"].get(node, {})
    total = sum(sum(count.values()) for count in left.values())
    return {"node": node, "drained": True, "interactions": total, "queues": left, "agents": figures.get("agents")}


_STATES = ("queued", "routing", "handling")


def _print(left: dict[str, Any], output: str) -> None:
    if output != "text":
        print_document(left, output)
        return
    click.echo(f"{left['node']} takes no new interactions; {left['interactions']} left")
    if left["queues"]:
        made = table("", ("queue", *(f"#{state}" for state in _STATES)))
        for name, counts in left["queues"].items():
            made.add_row(name, *(cell(counts[state]) for state in _STATES))
        print_table(made)
