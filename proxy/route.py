"""Which nodes a request may go to, as the configuration has it: tenants, media types, who takes new interactions.

What is refused here is refused as the guide has it: no server for this media type or tenant is 2001, and a tenant that
is not the session's is like one that does not exist.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

from broker.config.objects import Configuration
from broker.errors import Code, Refusal
from broker.ids import rendezvous

Nodes = tuple[str, ...]

_REMEMBERED = 10_000
"""How many answers are remembered: clients may choose any set of tenants."""


class Routes:
    """The rules of routing.

    :param nodes: names of the nodes that the proxy is connected to, in the configuration's order
    """

    def __init__(self, configuration: Configuration, nodes: Sequence[str]) -> None:
        self._turns: dict[Nodes, int] = {}
        self.added: dict[str, float] = {}
        """Nodes that were added since the proxy was started, and from when on they take new interactions."""
        self.reload(configuration, nodes)

    def reload(self, configuration: Configuration, nodes: Sequence[str], young: Collection[str] = ()) -> None:
        """Another configuration, other nodes.

        :param young: those of them that have just been added: they are asked what they have, and begin nothing
        """
        self.nodes: Nodes = tuple(nodes)
        self._young = frozenset(young)
        self._turns.clear()
        self._tenants = configuration.tenants
        self._settings = {name: configuration.nodes[name].cluster_settings for name in self.nodes}
        self._serving: dict[tuple[frozenset[int], str | None], Nodes] = {}
        self._submitting: dict[tuple[int, str], Nodes] = {}

    def serving(self, tenants: frozenset[int], media_type: str | None = None) -> Nodes:
        """The nodes that serve one of the tenants and, if given, the media type.

        :raises Refusal: ``NO_SERVERS``
        """
        key = (tenants, media_type)
        nodes = self._serving.get(key)
        if nodes is None:
            known = [
                t for t in self._tenants if t in tenants and (media_type is None or self._has_media(t, media_type))
            ]
            nodes = tuple(name for name in self.nodes if any(self._serves(name, t, media_type) for t in known))
            if len(self._serving) >= _REMEMBERED:
                self._serving.clear()
            if nodes:
                self._serving[key] = nodes
        if not nodes:
            raise no_servers(tenants, media_type)
        return nodes

    def nodes_of(self, tenant: int) -> Nodes:
        """The nodes that serve a tenant; none where there is no such tenant."""
        try:
            return self.serving(frozenset({tenant}))
        except Refusal:
            return ()

    def submitting(self, tenant: int, media_type: str) -> Nodes:
        """The nodes that take new interactions of the tenant and media type.

        :raises Refusal: ``MEDIA_DISABLED``, which a proxy does not let pass (guide, "Disabled Media Type");
            ``NO_SERVERS``
        """
        nodes = self._submitting.get((tenant, media_type))
        if nodes is None:
            if self._has_media(tenant, media_type) and not self._tenants[tenant].media_types[media_type].enabled:
                text = f"media type {media_type} is disabled in the configuration"
                raise Refusal(Code.MEDIA_DISABLED, text, field="media_type")
            serving = self.serving(frozenset({tenant}), media_type)
            nodes = self.grown(tuple(name for name in serving if self._settings[name].enable_submit))
            if not nodes:
                raise none_takes(serving, tenant, media_type)
            self._submitting[tenant, media_type] = nodes
        return nodes

    def grown(self, nodes: Nodes) -> Nodes:
        """Those of the nodes that may begin something, so that it is in the stream; the young ones only if there is no
        other."""
        if not self._young:
            return nodes
        return tuple(name for name in nodes if name not in self._young) or nodes

    def turn(self, nodes: Nodes, ready: Nodes) -> str:
        """The next of ``ready``, round robin. :param nodes: whose turn is counted"""
        at = self._turns.get(nodes, 0)
        self._turns[nodes] = at + 1
        return ready[at % len(ready)]

    def homes(self, key: str, nodes: Nodes) -> Nodes:
        """``nodes`` in the order in which everybody chooses them for this key."""
        return tuple(rendezvous(key, list(nodes)))

    def earlier(self, homes: Nodes, since: float = float("-inf")) -> Nodes:
        """The nodes that were the home of a key before the first one was.

        :param homes: as :meth:`homes` has them; :param since: only what was added after that counts
        """
        if not self.added or self.added.get(homes[0], since) <= since:
            return ()
        before: list[str] = []
        for name in homes[1:]:
            before.append(name)
            if self.added.get(name, since) <= since:
                break
        return tuple(before)

    def _has_media(self, tenant: int, media_type: str) -> bool:
        return tenant in self._tenants and media_type in self._tenants[tenant].media_types

    def _serves(self, name: str, tenant: int, media_type: str | None) -> bool:
        settings = self._settings[name]
        if settings.tenants is not None and tenant not in settings.tenants:
            return False
        return media_type is None or settings.media_types is None or media_type in settings.media_types


def no_servers(tenants: Iterable[int], media_type: str | None = None) -> Refusal:
    """No node accepts this."""
    field = "tenant_id" if media_type is None else "media_type"
    media = "" if media_type is None else f" and media type {media_type}"
    return Refusal(Code.NO_SERVERS, f"no node serves tenant {', '.join(map(str, sorted(tenants)))}{media}", field=field)


def none_takes(nodes: Iterable[str], tenant: int, media_type: str) -> Refusal:
    """Nodes serve it, but none of them takes new interactions. :param nodes: which"""
    text = f"none of {', '.join(nodes)} takes new interactions of tenant {tenant} and media type {media_type}"
    return Refusal(Code.NO_SERVERS, text + ": see enable-submit and ixn drain", field="media_type")


def checked_tenant(tenant: int, tenants: frozenset[int]) -> frozenset[int]:
    """The tenant alone, as a key of :meth:`Routes.serving`.

    :raises Refusal: it is not one of the session's; whether there is such a tenant is not said
    """
    if tenant not in tenants:
        text = f"tenant {tenant} is none that this client has registered for, or there was none when it registered"
        raise Refusal(Code.NO_SERVERS, text, field="tenant_id")
    return _alone(tenant)


@lru_cache(maxsize=_REMEMBERED)
def _alone(tenant: int) -> frozenset[int]:
    return frozenset({tenant})
