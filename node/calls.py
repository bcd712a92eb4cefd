"""A request on its way through the node, and what the node says in the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import UNSET

from broker.errors import Code, Refusal
from broker.messages.kinds import Actor, ClientType, Document, Reply
from broker.wire import ECHO, LISTED, MARKED, Events, PackedReply, Rows, pack

if TYPE_CHECKING:
    from .journal import Change
    from .sessions import Session

Source = tuple[bytes, int]
"""Who asks: the peer's routing id, and which of a proxy's clients (0: the peer itself)."""

Outgoing = tuple[Source, Any, bytes | Rows, int]
"""``(source, ref, payload, code)``; ``ref`` None is a notification; ``code`` 0 is a positive reply. Rows are the answer
to a proxy that has asked for them (:attr:`Call.listed`), and to nobody else."""


def packed_reply(outgoing: Outgoing) -> PackedReply:
    """What is said to a proxy, or through it to a client."""
    (_, client), ref, payload, code = outgoing
    if type(payload) is bytes:
        return PackedReply(ref or 0, client, code, payload)
    assert isinstance(payload, Rows)
    return PackedReply(ref, client, code, b"", payload)


class Cause(NamedTuple):
    """Why an event is said: who, by which request, with which reason."""

    actor: Actor | None = None
    request: str | None = None
    reason: Document = UNSET


UNASKED = Cause()
"""The server's own doing."""


class Call:
    """One request, decoded, with everybody it concerns.

    :param ref: the shell's own, given back with the reply; an int is a number of a proxy's link
    :param keys: under which its reply is kept, if it runs once
    :param dress: makes the reply that is sent of the reply that is given, for a request inside another one
    """

    __slots__ = ("dress", "flags", "keys", "ref", "request", "session", "source")

    def __init__(self, source: Source, ref: Any, flags: int, session: Session | None, request: Any) -> None:
        self.source = source
        self.ref = ref
        self.flags = flags
        self.keys: list[str] = []
        self.dress: Callable[[Reply], Reply] | None = None
        self.session: Session = session  # type: ignore[assignment]
        self.request = request

    @property
    def echo(self) -> bool:
        """Another node speaks for this operation."""
        return bool(self.flags & ECHO)

    @property
    def listed(self) -> bool:
        """A proxy asks, and wants to merge what is found here with what is found elsewhere."""
        return bool(self.flags & LISTED)

    @property
    def marked(self) -> bool:
        """A proxy takes a snapshot at other nodes, too."""
        return bool(self.flags & MARKED)

    @property
    def name(self) -> str:
        """The request's name on the wire."""
        return type(self.request).__name__

    def is_again(self, before: Call) -> bool:
        """Whether a proxy has sent an earlier call again, under its number."""
        return type(self.ref) is int and (self.source, self.ref) == (before.source, before.ref)

    def actor(self) -> Actor:
        """The client that asks, as the one who caused an event."""
        session = self.session
        return Actor(
            strategy_id=getattr(self.request, "strategy_id", None),
            router_id=session.name if session.type is ClientType.ROUTING else None,
            client_name=session.name,
            client_type=session.type.value,
        )

    def cause(self, actor: Actor | None = None) -> Cause:
        """This request as the cause of what it brings about. :param actor: the agent or strategy that asks"""
        return Cause(actor or self.actor(), self.name, getattr(self.request, "reason", UNSET))

    def tenant(self, tenant_id: int) -> None:
        """Checks that the client may act in a tenant. :raises Refusal: as if the tenant did not exist"""
        if tenant_id not in self.session.tenants:
            raise Refusal(Code.UNKNOWN_TENANT, f"no tenant {tenant_id}", field="tenant_id")


class Read(NamedTuple):
    """ReplayEvents: the shell answers it from the store.

    :param after_us: events after this time (µs)
    :param limit: how many are looked at
    :param interaction_id: only those about this interaction
    """

    source: Source
    ref: Any
    after_us: int
    limit: int
    binary: bool
    tenants: frozenset[int] | None
    interaction_id: str | None = None


class Dialled(NamedTuple):
    """For an ESP server that the node connects to. :param refid: the frame that its answer brings back"""

    name: str
    refid: str
    payload: bytes


class Batch(NamedTuple):
    """What a node decided on: commit changes and events first, then send."""

    us: int
    changes: list[Change]
    events: Events
    replies: list[Outgoing]
    reads: list[Read]
    dialled: list[Dialled]

    def packed_events(self) -> bytes:
        """The events as they stand in the journal; empty when there are none."""
        return pack(self.events) if self.events.events else b""
