"""Registration and liveness (protocol 3)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta

from .kinds import ClientType, Document, Notification, Reply, Request, Route
from .objects import Name, TenantId

SessionId = Annotated[str, Meta(min_length=1, max_length=80)]


class RequestRegisterClient(Request):
    """The first request of every client: makes (or, with ``session_id``, resumes) its session."""

    route: ClassVar[Route] = Route.HERE
    reply: ClassVar[str] = "EventAck"
    example: ClassVar[dict[str, Any]] = {"client_name": "desk-1", "client_type": "AgentApplication", "tenants": [101]}

    client_name: Name
    client_type: ClientType
    tenants: list[TenantId] | None = None
    media_type: Name | None = None
    session_id: SessionId | None = None


class RequestUnregisterClient(Request):
    """Ends the session; its agents are logged out."""

    causes: ClassVar[tuple[str, ...]] = ("EventAgentLogout",)


class RequestPing(Request):
    """Asks whether the server lives; served before registration, by standby members too."""

    reply: ClassVar[str] = "EventPong"


class EventAck(Reply):
    """Done. Results are in ``extension`` (``InteractionId`` after Submit), and as fields where there are any.

    After RequestRegisterClient: the server's name and kind, the session, and ``keepalive_interval`` in seconds.
    """

    interaction_id: str | None = None
    extension: Document = UNSET
    server: str | None = None
    kind: str | None = None
    protocol: int | None = None
    session_id: str | None = None
    keepalive_interval: float | None = None


class EventPong(Reply):
    """A server lives: which one, and how it sees itself."""

    server: str
    kind: str
    member: str
    role: str
    pid: int
    epoch: int | None = None
    rev: int | None = None
    why: str | None = None
    clients: int | None = None


class EventError(Reply):
    """The request was refused. See the table of codes."""

    code: int
    text: str
    request: str | None = None
    detail: str | None = None
    field: str | None = None
    missing: list[str] | None = None
    retry_after: float | None = None


class EventForcedDisconnect(Notification):
    """The server has ended this session."""

    reason: str
