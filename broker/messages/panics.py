"""The panic signal: many agents' clients are gone at once, with their proxy or without."""

from __future__ import annotations

from .reporting import SystemEvent


class EventPanicSignal(SystemEvent):
    """A proxy is lost with its agents, or the clients of many agents have vanished at once.

    The agents stay as they are until the grace time is over (`panic-grace`): who comes back, through whatever proxy,
    goes on with its session, and no event says so. Who does not is treated as an agent whose client has vanished; the
    reason of what follows from that is `Panic` and the panic's name. Agents that vanish meanwhile belong to it.

    ``body``: ``panic`` (its name: that of the proxy, else `agents`), ``proxy`` (that is lost, else absent), ``agents``
    (how many), ``keys`` (`agent_id`, `place_id` of the first hundred), ``until`` (the end of the grace time). One event
    for each tenant, under the tenant's topic.
    """


class EventPanicEnded(SystemEvent):
    """All agents of a panic have come back, or the grace time is over.

    ``body``: ``panic`` as in the signal, ``agents`` (how many belonged to it), ``returned``, ``lost``.
    """
