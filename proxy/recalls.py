"""Pulls that carry a ``dedup_id``: what was executed under it before is answered again, wherever that was.

A pull goes to the nodes whose heads come first just now, so a repetition may come to others than the first time, or
through another proxy. Therefore all nodes are asked first what they have under the name (RequestRecall): what they
granted then is the answer. A node that may still say so is waited for; one that has been away for long is not, for it
would keep everybody from pulling. A repetition while the first one is still under way here waits for the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import msgspec
from msgspec import Raw

from broker.conditions import compile_order
from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.proxies import EventRecalled, RequestRecall
from broker.wire import PackedReply

from .calls import Call
from .desk import Desk
from .gather import Answers, Asker
from .merge import lost
from .pulls import granted_payload, read_granted, read_id
from .route import checked_tenant

_read = msgspec.json.Decoder(EventRecalled).decode


class Recalls:
    """The pulls under way that carry a ``dedup_id``."""

    def __init__(self, desk: Desk) -> None:
        self._configuration = desk.configuration
        self._gather = desk.gather
        self._calls = desk.calls
        self._links = desk.links
        self._routes = desk.routes
        self._whereis = desk.whereis

    def request(self, call: Call, pull: Callable[[Call], None]) -> None:
        """A pull. :param pull: does it, if it was not done before

        :raises Refusal: foreign tenant, too many calls
        """
        nodes = self._routes.serving(checked_tenant(call.head.tenant_id, call.session.tenants))
        if self._calls.joins(call, (call.session.name, call.head.dedup_id)):
            return
        gone = self._links.gone(self._gather.now, nodes)
        asked = [node for node in nodes if node not in gone]
        payload = encode(RequestRecall(asked_as=call.head.dedup_id))
        done = partial(self._recalled, call, pull)
        self._gather.ask(asked, payload, call.deadline, done, Asker(call.session.client))

    def _recalled(self, call: Call, pull: Callable[[Call], None], now: float, answers: Answers) -> None:
        """The nodes have said what they know of it, or not."""
        said = {node: _readable(reply) for node, reply in answers.items()}
        known = {node: recalled for node, recalled in said.items() if recalled is not None and recalled.answers}
        silent = [node for node, recalled in said.items() if recalled is None]
        if any(recalled is not None and recalled.expired for recalled in said.values()):
            self._calls.refuse(call, Refusal(Code.DUPLICATE_EXPIRED, call.head.dedup_id, field="dedup_id"))
            return
        granted = [raw for node, recalled in known.items() for raw in self._granted(node, recalled)]
        if silent and len(granted) < call.head.count:
            self._calls.refuse(call, lost(call.request, silent))
        elif known:
            self._calls.answer(call, granted_payload(granted if len(known) == 1 else self._in_order(call, granted)))
        else:
            self._calls.pass_on(call, pull)

    def _granted(self, node: str, recalled: EventRecalled) -> Iterator[Raw]:
        """What a node gave then."""
        for answer in recalled.answers:
            for raw in read_granted(answer).interactions:
                self._whereis.learn(read_id(raw).interaction_id, node)
                yield raw

    def _in_order(self, call: Call, granted: list[Raw]) -> list[Raw]:
        """What several nodes gave, in the view's order; a workbin has none over several nodes."""
        view = self._configuration.views.get(call.head.view_id)
        if view is None:
            return granted
        key = compile_order(view.order, self._configuration.custom_properties).decode_key
        return sorted(granted, key=lambda raw: key(bytes(raw)))


def _readable(reply: PackedReply | None) -> EventRecalled | None:
    """What a node says; None where it does not, or where it cannot be read."""
    if reply is None or reply.code:
        return None
    try:
        recalled = _read(reply.payload)
        for answer in recalled.answers:
            for raw in read_granted(answer).interactions:
                read_id(raw)
    except (ValueError, RecursionError):
        return None
    return recalled
