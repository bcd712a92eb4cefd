"""What the plain model knows of: clients, agents, items (interactions), and what is done with these."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from broker.rates import Pace

Bin = tuple[str, str]
"""A workbin: its type, its owner."""
Document = dict[str, Any]

QUEUED, ROUTING, HANDLING = 0, 2, 3


@dataclass
class Client:
    """A registered client.

    :param source: where it is: its peer, and its number behind the proxy
    :param asked: when it last asked for anything but Ping
    :param here: it is registered with the member that serves now
    """

    name: str
    kind: str
    source: tuple[bytes, int]
    session: str = ""
    asked: float = 0.0
    here: bool = False

    @property
    def proxied(self) -> bool:
        return self.source[1] > 0


@dataclass
class Agent:
    """A logged-in agent."""

    agent_id: str
    place_id: str | None
    media: dict[str, int]
    clients: list[str]
    donot_disturb: bool = False
    reasons: dict[str, Any] = field(default_factory=dict)
    reason: Any = None
    seats: set[str] = field(default_factory=set)
    login: int = 0
    vanished: tuple[str, float] | None = None
    elsewhere: dict[str, list[int]] | None = None

    @property
    def key(self) -> str:
        return f"101/{self.agent_id}@{self.place_id or ''}"


@dataclass
class Reservation:
    """A routing engine has an agent to itself."""

    session: str
    until: float


@dataclass
class Wish:
    """A request for an agent that is not decided on. :param until: when it has waited for too long"""

    session: str
    request: Document
    ref: int
    until: float


@dataclass
class Holding:
    """Who has an item that is out of its queue. :param holders: agents' keys, sessions' ids; none: it is offered

    :param token: of the grant; None: nobody was told it
    :param since: when it was granted
    :param handling_s: how long its agents may be silent
    :param strategy: of the routing engine that has it; :param view: the view that it was sent from, unasked
    """

    holders: list[str]
    token: int | None
    queue: str | None
    workbin: Bin | None
    since: float
    handling_s: float
    strategy: str | None = None
    view: str | None = None


@dataclass
class Item:
    """An interaction.

    :param version: another number after each placement
    :param properties: those that clients may change, but for its priority
    :param placed_at: when it was placed last, in a queue or workbin; None: an agent has brought it in, and has it
    :param moved_at: when it came into its present queue; :param completed_at: into one that is for what is done
    :param held_at: since when it is on hold; :param abandoned_at: when its customer went
    :param lock: the session and the snapshot that have it locked
    """

    ident: str
    media: str
    queue: str | None
    workbin: Bin | None
    priority: int
    received_at: float
    data: dict[str, Any]
    version: int
    properties: dict[str, Any] = field(default_factory=dict)
    placed_at: float | None = None
    moved_at: float | None = None
    completed_at: float | None = None
    abandoned_at: float | None = None
    held_at: float | None = None
    state: int = QUEUED
    lock: tuple[str, str | None] | None = None
    holding: Holding | None = None
    assigned: str | None = None

    @property
    def held(self) -> bool:
        return self.held_at is not None

    @property
    def scheduled_at(self) -> float | None:
        at: float | None = self.properties["scheduled_at"]
        return at

    @property
    def handling_s(self) -> float:
        """How long an agent may be silent while it has this."""
        return float(self.data.get("handling-timeout", 180)) * 60.0

    def waits(self, now: float) -> bool:
        """Whether a view may have it, held or not."""
        due = self.scheduled_at is None or self.scheduled_at <= now
        return self.state == QUEUED and self.lock is None and self.workbin is None and due


@dataclass
class Invitation:
    """An agent was offered an item.

    :param request: by this; :param ref: of it, if its reply waits for the agent
    """

    ticket: int
    ident: str
    agent: str
    purpose: str
    asker: str | None
    due: float
    request: Document
    ref: int | None


@dataclass
class Pin:
    """An item as a snapshot has it. :param place: where it stands there"""

    ident: str
    version: int
    state: int
    workbin: Bin | None
    place: int


@dataclass
class Snapshot:
    """A frozen list."""

    ident: str
    session: str
    pins: list[Pin]
    used: float


class Watched(NamedTuple):
    """A view that the proxy watches. :param keys: how many of the first ones it wants to know; :param told: the last"""

    keys: int
    told: Document


@dataclass
class Pull:
    """A pull that waits for its view."""

    ref: int
    client: str
    view: str
    count: int
    ignore_hold: bool
    strategy: str | None
    due: float


@dataclass
class Load:
    """A strategy that a routing engine has loaded.

    :param views: that it has named; None: those of the configuration
    :param most: items that the engine may have of it, as it has asked for it; :param rate: and how often
    :param pace: how often it may be sent one, at that rate
    """

    session: str
    client: str
    strategy: str
    views: list[str] | None
    most: int | None
    rate: str | None
    pace: Pace


@dataclass
class Server:
    """An ESP server that is there.

    :param key: its session's id, or its name behind ``=`` for one that is listed
    :param late: it has not answered what it was asked last
    """

    key: str
    name: str
    application_type: str | None
    services: list[str] | None
    late: bool = False


@dataclass
class Service:
    """A request to an ESP server that it has not answered.

    :param ref: of the request whose reply waits for it
    :param resent: it was sent before, and perhaps done
    """

    refid: str
    client: str
    request: Document
    server: str
    server_name: str
    due: float
    ref: int | None
    resent: bool = False


@dataclass
class Kept:
    """A reply to a request with a dedup_id, for when it is asked again.

    :param ref: of the last time that it was asked
    :param reply: what it has at least; None: it is not answered yet
    """

    client: str
    request: Document
    ref: int
    reply: Document | None
    at: float


Topic = tuple[str, str, str, bool]
"""What a session is told the events of: session, kind of topic, name, and whether it reports on it."""
