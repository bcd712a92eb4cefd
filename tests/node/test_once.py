"""What runs once: dedup_id, a link's numbers, and both across a failover; and what a new active member knows."""

import json

from msgspec.structs import replace

from broker.wire import RESENT, PackedRequest, PackedRequests

SUBMIT = {"message": "RequestSubmit", "tenant_id": 101, "media_type": "email", "queue": "Inbound"}


def test_a_repeated_dedup_id_gets_the_same_reply_and_does_nothing(driver):
    media = driver.client("mail", "MediaServer")
    first = driver.ask(media.source, {**SUBMIT, "dedup_id": "d1"})
    again = driver.ask(media.source, {**SUBMIT, "dedup_id": "d1"})
    assert first == again
    assert len(driver.core.memory.interactions) == 1


def test_a_dedup_id_belongs_to_its_client_name(driver):
    one, other = driver.client("one", "MediaServer"), driver.client("other", "MediaServer")
    driver.ask(one.source, {**SUBMIT, "dedup_id": "d1"})
    driver.ask(other.source, {**SUBMIT, "dedup_id": "d1"})
    assert len(driver.core.memory.interactions) == 2


def test_after_the_window_it_is_refused_and_still_not_executed(driver):
    media = driver.client("mail", "MediaServer")
    driver.ask(media.source, {**SUBMIT, "dedup_id": "d1"})
    for _ in range(6):
        driver.wait(60)
        media.ask("RequestPing")
    assert driver.ask(media.source, {**SUBMIT, "dedup_id": "d1"})["code"] == 5
    assert len(driver.core.memory.interactions) == 1


def test_after_the_window_it_is_refused_across_a_failover_too(driver):
    media = driver.client("mail", "MediaServer")
    driver.ask(media.source, {**SUBMIT, "dedup_id": "d1"})
    driver.wait(400)
    after = driver.reopened()
    after.wait(1)
    media = after.client("mail", "MediaServer")
    assert after.ask(media.source, {**SUBMIT, "dedup_id": "d1"})["code"] == 5
    after.wait(3000)
    assert not after.core.memory.answers.rows


def test_the_window_begins_with_the_reply_however_quiet_it_was_before(driver):
    engine = driver.client("urs", "RoutingEngine")
    load = {"message": "RequestLoadStrategy", "tenant_id": 101, "strategy_id": "S", "view_ids": ["Inbound/all"]}
    driver.ask(engine.source, load)
    for _ in range(6):
        driver.wait(60)
        engine.ask("RequestPing")
    driver.ask(engine.source, {**load, "dedup_id": "d1"})
    after = driver.reopened()
    after.wait(60)
    engine = after.client("urs", "RoutingEngine")
    assert after.ask(engine.source, {**load, "dedup_id": "d1"})["message"] == "EventAck"


def test_what_waits_and_is_asked_again_is_answered_there(driver):
    anat, vicky = driver.agent("ANAT"), driver.agent("VICKY")
    fields = {"tenant_id": 101, "media_type": "voice", "queue": "Inbound"}
    ident = anat.ask("RequestSubmit", **fields)["interaction_id"]
    transfer = {"message": "RequestTransfer", "interaction_id": ident, "agent_id": "VICKY", "dedup_id": "d1"}
    assert driver.ask(anat.source, transfer) is None
    assert driver.ask(anat.source, transfer) is None
    assert driver.late.pop(b"%d" % (driver._refs - 1))["code"] == 2004
    (ticket,) = {note["ticket_id"] for note in vicky.notes if note["message"] == "EventInvite"}
    vicky.ask("RequestAccept", interaction_id=ident, ticket_id=ticket)
    assert driver.late.pop(b"%d" % (driver._refs - 1))["message"] == "EventAck"
    assert not driver.late


def test_a_refusal_is_not_kept(driver):
    media = driver.client("mail", "MediaServer")
    assert driver.ask(media.source, {**SUBMIT, "queue": "Nowhere", "dedup_id": "d1"})["code"] == 11
    assert driver.ask(media.source, {**SUBMIT, "dedup_id": "d1"})["message"] == "EventAck"


def test_a_dedup_id_holds_across_a_failover(driver):
    media = driver.client("mail", "MediaServer")
    first = driver.ask(media.source, {**SUBMIT, "dedup_id": "d1"})
    after = driver.reopened()
    media = after.client("mail", "MediaServer")
    assert after.ask(media.source, {**SUBMIT, "dedup_id": "d1"}) == first
    assert len(after.core.memory.interactions) == 1


def link(driver, *requests, settled=0):
    packed = [
        PackedRequest(number, client, flags, json.dumps(message).encode())
        for number, client, flags, message in requests
    ]
    driver.core.receive_link(driver.now, b"proxy", PackedRequests(settled, packed))
    driver.settle()
    return {ref: driver.late.pop(ref) for ref in list(driver.late)}


HELLO = {"message": "RequestRegisterClient", "client_name": "p1", "client_type": "Proxy", "session_id": "p1.b"}
CLIENT = {
    "message": "RequestRegisterClient",
    "client_name": "mail",
    "client_type": "MediaServer",
    "session_id": "p1.b.7",
}


def introduce(driver):
    link(driver, (1, 0, 0, HELLO), (2, 7, 0, CLIENT))


def test_a_links_number_runs_once_until_it_is_settled(driver):
    introduce(driver)
    first = link(driver, (3, 7, 0, SUBMIT))[3]
    assert link(driver, (3, 7, RESENT, SUBMIT))[3] == first
    assert len(driver.core.memory.interactions) == 1
    link(driver, settled=4)
    assert not driver.core.memory.answers.rows


def test_a_links_number_runs_once_across_a_failover(driver):
    introduce(driver)
    first = link(driver, (3, 7, 0, SUBMIT))[3]
    after = driver.reopened()
    introduce(after)
    assert link(after, (3, 7, RESENT, SUBMIT))[3] == first
    assert len(after.core.memory.interactions) == 1


def test_a_links_number_that_comes_twice_runs_once_although_nobody_says_so(driver):
    # given a request that was executed
    introduce(driver)
    first = link(driver, (3, 7, 0, SUBMIT))[3]
    # when it comes again as it was, doubled on the way
    again = link(driver, (3, 7, 0, SUBMIT))[3]
    # then it gets the same reply, and nothing is done
    assert again == first
    assert len(driver.core.memory.interactions) == 1


def test_what_comes_after_it_was_settled_is_not_looked_at(driver):
    # given a request whose reply the proxy has
    introduce(driver)
    link(driver, (3, 7, 0, SUBMIT))
    link(driver, settled=4)
    # when it comes again, also after the proxy has come back by another connection
    assert link(driver, (3, 7, RESENT, SUBMIT)) == {}
    hello = PackedRequest(5, 0, 0, json.dumps(HELLO).encode())
    driver.core.receive_link(driver.now, b"anew", PackedRequests(5, [hello]))
    again = PackedRequest(3, 7, RESENT, json.dumps(SUBMIT).encode())
    driver.core.receive_link(driver.now, b"anew", PackedRequests(0, [again]))
    driver.settle()
    # then nothing is done
    assert driver.late.keys() == {5}
    assert len(driver.core.memory.interactions) == 1


def test_by_a_connection_without_a_hello_no_client_is_served(driver):
    # given a proxy whose connection was made anew
    introduce(driver)
    packed = [PackedRequest(4, 7, 0, json.dumps(message).encode()) for message in (CLIENT, SUBMIT)]
    # when it goes on with a client's requests, introduction and all, before it has said hello
    driver.core.receive_link(driver.now, b"anew", PackedRequests(4, packed))
    batch = driver.core.take(driver.now)
    # then the proxy itself is told that it is not known, and nothing is done in a session that is not the client's
    assert [(source, code) for source, _, _, code in batch.replies] == [((b"anew", 0), 1)] * 2
    assert not driver.core.memory.interactions


def test_the_end_of_a_link_ends_its_clients(driver):
    introduce(driver)
    driver.core.lost(driver.now, b"proxy")
    assert not driver.core.sessions.by_id


def test_a_new_active_member_has_everything_and_goes_on(driver):
    media, router, vicky = driver.client("m", "MediaServer"), driver.client("r", "RoutingEngine"), driver.agent("VICKY")
    waiting, routed, handled, invited = (
        media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound", user_data={"n": n})[
            "interaction_id"
        ]
        for n in range(4)
    )
    for ident in (routed, handled, invited):
        router.ask("RequestPull", tenant_id=101, view_id="_system_", pull_parameters={"interaction_ids": [ident]})
    for ident in (handled, invited):
        router.ask("RequestDeliver", interaction_id=ident, agent_id="VICKY")
    ticket = vicky.notes[0]["ticket_id"]
    vicky.ask("RequestAccept", interaction_id=handled, ticket_id=ticket)
    last_seq = driver.said[-1]["seq"]

    before = dump(driver.core.memory)
    after = driver.reopened()
    assert dump(after.core.memory) == {**before, "counters": replace(before["counters"], next_seq=last_seq + 2)}
    assert after.said[0]["message"] == "EventNodeActive"
    assert after.said[0]["seq"] == last_seq + 1
    after.events()
    after.wait(31)
    assert after.events() == ["EventRevoked", "EventPlacedInQueue"]


def test_sessions_that_do_not_come_back_give_back_what_they_held(driver):
    media = driver.client("m", "MediaServer")
    media.ask(**SUBMIT)
    vicky = driver.agent("VICKY")
    vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    session = next(iter(driver.core.memory.agents.rows.values())).sessions[0]

    after = driver.reopened()
    back = after.stranger("VICKY")
    back.ask("RequestRegisterClient", client_name="VICKY", client_type="AgentApplication", session_id=session)
    after.events()
    after.wait(85)
    back.ask("RequestPing")
    after.wait(10)
    assert after.events() == []

    other = driver.reopened()
    other.events()
    other.wait(91)
    assert other.events() == ["EventPartyRemoved", "EventPlacedInQueue", "EventNotReadyForMedia"]


def dump(memory):
    """Everything durable, comparable."""
    return {
        "interactions": memory.interactions,
        "tables": {name: table.rows for name, table in memory.tables.items()},
        "counters": memory.counters,
        "views": {name: list(view.keys) for name, view in memory.views.by_id.items()},
        "counts": {queue: counts for queue, counts in memory.queue_counts.items() if any(counts)},
    }


def test_at_the_journals_bound_new_work_is_refused_and_reading_goes_on(driver):
    media = driver.client("mail", "MediaServer")
    ident = media.ask(**SUBMIT)["interaction_id"]
    driver.core.journal_full = True
    refused = media.ask(**SUBMIT)
    assert (refused["code"], refused["retry_after"]) == (91, 5.0)
    assert media.ask("RequestGetInteractionProperties", interaction_id=ident)["message"] != "EventError"


def test_a_links_number_runs_once_however_late_the_proxy_comes_back(make_driver):
    # given a request whose reply was lost, a take-over, and a proxy that stands still for longer than the dedup window
    driver = make_driver(dedup_window=2.0)
    introduce(driver)
    first = link(driver, (3, 7, 0, SUBMIT))[3]
    after = driver.reopened()
    after.wait(15)
    # when it goes on, and asks again
    introduce(after)
    # then it gets the first reply
    assert link(after, (3, 7, RESENT, SUBMIT))[3] == first
    assert len(after.core.memory.interactions) == 1


def test_what_is_kept_for_a_link_that_does_not_come_back_is_forgotten(make_driver):
    # given a link with replies that it has not had, at a member and at the one that takes over
    driver = make_driver(dedup_window=2.0)
    introduce(driver)
    link(driver, (3, 7, 0, SUBMIT))
    # when the link is gone for long
    after = driver.reopened()
    after.wait(21)
    driver.core.lost(driver.now, b"proxy")
    driver.wait(21)
    # then nothing is kept for it
    assert not after.core.memory.answers.rows and not driver.core.memory.answers.rows


def test_replies_that_were_loaded_in_another_order_are_let_go_of_by_their_numbers(driver):
    # given replies to a link in the order that a database sorts their keys in
    memory = driver.core.memory
    for number in (10, 100, 9, 99):
        memory.load_row("answers", f"#p1.b\n{number}", b'{"us":1,"payload":{}}')
    # when the proxy has those below 99
    memory.settle("p1.b", 99)
    # then the others are kept
    assert sorted(memory.answers.rows) == ["#p1.b\n100", "#p1.b\n99"]


def test_the_journal_says_how_an_interaction_came_in(driver):
    # given a routing engine whose pull is held
    router = driver.client("urs", "RoutingEngine")
    hold = {"tenant_id": 101, "view_id": "Inbound/all", "extension": {"pull-for-strategy": 1}}
    driver.ask(router.source, {"message": "RequestPull", **hold})
    # when an interaction comes in, and is granted in the same batch
    driver.client("mail", "MediaServer").ask(**SUBMIT)
    # then the row says that it waited, and then was granted
    (changes,) = [changes for _, changes, _ in driver.rows if b'"external_id"' in changes or b'"submit_seq"' in changes]
    kinds = [change for change in json.loads(changes) if change[0] in (0, 1)]
    assert kinds[0][1]["interaction_state"] == 0
    assert kinds[1][2]["interaction_state"] == 2
