"""Interaction identifiers that carry their node.

An id made by the cluster has 16 characters, as in the Genesys schema: 4 of the node, 10 of the time in
microseconds (base 36), 2 of a check. The check tells an id of the cluster from one that a client made up, so a
proxy that has just started routes it without asking anyone. The node's part is derived from its name
(:func:`node_code`); the configuration refuses two nodes with the same part.
"""

from __future__ import annotations

from hashlib import blake2b
from zlib import crc32

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CODE_LENGTH, _TIME_LENGTH = 4, 10
ID_LENGTH = _CODE_LENGTH + _TIME_LENGTH + 2
_CHECKS = [first + second for first in _DIGITS for second in _DIGITS]


def _base36(number: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits


def _check(text: str) -> str:
    return _CHECKS[crc32(text.encode()) % len(_CHECKS)]


def node_code(name: str) -> str:
    """The 4 characters that stand for the node ``name`` in its interaction ids."""
    return _base36(crc32(name.encode()), _CODE_LENGTH)


def make_id(code: str, us: int) -> str:
    """An interaction id of the node with ``code``; unique because ``us`` is a fresh time of the node's clock."""
    text = code + _base36(us, _TIME_LENGTH)
    return text + _check(text)


def code_of(interaction_id: str) -> str | None:
    """The node's code in an id that the cluster made; None for an id of another make."""
    if len(interaction_id) != ID_LENGTH:
        return None
    text = interaction_id[:-2]
    return text[:_CODE_LENGTH] if _check(text) == interaction_id[-2:] else None


def time_of(interaction_id: str) -> int | None:
    """When an id was made, in µs; None for an id of another make."""
    if code_of(interaction_id) is None:
        return None
    return int(interaction_id[_CODE_LENGTH : _CODE_LENGTH + _TIME_LENGTH], 36)


def rendezvous(key: str, names: list[str]) -> list[str]:
    """``names`` in the key's own order of preference (highest random weight first).

    Adding or removing a name moves only the keys whose first choice it is.
    """
    return sorted(names, key=lambda name: blake2b(f"{name}\0{key}".encode(), digest_size=8).digest(), reverse=True)
