"""ESP: requests to external services and what comes of them.

Any client asks, the node hands the request to an ESP server of that name or application type, and the client gets the
server's response or fault. A server registers as a client of type `ESPServer`, or is listed in the configuration and
connected to.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct

from broker.errors import Code

from .kinds import (
    EMPTY,
    HANDLERS_OF_INTERACTIONS,
    ClientType,
    Document,
    Notification,
    Reply,
    ReportingEvent,
    Request,
    Route,
)
from .objects import AskingAgent, AskingPlace, InteractionId, MediaType, Name, StrategyId, TenantId

RefId = Annotated[str, Meta(min_length=1, max_length=64)]
FaultCode = Annotated[int | str, Meta(description="the server's own code")]

_FIND = {"Service": "OMService", "Method": "FindInteractions", "Parameters": {"Condition": "queue = 'Inbound'"}}


class ServiceRequest(Request):
    """What the two names of a request to an external service share."""

    refuses: ClassVar[tuple[Code, ...]] = (
        Code.UNKNOWN_TENANT,
        Code.NO_SERVICE,
        Code.SERVICE_TIMEOUT,
        Code.IN_PROGRESS,
    )
    senders: ClassVar[frozenset[ClientType]] = HANDLERS_OF_INTERACTIONS | {ClientType.ESP}
    route: ClassVar[Route] = Route.SERVICE
    once: ClassVar[bool] = True
    deferred: ClassVar[bool] = True
    reply: ClassVar[str] = "Event3rdServerResponse"
    causes: ClassVar[tuple[str, ...]] = (
        "Request3rdServer",
        "EventExternalServiceRequested",
        "EventExternalServiceResponded",
        "EventPropertiesChanged",
    )

    tenant_id: TenantId
    request: Annotated[
        Raw, Meta(description="`Service` (a string), `Method`, `Parameters`, and what else the server knows; kept")
    ]
    target: Annotated[
        Name | None,
        Meta(description="name or application type of the ESP server; absent: any server that serves `Service`"),
    ] = None
    interaction_id: Annotated[InteractionId | None, Meta(description="the interaction that it is about")] = None
    media_type: MediaType | None = None
    user_data: Annotated[Raw, Meta(description="any JSON object; the server gets it as it is")] = EMPTY
    timeout: (
        Annotated[float, Meta(ge=0, le=3600, description="seconds the server has; absent or 0: `esp-timeout`")] | None
    ) = None
    repeatable: Annotated[
        bool, Meta(description="it may be sent to another server when the first is lost before it has answered")
    ] = False
    esp_client_refid: Annotated[
        RefId | None, Meta(description="the client's reference, for reporting; absent: the `dedup_id`, else the node's")
    ] = None
    strategy_id: StrategyId | None = None
    agent_id: AskingAgent | None = None
    place_id: AskingPlace | None = None


class Request3rdServer(ServiceRequest):
    """Asks an external service. The reply comes when the server has answered: ``Event3rdServerResponse``, or
    ``Event3rdServerFault``, which is the server's own no; ``EventError`` says that no server has answered.

    What the service ``OMService`` is asked (``FindInteractions``, ``GetInteractionProperties``, ``ChangeProperties``,
    ``PlaceInQueue``, ``StopProcessing``), the cluster does itself, see
    [services.md](services.md#what-the-cluster-does-itself).
    """

    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "request": _FIND}


class RequestExternalService(ServiceRequest):
    """The same as ``Request3rdServer``, by its other published name."""

    example: ClassVar[dict[str, Any]] = {"tenant_id": 101, "request": _FIND}


class ServiceAnswer(Request):
    """What a registered ESP server's answers share."""

    refuses: ClassVar[tuple[Code, ...]] = (Code.BAD_TICKET,)
    senders: ClassVar[frozenset[ClientType]] = frozenset({ClientType.ESP, ClientType.PROXY})
    route: ClassVar[Route] = Route.REFERENCE
    once: ClassVar[bool] = True
    causes: ClassVar[tuple[str, ...]] = ("EventExternalServiceResponded",)

    esp_server_refid: Annotated[RefId, Meta(description="of the request that it answers")]


class Request3rdServerResponse(ServiceAnswer):
    """A registered ESP server has done what it was asked."""

    causes: ClassVar[tuple[str, ...]] = ("EventExternalServiceResponded", "EventPropertiesChanged")
    example: ClassVar[dict[str, Any]] = {
        "esp_server_refid": "30FGHMI2NBPV2PWI",
        "response": {"Category": "Complaint"},
        "user_data": {"Category": "Complaint"},
        "merge_user_data": True,
    }

    response: Annotated[Raw, Meta(description="any JSON object; the client gets it as it is")] = EMPTY
    user_data: Annotated[Raw, Meta(description="any JSON object; the client gets it as it is")] = EMPTY
    merge_user_data: Annotated[
        bool, Meta(description="the `user_data` is also written into the interaction that the request names")
    ] = False


class Request3rdServerFault(ServiceAnswer):
    """A registered ESP server cannot, or will not, do what it was asked."""

    example: ClassVar[dict[str, Any]] = {
        "esp_server_refid": "30FGHMI2NBPV2PWI",
        "fault_code": 402,
        "fault_string": "no such category tree",
    }

    fault_code: FaultCode
    fault_string: Annotated[str, Meta(max_length=4096, description="a sentence for a person")] = ""


class RequestServiceUndelivered(Request):
    """A proxy's: a request did not reach its ESP server, whose connection is gone, so another server may have it."""

    senders: ClassVar[frozenset[ClientType]] = frozenset({ClientType.PROXY})
    route: ClassVar[Route] = Route.REFERENCE
    causes: ClassVar[tuple[str, ...]] = ("Request3rdServer", "EventExternalServiceRequested")
    example: ClassVar[dict[str, Any]] = {"esp_server_refid": "30FGHMI2NBPV2PWI"}

    esp_server_refid: Annotated[RefId, Meta(description="of the request")]


class ServiceCalled(Notification, tag="Request3rdServer"):
    """To an ESP server: a request to answer, under its ``esp_server_refid``.

    :param esp_server_refid: names the request in the answer; the same when it is sent again
    :param esp_client_refid: the client's own reference
    :param target: the name or application type that was asked for
    :param request: `Service`, `Method`, `Parameters`, as the client gave it
    :param user_data: as the client gave it
    :param timeout: seconds that the client waits, when it was first sent
    :param client_name: who asks
    :param resent: it was sent before, to this server or another; whether it was done is not known
    """

    esp_server_refid: str
    esp_client_refid: str
    tenant_id: int
    interaction_id: str | None = None
    media_type: str | None = None
    target: str | None = None
    request: Raw
    user_data: Raw = EMPTY
    timeout: float
    client_name: str
    client_type: str
    resent: bool = False


class _Called(Struct, tag_field="message", tag="Request3rdServer"):
    esp_server_refid: str


_called = msgspec.json.Decoder(_Called).decode


def refid_of(payload: bytes) -> str | None:
    """The reference of a notification, if it is a request to an ESP server."""
    try:
        return _called(payload).esp_server_refid
    except (msgspec.DecodeError, RecursionError):
        return None


class Event3rdServerResponse(Reply):
    """What the ESP server has answered.

    :param response: the server's result; of a method that the cluster serves itself the reply of the request
    :param user_data: the server's
    :param user_data_merged: the user data is in the interaction now
    :param esp_client_refid: the client's reference
    :param esp_server_refid: the node's
    :param server: name of the ESP server
    """

    response: Raw
    user_data: Document = UNSET
    user_data_merged: bool = False
    esp_client_refid: str | None = None
    esp_server_refid: str | None = None
    server: str | None = None


class Event3rdServerFault(Reply):
    """The ESP server has answered that it cannot; in the place of ``Event3rdServerResponse``.

    :param fault_code: the server's own; of a method that the cluster serves itself a code of [errors.md](errors.md)
    :param fault_string: a sentence for a person
    :param esp_client_refid: the client's reference
    :param esp_server_refid: the node's
    :param server: name of the ESP server
    """

    fault_code: int | str
    fault_string: str
    esp_client_refid: str | None = None
    esp_server_refid: str | None = None
    server: str | None = None


class ServiceEvent(ReportingEvent):
    """What the events about external services share."""

    topic: ClassVar[str] = "esp"


class EventExternalServiceRequested(ServiceEvent):
    """An ESP server was asked. ``body`` holds both references, the server's name and application type, and the whole
    request with its user data; ``resent`` when it was sent before."""


class EventExternalServiceResponded(ServiceEvent):
    """A request to an ESP server is over. ``body`` holds both references, the server, and its whole response or fault;
    ``code`` and ``text`` where no server has answered."""
