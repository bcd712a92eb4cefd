"""Why an interaction waits: each thing that may keep it, how views judge it, and its place in them."""

from __future__ import annotations

import pytest

NOTES = "it is in the workbin Notes of VICKY: pulls from Notes/PrivateView take it"


@pytest.fixture
def media(driver):
    return driver.client("gateway", "MediaServer")


@pytest.fixture
def monitor(driver):
    return driver.client("top", "Monitor")


def submit(party, **fields):
    given = {"tenant_id": 101, "media_type": "email", "queue": "Inbound", **fields}
    return party.ask("RequestSubmit", **given)["interaction_id"]


def waits(monitor, ident):
    """What keeps it: reason -> the whole sentence."""
    reply = monitor.ask("RequestExplainInteraction", interaction_id=ident)
    return {wait["reason"]: wait for wait in reply["waits"]}


class TestWaits:
    def test_it_waits_for_somebody_to_pull(self, driver, media, monitor):
        # Given an interaction that waits; when it is explained; then nobody has pulled it from its views yet
        ident = submit(media)
        reply = monitor.ask("RequestExplainInteraction", interaction_id=ident)
        assert reply["waits"] == [
            {"reason": "pull", "text": "nobody has pulled it from Inbound/all yet", "since": driver.now}
        ]
        assert (reply["node"], reply["interaction"]["interaction_id"]) == ("n1", ident)

    def test_a_strategy_has_it_and_then_an_agent_is_invited_and_handles_it(self, driver, media, monitor):
        # Given an interaction that a strategy has pulled
        ident = submit(media)
        router = driver.client("urs", "RoutingEngine")
        vicky = driver.agent("VICKY", email=1)
        router.ask("RequestPull", tenant_id=101, view_id="Inbound/all", strategy_id="Sales")
        strategy = waits(monitor, ident)
        # When an agent is invited, and accepts; then each step is what it waits for
        router.ask("RequestDeliver", interaction_id=ident, agent_id="VICKY")
        invited = waits(monitor, ident)
        (note,) = vicky.notes
        vicky.ask("RequestAccept", interaction_id=ident, ticket_id=note["ticket_id"])
        handled = waits(monitor, ident)
        assert strategy["strategy"]["text"] == "strategy Sales of urs has pulled it"
        assert strategy["strategy"]["until"] - strategy["strategy"]["since"] == pytest.approx(720 * 60)
        assert invited["invitation"]["text"] == "agent VICKY is invited (deliver) and has not answered"
        assert invited["invitation"]["until"] == pytest.approx(driver.now + 30, abs=0.1)
        assert list(handled) == ["agent"]
        assert handled["agent"]["text"].startswith("agent VICKY handles it; handling-timeout after 180 silent")

    def test_an_engine_was_sent_it_or_has_no_room(self, driver, media, monitor):
        # Given an engine that is sent one at a time, and two interactions; when both are explained
        engine = driver.client("urs", "RoutingEngine")
        loaded = {"tenant_id": 101, "strategy_id": "Sales", "view_ids": ["Inbound/all"], "max_submitted": 1}
        engine.ask("RequestLoadStrategy", **loaded)
        sent, waiting = submit(media), submit(media)
        # Then the one is with its strategy, and the other waits for room
        assert waits(monitor, sent)["strategy"]["text"] == "strategy Sales of urs was sent it from Inbound/all"
        assert waits(monitor, waiting)["pull"]["text"].endswith(
            "; urs is sent what is in it, and has no room: it holds 1 of 1"
        )

    def test_all_that_may_keep_it_in_its_queue(self, driver, media, monitor):
        # Given interactions that are held, locked, scheduled, in a workbin, in a paused queue; when they are explained
        desk = driver.agent("VICKY")
        held, locked = submit(media), submit(media)
        media.ask("RequestHold", interaction_id=held)
        desk.ask("RequestLockInteraction", interaction_id=locked)
        later = submit(media, scheduled_at=driver.now + 50)
        binned = submit(media, queue=None, workbin={"type": "Notes", "agent_id": "VICKY"})
        paused = submit(media, queue="Done")
        monitor.ask("RequestPauseQueue", queue="Done")
        # Then each says so
        assert list(waits(monitor, held)) == ["held"]
        assert waits(monitor, locked)["locked"]["text"] == "VICKY has locked it"
        assert waits(monitor, later)["scheduled"]["until"] == driver.now + 50
        assert waits(monitor, binned)["workbin"]["text"] == NOTES
        assert list(waits(monitor, paused)) == ["queue-paused"]
        assert waits(monitor, paused)["queue-paused"]["since"] == pytest.approx(driver.now, abs=0.1)

    def test_a_queue_that_is_disabled_without_a_view_or_without_one_that_matches(self, driver, media, monitor):
        # Given queues that give nothing; when what is in them is explained; then it says why
        disabled = submit(media)
        driver.configuration.queues["Inbound"].enabled = False
        alone = submit(media, queue="Kept")
        views = driver.core.memory.views.by_id
        views["Done/all"].condition = views["Inbound/urgent"].condition
        unmatched = submit(media, queue="Done")
        assert list(waits(monitor, disabled)) == ["queue-disabled"]
        assert waits(monitor, alone)["no-view"]["text"] == "the queue Kept has no view"
        assert waits(monitor, unmatched)["no-view"]["text"].endswith("has a condition that is true of it")

    def test_an_unknown_one_and_another_tenants(self, driver, media, monitor):
        # Given an id of nothing, and one of a tenant that the operator has not; then both are unknown
        bound = driver.client("bound", "Monitor", tenants=[102])
        ident = submit(media)
        assert monitor.ask("RequestExplainInteraction", interaction_id="nothing")["code"] == 43
        assert bound.ask("RequestExplainInteraction", interaction_id=ident)["code"] == 43
        assert media.ask("RequestExplainInteraction", interaction_id=ident)["code"] == 40


class TestViews:
    def test_terms_and_places(self, driver, media, monitor):
        # Given three interactions of different priority; when the middle one is explained
        submit(media, priority=9)
        ident = submit(media, priority=2)
        submit(media, priority=1)
        reply = monitor.ask("RequestExplainInteraction", interaction_id=ident)
        by_name = {view["view_id"]: view for view in reply["views"]}
        # Then it is second of three in the one view, and not in the other, whose term says why
        there, absent = by_name["Inbound/all"], by_name["Inbound/urgent"]
        assert (there["matches"], there["position"], there["depth"], there["terms"]) == (True, 2, 3, [])
        assert (absent["matches"], absent["position"], absent["depth"]) == (False, None, 1)
        assert absent["terms"] == [{"term": "priority >= 5", "property": "priority", "value": 2, "truth": False}]

    def test_in_a_divided_view_the_place_is_one_in_its_segment(self, driver, media, monitor):
        # Given a view with segments; when an interaction is explained; then its segment and its place there are said
        for _ in range(3):
            submit(media, queue="Fair", media_type="chat")
        ident = submit(media, queue="Fair", media_type="voice")
        (view,) = monitor.ask("RequestExplainInteraction", interaction_id=ident)["views"]
        assert (view["segment"], view["position"], view["depth"]) == ("voice", 1, 4)

    def test_pulls_that_wait_are_counted(self, driver, media, monitor):
        # Given a held interaction and a pull that is held for its view; then the view says that one waits
        ident = submit(media)
        media.ask("RequestHold", interaction_id=ident)
        router = driver.client("urs", "RoutingEngine")
        pull = {"message": "RequestPull", "tenant_id": 101, "view_id": "Inbound/all"}
        assert driver.ask(router.source, {**pull, "extension": {"pull-for-strategy": 1}}) is None
        view = monitor.ask("RequestExplainInteraction", interaction_id=ident)["views"][0]
        assert (view["waiting_pulls"], view["position"], view["depth"]) == (1, None, 0)

    def test_how_many_come_before_a_place(self, driver, media, monitor):
        # Given interactions in a view; when it is asked how many come before the key of one; then that is its place
        idents = [submit(media, priority=priority) for priority in (3, 2, 1)]
        for place, ident in enumerate(idents):
            view = monitor.ask("RequestExplainInteraction", interaction_id=ident)["views"][0]
            reply = monitor.ask("RequestGetViewPosition", view_id="Inbound/all", key=view["key"])
            assert (reply.get("before", 0), reply["depth"]) == (place, 3)
        assert monitor.ask("RequestGetViewPosition", view_id="Inbound/all", key=["x"])["field"] == "key"
        assert monitor.ask("RequestGetViewPosition", view_id="Nothing", key=[])["code"] == 14
