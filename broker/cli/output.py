"""How commands print: ``-o``, JSON, tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click
import orjson
from rich.console import Console
from rich.table import Table

F = TypeVar("F", bound=Callable[..., Any])
_WIDE = 240
"""Columns of a table that goes to a file or another program."""


def output_option(default: str = "text") -> Callable[[F], F]:
    """The option ``-o``; its value comes as ``output``."""
    choice = click.Choice(["text", "json", "jsonl"])
    return click.option("-o", "--output", type=choice, default=default, show_default=True, help="How to print it.")


def print_json(value: Any, *, indent: bool = True) -> None:
    """Prints a value as JSON, over several lines or in one."""
    print_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0))


def print_bytes(line: bytes) -> None:
    """Prints JSON that is there already, byte for byte, and at once."""
    sys.stdout.flush()
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def print_document(value: Any, output: str) -> None:
    """Prints one document as ``json`` (to be read) or ``jsonl`` (in one line)."""
    print_json(value, indent=output == "json")


def table(title: str, columns: Iterable[str]) -> Table:
    """An empty table. A column whose name begins with ``#`` holds numbers."""
    made = Table(title=title, title_justify="left")
    for column in columns:
        made.add_column(column.lstrip("#"), justify="right" if column.startswith("#") else "left")
    return made


def print_table(made: Table) -> None:
    """Prints a table on stdout."""
    width = None if sys.stdout.isatty() else _WIDE
    Console(file=sys.stdout, width=width, highlight=False).print(made)


def counted(number: int, noun: str) -> str:
    """``1 call``, ``2 calls``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def cell(value: Any) -> str:
    """A value in a table; what is absent is left empty."""
    return "" if value is None else str(value)
