"""The interactions and agents as one knows them who has nothing but the events."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.plain import Plain
from tests.model.things import Document


class Told:
    """What the events have told.

    :param there: id -> (queue, state, parties)
    :param services: requests to ESP servers without an answer
    """

    def __init__(self) -> None:
        self.there: dict[str, tuple[str | None, int, list[str]]] = {}
        self.agents: set[str] = set()
        self.services: set[str] = set()
        self.next_seq = 1

    def read(self, events: list[Document]) -> Iterator[str]:
        """Takes the next events in; what cannot be is said in words."""
        for event in events:
            if event["seq"] != self.next_seq:
                yield f"event {event['seq']} came instead of {self.next_seq}"
            self.next_seq = event["seq"] + 1
            if event["message"] == "EventAgentLogin":
                self.agents.add(event["agent"]["agent_id"])
            elif event["message"] == "EventAgentLogout":
                self.agents.discard(event["agent"]["agent_id"])
            elif event["message"].startswith("EventExternalService"):
                yield from self._of_service(event)
            elif "interaction" in event:
                yield from self._of_interaction(event)

    def _of_service(self, event: Document) -> Iterator[str]:
        refid, again = event["body"]["esp_server_refid"], event["body"].get("resent", False)
        if event["message"] == "EventExternalServiceRequested":
            self.services.add(refid)
        elif refid not in self.services:
            yield f"{event} was not asked for"
        else:
            self.services.remove(refid)
        if again and refid not in self.services:
            yield f"{event} was sent before"

    def _of_interaction(self, event: Document) -> Iterator[str]:
        name, part = event["message"], event["interaction"]
        ident = part["interaction_id"]
        if (ident in self.there) is (name == "EventInteractionSubmitted"):
            yield f"{name} is about {ident}, which was submitted twice or never"
        parties = self.there[ident][2] if ident in self.there else []
        if name == "EventPartyAdded":
            parties = [*parties, _party(event)]
        elif name == "EventPartyRemoved":
            if _party(event) not in parties:
                yield f"{_party(event)} is removed from {ident} and was no party"
            parties = [party for party in parties if party != _party(event)]
        self.there[ident] = part.get("queue"), part["interaction_state"], parties
        if name == "EventProcessingStopped":
            if parties:
                yield f"{ident} was stopped and has parties {parties}"
            del self.there[ident]

    def differences(self, plain: Plain) -> Iterator[str]:
        """What the events have told, against the model."""
        if self.there.keys() != plain.items.keys():
            yield f"events tell of {sorted(self.there)}, not of {sorted(plain.items)}"
            return
        for ident, item in plain.items.items():
            told, holders = self.there[ident], item.holding.holders if item.holding else []
            known = sorted(_name(plain, holder) for holder in holders)
            if (told[0], sorted(told[2])) != (item.queue, known):
                yield f"events tell that {ident} is {told}, not {item.queue} {known}"
        if self.agents != {agent.agent_id for agent in plain.agents.values()}:
            yield f"events tell of the agents {self.agents}, not of {sorted(plain.agents)}"
        if self.services != plain.services.keys():
            yield f"events tell of the requests {self.services}, not of {plain.services}"


def _party(event: Document) -> str:
    party = event["party"]
    return str(party.get("agent_id") or party.get("place_id") or party.get("router_id"))


def _name(plain: Plain, holder: str) -> str:
    """A holder as events name it."""
    if holder in plain.agents:
        return plain.agents[holder].agent_id
    return next(client.name for client in plain.clients.values() if client.session == holder)
