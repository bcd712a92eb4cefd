"""The world of the plain model: a node's configuration, and who is there to ask for something."""

from __future__ import annotations

from typing import Any, NamedTuple

from broker.config.objects import Configuration, RoutingEngine, Strategy
from tests.node.conftest import make_configuration

START = 1_790_000_000.0
SETTINGS: dict[str, Any] = {
    "login_session_timeout": 0,
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
SNAPSHOT_S = SETTINGS["snapshot_timeout"]
ROUTING_S = SETTINGS["routing_timeout"] * 60.0

STRATEGIES = {
    "Greeting": Strategy(views=["Inbound/all", "Fair/all"], max_submitted_interactions=3),
    "Slow": Strategy(views=["Done/all", "Inbound/urgent"], max_submission_rate="10/minute"),
}
ENGINES = {"engine2": RoutingEngine(max_submitted_interactions=2, max_submission_rate="2/second")}
MOST_PER_ENGINE = SETTINGS["default_max_submitted_per_router"]


def make_world() -> Configuration:
    """The configuration that node tests have, with strategies, and limits that are soon reached."""
    configuration = make_configuration(**SETTINGS)
    configuration.strategies.update(STRATEGIES)
    configuration.routing_engines.update(ENGINES)
    return configuration


ORDERS = {
    "Inbound/all": lambda item: (-item.priority, item.received_at, item.ident),
    "Inbound/urgent": lambda item: (item.received_at, item.ident),
    "Done/all": lambda item: (item.received_at, item.ident),
    "Off/all": lambda item: (item.received_at, item.ident),
    "Fair/all": lambda item: (-item.priority, item.ident),
    "Closed/all": lambda item: (item.received_at, item.ident),
    "Later/all": lambda item: (item.received_at, item.ident),
}
"""The order of each view of tenant 101."""

CONDITIONS = {"Inbound/urgent": lambda item: item.priority >= 5}
DIVIDED = frozenset({"Fair/all"})
"""Views with segments: whose turn it is, is left to their own tests."""

BACKING = {"Drafts": "Kept"}
OWNERS = {"Drafts": "agent_id", "Notes": "agent_id", "Team": "agent_group", "Desk": "place_id"}
GROUPS = {"Support": ("VICKY", "ANAT")}
DISABLED = frozenset({"Off"})
QUEUES = ("Inbound", "Done", "Kept", "Fair", "Off", "Closed", "Later")
COMPLETED = frozenset({"Closed"})
PAUSED = frozenset({"Later"})
"""Paused from the start."""
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
