"""Bugs of nodes, proxies and their store: durability, repetitions, merges, streams, views, limits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import orjson
from msgspec.structs import replace

from broker.errors import Code
from broker.messages.kinds import Merge
from broker.wire import PackedReply, Rows
from node import (
    holdings,
    licences,
)
from node.capacity import Room
from node.core import NodeCore
from node.member import NodeMember
from node.repetitions import keys_of
from node.views import View as NodeView
from proxy.capacity import Capacity as ProxyCapacity
from proxy.gather import Gather
from proxy.lanes import NO_BOUND
from proxy.merge import MERGES
from proxy.recalls import Recalls
from proxy.roster import Agent
from proxy.sources import Standing
from proxy.stream import MergeStream
from proxy.views import View as ProxyView
from tests.sim.bugs.bug import CALM, Planted, together
from tests.sim.law import MOST_SUBMITTED
from tests.sim.plan import OUT_OF_REACH
from tests.sim.store import Disk, SimStore


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

    return together(patch.object(Gather, "silent", silent), patch.object(Gather, "tick", tick_absent))


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

    return together(serving, patch.object(NodeMember, "_follow", eager))


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


def _merge_in_no_order() -> Any:
    """The nodes' lists stand one behind the other."""

    def unsorted(merge: Any, terms: Any, answers: Any) -> Any:
        return merge(terms, {node: _unmarked(reply) for node, reply in answers.items()})

    return _with_lists(unsorted)


def _unmarked(reply: Any) -> Any:
    if reply is None or reply.rows is None:
        return reply
    rows = reply.rows
    return replace(reply, rows=Rows([b""] * len(rows.marks), rows.interactions, rows.more))


def _with_lists(change: Callable[[Any, Any, Any], Any], kind: Merge = Merge.ORDERED) -> Any:
    """Merges of lists, changed."""

    def merger(request: Any) -> Any:
        merge = MERGES[request.merge]
        return partial(change, merge) if request.merge is kind else merge

    return patch("proxy.forward._merger", merger)


def _places_are_not_kept() -> Any:
    """What nodes have of a snapshot is read in any order."""

    def unplaced(merge: Any, terms: Any, answers: Any) -> Any:
        return merge(terms, {node: _unmarked(reply) for node, reply in answers.items()})

    return _with_lists(unplaced, Merge.PLACES)


def _one_too_many() -> Any:
    """The limit of a merged list is off by one."""

    def longer(merge: Any, terms: Any, answers: Any) -> Any:
        head = SimpleNamespace(count=terms.head.count + 1, require_complete=terms.head.require_complete)
        return merge(terms._replace(head=head), answers)

    return _with_lists(longer)


def _cut_too_early() -> Any:
    """A list that is cut off loses one more."""

    def shorter(merge: Any, terms: Any, answers: Any) -> Any:
        head = SimpleNamespace(count=max(terms.head.count - 1, 1), require_complete=terms.head.require_complete)
        return merge(terms._replace(head=head), answers)

    return _with_lists(shorter)


def _more_is_not_told() -> Any:
    """A list that was cut off does not say so."""

    def short(merge: Any, terms: Any, answers: Any) -> Any:
        return merge(terms, answers).replace(b',"more":true', b"")

    return _with_lists(short)


def _missing_is_not_told() -> Any:
    """Nodes that have not answered are not named, if any has."""

    def complete(merge: Any, terms: Any, answers: Any) -> Any:
        return merge(terms, {node: reply for node, reply in answers.items() if reply is not None} or answers)

    return _with_lists(complete)


def _heads_are_not_compared() -> Any:
    """A pull goes to any node that has something."""

    def first(self: ProxyView, is_ready: Callable[[str], bool]) -> str | None:
        return next(iter(self.offering(is_ready)), None)

    return together(
        patch.object(ProxyView, "first", first), patch.object(ProxyView, "bound", lambda view, node: NO_BOUND)
    )


def _stale_heads() -> Any:
    """What a node told first of its views is believed for ever."""
    learn = ProxyView.learn

    def stubborn(self: ProxyView, node: str, heads: Any, more: bool) -> None:
        if not self.knows(node):
            learn(self, node, heads, more)

    return patch.object(ProxyView, "learn", stubborn)


def _second_comes_first() -> Any:
    """A node gives what comes second in the view before what comes first."""
    take = NodeView.take

    def hasty(self: NodeView, count: int, *given: Any, **named: Any) -> list[str]:
        ids = take(self, count + 1, *given, **named)
        return ids[1:] or ids

    return patch.object(NodeView, "take", hasty)


def _capacity_is_not_looked_at() -> Any:
    """An agent gets whatever it asks for."""
    return patch.object(Room, "takes", lambda room, media_type: True)


def _other_nodes_do_not_count() -> Any:
    """Each node counts for itself what an agent has."""

    def forgetful(self: ProxyCapacity, key: Any, nodes: Any) -> None:
        pass

    return patch.object(ProxyCapacity, "_tell", forgetful)


def _seats_are_not_counted() -> Any:
    """Any number of agents logs in."""
    return patch("node.licences._check", lambda node, seats, freed: None)


def _seats_are_counted_twice() -> Any:
    """Each agent takes two seats."""
    used = licences.used
    return patch("node.licences.used", lambda node, licence: 2 * used(node, licence))


def _engines_get_too_much() -> Any:
    """An engine's limit is off by one."""
    return patch("tests.sim.plan.MOST_SUBMITTED", MOST_SUBMITTED + 1)


def _events_come_twice() -> Any:
    """What comes after a node has come back is published twice."""
    take = MergeStream.take

    def doubling(self: MergeStream) -> list[Any]:
        resumed = sum(source.standing is Standing.RETURNING for source in self._sources.values())
        published = take(self)
        return published * 2 if resumed else published

    return patch.object(MergeStream, "take", doubling)


BUSY: dict[str, Any] = {"capacity": 1, "agents": 2, "media": 3, "routers": 2, "requests": 20}


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
    "grants are forgotten": Planted(
        _grants_are_forgotten, {"faults": ("vanishing client",), "routers": 2, "agents": 4, "nodes": 2, "media": 3}
    ),
    "pulls are not recalled": Planted(_pulls_are_not_recalled, {"repeats": 1.0, "dedup": 1.0, "routers": 2}),
    "words are not heard": Planted(_words_are_not_heard, {"faults": ("sick database", "crash a member"), "agents": 3}),
    "merge in no order": Planted(_merge_in_no_order, {"nodes": 4}),
    "places are not kept": Planted(_places_are_not_kept, {"nodes": 4, "searchers": 2}),
    "one too many": Planted(_one_too_many, {"nodes": 4}),
    "cut too early": Planted(_cut_too_early, {"nodes": 4}),
    "more is not told": Planted(_more_is_not_told, {"nodes": 4}),
    "missing is not told": Planted(_missing_is_not_told, {"nodes": 4, "faults": (OUT_OF_REACH,), "media": 2}),
    "heads are not compared": Planted(_heads_are_not_compared, {**CALM, "nodes": 4, "agents": 0, "media": 3}),
    "stale heads": Planted(_stale_heads, {**CALM, "nodes": 4, "agents": 0, "media": 3}),
    "second comes first": Planted(_second_comes_first, {"nodes": 2, "media": 2}),
    "capacity is not looked at": Planted(_capacity_is_not_looked_at, {**BUSY, "nodes": 1}),
    "other nodes do not count": Planted(_other_nodes_do_not_count, {**BUSY, **CALM, "nodes": 4}),
    "seats are not counted": Planted(_seats_are_not_counted, {"seats": 1, "agents": 3}),
    "seats are counted twice": Planted(_seats_are_counted_twice, {**CALM, "seats": 2, "agents": 2}),
    "engines get too much": Planted(_engines_get_too_much, {"engines": 1, "routers": 0, "media": 3, "nodes": 1}),
    "events come twice": Planted(_events_come_twice, {"faults": ("crash both members", "pause a member")}),
    "seats of the pool are not counted": Planted(
        _seats_are_not_counted, {"seats": 1, "agents": 4, "nodes": 2, "pool": True}
    ),
    "tables are behind": Planted(
        _tables_are_behind, {"faults": ("crash a member", "crash both members"), "requests": 40, "nodes": 1, "media": 3}
    ),
}
