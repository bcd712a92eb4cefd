"""Two configurations beside each other: what differs, and what of a new one a running process can take on.

A process has bound its addresses, opened its database and connected to its nodes when it started. What of a new
configuration would need that anew stays as it was until it is restarted; :data:`Fixed` says which options those are,
and why. All else is taken on as the file has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from .checks import check
from .faults import Fault, Findings, key_of
from .listing import spelt
from .locator import Locator, Path
from .objects import Configuration

_FINGERPRINT = 12
"""Characters of a fingerprint."""


class Change(NamedTuple):
    """One option, or one whole table, that differs.

    :param old: as plain values; None: it was not there, or not set
    :param new: the same
    """

    path: Path
    old: Any
    new: Any

    @property
    def key(self) -> str:
        """The option as TOML spells it."""
        return key_of(self.path)

    def __str__(self) -> str:
        if isinstance(self.new, dict):
            return f"{self.key}: added"
        if isinstance(self.old, dict):
            return f"{self.key}: removed"
        return f"{self.key}: {spelt(self.new)}, was {spelt(self.old)}"


class Fixed(NamedTuple):
    """What stays as it is until a restart.

    :param pattern: a path, ``*`` for any key; what is below it is meant, too
    :param why: the end of a sentence that begins with the key
    :param removal: only that it is gone is not taken on; what is in it may change
    """

    pattern: tuple[str, ...]
    why: str
    removal: bool = False

    def holds(self, change: Change) -> bool:
        """Whether this is such a change."""
        if self.removal:
            return change.new is None and len(change.path) == len(self.pattern) and self._matches(change.path)
        return self._matches(change.path)

    def _matches(self, path: Path) -> bool:
        """Of the paths that are here, one may also be above the pattern: a whole table that came or went."""
        return all(part in ("*", own) for part, own in zip(self.pattern, path, strict=False))


class Adopted(NamedTuple):
    """What a process makes of a new configuration.

    :param configuration: what is in force then
    :param changed: what it takes on; :param kept: what stays until a restart, each with the reason
    """

    configuration: Configuration
    changed: list[Change]
    kept: list[tuple[Change, str]]


def differences(old: Configuration, new: Configuration) -> list[Change]:
    """All that differs, in the order of the file's sections. What comes or goes as a whole is one change."""
    return list(_differences(_plain(old), _plain(new), ()))


def adopt(old: Configuration, new: Configuration, fixed: Iterable[Fixed]) -> Adopted:
    """What a process that runs with ``old`` takes on of ``new``.

    :param fixed: what it cannot change while it runs
    :raises ValueError: what stays and what is new contradict each other; the text says how
    """
    rules = list(fixed)
    changed: list[Change] = []
    kept: list[tuple[Change, str]] = []
    merged = _plain(new)
    for change in differences(old, new):
        rule = next((rule for rule in rules if rule.holds(change)), None)
        if rule is None:
            changed.append(change)
        else:
            kept.append((change, rule.why))
            _put_back(merged, change)
    if not kept:
        return Adopted(new, changed, [])
    return Adopted(_checked(merged), changed, kept)


def fingerprint(configuration: Configuration) -> str:
    """A short text that two configurations share when they say the same, however their files are written."""
    text = msgspec.json.encode(_plain(configuration), order="sorted")
    return hashlib.sha256(text).hexdigest()[:_FINGERPRINT]


def encode_document(configuration: Configuration) -> bytes:
    """A configuration as JSON, for the journal."""
    return msgspec.json.encode(configuration)


decode_document = msgspec.json.Decoder(Configuration).decode
"""The configuration in such JSON; raises ``msgspec.MsgspecError``: it is none of this release."""


def _plain(configuration: Configuration) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(configuration, str_keys=True)
    return plain


def _differences(old: dict[str, Any], new: dict[str, Any], path: Path) -> Iterator[Change]:
    for key in dict.fromkeys((*old, *new)):
        before, after, here = old.get(key), new.get(key), (*path, key)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(before, after, here)
        elif before != after:
            yield Change(here, before, after)


def _put_back(document: dict[str, Any], change: Change) -> None:
    """The old value in the place of the new one."""
    for key in change.path[:-1]:
        document = document.setdefault(str(key), {})
    if change.old is None:
        document.pop(str(change.path[-1]), None)
    else:
        document[str(change.path[-1])] = change.old


def _checked(document: dict[str, Any]) -> Configuration:
    try:
        configuration = msgspec.convert(document, Configuration, strict=False)
    except msgspec.ValidationError as fault:
        raise ValueError(str(fault)) from None
    findings = Findings("", Locator(""))
    check(configuration, findings)
    if findings.faults:
        raise ValueError("; ".join(_sentence(fault) for fault in findings.faults))
    return configuration


def _sentence(fault: Fault) -> str:
    return f"{fault.key}: {fault.text}"
