"""A node's memory: what it holds after a start is what it held before, however it was built."""

from __future__ import annotations

from copy import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from broker.messages.kinds import Workbin
from broker.messages.objects import Interaction
from node.memory import WORDS, Memory
from node.views import View
from tests.node.conftest import make_configuration

NOW = 100.0
CONFIGURATION = make_configuration()


@st.composite
def interactions(draw: st.DrawFn) -> list[Interaction]:
    """Interactions in all the states and places that there are."""
    few = st.integers(0, 3)
    return [
        Interaction(
            interaction_id=f"{draw(few)}-{number}",
            tenant_id=101,
            media_type=draw(st.sampled_from(["email", "chat"])),
            interaction_type="Inbound",
            interaction_state=draw(st.sampled_from([0, 0, 0, 2, 3])),
            queue=draw(st.sampled_from(["Inbound", "Fair", "Kept", None])),
            priority=draw(st.integers(0, 9)),
            is_online=0,
            received_at=float(draw(few)),
            submitted_at=5.0,
            submit_seq=draw(st.integers(1, 99)),
            place_in_queue_seq=draw(st.integers(1, 99)),
            is_locked=draw(st.sampled_from([0, 0, 1])),
            is_held=draw(st.sampled_from([0, 0, 1])),
            external_id=draw(st.sampled_from([None, "e", "f"])),
            scheduled_at=draw(st.sampled_from([None, None, NOW - 1, NOW, NOW + 1, NOW + 2])),
            workbin=draw(st.sampled_from([None, None, Workbin(type="Drafts", agent_id="VICKY")])),
            submitted_by=draw(st.sampled_from([None, "mail"])),
        )
        for number in range(draw(st.integers(0, 12)))
    ]


def shape(view: View) -> dict[str, Any]:
    """All that a view has; whose turn it is says no table."""
    return {
        "of": view.of,
        "held": view.held_ids,
        "segment": view.segment_of,
        "live": {segment: list(keys) for segment, keys in view.live.by_value.items()},
        "ignoring holds": {segment: list(keys) for segment, keys in view.held.by_value.items()},
    }


def contents(memory: Memory) -> dict[str, Any]:
    """All that a memory has of interactions."""
    views = memory.views
    return {
        "interactions": memory.interactions,
        "views": {name: shape(view) for name, view in views.by_id.items()},
        "asleep": (views.asleep, list(views._times)),
        "counts": {queue: counts for queue, counts in memory.queue_counts.items() if any(counts)},
        "external": memory.by_external_id,
        "workbins": memory.contents.ids,
        "workbin views": {where: shape(view) for where, view in memory.contents.views.items()},
        "counters": memory.counters,
    }


@given(interactions(), st.data())
def test_a_start_builds_what_one_by_one_would(those: list[Interaction], data: st.DataObject) -> None:
    """Given interactions in any state, some of which change and go; when a part of them is loaded from tables of any
    moment, and the journal is applied; then memory and indexes are as they were, and go on in the same way."""
    before, after = Memory(CONFIGURATION), Memory(CONFIGURATION)
    before.views.now = after.views.now = NOW
    tables = {}
    for interaction in those:
        before.add(copy(interaction))
        if data.draw(st.booleans()):
            tables[interaction.interaction_id] = copy(interaction)
        alter(before, before.interactions[interaction.interaction_id], data.draw(ALTERATIONS))
    after.load(iter(tables.values()))
    assert not after.dirty and not after.changes and not after.contents.moves, "nothing is to be written or told"
    after.apply(before.take_changes())
    after.fill()
    assert contents(after) == contents(before)
    for ident in list(before.interactions):
        alteration = data.draw(ALTERATIONS)
        alter(before, before.interactions[ident], alteration)
        alter(after, after.interactions[ident], alteration)
    assert contents(after) == contents(before)


ALTERATIONS = st.sampled_from(
    [
        None,
        {},
        {"queue": "Fair", "place_in_queue_seq": 100},
        {"is_held": 1},
        {"is_locked": 1},
        {"scheduled_at": NOW + 5},
        {"interaction_state": 3},
        {"external_id": "g"},
        {"workbin": None},
        {"priority": 7},
    ]
)
"""New values of some fields, or None: it is removed."""


def alter(memory: Memory, interaction: Interaction, fields: dict[str, Any] | None) -> None:
    if fields is None:
        memory.remove(interaction)
    elif fields:
        memory.update(interaction, **fields)


def test_the_same_words_are_kept_once() -> None:
    """Given interactions whose queues and media types are copies of the same words; when they have come, been loaded or
    moved; then they share them, and words are not kept without end."""

    def made(number: int, queue: str) -> Interaction:
        data = {"interaction_id": str(number), "tenant_id": 101, "interaction_type": "In" + "bound" * (number > -1)}
        rest = {"interaction_state": 0, "priority": 1, "is_online": 0, "received_at": 1.0, "submitted_at": 1.0}
        seqs = {"submit_seq": number, "place_in_queue_seq": number, "submitted_by": "".join(["ma", "il"])}
        return Interaction(**data, **rest, **seqs, media_type="".join(["e", "mail"]), queue=queue)  # type: ignore[arg-type]

    memory = Memory(CONFIGURATION)
    memory.load([made(1, "".join(["In", "bound"]))])
    memory.fill()
    memory.add(made(2, "".join(["In", "bound"])))
    memory.add(made(3, "Kept"))
    memory.update(memory.interactions["3"], queue="".join(["In", "bound"]))
    first, *others = memory.interactions.values()
    for other in others:
        for word in ("queue", "media_type", "interaction_type", "submitted_by"):
            assert getattr(other, word) is getattr(first, word), word
    for number in range(4, 2 * WORDS + 4):
        memory.add(made(number, f"queue {number}"))
    assert len(memory._words) <= WORDS + 4
