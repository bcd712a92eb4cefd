"""The status document: nodes as their members say of themselves in heartbeats, and this proxy (operations page)."""

from __future__ import annotations

from typing import Any

import msgspec

from broker.config.objects import Configuration
from broker.messages import encode
from broker.messages.operations import EventStatus

from .link import READY, Link, Member
from .links import Links
from .route import Routes

Document = dict[str, Any]


class Status:
    """What GetStatus answers. :param silence_s: after which a member counts as unreachable"""

    def __init__(self, configuration: Configuration, links: Links, routes: Routes) -> None:
        self._configuration = configuration
        self._links = links
        self._routes = routes

    def _expected(self, node: str) -> list[str]:
        """The members that a node has by the configuration."""
        return ["primary"] if self._configuration.nodes[node].backup is None else ["primary", "backup"]

    def payload(self, now: float, proxies: Document) -> bytes:
        """The EventStatus. :param proxies: what the proxy says of itself"""
        why: list[str] = []
        nodes = {name: self._node(now, self._links.links[name], why) for name in self._routes.nodes}
        states = {node["state"] for node in nodes.values()}
        state = "healthy" if states <= {"healthy"} else "down" if states == {"down"} else "degraded"
        return encode(EventStatus(state=state, nodes=nodes, proxies=proxies, why=why))

    def _node(self, now: float, link: Link, why: list[str]) -> Document:
        """One node: down without an active member, degraded when the other member is missing."""
        names = sorted({*self._expected(link.name), *link.members}, key=lambda name: (name != "primary", name))
        members = {name: self._member(now, link, link.members.get(name)) for name in names}
        faults = [_fault(link.name, name, one) for name, one in members.items() if one["role"] not in _FINE]
        serves = link.state is READY
        if not serves:
            faults.insert(0, f"{link.name}: no active member")
        why += faults
        figures: Document = {"backlog": None}
        for name, one in members.items():
            said = one.pop("node", None)
            if name == link.active and isinstance(said, dict):
                figures.update(said)
        state = "healthy" if not faults else "degraded" if serves else "down"
        return {"state": state, **figures, "event_rate": round(link.event_rate, 1), "members": members}

    def _member(self, now: float, link: Link, member: Member | None) -> Document:
        """One member's own words; of one that is silent, the last ones, but for its role. One that was replaced and has
        not been heard since is not what it said it was."""
        shown: Document = {"role": "unreachable", "pid": None, "epoch": None, "rev": None, "why": None}
        if member is None:
            return {**shown, "why": "never heard"}
        if member.role == "active" and member.epoch < link.epoch:
            return {**shown, "why": f"was replaced, and not heard since: {link.active} is active in epoch {link.epoch}"}
        shown.update(_said(member.status), epoch=member.epoch, role=member.role)
        silent_s = now - member.heard
        if silent_s > self._links.patience.silence_s:
            shown.update(role="unreachable", why=f"not heard for {silent_s:.1f} s")
        return shown


_FINE = ("active", "standby")


def _fault(node: str, name: str, member: Document) -> str:
    """What is wrong with a member; of one that needs an operator, also why."""
    why = f": {member['why']}" if member["role"] == "stopped" and member["why"] else ""
    return f"{node}: {name} is {member['role']}{why}"


def _said(status: bytes) -> Document:
    """A heartbeat's status; nothing where it cannot be read."""
    try:
        said = msgspec.json.decode(status) if status else {}
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
