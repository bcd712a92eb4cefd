"""What operators ask (clients of type Monitor)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta

from broker.errors import Code

from .kinds import OPERATORS, ClientType, Merge, Record, Reply, Request, Route
from .objects import Name

LAST = 256
"""Drops that a ledger keeps one by one."""


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


class RequestGetLedger(Request):
    """What a server has dropped since its process began: messages that came too late, could not be read or delivered.

    Nothing else says so, for no server writes a log line per message.
    """

    senders: ClassVar[frozenset[ClientType]] = OPERATORS
    route: ClassVar[Route] = Route.NODE
    merge: ClassVar[Merge] = Merge.PASS
    reply: ClassVar[str] = "EventLedger"
    example: ClassVar[dict[str, Any]] = {"node": "n1", "count": 20}

    node: Annotated[Name | None, Meta(description="whose active member; absent: the server that is asked")] = None
    count: Annotated[int, Meta(ge=0, le=LAST, description="how many of the last ones are shown one by one")] = 100


class LedgerEntry(Record):
    """One message that was dropped.

    :param time: when
    :param peer: whom it was for, or from: a client's name, a node
    :param reason: why, in a few words that are always the same
    :param name: the message's, where it can be read
    :param size: bytes of its payload, where it is known
    """

    time: float
    peer: str
    reason: str
    name: str | None = None
    size: int = 0


class EventLedger(Reply):
    """What was dropped.

    :param server: by whom; ``member``: by which member of it
    :param dropped: how many messages
    :param peers: `{peer: {reason: n}}`; peers beyond the first 1,000 together, as `others`
    :param last: the last ones, oldest first
    """

    server: str
    member: str
    dropped: int
    peers: dict[str, dict[str, int]] = {}
    last: list[LedgerEntry] = []


class EventStatus(Reply):
    """The status document, see [operations.md](operations.md#status).

    :param state: `healthy`, `degraded` or `down`
    :param why: a sentence for everything that is not as it should be
    """

    state: str
    nodes: dict[str, Any] = {}
    proxies: dict[str, Any] = {}
    why: list[str] = []
