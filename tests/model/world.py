"""The world of the plain model: a node's configurations, and who is there to ask for something."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from broker.config.objects import Addresses, Agent, Configuration, RoutingEngine, Strategy, View
from tests.node.conftest import make_configuration

START = 1_790_000_000.0
SETTINGS: dict[str, Any] = {
    "login_session_timeout": 1,
    "keepalive_interval": 3600.0,
    "delivering_timeout": 30.0,
    "default_max_submitted_per_router": 4,
    "max_esp_requests_per_server": 2,
    "snapshot_timeout": 100.0,
    "routing_timeout": 20,
}
PULL_HOLD_S = 10.0
DEDUP_S = 300.0
ESP_S = 30.0
LOGIN_SESSION_S = SETTINGS["login_session_timeout"] * 60.0
COLLECTION_S = 100 * 0.001
RESERVATION_S = 10_000 * 0.001
SNAPSHOT_S = SETTINGS["snapshot_timeout"]
ROUTING_S = SETTINGS["routing_timeout"] * 60.0

GROUPS = {"Support": ("VICKY", "ANAT")}
MOST_PER_ENGINE = SETTINGS["default_max_submitted_per_router"]
BACKUP = Addresses(requests="tcp://127.0.0.1:4", events="tcp://127.0.0.1:5")


class Shown(NamedTuple):
    """A view of tenant 101. :param order: attributes of items, with a dash before those that are highest first

    :param least: the lowest priority that it shows; :param divided: it has segments: whose turn it is, is left to their
        own tests
    """

    queue: str
    order: tuple[str, ...]
    least: int | None = None
    divided: bool = False

    def options(self) -> View:
        """As the configuration has it."""
        order = ", ".join(f"{name[1:]} desc" if name[0] == "-" else name for name in self.order)
        condition = f"priority >= {self.least}" if self.least is not None else ""
        return View(self.queue, condition, order, "media_type" if self.divided else "")

    def key(self, item: Any) -> list[Any]:
        """The values that the order compares, the id last."""
        return [*(getattr(item, name.lstrip("-")) for name in self.order), item.ident]

    def place(self, item: Any) -> list[Any]:
        """The same, to sort by."""
        falling = [name[0] == "-" for name in self.order] + [False]
        return [-value if down else value for value, down in zip(self.key(item), falling, strict=True)]


@dataclass
class World:
    """What a configuration says.

    :param paused: queues that are paused from the start
    :param capacity: by agent, or by ``everybody`` or ``Support`` (its group): how many items of a media type
    :param waits_for_agents: who wants to reserve an agent that is reserved waits for it, and is not refused
    """

    views: dict[str, Shown]
    queues: tuple[str, ...] = ("Inbound", "Done", "Kept", "Fair", "Off", "Closed", "Later")
    paused: frozenset[str] = frozenset({"Later"})
    strategies: dict[str, Strategy] = field(default_factory=dict)
    engines: dict[str, RoutingEngine] = field(default_factory=dict)
    capacity: dict[str, dict[str, int]] = field(default_factory=dict)
    licences: dict[str, int] = field(default_factory=lambda: {"ics_multi_media_agent_seat": 3, "ics_chat_seat": 2})
    waits_for_agents: bool = False

    def most_of(self, engine: str) -> int:
        """How many items a routing engine may have, over all strategies."""
        known = self.engines.get(engine)
        most = known.max_submitted_interactions if known else None
        return MOST_PER_ENGINE if most is None else most

    def limits_of(self, agent_id: str) -> dict[str, int]:
        """How many items of which media types an agent may have: its own, else its group's, else everybody's."""
        limits = dict(self.capacity.get("everybody", {}))
        if agent_id in GROUPS["Support"]:
            limits |= self.capacity.get("Support", {})
        return limits | self.capacity.get(agent_id, {})

    def configuration(self) -> Configuration:
        """The configuration that node tests have, with what is this world's own."""
        made = make_configuration(**SETTINGS)
        made.nodes["n1"].backup = BACKUP
        made.views = {"Shop/all": made.views["Shop/all"]}
        made.views |= {view_id: view.options() for view_id, view in self.views.items()}
        made.queues = {name: queue for name, queue in made.queues.items() if name in (*self.queues, "Shop")}
        for name, queue in made.queues.items():
            queue.paused = name in self.paused
        made.nodes["n1"].licenses = dict(self.licences)
        made.nodes["n1"].agent_reservation.reject_subsequent_request = not self.waits_for_agents
        for media in made.tenants[101].media_types.items():
            media[1].capacity = self.capacity.get("everybody", {}).get(media[0])
        made.agent_groups["Support"].capacity = self.capacity.get("Support", {})
        own = {name: limits for name, limits in self.capacity.items() if name not in ("everybody", "Support")}
        made.agents = {name: Agent(capacity=limits) for name, limits in own.items()}
        made.strategies.update(self.strategies)
        made.routing_engines.update(self.engines)
        return made


WORLD = World(
    views={
        "Inbound/all": Shown("Inbound", ("-priority", "received_at")),
        "Inbound/urgent": Shown("Inbound", ("received_at",), least=5),
        "Done/all": Shown("Done", ("received_at",)),
        "Off/all": Shown("Off", ("received_at",)),
        "Fair/all": Shown("Fair", ("-priority",), divided=True),
        "Closed/all": Shown("Closed", ("received_at",)),
        "Later/all": Shown("Later", ("received_at",)),
    },
    strategies={
        "Greeting": Strategy(views=["Inbound/all", "Fair/all"], max_submitted_interactions=3),
        "Slow": Strategy(views=["Done/all", "Inbound/urgent"], max_submission_rate="10/minute"),
    },
    engines={"engine2": RoutingEngine(max_submitted_interactions=2, max_submission_rate="2/second")},
    capacity={"everybody": {"email": 2}, "Support": {"voice": 2, "email": 3}, "VICKY": {"voice": 1}},
)
"""As it is in the beginning."""

OTHER = World(
    views={
        **WORLD.views,
        "Inbound/all": Shown("Inbound", ("received_at",)),
        "Inbound/urgent": Shown("Inbound", ("-priority", "received_at"), least=1),
        "Kept/all": Shown("Kept", ("received_at",)),
    },
    paused=frozenset({"Done"}),
    strategies={
        "Greeting": Strategy(views=["Inbound/all", "Kept/all"]),
        "Slow": Strategy(views=["Done/all"], max_submission_rate="1/second"),
    },
    engines={"engine1": RoutingEngine(max_submitted_interactions=1)},
    capacity={"ZOHAR": {"voice": 2, "chat": 0}},
    licences={"ics_multi_media_agent_seat": 2},
    waits_for_agents=True,
)
"""Other orders, conditions, limits."""

SMALLER = World(
    views={name: view for name, view in WORLD.views.items() if name not in ("Later/all", "Fair/all")},
    queues=tuple(name for name in WORLD.queues if name != "Later"),
    paused=frozenset(),
    strategies={"Greeting": Strategy(views=["Inbound/all"])},
    engines=WORLD.engines,
)
"""One queue is gone, if nothing is in it, and another one's view."""

WORLDS = {"as it was": WORLD, "other": OTHER, "smaller": SMALLER}

IN_BINS = {
    "Drafts": Shown("", ("-priority", "received_at")),
    **dict.fromkeys(("Notes", "Team", "Desk"), Shown("", ("received_at",))),
}
"""The orders of workbins."""
BACKING = {"Drafts": "Kept"}
OWNERS = {"Drafts": "agent_id", "Notes": "agent_id", "Team": "agent_group", "Desk": "place_id"}
DISABLED = frozenset({"Off"})
QUEUES = WORLD.queues
COMPLETED = frozenset({"Closed"})
MEDIA = ("voice", "email", "chat")
TYPES = ("Inbound", "Outbound", "Internal")

WORKBINS = [
    {"type": "Drafts"},
    {"type": "Drafts", "agent_id": "VICKY"},
    {"type": "Notes", "agent_id": "ANAT"},
    {"type": "Notes"},
    {"type": "Team", "agent_group": "Support"},
    {"type": "Desk", "place_id": "P1"},
]
AGENTS = {"desk1": ("VICKY", "P1"), "desk2": ("ANAT", None), "desk3": ("ZOHAR", "P2")}
"""Which agent a client logs in as."""


class Kind(NamedTuple):
    """What a client registers as. :param proxied: it comes through the proxy"""

    client_type: str
    proxied: bool = False
    services: list[str] | None = None
    application_type: str | None = None


PROXY = "proxy"
CLIENTS = {
    PROXY: Kind("Proxy"),
    "media": Kind("MediaServer"),
    "engine1": Kind("RoutingEngine"),
    "engine2": Kind("RoutingEngine", proxied=True),
    "desk1": Kind("AgentApplication"),
    "desk2": Kind("AgentApplication"),
    "desk3": Kind("AgentApplication", proxied=True),
    "report": Kind("ReportingEngine"),
    "monitor": Kind("Monitor"),
    "sorter1": Kind("ESPServer", services=["Classify", "Screen"], application_type="ClassificationServer"),
    "sorter2": Kind("ESPServer", proxied=True, application_type="Universal"),
}
LISTED = "Sorter"
"""The ESP server that the configuration lists; of the same type as sorter1, for the service Classify only."""
