"""What every message class is: requests, replies, notifications, reporting events; and what a request class says of
itself: who may send it, how a proxy routes it, how replies merge, what may run only once.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Annotated, Any, ClassVar, dataclass_transform

from msgspec import UNSET, Meta, Raw, Struct, StructMeta, UnsetType, field

from broker.errors import Code

EMPTY = Raw(b"{}")
"""An empty JSON object, for ``user_data`` that was not given."""


Document = Raw | UnsetType
"""A free JSON value as bytes, UNSET where it was not given (msgspec does not take ``Raw | None``)."""


class ClientType(StrEnum):
    """What a registered client is."""

    AGENT = "AgentApplication"
    MEDIA = "MediaServer"
    ROUTING = "RoutingEngine"
    REPORTING = "ReportingEngine"
    ESP = "ESPServer"
    CAPTURE = "CapturePoint"
    PROXY = "Proxy"
    MONITOR = "Monitor"


ANYONE = frozenset(ClientType)
HANDLERS_OF_INTERACTIONS = frozenset(
    {ClientType.AGENT, ClientType.MEDIA, ClientType.ROUTING, ClientType.CAPTURE, ClientType.PROXY}
)
AGENTS = frozenset({ClientType.AGENT, ClientType.PROXY})
RETURNS = (
    "EventPartyRemoved",
    "EventResumed",
    "EventPlacedInQueue",
    "EventPlacedInWorkbin",
    "EventWorkbinContentChanged",
)
"""What comes of an interaction's return to where it was taken from."""
REPORTERS = frozenset({ClientType.REPORTING, ClientType.PROXY, ClientType.MONITOR})
OPERATORS = frozenset({ClientType.MONITOR, ClientType.PROXY})


class Route(Enum):
    """Where a proxy sends a request. The values are the words of the documentation."""

    HERE = "answered by the server that was asked"
    INTERACTION = "the node that holds the interaction"
    AGENT = "every node of the tenant, the agent's speaking node first (logout: last)"
    SUBMIT = "one node that serves tenant and media type and accepts submits"
    SCATTER = "all nodes that serve the tenant and, if given, the media type"
    SNAPSHOT = "the nodes that the snapshot id names"
    ENGINE = "every node of the tenant that is there; one that is away gets it when it is back"
    PULL = "the node whose head of the view comes first"
    STREAM = "all nodes, through the merged stream"
    NODE = "the node that `node` names"
    RESERVE = "one node of the tenant that decides about the agent for all, then the others"
    SERVICE = (
        "the node that holds the interaction, if one is named, else one that serves the tenant and, if given, the media"
        " type; the next one when it has no such ESP server"
    )
    REFERENCE = "the node that `esp_server_refid` names"


class Merge(Enum):
    """How a proxy makes one reply of the nodes' replies."""

    PASS = "the one reply, byte for byte"
    POSITIVE = "the one positive reply; all negative: 43; two: 2005; negative and silent: 2003"
    ALL = "an ack when all acked; a refusal undoes the rest and is returned"
    ORDERED = "interactions in the asked order, the limit kept exactly, `complete` and `missing`"
    SNAPSHOT = "one snapshot of all the nodes' parts: counts are added"
    PLACES = "the nodes' interactions by their places in the snapshot"
    GRANTS = "the granted interactions, in the view's order"
    EVENTS = "events in the order of (time, node)"
    TOTALS = "the nodes' numbers added up, `complete` and `missing`"
    QUEUES = "each queue with the nodes' parts of it, `complete` and `missing`"
    COUNTS = "the nodes' counts added up, `complete` and `missing`"
    STATES = "the nodes' states, true at one cursor"
    AGENT = "the agent as its speaking node has it, counts added up, `complete` and `missing`"


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
class KeywordOnly(StructMeta):
    """msgspec's ``kw_only`` holds for one class only; with this metaclass it holds for all that inherit."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **config: Any) -> Any:
        return super().__new__(mcs, name, bases, namespace, **{"kw_only": True, **config})


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
class Record(Struct, metaclass=KeywordOnly, omit_defaults=True):
    """A thing that messages speak of; what has its default is left out on the wire."""


class Message(Record, tag_field="message", tag=True):
    """Anything with a name. On the wire: a JSON object whose ``message`` is the class's name."""


class Request(Message):
    """What a client asks. The class variables are the request's record: the one place that says how it is treated.

    A field that is missing, or of a wrong type or value, is an error that names it; unknown fields are ignored.
    """

    senders: ClassVar[frozenset[ClientType]] = ANYONE
    route: ClassVar[Route] = Route.HERE
    merge: ClassVar[Merge] = Merge.PASS
    once: ClassVar[bool] = False
    """It changes something: the positive reply is kept, so that a repetition gets the same reply and does nothing."""
    deferred: ClassVar[bool] = False
    """Its reply waits for a person: a proxy waits as long as an invitation may stand."""
    reply: ClassVar[str] = "EventAck"
    causes: ClassVar[tuple[str, ...]] = ()
    """Reporting events and notifications it may cause, now or later."""
    refuses: ClassVar[tuple[Code, ...]] = ()
    """The codes it may be refused with, besides the general ones and its parents'."""
    example: ClassVar[dict[str, Any]] = {}

    dedup_id: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=64,
                description="the client's own name for this request: asked for again under the same name, it gets the"
                " first reply and nothing else is done (`dedup-window`)",
            ),
        ]
        | None
    ) = None
    extension: Annotated[Document, Meta(description="hints, any JSON object; most requests do not look into it")] = (
        UNSET
    )


class Reply(Message):
    """What answers a request."""


class Notification(Message):
    """What a server tells a registered client unasked; its ``ref`` is empty."""


class Workbin(Record, frozen=True):
    """A workbin of one owner: its type and exactly one of the owners.

    :param type: the workbin type's name in the configuration
    """

    type: str
    agent_id: str | None = None
    agent_group: str | None = None
    place_id: str | None = None
    place_group: str | None = None


class InteractionPart(Record):
    """An interaction as events show it, after the change.

    :param interaction_state: 0 queued, 2 being processed by routing, 3 being handled by an agent
    :param queue: the queue it is in, or was taken from
    :param is_online: 1 while the customer is there
    :param submitted_by: name of the client that brought it in
    :param user_data: where it is new or changed; the option `event-user-data` decides
    """

    interaction_id: str
    media_type: str
    interaction_type: str = "Inbound"
    interaction_subtype: str | None = None
    interaction_state: int
    queue: str | None = None
    workbin: Workbin | None = None
    parent_id: str | None = None
    external_id: str | None = None
    priority: int
    is_online: int
    received_at: float
    submitted_at: float
    submitted_by: str | None = None
    user_data: Document = UNSET


class Actor(Record):
    """Who caused an event: an agent at a place, a strategy of a router, or a client (media server, capture point).

    :param router_id: name of the routing engine's client
    :param client_name: of any other client
    """

    agent_id: str | None = None
    place_id: str | None = None
    strategy_id: str | None = None
    router_id: str | None = None
    client_name: str | None = None
    client_type: str | None = None


class Party(Record):
    """Who was added, removed or took the interaction.

    :param type: 1 a strategy, 2 an agent
    :param router_id: name of the routing engine's client
    :param visibility_mode: who sees it: 0 all, 1 agents only, 2 nobody
    :param in_focus: 1 where the agent said that it has the interaction before it
    """

    type: int
    agent_id: str | None = None
    place_id: str | None = None
    strategy_id: str | None = None
    router_id: str | None = None
    visibility_mode: int = 0
    in_focus: int | None = None


class AgentPart(Record):
    """An agent as events show it, after the change.

    :param session: names this agent session, from login to logout
    :param media_type: the one that was changed, in events about one media type
    :param media: each media type with 0 not ready, 1 ready
    :param media_reasons: the reasons of these states
    :param state_reason: the reason of its state as a whole
    :param reason: as the request gave it
    """

    agent_id: str | None = None
    place_id: str | None = None
    session: str | None = None
    media_type: str | None = None
    media: dict[str, int] = {}
    media_reasons: dict[str, Raw] = {}
    donot_disturb: bool = False
    state_reason: Document = UNSET
    reason: Document = UNSET


class ReportingEvent(Message):
    """One event of the reporting stream. ``topic`` is the class in its topic: interaction, agent, esp, custom, system.

    :param node: where it happened; in a proxy's own system events the proxy
    :param seq: rises by 1 per node, across restarts and failovers; 0 in a proxy's own system events
    :param time: the node's logical clock in seconds
    :param tenant_id: whose event it is; 0 for the cluster's own
    :param interaction: in events about an interaction
    :param actor: who caused it; absent when the server did by itself
    :param party: who was added, removed, invited or took the interaction; whom a custom event is about
    :param operation: by what the party comes or goes: `Create`, `Pull`, `Route`, `Transfer`, `Conference`, `Intrude`
    :param old_queue: the queue it was in before
    :param old_state: the state it was in before
    :param agent: in events about an agent
    :param reason: as the request gave it; of what a server does by itself `{"reason_system_name": …}`
    :param cause: name of the request that caused it
    :param body: what the event's own description says
    :param echo: another node speaks for this agent operation; a node's own stream has it, the merged one leaves it out
    :param echoes: how many echoes of this node stand directly before this event, so that
        `seq == last seq + 1 + echoes` holds for a reader of the merged stream
    :param late: the merged stream had gone on without the node; the event belongs to an earlier time
    """

    topic: ClassVar[str] = "interaction"

    node: str
    seq: int
    time: float
    tenant_id: int
    interaction: InteractionPart | None = None
    actor: Actor | None = None
    party: Party | None = None
    operation: str | None = None
    old_queue: str | None = None
    old_state: int | None = None
    agent: AgentPart | None = None
    reason: Document = UNSET
    cause: str | None = None
    body: Document = UNSET
    echo: bool = False
    echoes: int = 0
    late: bool = False


STRATEGY, AGENT = 1, 2
"""The values of :attr:`Party.type`."""
