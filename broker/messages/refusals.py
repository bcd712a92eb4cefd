"""Which request may be refused with which code, for the documentation pages.

A test holds this against the code: every code that nodes and proxies use is here, and every code that is here is used.
"""

from __future__ import annotations

from broker.errors import Code

from .kinds import Request, Route

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
    Route.SNAPSHOT: (Code.SNAPSHOT_NOT_ACCESSIBLE, Code.LOST_CONNECTION),
    Route.PULL: (Code.NO_SERVERS, Code.LOST_CONNECTION, Code.NOT_ACCESSIBLE, Code.SEVERAL_OWNERS),
    Route.ENGINE: (Code.IN_PROGRESS, Code.NO_SERVERS, Code.LOST_CONNECTION),
    Route.STREAM: (Code.LOST_CONNECTION,),
    Route.NODE: (Code.LOST_CONNECTION,),
    Route.RESERVE: (Code.NO_SERVERS, Code.LOST_CONNECTION),
    Route.SERVICE: (Code.NO_SERVERS, Code.LOST_CONNECTION, Code.NOT_ACCESSIBLE, Code.SEVERAL_OWNERS),
    Route.REFERENCE: (Code.LOST_CONNECTION,),
}
"""What comes of the way that a request takes through a proxy."""


def refusals(request: type[Request]) -> list[Code]:
    """The codes that a request may be refused with besides the general ones, in the order of their numbers."""
    own = {code for cls in request.__mro__ for code in vars(cls).get("refuses", ())}
    return sorted(own | set(OF_ROUTE.get(request.route, ())))
