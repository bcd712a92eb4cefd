"""Agents' applications: they log in, take or reject what they are offered, work on it, alone or with others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from tests.sim.clients import NOT_DONE, OK, REFUSED, UNKNOWN, UNSURE, Client, Note, Operation, Reply, Script, Sleep
from tests.sim.law import VIEWS, WORKBIN
from tests.sim.network import Frames
from tests.sim.plan import QUEUES, TENANT

if TYPE_CHECKING:
    from tests.sim.world import World


class Agent(Client):
    """An agent's application: logs in, takes or rejects what it is offered, works on it."""

    kind = "AgentApplication"

    def __init__(self, world: World, name: str, servers: list[str]) -> None:
        self.heard: list[tuple[float, dict[str, Any]]] = []
        """What it was told, and when."""
        self._tokens: dict[str, int] = {}
        self._asides: dict[bytes, Operation] = {}
        super().__init__(world, name, servers)

    # -- what comes while it waits for something else

    def _take(self, frames: Frames) -> None:
        ref, payload = frames
        aside = self._asides.pop(ref, None)
        if aside is not None:
            self._told(aside, orjson.loads(payload))
            return
        if not ref:
            note = orjson.loads(payload)
            self.heard.append((self._heap.now, note))
            if type(self._waits) is Reply and note.get("operation") == "Intrude":
                self._join(note)
                return
        super()._take(frames)

    def _join(self, note: dict[str, Any]) -> None:
        """It has asked for this itself: the ack comes when it has accepted."""
        ident, choice = note["interaction"]["interaction_id"], self._random.random()
        if choice < 0.9:
            self._tokens[ident] = note["token"]
            message = "RequestAccept" if choice < 0.75 else "RequestReject"
            self._aside(message, interaction_id=ident, ticket_id=note["ticket_id"])

    def _aside(self, message: str, **fields: Any) -> None:
        """Asks once, and does not wait for the answer."""
        self._numbers += 1
        operation = Operation(f"{self.name}-{self._numbers}", message, fields, False, self._heap.now)
        ref = b"aside %d" % self._numbers
        if self._send(ref, {"message": message, **fields, "reason": {"op": operation.name}}):
            operation.attempts.append((self._heap.now, self.server))
            self.operations.append(operation)
            self._asides[ref] = operation

    def _told(self, operation: Operation, reply: dict[str, Any]) -> None:
        operation.reply, operation.ended_at = reply, self._heap.now
        known = operation.code not in NOT_DONE | UNSURE
        operation.outcome = (REFUSED if operation.code else OK) if known else UNKNOWN
        self.world.answered(self, operation)

    # -- its day

    def script(self) -> Script:
        self._logged_in_as = 0
        self._ready = True
        for _ in range(self.world.plan.requests):
            yield from self._log_in()
            note = yield Note(self._random.uniform(0.1, 1.0))
            if note is None:
                yield from self._odd_job()
            elif note["message"] == "EventInvite":
                yield from self._answer(note)
        if self._random.random() < 0.5:
            yield from self.ask("RequestAgentLogout", agent_id=self.name, dedup=False, patience=20)
            self._logged_in_as = 0

    def _log_in(self) -> Script:
        if self._logged_in_as == self.sessions and self.sessions and self._registered:
            return
        done = yield from self.ask(
            "RequestAgentLogin",
            tenant_id=TENANT,
            agent_id=self.name,
            media_list={"email": 1, "voice": 1},
            dedup=False,
            patience=3,
        )
        if done.outcome == OK:
            self._logged_in_as = self.sessions

    def _odd_job(self) -> Script:
        if self._heap.chance(self.world.plan.parties / 2):
            yield from self._intrude()
            return
        deed = self._random.choice(("ready", "dnd", "pull", "nothing", "nothing"))
        if deed == "pull":
            view = self._random.choice((*VIEWS, f"{WORKBIN}/PrivateView"))
            done = yield from self.ask("RequestPull", tenant_id=TENANT, view_id=view, count=self._random.choice((1, 2)))
            if done.outcome == OK:
                for granted in done.reply["interactions"]:
                    yield from self._work(granted["interaction_id"], granted["token"])
        elif deed == "ready":
            self._ready = not self._ready
            request = "RequestCancelNotReadyForMedia" if self._ready else "RequestNotReadyForMedia"
            yield from self.ask(request, agent_id=self.name, media_type="email", dedup=False, patience=2)
        elif deed == "dnd":
            request = self._random.choice(("RequestDoNotDisturbOn", "RequestDoNotDisturbOff"))
            yield from self.ask(request, agent_id=self.name, dedup=False, patience=2)

    def _answer(self, note: dict[str, Any]) -> Script:
        ident, ticket = note["interaction"]["interaction_id"], note["ticket_id"]
        choice, answers = self._random.random(), 1 - self.world.plan.lazy
        if choice < 0.78 * answers:
            done = yield from self.ask("RequestAccept", interaction_id=ident, ticket_id=ticket)
            if done.outcome == OK:
                yield Sleep(self._moments())
                yield from self._work(ident, note["token"])
        elif choice < answers:
            yield from self.ask("RequestReject", interaction_id=ident, ticket_id=ticket)

    def _work(self, ident: str, token: int) -> Script:
        """Does something with what it has, perhaps with others."""
        self.world.in_hands[ident] = self.name
        if self._heap.chance(self.world.plan.parties):
            yield Sleep(self._moments())
            if not (yield from self._share(ident)):
                return
        yield from self._end(ident, token)
        self.world.in_hands.pop(ident, None)

    def _end(self, ident: str, token: int) -> Script:
        choice = self._random.random()
        if self._heap.chance(self.world.plan.parties / 2):
            yield from self.ask("RequestLeaveInteraction", interaction_id=ident)
        elif choice < 0.5:
            yield from self.ask("RequestStopProcessing", interaction_id=ident, token=token)
        elif choice < 0.7:
            queue = self._random.choice(QUEUES)
            yield from self.ask("RequestPlaceInQueue", interaction_id=ident, token=token, queue=queue)
        elif choice < 0.9:
            workbin = {"type": WORKBIN, "agent_id": self.name}
            yield from self.ask("RequestPlaceInWorkbin", interaction_id=ident, token=token, workbin=workbin)

    # -- with others

    def _share(self, ident: str) -> Script:
        """Gives it to another agent, or brings one in. :returns: whether it has it still, as far as it knows"""
        others = [name for name in self.world.agent_names if name != self.name]
        if not others:
            return True
        message = self._random.choice(("RequestTransfer", "RequestConference"))
        done = yield from self.ask(
            message, interaction_id=ident, agent_id=self._random.choice(others), patience=4, **self._offer()
        )
        if message == "RequestTransfer" and done.outcome != REFUSED:
            return False
        yield Sleep(self._moments())
        return True

    def _offer(self) -> dict[str, Any]:
        return {"timeout": self._random.choice((0.3, 0.8)), "visibility_mode": self._random.randrange(3)}

    def _intrude(self) -> Script:
        """Joins what another agent handles."""
        theirs = [ident for ident, agent in self.world.in_hands.items() if agent != self.name]
        if theirs:
            ident = self._random.choice(theirs)
            done = yield from self.ask("RequestIntrude", interaction_id=ident, patience=4, **self._offer())
            if done.outcome == OK and ident in self._tokens:
                yield Sleep(self._moments())
                yield from self._end(ident, self._tokens[ident])


class Clerk(Agent):
    """An agent's application that works through its own workbin: takes several at once, and puts most of them back."""

    def _odd_job(self) -> Script:
        fields = {"tenant_id": TENANT, "view_id": f"{WORKBIN}/PrivateView", "count": self._random.choice((1, 2, 3, 8))}
        if self._random.random() < 0.2:
            fields["ignore_hold"] = True
        done = yield from self.ask("RequestPull", **fields)
        if done.outcome != OK:
            return
        if done.dedup and done.reply["interactions"] and self._heap.chance(self.world.plan.repeats):
            yield from self.repeat(done)
        for granted in done.reply["interactions"]:
            yield from self._put_away(granted["interaction_id"], granted["token"])

    def _put_away(self, ident: str, token: int) -> Script:
        if self._random.random() < 0.6:
            workbin = {"type": WORKBIN, "agent_id": self.name}
            changes = {"priority": self._random.randrange(4)}
            yield from self.ask(
                "RequestPlaceInWorkbin", interaction_id=ident, token=token, workbin=workbin, changed_properties=changes
            )
        else:
            yield from self._work(ident, token)
