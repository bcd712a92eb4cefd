"""Views: schedules, segments, holds that are ignored; queues that are paused or disabled."""

from __future__ import annotations

import pytest

HELD_PULL = {
    "message": "RequestPull",
    "tenant_id": 101,
    "view_id": "Inbound/all",
    "extension": {"pull-for-strategy": 1},
}


@pytest.fixture
def media(driver):
    return driver.client("gateway", "MediaServer")


@pytest.fixture
def router(driver):
    return driver.client("urs", "RoutingEngine")


@pytest.fixture
def monitor(driver):
    return driver.client("top", "Monitor")


def submit(media, **fields):
    given = {"tenant_id": 101, "media_type": "email", "queue": "Inbound"} | fields
    return media.ask("RequestSubmit", **given)["interaction_id"]


def pull(party, view="Inbound/all", **fields):
    reply = party.ask("RequestPull", tenant_id=101, view_id=view, **fields)
    return [it["interaction_id"] for it in reply["interactions"]]


class TestSchedules:
    def test_nothing_is_seen_before_its_time_and_then_a_held_pull_gets_it(self, driver, media, router):
        ident = submit(media, scheduled_at=driver.now + 5)
        assert pull(router) == []
        assert driver.ask(router.source, HELD_PULL) is None
        driver.wait(4.9)
        assert driver.late == {}
        driver.wait(0.2)
        (reply,) = driver.late.values()
        assert [it["interaction_id"] for it in reply["interactions"]] == [ident]

    def test_a_time_that_has_passed_hides_nothing(self, driver, media, router):
        assert pull(router, count=1) == []
        driver.now += 10
        ident = submit(media, scheduled_at=driver.now - 1)
        assert pull(router) == [ident]

    def test_it_can_be_put_forward_and_back(self, driver, media, router):
        ident = submit(media, scheduled_at=driver.now + 50)
        later = submit(media)
        media.ask("RequestChangeProperties", interaction_id=later, added_properties={"scheduled_at": driver.now + 50})
        media.ask("RequestChangeProperties", interaction_id=ident, deleted_properties=["scheduled_at"])
        assert pull(router, count=5) == [ident]
        driver.wait(50)
        assert pull(router, count=5) == [later]

    def test_what_is_stopped_asleep_never_wakes(self, driver, media):
        ident = submit(media, scheduled_at=driver.now + 5)
        media.ask("RequestStopProcessing", interaction_id=ident)
        assert driver.core.memory.views.wake_at == float("inf")
        driver.wait(10)

    def test_after_a_take_over_it_wakes_at_its_time(self, driver, media):
        due, later = submit(media, scheduled_at=driver.now + 5), submit(media, scheduled_at=driver.now + 50)
        driver.now += 10
        other = driver.reopened()
        router = other.client("urs", "RoutingEngine")
        assert pull(router, count=5) == [due]
        other.wait(41)
        assert pull(router, count=5) == [later]

    def test_many_of_one_time_wake_in_several_turns(self, driver, media, router, monkeypatch):
        monkeypatch.setattr("node.views.WOKEN_AT_ONCE", 2)
        idents = [submit(media, scheduled_at=driver.now + 5) for _ in range(5)]
        driver.now += 5
        driver.core.tick(driver.now)
        assert len(driver.core.memory.views.by_id["Inbound/all"]) == 2
        assert driver.core.wake_at <= driver.now
        driver.wait(0)
        assert pull(router, count=9) == idents


class TestSegments:
    def fill(self, media, **counts):
        """Interactions of each media type, the last one the most urgent."""
        return {
            media_type: [submit(media, queue="Fair", media_type=media_type, priority=at) for at in range(count)][::-1]
            for media_type, count in counts.items()
        }

    def test_the_segments_are_served_in_turn_each_in_order(self, media, router):
        made = self.fill(media, email=3, chat=2)
        email, chat = made["email"], made["chat"]
        assert pull(router, "Fair/all", count=9) == [email[0], chat[0], email[1], chat[1], email[2]]

    def test_the_turn_goes_on_from_pull_to_pull(self, media, router):
        made = self.fill(media, email=2, chat=2, voice=2)
        taken = [ident for count in (1, 2, 1, 2) for ident in pull(router, "Fair/all", count=count)]
        assert taken == [made[kind][at] for at in (0, 1) for kind in ("email", "chat", "voice")]

    def test_a_segment_that_fills_again_does_not_jump_the_queue(self, media, router):
        made = self.fill(media, email=2, chat=1)
        assert pull(router, "Fair/all") == [made["email"][0]]
        again = submit(media, queue="Fair", media_type="email", priority=9)
        assert pull(router, "Fair/all", count=3) == [made["chat"][0], again, made["email"][1]]

    def test_a_head_of_another_node_bounds_every_segment(self, media, router):
        made = self.fill(media, email=1, chat=3)
        assert pull(router, "Fair/all", count=9, below=[0, "0"]) == made["chat"][:2]

    def test_the_head_is_what_the_next_pull_takes(self, driver, media, router):
        self.fill(media, email=2, chat=2)
        view = driver.core.memory.views.by_id["Fair/all"]
        for _ in range(4):
            head = view.head()
            assert pull(router, "Fair/all") == [head]

    def test_a_segment_that_is_empty_is_forgotten(self, driver, media):
        ident = self.fill(media, email=1)["email"][0]
        media.ask("RequestStopProcessing", interaction_id=ident)
        view = driver.core.memory.views.by_id["Fair/all"]
        assert (len(view), view.live.by_value, view.segment_of) == (0, {}, {})


class TestHolds:
    def test_held_ones_are_merged_in_order_when_the_hold_is_ignored(self, media, router):
        first, second, third = (submit(media, priority=priority) for priority in (3, 2, 1))
        media.ask("RequestHold", interaction_id=second)
        assert pull(router, count=1, ignore_hold=True) == [first]
        assert pull(router, count=9, ignore_hold=True) == [second, third]

    def test_held_ones_are_left_otherwise_and_come_back_when_resumed(self, driver, media, router):
        ident = submit(media)
        media.ask("RequestHold", interaction_id=ident)
        assert pull(router) == []
        assert driver.core.memory.views.by_id["Inbound/all"].head() is None
        media.ask("RequestResume", interaction_id=ident)
        assert pull(router) == [ident]

    def test_a_waiting_pull_that_ignores_holds_gets_a_held_one_before_others(self, driver, media, router):
        ident = submit(media)
        pull(router)
        other = driver.client("urs2", "RoutingEngine")
        driver.ask(other.source, HELD_PULL)
        driver.ask(other.source, HELD_PULL | {"ignore_hold": True})
        ignoring = str(driver._refs).encode()
        media.ask("RequestHold", interaction_id=ident)
        media.ask("RequestPlaceInQueue", interaction_id=ident, queue="Inbound")
        assert [*driver.late] == [ignoring]
        assert driver.core.pulls.held == 1


class TestQueues:
    def test_a_paused_queue_fills_and_gives_nothing_until_it_is_resumed(self, driver, media, router, monitor):
        driver.events()
        assert monitor.ask("RequestPauseQueue", queue="Inbound")["message"] == "EventAck"
        ident = submit(media)
        assert pull(router) == []
        assert driver.ask(router.source, HELD_PULL) is None
        assert monitor.ask("RequestResumeQueue", queue="Inbound")["message"] == "EventAck"
        (reply,) = driver.late.values()
        assert [it["interaction_id"] for it in reply["interactions"]] == [ident]
        said = [event for event in driver.said if event["message"].startswith("EventQueue")]
        assert [(it["message"], it["body"], it["tenant_id"]) for it in said] == [
            ("EventQueuePaused", {"queue": "Inbound"}, 101),
            ("EventQueueResumed", {"queue": "Inbound"}, 101),
        ]

    def test_proxies_see_a_paused_queue_empty(self, driver, media, monitor):
        ident = submit(media)
        proxy = driver.client("p1", "Proxy", session_id="p1.b")
        assert proxy.ask("RequestWatchView", view_id="Inbound/all")["head"][-1] == ident
        monitor.ask("RequestPauseQueue", queue="Inbound")
        monitor.ask("RequestResumeQueue", queue="Inbound")
        assert [note.get("head") and note["head"][-1] for note in proxy.notes] == [None, ident]

    def test_a_second_time_changes_nothing(self, driver, monitor):
        monitor.ask("RequestPauseQueue", queue="Inbound")
        driver.events()
        assert monitor.ask("RequestPauseQueue", queue="Inbound")["message"] == "EventAck"
        assert driver.events() == []

    def test_it_outlasts_a_take_over(self, driver, media, monitor):
        submit(media)
        monitor.ask("RequestPauseQueue", queue="Inbound")
        router = driver.reopened().client("urs", "RoutingEngine")
        assert pull(router) == []

    def test_one_that_starts_paused_gives_nothing_until_it_is_resumed_for_good(self, driver, media, router, monitor):
        """Given a queue that the configuration pauses, when an operator resumes it, then it gives, also after a
        failover; paused again, it is as it was."""
        ident = submit(media, queue="Later")
        pull = {"tenant_id": 101, "view_id": "Later/all"}
        assert router.ask("RequestPull", **pull)["interactions"] == []
        driver.events()
        monitor.ask("RequestPauseQueue", queue="Later")
        assert driver.events() == []
        monitor.ask("RequestResumeQueue", queue="Later")
        monitor.ask("RequestResumeQueue", queue="Later")
        assert driver.events() == ["EventQueueResumed"]
        after = driver.reopened()
        again = after.client("urs-2", "RoutingEngine")
        assert [one["interaction_id"] for one in again.ask("RequestPull", **pull)["interactions"]] == [ident]
        again.ask("RequestPlaceInQueue", interaction_id=ident, queue="Later")
        after.client("ops-2", "Monitor").ask("RequestPauseQueue", queue="Later")
        assert not after.core.memory.queues.rows
        assert again.ask("RequestPull", **pull)["interactions"] == []

    @pytest.mark.parametrize("request_", ["RequestPauseQueue", "RequestResumeQueue"])
    def test_only_operators_may_and_only_queues_of_their_tenants(self, driver, media, request_):
        assert media.ask(request_, queue="Inbound")["code"] == 40
        shop = driver.client("shop", "Monitor", tenants=[102])
        assert shop.ask(request_, queue="Inbound")["code"] == 11

    def test_a_disabled_queue_takes_nothing_and_gives_nothing(self, driver, media, router):
        ident = submit(media)
        assert media.ask("RequestSubmit", tenant_id=101, media_type="email", queue="Off")["code"] == 17
        assert media.ask("RequestPlaceInQueue", interaction_id=ident, queue="Off")["code"] == 17
        driver.core.memory.update(driver.core.memory.interactions[ident], queue="Off")
        driver.settle()
        assert pull(router, "Off/all") == []
