"""What may have been done at another home: the home of an id or a dedup_id moves to a node that is added.

Everybody chooses the home of such a key by rendezvous (:meth:`proxy.route.Routes.homes`), so the node where a duplicate
or repetition is seen follows from the key and the nodes that there are. A node that was added while this proxy ran has
taken over the home of some keys. Their earlier homes are asked first what they know:

    of a dedup_id          what they have answered to it is the answer (as long as nodes keep it)
    of a client's own id   whether they hold the interaction: then it is a duplicate
    no answer              2002: nobody can say

All other keys go straight to their home.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.interactions import RequestGetInteractionProperties
from broker.messages.proxies import EventRecalled, RequestRecall

from .calls import Call
from .desk import Desk
from .gather import PROXY, Answers, Asker
from .merge import lost
from .route import Nodes

KNOWN_WINDOWS = 11
"""For so many dedup windows a node may know what it was asked before, at the longest."""

_read = msgspec.json.Decoder(EventRecalled).decode

Go = Callable[[Call], None]


class Homes:
    """Asks earlier homes. Where there are none, it costs a look into a dict."""

    def __init__(self, desk: Desk) -> None:
        self._configuration = desk.configuration
        self._gather = desk.gather
        self._calls = desk.calls
        self._routes = desk.routes
        self._counts = desk.counts

    def recall(self, call: Call, homes: Nodes, go: Go) -> None:
        """A call with a dedup_id that was begun; ``go(call)`` if it was not done elsewhere before.

        :param homes: the nodes in the order in which they are its home
        """
        earlier = self._routes.earlier(homes, self._gather.now - self._known_s)
        if not earlier:
            go(call)
            return
        payload = encode(RequestRecall(asked_as=call.head.dedup_id))
        asker = Asker(call.session.client)
        self._gather.ask(earlier, payload, call.deadline, partial(self._recalled, call, go), asker)

    @property
    def _known_s(self) -> float:
        nodes = self._configuration.nodes.values()
        return KNOWN_WINDOWS * max((node.settings.dedup_window for node in nodes), default=0.0)

    def _recalled(self, call: Call, go: Go, now: float, answers: Answers) -> None:
        said = {node: self._readable(node, answers) for node in answers}
        kept = [answer for one in said.values() if one is not None for answer in one.answers]
        silent = [node for node, one in said.items() if one is None]
        if kept:
            self._calls.answer(call, bytes(kept[0]))
        elif any(one is not None and one.expired for one in said.values()):
            self._calls.refuse(call, Refusal(Code.DUPLICATE_EXPIRED, call.head.dedup_id, field="dedup_id"))
        elif silent:
            self._calls.refuse(call, lost(call.request, silent))
        else:
            go(call)

    def _readable(self, node: str, answers: Answers) -> EventRecalled | None:
        """What a node says; None where it does not, or where it cannot be read."""
        reply = answers[node]
        if reply is None or reply.code:
            return None
        try:
            return _read(reply.payload)
        except (ValueError, RecursionError):
            self._counts.drop(node, "garbage", reply.payload)
            return None

    def look(self, call: Call, homes: Nodes, go: Go) -> None:
        """A call with an interaction's id of the client's own; ``go(call)`` if there is none of that id elsewhere."""
        earlier = self._routes.earlier(homes)
        if not earlier:
            go(call)
            return
        payload = encode(RequestGetInteractionProperties(interaction_id=call.head.interaction_id))
        self._gather.ask(earlier, payload, call.deadline, partial(self._looked, call, go), PROXY)

    def _looked(self, call: Call, go: Go, now: float, answers: Answers) -> None:
        holders = [node for node, reply in answers.items() if reply is not None and not reply.code]
        unknown = [node for node, reply in answers.items() if reply is not None and reply.code == _UNKNOWN]
        if holders:
            text = f"{holders[0]} has an interaction with the id {call.head.interaction_id}"
            self._calls.refuse(call, Refusal(Code.DUPLICATE_INTERACTION, text, field="interaction_id"))
        elif len(unknown) < len(answers):
            self._calls.refuse(call, lost(call.request, [node for node in answers if node not in unknown]))
        else:
            go(call)


_UNKNOWN = int(Code.UNKNOWN_INTERACTION)
