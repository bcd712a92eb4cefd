"""Pulling from views and by ids, holding, watching."""

import pytest


@pytest.fixture
def media(driver):
    return driver.client("mail", "MediaServer")


@pytest.fixture
def router(driver):
    return driver.client("urs", "RoutingEngine")


def submit(media, **fields):
    reply = media.ask("RequestSubmit", **{"tenant_id": 101, "media_type": "email", "queue": "Inbound", **fields})
    return reply["interaction_id"]


def pulled(reply):
    return [interaction["interaction_id"] for interaction in reply["interactions"]]


def test_a_pull_takes_the_head_of_the_view_in_its_order(driver, media, router):
    low, high, older = submit(media, priority=1), submit(media, priority=7), submit(media, priority=7, received_at=5.0)
    reply = router.ask("RequestPull", tenant_id=101, view_id="Inbound/all", count=3)
    assert pulled(reply) == [older, high, low]


def test_a_pull_reports_taken_and_party_added(driver, media, router):
    submit(media)
    driver.events()
    (granted,) = router.ask("RequestPull", tenant_id=101, view_id="Inbound/all", strategy_id="S1")["interactions"]
    assert granted["interaction_state"] == 2
    taken, added = driver.said
    assert (taken["message"], added["message"]) == ("EventTakenFromQueue", "EventPartyAdded")
    assert taken["party"] == {"type": 1, "strategy_id": "S1", "router_id": "urs"}
    assert (taken["old_queue"], taken["old_state"]) == ("Inbound", 0)


def test_an_interaction_is_handed_out_once(driver, media, router):
    submit(media)
    vicky = driver.agent("VICKY")
    assert len(router.ask("RequestPull", tenant_id=101, view_id="Inbound/all")["interactions"]) == 1
    assert vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")["interactions"] == []


def test_a_view_shows_only_what_its_condition_lets_through(media, router):
    submit(media, priority=1)
    urgent = submit(media, priority=5)
    assert pulled(router.ask("RequestPull", tenant_id=101, view_id="Inbound/urgent", count=9)) == [urgent]


def test_below_stops_before_another_nodes_head(driver, media, router):
    first, second = submit(media, priority=9), submit(media, priority=2)
    head = driver.core.memory.views.by_id["Inbound/all"].order.head(driver.core.memory.interactions[second])
    reply = router.ask("RequestPull", tenant_id=101, view_id="Inbound/all", count=5, below=head)
    assert pulled(reply) == [first]


@pytest.mark.parametrize("below", [[], ["x", "y", "z"], [1, 2]])
def test_a_key_that_is_not_of_the_view_is_refused(router, below):
    reply = router.ask("RequestPull", tenant_id=101, view_id="Inbound/all", below=below)
    assert (reply["code"], reply["field"]) == (3, "below")


def test_an_agents_pull_of_an_empty_view_is_answered_at_once(driver):
    vicky = driver.agent("VICKY")
    reply = vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all", extension={"pull-for-strategy": 1})
    assert reply["interactions"] == []


HELD = {"message": "RequestPull", "tenant_id": 101, "view_id": "Inbound/all", "extension": {"pull-for-strategy": 1}}


def test_a_held_pull_gets_what_comes(driver, media, router):
    assert driver.ask(router.source, HELD) is None
    driver.wait(3)
    ident = submit(media)
    (reply,) = driver.late.values()
    assert pulled(reply) == [ident]


def test_a_held_pull_ends_empty_after_the_timeout(driver, router):
    assert driver.ask(router.source, HELD) is None
    driver.wait(9.9)
    assert not driver.late
    driver.wait(0.2)
    (reply,) = driver.late.values()
    assert reply["interactions"] == []


def test_held_pulls_are_served_in_their_order(driver, media, router):
    second = driver.client("urs2", "RoutingEngine")
    driver.ask(router.source, HELD)
    driver.ask(second.source, HELD)
    first_id, second_id = submit(media), submit(media)
    assert [pulled(reply) for reply in driver.late.values()] == [[first_id], [second_id]]


def test_the_held_pull_of_a_client_that_left_takes_nothing(driver, media, router):
    driver.ask(router.source, HELD)
    router.ask("RequestUnregisterClient")
    ident = submit(media)
    assert driver.core.memory.views.by_id["Inbound/all"].head() == ident


def test_the_held_pull_of_a_client_that_has_moved_takes_nothing(driver, media):
    # given a routing engine whose pull is held, and which comes back by another connection
    register = {"client_name": "urs", "client_type": "RoutingEngine"}
    session = driver.stranger("one").ask("RequestRegisterClient", **register)["session_id"]
    driver.ask((b"one", 0), HELD)
    driver.stranger("other").ask("RequestRegisterClient", **register, session_id=session)
    # when something comes
    ident = submit(media)
    # then it waits for the one that asks from there
    assert driver.core.memory.views.by_id["Inbound/all"].head() == ident


def test_held_pulls_are_bounded(make_driver):
    driver = make_driver(max_held_pulls=1)
    router = driver.client("urs", "RoutingEngine")
    driver.ask(router.source, HELD)
    assert driver.ask(router.source, HELD)["code"] == 91


def test_by_ids_takes_what_waits_and_says_what_does_not(media, router):
    ident = submit(media)
    reply = router.ask(
        "RequestPull", tenant_id=101, view_id="_system_", pull_parameters={"interaction_ids": [ident, "NO-SUCH-ID"]}
    )
    assert pulled(reply) == [ident]
    unknown = {"code": 43, "text": "Unknown interaction identifier", "detail": "n1 has no interaction NO-SUCH-ID"}
    assert reply["errors"] == {"NO-SUCH-ID": unknown}
    again = router.ask("RequestPull", tenant_id=101, view_id="_system_", pull_parameters={"interaction_ids": [ident]})
    assert again["code"] == 46


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"view_id": "Nowhere/all"}, 14),
        ({"view_id": "Shop/all"}, 14),
        ({"view_id": "_system_"}, 2),
        ({"view_id": "Inbound/all", "count": 0}, 3),
    ],
)
def test_a_bad_pull_is_refused(router, fields, code):
    assert router.ask("RequestPull", tenant_id=101, **fields)["code"] == code


def test_a_proxy_is_told_as_many_keys_as_it_asked_for(driver, media):
    # given three that wait
    one, two = driver.client("p1", "Proxy", session_id="p1.b"), driver.client("p2", "Proxy", session_id="p2.b")
    idents = [submit(media, priority=priority) for priority in (9, 7, 5)]
    # when proxies ask for one key, and for two
    (first, *none), line = (
        [told["head"], *told.get("next", [])]
        for told in (
            one.ask("RequestWatchView", view_id="Inbound/all"),
            two.ask("RequestWatchView", view_id="Inbound/all", keys=2),
        )
    )
    # then each has what it asked for, and is told anew when that has changed
    assert ([key[-1] for key in line], first, none) == (idents[:2], line[0], [])
    middle = submit(media, priority=8)
    assert (one.notes, [key[-1] for key in two.notes[0]["next"]]) == ([], [middle])


def test_a_view_with_segments_tells_its_head_only(driver, media):
    # given two that wait in one segment
    proxy = driver.client("p1", "Proxy", session_id="p1.b")
    ident = submit(media, queue="Fair", priority=2)
    submit(media, queue="Fair", priority=1)
    # when more keys are asked for
    told = proxy.ask("RequestWatchView", view_id="Fair/all", keys=8)
    # then the next one may be of another segment by then: only the head is told
    assert (told["head"][-1], told.get("next"), told["depth"]) == (ident, None, 2)


def test_a_proxy_is_told_of_a_new_head_once_a_batch(driver, media):
    proxy = driver.client("p1", "Proxy", session_id="p1.b")
    assert "head" not in proxy.ask("RequestWatchView", view_id="Inbound/all")
    ident = submit(media, priority=3)
    (note,) = proxy.notes
    assert (note["message"], note["head"][-1], note["depth"]) == ("EventViewHead", ident, 1)
    proxy.notes.clear()
    submit(media, priority=1)
    (note,) = proxy.notes  # that there is more behind it
    assert (note["head"][-1], note["depth"]) == (ident, 2)
    proxy.notes.clear()
    submit(media, priority=2)
    assert proxy.notes == []


def test_a_refused_pull_by_id_says_why(driver):
    """Given interactions that cannot be taken, when each is pulled by its id, then the refusal says what is with it."""
    server, router = driver.client("mail", "MediaServer"), driver.client("router", "RoutingEngine")
    agent, other = driver.agent("VICKY"), driver.agent("ANAT")

    def submit(**fields):
        return server.ask("RequestSubmit", tenant_id=101, media_type="voice", **fields)["interaction_id"]

    handled, held, locked = submit(queue="Inbound"), submit(queue="Done"), submit(queue="Done")
    kept = submit(workbin={"type": "Notes", "agent_id": "ANAT"})
    other.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    router.ask("RequestHold", interaction_id=held)
    router.ask("RequestTakeSnapshot", condition=f"interaction_id = '{locked}'", lock=1)

    def refused(ident):
        parameters = {"interaction_ids": [ident]}
        return agent.ask("RequestPull", tenant_id=101, view_id="_system_", pull_parameters=parameters)["detail"]

    assert refused(handled) == f"{handled} is not queued: its state is handling"
    assert refused(held) == f"{held} is on hold; a pull with ignore_hold takes it"
    assert refused(locked) == f"a session or a snapshot has locked {locked}"
    assert refused(kept) == f"{kept} is in a workbin that this client does not use"
    assert refused("nowhere") == "n1 has no interaction nowhere"
