"""A member's time as standby and as active: what :mod:`node.pair` decides is done here, on the store. A shell.

The core belongs to the tenure: a standby's core follows the journal, so that it is warm; a member that was replaced
throws its core away, for it may hold decisions that were never committed.
"""

from __future__ import annotations

import os
import time

import msgspec
import structlog

from broker.clock import to_us
from broker.config.objects import Configuration
from broker.ledger import Ledger

from . import queues, reconfiguration
from .core import NodeCore
from .folding import Folding
from .pair import Action, Event, Pair
from .store import Corrupt, Fenced, JournalCut, Lease, Refused, Store, StoreFailure
from .store.holder import is_alive, kill, this_holder
from .store.writer import describe

LOOK_S, CLOSE_LOOK_S = 0.05, 0.002
"""How often a standby looks at the lease and the journal; and while it expects to be handed the lease."""
EXPECTED_S = 1.0
"""How long it expects that."""
PAUSE_S = 0.5
"""After a take-over that the database did not do, before the next one: the other member may be better off."""
FORGET_S = 10.0
FOLLOWS = "the other member is active"
RENEWALS = 4
"""Renewals in the time of a lease."""
TAIL_ROWS = 500

log = structlog.get_logger("node")


class Tenure:
    """One member's part in its pair.

    :param ledger: what the member counts and drops
    :param why: one sentence on how it came to its role, for the status
    """

    def __init__(  # noqa: PLR0913 - the member, and what it has
        self, store: Store, configuration: Configuration, node: str, member: str, ledger: Ledger | None = None
    ) -> None:
        self.store = store
        self.configuration = configuration
        self.node, self.member = node, member
        self.settings = configuration.nodes[node].settings
        self.why = "starting"
        self._ledger = ledger
        self.next_look = 0.0
        self._expected_until = 0.0
        self._configured_us = 0
        self.core = self._new_core()
        self.folding = Folding(self.core.memory, 0)
        self.pair = self._new_pair()
        self._loaded = self._blocked = False
        self._arranged: Configuration | None = None
        self._taken: tuple[int, int, str] | None = None
        self._renew_at = self._forget_at = 0.0

    def _new_core(self) -> NodeCore:
        core = NodeCore(self.node, self.configuration, self.member, os.getpid(), self._ledger)
        core.configured_us = self._configured_us
        return core

    def configured(self, us: int, configuration: Configuration) -> None:
        """The configuration that a new core begins with. :param us: when it was read from the file, or taken on"""
        self._configured_us, self.configuration = us, configuration
        self.core.configured_us = us

    def _new_pair(self) -> Pair:
        return Pair(this_holder(self.member), self.settings.lease_timeout)

    @property
    def role(self) -> str:
        """``starting``, ``standby``, ``active`` or ``stopped``."""
        return self.pair.role

    # -- as standby

    def expect(self, now: float) -> None:
        """The active member is about to hand over: the lease is looked at closely for a moment, so that nobody has to
        wait for the next look."""
        self._expected_until = now + EXPECTED_S
        self.next_look = min(self.next_look, now + CLOSE_LOOK_S)

    def follow(self, now: float) -> bool:
        """One look at the journal and the lease, when it is time for one. True: this member is active from now on."""
        if now < self.next_look:
            return False
        self.next_look = now + (CLOSE_LOOK_S if now < self._expected_until else LOOK_S)
        try:
            if self._taken is not None:
                return self._serve(now)
            self._catch_up()
            looked_at = time.monotonic()
            lease = self.store.lease()
            self.core.epoch = lease.epoch  # that it follows; it is told to whoever asks
            alive = is_alive(lease.holder) if lease.holder is not None else None
            writer = self.store.writer() if self.pair.is_slow(looked_at, lease) else None
            action = self.pair.observe(looked_at, lease, alive, writer)
            self._explain(writer)
            return self._do(now, action)
        except Refused as fault:
            self._fail(fault)
        except StoreFailure as fault:
            self.why = str(fault)
            if self._taken is None:
                self.pair.handle(Event.STORE_FAILED)
        return False

    def _explain(self, writer: int | None) -> None:
        """Says, once, that a third process keeps both members from writing; and that it does no more."""
        if self.pair.blocked and not self._blocked:
            self.why = f"follows; nobody can write while {describe(writer)} holds the database's lock"
            log.warning("the lease is not renewed, for a third process holds the lock", writer=describe(writer))
        elif self._blocked and not self.pair.blocked:
            self.why = FOLLOWS
        self._blocked = self.pair.blocked

    def _fail(self, fault: Refused) -> None:
        if self.pair.role != "stopped":
            log.error("the database cannot be used, an operator has to look at it", reason=str(fault))
        self.why = str(fault)
        self.pair.handle(Event.STORE_REFUSED)

    def _catch_up(self) -> None:
        """Loads the tables if nothing is loaded, then applies what the journal has more, to its end."""
        while True:
            if not self._loaded:
                self._load()
            try:
                while rows := self.store.tail(self.core.rev, TAIL_ROWS):
                    for row in rows:
                        self.core.apply(row.us, row.changes, row.events)
                        self.core.rev = row.rev
                break
            except JournalCut:
                log.warning("was away for too long, loading again")
                self._forget()
        self.core.memory.fill()
        self._follow_configuration()
        self._forget_folded()

    def _follow_configuration(self) -> None:
        """The active member's configuration is this one's, too; views are built a slice each look."""
        core = self.core
        said = reconfiguration.follow(core)
        if said:
            log.warning(said)
            self.configured(core.configured_us, core.configuration)
        if core.memory.building and not core.memory.build(reconfiguration.SLICE):
            self.next_look = 0.0

    def _load(self) -> None:
        began = time.monotonic()
        try:
            loaded = self.store.load()
            memory = self.core.memory
            memory.load(loaded.interactions)
            for table, key, data in loaded.records:
                memory.load_row(table, key, data)
        except StoreFailure:
            self._forget()  # a half is not gone on from
            raise
        except (msgspec.DecodeError, KeyError) as fault:
            self._forget()
            raise Corrupt(
                self.configuration.nodes[self.node].database, f"a record that nobody wrote: {fault}"
            ) from None
        self.core.rev = loaded.folded_rev
        self.folding.start(loaded.folded_rev)
        self._loaded = True
        seconds = round(time.monotonic() - began, 3)
        log.info("loaded", interactions=len(memory.interactions), folded_rev=loaded.folded_rev, seconds=seconds)

    def _forget_folded(self) -> None:
        now = time.monotonic()
        if now >= self._forget_at:
            self._forget_at = now + FORGET_S
            self.folding.follow(self.store.load().folded_rev, self.core.rev)

    def _forget(self) -> None:
        self.core = self._new_core()
        self.folding = Folding(self.core.memory, 0)
        self._loaded = False

    def _do(self, now: float, action: Action) -> bool:
        if action is Action.KILL:
            holder = self.pair.lease.holder if self.pair.lease is not None else None
            log.warning("the active member hangs in a write and is ended", pid=holder.pid if holder else None)
            if holder is not None:
                kill(holder)
            action = self.pair.handle(Event.KILLED)
        if action is Action.ACQUIRE:
            return self._acquire(now)
        if action is Action.FOLLOW:
            self.why = FOLLOWS
        return False

    def _acquire(self, now: float) -> bool:
        """Takes the lease and serves. The journal's next row is this member's, so nobody else's can be."""
        lease = self.pair.lease
        assert lease is not None, "the pair has seen the lease it wants taken"
        why = "the lease was free" if lease.released or lease.holder is None else "the other member was gone"
        asked_at = time.monotonic()
        try:
            # not below what the other member may have promised to be past, whatever this one's wall clock says
            us = max(to_us(now), self.core.clock.last_us, lease.renewed_us)
            epoch, rev = self.store.acquire(this_holder(self.member), lease, us)
        except Fenced:
            self.pair.handle(Event.FENCED)
            return False
        except StoreFailure:
            self.next_look = now + PAUSE_S
            raise
        self._end_former(lease)
        self.pair.acquired(asked_at)
        self._renew_at = asked_at + self.settings.lease_timeout / RENEWALS
        self._taken = (epoch, rev, why)
        return self._serve(now)

    def _end_former(self, lease: Lease) -> None:
        """Whoever held the lease can write no more. If it lives and did not give the lease up, it hangs: it is ended,
        so that its supervisor starts it again and there is a standby."""
        holder = lease.holder
        if holder is not None and not lease.released and holder != self.pair.holder and is_alive(holder):
            log.warning("the member that was active hangs and is ended", pid=holder.pid)
            kill(holder, wait_s=0.0)

    def _serve(self, now: float) -> bool:
        """The lease is this member's: applies the journal to its end, which is the take-over's own row, and serves."""
        assert self._taken is not None, "only after a take-over"
        self._catch_up()
        (epoch, rev, why), self._taken = self._taken, None
        if self.core.rev != rev:  # it stood still in between, for so long that the other member has served meanwhile
            self.replaced(f"replaced in epoch {epoch}, before it served")
            return False
        self.core.activate(now, epoch, why)
        self.why = why
        self._arranged = None
        log.info("active", epoch=epoch, rev=self.core.rev, why=why, interactions=len(self.core.memory.interactions))
        if strayed := queues.strays(self.core):
            where = ", ".join(f"{name} {count}" for name, count in strayed.items())
            log.warning("interactions are in queues that the configuration does not have", queues=where)
        return True

    # -- as active

    def arrange(self) -> None:
        """The tables have the columns of the configuration's custom properties, before anything is folded; what is in
        the tables already is folded again where a column does not have its values yet.

        :raises Fenced, StoreFailure: it is to be tried again
        """
        configuration = self.core.configuration
        if configuration is self._arranged:
            return
        arranged = self.store.arrange(self.core.epoch, configuration.custom_properties)
        for note in arranged.notes:
            log.info(note)
        if arranged.stale:
            self.folding.refill()
        self._arranged = configuration

    def renewal(self, now: float) -> int | None:
        """The time to renew the lease with, if it is time; to go with a commit."""
        return to_us(now) if time.monotonic() >= self._renew_at else None

    def renews_in(self) -> float:
        """Seconds until it is time to renew the lease."""
        return max(self._renew_at - time.monotonic(), 0.0)

    def renewed(self, asked_at: float) -> None:
        """The lease was renewed by a write that began at ``asked_at`` (monotonic)."""
        self._renew_at = asked_at + self.settings.lease_timeout / RENEWALS
        self.pair.renewed(asked_at)

    def keep(self, now: float) -> None:
        """Renews the lease by itself if nothing was committed lately.

        :raises Fenced: this member was replaced
        :raises StoreFailure: the database did not do it
        """
        us = self.renewal(now)
        if us is not None:
            asked_at = time.monotonic()
            self.store.renew(self.core.epoch, us)
            self.renewed(asked_at)

    def late(self) -> bool:
        """The own lease was not renewed for as long as it lasts: nothing may be said until it is. Said once; then it is
        also time for a :meth:`renewal`."""
        return self.pair.check(time.monotonic()) is Action.PAUSE

    def release(self, now: float, event: Event, why: str) -> bool:
        """Gives the lease up, when all that was decided is committed and sent. True: this process is to end.

        :param event: ``STOP`` or ``SWITCHOVER``
        :raises Fenced: it was replaced
        :raises StoreFailure: the lease runs out by itself
        """
        self.pair.handle(event)
        self.store.release(self.core.epoch, self.core.clock.promise(now))
        action = self.pair.released(time.monotonic())
        log.info("gave the lease up", epoch=self.core.epoch, rev=self.core.rev, why=why)
        self.why = why
        self.core.deactivate()
        return action is Action.QUIT

    def replaced(self, why: str) -> None:
        """Begins anew as a member that follows: what was decided and not committed never happened."""
        log.warning("stepping down", why=why)
        if self.pair.role == "active":
            self.pair.handle(Event.FENCED)
        self.why = why
        self._taken = None
        self._forget()
        self.next_look = 0.0
