"""Bugs on purpose, one line each: walks in which nothing is found then would show that nothing is looked at."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from node import (
    agents,
    capacity,
    holdings,
    holds,
    interactions,
    invitations,
    licences,
    locks,
    moves,
    overdue,
    parties,
    pulls,
    repetitions,
    reservations,
    resumption,
    states,
    topics,
    workbins,
)
from node.folding import Folding
from node.strategies import Strategies

Function = Callable[..., Any]


class Bug(NamedTuple):
    """One line of a function of the node.

    :param line: as it is; :param instead: and as it is with the bug
    :param seed: of a walk that found it once, and is walked first
    """

    where: Function
    line: str
    instead: str
    seed: int = 0


PLANTED = {
    "a place in line is not the last": Bug(
        holdings._put, "node.memory.counters.place_seq + 1", "interaction.place_in_queue_seq", seed=1018
    ),
    "what comes back loses its workbin": Bug(
        holdings._return,
        "if holding.workbin is not None:",
        "if holding.workbin is not None and holding.queue is None:",
        seed=1005,
    ),
    "a hold outlives its holder": Bug(
        holdings._return, "end_hold(node, interaction, holding, cause)", "pass", seed=1006
    ),
    "moved_to_queue_at begins anew": Bug(
        holdings._put, "if same else node.now", "if not same else node.now", seed=1000
    ),
    "an old token is good": Bug(holdings.authorise, "holding.token != token", "False", seed=1001),
    "any server's lock lets anybody in": Bug(
        holdings.authorise, "lock.session_id == call.session.session_id", "lock.session_id", seed=1017
    ),
    "a party that leaves is not said": Bug(
        holdings.leave, "node.event(EventPartyRemoved, interaction, cause, party=holder.party)", "pass", seed=1000
    ),
    "the one who asked is not told": Bug(
        invitations.withdraw_all, "_refuse_asker(node, invitation, Code.WRONG_STATE, why)", "pass", seed=1001
    ),
    "an invitation does not end after a failure": Bug(
        invitations.resume, "node.memory.invitations.rows.items()", "()", seed=1004
    ),
    "a transfer keeps the one who asked": Bug(
        invitations._replaces, "[one for one in holding.holders if one not in old]", "list(holding.holders)", seed=1002
    ),
    "an invitation is for a second agent": Bug(
        invitations._answered,
        "asked = (agent.key, interaction.interaction_id)",
        "asked = (invitation and invitation.agent, interaction.interaction_id)",
        seed=1001,
    ),
    "a revoked agent is not told": Bug(holdings.report_revoked, "node.tell_agent(agent.key, note)", "pass", seed=1001),
    "an agent's silence is not noticed": Bug(
        overdue._heard_at, "heard.append(session.asked)", "heard.append(node.now)", seed=1004
    ),
    "nobody's time runs after a failure": Bug(resumption.resume, "overdue.watch(node, holding)", "pass", seed=1019),
    "reservations stand for ever after a failure": Bug(
        resumption.resume, "reservations.resume(node)", "pass", seed=1001
    ),
    "the last to want an agent has it": Bug(
        reservations._serve, "key=lambda wish: wish.rank", "key=lambda wish: -wish.rank", seed=1001
    ),
    "a reservation is not used up": Bug(reservations.used, "_release(node, agent.key)", "pass", seed=1029),
    "a reservation is for nobody": Bug(reservations.check, "row.session_id != session.session_id", "False", seed=1029),
    "a lock is not its owner's": Bug(locks.unlock, "row.session_id != call.session.session_id", "False", seed=1042),
    "a snapshot's interaction is moved wherever it is": Bug(
        moves._as_it_was, "interaction.place_in_queue_seq == pin.place_seq", "True", seed=1018
    ),
    "a held pull is not ended": Bug(
        pulls.Pulls.hold,
        "node.deadline(node.now + node.settings.pull_hold_timeout",
        "(lambda *a: None)(node.now",
        seed=1000,
    ),
    "a proxy is not told of a head": Bug(pulls.Pulls._tell, "if watch.told != shown:", "if not watch.told:", seed=1000),
    "what is locked can be pulled by its id": Bug(pulls._obstacle, "if interaction.is_locked:", "if False:", seed=1022),
    "a pull says another queue": Bug(
        pulls._grant, '"old_state": old_state', '"old_state": interaction.interaction_state', seed=1000
    ),
    "on hold counts": Bug(
        capacity._load, "if name in rules and not interaction.is_held:", "if name in rules:", seed=1001
    ),
    "one more than the capacity": Bug(capacity.Room.takes, "if left <= 0:", "if left < 0:", seed=1001),
    "a seat is not counted": Bug(licences.check_media, "_check(node, more, {})", "pass", seed=1000),
    "a reply is forgotten early": Bug(
        repetitions.keep, "node.now + node.settings.dedup_window", "node.now + 1.0", seed=1000
    ),
    "a reply is kept for ever": Bug(
        repetitions.resume, "node.deadline(to_seconds(answer.us)", "(lambda *a: None)(to_seconds(answer.us)", seed=1002
    ),
    "a removed media type keeps its reason": Bug(
        states.remove_media, "media_reasons=reasons", "media_reasons=agent.media_reasons", seed=1000
    ),
    "do-not-disturb is said the wrong way": Bug(
        states.disturb, "EventDoNotDisturbOff", "EventDoNotDisturbOn", seed=1000
    ),
    "a ready agent is said to be not ready": Bug(
        states.ready, "EventReadyForMedia", "EventNotReadyForMedia", seed=1002
    ),
    "resuming says that it is held": Bug(
        holds._set_held, "EventHeld if held else EventResumed", "EventHeld", seed=1000
    ),
    "a change is not said": Bug(
        interactions.place_in_queue, "report_change(node, call, interaction, changed, cause)", "pass", seed=1003
    ),
    "a stopped one is said to be where it is not": Bug(
        interactions.stop, "old_queue=old_queue, old_state=old_state", "old_queue=None, old_state=old_state", seed=1000
    ),
    "activity is nobody's": Bug(
        parties.update_activity, "cause = call.cause(holdings.as_actor(holder))", "cause = call.cause()", seed=1000
    ),
    "a placing is nobody's": Bug(
        interactions.place_in_queue, "cause = holdings.cause_of(node, call, holding)", "cause = call.cause()", seed=1003
    ),
    "a topic is told of twice": Bug(topics.tell, "table.rows[name].session_id: None", "name: None", seed=1001),
    "reporting ends with a subscription": Bug(
        topics.unsubscribe,
        "forget(node, call.session.session_id, reporting=False)",
        "forget(node, call.session.session_id)",
        seed=1042,
    ),
    "a workbin's watchers are told of nothing": Bug(workbins.settle, "_tell(node, move)", "pass", seed=1001),
    "a workbin's statistic counts what is on hold only": Bug(workbins.statistic, "count=all_", "count=held", seed=1001),
    "an agent's status is not told at login": Bug(
        agents.login, "node.tell_agent(agent.key, states.status_of(node, agent))", "pass", seed=1000
    ),
    "an engine's loads are forgotten in a failure": Bug(Strategies.restore, "self.add(node, row)", "pass", seed=1010),
    "the tables are behind": Bug(Folding._cut, "self._mark if last else None", "self._mark", seed=1000),
}


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """While this lasts the node has this bug; None: none. :raises ValueError: the line is not there any more"""
    if name is None:
        yield
        return
    bug = PLANTED[name]
    right = bug.where.__code__  # type: ignore[attr-defined]
    bug.where.__code__ = _wrong(bug)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        bug.where.__code__ = right  # type: ignore[attr-defined]


def _wrong(bug: Bug) -> Any:
    """The function's code with the bug: whoever holds the function, in a table or a closure, has the bug."""
    source = textwrap.dedent(inspect.getsource(bug.where))
    if source.count(bug.line) != 1:
        raise ValueError(f"{bug.line!r} is not once in {bug.where.__qualname__}")
    made: dict[str, Any] = {}
    exec(compile(source.replace(bug.line, bug.instead), "planted", "exec"), bug.where.__globals__, made)
    return made[bug.where.__name__].__code__
