"""What a node keeps besides interactions, one row class per table. Rows are in the journal and in the database's
``records`` table as JSON, so they can be queried there."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import UNSET, Raw, Struct

from broker.messages.kinds import AGENT, Actor, AgentPart, Document, Party, Record, Workbin
from broker.messages.services import ServiceCalled
from broker.topics import Key

from .tables import Kind


class AgentRow(Record):
    """A logged-in agent, place, or agent at a place.

    :param session: names this agent session in events, from login to logout
    :param sessions: the client sessions that act for the agent, oldest first; of one whose client has vanished its last
    :param media: each media type with 0 not ready, 1 ready; ``media_reasons``: why
    :param state_reason: the reason of its state as a whole
    :param seats: the licences of media types that it has taken since its login, besides its agent seat
    :param vanished_us: since when it has no client, 0 while it has one
    :param missing_us: since when its client is gone while it is waited for (:mod:`node.panics`), else 0; ``panic``: the
        panic that it belongs to
    :param echo: another node speaks for this agent; changes made by this server itself are echoes
    :param returned: another node speaks for it since its last login, but the stream's last word is still this node's:
        what brings it to the other node's state is said by this one
    """

    tenant_id: int
    session: str
    sessions: list[str]
    agent_id: str | None = None
    place_id: str | None = None
    media: dict[str, int] = {}
    media_reasons: dict[str, Raw] = {}
    donot_disturb: bool = False
    state_reason: Document = UNSET
    seats: list[str] = []
    echo: bool = False
    login_us: int = 0
    vanished_us: int = 0
    missing_us: int = 0
    panic: str = ""
    returned: bool = False

    @property
    def is_away(self) -> bool:
        """It has no client: one that is logged in makes room for others."""
        return bool(self.vanished_us or self.missing_us)

    @property
    def has_last_word(self) -> bool:
        """The stream knows the agent as this node has said it."""
        return not self.echo or self.returned

    @property
    def key(self) -> str:
        """The row's key in the table of agents."""
        return f"{self.tenant_id}/{self.agent_id or ''}@{self.place_id or ''}"

    def part(self, media_type: str | None = None, reason: Document = UNSET) -> AgentPart:
        """The agent as an event shows it."""
        return AgentPart(
            agent_id=self.agent_id,
            place_id=self.place_id,
            session=self.session,
            media_type=media_type,
            media=self.media,
            media_reasons=self.media_reasons,
            donot_disturb=self.donot_disturb,
            state_reason=self.state_reason,
            reason=reason,
        )

    def actor(self) -> Actor:
        """The agent as the one who caused an event."""
        return Actor(agent_id=self.agent_id, place_id=self.place_id)

    def party(self) -> Party:
        """The agent as a party of an interaction."""
        return Party(type=AGENT, agent_id=self.agent_id, place_id=self.place_id)


class Panic(Record):
    """Agents whose clients are gone at once are waited for.

    :param name: of the lost proxy, else `agents`
    :param until_us: so long
    :param agents: how many belong to it; ``returned``: of these
    :param echo: another node speaks for it
    """

    tenant_id: int
    name: str
    until_us: int
    agents: int
    returned: int = 0
    echo: bool = False


class Holder(Record):
    """One party that holds an interaction: an agent (``agent`` is its key) or a strategy of a client's session."""

    party: Party
    session_id: str
    client_name: str
    agent: str | None = None

    @property
    def name(self) -> str:
        """What holds: the agent's key, or the session's id."""
        return self.agent or self.session_id


class Holding(Record):
    """An interaction that is out of its queue: who holds it, by which grant, and where it goes back to.

    :param token: of the grant; a request with an older one is refused
    :param queue: it was taken from here and returns here
    :param handling_s: how long its agents may be silent, as it was when they got it
    :param view_id: of one that was pushed to a routing engine: the view it came from
    """

    interaction_id: str
    token: int
    since_us: int
    holders: list[Holder]
    queue: str | None = None
    workbin: Workbin | None = None
    handling_s: float | None = None
    view_id: str | None = None


class Load(Record):
    """A routing engine has loaded a strategy.

    :param client_name: the engine's
    :param view_ids: the views that it has named; None: those of the configuration
    :param us: when it was first loaded
    """

    session_id: str
    client_name: str
    tenant_id: int
    strategy_id: str
    us: int
    view_ids: list[str] | None = None
    max_submitted: int | None = None
    submission_rate: str | None = None

    @property
    def key(self) -> str:
        """The row's key in the table of loads."""
        return load_key(self.session_id, self.tenant_id, self.strategy_id)


def load_key(session_id: str, tenant_id: int, strategy_id: str) -> str:
    """Where the load of a strategy by an engine's session stands in its table."""
    return f"{session_id}\n{tenant_id}\n{strategy_id}"


class Purpose(StrEnum):
    """What an agent is invited for."""

    DELIVER = "deliver"
    TRANSFER = "transfer"
    CONFERENCE = "conference"
    INTRUDE = "intrude"

    @property
    def operation(self) -> str:
        """The published name, as events and invitations show it."""
        return "Route" if self is Purpose.DELIVER else self.value.capitalize()


class Invitation(Record):
    """An agent was offered an interaction and has not answered yet.

    :param asker: the strategy or agent that asked
    :param asked: keys of the reply that waits for the answer (:attr:`node.calls.Call.keys`)
    :param extension: of the request, for the agent
    """

    ticket_id: int
    interaction_id: str
    agent: str
    deadline_us: int
    purpose: Purpose = Purpose.DELIVER
    asker: Holder | None = None
    asked: list[str] = []
    visibility_mode: int = 0
    extension: Document = UNSET


class Reservation(Record):
    """A routing engine has an agent to itself.

    :param session_id: the engine's; :param client_name: its name
    """

    session_id: str
    client_name: str
    until_us: int


class QueueRow(Record):
    """A queue that an operator has paused, or resumed where the configuration pauses it.

    :param since_us: since when
    """

    since_us: int
    paused: bool = True


class Subscription(Record):
    """A client's session wants to be told of what comes into a workbin and goes out of it."""

    session_id: str
    tenant_id: int
    workbin: Workbin


class TopicRow(Record):
    """A client's session wants to be told of the events of a topic.

    :param kind: and ``name``: as in :class:`broker.topics.Key`
    :param reporting: it reports on this agent or place, rather than having subscribed
    """

    session_id: str
    tenant_id: int
    kind: str
    name: str
    reporting: bool = False

    @property
    def name_of(self) -> str:
        """The row's key in the table of topics."""
        return f"{self.session_id}\n{self.tenant_id}\n{self.kind}\n{self.name}\n{int(self.reporting)}"


class Answer(Record):
    """The stored reply to a request that runs once. ``payload`` is dropped when the window has passed.

    :param code: 0, or of an error that is as final as a reply: a service may have done what nobody will ever hear of
    """

    us: int
    payload: Document = UNSET
    code: int = 0


class ServiceCall(Record):
    """A request to an ESP server that is not answered yet; its key is the reference at the server.

    :param note: what the server was sent
    :param server: the key of the server that has it (:class:`node.servers.Server`); :param server_name: its name
    :param actor: who asked; :param cause: by which request
    :param asked: keys of the reply that waits for the answer (:attr:`node.calls.Call.keys`)
    """

    note: ServiceCalled
    server: str
    server_name: str
    application_type: str | None = None
    deadline_us: int
    repeatable: bool = False
    actor: Actor | None = None
    cause: str
    asked: list[str] = []


class Stage(StrEnum):
    """A snapshot's life (:mod:`node.snapshots`)."""

    TAKING = "taking"
    READY = "ready"
    ENDING = "ending"


class Snapshot(Record):
    """A frozen list of interactions; they are in the rows of its pages.

    :param session_id: of the client that took it; the snapshot ends with it. Empty: it has no owner any more
    :param count: how many interactions are in it
    :param asked: keys of the reply to what is being done with it (:attr:`node.calls.Call.keys`)
    """

    snapshot_id: str
    session_id: str
    taken_us: int
    count: int = 0
    stage: Stage = Stage.READY
    asked: list[str] = []


class Pin(Struct, array_like=True, frozen=True):
    """An interaction as a snapshot has it: by this it is seen whether it was taken or placed since."""

    interaction_id: str
    place_seq: int
    state: int
    workbin: Workbin | None = None


class Page(Record):
    """Some interactions of a snapshot, in its order.

    :param marks: of a part of a snapshot over several nodes: what the order between them follows from
    :param places: the places in that snapshot, when it is known
    """

    pins: list[Pin]
    marks: list[bytes] = []
    places: list[int] = []


class Move(Record):
    """A snapshot's interactions are on their way into a queue, a page at a time.

    :param asked: keys of the reply (:meth:`NodeCore.keys`)
    :param page: the next one
    """

    snapshot_id: str
    queue: str
    asked: list[str]
    actor: Actor
    reason: Document = UNSET
    page: int = 0
    moved: int = 0
    left: int = 0


class Lock(Record):
    """An interaction is locked by a session, or by a snapshot of that session."""

    interaction_id: str
    session_id: str
    snapshot_id: str | None = None


ONLY = "node"
"""The key of the one row of a table about the node itself."""


class Drain(Record):
    """An operator wants no new interactions to come in through proxies.

    :param since_us: since when
    """

    since_us: int


class Configured(Record):
    """The configuration that the active member took on while it ran; the standby takes it from here.

    :param us: when
    :param document: all of it, as JSON
    """

    us: int
    document: Raw


class Counters(Record):
    """What numbers the next thing; restored as the highest that was seen."""

    next_seq: int = 1
    submit_seq: int = 0
    place_seq: int = 0
    echo_run: int = 0


COUNTERS = "counters"
"""The table of the one row of counters; it is no :class:`~node.tables.Table`, for it changes with everything."""

TABLES: dict[str, Kind[Any]] = {
    "agents": Kind(
        AgentRow,
        {
            "agent": lambda row: [(row.tenant_id, row.agent_id)] if row.agent_id else [],
            "place": lambda row: [(row.tenant_id, row.place_id)] if row.place_id else [],
            "session": lambda row: row.sessions,
            "seat": lambda row: row.seats,
            "vanished": lambda row: [True] if row.vanished_us else [],
            "panic": lambda row: [(row.tenant_id, row.panic)] if row.panic else [],
        },
    ),
    "panics": Kind(Panic),
    "reservations": Kind(Reservation, {"session": lambda row: [row.session_id]}),
    "holdings": Kind(
        Holding,
        {
            "holder": lambda row: [holder.name for holder in row.holders],
            "strategy": lambda row: [
                (holder.session_id, holder.party.strategy_id) for holder in row.holders if holder.party.strategy_id
            ],
        },
        "holder",
    ),
    "loads": Kind(Load, {"session": lambda row: [row.session_id]}),
    "invitations": Kind(
        Invitation,
        {
            "interaction": lambda row: [row.interaction_id],
            "agent": lambda row: [row.agent],
            "asked": lambda row: row.asked,
        },
        "agent",
    ),
    "queues": Kind(QueueRow),
    "subscriptions": Kind(
        Subscription,
        {"session": lambda row: [row.session_id], "workbin": lambda row: [(row.tenant_id, row.workbin)]},
    ),
    "topics": Kind(
        TopicRow,
        {"session": lambda row: [row.session_id], "key": lambda row: [Key(row.tenant_id, row.kind, row.name)]},
    ),
    "services": Kind(ServiceCall, {"server": lambda row: [row.server], "asked": lambda row: row.asked}),
    "answers": Kind(Answer),
    "snapshots": Kind(Snapshot, {"session": lambda row: [row.session_id], "asked": lambda row: row.asked}),
    "pages": Kind(Page),
    "moves": Kind(Move),
    "locks": Kind(
        Lock,
        {
            "session": lambda row: [row.session_id],
            "snapshot": lambda row: [row.snapshot_id] if row.snapshot_id else [],
        },
    ),
    "drains": Kind(Drain),
    "configured": Kind(Configured),
}
"""Table name -> what it is of. A new kind of row is a class above and a line here."""
