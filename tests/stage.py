"""What a request's example needs before it can be done, for every request of the catalogue, and who asks it.

What an example needs beyond an agent and a waiting interaction is a line in ``BEFORE``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from broker.config.objects import NodeSettings
from broker.messages import REQUESTS
from broker.messages.kinds import ClientType
from tests.world import World, make_configuration

AGENT, HELD = "VICKY", "30FGHMI2NBPV2PWI"
"""The agent and the interaction that the examples speak of; by its id the interaction is the node n1's."""
TIMEOUT_S = 2.0
"""The proxy's request-timeout here; nothing is answered later than this and a little."""
PATIENCE_S = 2 * TIMEOUT_S + 1.0

MEDIA, ENGINE, DESK = ClientType.MEDIA, ClientType.ROUTING, ClientType.AGENT
Step = tuple[ClientType, str, dict[str, Any]]
"""Who does what."""
SUBMIT = (MEDIA, "RequestSubmit", {"tenant_id": 101, "media_type": "voice", "queue": "Inbound", "interaction_id": HELD})
LOGIN = (DESK, "RequestAgentLogin", {"tenant_id": 101, "agent_id": AGENT, "media_list": {"voice": 1}})
PULL = (ENGINE, "RequestPull", {"tenant_id": 101, "view_id": "Inbound/all"})
DELIVER = (ENGINE, "RequestDeliver", {"interaction_id": HELD, "agent_id": AGENT})
TAKE = (DESK, "RequestPull", {"tenant_id": 101, "view_id": "Inbound/all", "agent_id": AGENT})
COLLEAGUE = (DESK, "RequestAgentLogin", {"tenant_id": 101, "agent_id": "ANAT", "media_list": {"voice": 1}})
"""The same desk's second agent; what it is invited to it accepts, for requests whose reply waits for that."""

SERVICE = (MEDIA, "Request3rdServer", {"tenant_id": 101, "interaction_id": HELD, "request": {"Service": "Classify"}})
"""What the ESP server is asked; its reply waits for the server's."""
SNAPSHOT = (DESK, "RequestTakeSnapshot", {"tenant_id": 101, "condition": ""})
LOCK = (DESK, "RequestLockInteraction", {"interaction_id": HELD})

BEFORE: dict[str, list[Step]] = {
    "RequestAgentLogin": [(DESK, "RequestAgentLogout", {})],
    "RequestRemoveMedia": [(DESK, "RequestAddMedia", {"media_type": "email"})],
    "RequestCancelNotReadyForMedia": [(DESK, "RequestNotReadyForMedia", {"media_type": "voice"})],
    "RequestDoNotDisturbOff": [(DESK, "RequestDoNotDisturbOn", {})],
    "RequestDeliver": [PULL],
    "RequestAccept": [PULL, DELIVER],
    "RequestGetSnapshotInteractions": [SNAPSHOT],
    "RequestReleaseSnapshot": [SNAPSHOT],
    "RequestSnapshotOrder": [SNAPSHOT],
    "RequestArrangeSnapshot": [SNAPSHOT],
    "RequestMoveInteractions": [SNAPSHOT],
    "RequestUnlockInteraction": [LOCK],
    "RequestReject": [PULL, DELIVER],
    "RequestUnloadStrategy": [(ENGINE, "RequestLoadStrategy", REQUESTS["RequestLoadStrategy"].example)],
    "RequestHold": [],
    "RequestResume": [(MEDIA, "RequestHold", {"interaction_id": HELD})],
    "RequestUpdateActivity": [TAKE],
    "RequestLeaveInteraction": [TAKE],
    "Request3rdServerResponse": [SERVICE],
    "Request3rdServerFault": [SERVICE],
    "RequestTransfer": [TAKE, COLLEAGUE],
    "RequestConference": [TAKE, COLLEAGUE],
    "RequestIntrude": [TAKE, COLLEAGUE],
}
"""What has to be done, by whom, before an example can be."""


def senders(name: str) -> list[ClientType]:
    """Who may ask it and is treated in a way of its own; whoever can do the example comes first."""
    known = [
        kind for kind in (MEDIA, DESK, ENGINE, ClientType.MONITOR, ClientType.ESP) if kind in REQUESTS[name].senders
    ]
    return known or sorted(REQUESTS[name].senders)


class Stage:
    """A cluster in which the example of a request can be done, and the client that may ask it.

    :param at: the server that is asked: a proxy, or the node n1
    :param kind: what the client is
    :param world: the cluster; by default two nodes
    :param ident: the id of the interaction that the examples speak of
    :param before: what is done besides, before the steps of :data:`BEFORE`
    """

    def __init__(  # noqa: PLR0913 - each of them a difference that a test makes
        self,
        name: str,
        at: str = "p1",
        kind: ClientType | None = None,
        *,
        proxies: int = 1,
        world: World | None = None,
        ident: str = HELD,
        before: Iterable[Step] = (),
    ) -> None:
        self.request = REQUESTS[name]
        self.ident = ident
        self.world = world or World(
            make_configuration(2, proxies, NodeSettings(pull_hold_timeout=1.0), request_timeout=TIMEOUT_S)
        )
        self.clients = {kind: self.world.client(kind, at) for kind in (MEDIA, ENGINE, DESK, ClientType.ESP)}
        self.steps = [SUBMIT, LOGIN, *before, *BEFORE.get(name, ())]
        self.snapshot_id = ""
        for reply in self.prepare():
            assert reply["message"] != "EventError", reply
            self.snapshot_id = reply.get("snapshot_id", self.snapshot_id)
        sender = kind or senders(name)[0]
        self.client = self.clients.get(sender) or self.world.client(sender, at)

    def prepare(self) -> list[dict[str, Any]]:
        """Does what the example needs, so far as it is not so already."""
        return [reply for kind, message, fields in self.steps if (reply := self._step(kind, message, fields))]

    def _step(self, kind: ClientType, message: str, fields: dict[str, Any]) -> dict[str, Any]:
        """One step; what waits for somebody else has no reply yet."""
        if not REQUESTS[message].deferred:
            return self.clients[kind].ask(message, **self.meant(fields))
        self.clients[kind].send(message, **self.meant(fields))
        self.world.settle()
        return {}

    def meant(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Fields that speak of the examples' interaction, with this stage's own id for it."""
        return {key: self.ident if value == HELD else value for key, value in fields.items()}

    @property
    def example(self) -> dict[str, Any]:
        """The request's example; what only the server can know is filled in."""
        fields = self.meant(self.request.example)
        invitations = [note for note in self.clients[DESK].notes if note["message"] == "EventInvite"]
        if invitations and "ticket_id" in fields:
            fields["ticket_id"] = invitations[-1]["ticket_id"]
        calls = self.calls
        if calls and "esp_server_refid" in fields:
            fields["esp_server_refid"] = calls[-1]["esp_server_refid"]
        if self.snapshot_id and "snapshot_id" in fields:
            fields["snapshot_id"] = self.snapshot_id
        return fields

    def ask(self, message: str | bytes | None = None, **fields: Any) -> dict[str, Any]:
        """The one answer to a request, by default this stage's own; it may take as long as a request may take."""
        number = self.client.send(message or self.request.__name__, **fields)
        self.world.settle()
        waited = 0.0
        while not self.client.answers[number] and waited < PATIENCE_S:
            self.accept()
            self.world.run(0.1)
            waited += 0.1
        return self.client.answer(number)

    def accept(self) -> None:
        """The desk's agents accept what a deferred request has them invited to."""
        desk = self.clients[DESK]
        invitations = [note for note in desk.notes if note["message"] == "EventInvite"] if self.request.deferred else []
        for note in invitations:
            desk.notes.remove(note)
            accepted = {key: note[key] for key in ("ticket_id", "agent_id")}
            desk.send("RequestAccept", interaction_id=note["interaction"]["interaction_id"], **accepted)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """What the ESP server was asked."""
        return [note for note in self.clients[ClientType.ESP].notes if note["message"] == "Request3rdServer"]

    def answer_calls(self) -> None:
        """The ESP server answers all that it was asked, so that nobody waits any more."""
        server = self.clients[ClientType.ESP]
        for note in self.calls:
            server.send("Request3rdServerResponse", esp_server_refid=note["esp_server_refid"])
        server.notes.clear()
        self.world.settle()

    def assert_once(self) -> None:
        """Nothing that was asked is answered a second time, however long one waits."""
        self.answer_calls()
        self.world.run(PATIENCE_S)
        assert {len(answers) for client in self.world.clients.values() for answers in client.answers.values()} == {1}
