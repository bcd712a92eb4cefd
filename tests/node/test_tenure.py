"""A member's tenure on a real store: folding that fails, take-overs that are interrupted, journals that were cut."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.config.objects import Queue
from node import reconfiguration
from node.pair import Event
from node.store import DiskFull, Row
from node.tenure import CLOSE_LOOK_S, EXPECTED_S, LOOK_S
from tests.node.conftest import make_configuration
from tests.node.tenures import SUBMIT, Member


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    configuration, members = make_configuration(), []

    def make_member(name: str) -> Member:
        members.append(Member(tmp_path / "n1.db", configuration, name))
        return members[-1]

    yield make_member
    for member in members:
        member.store.close()


def ids(member: Member) -> set[str]:
    return set(member.tenure.core.memory.interactions)


def test_a_slice_that_could_not_be_written_is_written_the_next_time(make: Any) -> None:
    """Given five interactions, when a slice of folding meets a full disk, then a later start finds all five."""
    first = make("primary")
    first.serve()
    first.register()
    submitted = {first.ask(SUBMIT)["interaction_id"] for _ in range(5)}
    folding = first.tenure.folding
    folding.begin(first.tenure.core.rev)
    lost = folding.next(2)  # the disk is full: it was handed out and not written
    assert folding.next(2) is lost
    while folding.running:
        first.store.fold(first.tenure.core.epoch, folding.next(2))
        folding.written()
    first.leave()
    second = make("backup")
    second.serve()
    assert ids(second) == submitted


def test_a_standby_says_which_epoch_it_follows(make: Any) -> None:
    """Given an active member, when the other one has looked at the lease, also after it has given the lease up itself,
    then its answer to a ping names the epoch of the one that it follows."""
    first, second = make("primary"), make("backup")
    first.serve()
    second.follow()
    assert second.tenure.core.pong().epoch == first.tenure.core.epoch == 1
    first.tenure.release(first.now, Event.SWITCHOVER, "switchover")
    second.serve()
    first.follow()
    assert first.tenure.core.pong().epoch == second.tenure.core.epoch == 2


def test_a_row_that_the_other_member_folded_does_not_come_back(make: Any) -> None:
    """Given a standby that loaded before an agent's row was folded, when it drops the row after its take-over and
    folds, then the next start does not find it."""
    first, second = make("primary"), make("backup")
    first.serve()
    second.follow()
    hello = {"message": "RequestRegisterClient", "client_name": "desk", "client_type": "AgentApplication"}
    login = {"message": "RequestAgentLogin", "tenant_id": 101, "agent_id": "VICKY"}
    first.ask(hello)
    assert first.ask(login)["message"] == "EventAck"
    first.fold()
    first.leave()
    second.serve()
    second.ask(hello)
    second.ask(login)
    assert second.ask({"message": "RequestAgentLogout"})["message"] == "EventAck"
    second.fold()
    second.leave()
    third = make("primary")
    third.serve()
    assert len(third.tenure.core.memory.agents) == 0


def test_a_take_over_that_a_failing_disk_interrupts_is_finished_later(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a standby whose database fails just after it took the lease, when it is well again, then it serves."""
    first = make("primary")
    first.serve()
    first.register()
    ident = first.ask(SUBMIT)["interaction_id"]
    first.leave()
    second = make("backup")
    tail, failures = second.store.tail, iter([False, True, True])

    def failing(*args: Any) -> list[Row]:
        if next(failures, False):
            raise DiskFull("n1.db", "no space")
        return tail(*args)

    monkeypatch.setattr(second.store, "tail", failing)
    second.serve()
    assert ids(second) == {ident}
    second.register()
    assert second.ask(SUBMIT)["message"] == "EventAck"


def test_a_standby_behind_a_cut_journal_loads_again_and_serves(make: Any) -> None:
    """Given a standby that was away while rows were folded and cut, when it takes over, then it has everything."""
    first, second = make("primary"), make("backup")
    first.serve()
    first.register()
    second.follow()
    submitted = {first.ask(SUBMIT)["interaction_id"] for _ in range(20)}
    first.fold()
    submitted.add(first.ask(SUBMIT)["interaction_id"])
    while first.store.cut(first.tenure.core.epoch, first.tenure.core.clock.last_us):
        pass
    first.leave()
    second.serve()
    assert ids(second) == submitted
    second.register()
    assert second.ask(SUBMIT)["message"] == "EventAck"


def test_after_a_switchover_no_event_is_older_than_what_was_promised(make: Any) -> None:
    """Given an active member that has promised by its own clock that all is out up to a time, when it gives the lease
    up and the other member's clock is behind, then that one's first event is later than the promise."""
    first, second = make("primary"), make("backup")
    first.serve()
    first.now += 100
    promised = first.tenure.core.clock.promise(first.now)
    first.tenure.release(first.now, Event.SWITCHOVER, "test")
    second.serve()
    assert first.now > second.now
    assert second.tenure.core.clock.last_us > promised


def test_a_member_wants_to_renew_its_lease_four_times_in_its_length(make: Any) -> None:
    """Given a member that has just become active, then it is to be called again within a quarter of its lease."""
    first = make("primary")
    assert first.tenure.renews_in() == 0
    first.serve()
    assert 0 < first.tenure.renews_in() <= first.tenure.settings.lease_timeout / 4


def test_a_standby_that_expects_the_lease_looks_closely_for_a_moment(make: Any) -> None:
    """Given a standby that looks now and then; when it is to be handed the lease; then it looks again and again, and
    later as before."""
    first, second = make("primary"), make("backup")
    first.serve()
    second.follow()
    assert second.tenure.next_look - second.now == pytest.approx(LOOK_S, abs=1e-6)
    second.tenure.expect(second.now)
    assert second.tenure.next_look - second.now == pytest.approx(CLOSE_LOOK_S, abs=1e-6)
    now = second.tenure.next_look
    assert not second.tenure.follow(now)
    assert second.tenure.next_look - now == pytest.approx(CLOSE_LOOK_S, abs=1e-6)
    now += EXPECTED_S
    assert not second.tenure.follow(now)
    assert second.tenure.next_look - now == pytest.approx(LOOK_S, abs=1e-6)


def test_a_standby_takes_on_what_the_active_member_took_on(make: Any) -> None:
    """Given an active member that has taken on another configuration; when its standby follows; then it has it, and
    begins with it again when it has to forget all else."""
    first, second = make("primary"), make("backup")
    first.serve()
    second.follow()
    changed = make_configuration()
    changed.queues["New"] = Queue(tenant=101)
    reconfiguration.ordered(first.tenure.core, first.now, None, changed, "")
    first.commit()
    second.follow()
    assert "New" in second.tenure.core.configuration.queues
    second.tenure.replaced("test")
    assert "New" in second.tenure.core.configuration.queues
