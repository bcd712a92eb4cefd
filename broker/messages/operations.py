"""What operators ask: status, switchover, drain, configuration (clients of type Monitor)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta

from broker.errors import Code

from .kinds import OPERATORS, ClientType, Merge, Record, Reply, Request, Route
from .objects import Name
from .reporting import SystemEvent

NOT_YET = "NOT CHANGED UNTIL A RESTART"
"""What a log says of options that are kept."""

LAST = 256
"""Drops that a ledger keeps one by one."""


class RequestGetStatus(Request):
    """How the server sees the cluster, the node or itself; the document of ``ixn status``."""

    reply: ClassVar[str] = "EventStatus"
    example: ClassVar[dict[str, Any]] = {}

    askers: Annotated[
        list[Annotated[int, Meta(ge=1)]],
        Meta(description="a proxy's own: its clients with agents that have asked for something, at whatever node"),
    ] = []


class NodeRequest(Request):
    """What requests about one node share."""

    senders: ClassVar[frozenset[ClientType]] = OPERATORS
    route: ClassVar[Route] = Route.NODE
    merge: ClassVar[Merge] = Merge.PASS

    node: Annotated[Name, Meta(description="the node's name in the configuration")]


class RequestSwitchover(NodeRequest):
    """The node's active member hands over to its standby.

    It asks the standby first. Where that does not answer, or is too far behind, nothing happens, and `detail` says why.
    """

    refuses: ClassVar[tuple[Code, ...]] = (Code.WRONG_STATE, Code.IN_PROGRESS)
    once: ClassVar[bool] = True
    causes: ClassVar[tuple[str, ...]] = ("EventNodeActive",)
    example: ClassVar[dict[str, Any]] = {"node": "n1"}


class RequestDrain(NodeRequest):
    """The node takes no new interactions that come through proxies, until RequestUndrain; what is there goes on.

    It holds across failovers and restarts. A node that is drained already stays so. It is what `enable-submit = false`
    does, without a change of the configuration.
    """

    once: ClassVar[bool] = True
    causes: ClassVar[tuple[str, ...]] = ("EventDrainBegun",)
    example: ClassVar[dict[str, Any]] = {"node": "n1"}


class RequestUndrain(NodeRequest):
    """The node takes new interactions again."""

    once: ClassVar[bool] = True
    causes: ClassVar[tuple[str, ...]] = ("EventDrainEnded",)
    example: ClassVar[dict[str, Any]] = {"node": "n1"}


class RequestReconfigure(Request):
    """The server that is asked, node or proxy, reads its configuration file again, as at SIGHUP.

    What can be changed while it runs is in force when the reply comes; what cannot is in `kept` and stays as it was.
    A file with faults changes nothing, and `detail` has all of them, a line each. A node refuses to lose what holds
    interactions: a queue, a type of workbins, a group that owns workbins; then nothing changes either.
    """

    refuses: ClassVar[tuple[Code, ...]] = (Code.WRONG_CONFIGURATION, Code.IN_PROGRESS)
    senders: ClassVar[frozenset[ClientType]] = OPERATORS
    reply: ClassVar[str] = "EventReconfigured"
    causes: ClassVar[tuple[str, ...]] = ("EventConfigurationChanged",)
    example: ClassVar[dict[str, Any]] = {}

    configuration: Annotated[
        str | None,
        Meta(description="the text of a configuration file: nothing is changed, the reply says what would be"),
    ] = None


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


class EventReconfigured(Reply):
    """What became of a new configuration.

    :param server: name of the node or proxy
    :param fingerprint: of the configuration in force (asked with a text: that would be); servers with the same one
        have the same configuration
    :param changed: a sentence for every option that was changed
    :param kept: the same for those that stay as they are until the server is restarted
    """

    server: str
    fingerprint: str
    changed: list[str] = []
    kept: list[str] = []

    def report(self) -> str:
        """All of it in one text, for a log."""
        parts = [f"changed: {', '.join(self.changed) or 'nothing'}"]
        if self.kept:
            parts.append(f"{NOT_YET}: {', '.join(self.kept)}")
        return "; ".join(parts)


class EventDrainBegun(SystemEvent):
    """A node takes no new interactions from now on."""


class EventDrainEnded(SystemEvent):
    """A node takes new interactions again."""


class EventConfigurationChanged(SystemEvent):
    """A node has taken on a new configuration; ``body`` has its fingerprint and how many options were changed."""
