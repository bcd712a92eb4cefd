"""Another configuration while the node runs: what it takes on, what stays until a restart, what it refuses to lose.

    RequestReconfigure, SIGHUP   the shell reads the file, beside the loop
    take_on                      nothing that holds interactions may go; then the node has the new configuration at
                                 once, but for views: those are built in slices, and pulls go on in the old ones
    the journal                  has the whole configuration as a row, so the standby follows it like everything else
    follow                       a standby, and a member that takes over, go by that row if it is later than the file
                                 that they have read when they started

So both members of a pair have the same configuration, whoever is active, and a member that is started anew has the
file's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from broker.config.changes import Adopted, Change, Fixed, adopt, decode_document, encode_document, fingerprint
from broker.config.faults import key_of
from broker.config.locator import Path
from broker.config.objects import Configuration
from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.operations import EventConfigurationChanged, EventReconfigured, RequestReconfigure

from . import capacity, licences, states
from .calls import UNASKED, Call
from .records import ONLY, Configured

if TYPE_CHECKING:
    from .core import NodeCore

SLICE = 1_000
"""Interactions looked at in one turn while views are built: some milliseconds."""

_AT_START = "the process takes it when it is started"


def fixed(node: str, configuration: Configuration) -> list[Fixed]:
    """What a running member of ``node`` cannot change: where it is, what it has open and whom it is connected to."""
    here = ("nodes", node)
    at_start: list[tuple[str, ...]] = [("database",), ("primary",), ("backup",), ("connections",)]
    at_start += [("settings", name) for name in ("lease-timeout", "synchronous", "max-message-size")]
    told = Fixed((*here, "settings", "keepalive-interval"), "clients were told it when they registered")
    gone = [("tenants", "*"), ("tenants", "*", "media-types", "*")]
    return [
        *(Fixed((*here, *name), _AT_START) for name in at_start),
        *(Fixed(("esp-servers", name), _AT_START) for name in configuration.nodes[node].connections),
        told,
        *(Fixed(path, "it is removed when the process is started anew", removal=True) for path in gone),
    ]


def asked(node: NodeCore, call: Call) -> None:
    """RequestReconfigure: the shell reads the file, or the text of the request, and comes back with what it says."""
    node.orders.append(call)


# -- what would become of it


def judge(node: NodeCore, new: Configuration) -> Adopted:
    """What the node would take on. :raises Refusal: ``WRONG_CONFIGURATION``, with all that speaks against it"""
    if node.memory.building:
        raise Refusal(Code.IN_PROGRESS, "views are still being built for the last configuration")
    if node.name not in new.nodes:
        return _unwanted(node)
    try:
        adopted = adopt(node.configuration, new, fixed(node.name, node.configuration))
    except ValueError as fault:
        raise Refusal(Code.WRONG_CONFIGURATION, f"not without a restart: {fault}") from None
    losses = list(_losses(node, adopted.configuration))
    if losses:
        raise Refusal(Code.WRONG_CONFIGURATION, "\n".join(losses))
    return adopted


def _unwanted(node: NodeCore) -> Adopted:
    """The node itself is not in the new configuration: it stays as it is until it is ended.

    :raises Refusal: it has interactions, which proxies that take the configuration on would not find any more
    """
    here, count = ("nodes", node.name), len(node.memory.interactions)
    if count:
        raise Refusal(Code.WRONG_CONFIGURATION, _loss(node, here, "removed", count))
    change = Change(here, {}, None)
    return Adopted(node.configuration, [], [(change, "a node that runs is not removed: end it")])


def _losses(node: NodeCore, new: Configuration) -> Iterator[str]:
    """A sentence for everything that cannot go, because interactions are in it or come back to it."""
    old, used = node.configuration, _used(node)
    sections: dict[str, tuple[Mapping[str, object], Mapping[str, object]]] = {
        "queues": (old.queues, new.queues),
        "workbins": (old.workbins, new.workbins),
        "agent-groups": (old.agent_groups, new.agent_groups),
        "place-groups": (old.place_groups, new.place_groups),
    }
    for section, (before, after) in sections.items():
        for name in before:
            if used[section, name] and name not in after:
                yield _loss(node, (section, name), "removed", used[section, name])
    for name, queue in new.queues.items():
        if used["queues", name] and name in old.queues and queue.tenant != old.queues[name].tenant:
            yield _loss(node, ("queues", name, "tenant"), "changed", used["queues", name])
    for name, workbin in new.workbins.items():
        if used["workbins", name] and name in old.workbins and workbin.owner != old.workbins[name].owner:
            yield _loss(node, ("workbins", name, "owner"), "changed", used["workbins", name])


def _loss(node: NodeCore, path: Path, what: str, count: int) -> str:
    held = "1 interaction" if count == 1 else f"{count} interactions"
    return f"{key_of(path)}: cannot be {what}, {node.name} has {held} there"


def _used(node: NodeCore) -> Counter[tuple[str, str]]:
    """By section and name: how many interactions are in it, or will come back to it."""
    memory = node.memory
    used: Counter[tuple[str, str]] = Counter()
    for queue, counts in memory.queue_counts.items():
        used["queues", queue] += sum(counts)
    for (_, workbin), idents in memory.contents.ids.items():
        used["workbins", workbin.type] += len(idents)
        used["agent-groups", workbin.agent_group or ""] += len(idents)
        used["place-groups", workbin.place_group or ""] += len(idents)
    for holding in memory.holdings.rows.values():
        if holding.workbin is not None:
            used["workbins", holding.workbin.type] += 1
            used["agent-groups", holding.workbin.agent_group or ""] += 1
            used["place-groups", holding.workbin.place_group or ""] += 1
        interaction = memory.interactions[holding.interaction_id]
        if holding.queue is not None and holding.queue != interaction.queue:
            used["queues", holding.queue] += 1
    for move in memory.moves.rows.values():
        used["queues", move.queue] += 1
    return used


# -- taking it on


def ordered(node: NodeCore, now: float, call: Call | None, new: Configuration | None, faults: str) -> str:
    """The shell has read a configuration, for a call (None: at SIGHUP), which is answered now or when views are built.

    :param new: what it says; None: it has ``faults``
    :returns: what became of it, for the log; empty: the call only asked what would
    """
    node.now = now
    check = call is not None and call.request.configuration is not None
    try:
        if new is None:
            raise Refusal(Code.WRONG_CONFIGURATION, faults)
        adopted = judge(node, new)
        if not check:
            _take_on(node, adopted, call)
    except Refusal as refusal:
        if call is not None:
            node.refuse(call, refusal)
        return "" if check else f"nothing is changed: {refusal.detail}"
    reply = EventReconfigured(
        server=node.name,
        fingerprint=fingerprint(adopted.configuration),
        changed=[str(change) for change in adopted.changed],
        kept=[f"{change}; {why}" for change, why in adopted.kept],
    )
    _answer(node, call, reply)
    return "" if check else reply.report()


def _answer(node: NodeCore, call: Call | None, reply: EventReconfigured) -> None:
    """At once, or when the views are built."""
    building = Building(call, reply)
    if node.memory.building and (call is None or call.request.configuration is None) and not building.slice(node):
        node.searches.append(building)
    elif call is not None:
        node.finish(call, reply)


def _take_on(node: NodeCore, adopted: Adopted, call: Call | None) -> None:
    """The configuration is in force, here and, by the journal, at the standby."""
    if not adopted.changed:
        return
    us = node.clock.next(node.now)
    document = encode_document(adopted.configuration)
    node.memory.put(node.memory.configured, ONLY, Configured(us=us, document=Raw(document)))
    install(node, adopted.configuration, us)
    for queue in [name for name in node.memory.queues.rows if name not in adopted.configuration.queues]:
        node.memory.drop(node.memory.queues, queue)
    licences.reconfigured(node)
    body = Raw(encode({"fingerprint": fingerprint(adopted.configuration), "changed": len(adopted.changed)}))
    node.system_event(EventConfigurationChanged, call.cause() if call is not None else UNASKED, body)


def install(node: NodeCore, new: Configuration, us: int) -> None:
    """Puts a configuration in the place of the old one. Views are built from now on."""
    old, node.configuration, node.configured_us = node.configuration, new, us
    node.settings = new.nodes[node.name].settings
    limited = capacity.reconfigured(node)
    for view_id in node.memory.reconfigure(new):
        node.pulls.drop(node, view_id)
    for name, queue in new.queues.items():
        if name not in old.queues or old.queues[name] != queue:
            node.memory.views.touch(name)
    if node.active:
        node.strategies.reload(node)
        for agent in limited:
            node.tell_agent(agent.key, states.status_of(node, agent))
    tenants = frozenset(new.tenants)
    for session in node.sessions.by_id.values():
        if session.all_tenants:
            session.tenants = tenants


class Building:
    """Views that are being built, a slice a turn. :param call: is answered when they are"""

    def __init__(self, call: Call | None, reply: EventReconfigured | None) -> None:
        self.call = call
        self.reply = reply

    def slice(self, node: NodeCore) -> bool:
        """Builds on. True: all are built."""
        built = node.memory.build(SLICE)
        if built:
            node.strategies.reload(node)
        return built

    def finish(self, node: NodeCore) -> None:
        """Answers the one that asked, if that is still known."""
        if self.call is not None and self.reply is not None:
            node.finish(self.call, self.reply)


# -- the other member


def follow(node: NodeCore) -> str:
    """Takes on the configuration of the journal, if it is later than the one that is in force here.

    :returns: what became of it, for the log; empty: there is no later one
    """
    row = node.memory.configured.get(ONLY)
    if row is None or row.us <= node.configured_us:
        return ""
    try:
        adopted = adopt(node.configuration, decode_document(row.document), fixed(node.name, node.configuration))
    except (msgspec.MsgspecError, ValueError) as fault:  # of another release, or not without a restart
        node.configured_us = row.us
        return f"the active member's configuration cannot be taken on here: {fault}"
    install(node, adopted.configuration, row.us)
    return f"the active member's configuration {node.fingerprint} is taken on"


def resume(node: NodeCore) -> None:
    """After a take-over: views that are not built yet are built on."""
    follow(node)
    if node.memory.building:
        node.searches.append(Building(None, None))


HANDLERS = {RequestReconfigure: asked}
