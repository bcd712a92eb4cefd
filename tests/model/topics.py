"""Topics: who is told of which reporting events."""

from __future__ import annotations

from tests.model.plain import Plain, Wrong
from tests.model.served import Turn
from tests.model.things import Document


def judge(plain: Plain, turn: Turn) -> None:
    """Everybody here is told of the events of its topics, once and in order. :raises Wrong: or is not"""
    told = [one for one in turn.said if one.ref is None and "seq" in one.document]
    turn.said = [one for one in turn.said if one not in told]
    got = [(one.source, one.document["seq"]) for one in told]
    due = [
        (client.source, event["seq"])
        for event in turn.events
        for client in plain.clients.values()
        if client.here and any(_is_about(event, kind, name) for kind, name in _wanted(plain, client.session))
    ]
    if sorted(got) != sorted(due) or any(one.document not in turn.events for one in told):
        raise Wrong(f"clients were told of the events {got}, not {due}, of {turn.events}")
    for source in {source for source, _ in got}:
        numbers = [seq for where, seq in got if where == source]
        if numbers != sorted(numbers):
            raise Wrong(f"{source!r} was told of {numbers}")


def _wanted(plain: Plain, session: str) -> set[tuple[str, str]]:
    return {(kind, name) for owner, kind, name, _ in plain.topics if owner == session}


def _is_about(event: Document, kind: str, name: str) -> bool:
    if event["tenant_id"] != 101:
        return False
    if kind == "queue":
        return name in (event.get("interaction", {}).get("queue"), event.get("old_queue"))
    if kind in ("agent", "place"):
        return any(event.get(who, {}).get(f"{kind}_id") == name for who in ("agent", "party", "actor"))
    return True
