"""What operators ask (clients of type Monitor)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta

from broker.errors import Code

from .kinds import OPERATORS, ClientType, Merge, Reply, Request, Route
from .objects import Name


class RequestGetStatus(Request):
    """How the server sees the cluster, the node or itself; the document of ``ixn status``."""

    reply: ClassVar[str] = "EventStatus"
    example: ClassVar[dict[str, Any]] = {}


class RequestSwitchover(Request):
    """The node's active member hands over to its standby."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.WRONG_STATE,)
    senders: ClassVar[frozenset[ClientType]] = OPERATORS
    route: ClassVar[Route] = Route.NODE
    merge: ClassVar[Merge] = Merge.PASS
    causes: ClassVar[tuple[str, ...]] = ("EventNodeActive",)
    example: ClassVar[dict[str, Any]] = {"node": "n1"}

    node: Annotated[Name, Meta(description="the node's name in the configuration")]


class EventStatus(Reply):
    """The status document, see [operations.md](operations.md#status).

    :param state: `healthy`, `degraded` or `down`
    :param why: a sentence for everything that is not as it should be
    """

    state: str
    nodes: dict[str, Any] = {}
    proxies: dict[str, Any] = {}
    why: list[str] = []
