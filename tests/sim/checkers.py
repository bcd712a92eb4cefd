"""What must hold at the end of a history, when all is healed and quiet. Each checker yields one sentence per fault.

Asked on the way are the memories of members that become active, and the models while rows are committed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.sim import (
    answers,
    engines,
    lists,
    memories,
    moves,
    parties,
    refusals,
    reservations,
    services,
    streams,
    workbins,
)

if TYPE_CHECKING:
    from tests.sim.world import World

CHECKERS: tuple[Callable[[World], memories.Faults], ...] = (
    memories.every_node_serves,
    memories.events_say_it_all,
    memories.an_interaction_is_at_one_node,
    memories.nobody_holds_for_nobody,
    memories.agents_are_everywhere_or_nowhere,
    answers.operations_were_done_once,
    answers.repeated_pulls_got_the_same,
    answers.grants_are_unique,
    answers.routed_are_theirs,
    answers.answers_are_true,
    answers.requests_were_answered_once,
    refusals.refusals_have_their_occasions,
    parties.offers_are_answered_when_they_are_decided,
    parties.invitations_stand_as_long_as_they_may,
    parties.parties_are_told_of_each_other,
    services.services_answer_what_they_were_asked,
    services.services_are_asked_once,
    services.services_are_asked_where_they_are,
    services.what_is_asked_is_over_once,
    moves.snapshots_lock_what_is_in_them,
    moves.locks_last_as_long_as_they_should,
    moves.snapshots_stand_as_long_as_they_are_used,
    moves.moves_move_what_was_as_it_was,
    reservations.deliveries_respect_reservations,
    reservations.reservations_hold,
    reservations.reservations_end,
    engines.engines_have_their_turns,
    lists.lists_are_those_of_a_plain_server,
    lists.snapshots_are_what_was_there,
    lists.pulls_take_what_comes_first,
    lists.pulls_say_what_there_was,
    workbins.workbins_are_pulled_in_order,
    streams.streams_have_everything,
    streams.followers_have_everything,
    streams.readers_know_the_agents,
    streams.states_are_true,
)
