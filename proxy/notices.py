"""What nodes tell unasked: the proxy itself, of heads of views and of agents; its clients, of everything else."""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import Decoder

from .agents import Agents
from .capacity import Capacity
from .desk import Desk
from .lookout import Lookout
from .sessions import Sessions


class _Known(Struct, gc=False):
    interaction_id: str


class _Sent(Struct, gc=False):
    interaction: _Known


_read_sent = Decoder(_Sent).decode
_ROUTE_REQUEST = b'{"message":"EventRouteRequest"'
_VIEW_HEAD = b'{"message":"EventViewHead"'
_AGENT_LOAD = b'{"message":"EventAgentLoad"'


class Notices:
    """Hands notifications on. They are told apart by how they begin: a node names the message first."""

    def __init__(self, desk: Desk, sessions: Sessions, agents: Agents, lookout: Lookout, capacity: Capacity) -> None:
        self._desk = desk
        self._sessions = sessions
        self._agents = agents
        self._lookout = lookout
        self._capacity = capacity

    def learn(self, node: str, payload: bytes) -> None:
        """What a node tells the proxy itself."""
        try:
            if payload.startswith(_VIEW_HEAD):
                self._lookout.learn(node, payload)
            elif payload.startswith(_AGENT_LOAD):
                self._capacity.learn(node, payload)
        except (ValueError, RecursionError):
            self._desk.counts.drop(node, "garbage", payload)

    def tell(self, node: str, client: int, payload: bytes) -> None:
        """A node tells a client something. :param client: its number at the nodes"""
        session = self._sessions.by_client.get(client)
        if session is None:
            self._desk.counts.drop(node, "client gone", payload)
        elif self._agents.lets_pass(session, node, payload):
            if payload.startswith(_ROUTE_REQUEST):
                self._learn_place(node, payload)
            self._desk.calls.tell(session, payload)

    def _learn_place(self, node: str, payload: bytes) -> None:
        """A node sends an engine an interaction: requests about it go there."""
        try:
            self._desk.whereis.learn(_read_sent(payload).interaction.interaction_id, node)
        except (ValueError, RecursionError):
            self._desk.counts.drop(node, "garbage", payload)
