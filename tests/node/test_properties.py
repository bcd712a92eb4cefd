"""The property model: which properties there are, who may set them, and when the server does (domain facts, 2)."""

from __future__ import annotations

from typing import Any

import pytest

from broker.config.objects import BusinessAttributes, CustomProperty

EMAIL = {"tenant_id": 101, "media_type": "email", "queue": "Inbound"}


@pytest.fixture
def media(driver):
    return driver.client("media-1", "MediaServer")


@pytest.fixture
def router(driver):
    return driver.client("urs-1", "RoutingEngine")


def submit(client, **fields: Any) -> str:
    return client.ask("RequestSubmit", **{**EMAIL, **fields})["interaction_id"]


def shown(client, ident: str) -> dict[str, Any]:
    return client.ask("RequestGetInteractionProperties", interaction_id=ident)["interaction"]


class TestSystemProperties:
    @pytest.mark.parametrize("name", ["queue", "Queue", "interaction_state", "SubmittedBy", "tenant_id", "MediaType"])
    @pytest.mark.parametrize("where", ["added_properties", "changed_properties", "deleted_properties"])
    def test_what_the_server_keeps_is_changed_by_nobody(self, driver, media, name, where):
        """Given an interaction, when a client names a property that is the server's own, then it is refused by name and
        nothing is changed."""
        ident = submit(media)
        before = shown(media, ident)
        change = [name] if where == "deleted_properties" else {name: "x"}
        reply = media.ask("RequestChangeProperties", interaction_id=ident, **{where: change})
        assert (reply["code"], reply["field"]) == (3, where)
        assert shown(media, ident) == before

    def test_both_spellings_mean_the_property_and_anything_else_is_user_data(self, media):
        """Given published and wire names, when both are changed, then both are properties; a near miss is user data."""
        ident = submit(media)
        changes = {"ExternalId": "chat-7", "priority": 4, "externalId": "mine", "Subject": "Hello"}
        media.ask("RequestChangeProperties", interaction_id=ident, changed_properties=changes)
        there = shown(media, ident)
        assert (there["external_id"], there["priority"]) == ("chat-7", 4)
        assert there["user_data"] == {"externalId": "mine", "Subject": "Hello"}

    def test_whether_the_customer_is_there_is_the_media_servers_word(self, driver, media):
        """Given a chat that an agent handles, when it sets it offline, then it is refused; not the media server."""
        ident = submit(media, media_type="chat", is_online=1)
        vicky = driver.agent("VICKY", chat=1)
        vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
        offline = {"interaction_id": ident, "changed_properties": {"IsOnline": 0}}
        assert vicky.ask("RequestChangeProperties", **offline)["code"] == 40
        assert media.ask("RequestChangeProperties", **offline)["message"] == "EventAck"

    def test_abandoned_at_is_there_only_while_it_is_offline(self, driver, media):
        """Given a customer that comes back, when it is online again, then the interaction is abandoned no more."""
        ident = submit(media, media_type="chat", is_online=1)
        for online, abandoned in ((0, True), (1, False), (0, True)):
            driver.wait(1)
            media.ask("RequestChangeProperties", interaction_id=ident, changed_properties={"is_online": online})
            assert shown(media, ident).get("abandoned_at") == (driver.now if abandoned else None)


class TestTimes:
    def test_moved_is_of_the_first_entry_and_placed_of_the_last(self, driver, media, router):
        """Given an interaction that is taken and comes back, then placed elsewhere, when it is looked at, then
        ``moved_to_queue_at`` has changed only with the queue."""
        ident = submit(media)
        first = driver.now
        driver.wait(5)
        router.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
        router.ask("RequestPlaceInQueue", interaction_id=ident, queue="Inbound")
        there = shown(media, ident)
        assert (there["moved_to_queue_at"], there["placed_in_queue_at"]) == (first, driver.now)
        driver.wait(5)
        media.ask("RequestPlaceInQueue", interaction_id=ident, queue="Done")
        there = shown(media, ident)
        assert (there["moved_to_queue_at"], there["placed_in_queue_at"]) == (driver.now, driver.now)

    def test_what_an_agent_submits_is_placed_when_it_is_placed(self, driver, media):
        """Given an agent's own submit, when it is placed later, then that is its first placement."""
        vicky = driver.agent("VICKY", email=1)
        ident = submit(vicky)
        there = shown(media, ident)
        assert not {"placed_in_queue_at", "moved_to_queue_at", "delivered_at"} & there.keys()
        driver.wait(5)
        vicky.ask("RequestPlaceInQueue", interaction_id=ident, queue="Inbound")
        there = shown(media, ident)
        assert there["placed_in_queue_at"] == there["moved_to_queue_at"] == driver.now
        assert there["place_in_queue_seq"] == 1

    def test_delivered_is_when_an_agent_first_had_or_was_offered_it(self, driver, media, router):
        """Given an agent that pulls and gives back, when a strategy has had it too, then the first time counts."""
        ident = submit(media)
        router.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
        router.ask("RequestPlaceInQueue", interaction_id=ident, queue="Inbound")
        assert "delivered_at" not in shown(media, ident)
        vicky = driver.agent("VICKY", email=1)
        driver.wait(3)
        vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
        first = shown(media, ident)["delivered_at"]
        assert first == driver.now
        vicky.ask("RequestPlaceInQueue", interaction_id=ident, queue="Inbound")
        driver.wait(3)
        vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
        there = shown(media, ident)
        assert there["delivered_at"] == first
        assert there["assigned_to"] == "VICKY" and there["assigned_at"] >= driver.now

    def test_completed_is_of_the_first_completed_queue_and_ends_with_the_others(self, driver, media):
        """Given queues that are completed, when it goes through them and back to work, then the first time counts, and
        an interaction that is worked on again is not completed."""
        ident = submit(media)
        assert "completed_at" not in shown(media, ident)
        media.ask("RequestPlaceInQueue", interaction_id=ident, queue="Closed")
        done = driver.now
        driver.wait(5)
        for queue in ("Archive", "Archive", "Closed"):
            media.ask("RequestPlaceInQueue", interaction_id=ident, queue=queue)
            assert shown(media, ident)["completed_at"] == done
        media.ask("RequestPlaceInQueue", interaction_id=ident, queue="Inbound")
        assert "completed_at" not in shown(media, ident)
        assert shown(media, submit(media, queue="Closed"))["completed_at"] == driver.now

    def test_it_stays_completed_while_an_agent_looks_at_it(self, driver, media):
        """Given a completed one that an agent pulls, when it comes back by a return path, then the first time stays."""
        ident = submit(media, queue="Closed")
        done = driver.now
        vicky = driver.agent("VICKY", email=1)
        vicky.ask("RequestPull", tenant_id=101, view_id="Closed/all")
        driver.wait(5)
        vicky.ask("RequestAgentLogout")
        there = shown(media, ident)
        assert (there["queue"], there["completed_at"]) == ("Closed", done)


class TestBusinessAttributes:
    @pytest.fixture(autouse=True)
    def attributes(self, driver):
        driver.configuration.tenants[101].business_attributes = BusinessAttributes(
            interaction_type=["Inbound", "Outbound"], interaction_subtype=["InboundNew", "OutboundReply"]
        )

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"interaction_type": "Sideways"}, "interaction_type"),
            ({"interaction_subtype": "New"}, "interaction_subtype"),
        ],
    )
    def test_a_submit_of_another_value_is_refused_by_name(self, driver, media, fields, field):
        reply = media.ask("RequestSubmit", **EMAIL, **fields)
        assert (reply["code"], reply["field"]) == (3, field)
        assert "business attribute Interaction" in reply["detail"] and "tenant 101" in reply["detail"]
        assert reply["detail"].startswith(f'{field}: expected "Inbound') and reply["detail"].endswith(
            f'"{fields[field]}"'
        )
        assert not driver.core.memory.interactions

    def test_a_change_to_another_value_is_refused(self, media):
        ident = submit(media, interaction_subtype="InboundNew")
        for changes in ({"InteractionSubtype": "New"}, {"interaction_type": "Internal"}):
            reply = media.ask("RequestChangeProperties", interaction_id=ident, changed_properties=changes)
            assert (reply["code"], reply["field"]) == (3, "changed_properties")
        good = {"InteractionType": "Outbound", "InteractionSubtype": "OutboundReply"}
        media.ask("RequestChangeProperties", interaction_id=ident, changed_properties=good)
        assert shown(media, ident)["interaction_subtype"] == "OutboundReply"

    def test_another_tenant_has_its_own(self, driver, media):
        reply = media.ask(
            "RequestSubmit", tenant_id=102, media_type="email", queue="Shop", interaction_subtype="Anything"
        )
        assert reply["message"] == "EventAck"


class TestChildren:
    @pytest.fixture
    def parent(self, media):
        return submit(media, out_queues=["Done", "Kept"], in_queues=["Fair"])

    def test_a_child_is_submitted_only_where_its_parent_lets_it(self, driver, media, parent):
        """Given a parent with out queues, when a child is submitted, then it may go there and nowhere else."""
        reply = media.ask("RequestSubmit", **EMAIL, parent_id=parent)
        assert (reply["code"], reply["field"]) == (3, "queue")
        assert "Done, Kept" in reply["detail"]
        assert shown(media, submit(media, queue="Done", parent_id=parent))["parent_id"] == parent

    def test_a_reply_goes_there_first_and_then_wherever_the_process_wants(self, driver, media, parent):
        """Given an agent's reply, when it is placed first, then the out queues hold; later they do not."""
        vicky = driver.agent("VICKY", email=1)
        child = submit(vicky, queue="Done", parent_id=parent, interaction_type="Outbound")
        reply = vicky.ask("RequestPlaceInQueue", interaction_id=child, queue="Inbound")
        assert (reply["code"], reply["field"]) == (3, "queue")
        assert vicky.ask("RequestPlaceInQueue", interaction_id=child, queue="Kept")["message"] == "EventAck"
        assert media.ask("RequestPlaceInQueue", interaction_id=child, queue="Inbound")["message"] == "EventAck"

    def test_a_workbin_counts_as_the_queue_behind_it(self, driver, media, parent):
        vicky = driver.agent("VICKY", email=1)
        media.ask("RequestChangeProperties", interaction_id=parent, changed_properties={"out_queues": ["Done"]})
        child = submit(vicky, queue="Done", parent_id=parent)
        kept = vicky.ask("RequestPlaceInWorkbin", interaction_id=child, workbin={"type": "Drafts"})
        assert (kept["code"], kept["field"]) == (3, "queue")
        assert (
            vicky.ask("RequestPlaceInWorkbin", interaction_id=child, workbin={"type": "Notes"})["message"] == "EventAck"
        )

    def test_without_out_queues_or_without_the_parent_it_goes_anywhere(self, media):
        free = submit(media)
        assert submit(media, parent_id=free)
        assert submit(media, parent_id="GONE")

    def test_an_agent_sees_the_suggested_queues_when_it_is_invited(self, driver, media, router, parent):
        """Given a strategy that suggests queues, when it delivers, then the invitation has them, and the strategy's own
        extension."""
        vicky = driver.agent("VICKY", email=1)
        router.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
        router.ask(
            "RequestDeliver", interaction_id=parent, agent_id="VICKY", out_queues=["Kept"], extension={"skill": "en"}
        )
        (invite,) = vicky.notes
        assert (invite["interaction"]["in_queues"], invite["interaction"]["out_queues"]) == (["Fair"], ["Kept"])
        assert (invite["operation"], invite["extension"]) == (
            "Route",
            {"skill": "en"},
        )


class TestFollowing:
    """A media server may ask to be told of changes that others make to what it has submitted."""

    @pytest.fixture
    def follower(self, driver):
        return driver.client("media-1", "MediaServer", extension={"event_properties_changed": 1})

    def test_it_is_told_of_others_changes_and_of_no_own_ones(self, driver, follower):
        ident = submit(follower)
        follower.ask("RequestChangeProperties", interaction_id=ident, changed_properties={"a": 1})
        assert follower.told() == []
        vicky = driver.agent("VICKY", email=1)
        vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
        vicky.ask("RequestChangeProperties", interaction_id=ident, changed_properties={"a": 2})
        (note,) = follower.notes
        assert (note["message"], note["interaction"]["user_data"]) == ("EventPropertiesChanged", {"a": 2})
        follower.told()
        vicky.ask("RequestPlaceInQueue", interaction_id=ident, queue="Done", changed_properties={"a": 3})
        assert follower.told() == ["EventPropertiesChanged"]

    def test_what_another_has_submitted_is_not_its_affair(self, driver, follower):
        other = driver.client("media-2", "MediaServer")
        other.ask("RequestChangeProperties", interaction_id=submit(other), changed_properties={"a": 2})
        assert follower.told() == []

    @pytest.mark.parametrize(
        "extension", [{}, {"event_properties_changed": 0}, {"event_properties_changed": "0"}, [1], 5]
    )
    def test_who_did_not_ask_is_not_told(self, driver, extension):
        media = driver.client("media-1", "MediaServer", extension=extension)
        ident = submit(media)
        vicky = driver.agent("VICKY", email=1)
        vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
        vicky.ask("RequestChangeProperties", interaction_id=ident, changed_properties={"a": 2})
        assert media.told() == []

    def test_it_ends_with_the_session(self, driver, follower):
        ident = submit(follower)
        follower.ask("RequestUnregisterClient")
        assert not driver.core.sessions.followers
        other = driver.client("media-9", "MediaServer")
        other.ask("RequestChangeProperties", interaction_id=ident, changed_properties={"a": 2})
        assert follower.told() == []


def test_a_custom_property_is_meant_by_its_key_and_by_its_column(make_driver):
    """Given a key that is mapped to a column, when either is in a condition or order, then both mean it."""
    driver = make_driver()
    driver.configuration.custom_properties["CustomerId"] = CustomProperty(column="customer_id")
    media = driver.client("media-1", "MediaServer")
    first = submit(media, user_data={"CustomerId": "B"})
    second = submit(media, user_data={"CustomerId": "A"})
    for name in ("CustomerId", "customer_id", "[customer_id]"):
        found = media.ask("RequestFindInteractions", condition=f"{name} = 'B'", order=f"{name}")
        assert [one["interaction_id"] for one in found["interactions"]] == [first]
    found = media.ask("RequestFindInteractions", condition="", order="customer_id")
    assert [one["interaction_id"] for one in found["interactions"]] == [second, first]
    assert media.ask("RequestFindInteractions", condition="CUSTOMER_ID = 'B'")["code"] == 62


def test_the_focus_of_the_agent_is_reported(driver):
    """Given an agent that says what it has before it, when it pulls or accepts, then its party in events shows it."""
    media, router = driver.client("media-1", "MediaServer"), driver.client("urs-1", "RoutingEngine")
    vicky = driver.agent("VICKY", email=1)
    pulled, delivered = submit(media), submit(media)
    vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all", initial_in_focus_state=1)
    router.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    router.ask("RequestDeliver", interaction_id=delivered, agent_id="VICKY")
    ticket = vicky.notes[-1]["ticket_id"]
    vicky.ask("RequestAccept", interaction_id=delivered, ticket_id=ticket, in_focus=0)
    added = [event for event in driver.said if event["message"] == "EventPartyAdded" and event["party"]["type"] == 2]
    shown_as = {event["interaction"]["interaction_id"]: event["party"]["in_focus"] for event in added}
    assert shown_as == {pulled: 1, delivered: 0}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("priority", 1.5, "a whole number"),
        ("scheduled_at", "tomorrow", "seconds since 1970"),
        ("scheduled_at", -5, "seconds since 1970"),
        ("scheduled_at", 1e300, "seconds since 1970"),
        ("scheduled_at", None, "deleted_properties clears it"),
        ("in_queues", "Done", "an array of strings"),
        ("out_queues", [7], "an array of strings"),
        ("parent_id", "x" * 65, "1 to 64 characters"),
        ("is_online", 2, "0 or 1"),
    ],
)
def test_a_wrong_value_is_refused_in_words(driver, name, value, words):
    """Given an interaction, when a property gets what it cannot be, then the refusal says in words what it may be."""
    server = driver.client("mail", "MediaServer")
    ident = server.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")["interaction_id"]

    refused = server.ask("RequestChangeProperties", interaction_id=ident, changed_properties={name: value})

    assert (refused["code"], refused["field"]) == (3, "changed_properties")
    assert words in refused["detail"] and refused["detail"].startswith(f"{name}: expected ")
    assert not {"int", "str", "list", "float"} & set(refused["detail"].split())


def test_no_time_is_so_far_away_that_it_cannot_be_shown(driver):
    """Given a media server, when it submits for a time beyond all calendars, then the field is named."""
    server = driver.client("mail", "MediaServer")

    refused = server.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound", scheduled_at=1e300)

    assert (refused["code"], refused["field"], refused["request"]) == (3, "scheduled_at", "RequestSubmit")
