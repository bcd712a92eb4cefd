"""What clients are told unasked of their agents, of invitations that are taken back, and of workbins.

A client is held to know what it was told: of its agent, always how it is; of a workbin that it asked to be told of,
always what is in it. After a crash clients begin anew, with what is then so.
"""

from __future__ import annotations

from typing import Any

from tests.model.plain import Plain, Wrong
from tests.model.served import Turn
from tests.model.things import Agent, Document
from tests.model.told import bin_of_document

Status = tuple[Any, ...]


def judge(plain: Plain, turn: Turn) -> None:
    """:raises Wrong: a client was told something else, or not told"""
    _of_agents(plain, turn)
    _of_revoked(plain, turn)
    _of_workbins(plain, turn)


def _of_agents(plain: Plain, turn: Turn) -> None:
    for one in turn.notes("EventCurrentAgentStatus"):
        client = plain.at(one.source)
        if client is not None:
            plain.statuses[client.name] = _told(one.document)
    there = {name: agent for agent in plain.agents.values() for name in agent.clients if plain.clients[name].here}
    plain.statuses = {name: status for name, status in plain.statuses.items() if name in there}
    for name, agent in there.items():
        if plain.statuses.setdefault(name, _status(agent)) != _status(agent):
            raise Wrong(f"{name} was told {plain.statuses[name]}, and its agent is {agent}")


def _status(agent: Agent) -> Status:
    return dict(agent.media), agent.donot_disturb, dict(agent.reasons), agent.reason


def _told(note: Document) -> Status:
    return (
        note.get("media_state_list", {}),
        note.get("donot_disturb", False),
        note.get("media_reasons", {}),
        note.get("state_reason"),
    )


def _of_revoked(plain: Plain, turn: Turn) -> None:
    """Who was invited, and is no more without having answered, is told so."""
    notes = [one for one in turn.notes("EventRevoked") if "ticket_id" in one.document]
    told = {(one.source, one.document["ticket_id"]) for one in notes}
    revoked, plain.revoked = plain.revoked, set()
    if told != {one for one in revoked if plain.at(one[0]) is not None or one in told}:
        raise Wrong(f"{told} were told that they are invited no more, not {revoked}")


def _of_workbins(plain: Plain, turn: Turn) -> None:
    for one in turn.notes("EventWorkbinContentChanged"):
        client, where = plain.at(one.source), bin_of_document(one.document["workbin"])
        known = plain.contents.get((client.session, where)) if client is not None else None
        if known is None:
            raise Wrong(f"{one} is told of what it did not want to be told of")
        change = known.add if one.document["operation"] == "added" else known.discard
        change(one.document["interaction_id"])
    plain.contents = {key: known for key, known in plain.contents.items() if key in plain.told}
    for session, where in plain.told:
        if plain.of_session(session) is not None:
            there = {item.ident for item in plain.in_bin(where)}
            if plain.contents.setdefault((session, where), set(there)) != there:
                raise Wrong(f"{session} was told that {where} has {plain.contents[session, where]}, not {there}")
