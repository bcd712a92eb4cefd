"""Bugs on purpose, one at a time: histories in which nothing is found then would show that nothing is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import orjson

from broker.errors import Code
from broker.wire import PackedEvents, PackedReplies, PackedReply
from node import holdings
from node.core import NodeCore
from node.member import NodeMember
from node.store import StoreFailure
from node.tenure import Tenure
from proxy import stream
from proxy.gather import Gather
from proxy.links import Links
from proxy.merge import MERGES
from proxy.stream import MergeStream
from tests.sim.store import Disk, SimStore

Bug = Callable[[], Any]


def _ack_before_commit() -> Any:
    """Replies leave before the row is durable."""

    def commit_and_send(self: NodeMember, now: float, batch: Any) -> None:
        row = self._row(batch)
        self._send(now, batch)
        try:
            self._commit(now, row)
        except StoreFailure as fault:
            self._hold_back(now, row, batch._replace(replies=[], reads=[]), str(fault))

    return patch.object(NodeMember, "_commit_and_send", commit_and_send)


def _held_batch_is_sent() -> Any:
    """A batch that could not be committed is answered all the same, and forgotten."""

    def hold_back(self: NodeMember, now: float, row: Any, batch: Any, why: str) -> None:
        self._send(now, batch)

    return patch.object(NodeMember, "_hold_back", hold_back)


def _no_dedup() -> Any:
    """What was executed is executed again when it comes again."""

    def repeated(self: NodeCore, call: Any) -> bool:
        call.keys = self._keys(call)
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
    merges = {kind: _dropping(merge) for kind, merge in MERGES.items()}
    return patch.dict("proxy.merge.MERGES", merges)


def _dropping(merge: Any) -> Any:
    def dropping(terms: Any, answers: Any) -> bytes:
        kept = dict(list(answers.items())[1:]) if len(answers) > 1 else answers
        result: bytes = merge(terms, kept)
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
            if ask is not None and ask.client:
                for node in [node for node in ask.nodes if node not in ask.answers]:
                    ask.answers[node] = _absent(number)
        tick(self, now)

    class Both:
        def __enter__(self) -> None:
            self._patches = [patch.object(Gather, "silent", silent), patch.object(Gather, "tick", tick_absent)]
            for one in self._patches:
                one.start()

        def __exit__(self, *_: object) -> None:
            for one in self._patches:
                one.stop()

    return Both()


def _absent(number: int) -> PackedReply:
    code = Code.UNKNOWN_INTERACTION
    said = {"message": "EventError", "code": int(code), "text": code.text}
    return PackedReply(number, 1, int(code), orjson.dumps(said))


def _standby_serves() -> Any:
    """A member serves whoever asks it, whatever its role."""
    return patch.object(NodeMember, "_serving", property(lambda self: self._held is None))


def _store_takes_any_epoch() -> Any:
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


def _stale_epoch_in_the_stream() -> Any:
    """What a replaced member publishes counts."""
    heard = MergeStream.heard

    def credulous(self: MergeStream, now: float, published: PackedEvents) -> None:
        source = self._sources.get(published.node)
        if source is not None:
            source.epoch = min(source.epoch, published.epoch)
        heard(self, now, published)

    return patch.object(MergeStream, "heard", credulous)


def _stale_epoch_on_links() -> Any:
    """What a replaced member answers counts."""
    replies = Links.replies

    def credulous(self: Links, now: float, node: str, member: str, packed: PackedReplies) -> Any:
        link = self.links.get(node)
        epoch = packed.epoch if link is None else max(packed.epoch, link.epoch)
        return replies(self, now, node, member, PackedReplies(epoch, packed.replies))

    return patch.object(Links, "replies", credulous)


def _lost_events_stay_lost() -> Any:
    """Gaps of the stream are not filled, but skipped."""

    def wanted(self: MergeStream) -> list[Any]:
        for source in self._sources.values():
            if source.gap:
                source.asked = (source.claim_seq, source.claim_us)
                source._skip()
                source._meet_claim()
        return []

    return patch.object(stream.MergeStream, "wanted", wanted)


def _grants_are_forgotten() -> Any:
    """What a session held is not given back when it ends."""
    return patch.object(holdings, "give_back", lambda node, name, why: None)


def _lease_is_not_watched() -> Any:
    """A member that could not renew its lease in time goes on answering."""
    return patch.object(Tenure, "late", lambda self: False)


def _tables_are_behind() -> Any:
    """The mark moves with the first slice of a round, not with the last."""
    fold = SimStore._fold

    def early(self: SimStore, what: Any) -> None:
        fold(self, what)
        disk: Disk = self.disk
        disk.folded_rev = disk.last_rev

    return patch.object(SimStore, "_fold", early)


class Planted(NamedTuple):
    """A bug on purpose. :param faults: in which it is likely to show; histories have them besides their own"""

    bug: Bug
    faults: tuple[str, ...] = ()


PLANTED: dict[str, Planted] = {
    "ack before commit": Planted(_ack_before_commit, ("die in a write",)),
    "held batch is sent": Planted(_held_batch_is_sent, ("fail a write", "sick database")),
    "no dedup": Planted(_no_dedup, ("links lose", "clients lose")),
    "answers not in the journal": Planted(_answers_not_in_journal, ("crash a member",)),
    "seq from memory": Planted(_seq_from_memory, ("crash a member",)),
    "merge drops a reply": Planted(_merge_drops_a_reply),
    "timeout is absence": Planted(_timeout_is_absence, ("crash both members", "pause a member")),
    "standby serves": Planted(_standby_serves),
    "store takes any epoch": Planted(_store_takes_any_epoch, ("freeze in a write",)),
    "epoch outside the write": Planted(_epoch_outside_the_write, ("freeze in a write",)),
    "stale epoch in the stream": Planted(_stale_epoch_in_the_stream, ("pause a member",)),
    "stale epoch on links": Planted(_stale_epoch_on_links, ("pause a member",)),
    "lost events stay lost": Planted(_lost_events_stay_lost, ("events lose",)),
    "grants are forgotten": Planted(_grants_are_forgotten, ("vanishing client",)),
    "lease is not watched": Planted(_lease_is_not_watched, ("freeze in a write", "pause a member")),
    "tables are behind": Planted(_tables_are_behind, ("crash a member",)),
}


@contextmanager
def planted(name: str | None) -> Iterator[tuple[str, ...]]:
    """While this lasts the product has this bug; None: none. Gives the faults in which it is likely to show."""
    if name is None:
        yield ()
        return
    bug, faults = PLANTED[name]
    with bug():
        yield faults
