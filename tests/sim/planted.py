"""Bugs on purpose, one at a time: histories in which nothing is found then would show that nothing is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

import orjson
from msgspec.structs import replace

from broker.config.objects import Configuration
from broker.errors import Code
from broker.messages.connection import EventAck
from broker.messages.kinds import Merge
from broker.messages.snapshots import RequestGetSnapshotInteractions
from broker.wire import PackedReply, Rows
from node import (
    attendance,
    holdings,
    invitations,
    licences,
    locks,
    moves,
    parties,
    reservations,
    services,
    snapshots,
)
from node.capacity import Room
from node.core import NodeCore
from node.engines import Engines
from node.handlers import HANDLERS
from node.member import NodeMember
from node.repetitions import keys_of
from node.views import View as NodeView
from proxy.capacity import Capacity as ProxyCapacity
from proxy.gather import Gather
from proxy.lanes import NO_BOUND
from proxy.merge import MERGES
from proxy.recalls import Recalls
from proxy.reservations import Reservations as ProxyReservations
from proxy.roster import Agent
from proxy.services import Services as ProxyServices
from proxy.sources import Standing
from proxy.stream import MergeStream
from proxy.views import View as ProxyView
from tests.sim.law import MOST_SUBMITTED
from tests.sim.plan import OUT_OF_REACH, QUEUES
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

    return _all(patch.object(ProxyView, "first", first), patch.object(ProxyView, "bound", lambda view, node: NO_BOUND))


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


# -- parties


def _transfers_keep_the_asker() -> Any:
    """Who has accepted a transfer is one party more."""
    return patch.dict(invitations._ACCEPTED, transfer=invitations._joins)


def _offers_are_acked_at_once() -> Any:
    """Who transfers is not kept waiting."""
    wait = parties._invite_and_wait

    def hasty(node: NodeCore, call: Any, interaction: Any, *given: Any) -> None:
        wait(node, call, interaction, *given)
        node.finish(call, EventAck(interaction_id=interaction.interaction_id))
        for ticket in [ticket for ticket, waiting in node.offers.items() if waiting is call]:
            del node.offers[ticket]

    return patch.object(parties, "_invite_and_wait", hasty)


def _rejections_count_as_silence() -> Any:
    """Whoever transfers is told that there was no answer."""
    refuse = invitations._refuse_asker

    def silent(node: NodeCore, invitation: Any, code: Code, why: str) -> None:
        refuse(node, invitation, Code.EXPIRED if code is Code.REJECTED else code, why)

    return patch.object(invitations, "_refuse_asker", silent)


def _unseen_are_seen() -> Any:
    """The other parties are told of everybody."""
    return patch.object(holdings, "NOBODY", 3)


def _seen_are_unseen() -> Any:
    """The other parties are told of nobody."""
    return patch.object(holdings, "tell_joined", lambda *given: None)


def _nobody_is_told_who_left() -> Any:
    """The other parties are not told of one that leaves."""
    return patch.object(holdings, "tell_left", lambda *given: None)


def _left_ones_go_elsewhere() -> Any:
    """What the last party leaves goes into any queue."""
    back = holdings._return

    def astray(node: NodeCore, interaction: Any, holding: Any, cause: Any) -> None:
        back(node, interaction, replace(holding, queue=QUEUES[-1], workbin=None), cause)

    return patch.object(holdings, "_return", astray)


def _invitations_end_at_take_overs() -> Any:
    """A new active member does not know when invitations run out."""
    return patch.object(invitations, "resume", lambda node: None)


# -- services


def _lost_errands_are_run_again() -> Any:
    """Whatever a lost server had goes to another one."""
    go_on = attendance._go_on

    def eager(node: NodeCore, server: str, refids: Any, *, got: bool = True) -> None:
        go_on(node, server, list(refids), got=False)

    return patch.object(attendance, "_go_on", eager)


def _open_errands_are_forgotten() -> Any:
    """A request that comes again while it is open is a new one."""
    return patch.object(services, "waits", lambda node, key, call: False)


def _no_other_node_is_asked() -> Any:
    """What a node has no server for nobody has."""
    ask = ProxyServices._ask

    def once(self: ProxyServices, call: Any, nodes: Any) -> None:
        ask(self, call, nodes[:1])

    return patch.object(ProxyServices, "_ask", once)


def _any_node_is_asked() -> Any:
    """Nobody looks where the interaction is."""

    def anywhere(self: ProxyServices, call: Any, nodes: Any) -> None:
        self._ask(call, self._in_turn(call, nodes))

    return patch.object(ProxyServices, "_locate", anywhere)


def _merging_is_only_said() -> Any:
    """A server's user data is not written into the interaction."""
    return patch.object(services, "_merge", lambda node, row, data, cause: row.note.interaction_id is not None)


def _merging_is_left_out() -> Any:
    """A server's user data is nobody's."""
    return patch.object(services, "_merge", lambda node, row, data, cause: False)


def _services_have_for_ever() -> Any:
    """A new active member does not know when requests run out."""

    def careless(node: NodeCore) -> set[Any]:
        with patch.object(node, "deadline", lambda *given: None):
            return resume(node)

    resume = attendance.resume
    return patch.object(attendance, "resume", careless)


def _services_have_no_time() -> Any:
    """A request is over before its time."""
    note = services._note

    def short(node: NodeCore, call: Any) -> Any:
        called = note(node, call)
        called.timeout = 0.2
        return called

    return patch.object(services, "_note", short)


# -- locks and moves


def _snapshots_lock_nothing() -> Any:
    """A snapshot is taken with its locks left out, of every second interaction."""
    put = locks.put

    def forgetful(node: NodeCore, interaction: Any, session_id: str, snapshot_id: str | None) -> None:
        if snapshot_id is None or interaction.submit_seq % 2:
            put(node, interaction, session_id, snapshot_id)

    return patch.object(locks, "put", forgetful)


def _locks_stay() -> Any:
    """A snapshot that ends leaves one interaction locked."""

    def but_one(node: NodeCore, index: str, owner: str, at_once: int) -> Iterator[None]:
        for interaction_id in list(node.memory.locks.keys(index, owner))[1:]:
            locks.free(node, interaction_id)
        yield

    return patch.object(locks, "free_all", but_one)


def _locks_go_early() -> Any:
    """Reading a snapshot unlocks what is in it."""
    get = snapshots.HANDLERS[RequestGetSnapshotInteractions]

    def once(node: NodeCore, call: Any) -> Any:
        for key in node.memory.locks.keys("session", call.session.session_id):
            locks.free(node, key)
        return get(node, call)

    return patch.dict(HANDLERS, {RequestGetSnapshotInteractions: once})


def _snapshots_stay() -> Any:
    """A snapshot that nobody uses any more is kept for ever."""
    return patch.object(snapshots, "look", lambda node, snapshot_id: None)


def _everything_is_moved() -> Any:
    """A move takes along what was placed elsewhere since."""

    def any_that_waits(node: NodeCore, row: Any, pin: Any, interaction: Any) -> bool:
        return bool(interaction.interaction_state == 0)

    return patch.object(moves, "_as_it_was", any_that_waits)


def _something_stays() -> Any:
    """A move leaves out what has been placed once before."""
    was = moves._as_it_was

    def picky(node: NodeCore, row: Any, pin: Any, interaction: Any) -> bool:
        return was(node, row, pin, interaction) and interaction.submit_seq % 4 != 1

    return patch.object(moves, "_as_it_was", picky)


def _moves_are_miscounted() -> Any:
    """Of several nodes the first one's count is told."""
    return patch("proxy.merge._sums", lambda parts: {"number_of_interactions": parts[0].number_of_interactions})


def _used_ones_expire() -> Any:
    """A snapshot ends a while after it was taken, used or not."""
    find = snapshots.find

    def unused(node: NodeCore, call: Any, snapshot_id: str) -> Any:
        before = dict(node.snapshot_uses)
        row = find(node, call, snapshot_id)
        node.snapshot_uses.update(before)
        return row

    return patch.object(snapshots, "find", unused)


# -- reservations and the pool of seats


def _anybody_delivers() -> Any:
    """A delivery does not look whether somebody has reserved the agent."""
    return patch.object(reservations, "check", lambda node, agent, session: None)


def _reservations_stay_at_home() -> Any:
    """Only the node that has decided knows of it."""

    def alone(self: ProxyReservations, call: Any, deciding: str, others: Any, *given: Any) -> None:
        decided(self, call, deciding, (), *given)

    decided = ProxyReservations._decided
    return patch.object(ProxyReservations, "_decided", alone)


def _least_urgent_first() -> Any:
    """The lowest priority wins."""
    return patch.object(reservations.Wish, "rank", property(lambda wish: int(wish.call.request.priority)))


def _first_come_first_served() -> Any:
    """Nobody looks at priorities."""
    return patch.object(reservations.Wish, "rank", property(lambda wish: 0))


def _used_ones_stay() -> Any:
    """A delivery leaves the agent reserved."""
    return _all(
        patch.object(reservations, "used", lambda node, agent: None),
        patch.object(ProxyReservations, "delivering", lambda self, call: None),
    )


def _reservations_have_no_end() -> Any:
    """A reservation that is not used stands."""
    return patch.object(reservations, "_expired", lambda node, what: None)


def _pool_is_the_nodes() -> Any:
    """A node of a pool counts the seats that it has itself."""
    return patch.object(Configuration, "seats_of", lambda self, node: dict(self.nodes[node].licenses))


# -- engines


def _engines_have_no_turns() -> Any:
    """The same engine is sent something again while it has room."""
    return patch.object(Engines, "next_turn", lambda self: 0)


def _freed_engines_are_forgotten() -> Any:
    """An engine that has room again is not seen until it loads the strategy anew."""
    return patch.object(Engines, "freed", lambda self, session_id: None)


class Planted(NamedTuple):
    """A bug on purpose.

    :param wish: of the histories' plans, so that it is likely to show (:func:`tests.sim.plan.draw`)
    """

    bug: Bug
    wish: dict[str, Any] = {}


CALM: dict[str, Any] = {"calm": True}
BUSY: dict[str, Any] = {"capacity": 1, "agents": 2, "media": 3, "routers": 2, "requests": 20}

TOGETHER: dict[str, Any] = {"parties": 0.7, "agents": 3, "nodes": 2, "media": 2, "routers": 2, "engines": 0}
SERVED: dict[str, Any] = {"services": 2, "direct_services": 1, "media": 3, "nodes": 2, "agents": 0, "engines": 0}
MOVED: dict[str, Any] = {"movers": 2, "media": 3, "nodes": 2, "routers": 1, "engines": 0, "agents": 1}
RESERVED: dict[str, Any] = {"reserves": 1.0, "agents": 1, "routers": 4, "media": 4, "nodes": 2, "engines": 0}

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
    "transfers keep the asker": Planted(_transfers_keep_the_asker, TOGETHER),
    "offers are acked at once": Planted(_offers_are_acked_at_once, TOGETHER),
    "rejections count as silence": Planted(_rejections_count_as_silence, TOGETHER),
    "unseen are seen": Planted(_unseen_are_seen, TOGETHER),
    "seen are unseen": Planted(_seen_are_unseen, {**CALM, **TOGETHER}),
    "nobody is told who left": Planted(_nobody_is_told_who_left, {**CALM, **TOGETHER}),
    "left ones go elsewhere": Planted(_left_ones_go_elsewhere, TOGETHER),
    "invitations end at take-overs": Planted(
        _invitations_end_at_take_overs, {**TOGETHER, "lazy": 0.7, "faults": ("crash a member", "restart a member")}
    ),
    "lost errands are run again": Planted(
        _lost_errands_are_run_again,
        {
            **SERVED,
            "media": 6,
            "direct_services": 3,
            "lazy": 0.7,
            "requests": 20,
            "faults": ("vanishing client", "cut"),
        },
    ),
    "open errands are forgotten": Planted(_open_errands_are_forgotten, {**SERVED, "faults": ("clients lose", "cut")}),
    "no other node is asked": Planted(_no_other_node_is_asked, {**SERVED, **CALM, "services": 0, "nodes": 3}),
    "any node is asked": Planted(_any_node_is_asked, {**SERVED, **CALM}),
    "merging is only said": Planted(_merging_is_only_said, SERVED),
    "merging is left out": Planted(_merging_is_left_out, SERVED),
    "services have for ever": Planted(_services_have_for_ever, {**SERVED, "lazy": 0.7, "faults": ("crash a member",)}),
    "services have no time": Planted(_services_have_no_time, {**SERVED, **CALM}),
    "snapshots lock nothing": Planted(_snapshots_lock_nothing, MOVED),
    "locks stay": Planted(_locks_stay, MOVED),
    "locks go early": Planted(_locks_go_early, MOVED),
    "snapshots stay": Planted(_snapshots_stay, {**MOVED, **CALM}),
    "used ones expire": Planted(_used_ones_expire, {**MOVED, **CALM}),
    "everything is moved": Planted(_everything_is_moved, MOVED),
    "something stays": Planted(_something_stays, MOVED),
    "moves are miscounted": Planted(_moves_are_miscounted, {**MOVED, "nodes": 4}),
    "anybody delivers": Planted(_anybody_delivers, RESERVED),
    "reservations stay at home": Planted(_reservations_stay_at_home, {**RESERVED, "nodes": 4, **CALM}),
    "least urgent first": Planted(_least_urgent_first, {**RESERVED, **CALM}),
    "first come, first served": Planted(_first_come_first_served, {**RESERVED, **CALM}),
    "used ones stay": Planted(_used_ones_stay, {**RESERVED, **CALM}),
    "reservations have no end": Planted(_reservations_have_no_end, RESERVED),
    "pool is the node's": Planted(_pool_is_the_nodes, {**CALM, "seats": 1, "agents": 2, "nodes": 2, "pool": True}),
    "seats of the pool are not counted": Planted(
        _seats_are_not_counted, {"seats": 1, "agents": 4, "nodes": 2, "pool": True}
    ),
    "engines have no turns": Planted(_engines_have_no_turns, {**CALM, "engines": 2, "media": 3, "nodes": 1}),
    "freed engines are forgotten": Planted(
        _freed_engines_are_forgotten, {**CALM, "engines": 1, "routers": 0, "media": 4, "nodes": 1, "requests": 20}
    ),
    "tables are behind": Planted(
        _tables_are_behind, {"faults": ("crash a member", "crash both members"), "requests": 40, "nodes": 1, "media": 3}
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
