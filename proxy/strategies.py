"""Strategies that the proxy's routing engines load: at every node of the tenant, now or when it is back.

    load, unload        to all nodes that are there; it is done when one of them has acked and none has refused
    a node refuses      that is the answer; the others are brought back to what was before
    a node is away      it is told when it is back, and everything anew when it has forgotten
    the engine is lost  the nodes are told to unload, so that others get what it held; when it is back, to load again
    it has moved        the nodes are introduced to it anew, and tell it again what it holds

What is to be the case has a version per strategy; a node is told until it has the last one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from msgspec.structs import replace

from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.strategies import RequestLoadStrategy, RequestUnloadStrategy

from .calls import Call
from .desk import Desk
from .gather import Answers, Asker, says
from .merge import lost
from .roster import UNSURE
from .route import Nodes, checked_tenant
from .sessions import Session

RETRY_S = 1.0


class Wish:
    """What is to be the case of one strategy at all nodes.

    :param loaded: the request that a node is told; None: it is not to be loaded
    :param suspended: not to be loaded for now, as the engine cannot be reached
    :param at: the version that a node has; :param asking: nodes that are just told, with the number of the ask
    :param changing: the engine's own request is under way
    """

    __slots__ = ("asking", "at", "changing", "loaded", "session", "strategy_id", "suspended", "tenant_id", "version")

    def __init__(self, session: Session, tenant_id: int, strategy_id: str) -> None:
        self.session = session
        self.tenant_id = tenant_id
        self.strategy_id = strategy_id
        self.loaded: bytes | None = None
        self.suspended = False
        self.version = 0
        self.at: dict[str, int] = {}
        self.asking: dict[str, int] = {}
        self.changing = False

    @property
    def payload(self) -> bytes:
        """What a node is told."""
        if self.loaded is not None and not self.suspended:
            return self.loaded
        return encode(RequestUnloadStrategy(tenant_id=self.tenant_id, strategy_id=self.strategy_id))


class Strategies:
    """What the proxy's engines have loaded."""

    def __init__(self, desk: Desk) -> None:
        self._settings = desk.settings
        self._counts = desk.counts
        self._gather = desk.gather
        self._calls = desk.calls
        self._links = desk.links
        self._routes = desk.routes
        self._of: dict[int, dict[tuple[int, str], Wish]] = {}
        self.wake_at = float("inf")
        """When :meth:`tick` wants to be called next."""

    def __iter__(self) -> Iterator[Wish]:
        for wishes in list(self._of.values()):
            yield from list(wishes.values())

    # -- requests

    def request(self, call: Call) -> None:
        """An engine loads or unloads a strategy. :raises Refusal: foreign tenant, another change of it is under way"""
        head, session = call.head, call.session
        nodes = self._routes.serving(checked_tenant(head.tenant_id, session.tenants))
        key = head.tenant_id, head.strategy_id
        wish = self._of.get(session.client, {}).get(key) or Wish(session, *key)
        if wish.changing:
            raise Refusal(Code.IN_PROGRESS, "a change of this strategy is under way")
        self._calls.begin(call)
        self._of.setdefault(session.client, {})[key] = wish
        before = wish.loaded
        wish.loaded = encode(replace(head, dedup_id=None)) if call.request is RequestLoadStrategy else None
        wish.suspended = False
        wish.changing = True
        version = self._renew(wish)
        ready = [node for node in nodes if self._links.is_ready(node)]
        done = partial(self._changed, call, wish, (version, before))
        asker = Asker(session.client, says=says(call.request))
        self._gather.ask(ready or nodes, call.payload, call.deadline, done, asker)

    def _changed(self, call: Call, wish: Wish, asked: tuple[int, bytes | None], now: float, answers: Answers) -> None:
        """The nodes that were there have answered, or not."""
        version, before = asked
        wish.changing = False
        replies = [reply for reply in answers.values() if reply is not None]
        acked = [reply for reply in replies if not reply.code]
        refused = [reply for reply in replies if reply.code and not _is_idle(call, reply.code)]
        for node, reply in answers.items():
            if reply is not None and (not reply.code or _is_idle(call, reply.code)):
                wish.at[node] = version
        clear = [reply for reply in refused if reply.code not in UNSURE]
        if call.request is RequestLoadStrategy and (clear or not acked):
            wish.loaded = before
            self._renew(wish)
        if clear or acked or replies:
            self._calls.answer(call, (clear or acked or refused or replies)[0].payload)
        else:
            self._calls.refuse(call, lost(call.request, answers))
        self._bring(wish)

    # -- nodes

    def _renew(self, wish: Wish) -> int:
        """Something else is to be the case: what nodes are being told is void. :returns: the new version"""
        for number in wish.asking.values():
            self._gather.cancel(number)
        wish.asking.clear()
        wish.version += 1
        return wish.version

    def ready(self, node: str, forgot: bool) -> None:
        """A node is back. :param forgot: it may have ended the sessions, and with them the loads, that it had"""
        serving = [wish for wish in self if node in self._nodes_of(wish)]
        self._links.introduce(node, dict.fromkeys(wish.session.client for wish in serving))
        for wish in serving:
            if forgot:
                wish.at.pop(node, None)
            self._tell(wish, node)

    def leave(self, node: str) -> None:
        """A node is none of ours any more: it need not be told anything."""
        for wish in self:
            wish.at.pop(node, None)
            wish.asking.pop(node, None)
            self._bring(wish)

    def _nodes_of(self, wish: Wish) -> Nodes:
        return self._routes.nodes_of(wish.tenant_id)

    def _bring(self, wish: Wish) -> None:
        """Brings all nodes that are there to what is to be the case; forgets what has come to an end everywhere."""
        nodes = self._nodes_of(wish)
        for node in nodes:
            self._tell(wish, node)
        if wish.loaded is None and not wish.changing and all(wish.at.get(node) == wish.version for node in nodes):
            self._forget(wish)

    def _forget(self, wish: Wish) -> None:
        wishes = self._of.get(wish.session.client, {})
        if wishes.get((wish.tenant_id, wish.strategy_id)) is wish:
            del wishes[wish.tenant_id, wish.strategy_id]
        if not wishes:
            self._of.pop(wish.session.client, None)

    def _tell(self, wish: Wish, node: str) -> None:
        """Tells a node, if it has to be told and nothing is under way."""
        if wish.changing or wish.session.ended or node in wish.asking or wish.at.get(node) == wish.version:
            return
        if not self._links.is_ready(node):
            return  # it is told when it is back
        done = partial(self._told, wish, node, wish.version)
        asker, deadline = Asker(wish.session.client), self._gather.now + self._settings.request_timeout
        wish.asking[node] = self._gather.ask([node], wish.payload, deadline, done, asker)

    def _told(self, wish: Wish, node: str, version: int, now: float, answers: Answers) -> None:
        """A node has done it, or refuses it, or could not say."""
        if version != wish.version or wish.asking.pop(node, None) is None:
            return
        reply = answers[node]
        if reply is None or reply.code in UNSURE:
            self.wake_at = min(self.wake_at, now + RETRY_S)
            return
        if reply.code and reply.code != Code.UNKNOWN_STRATEGY:
            self._counts["strategy refused"] += 1  # its configuration is another one: there is nothing to repeat
        wish.at[node] = version
        self._bring(wish)

    def tick(self, now: float) -> None:
        """Tries again what could not be done."""
        if now >= self.wake_at:
            self.wake_at = float("inf")
            for wish in self:
                self._bring(wish)

    # -- engines

    def lost(self, session: Session | None) -> None:
        """An engine cannot be reached: what it holds is for others, until it is back."""
        for wish in self._wishes(session):
            if wish.loaded is not None and not wish.suspended:
                wish.suspended = True
                self._renew(wish)
                self._bring(wish)

    def resumed(self, session: Session) -> None:
        """An engine has registered again, perhaps at another address: it is sent what it may have missed."""
        for wish in self._wishes(session):
            if wish.tenant_id not in session.tenants:
                wish.loaded = None
            if wish.suspended or wish.loaded is None:
                wish.suspended = False
                self._renew(wish)
            self._bring(wish)

    def concerns(self, session: Session) -> bool:
        """Whether nodes send something to this client, so that they have to know where it is."""
        return bool(self._wishes(session))

    def end(self, session: Session) -> None:
        """A session has ended; the nodes are told of that."""
        for wish in self._wishes(session):
            self._renew(wish)
        self._of.pop(session.client, None)

    def _wishes(self, session: Session | None) -> list[Wish]:
        return list(self._of.get(session.client, {}).values()) if session is not None else []


def _is_idle(call: Call, code: int) -> bool:
    """Whether a node that refuses has nothing to do: what it is to unload it has not loaded."""
    return call.request is RequestUnloadStrategy and code == Code.UNKNOWN_STRATEGY
