"""``ixn replay``: plays recorded calls into the cluster and compares what came of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from broker.replay.calls import Call, read_calls
from broker.replay.player import Player, Progress
from broker.replay.report import Report
from broker.replay.tally import Figures

from .exits import Exit
from .output import counted, output_option, print_document, print_table, table
from .reach import endpoints

SAMPLE_DAY = "bank_calls_1999-08-01.csv"


def _speed(context: click.Context, parameter: click.Parameter, value: str) -> float | None:
    """The factor that ``--speed`` names; None for ``max``. :raises click.BadParameter: it is neither"""
    if value == "max":
        return None
    try:
        speed = float(value)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise click.BadParameter(f"expected a number above 0, or max; got {value}")
    return speed


@click.command("replay")
@click.argument("calls", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option(
    "--speed",
    metavar="N|max",
    default="max",
    show_default=True,
    callback=_speed,
    help="So many times faster than recorded; max: as fast as the cluster can, in the recorded order.",
)
@click.option("--limit", type=click.IntRange(min=0), help="Only the first rows of the file.")
@click.option("--tenant", type=int, default=101, show_default=True, help="Whose calls they are.")
@output_option()
@click.pass_context
def command(context: click.Context, /, output: str, **options: Any) -> int:
    """Play recorded CALLS (a CSV file; without one, the sample day) into the cluster.

    Acts as media server, routing engine, agents and reporting client at once: calls are submitted, delivered to the
    agent who took them, accepted and stopped, or hang up, in the order in which they were recorded. At the end the
    counts from the event stream stand beside those from the file. Exit code 1: they differ.

    With --speed max only the order is kept, so the stream's waits are those of the cluster; with --speed N they are
    multiplied by N, to compare them with the recorded ones. One replay at a time: it logs its agents out at the end.
    """
    calls = _read(options["calls"], options["limit"])
    run, tenant, speed = uuid4().hex[:12], options["tenant"], options["speed"]
    with (
        Player(endpoints(context, [tenant]), calls, run=run, tenant=tenant, speed=speed) as player,
        _progress() as progress,
    ):
        report = player.play(progress)
    if output == "text":
        _print(report)
    else:
        print_document(report.document(), output)
    return Exit.FINE if report.match else Exit.NO


def _read(path: Path | None, limit: int | None) -> list[Call]:
    """The calls of a file. :raises BadCalls, UnicodeDecodeError: it is no recording"""
    if path is None:
        with as_file(files("broker").joinpath("data", SAMPLE_DAY)) as sample:
            return _read(sample, limit)
    with path.open(newline="", encoding="utf-8") as lines:
        return read_calls(lines, limit)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    columns = (TextColumn("playing"), BarColumn(), MofNCompleteColumn(), TextColumn("decisions"), TimeElapsedColumn())
    with Bar(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("playing", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


# ---- as text


def _print(report: Report) -> None:
    click.echo(
        f"{counted(report.calls, 'call')}: {report.file.total.submitted} played, {report.vru_only} never left the voice"
        f" response unit, {report.phantom} phantom; {report.events} events in {report.seconds:.1f} s"
    )
    _print_queues(report)
    _print_agents(report)
    click.echo(_about_waits(report.speed))
    click.echo("The counts of stream and file match." if report.match else "The counts of stream and file DIFFER.")


def _print_queues(report: Report) -> None:
    waits = ("mean wait", "p90 wait", "within 20 s")
    made = table("stream | file", ("queue", "#submitted", "#answered", "#abandoned", *(f"#{name}" for name in waits)))
    nothing = Figures(0, 0, 0, 0, {}, None, None, None)
    for queue in sorted({*report.stream.queues, *report.file.queues}):
        made.add_row(queue, *_cells(report.stream.queues.get(queue, nothing), report.file.queues.get(queue, nothing)))
    made.add_section()
    made.add_row("total", *_cells(report.stream.total, report.file.total))
    print_table(made)


def _cells(stream: Figures, file: Figures) -> list[str]:
    counts = [_both(getattr(stream, name), getattr(file, name)) for name in ("submitted", "answered", "abandoned")]
    waits = [
        f"{_seconds(getattr(stream, name))} | {_seconds(getattr(file, name))}" for name in ("mean_wait", "p90_wait")
    ]
    return [*counts, *waits, f"{_share(stream.within_20s)} | {_share(file.within_20s)}"]


def _print_agents(report: Report) -> None:
    stream, file = report.stream.total.handled_by, report.file.total.handled_by
    made = table("handled by", ("agent", "#calls"))
    for agent in sorted({*stream, *file}):
        made.add_row(agent, _both(stream.get(agent, 0), file.get(agent, 0)))
    print_table(made)


def _both(stream: int, file: int) -> str:
    return str(stream) if stream == file else f"{stream} | {file} !"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value < 1 else f"{value:.1f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _about_waits(speed: float | None) -> str:
    if speed is None:
        return "Waits in seconds: the stream's are the cluster's own at full speed, the file's are the recorded ones."
    return f"Waits in seconds: the stream's are multiplied by {speed:g}, to compare them with the recorded ones."
