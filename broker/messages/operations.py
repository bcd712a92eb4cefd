"""What operators ask (clients of type Monitor)."""

from __future__ import annotations

from typing import Any, ClassVar

from .kinds import OPERATORS, ClientType, Merge, Reply, Request, Route
from .objects import Name


class RequestGetStatus(Request):
    """How the server sees the cluster, the node or itself; the document of ``ixn status``."""

    reply: ClassVar[str] = "EventStatus"


class RequestSwitchover(Request):
    """The node's active member hands over to its standby."""

    senders: ClassVar[frozenset[ClientType]] = OPERATORS
    route: ClassVar[Route] = Route.NODE
    merge: ClassVar[Merge] = Merge.PASS

    node: Name


class EventStatus(Reply):
    """The status document: ``state``, ``nodes``, ``proxies`` (operations page)."""

    state: str
    nodes: dict[str, Any] = {}
    proxies: dict[str, Any] = {}
    why: list[str] = []
