"""The configuration as typed objects: tenants, nodes, proxies, clusters, queues, views, workbins, strategies, and their
options.

Every option stands here once, under its published name (kebab-case in the file), with its unit, range, default and
meaning; :mod:`broker.config.load` reads a file into these classes and :mod:`broker.config.page` makes the
documentation page of them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from broker.rates import RATE

AGENT_SEAT = "ics_multi_media_agent_seat"
OPEN_MEDIA_SEAT = "ics_open_media_seat"
MEDIA_SEATS = {"email": "ics_email_seat", "chat": "ics_chat_seat", "sms": "ics_sms_seat"}
"""The seats of media types that have one of their own (the names are ours); all others share `OPEN_MEDIA_SEAT`."""

LICENSES = {
    AGENT_SEAT: "agents that may be logged in at this node at once",
    **{seat: f"of these, agents that have had the media type `{media}`" for media, seat in MEDIA_SEATS.items()},
    OPEN_MEDIA_SEAT: "of these, agents that have had any other media type; `voice` is one of them",
}
"""The licences a node enforces, and what they count: from login to logout, a seat of a media type also if it was only
added later or removed again. The lowest count of all nodes is the cluster's (guide)."""

LAST_TENANT = 2**31 - 1
"""Tenants are numbers from 1 to this."""

MOST_CAPACITY = 100_000
"""The highest capacity that can be set."""
Capacities = dict[str, Annotated[int, Meta(ge=0, le=MOST_CAPACITY)]]
"""Media type -> how many interactions of it an agent may handle at once."""


class Options(Struct, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """A section of options."""


MAX_SUBMITTED = 50_000
"""The published upper end of limits of submitted interactions."""

Submitted = Annotated[
    int,
    Meta(
        ge=0,
        le=MAX_SUBMITTED,
        description="interactions that an engine may hold at a node at once; 0: none are sent; not set: no limit of its"
        " own",
    ),
]
Rate = Annotated[
    str,
    Meta(
        pattern=RATE,
        examples=["10/second", "90/minute", "500/hour", "0"],
        description="how many interactions a node sends an engine at most; `0`: none; not set: no limit of its own",
    ),
]


class MediaType(Options):
    """A media type of a tenant."""

    enabled: Annotated[
        bool, Meta(description="false: proxies refuse submits of this media type; nodes themselves take them (guide)")
    ] = True
    handling_timeout: Annotated[
        int, Meta(ge=0, le=1440, description="minutes an agent may be silent while it handles one; 0: the node's own")
    ] = 0
    capacity: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=MOST_CAPACITY,
                description="how many an agent may handle at once, where neither it nor its groups say; not set: any",
            ),
        ]
        | None
    ) = None


AttributeValue = Annotated[str, Meta(min_length=1, max_length=255)]


class BusinessAttributes(Options):
    """The values that a tenant's interactions may have in their types, by the published names of the business
    attributes. What a submit or a change gives is held against them."""

    interaction_type: Annotated[
        list[AttributeValue], Meta(min_length=1, description="values of `interaction_type`")
    ] = field(name="InteractionType", default_factory=lambda: ["Inbound", "Outbound", "Internal"])
    interaction_subtype: Annotated[
        list[AttributeValue] | None,
        Meta(description="values of `interaction_subtype`, such as `InboundNew`, `OutboundReply`; not set: any"),
    ] = field(name="InteractionSubtype", default=None)


class Tenant(Options):
    """A tenant: a number that requests carry as `tenant_id`, its name, its media types and business attributes."""

    name: Annotated[str, Meta(description="for people")] = ""
    media_types: dict[str, MediaType] = {}
    business_attributes: BusinessAttributes = field(default_factory=BusinessAttributes)


class Addresses(Options):
    """Where a member binds: `tcp://HOST:PORT` or `ipc://PATH`. TCP is for loopback only in this release."""

    requests: Annotated[str, Meta(description="ROUTER, for requests")]
    events: Annotated[str, Meta(description="XPUB, for the event stream")]


class Limits(Options):
    """Bounds of queues and tables that nodes and proxies share; beyond them the answer is `BUSY`."""

    max_message_size: Annotated[
        int, Meta(ge=1024, le=64 * 1024 * 1024, description="bytes of one request's or event's payload")
    ] = 1_048_576
    max_clients: Annotated[int, Meta(ge=1, le=100_000, description="registered sessions")] = 20_000
    max_pending: Annotated[int, Meta(ge=1, le=1_000_000, description="requests waiting for an answer")] = 50_000
    max_batch: Annotated[int, Meta(ge=1, le=10_000, description="requests decided on before one commit or send")] = 512
    keepalive_interval: Annotated[
        float, Meta(ge=0.2, le=3600, description="seconds; a client's session ends after three without a message")
    ] = 30.0


class NodeSettings(Limits):
    """Options of a node; both members of the pair have the same."""

    pull_hold_timeout: Annotated[
        float, Meta(ge=0, le=600, description="seconds an empty pull for strategy is held")
    ] = 10.0
    max_interactions_per_snapshot: Annotated[
        int, Meta(ge=100, le=10_000, description="interactions of this node in one snapshot")
    ] = 500
    snapshot_timeout: Annotated[
        float, Meta(ge=10, le=86_400, description="seconds a snapshot is kept without being used")
    ] = 3600.0
    max_snapshots: Annotated[int, Meta(ge=1, le=100_000, description="snapshots at this node at once")] = 1000
    delivering_timeout: Annotated[
        float, Meta(ge=1, le=86_400, description="seconds an invitation stands; then the interaction goes back")
    ] = 30.0
    handling_timeout: Annotated[
        int,
        Meta(
            ge=1,
            le=1440,
            description="minutes an agent may be silent while it handles an interaction",
        ),
    ] = 180
    routing_timeout: Annotated[
        int, Meta(ge=20, le=525_600, description="minutes a strategy may hold an interaction; then it goes back")
    ] = 720
    default_max_submitted_per_router: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_SUBMITTED,
            description="interactions that one routing engine may hold here, over all its strategies;"
            " `[routing-engines.NAME]` overrides it",
        ),
    ] = 500
    default_max_submission_rate: (
        Annotated[
            str,
            Meta(
                pattern=RATE,
                examples=["10/second", "90/minute", "500/hour", "0"],
                description="how many interactions are sent to one routing engine at most, over all its strategies;"
                " `0`: none; not set: as many as it takes; `[routing-engines.NAME]` overrides it",
            ),
        ]
        | None
    ) = None
    not_ready_on_invitation_timeout: Annotated[
        bool, Meta(description="an agent that lets an invitation expire is made not ready; false in a cluster (guide)")
    ] = False
    agent_login_control: Annotated[
        Literal["none", "ignore"],
        Meta(description="`ignore`: the agent's own id stands for the place of a login. The same on all nodes"),
    ] = "none"
    allow_multiple_agent_connections: Annotated[
        Literal["true", "false", "force-logout"],
        Meta(
            description="`false`: a second connection of an agent is refused; `force-logout`: it ends the first."
            " The same on all nodes; `false` is recommended for a cluster"
        ),
    ] = "true"
    login_session_timeout: Annotated[
        int,
        Meta(ge=0, le=100_000, description="minutes an agent whose client vanished stays logged in; 0: not at all"),
    ] = 1440
    licence_pool: Annotated[
        Literal["node", "cluster"],
        Meta(
            description="`node`: each node has its own seats, and the lowest count is the cluster's (guide); `cluster`:"
            " the seats of all nodes are one pool. The same on all nodes"
        ),
    ] = "node"
    panic_threshold: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="so many agents whose clients vanish within `panic-window` are one panic; 0: only a lost proxy"
            " is one. The same on all nodes",
        ),
    ] = 10
    panic_window: Annotated[
        float,
        Meta(
            ge=0,
            le=600,
            description="seconds that the agents of a client that has vanished wait whether others vanish, too; 0: they"
            " do not wait, and only a lost proxy is a panic. The same on all nodes",
        ),
    ] = 2.0
    panic_grace: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="seconds that agents of a panic have to come back, as if nothing had happened. The same on all"
            " nodes",
        ),
    ] = 90.0
    max_interactions: Annotated[int, Meta(ge=1, le=100_000_000, description="interactions at this node")] = 10_000_000
    max_held_pulls: Annotated[int, Meta(ge=1, le=1_000_000, description="pulls on hold at once")] = 10_000
    dedup_window: Annotated[float, Meta(ge=1, le=86_400, description="seconds a reply is kept for its `dedup_id`")] = (
        300.0
    )
    event_retention: Annotated[
        float, Meta(ge=60, le=31_536_000, description="seconds back that events can be replayed from")
    ] = 86_400.0
    lease_timeout: Annotated[
        float, Meta(ge=0.2, le=600, description="seconds without renewal after which the standby takes over")
    ] = 2.0
    heartbeat_interval: Annotated[
        float, Meta(ge=0.005, le=1, description="seconds between the active member's heartbeats to proxies")
    ] = 0.02
    esp_timeout: Annotated[
        float,
        Meta(ge=0.1, le=3600, description="seconds an ESP server has to answer, where the request names none"),
    ] = 30.0
    max_esp_requests: Annotated[
        int, Meta(ge=1, le=1_000_000, description="requests to ESP servers without an answer, in all")
    ] = 10_000
    max_esp_requests_per_server: Annotated[
        int, Meta(ge=1, le=1_000_000, description="the same for one server; others of its kind are asked beyond it")
    ] = 1000
    event_user_data: Annotated[
        Literal["changes", "always", "never"],
        Meta(description="which events carry the interaction's user data: those where it is new or changed, all, none"),
    ] = "changes"
    max_journal_rows: Annotated[
        int, Meta(ge=1000, le=1_000_000_000, description="rows of the journal; at the bound new work is refused")
    ] = 50_000_000
    synchronous: Annotated[
        Literal["full", "normal"],
        Meta(description="`normal` gives up durability: what was acked last may be lost when the machine fails"),
    ] = "full"


class NodeClusterSettings(Options):
    """What proxies, and only they, read of a node (guide)."""

    media_types: Annotated[
        list[str] | None, Meta(description="media types the node serves; not set: any of its tenants")
    ] = None
    enable_submit: Annotated[
        bool, Meta(description="false: proxies send no new interactions here, all else goes on (drain)")
    ] = True
    tenants: Annotated[list[int] | None, Meta(description="tenants the node serves; not set: all")] = None


class AgentReservation(Options):
    """Routing engines that compete for an agent reserve it first. The same on all nodes."""

    request_collection_time: Annotated[
        int, Meta(ge=0, le=10_000, description="milliseconds that requests are collected; the highest priority wins")
    ] = 100
    reservation_time: Annotated[
        int, Meta(ge=10, le=3_600_000, description="milliseconds that a reservation stands, if it is not used before")
    ] = 10_000
    reject_subsequent_request: Annotated[
        bool,
        Meta(
            description="a reservation of a reserved agent is refused at once; false: it waits for the agent, for as"
            " long as a reservation stands"
        ),
    ] = True


class Node(Options):
    """An Interaction Server pair with its own database."""

    database: Annotated[str, Meta(description="`sqlite:///PATH` of a file that no other node uses")]
    primary: Addresses
    backup: Addresses | None = None
    connections: Annotated[
        list[str], Meta(description="ESP servers that the node connects to; the same at all nodes of a tenant (guide)")
    ] = []
    event_logs: Annotated[
        list[str], Meta(description="event loggers; not served in this release: the node keeps its events itself")
    ] = []
    settings: NodeSettings = field(default_factory=NodeSettings)
    cluster_settings: NodeClusterSettings = field(default_factory=NodeClusterSettings)
    agent_reservation: AgentReservation = field(default_factory=AgentReservation)
    licenses: Annotated[
        dict[str, Annotated[int, Meta(ge=0, le=1_000_000)]], Meta(description="licence -> count; absent: no limit")
    ] = {}


class ProxySettings(Limits):
    """Options of a proxy."""

    pull_hold_timeout: Annotated[
        float, Meta(ge=1, le=600, description="seconds an empty pull for strategy is held; overrides the nodes' own")
    ] = 10.0
    pull_order: Annotated[
        Literal["global", "round-robin"],
        Meta(description="`global`: a view's order holds over all nodes; `round-robin`: the nodes in turn"),
    ] = "global"
    request_timeout: Annotated[float, Meta(ge=0.05, le=600, description="seconds a request waits for its nodes")] = 10.0
    max_pending_per_node: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="requests that one node has not answered; further ones are answered `BUSY` in its place,"
            " so that a node that stands still leaves room (`max-pending`) for the others",
        ),
    ] = 20_000
    interaction_cache_size: Annotated[
        int, Meta(ge=100, le=10_000_000, description="interactions whose node is remembered; the oldest go first")
    ] = 10_000
    stream_stall_timeout: Annotated[
        float, Meta(ge=0.05, le=600, description="seconds a silent node holds the event stream")
    ] = 2.0
    stream_buffer: Annotated[
        int, Meta(ge=1000, le=10_000_000, description="events kept while a node is waited for")
    ] = 200_000


class Proxy(Options):
    """An Interaction Server Proxy, alone or as a primary/backup pair."""

    primary: Addresses
    connections: Annotated[
        list[str],
        Meta(
            min_length=1,
            description="nodes and clusters of nodes; also proxies and clusters of proxies: these stand for the nodes"
            " that they connect to",
        ),
    ]
    backup: Addresses | None = None
    tenants: Annotated[
        list[int] | None,
        Meta(description="tenants whose clients choose this proxy (it serves any that come); not set: all"),
    ] = None
    settings: ProxySettings = field(default_factory=ProxySettings)


class ApplicationCluster(Options):
    """An "Application Cluster" object: a list of nodes, or a list of proxies."""

    cluster_type: Annotated[
        Literal["Interaction Server", "Interaction Server Proxy"], Meta(description="what it is a list of")
    ]
    connections: Annotated[list[str], Meta(description="names of nodes or of proxies, as the type says")]


class ESPServer(Options):
    """An ESP server that nodes connect to; one that registers by itself is not listed. Its `Service` names and its
    application type are what requests find it by."""

    address: Annotated[str, Meta(description="where it listens (a ROUTER), `tcp://HOST:PORT` or `ipc://PATH`")]
    application_type: Annotated[str | None, Meta(description="such as `ClassificationServer`")] = None
    services: Annotated[list[str] | None, Meta(description="the values of `Service` it serves; not set: any")] = None
    tenants: Annotated[list[int] | None, Meta(description="tenants whose requests it gets; not set: all")] = None


class Queue(Options):
    """A business process queue."""

    tenant: Annotated[int, Meta(ge=1, le=LAST_TENANT, description="whose queue it is")]
    enabled: Annotated[
        bool,
        Meta(
            description="false: nothing is put into it, nor into workbins that it is behind, and pulls from its views"
            " get nothing"
        ),
    ] = True
    paused: Annotated[
        bool,
        Meta(description="true: it starts paused, so pulls from its views get nothing until an operator resumes it"),
    ] = False
    completed: Annotated[bool, Meta(description="true: what is put into it is done, and gets its `completed_at`")] = (
        False
    )


class View(Options):
    """A view on a queue: which interactions, in which order."""

    queue: Annotated[str, Meta(description="the queue it looks at")]
    condition: Annotated[str, Meta(description='which interactions, such as `"priority >= 2"`; empty: all')] = ""
    order: Annotated[
        str, Meta(description='such as `"priority desc, received_at"`; empty: `received_at`, then the id')
    ] = ""
    segmentation: Annotated[
        str,
        Meta(
            description="a property, but no timestamp: pulls take from its values in turn, in each by `order`;"
            " empty: not divided. Over several nodes it holds for each node by itself (guide)"
        ),
    ] = ""


class Strategy(Options):
    """A strategy: the views whose interactions nodes send to the routing engines that load it, and what each of these
    engines may have of it."""

    views: Annotated[list[str], Meta(min_length=1, description="views, all of one tenant")]
    max_submitted_interactions: Submitted | None = None
    max_submission_rate: Rate | None = None


class RoutingEngine(Options):
    """What one routing engine may have at a node, over all its strategies; its name is the `client_name` that it
    registers with. What is not set here is as the node's `default-max-…` options have it."""

    max_submitted_interactions: Submitted | None = None
    max_submission_rate: Rate | None = None


class WorkbinType(Options):
    """A workbin type."""

    owner: Annotated[Literal["agent", "agent-group", "place", "place-group"], Meta(description="who owns a workbin")]
    queue: Annotated[str | None, Meta(description="the queue behind it; not set: none")] = None
    order: Annotated[
        str, Meta(description="the order of pulls from `TYPE/PrivateView`; empty: `received_at`, then the id")
    ] = ""


class Agent(Options):
    """What an agent has of its own. Agents that have nothing of their own need not be here."""

    capacity: Annotated[
        Capacities, Meta(description="media type -> how many of it the agent may handle at once; on hold do not count")
    ] = {}


class AgentGroup(Options):
    """A group of agents, who share the workbins of the group."""

    agents: Annotated[list[str], Meta(description="agent ids")]
    capacity: Annotated[
        Capacities, Meta(description="as of an agent, for those who have none of their own; of several groups the most")
    ] = {}


class PlaceGroup(Options):
    """A group of places, which share the workbins of the group."""

    places: Annotated[list[str], Meta(description="place ids")]


PRIVATE_VIEW = "PrivateView"
"""A workbin's view: `TYPE/PrivateView` is all that is in it."""


class CustomProperty(Options):
    """A user-data key that conditions, orders and segmentations may use, as the business attribute
    `InteractionCustomProperties` maps one. Keys are case sensitive, and of all tenants."""

    column: Annotated[
        str | None,
        Meta(
            description="its column in the nodes' tables of interactions (see [database.md](database.md)), and a second"
            " name for it in conditions, orders and segmentations, as the published option `translate-to` gives one;"
            " `a-z 0-9 _`, a letter first. Not set: it has no column"
        ),
    ] = None
    type: Annotated[
        Literal["string", "number", "timestamp"],
        Meta(description="what its values are read as; a value that is none counts as absent"),
    ] = "string"


class Configuration(Options):
    """The whole of cluster.toml."""

    tenants: dict[Annotated[int, Meta(ge=1, le=LAST_TENANT)], Tenant] = {}
    nodes: dict[str, Node] = {}
    clusters: dict[str, ApplicationCluster] = {}
    proxies: dict[str, Proxy] = {}
    esp_servers: dict[str, ESPServer] = {}
    queues: dict[str, Queue] = {}
    views: dict[str, View] = {}
    workbins: dict[str, WorkbinType] = {}
    agents: dict[str, Agent] = {}
    agent_groups: dict[str, AgentGroup] = {}
    place_groups: dict[str, PlaceGroup] = {}
    strategies: dict[str, Strategy] = {}
    routing_engines: dict[str, RoutingEngine] = {}
    custom_properties: dict[str, CustomProperty] = {}

    def nodes_of(self, proxy: str) -> list[str]:
        """Names of the nodes that ``proxy`` works with, each once, in order: those that it connects to directly and
        through clusters, and those of the proxies that it connects to."""
        names: dict[str, None] = {}
        for name in self.reached(proxy):
            if name in self.nodes:
                names[name] = None
        return list(names)

    def seats_of(self, node: str) -> dict[str, int]:
        """The limits of licences that a node holds its agents to: its own, or with ``licence-pool = cluster`` the sums
        over all nodes. A licence that is not there has no limit."""
        if self.nodes[node].settings.licence_pool == "node":
            return dict(self.nodes[node].licenses)
        pool: dict[str, int] = {}
        for one in self.nodes.values():
            for licence, count in one.licenses.items():
                pool[licence] = pool.get(licence, 0) + count
        return pool

    def reached(self, proxy: str) -> list[str]:
        """Everything that the connections of ``proxy`` lead to: nodes, clusters, proxies and what these connect to.
        A name is a node's before it is a cluster's, and a cluster's before it is a proxy's."""
        seen: dict[str, None] = {}
        ahead = list(reversed(self.proxies[proxy].connections))
        while ahead:
            name = ahead.pop()
            if name in seen:
                continue
            seen[name] = None
            if name not in self.nodes:
                further = self.clusters.get(name) or self.proxies.get(name)
                ahead += reversed(further.connections if further is not None else [])
        return list(seen)
