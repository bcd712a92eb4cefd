"""Strategies: who is sent what, in which order and how much of it; what becomes of it when an engine goes."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from broker.config.objects import RoutingEngine, Strategy
from node.strategies import AT_ONCE, _rate_allows

GREETING = {"tenant_id": 101, "strategy_id": "Greeting"}
LOAD = {**GREETING, "view_ids": ["Inbound/all"]}


@pytest.fixture
def media(driver):
    return driver.client("gateway", "MediaServer")


@pytest.fixture
def engine(driver):
    return driver.client("urs", "RoutingEngine")


@pytest.fixture
def other(driver):
    return driver.client("urs2", "RoutingEngine")


def submit(media, **fields):
    given = {"tenant_id": 101, "media_type": "voice", "queue": "Inbound", **fields}
    return media.ask("RequestSubmit", **given)["interaction_id"]


def load(engine, **fields):
    reply = engine.ask("RequestLoadStrategy", **{**LOAD, **fields})
    assert reply["message"] == "EventAck", reply


def sent(engine):
    """The ids that an engine was sent since the last call."""
    notes, engine.notes = engine.notes, []
    return [note["interaction"]["interaction_id"] for note in notes if note["message"] == "EventRouteRequest"]


def shown(party, ident):
    return party.ask("RequestGetInteractionProperties", interaction_id=ident)["interaction"]


class TestSending:
    def test_what_comes_is_sent_with_all_that_is_known_of_it(self, driver, media, engine):
        load(engine)
        driver.events()
        ident = submit(media, priority=3, user_data={"Subject": "Card"})
        (note,) = engine.notes
        assert (note["message"], note["strategy_id"], note["view_id"]) == (
            "EventRouteRequest",
            "Greeting",
            "Inbound/all",
        )
        assert note["interaction"] == shown(engine, ident)
        assert (note["interaction"]["interaction_state"], note["interaction"]["user_data"]) == (2, {"Subject": "Card"})
        assert "resubmitted" not in note and "repeated" not in note

    def test_it_is_reported_as_taken_by_the_strategy(self, driver, media, engine):
        load(engine)
        driver.events()
        submit(media)
        submitted, taken, added = driver.said
        party = {"type": 1, "strategy_id": "Greeting", "router_id": "urs"}
        assert submitted["message"] == "EventInteractionSubmitted"
        assert (taken["message"], taken["party"], taken["old_queue"]) == ("EventTakenFromQueue", party, "Inbound")
        assert (taken["interaction"]["interaction_state"], "old_state" in taken) == (2, True)
        assert (added["message"], added["party"]) == ("EventPartyAdded", party)
        assert "cause" not in taken and "actor" not in taken

    def test_what_waits_already_is_sent_in_the_views_order(self, media, engine):
        low, high, older = (
            submit(media, priority=1),
            submit(media, priority=7),
            submit(media, priority=7, received_at=5),
        )
        load(engine)
        assert sent(engine) == [older, high, low]

    def test_only_what_the_view_lets_through(self, media, engine):
        load(engine, view_ids=["Inbound/urgent"])
        submit(media, priority=1)
        assert sent(engine) == []
        urgent = submit(media, priority=5)
        assert sent(engine) == [urgent]

    def test_segments_have_their_turn(self, media, engine):
        for media_type in ("voice", "voice", "email", "chat"):
            submit(media, queue="Fair", media_type=media_type)
        load(engine, view_ids=["Fair/all"])
        assert [note["interaction"]["media_type"] for note in engine.notes] == ["voice", "email", "chat", "voice"]

    @pytest.mark.parametrize("spoil", ["RequestHold", "RequestLockInteraction"])
    def test_what_is_held_or_locked_waits_until_it_is_not(self, driver, media, engine, spoil):
        vicky = driver.agent("VICKY")
        ident = submit(media)
        (media if spoil == "RequestHold" else vicky).ask(spoil, interaction_id=ident)
        load(engine)
        assert sent(engine) == []
        undo = {"RequestHold": (media, "RequestResume"), "RequestLockInteraction": (vicky, "RequestUnlockInteraction")}
        party, message = undo[spoil]
        party.ask(message, interaction_id=ident)
        assert sent(engine) == [ident]

    def test_what_is_scheduled_is_sent_at_its_time(self, driver, media, engine):
        load(engine)
        ident = submit(media, scheduled_at=driver.now + 60)
        driver.wait(20)
        engine.ask("RequestPing")
        driver.wait(39)
        assert sent(engine) == []
        driver.wait(1)
        assert sent(engine) == [ident]

    def test_a_paused_queue_gives_nothing_until_it_goes_on(self, driver, media, engine):
        top = driver.client("top", "Monitor")
        top.ask("RequestPauseQueue", queue="Inbound")
        load(engine)
        ident = submit(media)
        assert sent(engine) == []
        top.ask("RequestResumeQueue", queue="Inbound")
        assert sent(engine) == [ident]

    def test_a_large_backlog_is_sent_over_several_turns_in_order(self, make_driver):
        driver = make_driver(default_max_submitted_per_router=50_000)
        media, engine = driver.client("gateway", "MediaServer"), driver.client("urs", "RoutingEngine")
        idents = [submit(media) for _ in range(AT_ONCE + 10)]
        load(engine)
        assert len(engine.notes) == AT_ONCE
        assert driver.core.wake_at == 0.0
        driver.wait(0.001)
        assert sent(engine) == idents
        assert driver.core.wake_at > driver.now

    def test_what_has_nobody_is_not_looked_at_again(self, driver, media, engine):
        load(engine, max_submitted=1)
        for _ in range(3):
            submit(media)
        assert driver.core.wake_at > driver.now


class TestTurns:
    def test_engines_of_a_strategy_take_turns(self, media, engine, other):
        load(engine)
        load(other)
        idents = [submit(media) for _ in range(6)]
        assert (sent(engine), sent(other)) == (idents[::2], idents[1::2])

    def test_loading_again_does_not_bring_one_to_the_front(self, media, engine, other):
        load(engine)
        load(other)
        idents = []
        for _ in range(4):
            idents.append(submit(media))
            load(engine)
        assert (sent(engine), sent(other)) == (idents[::2], idents[1::2])

    def test_they_take_turns_over_all_its_views(self, media, engine, other):
        views = ["Inbound/all", "Done/all"]
        load(engine, view_ids=views)
        load(other, view_ids=views)
        for queue in ("Inbound", "Done", "Inbound", "Done"):
            submit(media, queue=queue)
        assert (len(sent(engine)), len(sent(other))) == (2, 2)

    def test_who_has_no_room_is_passed_over(self, media, engine, other):
        load(engine, max_submitted=1)
        load(other)
        idents = [submit(media) for _ in range(4)]
        assert (sent(engine), sent(other)) == (idents[:1], idents[1:])

    def test_views_take_turns_at_an_engine_that_has_little_room(self, media, engine):
        for queue in ("Inbound", "Inbound", "Done", "Done"):
            submit(media, queue=queue)
        load(engine, view_ids=["Inbound/all", "Done/all"], max_submitted=1)
        views = []
        for _ in range(4):
            (note,) = engine.notes
            engine.notes.clear()
            views.append(note["view_id"])
            engine.ask("RequestStopProcessing", interaction_id=note["interaction"]["interaction_id"])
        assert Counter(views[:2]) == Counter(views[2:]) == Counter({"Inbound/all": 1, "Done/all": 1})

    def test_held_pulls_and_engines_take_turns(self, driver, media, engine, other):
        pull = {"tenant_id": 101, "view_id": "Inbound/all", "extension": {"pull-for-strategy": 1}}
        load(engine)
        driver.ask(other.source, {"message": "RequestPull", **pull})
        first = submit(media)
        assert sent(engine) == []
        (reply,) = driver.late.values()
        assert [one["interaction_id"] for one in reply["interactions"]] == [first]
        driver.late.clear()
        driver.ask(other.source, {"message": "RequestPull", **pull})
        second = submit(media)
        assert sent(engine) == [second]
        third = submit(media)
        assert sent(engine) == []
        (reply,) = driver.late.values()
        assert [one["interaction_id"] for one in reply["interactions"]] == [third]

    def test_held_pulls_get_what_no_engine_has_room_for(self, driver, media, engine, other):
        load(engine, max_submitted=0)
        pull = {"tenant_id": 101, "view_id": "Inbound/all", "extension": {"pull-for-strategy": 1}}
        for _ in range(2):
            driver.ask(other.source, {"message": "RequestPull", **pull})
        submit(media)
        submit(media)
        assert len(driver.late) == 2

    def test_a_pull_that_does_not_wait_takes_what_is_there(self, driver, media, engine, other):
        load(engine, max_submitted=1)
        submit(media)
        second = submit(media)
        reply = other.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
        assert [one["interaction_id"] for one in reply["interactions"]] == [second]


class TestLimits:
    def test_no_more_is_sent_than_the_engine_may_hold(self, media, engine):
        load(engine, max_submitted=2)
        first, second, third, fourth = (submit(media) for _ in range(4))
        assert sent(engine) == [first, second]
        engine.ask("RequestStopProcessing", interaction_id=first)
        assert sent(engine) == [third]
        engine.ask("RequestPlaceInQueue", interaction_id=second, queue="Done")
        assert sent(engine) == [fourth]

    def test_what_is_delivered_makes_room_before_the_agent_has_answered(self, driver, media, engine):
        driver.agent("VICKY")
        load(engine, max_submitted=1)
        first, second = submit(media), submit(media)
        assert sent(engine) == [first]
        engine.ask("RequestDeliver", interaction_id=first, agent_id="VICKY")
        assert sent(engine) == [second]

    def test_what_it_has_pulled_under_the_strategy_counts(self, media, engine):
        load(engine, max_submitted=1, view_ids=["Inbound/urgent"])
        submit(media)
        engine.ask("RequestPull", tenant_id=101, view_id="Inbound/all", strategy_id="Greeting")
        submit(media, priority=9)
        assert sent(engine) == []

    @pytest.mark.parametrize("configured", ["node", "engine", "strategy"])
    def test_limits_of_the_configuration_hold_as_well(self, make_driver, configured):
        driver = make_driver(default_max_submitted_per_router=2 if configured == "node" else 500)
        if configured == "engine":
            driver.configuration.routing_engines["urs"] = RoutingEngine(max_submitted_interactions=2)
        if configured == "strategy":
            driver.configuration.strategies["Greeting"] = Strategy(views=["Inbound/all"], max_submitted_interactions=2)
        media, engine = driver.client("gateway", "MediaServer"), driver.client("urs", "RoutingEngine")
        load(engine, max_submitted=100)
        for _ in range(5):
            submit(media)
        assert len(sent(engine)) == 2

    def test_an_engines_own_limit_overrides_the_nodes_default(self, make_driver):
        driver = make_driver(default_max_submitted_per_router=1, default_max_submission_rate="0")
        driver.configuration.routing_engines["urs"] = RoutingEngine(
            max_submitted_interactions=3, max_submission_rate="100/second"
        )
        media, engine = driver.client("gateway", "MediaServer"), driver.client("urs", "RoutingEngine")
        load(engine)
        for _ in range(5):
            submit(media)
        assert len(sent(engine)) == 3

    def test_the_limit_of_an_engine_is_over_all_its_strategies(self, make_driver):
        driver = make_driver(default_max_submitted_per_router=3)
        media, engine = driver.client("gateway", "MediaServer"), driver.client("urs", "RoutingEngine")
        load(engine)
        load(engine, strategy_id="Closing", view_ids=["Done/all"])
        for queue in ("Inbound", "Inbound", "Done", "Done"):
            submit(media, queue=queue)
        assert len(sent(engine)) == 3

    def test_a_rate_spreads_what_is_sent(self, driver, media, engine):
        load(engine, submission_rate="30/minute")
        idents = [submit(media) for _ in range(4)]
        assert sent(engine) == idents[:1]
        driver.wait(1.9)
        assert sent(engine) == []
        driver.wait(0.2)
        assert sent(engine) == idents[1:2]
        driver.wait(4)
        assert sent(engine) == idents[2:]

    def test_what_is_freed_changes_nothing_about_the_rate(self, driver, media, engine):
        load(engine, submission_rate="1/minute")
        first, second = submit(media), submit(media)
        for _ in range(20):
            driver.wait(1)
            done = submit(media, queue="Done")
            engine.ask("RequestPull", tenant_id=101, view_id="Done/all")
            engine.ask("RequestStopProcessing", interaction_id=done)
        assert sum(entry.due is _rate_allows for entry in driver.core.agenda.entries) == 1
        assert sent(engine) == [first]
        driver.wait(39)
        assert sent(engine) == []
        driver.wait(1.1)
        assert sent(engine) == [second]

    @pytest.mark.parametrize("limits", [{"submission_rate": "0"}, {"max_submitted": 0}])
    def test_nothing_is_sent_at_zero_until_it_is_loaded_anew(self, driver, media, engine, limits):
        load(engine, **limits)
        ident = submit(media)
        driver.wait(30)
        assert sent(engine) == []
        load(engine)
        assert sent(engine) == [ident]

    def test_loading_again_does_not_begin_the_configured_rate_anew(self, driver, media, engine):
        driver.configuration.strategies["Greeting"] = Strategy(views=["Inbound/all"], max_submission_rate="1/minute")
        for _ in range(5):
            load(engine)
            submit(media)
        assert len(sent(engine)) == 1

    def test_with_a_full_journal_nothing_is_sent_until_there_is_room(self, driver, media, engine):
        top = driver.client("top", "Monitor")
        top.ask("RequestPauseQueue", queue="Inbound")
        load(engine)
        ident = submit(media)
        top.ask("RequestResumeQueue", queue="Done")
        driver.core.memory.drop(driver.core.memory.queues, "Inbound")
        driver.core.memory.views.touch("Inbound")
        driver.core.journal_full = True
        driver.settle()
        assert (sent(engine), driver.core.wake_at > driver.now) == ([], True)
        driver.core.journal_full = False
        assert driver.core.wake_at == 0.0
        driver.settle()
        assert sent(engine) == [ident]


class TestLoading:
    def test_the_configuration_has_the_views(self, driver, media, engine):
        driver.configuration.strategies["Greeting"] = Strategy(views=["Inbound/urgent", "Done/all"])
        load(engine, view_ids=None)
        submit(media)
        idents = [submit(media, priority=9), submit(media, queue="Done")]
        assert sent(engine) == idents

    @pytest.mark.parametrize(
        ("fields", "code", "field"),
        [
            ({"view_ids": ["Nowhere/all"]}, 14, "view_ids"),
            ({"view_ids": ["Inbound/all", "Shop/all"]}, 14, "view_ids"),
            ({"view_ids": []}, 3, "view_ids"),
            ({"view_ids": None}, 18, "strategy_id"),
            ({"tenant_id": 999}, 10, "tenant_id"),
            ({"max_submitted": 50_001}, 3, "max_submitted"),
            ({"submission_rate": "often"}, 3, "submission_rate"),
        ],
    )
    def test_what_cannot_be_loaded_is_refused(self, media, engine, fields, code, field):
        reply = engine.ask("RequestLoadStrategy", **{**LOAD, **fields})
        assert (reply["code"], reply["field"]) == (code, field)
        submit(media)
        assert engine.notes == []

    def test_a_strategy_of_another_tenant_is_none(self, driver, engine):
        driver.configuration.strategies["Selling"] = Strategy(views=["Shop/all"])
        assert engine.ask("RequestLoadStrategy", tenant_id=101, strategy_id="Selling")["code"] == 18

    @pytest.mark.parametrize("kind", ["AgentApplication", "MediaServer", "Monitor"])
    def test_only_routing_engines_may(self, driver, kind):
        assert driver.client("c", kind).ask("RequestLoadStrategy", **LOAD)["code"] == 40

    def test_loaded_again_it_has_the_new_views_and_keeps_what_it_holds(self, media, engine):
        load(engine, max_submitted=1)
        held, waiting = submit(media), submit(media)
        load(engine, view_ids=["Done/all"])
        done = submit(media, queue="Done")
        assert sent(engine) == [held, done]
        assert (shown(engine, held)["interaction_state"], shown(engine, waiting)["interaction_state"]) == (2, 0)

    def test_what_is_not_loaded_cannot_be_unloaded(self, engine, other):
        load(other)
        reply = engine.ask("RequestUnloadStrategy", **GREETING)
        assert (reply["code"], reply["field"]) == (18, "strategy_id")

    def test_a_repeated_load_is_acked_again_and_does_nothing(self, media, engine):
        load(engine, dedup_id="a")
        load(engine, view_ids=["Done/all"])
        load(engine, dedup_id="a")
        submit(media)
        assert sent(engine) == []


class TestAnswers:
    def test_deliver_and_accept(self, driver, media, engine):
        vicky = driver.agent("VICKY")
        load(engine)
        ident = submit(media)
        token = engine.notes[0]["token"]
        driver.events()
        assert (
            engine.ask("RequestDeliver", interaction_id=ident, agent_id="VICKY", token=token)["message"] == "EventAck"
        )
        (invite,) = vicky.notes
        vicky.ask("RequestAccept", interaction_id=ident, ticket_id=invite["ticket_id"])
        assert driver.events() == ["EventAgentInvited", "EventPartyRemoved", "EventPartyAdded"]

    def test_place_in_a_workbin(self, driver, media, engine):
        driver.agent("VICKY")
        load(engine)
        ident = submit(media)
        reply = engine.ask(
            "RequestPlaceInWorkbin", interaction_id=ident, workbin={"type": "Notes", "agent_id": "VICKY"}
        )
        assert reply["message"] == "EventAck"
        assert shown(engine, ident)["workbin"]["type"] == "Notes"
        assert sent(engine) == [ident]

    def test_a_rejected_delivery_is_told_and_the_interaction_sent_again(self, driver, media, engine):
        vicky = driver.agent("VICKY")
        load(engine)
        ident = submit(media)
        engine.ask("RequestDeliver", interaction_id=ident, agent_id="VICKY")
        engine.notes.clear()
        vicky.ask("RequestReject", interaction_id=ident, ticket_id=vicky.notes[0]["ticket_id"])
        abandoned, again = engine.notes
        assert (abandoned["message"], abandoned["strategy_id"]) == ("EventAbandoned", "Greeting")
        assert again["message"] == "EventRouteRequest"

    @pytest.mark.parametrize(
        ("message", "fields", "reason"),
        [
            ("RequestStopProcessing", {}, "Stopped"),
            ("RequestPlaceInQueue", {"queue": "Done"}, "PlacedInQueue"),
        ],
    )
    def test_what_is_taken_away_is_abandoned(self, media, engine, message, fields, reason):
        load(engine)
        ident = submit(media)
        engine.notes.clear()
        media.driver.events()
        media.ask(message, interaction_id=ident, **fields)
        (note,) = engine.notes
        assert note == {
            "message": "EventAbandoned",
            "interaction_id": ident,
            "reason": reason,
            "strategy_id": "Greeting",
        }
        assert media.driver.events()[0] == "EventPartyRemoved"

    def test_after_the_routing_timeout_it_goes_back_and_is_sent_again(self, make_driver):
        driver = make_driver(routing_timeout=20, keepalive_interval=3600)
        media, engine = driver.client("gateway", "MediaServer"), driver.client("urs", "RoutingEngine")
        load(engine)
        ident = submit(media)
        assert sent(engine) == [ident]
        driver.wait(20 * 60 + 1)
        abandoned, again = engine.notes
        assert (abandoned["reason"], again["interaction"]["interaction_id"]) == ("RoutingTimeout", ident)

    def test_changed_properties_are_told_to_the_engine(self, media, engine):
        load(engine)
        ident = submit(media)
        engine.notes.clear()
        media.ask("RequestChangeProperties", interaction_id=ident, changed_properties={"priority": 9, "Mood": "bad"})
        (note,) = engine.notes
        assert note["message"] == "EventPropertiesChanged"
        assert (note["interaction"]["priority"], note["interaction"]["user_data"]) == (9, {"Mood": "bad"})

    def test_an_engine_that_no_longer_holds_it_may_not_answer(self, driver, media, engine, other):
        load(engine)
        ident = submit(media)
        token = engine.notes[0]["token"]
        load(other)
        engine.ask("RequestUnloadStrategy", **GREETING)
        assert sent(other) == [ident]
        assert engine.ask("RequestStopProcessing", interaction_id=ident)["code"] == 40
        assert engine.ask("RequestStopProcessing", interaction_id=ident, token=token)["code"] == 48


def gone(driver, engine, how):
    if how == "lost":
        driver.core.lost(driver.now, engine.source[0])
        driver.settle()
    elif how == "unregistered":
        engine.ask("RequestUnregisterClient")
    else:
        assert engine.ask("RequestUnloadStrategy", **GREETING)["message"] == "EventAck"


WAYS = ["lost", "unregistered", "unloaded"]


class TestLeaving:
    @pytest.mark.parametrize("how", WAYS)
    def test_what_an_engine_held_goes_to_another_one(self, driver, media, engine, other, how):
        load(engine)
        load(other)
        idents = [submit(media) for _ in range(4)]
        engine.notes.clear()
        other.notes.clear()
        driver.events()
        gone(driver, engine, how)
        assert [note["resubmitted"] for note in other.notes] == [True, True]
        assert sent(other) == idents[::2]
        assert driver.events() == ["EventPartyRemoved", "EventPartyAdded"] * 2
        assert [driver.core.memory.holdings.get(ident).view_id for ident in idents] == ["Inbound/all"] * 4
        assert sent(engine) == []

    def test_who_unloads_is_told_what_is_taken_from_it(self, media, engine):
        load(engine)
        ident = submit(media)
        engine.notes.clear()
        engine.ask("RequestUnloadStrategy", **GREETING)
        assert [(note["interaction_id"], note["reason"]) for note in engine.notes] == [(ident, "Unloaded")]

    @pytest.mark.parametrize("how", WAYS)
    def test_without_another_one_it_goes_back_to_its_old_place(self, driver, media, engine, how):
        load(engine, max_submitted=1)
        first, second = submit(media), submit(media)
        before = shown(media, second) | {"interaction_id": first}
        placed = driver.core.memory.interactions[first].place_in_queue_seq
        driver.wait(5)
        driver.events()
        gone(driver, engine, how)
        assert driver.events() == ["EventPartyRemoved", "EventPlacedInQueue"]
        after = shown(media, first)
        assert (after["interaction_state"], after["queue"]) == (0, "Inbound")
        assert (after["place_in_queue_seq"], after["placed_in_queue_at"]) == (placed, before["placed_in_queue_at"])
        assert driver.core.memory.views.by_id["Inbound/all"].head() == first
        assert first not in driver.core.memory.holdings.rows

    def test_what_others_have_no_room_for_goes_back_and_is_sent_when_they_have(self, driver, media, engine, other):
        load(engine)
        load(other, max_submitted=1)
        first, second = submit(media), submit(media)
        assert (sent(engine), sent(other)) == ([first], [second])
        gone(driver, engine, "lost")
        assert shown(media, first)["interaction_state"] == 0
        other.ask("RequestStopProcessing", interaction_id=second)
        assert sent(other) == [first]

    def test_what_it_has_put_on_hold_is_passed_on_without(self, driver, media, engine, other):
        load(engine)
        load(other, max_submitted=0)
        ident = submit(media)
        driver.wait(1)
        assert engine.ask("RequestHold", interaction_id=ident)["message"] == "EventAck"
        load(other, max_submitted=1)
        engine.ask("RequestUnloadStrategy", **GREETING)
        assert sent(other) == [ident]
        assert not shown(media, ident).get("is_held")
        assert "EventResumed" in driver.events()

    def test_what_it_holds_of_other_strategies_stays(self, driver, media, engine):
        load(engine)
        load(engine, strategy_id="Closing", view_ids=["Done/all"])
        submit(media)
        kept = submit(media, queue="Done")
        token = driver.core.memory.holdings.rows[kept].token
        gone(driver, engine, "unloaded")
        assert {key: row.token for key, row in driver.core.memory.holdings.rows.items()} == {kept: token}

    def test_what_it_holds_of_the_same_name_in_another_tenant_stays(self, driver, media, engine):
        load(engine)
        load(engine, tenant_id=102, view_ids=["Shop/all"])
        submit(media)
        kept = submit(media, tenant_id=102, queue="Shop")
        gone(driver, engine, "unloaded")
        assert list(driver.core.memory.holdings.rows) == [kept]

    def test_what_was_pulled_goes_back_too(self, driver, media, engine):
        ident = submit(media)
        engine.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
        gone(driver, engine, "lost")
        assert driver.core.memory.views.by_id["Inbound/all"].head() == ident

    def test_much_is_taken_back_over_several_turns(self, make_driver):
        driver = make_driver(default_max_submitted_per_router=50_000)
        media, engine = driver.client("gateway", "MediaServer"), driver.client("urs", "RoutingEngine")
        load(engine)
        for _ in range(AT_ONCE + 10):
            submit(media)
        gone(driver, engine, "lost")
        assert len(driver.core.memory.holdings.rows) == 10
        driver.wait(0.001)
        assert len(driver.core.memory.holdings.rows) == 0
        assert len(driver.core.memory.views.by_id["Inbound/all"]) == AT_ONCE + 10

    def test_what_somebody_else_has_ended_meanwhile_is_left_alone(self, make_driver):
        driver = make_driver(default_max_submitted_per_router=50_000)
        media, engine = driver.client("gateway", "MediaServer"), driver.client("urs", "RoutingEngine")
        load(engine)
        idents = [submit(media) for _ in range(AT_ONCE + 10)]
        gone(driver, engine, "lost")
        media.ask("RequestStopProcessing", interaction_id=idents[-1])
        driver.wait(0.001)
        assert len(driver.core.memory.views.by_id["Inbound/all"]) == AT_ONCE + 9

    def test_what_somebody_else_has_taken_meanwhile_is_left_to_them(self, make_driver):
        driver = make_driver(default_max_submitted_per_router=50_000)
        media, engine = driver.client("gateway", "MediaServer"), driver.client("urs", "RoutingEngine")
        vicky = driver.agent("VICKY")
        load(engine)
        idents = [submit(media) for _ in range(AT_ONCE + 10)]
        gone(driver, engine, "lost")
        media.ask("RequestPlaceInQueue", interaction_id=idents[-1], queue="Done")
        vicky.ask("RequestPull", tenant_id=101, view_id="Done/all")
        driver.wait(0.001)
        assert list(driver.core.memory.holdings.rows) == [idents[-1]]

    def test_a_silent_engine_is_gone_after_three_intervals(self, driver, media, engine, other):
        load(engine)
        load(other)
        idents = [submit(media), submit(media)]
        other.notes.clear()
        for _ in range(10):
            driver.wait(10)
            other.ask("RequestPing")
        assert sent(other) == idents[:1]

    def test_the_last_one_gone_leaves_nothing_behind(self, driver, media, engine):
        load(engine)
        submit(media)
        gone(driver, engine, "lost")
        engines = driver.core.strategies.engines
        assert (engines.by_session, engines.runners, engines.lanes, engines._of_strategy) == ({}, {}, {}, {})
        assert not driver.core.memory.loads.rows

    def test_one_with_several_strategies_of_a_view_leaves_no_work_behind(self, driver, engine):
        load(engine)
        load(engine, strategy_id="Farewell")
        engine.ask("RequestUnregisterClient")
        assert driver.core.wake_at > driver.now

    def test_nor_does_one_that_has_got_another_configuration(self, driver, media, engine):
        load(engine, submission_rate="10/minute")
        assert [submit(media), submit(media)][:1] == sent(engine)
        driver.core.strategies.reload(driver.core)
        driver.settle()
        engine.ask("RequestUnregisterClient")
        driver.wait(7)
        assert driver.core.wake_at > driver.now

    def test_one_that_goes_while_its_rate_lets_it_wait_leaves_no_work_behind(self, driver, media, engine):
        load(engine, submission_rate="10/minute")
        idents = [submit(media), submit(media)]
        assert sent(engine) == idents[:1]
        engine.ask("RequestUnregisterClient")
        driver.wait(7)
        assert driver.core.wake_at > driver.now


class TestResuming:
    def session_of(self, engine):
        return engine.driver.core.sessions.by_source[engine.source].session_id

    def test_a_session_that_goes_on_at_a_new_address_is_told_again(self, driver, media, engine):
        load(engine)
        idents = [submit(media), submit(media)]
        tokens = [note["token"] for note in engine.notes]
        moved = driver.stranger("urs-again")
        reply = moved.ask(
            "RequestRegisterClient", client_name="urs", client_type="RoutingEngine", session_id=self.session_of(engine)
        )
        assert reply["message"] == "EventAck"
        assert [(note["repeated"], note["token"]) for note in moved.notes] == [(True, token) for token in tokens]
        assert sent(moved) == idents
        third = submit(media)
        assert sent(moved) == [third]

    def test_one_that_registers_again_and_again_is_told_once_a_turn(self, driver, media, engine):
        load(engine)
        for _ in range(5):
            submit(media)
        again = {"client_name": "urs", "client_type": "RoutingEngine", "session_id": self.session_of(engine)}
        engine.notes.clear()
        payload = json.dumps({"message": "RequestRegisterClient", **again}).encode()
        for _ in range(100):
            driver.core.receive(driver.now, engine.source, b"again", payload)
        driver.settle()
        assert len(engine.notes) == 5

    def test_tenants_that_are_given_up_take_their_strategies_along(self, driver, media, engine):
        load(engine)
        ident = submit(media)
        session_id = self.session_of(engine)
        engine.ask(
            "RequestRegisterClient",
            client_name="urs",
            client_type="RoutingEngine",
            session_id=session_id,
            tenants=[102],
        )
        submit(media)
        assert sent(engine) == [ident]
        assert len(driver.core.memory.views.by_id["Inbound/all"]) == 2


class TestFailover:
    @pytest.fixture
    def scene(self, driver, media, engine, other):
        """Two engines that hold one interaction each, and a third one that waits."""
        load(engine, max_submitted=1)
        load(other, max_submitted=1)
        idents = [submit(media) for _ in range(3)]
        sessions = {party: driver.core.sessions.by_source[party.source].session_id for party in (engine, other)}
        after = driver.reopened()
        after.events()
        return after, idents, sessions[engine], sessions[other]

    def back(self, driver, name, session_id):
        party = driver.stranger(name)
        reply = party.ask("RequestRegisterClient", client_name=name, client_type="RoutingEngine", session_id=session_id)
        assert reply["session_id"] == session_id
        return party

    def test_loads_and_route_requests_survive_and_are_told_again(self, scene):
        driver, idents, first, second = scene
        engine, other = self.back(driver, "urs", first), self.back(driver, "urs2", second)
        assert [note["repeated"] for note in engine.notes + other.notes] == [True, True]
        assert (sent(engine), sent(other)) == (idents[:1], idents[1:2])
        assert engine.ask("RequestStopProcessing", interaction_id=idents[0])["message"] == "EventAck"
        assert sent(engine) == idents[2:]

    def test_nothing_is_sent_to_who_has_not_come_back(self, scene):
        driver, idents, first, second = scene
        media = driver.client("gateway", "MediaServer")
        media.ask("RequestStopProcessing", interaction_id=idents[0])
        media.ask("RequestStopProcessing", interaction_id=idents[1])
        assert shown(media, idents[2])["interaction_state"] == 0
        engine = self.back(driver, "urs", first)
        assert sent(engine) == [idents[2]]

    def test_what_the_one_held_that_does_not_come_back_is_resubmitted(self, scene):
        driver, idents, first, second = scene
        engine = self.back(driver, "urs", first)
        engine.ask("RequestStopProcessing", interaction_id=idents[0])
        engine.ask("RequestStopProcessing", interaction_id=idents[2])
        assert sent(engine) == [idents[0], idents[2]]
        for _ in range(10):
            driver.wait(10)
            engine.ask("RequestPing")
        assert [note["resubmitted"] for note in engine.notes] == [True]
        assert sent(engine) == [idents[1]]
        assert len(driver.core.memory.loads.rows) == 1

    def test_when_nobody_comes_back_all_waits_in_its_old_place(self, scene):
        driver, idents, _, _ = scene
        driver.wait(100)
        assert list(driver.core.memory.views.by_id["Inbound/all"].keys) == sorted(
            driver.core.memory.views.by_id["Inbound/all"].keys
        )
        assert [key[-1] for key in driver.core.memory.views.by_id["Inbound/all"].keys] == idents
        assert not driver.core.memory.loads.rows

    def test_an_engine_that_held_nothing_is_waited_for_as_well(self, driver, engine, other):
        load(engine)
        load(other)
        session_id = driver.core.sessions.by_source[engine.source].session_id
        after = driver.reopened()
        engine = self.back(after, "urs", session_id)
        for _ in range(10):
            after.wait(10)
            engine.ask("RequestPing")
        assert len(after.core.memory.loads.rows) == 1
        ident = submit(after.client("gateway", "MediaServer"))
        assert sent(engine) == [ident]

    def test_limits_survive(self, scene):
        driver, idents, first, _ = scene
        engine = self.back(driver, "urs", first)
        assert sent(engine) == idents[:1]
        media = driver.client("gateway", "MediaServer")
        submit(media)
        assert sent(engine) == []

    def test_what_was_half_taken_back_is_taken_back_by_the_next(self, make_driver):
        driver = make_driver(default_max_submitted_per_router=50_000)
        media, engine = driver.client("gateway", "MediaServer"), driver.client("urs", "RoutingEngine")
        load(engine)
        for _ in range(AT_ONCE + 10):
            submit(media)
        gone(driver, engine, "lost")
        after = driver.reopened()
        assert len(after.core.memory.holdings.rows) == 10
        after.wait(100)
        assert len(after.core.memory.views.by_id["Inbound/all"]) == AT_ONCE + 10
