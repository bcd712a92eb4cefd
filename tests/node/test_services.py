"""ESP: servers that register or are listed, requests, responses, faults; who answers when one is lost."""

from __future__ import annotations

import json

import pytest

from broker.wire import RESENT, PackedRequest, PackedRequests

CLASSIFY = {"Service": "Classify", "Method": "ByText", "Parameters": {"Text": "card blocked"}}


def server(driver, name="sorter-1", **fields):
    """A registered ESP server that serves Classify."""
    fields = {"services": ["Classify"], "application_type": "ClassificationServer", **fields}
    return driver.client(name, "ESPServer", **fields)


def request(driver, party, **fields):
    """Asks for a service without waiting; returns the reference of the reply."""
    message = {"message": "Request3rdServer", "tenant_id": 101, "request": CLASSIFY, **fields}
    assert driver.ask(party.source, message) is None
    return str(driver._refs).encode()


def work(party):
    """The one request that a server was sent."""
    (note,) = party.notes
    party.notes.clear()
    assert note["message"] == "Request3rdServer"
    return note


def respond(party, note, **fields):
    reply = party.ask("Request3rdServerResponse", esp_server_refid=note["esp_server_refid"], **fields)
    assert reply["message"] == "EventAck"


@pytest.fixture
def media(driver):
    return driver.client("gateway", "MediaServer")


@pytest.fixture
def ident(driver, media):
    """An interaction that waits in Inbound."""
    fields = {"tenant_id": 101, "media_type": "email", "queue": "Inbound", "user_data": {"Subject": "?"}}
    ident = media.ask("RequestSubmit", **fields)["interaction_id"]
    driver.events()
    return ident


class TestAnswered:
    """Given a registered ESP server, when it answers, then the client has the answer and reporting has both legs."""

    def test_a_response_is_the_reply(self, driver, media, ident):
        sorter = server(driver)
        ref = request(driver, media, interaction_id=ident, user_data={"a": 1}, esp_client_refid="c-7", timeout=5)
        note = work(sorter)

        assert note["request"] == CLASSIFY and note["user_data"] == {"a": 1}
        assert (note["interaction_id"], note["client_name"], note["timeout"]) == (ident, "gateway", 5)
        assert driver.late == {}
        respond(sorter, note, response={"Category": "Cards"}, user_data={"Category": "Cards"})
        reply = driver.late.pop(ref)
        assert reply["message"] == "Event3rdServerResponse"
        assert (reply["response"], reply["user_data"]) == ({"Category": "Cards"}, {"Category": "Cards"})
        assert (reply["esp_client_refid"], reply["server"]) == ("c-7", "sorter-1")
        assert len(driver.core.memory.services) == 0

    def test_both_legs_are_reported_whole(self, driver, media, ident):
        sorter = server(driver)
        request(driver, media, interaction_id=ident, esp_client_refid="c-7")
        note = work(sorter)
        respond(sorter, note, response={"Category": "Cards"})
        asked, said = driver.said

        refs = {"esp_client_refid": "c-7", "esp_server_refid": note["esp_server_refid"], "server": "sorter-1"}
        assert asked["message"] == "EventExternalServiceRequested"
        assert asked["body"].items() >= {**refs, "request": CLASSIFY, "interaction_id": ident}.items()
        assert asked["actor"] == {"client_name": "gateway", "client_type": "MediaServer"}
        assert (asked["cause"], asked["interaction"]["interaction_id"]) == ("Request3rdServer", ident)
        assert said["message"] == "EventExternalServiceResponded"
        assert said["body"].items() >= {**refs, "response": {"Category": "Cards"}}.items()
        assert said["actor"] == {"client_name": "sorter-1", "client_type": "ESPServer"}
        assert said["seq"] == asked["seq"] + 1

    def test_the_topic_is_of_class_esp(self, driver, media):
        server(driver)
        message = json.dumps({"message": "Request3rdServer", "tenant_id": 101, "request": CLASSIFY}).encode()
        driver.core.receive(driver.now, media.source, b"r", message)
        (event,) = driver.core.take(driver.now).events.events

        assert event.topic == b"101/esp/EventExternalServiceRequested"

    def test_a_fault_is_the_servers_own_no(self, driver, media):
        sorter = server(driver)
        ref = request(driver, media)
        note = work(sorter)
        sorter.ask(
            "Request3rdServerFault", esp_server_refid=note["esp_server_refid"], fault_code=402, fault_string="no tree"
        )
        reply = driver.late.pop(ref)

        assert (reply["message"], reply["fault_code"], reply["fault_string"]) == ("Event3rdServerFault", 402, "no tree")
        assert driver.said[-1]["body"]["fault_code"] == 402

    def test_an_agent_is_the_actor(self, driver):
        vicky, sorter = driver.agent("VICKY"), server(driver)
        request(driver, vicky)

        assert work(sorter)["client_type"] == "AgentApplication"
        assert driver.said[-1]["actor"] == {"agent_id": "VICKY"}

    def test_the_other_name_is_the_same_request(self, driver, media):
        sorter = server(driver)
        fields = {"message": "RequestExternalService", "tenant_id": 101, "request": CLASSIFY}
        assert driver.ask(media.source, fields) is None
        respond(sorter, work(sorter))

        assert [reply["message"] for reply in driver.late.values()] == ["Event3rdServerResponse"]

    @pytest.mark.parametrize("merge", [True, False])
    def test_user_data_is_merged_when_the_server_asks_for_it(self, driver, media, ident, merge):
        sorter = server(driver)
        ref = request(driver, media, interaction_id=ident)
        respond(sorter, work(sorter), user_data={"Category": "Cards", "priority": 9}, merge_user_data=merge)
        reply, data = driver.late.pop(ref), json.loads(bytes(driver.core.memory.interactions[ident].user_data))

        assert reply.get("user_data_merged", False) is merge
        merged = {"Category": "Cards", "priority": 9}
        assert data == ({"Subject": "?", **merged} if merge else {"Subject": "?"})
        assert driver.core.memory.interactions[ident].priority == 0
        names = ["EventExternalServiceRequested", "EventPropertiesChanged", "EventExternalServiceResponded"]
        assert driver.events() == (names if merge else [names[0], names[2]])

    def test_who_handles_the_interaction_is_told_of_merged_data(self, driver, media, ident):
        vicky, sorter = driver.agent("VICKY", email=1), server(driver)
        vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
        request(driver, media, interaction_id=ident)
        respond(sorter, work(sorter), user_data={"Category": "Cards"}, merge_user_data=True)

        (note,) = vicky.notes
        assert note["message"] == "EventPropertiesChanged"
        assert note["interaction"]["user_data"]["Category"] == "Cards"

    def test_an_interaction_that_is_not_here_is_no_obstacle(self, driver, media):
        sorter = server(driver)
        ref = request(driver, media, interaction_id="elsewhere")
        respond(sorter, work(sorter), user_data={"a": 1}, merge_user_data=True)

        assert "user_data_merged" not in driver.late.pop(ref)

    def test_asked_again_while_it_is_open(self, driver, media):
        sorter = server(driver)
        one = request(driver, media, dedup_id="d")
        two = request(driver, media, dedup_id="d")
        assert driver.late.pop(one)["code"] == 2004
        respond(sorter, work(sorter))

        assert driver.late.pop(two)["message"] == "Event3rdServerResponse"


class TestRefused:
    """Given a request that cannot be done, then it is refused and nothing has changed."""

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"tenant_id": 999}, 10),
            ({"target": "nobody"}, 80),
            ({"request": {"Service": "Translate"}}, 80),
            ({"tenant_id": 102}, 80),
            ({"request": {"Method": "ByText"}}, 3),
            ({"request": {"Service": 7}}, 3),
            ({"request": []}, 3),
            ({"user_data": []}, 3),
            ({"timeout": -1}, 3),
        ],
    )
    def test_it_is_refused(self, driver, media, fields, code):
        server(driver, tenants=[101])
        rows = len(driver.rows)
        reply = media.ask("Request3rdServer", **{"tenant_id": 101, "request": CLASSIFY, **fields})

        assert reply["code"] == code
        assert len(driver.rows) == rows

    def test_an_answer_to_nothing_or_to_another_servers_request(self, driver, media):
        sorter, other = server(driver), server(driver, "other", services=["Translate"])
        request(driver, media)
        refid = work(sorter)["esp_server_refid"]

        assert other.ask("Request3rdServerResponse", esp_server_refid=refid)["code"] == 48
        assert sorter.ask("Request3rdServerResponse", esp_server_refid="nothing")["code"] == 48
        assert media.ask("Request3rdServerResponse", esp_server_refid=refid)["code"] == 40

    def test_a_second_answer(self, driver, media):
        sorter = server(driver)
        request(driver, media)
        note = work(sorter)
        respond(sorter, note)

        assert (
            sorter.ask("Request3rdServerFault", esp_server_refid=note["esp_server_refid"], fault_code=1)["code"] == 48
        )

    def test_a_timeout(self, driver, media):
        sorter = server(driver)
        ref = request(driver, media, timeout=5)
        note = work(sorter)
        driver.wait(4.9)
        assert ref not in driver.late
        driver.wait(0.2)
        reply = driver.late.pop(ref)

        assert (reply["code"], reply["request"]) == (81, "Request3rdServer")
        assert driver.said[-1]["body"]["code"] == 81
        assert sorter.ask("Request3rdServerResponse", esp_server_refid=note["esp_server_refid"])["code"] == 48

    def test_the_nodes_own_timeout(self, make_driver):
        driver = make_driver(esp_timeout=2.0)
        media = driver.client("gateway", "MediaServer")
        server(driver)
        ref = request(driver, media)
        driver.wait(2.1)

        assert driver.late.pop(ref)["code"] == 81


class TestBalance:
    """Given several servers for it, when requests come, then each gets its share, and none more than it may."""

    def test_in_turn(self, driver, media):
        servers = [server(driver, name) for name in ("a", "b", "c")]
        for _ in range(6):
            request(driver, media)

        assert [len(one.notes) for one in servers] == [2, 2, 2]

    def test_in_turn_when_all_is_answered_at_once(self, driver, media):
        servers = [server(driver, name) for name in ("a", "b", "c")]
        asked = []
        for _ in range(6):
            request(driver, media)
            (one,) = [one for one in servers if one.notes]
            respond(one, work(one))
            asked.append(one)

        assert asked == servers * 2

    def test_rather_the_one_with_fewer_open_requests(self, driver, media):
        a, b = server(driver, "a"), server(driver, "b")
        request(driver, media)
        for _ in range(3):
            request(driver, media)
            respond(b, work(b))

        assert (len(a.notes), len(b.notes)) == (1, 0)

    def test_rather_one_that_answers_in_time(self, driver, media):
        a, b = server(driver, "a"), server(driver, "b")
        request(driver, media, timeout=1)
        driver.wait(1.1)
        for _ in range(3):
            request(driver, media)

        assert (len(a.notes), len(b.notes)) == (1, 3)

    def test_by_name_by_type_and_by_service(self, driver, media):
        a = server(driver, "a", application_type="T1", services=["Classify"])
        b = server(driver, "b", application_type="T2", services=["Classify", "Translate"])
        c = server(driver, "c", application_type="T2", services=None)
        request(driver, media, target="a")
        request(driver, media, target="T2", request={"Service": "Anything"})
        request(driver, media, request={"Service": "Translate"})

        assert (len(a.notes), len(b.notes), len(c.notes)) == (1, 1, 1)

    def test_bounds_of_one_server_and_of_all(self, make_driver):
        driver = make_driver(max_esp_requests=3, max_esp_requests_per_server=2)
        media, a = driver.client("gateway", "MediaServer"), server(driver, "a")
        request(driver, media)
        request(driver, media)
        busy = media.ask("Request3rdServer", tenant_id=101, request=CLASSIFY)
        assert (busy["code"], busy["retry_after"]) == (91, 1.0)
        server(driver, "b")
        request(driver, media)
        assert media.ask("Request3rdServer", tenant_id=101, request=CLASSIFY)["code"] == 91
        respond(a, a.notes[0])
        request(driver, media)

        assert len(driver.core.memory.services) == 3


class TestServerLost:
    """Given a server that dies with requests open, then those that may be repeated go to another one."""

    def test_a_repeatable_request_goes_on(self, driver, media):
        a, b = server(driver, "a"), server(driver, "b")
        ref = request(driver, media, repeatable=True)
        first = work(a)
        driver.core.lost(driver.now, a.source[0])
        driver.settle()
        again = work(b)

        assert again["esp_server_refid"] == first["esp_server_refid"] and again["resent"] is True
        respond(b, again, response={"x": 1})
        reply = driver.late.pop(ref)
        assert (reply["response"], reply["server"]) == ({"x": 1}, "b")
        requested = [event for event in driver.said if event["message"] == "EventExternalServiceRequested"]
        assert [event["body"].get("resent", False) for event in requested] == [False, True]

    def test_one_that_may_not_be_repeated_is_not(self, driver, media):
        a, b = server(driver, "a"), server(driver, "b")
        ref = request(driver, media, dedup_id="d")
        a.ask("RequestUnregisterClient")
        reply = driver.late.pop(ref)

        assert reply["code"] == 81 and "a was lost" in reply["detail"]
        assert b.notes == []
        assert media.ask("Request3rdServer", tenant_id=101, request=CLASSIFY, dedup_id="d")["code"] == 81

    @pytest.mark.parametrize("others", [True, False])
    def test_what_has_not_left_the_node_goes_on_in_any_case(self, driver, media, others):
        a = server(driver, "a")
        ref = request(driver, media)
        b = server(driver, "b") if others else None
        driver.core.lost(driver.now, a.source[0], [b"{}", json.dumps(work(a)).encode()])
        driver.settle()

        if b is None:
            assert driver.late.pop(ref)["code"] == 80
        else:
            note = work(b)
            assert "resent" not in note
            respond(b, note)
            assert driver.late.pop(ref)["message"] == "Event3rdServerResponse"

    def test_what_another_peer_has_not_got_is_nothing_to_it(self, driver, media):
        a, b = server(driver, "a"), server(driver, "b")
        request(driver, media)
        driver.core.lost(driver.now, b"stranger", [json.dumps(a.notes[0]).encode()])
        driver.settle()

        assert (len(a.notes), b.notes) == (1, [])

    def test_a_repeatable_one_without_another_server(self, driver, media):
        a = server(driver, "a")
        ref = request(driver, media, repeatable=True, dedup_id="d")
        a.ask("RequestUnregisterClient")

        assert driver.late.pop(ref)["code"] == 80
        a = server(driver, "a")
        request(driver, media, repeatable=True, dedup_id="d")
        assert len(a.notes) == 1

    def test_a_server_that_registers_again_is_the_same(self, driver, media):
        fields = {"client_name": "a", "client_type": "ESPServer", "services": ["Classify"]}
        a = driver.stranger("a")
        session_id = a.ask("RequestRegisterClient", **fields)["session_id"]
        request(driver, media, repeatable=True)
        note = work(a)
        a.ask("RequestRegisterClient", **fields, session_id=session_id)
        assert a.notes == []
        b = driver.stranger("b")
        b.ask("RequestRegisterClient", **fields, session_id=session_id)

        assert work(b) == {**note, "resent": True}
        assert media.ask("Request3rdServer", tenant_id=101, request={"Service": "Translate"})["code"] == 80

    def test_a_silent_server_is_lost(self, driver, media):
        server(driver, "a")
        ref = request(driver, media, timeout=600)
        for _ in range(12):
            driver.wait(10)
            media.ask("RequestPing")

        assert driver.late.pop(ref)["code"] == 81


class TestListed:
    """Given a listed server that the shell has connected to, then it is asked and answers by its reference."""

    def ask(self, driver, media, **fields):
        ref = request(driver, media, **fields)
        (sent,) = driver.dialled
        driver.dialled.clear()
        return ref, sent

    def say(self, driver, sent, **message):
        payload = message.pop("payload", None) or json.dumps(message).encode()
        driver.core.answered(driver.now, sent.name, sent.refid.encode(), payload)
        driver.settle()

    def test_it_answers(self, driver, media):
        assert media.ask("Request3rdServer", tenant_id=101, request=CLASSIFY)["code"] == 80
        driver.core.connected(driver.now, "Sorter")
        ref, sent = self.ask(driver, media, target="ClassificationServer")
        payload = json.loads(sent.payload)
        assert (sent.name, payload["message"], payload["request"]) == ("Sorter", "Request3rdServer", CLASSIFY)
        assert payload["esp_server_refid"] == sent.refid
        self.say(driver, sent, message="Event3rdServerResponse", response={"Category": "Cards"})

        assert driver.late.pop(ref)["response"] == {"Category": "Cards"}

    def test_its_fault(self, driver, media):
        driver.core.connected(driver.now, "Sorter")
        ref, sent = self.ask(driver, media)
        self.say(driver, sent, message="Event3rdServerFault", fault_code="E7", fault_string="no")

        assert driver.late.pop(ref)["fault_code"] == "E7"

    @pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"message":"EventAck"}', b"\xff", b"x" * 2_000_000])
    def test_garbage_ends_the_request(self, driver, media, payload):
        driver.core.connected(driver.now, "Sorter")
        ref, sent = self.ask(driver, media)
        self.say(driver, sent, payload=payload or b" ")

        assert driver.late.pop(ref)["code"] == 81
        self.say(driver, sent, payload=b"again")

    def test_an_answer_of_another_name_is_told_which_there_are(self, driver, media):
        driver.core.connected(driver.now, "Sorter")
        ref, sent = self.ask(driver, media)
        self.say(driver, sent, message="Request3rdServerResponse", response={})

        assert driver.late.pop(ref)["detail"] == (
            'the answer of Sorter cannot be read: no answer is named "Request3rdServerResponse"; expected'
            ' "Event3rdServerResponse" or "Event3rdServerFault"'
        )

    def test_what_was_not_sent_goes_to_another_server(self, driver, media):
        driver.core.connected(driver.now, "Sorter")
        ref, sent = self.ask(driver, media)
        other = server(driver)
        driver.core.disconnected(driver.now, "Sorter", [sent.refid])
        driver.settle()
        note = work(other)

        assert "resent" not in note
        respond(other, note)
        assert driver.late.pop(ref)["message"] == "Event3rdServerResponse"

    def test_what_was_not_sent_and_has_no_other_server(self, driver, media):
        driver.core.connected(driver.now, "Sorter")
        ref, sent = self.ask(driver, media)
        driver.core.disconnected(driver.now, "Sorter", [sent.refid])
        driver.settle()

        assert driver.late.pop(ref)["code"] == 80

    def test_a_lost_connection(self, driver, media):
        driver.core.connected(driver.now, "Sorter")
        ref, _ = self.ask(driver, media)
        driver.core.disconnected(driver.now, "Sorter", [])
        driver.settle()

        assert driver.late.pop(ref)["code"] == 81
        assert media.ask("Request3rdServer", tenant_id=101, request=CLASSIFY)["code"] == 80


class TestFailover:
    """Given open requests, when another member takes over, then each is answered once, by the server or by an error."""

    def link(self, driver, client, name, kind):
        """A proxy with one client, resumed where it was known before."""
        source = (b"proxy", client)
        party = driver.parties.setdefault(source, type(driver.stranger("x"))(driver, source))
        driver.parties.setdefault((b"proxy", 0), party)
        hello = {"message": "RequestRegisterClient", "client_name": "p1", "client_type": "Proxy", "session_id": "p1.b"}
        fields = {"client_name": name, "client_type": kind, "session_id": f"p1.b.{client}", "services": ["Classify"]}
        self.put(driver, 0, 1000 + client, hello)
        self.put(driver, client, 2000 + client, {"message": "RequestRegisterClient", **fields})
        driver.late.clear()
        return party

    def put(self, driver, client, number, message, flags=0):
        entry = PackedRequest(number, client, flags, json.dumps(message).encode())
        driver.core.receive_link(driver.now, b"proxy", PackedRequests(0, [entry]))
        driver.settle()

    ASK = {"message": "Request3rdServer", "tenant_id": 101, "request": CLASSIFY}

    def test_the_server_answers_the_new_member_and_the_client_asks_again(self, driver):
        self.link(driver, 1, "gateway", "MediaServer")
        sorter = self.link(driver, 2, "sorter", "ESPServer")
        self.put(driver, 1, 5, self.ASK)
        note = work(sorter)
        new = driver.reopened()
        self.link(new, 1, "gateway", "MediaServer")
        sorter = self.link(new, 2, "sorter", "ESPServer")
        assert sorter.notes == []
        answer = {"message": "Request3rdServerResponse", "esp_server_refid": note["esp_server_refid"]}
        self.put(new, 2, 6, answer, RESENT)
        self.put(new, 1, 5, self.ASK, RESENT)

        assert new.late.pop(6)["message"] == "EventAck"
        assert new.late.pop(5)["message"] == "Event3rdServerResponse"
        assert sorter.notes == []

    def test_the_client_asks_again_before_the_server_answers(self, driver):
        self.link(driver, 1, "gateway", "MediaServer")
        sorter = self.link(driver, 2, "sorter", "ESPServer")
        self.put(driver, 1, 5, self.ASK)
        note = work(sorter)
        new = driver.reopened()
        self.link(new, 1, "gateway", "MediaServer")
        sorter = self.link(new, 2, "sorter", "ESPServer")
        self.put(new, 1, 5, self.ASK, RESENT)
        assert new.late == {} and sorter.notes == []
        self.put(new, 2, 6, {"message": "Request3rdServerResponse", "esp_server_refid": note["esp_server_refid"]})

        assert new.late.pop(5)["message"] == "Event3rdServerResponse"

    def test_what_may_be_repeated_is_sent_again_to_the_server_that_is_back(self, driver):
        self.link(driver, 1, "gateway", "MediaServer")
        sorter = self.link(driver, 2, "sorter", "ESPServer")
        self.put(driver, 1, 5, {**self.ASK, "repeatable": True})
        note = work(sorter)
        new = driver.reopened()
        again = work(self.link(new, 2, "sorter", "ESPServer"))

        assert again == {**note, "resent": True}

    def test_a_server_that_does_not_come_back(self, driver):
        self.link(driver, 1, "gateway", "MediaServer")
        self.link(driver, 2, "sorter", "ESPServer")
        self.put(driver, 1, 5, {**self.ASK, "timeout": 7})
        new = driver.reopened()
        self.link(new, 1, "gateway", "MediaServer")
        self.put(new, 1, 5, {**self.ASK, "timeout": 7}, RESENT)
        new.wait(7.1)

        assert new.late.pop(5)["code"] == 81

    def test_a_server_that_never_comes_back_and_another_one(self, driver, media):
        server(driver, "a")
        request(driver, media, timeout=600, repeatable=True)
        new = driver.reopened()
        other = server(new, "b")
        for _ in range(10):
            new.wait(10)
            other.ask("RequestPing")

        assert work(other)["resent"] is True

    def test_a_server_that_registered_itself_anew_answers_by_name(self, driver, media):
        sorter = server(driver)
        request(driver, media, dedup_id="d")
        note = work(sorter)
        new = driver.reopened()
        respond(server(new), note, response={"x": 1})

        media = new.client("gateway", "MediaServer")
        reply = media.ask("Request3rdServer", tenant_id=101, request=CLASSIFY, dedup_id="d")
        assert reply["response"] == {"x": 1}

    @pytest.mark.parametrize("repeatable", [True, False])
    def test_a_listed_server(self, driver, media, repeatable):
        driver.core.connected(driver.now, "Sorter")
        request(driver, media, dedup_id="d", repeatable=repeatable)
        (sent,) = driver.dialled
        new = driver.reopened()
        media = new.client("gateway", "MediaServer")
        assert new.dialled == []
        new.core.connected(new.now, "Sorter")
        new.settle()
        fields = {"tenant_id": 101, "request": CLASSIFY, "dedup_id": "d"}

        if repeatable:
            (again,) = new.dialled
            assert again.refid == sent.refid
            new.core.answered(new.now, "Sorter", again.refid.encode(), b'{"message":"Event3rdServerResponse"}')
            new.settle()
            assert media.ask("Request3rdServer", **fields)["message"] == "Event3rdServerResponse"
        else:
            assert new.dialled == []
            assert media.ask("Request3rdServer", **fields)["code"] == 81


class TestOwnService:
    """Given what the node serves itself, when it is asked as a service, then it is done as that request."""

    def own(self, party, method, **parameters):
        wanted = {"Service": "OMService", "Method": method, "Parameters": parameters}
        return party.ask("Request3rdServer", tenant_id=101, request=wanted)

    def test_find_with_more(self, driver, media, ident):
        media.ask("RequestSubmit", tenant_id=101, media_type="email", queue="Inbound", priority=5)
        reply = self.own(media, "FindInteractions", Condition="queue = 'Inbound'", Order="priority", MaxCount=1)

        assert reply["message"] == "Event3rdServerResponse"
        found = reply["response"]
        assert found["message"] == "EventInteractionsFound"
        assert [one["interaction_id"] for one in found["interactions"]] == [ident]
        assert found["more"] is True

    def test_find_in_slices(self, driver, media):
        for _ in range(2100):
            message = {"message": "RequestSubmit", "tenant_id": 101, "media_type": "email", "queue": "Inbound"}
            driver.core.receive(driver.now, media.source, b"s", json.dumps(message).encode())
        driver.settle()
        wanted = {"Service": "OMService", "Method": "FindInteractions", "Parameters": {"count": 3}}
        driver.ask(media.source, {"message": "Request3rdServer", "tenant_id": 101, "request": wanted})
        driver.late.clear()
        driver.wait(0.1)

        (reply,) = driver.late.values()
        assert len(reply["response"]["interactions"]) == 3

    def test_get_change_place_stop(self, driver, media, ident):
        got = self.own(media, "GetInteractionProperties", InteractionId=ident)
        assert got["response"]["interaction"]["queue"] == "Inbound"
        assert self.own(media, "ChangeProperties", interaction_id=ident, changed_properties={"priority": 7})
        assert driver.core.memory.interactions[ident].priority == 7
        assert self.own(media, "PlaceInQueue", InteractionId=ident, Queue="Done")["response"]["message"] == "EventAck"
        assert driver.core.memory.interactions[ident].queue == "Done"
        assert self.own(media, "StopProcessing", InteractionId=ident)["message"] == "Event3rdServerResponse"
        assert driver.events() == ["EventPropertiesChanged", "EventPlacedInQueue", "EventProcessingStopped"]

    def test_the_envelopes_interaction(self, driver, media, ident):
        wanted = {"Service": "OMService", "Method": "GetInteractionProperties"}
        reply = media.ask("Request3rdServer", tenant_id=101, interaction_id=ident, request=wanted)

        assert reply["response"]["interaction"]["interaction_id"] == ident

    @pytest.mark.parametrize(
        ("method", "parameters", "code"),
        [
            ("FindInteractions", {"Condition": "queue ="}, 62),
            ("FindInteractions", {"Condition": 7}, 3),
            ("FindInteractions", {"TenantId": 999}, 10),
            ("GetInteractionProperties", {}, 2),
            ("GetInteractionProperties", {"InteractionId": 7}, 3),
            ("GetInteractionProperties", {"InteractionId": "nobody"}, 43),
            ("Dance", {}, 3),
        ],
    )
    def test_the_published_errors_are_faults(self, media, method, parameters, code):
        reply = self.own(media, method, **parameters)

        assert (reply["message"], reply["fault_code"]) == ("Event3rdServerFault", code)
        assert reply["fault_string"]

    def test_the_rights_are_those_of_the_request(self, driver, ident):
        vicky, sorter = driver.agent("VICKY"), server(driver)

        assert self.own(vicky, "StopProcessing", InteractionId=ident)["fault_code"] == 40
        assert self.own(sorter, "StopProcessing", InteractionId=ident)["fault_code"] == 40

    def test_a_change_is_done_once(self, driver, media, ident):
        wanted = {"Service": "OMService", "Method": "StopProcessing", "Parameters": {"InteractionId": ident}}
        fields = {"tenant_id": 101, "request": wanted, "dedup_id": "d"}
        first = media.ask("Request3rdServer", **fields)

        assert media.ask("Request3rdServer", **fields) == first
        assert driver.events() == ["EventProcessingStopped"]

    def test_a_server_of_that_name_is_asked_where_it_is_the_target(self, driver, media):
        own = server(driver, "legacy", services=["OMService"])
        wanted = {"Service": "OMService", "Method": "FindInteractions"}
        request(driver, media, target="legacy", request=wanted)

        assert len(own.notes) == 1


def test_a_service_that_nobody_serves_is_named_with_the_node(driver):
    """Given no ESP server; when a client asks, with and without a target; then the text says what there is not."""
    asker = driver.client("asker", "MediaServer")
    reply = asker.ask("Request3rdServer", tenant_id=101, request={"Service": "Nobody"})
    assert (reply["code"], reply["detail"]) == (80, "there is no ESP server for the service Nobody at n1")
    reply = asker.ask("Request3rdServer", tenant_id=101, request=CLASSIFY, target="Other")
    assert reply["detail"] == "there is no ESP server Other for the service Classify at n1"


def test_a_listed_server_without_a_connection_is_named(driver):
    """Given a listed server that is not there; when a client asks for what it serves; then the text names it."""
    asker = driver.client("asker", "MediaServer")
    reply = asker.ask("Request3rdServer", tenant_id=101, request=CLASSIFY)
    assert reply["detail"] == "there is no ESP server for the service Classify at n1; not connected: Sorter"


@pytest.mark.parametrize(
    ("asked", "detail"),
    [
        ({}, "request.Service: expected a string"),
        ("x", 'request: expected an object with Service, and if need be Method or Parameters, got "x"'),
        ({"Service": 5}, "request.Service: expected a string, got 5"),
        ({"Service": ""}, "request.Service: expected a string of 1 to 255 characters"),
        ({"Service": "OMService", "Method": "StopProcessing", "Parameters": [1]},
         "request.Parameters: expected an object, got an array"),
    ],
)  # fmt: skip
def test_a_request_that_is_none_is_told_what_one_is(driver, asked, detail):
    """Given an ESP request of a wrong shape; when it is asked; then the refusal says where and what was expected."""
    asker = driver.client("asker", "MediaServer")
    reply = asker.ask("Request3rdServer", tenant_id=101, request=asked)
    said = reply["fault_string"] if "fault_string" in reply else reply["detail"]
    assert (reply.get("code", 3), detail in said) == (3, True)
