"""The interactions, agents and queues as one knows them who has nothing but the events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.model.plain import Plain
from tests.model.things import Bin, Document

OWNERS = ("agent_id", "agent_group", "place_id", "place_group")
SECOND = {"EventTakenFromWorkbin": "EventTakenFromQueue", "EventPlacedInWorkbin": "EventPlacedInQueue"}
"""What is said of a workbin right behind what is said of its queue: both with what was before."""
INVITED = frozenset({"Route", "Transfer", "Conference", "Intrude"})
"""How agents come that were invited."""
AGENT = 2
"""The type of a party that is no strategy."""
READINESS = {"EventMediaAdded": (0, 1), "EventReadyForMedia": (1,), "EventNotReadyForMedia": (0,)}
"""What an agent's media type can be, of which this is said."""


@dataclass
class Seen:
    """An interaction. :param invited: agents"""

    queue: str | None
    state: int
    workbin: Bin | None
    priority: int
    parties: list[str] = field(default_factory=list)
    invited: list[str] = field(default_factory=list)
    held: bool = False


class Told:
    """What the events have told.

    :param there: the interactions
    :param agents: by their ids: media types, do-not-disturb, reasons
    :param services: requests to ESP servers without an answer
    :param paused: queues that were paused (True) or resumed
    """

    def __init__(self) -> None:
        self.there: dict[str, Seen] = {}
        self.agents: dict[str, tuple[Any, ...]] = {}
        self.services: set[str] = set()
        self.paused: dict[str, bool] = {}
        self.drained = False
        self.last: Document = {"seq": 0, "time": 0.0, "message": ""}

    def read(self, events: list[Document]) -> Iterator[str]:
        """Takes the next events in; what cannot be is said in words."""
        for event in events:
            if event["seq"] != self.last["seq"] + 1 or event["time"] <= self.last["time"]:
                yield f"{event} came behind {self.last}"
            name = event["message"]
            if "agent" in event:
                yield from self._of_agent(event)
            elif name.startswith("EventExternalService"):
                yield from self._of_service(event)
            elif "interaction" in event:
                yield from self._of_interaction(event)
            elif name in ("EventQueuePaused", "EventQueueResumed"):
                self.paused[event["body"]["queue"]] = name == "EventQueuePaused"
            elif name in ("EventDrainBegun", "EventDrainEnded"):
                self.drained = name == "EventDrainBegun"
            self.last = event

    def _of_agent(self, event: Document) -> Iterator[str]:
        name, part = event["message"], event["agent"]
        ident, media, disturbed = part["agent_id"], part.get("media", {}), part.get("donot_disturb", False)
        if (ident in self.agents) is (name == "EventAgentLogin"):
            yield f"{event} is of an agent that has logged in twice or never"
        if media.get(part.get("media_type")) not in READINESS.get(name, (media.get(part.get("media_type")),)):
            yield f"{event} says something else than its agent is"
        if name.startswith("EventDoNotDisturb") and disturbed is not (name == "EventDoNotDisturbOn"):
            yield f"{event} says something else than its agent is"
        if name == "EventAgentLogout":
            self.agents.pop(ident, None)
        else:
            self.agents[ident] = media, disturbed, part.get("media_reasons", {}), part.get("state_reason")

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
        seen = self.there.setdefault(ident, Seen(part.get("queue"), part["interaction_state"], None, part["priority"]))
        if "old_state" in event and self._before(event, seen) != (event.get("old_queue"), event["old_state"]):
            yield f"{event} was {self._before(event, seen)}"
        seen.queue, seen.state, seen.priority = part.get("queue"), part["interaction_state"], part["priority"]
        seen.workbin = bin_of_document(part["workbin"]) if "workbin" in part else None
        yield from _of_parties(event, seen)
        if name in ("EventHeld", "EventResumed"):
            if seen.held is (name == "EventHeld"):
                yield f"{event} was so already"
            seen.held = name == "EventHeld"
        elif name == "EventProcessingStopped":
            if seen.parties or seen.invited:
                yield f"{ident} was stopped and has parties {seen}"
            del self.there[ident]

    def _before(self, event: Document, seen: Seen) -> tuple[Any, Any]:
        """Queue and state that were told before this was said of an interaction, and what was said with it."""
        about = self.last.get("interaction", {}).get("interaction_id") == event["interaction"]["interaction_id"]
        if about and self.last["message"] == SECOND.get(event["message"]):
            return self.last.get("old_queue"), self.last.get("old_state")
        return seen.queue, seen.state

    def differences(self, plain: Plain) -> Iterator[str]:
        """What the events have told, against the model."""
        if self.there.keys() != plain.items.keys():
            yield f"events tell of {sorted(self.there)}, not of {sorted(plain.items)}"
            return
        for ident, item in plain.items.items():
            seen, holders = self.there[ident], item.holding.holders if item.holding else []
            told = seen.queue, seen.state, seen.workbin, seen.held, seen.priority
            parties, invited = sorted(_name(plain, holder) for holder in holders), plain.invited(ident)
            if told != (item.queue, item.state, item.workbin, item.held, item.priority):
                yield f"events tell that {ident} is {told}, not {item}"
            if sorted(seen.parties) != parties:
                yield f"events tell that {ident} has {seen.parties}, not {parties}"
            if sorted(seen.invited) != sorted(plain.agents[one.agent].agent_id for one in invited):
                yield f"events tell that to {ident} are invited {seen.invited}, not {invited}"
        agents = {
            one.agent_id: (one.media, one.donot_disturb, one.reasons, one.reason) for one in plain.agents.values()
        }
        if self.agents != agents:
            yield f"events tell of the agents {self.agents}, not of {agents}"
        if self.services != plain.services.keys():
            yield f"events tell of the requests {self.services}, not of {plain.services}"
        if self.drained is not plain.drained or any(self.paused.get(name) != on for name, on in plain.ordered.items()):
            yield f"events tell of {self.paused}, {self.drained}, not of {plain.ordered}, {plain.drained}"


def _of_parties(event: Document, seen: Seen) -> Iterator[str]:
    """Who handles an interaction, and who is invited to it."""
    name, party = event["message"], _party(event)
    if name == "EventAgentInvited":
        seen.invited.append(party)
    elif name == "EventPartyAdded":
        seen.parties.append(party)
    elif name == "EventPartyRemoved":
        if party not in seen.parties:
            yield f"{party} is removed from {seen} and was no party"
        seen.parties = [one for one in seen.parties if one != party]
    comes = name == "EventPartyAdded" and event["party"]["type"] == AGENT and event["operation"] in INVITED
    if comes or name in ("EventRevoked", "EventRejected"):
        if party not in seen.invited:
            yield f"{event}: it was not invited to {seen}"
        seen.invited = [one for one in seen.invited if one != party]


def bin_of_document(workbin: Document) -> Bin:
    """A workbin as messages name it."""
    return workbin["type"], next(workbin[name] for name in OWNERS if name in workbin)


def _party(event: Document) -> str:
    party = event.get("party", {})
    return str(party.get("agent_id") or party.get("place_id") or party.get("router_id"))


def _name(plain: Plain, holder: str) -> str:
    """A holder as events name it."""
    if holder in plain.agents:
        return plain.agents[holder].agent_id
    return next(client.name for client in plain.clients.values() if client.session == holder)
