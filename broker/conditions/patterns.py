"""Patterns of ``like``: how a text is tested against one. Common forms need no regular expression."""

from __future__ import annotations

import re

MAX_PATTERN = 255
"""Characters of a pattern."""

Segment = list[str | None]
"""A piece of a pattern between two ``%``: characters, None for any one (``_``)."""


def segments_of(pattern: str, escape: str | None) -> list[Segment] | None:
    """A pattern split at its ``%``; None: it ends with a lone escape."""
    segments: list[Segment] = [[]]
    characters = iter(pattern)
    for character in characters:
        if character == escape:
            literal = next(characters, None)
            if literal is None:
                return None
            segments[-1].append(literal)
        elif character == "%":
            segments.append([])
        else:
            segments[-1].append(None if character == "_" else character)
    return segments


def matcher_of(segments: list[Segment]) -> tuple[str, object]:
    """How a pattern is tested: a template of ``{x}`` and ``{k}``, and what ``k`` is. Common forms need no regex."""
    if not any(None in segment for segment in segments):
        match ["".join(filter(None, segment)) for segment in segments]:
            case [text]:
                return "{x} == {k}", text
            case [text, ""]:
                return "{x}.startswith({k})", text
            case ["", text]:
                return "{x}.endswith({k})", text
            case ["", text, ""]:
                return "{k} in {x}", text
    return "{k}({x}) is not None", re.compile(_regex(segments), re.DOTALL).fullmatch


def _regex(segments: list[Segment]) -> str:
    """A pattern as a regular expression. The groups are atomic: the first place of a middle segment will do, so no text
    and no number of ``%`` make it try more than each segment at each place once."""
    first, *others = ["".join("." if it is None else re.escape(it) for it in segment) for segment in segments]
    if not others:
        return first
    return first + "".join(f"(?>.*?{segment})" for segment in others[:-1]) + ".*" + others[-1]
