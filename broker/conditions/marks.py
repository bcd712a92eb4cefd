"""Marks: sort keys as bytes. Bytes that compare need no types and no order's text, so a proxy merges what nodes have
found by comparing their marks, and knows nothing else of it.

A term's bytes are never the beginning of another value's, so the terms of an order stand one behind the other:

- null: ``00``, before all else;
- a number: ``01`` and its inverted bits when it is negative, ``02`` and its bits, each as a double, big end first;
- a text: ``01``, its UTF-8 (which compares as its characters do) with ``00`` written as ``00 ff``, and ``00 00``;
- descending: all of it inverted.

A text that ends the mark may go without the two ``00``.
"""

from __future__ import annotations

from math import inf
from struct import Struct

signed = Struct(">Bd").pack
"""The first byte and a double's bits, big end first."""
_double = Struct(">d").pack
_INVERTED = bytes(255 - byte for byte in range(256))
_EXACT = 2**53
"""Whole numbers up to here are doubles."""


def number(value: float | None) -> bytes:
    """A number's mark. Beyond 2^53 whole numbers may be told apart no more (:func:`any_number`)."""
    if value is None:
        return b"\x00"
    if value < 0:
        return b"\x01" + _double(value).translate(_INVERTED)
    return signed(2, value + 0.0)  # of two zeros the one


def any_number(value: float | None) -> bytes:
    """The mark of a number out of user data: any whole number that JSON can say, and the double nearest to it."""
    if value is None:
        return b"\x00"
    try:
        near = float(value)
    except OverflowError:
        near = inf if value > 0 else -inf
    if -_EXACT < near < _EXACT or near in (inf, -inf) or type(value) is float:
        return number(near) + number(0)
    return number(near) + number(value - int(near))


def text(value: str | None) -> bytes:
    """A text's mark."""
    if value is None:
        return b"\x00"
    return b"\x01" + value.encode().replace(b"\x00", b"\x00\xff") + b"\x00\x00"


def descending(mark: bytes) -> bytes:
    """A term's mark that compares the other way round."""
    return mark.translate(_INVERTED)
