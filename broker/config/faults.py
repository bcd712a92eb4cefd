"""What is wrong with a configuration: all faults at once, each with file, line and key."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from .locator import Locator, Path

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Fault(NamedTuple):
    """One fault of a file.

    :param line: counted from 1; 0 when the file could not be read at all
    :param key: dotted path of the option as TOML would spell it; empty for a fault of the file's form
    :param text: what is wrong and what was expected
    """

    file: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.key, self.text) if part)


class ConfigurationFaults(Exception):
    """A configuration is refused. :attr:`faults` are all that is wrong, in the order of the lines."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


class Findings:
    """Collects the faults and warnings of one text while it is converted and checked.

    A value that is refused is stood in for by a placeholder, so that all else can be looked at; what the checks then
    find at or below that placeholder is not the reader's fault and is left out.
    """

    def __init__(self, file: str, locator: Locator) -> None:
        self._file = file
        self._locator = locator
        self._placeholders: set[Path] = set()
        self._faults: list[Fault] = []
        self._warnings: list[Fault] = []

    @property
    def faults(self) -> list[Fault]:
        """All faults, in the order of the lines."""
        return sorted(self._faults, key=lambda fault: fault.line)

    @property
    def warnings(self) -> list[Fault]:
        """All warnings, in the order of the lines."""
        return sorted(self._warnings, key=lambda fault: fault.line)

    def add(self, path: Path, text: str) -> None:
        """Notes a fault of the option at ``path``; the value is kept."""
        if not self.is_placeholder(path):
            self._faults.append(self._fault(path, text))

    def refuse(self, path: Path, text: str) -> None:
        """Notes a fault of the option at ``path``, whose value a placeholder will stand in for."""
        self.add(path, text)
        self._placeholders.add(path)

    def warn(self, path: Path, text: str) -> None:
        """Notes what is allowed, but not recommended, of the option at ``path``."""
        if not self.is_placeholder(path):
            self._warnings.append(self._fault(path, text))

    def is_placeholder(self, path: Path) -> bool:
        """True when the value at ``path`` is not what the file says."""
        return any(path[:length] in self._placeholders for length in range(1, len(path) + 1))

    def line(self, path: Path) -> int:
        """The line of the option at ``path``."""
        return self._locator.line(path)

    def _fault(self, path: Path, text: str) -> Fault:
        return Fault(self._file, self._locator.line(path), key_of(path), text)


def key_of(path: Path) -> str:
    """A path as TOML spells it: ``views."Inbound/all".order``, ``clusters.servers.connections[1]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{key_part(part)}"
    return text.removeprefix(".")


def key_part(part: str) -> str:
    """One key as TOML spells it, quoted where it must be."""
    return part if _BARE_KEY.fullmatch(part) else quoted(part)


def quoted(text: str) -> str:
    """A string as TOML spells it. JSON's escapes are TOML's too, but TOML also escapes DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
