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
    """All that a view has; its segments in the order of their turns."""
    return {
        "of": view.of,
        "held": view.held_ids,
        "segment": view.segment_of,
        "live": [(segment, list(keys)) for segment, keys in view.live.by_value.items()],
        "ignoring holds": [(segment, list(keys)) for segment, keys in view.held.by_value.items()],
    }


def contents(memory: Memory) -> dict[str, Any]:
    """All that a memory has of interactions."""
    views = memory.views
    return {
        "interactions": memory.interactions,
        "views": {name: shape(view) for name, view in views.by_id.items()},
        "touched": views.touched,
        "asleep": (views.asleep, list(views._times)),
        "counts": {queue: counts for queue, counts in memory.queue_counts.items() if any(counts)},
        "external": memory.by_external_id,
        "workbins": {where: list(ids) for where, ids in memory.contents.ids.items()},
        "workbin views": {where: shape(view) for where, view in memory.contents.views.items()},
        "counters": memory.counters,
    }


@given(interactions())
def test_a_start_builds_what_one_by_one_would(those: list[Interaction]) -> None:
    """Given interactions in any state; when loaded at once; then memory and indexes are as if each had come alone."""
    one_by_one, at_once = Memory(CONFIGURATION), Memory(CONFIGURATION)
    one_by_one.views.now = at_once.views.now = NOW
    for interaction in those:
        one_by_one.add(copy(interaction))
    at_once.load(iter([copy(interaction) for interaction in those]))
    assert contents(at_once) == contents(one_by_one)
    assert not at_once.dirty and not at_once.changes and not at_once.contents.moves, "nothing is to be written or told"


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
