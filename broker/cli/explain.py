"""``ixn explain``: why an interaction is where it is."""

from __future__ import annotations

from typing import Any

import click

from broker.answers import ClientError
from broker.client import Client
from broker.errors import Code
from broker.messages.explaining import RequestExplainInteraction
from broker.messages.kinds import ClientType
from broker.messages.objects import QUEUED
from broker.messages.queues import RequestGetViewPosition

from .interactions import as_time, state_of
from .output import cell, output_option, print_document, print_table, table
from .reach import connected

TRUTHS = {True: "true", False: "false", None: "unknown"}


@click.command("explain")
@click.argument("interaction_id", metavar="ID")
@output_option()
@click.pass_context
def command(context: click.Context, interaction_id: str, output: str) -> None:
    """Say why the interaction ID is where it is: what it waits for, and how the views of its queue judge it.

    For each view: whether it has the interaction, each term of its condition with the value that it sees, and the
    interaction's place, at its node and over all nodes. Exit code 1: there is none, and every node has said so.
    """
    with connected(context, ClientType.MONITOR) as client:
        explained = _ask(client, interaction_id)
        for view in explained["views"]:
            view["cluster"] = _place(client, view) if view["position"] is not None else None
    del explained["message"]
    if output == "text":
        _print(explained)
    else:
        print_document(explained, output)


def _ask(client: Client, interaction_id: str) -> dict[str, Any]:
    """The explanation. :raises ClientError: there is none, and what to do then is said"""
    try:
        return client.request(RequestExplainInteraction(interaction_id=interaction_id))
    except ClientError as error:
        if error.code == Code.UNKNOWN_INTERACTION:
            click.echo(f"`ixn timeline {interaction_id}` shows what has happened to one that is gone", err=True)
        elif error.code == Code.SEVERAL_OWNERS:
            click.echo("each of them can be asked: --connect with the address of its active member", err=True)
        raise


def _place(client: Client, view: dict[str, Any]) -> dict[str, Any]:
    """Its place over all nodes; in a divided view nobody can say, for segments have their turns."""
    reply = client.request(RequestGetViewPosition(view_id=view["view_id"], key=view["key"]))
    position = None if view["segment"] is not None else reply.get("before", 0) + 1
    return {"position": position, "depth": reply.get("depth", 0), "missing": reply.get("missing", [])}


def _print(explained: dict[str, Any]) -> None:
    interaction = explained["interaction"]
    queue = f", queue {interaction['queue']}" if interaction.get("queue") else ""
    click.echo(
        f"{interaction['interaction_id']} is {_being(interaction)} at {explained['node']}{queue},"
        f" priority {interaction.get('priority', 0)}, received {as_time(interaction['received_at'])}"
    )
    for wait in explained["waits"]:
        click.echo(f"  {wait['text']}{_times(wait)}")
    for view in explained["views"]:
        _print_view(view, waits=interaction.get("interaction_state", 0) == QUEUED)


def _times(wait: dict[str, Any]) -> str:
    parts = [f"{word} {as_time(wait[word])}" for word in ("since", "until") if wait.get(word) is not None]
    return f" ({', '.join(parts)})" if parts else ""


def _being(interaction: dict[str, Any]) -> str:
    """Its state in a sentence: somebody else is doing what the state's name says."""
    state = state_of(interaction)
    return {"routing": "being routed", "handling": "being handled"}.get(state, state)


def _print_view(view: dict[str, Any], waits: bool) -> None:
    condition = f"where {view['condition']}" if view["condition"] else "all of the queue"
    click.echo(f"\n{view['view_id']}: {condition}, by {view['order']}\n  {_standing(view, waits)}")
    if view["terms"]:
        made = table("", ("term", "value", "truth"))
        for term in view["terms"]:
            made.add_row(term["term"], _value(term), TRUTHS[term["truth"]])
        print_table(made)


def _value(term: dict[str, Any]) -> str:
    """What a term sees, as it is written in conditions."""
    value, name = term["value"], term["property"]
    if name == "interaction_state" and isinstance(value, int):
        return state_of({name: value})
    return "null" if value is None else as_time(value) if name.endswith("_at") else cell(value)


def _standing(view: dict[str, Any], waits: bool) -> str:
    """Where it stands in a view. :param waits: nobody has it"""
    if not view["matches"]:
        return "not in it: the condition is not true of it"
    if view["position"] is None:
        hidden = "pulls do not see it now" if waits else "it does not wait"
        return f"its condition is true of it, but {hidden}"
    where = f"number {view['position']} of {view['depth']} at its node"
    if view["segment"] is not None:
        where = f"number {view['position']} of the segment {view['segment']} at its node, {view['depth']} in all"
    cluster = view["cluster"]
    if cluster["position"] is not None:
        where += f", number {cluster['position']} of {cluster['depth']} over all nodes"
    if cluster["missing"]:
        where += f" (without {', '.join(cluster['missing'])})"
    pulls = view["waiting_pulls"]
    return where + (f"; {pulls} pulls are held for it" if pulls else "")
