"""Bugs on purpose, one at a time: histories in which nothing is found then would show that nothing is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import orjson
from msgspec.structs import replace

from broker.errors import Code
from broker.wire import PackedReply, Rows
from node import holdings
from node.core import NodeCore
from node.member import NodeMember
from node.repetitions import keys_of
from proxy import merge
from proxy.gather import Gather
from proxy.lanes import NO_BOUND
from proxy.merge import MERGES
from proxy.recalls import Recalls
from proxy.roster import Agent
from proxy.stream import MergeStream
from proxy.views import View
from tests.sim.store import Disk, SimStore

Bug = Callable[[], Any]


@contextmanager
def _all(*patches: Any) -> Iterator[None]:
    with ExitStack() as stack:
        for one in patches:
            stack.enter_context(one)
        yield


def _ack_before_commit() -> Any:
    """Replies leave before the row is durable."""
    commit_and_send = NodeMember._commit_and_send

    def hasty(self: NodeMember, now: float, batch: Any) -> None:
        self.outbox.replies(batch.replies, self._links, self.core.epoch)
        commit_and_send(self, now, batch._replace(replies=[]))

    return patch.object(NodeMember, "_commit_and_send", hasty)


def _held_batch_is_sent() -> Any:
    """A batch that could not be committed is answered at once."""
    hold_back = NodeMember._hold_back

    def careless(self: NodeMember, now: float, row: Any, batch: Any, why: str) -> None:
        self.outbox.replies(batch.replies, self._links, self.core.epoch)
        hold_back(self, now, row, batch._replace(replies=[]), why)

    return patch.object(NodeMember, "_hold_back", careless)


def _no_dedup() -> Any:
    """What was executed is executed again when it comes again."""

    def repeated(self: NodeCore, call: Any) -> bool:
        call.keys = keys_of(self, call)
        return False

    return patch.object(NodeCore, "_repeated", repeated)


def _answers_not_in_journal() -> Any:
    """Stored replies live in memory only: a new active member does not know them."""
    apply = NodeCore.apply

    def forgetful(self: NodeCore, us: int, changes: bytes, events: bytes) -> None:
        apply(self, us, changes, events)
        for key in list(self.memory.answers.rows):
            self.memory.answers.delete(key)

    return patch.object(NodeCore, "apply", forgetful)


def _seq_from_memory() -> Any:
    """A new active member begins where its own memory ends, not where the journal does."""
    apply = NodeCore.apply

    def careless(self: NodeCore, us: int, changes: bytes, events: bytes) -> None:
        before = self.memory.counters.next_seq
        apply(self, us, changes, events)
        self.memory.counters.next_seq = before

    return patch.object(NodeCore, "apply", careless)


def _merge_drops_a_reply() -> Any:
    """Of several nodes' lists one is not looked at."""
    return patch("proxy.forward._merger", lambda request: _dropping(MERGES[request.merge]))


def _dropping(merge: Any) -> Any:
    def dropping(terms: Any, answers: Any) -> bytes:
        (node, reply), *others = answers.items()
        if others and reply is not None and reply.rows is not None:
            answers[node] = replace(reply, rows=Rows([], [], False))
        elif others:
            answers = dict(others)
        result: bytes = merge(terms, answers)
        return result

    return dropping


def _list_of(change: Callable[[Any, Any, Any], tuple[Any, Any, Any]]) -> Bug:
    """Every list put together of several nodes' is changed. :param change: interactions, more, missing -> the same"""

    def planted() -> Any:
        def spliced(request: Any, interactions: Any, more: Any, missing: Any) -> Any:
            return SPLICED(request, *change(interactions, more, missing))

        return patch.object(merge, "_spliced", spliced)

    return planted


def _any_head_is_first() -> Any:
    """Pulls go to any node that has something, and whatever it has there."""

    def first(self: View, is_ready: Any) -> str | None:
        return max(self.offering(is_ready), default=None)

    return _all(patch.object(View, "first", first), patch.object(View, "bound", lambda view, node: NO_BOUND))


def _timeout_is_absence() -> Any:
    """A node that does not answer counts as one that does not have the interaction."""
    tick = Gather.tick

    def silent(self: Gather, node: str, number: int) -> None:
        self.answer(node, _absent(number))

    def tick_absent(self: Gather, now: float) -> None:
        due = [number for at, number in self._deadlines if at <= now]
        for number in due:
            ask = self._open.get(number)
            if ask is not None and ask.asker.client:
                for node in [node for node in ask.nodes if node not in ask.answers]:
                    ask.answers[node] = _absent(number)
        tick(self, now)

    return _all(patch.object(Gather, "silent", silent), patch.object(Gather, "tick", tick_absent))


def _absent(number: int) -> PackedReply:
    code = Code.UNKNOWN_INTERACTION
    said = {"message": "EventError", "code": int(code), "text": code.text}
    return PackedReply(number, 1, int(code), orjson.dumps(said))


def _standby_serves() -> Any:
    """A standby decides and answers, by what it has read of the journal."""
    serving = patch.object(NodeMember, "_serving", property(lambda self: self._held is None))
    follow = NodeMember._follow

    def eager(self: NodeMember, now: float) -> None:
        follow(self, now)
        if not self.core.active:
            self.outbox.replies(self.core.take(now).replies, self._links, self.core.epoch)

    return _all(serving, patch.object(NodeMember, "_follow", eager))


def _stale_epoch_accepted() -> Any:
    """The store asks for the next row only, not for whose turn it is; and a row that is taken is taken for ours."""

    def commit(self: SimStore, row: Any, renew_us: int | None, fold: Any) -> None:
        if row.rev > self.disk.last_rev:
            self.disk.append(row)

    return patch.object(SimStore, "_commit", commit)


def _epoch_outside_the_write() -> Any:
    """The epoch is looked at before the write begins, as if nothing could happen in between."""
    write = SimStore._write

    def commit(self: SimStore, row: Any, renew_us: int | None = None, fold: Any = None) -> None:
        self._require(row.epoch)
        self._require_epoch(row.epoch)
        write(self, lambda: self.disk.append(row._replace(rev=self.disk.last_rev + 1)))
        self._last_rev, self._last_us = row.rev, row.us

    return patch.object(SimStore, "commit", commit)


def _lost_events_stay_lost() -> Any:
    """Gaps of the stream are not filled, but skipped."""

    def wanted(self: MergeStream) -> list[Any]:
        for source in self._sources.values():
            if source.gap:
                source.asked = (source.claim_seq, source.claim_us)
                source._skip()
                source._meet_claim()
        return []

    return patch.object(MergeStream, "wanted", wanted)


def _grants_are_forgotten() -> Any:
    """What a session held is not given back when it ends."""
    return patch.object(holdings, "give_back", lambda node, name, why: None)


def _tables_are_behind() -> Any:
    """The mark moves with the first slice of a round, not with the last."""
    fold = SimStore._fold

    def early(self: SimStore, what: Any) -> None:
        fold(self, what)
        disk: Disk = self.disk
        disk.folded_rev = disk.last_rev

    return patch.object(SimStore, "_fold", early)


def _pulls_are_not_recalled() -> Any:
    """A repeated pull takes what comes first now."""
    return patch.object(Recalls, "request", lambda recalls, call, pull: pull(call))


def _words_are_not_heard() -> Any:
    """A node that has said anything of an agent counts as being in step."""
    return patch.object(Agent, "is_behind", lambda agent, node: node not in agent.said)


SPLICED = merge._spliced
LISTS = {"nodes": 4, "proxies": 3, "searchers": 2}
HASTY = {
    "keepalive_interval": 0.7,
    "request_timeout": 0.4,
    "stream_stall_timeout": 1.0,
    "pull_hold_timeout": 1.0,
    "pull_order": "global",
}
"""Of proxies that give up soon."""


class Planted(NamedTuple):
    """A bug on purpose.

    :param wish: of the histories' plans, so that it is likely to show (:func:`tests.sim.plan.draw`)
    """

    bug: Bug
    wish: dict[str, Any] = {}


PLANTED: dict[str, Planted] = {
    "ack before commit": Planted(_ack_before_commit, {"faults": ("die in a write",)}),
    "held batch is sent": Planted(_held_batch_is_sent, {"faults": ("fail a write", "sick database")}),
    "no dedup": Planted(_no_dedup, {"faults": ("links lose", "clients lose")}),
    "answers not in the journal": Planted(_answers_not_in_journal, {"faults": ("crash a member",)}),
    "seq from memory": Planted(_seq_from_memory, {"faults": ("crash a member",)}),
    "merge drops a reply": Planted(_merge_drops_a_reply),
    "timeout is absence": Planted(_timeout_is_absence, {"faults": ("crash both members", "pause a member")}),
    "standby serves": Planted(_standby_serves, {"direct": 1}),
    "stale epoch accepted": Planted(_stale_epoch_accepted, {"faults": ("freeze in a write",), "hosts_apart": True}),
    "epoch outside the write": Planted(
        _epoch_outside_the_write, {"faults": ("freeze in a write",), "hosts_apart": True}
    ),
    "lost events stay lost": Planted(_lost_events_stay_lost, {"faults": ("events lose",)}),
    "grants are forgotten": Planted(_grants_are_forgotten, {"faults": ("vanishing client",), "routers": 2}),
    "pulls are not recalled": Planted(_pulls_are_not_recalled, {"repeats": 1.0, "dedup": 1.0, "routers": 2}),
    "words are not heard": Planted(_words_are_not_heard, {"faults": ("sick database", "crash a member"), "agents": 3}),
    "lists in another order": Planted(_list_of(lambda found, more, missing: (found[::-1], more, missing)), LISTS),
    "lists are cut too early": Planted(
        _list_of(lambda found, more, missing: (found[: -1 if more else None], more, missing)), LISTS
    ),
    "nobody is missing": Planted(
        _list_of(lambda found, more, missing: (found, more, [])),
        {"faults": ("partition", "freeze in a write", "sick database"), "searchers": 3, "proxy_settings": HASTY},
    ),
    "any head is first": Planted(
        _any_head_is_first, {"nodes": 4, "proxies": 1, "calm": True, "direct": 0, "routers": 2}
    ),
    "tables are behind": Planted(
        _tables_are_behind, {"faults": ("crash a member", "crash both members"), "requests": 20}
    ),
}


@contextmanager
def planted(name: str | None) -> Iterator[dict[str, Any]]:
    """While this lasts the product has this bug; None: none. Gives what it wishes of plans."""
    if name is None:
        yield {}
        return
    bug, wish = PLANTED[name]
    with bug():
        yield wish
