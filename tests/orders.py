"""What the shells do for operators' orders, without a file and without another process."""

from __future__ import annotations

from broker.config.load import judge
from broker.config.objects import Configuration
from broker.config.reading import faults_of
from broker.messages.connection import EventPong
from broker.messages.operations import RequestReconfigure
from node import operations
from node import reconfiguration as of_node
from node.core import NodeCore
from proxy import reconfiguration as of_proxy
from proxy.core import ProxyCore


def obey_node(core: NodeCore, now: float, file: Configuration, standby: EventPong | None = None) -> None:
    """Does what a node was ordered. :param file: what its file says; :param standby: what its standby answers"""
    orders, core.orders = core.orders, []
    for call in orders:
        if type(call.request) is RequestReconfigure:
            of_node.ordered(core, now, call, *_read(call.request.configuration, file))
        else:
            operations.standby_said(core, call, standby)


def obey_proxy(core: ProxyCore, now: float, file: Configuration) -> None:
    """Does what a proxy was ordered."""
    orders, core.own.orders = core.own.orders, []
    for call in orders:
        of_proxy.ordered(core, now, call, *_read(call.head.configuration, file))


def standby(core: NodeCore) -> EventPong:
    """A standby that has all that the node has written."""
    other = "backup" if core.member == "primary" else "primary"
    return EventPong(server=core.name, kind="", member=other, role="standby", pid=2, rev=core.rev)


def _read(text: str | None, file: Configuration) -> tuple[Configuration | None, str]:
    if text is None:
        return file, ""
    verdict = judge(text, "configuration")
    return (None if verdict.faults else verdict.configuration), faults_of(verdict)
