"""Registration and liveness (protocol 3)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta

from broker.errors import Code

from .kinds import RETURNS, ClientType, Document, Notification, Reply, Request, Route
from .objects import MediaType, Name, TenantId

SessionId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=80,
        description="goes on with this session at the new address; its `client_name` has to be the same",
    ),
]


class RequestRegisterClient(Request):
    """The first request of every client: makes (or, with ``session_id``, resumes) its session.

    A media server that wants to be told of others' changes to the interactions that it has submitted says so by
    ``extension`` ``{"event_properties_changed": 1}``; it gets ``EventPropertiesChanged``.
    """

    refuses: ClassVar[tuple[Code, ...]] = (Code.UNKNOWN_TENANT,)
    route: ClassVar[Route] = Route.HERE
    reply: ClassVar[str] = "EventAck"
    example: ClassVar[dict[str, Any]] = {"client_name": "desk-1", "client_type": "AgentApplication", "tenants": [101]}

    client_name: Annotated[Name, Meta(description="the client's name; a `dedup_id` belongs to it")]
    client_type: Annotated[ClientType, Meta(description="what it is; decides what it may ask")]
    tenants: Annotated[
        list[TenantId] | None,
        Meta(description="the tenants that it acts in; another one is to it as if there were none"),
    ] = None
    media_type: Annotated[MediaType | None, Meta(description="a media server's media type; no rule looks at it")] = None
    services: Annotated[
        list[Name] | None, Meta(description="of an ESP server: the values of `Service` that it serves; absent: any")
    ] = None
    application_type: Annotated[
        Name | None,
        Meta(description="of an ESP server: its application type; a service request may ask for any of a type"),
    ] = None
    session_id: SessionId | None = None


class RequestUnregisterClient(Request):
    """Ends the session; its agents are logged out, and what it held goes back."""

    causes: ClassVar[tuple[str, ...]] = (
        "EventAgentLogout",
        *RETURNS,
        "EventRevoked",
        "EventAbandoned",
        "EventLicenceUsage",
        "EventPanicSignal",
    )
    example: ClassVar[dict[str, Any]] = {}

    vanished: Annotated[
        bool,
        Meta(
            description="a proxy's own, about a client that fell silent: its agents stay logged in for"
            " `login-session-timeout`"
        ),
    ] = False


class RequestPing(Request):
    """Asks whether the server lives; served before registration, by standby members too."""

    reply: ClassVar[str] = "EventPong"
    example: ClassVar[dict[str, Any]] = {}


class EventAck(Reply):
    """Done. Results are in ``extension`` (``InteractionId`` after Submit), and as fields where there are any.

    After RequestRegisterClient: the server's name and kind, the session, and ``keepalive_interval`` in seconds.

    :param interaction_id: the interaction that the request was about, or has made
    :param server: name of the node or proxy
    :param kind: `Interaction Server` or `Interaction Server Proxy`
    :param protocol: version of this protocol: 1
    :param session_id: to register with at another address, or after a lost connection
    :param keepalive_interval: seconds; a session ends after three without a message
    """

    interaction_id: str | None = None
    extension: Document = UNSET
    server: str | None = None
    kind: str | None = None
    protocol: int | None = None
    session_id: str | None = None
    keepalive_interval: float | None = None


class EventPong(Reply):
    """A server lives: which one, and how it sees itself.

    :param kind: `Interaction Server` or `Interaction Server Proxy`
    :param role: `active`, `standby`, `starting` or `stopped`
    :param pid: of the member's own process
    :param epoch: of the lease that the member knows; it rises with every take-over
    :param rev: the last row of the journal that the member knows
    :param why: how it came to its role
    :param clients: registered clients
    :param configuration: fingerprint of the configuration in force
    :param registered: whether this server knows the one that asks; false: register (again). A member that is not active
        does not say
    """

    server: str
    kind: str
    member: str
    role: str
    pid: int
    epoch: int | None = None
    rev: int | None = None
    why: str | None = None
    clients: int | None = None
    configuration: str | None = None
    registered: bool | None = None


class EventError(Reply):
    """The request was refused. The codes are in [errors.md](errors.md).

    :param text: the code's fixed text
    :param request: name of the request, where it could be read
    :param server: name of the node or proxy that refuses it
    :param detail: one sentence for a person
    :param field: the attribute at fault
    :param missing: names of the nodes that did not answer
    :param retry_after: seconds after which it is worth asking again
    """

    code: int
    text: str
    request: str | None = None
    server: str | None = None
    detail: str | None = None
    field: str | None = None
    missing: list[str] | None = None
    retry_after: float | None = None


class EventForcedDisconnect(Notification):
    """The server has ended this session: nothing was heard of it for three keep-alive intervals."""

    reason: str
