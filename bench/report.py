"""The benches' results as tables: ``python -m bench.report var/bench.json``. A shell.

A table per group, a line per bench: the median of a run, and whatever the bench has noted besides (``extra_info``).
Where a group compares several ways to do the same, ``times_ixn`` is how many times the time of the cluster's own way
the others take.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

OURS = "ixn"
WIDTH = 180
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))

Bench = dict[str, Any]


def main(file: str) -> None:
    """Prints all tables of a file of pytest-benchmark."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    for group, benches in groups(orjson.loads(Path(file).read_bytes())["benchmarks"]).items():
        console.print(table(group, benches))
    console.print(f"All of it, with the spread of every median, is in {file}.")


def groups(benches: list[Bench]) -> dict[str, list[Bench]]:
    """The benches by group, both in the order in which they ran."""
    groups: dict[str, list[Bench]] = {}
    for bench in benches:
        groups.setdefault(bench["group"] or "others", []).append(bench)
    return groups


def table(group: str, benches: list[Bench]) -> Table:
    """One group."""
    rows = [columns(bench, benches) for bench in benches]
    names = list(dict.fromkeys(name for row in rows for name in row))
    made = Table(title=group, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        first = name == "bench"
        made.add_column(name.replace("_", " "), justify="left" if first else "right", no_wrap=first)
    for row in rows:
        made.add_row(*[shown(row.get(name, "")) for name in names])
    return made


def columns(bench: Bench, group: list[Bench]) -> dict[str, Any]:
    """What a bench's line shows."""
    row: dict[str, Any] = {"bench": name_of(bench), "median": duration(bench["stats"]["median"])}
    for name, value in bench["extra_info"].items():
        if isinstance(value, dict):
            row |= {f"{name} {part}": figure for part, figure in value.items()}
        else:
            row[name] = value
    ours = own_way(bench, group)
    if ours is not None:
        row["times_ixn"] = round(bench["stats"]["median"] / ours["stats"]["median"], 2)
    return row


def name_of(bench: Bench) -> str:
    """The bench's name without what is the same in all."""
    function, _, case = bench["name"].removeprefix("test_").rstrip("]").partition("[")
    return f"{function.replace('_', ' ')}: {case}" if case else function.replace("_", " ")


def own_way(bench: Bench, group: list[Bench]) -> Bench | None:
    """The bench that does the same in the cluster's own way, if this is one of several ways."""
    if "way" not in (bench["params"] or {}):
        return None
    same = bench["params"] | {"way": OURS}
    return next((other for other in group if other["params"] == same and _test(other) == _test(bench)), None)


def _test(bench: Bench) -> str:
    return str(bench["fullname"].partition("[")[0])


def duration(seconds: float) -> str:
    """A time with three digits and its unit."""
    for factor, unit in UNITS:
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def shown(value: Any) -> str:
    """A figure with commas, or a text."""
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    main(*sys.argv[1:])
