"""What the clients do: media servers, routing engines, agents' applications, operators; and who has the last word."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from tests.sim.clients import OK, Client, Note, Operation, Script, Sleep
from tests.sim.law import CONDITIONS, ORDERS, SERVICE, STRATEGY, VIEWS, WORKBIN
from tests.sim.plan import QUEUES, TENANT

if TYPE_CHECKING:
    from tests.sim.world import World


def a_list(random: Random) -> dict[str, Any]:
    """Which order a list is to have, and how long it may be."""
    return {"order": random.choice(list(ORDERS)), "count": random.choice((1, 2, 3, 5, 10_000))}


class Media(Client):
    """A media server: brings interactions in, looks at them, changes them, stops them."""

    kind = "MediaServer"

    def script(self) -> Script:
        self.mine: list[str] = []
        for _ in range(self.world.plan.requests):
            deed = self._random.choice(self._deeds()) if self.mine else Media._submit
            yield from deed(self)
            yield Sleep(self._moments())

    def _deeds(self) -> list[Callable[[Media], Script]]:
        plan = self.world.plan
        return [
            Media._submit,
            Media._submit,
            Media._submit,
            Media._get,
            Media._change,
            Media._stop,
            Media._place,
            Media._find,
            Media._find,
            Media._look_into_a_workbin,
            Media._hold,
            *[Media._call_a_service] * (3 if plan.services or plan.direct_services else 0),
        ]

    def _submit(self) -> Script:
        fields: dict[str, Any] = {
            "tenant_id": TENANT,
            "media_type": self._random.choice(("email", "voice")),
            "queue": self._random.choice(QUEUES),
            "priority": self._random.randrange(4),
            "user_data": {"n": self._numbers},
        }
        if self.world.plan.clerks and self._random.random() < 0.7:
            clerk = f"clerk{self._random.randrange(self.world.plan.clerks)}"
            del fields["queue"]
            fields["workbin"] = {"type": WORKBIN, "agent_id": clerk}
        if self._random.random() < 0.3:
            fields["interaction_id"] = f"own-{self.name}-{self._random.randrange(4)}"
        done = yield from self.ask("RequestSubmit", **fields)
        if done.outcome == OK:
            self.mine.append(done.reply["interaction_id"])

    def _one(self) -> str:
        return self._random.choice(self.mine)

    def _get(self) -> Script:
        yield from self.ask("RequestGetInteractionProperties", interaction_id=self._one())

    def _change(self) -> Script:
        changes = {"priority": self._random.randrange(4), "seen": self._numbers}
        yield from self.ask("RequestChangeProperties", interaction_id=self._one(), changed_properties=changes)

    def _stop(self) -> Script:
        yield from self.ask("RequestStopProcessing", interaction_id=self._one())

    def _place(self) -> Script:
        yield from self.ask("RequestPlaceInQueue", interaction_id=self._one(), queue=self._random.choice(QUEUES))

    def _find(self) -> Script:
        yield from self.ask(
            "RequestFindInteractions",
            tenant_id=TENANT,
            condition=self._random.choice(list(CONDITIONS)),
            **a_list(self._random),
        )

    def _look_into_a_workbin(self) -> Script:
        if self.world.agent_names:
            workbin = {"type": WORKBIN, "agent_id": self._random.choice(self.world.agent_names)}
            yield from self.ask("RequestGetWorkbinContent", tenant_id=TENANT, workbin=workbin, **a_list(self._random))

    def _hold(self) -> Script:
        ident = self._one()
        done = yield from self.ask("RequestHold", interaction_id=ident)
        if done.outcome == OK and self._random.random() < 0.7:
            yield Sleep(self._moments())
            yield from self.ask("RequestResume", interaction_id=ident)

    def _call_a_service(self) -> Script:
        """About an interaction, or nothing; the server may write into it."""
        fields: dict[str, Any] = {"timeout": self._random.choice((0.4, 1.0))}
        if self._random.random() < 0.6:
            fields["interaction_id"] = self._one()
        if self._random.random() < 0.4:
            fields["repeatable"] = True
        service = {"Service": SERVICE, "Method": "Sort", "Parameters": {"N": f"{self.name}-{self._numbers + 1}"}}
        yield from self.ask("Request3rdServer", tenant_id=TENANT, request=service, patience=4, **fields)


class Router(Client):
    """A routing engine: pulls, and delivers, places or stops what it got."""

    kind = "RoutingEngine"

    def script(self) -> Script:
        for _ in range(self.world.plan.requests):
            yield from self._pull()
            yield Sleep(self._moments())

    def _pull(self) -> Script:
        if self._random.random() < 0.25 and self.world.known_ids:
            ids = self._random.sample(self.world.known_ids, min(len(self.world.known_ids), self._random.choice((1, 3))))
            done = yield from self.ask(
                "RequestPull", tenant_id=TENANT, view_id="_system_", pull_parameters={"interaction_ids": ids}
            )
        else:
            fields: dict[str, Any] = {
                "view_id": self._random.choice(list(VIEWS)),
                "count": self._random.choice((1, 1, 3)),
            }
            if self._random.random() < 0.4:
                fields["extension"] = {"pull-for-strategy": 1}
            done = yield from self.ask("RequestPull", tenant_id=TENANT, strategy_id="S1", **fields)
        if done.outcome == OK:
            if done.dedup and done.reply["interactions"] and self._heap.chance(self.world.plan.repeats):
                yield from self.repeat(done)
            for granted in done.reply["interactions"]:
                yield from self._route(granted)

    def _route(self, granted: dict[str, Any]) -> Script:
        ident, token = granted["interaction_id"], granted["token"]
        agents = self.world.agent_names
        if agents and self._random.random() < 0.7:
            agent = self._random.choice(agents)
            if self._heap.chance(self.world.plan.reserves):
                yield from self._reserve(agent, granted["media_type"])
            done = yield from self.ask("RequestDeliver", interaction_id=ident, token=token, agent_id=agent)
            if done.outcome == OK:
                return
        if self._random.random() < 0.3:
            return  # its holder forgets it
        if self._random.random() < 0.5:
            yield from self.ask("RequestStopProcessing", interaction_id=ident, token=token)
        else:
            yield from self.ask(
                "RequestPlaceInQueue", interaction_id=ident, token=token, queue=self._random.choice(QUEUES)
            )

    def _reserve(self, agent: str, media_type: str) -> Script:
        """It wants the agent for itself; and often thinks better of it, or is too late."""
        who = {"tenant_id": TENANT, "agent_id": agent}
        more: dict[str, Any] = {"media_type": media_type} if self._random.random() < 0.7 else {}
        if self._random.random() < 0.3:
            more["timeout"] = 0.4
        rank = self._random.randrange(3)
        done = yield from self.ask("RequestReserveAgent", patience=3, priority=rank, **who, **more)
        if done.outcome == OK:
            yield Sleep(self._random.choice((0.0, self._random.uniform(0.0, 1.2))))
            if self._random.random() < 0.2:
                yield from self.ask("RequestCancelAgentReservation", patience=3, **who)


class Engine(Router):
    """A routing engine that has loaded a strategy, and is sent what comes into its views. ``sent`` is what it got."""

    def __init__(self, world: World, name: str, servers: list[str]) -> None:
        self.sent: list[dict[str, Any]] = []
        super().__init__(world, name, servers)

    def script(self) -> Script:
        loaded_as = 0
        for _ in range(self.world.plan.requests):
            if loaded_as != self.sessions or not self._registered or self._random.random() < 0.1:
                done = yield from self.ask("RequestLoadStrategy", tenant_id=TENANT, strategy_id=STRATEGY, patience=3)
                loaded_as = self.sessions if done.outcome == OK else 0
            note = yield Note(self._random.uniform(0.1, 0.6))
            if note is not None and note["message"] == "EventRouteRequest":
                self.sent.append(note)
                yield from self._route({**note["interaction"], "token": note["token"]})
        yield from self.ask("RequestUnloadStrategy", tenant_id=TENANT, strategy_id=STRATEGY, patience=20)


class Searcher(Client):
    """A supervisor's application: looks for interactions, in orders of its own, and often wants only the first."""

    kind = "Monitor"

    def script(self) -> Script:
        self.snapshots: list[tuple[Operation, Operation]] = []
        """What was taken, and how it was read."""
        for _ in range(2 * self.world.plan.requests):
            if self._random.random() < 0.3:
                yield from self._take_a_snapshot()
            condition = self._random.choice(list(CONDITIONS))
            yield from self.ask(
                "RequestFindInteractions", tenant_id=TENANT, condition=condition, **a_list(self._random)
            )
            yield Sleep(self._moments())

    def _take_a_snapshot(self) -> Script:
        """And reads it, and lets it go."""
        condition, order = self._random.choice(list(CONDITIONS)), self._random.choice(list(ORDERS))
        what = {"condition": condition, "order": order, "check_interactions_state": self._random.choice((0, 1))}
        taken = yield from self.ask("RequestTakeSnapshot", tenant_id=TENANT, **what)
        if taken.outcome != OK:
            return
        yield Sleep(self._moments())
        snapshot = {"snapshot_id": taken.reply["snapshot_id"]}
        read = yield from self.ask("RequestGetSnapshotInteractions", number_of_interactions=10_000, **snapshot)
        self.snapshots.append((taken, read))
        yield from self.ask("RequestReleaseSnapshot", patience=3, **snapshot)


class Operator(Client):
    """Asks for switchovers when it is told to."""

    kind = "Monitor"

    def script(self) -> Script:
        while True:
            while not self.world.switchovers:
                yield Sleep(0.05)
                if self.world.healed:
                    return
            yield from self.ask("RequestSwitchover", node=self.world.switchovers.pop(), dedup=False, patience=1)


class LastWord(Client):
    """When there is peace: everything once more, and all of it has to be answered well."""

    kind = "MediaServer"

    def script(self) -> Script:
        while not self.world.peaceful:
            yield Sleep(0.1)
        for _ in range(2 * self.world.plan.nodes):
            done = yield from self.ask("RequestSubmit", tenant_id=TENANT, media_type="email", queue="Second")
            yield from self.ask("RequestGetInteractionProperties", interaction_id=done.reply["interaction_id"])
            yield from self.ask("RequestStopProcessing", interaction_id=done.reply["interaction_id"])
        yield from self.ask(
            "RequestFindInteractions", tenant_id=TENANT, condition="", order="priority desc", count=10_000
        )
