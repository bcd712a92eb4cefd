"""Every error code of the cluster, one table, and the one exception that carries a code.

The numbers 2000 to 2006 and 43 are published for Interaction Server Proxy and Interaction Server; those below 2000
are this cluster's own. The documentation page of the codes is generated from :class:`Code`.
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """A code of ``EventError``, with its fixed text in :attr:`text` and what a reader should know in :attr:`note`."""

    text: str
    note: str

    def __new__(cls, value: int, text: str, note: str = "") -> Code:
        member = int.__new__(cls, value)
        member._value_ = value
        member.text = text
        member.note = note
        return member

    NOT_REGISTERED = 1, "Client is not registered", "register (again), then repeat the request"
    MISSING_ATTRIBUTE = 2, "Required attribute is missing", "`field` names it"
    WRONG_VALUE = 3, "Attribute has a wrong type or value", "`field` names it, `detail` says what was expected"
    MALFORMED = 4, "Message cannot be read", "not a JSON object, no `message`, too long, or a frame without its pair"
    DUPLICATE_EXPIRED = 5, "The reply to this dedup_id is no longer kept", "it was executed once; never a second time"

    UNKNOWN_TENANT = 10, "Unknown tenant"
    UNKNOWN_QUEUE = 11, "Unknown queue"
    UNKNOWN_MEDIA = 12, "Unknown media type"
    UNKNOWN_WORKBIN = 13, "Unknown workbin"
    UNKNOWN_VIEW = 14, "Unknown view"
    MEDIA_DISABLED = 15, "Media type is disabled"
    UNKNOWN_AGENT = 16, "Unknown agent or place"
    QUEUE_DISABLED = 17, "Queue is disabled"
    UNKNOWN_STRATEGY = 18, "Unknown strategy", "not configured, or not loaded by this engine"

    PLACE_OCCUPIED = 20, "Place is occupied"
    AGENT_ELSEWHERE = 21, "Agent is logged in elsewhere"
    NOT_LOGGED_IN = 22, "Agent is not logged in"
    MEDIA_ABSENT = 23, "Agent does not have this media type"
    MEDIA_PRESENT = 24, "Agent already has this media type"
    SAME_STATE = 25, "Already in this state"
    LOGOUT_IN_PROGRESS = 26, "Logout in progress"
    CONNECTION_REFUSED = 27, "Agent already has a connection"

    LICENCE_LIMIT = 30, "Licence limit reached"

    ACCESS_DENIED = 40, "Access denied", "this client, client type or tenant may not do this"
    UNKNOWN_INTERACTION = 43, "Unknown interaction identifier", "said only when every node that could hold it said so"
    DUPLICATE_INTERACTION = 44, "Interaction identifier already exists"
    LOCKED = 45, "Interaction is locked"
    WRONG_STATE = 46, "Interaction is not in a state for this"
    ALREADY_ACCEPTED = 47, "Invitation was already accepted"
    BAD_TICKET = 48, "Ticket or token is not valid (any more)"
    BAD_TARGET = 49, "Target cannot take the interaction"
    REJECTED = 50, "Rejected by the agent"
    EXPIRED = 51, "Invitation expired"
    CAPACITY_FULL = 52, "Agent has no capacity left", "`detail` says for which media type, and how much it has"
    RESERVED = 53, "Agent is reserved by another routing engine", "it is free again within `reservation-time`"

    DATABASE_FAILURE = 60, "Database failure", "nothing was changed, or it is not known to be durable; ask again"
    DATABASE_TIMEOUT = 61, "Database timeout"
    BAD_CONDITION = 62, "Condition or order cannot be understood", "`detail` gives the column"
    WRONG_CONFIGURATION = 63, "Configuration cannot be taken on", "`detail` says why, a line for every fault"

    UNKNOWN_SNAPSHOT = 70, "Unknown snapshot"

    NO_SERVICE = 80, "ESP server is not available", "no server has got the request, or it may be repeated: ask again"
    SERVICE_TIMEOUT = 81, "ESP server did not answer in time", "or was lost before it answered: it may have been done"

    NOT_PRIMARY = 90, "This server is not the active member of its pair"
    BUSY = 91, "Server is busy, try again", "`retry_after` says in how many seconds"
    DRAINED = 92, "Node takes no new interactions", "an operator drains it; a proxy goes to another node"

    UNSUPPORTED = (
        2000,
        "Unsupported operation",
        "no request has this name, or it is one that only proxies ask, and only of nodes",
    )
    NO_SERVERS = (
        2001,
        "There are no servers accepting this media/tenant",
        "no node serves the tenant or media type, or none takes new interactions of it (`enable-submit`, drained); the"
        " client may not act in the tenant; `tenant_id` or `media_type` is missing or wrong: `field` names it",
    )
    LOST_CONNECTION = (
        2002,
        "Lost connection to one of the asked servers",
        "a node that is needed has not answered in time (`missing`): what was asked may have been done, so ask again"
        " under the same `dedup_id`",
    )
    NOT_ACCESSIBLE = (
        2003,
        "Interaction is not accessible",
        "no node that has answered has the interaction, but one that could have it has not answered (`missing`); or its"
        " id is missing or wrong (`field`)",
    )
    IN_PROGRESS = (
        2004,
        "Operation already in progress",
        "another change of the same agent, strategy, snapshot, node or configuration is under way: ask again when that"
        " is answered",
    )
    SEVERAL_OWNERS = (
        2005,
        "More than one server contain interaction with same ID",
        "clients have given the same id to several nodes; `detail` names them",
    )
    SNAPSHOT_NOT_ACCESSIBLE = (
        2006,
        "Snapshot not accessible",
        "a node that has a part of the snapshot has not answered (`missing`); that a snapshot is gone for good is 70",
    )


class Refusal(Exception):
    """A request is refused: raised by a handler before it has changed anything, answered as ``EventError``.

    :param code: why, from the one table
    :param detail: one sentence for a person: what was expected, what came
    :param field: the attribute at fault, in the request's spelling
    :param missing: names of the nodes that did not answer
    :param retry_after: seconds after which it is worth asking again (``BUSY`` only)
    """

    def __init__(
        self,
        code: Code,
        detail: str = "",
        *,
        field: str | None = None,
        missing: tuple[str, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{int(code)} {code.text}" + (f": {detail}" if detail else ""))
        self.code = code
        self.detail = detail
        self.field = field
        self.missing = missing
        self.retry_after = retry_after
