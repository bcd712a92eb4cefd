"""Pulls that carry a ``dedup_id``: what was executed under it before is answered again, wherever that was.

A pull goes to the nodes whose heads come first just now, or which hold its ids as far as is known, so a repetition may
come to others than the first time, or through another proxy. Therefore all nodes are asked first what they have under
the name (RequestRecall): what they granted then is the answer. A node that may still say so is waited for; one that has
been away for long is not, for it would keep everybody from pulling. A repetition while the first one is still under way
here waits for the same answer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from broker.conditions import compile_order
from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.objects import Interaction
from broker.messages.proxies import EventRecalled, RequestRecall
from broker.messages.pulls import BY_IDS
from broker.wire import PackedReply

from .byids import ids_of
from .calls import Call
from .desk import Desk
from .gather import Answers, Asker
from .grants import Granted, granted_payload, id_of, read_granted
from .merge import lost
from .route import checked_tenant
from .workbins import workbin_type

_read = msgspec.json.Decoder(EventRecalled).decode
_interaction = msgspec.json.Decoder(Interaction).decode


class Recalls:
    """The pulls under way that carry a ``dedup_id``."""

    def __init__(self, desk: Desk) -> None:
        self._configuration = desk.configuration
        self._gather = desk.gather
        self._calls = desk.calls
        self._links = desk.links
        self._routes = desk.routes
        self._whereis = desk.whereis
        self._counts = desk.counts

    def request(self, call: Call, pull: Callable[[Call], None]) -> None:
        """A pull. :param pull: does it, if it was not done before

        :raises Refusal: foreign tenant, no ids, too many calls
        """
        _wanted(call)
        nodes = self._routes.serving(checked_tenant(call.head.tenant_id, call.session.tenants))
        if self._calls.joins(call, (call.session.name, call.head.dedup_id)):
            return
        gone = self._links.gone(self._gather.now, nodes)
        asked = [node for node in nodes if node not in gone]
        payload = encode(RequestRecall(asked_as=call.head.dedup_id))
        done = partial(self._recalled, call, pull, gone)
        self._gather.ask(asked, payload, call.deadline, done, Asker(call.session.client))

    def _recalled(  # noqa: PLR0913 - what is bound to it, and what the gathering says
        self, call: Call, pull: Callable[[Call], None], gone: list[str], now: float, answers: Answers
    ) -> None:
        """The nodes have said what they know of it, or not. :param gone: those that are away and were not asked"""
        said = {node: self._readable(node, reply) for node, reply in answers.items()}
        silent = [node for node, recalled in said.items() if recalled is None]
        known = {node: recalled for node, recalled in said.items() if recalled is not None and recalled.replies}
        if any(recalled is not None and recalled.expired for recalled in said.values()):
            self._calls.refuse(call, Refusal(Code.DUPLICATE_EXPIRED, call.head.dedup_id, field="dedup_id"))
        elif silent and sum(len(reply.interactions) for one in known.values() for reply in one.replies) < _wanted(call):
            self._calls.refuse(call, lost(call.request, silent))
        elif known:
            self._calls.answer(call, self._put_together(call, known, [*silent, *gone]))
        else:
            self._calls.pass_on(call, pull)

    def _put_together(self, call: Call, known: dict[str, _Recalled], missing: list[str]) -> bytes:
        """One reply of what nodes have replied before."""
        granted: list[Raw] = []
        errors: dict[str, Any] = {}
        for node, recalled in known.items():
            for reply in recalled.replies:
                granted += reply.interactions
                errors |= reply.errors
                for raw in reply.interactions:
                    self._whereis.learn(id_of(raw), node)
        for raw in granted:
            errors.pop(id_of(raw), None)
        return granted_payload(self._in_order(call, granted, several=len(known) > 1), missing, errors)

    def _readable(self, node: str, reply: PackedReply | None) -> _Recalled | None:
        """What a node says; None where it does not, or where it cannot be read."""
        if reply is None or reply.code:
            return None
        recalled = _read_recalled(reply.payload)
        if recalled is None:
            self._counts.drop(node, "garbage", _NAMED)
        return recalled

    def _in_order(self, call: Call, granted: list[Raw], *, several: bool) -> list[Raw]:
        """What was granted in the order of the first reply: what several nodes gave of a view, and all that comes from
        a workbin, in its order; there is none for ids."""
        workbin = workbin_type(self._configuration, call.head.view_id)
        view = self._configuration.views.get(call.head.view_id) if several else None
        ordered = workbin or view
        if ordered is None:
            return granted
        key = compile_order(ordered.order, self._configuration.custom_properties).key
        return sorted(granted, key=lambda raw: key(_interaction(raw)))


class _Recalled(NamedTuple):
    """What a node has executed."""

    replies: list[Granted]
    expired: bool


_NAMED = encode(RequestRecall(asked_as="-"))


def _read_recalled(payload: bytes) -> _Recalled | None:
    """What a node says; None where that cannot be read."""
    try:
        said = _read(payload)
        replies = [read_granted(answer) for answer in said.answers]
        for granted in replies:
            for raw in granted.interactions:
                _interaction(raw)
    except (ValueError, RecursionError):
        return None
    return _Recalled(replies, said.expired)


def _wanted(call: Call) -> int:
    """How many interactions a pull gets at most."""
    return len(ids_of(call)) if call.head.view_id == BY_IDS else int(call.head.count)
