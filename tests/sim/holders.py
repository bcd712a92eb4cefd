"""Who holds what and who is invited to what, as one node's events tell it; held against the rows that it commits.

one party            has an interaction; a second one comes only by a conference or an intrusion
a transfer           puts one in the place of the one that asked
whoever accepts      was invited, and is so no more
what nobody holds    (any more) is where it was taken from, unless somebody has said where it goes
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

Document = dict[str, Any]
Place = tuple[Any, Any]
"""A queue and a workbin."""

JOINS = ("Conference", "Intrude")
SERVERS_OWN = (None, "RequestLeaveInteraction")
"""What causes a return: the server itself, or the last party that leaves."""
ACCEPTED, REJECTED = "accepted", "rejected"


class Invitation:
    """An agent was invited.

    :param asked: the operation that wanted it; :param request: of this name
    :param operation: what for, in the published word; :param asker: the agent that asked
    :ivar end: ACCEPTED, REJECTED, or why it was revoked; empty while it stands
    """

    __slots__ = ("agent", "asked", "asker", "at", "end", "ended_at", "ident", "operation", "request", "us")

    def __init__(self, at: float, said: Document) -> None:
        self.at, self.us = at, round(1_000_000 * said["time"])
        self.ident: str = said["interaction"]["interaction_id"]
        self.agent: str = said["party"]["agent_id"]
        self.operation: str = said["operation"]
        self.request = said.get("cause")
        self.asked = (said.get("reason") or {}).get("op")
        self.asker = (said.get("actor") or {}).get("agent_id")
        self.end = ""
        self.ended_at = float("inf")

    def __repr__(self) -> str:
        end = f"{self.end} at {self.ended_at:.4f}" if self.end else "open"
        return f"<{self.agent} invited to {self.ident} by {self.asked} ({self.operation}) at {self.at:.4f}, {end}>"


class Passage(NamedTuple):
    """A party has come to, or gone from, an interaction that others have as well.

    :param others: the agents that stay
    """

    at: float
    ident: str
    party: Document
    others: tuple[str, ...]
    came: bool


class Holders:
    """What the events of one node say. :param fault: is told what must not be"""

    def __init__(self, fault: Callable[[str], None]) -> None:
        self.parties: dict[str, list[Document]] = {}
        self.invitations: list[Invitation] = []
        self.passages: list[Passage] = []
        self._fault = fault
        self._open: dict[tuple[str, str], Invitation] = {}
        self._waits: dict[str, Place] = {}
        self._touched: dict[str, None] = {}
        self._transferred: list[Invitation] = []

    def say(self, at: float, said: Document) -> None:
        """An event about an interaction."""
        ident = said["interaction"]["interaction_id"]
        self._touched[ident] = None
        _SAID.get(said["message"], _ignore)(self, at, ident, said)
        if said["interaction"]["interaction_state"] == 0:
            self._waits[ident] = _place(said)

    def settle(self, holdings: dict[str, Document], invitations: dict[str, Document]) -> None:
        """The row that has said all this is over: its tables say the same."""
        for invitation in self._transferred:
            if invitation.asker in _agents(self.parties.get(invitation.ident, ())):
                self._fault(f"transferred, and the one that asked has it still: {invitation}")
        for ident in self._touched:
            told = self.parties.get(ident, ())
            held = [holder["party"] for holder in holdings.get(ident, {}).get("holders", ())]
            if _as_set(told) != _as_set(held):
                self._fault(f"{ident}: by the events {told} has it, by the rows {held}")
        if self._touched:
            rows = {(row["interaction_id"], _agent_of(row["agent"])) for row in invitations.values()}
            if rows != self._open.keys():
                self._fault(f"by the events {sorted(self._open)} are invited, by the rows {sorted(rows)}")
        self._touched.clear()
        self._transferred.clear()

    # -- one event

    def _taken(self, at: float, ident: str, said: Document) -> None:
        if self.parties.get(ident) and "party" in said:
            self._fault(f"{ident} is taken by {said['party']}, but {self.parties[ident]} has it")

    def _added(self, at: float, ident: str, said: Document) -> None:
        parties, operation = self.parties.setdefault(ident, []), said.get("operation")
        invitation = self._ended(at, ident, said, ACCEPTED) if said.get("cause") == "RequestAccept" else None
        if parties and operation not in (*JOINS, "Transfer"):
            self._fault(f"{ident} has several owners: {[*parties, said['party']]} by {operation}")
        if invitation is not None and invitation.operation != operation:
            self._fault(f"invited for one thing, added for {operation}: {invitation}")
        if invitation is not None and operation == "Transfer":
            self._transferred.append(invitation)
        goes = invitation.asker if invitation is not None and operation == "Transfer" else None
        stay = tuple(agent for agent in _agents(parties) if agent != goes)
        if stay:
            self.passages.append(Passage(at, ident, said["party"], stay, came=True))
        parties.append(said["party"])

    def _removed(self, at: float, ident: str, said: Document) -> None:
        parties = self.parties.get(ident, [])
        if said["party"] not in parties:
            self._fault(f"{ident} is taken from {said['party']}, who did not have it: {parties}")
            return
        parties.remove(said["party"])
        by_itself = said.get("cause") in SERVERS_OWN or said.get("operation") == "Transfer"
        new = [one.agent for one in self._transferred if one.ident == ident and said.get("operation") == "Transfer"]
        stay = tuple(agent for agent in _agents(parties) if agent not in new)
        if stay and by_itself and said["party"].get("agent_id"):
            self.passages.append(Passage(at, ident, said["party"], stay, came=False))

    def _placed(self, at: float, ident: str, said: Document) -> None:
        if self.parties.get(ident):
            self._fault(f"{ident}: {said['message']}, but {self.parties[ident]} has it")
        before = self._waits.get(ident)
        if said.get("cause") in SERVERS_OWN and before is not None and _place(said) != before:
            self._fault(f"{ident} was taken from {before} and went back to {_place(said)}")

    def _stopped(self, at: float, ident: str, said: Document) -> None:
        if self.parties.pop(ident, None):
            self._fault(f"{ident} is stopped, and somebody has it")
        self._waits.pop(ident, None)

    def _invited(self, at: float, ident: str, said: Document) -> None:
        invitation = Invitation(at, said)
        if (ident, invitation.agent) in self._open:
            self._fault(f"invited twice: {invitation}")
        self._open[ident, invitation.agent] = invitation
        self.invitations.append(invitation)

    def _rejected(self, at: float, ident: str, said: Document) -> None:
        self._ended(at, ident, said, REJECTED)

    def _revoked(self, at: float, ident: str, said: Document) -> None:
        self._ended(at, ident, said, (said.get("reason") or {}).get("reason_system_name", "?"))

    def _ended(self, at: float, ident: str, said: Document, end: str) -> Invitation | None:
        invitation = self._open.pop((ident, said["party"].get("agent_id", "")), None)
        if invitation is None:
            self._fault(f"{ident}: {said['party']} is {end}, and was not invited")
        else:
            invitation.end, invitation.ended_at = end, at
        return invitation


def _ignore(holders: Holders, at: float, ident: str, said: Document) -> None:
    """Nobody comes or goes by it."""


def _place(said: Document) -> Place:
    return said["interaction"].get("queue"), said["interaction"].get("workbin")


def _agents(parties: Any) -> list[str]:
    return [party["agent_id"] for party in parties if party.get("agent_id")]


def _as_set(parties: Any) -> set[bytes]:
    return {orjson.dumps(party, option=orjson.OPT_SORT_KEYS) for party in parties}


def _agent_of(key: str) -> str:
    """The agent of a row's key, ``tenant/agent@place``."""
    return key.partition("/")[2].partition("@")[0]


_SAID: dict[str, Callable[[Holders, float, str, Document], None]] = {
    "EventTakenFromQueue": Holders._taken,
    "EventPartyAdded": Holders._added,
    "EventPartyRemoved": Holders._removed,
    "EventPlacedInQueue": Holders._placed,
    "EventPlacedInWorkbin": Holders._placed,
    "EventProcessingStopped": Holders._stopped,
    "EventAgentInvited": Holders._invited,
    "EventRejected": Holders._rejected,
    "EventRevoked": Holders._revoked,
}
