"""Faults planted in the proxy, one at a time: a table that found none of them would show nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from msgspec.structs import replace

from broker.errors import Code, Refusal
from broker.ledger import Ledger
from broker.messages.kinds import Merge
from broker.wire import PackedReplies, PackedReply, PackedRequest, Replayed
from proxy import agents, byids, calls, forward, gather, links, merge, pulls, replays, services, views, workbins
from tests.proxy.table.play import judge, played
from tests.proxy.table.rows import ROWS
from tests.proxy.table.rules import CIRCUMSTANCES

ROW = {str(row): row for row in ROWS}
CIRCUMSTANCE = {str(circumstance): circumstance for circumstance in CIRCUMSTANCES}


def nothing(*arguments: Any, **named: Any) -> None:
    """Does nothing."""


def instead(of: Any, name: str, wrapper: Callable[..., Any]) -> Any:
    """A patch by which ``wrapper(original, …)`` is called."""
    original = getattr(of, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        return wrapper(original, *arguments, **named)

    return patch.object(of, name, wrapped)


def merged(by: Merge, merger: Any) -> Any:
    """A patch by which another merger stands for one."""
    return instead(forward, "_merger", lambda original, request: merger if request.merge is by else original(request))


def twice(original: Any, *arguments: Any) -> None:
    original(*arguments)
    original(*arguments)


def names_nobody(original: Any, *arguments: Any) -> Refusal:
    refusal = original(*arguments)
    return Refusal(refusal.code, refusal.detail)


def other_code(original: Any, *arguments: Any) -> Refusal:
    refusal = original(*arguments)
    return Refusal(Code.LOST_CONNECTION, refusal.detail, missing=refusal.missing)


def complete(original: Any, request: Any, interactions: Any, more: Any, missing: Any) -> bytes:
    return bytes(original(request, interactions, more, []))


def all_pass(original: Any, self: Any, *arguments: Any) -> list[PackedReply]:
    original(self, *arguments)
    packed: PackedReplies = arguments[-1]
    return [reply for reply in packed.replies if reply.client]


def longer(original: Any, self: Any, nodes: Any, payload: bytes, deadline: float, *more: Any) -> Any:
    return original(self, nodes, payload, self.now + 1.2 * (deadline - self.now), *more)


def one_less(original: Any, self: Any, nodes: Any, *more: Any) -> Any:
    return original(self, nodes[:-1] if len(nodes) > 1 else nodes, *more)


def one_after_the_other(terms: Any, answers: Any) -> bytes:
    rows = [reply.rows for reply in answers.values() if reply is not None and reply.rows is not None]
    found = [one for row in rows for one in row.interactions][: terms.head.count]
    return merge._spliced(terms.request, found, True, [])


def without_limit(terms: Any, answers: Any) -> bytes:
    return merge.ordered(terms._replace(head=replace(terms.head, count=None)), answers)


def unknown_if_silent(terms: Any, answers: Any) -> bytes:
    return merge.positive(terms, {node: reply for node, reply in answers.items() if reply is not None} or answers)


def kept(original: Any, self: Any, node: str, reply: PackedReply) -> None:
    ask = self._open.get(reply.number)
    original(self, node, reply)
    if ask is not None:
        self._open[reply.number] = ask


def not_counted_off(original: Any, self: Any, *arguments: Any) -> None:
    original(self, *arguments)
    self._open += 1


def kept_pull(self: Any, pull: Any) -> None:
    self._calls.answer(pull.call, pulls.granted_payload(pull.got))


def locked(original: Any, self: Any, change: Any, answer: Any) -> None:
    original(self, change, answer)
    self._locked |= change.names


def last_head(original: Any, self: Any, is_ready: Any) -> str | None:
    first = {node: line.keys[at] for node, line, at in self._lines() if at < len(line.keys) and is_ready(node)}
    return max(first, default=None, key=lambda node: first[node])


def node_by_node(lines: Any, count: int, taken: Any) -> list[Any]:
    return [place for line in lines for place in line.places][:count]


def forgotten_id(original: Any, call: Any) -> list[str]:
    return list(original(call)[:-1])


def any_order(original: Any, self: Any, pull: Any) -> None:
    pull.nodes = dict(sorted(pull.nodes.items(), key=lambda one: one[1]))
    original(self, pull)


def nobody_missing(original: Any, self: Any, *arguments: Any) -> Any:
    page = original(self, *arguments)
    return page if page is not None else Replayed(1, [], 2**60, False)


def executed_again(original: Any, self: Any, entry: PackedRequest) -> None:
    self.outgoing.append(PackedRequest(entry.number + 1_000_000, entry.client, entry.flags, entry.payload))
    original(self, entry)


def under_another_number(original: Any, self: Any, entry: PackedRequest) -> None:
    self.outgoing.append(PackedRequest(entry.number + 1_000_000, entry.client, entry.flags, entry.payload))


class Fault(NamedTuple):
    """A fault. :param plant: the patch; :param row, circumstance: a cell that fails by it"""

    what: str
    plant: Any
    row: str
    circumstance: str


FAULTS = [
    Fault("a reply is dropped", patch.object(calls.Calls, "say", nothing), "Submit", "well"),
    Fault("a reply is sent twice", instead(calls.Calls, "say", twice), "StopProcessing", "well"),
    Fault("a call is not counted off", instead(calls.Calls, "answer", not_counted_off), "Hold", "well"),
    Fault("an error names nobody", instead(merge, "lost", names_nobody), "GetQueues", "all lost"),
    Fault("a search is always complete", instead(merge, "_spliced", complete), "FindInteractions", "its lost"),
    Fault("2002 where 2003", instead(merge, "lost", other_code), "Hold", "its late"),
    Fault("2002 where 2006", instead(merge, "lost", other_code), "GetSnapshotInteractions", "another away"),
    Fault("unknown where 2003", merged(Merge.POSITIVE, unknown_if_silent), "Hold by a made-up id", "its lost"),
    Fault("one ack is enough", merged(Merge.ALL, merge.passed), "PauseQueue", "another lost"),
    Fault("garbage passes", patch.object(gather, "_answers", lambda asker, reply: True), "Hold", "its garbage"),
    Fault("garbage is not noted", patch.object(Ledger, "drop", nothing), "Hold", "its garbage"),
    Fault("late replies are not noted", patch.object(Ledger, "drop", nothing), "Hold", "its late"),
    Fault("doubled replies pass", instead(links.Links, "replies", all_pass), "GetQueues", "its doubled"),
    Fault("deadlines are forgotten", patch.object(gather.Gather, "tick", nothing), "GetQueues", "its late"),
    Fault("deadlines are too late", instead(gather.Gather, "ask", longer), "Hold", "its late"),
    Fault("a node is not asked", instead(gather.Gather, "ask", one_less), "FindInteractions", "well"),
    Fault("no order over the nodes", merged(Merge.ORDERED, one_after_the_other), "FindInteractions", "well"),
    Fault("no limit over the nodes", merged(Merge.ORDERED, without_limit), "GetWorkbinContent", "well"),
    Fault("an ask is kept", instead(gather.Gather, "answer", kept), "GetLedger", "well"),
    Fault("a pull is kept", patch.object(pulls.Pulls, "_answer", kept_pull), "Pull global", "well"),
    Fault("an agent stays locked", instead(agents.Agents, "_finish", locked), "AddMedia", "well"),
    Fault("nobody is sent after a login", patch.object(agents.Agents, "_unsure", nothing), "AgentLogin", "its late"),
    Fault("agents' echoes are events", patch.object(agents, "ECHO", 0), "ReplayEvents", "well"),
    Fault("the last head is first", instead(views.View, "first", last_head), "Pull global", "well"),
    Fault("who is away is waited for", patch.multiple(links.Links, gone=lambda *_: [], _give_up=nothing),
          "Submit with a dedup_id", "its away"),
    Fault("a pull is always complete", patch.object(views.View, "unknown", lambda *_: frozenset()), "Pull round-robin",
          "its away"),
    Fault("a workbin's nodes one after the other", patch.object(workbins, "first_of", node_by_node),
          "Pull global, from a workbin", "well"),
    Fault("a workbin is always complete", instead(workbins, "granted_payload", lambda original, got, _: original(got)),
          "Pull global, the first of a workbin", "its lost"),
    Fault("an id is forgotten", instead(byids, "ids_of", forgotten_id), "Pull global, by ids", "well"),
    Fault("ids in another order", instead(byids.ByIds, "_finish", any_order), "Pull round-robin, by ids", "well"),
    Fault("not the holder is asked first", patch.object(services, "_from", lambda first, nodes: [*nodes[::-1]]),
          "3rdServer about an interaction", "its lost"),
    Fault("a replay misses nobody", instead(replays.Replays, "_read", nobody_missing), "ReplayEvents", "its garbage"),
    Fault("sent again, it is another one", instead(links.Link, "resend", under_another_number), "Submit", "its late"),
    Fault("a request goes out twice", instead(links.Link, "put", executed_again), "Submit", "well"),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_it_is_found(fault: Fault) -> None:
    """Given a planted fault, when the cell is played, then it fails; and without the fault it does not."""
    judge(played(ROW[fault.row], CIRCUMSTANCE[fault.circumstance]))
    with fault.plant, pytest.raises((AssertionError, ValueError, KeyError)):
        judge(played(ROW[fault.row], CIRCUMSTANCE[fault.circumstance]))
