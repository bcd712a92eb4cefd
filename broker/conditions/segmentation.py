"""A segmentation: the one property by whose values a view's interactions are divided."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from lark import Token, Tree

from broker.config.objects import CustomProperty
from broker.messages.objects import Interaction

from .grammar import parse
from .properties import NO_CUSTOM, Custom, spellings
from .source import CACHED, Writer


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """A compiled segmentation.

    :param fields: the Interaction's attributes that it depends on
    :param value: interaction -> which segment it belongs to; null is a segment of its own
    """

    text: str
    fields: frozenset[str]
    value: Callable[[Interaction], Any]


def compile_segmentation(text: str, custom: Mapping[str, CustomProperty] = NO_CUSTOM) -> Segmentation | None:
    """The segmentation that ``text`` names, None for an empty one.

    :raises Refusal: ``BAD_CONDITION``: no such property, more than one, or a timestamp (which cannot segment)
    """
    if not text.strip():
        return None
    return _segmentation(text, spellings(custom))


@lru_cache(maxsize=CACHED)
def _segmentation(text: str, custom: Custom) -> Segmentation:
    writer = Writer("order", text, custom)
    items = [cast("list[Token]", cast("Tree[Token]", item).children) for item in parse("order", text).children]
    it = writer.property(items[0][0])
    if len(items) > 1 or len(items[0]) > 1:
        raise writer.fault(items[-1][-1], "a segmentation is the name of one property")
    if it.kind == "timestamp":
        raise writer.fault(items[0][0], f"{it.name} is a timestamp, which cannot divide into segments")
    return Segmentation(text, frozenset(writer.fields), writer.build(value=it.code)["value"])
