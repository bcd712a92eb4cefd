"""The configuration as typed objects: tenants, nodes, proxies, clusters, queues, views, workbins, and their options.

Every option stands here once, under its published name (kebab-case in the file), with its unit, range and default;
:mod:`broker.config.load` reads a file into these classes and the documentation page is generated from them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Milliseconds = Annotated[int, Meta(ge=1, le=600_000)]


class Options(Struct, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """A section of options."""


class MediaType(Options):
    """A media type of a tenant. A disabled one is refused for submits by proxies, accepted by nodes (guide)."""

    enabled: bool = True


class Tenant(Options):
    """A tenant: its name and media types."""

    name: str = ""
    media_types: dict[str, MediaType] = {}


class Addresses(Options):
    """Where a member binds: ROUTER ``requests`` and XPUB ``events``, ``tcp://HOST:PORT`` or ``ipc://PATH``."""

    requests: str
    events: str


class Limits(Options):
    """Bounds of queues and tables that nodes and proxies share; beyond them the answer is ``BUSY``."""

    max_message_size: Annotated[int, Meta(ge=1024, le=64 * 1024 * 1024, description="bytes of one payload")] = 1_048_576
    max_clients: Annotated[int, Meta(ge=1, le=100_000, description="registered sessions")] = 20_000
    max_pending: Annotated[int, Meta(ge=1, le=1_000_000, description="requests waiting for an answer")] = 50_000
    max_batch: Annotated[int, Meta(ge=1, le=10_000, description="requests decided on before one commit")] = 512
    keepalive_interval: Annotated[float, Meta(ge=0.2, le=3600, description="seconds; a session ends after three")] = 30.0


class NodeSettings(Limits):
    """``[nodes.NAME.settings]``."""

    pull_hold_timeout: Annotated[float, Meta(ge=0, le=600, description="seconds an empty pull for strategy is held")] = 10.0
    max_interactions_per_snapshot: Annotated[int, Meta(ge=100, le=10_000)] = 500
    delivering_timeout: Annotated[float, Meta(ge=1, le=86_400, description="seconds an invitation stands")] = 30.0
    agent_login_control: Literal["none", "ignore"] = "none"
    allow_multiple_agent_connections: Literal["true", "false", "force-logout"] = "true"
    login_session_timeout: Annotated[int, Meta(ge=1, le=100_000, description="minutes")] = 1440
    max_interactions: Annotated[int, Meta(ge=1, le=100_000_000)] = 10_000_000
    max_held_pulls: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    dedup_window: Annotated[float, Meta(ge=1, le=86_400, description="seconds a reply is kept for its dedup_id")] = 300.0
    event_retention: Annotated[float, Meta(ge=60, le=31_536_000, description="seconds events can be replayed")] = 86_400.0
    lease_timeout: Annotated[float, Meta(ge=0.2, le=600, description="seconds without renewal until take-over")] = 2.0
    heartbeat_interval: Annotated[float, Meta(ge=0.005, le=1, description="seconds between heartbeats")] = 0.02
    event_user_data: bool = True
    max_journal_rows: Annotated[int, Meta(ge=1000, le=1_000_000_000)] = 50_000_000
    synchronous: Literal["full", "normal"] = "full"


class NodeClusterSettings(Options):
    """``[nodes.NAME.cluster-settings]``: read by proxies only (guide). No ``media-types``: any of the tenant."""

    media_types: list[str] | None = None
    enable_submit: bool = True
    tenants: list[int] | None = None


class Node(Options):
    """An Interaction Server pair with its own database and event logs."""

    database: str
    primary: Addresses
    backup: Addresses | None = None
    event_logs: list[str] = []
    settings: NodeSettings = NodeSettings()
    cluster_settings: NodeClusterSettings = NodeClusterSettings()
    licenses: dict[str, Annotated[int, Meta(ge=0)]] = {}


class ProxySettings(Limits):
    """``[proxies.NAME.settings]``."""

    pull_hold_timeout: Annotated[float, Meta(ge=1, le=600, description="overrides the nodes' own")] = 10.0
    pull_order: Literal["global", "round-robin"] = "global"
    request_timeout: Annotated[float, Meta(ge=0.05, le=600, description="seconds a request waits for its nodes")] = 10.0
    interaction_cache_size: Annotated[int, Meta(ge=100, le=10_000_000)] = 10_000
    stream_stall_timeout: Annotated[float, Meta(ge=0.05, le=600, description="seconds a silent node holds the stream")] = 2.0
    stream_buffer: Annotated[int, Meta(ge=1000, le=10_000_000, description="events kept while a node is waited for")] = 200_000


class Proxy(Options):
    """An Interaction Server Proxy, alone or as a primary/backup pair. ``connections``: clusters, nodes, or both."""

    primary: Addresses
    connections: list[str]
    backup: Addresses | None = None
    tenants: list[int] | None = None
    settings: ProxySettings = ProxySettings()


class ApplicationCluster(Options):
    """An "Application Cluster" object: a list of nodes or of proxies."""

    cluster_type: Literal["Interaction Server", "Interaction Server Proxy"]
    connections: list[str]


class Queue(Options):
    """A business process queue."""

    tenant: int
    enabled: bool = True


class View(Options):
    """A view on a queue: which interactions (``condition``) in which ``order``."""

    queue: str
    condition: str = ""
    order: str = ""


class WorkbinType(Options):
    """A workbin type and the kind of its owners."""

    owner: Literal["agent", "agent-group", "place", "place-group"]
    queue: str | None = None


class CustomProperty(Options):
    """A user-data key that conditions and orders may use, and the type of its values."""

    type: Literal["string", "number", "timestamp"] = "string"


class Configuration(Options):
    """The whole of cluster.toml."""

    tenants: dict[int, Tenant] = {}
    nodes: dict[str, Node] = {}
    clusters: dict[str, ApplicationCluster] = {}
    proxies: dict[str, Proxy] = {}
    queues: dict[str, Queue] = {}
    views: dict[str, View] = {}
    workbins: dict[str, WorkbinType] = {}
    custom_properties: dict[str, CustomProperty] = {}

    def nodes_of(self, proxy: str) -> list[str]:
        """Names of the nodes that ``proxy`` connects to, through clusters and directly, each once, in order."""
        names: dict[str, None] = {}
        for connection in self.proxies[proxy].connections:
            cluster = self.clusters.get(connection)
            for name in cluster.connections if cluster else [connection]:
                names[name] = None
        return list(names)
