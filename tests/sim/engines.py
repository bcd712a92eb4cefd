"""What a node sends to routing engines: to which one, and in which order.

A view's interactions go in the view's order, each to the engine that was sent nothing for longest of those that have
loaded the strategy and have room. While one has room nothing waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tests.sim.law import MOST_SUBMITTED, STRATEGY_VIEWS, in_view, order_of

if TYPE_CHECKING:
    from tests.sim.world import World

Faults = Iterator[str]
Document = dict[str, Any]
Rows = dict[str, Document]


def is_sent(holding: Document | None) -> bool:
    """Whether it was sent to an engine, which has it still."""
    return bool(holding and holding.get("view_id") and holding["holders"] and not holding["holders"][0].get("agent"))


class Lanes:
    """One node's. :param fault: is told what must not be

    ``doubts`` are what is wrong if every engine was there at that time.
    """

    def __init__(self, fault: Callable[[str], None]) -> None:
        self.doubts: list[tuple[float, str]] = []
        self._fault = fault
        self._turns: Counter[str] = Counter()
        self._turn = 0

    def activated(self) -> None:
        """Another member serves: it does not know whose turn it was."""
        self._turns.clear()

    def sent(self, at: float, holding: Document, there: Rows, loads: Rows, held: Rows) -> None:
        """An interaction is about to be an engine's. :param there: all interactions; ``held``: all holdings"""
        view, ident = holding["view_id"], holding["interaction_id"]
        session = holding["holders"][0]["session_id"]
        if there[ident]["interaction_state"] == 0:
            first = _first(view, there)
            if first != ident:
                self._fault(f"{ident} is sent from {view}, and {first} comes first")
            room = _with_room(loads, held)
            if session not in room:
                self.doubts.append((at, f"{ident} is sent to {session}; room have {room}"))
            elif any(self._turns[other] < self._turns[session] for other in room):
                turns = {other: self._turns[other] for other in room}
                self.doubts.append((at, f"{ident} is sent to {session}, and it was another one's turn: {turns}"))
        self._turn += 1
        self._turns[session] = self._turn

    def settle(self, at: float, there: Rows, loads: Rows, held: Rows) -> None:
        """The end of a row."""
        waiting = [first for view in STRATEGY_VIEWS if (first := _first(view, there)) is not None]
        room = _with_room(loads, held) if waiting and loads else []
        if room:
            self.doubts.append((at, f"{waiting} waits, and {room} have room"))


def _first(view: str, there: Rows) -> str | None:
    """What comes first in a view."""
    holds, place = in_view(view), order_of(view)
    waiting = [one for one in there.values() if holds(one)]
    return min(waiting, key=place)["interaction_id"] if waiting else None


def _with_room(loads: Rows, held: Rows) -> list[str]:
    """The sessions of the engines that may be sent something."""
    counts = Counter(
        holder["session_id"] for one in held.values() for holder in one["holders"] if not holder.get("agent")
    )
    return sorted({load["session_id"] for load in loads.values() if counts[load["session_id"]] < MOST_SUBMITTED})


def engines_have_their_turns(world: World) -> Faults:
    """While all is well every engine is there, and has its turn; and nothing waits for one that has room."""
    for node, model in world.models.items():
        for at, doubt in model.lanes.doubts:
            if world.is_calm(at):
                yield f"{node} at {at:.4f} s: {doubt}"
