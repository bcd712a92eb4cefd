"""What the plain model knows of: clients, agents, items (interactions), invitations, snapshots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Bin = tuple[str, str]
"""A workbin: its type, its owner."""

QUEUED, ROUTING, HANDLING = 0, 2, 3


@dataclass
class Client:
    """A registered client. :param asked: when it last asked for anything but Ping"""

    name: str
    kind: str
    session: str
    asked: float = 0.0


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

    @property
    def key(self) -> str:
        return f"101/{self.agent_id}@{self.place_id or ''}"


@dataclass
class Holding:
    """Who has an item that is out of its queue. :param holders: agents' keys, sessions' ids; none: it is offered

    :param token: None: nobody has told it
    :param since: when it was granted
    """

    holders: list[str]
    token: int | None
    queue: str | None
    workbin: Bin | None
    since: float


@dataclass
class Item:
    """An interaction.

    :param version: another number after each placement
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
    state: int = QUEUED
    held: bool = False
    lock: tuple[str, str | None] | None = None
    holding: Holding | None = None
    assigned: str | None = None
    scheduled_at: float | None = None

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
    """An agent was offered an item. :param ref: of the request whose reply waits for the agent"""

    ticket: int
    ident: str
    agent: str
    purpose: str
    asker: str | None
    due: float
    ref: int | None


@dataclass
class Pin:
    """An item as a snapshot has it."""

    ident: str
    version: int
    state: int
    workbin: Bin | None


@dataclass
class Snapshot:
    """A frozen list."""

    ident: str
    session: str
    pins: list[Pin]
    used: float


@dataclass
class Pull:
    """A pull that waits for its view."""

    ref: int
    client: str
    view: str
    count: int
    ignore_hold: bool
    due: float


@dataclass
class Queues:
    """What operators have done to queues."""

    paused: set[str] = field(default_factory=set)
