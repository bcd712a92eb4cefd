"""Clients in bare pyzmq: nothing of the project, only frames and JSON as the protocol page has them."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys

import pytest
import zmq

from bench.cluster import ROOT
from tests.live.pace import PATIENCE_S
from tests.live.sharing import shared

pytestmark = pytest.mark.timeout(120)

CLIENT = ROOT / "examples" / "bare_client.py"
NODE_CLIENT = ROOT / "examples" / "bare_client.mjs"
READER = ROOT / "examples" / "bare_events.py"
ENGINE = ROOT / "examples" / "bare_engine.py"
PATIENCE_MS = 30_000


@pytest.fixture(scope="module")
def cluster(request, tmp_path_factory):
    """One cluster for all tests here: none of them breaks anything."""
    with shared(request, tmp_path_factory) as cluster:
        yield cluster


@pytest.fixture(params=["proxy", "node"])
def server(request, cluster):
    """Where requests are taken: a client cannot tell one from the other by the protocol."""
    if request.param == "proxy":
        return cluster.requests("p1")
    return cluster.requests("n1", cluster.active("n1"))


@pytest.fixture
def connect(context, server):
    """``connect(kind)``: a socket of that kind at the server."""

    def make(kind):
        socket = context.socket(kind)
        socket.rcvtimeo = socket.sndtimeo = PATIENCE_MS
        socket.connect(server)
        return socket

    return make


def encoded(message, **fields):
    return json.dumps({"message": message, **fields}).encode()


def register(kind):
    return encoded("RequestRegisterClient", client_name=f"bare-{kind}", client_type=kind, tenants=[101])


class Req:
    """A REQ socket: sends a payload, gets a payload; the empty frame between is ZeroMQ's own."""

    def __init__(self, socket):
        self.socket = socket

    def ask(self, payload):
        self.socket.send(payload)
        reply = self.socket.recv()
        assert not self.socket.getsockopt(zmq.RCVMORE)
        return json.loads(reply)


class Dealer:
    """A DEALER socket: frames of a reference and a payload; what has an empty reference was not asked for."""

    def __init__(self, socket):
        self.socket = socket
        self.number = 0

    def ask(self, payload):
        self.number += 1
        ref = b"ref-%d" % self.number
        self.socket.send_multipart([ref, payload])
        while True:
            frames = self.socket.recv_multipart()
            assert len(frames) == 2
            if frames[0] == ref:
                return json.loads(frames[1])
            assert frames[0] == b""


@pytest.mark.parametrize("kind", [Req, Dealer])
def test_register_submit_pull_and_stop(connect, kind):
    """Given a media server and a routing engine, when one submits, then the other pulls it, reads it and stops it."""
    socket = zmq.REQ if kind is Req else zmq.DEALER
    media, engine = kind(connect(socket)), kind(connect(socket))
    for client, name in ((media, "MediaServer"), (engine, "RoutingEngine")):
        ack = client.ask(register(name))
        assert ack["message"] == "EventAck"
        assert ack["protocol"] == 1
        assert ack["session_id"]
        assert ack["keepalive_interval"] > 0
    data = {"Subject": "Card blocked", "nested": [1, 2.5, None, {"ü": "\u2028"}]}
    submit = encoded("RequestSubmit", tenant_id=101, media_type="email", queue="PS", priority=9, user_data=data)
    ident = media.ask(submit)["interaction_id"]

    pulled = engine.ask(encoded("RequestPull", tenant_id=101, view_id="PS/all", count=1))
    assert pulled["message"] == "EventPulledInteractions"
    assert [(one["interaction_id"], one["user_data"]) for one in pulled["interactions"]] == [(ident, data)]
    shown = engine.ask(encoded("RequestGetInteractionProperties", interaction_id=ident))
    assert shown["interaction"]["interaction_state"] == 2
    token = pulled["interactions"][0]["token"]
    assert engine.ask(encoded("RequestStopProcessing", interaction_id=ident, token=token))["message"] == "EventAck"
    assert engine.ask(encoded("RequestGetInteractionProperties", interaction_id=ident))["code"] == 43
    assert media.ask(encoded("RequestUnregisterClient"))["message"] == "EventAck"
    assert media.ask(encoded("RequestGetStatus"))["code"] == 1


def test_before_registration_only_ping_is_served(connect):
    client = Req(connect(zmq.REQ))

    assert client.ask(encoded("RequestPing"))["role"] == "active"
    assert client.ask(encoded("RequestGetStatus"))["code"] == 1


def test_pairs_that_came_together_are_answered_in_whatever_grouping(connect):
    """Given several pairs in one message, when they are answered, then each reference comes back once."""
    client = Dealer(connect(zmq.DEALER))
    client.ask(register("MediaServer"))
    submit = encoded("RequestSubmit", tenant_id=101, media_type="email", queue="NE")
    payloads = [encoded("RequestPing"), submit, b"garbage", submit, encoded("RequestGetStatus")]
    refs = [b"", b"a", b"\x00\xff", b"r" * 64, b"e"]
    client.socket.send_multipart([frame for pair in zip(refs, payloads, strict=True) for frame in pair])
    frames = []
    while len(frames) < 2 * len(refs):
        frames += client.socket.recv_multipart()
    replies = dict(zip(frames[::2], (json.loads(payload) for payload in frames[1::2]), strict=True))

    assert sorted(replies) == sorted(refs)
    names = [replies[ref]["message"] for ref in refs]
    assert names == ["EventPong", "EventAck", "EventError", "EventAck", "EventStatus"]


def test_pairs_that_came_alone_are_answered_alone(connect):
    """Given many messages of one pair each, sent at once, when they are answered, then each by a message of its own."""
    socket = connect(zmq.DEALER)
    for number in range(200):
        socket.send_multipart([b"%d" % number, encoded("RequestPing")])
    messages = [socket.recv_multipart() for _ in range(200)]

    assert {len(frames) for frames in messages} == {2}
    assert sorted(int(ref) for ref, _ in messages) == list(range(200))


def test_what_is_no_pair_is_answered_with_an_error(connect):
    socket = connect(zmq.DEALER)
    for frames, ref in (
        ([b"alone"], None),
        ([b"a", encoded("RequestPing"), b"odd"], b"odd"),
        ([b"r" * 65, encoded("RequestPing")], b""),
    ):
        socket.send_multipart(frames)
        answers = [socket.recv_multipart()]
        if len(frames) == 3:
            answers.append(socket.recv_multipart())
        errors = [(got[0], json.loads(got[-1])) for got in answers if b"EventError" in got[-1]]
        assert [error["code"] for _, error in errors] == [4]
        assert ref is None or errors[0][0] == ref


def test_events_come_to_a_bare_subscriber(context, cluster, wait_until):
    """Given a SUB to one class of one tenant's events, when an interaction comes in, its event does."""
    for proxy in ("p1", "p2"):
        subscriber = context.socket(zmq.SUB)
        subscriber.setsockopt(zmq.SUBSCRIBE, b"101/interaction/")
        subscriber.rcvtimeo = PATIENCE_MS
        subscriber.connect(cluster.events(proxy))
        media = context.socket(zmq.REQ)
        media.connect(cluster.requests(proxy))
        media.rcvtimeo = PATIENCE_MS
        client = Req(media)
        client.ask(register("MediaServer"))

        def submitted(client=client, subscriber=subscriber):
            client.ask(encoded("RequestSubmit", tenant_id=101, media_type="email", queue="NW"))
            return subscriber.poll(200)

        wait_until(submitted)
        topic, cursor, payload = subscriber.recv_multipart()
        assert topic == b"101/interaction/EventInteractionSubmitted"
        assert cursor[:16].isdigit()
        assert json.loads(payload)["interaction"]["queue"] == "NW"


class TestExamples:
    """They run where nothing of the project can be imported by accident, and import nothing of it."""

    @pytest.mark.parametrize("at", ["proxy", "node"])
    def test_the_client(self, cluster, at, tmp_path):
        address = cluster.requests("p1") if at == "proxy" else cluster.requests("n1", cluster.active("n1"))
        done = subprocess.run(
            [sys.executable, "-I", str(CLIENT), address],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        assert done.stdout.count("EventAck") == 5
        assert "EventError" not in done.stdout

    def test_the_client_for_node_js(self, cluster, program, tmp_path):
        node, npm = program("node"), program("npm")
        shutil.copy(NODE_CLIENT, tmp_path)
        for command in (
            [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "zeromq@6"],
            [node, NODE_CLIENT.name, cluster.requests("p2")],
        ):
            done = subprocess.run(
                command,
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr

        assert done.stdout.count("EventAck") == 5
        assert "EventError" not in done.stdout

    def test_the_reader_of_events(self, cluster, tmp_path, wait_until):
        """Given the reader runs, when the client has submitted something, then the reader prints it."""
        log = tmp_path / "log"
        with log.open("wb") as output:
            reader = subprocess.Popen(
                [sys.executable, "-I", str(READER), cluster.events("p1")], cwd=tmp_path, stdout=output, stderr=output
            )

        def printed():
            self.test_the_client(cluster, "proxy", tmp_path)
            return "101/interaction/EventProcessingStopped" in log.read_text()

        try:
            wait_until(printed)
        finally:
            reader.kill()
            reader.wait()

    @pytest.mark.parametrize("path", [CLIENT, READER, ENGINE], ids=lambda path: path.name)
    def test_they_import_nothing_of_the_project(self, path):
        found = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        names = {alias.name for node in found for alias in node.names} | {getattr(node, "module", "") for node in found}

        assert {name.partition(".")[0] for name in names if name} <= {"json", "sys", "zmq"}
