"""Accidents in a chosen order: what long searches have found, as short stories."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sim.history import theatre
from tests.sim.plan import Plan
from tests.sim.processes import Process
from tests.sim.store import Mishap
from tests.sim.world import World

PROXY_SETTINGS = {"keepalive_interval": 1.0, "pull_hold_timeout": 1.0}
SETTINGS: dict[str, Any] = {
    "lease_timeout": 0.4,
    "heartbeat_interval": 0.1,
    "keepalive_interval": 1.0,
    "pull_hold_timeout": 1.0,  # a client that asks a node itself waits no longer than PATIENCE_S
}


@pytest.fixture(autouse=True)
def stage() -> Iterator[None]:
    """Histories can be played."""
    with theatre():
        yield


def make_world(**fields: Any) -> World:
    """A cluster without accidents of its own, with little to do."""
    plan = Plan(seed=1, span_s=4.0, requests=6, node_settings=dict(SETTINGS), proxy_settings=PROXY_SETTINGS)
    for name, value in fields.items():
        setattr(plan, name, value)
    return World(plan)


def meets(process: Process, mishap: Mishap, freeze_s: float = 0.0) -> None:
    """Something is going to happen to a process in its next write."""
    process.user.next, process.freeze_s = mishap, freeze_s


def end(process: Process) -> None:
    """SIGTERM."""
    process.shell.drain(process.wall())
    process.wake()


def test_without_accidents_nobody_takes_over() -> None:
    # given members that have nothing to say for longer than their lease lasts
    world = make_world(node_settings={**SETTINGS, "heartbeat_interval": 1.0, "lease_timeout": 0.2})
    # when a quiet day passes
    faults = world.run()
    # then the first active members are the last
    assert faults == []
    assert world.counts["takeovers"] == 0


def test_a_member_that_was_overtaken_while_it_took_over_steps_down() -> None:
    # given a pair on two hosts, whose active member ends, and whose standby stands still when it has taken the lease
    world = make_world(hosts_apart=True)
    primary, backup = world.members("n1")
    primary.start()
    world.heap.at(1.0, meets, backup, Mishap.FREEZE_AFTER, 2.0)
    world.heap.at(1.0, end, primary)
    # when the other comes back and serves meanwhile, and the first goes on
    faults = world.run()
    # then it says nothing in its old epoch, and follows
    assert faults == []
    assert backup.starts == 1
    assert world.disks["n1"].lease.epoch == 3


def test_pulls_that_are_asked_again_elsewhere_get_what_they_got() -> None:
    # given routing engines that ask each of their pulls again, of the other proxy
    settings = dict(SETTINGS)
    world = make_world(
        nodes=3, media=3, routers=2, agents=1, requests=20, dedup=1.0, repeats=1.0, node_settings=settings
    )
    # when a proxy and a node's active member die in the middle of it
    world.heap.at(1.0, world.processes["p1"].crash, "test")
    world.heap.at(1.6, world.processes["n1.primary"].crash, "test")
    faults = world.run()
    # then they were given the same, and nothing was taken twice
    assert faults == []
    assert sum(operation.again is not None for operation in world.operations()) >= 5


def test_an_agent_whose_nodes_fail_in_turn_is_the_same_everywhere() -> None:
    # given agents who change all the time
    world = make_world(nodes=3, agents=3, requests=30, node_settings=dict(SETTINGS))
    # when the nodes' databases fail for a while, one after the other
    for at, node in ((0.8, "n1"), (1.6, "n2"), (2.4, "n3")):
        world.heap.at(at, setattr, world.disks[node], "sick", lambda: world.heap.chance(0.5))
        world.heap.at(at + 0.7, setattr, world.disks[node], "sick", None)
    faults = world.run()
    # then they are in one state in the end, at all nodes
    assert faults == []


def test_a_proxy_that_starts_while_a_batch_is_held_back_misses_no_event_of_it() -> None:
    # given a member whose database fails for a while
    settings = {**SETTINGS, "lease_timeout": 3.0}
    world = make_world(nodes=1, hosts_apart=True, requests=40, node_settings=settings)
    world.heap.at(1.0, setattr, world.disks["n1"], "sick", lambda: True)
    # when a proxy starts before it is well again
    world.heap.at(1.5, world.processes["p1"].crash, "test")
    world.heap.at(2.6, setattr, world.disks["n1"], "sick", None)
    faults = world.run()
    # then the proxy's stream has what was committed in the end
    assert faults == []


def test_a_tool_that_holds_the_lock_for_longer_than_the_lease_lasts_gets_nobody_killed() -> None:
    # given a pair under load, on one host
    world = make_world(nodes=1, requests=60)
    disk = world.disks["n1"]
    # when a tool is in a transaction for ten times the length of the lease, and then is gone
    world.heap.at(1.0, setattr, disk, "locked_by", disk.tool)
    world.heap.at(5.0, setattr, disk, "locked_by", None)
    faults = world.run()
    # then the same member goes on: nobody was ended, nobody took over
    assert faults == []
    assert world.counts["takeovers"] == 0
    assert [process.starts for process in world.members("n1")] == [1, 1]


def test_a_member_that_hangs_in_a_write_is_ended_before_the_other_takes_over() -> None:
    # given a member that stands still inside a transaction, with the lock
    world = make_world(nodes=1, requests=40)
    primary, _ = world.members("n1")
    world.heap.at(1.0, meets, primary, Mishap.FREEZE_INSIDE, 10.0)
    # when its lease runs out
    faults = world.run()
    # then it is ended, and the other one serves
    assert faults == []
    assert primary.starts == 2
    assert world.disks["n1"].lease.epoch == 2


def test_a_full_disk_gets_nobody_killed() -> None:
    # given a pair whose database takes nothing for longer than the lease lasts
    world = make_world(nodes=1, requests=40)
    disk = world.disks["n1"]
    world.heap.at(1.0, setattr, disk, "sick", lambda: True)
    world.heap.at(3.0, setattr, disk, "sick", None)
    faults = world.run()
    # then whoever serves afterwards, no process was ended for it
    assert faults == []
    assert {process.starts for process in world.members("n1")} == {1}
