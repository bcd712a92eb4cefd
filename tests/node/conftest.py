"""A node core with a clock of its own, and clients that speak JSON to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from broker.config.objects import (
    Addresses,
    AgentGroup,
    Configuration,
    ESPServer,
    MediaType,
    Node,
    NodeSettings,
    PlaceGroup,
    Queue,
    Tenant,
    View,
    WorkbinType,
)
from broker.messages import REQUESTS
from broker.messages.connection import EventPong
from broker.wire import pack
from node.core import NodeCore
from node.journal import encode_changes
from tests.orders import obey_node, standby

START = 1_790_000_000.0


def make_configuration(**settings: Any) -> Configuration:
    """Two tenants, some queues and views, one node ``n1``; ``settings`` are the node's."""
    media = {"voice": MediaType(), "email": MediaType(), "chat": MediaType(), "fax": MediaType(enabled=False)}
    return Configuration(
        tenants={101: Tenant(name="Bank", media_types=media), 102: Tenant(name="Shop", media_types=media)},
        nodes={
            "n1": Node(
                database="sqlite:///n1.db",
                primary=Addresses(requests="tcp://127.0.0.1:1", events="tcp://127.0.0.1:2"),
                connections=["Sorter"],
                settings=NodeSettings(**{"panic_window": 0.0, **settings}),
                licenses={"ics_multi_media_agent_seat": 30},
            )
        },
        esp_servers={
            "Sorter": ESPServer(
                address="tcp://127.0.0.1:3", application_type="ClassificationServer", services=["Classify"]
            ),
        },
        queues={
            "Inbound": Queue(tenant=101),
            "Done": Queue(tenant=101),
            "Kept": Queue(tenant=101),
            "Fair": Queue(tenant=101),
            "Off": Queue(tenant=101, enabled=False),
            "Closed": Queue(tenant=101, completed=True),
            "Archive": Queue(tenant=101, completed=True),
            "Later": Queue(tenant=101, paused=True),
            "Shop": Queue(tenant=102),
        },
        views={
            "Inbound/all": View(queue="Inbound", order="priority desc, received_at"),
            "Inbound/urgent": View(queue="Inbound", condition="priority >= 5"),
            "Done/all": View(queue="Done"),
            "Shop/all": View(queue="Shop"),
            "Off/all": View(queue="Off"),
            "Closed/all": View(queue="Closed"),
            "Later/all": View(queue="Later"),
            "Fair/all": View(queue="Fair", order="priority desc", segmentation="media_type"),
        },
        workbins={
            "Drafts": WorkbinType(owner="agent", queue="Kept", order="priority desc, received_at"),
            "Notes": WorkbinType(owner="agent"),
            "Team": WorkbinType(owner="agent-group"),
            "Desk": WorkbinType(owner="place"),
            "Floor": WorkbinType(owner="place-group"),
        },
        agent_groups={"Support": AgentGroup(agents=["VICKY", "ANAT"])},
        place_groups={"First": PlaceGroup(places=["P1", "P2"])},
    )


class Party:
    """One client of the driver: asks, and collects what it is told."""

    def __init__(self, driver: Driver, source: tuple[bytes, int]) -> None:
        self.driver = driver
        self.source = source
        self.notes: list[dict[str, Any]] = []

    def ask(self, message: str, **fields: Any) -> dict[str, Any]:
        """The reply to one request, alone in its batch."""
        reply = self.driver.ask(self.source, {"message": message, **fields})
        assert reply is not None, f"{message} was not answered"
        return reply

    def told(self) -> list[str]:
        """Names of the notifications since the last call."""
        names = [note["message"] for note in self.notes]
        self.notes.clear()
        return names


class Driver:
    """Drives one core through batches, keeping rows as a journal would.

    ``file`` is what its configuration file says by now, ``standby`` what its standby answers (None: that it is well).
    """

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = self.file = configuration
        self.standby: EventPong | None = None
        self.now = START
        self.core = NodeCore("n1", configuration)
        self.core.activate(self.now, 1, "test")
        self.rows: list[tuple[int, bytes, bytes]] = []
        self.parties: dict[tuple[bytes, int], Party] = {}
        self.said: list[dict[str, Any]] = []
        self.late: dict[Any, dict[str, Any]] = {}
        self.dialled: list[Any] = []
        self._refs = 0
        self.settle()

    def client(self, name: str, kind: str, **fields: Any) -> Party:
        """A registered client with its own connection."""
        party = self.stranger(name)
        reply = party.ask("RequestRegisterClient", client_name=name, client_type=kind, **fields)
        assert reply["message"] == "EventAck", reply
        return party

    def stranger(self, name: str) -> Party:
        """A client that has not registered."""
        source = (name.encode(), 0)
        party = self.parties[source] = Party(self, source)
        return party

    def agent(self, name: str, **media: int) -> Party:
        """A registered and logged-in agent."""
        party = self.client(name, "AgentApplication")
        reply = party.ask("RequestAgentLogin", tenant_id=101, agent_id=name, media_list=media or {"voice": 1})
        assert reply["message"] == "EventAck", reply
        party.told()
        return party

    def ask(self, source: tuple[bytes, int], message: dict[str, Any], flags: int = 0) -> dict[str, Any] | None:
        """One request and its reply; None when it is held."""
        self._refs += 1
        ref = str(self._refs).encode()
        self.core.receive(self.now, source, ref, json.dumps(message).encode(), flags)
        self.settle()
        return self.late.pop(ref, None)

    def settle(self) -> None:
        """Closes the batch and hands everything to whom it is for."""
        obey_node(self.core, self.now, self.file, self.standby or standby(self.core))
        batch = self.core.take(self.now)
        self.dialled += batch.dialled
        events = pack(batch.events) if batch.events.events else b""
        if batch.changes or events:
            self.rows.append((batch.us, encode_changes(batch.changes), events))
        said = [json.loads(event.payload) for event in batch.events.events]
        for event in said:
            cause = event.get("cause")
            assert cause is None or event["message"] in REQUESTS[cause].causes, f"{cause} caused {event['message']}"
        self.said += said
        for source, ref, payload, code in batch.replies:
            document = json.loads(payload)
            assert bool(code) == (document["message"] == "EventError")
            if ref is None:
                if source in self.parties:  # a link is looked at, too
                    self.parties[source].notes.append(document)
            else:
                self.late[ref] = document

    def wait(self, seconds: float) -> None:
        """Lets time pass, waking the core when it asks for it."""
        until = self.now + seconds
        while self.core.wake_at <= until:
            self.now = max(self.now, self.core.wake_at)
            self.core.tick(self.now)
            self.settle()
        self.now = until

    def events(self) -> list[str]:
        """Names of the reporting events since the last call."""
        names = [event["message"] for event in self.said]
        self.said.clear()
        return names

    def reopened(self) -> Driver:
        """Another member that has applied the journal and become active."""
        other = Driver.__new__(Driver)
        other.__dict__.update(self.__dict__)
        other.core = NodeCore("n1", self.configuration, member="backup")
        for us, changes, events in self.rows:
            other.core.apply(us, changes, events)
        other.parties, other.said, other.late, other.rows = {}, [], {}, list(self.rows)
        other.dialled = []
        other.core.activate(self.now, 2, "test")
        other.settle()
        return other


@pytest.fixture
def driver() -> Driver:
    return Driver(make_configuration())


@pytest.fixture
def make_driver() -> Any:
    """``make_driver(change, **settings)``: a driver; ``change(configuration)`` sets what is no setting of the node."""

    def make(change: Callable[[Configuration], None] | None = None, **settings: Any) -> Driver:
        configuration = make_configuration(**settings)
        if change is not None:
            change(configuration)
        return Driver(configuration)

    return make
