"""Pulling: from the head of a view, by ids, with and without hold (protocol 8), and telling proxies of new heads.

A held pull waits here for its view. At the end of a batch (:meth:`Pulls.settle`) every view that was touched first
serves those that wait, oldest first, and then tells the proxies that watch it what its first keys are now.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import takewhile
from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec import UNSET

from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.interactions import EventTakenFromQueue
from broker.messages.kinds import ClientType, Workbin
from broker.messages.objects import QUEUED, STATES, Interaction
from broker.messages.pulls import (
    BY_IDS,
    EventPulledInteractions,
    EventViewHead,
    Granted,
    RequestPull,
    RequestWatchView,
    Unpulled,
)
from broker.messages.workbins import EventTakenFromWorkbin

from . import agents, capacity, holdings, queues, shares, workbins
from .calls import Call, Source
from .invitations import agent_holder
from .records import Holder
from .views import Key, View

if TYPE_CHECKING:
    from .core import NodeCore
    from .sessions import Session


class _Hints(msgspec.Struct):
    """What a pull looks at in its ``extension``; all else there is anybody's."""

    hold: Any = msgspec.field(default=None, name="pull-for-strategy")


_hints = msgspec.json.Decoder(_Hints).decode


class Watch(msgspec.Struct):
    """A proxy that is told of a view. :param keys: how many of the first ones; :param told: what it was told last"""

    keys: int
    told: tuple[Any, ...]


class Pulls:
    """Held pulls by view, and which proxies watch which view."""

    def __init__(self) -> None:
        self.waiting: dict[str, deque[Call]] = {}
        self.held = 0
        self.watchers: dict[str, dict[Source, Watch]] = {}

    def hold(self, node: NodeCore, call: Call, view: View) -> None:
        """Lets a pull wait. :raises Refusal: too many wait already"""
        if self.held >= node.settings.max_held_pulls:
            raise Refusal(Code.BUSY, f"{self.held} pulls are held", retry_after=1.0)
        self.waiting.setdefault(view.view_id, deque()).append(call)
        self.held += 1
        node.deadline(node.now + node.settings.pull_hold_timeout, _hold_over, (view.view_id, call))

    def release(self, view_id: str, call: Call) -> bool:
        """Ends the waiting of one pull. False: it was served before."""
        calls = self.waiting.get(view_id)
        if calls is None or call not in calls:
            return False
        calls.remove(call)
        self._shrink(view_id)
        return True

    def next(self, view_id: str) -> Call | None:
        """The pull that waits longest."""
        calls = self.waiting.get(view_id)
        if not calls:
            return None
        call = calls.popleft()
        self._shrink(view_id)
        return call

    def serve_first(self, node: NodeCore, view: View) -> bool:
        """Gives what it wants to the pull that waits longest for a view that is not empty. False: none waits."""
        call = self.next(view.view_id)
        if call is None:
            return False
        node.finish(call, _take(node, call, view))
        return True

    def _shrink(self, view_id: str) -> None:
        self.held -= 1
        if not self.waiting[view_id]:
            del self.waiting[view_id]

    def forget(self, node: NodeCore, session: Session) -> None:
        """A session has ended, or is at another address now: its pulls wait no more, it watches nothing."""
        for view_id, calls in list(self.waiting.items()):
            for call in [call for call in calls if call.source == session.source]:
                self.release(view_id, call)
        for view_id in session.watches:
            self.watchers.get(view_id, {}).pop(session.source, None)
        session.watches.clear()

    def drop(self, node: NodeCore, view_id: str) -> None:
        """A view is gone: pulls that wait for it are refused, nobody is told of it any more."""
        while (call := self.next(view_id)) is not None:
            node.refuse(call, Refusal(Code.UNKNOWN_VIEW, f"{view_id} was removed", field="view_id"))
        self.watchers.pop(view_id, None)

    def settle(self, node: NodeCore) -> None:
        """At the end of a batch: serves those that wait, then tells of heads that have changed."""
        touched = node.memory.views.touched
        if not touched:
            return
        if self.waiting:
            for view_id in sorted(touched & self.waiting.keys()):
                self._serve(node, node.memory.views.by_id[view_id])
        if self.watchers:
            for view_id in touched & self.watchers.keys():
                self._tell(node, node.memory.views.by_id[view_id])
        touched.clear()

    def _serve(self, node: NodeCore, view: View) -> None:
        if not queues.gives(node, view.queue):
            return
        while (call := self._served(view)) is not None:
            node.finish(call, _take(node, call, view))

    def _served(self, view: View) -> Call | None:
        """The pull that waits longest of those that the view has something for; it waits no more."""
        if len(view):
            return self.next(view.view_id)
        if view.held_ids:
            for call in self.waiting.get(view.view_id, ()):
                if call.request.ignore_hold:
                    self.release(view.view_id, call)
                    return call
        return None

    def _tell(self, node: NodeCore, view: View) -> None:
        """Tells the proxies of a view's first keys. Who was told first is told last the next time: of proxies that wait
        for the same interaction the first to be told mostly gets it."""
        watchers = self.watchers[view.view_id]
        if len(watchers) > 1:
            first = next(iter(watchers))
            watchers[first] = watchers.pop(first)
        heads: dict[int, EventViewHead] = {}
        payloads: dict[int, bytes] = {}
        for source, watch in watchers.items():
            keys = watch.keys
            if keys not in heads:
                heads[keys] = head_of(node, view, keys)
            shown = _shown(heads[keys])
            if watch.told != shown:
                watch.told = shown
                if keys not in payloads:  # hot path: mostly nothing has changed, and nothing is encoded
                    payloads[keys] = encode(heads[keys])
                node.outgoing.append((source, None, payloads[keys], 0))


def _shown(head: EventViewHead) -> tuple[Any, ...]:
    """What a proxy is told anew when it is another: the keys, and whether there are more behind them."""
    return head.head, head.next, head.any_head, head.depth > 1 + len(head.next), head.held > 0


def head_of(node: NodeCore, view: View, keys: int = 1) -> EventViewHead:
    """The first keys as a proxy is told of them; none of an empty view, and of one whose queue gives nothing."""
    told = EventViewHead(view_id=view.view_id, depth=len(view), held=len(view.held_ids))
    if queues.gives(node, view.queue):
        interactions, raw = node.memory.interactions, view.order.head
        heads = [raw(interactions[ident]) for ident in view.first(keys)]
        if heads:
            told.head, *told.next = heads
        of_all = view.head(ignore_hold=True) if view.held_ids else None
        told.any_head = None if of_all is None else raw(interactions[of_all])
        if told.any_head == told.head:
            told.any_head = None
    return told


def pull(node: NodeCore, call: Call) -> EventPulledInteractions | None:
    """RequestPull: what it gets, or None while it is held."""
    request: RequestPull = call.request
    call.tenant(request.tenant_id)
    if request.view_id == BY_IDS:
        return _pull_ids(node, call)
    workbin = workbins.pulled(node, call)
    if workbin is not None:
        return _pull_workbin(node, call, node.memory.contents.views.get(workbin))
    view = _view(node, request)
    reply = _take(node, call, view, _below(view, request))
    if reply.interactions or not _holds(call):
        return reply
    node.pulls.hold(node, call, view)
    return None


def _pull_workbin(node: NodeCore, call: Call, view: View | None) -> EventPulledInteractions | None:
    """A pull from a workbin. A proxy may want to know first what it would take, and gets rows.

    :param view: what is in the workbin; None: nothing
    """
    if call.listed:
        shares.tell(node, call, view)
        return None
    return EventPulledInteractions(interactions=[]) if view is None else _take(node, call, view)


def _view(node: NodeCore, request: RequestPull | RequestWatchView) -> View:
    view = node.memory.views.by_id.get(request.view_id)
    tenant = getattr(request, "tenant_id", None)
    if view is None or (tenant is not None and view.tenant_id != tenant):
        whose = f"tenant {tenant}" if tenant is not None else node.name
        raise Refusal(Code.UNKNOWN_VIEW, f"{whose} has no view {request.view_id}", field="view_id")
    return view


def _below(view: View, request: RequestPull) -> Key | None:
    if request.below is None:
        return None
    try:
        return view.order.key_of(request.below)
    except ValueError as fault:
        raise Refusal(Code.WRONG_VALUE, str(fault), field="below") from None


def _holds(call: Call) -> bool:
    """Only a routing engine's pull with ``pull-for-strategy`` is held (guide, "Timeout for Pull for Strategy")."""
    extension = call.request.extension
    if extension is UNSET or call.session.type is not ClientType.ROUTING:
        return False
    try:
        return _hints(extension).hold in (1, True, "1")
    except (ValueError, RecursionError):
        return False


def _take(node: NodeCore, call: Call, view: View, below: Key | None = None) -> EventPulledInteractions:
    """Grants the head of the view, or what a proxy has chosen of it, to the client that asks; to an agent as much as it
    has capacity for.

    :raises Refusal: ``CAPACITY_FULL``: it has none for the first one
    """
    holder = _holder(node, call)
    if not queues.gives(node, view.queue):
        return EventPulledInteractions(interactions=[])
    room = _room(node, holder)
    ids = _chosen(node, call.request, view, below, room.fits if room else None)
    if room is not None and room.full is not None and not ids:
        raise room.refusal()
    granted = [_grant(node, call, node.memory.interactions[ident], holder) for ident in ids]
    return EventPulledInteractions(interactions=granted)


def _chosen(
    node: NodeCore, request: RequestPull, view: View, below: Key | None, fits: Callable[[str], bool] | None
) -> list[str]:
    """What a pull takes, in order, as far as it fits."""
    if request.share is None:
        return view.take(request.count, below, ignore_hold=request.ignore_hold, fits=fits)
    ids = shares.still_there(node, view, request.share, ignore_hold=request.ignore_hold)
    return ids if fits is None else list(takewhile(fits, ids))


def _holder(node: NodeCore, call: Call) -> Holder:
    if call.session.type is ClientType.ROUTING:
        return holdings.strategy_holder(call, call.request.strategy_id)
    agent, focus = agents.asking(node, call), call.request.initial_in_focus_state
    return agent_holder(agent, call.session.session_id, call.session.name, in_focus=focus)


def _room(node: NodeCore, holder: Holder) -> capacity.Room | None:
    """What an agent can still take; None where there is no limit."""
    if holder.agent is None or not node.capacity.rules.any:
        return None
    return capacity.Room(node, node.memory.agents.rows[holder.agent])


def _grant(node: NodeCore, call: Call, interaction: Interaction, holder: Holder) -> Granted:
    """The interaction is the holder's now. :returns: it, as JSON already: a tenth of a pull is spent otherwise"""
    old_state, workbin = interaction.interaction_state, interaction.workbin
    if holder.agent and interaction.delivered_at is None:
        node.memory.update(interaction, delivered_at=node.now)
    holding = holdings.grant(node, interaction, holder)
    cause = call.cause(holdings.as_actor(holder))
    parts: dict[str, Any] = {"party": holder.party, "old_queue": interaction.queue, "old_state": old_state}
    if interaction.queue is not None:
        node.event(EventTakenFromQueue, interaction, cause, **parts)
    if workbin is not None:
        node.event(EventTakenFromWorkbin, interaction, cause, **parts)
    holdings.add_party(node, interaction, holder, cause, "Pull")
    return cast("Granted", msgspec.Raw(b'%b,"token":%d}' % (encode(interaction)[:-1], holding.token)))


def _pull_ids(node: NodeCore, call: Call) -> EventPulledInteractions:
    """Takes the named interactions; those that cannot be taken are in ``errors``, each with its code."""
    request: RequestPull = call.request
    parameters = request.pull_parameters
    if parameters is None or not parameters.interaction_ids:
        text = f"a pull from {BY_IDS} names its interactions in pull_parameters.interaction_ids"
        raise Refusal(Code.MISSING_ATTRIBUTE, text, field="pull_parameters")
    holder = _holder(node, call)
    room = _room(node, holder)
    granted: list[Granted] = []
    errors: dict[str, Refusal] = {}
    for ident in dict.fromkeys(parameters.interaction_ids):
        fault = _untakeable(node, call, ident, room)
        if fault is None:
            granted.append(_grant(node, call, node.memory.interactions[ident], holder))
        else:
            errors[ident] = fault
    if not granted and len(errors) == 1:
        raise next(iter(errors.values()))
    shown = {ident: Unpulled.of(fault) for ident, fault in errors.items()}
    return EventPulledInteractions(interactions=granted, errors=shown or None)


def _untakeable(node: NodeCore, call: Call, ident: str, room: capacity.Room | None) -> Refusal | None:
    """Why an interaction cannot be taken by its id; None: it can, and counts."""
    fault = _obstacle(node, call, ident)
    if fault is not None:
        return Refusal(fault, _why(node, ident, fault), field="pull_parameters")
    return room.refusal() if room is not None and not room.fits(ident) else None


def _obstacle(node: NodeCore, call: Call, ident: str) -> Code | None:
    interaction = node.memory.interactions.get(ident)
    if interaction is None or interaction.tenant_id not in call.session.tenants:
        return Code.UNKNOWN_INTERACTION
    if interaction.is_locked:
        return Code.LOCKED
    if interaction.interaction_state != QUEUED or (interaction.is_held and not call.request.ignore_hold):
        return Code.WRONG_STATE
    if interaction.workbin is not None and not _may_take(node, call, interaction.workbin):
        return Code.WRONG_STATE
    return None


def _why(node: NodeCore, ident: str, fault: Code) -> str:
    """In a sentence why an interaction cannot be taken by its id."""
    interaction = node.memory.interactions.get(ident)
    if fault is Code.UNKNOWN_INTERACTION or interaction is None:
        return f"{node.name} has no interaction {ident}"
    if fault is Code.LOCKED:
        return f"a session or a snapshot has locked {ident}"
    if interaction.interaction_state != QUEUED:
        return f"{ident} is not queued: its state is {STATES[interaction.interaction_state]}"
    if interaction.workbin is not None:
        return f"{ident} is in a workbin that this client does not use"
    return f"{ident} is on hold; a pull with ignore_hold takes it"


def _may_take(node: NodeCore, call: Call, workbin: Workbin) -> bool:
    """Whether the one who asks may take from a workbin: only agents may, those that use it."""
    return call.session.type is not ClientType.ROUTING and workbins.uses(node, agents.asking(node, call), workbin)


def _hold_over(node: NodeCore, held: tuple[str, Call]) -> None:
    """A deadline: nothing came for a held pull."""
    view_id, call = held
    if node.pulls.release(view_id, call):
        node.finish(call, EventPulledInteractions(interactions=[]))


def watch(node: NodeCore, call: Call) -> EventViewHead:
    """RequestWatchView: a proxy asks for the head now and is told of its changes from then on."""
    view = _view(node, call.request)
    told = head_of(node, view, call.request.keys)
    node.pulls.watchers.setdefault(view.view_id, {})[call.source] = Watch(call.request.keys, _shown(told))
    call.session.watches.add(view.view_id)
    return told


HANDLERS = {RequestPull: pull, RequestWatchView: watch}
