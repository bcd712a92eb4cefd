"""Which request may be refused with which code, for the documentation pages.

A test holds this against the code: every code that nodes and proxies use is here, and every code that is here is used.
"""

from __future__ import annotations

from broker.errors import Code

from .agents import (
    MediaRequest,
    RequestAddMedia,
    RequestAgentLogin,
    RequestAgentLogout,
    RequestCancelNotReadyForMedia,
    RequestDoNotDisturbOff,
    RequestDoNotDisturbOn,
    RequestNotReadyForMedia,
    RequestRemoveMedia,
)
from .connection import RequestRegisterClient
from .interactions import ChangingRequest, RequestFindInteractions, RequestPlaceInQueue, RequestSubmit
from .kinds import Request, Route
from .operations import RequestSwitchover
from .pulls import RequestPull, RequestWatchView
from .reporting import RequestStartPlaceAgentStateReportingAll
from .routing import InvitationRequest, RequestDeliver

GENERAL: dict[Code, str] = {
    Code.NOT_REGISTERED: "there is no session (any more): register, then ask again",
    Code.MISSING_ATTRIBUTE: "a field is missing; `field` names it",
    Code.WRONG_VALUE: "a field has a wrong type or value; `field` names it, `detail` says what was expected",
    Code.MALFORMED: "it is no JSON object with a `message`, it is too long, or a frame has no pair",
    Code.DUPLICATE_EXPIRED: "the `dedup_id` was used before and its reply is no longer kept; nothing was done again",
    Code.ACCESS_DENIED: "it is not for clients of this type, or this client does not hold the interaction or session",
    Code.DATABASE_FAILURE: "the node cannot write to its database at the moment",
    Code.NOT_PRIMARY: "a standby member was asked directly; a proxy never answers this",
    Code.BUSY: "a bound of the server is reached; `retry_after` says when to ask again",
    Code.UNSUPPORTED: "no request has this name, or this server does not serve it",
}
"""What any request may be refused with, and when."""

OF_ROUTE: dict[Route, tuple[Code, ...]] = {
    Route.INTERACTION: (Code.UNKNOWN_INTERACTION, Code.NOT_ACCESSIBLE, Code.SEVERAL_OWNERS),
    Route.AGENT: (Code.IN_PROGRESS, Code.NO_SERVERS, Code.LOST_CONNECTION),
    Route.SUBMIT: (Code.MEDIA_DISABLED, Code.NO_SERVERS, Code.LOST_CONNECTION),
    Route.SCATTER: (Code.NO_SERVERS, Code.LOST_CONNECTION),
    Route.PULL: (Code.NO_SERVERS, Code.LOST_CONNECTION, Code.NOT_ACCESSIBLE, Code.SEVERAL_OWNERS),
    Route.STREAM: (Code.LOST_CONNECTION,),
    Route.NODE: (Code.LOST_CONNECTION,),
}
"""What comes of the way that a request takes through a proxy."""

OWN: dict[type[Request], tuple[Code, ...]] = {
    RequestRegisterClient: (Code.UNKNOWN_TENANT,),
    RequestAgentLogin: (
        Code.UNKNOWN_TENANT,
        Code.UNKNOWN_MEDIA,
        Code.PLACE_OCCUPIED,
        Code.AGENT_ELSEWHERE,
        Code.CONNECTION_REFUSED,
        Code.LICENCE_LIMIT,
    ),
    RequestAgentLogout: (Code.NOT_LOGGED_IN,),
    MediaRequest: (Code.NOT_LOGGED_IN,),
    RequestAddMedia: (Code.UNKNOWN_MEDIA, Code.MEDIA_PRESENT),
    RequestRemoveMedia: (Code.MEDIA_ABSENT,),
    RequestNotReadyForMedia: (Code.MEDIA_ABSENT, Code.SAME_STATE),
    RequestCancelNotReadyForMedia: (Code.MEDIA_ABSENT, Code.SAME_STATE),
    RequestDoNotDisturbOn: (Code.NOT_LOGGED_IN, Code.SAME_STATE),
    RequestDoNotDisturbOff: (Code.NOT_LOGGED_IN, Code.SAME_STATE),
    RequestSubmit: (
        Code.UNKNOWN_TENANT,
        Code.UNKNOWN_MEDIA,
        Code.UNKNOWN_QUEUE,
        Code.QUEUE_DISABLED,
        Code.NOT_LOGGED_IN,
        Code.DUPLICATE_INTERACTION,
    ),
    ChangingRequest: (Code.BAD_TICKET,),
    RequestPlaceInQueue: (Code.UNKNOWN_QUEUE, Code.QUEUE_DISABLED),
    RequestDeliver: (Code.BAD_TICKET, Code.WRONG_STATE, Code.BAD_TARGET),
    InvitationRequest: (Code.BAD_TICKET, Code.NOT_LOGGED_IN, Code.ALREADY_ACCEPTED),
    RequestFindInteractions: (Code.UNKNOWN_TENANT, Code.BAD_CONDITION),
    RequestPull: (
        Code.UNKNOWN_TENANT,
        Code.UNKNOWN_VIEW,
        Code.NOT_LOGGED_IN,
        Code.UNKNOWN_INTERACTION,
        Code.LOCKED,
        Code.WRONG_STATE,
    ),
    RequestWatchView: (Code.UNKNOWN_VIEW,),
    RequestStartPlaceAgentStateReportingAll: (Code.UNKNOWN_TENANT,),
    RequestSwitchover: (Code.WRONG_STATE,),
}
"""A class's own codes, besides those above; requests that inherit from it may be refused with them too."""


def refusals(request: type[Request]) -> list[Code]:
    """The codes that a request may be refused with besides the general ones, in the order of their numbers."""
    codes = {code for cls in request.__mro__ for code in OWN.get(cls, ())}
    return sorted(codes | set(OF_ROUTE.get(request.route, ())))
