"""Histories in which a process that is none of the cluster's holds a database's lock for a while."""

from __future__ import annotations

import pytest

from tests.sim.test_sim import simulate

HISTORIES = 16


@pytest.mark.timeout(240)
def test_a_tool_that_holds_a_lock_loses_nothing_and_gets_nobody_killed() -> None:
    # given clusters of all kinds, each with its own accidents, and a tool at one of its databases
    # when their histories are played
    played = simulate("--fault", "locked by a tool", "--histories", str(HISTORIES), "--seed", "20000", "--jobs", "2")
    # then no checker has found a fault
    assert played.returncode == 0, played.stdout + played.stderr
