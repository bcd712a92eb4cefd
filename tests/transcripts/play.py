"""Plays transcripts: flows as text, every message to every party in order.

A transcript begins with its story (lines with ``#``), says who is there (``with``, each with his client type and what
else he registers with) and how nodes are set (``settings``), and goes on with steps at the margin, each followed by
what it leads to:

    vicky RequestAccept {"interaction_id": "$i1", "ticket_id": "$t1"}
        vicky     EventAck {"interaction_id": "$i1"}
        stream    EventPartyAdded {"interaction": {"id": "$i1", "state": "handling", …}, …}

The party that asks comes first, then the others, then the reporting stream; each in the order in which it gets them.
A step that begins with ``given`` is not what the flow is about: what it leads to is not shown. Steps that are no
requests: ``30 s pass``, ``vicky drops`` (its connection is lost, and it does not come back), ``the node of $i1 fails
over`` (clients of a node come back to the other member, as the client library does).

Ids, tickets, snapshots and references have names by the order of their appearance ($i1, $t1, $s1, $r1). What differs
between any two servers is left out: times, sequence numbers, the names of nodes, the sentences of errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.config.objects import Agent, Configuration, MediaType, NodeSettings, Queue, View, WorkbinType
from broker.messages.objects import STATES
from tests.world import Client, World, make_configuration

FLOWS = Path(__file__).parent / "flows"
KEEPALIVE_S = 5.0
STREAM = "stream"
STAGES = {"node": ("n1", 1), "proxy": ("p1", 1), "proxy of three nodes": ("p1", 3)}
"""Where a transcript is played: the server that all clients are at, and how many nodes there are."""

_DROPPED = frozenset(
    {"message", "node", "seq", "time", "tenant_id", "echoes", "detail", "session", "pid", "why", "complete"}
)
_SHOWN = (
    "queue", "workbin", "priority", "parent_id", "external_id", "interaction_type", "interaction_subtype", "is_online",
    "is_held", "is_locked", "in_queues", "out_queues", "assigned_to", "delivered_at", "abandoned_at", "completed_at",
    "user_data", "token",
)  # fmt: skip
_DEFAULTS: dict[str, Any] = {"priority": 0, "is_online": 0, "interaction_type": "Inbound", "user_data": {}}
_NAMES = {
    "interaction_id": "i",
    "ticket_id": "t",
    "token": "t",
    "snapshot_id": "s",
    "esp_server_refid": "r",
    "esp_client_refid": "c",
}
_PARTY = re.compile(r"(\w+) \((\w+) ?(\{[^()]*\})?\)")
_GONE = dict.fromkeys(("unregistered", "connection lost", "silent"), "client gone")
"""A proxy notices the end of a client, and tells nodes just that it has come."""

_REQUEST = re.compile(r"(\w+) (Request\w+) ?(\{.*\})?")
_WAIT = re.compile(r"([0-9.]+) s pass")
_DROP = re.compile(r"(\w+) drops")
_WORD = re.compile(r"[\w-]+")
_FAILOVER = re.compile(r"the node of (\$i\d+) fails over")


@dataclass
class Transcript:
    """A transcript as it is written.

    :param head: story, cast and settings, as they stand; ``cast``: each party's registration
    :param steps: each with the lines of what it leads to
    """

    head: str
    cast: dict[str, dict[str, Any]]
    settings: dict[str, Any]
    nodes: int
    steps: list[tuple[str, list[str]]] = field(default_factory=list)

    def text(self) -> str:
        """The whole of it as text."""
        text, before = self.head.strip() + "\n", ""
        for step, lines in self.steps:
            text += "" if before.startswith("given ") and step.startswith("given ") else "\n"
            text += "".join([f"{step}\n", *(f"    {line}\n" for line in lines)])
            before = step
        return text


def read(text: str) -> Transcript:
    """A transcript from its text. :raises ValueError: a line that means nothing"""
    head = [line for line in text.splitlines() if line.startswith(("#", "with ", "settings "))]
    cast, settings = {}, {}
    for line in head:
        if line.startswith("with "):
            for name, kind, fields in _PARTY.findall(line):
                cast[name] = {"client_type": kind, **json.loads(fields or "{}")}
        elif line.startswith("settings "):
            settings |= {key: json.loads(value) for key, value in re.findall(r"(\w+)=(\S+)", line)}
    transcript = Transcript("\n".join(head), cast, settings, settings.pop("nodes", 3))
    for line in text.splitlines():
        if line.startswith("    "):
            transcript.steps[-1][1].append(line[4:])
        elif line.strip() and line not in head:
            transcript.steps.append((line, []))
    return transcript


def configuration(nodes: int, settings: dict[str, Any]) -> Configuration:
    """The cluster that transcripts are played in."""
    made = make_configuration(
        nodes, 1, NodeSettings(**{"keepalive_interval": KEEPALIVE_S, **settings}), keepalive_interval=KEEPALIVE_S
    )
    made.queues |= {"Closed": Queue(tenant=101, completed=True), "Kept": Queue(tenant=101)}
    made.views |= {"Kept/all": View(queue="Kept")}
    made.workbins |= {"Later": WorkbinType(owner="agent", queue="Kept")}
    made.tenants[101].media_types["sms"] = MediaType()
    made.agents |= {"ANAT": Agent(capacity={"email": 1})}
    for node in made.nodes.values():
        node.licenses = {"ics_sms_seat": 1}
    return made


class Stage(World):
    """A cluster whose clients note what they get in one order.

    :param at: the server that all clients are at
    """

    def __init__(self, transcript: Transcript, at: str, nodes: int) -> None:
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.at = at
        self.names: dict[Any, str] = {}
        self.values: dict[str, Any] = {}
        self.seen = 0
        super().__init__(configuration(nodes, transcript.settings))
        self.parties: dict[str, Client] = {}
        self.sessions: dict[str, str] = {}
        self.cast = transcript.cast
        for name in self.cast:
            self._register(name)
        self.run(0.1)
        self.outcome("")

    def _register(self, name: str, **fields: Any) -> None:
        client = Client(self, self.at, name)
        ack = client.ask("RequestRegisterClient", client_name=name, **self.cast[name], **fields)
        assert ack["message"] == "EventAck", ack
        self.parties[name] = client
        self.sessions[name] = ack["session_id"]

    def _answered(self, at: str, source: bytes, ref: Any, payload: bytes) -> None:
        super()._answered(at, source, ref, payload)
        said = json.loads(payload)
        if said["message"] not in ("EventPong", "EventViewHead"):
            self.log.append((source.decode(), said))

    # -- steps

    def play(self, step: str) -> list[str]:
        """Does a step. :returns: what it leads to, as lines"""
        step = step.removeprefix("given ")
        for pattern, act in ((_REQUEST, self._ask), (_WAIT, self._wait), (_DROP, self._drop), (_FAILOVER, self._fail)):
            found = pattern.fullmatch(step)
            if found:
                first = act(*found.groups())
                self.run(0.2)
                return self.outcome(first)
        raise ValueError(f"not understood: {step}")

    def _ask(self, party: str, message: str, fields: str | None) -> str:
        given = self._real(json.loads(fields or "{}"))
        self.parties[party].send(message, **given)
        return party

    def _wait(self, seconds: str) -> str:
        self._pass(float(seconds))
        return ""

    def _pass(self, seconds: float) -> None:
        """Lets time pass, while everybody who is there says so."""
        until = self.now + seconds
        while self.now < until - 1e-9:
            for client in self.parties.values():
                client.send("RequestPing")
            step = min(self.now + KEEPALIVE_S / 2, until)
            while self.now < step - 1e-9:
                self.now = min(self.now + 0.25, step)
                self.settle()

    def _drop(self, party: str) -> str:
        client = self.parties.pop(party)
        if self.at in self.proxies:
            self.proxies[self.at].lost(self.now, client.source)
        else:
            core = self.pairs[self.at].core
            assert core is not None
            core.lost(self.now, client.source)
        self._pass(4 * KEEPALIVE_S)
        return party

    def _fail(self, ident: str) -> str:
        name = self.holder(self.values[ident])
        self.lose(name)
        self.run(0.1)
        self.take_over(name)
        if self.at == name:
            for party in self.parties:
                self._register(party, session_id=self.sessions[party])
            self.log = [(who, said) for who, said in self.log if "session_id" not in said]
        return ""

    def holder(self, ident: str) -> str:
        """The node that has an interaction."""
        return next(pair.name for pair in self.pairs.values() if pair.core and ident in pair.core.memory.interactions)

    # -- what it leads to

    def outcome(self, first: str) -> list[str]:
        """What everybody was told since the last time, as lines. :param first: who asked"""
        log, self.log = self.log, []
        log += [(STREAM, event) for event in self._events()]
        order = {name: at for at, name in enumerate([first, *self.parties, STREAM])}
        if self.parties:
            order[first] = 0
        log.sort(key=lambda entry: order.get(entry[0], len(order) - 2))
        self.said = log
        return [f"{who:<9} {said['message']} {json.dumps(self._plain(said))}".removesuffix(" {}") for who, said in log]

    def _events(self) -> Iterator[dict[str, Any]]:
        """The events since the last time, as a subscriber of the server gets them."""
        if self.at in self.proxies:
            payloads = [payload for _, _, payload in self.stream[self.at]]
        else:
            payloads = [event.payload for event in self.pairs[self.at].journal.events(0, 1_000_000).events]
        new, self.seen = payloads[self.seen :], len(payloads)
        return map(json.loads, new)

    def _plain(self, said: dict[str, Any]) -> dict[str, Any]:
        """A message as it is shown."""
        dropped = _DROPPED | {"server"} if said["message"] == "EventError" else _DROPPED
        return {key: self._shown(key, value) for key, value in said.items() if key not in dropped}

    def _shown(self, key: str, value: Any) -> Any:
        if key in ("interaction", "interactions"):
            return [self._part(one) for one in value] if isinstance(value, list) else self._part(value)
        if key in _NAMES and value:
            return self._name(_NAMES[key], value)
        if isinstance(value, dict):
            shown = {self.names.get(inner, inner): self._shown(inner, one) for inner, one in value.items()}
            return {inner: one for inner, one in shown.items() if inner != "session"}
        if isinstance(value, list):
            return [self._shown("", one) for one in value]
        if key == "detail":
            return _WORD.sub(lambda word: self.names.get(word[0], word[0]), value)
        if isinstance(value, float):
            return "a time" if value > 1e9 else round(value, 1)
        return self.names.get(value, _GONE.get(value, value)) if isinstance(value, str) else value

    def _part(self, one: dict[str, Any]) -> dict[str, Any]:
        """An interaction in short."""
        short = {"id": self._name("i", one["interaction_id"]), "state": STATES[one["interaction_state"]]}
        shown = {key: self._shown(key, one[key]) for key in _SHOWN if key in one}
        return short | {key: value for key, value in shown.items() if value != _DEFAULTS.get(key)}

    def _name(self, kind: str, value: Any) -> str:
        if value not in self.names:
            number = 1 + sum(name.startswith(f"${kind}") for name in self.values)
            self.names[value] = f"${kind}{number}"
            self.values[f"${kind}{number}"] = value
        return self.names[value]

    def _real(self, value: Any) -> Any:
        """What a step says, with the real ids for the names."""
        if isinstance(value, dict):
            return {key: self._real(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._real(one) for one in value]
        return self.values.get(value, value) if isinstance(value, str) else value


def played(transcript: Transcript, at: str, nodes: int) -> Transcript:
    """The transcript as it comes out."""
    stage = Stage(transcript, at, nodes)
    done = Transcript(transcript.head, transcript.cast, transcript.settings, transcript.nodes)
    for step, _ in transcript.steps:
        lines = stage.play(step)
        done.steps.append((step, [] if step.startswith("given ") else lines))
    return done
