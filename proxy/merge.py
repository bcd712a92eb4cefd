"""One reply of the nodes' replies: a function for each word of :class:`broker.messages.kinds.Merge` that needs no more
than the answers. All of them take the same and give the reply's bytes, or raise the ``Refusal`` to answer.

What nodes said goes on byte for byte. Nodes that are asked for interactions together answer with rows
(:class:`broker.wire.Rows`), whose JSON is spliced together by the marks beside it, without a look into it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Raw

from broker.errors import Code, Refusal
from broker.ledger import Ledger
from broker.messages.kinds import Merge, Request, Route, Workbin
from broker.messages.queues import EventQueues, QueuePart
from broker.messages.states import EventAgentState
from broker.messages.workbins import EventAgentWorkbinStats, WorkbinCount

from .gather import Answers, whole


class Terms(NamedTuple):
    """What a merge may look at besides the answers.

    :param head: of the request (:mod:`proxy.heads`)
    """

    request: type[Request]
    head: Any
    counts: Ledger

    def unreadable(self, node: str) -> None:
        """A node's answer cannot be read: it counts as silent."""
        self.counts.drop(node, "garbage", _json({"message": self.request.__name__}))


Merger = Callable[[Terms, Answers], bytes]


_counts = msgspec.json.Decoder(EventAgentWorkbinStats).decode
_agent = msgspec.json.Decoder(EventAgentState).decode
_numbers = msgspec.json.Decoder(dict[str, Any]).decode
_queues = msgspec.json.Decoder(EventQueues).decode
_json = msgspec.json.encode

_UNSURE = frozenset({int(Code.BUSY), int(Code.DATABASE_FAILURE), int(Code.DATABASE_TIMEOUT), int(Code.NOT_REGISTERED)})
"""Refusals that do not say whether the node holds the interaction."""


_LOST = {Route.INTERACTION: Code.NOT_ACCESSIBLE, Route.SNAPSHOT: Code.SNAPSHOT_NOT_ACCESSIBLE}
"""What is said where a node that had to be asked has not answered; 2002 for all other routes."""


def lost(request: type[Request], missing: Iterable[str], code: Code | None = None) -> Refusal:
    """Nodes that were needed did not answer: 2003 where an interaction was asked for, 2006 a snapshot, else 2002."""
    names = tuple(sorted(missing))
    code = code or _LOST.get(request.route, Code.LOST_CONNECTION)
    return Refusal(code, f"no answer from {', '.join(names)}", missing=names)


def several_owners(nodes: Iterable[str]) -> Refusal:
    """Several nodes hold an interaction of the same id."""
    return Refusal(Code.SEVERAL_OWNERS, " and ".join(sorted(nodes)) + " hold it")


def nobody_has_it(nodes: Iterable[str]) -> Refusal:
    """Every node that could hold it has said that it does not."""
    return Refusal(Code.UNKNOWN_INTERACTION, " and ".join(sorted(nodes)) + " have no interaction of this id")


def passed(terms: Terms, answers: Answers) -> bytes:
    """The one reply as it is; of several the first positive one."""
    replies = [reply for reply in answers.values() if reply is not None]
    if not replies:
        raise lost(terms.request, answers)
    return next((reply.payload for reply in replies if not reply.code), replies[0].payload)


def positive(terms: Terms, answers: Answers) -> bytes:
    """The one positive reply; two: 2005. Without one, what a node that holds the interaction refuses with; else a node
    that could not say; else, with silent nodes, 2003; and only if every node said so, 43."""
    if len(answers) == 1:
        return passed(terms, answers)
    replies = [(node, reply) for node, reply in answers.items() if reply is not None]
    holders = sorted(node for node, reply in replies if not reply.code)
    if len(holders) > 1:
        raise several_owners(holders)
    refusals = [reply for _, reply in replies if reply.code not in (0, Code.UNKNOWN_INTERACTION)]
    best = next((reply for reply in refusals if reply.code not in _UNSURE), None) or next(iter(refusals), None)
    if holders or best:
        return best.payload if best and not holders else _payload(answers, holders[0])
    missing = [node for node, reply in answers.items() if reply is None]
    if missing:
        raise lost(terms.request, missing)
    raise nobody_has_it(answers)


def _payload(answers: Answers, node: str) -> bytes:
    reply = answers[node]
    assert reply is not None
    return reply.payload


def acknowledged(terms: Terms, answers: Answers) -> bytes:
    """An ack when all acked; else the first refusal; else 2002."""
    refused = next((reply for reply in answers.values() if reply is not None and reply.code), None)
    if refused is not None:
        return refused.payload
    missing = [node for node, reply in answers.items() if reply is None]
    if missing or not answers:
        raise lost(terms.request, missing)
    return passed(terms, answers)


def ordered(terms: Terms, answers: Answers) -> bytes:
    """The nodes' interactions in the asked order and within the asked count, with ``complete`` and ``missing``.

    :raises Refusal: 2002 when nobody answered, or not everybody and ``require_complete`` asks for it
    """
    if len(answers) == 1:
        return _complete(terms, answers)
    marks: list[bytes] = []
    interactions: list[bytes] = []
    more, lists, missing = False, 0, []
    for node, reply in answers.items():
        rows = reply.rows if reply is not None else None
        if rows is not None:
            if rows.marks:
                lists += 1
                marks += rows.marks
                interactions += rows.interactions
            more = more or rows.more
        elif reply is not None:
            return reply.payload  # a refusal: Gather lets nothing else through
        else:
            missing.append(node)
    if missing and (len(missing) == len(answers) or terms.head.require_complete):
        raise lost(terms.request, missing)
    if lists > 1:  # else the only list stands as its node has put it
        interactions = [interactions[at] for at in sorted(range(len(marks)), key=marks.__getitem__)]
    count = terms.head.count
    if count is not None and len(interactions) > count:
        more = True
        interactions = interactions[:count]
    return _spliced(terms.request, interactions, more, missing)


def counted(terms: Terms, answers: Answers) -> bytes:
    """The nodes' counts of each workbin added up, in the order they came in, with ``complete`` and ``missing``.

    :raises Refusal: 2002 when nobody answered
    """
    refused = next((reply for reply in answers.values() if reply is not None and reply.code), None)
    if refused is not None:
        return refused.payload
    sums: dict[Workbin, WorkbinCount] = {}
    missing = sorted(node for node, reply in answers.items() if reply is None)
    for node, reply in answers.items():
        try:
            counts = _counts(reply.payload).workbins if reply is not None else []
        except (ValueError, RecursionError):
            terms.unreadable(node)
            missing.append(node)
            continue
        for one in counts:
            total = sums.setdefault(one.workbin, WorkbinCount(workbin=one.workbin))
            total.count += one.count
            total.held += one.held
    if len(missing) == len(answers):
        raise lost(terms.request, missing)
    stats = EventAgentWorkbinStats(workbins=list(sums.values()), complete=not missing, missing=sorted(missing) or None)
    return _json(stats)


def agent(terms: Terms, answers: Answers) -> bytes:
    """An agent as its speaking node has it; what it handles at all nodes is added up, with ``complete`` and
    ``missing``. Where no node has it, what the nodes refuse with.

    :raises Refusal: 2002 when nobody answered
    """
    found: list[EventAgentState] = []
    refused: list[bytes] = []
    missing: list[str] = []
    for node, reply in answers.items():
        try:
            if reply is None:
                missing.append(node)
            elif reply.code:
                refused.append(reply.payload)
            else:
                found.append(_agent(reply.payload))
        except (ValueError, RecursionError):
            terms.unreadable(node)
            missing.append(node)
    if not found and refused:
        return refused[0]
    if not found:
        raise lost(terms.request, missing)
    whole = next((one for one in found if not one.echo), found[0])
    for name in ("handled", "held", "invited"):
        setattr(whole, name, dict(sum((Counter(getattr(one, name)) for one in found), Counter())))
    whole.reserved_by = next((one.reserved_by for one in found if one.reserved_by), None)
    whole.connections = max(one.connections for one in found)
    whole.echo = False
    whole.complete, whole.missing = not missing, sorted(missing) or None
    return _json(whole)


def totals(terms: Terms, answers: Answers) -> bytes:
    """The nodes' numbers added up, with ``complete`` and ``missing``.

    :raises Refusal: 2002 when nobody answered
    """
    read, missing = _read_all(terms, answers, _numbers)
    if isinstance(read, bytes):
        return read
    whole: dict[str, Any] = {}
    for numbers in read.values():
        for name, value in numbers.items():
            if type(value) is int:
                whole[name] = whole.get(name, 0) + value
    return _json({"message": terms.request.reply, **whole, **_completeness(missing)})


def queues(terms: Terms, answers: Answers) -> bytes:
    """Each queue with the parts that the nodes have of it, by name, with ``complete`` and ``missing``.

    :raises Refusal: 2002 when nobody answered
    """
    read, missing = _read_all(terms, answers, _queues)
    if isinstance(read, bytes):
        return read
    whole: dict[str, QueuePart] = {}
    for said in read.values():
        for part in said.queues:
            known = whole.setdefault(part.queue, QueuePart(queue=part.queue, tenant_id=part.tenant_id))
            known.enabled = known.enabled and part.enabled
            known.nodes = {**known.nodes, **part.nodes}
    listed = [whole[name] for name in sorted(whole)]
    return _json(EventQueues(queues=listed, complete=not missing, missing=missing or None))


Read = TypeVar("Read")


def _read_all(
    terms: Terms, answers: Answers, read: Callable[[bytes], Read]
) -> tuple[dict[str, Read] | bytes, list[str]]:
    """The nodes' answers by node, and the nodes without one; or the first refusal.

    :raises Refusal: 2002 when nobody answered
    """
    found: dict[str, Read] = {}
    for node, reply in answers.items():
        if reply is None:
            continue
        if reply.code:
            return reply.payload, []
        try:
            found[node] = read(reply.payload)
        except (ValueError, RecursionError):
            terms.unreadable(node)
    missing = sorted(answers.keys() - found.keys())
    if len(missing) == len(answers):
        raise lost(terms.request, missing)
    return found, missing


def _completeness(missing: list[str]) -> dict[str, Any]:
    return {"complete": False, "missing": missing} if missing else {"complete": True}


def snapshot(terms: Terms, answers: Answers) -> bytes:
    """One snapshot of the nodes' parts. Taken: the id is made of the nodes' ids and counts, in the order of the nodes'
    names, so any proxy can serve it, and each node finds its part in it. Moved: the counts are added. A node that is
    needed and silent is 2006; one that takes no part is ``missing``.
    """
    refused = next((reply for reply in answers.values() if reply is not None and reply.code), None)
    if refused is not None:
        return refused.payload
    read = parts_of(answers, terms.counts)
    missing = sorted(answers.keys() - read.keys())
    taking = terms.request.route is Route.SCATTER
    if len(missing) == len(answers) or (missing and not taking):
        raise lost(terms.request, missing)
    parts = [read[node] for node in sorted(read)]
    whole: dict[str, Any] = {"message": terms.request.reply}
    if taking:
        whole["snapshot_id"] = whole_id(read)
    else:
        whole["snapshot_id"] = terms.head.snapshot_id
    whole |= _sums(parts)
    if taking:
        whole |= {"complete": False, "missing": missing} if missing else {"complete": True}
    return _json(whole)


class Part(msgspec.Struct, gc=False):
    """What a node says of its part of a snapshot."""

    snapshot_id: str
    number_of_interactions: int = 0
    not_moved: int = 0
    queue: str | None = None


_part = msgspec.json.Decoder(Part).decode


def whole_id(parts: Mapping[str, Part]) -> str:
    """The id of a snapshot that has these nodes' parts."""
    return ".".join(f"{parts[node].snapshot_id}*{parts[node].number_of_interactions}" for node in sorted(parts))


def placed(terms: Terms, answers: Answers) -> bytes:
    """The nodes' interactions by their places in the snapshot. :raises Refusal: 2006, a node has not answered"""
    missing = [node for node, reply in answers.items() if reply is None]
    if missing:
        raise lost(terms.request, missing)
    found: list[tuple[bytes, bytes]] = []
    for reply in answers.values():
        assert reply is not None
        if reply.rows is None:
            return whole(reply)  # a refusal, or the reply of the only node there is to ask
        found += zip(reply.rows.marks, reply.rows.interactions, strict=True)
    found.sort()
    head = {"message": terms.request.reply, "snapshot_id": terms.head.snapshot_id, "start_from": terms.head.start_from}
    return _json(head | {"interactions": [Raw(one) for _, one in found], "complete": True})


def parts_of(answers: Answers, counts: Ledger) -> dict[str, Part]:
    """The nodes' parts; a node whose answer cannot be read counts as silent, and its answer is None from then on."""
    parts: dict[str, Part] = {}
    for node, reply in answers.items():
        if reply is not None:
            try:
                parts[node] = _part(reply.payload)
            except (ValueError, RecursionError):
                counts.drop(node, "garbage", reply.payload)
                answers[node] = None
    return parts


def _sums(parts: list[Part]) -> dict[str, Any]:
    """What the parts have together."""
    sums: dict[str, Any] = {"number_of_interactions": sum(part.number_of_interactions for part in parts)}
    if parts[0].queue is not None:
        sums |= {"queue": parts[0].queue, "not_moved": sum(part.not_moved for part in parts)}
    return sums


def _complete(terms: Terms, answers: Answers) -> bytes:
    """The reply of the only node there is to ask: it is complete, and within the count."""
    (reply,) = answers.values()
    if reply is None:
        raise lost(terms.request, answers)
    return whole(reply)


def _spliced(request: type[Request], interactions: list[bytes], more: bool, missing: list[str]) -> bytes:
    """The reply. The text around the list goes to its ends, so that what is long is copied once."""
    end = b'],"more":true' if more else b"]"
    if missing:
        end += b',"complete":false,"missing":' + _json(sorted(missing)) + b"}"
    else:
        end += b',"complete":true}'
    if not interactions:
        return _beginning(request) + end
    interactions[0] = _beginning(request) + interactions[0]
    interactions[-1] += end
    return b",".join(interactions)


@cache
def _beginning(request: type[Request]) -> bytes:
    return b'{"message":"%b","interactions":[' % request.reply.encode()


MERGES: dict[Merge, Merger] = {
    Merge.PASS: passed,
    Merge.POSITIVE: positive,
    Merge.ALL: acknowledged,
    Merge.ORDERED: ordered,
    Merge.COUNTS: counted,
    Merge.TOTALS: totals,
    Merge.QUEUES: queues,
    Merge.SNAPSHOT: snapshot,
    Merge.PLACES: placed,
    Merge.AGENT: agent,
}
"""The merges of requests that go to their nodes once. Agents, pulls and the stream merge in steps of their own."""
