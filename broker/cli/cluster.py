"""``ixn cluster``: changes the configuration of a cluster that runs, in the file and in all processes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import click

from broker.answers import ClientError, Unavailable
from broker.client import Endpoint
from broker.config import Configuration, ConfigurationFaults
from broker.config.changes import differences
from broker.config.load import Verdict, examine, judge
from broker.errors import Code
from broker.messages.operations import RequestReconfigure

from .config import as_warning
from .everywhere import CONFIRM_S, Answers, ask_all, confirm, servers
from .exits import BadData, Exit
from .output import output_option, print_document, print_table, table
from .reach import configuration
from .rewriting import with_media_types, write

away_option = click.option(
    "--skip-away", is_flag=True, help="Go on when servers do not answer; they read the file when they start."
)


@click.group()
def cluster() -> None:
    """Change the configuration of a running cluster, in the file and in all processes."""


@cluster.command()
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Only say what would be changed, and what speaks against it.")
@away_option
@output_option()
@click.pass_context
def apply(context: click.Context, file: str, dry_run: bool, skip_away: bool, output: str) -> int:
    """Put FILE in force: check it, show what is different, write it to --config, have all processes read that.

    FILE is a whole configuration. First every process is asked what it would make of it; when one refuses, for a queue
    or node with interactions in it would be lost, nothing is done. The file that --config names is replaced at once and
    as a whole; what it was is kept beside it with the ending .old. Then the processes read it, the nodes first, and it
    is waited for that all have the same configuration.

    The processes of the old configuration and of FILE are asked. Those that are new need not run yet, those that are
    not in FILE any more are to be ended afterwards; both is said.

    Exit code 0: all have it. 1: a process refuses; or some options wait for a restart, which is said. 69: a process
    does not answer. 78: FILE has faults.
    """
    return _apply(context, Path(file).read_bytes(), file, Way(dry_run, skip_away, output))


@cluster.command("set-media-types")
@click.argument("node", metavar="NODE")
@click.argument("media_types", metavar="A,B,…", required=False)
@click.option("--any", "every", is_flag=True, help="All media types of the node's tenants; the option is taken out.")
@click.option("--dry-run", is_flag=True, help="Only say what would be changed, and what speaks against it.")
@away_option
@output_option()
@click.pass_context
def set_media_types(context: click.Context, /, node: str, media_types: str | None, **options: Any) -> int:
    """Say which media types NODE serves: proxies send it no others.

    The option media-types in the node's cluster-settings is changed in the configuration file, all else in it stays as
    it is written, and all processes read it, as with `ixn cluster apply`.
    """
    wanted = None if media_types is None else [name.strip() for name in media_types.split(",") if name.strip()]
    if (wanted is None) is not options["every"] or wanted == []:
        raise click.UsageError("say which media types, such as voice,email, or --any")
    path = Path(context.obj["config"])
    known = configuration(context)
    if node not in known.nodes:
        raise click.UsageError(f"there is no node {node}; there are {', '.join(known.nodes)}")
    text = with_media_types(path.read_text(), node, wanted)
    way = Way(options["dry_run"], options["skip_away"], options["output"])
    return _apply(context, text.encode(), str(path), way)


@cluster.command()
@away_option
@output_option()
@click.pass_context
def reload(context: click.Context, skip_away: bool, output: str) -> int:
    """Have all processes read the configuration file again, as it is: as SIGHUP to each, with an answer.

    Exit codes as of `ixn cluster apply`.
    """
    known = configuration(context)
    return _put_in_force(Step(known, known), Way(False, skip_away, output), [])


# ---- what all of them do


class Step(NamedTuple):
    """From one configuration to another."""

    old: Configuration
    new: Configuration

    @property
    def servers(self) -> dict[str, list[Endpoint]]:
        """All that are asked."""
        return servers(self.old, self.new)

    @property
    def come(self) -> set[str]:
        """Servers that are new."""
        return servers(self.new).keys() - servers(self.old).keys()

    @property
    def gone(self) -> set[str]:
        """Servers that are to be no more."""
        return servers(self.old).keys() - servers(self.new).keys()


class Way:
    """How it is to be done."""

    def __init__(self, dry_run: bool, skip_away: bool, output: str) -> None:
        self.dry_run = dry_run
        self.skip_away = skip_away
        self.output = output


def _apply(context: click.Context, content: bytes, name: str, way: Way) -> int:
    """:raises ConfigurationFaults: it has faults"""
    try:
        text = content.decode()
    except UnicodeDecodeError as fault:
        raise BadData(f"{name}: expected text in UTF-8: {fault}") from None
    verdict = judge(text, name)
    if verdict.faults:
        raise ConfigurationFaults(verdict.faults)
    for warning in verdict.warnings:
        click.echo(as_warning(warning), err=True)
    path = Path(context.obj["config"])
    step = Step(_in_force(path, verdict), verdict.configuration)
    changes = [str(change) for change in differences(*step)]
    answers = ask_all(step.servers, RequestReconfigure(configuration=text))
    refused = _complain(answers, step, way)
    if way.dry_run or refused is not None:
        _print_plan(changes, answers, step, way)
        return Exit.FINE if refused is None else refused
    if path.exists() and path.read_bytes() != content:
        shutil.copy2(path, path.with_name(f"{path.name}.old"))
    write(path, content)
    return _put_in_force(step, way, changes)


def _in_force(path: Path, verdict: Verdict) -> Configuration:
    """What the file says now, as the processes have read it; where it has faults, the new one says where they are."""
    current = examine(str(path))
    if current.faults:
        click.echo(f"{path} cannot be compared, it has faults: {current.faults[0]}", err=True)
        return verdict.configuration
    return current.configuration


def _complain(answers: Answers, step: Step, way: Way) -> int | None:
    """Says who refuses and who does not answer. The exit code to end with; None: it may be done"""
    against = _against(answers, step)
    for name, lines in against["refused"].items():
        for line in lines:
            click.echo(f"{name} refuses: {line}", err=True)
    for name in against["away"]:
        click.echo(f"{name} does not answer" + ("" if way.skip_away else "; --skip-away goes on without it"), err=True)
    if against["refused"]:
        return Exit.NO
    return Exit.UNAVAILABLE if against["away"] and not way.skip_away else None


def _against(answers: Answers, step: Step) -> dict[str, Any]:
    """Who refuses, and why; who does not answer, though it should; who is still to be started or ended."""
    refused = {name: _reasons(error) for name, error in answers.items() if isinstance(error, ClientError)}
    away = [name for name, error in answers.items() if isinstance(error, (Unavailable, TimeoutError))]
    return {
        "refused": refused,
        "away": [name for name in away if name not in step.come],
        "to_start": [name for name in away if name in step.come],
        "to_end": [name for name in answers if name in step.gone and name not in away],
    }


def _reasons(error: ClientError) -> list[str]:
    detail = str(error.reply.get("detail") or error)
    return detail.splitlines() if error.code == Code.WRONG_CONFIGURATION else [f"{error.code} {detail}"]


def _put_in_force(step: Step, way: Way, changes: list[str]) -> int:
    """All processes read the file; waits until each shows the configuration that it has answered with."""
    answers = ask_all(step.servers, RequestReconfigure())
    refused = _complain(answers, step, way)
    fingerprints = {name: answer["fingerprint"] for name, answer in answers.items() if isinstance(answer, dict)}
    seen, agreed = confirm(*step, fingerprints)
    kept = _kept(answers, step)
    _print_result({"changes": changes, **kept, **_against(answers, step), "members": seen}, way)
    if refused is not None:
        return refused
    if not agreed:
        raise TimeoutError(f"not all members have shown the new configuration within {CONFIRM_S:g} s")
    return Exit.NO if kept["kept"] else Exit.FINE


def _kept(answers: Answers, step: Step) -> dict[str, dict[str, list[str]]]:
    """By server: what is not in force until it is restarted. Those that are to be no more are not meant."""
    replies = {name: answer for name, answer in answers.items() if isinstance(answer, dict) and name not in step.gone}
    return {"kept": {name: reply["kept"] for name, reply in replies.items() if reply.get("kept")}}


# ---- as text


def _print_plan(changes: list[str], answers: Answers, step: Step, way: Way) -> None:
    document = {"changes": changes, **_kept(answers, step), **_against(answers, step)}
    if way.output != "text":
        print_document(document, way.output)
        return
    _print_changes(document, "would be changed")


def _print_result(document: dict[str, Any], way: Way) -> None:
    if way.output != "text":
        print_document(document, way.output)
        return
    _print_changes(document, "changed")
    made = table("configurations", ("process", "fingerprint"))
    for name, mark in document["members"].items():
        made.add_row(name, mark or "does not answer")
    print_table(made)


def _print_changes(document: dict[str, Any], what: str) -> None:
    click.echo(f"{len(document['changes'])} {what}" if document["changes"] else f"nothing {what}")
    for change in document["changes"]:
        click.echo(f"  {change}")
    for name, sentences in document["kept"].items():
        for sentence in sentences:
            click.echo(f"not before {name} is restarted: {sentence}", err=True)
    for name in document["to_start"]:
        click.echo(f"{name} does not run yet: start it", err=True)
    for name in document["to_end"]:
        click.echo(f"{name} is not in the file any more: end it", err=True)
