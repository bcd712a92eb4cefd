"""Subscribing to events, and reporting on one agent or place, at a node."""

from __future__ import annotations

import pytest

from broker.messages.topics import MAX_TOPICS


@pytest.fixture
def media(driver):
    return driver.client("gateway", "MediaServer")


def submit(media, queue="Inbound"):
    return media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue=queue)["interaction_id"]


def topic(**what):
    return {"tenant_id": 101, **what}


class TestSubscribe:
    """Given a client with topics, when events are said, then it is told of those that match, as they are, once."""

    def test_a_queue(self, driver, media):
        watcher = driver.client("watcher", "AgentApplication")
        assert watcher.ask("RequestSubscribe", topics=[topic(queue="Inbound")])["message"] == "EventAck"
        driver.events()
        ident = submit(media)
        submit(media, "Done")
        media.ask("RequestPlaceInQueue", interaction_id=ident, queue="Done")
        said = list(driver.said)

        assert [note["message"] for note in watcher.notes] == ["EventInteractionSubmitted", "EventPlacedInQueue"]
        assert watcher.notes == [event for event in said if event["interaction"]["interaction_id"] == ident]

    def test_an_agent_whether_about_it_or_by_it(self, driver, media):
        watcher = driver.client("watcher", "MediaServer")
        watcher.ask("RequestSubscribe", topics=[topic(agent_id="VICKY")])
        vicky = driver.agent("VICKY")
        driver.agent("ANAT")
        ident = submit(media)
        vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
        vicky.ask("RequestStopProcessing", interaction_id=ident)

        assert watcher.told() == [
            "EventAgentLogin",
            "EventTakenFromQueue",
            "EventPartyAdded",
            "EventPartyRemoved",
            "EventProcessingStopped",
        ]

    def test_several_topics_of_one_event_and_several_clients(self, driver, media):
        one, two = driver.client("one", "Monitor"), driver.client("two", "Monitor")
        one.ask("RequestSubscribe", topics=[topic(), topic(queue="Inbound")])
        one.ask("RequestSubscribe", topics=[topic(queue="Inbound")])
        two.ask("RequestSubscribe", topics=[topic()])
        submit(media)

        assert one.told() == two.told() == ["EventInteractionSubmitted"]

    def test_another_tenant_is_not_heard(self, driver):
        watcher, shop = driver.client("watcher", "Monitor", tenants=[101]), driver.client("shop", "MediaServer")
        watcher.ask("RequestSubscribe", topics=[topic()])
        shop.ask("RequestSubmit", tenant_id=102, media_type="voice", queue="Shop")

        assert watcher.notes == []
        assert watcher.ask("RequestSubscribe", topics=[topic(), {"tenant_id": 102}])["code"] == 10

    @pytest.mark.parametrize(
        ("topics", "code"),
        [
            ([topic(queue="Nowhere")], 11),
            ([topic(queue="Shop")], 11),
            ([topic(queue="Inbound", agent_id="VICKY")], 3),
            ([], 3),
            ([{}], 2),
        ],
    )
    def test_refused_as_a_whole(self, driver, media, topics, code):
        watcher = driver.client("watcher", "Monitor")
        assert watcher.ask("RequestSubscribe", topics=[topic(), *topics] if topics else topics)["code"] == code
        submit(media)

        assert watcher.notes == []

    def test_too_many(self, driver):
        watcher = driver.client("watcher", "Monitor")
        topics = [topic(agent_id=f"A{number}") for number in range(MAX_TOPICS)]
        assert watcher.ask("RequestSubscribe", topics=topics)["message"] == "EventAck"
        assert watcher.ask("RequestSubscribe", topics=topics)["message"] == "EventAck"
        assert watcher.ask("RequestSubscribe", topics=[topic()])["code"] == 91

    def test_unsubscribe_one_and_all(self, driver, media):
        watcher = driver.client("watcher", "Monitor")
        watcher.ask("RequestSubscribe", topics=[topic(queue="Inbound"), topic(queue="Done"), topic(queue="Kept")])
        watcher.ask("RequestUnsubscribe", topics=[topic(queue="Inbound"), topic(agent_id="never")])
        submit(media)
        assert watcher.notes == []
        submit(media, "Done")
        assert len(watcher.told()) == 1
        watcher.ask("RequestUnsubscribe")
        submit(media, "Done")
        assert watcher.notes == []

    def test_the_end_of_the_session_is_the_end(self, driver):
        watcher = driver.client("watcher", "Monitor")
        watcher.ask("RequestSubscribe", topics=[topic()])
        watcher.ask("RequestUnregisterClient")

        assert len(driver.core.memory.topics) == 0

    def test_a_session_that_is_back_after_a_failover_goes_on(self, driver):
        watcher = driver.stranger("watcher")
        register = {"client_name": "watcher", "client_type": "Monitor"}
        session_id = watcher.ask("RequestRegisterClient", **register)["session_id"]
        watcher.ask("RequestSubscribe", topics=[topic()])
        new = driver.reopened()
        watcher = new.stranger("watcher")
        watcher.ask("RequestRegisterClient", **register, session_id=session_id)
        submit(new.client("gateway", "MediaServer"))

        assert watcher.told() == ["EventInteractionSubmitted"]

    def test_a_session_that_does_not_come_back_is_forgotten(self, driver):
        driver.client("watcher", "Monitor").ask("RequestSubscribe", topics=[topic()])
        new = driver.reopened()
        new.wait(100.0)

        assert len(new.core.memory.topics) == 0


class TestOneAgentOrPlace:
    """Given a reporting client, when it starts on one agent or place, then it has the state and hears what follows."""

    def test_state_then_events(self, driver):
        vicky, reporter = driver.agent("VICKY"), driver.client("stat", "ReportingEngine")
        driver.agent("ANAT")
        driver.events()
        state = reporter.ask("RequestStartPlaceAgentStateReporting", tenant_id=101, agent_id="VICKY")
        assert [agent["agent_id"] for agent in state["agents"]] == ["VICKY"] and state["queues"] == {}
        vicky.ask("RequestNotReadyForMedia", media_type="voice")
        (note,) = reporter.notes

        assert note == driver.said[-1]
        assert int(state["cursor"][:16]) < round(note["time"] * 1e6)

    def test_a_place_where_nobody_is_yet(self, driver):
        reporter, desk = driver.client("stat", "ReportingEngine"), driver.client("desk", "AgentApplication")
        state = reporter.ask("RequestStartPlaceAgentStateReporting", tenant_id=101, place_id="P1")
        assert state["agents"] == []
        desk.ask("RequestAgentLogin", tenant_id=101, agent_id="VICKY", place_id="P1", media_list={"voice": 1})

        assert reporter.told() == ["EventAgentLogin"]

    @pytest.mark.parametrize("how", ["one", "all"])
    def test_stop(self, driver, how):
        vicky, reporter = driver.agent("VICKY"), driver.client("stat", "ReportingEngine")
        fields = {"tenant_id": 101, "agent_id": "VICKY"}
        reporter.ask("RequestStartPlaceAgentStateReporting", **fields)
        reporter.ask("RequestSubscribe", topics=[topic(queue="Inbound")])
        if how == "one":
            reporter.ask("RequestStopPlaceAgentStateReporting", **fields)
        else:
            reporter.ask("RequestStopPlaceAgentStateReportingAll")
        vicky.ask("RequestNotReadyForMedia", media_type="voice")
        assert reporter.notes == []
        submit(driver.client("gateway", "MediaServer"))
        assert reporter.told() == ["EventInteractionSubmitted"]

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"tenant_id": 101}, 2),
            ({"tenant_id": 101, "agent_id": "a", "place_id": "p"}, 3),
            ({"tenant_id": 9, "agent_id": "a"}, 10),
        ],
    )
    def test_refused(self, driver, fields, code):
        reporter = driver.client("stat", "ReportingEngine")
        assert reporter.ask("RequestStartPlaceAgentStateReporting", **fields)["code"] == code
        assert reporter.ask("RequestStopPlaceAgentStateReporting", **fields)["code"] == code


def test_what_is_wrong_ends_nothing(driver, media):
    # given a client with a topic
    watcher = driver.client("watcher", "Monitor")
    watcher.ask("RequestSubscribe", topics=[topic(queue="Inbound")])
    # when it unsubscribes from that and from what is no topic
    reply = watcher.ask("RequestUnsubscribe", topics=[topic(queue="Inbound"), topic(queue="Done", agent_id="VICKY")])
    # then it is refused, and told on
    assert reply["code"] == 3
    submit(media)
    assert watcher.told() == ["EventInteractionSubmitted"]
