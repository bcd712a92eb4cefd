"""The pair: which of a node's two members acts. The whole law is :data:`TABLE`; everything else feeds it.

The database is the arbiter. A member acts while it holds the *lease*; the other follows the journal and watches the
lease::

    STARTING ──somebody holds it──▶ STANDBY ◀──────────fenced, store failed──────────┐
        │                              │ the lease is free, or its holder is dead: ACQUIRE
        └──it is free, or dead────▶ TAKING ──acquired──▶ ACTIVE ──stop────▶ STOPPING ─────released──▶ STOPPED
                                       ▲               ▲  │  │ └─switchover─▶ HANDING_OVER ─released─▶ STANDBY
             holder hangs on this host:│          well │  │  └──fenced──▶ STARTING (forget all, load again)
                             KILL first┘             AILING  (store fails, or lease late: holds it, acks nothing)

- *Run out* means: the row of the lease has not changed for ``lease-timeout`` by the watcher's own monotonic clock. No
  wall clock is compared with another, so a clock that jumps does no harm.
- A holder that is known to be dead, or that gave the lease up, is followed at once; one that hangs on this host inside
  a transaction, with the database's lock, is killed first.
- While a third process holds that lock nobody can write, so a lease that is not renewed says nothing of its holder: the
  lease has its whole time again when the lock is gone.
- None of this has to be right for safety: a write of a member that was replaced fails (:class:`node.store.Fenced`).
  It has to be right for somebody to be active, soon.
- Nobody gives the lease back because the preferred member has returned.
"""

from __future__ import annotations

from enum import Enum

from .store import Holder, Lease

PRIMARY = "primary"
GRACE_S = 0.3
"""How long the backup waits at its start for the primary to take a free lease."""


class State(Enum):
    """What this member is."""

    STARTING = "loads, or waits for the preferred primary"
    STANDBY = "follows the journal"
    TAKING = "is about to take the lease"
    ACTIVE = "holds the lease and acts"
    AILING = "holds the lease, but cannot write: acks nothing"
    HANDING_OVER = "finishes, then gives the lease up and follows"
    STOPPING = "finishes, then gives the lease up and ends"
    STOPPED = "has ended"
    FAILED = "its database needs an operator"


class Event(Enum):
    """What happens to it. The first eight are what a look at the lease says."""

    GRACE = "the lease is free, but the other member is to have it first"
    LEASE_FREE = "nobody holds the lease, or its holder gave it up"
    LEASE_HELD = "the other member holds the lease"
    LEASE_BLOCKED = "the holder has not renewed for a while, but a third process holds the database's lock"
    LEASE_EXPIRED = "the holder has not renewed in time, and does not hold the database's lock, as far as is known"
    LEASE_HUNG = "the holder has not renewed in time, lives on this host, and may hold the database's lock"
    HOLDER_DEAD = "the holder has ended on this host"
    LEASE_MINE = "the lease names this process"
    KILLED = "the attempt to end the holder is over, however it went"
    ACQUIRED = "the lease was taken"
    FENCED = "a write was refused: the lease is somebody else's"
    LEASE_LATE = "the own lease has not been renewed for as long as it lasts"
    STORE_FAILED = "the database did not do it"
    STORE_WELL = "the lease was renewed"
    STORE_REFUSED = "the database is damaged, or the wrong one"
    SWITCHOVER = "an operator wants the other member to act"
    STOP = "this process is to end"
    RELEASED = "the lease was given up"


class Action(Enum):
    """What the shell is to do about it."""

    NONE = "nothing"
    FOLLOW = "apply the journal's tail from now on"
    KILL = "end the process of Pair.lease.holder, then say KILLED"
    ACQUIRE = "take the lease from Pair.lease; say ACQUIRED, FENCED, STORE_FAILED or STORE_REFUSED"
    SERVE = "apply the tail up to the revision of the take-over, then act"
    PAUSE = "refuse requests, keep what was decided, go on trying to commit it or to renew"
    RESUME = "act again"
    STEP_DOWN = "stop acting, send nothing of what is not committed, forget all and load again"
    DRAIN = "take no further request, commit and send what was decided, release the lease, then say RELEASED"
    FAIL = "stop acting, tell an operator why"
    QUIT = "end the process"


S, E, A = State, Event, Action

OTHERS = (
    *(E.GRACE, E.LEASE_FREE, E.LEASE_HELD),
    *(E.LEASE_BLOCKED, E.LEASE_EXPIRED, E.LEASE_HUNG, E.HOLDER_DEAD),
)
"""What a look says when the lease is not this process's: to a member that acts, that it was replaced."""
LOOKS = (*OTHERS, E.LEASE_MINE)
TRIES = (E.KILLED, E.ACQUIRED)
HOLDING = (E.LEASE_LATE, E.STORE_WELL, E.RELEASED)
"""What can happen only to the holder of the lease."""

Table = dict[tuple[State, Event], tuple[State, Action]]


def _watching(state: State) -> Table:
    """What a member does that looks at the lease and does not hold it."""
    follows = (S.STANDBY, A.NONE if state is S.STANDBY else A.FOLLOW)
    return {
        (state, E.GRACE): (state, A.NONE),
        (state, E.LEASE_FREE): (S.TAKING, A.ACQUIRE),
        (state, E.LEASE_HELD): follows,
        (state, E.LEASE_BLOCKED): follows,
        (state, E.LEASE_EXPIRED): (S.TAKING, A.ACQUIRE),
        (state, E.LEASE_HUNG): (S.TAKING, A.KILL),
        (state, E.HOLDER_DEAD): (S.TAKING, A.ACQUIRE),
        # a take-over of ours that was done although the database said it was not
        (state, E.LEASE_MINE): (S.TAKING, A.ACQUIRE),
        (state, E.STORE_FAILED): (state, A.NONE),
        (state, E.STORE_REFUSED): (S.FAILED, A.FAIL),
        (state, E.SWITCHOVER): (state, A.NONE),
        (state, E.STOP): (S.STOPPED, A.QUIT),
    }


def _holding(state: State) -> Table:
    """What a member does that holds the lease, where the states do not differ."""
    return {
        **{(state, event): (S.STARTING, A.STEP_DOWN) for event in (*OTHERS, E.FENCED)},
        (state, E.LEASE_MINE): (state, A.NONE),
        (state, E.STORE_REFUSED): (S.FAILED, A.FAIL),
    }


def _ended(state: State) -> Table:
    """Nothing moves a member that has ended, or needs an operator."""
    return {(state, event): (state, A.NONE) for event in Event}


TABLE: Table = {
    **_watching(S.STARTING),
    **_watching(S.STANDBY),
    **_watching(S.TAKING),
    (S.TAKING, E.KILLED): (S.TAKING, A.ACQUIRE),
    (S.TAKING, E.ACQUIRED): (S.ACTIVE, A.SERVE),
    (S.TAKING, E.FENCED): (S.STANDBY, A.FOLLOW),
    (S.TAKING, E.STORE_FAILED): (S.STANDBY, A.FOLLOW),
    **_holding(S.ACTIVE),
    (S.ACTIVE, E.LEASE_LATE): (S.AILING, A.PAUSE),
    (S.ACTIVE, E.STORE_FAILED): (S.AILING, A.PAUSE),
    (S.ACTIVE, E.STORE_WELL): (S.ACTIVE, A.NONE),
    (S.ACTIVE, E.SWITCHOVER): (S.HANDING_OVER, A.DRAIN),
    (S.ACTIVE, E.STOP): (S.STOPPING, A.DRAIN),
    **_holding(S.AILING),
    (S.AILING, E.LEASE_LATE): (S.AILING, A.NONE),
    (S.AILING, E.STORE_FAILED): (S.AILING, A.NONE),
    (S.AILING, E.STORE_WELL): (S.ACTIVE, A.RESUME),
    (S.AILING, E.SWITCHOVER): (S.HANDING_OVER, A.DRAIN),
    (S.AILING, E.STOP): (S.STOPPING, A.DRAIN),
    **_holding(S.HANDING_OVER),
    (S.HANDING_OVER, E.LEASE_LATE): (S.HANDING_OVER, A.NONE),
    (S.HANDING_OVER, E.STORE_FAILED): (S.AILING, A.PAUSE),
    (S.HANDING_OVER, E.STORE_WELL): (S.HANDING_OVER, A.NONE),
    (S.HANDING_OVER, E.SWITCHOVER): (S.HANDING_OVER, A.NONE),
    (S.HANDING_OVER, E.STOP): (S.STOPPING, A.DRAIN),
    (S.HANDING_OVER, E.RELEASED): (S.STANDBY, A.FOLLOW),
    **{(S.STOPPING, event): (S.STOPPED, A.QUIT) for event in (*OTHERS, E.FENCED)},
    (S.STOPPING, E.LEASE_MINE): (S.STOPPING, A.NONE),
    (S.STOPPING, E.LEASE_LATE): (S.STOPPING, A.NONE),
    # it ends all the same: what is not committed was not acked, and the lease runs out
    (S.STOPPING, E.STORE_FAILED): (S.STOPPED, A.QUIT),
    (S.STOPPING, E.STORE_REFUSED): (S.STOPPED, A.QUIT),
    (S.STOPPING, E.STORE_WELL): (S.STOPPING, A.NONE),
    (S.STOPPING, E.SWITCHOVER): (S.STOPPING, A.NONE),
    (S.STOPPING, E.STOP): (S.STOPPED, A.QUIT),
    (S.STOPPING, E.RELEASED): (S.STOPPED, A.QUIT),
    **_ended(S.STOPPED),
    **_ended(S.FAILED),
    (S.FAILED, E.STOP): (S.STOPPED, A.QUIT),
}

IMPOSSIBLE: dict[tuple[State, Event], str] = {
    **{(state, event): "only TAKING tries" for state in State for event in TRIES if (state, event) not in TABLE},
    **{(state, event): "holds no lease" for state in (S.STARTING, S.STANDBY, S.TAKING) for event in HOLDING},
    **{(state, E.FENCED): "does not write" for state in (S.STARTING, S.STANDBY)},
    **{(state, E.RELEASED): "releases only after DRAIN" for state in (S.ACTIVE, S.AILING)},
}
"""What cannot happen, and why; a test holds that every pair of state and event is here or in the table, and once."""

ROLES = {
    S.STARTING: "starting",
    S.STANDBY: "standby",
    S.TAKING: "standby",
    S.ACTIVE: "active",
    S.AILING: "active",
    S.HANDING_OVER: "active",
    S.STOPPING: "active",
    S.STOPPED: "stopped",
    S.FAILED: "stopped",
}
"""State -> the role that heartbeats and status show."""


class ImpossibleEvent(Exception):
    """A mistake of the shell: it reports what cannot have happened."""


class Pair:
    """One member's view of the pair. Every method returns what to do now; ``now`` is monotonic seconds.

    :param holder: this process; its member says who is preferred
    :param lease_timeout: seconds, the option
    """

    def __init__(self, holder: Holder, lease_timeout: float) -> None:
        self.holder = holder
        self.lease_timeout = lease_timeout
        self.state = S.STARTING
        self.lease: Lease | None = None
        """As it was seen last: what ACQUIRE expects and KILL is about."""
        self.blocked = False
        """Whether a third process held the database's lock at the last look."""
        self._changed_at = self._runs_from = self._renewed_at = 0.0
        self._grace_until: float | None = None

    @property
    def role(self) -> str:
        """``starting``, ``standby``, ``active`` or ``stopped``."""
        return ROLES[self.state]

    def handle(self, event: Event) -> Action:
        """One step of the table.

        :raises ImpossibleEvent: the shell reports what this state cannot meet
        """
        try:
            self.state, action = TABLE[self.state, event]
        except KeyError:
            reason = IMPOSSIBLE[self.state, event]
            raise ImpossibleEvent(f"{event.name} in {self.state.name}: {reason}") from None
        return action

    def is_slow(self, now: float, lease: Lease) -> bool:
        """Whether a lease, read after ``now``, was not renewed for half of its time: then say who writes."""
        return lease == self.lease and now - self._changed_at >= self.lease_timeout / 2

    def observe(self, now: float, lease: Lease, holder_alive: bool | None, writer: int | None = None) -> Action:
        """A look at the lease.

        :param lease: as it stands in the database; read after ``now`` was
        :param holder_alive: of its holder's process; None: cannot be known from here
        :param writer: pid of the process that holds the database's lock, 0: nobody does, None: cannot be known, or
            :meth:`is_slow` is false
        """
        if self._grace_until is None:
            self._grace_until = now if self.holder.member == PRIMARY else now + GRACE_S
        if lease != self.lease:
            self.lease, self._changed_at, self._runs_from = lease, now, now
        self.blocked = lease.holder is not None and writer not in (None, 0, lease.holder.pid)
        return self.handle(self._judge(now, lease, holder_alive, writer))

    def _judge(self, now: float, lease: Lease, alive: bool | None, writer: int | None) -> Event:
        free = lease.released or lease.holder is None
        if not free and lease.holder == self.holder:
            return E.LEASE_MINE
        if free or alive is False:
            if self._grace_until is not None and now < self._grace_until:
                return E.GRACE
            return E.LEASE_FREE if free else E.HOLDER_DEAD
        if self.blocked:
            self._runs_from = now
            return E.LEASE_BLOCKED
        if now - self._runs_from < self.lease_timeout:
            return E.LEASE_HELD
        return E.LEASE_HUNG if alive and writer != 0 else E.LEASE_EXPIRED

    def acquired(self, asked_at: float) -> Action:
        """The lease was taken. :param asked_at: when the taking began"""
        self._renewed_at = asked_at
        return self.handle(E.ACQUIRED)

    def renewed(self, asked_at: float) -> Action:
        """The lease was renewed, alone or with a commit. :param asked_at: when that write began: the other member
        cannot have seen it earlier, so this one gives up first"""
        self._renewed_at = asked_at
        return self.handle(E.STORE_WELL)

    def released(self, now: float) -> Action:
        """The lease was given up. The other member has the time of a lease to take it, then it is free for both."""
        self._grace_until = now + self.lease_timeout
        return self.handle(E.RELEASED)

    def check(self, now: float) -> Action:
        """To be called before a batch is decided and when nothing happens: has the own lease run out?"""
        if self.role == "active" and not self._in_time(now):
            return self.handle(E.LEASE_LATE)
        return A.NONE

    def may_ack(self, now: float) -> bool:
        """Whether this member may still answer and publish what it committed: it cannot know that it is the active
        one when its lease was not renewed for as long as it lasts."""
        return self.state in (S.ACTIVE, S.HANDING_OVER, S.STOPPING) and self._in_time(now)

    def _in_time(self, now: float) -> bool:
        return now - self._renewed_at < self.lease_timeout
