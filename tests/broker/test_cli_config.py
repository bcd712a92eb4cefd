"""``ixn config check`` and ``ixn config show``."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from broker.cli.config import config
from broker.config.load import parse

SHIPPED = (Path(__file__).parents[2] / "cluster.toml").read_text()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A copy of the shipped file, to be damaged."""
    path = tmp_path / "c.toml"
    path.write_text(SHIPPED)
    return path


def edit(file: Path, old: str, new: str) -> int:
    """Replaces the first ``old``; gives the number of its line."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def ixn(file: Path | None, *arguments: str) -> Result:
    """The command as the top-level group calls it."""
    return CliRunner().invoke(config, arguments, obj={"config": str(file)} if file else None)


def test_check_of_a_good_file(file: Path) -> None:
    """Given the shipped file, when it is checked, then one line says so, and the exit code is 0."""
    result = ixn(file, "check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{file}: fine (2 nodes, 2 proxies, 7 queues, 7 views)\n"


def test_check_of_a_wrong_file(file: Path) -> None:
    """Given two faults, when the file is checked, then each is a line on stderr, and the exit code is 78."""
    first = edit(file, "lease-timeout = 2\n", "lease-timeout = 0\n")
    second = edit(file, 'queue = "PS"', 'queue = "PSS"')
    result = ixn(file, "check")
    assert (result.exit_code, result.stdout) == (78, "")
    assert result.stderr.splitlines() == [
        f"{file}:{first}: nodes.n1.settings.lease-timeout: expected a number from 0.2 to 600, got 0",
        f'{file}:{second}: views."PS/all".queue: there is no queue "PSS"; did you mean "PS"?',
    ]


def test_check_as_json(file: Path) -> None:
    """Given a good and a wrong file, when they are checked for a program, then stdout is one JSON object."""
    good = ixn(file, "check", "-o", "json")
    assert (good.exit_code, json.loads(good.stdout)) == (0, {"ok": True, "faults": [], "warnings": []})
    line = edit(file, "lease-timeout = 2\n", "lease-timout = 2\n")
    wrong = ixn(file, "check", "-o", "json")
    report = json.loads(wrong.stdout)
    assert (wrong.exit_code, wrong.stderr, report["ok"]) == (78, "", False)
    text = 'is not a known option; did you mean "lease-timeout"?'
    assert report["faults"] == [
        {"file": str(file), "line": line, "key": "nodes.n1.settings.lease-timout", "text": text}
    ]


def test_check_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given no file, when cluster.toml is checked by default, then that is a fault of the configuration."""
    monkeypatch.chdir(tmp_path)
    result = ixn(None, "check")
    assert result.exit_code == 78
    assert result.stderr == "cluster.toml: cannot be read: No such file or directory\n"


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("agent-login-control", '"ignore"', '"none" here, "ignore" at n1'),
        ("login-session-timeout", "60", "1440 here, 60 at n1"),
    ],
)
def test_check_of_what_must_be_the_same(file: Path, option: str, value: str, said: str) -> None:
    """Given two nodes that differ in what must be the same, when the cluster is checked, then the second is refused."""
    edit(file, "[nodes.n1.settings]", f"[nodes.n1.settings]\n{option} = {value}")
    line = file.read_text()[: file.read_text().index("[nodes.n2.settings]")].count("\n") + 1
    assert ixn(file, "check").exit_code == 0
    result = ixn(file, "check", "--cluster")
    assert result.exit_code == 78
    fault = f"{file}:{line}: nodes.n2.settings.{option}: must be the same on all nodes: {said}"
    assert fault in result.stderr.splitlines()


def test_check_points_at_the_option_that_differs(file: Path) -> None:
    """Given that the second node states the option itself, when the cluster is checked, then its own line comes."""
    edit(file, 'connections = "true"', 'connections = "false"')
    second = edit(file, 'connections = "true"', 'connections = "force-logout"')
    result = ixn(file, "check", "--cluster")
    assert f"{file}:{second}: nodes.n2.settings.allow-multiple-agent-connections: must be the same" in result.stderr


def test_check_compares_how_agents_are_reserved(file: Path) -> None:
    """Given nodes that let reservations stand for different times, when they are compared, then that is a fault."""
    with file.open("a") as text:
        text.write("[nodes.n2.agent-reservation]\nreservation-time = 5000\n")
    result = ixn(file, "check", "--cluster")
    assert "nodes.n2.agent-reservation.reservation-time: must be the same on all nodes: 5000 here" in result.stderr


def test_check_warns_of_what_is_not_recommended(file: Path) -> None:
    """Given what the guide advises against, when the cluster is checked, then warnings say so, with exit code 0."""
    edit(file, "backup = { requests", "# backup = { requests")
    edit(file, "ics_multi_media_agent_seat = 100", "ics_multi_media_agent_seat = 30")
    result = ixn(file, "check", "--cluster")
    assert result.exit_code == 0
    warnings = [line.partition(": ")[2] for line in result.stderr.splitlines()]
    multiple = '"false" is recommended for a cluster, here it is "true"'
    assert warnings == [
        "nodes.n1: warning: has no backup: while its primary is down, nobody can reach its interactions",
        f"nodes.n1.settings.allow-multiple-agent-connections: warning: {multiple}",
        f"nodes.n2.settings.allow-multiple-agent-connections: warning: {multiple}",
        "nodes.n2.licenses.ics_multi_media_agent_seat: warning: the cluster's limit is the lowest, 30; here: 100",
    ]
    assert len(json.loads(ixn(file, "check", "--cluster", "-o", "json").stdout)["warnings"]) == 4


def test_check_compares_only_what_is_right_by_itself(file: Path) -> None:
    """Given a node with wrong options, when the cluster is checked, then the others are not compared with it."""
    edit(file, 'connections = "true"', "connections = 5")
    edit(file, 'connections = "true"', 'connections = "false"')
    edit(file, "agent_seat = 100", "agent_seat = -1")
    result = ixn(file, "check", "--cluster")
    keys = [line.split(": ")[1] for line in result.stderr.splitlines()]
    assert keys == [
        "nodes.n1.settings.allow-multiple-agent-connections",
        "nodes.n1.licenses.ics_multi_media_agent_seat",
    ]


def test_check_of_a_recommended_cluster(file: Path) -> None:
    """Given what the guide recommends, when the cluster is checked, then there is nothing to warn of."""
    for _ in range(2):
        edit(file, 'connections = "true"', 'connections = "false"')
    result = ixn(file, "check", "--cluster")
    assert (result.exit_code, result.stderr) == (0, "")


def test_show(file: Path) -> None:
    """Given a file, when it is shown, then every option is there, and those that differ from the default are marked."""
    edit(file, "lease-timeout = 2\n", "lease-timeout = 2.5\n")
    result = ixn(file, "show")
    assert (result.exit_code, result.stderr) == (0, "")
    assert parse(result.stdout) == parse(file.read_text())
    settings = result.stdout.partition("[nodes.n1.settings]")[2].partition("\n\n")[0].splitlines()
    assert [line.split() for line in settings if "# default:" in line] == [
        ["lease-timeout", "=", "2.5", "#", "default:", "2"]
    ]
    assert "delivering-timeout = 30" in settings
    assert "dedup-window = 300" in settings


def test_show_says_what_is_not_set(file: Path) -> None:
    """Given an option without a value, when the file is shown, then a comment says that it is not set."""
    assert "# tenants is not set" in ixn(file, "show").stdout.splitlines()


def test_show_as_json(file: Path) -> None:
    """Given a file, when it is shown for a program, then the tables have the published names and all defaults."""
    shown = json.loads(ixn(file, "show", "-o", "json").stdout)
    written = tomllib.loads(file.read_text())
    assert shown["configuration"]["nodes"]["n1"]["primary"] == written["nodes"]["n1"]["primary"]
    assert shown["configuration"]["nodes"]["n1"]["settings"]["dedup-window"] == 300
    assert shown["changed"] == [
        "tenants.101.name",
        "tenants.101.media-types.fax.enabled",
        "nodes.n1.cluster-settings.media-types",
        "nodes.n2.cluster-settings.media-types",
        *(f'views."{name}/all".order' for name in ("Inbound", "PS", "PE", "IN", "NE", "NW", "TT")),
        "strategies.Greeting.max-submitted-interactions",
        "strategies.Greeting.max-submission-rate",
    ]


def test_show_of_a_wrong_file(file: Path) -> None:
    """Given a fault, when the file is shown, then nothing is, and the fault is on stderr."""
    edit(file, "lease-timeout = 2\n", "lease-timeout = 0\n")
    result = ixn(file, "show")
    assert (result.exit_code, result.stdout) == (78, "")
    assert "nodes.n1.settings.lease-timeout" in result.stderr


@pytest.mark.parametrize("arguments", [(), ("check",), ("show",)])
def test_help(arguments: tuple[str, ...]) -> None:
    """Given no more than --help, then the command explains itself."""
    result = ixn(None, *arguments, "--help")
    assert result.exit_code == 0
    assert "onfiguration" in result.stdout
