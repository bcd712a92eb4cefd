"""Any SQLite tool at a database, as a process of its own: Python's ``sqlite3``; run by the tests of the store.

It has to be a process: SQLite's locks belong to a process, and a second SQLite library in one process takes away those
of the first. ``sqlite_tool.py PATH``; each line is a JSON list ``[WORD, ARGUMENT …]``, each answer a line of JSON.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from typing import Any, Self


class Tool:
    """The tool, as the tests see it. At the end of the context it closes the database and ends."""

    def __init__(self, path: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", __file__, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def execute(self, sql: str, *values: object) -> list[Any]:
        """The rows of a statement."""
        return self._ask("execute", sql, *values)

    def backup(self, target: str, pages: int = 100) -> None:
        """What ``.backup`` of the ``sqlite3`` shell does: 100 pages a step; it begins anew when it finds that somebody
        has written between two steps. -1: all in one step."""
        self._ask("backup", target, pages)

    def _ask(self, *words: object) -> list[Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(words).encode() + b"\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return list(answer)

    def close(self) -> None:
        """Ends it, in order; if it was killed, that is waited for."""
        self.process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def answer(database: sqlite3.Connection, word: str, *arguments: Any) -> list[Any] | str:
    """Does what was asked. :returns: rows, or what went wrong"""
    try:
        if word == "execute":
            return database.execute(arguments[0], arguments[1:]).fetchall()
        copy = sqlite3.connect(arguments[0])
        database.backup(copy, pages=arguments[1], sleep=0)
        copy.close()
    except sqlite3.Error as error:
        return str(error)
    return []


def main(path: str) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    for line in sys.stdin:
        print(json.dumps(answer(database, *json.loads(line))), flush=True)
    database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
