"""What reporting clients ask, topics that anybody wants to be told of, and custom events."""

from __future__ import annotations

from broker.clock import to_us
from broker.errors import Code
from broker.wire import make_cursor, parse_cursor
from tests.model.asked import Asked
from tests.model.author import Author
from tests.model.plain import Wrong
from tests.model.requests.entries import Entry, no_fields, same
from tests.model.things import Agent, Document
from tests.model.world import MEDIA

# -- the state of agents


def _state(asked: Asked, agents: list[Agent]) -> None:
    assert asked.reply is not None
    shown = {one["agent_id"]: (one.get("media", {}), one.get("donot_disturb", False)) for one in asked.reply["agents"]}
    known = {one.agent_id: (one.media, one.donot_disturb) for one in agents}
    if shown != known:
        raise Wrong(f"{shown} is not {known}")


def state(asked: Asked) -> None:
    if not asked.verdict(()) or asked.reply is None:
        return
    _state(asked, list(asked.plain.agents.values()))
    counts = asked.reply["queues"].get("101", {})
    for queue in asked.plain.world.queues:
        there = [item.state for item in asked.plain.items.values() if item.queue == queue]
        known = {"queued": there.count(0), "routing": there.count(2), "handling": there.count(3)}
        shown = {name: number for name, number in counts.get(queue, {}).items() if number}
        if shown != {name: number for name, number in known.items() if number}:
            raise Wrong(f"{queue} has {known}, not {shown}")


def stop_state(asked: Asked) -> None:
    """The end of the reporting on single agents, too."""
    if asked.verdict(()):
        session = asked.client.session
        asked.plain.topics = {topic for topic in asked.plain.topics if topic[0] != session or not topic[3]}


def write_one(author: Author) -> Document:
    named = author.one({"agent_id": "VICKY"}, {"agent_id": "ANAT"}, {"place_id": "P1"}, {"place_id": "P2"})
    if author.seldom():
        named = author.one({}, {"agent_id": "VICKY", "place_id": "P1"})
    return {"tenant_id": 101, **named}


def _one(asked: Asked, faults: set[Code]) -> tuple[str, str]:
    agent_id, place_id = asked["agent_id"], asked["place_id"]
    if agent_id and place_id:
        faults.add(Code.WRONG_VALUE)
    elif not agent_id and not place_id:
        faults.add(Code.MISSING_ATTRIBUTE)
    return ("agent", agent_id) if agent_id else ("place", place_id)


def start_one(asked: Asked) -> None:
    faults = set[Code]()
    kind, name = _one(asked, faults)
    if asked.verdict(faults):
        asked.plain.topics.add((asked.client.session, kind, name, True))
        _state(asked, [one for one in asked.plain.agents.values() if getattr(one, f"{kind}_id") == name])


def stop_one(asked: Asked) -> None:
    faults = set[Code]()
    kind, name = _one(asked, faults)
    if asked.verdict(faults):
        asked.plain.topics.discard((asked.client.session, kind, name, True))


def write_replay(author: Author) -> Document:
    """From the beginning, or some event on."""
    told = author.plain.said
    fields: Document = {"count": author.one(1, 10, 1000)}
    if told and not author.seldom():
        fields["from"] = make_cursor(to_us(author.one(*told[-300:])["time"]), "n1")
    if author.seldom():
        fields["interaction_id"] = author.ident()
    return fields


def replay(asked: Asked) -> None:
    """What the events have told, once more."""
    if not asked.verdict(()) or asked.reply is None:
        return
    after, ident = parse_cursor(asked["from"])[0] if asked["from"] else 0, asked["interaction_id"]
    past = [event for event in asked.plain.said if to_us(event["time"]) > after]
    of_it = [event for event in past if event.get("interaction", {}).get("interaction_id") == ident]
    due = past[: asked["count"]] if ident is None else of_it
    more = bool(asked.reply.get("more"))
    if asked.reply["events"] != due or more is not (ident is None and len(past) > len(due)):
        raise Wrong(f"{asked.reply} is not {due}")


# -- topics

TOPICS = [
    {"agent_id": "VICKY"},
    {"agent_id": "ZOHAR"},
    {"place_id": "P1"},
    {"queue": "Inbound"},
    {"queue": "Done"},
    {},
]


def write_topics(author: Author) -> Document:
    topics = [author.one(*TOPICS), author.one(*TOPICS)]
    if author.seldom():
        topics.append(author.one({"queue": "Nowhere"}, {"queue": "Shop"}, {"agent_id": "VICKY", "queue": "Done"}))
    return {"topics": [{"tenant_id": 101, **topic} for topic in topics]}


def write_untopics(author: Author) -> Document:
    return {} if author.some() else write_topics(author)


def _keys(asked: Asked, faults: set[Code]) -> set[tuple[str, str]]:
    """Kind and name of each topic."""
    keys = set()
    for topic in asked["topics"] or ():
        named = [(name.removesuffix("_id"), value) for name, value in topic.items() if name != "tenant_id"]
        if len(named) > 1:
            faults.add(Code.WRONG_VALUE)
        keys |= set(named[:1]) or {("tenant", "")}
    return keys


def subscribe(asked: Asked) -> None:
    faults = set[Code]()
    keys = _keys(asked, faults)
    if any(kind == "queue" and name not in asked.plain.world.queues for kind, name in keys):
        faults.add(Code.UNKNOWN_QUEUE)
    if asked.verdict(faults):
        asked.plain.topics |= {(asked.client.session, kind, name, False) for kind, name in keys}


def unsubscribe(asked: Asked) -> None:
    faults = set[Code]()
    keys = _keys(asked, faults)
    if not asked.verdict(faults):
        return
    for topic in list(asked.plain.topics):
        if topic[0] == asked.client.session and not topic[3] and (asked["topics"] is None or topic[1:3] in keys):
            asked.plain.topics.discard(topic)


# -- custom events


def write_event(author: Author) -> Document:
    fields: Document = {"tenant_id": 101, "media_type": author.one(*MEDIA), "event_id": 5, "body": {"a": 1}}
    if author.seldom():
        fields["media_type"] = "smoke"
    about = author.one("interaction", "agent", "nothing")
    if about == "interaction":
        fields["interaction_id"] = author.ident()
    elif about == "agent":
        fields["agent_id"] = "VICKY"
    return fields


def distribute(asked: Asked) -> None:
    faults = set[Code]()
    if asked["media_type"] not in MEDIA:
        faults.add(Code.UNKNOWN_MEDIA)
    if asked["interaction_id"]:
        asked.item(faults)
    if asked.verdict(faults):
        said = [event for event in asked.turn.events if event["message"] == "EventCustomReporting"]
        if [event["body"]["content"] for event in said] != [asked["body"]]:
            raise Wrong(f"{said} are not the event of {asked.request}")


REQUESTS = {
    "RequestStartPlaceAgentStateReportingAll": Entry(no_fields, state),
    "RequestStopPlaceAgentStateReportingAll": Entry(no_fields, stop_state),
    "RequestStartPlaceAgentStateReporting": Entry(write_one, start_one),
    "RequestStopPlaceAgentStateReporting": Entry(write_one, stop_one),
    "RequestSubscribe": Entry(write_topics, subscribe),
    "RequestUnsubscribe": Entry(write_untopics, unsubscribe),
    "RequestReplayEvents": Entry(write_replay, replay),
    **same(("RequestDistributeEvent", "RequestDistributeUserEvent"), Entry(write_event, distribute)),
}
