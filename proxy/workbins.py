"""Pulls from workbins: one node after the other is asked for what is still wanted, so that never too many are granted.

The order of a workbin holds for each node by itself. Which node is asked first changes from pull to pull.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
from msgspec import Raw

from broker.config.objects import PRIVATE_VIEW
from broker.messages import encode

from .calls import Call
from .desk import Desk
from .gather import Answers, Asker
from .grants import granted_payload, id_of, read_granted
from .merge import lost
from .route import checked_tenant


class Workbins:
    """Pulls from workbins."""

    def __init__(self, desk: Desk) -> None:
        self._configuration = desk.configuration
        self._gather = desk.gather
        self._calls = desk.calls
        self._routes = desk.routes
        self._whereis = desk.whereis
        self._counts = desk.counts

    def has(self, view_id: str) -> bool:
        """Whether a view is a workbin's."""
        name, _, view = view_id.rpartition("/")
        known = self._configuration
        return view == PRIVATE_VIEW and name in known.workbins and view_id not in known.views

    def request(self, call: Call) -> None:
        """A client's pull from a workbin. :raises Refusal: foreign tenant, too many calls"""
        nodes = self._routes.serving(checked_tenant(call.head.tenant_id, call.session.tenants))
        first = self._routes.turn(nodes, nodes)
        at = nodes.index(first)
        self._calls.begin(call)
        self._ask(call, (*nodes[at:], *nodes[:at]), [], [])

    def _ask(self, call: Call, nodes: Sequence[str], got: list[Raw], missing: list[str]) -> None:
        wanted = msgspec.structs.replace(call.head, count=call.head.count - len(got))
        done = partial(self._pulled, call, nodes[1:], got, missing)
        self._gather.ask([nodes[0]], encode(wanted), call.deadline, done, Asker(call.session.client))

    def _pulled(  # noqa: PLR0913 - what is bound to it, and what the gathering says
        self, call: Call, left: Sequence[str], got: list[Raw], missing: list[str], now: float, answers: Answers
    ) -> None:
        """A node has answered, or not. What was granted is given, whatever others say then."""
        ((node, reply),) = answers.items()
        if reply is None:
            missing.append(node)
        elif reply.code:
            if not got:
                self._calls.answer(call, reply.payload)
                return
        else:
            try:
                for raw in read_granted(reply.payload).interactions:
                    self._whereis.learn(id_of(raw), node)
                    got.append(raw)
            except (ValueError, RecursionError):
                self._counts.drop(node, "garbage", call.payload)
                missing.append(node)
        if left and len(got) < call.head.count and now < call.deadline:
            self._ask(call, left, got, missing)
        elif got or not missing:
            self._calls.answer(call, granted_payload(got, missing))
        else:
            self._calls.refuse(call, lost(call.request, missing))
