"""Reads cluster.toml: text -> objects, or all of its faults at once."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from .checks import check
from .conversion import convert
from .faults import ConfigurationFaults, Fault, Findings
from .locator import Locator
from .objects import Configuration
from .symmetry import compare

_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class Verdict(NamedTuple):
    """What there is to say about a file.

    :param configuration: what could be read; the whole of it if there are no faults
    :param faults: why it is refused, in the order of the lines
    :param warnings: what works, but is not as the guide recommends
    """

    configuration: Configuration
    faults: list[Fault]
    warnings: list[Fault]


def load(path: str) -> Configuration:
    """The configuration in the file at ``path``.

    :raises ConfigurationFaults: it cannot be read, or anything in it is wrong
    """
    return _accepted(examine(path))


def parse(text: str, path: str = "cluster.toml") -> Configuration:
    """The configuration in ``text``. :param path: the file's name in faults

    :raises ConfigurationFaults: anything in it is wrong
    """
    return _accepted(judge(text, path))


def examine(path: str, *, cluster: bool = False) -> Verdict:
    """All there is to say about the file at ``path``. :param cluster: compare the nodes, too. Raises nothing"""
    try:
        content = FilePath(path).read_bytes()
        return judge(content.decode(), path, cluster=cluster)
    except UnicodeDecodeError as fault:
        return _unreadable(Fault(path, content.count(b"\n", 0, fault.start) + 1, "", "expected text in UTF-8"))
    except (OSError, ValueError) as fault:  # a NUL in the path is a ValueError
        reason = fault.strerror if isinstance(fault, OSError) else str(fault)
        return _unreadable(Fault(path, 0, "", f"cannot be read: {reason}"))


def judge(text: str, path: str, *, cluster: bool = False) -> Verdict:
    """All there is to say about ``text``. :param cluster: compare the nodes, too. Raises nothing"""
    try:
        document, locator = _read(text)
    except ValueError as fault:  # TOMLDecodeError is one; the language's bound on digits is one, too
        return _unreadable(_misspelt(text, path, str(fault)))
    except RecursionError:
        return _unreadable(Fault(path, 1, "", "not TOML that can be read: arrays or tables are nested too deep"))
    findings = Findings(path, locator)
    configuration = convert(document, Configuration, findings)
    check(configuration, findings)
    if cluster:
        compare(configuration, findings)
    return Verdict(configuration, findings.faults, findings.warnings)


def _read(text: str) -> tuple[dict[str, Any], Locator]:
    return tomllib.loads(text), Locator(text)


def _misspelt(text: str, path: str, message: str) -> Fault:
    """A fault of the TOML itself; the parser's sentence ends with the place."""
    place = _PLACE.search(message)
    last = text.removesuffix("\n").count("\n") + 1
    line = int(place[1] or last) if place else 1
    return Fault(path, line, "", f"not TOML: {_PLACE.sub('', message)}")


def _unreadable(fault: Fault) -> Verdict:
    return Verdict(Configuration(), [fault], [])


def _accepted(verdict: Verdict) -> Configuration:
    if verdict.faults:
        raise ConfigurationFaults(verdict.faults)
    return verdict.configuration
