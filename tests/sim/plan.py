"""What a seed means: the cluster, its settings, the weather, who the clients are, and which accidents happen when."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from random import Random
from typing import Any

from broker.config.objects import (
    Addresses,
    AgentReservation,
    Configuration,
    MediaType,
    Node,
    NodeSettings,
    Proxy,
    ProxySettings,
    Queue,
    Strategy,
    Tenant,
    View,
    WorkbinType,
)
from tests.sim.law import MOST_SUBMITTED, STRATEGY, STRATEGY_VIEWS, VIEWS, WORKBIN
from tests.sim.network import Weather

TENANT = 101
EXPIRES_S = 1.5
"""``snapshot-timeout``: so long nobody has to use a snapshot."""
QUEUES = ("Inbound", "Second")
SEATS = "ics_multi_media_agent_seat"
RESERVED_MS = 1200
"""``reservation-time``."""

FAULTS = (
    "crash a member",
    "crash both members",
    "crash a proxy",
    "pause a member",
    "pause a proxy",
    "die in a write",
    "freeze in a write",
    "fail a write",
    "sick database",
    "partition",
    "cut",
    "switchover",
    "restart a member",
    "vanishing client",
    "clock jump",
    "links lose",
    "links double",
    "links overtake",
    "events lose",
    "events double",
    "events overtake",
    "clients lose",
    "slow network",
)
"""Each is an option; a seed draws some of them."""

Accident = tuple[float, str]
"""When, in seconds, and which of :data:`FAULTS`."""

OUT_OF_REACH = "node out of reach"
NODE_ADDED = "node added"
ADDED = ("locked by a tool", OUT_OF_REACH, NODE_ADDED)
"""Faults that are not among those that a seed draws from, so that the seeds that there are keep theirs: they come by
wish, and the second one now and then besides the others."""

ACCIDENTS = FAULTS[:15] + ADDED
"""Those that happen at a moment; the others are the weather."""


@dataclass
class Plan:
    """One history, before anything random of its own has happened."""

    seed: int
    nodes: int = 2
    proxies: int = 2
    span_s: float = 4.0
    """How long accidents happen; then all is healed."""
    faults: tuple[str, ...] = ()
    accidents: list[Accident] = field(default_factory=list)
    weather: dict[str, Weather] = field(default_factory=dict)
    skew_s: dict[str, float] = field(default_factory=dict)
    hosts_apart: bool = False
    """The members of a pair are on two hosts: nobody knows of the other whether it lives."""
    media: int = 1
    direct: int = 0
    routers: int = 1
    engines: int = 0
    """Routing engines that are sent interactions, rather than pulling them."""
    agents: int = 2
    reporters: int = 1
    searchers: int = 0
    clerks: int = 0
    """Agents that work through their workbins, into which media servers put things then."""
    requests: int = 12
    """Of each client, about."""
    dedup: float = 0.8
    """How often a client gives its request a dedup_id."""
    repeats: float = 0.0
    """How often a pull that was answered is asked again under its dedup_id, somewhere else."""
    parties: float = 0.0
    """How often an agent gives what it handles to another one, or brings one in."""
    lazy: float = 0.1
    """How often an agent leaves an invitation unanswered, an ESP server its request."""
    services: int = 0
    """ESP servers; media servers ask them."""
    direct_services: int = 0
    """ESP servers that are with one node only."""
    movers: int = 0
    """Clients that take snapshots to lock and move what is in them."""
    reserves: float = 0.0
    """How often a routing engine reserves the agent that it delivers to."""
    patient: bool = False
    """Reservations of an agent that is reserved wait for it."""
    pool: bool = False
    """The seats are the cluster's."""
    node_settings: dict[str, Any] = field(default_factory=dict)
    proxy_settings: dict[str, Any] = field(default_factory=dict)
    seats: int | None = None
    capacity: int | None = None
    """E-mails that an agent may handle at once."""

    def __str__(self) -> str:
        shown = [
            f"{one.name}={getattr(self, one.name)!r}"
            for one in fields(self)
            if one.name not in ("accidents", "weather", "skew_s")
        ]
        return f"Plan({', '.join(shown)})"

    @property
    def limit(self) -> int | None:
        """How many agents may be logged in."""
        return self.seats * self.nodes if self.seats is not None and self.pool else self.seats

    def configuration(self) -> Configuration:
        """The cluster's."""
        names = [f"n{number}" for number in range(1, self.nodes + 1)]
        return Configuration(
            tenants={
                TENANT: Tenant(
                    name="Bank", media_types={"voice": MediaType(), "email": MediaType(capacity=self.capacity)}
                )
            },
            nodes={
                name: Node(
                    database=f"sqlite:///{name}.db",
                    primary=addresses(f"{name}.primary"),
                    backup=addresses(f"{name}.backup"),
                    settings=NodeSettings(**self.node_settings, licence_pool="cluster" if self.pool else "node"),
                    agent_reservation=AgentReservation(
                        reservation_time=RESERVED_MS, reject_subsequent_request=not self.patient
                    ),
                    licenses={} if self.seats is None else {SEATS: self.seats},
                )
                for name in names
            },
            proxies={
                f"p{number}": Proxy(
                    primary=addresses(f"p{number}"), connections=names, settings=ProxySettings(**self.proxy_settings)
                )
                for number in range(1, self.proxies + 1)
            },
            queues={queue: Queue(tenant=TENANT) for queue in QUEUES},
            views={
                view: View(queue=queue, condition=condition, order=order)
                for view, (queue, condition, order) in VIEWS.items()
            },
            strategies={STRATEGY: Strategy(views=list(STRATEGY_VIEWS), max_submitted_interactions=MOST_SUBMITTED)},
            workbins={WORKBIN: WorkbinType(owner="agent", queue="Second", order="priority desc, received_at")},
        )


def addresses(process: str) -> Addresses:
    """Where a simulated process listens."""
    return Addresses(requests=f"sim://{process}/requests", events=f"sim://{process}/events")


def draw(seed: int, faults: tuple[str, ...] = (), *, calm: bool = False, **wish: Any) -> Plan:
    """The plan of a seed.

    :param faults: that it has besides its own; :param calm: it has none
    :param wish: fields that are to be like this
    """
    random = Random(f"plan {seed}")
    plan = Plan(seed)
    plan.nodes = random.choices((1, 2, 3, 4), (1, 14, 3, 2))[0]
    plan.span_s = random.uniform(2.0, 5.0)
    own = random.sample(FAULTS, random.choice((0, 1, 1, 2, 2, 3, 4, 6)))
    plan.faults = () if calm else tuple(sorted({*own, *faults}))
    plan.accidents = _accidents(random, plan)
    plan.weather = _weather(random, plan.faults)
    plan.hosts_apart = random.random() < 0.3
    plan.media, plan.direct = random.choice((1, 1, 2)), random.choice((0, 0, 1))
    plan.routers, plan.agents = random.choice((0, 1, 1, 2)), random.choice((0, 1, 2, 3))
    plan.reporters = random.choice((0, 1, 1))
    plan.requests = random.choice((4, 8, 12, 20))
    plan.dedup = random.choice((0.0, 0.5, 0.9, 1.0))
    if random.random() < 0.3:
        hosts = [f"n{number}{member}" for number in range(1, 5) for member in ("", ".primary", ".backup")]
        plan.skew_s = {host: random.uniform(-0.15, 0.15) for host in hosts}
    if random.random() < 0.2:
        plan.seats = random.choice((1, 2))
    plan.node_settings, plan.proxy_settings = _settings(random)
    plan.repeats = random.choice((0.0, 0.0, 0.3))
    _enlarge(plan)
    _cast(plan)
    plan.clerks = Random(f"clerks {seed}").choice((0, 0, 0, 1))
    if calm:
        plan.faults, plan.accidents, plan.skew_s = (), [], {}
    return replace(plan, **wish)


def _enlarge(plan: Plan) -> None:
    """Every second cluster has 4 pairs and 3 proxies; some have engines, or agents with a capacity. Dice of its own:
    the plans are otherwise what they were."""
    random = Random(f"size {plan.seed}")
    plan.proxies = random.choice((1, 2, 2, 3))
    if random.random() < 0.5:
        plan.nodes, plan.proxies = 4, 3
    plan.searchers = random.choice((0, 1, 1))
    plan.engines = random.choice((0, 0, 1, 2))
    plan.capacity = random.choice((None, None, 1, 2))
    if random.random() < 0.2 and OUT_OF_REACH not in plan.faults:
        plan.faults = tuple(sorted({*plan.faults, OUT_OF_REACH}))
        plan.accidents = sorted([*plan.accidents, (random.uniform(0.3, plan.span_s), OUT_OF_REACH)])


def _cast(plan: Plan) -> None:
    """Who does what besides. Dice of its own, too."""
    random = Random(f"cast {plan.seed}")
    plan.parties = random.choice((0.0, 0.0, 0.3, 0.6))
    plan.services = random.choice((0, 0, 0, 1, 2))
    plan.movers = random.choice((0, 0, 1))
    plan.reserves = random.choice((0.0, 0.0, 0.5))
    plan.patient = random.random() < 0.5
    plan.pool = random.random() < 0.5
    plan.direct_services = random.choice((0, 1)) if plan.services else 0


def _settings(random: Random) -> tuple[dict[str, Any], dict[str, Any]]:
    keepalive = random.choice((0.7, 1.0))
    node = {
        "heartbeat_interval": random.choice((0.1, 0.2, 0.4, 0.4)),
        "lease_timeout": random.choice((0.4, 0.8, 1.5)),
        "keepalive_interval": keepalive,
        "delivering_timeout": random.choice((1.0, 3.0)),
        "pull_hold_timeout": random.choice((1.0, 2.0)),
        "snapshot_timeout": EXPIRES_S,
        "dedup_window": random.choice((2.0, 300.0, 300.0, 300.0)),
        "event_retention": random.choice((12.0, 3600.0)),
        "event_user_data": random.choice(("changes", "changes", "always", "never")),
        "allow_multiple_agent_connections": random.choice(("true", "true", "false", "force-logout")),
    }
    proxy = {
        "keepalive_interval": keepalive,
        "request_timeout": random.choice((1.5, 2.5)),
        "stream_stall_timeout": random.choice((0.5, 1.0, 2.0)),
        "pull_hold_timeout": random.choice((1.0, 2.0)),
        "pull_order": random.choice(("global", "global", "round-robin")),
    }
    node["login_session_timeout"] = random.choice((0, 1440))
    return node, proxy


def _accidents(random: Random, plan: Plan) -> list[Accident]:
    chosen = [fault for fault in plan.faults if fault in ACCIDENTS]
    times = [random.choice((1, 1, 2, 3)) for _ in chosen]
    accidents = [
        (random.uniform(0.3, plan.span_s), fault)
        for fault, count in zip(chosen, times, strict=True)
        for _ in range(count)
    ]
    return sorted(accidents)


def _weather(random: Random, faults: tuple[str, ...]) -> dict[str, Weather]:
    def rate(fault: str) -> float:
        return random.choice((0.01, 0.05, 0.2)) if fault in faults else 0.0

    slow = random.choice((0.01, 0.1, 0.3)) if "slow network" in faults else 0.0
    return {
        "client": Weather(slow=slow, loss=rate("clients lose")),
        "link": Weather(
            slow=slow, loss=rate("links lose"), double=rate("links double"), overtake=rate("links overtake")
        ),
        "events": Weather(
            slow=slow, loss=rate("events lose"), double=rate("events double"), overtake=rate("events overtake")
        ),
        "stream": Weather(slow=slow, loss=rate("events lose")),
    }
