"""Supervisors that take snapshots, with locks and without, read and move what is in them, let them go or expire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.sim.clients import OK, Client, Operation, Script, Sleep
from tests.sim.law import CONDITIONS, ORDERS
from tests.sim.plan import EXPIRES_S, QUEUES, TENANT

if TYPE_CHECKING:
    from tests.sim.world import World


class Mover(Client):
    """``snapshots`` are those it took and how each was read at once, ``rounds`` what it did with each."""

    kind = "Monitor"

    def __init__(self, world: World, name: str, servers: list[str]) -> None:
        self.snapshots: list[tuple[Operation, Operation]] = []
        self.rounds: list[list[Operation]] = []
        super().__init__(world, name, servers)

    def script(self) -> Script:
        for _ in range(self.world.plan.requests):
            taken = yield from self._take_one({})
            if taken.outcome == OK:
                yield from self._use(taken.reply["snapshot_id"])
            yield Sleep(self._moments())
            yield from self._lock_something()

    def _take_one(self, more: dict[str, Any]) -> Script:
        lock = self._random.choice((0, 1, 1))
        what = {
            "condition": self._random.choice(list(CONDITIONS)),
            "order": self._random.choice(list(ORDERS)),
            "check_interactions_state": 1 if lock else self._random.randrange(2),
        }
        taken = yield from self.ask("RequestTakeSnapshot", tenant_id=TENANT, lock=lock, **what, **more, patience=4)
        if taken.outcome == OK:
            self.rounds.append([taken])
        return taken

    def _use(self, snapshot: str) -> Script:
        taken = self.rounds[-1][0]
        read = yield from self._with(snapshot, "RequestGetSnapshotInteractions", number_of_interactions=10_000)
        self.snapshots.append((taken, read))
        there = read.reply["interactions"] if read.outcome == OK else []
        for _ in range(self._random.choice((0, 1, 1, 2))):
            yield Sleep(self._moments())
            yield from self._do_something(snapshot, [one["interaction_id"] for one in there])
        choice = self._random.random()
        if choice < 0.6:
            yield from self._with(snapshot, "RequestReleaseSnapshot")
        elif choice < 0.75:
            yield Sleep(EXPIRES_S + self._random.uniform(0.3, 0.8))
            yield from self._with(snapshot, "RequestGetSnapshotInteractions")
        elif choice < 0.85:
            again = yield from self._take_one({"snapshot_id": snapshot})
            if again.outcome == OK:
                yield from self._with(again.reply["snapshot_id"], "RequestReleaseSnapshot")

    def _do_something(self, snapshot: str, there: list[str]) -> Script:
        choice = self._random.random()
        if choice < 0.6:
            queue = self._random.choice(QUEUES)
            yield from self._with(snapshot, "RequestMoveInteractions", queue=queue)
        elif choice < 0.7:
            yield from self._with(snapshot, "RequestGetSnapshotInteractions", start_from=1, number_of_interactions=2)
        elif choice < 0.85 and there:
            yield from self._with(snapshot, "RequestUnlockInteraction", interaction_id=self._random.choice(there))
        elif there:
            ident, queue = self._random.choice(there), self._random.choice(QUEUES)
            yield from self.ask("RequestPlaceInQueue", interaction_id=ident, queue=queue, patience=4)

    def _with(self, snapshot: str, message: str, **fields: Any) -> Script:
        done = yield from self.ask(message, snapshot_id=snapshot, patience=4, **fields)
        self.rounds[-1].append(done)
        return done

    def _lock_something(self) -> Script:
        """One interaction, and lets it go again."""
        if self.world.known_ids and self._random.random() < 0.4:
            ident = self._random.choice(self.world.known_ids)
            done = yield from self.ask("RequestLockInteraction", interaction_id=ident, patience=4)
            if done.outcome == OK or self._random.random() < 0.3:
                yield Sleep(self._moments())
                yield from self.ask("RequestUnlockInteraction", interaction_id=ident, patience=4)
