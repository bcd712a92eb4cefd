"""One link: what is known of a node's members, what is under way there, what is on its way out. No decisions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from broker.wire import RESENT, PackedReply, PackedRequest

AWAY, GREETING, READY = "away", "greeting", "ready"
"""The states of a link; what leads from one to another is in :mod:`proxy.links`."""


class Numbers:
    """The numbers of requests: rising, the same one on all links for one request. ``last`` is the one given last."""

    __slots__ = ("_next", "last")

    def __init__(self) -> None:
        self._next = count(1).__next__
        self.last = 0

    def next(self) -> int:
        """A new number."""
        self.last = number = self._next()
        return number


class Member:
    """One member of a node's pair as it says of itself. :param status: the last JSON of its state, or empty"""

    __slots__ = ("epoch", "heard", "role", "status")

    def __init__(self) -> None:
        self.role = "unreachable"
        self.epoch = 0
        self.heard = float("-inf")
        self.status = b""


class Farewell(NamedTuple):
    """How a node is told of a session's end.

    :param introduction: for a member that does not know it; :param payload: the RequestUnregisterClient
    """

    introduction: bytes
    payload: bytes


class Link:
    """The link to one node.

    :param open: what the node has not answered: number -> entry, the numbers rising
    :param fresh: numbers in ``open`` that were never handed to the shell
    :param introduced: clients that the active member knows; ``known``: that the node knows, whoever is active, with the
        number of the last introduction
    :param owed: clients to introduce again; ``leaving``: ended sessions that the node is still to be told of;
        ``parting``: that it has been told of, but has not acknowledged; ``unheeded``: that it could not end
    :param askers: clients with agents that have asked for something since a probe has last named them, in this order
    :param bounced: requests that came back once because their client was not known
    :param drained: the active member says that it takes no new interactions
    :param away_since: when the link ceased to be READY
    :param keepalive_s: the node ends the proxy's session when it hears nothing of it for three of these
    :param answered_at: when the last hello or probe was sent that was answered
    :param event_rate: reporting events per second, counted over about a second
    :param told: own requests (hello, introductions, probes) in ``open``: number -> what to do with the answer
    """

    __slots__ = (
        "active", "answered_at", "askers", "away_since", "bounced", "drained", "epoch", "event_rate", "fresh",
        "greeted_at", "heard_ever", "introduced", "keepalive_s", "known", "leaving", "members", "name", "open",
        "outgoing", "owed", "parting", "paused_until", "probe", "probe_at", "rate_at", "rate_seq", "state", "told",
        "unheeded",
    )  # fmt: skip

    def __init__(self, name: str, keepalive_s: float) -> None:
        self.name = name
        self.keepalive_s = keepalive_s
        self.members: dict[str, Member] = {}
        self.state = AWAY
        self.active: str | None = None
        self.drained = False
        self.epoch = 0
        self.away_since = float("-inf")
        self.heard_ever = False
        self.open: dict[int, PackedRequest] = {}
        self.fresh: set[int] = set()
        self.told: dict[int, Callable[[float, Link, PackedReply], None]] = {}
        self.outgoing: list[PackedRequest] = []
        self.introduced: set[int] = set()
        self.known: dict[int, int] = {}
        self.owed: deque[int] = deque()
        self.leaving: dict[int, Farewell] = {}
        self.parting: dict[int, Farewell] = {}
        self.unheeded: dict[int, Farewell] = {}
        self.bounced: set[int] = set()
        self.askers: dict[int, None] = {}
        self.probe = 0
        self.probe_at = 0.0
        self.greeted_at = float("-inf")
        self.answered_at = float("-inf")
        self.paused_until = 0.0
        self.event_rate = 0.0
        self.rate_at, self.rate_seq = float("-inf"), 0

    @property
    def flowing(self) -> bool:
        """Whether a request can be handed to the shell now."""
        return self.state is READY and not self.paused_until

    def settled(self, next_number: int) -> int:
        """The lowest number still open here. (A dict keeps its order, and what it skips to its first key is bounded by
        what it has had at once.)"""
        return next(iter(self.open), next_number)

    def put(self, entry: PackedRequest) -> None:
        """A new request: it goes out, or waits until requests flow."""
        self.open[entry.number] = entry
        if self.state is READY and not self.paused_until:  # hot path: `flowing` without the call
            self.outgoing.append(entry)
        else:
            self.fresh.add(entry.number)

    def tell(self, entry: PackedRequest, done: Callable[[float, Link, PackedReply], None]) -> None:
        """A request of the link's own goes out at once. :param done: gets its answer"""
        self.open[entry.number] = entry
        self.told[entry.number] = done
        self.outgoing.append(entry)

    def forget(self, client: int, number: int) -> bool:
        """The node has ended a client's session, asked by this number. :returns: whether it knows the client no more;
        else it was introduced again later"""
        if self.known.get(client, 0) > number:
            return False
        self.unsay(client)
        self.known.pop(client, None)
        self.introduced.discard(client)
        return True

    def unsay(self, client: int) -> None:
        """A client's introduction that has no answer is void: the node knows the client by a later one, or no more.
        Sent again, it would bring back what was."""
        number = self.known.get(client, 0)
        if self.told.pop(number, None) is not None:
            del self.open[number]

    def resend(self, entry: PackedRequest) -> None:
        """The same request goes out under the same number, marked: it is executed once."""
        if not entry.flags & RESENT:
            entry = PackedRequest(entry.number, entry.client, entry.flags | RESENT, entry.payload)
            self.open[entry.number] = entry
        self.outgoing.append(entry)

    def drop(self, number: int) -> None:
        """Nobody waits for this answer any more."""
        self.open.pop(number, None)
        self.fresh.discard(number)
        self.bounced.discard(number)

    def retract(self) -> None:
        """The link's own requests are of no use any more: another member serves, or the same one anew."""
        for number in self.told:
            self.open.pop(number, None)
        self.told.clear()
        self.outgoing = []
        self.bounced.clear()
        self.leaving.update(self.parting)
        self.leaving.update(self.unheeded)
        self.unheeded.clear()
