"""Making the proxy's clients known to the nodes, and telling them when a client has gone.

A client is introduced before its first request on a link. After a change of members all clients that the node knew are
introduced again: those that ask or have agents at once, the others a few at a time. A session that ends is told to
every node that knows it, if need be when the node is back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from broker.ledger import Ledger
from broker.messages import encode
from broker.messages.connection import RequestUnregisterClient
from broker.wire import PackedReply, PackedRequest

from .link import Farewell, Link, Numbers
from .roster import UNSURE

AT_ONCE = 200
"""After a change of members: how many idle clients are introduced per turn, so that requests are not held up."""


class Introductions:
    """Who is known where.

    :param of: a client's number -> its RequestRegisterClient, None when its session has ended
    """

    def __init__(self, numbers: Numbers, of: Callable[[int], bytes | None], counts: Ledger) -> None:
        self._numbers = numbers
        self._of = of
        self._counts = counts

    def begin(self, link: Link) -> None:
        """A member has acknowledged the proxy itself, and knows nobody else yet."""
        link.introduced = {0}
        link.owed = deque(sorted(link.known))

    def introduce(self, link: Link, client: int) -> None:
        """Makes a client known to the active member, ahead of what it asks. One that has gone is not introduced."""
        if client in link.introduced:
            return
        leaving = link.leaving.get(client)
        introduction = leaving.introduction if leaving is not None else self._of(client)
        if introduction is not None:
            link.introduced.add(client)
            link.unsay(client)
            link.known[client] = self._tell(link, client, introduction, self._introduced)

    def _introduced(self, now: float, link: Link, reply: PackedReply) -> None:
        if reply.code:
            self._counts["introduction refused"] += 1
            link.introduced.discard(reply.client)

    def forget(self, links: Iterable[Link], client: int) -> None:
        """A client's registration has changed: nodes hear it before its next request."""
        for link in links:
            link.introduced.discard(client)

    def farewell(self, links: Iterable[Link], client: int, farewell: Farewell) -> None:
        """A session has ended."""
        for link in links:
            if client in link.known:
                link.leaving[client] = farewell
                self.go_on(link)

    def go_on(self, link: Link) -> None:
        """Introduces some of those who are not yet known again, and dismisses those who have gone."""
        if not link.flowing:
            return
        for _ in range(min(AT_ONCE, len(link.owed))):
            client = link.owed.popleft()
            if client in link.known:  # else the node has ended its session meanwhile
                self.introduce(link, client)
        for client, farewell in link.leaving.items():
            self.introduce(link, client)
            self._tell(link, client, farewell.payload, self._dismissed)
        link.parting.update(link.leaving)
        link.leaving.clear()

    def farewells(self, link: Link) -> list[PackedRequest]:
        """What a node is told that is left: all whom it knows have gone, the proxy itself last."""
        said: list[PackedRequest] = []
        ended = link.unheeded | link.parting | link.leaving
        for client in sorted(link.known):
            farewell = ended.get(client)
            introduction = self._of(client) if farewell is None else farewell.introduction
            if introduction is not None and client not in link.introduced:
                said.append(self._entry(client, introduction))
            said.append(self._entry(client, _FAREWELL if farewell is None else farewell.payload))
        return [*said, self._entry(0, _FAREWELL)]

    def again(self, link: Link) -> None:
        """From time to time: what the node has refused, for its database failed perhaps, is tried again."""
        link.owed.extend(sorted(link.known.keys() - link.introduced)[:AT_ONCE])
        link.leaving.update(link.unheeded)
        link.unheeded.clear()
        self.go_on(link)

    def _dismissed(self, now: float, link: Link, reply: PackedReply) -> None:
        again = reply.code in UNSURE or not link.forget(reply.client, reply.number)
        farewell = link.parting.pop(reply.client, None)
        if again and farewell is not None:
            link.unheeded[reply.client] = farewell

    def _tell(self, link: Link, client: int, payload: bytes, done: Callable[[float, Link, PackedReply], None]) -> int:
        """:returns: the request's number"""
        entry = self._entry(client, payload)
        link.tell(entry, done)
        return entry.number

    def _entry(self, client: int, payload: bytes) -> PackedRequest:
        return PackedRequest(self._numbers.next(), client, 0, payload)


_FAREWELL = encode(RequestUnregisterClient())
