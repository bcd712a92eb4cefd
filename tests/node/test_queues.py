"""Queues as operators see them: what is in them, and emptying one."""

from __future__ import annotations

import pytest

from node import finding, purging


@pytest.fixture
def media(driver):
    return driver.client("gateway", "MediaServer")


@pytest.fixture
def monitor(driver):
    return driver.client("top", "Monitor")


def submit(party, **fields):
    given = {"tenant_id": 101, "media_type": "email", "queue": "Inbound", **fields}
    return party.ask("RequestSubmit", **given)["interaction_id"]


def test_what_is_in_the_queues(driver, media, monitor):
    # Given two that wait, one of them urgent, one with a strategy, one handled, and a queue that is paused
    submit(media), submit(media, priority=7)
    for _ in range(2):
        submit(media, queue="Done")
    driver.agent("VICKY").ask("RequestPull", tenant_id=101, view_id="Done/all")
    driver.client("urs", "RoutingEngine").ask("RequestPull", tenant_id=101, view_id="Done/all")
    monitor.ask("RequestPauseQueue", queue="Done")
    # When the queues are asked for; then each is there, with what it has by state and by view
    queues = {part["queue"]: part for part in monitor.ask("RequestGetQueues")["queues"]}
    assert queues["Inbound"]["nodes"]["n1"] == {"queued": 2, "views": {"Inbound/all": 2, "Inbound/urgent": 1}}
    done = queues["Done"]["nodes"]["n1"]
    assert (done["routing"], done["handling"], "queued" in done) == (1, 1, False)
    assert done["paused_since"] == pytest.approx(driver.now, abs=0.1)
    assert queues["Off"]["enabled"] is False
    assert list(queues) == sorted(queues) and queues["Shop"]["tenant_id"] == 102


def test_an_operator_of_one_tenant_sees_its_queues(driver):
    # Given an operator of one tenant; when it asks for the queues; then it sees no others, and purges no others
    bound = driver.client("bound", "Monitor", tenants=[102])
    assert [part["queue"] for part in bound.ask("RequestGetQueues")["queues"]] == ["Shop"]
    assert bound.ask("RequestPurgeQueue", queue="Inbound")["code"] == 11


class TestPurge:
    def test_what_waits_goes_the_oldest_first(self, driver, media, monitor):
        # Given four that wait; when two may go, and then all; then those that have waited longest go first
        idents = [submit(media, priority=priority) for priority in (0, 1, 2, 3)]
        driver.events()
        reply = monitor.ask("RequestPurgeQueue", queue="Inbound", count=2, reason={"reason_system_name": "Test"})
        assert (reply["purged"], reply["left"]) == (2, 2)
        assert sorted(driver.core.memory.interactions) == sorted(idents[2:])
        events = [event for event in driver.said if event["message"] == "EventProcessingStopped"]
        assert [event["interaction"]["interaction_id"] for event in events] == idents[:2]
        assert {event["cause"] for event in events} == {"RequestPurgeQueue"}
        assert events[0]["reason"] == {"reason_system_name": "Test"} and events[0]["old_queue"] == "Inbound"
        assert monitor.ask("RequestPurgeQueue", queue="Inbound")["purged"] == 2
        assert "purged" not in monitor.ask("RequestPurgeQueue", queue="Inbound")

    def test_what_somebody_has_stays(self, driver, media, monitor):
        # Given interactions that are locked, pulled, in a workbin, elsewhere, and one that is held
        vicky = driver.agent("VICKY")
        pulled = submit(media)
        vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
        locked, held, other = submit(media), submit(media), submit(media, queue="Done")
        vicky.ask("RequestLockInteraction", interaction_id=locked)
        media.ask("RequestHold", interaction_id=held)
        binned = submit(media, queue="Inbound", workbin={"type": "Notes", "agent_id": "VICKY"})
        # When the queue is purged; then only the held one goes
        assert monitor.ask("RequestPurgeQueue", queue="Inbound") == {"message": "EventQueuePurged", "purged": 1}
        assert sorted(driver.core.memory.interactions) == sorted([pulled, locked, other, binned])

    def test_only_what_a_condition_is_true_of(self, driver, media, monitor):
        # Given two that wait; when the queue is purged by a condition; then only that one goes; a wrong one is refused
        submit(media, priority=1)
        ident = submit(media, priority=2)
        assert monitor.ask("RequestPurgeQueue", queue="Inbound", condition="priority < 2")["purged"] == 1
        assert list(driver.core.memory.interactions) == [ident]
        assert monitor.ask("RequestPurgeQueue", queue="Inbound", condition="priority <")["code"] == 62

    def test_in_slices_and_asked_twice_it_is_done_once(self, driver, media, monitor, monkeypatch):
        # Given more than fit into a slice; when the purge is asked again meanwhile; then it is done once
        for module in (finding, purging):
            monkeypatch.setattr(module, "SLICE", 2)
        for _ in range(5):
            submit(media)
        asked = {"message": "RequestPurgeQueue", "queue": "Inbound", "count": 2, "dedup_id": "one"}
        assert driver.ask(monitor.source, asked) is None
        assert driver.ask(monitor.source, asked) is None
        driver.wait(0.1)
        assert [reply["purged"] for reply in driver.late.values()] == [2, 2]
        assert len(driver.core.memory.interactions) == 3
        # And repeated it has its reply
        assert monitor.ask(**asked)["purged"] == 2
        assert len(driver.core.memory.interactions) == 3

    def test_only_operators_may(self, media):
        assert media.ask("RequestPurgeQueue", queue="Inbound")["code"] == 40
