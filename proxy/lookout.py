"""What nodes have first in the views that clients pull from: they tell when it changes, and they are asked.

    a first pull, or nothing left   all nodes are asked (a look); while an answer may come soon, pulls wait for it
    a node is back, or another      its heads are asked for, as something of it may come first
    member of it serves
    a node is away                  nothing of it is waited for
    a notification, or an answer    the view is touched: its pulls are served when the whole frame is known

It decides nothing about pulls: :class:`proxy.pulls.Pulls` does, with what a :class:`proxy.views.View` knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import msgspec

from broker.messages import encode
from broker.messages.pulls import EventViewHead, RequestWatchView

from .desk import Desk
from .gather import Answers
from .views import Round, View

WATCH_S = 1.0
"""How long a node's head is waited for before pulls go on without it, and how often heads are asked for again while
pulls wait: a pushed head may be lost."""

_read_head = msgspec.json.Decoder(EventViewHead).decode


class Lookout:
    """The views that clients pull from, by name, and what their nodes say of them."""

    def __init__(self, desk: Desk) -> None:
        self._gather = desk.gather
        self._links = desk.links
        self._counts = desk.counts
        self._touched: dict[tuple[str, bool], View] = {}
        self.views: dict[tuple[str, bool], View] = {}

    def touch(self, view: View) -> None:
        """Something was learnt of a view, or one of its pulls is back."""
        self._touched[view.name] = view

    def touched(self) -> Iterator[View]:
        """The views that were touched, each once; also those that are while one is served."""
        while self._touched:
            yield self._touched.popitem()[1]

    # -- what nodes say

    def learn(self, node: str, payload: bytes) -> None:
        """A node tells a head, asked or not. What it said last counts, so this is called in the order of a frame.

        :raises ValueError: it is no head
        """
        said = _read_head(payload)
        for ignore_hold in (False, True):
            view = self.views.get((said.view_id, ignore_hold))
            if view is not None and node in view.nodes:
                view.learn(node, *said.line(ignore_hold=ignore_hold))
                view.asking.discard(node)
                self.touch(view)

    def ready(self, node: str) -> None:
        """A node is back: its heads are asked for, and waited for a moment, as something of it may come first."""
        for view in self.views.values():
            if view.watched and node in view.nodes:
                self.ask_and_wait(view, node)

    def went(self, node: str) -> None:
        """A node is away: its heads are not known any more, the others serve. If another member of it serves already,
        that is waited for a moment."""
        for view in self.views.values():
            if node in view.nodes:
                view.leave(node)
                if view.watched and self._links.is_coming(node):
                    self._wait_for(view, {node})
                self.touch(view)

    # -- asking

    def look(self, view: View, turn: int, deadline: float) -> None:
        """Asks all nodes for their heads; those that are there are waited for a moment.

        :param turn: of the last pull so far, which the answers are good for
        """
        view.watched = True
        view.looking = Round(turn, set(view.nodes), set())
        self._wait_for(view, {node for node in view.nodes if self._links.is_ready(node) and not view.knows(node)})
        for node in view.nodes:
            self.ask(view, node, deadline)

    def ask(self, view: View, node: str, deadline: float) -> None:
        """Asks one node, without waiting for it."""
        payload = encode(RequestWatchView(view_id=view.view_id, keys=view.reach))
        self._gather.ask([node], payload, deadline, partial(self._seen, view, node, view.looking))

    def ask_and_wait(self, view: View, node: str) -> None:
        """Asks one node; pulls wait for its answer for a moment."""
        self._wait_for(view, {node})
        self.ask(view, node, self._gather.now + WATCH_S)

    def ask_again(self, view: View) -> None:
        """Asks all nodes that are there, without waiting for them."""
        for node in filter(self._links.is_ready, view.nodes):
            self.ask(view, node, self._gather.now + WATCH_S)

    def ask_unknown(self, view: View) -> None:
        """Asks the nodes whose heads are not known and nobody is asking: the answer to an earlier look was lost."""
        for node in view.nodes:
            if not view.knows(node) and node not in view.asking and view.looking is None and self._links.is_ready(node):
                self.ask_and_wait(view, node)

    def _wait_for(self, view: View, nodes: set[str]) -> None:
        view.asking |= nodes
        view.blocked_until = self._gather.now + WATCH_S

    def _seen(self, view: View, node: str, looked: Round | None, now: float, answers: Answers) -> None:
        """A node was asked for its head; :meth:`learn` has seen the answer, if there was one."""
        view.asking.discard(node)
        reply = answers[node]
        if reply is not None and not reply.code and not reply.payload.startswith(_HEAD):
            self._counts.drop(node, "garbage", _WATCH)
        if looked is not None and looked is view.looking:
            looked.open.discard(node)
            if reply is not None and not reply.code and view.knows(node):
                looked.seen.add(node)
            if not looked.open:
                view.looking = None
                view.confirmed = looked.turn
                view.reached = bool(looked.seen)
        self.touch(view)


_WATCH = encode(RequestWatchView(view_id="-"))
_HEAD = b'{"message":"%b"' % EventViewHead.__name__.encode()
