"""The pair's table is complete, and two members with one lease always end with one that acts."""

from __future__ import annotations

import random

import pytest

from node.pair import GRACE_S, IMPOSSIBLE, LOOKS, OTHERS, ROLES, TABLE, Action, Event, ImpossibleEvent, Pair, State
from node.store import Holder, Lease

PRIMARY = Holder(host="h", boot="b", pid=1, started=1, member="primary")
BACKUP = Holder(host="h", boot="b", pid=2, started=2, member="backup")
FREE = Lease(0, None, 0, True)
TIMEOUT = 2.0


def held(holder: Holder, epoch: int = 1, renewed_us: int = 0) -> Lease:
    return Lease(epoch, holder, renewed_us, False)


def make_active(now: float = 0.0) -> Pair:
    pair = Pair(PRIMARY, TIMEOUT)
    assert pair.observe(now, FREE, None) is Action.ACQUIRE
    assert pair.acquired(now) is Action.SERVE
    return pair


def make_standby(now: float = 0.0, lease: Lease | None = None) -> Pair:
    pair = Pair(BACKUP, TIMEOUT)
    assert pair.observe(now, lease or held(PRIMARY), True) is Action.FOLLOW
    return pair


# -- the table


@pytest.mark.parametrize("state", State)
def test_every_state_knows_every_event(state: State) -> None:
    """Given any state; when any event comes; then the table has an answer, or says why it cannot come; never both."""
    for event in Event:
        assert ((state, event) in TABLE) != ((state, event) in IMPOSSIBLE), event
        assert IMPOSSIBLE.get((state, event), "why")


def test_every_state_can_be_reached_and_has_a_role() -> None:
    """Given the start; when the table is followed in all ways; then every state and every action comes up."""
    reached, actions, ahead = {State.STARTING}, set(), [State.STARTING]
    while ahead:
        state = ahead.pop()
        for event in Event:
            after, action = TABLE.get((state, event), (state, Action.NONE))
            actions.add(action)
            if after not in reached:
                reached.add(after)
                ahead.append(after)
    assert reached == set(State) == set(ROLES)
    assert actions == set(Action)


def test_what_always_holds() -> None:
    """Given the table; then serving begins only with ACQUIRED or a renewal, and every member can be stopped."""
    for (state, event), (after, action) in TABLE.items():
        if ROLES[after] == "active" and ROLES[state] != "active":
            assert (state, event, action) == (State.TAKING, Event.ACQUIRED, Action.SERVE)
        if action is Action.RESUME:
            assert (state, event) == (State.AILING, Event.STORE_WELL)
        if ROLES[state] == "active" and event in (*OTHERS, Event.FENCED):
            assert ROLES[after] != "active" and action in (Action.STEP_DOWN, Action.QUIT), "never two"
        if event in LOOKS:
            assert action is not Action.SERVE
    for state in State:
        after, _ = TABLE[state, Event.STOP]
        assert after in (State.STOPPED, State.STOPPING)


def test_an_impossible_event_is_named() -> None:
    """Given a standby; when the shell says that it released a lease; then that is a mistake with names in it."""
    with pytest.raises(ImpossibleEvent, match="RELEASED in STANDBY: holds no lease"):
        make_standby().released(0)


# -- starting


def test_primary_takes_a_free_lease_at_once() -> None:
    """Given a new database; when both start; then the primary takes it and the backup finds it taken."""
    pair = Pair(PRIMARY, TIMEOUT)
    assert pair.role == "starting"
    assert pair.observe(50.0, FREE, None) is Action.ACQUIRE
    assert pair.lease is FREE
    assert pair.acquired(50.0) is Action.SERVE and pair.role == "active"
    other = Pair(BACKUP, TIMEOUT)
    assert other.observe(50.0, FREE, None) is Action.NONE and other.role == "starting"
    assert other.observe(50.1, held(PRIMARY), True) is Action.FOLLOW and other.role == "standby"


@pytest.mark.parametrize(("lease", "alive"), [(FREE, None), (held(PRIMARY), False), (Lease(3, PRIMARY, 5, True), True)])
def test_backup_alone_waits_a_short_grace(lease: Lease, alive: bool | None) -> None:
    """Given no primary; when the backup starts on a free or orphaned lease; then it takes it after the grace."""
    pair = Pair(BACKUP, TIMEOUT)
    for now in (7.0, 7.1, 7.0 + GRACE_S - 0.01):
        assert pair.observe(now, lease, alive) is Action.NONE
    assert pair.observe(7.0 + GRACE_S, lease, alive) is Action.ACQUIRE


def test_no_fail_back() -> None:
    """Given an active backup; when the primary comes back; then it follows, for as long as the lease is renewed."""
    pair = Pair(PRIMARY, TIMEOUT)
    assert pair.observe(0, held(BACKUP), True) is Action.FOLLOW
    for second in range(1, 100):
        assert pair.observe(second, held(BACKUP, renewed_us=second), True) is Action.NONE
    assert pair.role == "standby"


# -- taking over


def test_a_dead_holder_is_followed_at_once() -> None:
    """Given a standby; when the holder's process has ended on this host; then it takes over without waiting."""
    pair = make_standby()
    assert pair.observe(0.31, held(PRIMARY), False) is Action.ACQUIRE


def test_a_released_lease_is_taken_at_once() -> None:
    """Given a standby; when the active gives the lease up; then it takes over without waiting."""
    pair = make_standby()
    assert pair.observe(0.31, Lease(1, PRIMARY, 9, True), True) is Action.ACQUIRE


def test_an_expired_lease_of_a_holder_elsewhere() -> None:
    """Given a holder on another host; when its lease does not change for its time; then it is taken, no earlier."""
    pair = make_standby()
    assert pair.observe(1.9, held(PRIMARY, renewed_us=1), None) is Action.NONE, "it was renewed"
    assert pair.observe(3.8, held(PRIMARY, renewed_us=1), None) is Action.NONE
    assert pair.observe(3.9, held(PRIMARY, renewed_us=1), None) is Action.ACQUIRE


def test_a_hung_holder_on_this_host_is_killed_first() -> None:
    """Given a stopped process that holds the lease; when its time is over; then first kill, then take, either way."""
    pair = make_standby()
    assert pair.observe(2.0, held(PRIMARY), True) is Action.KILL
    assert pair.lease is not None and pair.lease.holder == PRIMARY
    assert pair.handle(Event.KILLED) is Action.ACQUIRE
    assert pair.handle(Event.STORE_FAILED) is Action.FOLLOW, "it still has the lock"
    assert pair.observe(2.1, held(PRIMARY), True) is Action.KILL, "and again"
    assert pair.handle(Event.KILLED) is Action.ACQUIRE
    assert pair.acquired(2.2) is Action.SERVE


def test_a_holder_that_hangs_without_the_lock_need_not_be_killed_first() -> None:
    """Given a process that hangs, and nobody in a write; when its time is over; then its lease is taken at once."""
    pair = make_standby()
    assert not pair.is_slow(0.9, held(PRIMARY)) and pair.is_slow(1.0, held(PRIMARY))
    assert pair.observe(1.9, held(PRIMARY), True, writer=0) is Action.NONE
    assert pair.observe(2.0, held(PRIMARY), True, writer=0) is Action.ACQUIRE


def test_a_holder_that_hangs_with_the_lock_is_killed_first() -> None:
    """Given a process that hangs in a write; when its time is over; then first kill, then take."""
    pair = make_standby()
    assert pair.observe(2.0, held(PRIMARY), True, writer=PRIMARY.pid) is Action.KILL


@pytest.mark.parametrize("alive", [True, None])
def test_nobody_is_killed_while_a_third_process_has_the_lock(alive: bool | None) -> None:
    """Given a holder that cannot renew, for a third process is in a write; when that lasts for however long; then
    nothing is done, and after it the holder has the whole time of its lease again."""
    pair, tool = make_standby(), 77
    for step in range(100):
        assert pair.observe(1.0 + step / 10, held(PRIMARY), alive, writer=tool) is Action.NONE
        assert pair.blocked and pair.role == "standby"
        assert pair.is_slow(1.05 + step / 10, held(PRIMARY)), "it is looked at all the time"
    assert pair.observe(12.8, held(PRIMARY), alive, writer=0) is Action.NONE and not pair.blocked
    assert pair.observe(12.9, held(PRIMARY, renewed_us=1), alive) is Action.NONE, "it goes on"


def test_a_holder_that_dies_while_a_third_process_has_the_lock_is_followed() -> None:
    """Given a third process in a write; when the holder has ended; then the lease is asked for until it is given."""
    assert make_standby().observe(1.5, held(PRIMARY), False, writer=77) is Action.ACQUIRE


def test_wall_clocks_do_not_matter() -> None:
    """Given holders whose wall clock stands, jumps on or back; when the row changes; then it is alive, else not."""
    pair = make_standby()
    for step, renewed_us in enumerate([10**15, 5, 5 + 1, 10**18, 0]):
        assert pair.observe(1.0 + step * 1.9, held(PRIMARY, renewed_us=renewed_us), None) is Action.NONE
    assert pair.observe(11.0, held(PRIMARY), None) is Action.ACQUIRE


def test_the_loser_of_a_race_follows() -> None:
    """Given two that take over at once; when the store fences one; then it follows the other, from the start of its
    time."""
    pair = make_standby()
    assert pair.observe(2.0, held(PRIMARY), None) is Action.ACQUIRE
    assert pair.handle(Event.FENCED) is Action.FOLLOW
    assert pair.observe(2.1, held(PRIMARY, epoch=2), None) is Action.NONE
    assert pair.observe(4.0, held(PRIMARY, epoch=2), None) is Action.NONE


def test_a_take_over_that_was_done_unnoticed() -> None:
    """Given an acquire that failed after it was done; when the lease names this process; then it is taken anew, and
    nobody is killed."""
    pair = make_standby()
    assert pair.observe(2.0, held(PRIMARY), None) is Action.ACQUIRE
    assert pair.handle(Event.STORE_FAILED) is Action.FOLLOW
    assert pair.observe(9.0, held(BACKUP, epoch=2), True) is Action.ACQUIRE
    assert pair.lease == held(BACKUP, epoch=2)


# -- acting


def test_the_active_stops_by_itself_when_its_lease_is_late() -> None:
    """Given an active member that cannot renew; when its time is over; then it acks nothing before the standby could
    take over, and goes on when a renewal works."""
    pair = make_active(10.0)
    assert pair.may_ack(11.9) and pair.check(11.9) is Action.NONE
    assert pair.renewed(11.0) is Action.NONE
    assert pair.may_ack(12.9) and not pair.may_ack(13.0)
    assert pair.check(13.0) is Action.PAUSE and pair.role == "active"
    assert pair.check(13.1) is Action.NONE, "said once"
    assert not pair.may_ack(13.1)
    assert pair.renewed(13.5) is Action.RESUME and pair.may_ack(13.6)


def test_a_failing_store_pauses() -> None:
    """Given an active member; when its store fails and works again; then it pauses, resumes; replaced, it goes."""
    pair = make_active()
    assert pair.handle(Event.STORE_FAILED) is Action.PAUSE and not pair.may_ack(0.1)
    assert pair.handle(Event.STORE_FAILED) is Action.NONE
    assert pair.renewed(0.5) is Action.RESUME and pair.may_ack(0.6)
    assert pair.handle(Event.STORE_FAILED) is Action.PAUSE
    assert pair.handle(Event.FENCED) is Action.STEP_DOWN and pair.role == "starting"
    assert pair.observe(0.7, held(BACKUP, epoch=2), True) is Action.FOLLOW


@pytest.mark.parametrize("lease", [held(BACKUP, epoch=2), FREE, Lease(2, BACKUP, 0, True)])
def test_a_look_at_the_lease_tells_that_it_was_replaced(lease: Lease) -> None:
    """Given an active member; when it sees its own lease, nothing; when it sees another's; then it steps down."""
    pair = make_active()
    assert pair.observe(0.1, held(PRIMARY), True) is Action.NONE
    assert pair.observe(0.2, lease, True) is Action.STEP_DOWN
    assert not pair.may_ack(0.2)


def test_a_damaged_database() -> None:
    """Given any member; when its database is refused; then it stays there for an operator, and can be stopped."""
    for pair in (Pair(PRIMARY, TIMEOUT), make_standby(), make_active()):
        assert pair.handle(Event.STORE_REFUSED) is Action.FAIL and pair.role == "stopped"
        assert pair.observe(99.0, FREE, None) is Action.NONE
        assert pair.handle(Event.STOP) is Action.QUIT


# -- ending and handing over


def test_an_orderly_stop() -> None:
    """Given an active member; when stopped; then it drains, releases, ends; a standby, a second stop: at once."""
    pair = make_active()
    assert pair.handle(Event.STOP) is Action.DRAIN and pair.role == "active" and pair.may_ack(0.1)
    assert pair.renewed(0.2) is Action.NONE
    assert pair.released(0.3) is Action.QUIT and pair.role == "stopped"
    assert make_standby().handle(Event.STOP) is Action.QUIT
    pair = make_active()
    pair.handle(Event.STOP)
    assert pair.handle(Event.STOP) is Action.QUIT


def test_a_stop_with_a_broken_store() -> None:
    """Given a member that stops; when the store fails, or it is fenced; then it ends all the same."""
    for event in (Event.STORE_FAILED, Event.STORE_REFUSED, Event.FENCED):
        pair = make_active()
        pair.handle(Event.STOP)
        assert pair.handle(event) is Action.QUIT


def test_a_switchover_gives_the_other_its_chance() -> None:
    """Given an active member; when switched over; then it does not take its own lease back while the other may."""
    pair = make_active()
    assert pair.handle(Event.SWITCHOVER) is Action.DRAIN
    assert pair.released(5.0) is Action.FOLLOW and pair.role == "standby"
    released = Lease(1, PRIMARY, 9, True)
    assert pair.observe(5.1, released, True) is Action.NONE
    assert pair.observe(6.9, released, True) is Action.NONE
    assert pair.observe(7.0, released, True) is Action.ACQUIRE, "nobody came"


def test_a_switchover_with_a_failing_store_is_off() -> None:
    """Given a switchover; when the store fails meanwhile; then the member keeps the lease and pauses."""
    pair = make_active()
    pair.handle(Event.SWITCHOVER)
    assert pair.handle(Event.STORE_FAILED) is Action.PAUSE
    assert pair.renewed(1.0) is Action.RESUME and pair.state is State.ACTIVE


# -- two members and a lease, at random


class World:
    """Two pairs that do what they are told on one lease, with their own clocks, stops and deaths."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self.lease = FREE
        self.boots = 0
        self.pairs = [self.boot(0), self.boot(1)]
        self.frozen_until = [0.0, 0.0]
        self.gone: set[Holder] = set()
        self.acks: list[int] = []

    def boot(self, at: int) -> Pair:
        self.boots += 1
        holder = Holder(host="h", boot="b", pid=self.boots, started=1, member=("primary", "backup")[at])
        return Pair(holder, TIMEOUT)

    def step(self, at: int) -> None:
        pair = self.pairs[at]
        if self.chance.random() < 0.002:
            self.gone.add(pair.holder)
            self.pairs[at] = self.boot(at)
        elif self.chance.random() < 0.004:
            self.frozen_until[at] = self.now + self.chance.choice([0.5, 3.0, 10.0])
        elif self.chance.random() < 0.002 and pair.state is State.ACTIVE:
            self.do(at, pair.handle(Event.SWITCHOVER))
        elif pair.role == "active":
            self.act(at)
        else:
            alive = self.chance.choice([None, self.lease.holder not in self.gone])
            self.do(at, pair.observe(self.now, self.lease, alive))

    def act(self, at: int) -> None:
        pair = self.pairs[at]
        self.do(at, pair.check(self.now))
        if self.lease.holder != pair.holder or self.lease.released:
            self.do(at, pair.handle(Event.FENCED))
        elif self.chance.random() < 0.1:
            self.do(at, pair.handle(Event.STORE_FAILED))
        else:
            self.lease = self.lease._replace(renewed_us=self.lease.renewed_us + 1)
            self.do(at, pair.renewed(self.now))
            assert pair.may_ack(self.now)
            self.acks.append(self.lease.epoch)

    def do(self, at: int, action: Action) -> None:
        pair = self.pairs[at]
        if action is Action.KILL:
            victim = next(i for i in (0, 1) if self.pairs[i].holder == pair.lease.holder)  # type: ignore[union-attr]
            assert victim != at
            self.gone.add(self.pairs[victim].holder)
            self.pairs[victim], self.frozen_until[victim] = self.boot(victim), 0.0
            self.do(at, pair.handle(Event.KILLED))
        elif action is Action.ACQUIRE:
            self.acquire(at)
        elif action is Action.DRAIN:
            self.lease = self.lease._replace(released=True)
            self.do(at, pair.released(self.now))

    def acquire(self, at: int) -> None:
        pair = self.pairs[at]
        if self.chance.random() < 0.1:
            self.do(at, pair.handle(Event.STORE_FAILED))
        elif pair.lease != self.lease:
            self.do(at, pair.handle(Event.FENCED))
        else:
            self.lease = Lease(self.lease.epoch + 1, pair.holder, self.lease.renewed_us + 1, False)
            self.do(at, pair.acquired(self.now))


@pytest.mark.parametrize("seed", range(20))
def test_somebody_is_active_soon(seed: int) -> None:
    """Given crashes, stops, switchovers and failing stores at random; then acks go on, and epochs never go back."""
    world, silent_since = World(seed), 0.0
    for _ in range(8000):
        world.now += 0.02
        before = len(world.acks)
        for at in (0, 1):
            if world.now >= world.frozen_until[at]:
                world.step(at)
        if len(world.acks) > before or min(world.frozen_until) > world.now:
            silent_since = world.now
        assert world.now - silent_since < 2 * TIMEOUT + 1.0, "nobody acts"
    assert world.acks == sorted(world.acks) and world.acks[-1] > 5
