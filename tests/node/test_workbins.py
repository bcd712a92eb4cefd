"""Workbins: who puts what where, who sees and pulls it, who is told, and where it comes back to."""

from __future__ import annotations

import pytest

from broker.config.objects import WorkbinType

DRAFTS = {"type": "Drafts", "agent_id": "VICKY"}
PULL = {"tenant_id": 101, "view_id": "Drafts/PrivateView"}


@pytest.fixture
def media(driver):
    return driver.client("gateway", "MediaServer")


@pytest.fixture
def vicky(driver):
    return driver.agent("VICKY")


@pytest.fixture
def handled(driver, media, vicky):
    """An interaction from Inbound that VICKY handles."""
    ident = submit(media)
    vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    driver.events()
    return ident


def submit(media, **fields):
    given = {"tenant_id": 101, "media_type": "email", "queue": "Inbound"} | fields
    return media.ask("RequestSubmit", **given)["interaction_id"]


def put(party, ident, workbin=DRAFTS):
    reply = party.ask("RequestPlaceInWorkbin", interaction_id=ident, workbin=workbin)
    assert reply["message"] == "EventAck", reply


def content(party, workbin=DRAFTS, **fields):
    reply = party.ask("RequestGetWorkbinContent", tenant_id=101, workbin=workbin, **fields)
    return [it["interaction_id"] for it in reply["interactions"]]


def pulled(reply):
    return [it["interaction_id"] for it in reply["interactions"]]


class TestPlacing:
    def test_both_queue_and_workbin_are_reported_in_order(self, driver, vicky, handled):
        put(vicky, handled)
        told = [(event["message"], event["interaction"].get("workbin")) for event in driver.said]
        assert told == [
            ("EventPartyRemoved", None),
            ("EventPlacedInQueue", DRAFTS),
            ("EventPlacedInWorkbin", DRAFTS),
        ]
        assert (driver.said[-1]["old_queue"], driver.said[-1]["interaction"]["queue"]) == ("Inbound", "Kept")

    def test_it_is_in_no_view_of_its_queue_and_nobody_holds_it(self, driver, vicky, handled):
        put(vicky, handled, {"type": "Notes"})
        interaction = driver.core.memory.interactions[handled]
        assert (interaction.queue, interaction.interaction_state) == ("Inbound", 0)
        assert len(driver.core.memory.views.by_id["Inbound/all"]) == 0
        assert driver.core.memory.holdings.get(handled) is None

    def test_without_an_owner_it_is_the_agents_own(self, vicky, handled):
        put(vicky, handled, {"type": "Drafts"})
        assert content(vicky) == [handled]

    def test_a_strategy_puts_it_into_an_agents_workbin(self, driver, media, vicky):
        ident = submit(media)
        router = driver.client("urs", "RoutingEngine")
        router.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
        put(router, ident)
        assert content(vicky) == [ident]

    def test_out_of_a_workbin_into_a_queue_it_waits_again(self, driver, media, vicky, handled):
        put(vicky, handled)
        media.ask("RequestPlaceInQueue", interaction_id=handled, queue="Inbound")
        assert content(vicky) == []
        assert driver.core.memory.views.by_id["Inbound/all"].head() == handled

    @pytest.mark.parametrize(
        ("workbin", "code"),
        [
            ({"type": "Nowhere"}, 13),
            ({"type": "Team"}, 2),
            ({"type": "Team", "agent_group": "Nobody"}, 13),
            ({"type": "Drafts", "place_id": "P1"}, 3),
            ({"type": "Drafts", "agent_id": "VICKY", "place_id": "P1"}, 3),
        ],
    )
    def test_what_is_no_workbin_is_refused_and_nothing_changes(self, driver, vicky, handled, workbin, code):
        reply = vicky.ask("RequestPlaceInWorkbin", interaction_id=handled, workbin=workbin)
        assert reply["code"] == code
        assert driver.core.memory.holdings.get(handled) is not None
        assert driver.events() == []

    def test_only_who_holds_it_may(self, driver, handled):
        assert driver.agent("ANAT").ask("RequestPlaceInWorkbin", interaction_id=handled, workbin=DRAFTS)["code"] == 40


class TestSubmitting:
    def test_a_media_server_submits_into_a_workbin(self, driver, media, vicky):
        ident = submit(media, queue=None, workbin=DRAFTS)
        assert content(vicky) == [ident]
        assert driver.core.memory.interactions[ident].queue == "Kept"

    def test_what_an_agent_submits_with_a_workbin_goes_there_in_the_end(self, driver, vicky):
        reply = vicky.ask("RequestSubmit", tenant_id=101, media_type="email", workbin={"type": "Notes"})
        assert content(vicky, {"type": "Notes"}) == []
        vicky.ask("RequestLeaveInteraction", interaction_id=reply["interaction_id"])
        assert content(vicky, {"type": "Notes"}) == [reply["interaction_id"]]
        assert driver.events()[-2:] == ["EventPartyRemoved", "EventPlacedInWorkbin"]


class TestReading:
    def test_the_content_is_in_the_asked_order_and_within_the_count(self, media, vicky):
        idents = [submit(media, workbin=DRAFTS, priority=priority) for priority in (1, 3, 2)]
        assert content(vicky) == idents
        assert content(vicky, order="priority desc", count=2) == [idents[1], idents[2]]
        assert vicky.ask("RequestGetWorkbinContent", tenant_id=101, workbin=DRAFTS, count=2)["more"] is True
        assert vicky.ask("RequestGetWorkbinContent", tenant_id=101, workbin=DRAFTS, order="no such")["code"] == 62

    def test_what_is_handled_is_not_in_it(self, media, vicky):
        submit(media, workbin=DRAFTS)
        vicky.ask("RequestPull", **PULL)
        assert content(vicky) == []

    @pytest.mark.parametrize("owner", [{"type": "Drafts", "agent_id": "ANAT"}, {"type": "Desk", "place_id": "P9"}])
    def test_anothers_is_not_for_an_agent_but_for_a_monitor(self, driver, media, vicky, owner):
        ident = submit(media, workbin=owner)
        reply = vicky.ask("RequestGetWorkbinContent", tenant_id=101, workbin=owner)
        assert reply["code"] == 40
        assert content(driver.client("top", "Monitor"), owner) == [ident]

    def test_a_groups_is_for_its_agents_and_a_places_for_who_is_there(self, driver, media, vicky):
        team, floor = {"type": "Team", "agent_group": "Support"}, {"type": "Floor", "place_group": "First"}
        idents = [submit(media, workbin=team), submit(media, workbin=floor)]
        placed = driver.client("desk", "AgentApplication")
        placed.ask("RequestAgentLogin", tenant_id=101, agent_id="BOB", place_id="P2", media_list={"email": 1})
        assert content(vicky, team) == idents[:1]
        assert content(placed, floor) == idents[1:]
        assert placed.ask("RequestGetWorkbinContent", tenant_id=101, workbin=team)["code"] == 40

    def test_types_say_what_there_is_and_which_are_mine(self, vicky):
        types = {it["type"]: it for it in vicky.ask("RequestWorkbinTypesInfo", tenant_id=101)["workbin_types"]}
        assert types["Drafts"] == {
            "type": "Drafts",
            "owner": "agent",
            "view": "Drafts/PrivateView",
            "queue": "Kept",
            "workbins": [DRAFTS],
        }
        assert types["Team"]["workbins"] == [{"type": "Team", "agent_group": "Support"}]
        assert "workbins" not in types["Desk"]
        assert "Drafts" not in [
            it["type"]
            for it in vicky.driver.client("m", "Monitor").ask("RequestWorkbinTypesInfo", tenant_id=102)["workbin_types"]
        ]

    def test_a_statistic_counts_with_and_without_those_on_hold(self, media, vicky):
        first = submit(media, workbin=DRAFTS)
        submit(media, workbin=DRAFTS)
        media.ask("RequestHold", interaction_id=first)
        reply = vicky.ask("RequestWorkbinStatistic", tenant_id=101, workbin=DRAFTS)
        assert reply["workbins"] == [{"workbin": DRAFTS, "count": 2, "held": 1}]
        mine = vicky.ask("RequestWorkbinStatistic", tenant_id=101)["workbins"]
        assert sorted(it["workbin"]["type"] for it in mine) == ["Drafts", "Notes", "Team"]


class TestPulling:
    def test_it_is_taken_from_queue_and_workbin_in_the_types_order(self, driver, media, vicky):
        low, high = submit(media, workbin=DRAFTS, priority=1), submit(media, workbin=DRAFTS, priority=2)
        driver.events()
        assert pulled(vicky.ask("RequestPull", **PULL, workbin=DRAFTS)) == [high]
        assert driver.events() == ["EventTakenFromQueue", "EventTakenFromWorkbin", "EventPartyAdded"]
        assert pulled(vicky.ask("RequestPull", **PULL, count=5)) == [low]
        assert pulled(vicky.ask("RequestPull", **PULL)) == []

    def test_what_is_held_is_left_unless_the_hold_is_ignored(self, media, vicky):
        ident = submit(media, workbin=DRAFTS)
        media.ask("RequestHold", interaction_id=ident)
        assert pulled(vicky.ask("RequestPull", **PULL)) == []
        assert pulled(vicky.ask("RequestPull", **PULL, ignore_hold=True)) == [ident]

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"workbin": {"type": "Drafts", "agent_id": "ANAT"}}, 40),
            ({"workbin": {"type": "Notes", "agent_id": "VICKY"}}, 3),
            ({"view_id": "Drafts/other"}, 14),
            ({"tenant_id": 102}, 22),
        ],
    )
    def test_a_bad_pull_is_refused(self, vicky, fields, code):
        assert vicky.ask("RequestPull", **PULL | fields)["code"] == code

    def test_strategies_do_not_pull_from_workbins(self, driver, media):
        ident = submit(media, workbin=DRAFTS)
        router = driver.client("urs", "RoutingEngine")
        ids = {"view_id": "_system_", "pull_parameters": {"interaction_ids": [ident]}}
        assert router.ask("RequestPull", **PULL, workbin=DRAFTS)["code"] == 40
        assert router.ask("RequestPull", tenant_id=101, **ids)["code"] == 46

    def test_by_id_its_owner_takes_it_and_nobody_else(self, driver, media, vicky):
        ident = submit(media, workbin=DRAFTS)
        ids = {"view_id": "_system_", "pull_parameters": {"interaction_ids": [ident]}, "ignore_hold": True}
        assert driver.agent("ANAT").ask("RequestPull", tenant_id=101, **ids)["code"] == 46
        assert pulled(vicky.ask("RequestPull", tenant_id=101, **ids)) == [ident]


class TestReturning:
    @pytest.mark.parametrize("how", ["logout", "leave", "unregister"])
    def test_it_comes_back_to_the_workbin(self, driver, media, vicky, how):
        ident = submit(media, workbin=DRAFTS)
        vicky.ask("RequestPull", **PULL)
        driver.events()
        request = {
            "logout": "RequestAgentLogout",
            "leave": "RequestLeaveInteraction",
            "unregister": "RequestUnregisterClient",
        }
        vicky.ask(request[how], **({"interaction_id": ident} if how == "leave" else {}))
        events = driver.events()
        assert events.index("EventPartyRemoved") < events.index("EventPlacedInQueue")
        assert events[events.index("EventPlacedInQueue") + 1] == "EventPlacedInWorkbin"
        assert content(media) == [ident]

    def test_when_the_handling_takes_too_long(self, driver, media, vicky):
        ident = submit(media, workbin=DRAFTS, user_data={"handling-timeout": 1})
        vicky.ask("RequestPull", **PULL)
        driver.wait(61)
        assert content(media) == [ident]

    def test_a_standby_has_it_all(self, driver, media, vicky):
        kept, taken = submit(media, workbin=DRAFTS), submit(media, workbin={"type": "Notes", "agent_id": "VICKY"})
        vicky.ask("RequestPull", tenant_id=101, view_id="Notes/PrivateView")
        other = driver.reopened()
        monitor = other.client("top", "Monitor")
        assert content(monitor) == [kept]
        assert content(monitor, {"type": "Notes", "agent_id": "VICKY"}) == []
        other.wait(200)  # VICKY's session does not come back
        monitor = other.client("again", "Monitor")
        assert content(monitor, {"type": "Notes", "agent_id": "VICKY"}) == [taken]


class TestNotifications:
    def test_who_asked_is_told_of_what_comes_and_goes(self, media, vicky):
        vicky.ask("RequestWorkbinNotifications", tenant_id=101, workbin=DRAFTS)
        ident = submit(media, workbin=DRAFTS)
        vicky.ask("RequestPull", **PULL)
        notes = [note for note in vicky.notes if note["message"] == "EventWorkbinContentChanged"]
        assert [(note["operation"], note["interaction_id"], note.get("count", 0)) for note in notes] == [
            ("added", ident, 1),
            ("removed", ident, 0),
        ]
        assert notes[0]["interaction"]["workbin"] == DRAFTS

    @pytest.mark.parametrize("end", ["cancel", "unregister"])
    def test_nobody_is_told_after_the_end(self, driver, media, vicky, end):
        vicky.ask("RequestWorkbinNotifications", tenant_id=101, workbin=DRAFTS)
        if end == "cancel":
            vicky.ask("RequestWorkbinCancelNotifications", tenant_id=101, workbin=DRAFTS)
        else:
            vicky.ask("RequestUnregisterClient")
        vicky.told()
        submit(media, workbin=DRAFTS)
        assert vicky.told() == []
        assert not driver.core.memory.subscriptions.rows

    def test_stopping_and_changes_inside_count_right(self, media, vicky):
        vicky.ask("RequestWorkbinNotifications", tenant_id=101, workbin=DRAFTS)
        ident = submit(media, workbin=DRAFTS)
        vicky.notes.clear()
        media.ask("RequestChangeProperties", interaction_id=ident, changed_properties={"priority": 5})
        assert vicky.told() == []
        media.ask("RequestStopProcessing", interaction_id=ident)
        assert [note["operation"] for note in vicky.notes] == ["removed"]

    def test_anothers_workbin_is_refused(self, vicky):
        workbin = {"type": "Drafts", "agent_id": "ANAT"}
        assert vicky.ask("RequestWorkbinNotifications", tenant_id=101, workbin=workbin)["code"] == 40

    def test_the_session_is_told_after_a_take_over(self, driver, media):
        monitor = driver.client("top", "Monitor")
        session = monitor.ask("RequestRegisterClient", client_name="top", client_type="Monitor")["session_id"]
        monitor.ask("RequestWorkbinNotifications", tenant_id=101, workbin=DRAFTS)
        other = driver.reopened()
        again = other.client("top", "Monitor", session_id=session)
        submit(other.client("gateway", "MediaServer"), workbin=DRAFTS)
        assert again.told() == ["EventWorkbinContentChanged"]

    def test_a_session_that_does_not_come_back_is_forgotten(self, driver):
        driver.client("top", "Monitor").ask("RequestWorkbinNotifications", tenant_id=101, workbin=DRAFTS)
        other = driver.reopened()
        other.wait(200)
        assert not other.core.memory.subscriptions.rows


def test_nothing_is_put_into_a_workbin_whose_queue_is_disabled(make_driver):
    """Given workbins with a disabled queue behind them, when something is put into one, then it is refused by name."""

    def change(configuration):
        configuration.workbins["Dead"] = WorkbinType(owner="agent", queue="Off")

    driver = make_driver(change)
    server, agent = driver.client("mail", "MediaServer"), driver.agent("VICKY")
    ident = server.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")["interaction_id"]
    agent.ask("RequestPull", tenant_id=101, view_id="Inbound/all")

    dead = {"type": "Dead", "agent_id": "VICKY"}
    placed = agent.ask("RequestPlaceInWorkbin", interaction_id=ident, workbin=dead)
    submitted = server.ask("RequestSubmit", tenant_id=101, media_type="voice", workbin=dead)

    assert [(reply["code"], reply["field"]) for reply in (placed, submitted)] == [(17, "workbin")] * 2
    assert "the queue Off behind workbins of type Dead" in placed["detail"]
