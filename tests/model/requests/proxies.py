"""What only proxies ask: for a client of theirs, or about what a client has at several nodes."""

from __future__ import annotations

from broker.errors import Code
from tests.model import capacity
from tests.model.asked import Asked
from tests.model.author import Author
from tests.model.plain import Wrong
from tests.model.requests import agents
from tests.model.requests.entries import Entry
from tests.model.requests.snapshots import find, write_own
from tests.model.things import Document
from tests.model.turns import fits
from tests.model.world import AGENTS, DEDUP_S, MEDIA

OF_CLIENTS = {"RequestAlignAgent": ("AgentApplication",), "RequestRecall": ("AgentApplication", "RoutingEngine")}
"""What a proxy asks under the number of a client, and of which clients."""


def write_align(author: Author) -> Document:
    agent = author.plain.agent_of(author.client)
    own = agent.seats if agent and not agent.vanished else set[str]()
    free = [name for name in MEDIA if not capacity.taken(author.plain, capacity.seats_of([name]) - own)]
    media = {name: author.one(0, 1) for name in free if author.some()}
    return {**agents.write_login(author), "media_list": media, "donot_disturb": author.some()}


def align(asked: Asked) -> None:
    """The agent is as it is to be, whatever it was."""
    agent, faults = asked.plain.agent_of(asked.client), set[Code]()
    if agent is None or (agent.agent_id, agent.place_id) != (asked["agent_id"], asked["place_id"]):
        agent = agents.log_in(asked, faults)
    elif not asked.verdict(()):
        return
    if agent is not None:
        agent.media, agent.donot_disturb = dict(asked["media_list"]), asked["donot_disturb"]
        agent.seats |= capacity.seats_of(agent.media)
        agent.reasons, agent.reason = {}, asked["reason"]


def write_recall(author: Author) -> Document:
    own = [kept.request["dedup_id"] for kept in author.plain.kept if kept.client == author.client.name]
    return {"asked_as": author.one(*own or ["none"], "none")}


def recall(asked: Asked) -> None:
    """The reply that is kept of a request that was executed."""
    if not asked.verdict(()) or asked.reply is None:
        return
    name, plain = asked["asked_as"], asked.plain
    kept = [one for one in plain.kept if (one.client, one.request["dedup_id"]) == (asked.client.name, name)]
    if kept and abs(plain.now - kept[0].at - DEDUP_S) < 1.0:
        return  # just now it is forgotten
    known = [one.reply for one in kept if one.reply is not None and plain.now - one.at < DEDUP_S]
    answers = asked.reply.get("answers", [])
    if len(answers) != len(known) or not all(map(fits, answers, known)):
        raise Wrong(f"{asked.reply} is not {known}")


def order(asked: Asked) -> None:
    """There are no marks of what no proxy has taken at several nodes."""
    faults = set[Code]()
    find(asked, faults)
    if asked.verdict(faults) and asked.reply and asked.reply.get("marks"):
        raise Wrong(f"{asked.reply} has marks")


def write_arrange(author: Author) -> Document:
    fields = write_own(author)
    snapshot = author.plain.snapshots.get(fields["snapshot_id"])
    count = len(snapshot.pins) if snapshot else 0
    few = author.chance.randint(0, count)
    runs = author.one(
        [0, count], [1, few, few + 3, count - few], *[[0, count + 1], [5, few, 4, count - few]] * author.seldom()
    )
    return {**fields, "runs": runs}


def arrange(asked: Asked) -> None:
    """The places of a part's interactions in the whole rise."""
    faults = set[Code]()
    snapshot = find(asked, faults)
    runs = list(zip(asked["runs"][::2], asked["runs"][1::2], strict=True))
    places = [place for first, length in runs for place in range(first, first + length)]
    if snapshot is not None and (len(places) != len(snapshot.pins) or places != sorted(set(places))):
        faults.add(Code.WRONG_VALUE)
    if asked.verdict(faults) and snapshot:
        for pin, place in zip(snapshot.pins, places, strict=True):
            pin.place = place


def write_load(author: Author) -> Document:
    names = [*AGENTS.values(), ("NOBODY", None)]
    agent_id, place_id = author.one(*names)
    load = {author.one("voice", "email"): author.one([1, 0], [0, 1], [2, 1])}
    fields = {"tenant_id": 101, "agent_id": agent_id, "elsewhere": load if author.some() else {}}
    return fields | ({"place_id": place_id} if place_id else {})


def elsewhere(asked: Asked) -> None:
    """What an agent has at other nodes counts, too."""
    agent = next((one for one in asked.plain.agents.values() if one.agent_id == asked["agent_id"]), None)
    there = agent is not None and asked["place_id"] in (None, agent.place_id)
    if asked.verdict(() if there else {Code.NOT_LOGGED_IN}) and agent:
        agent.elsewhere = asked["elsewhere"] or None


REQUESTS = {
    "RequestAgentLoad": Entry(write_load, elsewhere),
    "RequestAlignAgent": Entry(write_align, align),
    "RequestRecall": Entry(write_recall, recall),
    "RequestSnapshotOrder": Entry(write_own, order),
    "RequestArrangeSnapshot": Entry(write_arrange, arrange),
}
