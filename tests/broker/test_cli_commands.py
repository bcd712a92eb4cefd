"""The command line against a scripted proxy: what is printed where, and the exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from broker.cli import ixn
from broker.cli.output import counted
from broker.cli.status import assemble, nodes_of, proxies_of
from broker.config import Configuration
from broker.config.objects import Addresses, Node, Proxy
from broker.messages.connection import EventPong
from tests.broker.peer import Peer, Reply

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """``run("find", "--count", "1", connect=peer)``: a command line, without a configuration file."""

    def invoke(*words: str, connect: Peer | None = None, **options: Any) -> Result:
        start = ["--config", "/nonexistent/cluster.toml"]
        start += ["--connect", connect.endpoint] if connect is not None else []
        return CliRunner().invoke(ixn, [*start, *words], **options)

    return invoke


INTERACTION = {
    "interaction_id": "0001K3",
    "tenant_id": 101,
    "media_type": "email",
    "queue": "Inbound",
    "interaction_state": 3,
    "priority": 2,
    "received_at": 1790000000.25,
    "user_data": {"Subject": "Card blocked"},
}


def answers(request: dict[str, Any]) -> Reply:
    """One interaction in all of the cluster."""
    name = request["message"]
    if name == "RequestFindInteractions":
        if request.get("condition") == "bad":
            return {"message": "EventError", "code": 62, "text": "Condition or order cannot be understood"}
        return {
            "message": "EventInteractionsFound",
            "interactions": [INTERACTION] * 2,
            "missing": ["n2"],
            "complete": False,
        }
    if name == "RequestGetInteractionProperties":
        if request["interaction_id"] != "0001K3":
            return {"message": "EventError", "code": 43, "text": "Unknown interaction identifier", "request": name}
        return {"message": "EventInteractionProperties", "interaction": INTERACTION}
    if name == "RequestSwitchover":
        return {"message": "EventError", "code": 40, "text": "Access denied"}
    if name == "RequestGetStatus":
        nodes = {"n1": {"state": "healthy", "backlog": 3, "members": {"primary": {"role": "active", "pid": 7}}}}
        return {"message": "EventStatus", "state": "healthy", "nodes": nodes, "proxies": {}, "why": []}
    return {"message": "EventAck", "asked": request}


# ---- what all commands share


def test_help_and_version(run: Run) -> None:
    # Given nothing at all, when help is asked for, then it names the commands, on stdout
    result = run("--help")
    assert result.exit_code == 0
    for name in (
        "status",
        "top",
        "request",
        "events",
        "replay",
        "find",
        "get",
        "explain",
        "timeline",
        "queue",
        "config",
    ):
        assert f"\n  {name} " in result.stdout


@pytest.mark.parametrize("words", [["nosuch"], ["get"], ["find", "--count", "many"], ["events", "-o", "xml"]])
def test_usage_is_64(run: Run, words: list[str]) -> None:
    # Given a command line that is none, when it is run, then the exit code says so, and stdout is left alone
    result = run(*words)
    assert (result.exit_code, result.stdout) == (64, "")


def test_a_wrong_configuration_is_78(run: Run) -> None:
    # Given no configuration file and no --connect, when a server is needed, then that is what is wrong
    result = run("find")
    assert result.exit_code == 78 and "/nonexistent/cluster.toml" in result.stderr


def test_a_wrong_address_is_64(run: Run) -> None:
    # Given something that is no address, when it is to be connected to, then it is refused before anything is tried
    assert run("--connect", "localhost", "find").exit_code == 64


def test_nobody_there_is_69(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an address where nobody listens, when a command needs a server, then it is unavailable
    monkeypatch.setattr("broker.cli.reach.CONNECT_S", 0.2)
    result = run("--connect", "tcp://127.0.0.1:1", "get", "0001K3")
    assert result.exit_code == 69 and result.stdout == "" and "nobody" in result.stderr


def test_a_bug_is_70_and_says_where(run: Run) -> None:
    # Given a server that breaks the protocol, when that makes the command fail, then it is called a bug
    with Peer(lambda request: {"message": "EventAck"}) as peer:
        result = run("find", connect=peer)
    assert result.exit_code == 70 and "Traceback" in result.stderr and result.stdout == ""


def two_proxies(folder: Path, one: Peer, other: Peer) -> str:
    """A configuration of two proxies, for the clients of a tenant each."""
    text = '[tenants.101]\n[tenants.102]\n[nodes.n1]\ndatabase = "sqlite:///x.db"\n'
    text += 'primary = { requests = "tcp://127.0.0.1:1", events = "tcp://127.0.0.1:2" }\n'
    for tenant, peer in ((101, one), (102, other)):
        requests, events = peer.endpoint.split(",")
        text += f'[proxies.p{tenant}]\nconnections = ["n1"]\ntenants = [{tenant}]\n'
        text += f'primary = {{ requests = "{requests}", events = "{events}" }}\n'
    file = folder / "cluster.toml"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize(("tenants", "goes_to"), [(["101"], 0), (["102"], 1), (["101", "102"], None), ([], "any")])
def test_a_client_goes_to_a_proxy_of_its_tenants(tmp_path: Path, tenants: list[str], goes_to: int | str | None) -> None:
    # Given two proxies, each for one tenant
    with Peer(answers) as one, Peer(answers) as other:
        words = [word for tenant in tenants for word in ("--tenant", tenant)]
        file = two_proxies(tmp_path, one, other)
        # when a client of one of them, of both, of all that there are, asks
        result = CliRunner().invoke(ixn, ["--config", file, "request", *words, '{"message":"RequestGetQueues"}'])
        heard = [bool(peer.messages) for peer in (one, other)]
    # then it asks its proxy; none is for both, and any is for who says nothing
    if goes_to is None:
        assert (result.exit_code, heard) == (64, [False, False]) and "is for tenant 101, 102" in result.stderr
    else:
        assert result.exit_code == 0 and sum(heard) == 1
        assert goes_to == "any" or heard[int(goes_to)]


# ---- find, get


def test_find(run: Run) -> None:
    # Given two interactions and a node that does not answer, when they are listed as text, JSON and JSON Lines
    with Peer(answers) as peer:
        text, as_json, lines = (run("find", "x = 1", "-o", how, connect=peer) for how in ("text", "json", "jsonl"))
    # Then each is what it says, the warning is on stderr, and the condition has arrived
    assert "2 interactions" in text.stdout
    assert "0001K3" in text.stdout and "handling" in text.stdout and "Card blocked" in text.stdout
    assert [one["interaction_id"] for one in json.loads(as_json.stdout)["interactions"]] == ["0001K3"] * 2
    assert [json.loads(line) for line in lines.stdout.splitlines()] == [INTERACTION] * 2
    assert text.exit_code == 0 and text.stderr == "not complete: no answer from n2\n"
    assert peer.named("RequestFindInteractions")[0]["condition"] == "x = 1"


def test_one_is_not_many() -> None:
    # Given one thing, and more or fewer, when they are counted for a person, then the noun agrees
    assert [counted(number, "call") for number in range(3)] == ["0 calls", "1 call", "2 calls"]


def test_find_with_a_wrong_condition_is_65(run: Run) -> None:
    # Given a condition that the server does not understand, when it is tried, then the data was bad
    with Peer(answers) as peer:
        assert run("find", "bad", connect=peer).exit_code == 65


def test_get(run: Run) -> None:
    # Given an interaction, when it is shown as text and as JSON, then all of it is there
    with Peer(answers) as peer:
        text, as_json = run("get", "0001K3", connect=peer), run("get", "0001K3", "-o", "json", connect=peer)
        absent = run("get", "nosuch", connect=peer)
    assert "user_data.Subject" in text.stdout and "2026-09-21 13:33:20.250Z" not in as_json.stdout
    assert json.loads(as_json.stdout) == INTERACTION
    # And one that no node has is a "no", with the reason on stderr
    assert (absent.exit_code, absent.stdout) == (1, "") and "43" in absent.stderr


# ---- request


def test_request_prints_the_reply(run: Run) -> None:
    # Given a request as an argument and one on stdin, when they are sent, then the reply is on stdout, one line
    with Peer(answers) as peer:
        given = run("request", '{"message":"RequestX","a":[1]}', connect=peer)
        piped = run(
            "request", "-", "--type", "MediaServer", "--tenant", "101", connect=peer, input='{"message":"RequestX"}\n'
        )
    assert json.loads(given.stdout)["asked"] == {"message": "RequestX", "a": [1]} and given.stdout.count("\n") == 1
    assert piped.exit_code == 0
    assert [(one["client_type"], one.get("tenants")) for one in peer.named("RequestRegisterClient")] == [
        *[("Monitor", None), ("MediaServer", [101])]
    ]


@pytest.mark.parametrize(
    ("message", "code"),
    [("RequestGetInteractionProperties", 1), ("RequestSwitchover", 77), ("RequestFindInteractions", 65)],
)
def test_request_prints_an_error_and_says_no(run: Run, message: str, code: int) -> None:
    # Given a request that is refused, when it is sent, then the EventError is on stdout, and the exit code tells
    with Peer(answers) as peer:
        result = run(
            "request", json.dumps({"message": message, "interaction_id": "x", "condition": "bad"}), connect=peer
        )
    assert json.loads(result.stdout)["message"] == "EventError" and result.exit_code == code


@pytest.mark.parametrize("words", ["", "{", "[]", '{"a": 1}', '{"message": 1}', '{"message": "\udcff"}'])
def test_request_that_is_none_is_65(run: Run, words: str) -> None:
    # Given no request, when it is to be sent, then nothing is, and the data was bad
    with Peer(answers) as peer:
        assert run("request", words, connect=peer).exit_code == 65
        assert not peer.requests


def test_request_waits_for_some_time(run: Run) -> None:
    # Given no time to wait for the reply, when a request is to be sent, then that is wrong usage
    assert run("request", "--timeout", "0", '{"message":"RequestX"}').exit_code == 64


def test_request_without_a_reply_is_75(run: Run) -> None:
    # Given a server that does not answer, when the time is over, then that is a timeout
    with Peer(lambda request: None) as peer:
        assert run("request", "--timeout", "0.1", '{"message":"RequestX"}', connect=peer).exit_code == 75


# ---- status


def test_status_of_one_proxy(run: Run) -> None:
    # Given a proxy that is asked directly, without a configuration, when it is healthy, then so is the status
    with Peer(answers) as peer:
        as_json, text = run("status", "-o", "json", connect=peer), run("status", connect=peer)
    document = json.loads(as_json.stdout)
    assert (as_json.exit_code, document["state"], document["nodes"]["n1"]["backlog"]) == (0, "healthy", 3)
    assert text.stdout.startswith("healthy\n") and "n1" in text.stdout


def test_status_of_nobody_is_down(tmp_path: Path, run: Run) -> None:
    # Given a configuration whose processes do not run, when the status is asked for, then all is down, and it says so
    file = tmp_path / "cluster.toml"
    file.write_text(
        '[tenants.101]\n[nodes.n1]\ndatabase = "sqlite:///x.db"\n'
        'primary = { requests = "tcp://127.0.0.1:1", events = "tcp://127.0.0.1:2" }\n'
        '[proxies.p1]\nconnections = ["n1"]\n'
        'primary = { requests = "tcp://127.0.0.1:3", events = "tcp://127.0.0.1:4" }\n'
    )
    result = CliRunner().invoke(ixn, ["--config", str(file), "status", "-o", "json"])
    document = json.loads(result.stdout)
    assert (result.exit_code, document["state"]) == (69, "down")
    assert document["nodes"]["n1"]["members"]["primary"]["role"] == "unreachable"
    assert document["why"] == [
        *["no proxy answers", "node n1: primary does not answer", "proxy p1: primary does not answer"]
    ]


def address(port: int) -> Addresses:
    return Addresses(requests=f"tcp://h:{port}", events=f"tcp://h:{port + 1}")


def pong(role: str, **parts: Any) -> EventPong:
    return EventPong(server="x", kind="y", member="primary", role=role, pid=42, **parts)


PAIRS = Configuration(
    nodes={"n1": Node(database="sqlite:///x", primary=address(1), backup=address(3))},
    proxies={"p1": Proxy(primary=address(5), connections=["n1"]), "p2": Proxy(primary=address(7), connections=["n1"])},
)


@pytest.mark.parametrize(
    ("primary", "backup", "node", "overall"),
    [
        (pong("active", epoch=2), pong("standby"), "healthy", "degraded"),
        (pong("active"), None, "degraded", "degraded"),
        (pong("standby"), None, "down", "down"),
        (None, None, "down", "down"),
    ],
)
def test_status_without_a_proxy(primary: EventPong | None, backup: EventPong | None, node: str, overall: str) -> None:
    # Given no proxy that answers, when the nodes' members are asked themselves, then they say how the nodes are
    nodes = nodes_of(PAIRS, {"tcp://h:1": primary, "tcp://h:3": backup})
    document = assemble(None, nodes, proxies_of(PAIRS, {}))
    assert (nodes["n1"]["state"], document["state"]) == (node, overall)


def test_status_names_a_proxy_that_is_away() -> None:
    # Given a proxy that says that all is well, and another that does not answer
    proxies = proxies_of(PAIRS, {"tcp://h:5": pong("active", clients=3)})
    document = assemble({"state": "healthy", "why": []}, {}, proxies)
    # Then the cluster is degraded, and the status says why, and whose pid is whose
    assert document["state"] == "degraded" and document["why"] == ["proxy p2: primary does not answer"]
    shown = {"role": "active", "pid": 42, "clients": 3, "why": None, "configuration": None}
    assert document["proxies"]["p1"]["members"]["primary"] == shown
    assert document["proxies"]["p2"]["members"]["primary"]["role"] == "unreachable"
