"""Submit, place, change, stop, read: states, events, refusals."""

import pytest


@pytest.fixture
def media(driver):
    return driver.client("mail", "MediaServer")


@pytest.fixture
def ident(media, driver):
    reply = media.ask(
        "RequestSubmit", tenant_id=101, media_type="email", queue="Inbound", priority=2, user_data={"Subject": "Card"}
    )
    driver.events()
    return reply["interaction_id"]


def shown(media, ident):
    return media.ask("RequestGetInteractionProperties", interaction_id=ident)["interaction"]


def test_a_media_servers_submit_is_queued(driver, media):
    reply = media.ask("RequestSubmit", tenant_id=101, media_type="email", queue="Inbound", user_data={"a": 1})
    assert reply["extension"] == {"InteractionId": reply["interaction_id"]}
    interaction = shown(media, reply["interaction_id"])
    assert interaction["interaction_state"] == 0
    assert interaction["submitted_by"] == "mail"
    assert interaction["user_data"] == {"a": 1}
    assert driver.events()[-1] == "EventInteractionSubmitted"


def test_an_agents_submit_is_handled_by_the_agent(driver):
    vicky = driver.agent("VICKY")
    driver.events()
    ident = vicky.ask("RequestSubmit", tenant_id=101, media_type="email", queue="Inbound")["interaction_id"]
    assert driver.events() == ["EventInteractionSubmitted", "EventPartyAdded"]
    assert shown(vicky, ident)["interaction_state"] == 3


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"media_type": "email", "queue": "Inbound"}, 2, "tenant_id"),
        ({"tenant_id": 101, "queue": "Inbound"}, 2, "media_type"),
        ({"tenant_id": 101, "media_type": "email"}, 2, "queue"),
        ({"tenant_id": "x", "media_type": "email", "queue": "Inbound"}, 3, "tenant_id"),
        ({"tenant_id": 999, "media_type": "email", "queue": "Inbound"}, 10, "tenant_id"),
        ({"tenant_id": 101, "media_type": "smoke", "queue": "Inbound"}, 12, "media_type"),
        ({"tenant_id": 101, "media_type": "email", "queue": "Nowhere"}, 11, "queue"),
        ({"tenant_id": 101, "media_type": "email", "queue": "Shop"}, 11, "queue"),
        ({"tenant_id": 101, "media_type": "email", "queue": "Inbound", "user_data": [1]}, 3, "user_data"),
        ({"tenant_id": 101, "media_type": "email", "queue": "Inbound", "is_online": 2}, 3, "is_online"),
    ],
)
def test_a_bad_submit_names_the_field_and_changes_nothing(driver, media, fields, code, field):
    driver.events()
    reply = media.ask("RequestSubmit", **fields)
    assert (reply["message"], reply["code"], reply["field"]) == ("EventError", code, field)
    assert driver.events() == []
    assert not driver.core.memory.interactions


def test_a_node_accepts_a_disabled_media_type_from_a_media_server(media):
    assert media.ask("RequestSubmit", tenant_id=101, media_type="fax", queue="Inbound")["message"] == "EventAck"


def test_an_own_id_is_kept_and_a_second_one_refused(media):
    fields = {"tenant_id": 101, "media_type": "email", "queue": "Inbound", "interaction_id": "MY-1"}
    assert media.ask("RequestSubmit", **fields)["interaction_id"] == "MY-1"
    assert media.ask("RequestSubmit", **fields)["code"] == 44


def test_user_data_is_kept_byte_for_byte(driver, media):
    data = b'{"a" : 1.0,\n"\\u00e9":[ ]}'
    text = b'{"message":"RequestSubmit","tenant_id":101,"media_type":"email","queue":"Inbound","user_data":%s}' % data
    driver.core.receive(driver.now, media.source, b"r", text)
    driver.settle()
    ident = driver.late.pop(b"r")["interaction_id"]
    assert bytes(driver.core.memory.interactions[ident].user_data) == data


def test_place_in_queue_by_the_media_server_moves_it(driver, media, ident):
    assert media.ask("RequestPlaceInQueue", interaction_id=ident, queue="Done")["message"] == "EventAck"
    assert shown(media, ident)["queue"] == "Done"
    (event,) = driver.said
    assert (event["message"], event["old_queue"], event["interaction"]["queue"]) == (
        "EventPlacedInQueue",
        "Inbound",
        "Done",
    )


def test_an_agent_that_does_not_hold_it_may_not_touch_it(driver, media, ident):
    vicky = driver.agent("VICKY")
    for request in ("RequestStopProcessing", "RequestChangeProperties"):
        assert vicky.ask(request, interaction_id=ident)["code"] == 40
    assert vicky.ask("RequestPlaceInQueue", interaction_id=ident, queue="Done")["code"] == 40


def test_the_holder_places_and_is_removed(driver, media, ident):
    vicky = driver.agent("VICKY")
    vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    driver.events()
    vicky.ask("RequestPlaceInQueue", interaction_id=ident, queue="Done")
    assert driver.events() == ["EventPartyRemoved", "EventPlacedInQueue"]
    assert vicky.ask("RequestPlaceInQueue", interaction_id=ident, queue="Done")["code"] == 40


def test_an_old_token_is_refused(driver, media, ident):
    vicky = driver.agent("VICKY")
    first = vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")["interactions"][0]["token"]
    vicky.ask("RequestPlaceInQueue", interaction_id=ident, queue="Inbound")
    second = vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")["interactions"][0]["token"]
    assert vicky.ask("RequestStopProcessing", interaction_id=ident, token=first)["code"] == 48
    assert vicky.ask("RequestStopProcessing", interaction_id=ident, token=second)["message"] == "EventAck"


def test_stop_tells_the_agent_that_had_it(driver, media, ident):
    vicky = driver.agent("VICKY")
    vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    driver.events()
    media.ask("RequestStopProcessing", interaction_id=ident)
    assert driver.events() == ["EventPartyRemoved", "EventProcessingStopped"]
    assert vicky.told() == ["EventRevoked"]
    assert media.ask("RequestGetInteractionProperties", interaction_id=ident)["code"] == 43


def test_change_properties_merges_user_data_and_fixed_properties(driver, media, ident):
    media.ask(
        "RequestChangeProperties",
        interaction_id=ident,
        added_properties={"Tier": "gold"},
        changed_properties={"priority": 9},
        deleted_properties=["Subject"],
    )
    interaction = shown(media, ident)
    assert (interaction["priority"], interaction["user_data"]) == (9, {"Tier": "gold"})
    (event,) = driver.said
    assert event["message"] == "EventPropertiesChanged"
    assert event["body"]["changed_properties"] == {"priority": 9}


def test_a_changed_priority_moves_it_in_its_views(driver, media, ident):
    assert driver.core.memory.views.by_id["Inbound/urgent"].head() is None
    media.ask("RequestChangeProperties", interaction_id=ident, changed_properties={"priority": 7})
    assert driver.core.memory.views.by_id["Inbound/urgent"].head() == ident


@pytest.mark.parametrize(
    "change",
    [
        {"changed_properties": {"priority": "high"}},
        {"changed_properties": {"is_online": 5}},
        {"changed_properties": {"external_id": "x" * 256}},
        {"changed_properties": {"priority": True}},
        {"added_properties": {"in_queues": "Done"}},
        {"deleted_properties": ["priority"]},
    ],
)
def test_a_fixed_property_of_another_type_is_refused_and_nothing_is_changed(driver, media, ident, change):
    before = shown(media, ident)
    reply = media.ask("RequestChangeProperties", interaction_id=ident, **change)
    assert (reply["code"], reply["field"]) == (3, next(iter(change)))
    assert shown(media, ident) == before


def test_going_offline_is_abandonment(driver, media):
    ident = media.ask("RequestSubmit", tenant_id=101, media_type="chat", queue="Inbound", is_online=1)["interaction_id"]
    media.ask("RequestChangeProperties", interaction_id=ident, changed_properties={"is_online": 0})
    assert shown(media, ident)["abandoned_at"] == driver.now


def test_another_tenants_interaction_answers_like_an_absent_one(driver, ident):
    shop = driver.client("shop", "MediaServer", tenants=[102])
    foreign = shop.ask("RequestGetInteractionProperties", interaction_id=ident)
    absent = shop.ask("RequestGetInteractionProperties", interaction_id="X" * len(ident))
    assert foreign["code"] == absent["code"] == 43
    assert foreign["detail"].replace(ident, "") == absent["detail"].replace("X" * len(ident), "")


def test_find_by_condition_order_and_limit(driver, media):
    for priority in (1, 5, 3, 9):
        media.ask("RequestSubmit", tenant_id=101, media_type="email", queue="Inbound", priority=priority)
    reply = media.ask("RequestFindInteractions", condition="priority > 1", order="priority desc", count=2)
    assert [interaction["priority"] for interaction in reply["interactions"]] == [9, 5]
    assert reply["more"] is True


def test_a_long_search_is_done_in_slices_while_others_are_served(driver, media, monkeypatch):
    monkeypatch.setattr("node.finding.SLICE", 10)
    for number in range(35):
        media.ask("RequestSubmit", tenant_id=101, media_type="email", queue="Inbound", priority=number)
    assert (
        driver.ask(media.source, {"message": "RequestFindInteractions", "order": "priority desc", "count": 3}) is None
    )
    assert media.ask("RequestPing")["message"] == "EventPong"
    driver.wait(0.001)
    (reply,) = driver.late.values()
    assert [interaction["priority"] for interaction in reply["interactions"]] == [34, 33, 32]


def test_a_bad_condition_says_where(media):
    reply = media.ask("RequestFindInteractions", condition="priority >")
    assert (reply["code"], reply["field"]) == (62, "condition")
