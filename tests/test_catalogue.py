"""Every request of the catalogue is served: it has a handler, a way through the proxy and its documentation, and
through the real cores it is answered exactly once, whatever comes and whoever is lost.

A new request class is found here by being in the catalogue. What its example needs beforehand is in ``tests/stage.py``;
the one right answer in every circumstance, node by node, is in ``tests/proxy/test_table.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.errors import Code
from broker.messages import EVENTS, NOTIFICATIONS, REPLIES, REQUESTS, decode_request
from broker.messages.kinds import ANYONE, ClientType, Merge, Request, Route
from broker.messages.refusals import GENERAL, refusals
from node.core import HANDLERS
from proxy.heads import HEADS
from proxy.merge import MERGES
from tests.stage import MEDIA, TIMEOUT_S, Stage, senders
from tests.world import World, make_configuration

DOCS = Path(__file__).resolve().parent.parent / "docs"
NAMES = sorted(REQUESTS)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """Every request, one after the other."""
    return str(request.param)


def is_proper(request: type[Request], answer: dict[str, Any]) -> bool:
    """The answer is the request's reply, or one of the refusals that its documentation says."""
    if answer["message"] == "EventError":
        return answer["code"] in GENERAL or answer["code"] in refusals(request)
    return answer["message"] == request.reply


# ---- the tables are complete


class TestTables:
    def test_it_has_a_handler_in_the_node(self, name):
        assert REQUESTS[name] in HANDLERS

    def test_nothing_else_has_one(self):
        assert set(HANDLERS) == set(REQUESTS.values())

    def test_the_proxy_has_a_head_for_it_and_knows_how_it_goes(self, name):
        request = REQUESTS[name]
        core = World(make_configuration(1, 1)).proxies["p1"]

        assert request in HEADS.values()
        assert {planned for planned, _ in core._plans.values()} == set(REQUESTS.values())
        assert isinstance(request.route, Route)

    def test_its_merge_is_one_of_its_route(self, name):
        request = REQUESTS[name]
        in_steps = {
            Route.AGENT: {Merge.ALL},
            Route.PULL: {Merge.GRANTS},
            Route.STREAM: {Merge.EVENTS, Merge.STATES},
        }

        assert request.merge in in_steps.get(request.route, MERGES)

    def test_somebody_may_send_it(self, name):
        assert REQUESTS[name].senders and REQUESTS[name].senders <= ANYONE

    def test_what_it_leads_to_is_in_the_catalogue(self, name):
        assert REQUESTS[name].reply in REPLIES
        for caused in REQUESTS[name].causes:
            assert caused in EVENTS or caused in NOTIFICATIONS


class TestDocumentation:
    PAGE = (DOCS / "requests.md").read_text()
    EVENTS_PAGE = (DOCS / "events.md").read_text()

    def test_it_says_what_it_does(self, name):
        assert vars(REQUESTS[name])["__doc__"].strip().endswith(".")

    def test_it_has_a_section_with_its_fields_and_its_example(self, name):
        section = self.PAGE.partition(f"\n### {name}\n")[2].partition("\n### ")[0]

        assert section, f"docs/requests.md does not speak of {name}"
        for field in REQUESTS[name].__struct_encode_fields__:
            assert f"`{field}`" in section or f"`{field}`" in self.PAGE.partition("\n### ")[0], field
        assert json.dumps({"message": name, **REQUESTS[name].example}, ensure_ascii=False) in section

    def test_its_example_is_one(self, name):
        assert type(decode_request(json.dumps({"message": name, **REQUESTS[name].example}).encode())) is REQUESTS[name]

    @pytest.mark.parametrize("message", sorted({*REPLIES, *EVENTS, *NOTIFICATIONS}))
    def test_every_answer_and_event_is_documented(self, message):
        assert message in self.EVENTS_PAGE


# ---- all is well

BETWEEN_SERVERS = {name for name in NAMES if REQUESTS[name].senders == {ClientType.PROXY}}
"""What only proxies ask, and only of nodes."""


class TestWell:
    """Given a cluster where the example can be done, when it is asked, then it is done and answered once."""

    @pytest.mark.parametrize("at", ["p1", "n1"])
    def test_the_example_is_answered_with_its_reply(self, name, at):
        stage = Stage(name, at)
        answer = stage.ask(**stage.example)

        if at == "p1" and name in BETWEEN_SERVERS:
            assert answer["code"] == Code.UNSUPPORTED
        else:
            assert answer["message"] == REQUESTS[name].reply, answer
        stage.assert_once()

    def test_an_unregistered_client_is_told_so(self, name):
        stage = Stage(name)
        for at in ("p1", "n1"):
            stranger = type(stage.client)(stage.world, at, f"stranger-at-{at}")
            answer = stranger.ask(name, **stage.example)
            if name in ("RequestPing", "RequestRegisterClient"):
                assert answer["message"] == REQUESTS[name].reply
            else:
                assert answer["code"] == Code.NOT_REGISTERED

    def test_a_client_that_may_not_is_refused(self, name):
        stage = Stage(name)
        for kind in sorted(ANYONE - REQUESTS[name].senders):
            for at in ("p1", "n1"):
                answer = stage.world.client(kind, at).ask(name, **stage.example)
                assert answer["code"] == Code.ACCESS_DENIED, kind

    def test_both_proxies_serve_it(self, name):
        stage = Stage(name, "p2", proxies=2)

        assert is_proper(stage.request, stage.ask(**stage.example))
        stage.assert_once()


# ---- garbage

DEEP = b"[" * 300 + b"]" * 300
GARBAGE = (
    b"null", b"true", b"-1", b"0", b"1.5", b"01", b"1e999", b"9" * 30, b"9" * 5000,
    b'""', b'"%b"' % (b"x" * 70), b'"\\u2028\\ud83d\\ude00\\u0000"', b'"\\ud800"', b'"\xff\xfe"',
    b'"%b-n1"' % (b"9" * 20),
    b"[]", b"[[]]", b'["priority",1]', DEEP,
    b"{}", b'{"":{}}', b'{"\xc3":1}', b'{"a":1e999}', b'{"a":%b}' % (b"9" * 30), b'{"a":%b}' % DEEP,
    b'{"priority":%b}' % (b"9" * 30), b'{"voice":2}', b'{"pull-for-strategy":1,"a":1e999}',
)  # fmt: skip
"""What is put into every field, alone."""


class TestGarbage:
    """Given a request with garbage in it, when it is asked, then it is answered once, and all goes on as before."""

    @pytest.mark.parametrize("at", ["p1", "n1"])
    def test_in_any_field(self, name, at):
        for kind in senders(name):
            self.ask_all(name, Stage(name, at, kind))

    def ask_all(self, name: str, stage: Stage) -> None:
        """All garbage in each of the fields, one after the other."""
        for field in ("message", *REQUESTS[name].__struct_encode_fields__):
            document = json.dumps({"message": name, **stage.example, field: "GARBAGE"}).encode()
            for garbage in GARBAGE:
                self.ask_in_vain(stage, document.replace(b'"GARBAGE"', garbage))
        self.assert_well(stage)

    def test_a_missing_field_is_named(self, name):
        stage = Stage(name, "n1" if name in BETWEEN_SERVERS else "p1")
        for field in (field.encode_name for field in msgspec.structs.fields(REQUESTS[name]) if field.required):
            fields = {key: value for key, value in stage.example.items() if key != field}
            answer = stage.ask(**fields)

            assert answer["message"] == "EventError"
            assert answer["field"] == field

    def ask_in_vain(self, stage: Stage, payload: bytes) -> None:
        """Garbage is refused, or taken for what it may be; it may end the session, which is then made again."""
        answer = stage.ask(payload)
        assert answer["message"] in REPLIES, payload
        if answer["message"] == "EventError":
            assert is_proper(stage.request, answer), (payload, answer)
            return
        stage.prepare()
        if stage.request.__name__ in ("RequestUnregisterClient", "RequestRegisterClient"):
            stage.client.ask("RequestRegisterClient", client_name="again", client_type="Monitor")

    def assert_well(self, stage: Stage) -> None:
        """Another client is served by every server, and the stream is read by anybody."""
        for at in ("p1", "n1", "n2"):
            media = stage.world.client(MEDIA, at)
            ack = media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="PS")
            there = media.ask("RequestGetInteractionProperties", interaction_id=ack["interaction_id"])
            assert there["interaction"]["queue"] == "PS"
        stage.assert_once()
        for _, _, payload in stage.world.stream["p1"]:
            payload.decode()
        for name in ("n1", "n2"):
            stage.world.take_over(name)
        stage.world.run(1.0)


# ---- nodes are lost

LOST: dict[Route, Code] = dict.fromkeys(Route, Code.LOST_CONNECTION) | {
    Route.INTERACTION: Code.NOT_ACCESSIBLE,
    Route.SNAPSHOT: Code.SNAPSHOT_NOT_ACCESSIBLE,
}
"""What is said where a node that had to be asked has not answered."""


class TestOneLost:
    """Given one of two nodes is lost, when a request is asked, then it is answered once, and honestly."""

    @pytest.mark.parametrize("since_s", [0.0, 3 * TIMEOUT_S])
    @pytest.mark.parametrize("lost", ["n1", "n2"])
    def test_it_is_answered(self, name, lost, since_s):
        stage = Stage(name)
        stage.world.lose(lost)
        stage.world.run(since_s)
        self.judge(stage, stage.ask(**stage.example), lost, known=since_s > 0)
        stage.assert_once()

    def judge(self, stage: Stage, answer: dict[str, Any], lost: str, known: bool) -> None:
        """:param known: the proxy knows that the node is away"""
        request, route = stage.request, stage.request.route
        if request.__name__ in BETWEEN_SERVERS:
            assert answer["code"] == Code.UNSUPPORTED
        elif route is Route.SNAPSHOT or (route in (Route.INTERACTION, Route.NODE, Route.REFERENCE) and lost == "n1"):
            assert answer["code"] == LOST[route]
            assert answer["missing"] == [lost]
        elif answer["message"] == "EventError":
            # what has to be done on all nodes is not done on some of them
            on_all = route is Route.SCATTER and request.merge is Merge.ALL
            allowed = (Route.SUBMIT, Route.AGENT, Route.PULL, Route.SERVICE, Route.RESERVE)
            assert on_all or (route in allowed and not known)
            assert (answer["code"], answer["missing"]) == (Code.LOST_CONNECTION, [lost])
        else:
            assert answer["message"] == request.reply
            if route in (Route.SCATTER, Route.STREAM) and request.merge is not Merge.PASS:
                assert answer["missing"] == [lost]

    @pytest.mark.parametrize("lost", ["n1", "n2"])
    def test_it_goes_on_when_the_other_member_takes_over(self, name, lost):
        stage = Stage(name)
        stage.world.lose(lost)
        number = stage.client.send(name, **stage.example)
        stage.world.run(0.5)
        stage.world.take_over(lost)
        stage.world.run(0.75)
        stage.accept()
        stage.world.run(0.75)
        answer = stage.client.answer(number)

        if name not in BETWEEN_SERVERS:
            assert answer["message"] == stage.request.reply, answer
            if stage.request.route is not Route.PULL:  # which does not wait for a node that others have something for
                assert "missing" not in answer
        stage.assert_once()


class TestAllLost:
    """Given no node is there, when a request is asked, then the proxy answers it once and says who is missing."""

    @pytest.mark.parametrize("since_s", [0.0, 3 * TIMEOUT_S])
    def test_it_is_answered(self, name, since_s):
        stage = Stage(name)
        stage.world.lose("n1")
        stage.world.lose("n2")
        stage.world.run(since_s)
        answer = stage.ask(**stage.example)

        if stage.request.route is Route.HERE:
            assert answer["message"] == stage.request.reply
        elif name in BETWEEN_SERVERS:
            assert answer["code"] == Code.UNSUPPORTED
        else:
            assert answer["code"] == LOST[stage.request.route]
            assert answer["missing"] and set(answer["missing"]) <= {"n1", "n2"}
        stage.assert_once()


def test_an_unknown_request_is_unsupported_everywhere():
    stage = Stage("RequestPing")
    for at in ("p1", "n1"):
        assert stage.world.client("Monitor", at).ask("RequestNothing")["code"] == Code.UNSUPPORTED
