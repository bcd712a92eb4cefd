"""Another configuration while the proxy runs: what it takes on, and what stays until a restart.

The proxy's parts hold the same two objects, the configuration and the proxy's own options (:class:`proxy.desk.Desk`);
these are brought up to date in place, and parts that have made something of them make it anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from broker.config.changes import Adopted, Fixed, adopt, fingerprint
from broker.config.objects import Configuration
from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.operations import EventReconfigured

from .calls import Call

if TYPE_CHECKING:
    from .core import ProxyCore

_AT_START = "the process takes it when it is started"
_SETTINGS = ("max-message-size", "stream-stall-timeout", "stream-buffer")


def fixed(proxy: str) -> list[Fixed]:
    """What a running member of ``proxy`` cannot change: where it is. Nodes may come, go and move."""
    here = ("proxies", proxy)
    paths: list[tuple[str, ...]] = [(*here, name) for name in ("primary", "backup")]
    paths += [(*here, "settings", name) for name in _SETTINGS]
    told = Fixed((*here, "settings", "keepalive-interval"), "clients were told it when they registered")
    gone = [("tenants", "*"), ("tenants", "*", "media-types", "*")]
    return [
        *(Fixed(path, _AT_START) for path in paths),
        told,
        Fixed(here, "a proxy that runs is not removed: end it first", removal=True),
        *(Fixed(path, "it is removed when the process is started anew", removal=True) for path in gone),
    ]


def ordered(core: ProxyCore, now: float, call: Call | None, new: Configuration | None, faults: str) -> str:
    """The shell has read a configuration, for a call (None: at SIGHUP), which is answered.

    :param new: what it says; None: it has ``faults``
    :returns: what became of it, for the log; empty: the call only asked what would
    """
    check = call is not None and call.head.configuration is not None
    try:
        if new is None:
            raise Refusal(Code.WRONG_CONFIGURATION, faults)
        adopted = _judge(core, new)
    except Refusal as refusal:
        if call is not None:
            core.calls.refuse(call, refusal)
        return "" if check else f"nothing is changed: {refusal.detail}"
    if not check and adopted.changed:
        core.reload(now, adopted.configuration)
    reply = _reply(core, adopted)
    if call is not None:
        core.calls.answer(call, encode(reply))
    return "" if check else reply.report()


def _judge(core: ProxyCore, new: Configuration) -> Adopted:
    """:raises Refusal: ``WRONG_CONFIGURATION``: what stays and what is new contradict each other"""
    try:
        return adopt(core.configuration, new, fixed(core.name))
    except ValueError as fault:
        raise Refusal(Code.WRONG_CONFIGURATION, f"not without a restart: {fault}") from None


def _reply(core: ProxyCore, adopted: Adopted) -> EventReconfigured:
    return EventReconfigured(
        server=core.name,
        fingerprint=fingerprint(adopted.configuration),
        changed=[str(change) for change in adopted.changed],
        kept=[f"{change}; {why}" for change, why in adopted.kept],
    )


def become(old: msgspec.Struct, new: msgspec.Struct) -> None:
    """Brings an object of options up to date in place."""
    for field in msgspec.structs.fields(type(new)):
        setattr(old, field.name, getattr(new, field.name))
