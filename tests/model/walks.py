"""Walks: hundreds of acts in a row, drawn from one seed, with node and model compared after each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.model.play import Play

STEPS = 400
ACTS = (
    [Play.ask] * 14
    + [Play.go_on] * 16
    + [Play.wait] * 6
    + [Play.fold] * 4
    + [Play.repeat] * 3
    + [Play.line] * 2
    + [Play.edit, Play.go, Play.crash]
)


class Walked(NamedTuple):
    """A walk that is over.

    :param steps: how many were made; :param fault: what was wrong in the last one, in words
    :param lines: what happened last, one thing a line
    :param done: how often each request was acked, and ``name!`` how often it was refused
    """

    seed: int
    steps: int
    fault: str | None
    lines: list[str]
    done: Counter[str]


def walk(seed: int, steps: int = STEPS) -> Walked:
    """Plays a seed's walk, up to the first step in which the node is not as the model has it. Never raises: what the
    node raises is wrong, too."""
    chance, made, fault = Random(seed), 0, None
    with TemporaryDirectory() as folder:
        play = Play(Path(folder))
        try:
            play.begin()
            while made < steps:
                made += 1
                chance.choice(ACTS)(play, chance)
                play.compare()
        except Exception as wrong:  # noqa: BLE001 - a node that raises is as wrong as one that answers something else
            fault = f"{type(wrong).__name__}: {wrong}"
        play.served.close()
    return Walked(seed, made, fault, play.served.lines(), play.done)
