"""Snapshots and locks: taking, reading, locking, moving, ending, and all of it across a failover."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.wire import RESENT, PackedRequest, PackedRequests
from node import finding, snapshots


@pytest.fixture
def media(driver):
    return driver.client("mail", "MediaServer")


@pytest.fixture
def desk(driver):
    return driver.client("supervisor", "AgentApplication")


def submit(media, **fields):
    reply = media.ask("RequestSubmit", **{"tenant_id": 101, "media_type": "email", "queue": "Inbound", **fields})
    return reply["interaction_id"]


def ask(client, message, **fields):
    """The reply of a request that may take several turns."""
    reply = client.driver.ask(client.source, {"message": message, **fields})
    if reply is None:
        client.driver.wait(0.1)
        (reply,) = client.driver.late.values()
        client.driver.late.clear()
    return reply


def take(client, **fields):
    reply = ask(client, "RequestTakeSnapshot", **({"view_id": "Inbound/all"} | fields))
    assert reply["message"] == "EventSnapshotTaken", reply
    return reply["snapshot_id"]


def content(client, snapshot_id, **fields):
    reply = client.ask("RequestGetSnapshotInteractions", snapshot_id=snapshot_id, **fields)
    assert reply["message"] == "EventSnapshotInteractions", reply
    return [one["interaction_id"] for one in reply["interactions"]]


def pulled(client, **fields):
    reply = client.ask("RequestPull", tenant_id=101, view_id="Inbound/all", count=1000, **fields)
    return [one["interaction_id"] for one in reply["interactions"]]


def leftovers(driver):
    memory = driver.core.memory
    return [len(table) for table in (memory.snapshots, memory.pages, memory.moves, memory.locks)]


class TestTake:
    def test_a_view_in_its_order(self, media, desk):
        low, high, older = (
            submit(media, priority=1),
            submit(media, priority=7),
            submit(media, priority=7, received_at=5),
        )
        reply = desk.ask("RequestTakeSnapshot", view_id="Inbound/all")
        assert reply["number_of_interactions"] == 3
        assert content(desk, reply["snapshot_id"]) == [older, high, low]

    def test_a_view_in_another_order_and_only_what_the_condition_says(self, media, desk):
        low, high, _ = submit(media, priority=1), submit(media, priority=7), submit(media, media_type="chat")
        assert content(desk, take(desk, condition="[media_type] = 'email'", order="priority")) == [low, high]

    def test_a_condition_over_all_queues(self, media, desk):
        first, second, _ = submit(media), submit(media, queue="Done"), submit(media, media_type="chat")
        assert content(desk, take(desk, view_id=None, condition="[media_type] = 'email'")) == [first, second]

    def test_only_what_is_queued_unless_any_state_is_asked_for(self, media, desk, driver):
        first = submit(media)
        pulled(driver.client("urs", "RoutingEngine"))
        second = submit(media)
        assert content(desk, take(desk, view_id=None, condition="")) == [second]
        assert content(desk, take(desk, view_id=None, condition="", check_interactions_state=0)) == [first, second]

    def test_no_more_than_the_request_and_the_option_allow(self, make_driver):
        driver = make_driver(max_interactions_per_snapshot=100)
        media, desk = driver.client("mail", "MediaServer"), driver.client("desk", "AgentApplication")
        ids = [submit(media) for _ in range(130)]
        assert content(desk, take(desk, snapshot_max_interactions=3)) == ids[:3]
        for fields in ({}, {"condition": ""}, {"snapshot_max_interactions": 120}):
            assert content(desk, take(desk, **fields), number_of_interactions=1000) == ids[:100]

    def test_a_long_search_goes_on_in_slices_while_others_are_served(self, media, desk, driver, monkeypatch):
        monkeypatch.setattr(finding, "SLICE", 5)
        ids = [submit(media) for _ in range(12)]
        assert driver.ask(desk.source, {"message": "RequestTakeSnapshot", "condition": "", "lock": 1}) is None
        assert pulled(driver.client("urs", "RoutingEngine")) == ids
        driver.wait(0.1)
        (reply,) = driver.late.values()
        assert reply["message"] == "EventSnapshotTaken"
        assert reply["number_of_interactions"] == 0  # all were pulled while it was searching
        assert leftovers(driver)[3] == 0

    def test_a_session_that_ends_meanwhile_gets_no_snapshot(self, media, desk, driver, monkeypatch):
        monkeypatch.setattr(finding, "SLICE", 1)
        ids = [submit(media) for _ in range(3)]
        assert driver.ask(desk.source, {"message": "RequestTakeSnapshot", "condition": "", "lock": 1}) is None
        desk.ask("RequestUnregisterClient")
        driver.wait(0.1)
        assert leftovers(driver) == [0, 0, 0, 0]
        assert pulled(driver.client("urs", "RoutingEngine")) == ids

    def test_taken_anew_it_keeps_its_id_and_unlocks_the_old_ones(self, media, desk, driver):
        first = submit(media, priority=9)
        snapshot_id = take(desk, lock=1)
        second = submit(media, media_type="chat")
        assert take(desk, condition="media_type = 'chat'", snapshot_id=snapshot_id, lock=1) == snapshot_id
        assert content(desk, snapshot_id) == [second]
        assert pulled(driver.client("urs", "RoutingEngine")) == [first]

    def test_what_it_locks_itself_is_taken_again(self, media, desk):
        ident = submit(media)
        snapshot_id = take(desk, lock=1)
        assert content(desk, take(desk, snapshot_id=snapshot_id, lock=1)) == [ident]

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({}, 2),
            ({"view_id": "Nowhere/all"}, 14),
            ({"view_id": "Shop/all", "tenant_id": 101}, 14),
            ({"condition": "nonsense ="}, 62),
            ({"condition": "", "order": "no such thing"}, 62),
            ({"condition": "", "snapshot_id": "unknown"}, 70),
            ({"condition": "", "tenant_id": 9}, 10),
            ({"condition": "", "lock": 2}, 3),
        ],
    )
    def test_a_bad_one_is_refused(self, desk, fields, code):
        assert desk.ask("RequestTakeSnapshot", **fields)["code"] == code

    def test_a_refused_retake_leaves_the_old_one_as_it_was(self, media, desk):
        ident = submit(media)
        snapshot_id = take(desk, lock=1)
        assert desk.ask("RequestTakeSnapshot", condition="=", snapshot_id=snapshot_id)["code"] == 62
        assert content(desk, snapshot_id) == [ident]

    def test_they_are_bounded(self, make_driver):
        driver = make_driver(max_snapshots=1)
        desk = driver.client("desk", "AgentApplication")
        snapshot_id = take(desk)
        assert desk.ask("RequestTakeSnapshot", condition="")["code"] == 91
        take(desk, snapshot_id=snapshot_id)

    def test_a_media_server_may_not(self, media):
        assert media.ask("RequestTakeSnapshot", condition="")["code"] == 40


class TestRead:
    def test_places_start_at_0_and_stay(self, media, desk, monkeypatch):
        monkeypatch.setattr(snapshots, "PAGE", 3)
        ids = [submit(media) for _ in range(10)]
        snapshot_id = take(desk)
        media.ask("RequestStopProcessing", interaction_id=ids[4])
        assert content(desk, snapshot_id, start_from=2, number_of_interactions=4) == [ids[2], ids[3], ids[5]]
        assert content(desk, snapshot_id, start_from=9) == ids[9:]
        assert content(desk, snapshot_id, start_from=10) == []

    def test_an_id_of_several_nodes_tells_which_places_are_here(self, media, desk):
        ids = [submit(media) for _ in range(4)]
        snapshot_id = f"ELSEWHERE*3.{take(desk)}*4.OTHER*9"
        assert content(desk, snapshot_id, start_from=0, number_of_interactions=4) == ids[:1]
        assert content(desk, snapshot_id, start_from=4, number_of_interactions=2) == ids[1:3]
        assert content(desk, snapshot_id, start_from=7) == content(desk, snapshot_id, number_of_interactions=3) == []

    def test_another_clients_is_denied_and_an_unknown_one_unknown(self, driver, desk):
        other = driver.client("other", "AgentApplication")
        snapshot_id = take(desk)
        for request in ("RequestGetSnapshotInteractions", "RequestReleaseSnapshot"):
            assert other.ask(request, snapshot_id=snapshot_id)["code"] == 40
            assert desk.ask(request, snapshot_id="nothing")["code"] == 70


class TestLock:
    def test_locked_ones_are_in_no_view_and_cannot_be_pulled(self, media, desk, driver):
        ident = submit(media)
        snapshot_id = take(desk, lock=1)
        vicky = driver.agent("VICKY", email=1)
        assert pulled(vicky) == []
        by_id = {"view_id": "_system_", "pull_parameters": {"interaction_ids": [ident]}, "ignore_hold": True}
        assert vicky.ask("RequestPull", tenant_id=101, **by_id)["code"] == 45
        shown = media.ask("RequestGetInteractionProperties", interaction_id=ident)["interaction"]
        assert (shown["is_locked"], shown["snapshot_id"]) == (1, snapshot_id)
        assert desk.ask("RequestReleaseSnapshot", snapshot_id=snapshot_id)["message"] == "EventAck"
        assert pulled(vicky) == [ident]
        assert leftovers(driver) == [0, 0, 0, 0]

    def test_a_held_pull_gets_what_is_unlocked(self, media, desk, driver):
        ident = submit(media)
        desk.ask("RequestLockInteraction", interaction_id=ident)
        router = driver.client("urs", "RoutingEngine")
        held = {"message": "RequestPull", "tenant_id": 101, "view_id": "Inbound/all"}
        assert driver.ask(router.source, held | {"extension": {"pull-for-strategy": 1}}) is None
        desk.ask("RequestUnlockInteraction", interaction_id=ident)
        (reply,) = driver.late.values()
        assert reply["interactions"][0]["interaction_id"] == ident

    def test_only_who_locked_it_unlocks_it_and_may_change_it(self, media, desk, driver):
        ident = submit(media)
        other = driver.client("other", "AgentApplication")
        assert desk.ask("RequestLockInteraction", interaction_id=ident)["message"] == "EventAck"
        assert desk.ask("RequestLockInteraction", interaction_id=ident)["code"] == 45
        assert other.ask("RequestUnlockInteraction", interaction_id=ident)["code"] == 40
        change = {"interaction_id": ident, "changed_properties": {"priority": 5}}
        assert other.ask("RequestChangeProperties", **change)["code"] == 40
        assert desk.ask("RequestChangeProperties", **change)["message"] == "EventAck"
        assert desk.ask("RequestUnlockInteraction", interaction_id=ident)["message"] == "EventAck"
        assert desk.ask("RequestUnlockInteraction", interaction_id=ident)["code"] == 25
        assert desk.ask("RequestChangeProperties", **change)["code"] == 40

    def test_a_lock_of_a_snapshot_ends_with_it(self, media, desk, driver):
        ident = submit(media)
        snapshot_id = take(desk)
        assert desk.ask("RequestLockInteraction", interaction_id=ident, snapshot_id="x")["code"] == 70
        desk.ask("RequestLockInteraction", interaction_id=ident, snapshot_id=snapshot_id)
        desk.ask("RequestReleaseSnapshot", snapshot_id=snapshot_id)
        assert pulled(driver.client("urs", "RoutingEngine")) == [ident]

    def test_what_is_handled_cannot_be_locked(self, media, desk, driver):
        ident = submit(media)
        pulled(driver.client("urs", "RoutingEngine"))
        assert desk.ask("RequestLockInteraction", interaction_id=ident)["code"] == 46
        assert desk.ask("RequestLockInteraction", interaction_id="unknown")["code"] == 43

    def test_a_stopped_interaction_leaves_no_lock_behind(self, media, desk, driver):
        ident = submit(media, interaction_id="own")
        take(desk, lock=1)
        media.ask("RequestStopProcessing", interaction_id=ident)
        assert leftovers(driver)[3] == 0
        submit(media, interaction_id="own")
        assert pulled(driver.client("urs", "RoutingEngine")) == ["own"]


class TestMove:
    def test_every_interaction_that_is_as_it_was(self, media, desk, driver):
        ids = [submit(media) for _ in range(4)]
        router = driver.client("urs", "RoutingEngine")
        snapshot_id = take(desk)
        router.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
        media.ask("RequestPlaceInQueue", interaction_id=ids[1], queue="Inbound")
        media.ask("RequestStopProcessing", interaction_id=ids[2])
        driver.events()
        reply = desk.ask("RequestMoveInteractions", snapshot_id=snapshot_id, queue="Done", reason={"why": "late"})
        assert (reply["message"], reply["number_of_interactions"]) == ("EventInteractionMoved", 1)
        assert reply["not_moved"] == 3
        taken, placed = driver.said
        assert (taken["message"], placed["message"]) == ("EventTakenFromQueue", "EventPlacedInQueue")
        assert (placed["old_queue"], placed["old_state"], placed["interaction"]["queue"]) == ("Inbound", 0, "Done")
        assert taken["cause"] == "RequestMoveInteractions"
        assert (placed["actor"]["client_name"], placed["reason"]) == ("supervisor", {"why": "late"})
        assert driver.core.memory.interactions[ids[3]].queue == "Done"

    def test_moved_ones_stay_locked_and_can_be_moved_on(self, media, desk, driver):
        ident = submit(media)
        snapshot_id = take(desk, lock=1)
        for queue in ("Done", "Inbound"):
            reply = desk.ask("RequestMoveInteractions", snapshot_id=snapshot_id, queue=queue)
            assert reply["number_of_interactions"] == 1
            assert pulled(driver.client("urs", "RoutingEngine")) == []
        desk.ask("RequestReleaseSnapshot", snapshot_id=snapshot_id)
        assert pulled(driver.client("urs", "RoutingEngine")) == [ident]

    def test_what_another_client_has_locked_stays(self, media, desk, driver):
        ident = submit(media)
        snapshot_id = take(desk)
        driver.client("other", "AgentApplication").ask("RequestLockInteraction", interaction_id=ident)
        reply = desk.ask("RequestMoveInteractions", snapshot_id=snapshot_id, queue="Done")
        assert (reply["number_of_interactions"], reply["not_moved"]) == (0, 1)

    @pytest.mark.parametrize(("queue", "code"), [("Nowhere", 11), (None, 3)])
    def test_a_bad_queue_is_refused(self, media, desk, queue, code):
        snapshot_id = take(desk)
        assert desk.ask("RequestMoveInteractions", snapshot_id=snapshot_id, queue=queue)["code"] == code

    def test_another_tenants_stay_where_they_are(self, media, desk, driver):
        ours, theirs = submit(media), submit(media, tenant_id=102, queue="Shop")
        snapshot_id = take(desk, view_id=None, condition="")
        reply = desk.ask("RequestMoveInteractions", snapshot_id=snapshot_id, queue="Done")
        assert (reply["number_of_interactions"], reply["not_moved"]) == (1, 1)
        assert [driver.core.memory.interactions[one].queue for one in (ours, theirs)] == ["Done", "Shop"]

    def test_many_are_moved_in_slices(self, media, desk, driver, monkeypatch):
        monkeypatch.setattr(snapshots, "PAGE", 2)
        ids = [submit(media) for _ in range(5)]
        snapshot_id = take(desk)
        message = {"message": "RequestMoveInteractions", "snapshot_id": snapshot_id, "queue": "Done"}
        assert driver.ask(desk.source, message) is None
        assert desk.ask("RequestReleaseSnapshot", snapshot_id=snapshot_id)["code"] == 2004
        assert desk.ask("RequestMoveInteractions", snapshot_id=snapshot_id, queue="Done")["code"] == 2004
        assert content(desk, snapshot_id) == ids
        driver.wait(0.1)
        (reply,) = driver.late.values()
        assert (reply["number_of_interactions"], reply.get("not_moved", 0)) == (5, 0)
        assert leftovers(driver)[2] == 0


class TestEnd:
    def test_it_ends_with_its_session(self, media, desk, driver):
        ids = [submit(media) for _ in range(2)]
        take(desk, lock=1, snapshot_max_interactions=1)
        desk.ask("RequestLockInteraction", interaction_id=ids[1])
        desk.ask("RequestUnregisterClient")
        driver.wait(0.1)
        assert leftovers(driver) == [0, 0, 0, 0]
        assert pulled(driver.client("urs", "RoutingEngine")) == ids

    def test_it_ends_when_nobody_uses_it(self, make_driver):
        driver = make_driver(snapshot_timeout=100, keepalive_interval=3600)
        media, desk = driver.client("mail", "MediaServer"), driver.client("desk", "AgentApplication")
        ident = submit(media)
        snapshot_id = take(desk, lock=1)
        driver.wait(90)
        assert content(desk, snapshot_id) == [ident]
        driver.wait(90)
        assert content(desk, snapshot_id) == [ident]
        driver.wait(101)
        assert desk.ask("RequestGetSnapshotInteractions", snapshot_id=snapshot_id)["code"] == 70
        assert leftovers(driver) == [0, 0, 0, 0]
        assert pulled(driver.client("urs", "RoutingEngine")) == [ident]


HELLO = {"message": "RequestRegisterClient", "client_name": "p1", "client_type": "Proxy", "session_id": "p1.b"}
CLIENT = {
    "message": "RequestRegisterClient",
    "client_name": "desk",
    "client_type": "AgentApplication",
    "session_id": "p1.b.1",
}


def link(driver, *requests):
    """What a proxy's link brings; gives the replies by number."""
    for source in [(b"proxy", 0), (b"proxy", 1)]:
        driver.parties.setdefault(source, driver.stranger(source[0].decode() + str(source[1])))
    packed = [
        PackedRequest(number, who, flags, json.dumps(message).encode()) for number, who, flags, message in requests
    ]
    driver.core.receive_link(driver.now, b"proxy", PackedRequests(0, packed))
    driver.settle()
    return {ref: driver.late.pop(ref) for ref in list(driver.late)}


class TestFailover:
    def test_snapshot_and_locks_outlast_it_for_a_session_that_comes_back(self, driver, media, desk):
        ids = [submit(media) for _ in range(3)]
        session = next(s.session_id for s in driver.core.sessions.by_id.values() if s.name == "supervisor")
        snapshot_id = take(desk, lock=1)
        after = driver.reopened()
        again = after.client("supervisor", "AgentApplication", session_id=session)
        assert pulled(after.client("urs", "RoutingEngine")) == []
        assert content(again, snapshot_id) == ids
        again.ask("RequestReleaseSnapshot", snapshot_id=snapshot_id)
        assert pulled(after.client("urs", "RoutingEngine")) == ids

    def test_they_end_when_it_does_not(self, driver, media, desk):
        ids = [submit(media) for _ in range(2)]
        take(desk, lock=1, snapshot_max_interactions=1)
        desk.ask("RequestLockInteraction", interaction_id=ids[1])
        after = driver.reopened()
        after.wait(91)
        assert leftovers(after) == [0, 0, 0, 0]
        assert pulled(after.client("urs", "RoutingEngine")) == ids

    def test_a_move_goes_on_and_is_answered_once_when_it_is_asked_again(self, driver, media, monkeypatch):
        monkeypatch.setattr(snapshots, "PAGE", 2)
        ids = [submit(media) for _ in range(7)]
        link(driver, (1, 0, 0, HELLO), (2, 1, 0, CLIENT))
        taken = {"message": "RequestTakeSnapshot", "view_id": "Inbound/all"}
        assert link(driver, (3, 1, 0, taken)) == {}
        driver.wait(0.1)
        snapshot_id = driver.late.pop(3)["snapshot_id"]
        move = {"message": "RequestMoveInteractions", "snapshot_id": snapshot_id, "queue": "Done"}
        assert link(driver, (4, 1, 0, move)) == {}
        for early in (True, False):
            after = driver.reopened()
            if early:
                link(after, (1, 0, 0, HELLO), (2, 1, 0, CLIENT))
                assert link(after, (4, 1, RESENT, move)) == {}
                after.wait(0.1)
                reply = after.late.pop(4)
            else:
                after.wait(0.1)
                link(after, (1, 0, 0, HELLO), (2, 1, 0, CLIENT))
                reply = link(after, (4, 1, RESENT, move))[4]
            assert (reply["message"], reply["number_of_interactions"]) == ("EventInteractionMoved", 7)
            assert after.events().count("EventPlacedInQueue") == 5
            assert [after.core.memory.interactions[one].queue for one in ids] == ["Done"] * 7

    def test_a_take_that_was_not_done_is_taken_once_when_it_is_asked_again(self, driver, media, monkeypatch):
        monkeypatch.setattr(finding, "SLICE", 2)
        ids = [submit(media) for _ in range(5)]
        link(driver, (1, 0, 0, HELLO), (2, 1, 0, CLIENT))
        taken = {"message": "RequestTakeSnapshot", "condition": "", "lock": 1}
        assert link(driver, (3, 1, 0, taken)) == {}
        assert link(driver, (3, 1, RESENT, taken)) == {}
        after = driver.reopened()
        link(after, (1, 0, 0, HELLO), (2, 1, 0, CLIENT), (3, 1, RESENT, taken))
        after.wait(0.1)
        assert after.late.pop(3)["number_of_interactions"] == len(ids)
        driver.wait(0.1)
        assert len(driver.core.memory.snapshots) == len(after.core.memory.snapshots) == 1

    def test_a_take_that_was_half_done_goes_on_when_it_is_asked_again(self, driver, media, monkeypatch):
        """Given a failover while interactions are being locked, when the request comes again, then they are in one
        snapshot and locked by it; when it does not, then all of them are unlocked."""
        monkeypatch.setattr(snapshots, "PAGE", 2)
        ids = [submit(media) for _ in range(7)]
        link(driver, (1, 0, 0, HELLO), (2, 1, 0, CLIENT))
        taken = {"message": "RequestTakeSnapshot", "view_id": "Inbound/all", "lock": 1}
        assert link(driver, (3, 1, 0, taken)) == {}
        assert leftovers(driver) == [1, 1, 0, 2]
        again, alone = driver.reopened(), driver.reopened()
        link(again, (1, 0, 0, HELLO), (2, 1, 0, CLIENT), (3, 1, RESENT, taken))
        again.wait(0.1)
        assert again.late.pop(3)["number_of_interactions"] == 7
        assert leftovers(again) == [1, 4, 0, 7]
        alone.wait(0.1)
        assert leftovers(alone) == [0, 0, 0, 0]
        assert pulled(alone.client("urs", "RoutingEngine")) == ids
        replies = link(alone, (1, 0, 0, HELLO), (2, 1, 0, CLIENT), (3, 1, RESENT, taken))
        assert replies[3]["number_of_interactions"] == 0

    def test_a_release_goes_on_and_is_acked_once_when_it_is_asked_again(self, driver, media, monkeypatch):
        monkeypatch.setattr(snapshots, "PAGE", 2)
        ids = [submit(media) for _ in range(7)]
        link(driver, (1, 0, 0, HELLO), (2, 1, 0, CLIENT))
        link(driver, (3, 1, 0, {"message": "RequestTakeSnapshot", "view_id": "Inbound/all", "lock": 1}))
        driver.wait(0.1)
        snapshot_id = driver.late.pop(3)["snapshot_id"]
        release = {"message": "RequestReleaseSnapshot", "snapshot_id": snapshot_id}
        assert link(driver, (4, 1, 0, release)) == {}
        for early in (True, False):
            after = driver.reopened()
            if not early:
                after.wait(0.1)
            link(after, (1, 0, 0, HELLO), (2, 1, 0, CLIENT))
            replies = link(after, (4, 1, RESENT, release))
            after.wait(0.1)
            assert (replies | after.late)[4]["message"] == "EventAck"
            assert leftovers(after) == [0, 0, 0, 0]
            assert pulled(after.client("urs", "RoutingEngine")) == ids


class TestBounds:
    """However many there are, no turn changes more than a page of them."""

    MANY = 1000

    @pytest.fixture
    def big(self, make_driver):
        driver = make_driver(max_interactions_per_snapshot=10_000, keepalive_interval=3600)
        media, desk = driver.client("mail", "MediaServer"), driver.client("supervisor", "AgentApplication")
        for _ in range(self.MANY):
            submit(media)
        driver.rows.clear()
        driver.turns = []
        settle = driver.settle

        def noted():
            driver.turns.append(len(driver.core.memory.changes))
            settle()

        driver.settle = noted
        return driver, desk

    def test_taking_and_releasing(self, big):
        driver, desk = big
        snapshot_id = take(desk, lock=1)
        assert leftovers(driver)[3] == self.MANY
        assert ask(desk, "RequestReleaseSnapshot", snapshot_id=snapshot_id)["message"] == "EventAck"
        assert leftovers(driver) == [0, 0, 0, 0]
        assert max(driver.turns) <= 2 * snapshots.PAGE + 20

    def test_the_end_of_a_session(self, big):
        driver, desk = big
        take(desk, lock=1, snapshot_max_interactions=500)
        for ident in list(driver.core.memory.interactions)[500:]:
            desk.ask("RequestLockInteraction", interaction_id=ident)
        desk.ask("RequestUnregisterClient")
        assert leftovers(driver)[3] == self.MANY
        driver.wait(0.1)
        assert leftovers(driver) == [0, 0, 0, 0]
        assert max(driver.turns) <= 2 * (2 * snapshots.PAGE) + 20

    def test_others_are_served_while_it_is_released_and_it_is_gone_for_its_owner(self, big):
        driver, desk = big
        snapshot_id = take(desk, lock=1)
        release = {"message": "RequestReleaseSnapshot", "snapshot_id": snapshot_id}
        assert driver.ask(desk.source, release) is None
        assert len(pulled(driver.client("urs", "RoutingEngine"))) == snapshots.PAGE
        assert desk.ask("RequestGetSnapshotInteractions", snapshot_id=snapshot_id)["code"] == 70
        assert desk.ask("RequestReleaseSnapshot", snapshot_id=snapshot_id)["code"] == 70

    def test_what_is_pulled_while_it_is_taken_is_not_in_it(self, big):
        driver, desk = big
        router = driver.client("urs", "RoutingEngine")
        assert driver.ask(desk.source, {"message": "RequestTakeSnapshot", "view_id": "Inbound/all", "lock": 1}) is None
        ids = pulled(router)
        assert len(ids) == self.MANY - snapshots.PAGE
        driver.wait(0.1)
        (reply,) = driver.late.values()
        assert reply["number_of_interactions"] == snapshots.PAGE
        assert not set(content(desk, reply["snapshot_id"], number_of_interactions=10_000)) & set(ids)

    def test_it_ends_with_the_session_that_has_it_taken(self, big):
        driver, desk = big
        driver.ask(desk.source, {"message": "RequestTakeSnapshot", "view_id": "Inbound/all", "lock": 1})
        desk.ask("RequestUnregisterClient")
        driver.wait(0.1)
        assert leftovers(driver) == [0, 0, 0, 0]
        assert not driver.core.searches


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "submit",
                "pull",
                "back",
                "take",
                "grab",
                "lock",
                "unlock",
                "move",
                "release",
                "stop",
                "tick",
                "quit",
                "failover",
            ]
        ),
        st.integers(0, 9),
    ),
    max_size=60,
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_nothing_is_lost_doubled_or_handed_out_while_it_is_locked(make_driver, monkeypatch, steps):
    """Given pulls, locks, moves, stops and failovers in any order, when each is done, then every interaction is in
    exactly one place, a locked one in no view and nobody's, and each lock belongs to somebody who is there."""
    monkeypatch.setattr(snapshots, "PAGE", 2)
    monkeypatch.setattr(finding, "SLICE", 3)
    world = Play(make_driver(keepalive_interval=3600))
    for step, number in steps:
        getattr(world, step)(number)
        world.check()


class Play:
    """The random steps, and what has to hold after each."""

    def __init__(self, driver):
        self.driver, self.alive, self.snapshots = driver, [], []
        self.sessions = {}
        self.join()

    def join(self):
        """All clients come (back)."""
        for name, kind in (("mail", "MediaServer"), ("urs", "RoutingEngine"), ("desk", "AgentApplication")):
            known = {"session_id": self.sessions[name]} if name in self.sessions else {}
            party = self.driver.client(name, kind, **known)
            setattr(self, name, party)
            self.sessions[name] = self.driver.core.sessions.by_source[party.source].session_id

    def one(self, number):
        return self.alive[number % len(self.alive)] if self.alive else "none"

    def snapshot(self, number):
        return self.snapshots[number % len(self.snapshots)] if self.snapshots else "none"

    def submit(self, number):
        self.alive.append(submit(self.mail, priority=number))

    def pull(self, number):
        locked = {ident for ident, it in self.driver.core.memory.interactions.items() if it.is_locked}
        view = "Done/all" if number % 2 else "Inbound/all"
        reply = self.urs.ask("RequestPull", tenant_id=101, view_id=view, count=1 + number // 4)
        assert not locked & {one["interaction_id"] for one in reply["interactions"]}

    def back(self, number):
        self.urs.ask("RequestPlaceInQueue", interaction_id=self.one(number), queue="Done" if number % 2 else "Inbound")

    def grab(self, number):
        self.take(number, "", 0)

    def take(self, number, condition="interaction_state = 0", check=1):
        fields = {"condition": condition, "lock": number % 2, "check_interactions_state": check}
        if number > 6 and self.snapshots:
            fields["snapshot_id"] = self.snapshot(number)
        reply = self.driver.ask(self.desk.source, {"message": "RequestTakeSnapshot", **fields})
        if reply is not None and "snapshot_id" in reply:
            self.snapshots.append(reply["snapshot_id"])

    def lock(self, number):
        self.desk.ask("RequestLockInteraction", interaction_id=self.one(number))

    def unlock(self, number):
        self.desk.ask("RequestUnlockInteraction", interaction_id=self.one(number))

    def move(self, number):
        queue = "Done" if number % 2 else "Inbound"
        message = {"message": "RequestMoveInteractions", "snapshot_id": self.snapshot(number), "queue": queue}
        self.driver.ask(self.desk.source, message)

    def release(self, number):
        message = {"message": "RequestReleaseSnapshot", "snapshot_id": self.snapshot(number)}
        self.driver.ask(self.desk.source, message)

    def quit(self, _):
        """The desk's session ends, and it registers anew."""
        self.desk.ask("RequestUnregisterClient")
        del self.sessions["desk"]
        self.join()

    def stop(self, number):
        if self.mail.ask("RequestStopProcessing", interaction_id=self.one(number))["message"] == "EventAck":
            self.alive.remove(self.one(number))

    def tick(self, number):
        self.driver.core.tick(self.driver.now)
        self.driver.settle()
        self.snapshots += [late["snapshot_id"] for late in self.driver.late.values() if "snapshot_id" in late]
        self.driver.late.clear()

    def failover(self, _):
        self.driver.now += 1
        self.driver = self.driver.reopened()
        self.join()

    def check(self):
        memory = self.driver.core.memory
        assert set(self.alive) == set(memory.interactions)
        locked = {ident for ident, it in memory.interactions.items() if it.is_locked}
        assert locked == set(memory.locks.rows)
        for ident, it in memory.interactions.items():
            inside = [view.view_id for view in memory.views.by_id.values() if ident in view.of]
            waits = it.interaction_state == 0 and not it.is_locked
            assert bool([name for name in inside if name.endswith("/all")]) == waits
            assert (ident in memory.holdings.rows) == (it.interaction_state != 0)
            assert not (it.is_locked and it.interaction_state)
            if it.is_locked:
                assert it.snapshot_id == memory.locks.rows[ident].snapshot_id
                assert it.snapshot_id is None or it.snapshot_id in memory.snapshots.rows
        for snapshot_id, row in memory.snapshots.rows.items():
            pages = [key for key in memory.pages.rows if key.startswith(f"{snapshot_id}/")]
            if row.stage == "ready":
                assert sum(len(memory.pages.rows[key].pins) for key in pages) == row.count
            tasks = [task for task in self.driver.core.searches if getattr(task, "snapshot_id", None) == snapshot_id]
            assert (row.stage == "ready") <= (not tasks or snapshot_id in memory.moves.rows)
            assert row.stage == "ready" or len(tasks) == 1
        assert {key.partition("/")[0] for key in memory.pages.rows} <= set(memory.snapshots.rows)
