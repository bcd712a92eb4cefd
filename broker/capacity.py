"""How many interactions of a media type an agent may handle at once, as the configuration has it.

What the agent has of its own goes first; then its groups, of several the most; then the tenant's media type. Without
any of these there is no limit.
"""

from __future__ import annotations

from collections.abc import Mapping

from broker.config.objects import Configuration


class CapacityRules:
    """The capacities of all agents. Nodes and proxies read them of the same file."""

    def __init__(self, configuration: Configuration) -> None:
        self._media = {
            number: {name: media.capacity for name, media in tenant.media_types.items() if media.capacity is not None}
            for number, tenant in configuration.tenants.items()
        }
        self._agents: dict[str, dict[str, int]] = {}
        for group in configuration.agent_groups.values():
            for agent_id in group.agents:
                shared = self._agents.setdefault(agent_id, {})
                for name, capacity in group.capacity.items():
                    shared[name] = max(capacity, shared.get(name, 0))
        for agent_id, agent in configuration.agents.items():
            self._agents.setdefault(agent_id, {}).update(agent.capacity)
        self.any = any(self._media.values()) or any(self._agents.values())
        """Whether anybody has a limit at all."""

    def of(self, tenant_id: int, agent_id: str | None) -> Mapping[str, int]:
        """An agent's limits: media type -> how many; what is not in it has none. :param agent_id: None: a place"""
        media = self._media.get(tenant_id, {})
        own = self._agents.get(agent_id) if agent_id is not None else None
        return {**media, **own} if own else media
