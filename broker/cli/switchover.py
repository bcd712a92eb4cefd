"""``ixn switchover``: the other member of a pair takes over, in good order."""

from __future__ import annotations

from typing import Any

import click

from broker.answers import ClientError
from broker.client import Client
from broker.errors import Code
from broker.ids import make_id, node_code
from broker.link import clock
from broker.messages.interactions import RequestGetInteractionProperties
from broker.messages.kinds import ClientType
from broker.messages.operations import RequestGetStatus, RequestSwitchover

from .output import output_option, print_document
from .reach import connected

BEFORE_S = 0.1
"""How long requests are sent to the node before the switchover, for comparison."""


@click.command("switchover")
@click.argument("node", metavar="NODE")
@click.option("--timeout", type=float, default=10.0, show_default=True, help="Seconds for the other member to serve.")
@output_option()
@click.pass_context
def command(context: click.Context, node: str, timeout: float, output: str) -> None:
    """Let the standby of NODE take over; say how long the node was away.

    The active member finishes what it has, gives its lease up and goes on as the standby. Clients behind proxies notice
    nothing but a pause, which is measured here by a request that is sent to the node again and again.

    Exit code 1: there is no healthy standby, nothing was done. 75: the other member did not serve in time.
    """
    with connected(context, ClientType.MONITOR) as client:
        was = _active(client, node)
        probes = Probes(client, node)
        probes.run(BEFORE_S)
        client.request(RequestSwitchover(node=node))
        document = {"node": node, "from": was, **_other(client, probes, was, timeout)}
    document["pause_ms"] = round(1000 * probes.longest_s, 1)
    if output == "text":
        pause = f"it did not answer for {document['pause_ms']:g} ms"
        click.echo(f"{node}: the {document['to']} is active, the {was} was; {pause}")
    else:
        print_document(document, output)


class Probes:
    """Requests to one node, one after the other, each as soon as the last one is answered.

    :param longest_s: the longest that one has taken
    """

    def __init__(self, client: Client, node: str) -> None:
        self.node = node
        self._client = client
        self._request = RequestGetInteractionProperties(interaction_id=make_id(node_code(node), 1))
        self.longest_s = 0.0

    def run(self, seconds: float) -> None:
        """Asks for some time. :raises Unavailable, TimeoutError: the proxy is lost; ClientError: the node is"""
        until = clock() + seconds
        while (asked_at := clock()) < until:
            try:
                self._client.request(self._request)
            except ClientError as error:
                if error.code != Code.UNKNOWN_INTERACTION:  # that is the node's answer: nobody has such an id
                    raise
            self.longest_s = max(self.longest_s, clock() - asked_at)


def _active(client: Client, node: str) -> str | None:
    return next((name for name, member in _members(client, node).items() if member.get("role") == "active"), None)


def _members(client: Client, node: str) -> dict[str, Any]:
    """The node's members as the proxy sees them. :raises click.UsageError: there is no such node"""
    nodes = client.request(RequestGetStatus()).get("nodes", {})
    if node not in nodes:
        raise click.UsageError(f"there is no node {node}; there are {', '.join(nodes) or 'none'}")
    members: dict[str, Any] = nodes[node]["members"]
    return members


def _other(client: Client, probes: Probes, was: str | None, timeout: float) -> dict[str, Any]:
    """Waits for the other member to be active. :raises TimeoutError: it is not, in time"""
    node = probes.node
    until = clock() + timeout
    while True:
        probes.run(0.05)
        members = _members(client, node)
        now = _active(client, node)
        if now is not None and now != was:
            return {"to": now, "epoch": members[now].get("epoch")}
        if clock() > until:
            raise TimeoutError(f"no other member of {node} was active within {timeout:g} s")
