"""The operator's commands against a scripted proxy: what is asked, what is printed, the exit codes; and the file."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from broker.answers import Unavailable
from broker.cli import ixn
from broker.cli.cluster import Step, _against, _kept
from broker.cli.queue import waiting_in
from broker.cli.rewriting import with_media_types, write
from broker.cli.status import assemble
from broker.conditions import compile_condition
from broker.config.objects import Addresses, Configuration, Node, Proxy
from broker.ids import make_id, node_code
from tests.broker.peer import Peer, Reply

Run = Callable[..., Result]
CONFIGURATION = """\
# A bank.
[tenants.101.media-types]
email = {}
voice = {}

[nodes.n1] # the only one
database = "sqlite:///n1.db"
primary = { requests = "tcp://127.0.0.1:1", events = "tcp://127.0.0.1:2" }

[nodes.n1.settings]
pull-hold-timeout = 5   # seconds

[proxies.p1]
connections = ["n1"]
primary = { requests = "tcp://127.0.0.1:3", events = "tcp://127.0.0.1:4" }
"""


@pytest.fixture
def run() -> Run:
    """``run("drain", "n1", connect=peer)``: a command line, without a configuration file."""

    def invoke(*words: str, connect: Peer | None = None, **options: Any) -> Result:
        start = ["--config", "/nonexistent/cluster.toml"]
        start += ["--connect", connect.endpoint] if connect is not None else []
        return CliRunner().invoke(ixn, [*start, *words], **options)

    return invoke


INTERACTION = {
    "interaction_id": "30FGHMI2NBPV2PWI",
    "tenant_id": 101,
    "media_type": "email",
    "queue": "Inbound",
    "priority": 2,
    "received_at": 1790000000.25,
}
VIEW = {
    "view_id": "Inbound/vip",
    "condition": "priority >= 5",
    "order": "received_at",
    "matches": False,
    "terms": [{"term": "priority >= 5", "property": "priority", "value": 2, "truth": False}],
    "position": None,
    "depth": 4,
    "segment": None,
    "key": [1790000000.25, "30FGHMI2NBPV2PWI"],
    "waiting_pulls": 0,
}
EVENTS = [
    {"message": "EventInteractionSubmitted", "node": "n1", "time": 1790000000.25, "cause": "RequestSubmit"},
    {"message": "EventTakenFromQueue", "node": "n1", "time": 1790000003.5, "party": {"router_id": "urs"}},
    {"message": "EventPlacedInQueue", "node": "n1", "time": 1790003700.0, "old_queue": "Inbound"},
]
CHANGED = {
    "added_properties": {"Language": "en"},
    "changed_properties": {"priority": 3},
    "deleted_properties": ["Draft"],
}
DRAFTS = {"type": "Drafts", "agent_id": "VICKY"}
IN_WORKBIN = {**INTERACTION, "queue": "Kept", "interaction_state": 0, "workbin": DRAFTS}
STOPPED = {
    "message": "EventError",
    "code": 46,
    "text": "Interaction is not in a state for this",
    "detail": "no standby",
}


class Script:
    """Answers of a cluster with one node: ``said[message]`` is the reply, or replies one after the other."""

    def __init__(self, **said: Any) -> None:
        status = {"n1": {"state": "healthy", "agents": 1, "members": {"primary": {"role": "active"}}}}
        self.said: dict[str, Any] = {
            "RequestGetStatus": {"message": "EventStatus", "state": "healthy", "nodes": status, "why": []},
            **said,
        }

    def __call__(self, request: dict[str, Any]) -> Reply:
        said = self.said.get(request["message"], {"message": "EventAck"})
        reply: Reply = said.pop(0) if isinstance(said, list) else said
        return reply


def named(part: dict[str, Any]) -> dict[str, Any]:
    """An event about the interaction."""
    return {"interaction": {**INTERACTION, "queue": "PS" if part.get("old_queue") else "Inbound"}, **part}


# ---- explain, timeline


def test_explain(run: Run) -> None:
    # Given an interaction that is on hold, and two views, one of which has it
    there = {**VIEW, "view_id": "Inbound/all", "condition": "", "matches": True, "terms": [], "position": 3}
    explained = {
        "message": "EventInteractionExplained",
        "node": "n1",
        "interaction": INTERACTION,
        "waits": [{"reason": "held", "text": "it is on hold", "since": 1790000000.0}],
        "views": [there, VIEW],
    }
    place = {"message": "EventViewPosition", "before": 6, "depth": 9, "missing": ["n2"]}
    script = Script(RequestExplainInteraction=explained, RequestGetViewPosition=place)
    # When it is explained
    with Peer(script) as peer:
        text = run("explain", INTERACTION["interaction_id"], connect=peer)
        document = json.loads(run("explain", INTERACTION["interaction_id"], "-o", "json", connect=peer).stdout)
    # Then it says what keeps it, its places, and each term with its value
    for part in ("is queued at n1, queue Inbound", "it is on hold (since 2026-09-21 14:13:20.000Z)"):
        assert part in text.stdout
    assert "number 3 of 4 at its node, number 7 of 9 over all nodes (without n2)" in text.stdout
    assert "not in it: the condition is not true of it" in text.stdout
    assert "priority >= 5" in text.stdout and "false" in text.stdout
    assert document["views"][0]["cluster"] == {"position": 7, "depth": 9, "missing": ["n2"]}
    assert [one["key"] for one in peer.named("RequestGetViewPosition")] == [VIEW["key"]] * 2


def test_what_somebody_handles_is_being_handled(run: Run) -> None:
    # Given an interaction that an agent handles, when it is explained, then the sentence says that it is being handled
    explained = {
        "message": "EventInteractionExplained",
        "node": "n1",
        "interaction": {**INTERACTION, "interaction_state": 3},
        "waits": [],
        "views": [],
    }
    with Peer(Script(RequestExplainInteraction=explained)) as peer:
        text = run("explain", INTERACTION["interaction_id"], connect=peer)
    assert "is being handled at n1" in text.stdout


def test_timeline(run: Run) -> None:
    # Given three events in two pages, between which there are only others
    pages = [
        {"message": "EventReplayedEvents", "events": [named(EVENTS[0])], "cursor": "0000000000000001-n1", "more": True},
        {"message": "EventReplayedEvents", "events": [], "cursor": "0000000000000002-n1", "more": True},
        {"message": "EventReplayedEvents", "events": [named(one) for one in EVENTS[1:]], "missing": ["n1"]},
    ]
    with Peer(Script(RequestReplayEvents=[*pages, *pages])) as peer:
        text = run("timeline", "30FGHMI2NBPV2PWI", connect=peer)
        lines = run("timeline", "30FGHMI2NBPV2PWI", "-o", "jsonl", connect=peer).stdout.splitlines()
    # Then all are there, with the times between them, and who is missing; it began at the time in the id
    assert [json.loads(line)["message"] for line in lines] == [event["message"] for event in EVENTS]
    for part in ("+3.25 s", "+1:01:36", "Inbound → PS", "urs", "3 events in 1:01:40"):
        assert part in text.stdout
    assert text.stderr == "not complete: no answer from n1\n"
    asked = peer.named("RequestReplayEvents")
    assert [one["interaction_id"] for one in asked] == ["30FGHMI2NBPV2PWI"] * 6
    assert asked[0]["from"] < "1795" and [one["from"][:16] for one in asked[1:3]] == [f"{n:016d}" for n in (1, 2)]


def test_timeline_says_what_was_changed_and_where_it_is(run: Run) -> None:
    # Given events whose beginning is not kept any more, of an interaction whose id does not name the silent node
    handled = {**INTERACTION, "interaction_state": 3}
    party = {"agent_id": "VICKY", "place_id": "P1"}
    events = [
        {"message": "EventPartyAdded", "interaction": handled, "party": party, "operation": "Conference"},
        {"message": "EventPropertiesChanged", "interaction": handled, "body": CHANGED},
        {"message": "EventPlacedInWorkbin", "interaction": IN_WORKBIN},
    ]
    events = [{**event, "node": "n1", "time": 1790000000.25} for event in events]
    page = {"message": "EventReplayedEvents", "events": events, "missing": ["n2"]}
    with Peer(Script(RequestReplayEvents=[page, page])) as peer:
        of_n1 = run("timeline", make_id(node_code("n1"), 1), connect=peer)
        of_n2 = run("timeline", make_id(node_code("n2"), 1), connect=peer)
    # When its timeline is shown, then it says what changed, by what operation, and in which workbin it is
    for part in ("handling", "VICKY P1 (Conference)", "Language=en, priority=3, -Draft", "Kept, Drafts of VICKY"):
        assert part in of_n1.stdout
    # And that there was more before; that a node is silent only where that means something
    assert of_n1.stderr == "earlier events are not kept any more\n"
    assert "not complete: no answer from n2\n" in of_n2.stderr


def test_explain_shows_times_as_times_and_what_to_do_about_one_that_is_gone(run: Run) -> None:
    # Given a view with a term about a time and one about the state
    terms = [
        {"term": "received_at < '2020-01-01'", "property": "received_at", "value": 1790000000.25, "truth": False},
        {"term": "state = 'queued'", "property": "interaction_state", "value": 0, "truth": True},
    ]
    explained = {"node": "n1", "interaction": INTERACTION, "waits": [], "views": [{**VIEW, "terms": terms}]}
    gone = {"message": "EventError", "code": 43, "text": "Unknown interaction identifier"}
    several = {"message": "EventError", "code": 2005, "text": "More than one", "detail": "n1 and n2 hold it"}
    script = Script(RequestExplainInteraction=[{"message": "EventInteractionExplained", **explained}, gone, several])
    # When it is explained, then values look as in conditions; an id that is gone or twice is told what to do about
    with Peer(script) as peer:
        there, not_there, twice = (run("explain", "mine", connect=peer) for _ in range(3))
    assert "2026-09-21 14:13:20.250Z" in there.stdout and "queued" in there.stdout.partition("state = ")[2]
    assert not_there.exit_code == 1 and "ixn timeline mine" in not_there.stderr
    assert twice.exit_code == 1 and "--connect" in twice.stderr and "n1 and n2 hold it" in twice.stderr


def test_timeline_of_nothing_is_a_no(run: Run) -> None:
    # Given no event, when a timeline is asked for, then the exit code says so
    with Peer(Script(RequestReplayEvents={"message": "EventReplayedEvents", "events": []})) as peer:
        result = run("timeline", "mine", connect=peer)
    assert (result.exit_code, result.stdout) == (1, "") and "mine" in result.stderr
    assert "from" not in peer.named("RequestReplayEvents")[0]


# ---- switchover, drain


def test_switchover_that_is_refused_is_a_no(run: Run) -> None:
    # Given a node whose standby is away, when it is to switch over, then nothing is waited for, and it is said why
    unknown = {"message": "EventError", "code": 43, "text": "Unknown interaction identifier"}
    script = Script(RequestSwitchover=STOPPED, RequestGetInteractionProperties=unknown)
    with Peer(script) as peer:
        refused, nobody = run("switchover", "n1", connect=peer), run("switchover", "n7", connect=peer)
    assert refused.exit_code == 1 and "46" in refused.stderr
    assert nobody.exit_code == 64 and "there is no node n7; there are n1" in nobody.stderr


def test_drain_waits_until_nothing_is_left(run: Run) -> None:
    # Given a node with something left, and then nothing
    def part(queued: int) -> dict[str, Any]:
        nodes = {"n1": {"queued": queued}, "n2": {"queued": 5}}
        return {"message": "EventQueues", "queues": [{"queue": "Inbound", "tenant_id": 101, "nodes": nodes}]}

    with Peer(Script(RequestGetQueues=[part(3), part(2), part(2), part(0)])) as peer:
        shown = json.loads(run("drain", "n1", "-o", "json", connect=peer).stdout)
        waited = run("drain", "n1", "--wait", connect=peer)
    # When it is drained, and then waited for; then what is left is shown, of this node alone, until there is nothing
    assert (shown["interactions"], shown["queues"]["Inbound"]["queued"]) == (3, 3)
    assert waited.exit_code == 0 and waited.stderr == "n1: 2 left\n" * 2
    assert "0 left" in waited.stdout
    assert [one["node"] for one in peer.named("RequestDrain")] == ["n1", "n1"]


def test_drain_that_takes_too_long_is_75(run: Run) -> None:
    # Given a node that keeps something, when the time is over, then it says what is left
    nodes = {"n1": {"handling": 1}}
    queues = {"message": "EventQueues", "queues": [{"queue": "Inbound", "tenant_id": 101, "nodes": nodes}]}
    with Peer(Script(RequestGetQueues=queues)) as peer:
        result = run("drain", "n1", "--wait", "--timeout", "0.1", connect=peer)
    assert result.exit_code == 75 and "Inbound" in result.stdout


# ---- queues


def test_queues_are_listed(run: Run) -> None:
    # Given a queue that is paused at one of two nodes, and one that is disabled
    part = {
        "queue": "Inbound",
        "tenant_id": 101,
        "nodes": {"n1": {"queued": 2, "paused": True, "paused_since": 1790000000.0}, "n2": {}},
    }
    off = {"queue": "Off", "tenant_id": 102, "enabled": False}
    with Peer(Script(RequestGetQueues={"message": "EventQueues", "queues": [part, off], "missing": ["n3"]})) as peer:
        text, lines = (run("queue", "list", "-o", how, connect=peer) for how in ("text", "jsonl"))
    # When they are listed; then each says why it gives nothing
    assert "nothing: paused at n1 since 2026-09-21 14:13:20.000Z" in text.stdout
    assert "nothing: disabled" in text.stdout and text.stderr == "not complete: no answer from n3\n"
    assert [json.loads(line)["queue"] for line in lines.stdout.splitlines()] == ["Inbound", "Off"]


def test_purge_goes_on_until_nothing_is_left(run: Run) -> None:
    # Given more than one purge takes, when the queue is purged, then it is asked again, under another name each time
    purged = [{"message": "EventQueuePurged", "purged": 5, "left": 2}, {"message": "EventQueuePurged", "purged": 2}]
    with Peer(Script(RequestPurgeQueue=purged)) as peer:
        words = ("queue", "purge", "Inbound", "--condition", "priority < 0", "--reason", "Test")
        unasked = run(*words, connect=peer)
        result = run(*words, "--yes", "-o", "json", connect=peer)
    assert unasked.exit_code == 64 and "--yes" in unasked.stderr
    assert json.loads(result.stdout) == {"queue": "Inbound", "purged": 7}
    asked = peer.named("RequestPurgeQueue")
    assert {(one["condition"], one["reason"]["reason_system_name"]) for one in asked} == {("priority < 0", "Test")}
    assert len({one["dedup_id"] for one in asked}) == 2


def test_move_goes_by_snapshots_and_lets_them_go(run: Run) -> None:
    # Given two snapshots' worth, of which one interaction is gone meanwhile
    taken = [{"message": "EventSnapshotTaken", "snapshot_id": "S", "number_of_interactions": n} for n in (5, 2, 0)]
    moved = [
        {"message": "EventInteractionMoved", "snapshot_id": "S", "queue": "PS", "number_of_interactions": 5},
        {
            "message": "EventInteractionMoved",
            "snapshot_id": "S",
            "queue": "PS",
            "number_of_interactions": 1,
            "not_moved": 1,
        },
    ]
    with Peer(Script(RequestTakeSnapshot=taken, RequestMoveInteractions=moved)) as peer:
        result = run("queue", "move", "It's", "PS", "-o", "json", connect=peer)
    # When they are moved; then every snapshot is released, and what stays is said
    assert json.loads(result.stdout) == {"from": "It's", "to": "PS", "moved": 6, "not_moved": 1}
    assert len(peer.named("RequestReleaseSnapshot")) == 3
    assert "queue = 'It''s'" in peer.named("RequestTakeSnapshot")[0]["condition"]


def test_what_waits_is_a_condition() -> None:
    # Given a queue's name with a quote, when it is put into a condition, then that can be read
    assert compile_condition(waiting_in("It's", "priority = 1 or priority = 2")).equals["queue"] == "It's"


# ---- cluster, status


def test_apply_of_a_faulty_file_is_78_with_all_its_faults(tmp_path: Path, run: Run) -> None:
    # Given a file with two faults, when it is to be applied, then both are said, and nobody is asked
    file = tmp_path / "new.toml"
    file.write_text(CONFIGURATION.replace("pull-hold-timeout = 5", "pull-hold-timeout = 5000\nsynchronus = 1"))
    result = CliRunner().invoke(ixn, ["--config", str(tmp_path / "cluster.toml"), "cluster", "apply", str(file)])
    assert result.exit_code == 78 and result.stderr.count("new.toml:") == 2
    assert not (tmp_path / "cluster.toml").exists()


def test_what_is_warned_of_is_said_when_it_is_applied(tmp_path: Path) -> None:
    # Given a file with nothing wrong but a workbin that nobody owns, when it is applied, then that is said
    file = tmp_path / "new.toml"
    file.write_text('[workbins.Team]\nowner = "agent-group"\n')
    words = ["--config", str(tmp_path / "cluster.toml"), "cluster", "apply", "--dry-run", str(file)]
    result = CliRunner().invoke(ixn, words)
    assert result.exit_code == 0
    assert "new.toml:2: workbins.Team.owner: warning: there is no agent-group that could own one" in result.stderr


def test_a_queue_is_not_moved_into_itself(run: Run) -> None:
    # Given a queue, when it is to be moved to itself, then that is wrong usage, and nothing is asked
    with Peer(Script()) as peer:
        result = run("queue", "move", "PS", "PS", connect=peer)
        assert (result.exit_code, peer.requests) == (64, [])


@pytest.mark.parametrize("words", [["peek", "PSS"], ["move", "PSS", "PE"]])
def test_a_queue_that_there_is_not_is_told_from_an_empty_one(run: Run, words: list[str]) -> None:
    # Given the queue PS, when what waits in PSS is asked for, then it is said that there is none
    script = Script(
        RequestFindInteractions=[{"message": "EventInteractionsFound", "interactions": []}],
        RequestTakeSnapshot=[{"message": "EventSnapshotTaken", "snapshot_id": "S", "number_of_interactions": 0}],
        RequestGetQueues=[{"message": "EventQueues", "queues": [{"queue": "PS", "tenant_id": 101}]}],
    )
    with Peer(script) as peer:
        result = run("queue", *words, connect=peer)
    assert result.exit_code == 64 and 'there is no queue PSS; did you mean "PS"?' in result.stderr


def test_a_drain_that_does_not_wait_has_no_timeout(run: Run) -> None:
    # Given a drain without --wait, when it is given a timeout, then that is wrong usage
    assert run("drain", "n1", "--timeout", "3").exit_code == 64


def test_who_is_asked_when_nodes_come_go_and_move() -> None:
    # Given another configuration in which a node is new, one is gone, and one has moved, as have proxies
    old, new = Configuration(), Configuration()
    old.nodes = {"n1": pair("a"), "n2": pair("b")}
    old.proxies = {"p1": proxy("x"), "p2": proxy("y")}
    new.nodes = {"n2": pair("c"), "n3": pair("d")}
    new.proxies = {"p1": proxy("z"), "p2": proxy("y")}
    # When both are to be asked, then the nodes come first, and who has moved is looked for where it was and will be
    step = Step(old, new)
    assert {name: [at.requests for at in endpoints] for name, endpoints in step.servers.items()} == {
        "n1": ["ipc://a"],
        "n2": ["ipc://b", "ipc://c"],
        "n3": ["ipc://d"],
        "p1": ["ipc://x", "ipc://z"],
        "p2": ["ipc://y"],
    }
    assert (list(step.servers)[:3], step.come, step.gone) == (["n1", "n2", "n3"], {"n3"}, {"n1"})
    # And who is new and does not answer holds nothing up; who goes and does not answer does
    away = Unavailable("nobody answers")
    against = _against({"n1": away, "n2": {}, "n3": away, "p1": {}, "p2": {}}, step)
    assert (against["away"], against["to_start"], against["to_end"]) == (["n1"], ["n3"], [])
    answers = {"n1": {"kept": ["nodes.n1: removed"]}, "n2": {"kept": ["nodes.n2.primary: changed"]}}
    assert (_against(answers, step)["to_end"], list(_kept(answers, step)["kept"])) == (["n1"], ["n2"])


def pair(at: str) -> Node:
    """A node at an address."""
    return Node(database=f"sqlite:///{at}.db", primary=Addresses(requests=f"ipc://{at}", events=f"ipc://{at}-events"))


def proxy(at: str) -> Proxy:
    """A proxy at an address."""
    return Proxy(primary=Addresses(requests=f"ipc://{at}", events=f"ipc://{at}-events"), connections=["n2"])


def test_cluster_commands_that_are_none(tmp_path: Path) -> None:
    # Given a configuration, when media types are left out, said twice, or of no node, then that is wrong usage
    file = tmp_path / "cluster.toml"
    file.write_text(CONFIGURATION)
    for words in (["n1"], ["n1", ","], ["n1", ""], ["n1", "email", "--any"], ["n9", "email"]):
        result = CliRunner().invoke(ixn, ["--config", str(file), "cluster", "set-media-types", *words])
        assert result.exit_code == 64, words
    assert file.read_text() == CONFIGURATION


@pytest.mark.parametrize("media_types", [["voice"], ["voice", "email"], None])
def test_media_types_are_changed_and_nothing_else(media_types: list[str] | None) -> None:
    # Given a text with comments, without the option, when it is set, changed and taken out, then all else is as it was
    once = with_media_types(CONFIGURATION, "n1", ["email"])
    again = with_media_types(once, "n1", media_types)
    assert all(line in again.splitlines() for line in CONFIGURATION.splitlines())
    assert (f"media-types = {json.dumps(media_types)}" in again) == (media_types is not None)


def test_a_file_is_replaced_as_a_whole_with_its_rights(tmp_path: Path) -> None:
    # Given a file that others must not read, behind a link, when it is replaced, then so is the new one
    target, link = tmp_path / "real.toml", tmp_path / "cluster.toml"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write(link, b"new")
    assert link.is_symlink() and target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(one.name for one in tmp_path.iterdir()) == ["cluster.toml", "real.toml"]
    write(tmp_path / "first.toml", b"x")
    assert stat.S_IMODE((tmp_path / "first.toml").stat().st_mode) == 0o644


def test_status_names_members_with_another_configuration() -> None:
    # Given members of which one has another configuration, and one that says none, then that is said
    nodes = {
        "n1": {"state": "healthy", "members": {"primary": {"role": "active", "configuration": "a"}}},
        "n2": {"state": "healthy", "members": {"primary": {"role": "unreachable", "configuration": None}}},
    }
    proxies = {"p1": {"members": {"primary": {"role": "active", "configuration": "b"}}}}
    reported = {"state": "healthy", "why": []}
    assert assemble(reported, nodes, proxies)["why"] == ["configurations differ: n1/primary a; p1/primary b"]
    proxies["p1"]["members"]["primary"]["configuration"] = "a"
    assert assemble(reported, nodes, proxies)["why"] == []


def test_the_status_names_queues_that_are_not_configured() -> None:
    # Given a node with interactions in a queue that the configuration does not have, when the status is put together,
    # then it says so
    nodes = {
        "n1": {"state": "healthy", "members": {}, "strays": {"NE": 3, "Q2": 1}},
        "n2": {"members": {}, "strays": {}},
    }
    said = assemble({"state": "healthy", "why": []}, nodes, {})["why"]
    assert said == ["n1 has interactions in queues that the configuration does not have: NE 3, Q2 1"]


@pytest.mark.parametrize(
    "words",
    [
        *(
            ["switchover"],
            ["drain"],
            ["undrain"],
            ["explain"],
            ["timeline"],
            ["top"],
            ["cluster"],
            ["cluster", "apply"],
        ),
        *(["cluster", "set-media-types"], ["cluster", "reload"], ["queue"], ["queue", "move"], ["queue", "purge"]),
    ],
)
def test_help(run: Run, words: list[str]) -> None:
    # Given no more than --help, then every command explains itself
    result = run(*words, "--help")
    assert result.exit_code == 0 and len(result.stdout.splitlines()) > 5
